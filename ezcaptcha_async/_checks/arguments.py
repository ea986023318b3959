"""Arguments that are refused: none is shown, and one that is not there is answered."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from functools import lru_cache, partial, wraps
from typing import Any, Final, Self, cast

from ezcaptcha_async._checks.fields import is_misspelt, plain
from ezcaptcha_async.errors import ConfigurationError, UnknownArgumentError

_FIELDS: Final = {
    "website_url": r"(page|site)?(url|page)|site|website",
    "website_key": r"(site|google|public|captcha|data|recaptcha)+key",
    "page_action": r"action",
    "is_invisible": r"invisible",
    "invisible": r"isinvisible",
    "data": r"(data)?blob",
    "rqdata": r"rqdata",
    "proxy": r"prox(y|ies).*",
}
"""Field of a task → what other clients call it, as `plain` writes it."""

_ANSWERS: Final = {
    r"(api|client|access|account|ez\w*)?keys?|\w*token|secret|password|auth\w*|credentials?": (
        "the client key is the first argument of SessionPool and of Account, "
        "or in EZCAPTCHA_CLIENT_KEY"
    ),
    r"\w*timeout\w*|deadline|(max)?wait\w*": (
        "the seconds for a task are solve(task, timeout=...), those for one request are "
        "SessionPool(request_timeout=...)"
    ),
    r"\w*(retry|retries|attempt|tries|backoff)\w*": (
        "a poll is repeated by itself for as long as its result can be fetched, and a createTask "
        "that was not accepted for SessionPool(create_patience=...) seconds"
    ),
    r"\w*(interval|delay|poll|sleep)\w*": (
        "when to poll is SessionPool(polling=PollPolicy(first_delay=..., interval=...)), or "
        "learned when that is left out"
    ),
    r"\w*prox(y|ies)\w*": (
        "the proxy to solve from is a field of the task, proxy=... (of a CustomTask, in its "
        "fields); the way to the service is the HTTP client's, "
        "http_client=httpx.AsyncClient(proxy=...), or in HTTPS_PROXY"
    ),
    r"\w*(concurren|parallel|worker|semaphore|connections|poolsize|threads|inflight|batch)\w*": (
        "how much at a time is Account(max_in_flight=...) for paid tasks, "
        "solve_many(max_in_flight=...) for one loop, SessionPool(max_requests=...) for requests"
    ),
    r"\w*(ratelimit|persecond|perminute|rps|throttl)\w*|limit|rate": (
        "rates are those of an account: Account(creates_per_second=..., polls_per_second=...)"
    ),
    r"(base|api|service|server|page|site|website)?(url|uri|endpoint|host|domain|server|baseurl)": (
        "the page is a field of the task, website_url=...; the service's own address is "
        "service=attrs.evolve(EZCAPTCHA, base_url=...), or in EZCAPTCHA_BASE_URL"
    ),
    r"\w*(session|client|connect|transport|ssl|verify|cert|header|http|trust|agent|cookie)\w*": (
        "what sends the requests is yours to set up: SessionPool(http_client=...), an "
        "httpx.AsyncClient or an aiohttp.ClientSession"
    ),
    r"\w*(budget|cost|points|spend|price)\w*": "the most to spend is SessionPool(budget=...)",
    r"\w*(callback|webhook|pingback|hook|listener|onsolved|onresult)\w*": (
        "the service never calls back: await solve(task); SessionPool(on_event=...) is told of "
        "all that happens"
    ),
    r"\w*(loop|backend|runner|executor)\w*": (
        "asyncio or trio is found by itself: open the pool with 'async with' where it runs"
    ),
    r"\w*(logg?|debug|verbose|quiet)\w*": (
        "the log is that of the logger 'ezcaptcha_async', and SessionPool(on_event=...)"
    ),
    r"(soft|app|developer)id": "a developer's number is Account(app_id=...)",
    r"id|name|label|tag|meta\w*|userdata|external\w*": (
        "what a task is to you is a field of the task, reference=..."
    ),
    r"\w*(locale|language|title|type|captcha|task|action|blob|score)\w*|\w*key": (
        "what is to be solved is a task: solve(ReCaptchaV2TaskProxyless(website_url=..., "
        "website_key=...)); its class is its type"
    ),
}
"""What is meant, as `plain` writes it, wherever it is tried → ours."""


class GuardedConstructor:
    """A class that shows nothing of what its constructor was given and refuses.

    What it was given may be a client key, or a proxy with its password, and an error tracker
    shows the locals of every frame in a traceback. So what a constructor raises leaves it
    without its frames. An argument that there is not is answered with the one that is meant.
    """

    __slots__ = ()

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        if "__init__" in cls.__dict__:  # attrs makes it before the class that has slots
            guarded = _guarded(cls.__dict__["__init__"])
            setattr(cls, "__init__", guarded)  # noqa: B010 - else typed as this class's own

    def __new__(cls, *_arguments: Any, **given: Any) -> Self:
        names = [*given]
        del _arguments, given
        known = _parameters(cast("Hashable", cls))
        if known is not None and not known.issuperset(names):
            raise _unknown(cls.__name__, names, known)
        return super().__new__(cls)


def _guarded(constructor: Callable[..., None]) -> Callable[..., None]:
    @wraps(constructor)
    def construct(self: object, *arguments: Any, **given: Any) -> None:
        try:
            constructor(self, *arguments, **given)
        except (ConfigurationError, TypeError) as error:
            is_deep = error.__traceback__ is not None and error.__traceback__.tb_next is not None
            if isinstance(error, TypeError) and is_deep:  # somebody's mistake, and not in the call
                raise
            refused = error.with_traceback(None)
            if isinstance(error, TypeError):  # it names the class that the fields are written in
                ours = f"{type(self).__qualname__}.{constructor.__name__}"
                refused = TypeError(str(error).replace(constructor.__qualname__, ours, 1))
        else:
            return
        del self, arguments, given
        refused.__cause__ = refused.__context__ = None
        raise refused

    return construct


def refuse_unknown(called: Callable[..., Any], given: dict[str, Any]) -> None:
    """Answer arguments that a function has not with those that are meant.

    Args:
        called: The function.
        given: What it was given beside its own. It is emptied: the values may be secret.

    Raises:
        UnknownArgumentError: There are some.
    """
    if given:
        names = [*given]
        given.clear()
        raise _unknown(called.__name__, names, _parameters(called) or frozenset())


@lru_cache(maxsize=256)
def _parameters(called: Callable[..., Any]) -> frozenset[str] | None:
    """Return the names that may be given; None where any may, as a subclass may choose."""
    parameters = inspect.signature(called).parameters.values()
    if inspect.isclass(called) and any(item.kind is item.VAR_KEYWORD for item in parameters):
        return None
    named = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    return frozenset(item.name for item in parameters if item.kind in named) - {"self"}


def _unknown(called: str, names: Iterable[str], known: frozenset[str]) -> UnknownArgumentError:
    name = next(name for name in names if name not in known)
    return UnknownArgumentError(f"{called}() has no argument {name[:40]!r}: {_answer(name, known)}")


def _answer(name: str, known: frozenset[str]) -> str:
    meant = plain(name)
    for ours in sorted(known):
        if plain(ours) == meant or re.fullmatch(_FIELDS.get(ours, "(?!)"), meant):
            return f"give it as {ours}"
    for ours in sorted(known):
        if is_misspelt(meant, plain(ours)):
            return f"did you mean {ours}?"
    for pattern, answer in _ANSWERS.items():
        if re.fullmatch(pattern, meant):
            return answer
    return f"it takes {', '.join(sorted(known))}"


def is_deferred(function: object) -> bool:
    """Return whether a function, called, does nothing yet: it is async, or a generator."""
    while isinstance(function, partial):
        function = function.func
    return any(
        kind(called)
        for kind in (
            inspect.iscoroutinefunction,
            inspect.isasyncgenfunction,
            inspect.isgeneratorfunction,
        )
        for called in (function, type(function).__call__)
    )


def path_in(given: object) -> str | None:
    """Return the path that a setting names; None where there can be no file of that name."""
    path = os.fspath(cast("os.PathLike[str]", given)) if isinstance(given, os.PathLike) else given
    with suppress(UnicodeEncodeError):
        if isinstance(path, str) and path and b"\0" not in os.fsencode(path):
            return path
    return None

"""Arguments that people try, because other clients have them: each is answered with ours."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import attrs
import pytest

import ezcaptcha_async
from ezcaptcha_async import (
    Account,
    ConfigurationError,
    CustomTask,
    ReCaptchaV2TaskProxyless,
    ReCaptchaV3TaskProxyless,
    SessionPool,
    UnknownArgumentError,
    errors,
)
from ezcaptcha_async._checks import arguments

SECRET: Final = "do-not-show-this"
PAGE: Final[dict[str, Any]] = {
    "website_url": "https://example.com/login",
    "website_key": "site-key",
}
Called = Callable[..., Any]
CALLED: Final[dict[str, Called]] = {
    "SessionPool": lambda **tried: SessionPool("a-key", **tried),
    "Account": lambda **tried: Account("a-key", **tried),
    "ReCaptchaV2TaskProxyless": lambda **tried: ReCaptchaV2TaskProxyless(**PAGE, **tried),
    "CustomTask": lambda **tried: CustomTask("NewTask", {}, **tried),
}
TRIED: Final = (
    *("api_key", "apikey", "apiKey", "client_key", "clientKey", "key", "token", "access_token"),
    *("timeout", "total_timeout", "solve_timeout", "max_wait", "wait_timeout", "deadline"),
    *("max_retries", "retries", "retry", "attempts", "max_attempts", "tries", "backoff"),
    *("interval", "poll_interval", "polling_interval", "delay", "sleep", "pollingInterval"),
    *("proxy", "proxies", "proxy_url", "proxy_login", "proxyAddress"),
    *("concurrency", "max_concurrency", "workers", "max_workers", "semaphore", "pool_size"),
    *("rate_limit", "requests_per_second", "rps", "limit"),
    *("base_url", "url", "endpoint", "host", "api_url", "domain", "server"),
    *("session", "client", "connector", "verify", "ssl", "headers", "http2", "user_agent"),
    *("max_cost", "max_points"),
    *("callback", "callback_url", "webhook", "pingback", "on_solved"),
    *("loop", "backend", "executor"),
    *("logger", "debug", "verbose"),
    *("soft_id", "developer_id"),
    *("name", "label", "metadata", "external_id"),
    *("sitekey", "site_key", "websiteKey", "googlekey", "page_url", "websiteURL", "min_score"),
)


def own_names(called: str) -> set[str]:
    """Return the arguments that something has."""
    return set(inspect.signature(getattr(ezcaptcha_async, called)).parameters)


def texts_of(error: BaseException) -> Iterator[str]:
    """Yield all that a traceback with locals shows of our own frames."""
    traceback = error.__traceback__
    while traceback is not None:
        if "ezcaptcha_async" in traceback.tb_frame.f_code.co_filename:
            yield from map(repr, traceback.tb_frame.f_locals.values())
        traceback = traceback.tb_next
    yield str(error)


@pytest.mark.parametrize("called", CALLED)
def test_what_people_try_is_answered_with_ours(called: str) -> None:
    """A newcomer would be told that it is wrong, and look for what is right in vain."""
    for name in set(TRIED) - own_names(called):
        with pytest.raises(UnknownArgumentError) as caught:
            CALLED[called](**{name: SECRET})
        message = str(caught.value)
        assert message.startswith(f"{called}() has no argument {name!r}: ")
        assert ": it takes" not in message, "it is only told what there is"
        assert not [text for text in texts_of(caught.value) if SECRET in text]


def test_an_answer_names_what_there_is() -> None:
    """A newcomer would be sent from one argument that is not there to the next."""
    owners = (SessionPool, Account, ReCaptchaV2TaskProxyless, SessionPool.solve)
    ours = {name for owner in owners for name in inspect.signature(owner).parameters}
    ours |= {"first_delay", "interval", "base_url", "proxy", *inspect.signature(Account).parameters}
    for answer in arguments._ANSWERS.values():
        assert set(re.findall(r"(\w+)=", answer)) <= ours


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        (lambda: ReCaptchaV2TaskProxyless(url="u", sitekey="k"), "give it as website_url"),
        (lambda: ReCaptchaV2TaskProxyless(**PAGE, invisible=True), "give it as is_invisible"),
        (lambda: ReCaptchaV3TaskProxyless(**PAGE, action="login"), "give it as page_action"),
        (lambda: ReCaptchaV2TaskProxyless(**PAGE, proxyLogin="me"), "give it as proxy"),
        (lambda: SessionPool("a-key", max_request=3), "did you mean max_requests?"),
        (lambda: Account("a-key", max_in_fligth=3), "did you mean max_in_flight?"),
        (lambda: Account("a-key", zzz=3), "it takes app_id, client_key, creates_per_second, "),
    ],
)
def test_the_nearest_name_comes_first(call: Called, answer: str) -> None:
    """A typo would be answered with a lecture."""
    with pytest.raises(UnknownArgumentError, match=re.escape(answer)):
        call()


def test_it_is_caught_as_what_it_is() -> None:
    """Code that expects Python's own error for it, or our own, would miss it."""
    for expected in (TypeError, ConfigurationError):
        with pytest.raises(expected):
            SessionPool(api_key=SECRET)
    assert isinstance(pickle.loads(pickle.dumps(UnknownArgumentError("x"))), TypeError)
    assert issubclass(UnknownArgumentError, errors.EzCaptchaError)


def test_a_subclass_may_take_what_it_likes() -> None:
    """A pool of somebody's own would have to take no arguments but ours."""

    class Own(SessionPool):
        def __init__(self, *accounts: str, **settings: Any) -> None:
            settings.pop("api_key")
            super().__init__(*accounts, **settings)

    assert "not open" in repr(Own("a-key", api_key="another"))


def test_what_knows_its_arguments_stays_what_it_was() -> None:
    """Tasks would grow, or no longer be copied, kept or changed as values are."""
    task = ReCaptchaV2TaskProxyless(**PAGE)
    assert not hasattr(task, "__dict__")
    assert sys.getsizeof(task) < 150
    assert copy.deepcopy(task) == pickle.loads(pickle.dumps(task)) == task
    assert attrs.evolve(task, s="s-of-this-visit").s == "s-of-this-visit"
    assert "max_requests" in inspect.signature(SessionPool).parameters

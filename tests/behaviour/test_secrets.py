"""Neither the client key nor a proxy's password gets out, whatever goes wrong.

Canaries go through everything that can fail: each secret consists of pieces with that word in
them, so that half of one is found as well, however it is spelled. Then they are searched for
wherever a user's log, error tracker or debugger would show them: words, exceptions and their
chains, the local variables of this library's own frames, pickles, saved tickets, events, log
records, the journal, and whatever a pool consists of.
"""

from __future__ import annotations

import gc
import json
import logging
import pickle
import traceback
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, suppress
from io import StringIO
from itertools import count, product
from pathlib import Path
from random import Random
from types import FrameType, MethodType
from typing import Any, Final
from urllib.parse import quote, unquote

import anyio
import attrs
import httpx
import pytest
from rich.console import Console
from rich.pretty import pretty_repr
from rich.traceback import Traceback

import ezcaptcha_async
from ezcaptcha_async import (
    EZCAPTCHA,
    Account,
    Balance,
    CloudFlare5SSolution,
    CloudFlare5STask,
    ConfigurationError,
    CustomTask,
    Event,
    EzCaptchaError,
    FuncaptchaTaskProxyless,
    HCaptcha,
    LearnedPolling,
    PoolClosedError,
    ReCaptchaV2TaskProxyless,
    RequestEvent,
    Service,
    ServiceError,
    SessionPool,
    SubmissionUnknownError,
)
from ezcaptcha_async.environment import Proxy
from ezcaptcha_async.redis import Fleet
from ezcaptcha_async.services import ERROR_CODES
from ezcaptcha_async.testing import Fault, Fixed, SimulatedService
from ezcaptcha_async.transports import Evidence, Reply, RequestBody

from .conftest import on_one_loop, open_pool

CANARY: Final = "canary"
NUMBER: Final = 7_373_737_373
PLAIN: Final = "canary-password-93ab"
PROXY: Final = f"http://user:{PLAIN}@proxy.example:8080"
# In JSON and in URLs these are spelled otherwise, and whoever knows a spelling knows them.
KEY: Final = 'canary-5f"canary-1d\\canary-0c%2Fcanary'
ODD: Final = 'canary@1"canary-\u00e9%41canary\\canary'
SENT: Final = "canary%401%22canary-%C3%A9%41canary%5Ccanary"
"""What a service gets of the one above, in the URL of a proxy."""
NAMED: Final[dict[str, Any]] = {
    "proxyLogin": "canary-login",
    "proxyPassword": "canary-secret",
    "password": NUMBER,
    "proxy": "proxy.example:8080:someone:canary-proxy",
    "cookies": [{"name": "sid", "value": "canary-cookie"}],
    "headers": {"Cookie": "sid=canary-header; lang=en", "User-Agent": "agent"},
    "login": {"deep": [{"answer": "canary-answer"}]},
}
"""Fields of a task without a class, of which only a name tells that they are secret."""

TASKS: Final = (
    CloudFlare5STask(
        website_url="https://example.com",
        proxy=f"http://user:{ODD}@proxy.example:8080",
        rq_data={"proxy": PROXY},
    ),
    CustomTask("NewTask", NAMED),
)
FOLDER: Final = str(Path(ezcaptcha_async.__file__).parent)
FOREVER: Final = 5_000.0
ONE_OF_EACH_KIND: Final = tuple({kind: code for code, kind in ERROR_CODES.items()}.values())
"""An error code of each class of errors: what a code leads to, its class decides."""
BRIEF: Final = attrs.evolve(EZCAPTCHA, result_window=30.0)
"""A task that nobody solves is polled for half a minute, and not for five."""
PATHS: Final = (("/createTask",), ("/getTaskResult", "/getBalance"))
"""What goes wrong together: nothing is polled where nothing is created."""


def _spelled(*secrets: str) -> list[str]:
    """Return secrets as they are, without percent escapes, and both as in JSON; each once."""
    plain = [spelled for secret in secrets for spelled in (secret, unquote(secret))]
    return list(dict.fromkeys([*plain, *(json.dumps(spelled)[1:-1] for spelled in plain)]))


KEYS: Final = tuple(_spelled(KEY))
PASSWORDS: Final = (
    *_spelled(SENT, PLAIN),
    *(f"user:{password}" for password in _spelled(SENT, PLAIN)),
    *(f"http://user:{password}@proxy.example:8080" for password in _spelled(SENT, PLAIN)),
    f"http://user:one@{PLAIN}@proxy.example:8080",
    PROXY.replace("/", "\\/"),
    PROXY.partition("://")[2],
)
FIELDS: Final = (
    *("canary-login", "canary-secret", str(NUMBER), "someone:canary-proxy", "canary-proxy"),
    *("canary-cookie", "sid=canary-header; lang=en", "canary-header", "canary-answer"),
    json.dumps(NAMED),
)


class Search:
    """Looks for canaries, and remembers where it found them."""

    def __init__(self) -> None:
        self.leaks: dict[str, None] = {}
        self.errors: list[BaseException] = []
        self.events: list[Event] = []

    def text(self, where: str, text: str) -> None:
        """Search a text."""
        for canary in (CANARY, str(NUMBER)):
            at = text.find(canary)
            if at >= 0:
                self.leaks[f"{where}: …{text[max(0, at - 60) : at + 40]}…"] = None

    def value(self, *values: object) -> None:
        """Search what values say of themselves."""
        for value in values:
            where = type(value).__name__
            self.text(f"repr of {where}", repr(value))
            self.text(f"str of {where}", str(value))

    def nothing_found(self) -> bool:
        """Tell whether there was no leak, and fail with the first ones if there was."""
        if self.leaks:
            pytest.fail("\n".join(["there are canaries in", *list(self.leaks)[:12]]), pytrace=False)
        return True

    def error(self, error: BaseException) -> None:
        """Search an exception and all that hangs on it."""
        self.errors.append(error)
        for link in _chain(error):
            name = type(link).__name__
            self.value(link)
            self.text(f"attributes of {name}", repr((link.args, vars(link))))
            # An exception of the HTTP client has the request, whatever it says of itself.
            if type(link).__module__.partition(".")[0] in {"httpx", "httpcore", "h11"}:
                self.leaks[f"{name} is in the chain of {type(error).__name__}"] = None
            if isinstance(link, EzCaptchaError):
                self.text(f"pickle of {name}", pickle.dumps(link).decode("latin-1"))
                self.text(f"ticket of {name}", json.dumps(link.ticket))
            for frame, line in traceback.walk_tb(link.__traceback__):
                if frame.f_code.co_filename.startswith((FOLDER, "<attrs generated")):
                    at = f"{Path(frame.f_code.co_filename).name}:{line} in {frame.f_code.co_name}"
                    for variable, shown in _variables(frame):
                        self.text(f"{name}, {at}, local {variable}", shown)

    def journal(self, path: Path) -> None:
        """Search all files that a journal consists of; there must be something in them."""
        files = sorted(path.parent.glob(f"{path.name}*"))
        assert any(file.stat().st_size for file in files)
        for file in files:
            self.text(file.name, file.read_bytes().decode("latin-1"))

    def log(self, caplog: pytest.LogCaptureFixture) -> None:
        """Search all that was logged, with the exceptions that were logged along."""
        self.text("log", caplog.text)
        for record in caplog.records:
            self.text("log record", repr((record.getMessage(), record.args, vars(record))))
            if record.exc_info is not None and record.exc_info[1] is not None:
                self.error(record.exc_info[1])

    def pool(self, pool: SessionPool) -> None:
        """Search a pool and all that it consists of: they are local variables of its frames."""
        self.value(*_parts(pool), *self.events)
        with suppress(PoolClosedError):  # never open
            self.value(pool.statistics(), *pool.statistics().accounts, *pool.unknowns())
            for ticket in pool.orphans():
                self.value(ticket)
                self.text("saved ticket", json.dumps(ticket.to_dict()))

    async def call(self, call: Callable[[], Awaitable[Any]], patience: float = FOREVER) -> None:
        """Call, and search whatever is returned or raised, a cancellation as well."""
        with anyio.move_on_after(patience) as scope:
            try:
                self.value(await call())
            except EzCaptchaError as error:
                self.error(error)
            except BaseException as error:
                self.error(error)
                raise
        assert patience < FOREVER or not scope.cancelled_caught, "nobody was answered"

    async def everything(self, pool: SessionPool) -> None:
        """Use all of a pool, and search it at each step."""

        async def submit() -> Any:
            ticket = await pool.submit(TASKS[0], timeout=40)
            self.value(ticket)
            self.text("saved ticket", json.dumps(ticket.to_dict()))
            return await ticket

        async def all_of(many: Any) -> None:
            async with many as outcomes:
                async for outcome in outcomes:
                    self.value(outcome)
                    if outcome.error is not None:
                        self.error(outcome.error)

        async def resume() -> None:
            for orphan in pool.orphans():
                self.value(await pool.resume(orphan.to_dict()))

        await self.call(lambda: pool.solve(TASKS[0], timeout=20))
        await self.call(lambda: pool.solve(TASKS[1]), patience=0.05)
        await self.call(lambda: pool.solve(TASKS[1]), patience=15)
        self.pool(pool)
        await self.call(submit)
        await self.call(lambda: all_of(pool.solve_many(TASKS, max_in_flight=1)), patience=900)
        await self.call(resume, patience=400)
        await self.call(lambda: all_of(pool.resume_all()), patience=400)
        await self.call(pool.balance)
        await self.call(lambda: pool.balance("nobody"))
        await self.call(lambda: pool.solve(TASKS[0], timeout=-1))
        await self.call(lambda: pool.solve("not a task"))  # type: ignore[arg-type]
        await self.call(lambda: pool.resume({"task_id": "1"}))
        self.pool(pool)


def _parts(pool: SessionPool) -> Iterator[object]:
    """Yield all objects of this library's classes that can be reached from a pool."""
    seen: dict[int, object] = {}
    waiting: list[object] = [pool]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen[id(part)] = part
        is_ours = type(part).__module__.startswith("ezcaptcha_async.")
        if is_ours:
            yield part
        if is_ours or isinstance(part, dict | list | tuple | set | deque | MethodType):
            waiting += gc.get_referents(part)


def _variables(frame: FrameType) -> Iterator[tuple[str, str]]:
    """Yield what ``TracebackException(..., capture_locals=True)`` captures of a frame.

    Not that itself: before Python 3.12 it fails where an object is only half made.
    """
    for name, value in frame.f_locals.items():
        with suppress(Exception):
            yield name, repr(value)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, its causes and contexts, and those in groups."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            waiting += [link.__cause__, link.__context__]
            if isinstance(link, BaseExceptionGroup):
                waiting += link.exceptions


@pytest.fixture(autouse=True)
def _log_everything(caplog: pytest.LogCaptureFixture) -> None:
    """Let every library log all that it can."""
    caplog.set_level(logging.NOTSET)


def _service(**settings: Any) -> SimulatedService:
    """Return a service that knows both tasks."""
    return SimulatedService(extra_types={"NewTask": {"answer": "an answer"}}, **settings)


Handler = Callable[[httpx.Request], httpx.Response]


@asynccontextmanager
async def answered_by(
    handler: Handler, search: Search, journal: Path | None = None
) -> AsyncGenerator[SessionPool]:
    """Open a pool whose requests a function answers, and which is searched in the end."""
    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client,
        SessionPool(
            KEY,
            service=BRIEF,
            http_client=client,
            rng=Random(7),
            journal=journal,
            on_event=search.events.append,
        ) as pool,
    ):
        yield pool
    search.pool(pool)


def talkative(paths: Collection[str], code: str) -> Handler:
    """Return a service that answers some endpoints with an error, and repeats all that it got.

    In each spelling, and in each place that an answer has for a text.
    """
    ids = count()

    def handle(request: httpx.Request) -> httpx.Response:
        got = request.content.decode()
        if request.url.path in paths:
            # It does not know of what a request is not about.
            of_task: tuple[str, ...] = FIELDS if "NewTask" in got else PASSWORDS
            texts = [*KEYS, *(() if request.url.path == "/getBalance" else of_task), got]
            apart, together = ", ".join(texts), "".join(texts)
            error = {
                "errorId": 1,
                "errorCode": code or f"{together} is new",
                "errorDescription": f"the agent says {apart}",
                "requestId": together,
                "errors": {apart: together},
            }
            return httpx.Response(200, json=error)
        if request.url.path == "/createTask":
            task_id = f"{json.loads(got)['task']['type']}-{next(ids)}"
            return httpx.Response(200, json={"errorId": 0, "taskId": task_id})
        if request.url.path == "/getTaskResult":
            return httpx.Response(200, json={"errorId": 0, "status": "processing"})
        return httpx.Response(200, json={"errorId": 0, "balance": 100})

    return handle


# ------------------------------------------------------------------------- what goes wrong


@on_one_loop
@pytest.mark.parametrize("paths", PATHS, ids=" ".join)
@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.value)
async def test_no_fault_of_the_network_tells(
    fault: Fault, paths: tuple[str, ...], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """A broken connection is the most common thing to end up in a log."""
    search = Search()
    journal = tmp_path / "paid.jsonl"
    service = _service(solve_times=Fixed(12))
    for path in paths:
        service.inject(fault, path=path, times=None)
    events = search.events.append
    async with open_pool(service, KEY, journal=journal, on_event=events) as pool:
        await search.everything(pool)
        search.journal(journal)
    search.pool(pool)
    search.log(caplog)
    assert search.nothing_found()


@on_one_loop
@pytest.mark.parametrize("paths", PATHS, ids=" ".join)
@pytest.mark.parametrize("code", [*ONE_OF_EACH_KIND, "ERROR_OF_A_NEW_KIND", ""])
async def test_no_error_of_the_service_repeats_what_it_was_sent(
    code: str, paths: tuple[str, ...], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Services put requests into their error descriptions, and descriptions end up in logs."""
    search = Search()
    journal = tmp_path / "paid.jsonl"
    async with answered_by(talkative(paths, code), search, journal) as pool:
        await search.everything(pool)
        search.journal(journal)
    search.log(caplog)
    said = [str(error) for error in search.errors if isinstance(error, ServiceError)]
    assert any("the agent says" in text for text in said) or paths != PATHS[0]
    assert search.nothing_found()


@on_one_loop
@pytest.mark.parametrize(
    "task",
    [
        TASKS[0],
        CloudFlare5STask(website_url=f"http://u:{PLAIN}@example.com/?k={PLAIN}", proxy=PROXY),
        ReCaptchaV2TaskProxyless(
            website_url=f"https://{PLAIN}@a.example/{PLAIN}", website_key=PLAIN
        ),
        CustomTask("NewTask", {**NAMED, "websiteURL": f"https://a.example/{PLAIN}"}),
    ],
    ids=["proxy", "url", "site-key", "custom"],
)
@pytest.mark.parametrize("fault", [None, Fault.RESET_AFTER, Fault.THROTTLED])
async def test_no_journal_tells_what_a_task_holds(
    task: Any, fault: Fault | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It lies on a disk for longer than any process, and in its backups for years.

    Of a page it names the host; neither the rest of its URL nor the site key.
    """
    search = Search()
    journal = tmp_path / "paid.jsonl"
    service = _service(solve_times=Fixed(12))
    if fault is not None:
        service.inject(fault, path="/createTask")
    async with open_pool(service, KEY, journal=journal) as pool:
        with suppress(EzCaptchaError):
            await pool.solve(task)
        await pool.submit(task)
        service.ban()
        with suppress(EzCaptchaError):
            await pool.solve(task)
        search.journal(journal)
    journal.write_bytes(journal.read_bytes()[:-20])
    async with open_pool(service, KEY, journal=journal) as pool:
        search.journal(journal)
        search.value(*pool.unknowns())
        with pytest.raises(ConfigurationError) as caught:
            await SessionPool(KEY, journal=journal).__aenter__()
        search.error(caught.value)
    search.log(caplog)
    assert search.nothing_found()


@on_one_loop
@pytest.mark.parametrize(
    ("shape", "status"),
    [
        *product(("html", "broken", "list", "text", "solution"), (200, 502)),
        *product(("html", "location"), (307, 401)),
    ],
)
async def test_no_answer_that_means_nothing_is_quoted(
    shape: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A proxy's error page may repeat the request; what we say of it must not."""

    def handle(request: httpx.Request) -> httpx.Response:
        got = f"{KEY} {PROXY} {request.content.decode()}"
        bodies: dict[str, Any] = {
            "html": f"<html>{got}</html>",
            "broken": f'{{"errorId": 0, "taskId": "{got}',
            "list": json.dumps([got]),
            "text": json.dumps(got),
            "location": "",
            "solution": json.dumps({"errorId": 0, "status": "ready", "solution": [got]}),
        }
        if request.url.path == "/createTask" and shape == "solution":
            return httpx.Response(200, json={"errorId": 0, "taskId": 7})
        headers = {"location": f"https://elsewhere.example/?key={KEY}", "retry-after": KEY}
        return httpx.Response(status, text=bodies[shape], headers=headers)

    search = Search()
    async with answered_by(handle, search) as pool:
        await search.everything(pool)
    search.log(caplog)
    assert search.errors
    assert search.nothing_found()


async def test_no_proxy_that_is_refused_by_a_pool_is_told() -> None:
    """It is refused only where a service is known: in the middle of this library's frames."""
    search = Search()
    async with open_pool(SimulatedService(), KEY) as pool:
        task = CloudFlare5STask(website_url="https://a", proxy=f"http://u:{PLAIN}@127.1:8080")
        await search.call(lambda: pool.solve(task))
        await search.call(lambda: pool.submit(task))
    assert len(search.errors) == 2
    assert search.nothing_found()


# --------------------------------------------------------------------- how it comes to an end


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.15, 5.0, 11.05, 11.5])
async def test_no_cancellation_tells(delay: float, caplog: pytest.LogCaptureFixture) -> None:
    """Error trackers report cancelled and timed out handlers with their variables."""
    search = Search()
    async with open_pool(_service(solve_times=Fixed(12)), KEY) as pool:
        task = TASKS[0]
        await search.call(lambda: pool.solve(task), patience=delay)
        await search.call(lambda: pool.submit(task), patience=delay)
        await search.call(lambda: pool.solve(task, timeout=delay or 0.001))
        ticket = await pool.submit(task)

        async def wait() -> Any:
            return await ticket

        await search.call(wait, patience=delay)
        async with anyio.create_task_group() as group:
            group.start_soon(search.call, wait)
            await anyio.sleep(delay)
            search.value(ticket)
            ticket.cancel()
        search.pool(pool)
    search.log(caplog)
    assert search.errors
    assert search.nothing_found()


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.15, 5.0, 11.05, 90.0])
async def test_no_pool_that_closes_tells(delay: float, caplog: pytest.LogCaptureFixture) -> None:
    """Everybody gets an error then, at whatever step they are."""
    search = Search()
    service = _service(solve_times=Fixed(1_000), result_window=60.0)
    service.inject(Fault.HANG, path="/getBalance")
    async with anyio.create_task_group() as group:
        async with open_pool(service, KEY, max_requests=3) as pool:
            for _ in range(10):
                group.start_soon(search.call, lambda: pool.solve(TASKS[1]))
            group.start_soon(search.call, pool.balance)
            await anyio.sleep(delay)
            search.pool(pool)
    search.pool(pool)
    await search.call(lambda: pool.solve(TASKS[1]))
    await search.call(pool.balance)
    await search.call(pool.__aenter__)
    for orphan in pool.orphans():
        await search.call(lambda ticket=orphan: pool.resume(ticket))  # type: ignore[misc]
    search.log(caplog)
    assert len(search.errors) >= 13
    assert search.nothing_found()


@on_one_loop
@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Balance, "__init__"),
        (CloudFlare5SSolution, "__init__"),
        (Evidence, "__init__"),
        (LearnedPolling, "first_poll"),
        (LearnedPolling, "learn"),
        (LearnedPolling, "next_poll"),
        (LearnedPolling, "paced"),
        (Random, "random"),
        (Reply, "__init__"),
        (RequestBody, "__init__"),
        (RequestEvent, "__init__"),
        (Service, "error_class"),
        (Service, "offer_for"),
    ],
)
async def test_no_mistake_of_this_library_tells(
    owner: type, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged with its traceback, and an error tracker adds the variables."""

    def fail(*_args: object, **_kwargs: object) -> None:
        raise ZeroDivisionError("a mistake")

    search = Search()
    service = _service(solve_times=Fixed(60))
    service.inject(Fault.UNAVAILABLE, path="/getTaskResult")
    async with open_pool(service, KEY, on_event=search.events.append) as pool:
        with monkeypatch.context() as broken:
            broken.setattr(owner, name, fail)
            for call in (lambda: pool.solve(TASKS[0]), pool.balance, lambda: pool.submit(TASKS[0])):
                with suppress(ZeroDivisionError):
                    await search.call(call)
    search.pool(pool)
    search.log(caplog)
    # What a policy raises, which may be the user's, costs nobody a task.
    assert bool(search.errors) is (owner is not LearnedPolling)
    assert search.nothing_found()


# -------------------------------------------------------------------------- wrong arguments


def made(make: Any, *given: Any, **settings: Any) -> Callable[[], object]:
    """Return what makes something with arguments that may be wrong."""
    return lambda: make(*given, **settings)


WRONG_SETTINGS: Final[list[Callable[[], object]]] = [
    *(made(SessionPool, KEY, max_requests=0), made(SessionPool, KEY, request_timeout=-1.0)),
    *(made(SessionPool, KEY, KEY), made(SessionPool, Account(KEY), KEY)),
    *(made(SessionPool, Account(KEY), service=EZCAPTCHA), made(SessionPool, f" {KEY}")),
    *(made(SessionPool, KEY, f"{KEY}\n"), made(SessionPool, KEY.encode())),
    *(made(SessionPool, KEY, service="ezcaptcha"), made(SessionPool, KEY, key=KEY)),
    made(SessionPool, KEY, http_client=object(), transport=object()),
    *(made(Account, KEY, max_creates=0), made(Account, KEY, max_in_flight=-1)),
    *(made(Account, f"{KEY} "), made(Account, KEY, service=None), made(Account, KEY, EZCAPTCHA)),
    made(Account, KEY, service=EZCAPTCHA, key=KEY),
    made(Fleet, f"redis//:{PLAIN}@h/0", name="crawl"),
    made(Fleet, f"redis://:{PLAIN}@h/0", name=""),
    made(Fleet, f"redis://:{PLAIN}@h/0", name="crawl", lease=0),
    made(Service, name="s", base_url=PROXY, offers=()),
]


def test_what_a_subclass_raises_of_itself_keeps_its_frames() -> None:
    """Its author would look for the line in vain."""

    class Loaded(SessionPool):
        def __init__(self) -> None:
            super().__init__("a-key", max_requests="8" + 1)  # type: ignore[operator]

    with pytest.raises(TypeError) as caught:
        Loaded()
    assert "__init__" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert traceback.extract_tb(caught.value.__traceback__)[-1].filename == __file__


def test_no_wrong_environment_tells_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with settings that come from the environment."""
    search = Search()
    for name in ("EZCAPSOLVER_API_KEY", "EZCAPTCHA_API_KEY", "EZCAPTCHA_CLIENT_KEY"):
        for key, url in ((KEY, "http://api.example.com"), (f"{KEY}\u00e9", "https://a.example")):
            monkeypatch.setenv(name, key)
            monkeypatch.setenv("EZCAPTCHA_BASE_URL", url)
            with pytest.raises(ConfigurationError) as caught:
                SessionPool()
            search.error(caught.value)
    assert search.nothing_found()


A_PAGE: Final = {"website_url": "https://a"}
WRONG_TASKS: Final[list[Callable[[], object]]] = [
    made(CloudFlare5STask, **A_PAGE, proxy=f"{PROXY}x"),
    *(
        made(CloudFlare5STask, website_url=page, proxy=PROXY)
        for page in ("example.com", f"ftp{PROXY[4:]}")
    ),
    *(
        made(CloudFlare5STask, **A_PAGE, proxy=PROXY, rq_data=data)
        for data in ({"p": {PROXY}}, f'["{PROXY}"]')
    ),
    made(FuncaptchaTaskProxyless, **A_PAGE, website_key="k", proxy=f"http://u:{PLAIN}%3A@h:1"),
    *(made(HCaptcha, **A_PAGE, website_key="k", extra={name: PLAIN}) for name in ("lang", "lnag")),
    made(CustomTask, "T", {"proxy": PROXY}, extra={"Proxy": PROXY}),
    made(CustomTask, "T", {}, extra={"proxy": PROXY, "other": object()}),
    made(CustomTask, "T", {"proxy": PROXY, "type": "T"}),
    made(CustomTask, "T", {"proxy": PROXY, "other": object()}),
    made(CustomTask, "T", f'{{"proxy": "{PROXY}"'),
    made(CustomTask, "", {"proxy": PROXY}),
]


@pytest.mark.parametrize("make", [*WRONG_SETTINGS, *WRONG_TASKS])
def test_no_wrong_argument_tells_a_secret(make: Callable[[], object]) -> None:
    """A mistake in a deployment, or a bad line of a list, is reported with all variables."""
    search = Search()
    with pytest.raises((ConfigurationError, TypeError)) as caught:
        make()
    assert type(caught.value) is ConfigurationError or make in WRONG_SETTINGS
    search.error(caught.value)
    assert search.nothing_found()


def test_the_search_finds_what_it_looks_for(caplog: pytest.LogCaptureFixture) -> None:
    """A search that cannot find anything would let everything through."""
    search = Search()
    search.error(PoolClosedError(f"closed {KEY}"))
    found = len(search.leaks)
    assert found >= 4
    foreign = PoolClosedError("closed")
    foreign.__context__ = httpx.ConnectError("refused")
    search.error(foreign)
    assert len(search.leaks) == found + 1
    logging.getLogger("httpcore.http11").debug("sent %r", KEY)
    search.log(caplog)
    assert len(search.leaks) > found + 1
    # A variable of one of this library's own frames.
    account = Account(CANARY)
    search = Search()
    with pytest.raises(AttributeError) as caught:
        account.service.offer_for(account.client_key.encode())  # type: ignore[arg-type]
    search.error(caught.value)
    assert [leak for leak in search.leaks if "services.py" in leak and "local task_type" in leak]


# ------------------------------------------------------------ who goes by the fields


def shown_by_rich(error: BaseException) -> str:
    """Return a traceback with locals as rich shows it: it goes by the fields, past a repr.

    Of this library's frames, and of those of its user, who has the task in a variable.
    """
    console = Console(file=StringIO(), width=500, color_system=None)
    trace = Traceback.from_exception(
        type(error),
        error,
        error.__traceback__,
        show_locals=True,
        locals_max_length=1_000,
        locals_max_string=10_000,
    )
    console.print(trace)
    shown: str = console.file.getvalue()  # type: ignore[attr-defined]  # it is ours
    return shown


@on_one_loop
@pytest.mark.parametrize(
    ("task", "paths"), list(zip(TASKS, PATHS, strict=True)), ids=["class", "custom"]
)
async def test_no_traceback_of_rich_tells(task: Any, paths: tuple[str, ...]) -> None:
    """Whoever has installed it as the handler of exceptions would print passwords to the log."""
    search = Search()

    async def solve(pool: SessionPool) -> None:
        with pytest.raises(EzCaptchaError) as caught:
            await pool.solve(task, timeout=100)
        shown = shown_by_rich(caught.value)
        assert "task = " in shown
        # This file's own lines are shown as well, and hold nothing of them.
        search.text("rich", shown)

    async with answered_by(talkative(paths, "ERROR_CAPTCHA_UNSOLVABLE"), search) as pool:
        await solve(pool)
    assert search.nothing_found()


VALUES: Final[list[object]] = [
    *(RequestBody(KEY.encode()), Reply(200, KEY.encode()), Account(KEY), *TASKS),
    CustomTask("NewTask", json.dumps({"proxy": PROXY})),
    *(
        CloudFlare5STask(website_url=f"http://{user}example.com/", proxy=proxy)
        for user in ("", f"u:{PLAIN}@")
        for proxy in (
            PROXY,
            f"h:1:u:{PLAIN}",
            f"http://u:{PLAIN}%40@h:1",
            f"http://u:x@{PLAIN}@h:1",
        )
    ),
    FuncaptchaTaskProxyless(
        website_url=f"https://u:{PLAIN}@a/", website_key="k", proxy=PROXY, data={"blob": PLAIN}
    ),
    HCaptcha(website_url="https://a", website_key="k", extra={"cookies": PLAIN}),
    Proxy(variable="X", scheme="http", host="h", port=1, user=PLAIN, password=PLAIN),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_no_value_tells_what_is_in_it(value: object) -> None:
    """It is logged by whoever makes it, or shown by a debugger that goes by its fields."""
    search = Search()
    search.text("rich", pretty_repr([value]))
    search.value(value, [value], {"value": value})
    assert search.nothing_found()


@pytest.mark.parametrize("spell", [str, lambda key: quote(key, safe=""), lambda key: f"id-{key}-7"])
async def test_no_id_of_the_service_holds_the_key(
    spell: Callable[[str], str], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """It would stand in each message, each saved ticket and the journal, for years."""
    search = Search()
    journal = tmp_path / "paid.jsonl"

    def echo(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"errorId": 0, "taskId": spell(KEY)})

    async with answered_by(echo, search, journal) as pool:
        await search.call(lambda: pool.solve(TASKS[0]))
        search.journal(journal)
    search.log(caplog)
    (error,) = search.errors
    assert isinstance(error, SubmissionUnknownError)
    assert search.nothing_found()

"""What a user has brought and got wrong hurts one request, and never the pool and what is paid."""

from __future__ import annotations

import asyncio
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import inf, isnan, nan
from pathlib import Path
from typing import Any

import anyio
import pytest

from ezcaptcha_async import (
    BannedError,
    ConfigurationError,
    LearnedPolling,
    PollPolicy,
    ReCaptchaV2TaskProxyless,
    SessionPool,
    SubmissionUnknownError,
)
from ezcaptcha_async.testing import Fixed, SimulatedService
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody

from .conftest import KEY, TASK, DirectTransport, on_one_loop, open_pool_directly, solve_all

OBJECTS: list[Any] = [None, "x", b"x", True, (200, b"{}"), {}, object(), Reply, nan]


def mistakes() -> list[Callable[[], Any]]:
    """Return what a transport may do instead of answering."""

    def raising(error: Exception) -> Callable[[], Any]:
        def do() -> Any:
            raise error

        return do

    both, telling = ExceptionGroup("both", [ValueError("x")]), RuntimeError(f"could not send {KEY}")
    errors = (ConnectionResetError("reset"), KeyError("x"), both, telling)
    return [
        *(raising(error) for error in errors),
        *((lambda given=given: given) for given in OBJECTS),
        lambda: Reply(200, "text"),  # type: ignore[arg-type]
        lambda: Reply("200", b"{}"),  # type: ignore[arg-type]
        lambda: Reply(200, b"{}", retry_after=3),  # type: ignore[arg-type]
        lambda: NoAnswer("reset", unsent="no"),  # type: ignore[arg-type]
    ]


class Clumsy(DirectTransport):
    """Makes each of the mistakes in turn, with the requests that are named."""

    def __init__(self, service: SimulatedService, path: str, *, unsent: bool = False) -> None:
        super().__init__(service, latency=0.1)
        self._path = path
        self._unsent = unsent
        self.ahead = mistakes()

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Any:
        """Make a mistake, or answer."""
        if url.endswith(self._path) and self.ahead:
            if evidence is not None:
                evidence.observed = self._unsent
            return self.ahead.pop()()
        return await super().post(url, body, timeout=timeout)

    async def aclose(self) -> None:
        """Make the last one."""
        raise OSError("cannot close")


@contextmanager
def logged() -> Iterator[list[str]]:
    """Collect what the package logs, tracebacks and all."""
    texts: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            texts.append(self.format(record))

    handler = Keeper()
    logging.getLogger("ezcaptcha_async").addHandler(handler)
    try:
        yield texts
    finally:
        logging.getLogger("ezcaptcha_async").removeHandler(handler)


async def test_a_transport_that_fails_with_a_poll_costs_that_poll() -> None:
    """All that is paid would be lost with the pool, for one mistake in one poll."""
    service = SimulatedService(solve_times=Fixed(25))
    transport = Clumsy(service, "getTaskResult")
    with logged() as texts:
        async with SessionPool(KEY, service=service.profile(), transport=transport) as pool:
            assert await solve_all(pool, 30) == (30, [])
    assert not transport.ahead
    failures = [text for text in texts if text.startswith("transport.post ")]
    assert len(failures) == len(mistakes())
    assert sum("test_users_mistakes.py" in text for text in failures) == 8, "it says where"
    assert any(text.startswith("transport.aclose raised OSError") for text in texts)
    assert KEY not in "".join(texts)


@pytest.mark.parametrize("unsent", [False, True])
async def test_a_transport_that_fails_with_a_create_is_not_trusted(*, unsent: bool) -> None:
    """A task would be paid twice, or none created that certainly was not sent."""
    service = SimulatedService(solve_times=Fixed(25))
    count = len(mistakes())
    transport = Clumsy(service, "createTask", unsent=unsent)
    async with SessionPool(
        KEY, service=service.profile(), transport=transport, create_patience=1_000
    ) as pool:
        for _ in range(count + 1):
            with suppress(SubmissionUnknownError):
                await pool.solve(TASK)
    lost = pool.statistics().unknown
    assert lost == (0 if unsent else count)
    assert pool.statistics().unaccounted == 0
    service.assert_charged(count + 1 - lost)


ANSWERS: list[Any] = [
    *(nan, inf, -inf, -5, 0, 10**400, 1e300, True, "3", None, [], object(), ValueError),
]


class Odd(PollPolicy):
    """Answers one question with anything, and raises where that is an exception."""

    def __init__(self, question: str, answer: Any) -> None:
        super().__init__()

        def method(*_arguments: object, **_options: object) -> Any:
            if answer is ValueError:
                raise ValueError("a mistake")
            return answer

        object.__setattr__(self, question, method)


QUESTIONS = ("first_poll", "next_poll", "learn", "paced", "remaining", "kinds", "scouts")


@on_one_loop
@pytest.mark.parametrize("question", QUESTIONS)
async def test_whatever_a_policy_answers_what_is_paid_is_fetched(question: str) -> None:
    """One number that is none, and the ids of all paid tasks would be lost with the pool."""
    for answer in ANSWERS:
        service = SimulatedService(solve_times=Fixed(25))
        async with open_pool_directly(service, polling=Odd(question, answer)) as pool:
            ticket = await pool.submit(TASK)
            remaining = ticket.estimated_remaining
            assert remaining is None or (isinstance(remaining, float) and not isnan(remaining))
            assert (await ticket).token
            assert pool.statistics().solved == 1
        service.assert_charged(1)


@on_one_loop
async def test_a_method_put_in_place_of_ours_costs_no_task() -> None:
    """Our own methods are asked without a guard: what fails in their place would end the pool."""

    def fail(*_arguments: object, **_options: object) -> float:
        raise ValueError("a mistake")

    polling = LearnedPolling()
    for question in QUESTIONS:
        setattr(polling, question, fail)
    service = SimulatedService(solve_times=Fixed(25))
    async with open_pool_directly(service, polling=polling) as pool:
        await solve_all(pool, 2)
    service.assert_charged(2)


@pytest.mark.parametrize("mistake", [KeyError, SystemError, GeneratorExit])
async def test_a_log_that_fails_costs_no_task(mistake: type[BaseException], tmp_path: Path) -> None:
    """A filter of the user's would end the pool with the first line that it cannot read."""

    def fail(record: logging.LogRecord) -> bool:
        seen.append(record.levelname)
        raise mistake("x")

    seen: list[str] = []
    logger = logging.getLogger("ezcaptcha_async")
    service = SimulatedService(solve_times=Fixed(25))
    transport = Clumsy(service, "getTaskResult")
    logger.addFilter(fail)
    logger.setLevel(logging.DEBUG)
    try:
        async with SessionPool(
            KEY, service=service.profile(), transport=transport, journal=tmp_path / "paid.jsonl"
        ) as pool:
            await solve_all(pool, 5)
            service.ban(seconds=30)
            with pytest.raises(BannedError):
                await pool.solve(TASK)
            await anyio.sleep(1_000)
            left = await pool.submit(TASK)
        assert left.state == "orphaned"
    finally:
        logger.removeFilter(fail)
        logger.setLevel(logging.NOTSET)
    assert {"DEBUG", "WARNING", "ERROR"} <= set(seen)
    service.assert_charged(6)


async def test_what_is_no_input_is_refused_with_what_would_be_one() -> None:
    """A TypeError from within would not say what is wrong."""
    no_input: list[Any] = [5, None, TASK, TASK.type.upper, list, object()]
    async with open_pool_directly(SimulatedService()) as pool:
        for tasks in no_input:
            with pytest.raises(ConfigurationError, match=r"^tasks must be an iterable of tasks, n"):
                pool.solve_many(tasks)


async def test_what_only_has_items_is_an_input() -> None:
    """What can be iterated over would be refused."""

    class Two:
        def __getitem__(self, index: int) -> ReCaptchaV2TaskProxyless:
            return [TASK, TASK][index]

    service = SimulatedService(solve_times=Fixed(25))
    tasks: Any = Two()
    async with open_pool_directly(service) as pool, pool.solve_many(tasks) as outcomes:
        assert [outcome.error async for outcome in outcomes] == [None, None]


async def test_a_task_of_the_users_own_class_is_refused_with_a_remedy() -> None:
    """That its name is its type is not known to who derives from a task."""

    class Mine(ReCaptchaV2TaskProxyless):
        """The same, by another name."""

    mine = Mine(website_url="https://example.com/", website_key="key")
    service = SimulatedService()
    async with open_pool_directly(service) as pool:
        with pytest.raises(ConfigurationError, match=r"Mine .*made from.*Offer\(type='Mine'\)"):
            await pool.solve(mine)
    service.assert_charged(0)


async def test_another_thread_is_told_that_a_ticket_is_not_its_own() -> None:
    """The ticket would be cancelled, and whoever awaits it not be told."""
    answers: list[object] = []

    def cancel() -> None:
        try:
            answers.append(ticket.cancel())
        except ConfigurationError as error:
            answers.append(error.message)

    def cancel_elsewhere() -> None:
        thread = threading.Thread(target=cancel)  # and no time passes in the event loop meanwhile
        thread.start()
        thread.join()

    service = SimulatedService(solve_times=Fixed(25))
    async with open_pool_directly(service) as pool:
        ticket = await pool.submit(TASK)
        cancel_elsewhere()
        assert (await ticket).token
        cancel_elsewhere()
    refused, too_late = answers
    assert "call_soon_threadsafe" in str(refused)
    assert too_late is False, "it is done: nothing is cancelled"


async def test_another_thread_does_not_close_a_pool() -> None:
    """It would wait for ever for an event loop that nobody wakes, and so would its callers."""
    service = SimulatedService(solve_times=Fixed(25))
    async with open_pool_directly(service) as pool:
        with pytest.raises(ConfigurationError, match="belongs to another event loop"):
            await anyio.to_thread.run_sync(lambda: asyncio.run(pool.aclose()))
        assert (await pool.solve(TASK)).token


async def test_a_file_that_cannot_be_written_ends_no_pool(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """Where warnings are errors, closing the pool would raise."""
    polling = LearnedPolling(state_path=tmp_path / "nowhere" / "timing.json")
    service = SimulatedService(solve_times=Fixed(25))
    with logged() as texts, warnings.catch_warnings():
        warnings.simplefilter("error")
        async with open_pool_directly(service, polling=polling) as pool:
            assert (await pool.solve(TASK)).token
    assert not recwarn
    assert [text for text in texts if "could not be saved" in text]


async def test_orphans_of_a_closed_pool_are_those_that_can_be_fetched() -> None:
    """Whoever looks after them would fetch what has lapsed, for ever."""
    service = SimulatedService(solve_times=Fixed(40))
    async with open_pool_directly(service) as pool:
        ticket = await pool.submit(TASK)
        other = await pool.submit(TASK)
        assert ticket.cancel()
        (orphan,) = pool.orphans()
        assert ticket in pool.orphans()
        assert {ticket, orphan} == {ticket}
        assert ticket != other
        assert ticket != ticket.task_id
    assert pool.orphans() == (ticket, other)
    await anyio.sleep(301)
    assert pool.orphans() == ()


def test_orphans_are_listed_when_the_event_loop_has_ended() -> None:
    """A program that looks what is left when `run` has returned would meet a RuntimeError."""
    service = SimulatedService()

    async def work() -> SessionPool:
        async with open_pool_directly(service) as pool:
            await pool.submit(TASK)
        return pool

    for backend in ("asyncio", "trio"):
        assert len(anyio.run(work, backend=backend).orphans()) == 1


def test_what_is_brought_is_looked_at_when_the_pool_is_made() -> None:
    """What has no limit would come out only when tasks are paid."""
    unlimited = DirectTransport(SimulatedService(), latency=0.1)
    for most in (None, 0, 2.5, "32", True):
        unlimited.max_requests = most  # type: ignore[assignment]
        with pytest.raises(ConfigurationError, match="transport must have max_requests"):
            SessionPool(KEY, transport=unlimited)
    with pytest.raises(ConfigurationError, match=r"PollPolicy; make one: PollPolicy\("):
        SessionPool(KEY, polling=PollPolicy)  # type: ignore[arg-type]

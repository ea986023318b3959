"""More than can be polled, or read: nobody buys what will lapse or expire."""

from __future__ import annotations

import asyncio
import gc
import logging
import pickle
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial
from math import nan
from random import Random
from typing import Any

import anyio
import attrs
import pytest
from anyio.lowlevel import checkpoint

from ezcaptcha_async import (
    Account,
    ConfigurationError,
    Event,
    EzCaptchaError,
    PollPolicy,
    PoolClosedError,
    RequestEvent,
    SessionPool,
    TaskEvent,
)
from ezcaptcha_async.testing import Fixed, SimulatedService, Uniform
from ezcaptcha_async.transports import Evidence, Reply, RequestBody

from .conftest import KEY, TASK, DirectTransport, on_one_loop, open_pool, open_pool_directly


async def solve_all(pool: SessionPool, count: int) -> list[EzCaptchaError]:
    """Be so many callers at once, and return what went wrong."""
    errors: list[EzCaptchaError] = []

    async def one() -> None:
        try:
            await pool.solve(TASK)
        except EzCaptchaError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    return errors


@on_one_loop
@pytest.mark.parametrize("validity", [120.0, 30.0])
async def test_polls_that_the_user_limits(validity: float) -> None:
    """A third of what was paid was never fetched, and of the rest most came expired."""
    service = SimulatedService(solve_times=Uniform(10, 40))
    profile = attrs.evolve(service.profile(), token_validity=validity)
    account = Account(KEY, service=profile, polls_per_second=5)
    begin = anyio.current_time()
    async with SessionPool(account, transport=DirectTransport(service, 0.05)) as pool:
        assert await solve_all(pool, 250) == []
        counts = pool.statistics()
    assert (counts.solved, counts.lapsed, counts.expired) == (250, 0, 0)
    # At five polls a second and about two a task nobody could be done in less than 100 s; and at
    # more than five, where tokens live so shortly that each is asked for each few seconds.
    assert anyio.current_time() - begin < (250 if validity == 120 else 400)


async def test_more_come_when_all_that_may_be_in_flight_is() -> None:
    """They would wait until the first poll comes due, for as long as the user's policy has it."""
    service = SimulatedService(solve_times=Fixed(30))
    transport, policy = DirectTransport(service, 0.05), PollPolicy(first_delay=60)
    settings: dict[str, Any] = {"service": service.profile(), "polling": policy}
    async with SessionPool(KEY, transport=transport, **settings) as pool:
        async with anyio.create_task_group() as group:
            for number in (1, 2):
                for _ in range(5 * transport.max_requests):
                    group.start_soon(pool.solve, TASK)
                await anyio.sleep(6)
                assert pool.statistics().waiting == number * 5 * transport.max_requests


class Slow(DirectTransport):
    """Takes its time for createTask, and for getTaskResult."""

    max_requests = 8

    def __init__(self, service: SimulatedService, *, create: float, poll: float) -> None:
        super().__init__(service, latency=0.0)
        self._create, self._poll = create, poll

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply:
        """Answer late."""
        await anyio.sleep(self._poll if url.endswith("/getTaskResult") else self._create)
        return await super().post(url, body, timeout=timeout, evidence=evidence)


@on_one_loop
@pytest.mark.parametrize(("count", "poll"), [(400, 5.0), (300, 12.0), (250, 18.0)])
async def test_polls_that_take_far_longer_than_creates(count: int, poll: float) -> None:
    """All is bought before the first poll comes due, and half of it lapses or expires."""
    service = SimulatedService(solve_times=Uniform(10, 40))
    transport = Slow(service, create=0.05, poll=poll)
    async with SessionPool(KEY, service=service.profile(), transport=transport) as pool:
        assert await solve_all(pool, count) == []
        counts = pool.statistics()
    assert (counts.solved, counts.lapsed, counts.expired) == (count, 0, 0)


@pytest.mark.parametrize("create", [0.05, 18.0])
@pytest.mark.parametrize("count", [1, 5, 12])
async def test_a_few_tasks_where_polls_are_slow(count: int, create: float) -> None:
    """Each poll would be cut off after three seconds until the window of a lone task is over."""
    service = SimulatedService(solve_times=Fixed(20))
    transport = Slow(service, create=create, poll=18.0)
    async with SessionPool(KEY, service=service.profile(), transport=transport) as pool:
        assert await solve_all(pool, count) == []
        counts = pool.statistics()
    assert (counts.solved, counts.expired) == (count, 0)
    late = [task.fetched_at - task.ready_at for task in service.record.tasks if task.fetched_at]
    assert max(late) < 75


@on_one_loop
async def test_where_polls_are_quick_nothing_is_held_back() -> None:
    """A burst would wait for polls that are of no interest to it."""
    service = SimulatedService(solve_times=Fixed(30))
    begin = anyio.current_time()
    async with open_pool_directly(service, latency=0.05) as pool:
        assert await solve_all(pool, 700) == []
    created = [task.created_at for task in service.record.tasks]
    assert max(created) - begin <= 700 / 20 * 0.05 + 3.5, "three seconds for the first poll"


@on_one_loop
@pytest.mark.parametrize(
    ("count", "reads_for", "validity"), [(200, 1.0, 120.0), (60, 3.0, 120.0), (60, 1.0, 30.0)]
)
async def test_a_slow_reader_gets_no_expired_tokens(
    count: int, reads_for: float, validity: float
) -> None:
    """With a reader of one a second, nine of ten tokens were expired when they were given out."""
    service = SimulatedService(solve_times=Uniform(10, 40))
    profile = attrs.evolve(service.profile(), token_validity=validity)
    async with SessionPool(
        KEY, service=profile, transport=DirectTransport(service, 0.05), rng=Random(7)
    ) as pool:
        async with pool.solve_many(TASK for _ in range(count)) as outcomes:
            async for outcome in outcomes:
                assert outcome.error is None
                await anyio.sleep(reads_for)
        assert pool.statistics().expired == 0


READERS: dict[str, Any] = {
    "that puts the first ones aside": (250, lambda number: 0.0 if number <= 20 else 1.0),
    "that becomes slower and slower": (500, lambda number: number / 300),
    "that takes turns": (400, lambda number: float(number // 50 % 2)),
    "that saves fifty at a time": (300, lambda number: 0.0 if number % 50 else 40.0),
    "that varies": (200, lambda number: (0.0, 0.1, 3.0, 0.9)[number % 4]),
}


@on_one_loop
@pytest.mark.parametrize(("count", "reads_for"), READERS.values(), ids=READERS.keys())
async def test_a_reader_of_changing_pace_gets_no_expired_tokens(count: int, reads_for: Any) -> None:
    """One outcome taken at once let 500 be bought, most of which expired when it was slow."""
    service = SimulatedService(solve_times=Uniform(10, 40))
    number = 0
    async with open_pool_directly(service, latency=0.05) as pool:
        async with pool.solve_many(TASK for _ in range(count)) as outcomes:
            async for _ in outcomes:
                number += 1
                await anyio.sleep(reads_for(number))
        counts = pool.statistics()
    assert (counts.solved, counts.expired) == (count, 0)


async def test_expired_tokens_are_counted_and_told_of(caplog: pytest.LogCaptureFixture) -> None:
    """Money would be spent for nothing, and nobody hear of it."""
    service = SimulatedService(solve_times=Fixed(12))
    states: list[str] = []

    def watch(event: object) -> None:
        if isinstance(event, TaskEvent):
            states.append(event.state)

    caplog.set_level(logging.WARNING, "ezcaptcha_async")
    async with open_pool_directly(service, on_event=watch) as pool:
        async with pool.solve_many([TASK] * 20, max_in_flight=20) as outcomes:
            async for _ in outcomes:
                await anyio.sleep(15.0)
        expired = pool.statistics().expired
    assert 5 < expired < 15
    assert states.count("expired") == expired
    (record,) = caplog.records
    assert "begin less at a time (max_in_flight)" in record.getMessage()


@on_one_loop
async def test_a_quick_reader_has_as_many_in_flight_as_ever() -> None:
    """What keeps slow readers from harm would slow down all the others."""
    service = SimulatedService(solve_times=Fixed(12))
    most = 0
    async with open_pool_directly(service) as pool:
        async with pool.solve_many(TASK for _ in range(800)) as outcomes:
            async for _ in outcomes:
                most = max(most, pool.statistics().waiting)
    assert most > 400


class BrokenError(Exception):
    """What a user's source raises."""


def broken(count: int) -> Iterator[Any]:
    """Yield some tasks, and raise."""
    for _ in range(count):
        yield TASK
    raise BrokenError


async def broken_slowly(count: int) -> AsyncIterator[Any]:
    """Do the same asynchronously."""
    for task in broken(count):
        await anyio.sleep(0.01)
        yield task


@pytest.mark.parametrize("source", [broken, broken_slowly])
async def test_a_source_that_raises_loses_nothing_that_is_paid(source: Any) -> None:
    """All that was in flight at that moment was paid for, and left behind."""
    service = SimulatedService(solve_times=Fixed(12))
    solved = 0
    async with open_pool_directly(service) as pool:
        with pytest.raises(BrokenError):
            async with pool.solve_many(source(100)) as outcomes:
                async for outcome in outcomes:
                    solved += outcome.solution is not None
        assert solved == 100
        assert pool.orphans() == ()


# ------------------------------------------------------------------------------ silence


@pytest.mark.parametrize("count", [1, 3])
async def test_closing_says_how_many_paid_tasks_are_left(
    count: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Money would be left lying at the service, and nobody hear of it."""
    service = SimulatedService(solve_times=Fixed(60))
    caplog.set_level(logging.WARNING, "ezcaptcha_async")
    async with open_pool(service) as pool:
        for _ in range(count):
            await pool.submit(TASK)
    (record,) = caplog.records
    assert f"closed with {count} paid task" in record.getMessage()
    assert "pool.orphans()" in record.getMessage()


async def test_closing_says_nothing_where_nothing_is_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A warning that always comes is one that nobody reads."""
    service = SimulatedService(solve_times=Fixed(12))
    caplog.set_level(logging.WARNING, "ezcaptcha_async")
    async with open_pool(service) as pool:
        await pool.solve(TASK)
    assert not caplog.records


class Callable:
    """An object that is called asynchronously."""

    async def __call__(self, *_told: object) -> None:
        """Never run."""


async def _told(*_values: object) -> None:
    """Never run."""


async def _yields(*_values: object) -> AsyncIterator[None]:
    """Never run."""
    yield


def _generates(*_values: object) -> Iterator[None]:
    """Never run."""
    yield


DEFERRED: list[Any] = [
    *(_told, partial(_told), Callable(), partial(Callable()), Callable().__call__),
    *(_yields, _generates),
]


@pytest.mark.parametrize("function", DEFERRED)
@pytest.mark.parametrize("name", ["on_event", "on_low_balance"])
def test_an_async_callback_is_refused(name: str, function: Any) -> None:
    """It would never run, and nobody see why."""
    settings: dict[str, Any] = {"low_balance": 5} if name == "on_low_balance" else {}
    with pytest.raises(ConfigurationError, match=f"{name} must be a plain function, not an async"):
        SessionPool(KEY, **{name: function}, **settings)


METHODS = ("first_poll", "next_poll", "learn", "paced", "remaining", "kinds", "scouts")


@pytest.mark.parametrize("function", DEFERRED)
@pytest.mark.parametrize("method", METHODS)
def test_an_async_policy_is_refused(method: str, function: Any) -> None:
    """All that it says would be a mistake in the log, and each task polled by a guess."""

    class Asynchronous(PollPolicy):
        pass

    setattr(Asynchronous, method, property(lambda _self: function))
    with pytest.raises(ConfigurationError, match=f"polling must have plain methods, and {method}"):
        SessionPool(KEY, polling=Asynchronous())


class Lazy:
    """What can be awaited, and is no coroutine."""

    def __await__(self) -> Iterator[None]:
        """Never run."""
        yield


ONLY_SEEN_WHEN_CALLED: list[Any] = [
    *(lambda *_, **__: _told(), lambda *_, **__: Lazy(), lambda *_, **__: _generates()),
    lambda *_, **__: _yields(),
]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("function", ONLY_SEEN_WHEN_CALLED)
@pytest.mark.parametrize("name", ["on_event", "on_low_balance"])
async def test_a_callback_that_turns_out_to_be_async_is_told_of_once(
    name: str, function: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It would never run, and nobody see why; or the same line stand there for each request."""
    settings: dict[str, Any] = {"low_balance": 10**9} if name == "on_low_balance" else {}
    service = SimulatedService(solve_times=Fixed(12))
    async with open_pool_directly(service, **{name: function}, **settings) as pool:
        assert await solve_all(pool, 5) == []
    gc.collect()
    (record,) = caplog.records
    assert f"{name} failed: it must be a plain function" in record.getMessage()
    assert "start a task of its own" in record.getMessage()


@on_one_loop
async def test_a_callback_may_start_a_task_and_return_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is recommended would be called a mistake."""
    told: list[object] = []

    async def note(event: object) -> None:
        told.append(event)

    tasks: list[asyncio.Task[None]] = []

    def start(event: object) -> asyncio.Task[None]:
        tasks.append(asyncio.create_task(note(event)))
        return tasks[-1]

    async with open_pool_directly(SimulatedService(), on_event=start) as pool:
        await pool.solve(TASK)
        await asyncio.gather(*tasks)
    assert len(told) == len(tasks) > 3
    assert not caplog.records


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("method", "function"),
    [
        *((method, function) for method in METHODS for function in ONLY_SEEN_WHEN_CALLED),
        *((method, lambda *_, **__: nan) for method in ("first_poll", "next_poll", "remaining")),
        ("next_poll", lambda *_, **__: None),
    ],
)
async def test_a_policy_that_turns_out_to_be_async_is_told_of_once(
    method: str, function: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Two accounts with ten tasks each would fill the log with what one line says."""
    service = SimulatedService(solve_times=Fixed(30))
    policy = type("Policy", (PollPolicy,), {method: lambda _self, *_, **__: function()})()
    accounts = [Account(key, service=service.profile()) for key in (KEY, "another")]
    transport = DirectTransport(service, 0.1)
    async with SessionPool(*accounts, polling=policy, transport=transport) as pool:
        tickets = [await pool.submit(TASK) for _ in range(10)]
        assert tickets[0].estimated_remaining is None
        pool.statistics()
        pool.statistics()
        for ticket in tickets:
            assert (await ticket).token
    gc.collect()
    (record,) = caplog.records
    assert record.getMessage().startswith(f"polling.{method} failed: it must ")


async def test_what_cannot_be_pickled_says_what_can() -> None:
    """A job queue would end in a TypeError about a lock somewhere deep inside."""
    service = SimulatedService()
    async with open_pool(service) as pool:
        ticket = await pool.submit(TASK)
        with pytest.raises(TypeError, match=r"keep ticket.to_dict\(\), which SessionPool.resume"):
            pickle.dumps(ticket)
        with pytest.raises(TypeError, match="make one in each process"):
            pickle.dumps(pool)
        await ticket


class Turns:
    """Counts the turns of the event loop, and in which of them tasks began."""

    def __init__(self) -> None:
        self.turn = 0
        self.begun: Counter[int] = Counter()

    def note(self, event: Event) -> None:
        """Note a task that has come into the books."""
        if isinstance(event, TaskEvent) and event.state == "queued":
            self.begun[self.turn] += 1

    async def count_until(self, number: int) -> None:
        """Count while that many tasks have not begun."""
        while self.begun.total() < number:
            self.turn += 1
            await checkpoint()


async def solve_one_by_one(pool: SessionPool, number: int) -> None:
    """Be so many callers at once."""
    assert await solve_all(pool, number) == []


async def solve_as_a_batch(pool: SessionPool, number: int) -> None:
    """Read so many tasks at once."""
    async with pool.solve_many([TASK] * number, max_in_flight=number) as outcomes:
        assert [outcome.error async for outcome in outcomes] == [None] * number


@pytest.mark.parametrize("solve", [solve_one_by_one, solve_as_a_batch])
async def test_thousands_who_come_at_once_leave_turns_to_others(solve: Any) -> None:
    """The event loop would stand still for seconds: no heartbeat, no answer to anybody."""
    turns = Turns()
    service = SimulatedService(solve_times=Fixed(10))
    async with (
        open_pool_directly(service, on_event=turns.note) as pool,
        anyio.create_task_group() as group,
    ):
        group.start_soon(turns.count_until, 500)
        await solve(pool, 500)
    # A hundred begin in a turn; trio, which mixes who goes first, may count two of them as one.
    assert max(turns.begun.values()) <= 250


async def test_closing_answers_those_who_have_not_begun_yet() -> None:
    """They would wait for ever for their turn, or buy what nobody can fetch."""
    service = SimulatedService()
    async with anyio.create_task_group() as group:
        async with open_pool(service) as pool:
            told: list[type[Exception]] = []

            async def one() -> None:
                try:
                    await pool.solve(TASK)
                except PoolClosedError as error:
                    told.append(type(error))

            for _ in range(500):
                group.start_soon(one)
            await checkpoint()
    assert len(told) == 500
    assert service.summary().charges <= 1


@on_one_loop
async def test_polls_that_fall_due_together_go_together() -> None:
    """Each of them would wake the event loop by itself, which costs twice the CPU."""
    service = SimulatedService(solve_times=Uniform(10, 40))
    moments: Counter[float] = Counter()

    def note(event: Event) -> None:
        if isinstance(event, RequestEvent) and event.endpoint == "getTaskResult":
            moments[anyio.current_time() - event.seconds] += 1

    async with open_pool_directly(service, on_event=note) as pool:
        assert await solve_all(pool, 500) == []
    assert sum(moments.values()) / len(moments) > 1.5

"""More than can be polled, or read: nobody buys what will lapse or expire."""

from __future__ import annotations

import asyncio
import gc
import logging
import pickle
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial
from itertools import cycle
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

from .conftest import (
    KEY,
    TASK,
    DirectTransport,
    on_both_loops,
    open_pool,
    open_pool_directly,
    solve_all,
)


@pytest.mark.parametrize("validity", [120.0, 30.0])
async def test_polls_that_the_user_limits(validity: float) -> None:
    """A third of what was paid was never fetched, and of the rest most came expired."""
    service = SimulatedService(solve_times=Uniform(10, 40))
    profile = attrs.evolve(service.profile(), token_validity=validity)
    account = Account(KEY, service=profile, polls_per_second=5)
    begin = anyio.current_time()
    async with SessionPool(account, transport=DirectTransport(service, 0.05)) as pool:
        assert await solve_all(pool, 250) == (250, [])
        counts = pool.statistics()
    assert (counts.lapsed, counts.expired) == (0, 0)
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

    async def before(self, path: str) -> None:
        """Take it."""
        await anyio.sleep(self._poll if path == "/getTaskResult" else self._create)


@pytest.mark.parametrize(("count", "poll"), [(400, 5.0), (250, 18.0)])
async def test_polls_that_take_far_longer_than_creates(count: int, poll: float) -> None:
    """All is bought before the first poll comes due, and half of it lapses or expires."""
    service = SimulatedService(solve_times=Uniform(10, 40))
    transport = Slow(service, create=0.05, poll=poll)
    async with SessionPool(KEY, service=service.profile(), transport=transport) as pool:
        assert await solve_all(pool, count) == (count, [])
        counts = pool.statistics()
    assert (counts.lapsed, counts.expired) == (0, 0)


@pytest.mark.parametrize(
    ("count", "create"), [(1, 0.05), (1, 18.0), (5, 0.05), (12, 0.05), (12, 18.0)]
)
async def test_a_few_tasks_where_polls_are_slow(count: int, create: float) -> None:
    """Each poll would be cut off after three seconds until the window of a lone task is over."""
    service = SimulatedService(solve_times=Fixed(20))
    transport = Slow(service, create=create, poll=18.0)
    async with SessionPool(KEY, service=service.profile(), transport=transport) as pool:
        assert await solve_all(pool, count) == (count, [])
        assert pool.statistics().expired == 0
    late = [task.fetched_at - task.ready_at for task in service.record.tasks if task.fetched_at]
    assert max(late) < 75


async def test_where_polls_are_quick_nothing_is_held_back() -> None:
    """A burst would wait for polls that are of no interest to it."""
    service = SimulatedService(solve_times=Fixed(30))
    begin = anyio.current_time()
    async with open_pool_directly(service, latency=0.05) as pool:
        assert await solve_all(pool, 400) == (400, [])
    created = [task.created_at for task in service.record.tasks]
    assert max(created) - begin <= 400 / 20 * 0.05 + 3.5, "three seconds for the first poll"


READERS: dict[str, Any] = {
    "that is slow": (200, lambda _: 1.0),
    "that is slower": (60, lambda _: 3.0),
    "of tokens that live shortly": (60, lambda _: 1.0, 30.0),
    "that puts the first ones aside": (250, lambda number: 0.0 if number <= 20 else 1.0),
    "that becomes slower and slower": (400, lambda number: number / 240),
    "that takes turns": (300, lambda number: float(number // 50 % 2)),
    "that saves fifty at a time": (250, lambda number: 0.0 if number % 50 else 40.0),
    "that varies": (200, lambda number: (0.0, 0.1, 3.0, 0.9)[number % 4]),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
async def test_no_reader_gets_expired_tokens(reader: Any) -> None:
    """One outcome taken at once let 500 be bought, most of which expired when it was slow."""
    count, reads_for, validity = (*reader, 120.0)[:3]
    service = SimulatedService(solve_times=Uniform(10, 40))
    profile = attrs.evolve(service.profile(), token_validity=validity)
    transport = DirectTransport(service, 0.05)
    async with SessionPool(KEY, service=profile, transport=transport, rng=Random(7)) as pool:
        async with pool.solve_many(TASK for _ in range(count)) as outcomes:
            number = 0
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


async def test_a_quick_reader_has_as_many_in_flight_as_ever() -> None:
    """What keeps slow readers from harm would slow down all the others."""
    service = SimulatedService(solve_times=Fixed(12))
    most = 0
    async with open_pool_directly(service) as pool:
        async with pool.solve_many(TASK for _ in range(500)) as outcomes:
            async for _ in outcomes:
                most = max(most, pool.statistics().waiting)
    assert most > 250


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


@on_both_loops
@pytest.mark.parametrize("source", [broken, broken_slowly])
async def test_a_source_that_raises_loses_nothing_that_is_paid(source: Any) -> None:
    """All that was in flight at that moment was paid for, and left behind."""
    service = SimulatedService(solve_times=Fixed(12))
    solved = 0
    async with open_pool_directly(service) as pool:
        with pytest.raises(BrokenError):
            async with pool.solve_many(source(40)) as outcomes:
                async for outcome in outcomes:
                    solved += outcome.solution is not None
        assert solved == 40
        assert pool.orphans() == ()


# ------------------------------------------------------------------------------ silence


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_closing_says_how_many_paid_tasks_are_left(
    count: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Money would be left lying there, and nobody hear of it; or of nothing, each time."""
    service = SimulatedService(solve_times=Fixed(60))
    caplog.set_level(logging.WARNING, "ezcaptcha_async")
    async with open_pool(service) as pool:
        await pool.solve(TASK)
        for _ in range(count):
            await pool.submit(TASK)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == (count > 0)
    assert all(f"closed with {count} paid task" in line for line in told)
    assert all("pool.orphans()" in line for line in told)


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


METHODS = ("first_poll", "next_poll", "learn", "paced", "remaining", "kinds", "scouts")


@pytest.mark.parametrize("name", ["on_event", "on_low_balance", *METHODS])
def test_what_is_async_and_must_not_be_is_refused(name: str) -> None:
    """It would never run; and what a policy says be a guess, and a mistake in the log."""
    for function in DEFERRED:
        if name in METHODS:
            methods = {name: staticmethod(function)}
            settings: dict[str, Any] = {"polling": type("Asynchronous", (PollPolicy,), methods)()}
            problem = f"polling must have plain methods, and {name}"
        else:
            settings = {name: function} | ({} if name == "on_event" else {"low_balance": 5})
            problem = f"{name} must be a plain function, not an async"
        with pytest.raises(ConfigurationError, match=problem):
            SessionPool(KEY, **settings)


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
        assert await solve_all(pool, 5) == (5, [])
    gc.collect()
    (record,) = caplog.records
    assert f"{name} failed: it must be a plain function" in record.getMessage()
    assert "start a task of its own" in record.getMessage()


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
        *zip(METHODS, cycle(ONLY_SEEN_WHEN_CALLED)),
        *((method, lambda *_, **__: nan) for method in ("first_poll", "next_poll", "remaining")),
        ("next_poll", lambda *_, **__: None),
    ],
)
async def test_a_policy_that_does_not_answer_is_told_of_once(
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
    service.assert_spacing_kept()
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


@on_both_loops
@pytest.mark.parametrize("as_a_batch", [False, True])
async def test_thousands_who_come_at_once_leave_turns_to_others(*, as_a_batch: bool) -> None:
    """The event loop would stand still for seconds: no heartbeat, no answer to anybody."""
    service = SimulatedService(solve_times=Fixed(10))
    turn, begun = 0, Counter[int]()

    def note(event: Event) -> None:
        if isinstance(event, TaskEvent) and event.state == "queued":
            begun[turn] += 1

    async def count_turns() -> None:
        nonlocal turn
        while begun.total() < 500:
            turn += 1
            await checkpoint()

    async with (
        open_pool_directly(service, on_event=note) as pool,
        anyio.create_task_group() as group,
    ):
        group.start_soon(count_turns)
        if as_a_batch:
            async with pool.solve_many([TASK] * 500, max_in_flight=500) as outcomes:
                assert [outcome.error async for outcome in outcomes] == [None] * 500
        else:
            assert await solve_all(pool, 500) == (500, [])
    # A hundred begin in a turn; trio, which mixes who goes first, may count two of them as one.
    assert max(begun.values()) <= 250


@on_both_loops
async def test_closing_answers_those_who_have_not_begun_yet() -> None:
    """They would wait for ever for their turn, or buy what nobody can fetch."""
    service = SimulatedService()
    told = list[tuple[int, list[EzCaptchaError]]]()

    async def call(pool: SessionPool) -> None:
        told.append(await solve_all(pool, 500))

    async with anyio.create_task_group() as group:
        async with open_pool(service) as pool:
            group.start_soon(call, pool)
            await checkpoint()
            await checkpoint()
    ((solved, errors),) = told
    assert (solved, len(errors)) == (0, 500)
    assert {type(error) for error in errors} == {PoolClosedError}
    assert service.summary().charges <= 1


async def test_polls_that_fall_due_together_go_together() -> None:
    """Each of them would wake the event loop by itself, which costs twice the CPU."""
    service = SimulatedService(solve_times=Uniform(10, 40))
    moments: Counter[float] = Counter()

    def note(event: Event) -> None:
        if isinstance(event, RequestEvent) and event.endpoint == "getTaskResult":
            moments[round(anyio.current_time() - event.seconds, 6)] += 1

    async with open_pool_directly(service, on_event=note) as pool:
        assert await solve_all(pool, 300) == (300, [])
    # By themselves, two: they begin together.
    assert sum(moments.values()) / len(moments) > 3

"""More than can be polled, or read: nobody buys what will lapse or expire."""

from __future__ import annotations

import logging
import pickle
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import partial
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


class SlowPolls(DirectTransport):
    """Answers to getTaskResult take five seconds, those to createTask hardly any time."""

    max_requests = 8

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply:
        """Answer late."""
        if url.endswith("/getTaskResult"):
            await anyio.sleep(5.0)
        return await super().post(url, body, timeout=timeout, evidence=evidence)


@on_one_loop
async def test_polls_that_take_far_longer_than_creates() -> None:
    """All is bought before the first poll comes due, and half of it lapses."""
    service = SimulatedService(solve_times=Uniform(10, 40))
    async with SessionPool(
        KEY, service=service.profile(), transport=SlowPolls(service, 0.05)
    ) as pool:
        assert await solve_all(pool, 400) == []
        counts = pool.statistics()
    assert (counts.solved, counts.lapsed, counts.expired) == (400, 0, 0)


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

    async def __call__(self, _told: object) -> None:
        """Never run."""


async def _told(_value: object) -> None:
    """Never run."""


@pytest.mark.parametrize("function", [_told, partial(_told), Callable(), Callable().__call__])
@pytest.mark.parametrize("name", ["on_event", "on_low_balance"])
def test_an_async_callback_is_refused(name: str, function: Any) -> None:
    """It would never run, and nobody see why."""
    settings: dict[str, Any] = {"low_balance": 5} if name == "on_low_balance" else {}
    with pytest.raises(ConfigurationError, match=f"{name} must be a plain function, not an async"):
        SessionPool(KEY, **{name: function}, **settings)


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
        group.start_soon(turns.count_until, 300)
        await solve(pool, 300)
    assert max(turns.begun.values()) <= 150


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

"""Thousands of callers whom one answer concerns: all hear of it, and others have their turns."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from contextvars import ContextVar
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from ezcaptcha_async import (
    BudgetExceededError,
    CustomTask,
    Event,
    InsufficientBalanceError,
    PoolClosedError,
    ReCaptchaV2TaskProxyless,
    SessionPool,
    SolveTimeoutError,
    Task,
    TaskEvent,
)
from ezcaptcha_async.testing import Fixed, SimulatedService
from ezcaptcha_async.transports import Reply

from .conftest import KEY, TASK, DirectTransport, on_one_loop
from .conftest import open_pool_directly as open_pool

CALLERS = 2_000

PRICE = 6
"""Points that `TASK` costs."""


_REQUEST = ContextVar[int | None]("request", default=None)


class NoSuchTask(ReCaptchaV2TaskProxyless):
    """A class of a user's own, which no account serves."""


UNSERVED = NoSuchTask(website_url="https://example.com/login", website_key="site-key")


class Crowd:
    """Many callers of one pool, and what they were told."""

    def __init__(
        self, pool: SessionPool, task: Task[Any] = TASK, *, timeout: float | None = None
    ) -> None:
        self.pool = pool
        self.told = Counter[type[BaseException] | None]()
        self._task = task
        self._timeout = timeout
        self.scope = anyio.CancelScope()
        self._begun = anyio.Event()

    async def _call(self) -> None:
        try:
            await self._ask()
            self.told[None] += 1
        except BaseException as error:
            if isinstance(error, anyio.get_cancelled_exc_class()) and self.scope.cancel_called:
                raise
            self.told[type(error)] += 1
            self._begun.set()

    async def _ask(self) -> None:
        await self.pool.solve(self._task, timeout=self._timeout)

    async def call(self, callers: int = CALLERS) -> None:
        """Have so many call, and wait for them."""
        with self.scope:
            async with anyio.create_task_group() as group:
                for _ in range(callers):
                    group.start_soon(self._call)

    async def first(self) -> None:
        """Wait until the first of them was told."""
        await self._begun.wait()


def empty_service() -> SimulatedService:
    """Return a service at which there are no points left."""
    return SimulatedService(solve_times=Fixed(12), balance=0)


async def test_others_have_their_turns_while_thousands_are_refused() -> None:
    """The event loop would stand still for a second: every other request of the program late."""
    async with open_pool(empty_service()) as pool, anyio.create_task_group() as group:
        crowd = Crowd(pool)
        group.start_soon(crowd.call)
        await crowd.first()
        turns = 0
        while crowd.told.total() < CALLERS:
            turns += 1
            await anyio.lowlevel.checkpoint()
        assert turns >= 5
    assert crowd.told == {InsufficientBalanceError: CALLERS}
    assert pool.statistics().refused == CALLERS
    assert pool.statistics().requests == 1


async def test_whoever_comes_while_thousands_are_refused_has_an_answer_of_its_own() -> None:
    """It would wait behind a crowd, or be sent to a service that has just refused."""
    async with open_pool(empty_service()) as pool, anyio.create_task_group() as group:
        crowd = Crowd(pool)
        group.start_soon(crowd.call)
        await crowd.first()
        with pytest.raises(InsufficientBalanceError):
            await pool.solve(TASK)
        assert crowd.told.total() < CALLERS
    assert pool.statistics().requests == 1


async def test_an_account_that_is_reopened_meanwhile_takes_whoever_comes_then() -> None:
    """Somebody has topped up: those who were in line are told, and nobody pays for them."""
    service = empty_service()
    async with open_pool(service) as pool, anyio.create_task_group() as group:
        crowd = Crowd(pool)
        group.start_soon(crowd.call)
        await crowd.first()
        service.set_balance(KEY, 1_000_000)
        pool.reopen()
        assert (await pool.solve(TASK)).token
    assert crowd.told == {InsufficientBalanceError: CALLERS}
    assert service.summary().charges == 1


async def test_thousands_may_resume_one_ticket() -> None:
    """The event loop would stand still until each of them has come, or each would pay."""
    tokens = Counter[str]()
    async with open_pool(SimulatedService(solve_times=Fixed(12))) as pool:
        saved = (await pool.submit(TASK)).to_dict()

        async def resume() -> None:
            tokens[(await pool.resume(saved)).token] += 1

        async with anyio.create_task_group() as group:
            for _ in range(CALLERS):
                group.start_soon(resume)
    assert [*tokens.values()] == [CALLERS]
    assert pool.statistics().created == 1


async def test_a_pool_that_is_closed_meanwhile_answers_all() -> None:
    """Some of them would wait for ever."""
    async with anyio.create_task_group() as group:
        async with open_pool(empty_service()) as pool:
            crowd = Crowd(pool)
            group.start_soon(crowd.call)
            await crowd.first()
    assert set(crowd.told) == {InsufficientBalanceError, PoolClosedError}
    assert crowd.told.total() == CALLERS
    counts = pool.statistics()
    assert (counts.queued, counts.refused + counts.cancelled) == (0, CALLERS)


async def test_callers_who_are_cancelled_meanwhile_are_gone() -> None:
    """The books would not balance, or the next caller wait behind those who left."""
    service = empty_service()
    async with open_pool(service) as pool, anyio.create_task_group() as group:
        crowd = Crowd(pool)
        group.start_soon(crowd.call)
        await crowd.first()
        crowd.scope.cancel()
        service.set_balance(KEY, 1_000_000)
        pool.reopen()
        assert (await pool.solve(TASK)).token
    counts = pool.statistics()
    assert (counts.queued, counts.refused + counts.cancelled, counts.solved) == (0, CALLERS, 1)


async def test_others_have_their_turns_while_a_pool_with_thousands_is_closed() -> None:
    """A web server would answer nobody while it stops."""
    service = SimulatedService(solve_times=Fixed(100))
    async with anyio.create_task_group() as group:
        async with open_pool(service, latency=0) as pool:
            crowd = Crowd(pool)
            group.start_soon(crowd.call)
            while pool.statistics().queued + pool.statistics().waiting < CALLERS:
                await anyio.sleep(0.1)
            turns = 0

            async def others() -> None:
                nonlocal turns
                while crowd.told.total() < CALLERS:
                    turns += 1
                    await anyio.lowlevel.checkpoint()

            group.start_soon(others)
    assert turns >= 5
    assert crowd.told == {PoolClosedError: CALLERS}
    assert pool.statistics().unaccounted == 0


class CrowdOfTickets(Crowd):
    """Those who want a ticket first."""

    async def _ask(self) -> None:
        ticket = await self.pool.submit(self._task, timeout=self._timeout)
        await ticket


class CrowdInOne(Crowd):
    """One caller who wants many solved."""

    async def call(self, callers: int = CALLERS) -> None:
        """Have so many solved."""
        with self.scope:
            tasks = [self._task] * callers
            async with self.pool.solve_many(tasks, max_in_flight=callers) as outcomes:
                async for outcome in outcomes:
                    self.told[type(outcome.error) if outcome.error else None] += 1


@pytest.mark.parametrize("kind", [Crowd, CrowdOfTickets, CrowdInOne])
async def test_those_who_stand_in_line_are_told_why_they_are_refused(kind: type[Crowd]) -> None:
    """Only the first hundred would be; the rest would wait for ever, or cost what is not left."""
    service = SimulatedService(solve_times=Fixed(12))
    async with open_pool(service, latency=0, budget=250 * PRICE) as pool:
        crowd = kind(pool)
        await crowd.call(500)
        counts = pool.statistics()
    assert crowd.told == {None: 250, BudgetExceededError: 250}
    assert (service.summary().charges, counts.solved, counts.refused) == (250, 250, 0)


@pytest.mark.parametrize("kind", [Crowd, CrowdOfTickets, CrowdInOne])
async def test_those_who_leave_the_line_cost_nothing(kind: type[Crowd]) -> None:
    """A gather that is cancelled at once would pay for tasks that nobody waits for."""
    service = SimulatedService(solve_times=Fixed(12))
    async with open_pool(service) as pool, anyio.create_task_group() as group:
        crowd = kind(pool)
        group.start_soon(crowd.call)
        while pool.statistics().queued < 150:
            await anyio.lowlevel.checkpoint()
        crowd.scope.cancel()
        assert (await pool.solve(TASK)).token
        counts = pool.statistics()
        assert counts.queued == counts.creating == counts.waiting == 0
        assert counts.created == service.summary().charges < 5
        assert counts.cancelled < CALLERS / 2
    assert not crowd.told


async def test_a_pool_that_is_closed_takes_nobody_more_out_of_the_line() -> None:
    """To close it would take as long as to begin with all of them, and tell of each."""
    service = SimulatedService(solve_times=Fixed(12))
    async with anyio.create_task_group() as group:
        async with open_pool(service) as pool:
            crowd = Crowd(pool)
            group.start_soon(crowd.call)
            while not pool.statistics().queued:
                await anyio.lowlevel.checkpoint()
    assert crowd.told == {PoolClosedError: CALLERS}
    counts = pool.statistics()
    assert counts.cancelled < CALLERS / 2
    assert counts.requests == service.summary().charges == 0


@pytest.mark.parametrize("kind", [Crowd, CrowdOfTickets])
async def test_the_patience_of_those_in_line_counts_from_when_they_came(kind: type[Crowd]) -> None:
    """Some would wait for longer than they said, or without an end."""
    service = SimulatedService(solve_times=Fixed(12))
    async with open_pool(service) as pool:
        crowd = kind(pool, timeout=5)
        begin = anyio.current_time()
        await crowd.call(500)
        assert anyio.current_time() - begin == pytest.approx(5, abs=0.1)
    assert crowd.told == {SolveTimeoutError: 500}


class _OddTask(CustomTask):
    """A class of a user's own, with a mistake that shows when its account is chosen."""

    error: BaseException

    @property
    def proxy(self) -> str:
        raise type(self).error


class _OddError(BaseException):
    """One that no ``except Exception`` takes."""


@pytest.mark.parametrize("kind", [Crowd, CrowdOfTickets])
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (LookupError(), LookupError),
        (StopIteration(), RuntimeError),
        (_OddError(), _OddError),
        (asyncio.CancelledError(), asyncio.CancelledError),
    ],
    ids=str,
)
async def test_a_mistake_in_one_task_is_told_to_its_caller_alone(
    kind: type[Crowd],
    error: BaseException,
    told: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would end the pool, and with it everybody else's paid tasks."""
    monkeypatch.setattr(_OddTask, "error", error, raising=False)
    service = SimulatedService(solve_times=Fixed(12))
    async with open_pool(service) as pool, anyio.create_task_group() as group:
        others, crowd = Crowd(pool), kind(pool, _OddTask("OddTask", {}))
        group.start_soon(others.call, 300)
        group.start_soon(crowd.call, 300)
    assert others.told == {None: 300}
    assert crowd.told == {told: 300}


async def test_whoever_watches_sees_whose_request_it_was() -> None:
    """The span of a task would hang nowhere, and a log line have the id of another request."""
    seen = list[int | None]()

    def watch(event: Event) -> None:
        if isinstance(event, TaskEvent) and event.state == "queued":
            seen.append(_REQUEST.get())

    async with (
        open_pool(SimulatedService(solve_times=Fixed(12)), on_event=watch) as pool,
        anyio.create_task_group() as group,
    ):

        async def call(number: int) -> None:
            _REQUEST.set(number)
            await pool.solve(TASK)

        for number in range(300):
            group.start_soon(call, number)
    assert sorted(seen, key=str) == sorted(range(300), key=str)


class _Broken(Random):
    """Fails where the library does not look for failure."""

    def random(self) -> float:
        raise ZeroDivisionError


class _Late(DirectTransport):
    """Answers the first poll when a crowd has come, with what has the pool look at its `rng`."""

    def __init__(self, service: SimulatedService) -> None:
        super().__init__(service, 0.1)
        self.asked, self.come = anyio.Event(), anyio.Event()

    async def before(self, path: str) -> Reply | None:
        if path != "/getTaskResult":
            return None
        self.asked.set()
        await self.come.wait()
        return Reply(503, b"")


async def test_those_in_line_are_told_of_a_mistake_in_the_library() -> None:
    """They are in no books yet, so that nobody who fails would think of them."""
    service = SimulatedService(solve_times=Fixed(12))
    transport = _Late(service)
    async with (
        SessionPool(KEY, service=service.profile(), transport=transport, rng=_Broken()) as pool,
        anyio.create_task_group() as group,
    ):
        first, crowd = Crowd(pool), Crowd(pool)
        group.start_soon(first.call, 1)
        await transport.asked.wait()
        group.start_soon(crowd.call)
        while not pool.statistics().queued:
            await anyio.lowlevel.checkpoint()
        transport.come.set()
        with anyio.fail_after(60):
            while crowd.told.total() < CALLERS:
                await anyio.sleep(1)
    assert first.told == {PoolClosedError: 1}
    assert crowd.told == {PoolClosedError: CALLERS}
    assert pool.statistics().queued == 0


@on_one_loop
@pytest.mark.parametrize("end", ["solved", "refused", "cancelled", "unserved"])
async def test_a_task_that_is_over_leaves_nothing_to_the_garbage_collector(end: str) -> None:
    """With tens of thousands in flight, each run of it stops the event loop for 0.3 s."""
    service = SimulatedService(solve_times=Fixed(12)) if end != "refused" else empty_service()
    async with open_pool(service) as pool:
        crowd = Crowd(pool, UNSERVED if end == "unserved" else TASK)
        gc.collect()
        gc.disable()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(crowd.call, 250)
                await anyio.sleep(6)
                if end == "cancelled":
                    crowd.scope.cancel()
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = Counter(type(item).__name__ for item in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert crowd.told.total() == (0 if end == "cancelled" else 250)
    ours = {"Entry", "Solved", "SavedTask", "ReCaptchaSolution"}
    ours |= {"InsufficientBalanceError", "ConfigurationError"}
    assert not ours & left.keys()

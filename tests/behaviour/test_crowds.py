"""Thousands of callers whom one answer concerns: all hear of it, and others have their turns."""

from __future__ import annotations

import gc
from collections import Counter

import anyio
import anyio.lowlevel
import pytest

from ezcaptcha_async import (
    EzCaptchaError,
    InsufficientBalanceError,
    PoolClosedError,
    SessionPool,
)
from ezcaptcha_async.testing import Fixed, SimulatedService

from .conftest import KEY, TASK, on_one_loop
from .conftest import open_pool_directly as open_pool

CALLERS = 2_000


class Crowd:
    """Many callers of one pool, and what they were told."""

    def __init__(self, pool: SessionPool) -> None:
        self.pool = pool
        self.told = Counter[type[EzCaptchaError] | None]()
        self.scope = anyio.CancelScope()
        self._begun = anyio.Event()

    async def _call(self) -> None:
        try:
            await self.pool.solve(TASK)
            self.told[None] += 1
        except EzCaptchaError as error:
            self.told[type(error)] += 1
            self._begun.set()

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


@on_one_loop
@pytest.mark.parametrize("end", ["solved", "refused", "cancelled"])
async def test_a_task_that_is_over_leaves_nothing_to_the_garbage_collector(end: str) -> None:
    """With tens of thousands in flight, each run of it stops the event loop for 0.3 s."""
    service = SimulatedService(solve_times=Fixed(12)) if end != "refused" else empty_service()
    async with open_pool(service) as pool:
        crowd = Crowd(pool)
        gc.collect()
        gc.disable()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(crowd.call, 50)
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
    assert crowd.told.total() == (0 if end == "cancelled" else 50)
    ours = {"Entry", "Solved", "SavedTask", "InsufficientBalanceError", "ReCaptchaSolution"}
    assert not ours & left.keys()

"""The end of a pool: everybody is answered, whatever was going on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest

from ezcaptcha_async import (
    EzCaptchaError,
    LearnedPolling,
    PoolClosedError,
    SessionPool,
    SubmissionUnknownError,
)
from ezcaptcha_async.testing import Fault, Fixed, SimulatedService

from .conftest import KEY, TASK, on_one_loop, open_pool, open_pool_directly, solve_all


async def collect(errors: list[EzCaptchaError], pool: SessionPool, count: int) -> None:
    """Let so many callers solve, and note what goes wrong."""
    errors += (await solve_all(pool, count))[1]


async def ask(errors: list[EzCaptchaError], pool: SessionPool) -> None:
    """Ask for the balance, and note what goes wrong."""
    try:
        await pool.balance()
    except EzCaptchaError as error:
        errors.append(error)


async def test_closing_answers_hundreds_pending_within_the_grace() -> None:
    """An application that shuts down must not hang on its captchas."""
    service = SimulatedService(solve_times=Fixed(100))
    errors: list[EzCaptchaError] = []
    async with anyio.create_task_group() as group:
        async with open_pool_directly(service) as pool:
            group.start_soon(collect, errors, pool, 300)
            await anyio.sleep(20)
            began = anyio.current_time()
        assert anyio.current_time() - began <= 5.1
    assert len(errors) == 300
    assert all(isinstance(error, PoolClosedError) for error in errors)
    assert all(error.ticket for error in errors)
    assert len(pool.orphans()) == 300


async def test_closing_while_tasks_are_queued_and_being_created() -> None:
    """Queued ones cost nothing; those being created are known before the pool is gone."""
    service = SimulatedService(solve_times=Fixed(100))
    errors: list[EzCaptchaError] = []
    async with anyio.create_task_group() as group:
        async with open_pool(service, max_requests=3) as pool:
            group.start_soon(collect, errors, pool, 50)
            await anyio.sleep(0.45)
    paid = [error for error in errors if error.ticket is not None]
    assert len(errors) == 50
    assert len(paid) == service.summary().charges == len(pool.orphans())
    assert all(not error.may_be_charged for error in errors if error.ticket is None)


async def test_a_solution_on_its_way_is_still_delivered() -> None:
    """The poll was sent; throwing its answer away would waste the task."""
    service = SimulatedService(solve_times=Fixed(5))
    tokens: list[str] = []
    async with anyio.create_task_group() as group:
        async with open_pool(service, latency=1.0) as pool:

            async def solve() -> None:
                tokens.append((await pool.solve(TASK)).token)

            group.start_soon(solve)
            while not service.summary().polls:
                await anyio.sleep(0.05)
    assert len(tokens) == 1


async def test_a_create_that_outlasts_the_grace_is_reported_as_unknown() -> None:
    """The honest answer: it may have been paid for, and nobody knows its id."""
    service = SimulatedService()
    service.inject(Fault.HANG, path="/createTask")
    errors: list[EzCaptchaError] = []
    async with anyio.create_task_group() as group:
        async with open_pool(service, close_grace=2.0) as pool:
            group.start_soon(collect, errors, pool, 1)
            await anyio.sleep(0.5)
            began = anyio.current_time()
        assert anyio.current_time() - began == pytest.approx(2.0, abs=0.01)
    (error,) = errors
    assert isinstance(error, SubmissionUnknownError)
    assert error.may_be_charged
    assert pool.statistics().unknown == 1


@on_one_loop
@pytest.mark.parametrize("after", [0.0, 0.05, 0.3])
async def test_closing_goes_on_when_asyncio_cancels_who_asked_for_it(
    after: float, tmp_path: Path
) -> None:
    """A `wait_for` would leave a pool that never ends: its journal locked, its client open.

    Nor would what it has learned be kept for the next run.
    """
    service, journal = SimulatedService(solve_times=Fixed(10)), tmp_path / "journal"
    polling = LearnedPolling(state_path=tmp_path / "timing")
    async with service.client() as client:
        settings: dict[str, Any] = {"service": service.profile(), "http_client": client}
        pool = await SessionPool(KEY, journal=journal, polling=polling, **settings).open()
        assert (await pool.solve(TASK)).token
        service.inject(Fault.HANG, path="/createTask", seconds=0.5)
        caller = asyncio.ensure_future(pool.solve(TASK))
        await anyio.sleep(0.1)
        closing = asyncio.ensure_future(pool.aclose())
        await anyio.sleep(after)
        closing.cancel()
        with pytest.raises(PoolClosedError):
            await caller
        await pool.aclose()
        async with SessionPool(KEY, journal=journal, **settings) as another:
            async with another.resume_all() as outcomes:
                assert [outcome.error async for outcome in outcomes] == [None]
    assert service.summary().charges == 2
    assert (tmp_path / "timing").exists()


async def test_closing_twice_and_from_two_sides() -> None:
    """Shutdown hooks overlap in real applications."""
    service = SimulatedService(solve_times=Fixed(100))
    async with open_pool(service, latency=1.0) as pool, anyio.create_task_group() as group:
        with anyio.move_on_after(0.5):
            await pool.solve(TASK)
        group.start_soon(pool.aclose)
        await pool.aclose()
        await pool.aclose()
    assert len(pool.orphans()) == 1


async def test_an_exception_in_the_body_comes_out_as_it_is() -> None:
    """Wrapped in a group, the user's own ``except`` would not catch it."""
    with pytest.raises(KeyError, match="mine"):
        async with open_pool(SimulatedService()) as pool:
            await pool.solve(TASK)
            raise KeyError("mine")


async def test_a_pool_that_is_not_open_says_so() -> None:
    """The commonest mistake must not end in an AttributeError."""
    pool = SessionPool(KEY)
    assert "not open" in repr(pool)
    with pytest.raises(PoolClosedError, match="async with"):
        await pool.solve(TASK)
    with pytest.raises(PoolClosedError, match="async with"):
        pool.statistics()
    await pool.aclose()


async def test_a_closed_pool_says_so_and_stays_closed() -> None:
    """Its scheduler is gone, so a task would never be sent."""
    async with open_pool(SimulatedService()) as pool:
        pass
    with pytest.raises(PoolClosedError, match="closed"):
        await pool.solve(TASK)
    with pytest.raises(PoolClosedError, match="closed"):
        await pool.balance()
    with pytest.raises(PoolClosedError, match="once"):
        await pool.__aenter__()
    assert "closed" in repr(pool)


@pytest.mark.parametrize("most", [None, 3])
async def test_many_tasks_for_a_pool_that_is_not_open(most: int | None) -> None:
    """The caller would get a group of errors about errors."""
    pool = SessionPool(KEY)
    with pytest.raises(PoolClosedError, match="enter it with"):
        async with pool.solve_many([TASK] * 9, max_in_flight=most):
            pytest.fail("it was entered")


async def test_a_solved_ticket_outlives_its_pool() -> None:
    """What was delivered stays delivered."""
    async with open_pool(SimulatedService(solve_times=Fixed(1))) as pool:
        ticket = await pool.submit(TASK)
        await anyio.sleep(30)
    assert (await ticket).token


class _Broken(Random):
    """Fails where the library does not look for failure."""

    def random(self) -> float:
        raise ZeroDivisionError


async def test_a_mistake_in_the_library_answers_everybody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """If the scheduler dies, callers must hear of it instead of waiting for ever."""
    service = SimulatedService(solve_times=Fixed(30))
    service.inject(Fault.UNAVAILABLE, path="/getTaskResult")
    errors: list[EzCaptchaError] = []
    async with (
        open_pool(service, rng=_Broken()) as pool,
        anyio.create_task_group() as group,
    ):
        group.start_soon(collect, errors, pool, 10)
        group.start_soon(ask, errors, pool)
        with anyio.fail_after(60):
            while len(errors) < 10:
                await anyio.sleep(1)
        with pytest.raises(PoolClosedError, match="ZeroDivisionError"):
            await pool.solve(TASK)
    assert all(isinstance(error, PoolClosedError) for error in errors)
    assert all(error.ticket for error in errors)
    assert "please report" in caplog.text
    assert KEY not in caplog.text


async def test_a_balance_inquiry_is_answered_at_the_end() -> None:
    """It waits for a request like everybody else."""
    service = SimulatedService()
    service.inject(Fault.HANG, path="/getBalance")
    errors: list[EzCaptchaError] = []
    async with anyio.create_task_group() as group:
        async with open_pool(service) as pool:
            group.start_soon(ask, errors, pool)
            await anyio.sleep(0.5)
    assert [type(error) for error in errors] == [PoolClosedError]

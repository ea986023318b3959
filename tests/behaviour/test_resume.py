"""Paid tasks that are taken up again, here or in another process."""

from __future__ import annotations

import json
import time
from typing import Any

import anyio
import pytest

from ezcaptcha_async import (
    FuncaptchaSolution,
    FuncaptchaTaskProxyless,
    PoolClosedError,
    ResultWindowLapsedError,
    SolveTimeoutError,
    TaskNotFoundError,
    TicketCancelledError,
)
from ezcaptcha_async.testing import Fixed, SimulatedService

from .conftest import TASK, on_one_loop, open_pool


async def test_a_ticket_written_down_is_solved_by_another_pool() -> None:
    """A restarted scraper fetches what it has paid for, and pays nothing again."""
    service = SimulatedService(solve_times=Fixed(40))
    task = FuncaptchaTaskProxyless(website_url="https://example.com/x", website_key="site-key")
    async with open_pool(service) as pool:
        ticket = await pool.submit(task)
        await anyio.sleep(15)
        text = json.dumps(ticket.to_dict())
    async with open_pool(service) as pool:
        solution = await pool.resume(json.loads(text))
        assert pool.statistics().resumed == 1
        assert pool.statistics().created == 0
    assert isinstance(solution, FuncaptchaSolution)
    assert solution.receipt.task_id == ticket.task_id
    assert solution.receipt.points == 18
    assert service.summary().charges == 1
    assert service.summary().spacing_violations == 0


async def test_a_ticket_in_flight_can_be_resumed_beside_itself() -> None:
    """Two places that know one ticket must not poll it twice."""
    service = SimulatedService(solve_times=Fixed(20))
    async with open_pool(service) as pool:
        ticket = await pool.submit(TASK)
        solution = await pool.resume(ticket.to_dict())
        assert solution == await ticket
        assert await pool.resume(ticket) == solution
    assert service.summary().spacing_violations == 0


async def test_a_ticket_past_its_window_is_refused_at_once() -> None:
    """Asking the service for it would only earn an error."""
    service = SimulatedService()
    async with open_pool(service) as pool:
        saved = (await pool.submit(TASK)).to_dict()
        requests = service.summary().requests
        with pytest.raises(ResultWindowLapsedError) as caught:
            await pool.resume({**saved, "task_id": "other", "created_at": time.time() - 301})
        assert caught.value.task_id == "other"
        assert service.summary().requests == requests
        with pytest.raises(TaskNotFoundError) as unknown:
            await pool.resume({**saved, "task_id": "no-such-task"})
        assert unknown.value.task_id == "no-such-task"


async def test_resuming_with_a_timeout_leaves_the_ticket_resumable() -> None:
    """Running out of patience is not giving up the money."""
    service = SimulatedService(solve_times=Fixed(60))
    async with open_pool(service) as pool:
        with anyio.move_on_after(1):
            await pool.solve(TASK)
        (orphan,) = pool.orphans()
        with pytest.raises(SolveTimeoutError) as caught:
            await pool.resume(orphan, timeout=5)
        assert caught.value.ticket is not None
        assert [item.task_id for item in pool.orphans()] == [orphan.task_id]
        assert (await pool.resume(caught.value.ticket)).token


@pytest.mark.parametrize("end", ["timed out", "cancelled", "both"])
async def test_whoever_awaits_an_orphan_gets_its_solution(end: str) -> None:
    """He would be told what its last caller was told, of a task that is paid and can be fetched."""
    async with open_pool(SimulatedService(solve_times=Fixed(30))) as pool:
        ticket = await pool.submit(TASK, timeout=None if end == "cancelled" else 10)
        await anyio.sleep(5)
        if end != "timed out":
            ticket.cancel()
        await anyio.sleep(10)
        (orphan,) = pool.orphans()
        assert (orphan.done, orphan.state) == (False, "orphaned")
        told = SolveTimeoutError if end == "timed out" else TicketCancelledError
        with pytest.raises(told):
            await ticket
        assert (await orphan).receipt.task_id == ticket.task_id
        assert orphan.done
        assert (await ticket).token
        assert pool.statistics().created == pool.statistics().solved == 1


async def test_an_orphan_of_a_closed_pool_says_so() -> None:
    """Nothing polls it any more, so to wait for it would be for ever."""
    async with open_pool(SimulatedService(solve_times=Fixed(30))) as pool:
        await pool.submit(TASK, timeout=10)
        await anyio.sleep(15)
        (orphan,) = pool.orphans()
    with pytest.raises(PoolClosedError) as caught:
        await orphan
    assert caught.value.ticket == orphan.to_dict()


async def test_whoever_was_told_of_a_cancellation_is_not_drawn_into_the_next_wait() -> None:
    """A waiter would wait on for a ticket that somebody else took up in the very same turn."""
    service = SimulatedService(solve_times=Fixed(20))
    async with open_pool(service) as pool, anyio.create_task_group() as group:
        ticket = await pool.submit(TASK)
        told: list[float] = []

        async def wait() -> None:
            with pytest.raises(TicketCancelledError):
                await ticket
            told.append(anyio.current_time())

        group.start_soon(wait)
        await anyio.sleep(1)
        now = anyio.current_time()
        ticket.cancel()
        assert (await pool.resume(ticket)).token
        assert told == [now]


@on_one_loop
@pytest.mark.parametrize("ahead", [-3_600, -100, 0, 3_600])
@pytest.mark.parametrize("heard_ahead", [-3_600, 0, 20, 3_600])
async def test_a_ticket_of_a_machine_with_another_clock_is_polled(
    ahead: int, heard_ahead: int
) -> None:
    """No poll would go out until that clock's time had come, or a token be valid for an hour."""
    service = SimulatedService(solve_times=Fixed(20))
    async with open_pool(service) as pool:
        ticket = await pool.submit(TASK)
        await anyio.sleep(16)
        saved: dict[str, Any] = dict(ticket.to_dict())
    assert saved["processing_at"] is not None
    saved["created_at"] += ahead
    saved["processing_at"] += heard_ahead
    async with open_pool(service) as pool:
        began = anyio.current_time()
        if ahead == -3_600:
            with pytest.raises(ResultWindowLapsedError):
                await pool.resume(saved)
            return
        solution = await pool.resume(saved)
        assert anyio.current_time() - began < 40
        assert 0 < solution.remaining() <= 120
        assert solution.receipt.created_at <= (solution.receipt.processing_at or 0)

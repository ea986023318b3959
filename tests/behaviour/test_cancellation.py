"""Callers who go away: nothing paid is lost, nothing is left behind."""

from __future__ import annotations

from itertools import count
from random import Random

import anyio
import pytest

from ezcaptcha_async import TicketCancelledError
from ezcaptcha_async.testing import Fixed, SimulatedService, Uniform

from .conftest import TASK, open_pool, open_pool_directly
from .telemetry import Telemetry
from .virtual_time import at_turn


async def test_a_caller_cancelled_at_every_step_loses_nothing_paid() -> None:
    """Between two lines of ours a paid task would slip through, or a span stay open for ever."""
    for number in count(1):
        service, telemetry = SimulatedService(solve_times=Fixed(9.5)), Telemetry()
        solved = False
        async with open_pool(service, on_event=telemetry) as pool:
            with anyio.CancelScope() as scope:
                at_turn(number, scope.cancel)
                await pool.solve(TASK)
                solved = True
            await anyio.sleep(1)
            counts = pool.statistics()
            charged = service.summary().charges
            assert counts.created == charged
            assert counts.solved + counts.orphaned == charged
            assert len(pool.orphans()) == charged - solved
            assert counts.requests_in_flight == counts.queued == counts.creating == 0
            assert telemetry.is_over, number
            assert len(telemetry.spans) == 1
            for orphan in pool.orphans():
                assert (await pool.resume(orphan)).receipt.task_id == orphan.task_id
            assert service.summary().lost == 0
        if solved:
            break
    assert number > 8, "the way of a task has more turns of the event loop than that"


async def test_a_pool_left_at_every_step_answers_and_lists_what_was_paid() -> None:
    """A cancelled program would hang, forget what it has paid for, or never export its spans."""
    for number in count(1):
        service, telemetry = SimulatedService(solve_times=Fixed(9.5)), Telemetry()
        solved = False
        with anyio.CancelScope() as scope:
            at_turn(number, scope.cancel)
            async with open_pool(service, on_event=telemetry) as pool:
                await pool.solve(TASK)
                solved = True
        counts = pool.statistics()
        charged = service.summary().charges
        assert counts.created == charged
        assert len(pool.orphans()) == charged - solved
        assert counts.queued == counts.creating == counts.waiting == 0
        assert telemetry.is_over, number
        if solved and not scope.cancel_called:
            break
    assert number > 8


async def test_hundreds_cancelled_at_random_leave_nothing_behind() -> None:
    """Of so many cancelled callers: no coroutine, no open slot, no unlisted paid task."""
    service = SimulatedService(solve_times=Uniform(2, 20))
    rng = Random(3)
    delivered: list[str] = []
    async with open_pool_directly(service) as pool:

        async def caller(begin: float, patience: float) -> None:
            await anyio.sleep(begin)
            with anyio.move_on_after(patience):
                delivered.append((await pool.solve(TASK)).receipt.task_id)

        async with anyio.create_task_group() as group:
            for _ in range(300):
                # To 0.01 s: each moment of its own is a turn of the virtual clock.
                group.start_soon(caller, round(rng.uniform(0, 10), 2), rng.randrange(2_000) / 100)
        await anyio.sleep(1)  # creates in flight come to their end
        counts = pool.statistics()
        assert counts.requests_in_flight == counts.queued == counts.creating == 0
        assert counts.waiting == 0
        assert counts.created == service.summary().charges
        listed = {orphan.task_id for orphan in pool.orphans()}
        charged = {task.task_id for task in service.record.tasks}
        assert charged == listed | set(delivered)
        assert not listed & set(delivered)
        assert counts.created == counts.solved + counts.orphaned
        assert counts.cancelled + counts.created == 300
        await anyio.sleep(301)
        assert pool.orphans() == ()
        assert pool.statistics().lapsed == len(listed)


async def test_orphans_are_not_polled() -> None:
    """Nobody waits for them; polling costs requests that others need."""
    service = SimulatedService(solve_times=Fixed(30))
    async with open_pool(service) as pool:
        with anyio.move_on_after(2):
            await pool.solve(TASK)
        await anyio.sleep(100)
        assert service.summary().polls == 0
        (orphan,) = pool.orphans()
        assert orphan.state == "orphaned"
        assert (await orphan).token


async def test_a_submit_that_is_cancelled_leaves_an_orphan() -> None:
    """The ticket never reached the caller, so only the pool can know it."""
    service = SimulatedService()
    async with open_pool(service) as pool:
        with anyio.move_on_after(0.05):
            await pool.submit(TASK)
        await anyio.sleep(1)
        assert len(pool.orphans()) == service.summary().charges == 1


async def test_whoever_awaits_a_ticket_may_go_away() -> None:
    """The ticket is the user's own; the wait is not the task."""
    service = SimulatedService(solve_times=Fixed(30))
    async with open_pool(service) as pool:
        ticket = await pool.submit(TASK)
        with anyio.move_on_after(2):
            await ticket
        assert pool.orphans() == ()
        assert (await ticket).token


async def test_cancelling_a_ticket_tells_who_awaits_it() -> None:
    """Else they would wait to the end of the window for nothing."""
    service = SimulatedService(solve_times=Fixed(30))
    async with open_pool(service) as pool:
        ticket = await pool.submit(TASK)
        async with anyio.create_task_group() as group:

            async def wait() -> None:
                with pytest.raises(TicketCancelledError) as caught:
                    await ticket
                assert caught.value.ticket is not None

            group.start_soon(wait)
            await anyio.sleep(1)
            assert ticket.cancel()
        assert not ticket.cancel()
        assert (await pool.resume(ticket)).token
        assert not ticket.cancel()


@pytest.mark.parametrize("resumes", [True, False])
async def test_a_late_answer_for_an_orphan_is_kept(*, resumes: bool) -> None:
    """The poll was under way when the caller left; nothing is left to wait for, or to ask."""
    service = SimulatedService(solve_times=Fixed(5))
    async with open_pool(service, latency=2.0) as pool:
        with anyio.CancelScope() as caller:
            async with anyio.create_task_group() as group:
                group.start_soon(pool.solve, TASK)
                while not pool.statistics().polls:
                    await anyio.sleep(0.05)
                caller.cancel()
        await anyio.sleep(5)
        (orphan,) = pool.orphans()
        began = anyio.current_time()
        assert (await (pool.resume(orphan) if resumes else orphan)).token
        assert anyio.current_time() == began
        assert pool.statistics().solved == 1
    assert service.summary().polls == 1


async def test_an_orphan_resumed_in_mid_poll_is_not_polled_twice() -> None:
    """A second poll beside the first one would break the service's spacing."""
    service = SimulatedService(solve_times=Fixed(40))
    async with open_pool(service, latency=2.0) as pool:
        ticket = await pool.submit(TASK)
        while ticket.state != "polling":
            await anyio.sleep(0.05)
        ticket.cancel()
        await anyio.sleep(0.5)
        assert (await pool.resume(ticket)).token
    assert service.summary().spacing_violations == 0

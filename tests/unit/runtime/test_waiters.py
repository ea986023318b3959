"""An event loop, its waits for one answer and its deadlines, on asyncio and on trio."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import anyio
from anyio.lowlevel import checkpoint

from ezcaptcha_async._books import answer
from ezcaptcha_async._runtime.event_loop import current_event_loop, inherit, on_trio
from ezcaptcha_async.testing import VirtualTimeLoop


async def test_the_first_answer_stands() -> None:
    """A caller would be told of the second thing that happened in one turn of the loop."""
    waiter = current_event_loop().waiter()
    answer(waiter, "first")
    answer(waiter, "second")
    assert await waiter == "first"


async def test_whoever_was_cancelled_can_still_be_answered() -> None:
    """The whole pool would fail because one caller left in the moment of delivery."""
    waiter = current_event_loop().waiter()
    async with anyio.create_task_group() as group:

        async def wait() -> None:
            await waiter

        group.start_soon(wait)
        await checkpoint()
        group.cancel_scope.cancel()
    answer(waiter, "too late")


async def test_a_deadline_cuts_off_what_is_awaited() -> None:
    """A service that does not answer would hold a place for ever."""
    loop = current_event_loop()
    at = loop.clock() + 0.1
    with loop.deadline(at):
        await anyio.sleep_forever()
    assert loop.clock() >= at
    with loop.deadline(loop.clock() + 0.1):
        await anyio.sleep(0.01)
    await anyio.sleep(0.2)  # nothing of it is left


def test_a_deadline_is_not_early() -> None:
    """Asyncio lets timers go off together that are less apart than its clock can tell."""

    async def cut_off() -> None:
        loop = current_event_loop()
        at = loop.clock() + 1
        asyncio.get_running_loop().call_at(at - 5e-10, lambda: None)
        with loop.deadline(at):
            await anyio.sleep_forever()
        assert loop.clock() >= at

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(cut_off())


async def test_what_has_come_at_the_deadline_counts() -> None:
    """A task that was paid while the event loop stood still would be lost."""
    if on_trio():
        return  # it sees to that itself
    loop = current_event_loop()
    waiter, at = loop.waiter(), loop.clock() + 0.1
    asyncio.get_running_loop().call_at(at, answer, waiter, "in time")
    heard = None
    with loop.deadline(at):
        heard = await waiter
    assert heard == "in time"


async def test_what_goes_on_all_the_same_is_cut_off_again() -> None:
    """An HTTP client that takes a cancellation for a fault would try again, and never end."""
    loop, tries = current_event_loop(), 0
    with loop.deadline(loop.clock() + 0.1):
        while True:
            tries += 1
            if tries == 3:
                await anyio.sleep_forever()
            with suppress(anyio.get_cancelled_exc_class()):
                await anyio.sleep_forever()
    assert tries == 3


async def test_whoever_is_cancelled_at_the_deadline_stays_so() -> None:
    """A pool that is closed at that moment would go on with its requests."""
    loop = current_event_loop()
    at = loop.clock() + 0.1
    with anyio.CancelScope(deadline=at) as scope:
        with loop.deadline(at):
            await anyio.sleep_forever()
        await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_forked_child_knows_that_the_loop_is_its_parents() -> None:
    """It would use the connections of its parent."""
    loop = current_event_loop()
    assert loop.is_running
    inherit()  # as Python calls it in the child
    assert loop.is_inherited
    assert not loop.is_running
    assert current_event_loop().is_running, "the child's own"

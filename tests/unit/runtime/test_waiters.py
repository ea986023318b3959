"""An event loop and its waits for one answer, on asyncio and on trio."""

from __future__ import annotations

import anyio
from anyio.lowlevel import checkpoint

from ezcaptcha_async._books import answer
from ezcaptcha_async._runtime.event_loop import current_event_loop, inherit


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


async def test_a_forked_child_knows_that_the_loop_is_its_parents() -> None:
    """It would use the connections of its parent."""
    loop = current_event_loop()
    assert loop.is_running
    inherit()  # as Python calls it in the child
    assert loop.is_inherited
    assert not loop.is_running
    assert current_event_loop().is_running, "the child's own"

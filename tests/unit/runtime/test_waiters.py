"""One wait for one answer, on both event loops."""

from __future__ import annotations

import anyio
from anyio.lowlevel import checkpoint

from ezcaptcha_async._books import answer, refuse
from ezcaptcha_async._runtime.event_loop import current_event_loop


async def test_the_first_answer_stands() -> None:
    """A caller would be told of the second thing that happened in one turn of the loop."""
    waiter = current_event_loop().waiter()
    answer(waiter, "first")
    answer(waiter, "second")
    refuse(waiter, LookupError("third"))
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

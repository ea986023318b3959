"""A coroutine of the pool's own, beside whoever entered the pool.

The pool's requests must outlive the caller who asked for them: a task that was paid for
is not lost because its caller was cancelled, or because the pool is entered in one
asyncio task and left in another (as aiohttp's runner and pytest's fixtures do). A task
group in the caller's own task would give neither, so the pool's main coroutine is a
background task on asyncio and a system task on trio. It never lets an exception escape.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from anyio.lowlevel import EventLoopToken, current_token


class Host:
    """Runs one coroutine function in the background of the event loop that it is made in."""

    def __init__(self) -> None:
        self._token = current_token()
        self._finished = anyio.Event()
        self._scope = anyio.CancelScope()
        # asyncio itself keeps only a weak reference to a running task.
        self._task: Any = None

    @property
    def here(self) -> bool:
        """True in the event loop that the coroutine runs in."""
        return current_token() == self._token

    def start(self, main: Callable[[], Awaitable[None]]) -> None:
        """Start `main` in the background; it must answer for its own exceptions."""

        async def run() -> None:
            try:
                with self._scope:
                    await main()
            finally:
                self._finished.set()

        if _on_trio(self._token):
            import trio  # noqa: PLC0415  # there when it is the one that runs us

            self._task = trio.lowlevel.spawn_system_task(run)
        else:
            self._task = asyncio.get_running_loop().create_task(run())

    async def stop(self) -> None:
        """Cancel the coroutine and wait until it has ended."""
        self._scope.cancel()
        with anyio.CancelScope(shield=True):
            await self._finished.wait()


def current_clock() -> Callable[[], float]:
    """Return the current event loop's own clock.

    Twenty times as fast as asking ``anyio.current_time``, which looks for the running loop
    first; every poll reads the clock several times.
    """
    if _on_trio(current_token()):
        import trio  # noqa: PLC0415  # there when it is the one that runs us

        return trio.current_time
    return asyncio.get_running_loop().time


def _on_trio(token: EventLoopToken) -> bool:
    return "trio" in type(token.native_token).__module__

"""A coroutine of the pool's own, beside whoever entered the pool.

The pool's requests must outlive the caller who asked for them: a task that was paid for
is not lost because its caller was cancelled, or because the pool is entered in one
asyncio task and left in another (as aiohttp's runner and pytest's fixtures do). A task
group in the caller's own task would give neither, so the pool's main coroutine is a
background task on asyncio and a system task on trio. It never lets an exception escape.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from ezcaptcha_async._event_loop import EventLoop


class Host:
    """Runs one coroutine function in the background of an event loop."""

    def __init__(self, loop: EventLoop) -> None:
        self._loop = loop
        self._finished = anyio.Event()
        self._scope = anyio.CancelScope()

    def start(self, main: Callable[[], Awaitable[None]]) -> None:
        """Start `main` in the background; it must answer for its own exceptions."""

        async def run() -> None:
            try:
                with self._scope:
                    await main()
            finally:
                self._finished.set()

        self._loop.spawn(run)

    async def stop(self) -> None:
        """Cancel the coroutine and wait until it has ended."""
        self._scope.cancel()
        with anyio.CancelScope(shield=True):
            await self._finished.wait()

"""The event loop that a pool belongs to, asyncio's or trio's: its clock, and ways to wait.

anyio has all of this too, and finds out anew at each call which loop is running. A pool
lives in one loop, reads its clock several times for each poll and starts a wait for each
caller, so it asks once: a wait is then one object instead of six, a look at the clock
twenty times as fast, and thousands of callers that start at once delay nobody.
"""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, Protocol

import anyio
from anyio.lowlevel import checkpoint

from ezcaptcha_async._importing import do_in_thread, on_trio


class Waiter(Awaitable[Any], Protocol):
    """One wait for one answer, which is given as to a future: see `_books.answer`."""

    def done(self) -> bool: ...

    def set_result(self, result: Any, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...


class EventLoop(ABC):
    """What the library needs of an event loop besides anyio.

    Args:
        current: Returns what stands for the loop that it is called in; RuntimeError where none is.
    """

    clock: Callable[[], float]
    """The loop's own clock, in seconds."""

    waiter: Callable[[], Waiter]
    """Returns a new wait."""

    def __init__(self, current: Callable[[], object]) -> None:
        self._process = os.getpid()
        self._current = current
        self._own = current()

    @property
    def is_running(self) -> bool:
        """True when whoever asks runs in this very loop."""
        try:
            return self._current() is self._own and os.getpid() == self._process
        except RuntimeError:
            return False

    @property
    def is_inherited(self) -> bool:
        """True in a process that was forked later: it has a copy of the loop, and of its sockets.

        The other ends of those are still the parent's, so the copy must leave them alone.
        """
        return os.getpid() != self._process

    @abstractmethod
    def spawn(self, run: Callable[[], Awaitable[None]]) -> None:
        """Start a coroutine function in the background; it must not raise."""


def current_event_loop() -> EventLoop:
    """Return the event loop that this is called in."""
    return _TrioLoop() if on_trio() else _AsyncioLoop()


async def prepare_anyio(*, in_thread: bool) -> None:
    """Have anyio import, once a process, what it needs for asyncio: 15 to 50 ms.

    It does so at its first use. In a worker thread, the event loop does not stand still for it;
    but a virtual clock would run on meanwhile, so where no real client is opened, it is given
    turns of its own.
    """
    if on_trio() or "anyio._backends._asyncio" in sys.modules:
        return
    import asyncio  # noqa: PLC0415 - it is what runs

    if in_thread:
        await do_in_thread(partial(anyio.run, checkpoint))
    else:
        _ = anyio.CancelScope  # which has anyio import the first part of it
        await asyncio.sleep(0)
        await checkpoint()


class _AsyncioLoop(EventLoop):
    def __init__(self) -> None:
        import asyncio  # noqa: PLC0415 - nothing for those who have trio

        super().__init__(asyncio.get_running_loop)
        self._loop = asyncio.get_running_loop()
        self.clock = self._loop.time
        self.waiter = self._loop.create_future
        # asyncio itself keeps only a weak reference to a running task.
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, run: Callable[[], Awaitable[None]]) -> None:
        async def background() -> None:
            await run()

        task = self._loop.create_task(background())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _TrioLoop(EventLoop):
    def __init__(self) -> None:
        import trio  # noqa: PLC0415 - may be missing where asyncio runs

        super().__init__(trio.lowlevel.current_trio_token)
        self._lowlevel = trio.lowlevel
        self.clock = trio.current_time
        self.waiter = _TrioWaiter

    def spawn(self, run: Callable[[], Awaitable[None]]) -> None:
        self._lowlevel.spawn_system_task(run)


class _TrioWaiter:
    __slots__ = ("_answered", "_error", "_outcome")

    def __init__(self) -> None:
        self._answered = anyio.Event()
        self._outcome: Any = None
        self._error: BaseException | None = None

    def done(self) -> bool:
        return self._answered.is_set()

    def set_result(self, result: Any, /) -> None:
        self._outcome = result
        self._answered.set()

    def set_exception(self, exception: BaseException, /) -> None:
        self._error = exception
        self._answered.set()

    def __await__(self) -> Generator[Any, Any, Any]:
        yield from self._answered.wait().__await__()
        if self._error is not None:
            raise self._error
        return self._outcome

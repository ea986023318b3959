"""The event loop that a pool belongs to, asyncio's or trio's: its clock, and ways to wait.

anyio has all of this too, and finds out anew at each call which loop is running. A pool
lives in one loop, reads its clock several times for each poll and starts a wait for each
caller, so it asks once: a wait is then one object instead of six, a look at the clock
twenty times as fast, a deadline three times, and thousands of callers that start at once
delay nobody.
"""

from __future__ import annotations

import asyncio
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any, Final, Protocol
from weakref import WeakSet

import anyio
from anyio.lowlevel import checkpoint


class Waiter(Awaitable[Any], Protocol):
    """One wait for one answer, which is given as to a future: see `_books.answer`."""

    def done(self) -> bool: ...

    def set_result(self, result: Any, /) -> None: ...


class EventLoop(ABC):
    """What the library needs of an event loop besides anyio.

    Args:
        current: Returns what stands for the loop that it is called in; RuntimeError where none is.
    """

    clock: Callable[[], float]
    """The loop's own clock, in seconds."""

    waiter: Callable[[], Waiter]
    """Returns a new wait."""

    deadline: Callable[[float], AbstractContextManager[object]]
    """Returns what cuts off, at a time on the clock, whatever is awaited within it."""

    is_inherited = False
    """True in a process that was forked later: it has a copy of the loop, and of its sockets.

    The other ends of those are still the parent's, so the copy must leave them alone.
    """

    def __init__(self, current: Callable[[], object]) -> None:
        self._current = current
        self._own = current()
        _LOOPS.add(self)

    @property
    def is_running(self) -> bool:
        """True when whoever asks runs in this very loop."""
        try:
            return self._current() is self._own and not self.is_inherited
        except RuntimeError:
            return False

    @abstractmethod
    def spawn(self, run: Callable[[], Awaitable[None]]) -> None:
        """Start a coroutine function in the background; it must not raise."""


_LOOPS: Final = WeakSet[EventLoop]()


def inherit() -> None:
    """Note that this process is a forked child: the event loops that it has are its parent's."""
    for loop in _LOOPS:
        loop.is_inherited = True


if sys.platform == "win32":
    pass  # nothing forks there
else:
    os.register_at_fork(after_in_child=inherit)


def current_event_loop() -> EventLoop:
    """Return the event loop that this is called in."""
    return _TrioLoop() if on_trio() else _AsyncioLoop()


def on_trio() -> bool:
    """Return whether it is trio that runs, and not asyncio."""
    # Not asked of anyio, which would first import what it needs for asyncio.
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())


async def prepare_anyio() -> None:
    """Have anyio import in a worker thread, once a process, what it needs for asyncio.

    It does so at its first use, and the event loop would stand still for 15 to 50 ms.
    """
    if not on_trio() and "anyio._backends._asyncio" not in sys.modules:
        await asyncio.to_thread(anyio.run, checkpoint)


class _AsyncioLoop(EventLoop):
    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop)
        self._loop = asyncio.get_running_loop()
        self.clock = self._loop.time
        self.waiter = self._loop.create_future
        self.deadline = partial(_AsyncioDeadline, self._loop)
        # asyncio itself keeps only a weak reference to a running task.
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, run: Callable[[], Awaitable[None]]) -> None:
        async def background() -> None:
            await run()

        task = self._loop.create_task(background())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


_current_task: Final[Callable[[], Any]] = asyncio.current_task


class _AsyncioDeadline:
    __slots__ = ("_alarm", "_at", "_before", "_cancels", "_loop", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop, at: float) -> None:
        self._loop = loop
        self._at = at
        self._cancels = 0

    def __enter__(self) -> None:
        self._task = _current_task()
        self._before = self._task.cancelling()
        self._alarm: asyncio.Handle = self._loop.call_at(self._at, self._cut_off)

    def _cut_off(self) -> None:
        if self._loop.time() < self._at:  # by less than the resolution of its clock
            self._alarm = self._loop.call_at(self._at, self._cut_off)
            return
        # What has come by now counts: the loop may have stood still meanwhile.
        waits_for = self._task._fut_waiter  # noqa: SLF001 - as anyio finds it out
        if waits_for is None or not waits_for.done():
            self._cancels += 1
            self._task.cancel()
        self._alarm = self._loop.call_soon(self._cut_off)  # where it goes on all the same

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._alarm.cancel()
        for _ in range(self._cancels):
            self._task.uncancel()
        is_ours = self._cancels > 0 and self._task.cancelling() <= self._before
        return is_ours and exc_type is asyncio.CancelledError


class _TrioLoop(EventLoop):
    def __init__(self) -> None:
        import trio  # noqa: PLC0415 - may be missing where asyncio runs

        super().__init__(trio.lowlevel.current_trio_token)
        self._lowlevel = trio.lowlevel
        self.clock = trio.current_time
        self.waiter = _TrioWaiter
        self.deadline = lambda at: trio.CancelScope(deadline=at)

    def spawn(self, run: Callable[[], Awaitable[None]]) -> None:
        self._lowlevel.spawn_system_task(run)


class _TrioWaiter:
    __slots__ = ("_answered", "_outcome")

    def __init__(self) -> None:
        self._answered = anyio.Event()
        self._outcome: Any = None

    def done(self) -> bool:
        return self._answered.is_set()

    def set_result(self, result: Any, /) -> None:
        self._outcome = result
        self._answered.set()

    def __await__(self) -> Generator[Any, Any, Any]:
        yield from self._answered.wait().__await__()
        return self._outcome

"""An asyncio event loop whose clock jumps to the next timer instead of waiting for it.

What takes minutes takes milliseconds, and exactly the same ones each time. trio brings its
own: ``MockClock(autojump_threshold=0)``.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

import sniffio
import trio


class DeadlockError(RuntimeError):
    """Every coroutine waits and no timer is set: a real program would hang for ever."""


class _JumpingSelector(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if events:
            return events
        if timeout is None:
            raise DeadlockError("every coroutine waits and no timer is set")
        self.now += max(0.0, timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop on virtual time, which begins at 1,000 s."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        self._jumping.now = 1_000.0
        self._countdown: _Countdown | None = None
        super().__init__(self._jumping)

    def _run_once(self) -> None:
        if self._countdown is not None:
            self._countdown.after_io_wait()
        super()._run_once()

    def at_turn(self, number: int, call: Callable[[], None]) -> None:
        """See the function of this name."""
        self._countdown = _Countdown(number, call)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._jumping.now


class _Countdown(trio.abc.Instrument):
    def __init__(self, turns: int, call: Callable[[], None]) -> None:
        self._turns = turns
        self._call = call

    def after_io_wait(self, timeout: float = 0.0) -> None:
        self._turns -= 1
        if self._turns == 0:
            self._call()


def at_turn(number: int, call: Callable[[], None]) -> None:
    """Call something before so many turns of the event loop from now, whichever loop it is."""
    if sniffio.current_async_library() == "trio":
        trio.lowlevel.add_instrument(_Countdown(number, call))
        return
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.at_turn(number, call)

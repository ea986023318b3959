"""An asyncio event loop whose clock jumps to the next timer instead of waiting for it.

What takes minutes takes milliseconds, and exactly the same ones each time. trio brings its
own: ``MockClock(autojump_threshold=0)``.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


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
        super().__init__(self._jumping)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._jumping.now

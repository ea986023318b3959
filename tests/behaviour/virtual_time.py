"""Turns of an event loop on virtual time, counted; the same for asyncio and trio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import sniffio
import trio

from ezcaptcha_async.testing import VirtualTimeLoop


class _Countdown(trio.abc.Instrument):
    def __init__(self, turns: int, call: Callable[[], None]) -> None:
        self._turns = turns
        self._call = call

    def after_io_wait(self, timeout: float = 0.0) -> None:
        self._turns -= 1
        if self._turns == 0:
            self._call()


class CountingLoop(VirtualTimeLoop):
    """Counts its turns."""

    countdown: _Countdown | None = None

    def _run_once(self) -> None:
        if self.countdown is not None:
            self.countdown.after_io_wait()
        super()._run_once()


def at_turn(number: int, call: Callable[[], None]) -> None:
    """Call something before so many turns of the event loop from now, whichever loop it is."""
    countdown = _Countdown(number, call)
    if sniffio.current_async_library() == "trio":
        trio.lowlevel.add_instrument(countdown)
        return
    loop = asyncio.get_running_loop()
    assert isinstance(loop, CountingLoop)
    loop.countdown = countdown

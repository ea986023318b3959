"""An asyncio event loop whose clock jumps to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import re
import selectors
import threading
from typing import Any, Final

_BEGIN: Final = 1_000.0

_WORKER: Final = re.compile(r"AnyIO worker thread|asyncio_|.*\(_do_shutdown\)")
"""How threads are called that work for coroutines, or wait for such threads."""
_PATIENCE: Final = 10.0
"""Real seconds for which such a thread is waited for, such as one that imports an HTTP client."""


class DeadlockError(RuntimeError):
    """Every coroutine waits and no timer is set: a real program would hang for ever.

    Example:
        >>> with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        ...     try:
        ...         runner.run(asyncio.Event().wait())  # which nobody sets
        ...     except DeadlockError as error:
        ...         print(error)
        every coroutine waits and no timer is set
    """


class _JumpingSelector(selectors.DefaultSelector):
    now = _BEGIN

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if events:
            return events
        if timeout is None:
            if any(map(_WORKER.match, (thread.name for thread in threading.enumerate()))):
                events = super().select(_PATIENCE)
            if not events:
                raise DeadlockError("every coroutine waits and no timer is set")
            return events
        self.now += max(0.0, timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop on virtual time, which begins at 1,000 s.

    For what happens in one process and one thread: while a real socket is waited for, or a
    thread beside a timer, the clock would jump ahead.

    Raises:
        DeadlockError: From ``run``: every coroutine waits and nothing will wake any.

    Example:
        >>> with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        ...     runner.run(asyncio.sleep(3_600))  # returns at once
        ...     runner.get_loop().time()
        4600.0
    """

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        # From 2**24 s on, 1 ns is lost in a float: a timer that is due would stay so for ever.
        self._clock_resolution = 1e-6

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002 - as it is inherited
        """Wait for the threads of ``to_thread``, without a timer that ends at once here."""
        await super().shutdown_default_executor()

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._jumping.now

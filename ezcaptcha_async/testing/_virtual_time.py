"""An asyncio event loop whose clock jumps to the next timer instead of waiting for it.

What takes minutes takes milliseconds, and exactly the same ones each time::

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())

    def pytest_asyncio_loop_factories(config, item):  # in conftest.py, for pytest-asyncio
        return {"virtual": VirtualTimeLoop}

    @pytest.fixture
    def anyio_backend():  # for tests that run under anyio's pytest plugin
        return "asyncio", {"loop_factory": VirtualTimeLoop}

trio brings its own: ``trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))``,
which pytest-trio gives to a test that has the argument ``autojump_clock``.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

_BEGIN = 1_000.0


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
            raise DeadlockError("every coroutine waits and no timer is set")
        self.now += max(0.0, timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop on virtual time, which begins at 1,000 s.

    For what happens in one process and one thread: while a thread or a real socket is
    waited for, the clock would jump ahead.

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

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._jumping.now

"""Running a coroutine function so that Ctrl-C, SIGTERM and SIGHUP end it in good order."""

from __future__ import annotations

import importlib.util
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, Generic, TypeVar

import anyio
import attrs
from anyio.abc import TaskStatus

from ezcaptcha_async import PoolClosedError, SavedTicket, SessionPool
from ezcaptcha_async.cli.failures import Interrupted
from ezcaptcha_async.cli.options import Backend

T = TypeVar("T")
_ENDING: Final = [item for item in signal.Signals if item.name in ("SIGINT", "SIGTERM", "SIGHUP")]


@attrs.define(eq=False)
class _Watched(Generic[T]):
    """What came of it; one of the three is set."""

    value: tuple[T] | None = None
    failure: Exception | None = None
    signum: int = signal.SIGINT

    async def guard(
        self, work: Callable[[], Awaitable[T]], beside: Callable[[], Awaitable[None]] | None
    ) -> None:
        async with anyio.create_task_group() as group:
            await group.start(self._watch, group.cancel_scope)
            if beside is not None:
                group.start_soon(self._attempt, beside, group.cancel_scope)
            await self._attempt(partial(self._do, work), group.cancel_scope)
            group.cancel_scope.cancel()

    async def _do(self, work: Callable[[], Awaitable[T]]) -> None:
        self.value = (await work(),)

    async def _attempt(self, call: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
        try:
            await call()
        except Exception as failure:  # noqa: BLE001 - raised again, outside our group
            self.failure = self.failure or failure
            scope.cancel()

    async def _watch(self, scope: anyio.CancelScope, *, task_status: TaskStatus[None]) -> None:
        try:
            # What whoever started this has told it to ignore, such as nohup, it does.
            heeded = (item for item in _ENDING if signal.getsignal(item) != signal.SIG_IGN)
            with anyio.open_signal_receiver(*heeded) as signals:
                task_status.started()
                self.signum = await anext(signals)
        except NotImplementedError:
            # asyncio on Windows: there Ctrl-C cancels the coroutine by itself.
            task_status.started()
            return
        # From here on the signals do what they always do: a second one ends it at once.
        scope.cancel()


def run_async(
    work: Callable[[], Awaitable[T]],
    *,
    beside: Callable[[], Awaitable[None]] | None = None,
    backend: Backend = "asyncio",
) -> T:
    """Run `work` in an event loop of its own and return what it returns.

    On asyncio that is uvloop where it is installed: here nobody else has a say in it.
    The first signal cancels `work`, which may clean up; a second one does not wait for that.
    What is to run beside ends with it, and what either of them raises ends both.

    Raises:
        Interrupted: By SIGINT, SIGTERM or SIGHUP.
    """
    run: _Watched[T] = _Watched()
    has_uvloop = backend == "asyncio" and importlib.util.find_spec("uvloop") is not None
    options = {"use_uvloop": True} if has_uvloop else {}
    forced = False
    try:
        anyio.run(run.guard, work, beside, backend=backend, backend_options=options)
    except* KeyboardInterrupt:  # alone, or in the group of whoever was running
        forced = True
    if run.failure is not None:
        raise run.failure
    if forced or run.value is None:
        raise Interrupted(signal.SIGINT if forced else run.signum)
    return run.value[0]


def paid_tickets(pool: SessionPool) -> tuple[SavedTicket, ...]:
    """Return the paid tasks of a pool that are still to be fetched, also after it was closed."""
    try:
        return tuple(ticket.to_dict() for ticket in pool.orphans())
    except PoolClosedError:  # never opened
        return ()

"""Running a coroutine function so that Ctrl-C, SIGTERM and SIGHUP end it in good order."""

from __future__ import annotations

import importlib.util
import signal
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import anyio
from anyio.abc import TaskStatus

from ezcaptcha_async import PoolClosedError, SavedTicket, SessionPool
from ezcaptcha_async.cli.failures import Interrupted
from ezcaptcha_async.cli.options import Backend

T = TypeVar("T")
_ENDING: Final = [item for item in signal.Signals if item.name in ("SIGINT", "SIGTERM", "SIGHUP")]


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
    values: list[T] = []
    failures: list[Exception] = []
    signums: list[int] = []

    async def do() -> None:
        values.append(await work())

    async def attempt(call: Callable[[], Awaitable[None]], scope: anyio.CancelScope) -> None:
        try:
            await call()
        except Exception as failure:  # noqa: BLE001 - raised again, outside our group
            failures.append(failure)
            scope.cancel()

    async def guard() -> None:
        async with anyio.create_task_group() as group:
            await group.start(_watch, group.cancel_scope, signums)
            if beside is not None:
                group.start_soon(attempt, beside, group.cancel_scope)
            await attempt(do, group.cancel_scope)
            group.cancel_scope.cancel()

    has_uvloop = backend == "asyncio" and importlib.util.find_spec("uvloop") is not None
    options = {"use_uvloop": True} if has_uvloop else {}
    try:
        anyio.run(guard, backend=backend, backend_options=options)
    except* KeyboardInterrupt:  # alone, or in the group of whoever was running
        signums, values = [signal.SIGINT], []
    if failures:
        raise failures[0]
    if not values:
        raise Interrupted(next(iter(signums), signal.SIGINT))
    return values[0]


async def _watch(
    scope: anyio.CancelScope, signums: list[int], *, task_status: TaskStatus[None]
) -> None:
    """Cancel a scope by the first signal, and note which that was."""
    try:
        # What whoever started this has told it to ignore, such as nohup, it does.
        heeded = (item for item in _ENDING if signal.getsignal(item) != signal.SIG_IGN)
        with anyio.open_signal_receiver(*heeded) as signals:
            task_status.started()
            signums.append(await anext(signals))
    except NotImplementedError:
        # asyncio on Windows: there Ctrl-C cancels the coroutine by itself.
        task_status.started()
        return
    # From here on the signals do what they always do: a second one ends it at once.
    scope.cancel()


def paid_tickets(pool: SessionPool) -> tuple[SavedTicket, ...]:
    """Return the paid tasks of a pool that are still to be fetched, also after it was closed."""
    try:
        return tuple(ticket.to_dict() for ticket in pool.orphans())
    except PoolClosedError:  # never opened
        return ()

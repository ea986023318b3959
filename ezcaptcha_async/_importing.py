"""Imports what takes long, so that no event loop stands still for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from importlib import import_module


def on_trio() -> bool:
    """Return whether it is trio that runs, and not asyncio."""
    # Not asked of anyio, which would first import what it needs for asyncio.
    trio = sys.modules.get("trio")
    return trio is not None and bool(trio.lowlevel.in_trio_task())


async def import_all(modules: Iterable[str], *, in_thread: bool = False) -> None:
    """Import modules, once a process.

    Args:
        modules: Their names; each after those that it imports, so that no turn is long.
        in_thread: Whether a worker thread does it, beside the event loop. A virtual clock would
            run on meanwhile, so where one may be in use, each module has a turn of its own.
    """
    missing = [name for name in modules if name not in sys.modules]
    if missing and in_thread:
        await do_in_thread(lambda: [import_module(name) for name in missing])
        return
    for name in missing:
        import_module(name)
        await _pause()


async def do_in_thread(work: Callable[[], object]) -> None:
    """Do something in a worker thread, which ends with it.

    Not in one of asyncio's own: an event loop that has begun with those waits for them at its end,
    and that would be for ever where a child was forked that has closed its copy of the loop.
    """
    if on_trio():
        import trio  # noqa: PLC0415 - an extra: only where trio runs is it surely there

        await trio.to_thread.run_sync(work)
        return
    import asyncio  # noqa: PLC0415 - 15 ms, and trio does without it
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - it imports logging, 5 ms

    threads = ThreadPoolExecutor(max_workers=1)
    try:
        await asyncio.get_running_loop().run_in_executor(threads, work)
    finally:
        threads.shutdown(wait=False)


async def _pause() -> None:
    if on_trio():
        import trio  # noqa: PLC0415 - an extra: only where trio runs is it surely there

        await trio.lowlevel.checkpoint()
    else:
        import asyncio  # noqa: PLC0415 - 15 ms, and trio does without it

        await asyncio.sleep(0)

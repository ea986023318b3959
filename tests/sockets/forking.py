"""A program that forks in the middle of using a pool, for `test_forked`.

    python -m tests.sockets.forking use|exit BACKEND CLIENT URL JOURNAL

With ``use`` the child tries all that a pool can do on its parent's pool, with ``exit`` it
exits as programs do, by way of all that was entered. Then the parent goes on; what both
found out is printed as JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import anyio
import attrs

from ezcaptcha_async import EZCAPTCHA, PollPolicy, ReCaptchaV2TaskProxyless, SessionPool, Ticket

from .clients import LONG_WINDOW, SPEED

KEY: Final = "a-client-key"
TASK: Final = ReCaptchaV2TaskProxyless(website_url="https://example.com", website_key="k")
POLLING: Final = PollPolicy().at_speed(SPEED)
PATIENCE: Final = 30.0


def _new_pool(client: str, url: str, journal: str) -> SessionPool:
    service = EZCAPTCHA.at_speed(SPEED)
    service = attrs.evolve(service, base_url=url, result_window=LONG_WINDOW / SPEED)
    return SessionPool(KEY, service=service, polling=POLLING, transport=client, journal=journal)


async def _found(call: Callable[[], Awaitable[Any]]) -> str:
    """Return what comes of a call, in one word and what it says."""
    try:
        with anyio.fail_after(PATIENCE):
            await call()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        return f"{type(error).__name__}: {error}"
    return "done"


async def _findings(pool: SessionPool, waiting: Ticket[Any], solved: Ticket[Any]) -> dict[str, str]:
    """Try everything on a pool, and return what came of it."""

    async def solve_many() -> None:
        async with pool.solve_many([TASK]) as outcomes:
            async for outcome in outcomes:
                if outcome.error is not None:
                    raise outcome.error

    async def wait_for(ticket: Ticket[Any]) -> None:
        await ticket

    async def reopen() -> None:
        pool.reopen()

    return {
        "solve": await _found(lambda: pool.solve(TASK)),
        "submit": await _found(lambda: pool.submit(TASK)),
        "resume": await _found(lambda: pool.resume(waiting.to_dict())),
        "solve_many": await _found(solve_many),
        "balance": await _found(pool.balance),
        "reopen": await _found(reopen),
        "waiting": await _found(lambda: wait_for(waiting)),
        "solved": await _found(lambda: wait_for(solved)),
        "aclose": await _found(pool.aclose),
    }


async def _solve_anew(client: str, url: str, journal: str) -> int:
    """Solve a task in a pool of one's own, and return how many requests it took."""
    async with _new_pool(client, url, journal) as pool:
        await pool.solve(TASK)
    return pool.statistics().requests


async def _in_child(
    pool: SessionPool, waiting: Ticket[Any], solved: Ticket[Any], *where: str
) -> dict[str, Any]:
    found: dict[str, Any] = {"child": await _findings(pool, waiting, solved), "anew": 0}
    if not where:
        await anyio.sleep(0.5)  # the time of several polls
        return found
    client, url, journal = where
    found["same_journal"] = await _found(lambda: _solve_anew(client, url, journal))
    found["anew"] = await _solve_anew(client, url, f"{journal}.2")
    return found


async def _print_findings(
    backend: str, pool: SessionPool, waiting: Ticket[Any], solved: Ticket[Any], *where: str
) -> None:
    # asyncio knows that its loop is not the child's; trio goes on in both.
    if backend == "asyncio":
        found = asyncio.run(_in_child(pool, waiting, solved, *where))
    else:
        found = await _in_child(pool, waiting, solved)
    print(json.dumps(found), flush=True)  # noqa: T201


async def _let_a_child_exit() -> None:
    """Fork a child that exits as programs do, and wait for it.

    In a callback of the event loop: in Python 3.14 a child that exits in a coroutine hangs, with
    or without a pool. asyncio forgets there which loop runs, complains of that in place of
    ``SystemExit``, and the loop runs on.
    """
    over = anyio.Event()

    def fork() -> None:
        child = os.fork()
        if not child:
            sys.exit()
        os.waitpid(child, 0)
        over.set()

    asyncio.get_running_loop().call_soon(fork)
    await over.wait()


async def _fork(mode: str, backend: str, client: str, url: str, journal: str) -> None:
    async with _new_pool(client, url, journal) as pool:
        solved, waiting = await pool.submit(TASK), await pool.submit(TASK)
        while not solved.done:
            await anyio.sleep(0.01)
        later = await pool.submit(TASK)
        while pool.statistics().requests_in_flight:
            await anyio.sleep(0.001)
        written = Path(journal).read_bytes()
        if mode == "exit":
            await _let_a_child_exit()
        elif child := os.fork():
            os.waitpid(child, 0)  # noqa: ASYNC222 - only the child is to do anything meanwhile
        else:
            try:
                await _print_findings(backend, pool, later, solved, client, url, journal)
            finally:
                os._exit(0)
        untouched = Path(journal).read_bytes() == written
        for ticket in (solved, waiting, later):
            await ticket
        await pool.solve(TASK)
        counts = pool.statistics()
    parent = {
        "untouched": untouched,
        "solved": counts.solved,
        "unknown": counts.unknown,
        "requests": pool.statistics().requests,
    }
    print(json.dumps(parent), flush=True)  # noqa: T201


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    mode, backend, *where = sys.argv[1:]
    anyio.run(_fork, mode, backend, *where, backend=backend)

"""What a program waits for at its start: imports, the command line, the first pool, many tasks.

    python benchmarks/starting.py

Each start is a process of its own; its CPU time is the median of several, after one that
writes the compiled files. Then, in a process of its own for each HTTP client, the first pool
and the second are opened, and once more 200 of them: CPU time, and for how long the event
loop stood still. Last, as many callers as are asked for call ``solve()`` at once, beside as
many coroutines that do nothing: CPU time for one, and the longest turn of the event loop.

Aims: ``--version`` and ``completion`` at most 0.25 s, ``SessionPool`` at most half of httpx,
no stall above 50 ms, a second pool at most 5 ms, a start at most 15 µs.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import attrs

from ezcaptcha_async import EZCAPTCHA, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.transports import Evidence, Reply, RequestBody

TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")
SERVICE = attrs.evolve(EZCAPTCHA, base_url="http://127.0.0.1:9")

STARTS = {
    "python": ("-c", "pass"),
    "import httpx": ("-c", "import httpx"),
    "import ezcaptcha_async": ("-c", "import ezcaptcha_async"),
    "import SessionPool": ("-c", "from ezcaptcha_async import SessionPool"),
    "ezcaptcha --version": ("-m", "ezcaptcha_async.cli", "--version"),
    "ezcaptcha completion bash": ("-m", "ezcaptcha_async.cli", "completion", "bash"),
    "ezcaptcha --help": ("-m", "ezcaptcha_async.cli", "--help"),
}


def cpu_of_a_start(arguments: tuple[str, ...], rounds: int) -> float:
    """Return the CPU time of a process in seconds."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    figures = []
    for _ in range(1 + rounds):
        before = _cpu_of_children()
        subprocess.run(
            [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment
        )
        figures.append(_cpu_of_children() - before)
    return statistics.median(figures[1:])


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Turns:
    """How long the turns of the event loop were."""

    def __init__(self, clock: Callable[[], float], pause: float) -> None:
        self.longest = 0.0
        self._clock = clock
        self._pause = pause

    async def watch(self) -> None:
        """Note the longest one; runs until cancelled."""
        while True:
            before = self._clock()
            await asyncio.sleep(self._pause)
            self.longest = max(self.longest, self._clock() - before - self._pause)


@asynccontextmanager
async def turns_watched(clock: Callable[[], float], pause: float = 0.0) -> AsyncIterator[Turns]:
    """Watch the turns of the event loop meanwhile; without a pause, each of them."""
    turns = Turns(clock, pause)
    watcher = asyncio.create_task(turns.watch())
    await asyncio.sleep(0.02)
    turns.longest = 0.0
    yield turns
    await asyncio.sleep(0)
    watcher.cancel()


async def open_pools(transport: str) -> dict[str, float]:
    """Open one pool after the other, over one HTTP client, and return the figures."""
    figures = {}
    pools = []

    async def open_one() -> None:
        pools.append(await SessionPool("key", service=SERVICE, transport=transport).open())

    for name in ("first", "second"):
        async with turns_watched(time.perf_counter, 0.001) as turns:
            cpu = time.process_time()
            await open_one()
            figures[f"{name} pool, CPU ms"] = 1_000 * (time.process_time() - cpu)
        figures[f"{name} pool, longest stall, ms"] = 1_000 * turns.longest
    cpu = time.process_time()
    for _ in range(200):
        await open_one()
    figures["each of 200 pools, CPU ms"] = 1_000 * (time.process_time() - cpu) / 200
    for pool in pools:
        await pool.aclose()
    return figures


class Unanswered:
    """Answers nothing, so that what has begun stays in line."""

    max_requests = 1

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply:
        """Wait for ever."""
        return await asyncio.get_running_loop().create_future()

    async def aclose(self) -> None:
        """Nothing to close."""


async def begin(tasks: int) -> dict[str, float]:
    """Call ``solve()`` so many times at once, beside coroutines that do nothing."""

    async def nothing() -> None:
        await asyncio.get_running_loop().create_future()

    figures = {}
    pool = SessionPool("key", service=SERVICE, transport=Unanswered(), close_grace=0.1)
    async with pool:
        for name, call in (
            ("coroutines that do nothing", nothing),
            ("solve()", lambda: pool.solve(TASK)),
        ):
            figures |= await _begin(name, call, tasks, lambda: pool.statistics().queued)
    return figures


async def _begin(
    name: str, call: Callable[[], Awaitable[object]], tasks: int, queued: Callable[[], int]
) -> dict[str, float]:
    gc.collect()
    async with turns_watched(time.process_time) as turns:
        cpu = time.process_time()
        callers = [asyncio.ensure_future(call()) for _ in range(tasks)]
        await asyncio.sleep(0)
        while name == "solve()" and queued() < tasks - 1:
            await asyncio.sleep(0)
        cpu = time.process_time() - cpu
    for caller in callers:
        caller.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.gather(*callers, return_exceptions=True)
    return {
        f"{tasks:,} {name}, CPU µs each": 1e6 * cpu / tasks,
        f"{tasks:,} {name}, longest turn, CPU ms": 1_000 * turns.longest,
    }


def in_a_process(*arguments: str) -> dict[str, float]:
    """Measure in another process, where nothing is warm."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tasks", nargs="*", type=int, default=[1_000, 10_000, 50_000])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--open", choices=["aiohttp", "httpx"], help=argparse.SUPPRESS)
    parser.add_argument("--begin", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.open or options.begin:
        measured = open_pools(options.open) if options.open else begin(options.begin)
        print(json.dumps(asyncio.run(measured)))
        return
    figures = {
        f"{name}, CPU s": cpu_of_a_start(arguments, options.rounds)
        for name, arguments in STARTS.items()
    }
    for transport in ("httpx", "aiohttp"):
        found = in_a_process("--open", transport)
        figures |= {f"{transport}, {name}": figure for name, figure in found.items()}
    for tasks in options.tasks:
        figures |= in_a_process("--begin", str(tasks))
    if options.json:
        print(json.dumps(figures))
        return
    print(f"CPython {platform.python_version()}")
    for name, figure in figures.items():
        print(f"{name:>48}  {figure:>10,.2f}")


if __name__ == "__main__":
    main()

"""For how long the event loop stands still when one thing concerns thousands at once.

    python benchmarks/crowds.py

A key that is refused while thousands are in line, a ban that outlasts the window of thousands
that are paid, a pool that is closed with all of them, a journal that is written, rewritten and
read, and callers who are all cancelled; beside that, coroutines that do nothing and are
cancelled. A ticker of 1 ms watches. The transport answers at once, so that nothing else is in
the figures: the longest time without a tick, in CPU of this process, and what is left of it
without Python's garbage collector, which walks over all that is in flight.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import platform
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any, Self

import attrs

from ezcaptcha_async import EZCAPTCHA, PollPolicy, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.transports import Evidence, Reply, RequestBody

TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")
RARELY = PollPolicy(first_delay=300.0, interval=300.0, max_interval=300.0)
LONG = attrs.evolve(EZCAPTCHA, base_url="http://127.0.0.1:9", result_window=100_000.0)
PROCESSING = Reply(200, b'{"errorId":0,"status":"processing"}')


class InstantTransport:
    """Accepts every task and says ``processing`` for ever, unless it is told otherwise."""

    max_requests = 100

    def __init__(self) -> None:
        self.refusal: str | None = None
        self.open = asyncio.Event()
        self.open.set()
        self._ids = count()

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply:
        """Answer at once, or when it is opened."""
        await self.open.wait()
        if url.endswith("/getTaskResult"):
            return PROCESSING
        if self.refusal:
            return Reply(200, b'{"errorId":1,"errorCode":"%s"}' % self.refusal.encode())
        return Reply(200, b'{"errorId":0,"taskId":"8f14e45f-%028d"}' % next(self._ids))

    async def aclose(self) -> None:
        """Nothing to close."""


class Watch:
    """Ticks, and remembers the longest time in which it did not."""

    def __init__(self) -> None:
        self.longest = self.without_gc = 0.0
        self._collecting = self._since = 0.0

    async def __aenter__(self) -> Self:
        gc.collect()
        gc.callbacks.append(self._note)
        self._ticker = asyncio.create_task(self._tick())
        await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0.01)
        self._ticker.cancel()
        gc.callbacks.remove(self._note)

    async def _tick(self) -> None:
        while True:
            began, collected = time.process_time(), self._collecting
            await asyncio.sleep(0.001)
            took = time.process_time() - began
            self.longest = max(self.longest, took)
            self.without_gc = max(self.without_gc, took - (self._collecting - collected))

    def _note(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._since = time.process_time()
        else:
            self._collecting += time.process_time() - self._since


def _pool(transport: InstantTransport, **settings: Any) -> SessionPool:
    settings = {"service": LONG, "polling": RARELY, "close_grace": 5.0, **settings}
    return SessionPool("a-client-key", transport=transport, **settings)


async def _in_line(pool: SessionPool, number: int) -> list[asyncio.Task[Any]]:
    callers = [asyncio.create_task(pool.solve(TASK)) for _ in range(number)]
    while (counts := pool.statistics()).queued + counts.creating < number:
        await asyncio.sleep(0.01)
    return callers


async def _paid(pool: SessionPool, number: int) -> list[asyncio.Task[Any]]:
    callers = [asyncio.create_task(pool.solve(TASK)) for _ in range(number)]
    while pool.statistics().waiting < number:
        await asyncio.sleep(0.01)
    return callers


async def refused_key(number: int, watch: Watch) -> None:
    """The first answer says that the key is bad, and all others are in line."""
    transport = InstantTransport()
    transport.open.clear()
    transport.refusal = "ERROR_KEY_DOES_NOT_EXIST"
    async with _pool(transport) as pool:
        callers = await _in_line(pool, number)
        async with watch:
            transport.open.set()
            await asyncio.gather(*callers, return_exceptions=True)


async def ban_on_what_is_paid(number: int, watch: Watch) -> None:
    """A ban of ten minutes, and windows of five."""
    transport = InstantTransport()
    service = attrs.evolve(LONG, result_window=300.0)
    async with _pool(transport, service=service) as pool:
        callers = await _paid(pool, number)
        transport.refusal = "ERROR_IP_BANNED"
        async with watch:
            callers.append(asyncio.create_task(pool.solve(TASK)))
            await asyncio.gather(*callers, return_exceptions=True)


async def closing(number: int, watch: Watch) -> None:
    """A pool with paid tasks is closed: each of their callers gets a ticket."""
    pool = await _pool(InstantTransport()).open()
    callers = await _paid(pool, number)
    async with watch:
        await pool.aclose()
        await asyncio.gather(*callers, return_exceptions=True)


async def journal_written(number: int, watch: Watch) -> None:
    """Tasks are paid one after the other; the file is rewritten as it grows."""
    with tempfile.TemporaryDirectory() as folder:
        async with _pool(InstantTransport(), journal=Path(folder) / "paid.jsonl") as pool, watch:
            callers: list[asyncio.Task[Any]] = []
            for _ in range(0, number, 500):
                callers += [asyncio.create_task(pool.solve(TASK)) for _ in range(500)]
                while pool.statistics().waiting < len(callers):
                    await asyncio.sleep(0.001)
        await asyncio.gather(*callers, return_exceptions=True)


async def journal_read(number: int, watch: Watch) -> None:
    """The next process opens its pool on that journal."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"journal": Path(folder) / "paid.jsonl"}
        async with _pool(InstantTransport(), **settings) as pool:
            callers = await _paid(pool, number)
        await asyncio.gather(*callers, return_exceptions=True)
        async with watch, _pool(InstantTransport(), **settings):
            pass


async def cancelled(number: int, watch: Watch) -> None:
    """All callers give up in one moment: asyncio wakes them in one turn."""
    async with _pool(InstantTransport()) as pool:
        callers = await _paid(pool, number)
        async with watch:
            for caller in callers:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)


async def nothing_cancelled(number: int, watch: Watch) -> None:
    """The same with coroutines that wait for nothing else."""

    async def wait() -> None:
        await asyncio.get_running_loop().create_future()

    callers = [asyncio.create_task(wait()) for _ in range(number)]
    await asyncio.sleep(0.01)
    async with watch:
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)


CASES = {
    "a key is refused": refused_key,
    "a ban on what is paid": ban_on_what_is_paid,
    "a pool is closed": closing,
    "a journal is written": journal_written,
    "a journal is read": journal_read,
    "all callers are cancelled": cancelled,
    "coroutines that do nothing are": nothing_cancelled,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tasks", type=int, nargs="*", default=[10_000, 50_000])
    options = parser.parse_args()
    print(f"CPython {platform.python_version()}; longest time without a tick, ms of CPU")
    print(f"{'':>32}  {'tasks':>7}  {'longest':>8}  {'without gc':>10}")
    for name, case in CASES.items():
        for number in options.tasks:
            watch = Watch()
            asyncio.run(case(number, watch))
            longest, without_gc = 1_000 * watch.longest, 1_000 * watch.without_gc
            print(f"{name:>32}  {number:>7,}  {longest:>8.0f}  {without_gc:>10.0f}", flush=True)


if __name__ == "__main__":
    main()

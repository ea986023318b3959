"""A burst on real sockets: many tasks at once, and what the event loop feels of it.

    python benchmarks/burst.py

The simulated service runs in a process of its own on a loopback port, answers after 0.1 s,
and solves every task after 10 s. Aims, for 1,000 tasks: all solved, at most 32 connections,
the longest stall of the event loop at most 50 ms, at most 17 s in all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import attrs
import httpx
from elsewhere import served_by

from ezcaptcha_async import EZCAPTCHA, PollPolicy, ReCaptchaV2TaskProxyless, SessionPool

TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")

_SERVER = """
import sys
from ezcaptcha_async.testing import Fixed, SimulatedService, run
seconds, latency = map(float, sys.argv[1:])
run(
    SimulatedService(solve_times=Fixed(seconds)),
    latency=latency,
    on_ready=lambda server: print(server.url, flush=True),
)
"""


class Stalls:
    """Measures for how long the event loop does not come round."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        """Note the longest delay beyond 1 ms of sleep; runs until cancelled."""
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            self.longest = max(self.longest, time.perf_counter() - before - 0.001)


def open_connections(port: int) -> int:
    """Count this process's established connections to a port."""
    established, wanted = "01", f":{port:04X}"
    rows = [row.split() for row in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    sockets = {
        f"socket:[{row[9]}]" for row in rows if row[2].endswith(wanted) and row[3] == established
    }
    held = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed since
            held += str(descriptor.readlink()) in sockets
    return held


@asynccontextmanager
async def watched(port: int, figures: dict[str, float]) -> AsyncIterator[None]:
    """Measure stalls, connections, wall and CPU time of the body."""
    stalls, most = Stalls(), 0

    async def count_connections() -> None:
        nonlocal most
        while True:
            most = max(most, open_connections(port))
            await asyncio.sleep(0.25)

    watchers = [asyncio.create_task(stalls.watch()), asyncio.create_task(count_connections())]
    await asyncio.sleep(0.05)
    stalls.longest = 0.0
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    figures["wall s"] = time.perf_counter() - wall
    figures["client CPU s"] = time.process_time() - cpu
    figures["longest loop stall ms"] = 1_000 * stalls.longest
    figures["connections"] = most
    for watcher in watchers:
        watcher.cancel()


async def burst(url: str, tasks: int, transport: str | None) -> dict[str, float]:
    """Solve so many tasks at once and return the figures."""
    figures: dict[str, float] = {}
    service = attrs.evolve(EZCAPTCHA, base_url=url)
    settings: dict[str, Any] = {"service": service, "polling": PollPolicy()}
    async with SessionPool("key", transport=transport, **settings) as pool:
        async with watched(int(url.rpartition(":")[2]), figures):
            solutions = await asyncio.gather(*(pool.solve(TASK) for _ in range(tasks)))
        counts = pool.statistics()
    async with httpx.AsyncClient() as client:
        record = (await client.get(f"{url}/record")).json()
    figures["solved"] = len({solution.token for solution in solutions})
    figures["requests per task"] = counts.requests / tasks
    figures["client CPU ms per task"] = 1_000 * figures["client CPU s"] / tasks
    for name in ("charges", "spacing_violations", "lag_mean", "lag_p95"):
        figures[f"service: {name}"] = record[name]
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=1_000)
    parser.add_argument("--solve-seconds", type=float, default=10.0)
    parser.add_argument("--latency", type=float, default=0.1)
    parser.add_argument("--transport", choices=["aiohttp", "httpx"], help="else as the pool likes")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object a round")
    options = parser.parse_args()
    for _ in range(options.rounds):
        with served_by("-c", _SERVER, f"{options.solve_seconds}", f"{options.latency}") as url:
            figures = asyncio.run(burst(url, options.tasks, options.transport))
        if options.json:
            print(json.dumps(figures))
            continue
        print(f"CPython {platform.python_version()}, {options.tasks:,} tasks at once")
        for name, figure in figures.items():
            print(f"{name:>28}  {figure:>10,.2f}")


if __name__ == "__main__":
    main()

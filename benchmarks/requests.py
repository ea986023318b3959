"""What one poll costs with everything: the HTTP client, its socket, JSON, and this library.

    python benchmarks/requests.py

A service in a process of its own answers every poll with ``processing`` as fast as Python
can. Against it run, one after the other and again for each round, a bare loop of the same
posts over each HTTP client and a pool over the same client with as many requests at a time;
JSON is written and read by both. Each ratio is that of the medians of one run. httpx2 and
"injected httpx" are clients that are handed to the pool; the others it opens itself. With
``--paced 200`` both send so many a second instead, which costs more: most requests then find
the event loop asleep.

Then a pool over aiohttp holds more and more tickets at a constant number of polls per second,
each number in a process of its own: CPU per poll, the longest stall of the event loop while
they are created and then while they are polled, and the most memory of the process in all.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from math import inf
from random import Random
from typing import Any

import aiohttp
import attrs
import httptools
import httpx
import httpx2
from elsewhere import served_by

from ezcaptcha_async import EZCAPTCHA, PollPolicy, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.tasks import Kind

TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")
KEY = "0123456789abcdef0123456789abcdef"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
PROCESSING = b'{"errorId":0,"errorCode":null,"errorDescription":null,"status":"processing"}'

Post = Callable[[], Awaitable[Any]]


# ------------------------------------------------------------------------------ the service


class Service(asyncio.Protocol):
    """Answers a poll with ``processing``, and anything else with a task id."""

    answer = HEAD % (len(PROCESSING), PROCESSING)
    ids = itertools.count()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.url = b""

    def data_received(self, data: bytes) -> None:
        """Hear."""
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """Note what is asked for."""
        self.url = url

    def on_message_complete(self) -> None:
        """Answer."""
        if self.url == b"/getTaskResult":
            self.transport.write(self.answer)
        else:
            body = b'{"errorId":0,"taskId":"8f14e45f-ceea-4a7a-9b3c-%012d"}' % next(self.ids)
            self.transport.write(HEAD % (len(body), body))


async def serve() -> None:
    """Serve until the process is ended; print the URL first."""
    server = await asyncio.get_running_loop().create_server(Service, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


# ---------------------------------------------------------------------- against a bare loop


@asynccontextmanager
async def bare_aiohttp(url: str, in_flight: int) -> AsyncIterator[Post]:
    """Yield the shortest way of one poll with aiohttp."""
    ids = itertools.count()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as session:

        async def post() -> Any:
            body = {"clientKey": KEY, "taskId": f"8f14e45f-ceea-4a7a-9b3c-{next(ids):012d}"}
            async with session.post(f"{url}/getTaskResult", json=body) as response:
                return await response.json()

        yield post


@asynccontextmanager
async def bare_httpx(url: str, in_flight: int, package: Any) -> AsyncIterator[Post]:
    """Yield the shortest way of one poll with httpx or httpx2."""
    ids = itertools.count()
    limits = package.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    async with package.AsyncClient(limits=limits) as client:

        async def post() -> Any:
            body = {"clientKey": KEY, "taskId": f"8f14e45f-ceea-4a7a-9b3c-{next(ids):012d}"}
            return (await client.post(f"{url}/getTaskResult", json=body)).json()

        yield post


async def cpu_of_a_bare_loop(
    opened: Any, in_flight: int, seconds: float, rate: float = inf
) -> float:
    """Return the CPU time of one post in µs."""
    done, ending = 0, False
    loop = asyncio.get_running_loop()

    async def worker(due: float) -> None:
        nonlocal done
        while not ending:
            if rate < inf:
                await asyncio.sleep(due - loop.time())
                due += in_flight / rate
            assert (await post())["status"] == "processing"
            done += 1

    async with opened as post, asyncio.TaskGroup() as group:
        start = loop.time()
        for number in range(in_flight):
            group.create_task(worker(start + number / rate))
        cpu = await _cpu_per(lambda: done, seconds)
        ending = True  # httpx may swallow a cancellation
    return cpu


async def cpu_of_a_pool(
    url: str, in_flight: int, seconds: float, rate: float = inf, **settings: Any
) -> float:
    """Return the CPU time of one poll in µs; without a rate more are due than can go."""
    # Many, because each may be polled only so often.
    number = 40 * in_flight
    async with pool_for(url, number / rate, max_requests=in_flight, **settings) as pool:
        tickets = await asyncio.gather(*(pool.submit(TASK) for _ in range(number)))
        cpu = await _cpu_per(lambda: pool.statistics().polls, seconds)
        assert len(tickets) == pool.statistics().waiting
        return cpu


async def _cpu_per(count: Callable[[], int], seconds: float) -> float:
    await asyncio.sleep(0.2)
    gc.collect()
    before, cpu = count(), time.process_time()
    await asyncio.sleep(seconds)
    return 1e6 * (time.process_time() - cpu) / (count() - before)


def pool_for(url: str, interval: float, **settings: Any) -> SessionPool:
    """Return a pool that polls each ticket once in `interval` seconds."""
    service = attrs.evolve(EZCAPTCHA, base_url=url, min_poll_interval=0.01, result_window=100_000.0)
    polling = _Steady(first_delay=interval, interval=interval, growth=1, max_interval=300)
    return SessionPool(KEY, service=service, polling=polling, **settings)


class _Steady(PollPolicy):
    """Spreads first polls over the whole interval, so that the rate is even from the start."""

    def first_poll(self, kind: Kind, spacing: float, rng: Random) -> float:
        """Return any moment of the interval."""
        return self.interval * rng.random()


async def cpu_of_a_pool_over(
    url: str, in_flight: int, seconds: float, rate: float, package: Any
) -> float:
    """Return the same with an injected client of httpx or httpx2."""
    limits = package.Limits(max_connections=in_flight, max_keepalive_connections=in_flight)
    async with package.AsyncClient(limits=limits) as client:
        return await cpu_of_a_pool(url, in_flight, seconds, rate, http_client=client)


def compare(url: str, options: argparse.Namespace) -> dict[str, float]:
    """Return the CPU of bare loops and of pools, and their ratios."""
    many, few = options.aiohttp_requests, options.httpx_requests
    how = options.seconds, options.paced
    bare = {
        "aiohttp": lambda: cpu_of_a_bare_loop(bare_aiohttp(url, many), many, *how),
        "httpx": lambda: cpu_of_a_bare_loop(bare_httpx(url, few, httpx), few, *how),
        "httpx2": lambda: cpu_of_a_bare_loop(bare_httpx(url, few, httpx2), few, *how),
    }
    bare["injected httpx"] = bare["httpx"]
    ours = {
        "aiohttp": lambda: cpu_of_a_pool(url, many, *how, transport="aiohttp"),
        "httpx": lambda: cpu_of_a_pool(url, few, *how, transport="httpx"),
        "httpx2": lambda: cpu_of_a_pool_over(url, few, *how, httpx2),
        "injected httpx": lambda: cpu_of_a_pool_over(url, few, *how, httpx),
    }
    rounds: dict[tuple[str, str], list[float]] = {}
    for _ in range(options.rounds):
        for client in options.clients:
            for name, runs in (("bare", bare), ("pool", ours)):
                cpu = run_once(runs[client], uvloop=options.uvloop)
                rounds.setdefault((client, name), []).append(cpu)
    figures: dict[str, float] = {}
    for client in options.clients:
        medians = {name: statistics.median(rounds[client, name]) for name in ("bare", "pool")}
        for name, median in medians.items():
            figures[f"{client}, {name}: CPU µs per poll"] = median
        figures[f"{client}, pool over bare"] = medians["pool"] / medians["bare"]
    return figures


def run_once(main: Callable[[], Coroutine[Any, Any, float]], *, uvloop: bool) -> float:
    """Run in an event loop of its own, asyncio's or uvloop."""
    loop_factory = None
    if uvloop:
        import uvloop as faster  # noqa: PLC0415 - only where it is asked for

        loop_factory = faster.new_event_loop
    gc.collect()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(main())


# ------------------------------------------------------------------------ more and more


async def hold(url: str, tickets: int, rate: float, seconds: float) -> dict[str, float]:
    """Hold so many tickets at a constant number of polls per second; return the figures."""
    stalls: list[float] = []
    figures = {}

    async def watch() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            stalls.append(time.perf_counter() - before - 0.001)

    async with pool_for(url, tickets / rate, transport="aiohttp") as pool:
        kept: list[Any] = []

        async def submit() -> None:
            while len(kept) < tickets:
                kept.append(None)
                kept[-1] = await pool.submit(TASK)

        watcher = asyncio.create_task(watch())
        await asyncio.gather(*(submit() for _ in range(50)))
        figures["longest stall while creating, ms"] = 1_000 * max(stalls)
        await asyncio.sleep(1.0)
        stalls.clear()
        polls, cpu, wall = pool.statistics().polls, time.process_time(), time.perf_counter()
        await asyncio.sleep(seconds)
        done = pool.statistics().polls - polls
        figures["CPU µs per poll"] = 1e6 * (time.process_time() - cpu) / done
        figures["polls per second"] = done / (time.perf_counter() - wall)
        figures["longest stall, ms"] = 1_000 * max(stalls)
        assert pool.statistics().waiting == tickets
        watcher.cancel()
    figures["peak MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


def grow(url: str, options: argparse.Namespace) -> dict[str, float]:
    """Hold each number of tickets in a process of its own; return the figures."""
    figures: dict[str, float] = {}
    costs: list[float] = []
    for tickets in options.tickets:
        command = [sys.executable, __file__, "--hold", str(tickets), "--url", url]
        command += ["--rate", str(options.rate), "--seconds", str(options.seconds * 3)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(done.stdout)
        costs.append(found["CPU µs per poll"])
        figures.update({f"{tickets:,} in flight, {name}": value for name, value in found.items()})
    figures[f"{options.tickets[-1]:,} over {options.tickets[0]:,} in flight"] = costs[-1] / costs[0]
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--clients", nargs="*", default=["aiohttp", "httpx", "httpx2"])
    parser.add_argument("--paced", type=float, default=inf, help="posts per second to compare at")
    parser.add_argument("--aiohttp-requests", type=int, default=50, help="at a time")
    parser.add_argument("--httpx-requests", type=int, default=10, help="at a time")
    parser.add_argument("--tickets", nargs="*", type=int, default=[1_000, 10_000, 50_000])
    parser.add_argument("--rate", type=float, default=1_000, help="polls per second")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--uvloop", action="store_true", help="compare on uvloop")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--hold", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    if options.hold:
        found = asyncio.run(hold(options.url, options.hold, options.rate, options.seconds))
        print(json.dumps(found))
        return
    with served_by(__file__, "--serve") as url:
        figures = compare(url, options)
        if options.tickets:
            figures |= grow(url, options)
    if options.json:
        print(json.dumps(figures))
        return
    print(f"CPython {platform.python_version()}, aiohttp {aiohttp.__version__}")
    for name, figure in figures.items():
        print(f"{name:>56}  {figure:>10,.2f}")


if __name__ == "__main__":
    main()

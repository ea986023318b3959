"""What the library itself costs: CPU per poll, memory per ticket, and how both scale.

    python benchmarks/overhead.py

The transport answers at once, so that no HTTP client, no socket and no service is in the
figures; JSON, the deadline of each request and the event loop are. Beside it runs the least
that any scheduler needs for a poll, a heap entry, a child coroutine and a cancel scope, in
the same process and at the same rate. Each figure is the median of several rounds; the
number of tickets in flight changes and the polls per second do not, so that the columns
compare.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import heapq
import json
import platform
import statistics
import time
import tracemalloc
from itertools import count
from random import Random

import anyio
import attrs

from ezcaptcha_async import EZCAPTCHA, PollPolicy, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.polling import KindStatistics
from ezcaptcha_async.tasks import Kind
from ezcaptcha_async.transports import Evidence, Reply, RequestBody

PROCESSING = Reply(200, b'{"errorId":0,"errorCode":null,"status":"processing"}')
TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")


class InstantTransport:
    """Accepts every task and says ``processing`` for ever."""

    max_requests = 32

    def __init__(self) -> None:
        self.polls = 0
        self._ids = count()

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply:
        """Answer at once."""
        if url.endswith("/getTaskResult"):
            self.polls += 1
            return PROCESSING
        task_id = f"8f14e45f-ceea-4a7a-9b3c-{next(self._ids):012d}"
        return Reply(200, b'{"errorId":0,"taskId":"%s"}' % task_id.encode())

    async def aclose(self) -> None:
        """Nothing to close."""


def pool_for(transport: InstantTransport, interval: float) -> SessionPool:
    """Return a pool that polls each ticket once in `interval` seconds."""
    service = attrs.evolve(
        EZCAPTCHA, base_url="http://localhost", min_poll_interval=0.01, result_window=100_000.0
    )
    policy = PollPolicy(first_delay=interval, interval=interval, growth=1, max_interval=300)
    return SessionPool("key", service=service, transport=transport, polling=_Steady(policy))


class _Steady:
    """Spreads first polls over the whole interval, so that the rate is even from the start."""

    def __init__(self, policy: PollPolicy) -> None:
        self._policy = policy

    def first_poll(self, kind: Kind, spacing: float, rng: Random) -> float:
        return self._policy.interval * rng.random()

    def next_poll(self, kind: Kind, spacing: float, age: float, polls: int, rng: Random) -> float:
        return self._policy.next_poll(kind, spacing, age, polls, rng)

    def learn(self, kind: Kind, after: float, age: float, *, ready: bool) -> None:
        """Learn nothing."""

    def paced(self, late: float, now: float) -> None:
        """Take no notice."""

    def remaining(self, kind: Kind, age: float) -> float | None:
        return None

    def kinds(self) -> tuple[KindStatistics, ...]:
        return ()


async def cpu_per_poll(tickets: int, rate: float, seconds: float, rounds: int) -> list[float]:
    """Return the CPU time of one poll in µs, one figure for each round."""
    transport = InstantTransport()
    figures = []
    async with pool_for(transport, tickets / rate) as pool:
        for _ in range(tickets):
            await pool.submit(TASK)
        for _ in range(rounds):
            gc.collect()
            polls, cpu = transport.polls, time.process_time()
            await anyio.sleep(seconds)
            figures.append(1e6 * (time.process_time() - cpu) / (transport.polls - polls))
    return figures


async def cpu_of_a_bare_scheduler(
    tickets: int, rate: float, seconds: float, rounds: int
) -> list[float]:
    """Return the same for a heap, a child coroutine and a cancel scope, and nothing else."""
    interval, rng, done = tickets / rate, Random(0), 0
    heap = [(anyio.current_time() + interval * rng.random(), i) for i in range(tickets)]
    heapq.heapify(heap)

    async def child(ticket: int) -> None:
        nonlocal done
        with anyio.move_on_after(20):  # noqa: ASYNC100 - its own cost is what is measured
            done += 1
        heapq.heappush(heap, (anyio.current_time() + interval, ticket))

    async def run() -> None:
        while True:
            while heap and heap[0][0] <= anyio.current_time():
                children.start_soon(child, heapq.heappop(heap)[1])
            await anyio.sleep(0.01)

    figures = []
    async with anyio.create_task_group() as children:
        children.start_soon(run)
        for _ in range(rounds):
            before, cpu = done, time.process_time()
            await anyio.sleep(seconds)
            figures.append(1e6 * (time.process_time() - cpu) / (done - before))
        children.cancel_scope.cancel()
    return figures


async def memory_per_ticket(tickets: int, *, solving: bool) -> float:
    """Return the bytes of one ticket in flight; with `solving`, also of its caller."""
    transport = InstantTransport()
    async with pool_for(transport, 250.0) as pool:
        await pool.submit(TASK)
        gc.collect()
        tracemalloc.start()
        if solving:
            callers = [asyncio.create_task(pool.solve(TASK)) for _ in range(tickets)]
            while pool.statistics().waiting <= tickets:
                await anyio.sleep(0.05)
            held = tracemalloc.get_traced_memory()[0]
            for caller in callers:
                caller.cancel()
            await asyncio.gather(*callers, return_exceptions=True)
        else:
            kept = [await pool.submit(TASK) for _ in range(tickets)]
            gc.collect()
            held = tracemalloc.get_traced_memory()[0]
            del kept
        tracemalloc.stop()
    return held / tickets


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=4_000, help="polls per second")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    bare = asyncio.run(
        cpu_of_a_bare_scheduler(1_000, options.rate, options.seconds, options.rounds)
    )
    figures["bare heap, child and scope, CPU µs"] = statistics.median(bare)
    for tickets in (1_000, 10_000, 100_000):
        rounds = asyncio.run(cpu_per_poll(tickets, options.rate, options.seconds, options.rounds))
        figures[f"{tickets:,} in flight, CPU µs per poll"] = statistics.median(rounds)
    small = figures["1,000 in flight, CPU µs per poll"]
    figures["100,000 over 1,000 in flight"] = figures["100,000 in flight, CPU µs per poll"] / small
    figures["1,000 in flight over bare"] = small / statistics.median(bare)
    figures["bytes per ticket"] = asyncio.run(memory_per_ticket(20_000, solving=False))
    figures["bytes per solve(), its asyncio task included"] = asyncio.run(
        memory_per_ticket(20_000, solving=True)
    )
    if options.json:
        print(json.dumps(figures))
        return
    print(f"CPython {platform.python_version()}, {options.rate:,.0f} polls/s, instant transport")
    for name, figure in figures.items():
        print(f"{name:>48}  {figure:>10,.2f}")


if __name__ == "__main__":
    main()

"""Bad weather: shares of the polls fail or hang, and every paid task is to be fetched all the same.

200 tasks at once at real speed under virtual time, solved after 8 s + Weibull(16 s, 1.7), each
answer after 0.05 s; beside the pool a loop that polls each task every 3 s to the end of its
window. Lag is the time from ready to fetched. The aims are those that the README promises.

With `--sockets` the same goes over loopback connections through one HTTP client, in real time:
all seeds of a row side by side, about two minutes a row. Pool and service share one process there;
where its core is busy all the time, let fewer run `--at-once`.

    python benchmarks/weather.py [--seeds 20] [--slots 32]
    python benchmarks/weather.py --seeds 2 --sockets aiohttp
    python benchmarks/weather.py --sockets httpx-client --at-once 7
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from random import Random

import anyio
import httpx
import httpx2

from ezcaptcha_async import EzCaptchaError, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.testing import Fault, SimulatedService, VirtualTimeLoop, serve
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody

TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/", website_key="site-key")
TASKS = 200
CLIENTS = ("aiohttp", "httpx", "httpx-client", "httpx2-client")
ANSWER = 0.05
BAD_GATEWAY = Reply(502, b"<html>502 Bad Gateway</html>")
THROTTLED = Reply(429, b'{"errorId": 1, "errorCode": "ERROR_REQUEST_LIMIT"}')


@dataclass(frozen=True)
class Weather:
    """What becomes of polls.

    Args:
        name: What it is called.
        fails: Share of the polls that are answered with 502.
        throttled: Share of the polls that are answered with 429, however few are sent.
        hangs: Share of the polls that are never answered.
        outage: From when to when everything fails, in seconds.
        fetched: Least share of the tasks that must be fetched.
        lag: Most seconds of mean lag.
    """

    name: str
    fails: float = 0.0
    throttled: float = 0.0
    hangs: float = 0.0
    outage: tuple[float, float] = (inf, inf)
    fetched: float = 1.0
    lag: float = inf


WEATHERS = (
    Weather("nothing fails", lag=3.0),
    Weather("60 % of the polls fail", fails=0.6, lag=8.0),
    Weather("90 % of the polls fail", fails=0.9, fetched=0.99, lag=40.0),
    Weather("97 % of the polls fail", fails=0.97, fetched=0.9),
    Weather("10 % of the polls are throttled", throttled=0.1, lag=8.0),
    Weather("60 % of the polls are throttled", throttled=0.6, lag=12.0),
    Weather("10 % of the polls hang", hangs=0.1, lag=6.0),
    Weather("50 % of the polls hang", hangs=0.5, lag=15.0),
    Weather("all fails for 60 s", outage=(10.0, 70.0)),
)


@dataclass
class Run:
    """What one run came to."""

    fetched: int = 0
    lags: list[float] = field(default_factory=list)
    polls: int = 0
    polls_in_outage: list[float] = field(default_factory=list)
    late_after_outage: float = 0.0


class Sky:
    """A transport to a simulated service, with weather between."""

    def __init__(self, service: SimulatedService, weather: Weather, seed: int, slots: int) -> None:
        self.max_requests = slots
        self.run = Run()
        self._service, self._weather, self._rng = service, weather, Random(seed)
        self.began = anyio.current_time()

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply | NoAnswer:
        """Answer, or do not."""
        path = url[url.rindex("/") :]
        begin, end = self._weather.outage
        now = anyio.current_time() - self.began
        if path == "/getTaskResult":
            self.run.polls += 1
            if begin <= now < end:
                self.run.polls_in_outage.append(now)
            luck = self._rng.random()
            if luck < self._weather.hangs:
                await anyio.sleep_forever()
            if luck < self._weather.fails + self._weather.throttled:
                await anyio.sleep(ANSWER)
                return BAD_GATEWAY if self._weather.fails else THROTTLED
        await anyio.sleep(ANSWER)
        if begin <= anyio.current_time() - self.began < end:
            return BAD_GATEWAY
        reply = self._service.handle(path, body.content, anyio.current_time())
        return Reply(reply.status, reply.body)

    async def aclose(self) -> None:
        """Nothing to close."""


def solve_times(seed: int) -> Callable[[Random], float]:
    """Return how long tasks take, the same for the pool and for the loop beside it."""
    times = Random(seed)
    return lambda _rng: 8.0 + times.weibullvariate(16.0, 1.7)


async def with_the_pool(weather: Weather, seed: int, slots: int) -> Run:
    """Solve the tasks with a pool."""
    service = SimulatedService(seed=seed, solve_times=solve_times(seed))
    sky = Sky(service, weather, seed, slots)
    pool = SessionPool("a-key", service=service.profile(), transport=sky, rng=Random(seed))
    sky.run.fetched = await fetch_all(pool)
    judge(sky.run, service, sky.began + weather.outage[1])
    return sky.run


async def fetch_all(pool: SessionPool) -> int:
    """Solve the tasks, and return how many were fetched."""
    fetched = 0

    async def solve() -> None:
        nonlocal fetched
        try:
            await pool.solve(TASK)
        except EzCaptchaError:
            return
        fetched += 1

    async with pool, anyio.create_task_group() as group:
        for _ in range(TASKS):
            group.start_soon(solve)
    return fetched


def judge(run: Run, service: SimulatedService, end: float) -> None:
    """Enter how late the tasks were fetched.

    Args:
        run: Where to.
        service: What knows.
        end: When the outage ended, on the service's clock.
    """
    fetched = [
        (task.ready_at, task.fetched_at)
        for task in service.record.tasks
        if task.fetched_at is not None
    ]
    run.lags = [at - ready_at for ready_at, at in fetched]
    waits = [at - end for ready_at, at in fetched if ready_at <= end < at]
    run.late_after_outage = max(waits, default=0.0)


async def over_sockets(
    weather: Weather, seeds: int, slots: int, client: str, at_once: int
) -> list[Run]:
    """Solve them over real connections, each seed with a pool and a service of its own."""
    runs: list[Run] = []
    limiter = anyio.CapacityLimiter(at_once)

    async def one(seed: int) -> None:
        async with limiter:
            await alone(seed)

    async def alone(seed: int) -> None:
        run = Run()
        service = SimulatedService(seed=seed, solve_times=solve_times(seed))
        began = anyio.current_time()

        def watch(path: str, _body: bytes) -> bool:
            now = anyio.current_time() - began
            is_out = weather.outage[0] <= now < weather.outage[1]
            if path == "/getTaskResult":
                run.polls += 1
                if is_out:
                    run.polls_in_outage.append(now)
            return is_out

        service.inject(Fault.HTML, times=None, when=watch)
        shares = {
            Fault.HTML: weather.fails,
            Fault.THROTTLED: weather.throttled,
            Fault.HANG: weather.hangs,
        }
        for fault, share in shares.items():
            if share:
                service.inject(fault, path="/getTaskResult", times=None, share=share)
        with serve(service) as server:
            settings = {"service": server.profile, "rng": Random(seed), "max_requests": slots}
            if client in {"httpx-client", "httpx2-client"}:
                package = httpx if client == "httpx-client" else httpx2
                async with package.AsyncClient() as injected:
                    pool = SessionPool("a-key", http_client=injected, **settings)
                    run.fetched = await fetch_all(pool)
            else:
                run.fetched = await fetch_all(SessionPool("a-key", transport=client, **settings))
            judge(run, service, began + weather.outage[1])
        runs.append(run)

    async with anyio.create_task_group() as group:
        for seed in range(seeds):
            group.start_soon(one, seed)
    return runs


async def every_three_seconds(weather: Weather, seed: int, _slots: int) -> Run:
    """Solve them with a loop for each that polls every 3 s, whatever comes back."""
    service = SimulatedService(seed=seed, solve_times=solve_times(seed))
    sky = Sky(service, weather, seed, 10_000)

    async def solve() -> None:
        body = RequestBody(
            b'{"clientKey":"k","task":{"type":"ReCaptchaV2TaskProxyless","websiteURL":"https://example.com/","websiteKey":"k"}}'
        )
        created = service.handle("/createTask", body.content, anyio.current_time()).json()
        ask = RequestBody(f'{{"clientKey":"k","taskId":"{created["taskId"]}"}}'.encode())
        end = anyio.current_time() + 300
        while anyio.current_time() < end:
            await anyio.sleep(3.0)
            answer: Reply | NoAnswer | None = None
            with anyio.move_on_after(20.0):
                answer = await sky.post("/getTaskResult", ask, timeout=20.0)
            if isinstance(answer, Reply) and b'"ready"' in answer.body:
                sky.run.fetched += 1
                return

    async with anyio.create_task_group() as group:
        for _ in range(TASKS):
            group.start_soon(solve)
    judge(sky.run, service, inf)
    return sky.run


def run_virtually(
    work: Callable[[Weather, int, int], object], weather: Weather, seed: int, slots: int
) -> Run:
    """Run under virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work(weather, seed, slots))  # type: ignore[arg-type]


def rows(seeds: int, slots: int, client: str | None, at_once: int) -> Iterator[bool]:
    """Print a row for each weather, and yield whether its aims were met."""
    print(f"{'':31s} fetched of {TASKS}  lag mean / p95 s  polls a task | every 3 s: fetched, lag")
    for weather in WEATHERS:
        if client is not None:
            ours = anyio.run(over_sockets, weather, seeds, slots, client, at_once)
        else:
            ours = [run_virtually(with_the_pool, weather, seed, slots) for seed in range(seeds)]
        theirs = [
            run_virtually(every_three_seconds, weather, seed, slots)
            for seed in range(min(seeds, 3))
        ]
        lags = [lag for run in ours for lag in run.lags]
        fetched = [run.fetched for run in ours]
        mean = statistics.fmean(lags)
        p95 = statistics.quantiles(lags, n=20)[-1]
        met = sum(fetched) >= weather.fetched * TASKS * seeds and mean <= weather.lag
        after = ""
        if weather.outage[1] < inf:
            begin, end = weather.outage
            late = max(run.late_after_outage for run in ours)
            first, last = (
                statistics.fmean(
                    sum(low <= at < low + 10 for at in run.polls_in_outage) / 10 for run in ours
                )
                for low in (begin + 10, end - 10)
            )
            met &= late <= 10.0 and last <= first
            after = f"; ready at its end, fetched within {late:.1f} s; {first:.0f}/s, {last:.0f}/s"
        others = statistics.fmean(lag for run in theirs for lag in run.lags)
        polls = sum(run.polls for run in ours) / seeds / TASKS
        print(
            f"{weather.name:31s} {min(fetched):4d} to {max(fetched):3d}    {mean:6.1f} / {p95:5.1f}"
            f"    {polls:6.1f}       |"
            f" {statistics.fmean(run.fetched for run in theirs):.0f}, {others:.1f} s"
            f"{after}  {'' if met else 'MISSED'}",
            flush=True,
        )
        yield met


def main() -> int:
    """Run, and return 1 where an aim was missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--sockets", metavar="CLIENT", choices=CLIENTS, help=", ".join(CLIENTS))
    parser.add_argument("--at-once", type=int, metavar="N", help="seeds of a row; all of them")
    options = parser.parse_args()
    at_once = options.at_once or options.seeds
    return 0 if all(list(rows(options.seeds, options.slots, options.sockets, at_once))) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Kill the pools of a fleet and their server at random moments, and see where the money is.

    python benchmarks/fleet_chaos.py --moments 100

Three processes with a pool each, and a fourth pool in this one, are given jobs, each to be paid
for once, by a simulated service twenty times faster than real. At a random moment one of the
things below happens; then the jobs that have no result are given to those who live, as an engine
does that delivers at least once. Each job must come to exactly one token, or to the word that it
may have been paid for; each payment must be one of these tokens, or listed as unknown by the fleet;
and in the end nothing may stand in the fleet's books as being under way. Exits with 1 where one of
these does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from typing import Any, Final

import attrs
import redis
from fleet import RedisServer

from ezcaptcha_async import (
    EZCAPTCHA,
    EzCaptchaError,
    PollPolicy,
    ReCaptchaV2TaskProxyless,
    SessionPool,
)
from ezcaptcha_async.fleets import FleetStatus
from ezcaptcha_async.redis import Fleet
from ezcaptcha_async.testing import SimulatedService, Uniform, serve

SPEED: Final = 20.0
LEASE: Final = 1.0
WORKERS: Final = 3
JOBS: Final = 80
NAME: Final = "chaos"


def pool_of(server_url: str, service_url: str) -> SessionPool:
    """Return a pool of the fleet."""
    service = attrs.evolve(
        EZCAPTCHA.at_speed(SPEED),
        base_url=service_url,
        result_window=300.0,
        token_validity=300.0,
    )
    fleet = Fleet(server_url, name=NAME, lease=LEASE)
    polling = PollPolicy().at_speed(SPEED)
    return SessionPool("a-key", service=service, fleet=fleet, polling=polling)


async def solve(pool: SessionPool, reference: str) -> str:
    """Do one job; return its token or its error. What may be tried again is, as an engine does."""
    task = ReCaptchaV2TaskProxyless(
        website_url="https://example.com/", website_key="site-key", reference=reference
    )
    while True:
        try:
            return (await pool.solve(task, once=True)).token
        except EzCaptchaError as error:
            if not error.retryable:
                return type(error).__name__
            await asyncio.sleep(0.1)


async def work(server_url: str, service_url: str) -> None:
    """Do jobs as they come in lines, and print what comes of them."""
    loop = asyncio.get_running_loop()
    async with pool_of(server_url, service_url) as pool:

        async def do(reference: str) -> None:
            print(reference, await solve(pool, reference), sep="\t", flush=True)

        print("open", flush=True)
        async with asyncio.TaskGroup() as jobs:
            while line := await loop.run_in_executor(None, sys.stdin.readline):
                jobs.create_task(do(line.strip()))


class Worker:
    """A process with a pool, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._opened = asyncio.Event()
        self._reading = asyncio.create_task(self._read())
        self.results: dict[str, str] = {}
        self.lives = True

    @classmethod
    async def start(cls, *urls: str) -> Worker:
        """Start one."""
        pipe = asyncio.subprocess.PIPE
        arguments = sys.executable, __file__, "--work", *urls
        worker = cls(await asyncio.create_subprocess_exec(*arguments, stdin=pipe, stdout=pipe))
        await worker._opened.wait()
        return worker

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            reference, _, result = line.decode().strip().partition("\t")
            if result:
                self.results[reference] = result
            self._opened.set()

    def deliver(self, references: Iterable[str]) -> None:
        """Give it jobs."""
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{name}\n" for name in references).encode())

    def kill(self) -> None:
        """End it in the middle of anything."""
        self._process.kill()
        self.lives = False

    async def finish(self) -> None:
        """Let it end when its jobs are done."""
        assert self._process.stdin is not None
        if self.lives:
            self._process.stdin.close()
        await self._process.wait()
        await self._reading


@attrs.frozen(kw_only=True)
class Scene:
    """What can be hurt."""

    server: RedisServer
    workers: list[Worker]
    rng: Random


async def kill_a_worker(scene: Scene) -> None:
    """A worker is killed."""
    scene.workers[0].kill()


async def kill_two_workers(scene: Scene) -> None:
    """Two workers are killed."""
    scene.workers[0].kill()
    await asyncio.sleep(scene.rng.uniform(0, 2 * LEASE))
    scene.workers[1].kill()


async def kill_the_server(scene: Scene) -> None:
    """The server is killed, and starts again."""
    scene.server.kill()
    await asyncio.sleep(scene.rng.uniform(0, 3 * LEASE))
    scene.server.start()


async def kill_both(scene: Scene) -> None:
    """So is it, and a worker at once."""
    scene.workers[0].kill()
    await kill_the_server(scene)


async def stop_the_server(scene: Scene) -> None:
    """The server hangs."""
    scene.server.send(signal.SIGSTOP)
    await asyncio.sleep(scene.rng.uniform(0, 5 * LEASE))
    scene.server.send(signal.SIGCONT)


async def stop_the_server_and_kill_a_worker(scene: Scene) -> None:
    """It hangs, and a worker dies meanwhile."""
    scene.server.send(signal.SIGSTOP)
    await asyncio.sleep(scene.rng.uniform(0, 2 * LEASE))
    scene.workers[0].kill()
    scene.server.send(signal.SIGCONT)


async def empty_the_server(scene: Scene) -> None:
    """The server forgets everything."""
    with redis.Redis.from_url(scene.server.url) as client:
        client.flushall()


async def lose_the_scripts(scene: Scene) -> None:
    """It forgets scripts and connections."""
    with redis.Redis.from_url(scene.server.url) as client:
        client.script_flush()
        client.client_kill_filter(_type="normal", skipme=True)


HAPPENS: Final[list[Callable[[Scene], Any]]] = [
    kill_a_worker,
    kill_two_workers,
    kill_the_server,
    kill_both,
    stop_the_server,
    stop_the_server_and_kill_a_worker,
    empty_the_server,
    lose_the_scripts,
]


@attrs.frozen(kw_only=True)
class Moment:
    """What came of one moment; see the head of this file."""

    charged: int
    tokens: int
    twice: int
    unknown_jobs: int
    missing: Counter[str]
    status: FleetStatus

    def problems(self, *, forgot: bool) -> list[str]:
        """Return what does not hold; a server that forgot may not know all that was spent."""
        (account,) = self.status.accounts
        unknown = self.status.unknown
        wrong = {
            f"{self.twice} jobs have two tokens": self.twice,
            f"jobs came to nothing: {dict(self.missing)}": self.missing.total(),
            f"{self.charged} paid, {self.tokens} tokens, {unknown} unknown": not (
                self.tokens <= self.charged <= self.tokens + unknown
            ),
            f"{account.in_flight} in flight, {account.creating} creating": account.in_flight
            + account.creating,
            f"{self.status.spent} spent": not forgot
            and not 6 * self.tokens <= self.status.spent <= 6 * (self.tokens + unknown),
        }
        return [text for text, is_wrong in wrong.items() if is_wrong]


async def moment(folder: Path, happen: Callable[[Scene], Any], rng: Random) -> Moment:
    """Let something happen once, and count."""
    service = SimulatedService(solve_times=Uniform(5, 40), result_window=SPEED * 300)
    jobs = [f"job {number}" for number in range(JOBS)]
    server = RedisServer(folder)
    server.start()
    try:
        with serve(service, time_scale=SPEED) as web:
            async with pool_of(server.url, web.url) as pool:
                workers = await asyncio.gather(
                    *(Worker.start(server.url, web.url) for _ in range(WORKERS))
                )
                for index, worker in enumerate(workers):
                    worker.deliver(jobs[index :: WORKERS + 1])
                here = {
                    name: asyncio.create_task(solve(pool, name))
                    for name in jobs[WORKERS :: WORKERS + 1]
                }
                while service.summary().charges < rng.uniform(0, 0.8) * JOBS:
                    await asyncio.sleep(0.01)
                await happen(Scene(server=server, workers=workers, rng=rng))
                lost = {
                    name
                    for index, worker in enumerate(workers)
                    for name in jobs[index :: WORKERS + 1]
                    if not worker.lives and name not in worker.results
                }
                here |= {name: asyncio.create_task(solve(pool, name)) for name in lost}
                async with asyncio.timeout(120):
                    for worker in workers:
                        await worker.finish()
                    results = Counter(
                        (name, result)
                        for worker in workers
                        for name, result in worker.results.items()
                    )
                    results.update([(name, await job) for name, job in here.items()])
                    status = await quiet(pool)
    finally:
        server.kill()
    tokens = {
        name: {item for job, item in results if job == name and "simulated." in item}
        for name in jobs
    }
    said = {name: item for name, item in results if not tokens[name]}
    return Moment(
        charged=service.summary().charges,
        tokens=len(set().union(*tokens.values())),
        twice=sum(len(found) > 1 for found in tokens.values()),
        unknown_jobs=sum(item == "SubmissionUnknownError" for item in said.values()),
        missing=Counter(
            said.get(name, "nothing")
            for name in jobs
            if not tokens[name] and said.get(name) != "SubmissionUnknownError"
        ),
        status=status,
    )


async def quiet(pool: SessionPool) -> FleetStatus:
    """Wait until the fleet's books say that nothing is under way, or until they should."""
    async with asyncio.timeout(60):
        while True:
            status = await pool.fleet_status()
            (account,) = status.accounts
            if (status.pools, account.in_flight, account.creating) == (1, 0, 0):
                return status
            await asyncio.sleep(0.1)


def main() -> int:
    """Run what was asked for, and print what came of it."""
    parser = argparse.ArgumentParser(description="What becomes of a fleet that is hurt.")
    parser.add_argument("--moments", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only")
    parser.add_argument("--work", nargs=2, metavar=("SERVER", "SERVICE"))
    arguments = parser.parse_args()
    if arguments.work:
        asyncio.run(work(*arguments.work))
        return 0
    bad = 0
    happens = [item for item in HAPPENS if arguments.only in {None, item.__name__}]
    sums = {item: Counter[str]() for item in happens}
    for number in range(arguments.moments):
        seed, happen = arguments.seed + number, happens[number % len(happens)]
        with tempfile.TemporaryDirectory() as folder:
            try:
                came = asyncio.run(moment(Path(folder), happen, Random(seed)))
            except TimeoutError:
                print(f"{happen.__name__}, seed {seed}: it came to no end")
                bad += 1
                continue
        sums[happen].update(
            moments=1,
            charged=came.charged,
            tokens=came.tokens,
            unknown=came.unknown_jobs,
            adopted=came.status.adopted,
        )
        forgot = happen in {empty_the_server, kill_the_server, kill_both}
        for problem in came.problems(forgot=forgot):
            print(f"{happen.__name__}, seed {seed}: {problem}", flush=True)
            bad += 1
    print(f"{'':40} moments  charged  tokens  unknown  adopted")
    for happen, counts in sums.items():
        columns = "{moments:8} {charged:8} {tokens:7} {unknown:8} {adopted:8}".format_map(
            Counter(counts)
        )
        print(f"{happen.__doc__:40} {columns}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

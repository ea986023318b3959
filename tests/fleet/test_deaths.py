"""What dies: a worker, the server, both; the server hangs, forgets, or is gone for good."""

from __future__ import annotations

import asyncio
import itertools
import logging
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import anyio
import attrs
import pytest
import redis

from ezcaptcha_async import (
    JournalError,
    PoolClosedError,
    SessionPool,
    SubmissionUnknownError,
)
from ezcaptcha_async.testing import Fault, Fixed, SimulatedService, Uniform, serve
from tests.redis_server import RedisServer

from .conftest import LEASE, PATIENT, SPEED, TASK, crew, job, new_service, until
from .worker import solve

WORKER: Final = Path(__file__).with_name("worker.py")


class Worker:
    """A worker in a process of its own, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.results: dict[str, str] = {}
        self._reader = asyncio.create_task(self._read())
        self._open = asyncio.Event()

    @classmethod
    async def start(cls, server: RedisServer, name: str, base_url: str) -> Worker:
        """Start one, and wait until its pool is open."""
        worker = cls(
            await asyncio.create_subprocess_exec(
                *(sys.executable, str(WORKER), server.url, name, f"{LEASE:g}", base_url),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        )
        with anyio.fail_after(60):
            await worker._open.wait()
        return worker

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            reference, _, result = line.decode().strip().partition("\t")
            if result:
                self.results[reference] = result
            self._open.set()

    def deliver(self, references: Iterable[str]) -> None:
        """Give it jobs."""
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{name}\n" for name in references).encode())

    async def kill(self) -> None:
        """End it in the middle of anything."""
        self._process.send_signal(signal.SIGKILL)
        await self._process.wait()
        await self._reader


class Here:
    """A worker in this process, which outlives the others."""

    def __init__(self, pool: SessionPool) -> None:
        self._pool = pool
        self._jobs: list[asyncio.Task[None]] = []
        self.results: dict[str, str] = {}

    def deliver(self, references: Iterable[str]) -> None:
        """Give it jobs."""
        self._jobs += [asyncio.create_task(self._work(name)) for name in references]

    async def _work(self, reference: str) -> None:
        self.results[reference] = await solve(self._pool, reference)

    async def finish(self) -> None:
        """Wait until its jobs are done."""
        with anyio.fail_after(60):
            await asyncio.gather(*self._jobs)


def check_books(service: SimulatedService, *workers: Worker | Here, jobs: list[str]) -> int:
    """Check that nothing was paid for twice, and that no money is gone; return the unknown ones."""
    tokens: dict[str, set[str]] = {name: set() for name in jobs}
    unknown: set[str] = set()
    for worker in workers:
        for name, result in worker.results.items():
            if result == "SubmissionUnknownError":
                unknown.add(name)
            else:
                assert result.startswith("simulated"), result
                tokens[name].add(result)
    assert all(len(found) + (name in unknown) == 1 for name, found in tokens.items())
    charged = service.summary().charges
    assert sum(map(len, tokens.values())) <= charged <= len(jobs)
    return len(unknown)


async def test_a_worker_that_is_killed_with_the_server_loses_nothing(
    mortal: RedisServer, name: str
) -> None:
    """After a power cut, what it has paid for would be lost, or its jobs be paid for again."""
    service = new_service(solve_times=Uniform(10, 40))
    jobs = [f"job {number}" for number in range(60)]
    async with crew(service, mortal, name, lease=LEASE) as members:
        dead = await Worker.start(mortal, name, members.web.url)
        workers = dead, *(Here(pool) for pool in await members.pools(2))
        for index, worker in enumerate(workers):
            worker.deliver(jobs[index::3])
        await until(lambda: service.summary().charges >= 30)
        mortal.kill()
        await dead.kill()
        mortal.start()
        left = [job for job in jobs[0::3] if job not in dead.results]
        assert left
        for index, here in enumerate(workers[1:]):
            here.deliver(left[index::2])  # as an engine does that delivers at least once
            await here.finish()
        unknown = check_books(service, *workers, jobs=jobs)
        assert unknown <= 20, "no more than were being created"


async def test_a_server_that_is_killed_holds_up_and_loses_nothing(
    mortal: RedisServer, name: str
) -> None:
    """Paid tasks would lapse while it is away, or be paid for again when it is back."""
    service = new_service(solve_times=Uniform(10, 30))
    jobs = [f"job {number}" for number in range(60)]
    async with crew(service, mortal, name, lease=LEASE) as members:
        workers = [Here(pool) for pool in await members.pools(2)]
        for index, worker in enumerate(workers):
            worker.deliver(jobs[index::2])
        await until(lambda: service.summary().charges >= 20)
        mortal.kill()
        await anyio.sleep(2 * LEASE)
        mortal.start()
        for worker in workers:
            await worker.finish()
        assert check_books(service, *workers, jobs=jobs) == 0
    assert service.summary().charges == 60


async def test_a_server_that_is_gone_for_good(
    mortal: RedisServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is paid would not be fetched, and a program could not be ended.

    For how long new tasks wait is seen on virtual time, in ``tests/behaviour``.
    """
    service = new_service(solve_times=Fixed(20))
    async with crew(service, mortal, name, lease=LEASE) as members:
        (pool,) = await members.pools(1)
        ticket = await pool.submit(TASK)
        mortal.kill()
        assert (await ticket).token
        with pytest.raises(JournalError, match="cannot be reached"):
            await pool.fleet_status()
        in_line = asyncio.create_task(pool.solve(job(1), once=True))
        await asyncio.sleep(0)
        with anyio.fail_after(20):
            await pool.aclose()
        with pytest.raises(PoolClosedError):
            await in_line
    assert service.summary().charges == 1
    assert [record.levelno for record in caplog.records].count(logging.ERROR) == 1


async def test_a_server_that_is_full_creates_nothing(
    mortal: RedisServer, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is paid could not be written down any more."""
    service = new_service(solve_times=Fixed(10))
    async with crew(service, mortal, name, lease=LEASE) as members:
        (pool,) = await members.pools(1)
        await pool.solve(TASK)
        mortal.ask("CONFIG SET maxmemory 1")
        async with asyncio.TaskGroup() as group:
            later = group.create_task(pool.solve(TASK))
            await until(lambda: "the server refuses" in caplog.text)
            assert "maxmemory" in caplog.text
            assert service.summary().charges == 1
            mortal.ask("CONFIG SET maxmemory 0")
        assert later.result().token
    assert service.summary().charges == 2


async def test_a_server_that_hangs_is_one_that_is_away(mortal: RedisServer, name: str) -> None:
    """Its connections stay open, and nothing would ever come of them."""
    service = new_service(solve_times=Fixed(20))
    async with crew(service, mortal, name, lease=LEASE) as members:
        first, second = await members.pools(2)
        tickets = [await pool.submit(TASK) for pool in (first, second)]
        mortal.send(signal.SIGSTOP)
        try:
            async with asyncio.TaskGroup() as group:
                later = group.create_task(first.solve(job(1), once=True))
                for ticket in tickets:
                    assert (await ticket).token
                assert service.summary().charges == 2
                await anyio.sleep(2 * LEASE)
                mortal.send(signal.SIGCONT)
            assert later.result().token
        finally:
            mortal.send(signal.SIGCONT)
        assert (await second.fleet_status()).adopted == 0, "nobody was dead"
    assert service.summary().charges == 3


async def test_a_server_that_has_forgotten_what_came_last(mortal: RedisServer, name: str) -> None:
    """A crash, or a replica that was behind: the others would buy what is paid for already."""
    service = new_service(solve_times=Fixed(60))
    async with crew(service, mortal, name) as members:
        first, second = await members.pools(2)
        ticket = await first.submit(job(1), once=True)
        await first.fleet_status()  # it has told all by then, and this is what came last
        with redis.Redis.from_url(mortal.url) as client:
            last = client.keys(f"*{name}*ref:*"), client.keys(f"*{name}*own:*")
            assert client.delete(*itertools.chain(*last), *client.keys(f"*{name}*:ends")) == 3
            client.script_flush()  # as where it starts again
        assert (await second.solve(job(1), once=True)).receipt.task_id == ticket.task_id
        await ticket
        (account,) = (await first.fleet_status()).accounts
        assert (account.in_flight, account.creating) == (0, 0)
    assert service.summary().charges == 1


async def test_a_create_that_was_in_flight_is_listed_and_not_repeated(
    mortal: RedisServer, name: str
) -> None:
    """The machine died while the service charged: nobody would ever hear of the money."""
    service = new_service(solve_times=Fixed(10))
    with serve(service, time_scale=SPEED) as web:
        dead = await Worker.start(mortal, name, web.url)
        service.inject(Fault.HANG, path="/createTask")
        dead.deliver(["job 1"])
        await until(lambda: service.summary().requests == 1)
        await dead.kill()
        async with crew(service, mortal, name, lease=LEASE) as members:
            pool = await members.pool(service=attrs.evolve(web.profile, **PATIENT))
            with pytest.raises(SubmissionUnknownError):
                await pool.solve(job(1), once=True)
            assert [item.reference for item in pool.unknowns()] == ["job 1"]

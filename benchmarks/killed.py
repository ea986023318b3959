"""Kill a process at random moments, resume what it has paid for, and count.

    python benchmarks/killed.py --moments 200

A simulated service runs on a loopback port, thirty times faster than real. A child process
keeps some callers busy on it, with a journal, until it gets SIGKILL. Then a new pool resumes
the journal. The service knows what it has charged: each of these tasks must have been given
to a caller before the kill, be fetched after it, or be one of those that are listed as
unknown, and none may be fetched twice. Exits with 1 when one is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import attrs

from ezcaptcha_async import (
    EZCAPTCHA,
    EzCaptchaError,
    Journal,
    PollPolicy,
    ReCaptchaV2TaskProxyless,
    Service,
    SessionPool,
)
from ezcaptcha_async.testing import SimulatedServer, SimulatedService, Uniform, serve

TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")
KEY = "key"
SPEED = 30.0
LATENCY = 0.02
CALLERS = 20
LATEST_KILL = 1.2
"""Most seconds from the first request to the kill: most tasks are solved by then."""


@attrs.frozen(kw_only=True)
class Moment:
    """What came of one kill.

    Args:
        killed_after: Seconds from the child's first request to its end.
        charged: Tasks that the service charged.
        delivered: Those of them that the child's callers were given.
        unseen: Those of the delivered that their caller could not print any more.
        resumed: Those that were fetched afterwards.
        unknown: createTask requests that are listed as unknown.
        missing: Charged tasks that were neither delivered nor resumed.
        twice: Tasks that were both.
        errors: What else went wrong.
    """

    killed_after: float
    charged: int
    delivered: int
    unseen: int
    resumed: int
    unknown: int
    missing: int
    twice: int
    errors: tuple[str, ...]

    @property
    def is_lost(self) -> bool:
        """Whether something that was paid for is in no list."""
        return self.missing > self.unknown or bool(self.twice or self.errors) or self.unseen > 1


def pool_on(service: Service, journal: Journal, seed: int) -> SessionPool:
    """Return a pool at the service's speed."""
    polling = PollPolicy().at_speed(SPEED)
    return SessionPool(KEY, service=service, polling=polling, journal=journal, rng=Random(seed))


async def solve_until_killed(url: str, journal: Journal, seed: int) -> None:
    """Be the child: keep callers busy, and print the id of each solution at once."""
    service = attrs.evolve(EZCAPTCHA.at_speed(SPEED), base_url=url, allow_plain_http=True)

    async def call(pool: SessionPool) -> None:
        while True:
            with suppress(EzCaptchaError):
                solution = await pool.solve(TASK)
                os.write(1, f"{solution.receipt.task_id}\n".encode())

    async with pool_on(service, journal, seed) as pool:
        await asyncio.gather(*(call(pool) for _ in range(CALLERS)))


async def resume(service: Service, journal: Journal) -> tuple[list[str], int, list[str]]:
    """Fetch what is left: the ids, how many are unknown, and what went wrong."""
    fetched: list[str] = []
    errors: list[str] = []
    async with pool_on(service, journal, 1) as pool:
        async with pool.resume_all() as outcomes:
            async for outcome in outcomes:
                if outcome.error is None:
                    fetched.append(outcome.task_id)
                else:
                    errors.append(str(outcome.error))
        return fetched, len(pool.unknowns()), errors


def kill_once(
    server: SimulatedServer, folder: Path, rng: Random, *, power_loss_safe: bool
) -> Moment:
    """Start a child, kill it, resume, and compare with what the service has charged."""
    journal = Journal(folder / f"{rng.getrandbits(64)}.jsonl", power_loss_safe=power_loss_safe)
    record = server.service.record
    before = {task.task_id for task in record.tasks}
    requests = record.summary().requests
    command = [sys.executable, __file__, "--child", server.url, journal.path]
    command += ["--seed", str(rng.getrandbits(32))]
    if power_loss_safe:
        command.append("--power-loss-safe")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        while record.summary().requests == requests and child.poll() is None:
            time.sleep(0.002)
        started = time.monotonic()
        time.sleep(rng.uniform(0, LATEST_KILL))
        child.send_signal(signal.SIGKILL)
        killed_after = time.monotonic() - started
        assert child.stdout is not None
        printed = set(child.stdout.read().decode().split())
    # What the service had received is charged all the same.
    time.sleep(5 * LATENCY)
    with Path(journal.path).open(encoding="ascii") as lines:
        whole = (line for line in lines if line.endswith("\n"))  # the last may be half a line
        delivered = {
            entry["task_id"] for entry in map(json.loads, whole) if entry["event"] == "done"
        }
    fetched, unknown, errors = asyncio.run(resume(server.profile, journal))
    charged = {task.task_id for task in record.tasks} - before
    return Moment(
        killed_after=killed_after,
        charged=len(charged),
        delivered=len(delivered),
        unseen=len(delivered ^ printed),
        resumed=len(fetched),
        unknown=unknown,
        missing=len(charged - delivered - set(fetched)),
        twice=len(delivered & set(fetched)) + len(fetched) - len(set(fetched)),
        errors=tuple(errors),
    )


def kill_often(moments: int, seed: int, *, power_loss_safe: bool = False) -> list[Moment]:
    """Kill at so many random moments."""
    rng = Random(seed)
    service = SimulatedService(seed=seed, solve_times=Uniform(3, 20))
    with (
        serve(service, time_scale=SPEED, latency=LATENCY) as server,
        tempfile.TemporaryDirectory() as folder,
    ):
        return [
            kill_once(server, Path(folder), rng, power_loss_safe=power_loss_safe)
            for _ in range(moments)
        ]


def totals(moments: list[Moment]) -> dict[str, Any]:
    """Add the moments up."""
    names = ("charged", "delivered", "unseen", "resumed", "unknown", "missing", "twice")
    sums = {name: sum(getattr(moment, name) for moment in moments) for name in names}
    return {
        "moments": len(moments),
        **sums,
        "lost": sum(moment.is_lost for moment in moments),
        "errors": sorted({error for moment in moments for error in moment.errors}),
    }


def main() -> None:
    """Kill, count and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--moments", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--power-loss-safe", action="store_true", help="wait for the disk")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        url, path = options.child
        journal = Journal(path, power_loss_safe=options.power_loss_safe)
        asyncio.run(solve_until_killed(url, journal, options.seed))
        return
    found = kill_often(options.moments, options.seed, power_loss_safe=options.power_loss_safe)
    figures = totals(found)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:>10}  {figure}")
    sys.exit(1 if figures["lost"] else 0)


if __name__ == "__main__":
    main()

"""More than can be polled, or read: everything that is bought is fetched and of use.

Under virtual time at real speed, each case with the pool's own judgement and with fixed
`max_in_flight`, of which the best that loses nothing is what the pool is measured by: at most a
quarter slower. Tasks are solved after 10 to 40 s.

    python benchmarks/overload.py [--tasks 10000]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio

from ezcaptcha_async import Account, EzCaptchaError, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.testing import SimulatedService, Uniform, VirtualTimeLoop
from ezcaptcha_async.transports import Evidence, Reply, RequestBody

TASK: Final = ReCaptchaV2TaskProxyless(website_url="https://example.com/", website_key="site-key")
FIXED: Final = (100, 200, 400, 800)
MOST_SLOWER: Final = 1.25


@dataclass(frozen=True)
class Case:
    """What is short.

    Args:
        name: What it is called.
        tasks: How many are asked for, as a share of the tasks of the whole run.
        create: Seconds that createTask takes.
        poll: Seconds that getTaskResult takes.
        polls_per_second: The account's limit.
        reader: Seconds that the reader of `solve_many` takes for each outcome; None for
            callers that all come at once.
        is_short: Whether there is a shortage, so that the fixed limits are worth a comparison.
    """

    name: str
    tasks: float
    create: float = 0.2
    poll: float = 0.05
    polls_per_second: float | None = None
    reader: float | None = None
    is_short: bool = True


CASES: Final = (
    Case("20 polls a second", 1.0, polls_per_second=20),
    Case("polls of 5 s", 0.5, create=0.05, poll=5.0),
    Case("polls of 15 s", 0.1, create=0.05, poll=15.0),
    Case("a reader of one a second", 0.12, reader=1.0),
    Case("no shortage", 0.5, is_short=False),
)


@dataclass(frozen=True)
class Run:
    """What one run came to."""

    seconds: float
    solved: int
    lost: int
    expired: int


class Wire:
    """A transport to a simulated service, with answers that take their time."""

    max_requests = 32

    def __init__(self, service: SimulatedService, case: Case) -> None:
        self._service, self._case = service, case

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply:
        """Answer after a while."""
        path = url[url.rindex("/") :]
        await anyio.sleep(self._case.poll if path == "/getTaskResult" else self._case.create)
        reply = self._service.handle(path, body.content, anyio.current_time())
        return Reply(reply.status, reply.body)

    async def aclose(self) -> None:
        """Nothing to close."""


async def ask(pool: SessionPool, case: Case, count: int) -> int:
    """Ask for so many, and return how many were solved."""
    solved = 0

    async def one() -> None:
        nonlocal solved
        try:
            await pool.solve(TASK)
        except EzCaptchaError:
            return
        solved += 1

    if case.reader is None:
        async with anyio.create_task_group() as group:
            for _ in range(count):
                group.start_soon(one)
        return solved
    async with pool.solve_many(TASK for _ in range(count)) as outcomes:
        async for outcome in outcomes:
            solved += outcome.solution is not None
            await anyio.sleep(case.reader)
    return solved


async def run(case: Case, count: int, max_in_flight: int | None) -> Run:
    """Solve them all, and count."""
    service = SimulatedService(seed=1, solve_times=Uniform(10, 40))
    account = Account(
        "a-key",
        service=service.profile(),
        max_in_flight=max_in_flight,
        polls_per_second=case.polls_per_second,
    )
    begin = anyio.current_time()
    async with SessionPool(account, transport=Wire(service, case)) as pool:
        solved = await ask(pool, case, count)
        counts = pool.statistics()
    seconds = anyio.current_time() - begin
    return Run(seconds, solved, len(service.record.tasks) - solved, counts.expired)


def virtually(work: Callable[[], Coroutine[None, None, Run]]) -> Run:
    """Run under virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work())


def rows(tasks: int) -> Iterator[bool]:
    """Print each case, and yield whether its aims were met."""
    print("                           tasks  seconds   lost expired | the best fixed max_in_flight")
    for case in CASES:
        count = round(case.tasks * tasks)
        ours = virtually(partial(run, case, count, None))
        met, beside = ours.lost == ours.expired == 0 and ours.solved == count, ""
        if case.is_short:
            fixed = {limit: virtually(partial(run, case, count, limit)) for limit in FIXED}
            good = {n: it.seconds for n, it in fixed.items() if it.lost == it.expired == 0}
            best = min(good, key=good.__getitem__, default=None)
            if best is None:
                beside = "none without a loss"
            else:
                met &= ours.seconds <= MOST_SLOWER * good[best]
                ratio = ours.seconds / good[best]
                beside = f"{best}: {good[best]:.0f} s, ours {ratio:.2f} x"
        print(
            f"{case.name:25s} {count:6d} {ours.seconds:8.0f} {ours.lost:6d} {ours.expired:7d}"
            f" | {beside}{'' if met else '  MISSED'}",
            flush=True,
        )
        yield met


def main() -> int:
    """Run, and return 1 where an aim was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", type=int, default=10_000)
    return 0 if all(list(rows(parser.parse_args().tasks))) else 1


if __name__ == "__main__":
    sys.exit(main())

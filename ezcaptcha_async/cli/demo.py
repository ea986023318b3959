"""The demonstration: many tasks at once against a simulated service on a real port."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from random import Random
from time import monotonic
from typing import Any, Final

import anyio
import attrs

from ezcaptcha_async import (
    EzCaptchaError,
    LearnedPolling,
    Outcome,
    PoolStatistics,
    SessionPool,
    Statistics,
    Task,
    Ticket,
)
from ezcaptcha_async.cli.catalogue import fields_of
from ezcaptcha_async.cli.failures import Interrupted
from ezcaptcha_async.cli.interrupts import Backend, run_async
from ezcaptcha_async.cli.tally import Tally, tally
from ezcaptcha_async.tasks import TASK_TYPES
from ezcaptcha_async.testing import SimulatedServer, SimulatedService, serve

_HOSTS: Final = (
    "www.example.com",
    "shop.example.com",
    "login.example.net",
    "tickets.example.org",
    "forum.example.org",
)
_VALUES: Final = {
    "website_key": "0x-an-example-site-key",
    "page_action": "login",
    "data": '{"blob":"an-example-blob"}',
    "proxy": "http://user:password@proxy.example.net:8080",
}
_KEY: Final = "a-key-for-the-demonstration"
_BALANCE: Final = 1e9
# Seconds that each request takes: about what it is to a service on the same continent.
_LATENCY: Final = 0.02
_TICK: Final = 0.1
_RATE_WINDOW: Final = 1.0
_SAMPLE: Final = 500


@attrs.frozen(kw_only=True)
class Plan:
    """What to demonstrate.

    Args:
        tasks: How many tasks.
        speed: How many service seconds pass in one second.
        seed: Where everything random comes from.
        backend: The event loop.
    """

    tasks: int
    speed: float
    seed: int
    backend: Backend


@attrs.frozen(kw_only=True)
class Progress:
    """How far the demonstration is. Seconds are real ones.

    Args:
        url: Where the simulated service is.
        counts: What the pool counts.
        elapsed: Seconds since the beginning.
        rate: Requests per second, lately.
        left: Seconds until what is in flight is ready, as expected; None when unknown.
    """

    url: str
    counts: Statistics
    elapsed: float
    rate: float
    left: float | None = None


def example_tasks(plan: Plan) -> list[Task[Any]]:
    """Return tasks of all types for several hosts, in a random order."""
    random = Random(plan.seed)
    tasks: list[Task[Any]] = []
    for number in range(plan.tasks):
        task_class = TASK_TYPES[number % len(TASK_TYPES)]
        fields = {field.name: field for field in fields_of(task_class)}
        values: dict[str, Any] = {
            name: value
            for name, value in _VALUES.items()
            if name in fields and (fields[name].required or name != "proxy")
        }
        values["website_url"] = f"https://{random.choice(_HOSTS)}/"
        tasks.append(task_class(**values))
    random.shuffle(tasks)
    return tasks


def run_demo(plan: Plan, show: Callable[[Progress], None]) -> Tally:
    """Run the demonstration and return what came of it.

    Args:
        plan: What to do.
        show: Called several times a second.

    Raises:
        Interrupted: By a signal.
        ConfigurationError: The service cannot be served here.
    """
    service = SimulatedService(seed=plan.seed, balance=_BALANCE)
    with serve(service, latency=_LATENCY, time_scale=plan.speed) as server:
        demo = _Demo(plan, server, show)
        counts = demo.run()
    return tally(demo.outcomes, counts, service, elapsed=demo.elapsed, speed=plan.speed)


class _Demo:
    """One run: solves the tasks, all at the same time, and shows how far it is."""

    def __init__(
        self, plan: Plan, server: SimulatedServer, show: Callable[[Progress], None]
    ) -> None:
        self.outcomes: list[Outcome[Any]] = []
        self.elapsed = 0.0
        self._plan = plan
        self._url = server.url
        self._show = show
        self._pool = SessionPool(
            _KEY,
            service=server.profile,
            polling=LearnedPolling().at_speed(plan.speed),
            rng=Random(plan.seed),
        )
        self._opened = anyio.Event()
        self._in_flight: set[Ticket[Any]] = set()
        self._recent = deque([(0.0, 0)])
        self._started_at = monotonic()

    def run(self) -> PoolStatistics:
        try:
            run_async(self._work, beside=self._keep_showing, backend=self._plan.backend)
        except Interrupted as interruption:
            solved = sum(outcome.error is None for outcome in self.outcomes)
            note = f"{solved} of {self._plan.tasks} tasks were solved"
            raise Interrupted(interruption.signum, note=note) from None
        counts = self._pool.statistics()
        self._show(self._progress(counts))
        return counts

    async def _work(self) -> None:
        async with self._pool, anyio.create_task_group() as solving:
            self._opened.set()
            for index, task in enumerate(example_tasks(self._plan)):
                solving.start_soon(self._solve, index, task)

    async def _solve(self, index: int, task: Task[Any]) -> None:
        try:
            ticket = await self._pool.submit(task)
            self._in_flight.add(ticket)
            try:
                outcome = Outcome(index=index, task=task, solution=await ticket)
            finally:
                self._in_flight.discard(ticket)
        except EzCaptchaError as error:
            outcome = Outcome(index=index, task=task, error=error)
        self.outcomes.append(outcome)

    async def _keep_showing(self) -> None:
        await self._opened.wait()
        while True:
            self._show(self._progress(self._pool.statistics()))
            await anyio.sleep(_TICK)

    def _progress(self, counts: Statistics) -> Progress:
        self.elapsed = elapsed = monotonic() - self._started_at
        recent = self._recent
        recent.append((elapsed, counts.requests))
        while len(recent) > 2 and recent[1][0] <= elapsed - _RATE_WINDOW:  # noqa: PLR2004 - two ends of a window
            recent.popleft()
        then, requests = recent[0]
        return Progress(
            url=self._url,
            counts=counts,
            elapsed=elapsed,
            rate=(counts.requests - requests) / (elapsed - then) if elapsed > then else 0.0,
            left=self._left(),
        )

    def _left(self) -> float | None:
        """Return the longest of the tickets' estimates, or of a sample of many of them."""
        sample = islice(self._in_flight, _SAMPLE)
        estimates = [ticket.estimated_remaining for ticket in sample]
        return max((item for item in estimates if item is not None), default=None)

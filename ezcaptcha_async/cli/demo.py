"""The demonstration: many tasks at once against a simulated service on a real port."""

from __future__ import annotations

from random import Random
from time import monotonic
from typing import Any, Final

import anyio
import attrs

from ezcaptcha_async import LearnedPolling, Outcome, SessionPool, Statistics, Task
from ezcaptcha_async.cli.catalogue import FIELDS
from ezcaptcha_async.cli.failures import Interrupted
from ezcaptcha_async.cli.interrupts import run_async
from ezcaptcha_async.cli.meter import Meter
from ezcaptcha_async.cli.options import Backend
from ezcaptcha_async.cli.output import Output, counted, points, scaled
from ezcaptcha_async.cli.tally import Tally, tally
from ezcaptcha_async.tasks import TASK_TYPES
from ezcaptcha_async.testing import SimulatedService, serve

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
_SECONDS_BETWEEN_LINES: Final = 2.0


@attrs.frozen(kw_only=True)
class Demo:
    """What to demonstrate."""

    tasks: int
    speed: float  # service seconds in one second
    seed: int  # where everything random comes from
    backend: Backend


def example_tasks(wanted: Demo) -> list[Task[Any]]:
    """Return tasks of all types for several hosts, in a random order."""
    random = Random(wanted.seed)
    tasks: list[Task[Any]] = []
    for number in range(wanted.tasks):
        task_class = TASK_TYPES[number % len(TASK_TYPES)]
        fields = {field.name: field for field in FIELDS[task_class]}
        values: dict[str, Any] = {
            name: value
            for name, value in _VALUES.items()
            if name in fields and (fields[name].required or name != "proxy")
        }
        values["website_url"] = f"https://{random.choice(_HOSTS)}/"
        tasks.append(task_class(**values))
    random.shuffle(tasks)
    return tasks


def run_demo(wanted: Demo, output: Output) -> Tally:
    """Run the demonstration, all tasks at the same time, and return what came of it."""
    service = SimulatedService(seed=wanted.seed, balance=_BALANCE)
    opened = anyio.Event()
    outcomes: list[Outcome[Any]] = []
    begin = monotonic()
    with serve(service, latency=_LATENCY, time_scale=wanted.speed) as server:
        pool = SessionPool(
            _KEY,
            service=server.profile,
            polling=LearnedPolling().at_speed(wanted.speed),
            rng=Random(wanted.seed),
        )

        async def work() -> None:
            tasks = example_tasks(wanted)
            async with pool, pool.solve_many(tasks, max_in_flight=len(tasks)) as found:
                opened.set()
                async for outcome in found:
                    outcomes.append(outcome)  # noqa: PERF401 - seen while more are to come

        meter = Meter(
            output,
            output.console,
            f"{counted(wanted.tasks, 'task')}{scaled(wanted.speed)}, against {server.url}",
            wanted.tasks,
            moves=output.can_move(output.console),
            seconds_between_lines=_SECONDS_BETWEEN_LINES,
        )
        with meter.open():

            async def keep_showing() -> None:
                await opened.wait()
                await meter.keep_showing(show)

            def show() -> None:
                counts = pool.statistics()
                meter.show(counts.solved + _failed(counts), _figures(counts), counts)

            try:
                run_async(work, beside=keep_showing, backend=wanted.backend)
            except Interrupted as interruption:
                show()
                note = f"{pool.statistics().solved} of {wanted.tasks} tasks were solved"
                raise Interrupted(interruption.signum, note=note) from None
            show()
    elapsed = monotonic() - begin
    return tally(outcomes, pool.statistics(), service, elapsed=elapsed, speed=wanted.speed)


def _failed(counts: Statistics) -> int:
    return counts.failed + counts.lapsed + counts.unknown + counts.refused


def _figures(counts: Statistics) -> dict[str, str]:
    return {
        "queued": f"{counts.queued:,}",
        "creating": f"{counts.creating:,}",
        "waiting": f"{counts.waiting:,}",
        "solved": f"{counts.solved:,}",
        "failed": f"{_failed(counts):,}",
        "requests": f"{counts.requests:,}",
        "points": points(counts.points),
    }

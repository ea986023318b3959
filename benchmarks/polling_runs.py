"""The situations that `polling.py` measures: streams of tasks that only the service knows.

A task's solve time is drawn when it is created: from its type's distribution, times what
its site stretches it by, times how the service does at that moment.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import NamedTuple

from optimum import BIM, FAST, GAM, HVY, LN18, STUDIED, UNI, SolveTimes, lognormal, uniform

from ezcaptcha_async.tasks import Kind

SHOCK_EVERY = 500.0
"""Seconds between two shocks: into trouble, out of it, and so on."""


COLD = {1: 2_000, 20: 24, 100: 8, 500: 4}
"""Tasks at once, and how many bursts of them are drawn of each shape."""

COLD_SHAPES = (
    LN18,
    FAST,
    BIM,
    UNI,
    GAM,
    HVY,
    uniform(3.0, 10.0, "3 to 10 s"),
    uniform(5.0, 20.0, "5 to 20 s"),
    lognormal(60.0, 0.3, "LN60"),
)


class Source(NamedTuple):
    """Tasks of one kind: its solve times and what its site stretches them by."""

    kind: Kind
    times: SolveTimes
    own: float = 1.0


class Job(NamedTuple):
    """One task; times in seconds, `scale` is what stretches its type's solve times."""

    created: float
    source: Source
    scale: float
    solved: float


Pick = Callable[[Random], Source]
Scale = Callable[[float], float]
Make = Callable[[Random], list[list[Job]]]


class Run(NamedTuple):
    """One situation.

    Args:
        name: Its name in the table.
        steady: Whether it stays the same, so that the policy can have learned it all.
        parts: Streams of tasks, each met by a policy that has learned nothing.
        shock: By what the shocks stretch the solve times.
    """

    name: str
    steady: bool
    parts: Sequence[Sequence[Job]]
    shock: float | None = None


def _kind(times: SolveTimes, site: float) -> Kind:
    return Kind("service", times.name, f"{site:g}.example.com")


def one_kind(times: SolveTimes) -> Pick:
    """Let all tasks be of one kind."""
    source = Source(_kind(times, 0), times)
    return lambda _rng: source


def many_kinds(rng: Random, types: Sequence[SolveTimes], sites: int, sigma: float = 0.35) -> Pick:
    """Make so many sites of each type, each with a scale of its own; some come often."""
    sources = [
        Source(_kind(times, number), times, math.exp(rng.gauss(0, sigma)))
        for times in types
        for number in range(sites)
    ]
    weights = [1 / (1 + 20 * rng.random()) for _ in sources]
    bounds = [sum(weights[: index + 1]) for index in range(len(weights))]
    return lambda rng: rng.choices(sources, cum_weights=bounds)[0]


def wandering(rng: Random, seconds: float, sigma: float = 0.25, memory: float = 600.0) -> Scale:
    """Let the health's logarithm wander about 0 (Ornstein-Uhlenbeck)."""
    step = 10.0
    keep = math.exp(-step / memory)
    path = [0.0]
    for _ in range(int(seconds / step) + 2):
        path.append(path[-1] * keep + rng.gauss(0, sigma * math.sqrt(1 - keep * keep)))

    def scale(now: float) -> float:
        index = min(int(now / step), len(path) - 2)
        part = now / step - index
        return math.exp(path[index] + part * (path[index + 1] - path[index]))

    return scale


def _always_well(_now: float) -> float:
    return 1.0


def stream(
    rng: Random,
    tasks: int,
    rate: float,
    pick: Pick,
    *,
    scale: Scale = _always_well,
    start: float = 0.0,
) -> list[Job]:
    """Let tasks come at random, so many a second."""
    now = start
    jobs = []
    for _ in range(tasks):
        now += rng.expovariate(rate)
        source = pick(rng)
        stretch = source.own * scale(now)
        jobs.append(Job(now, source, stretch, stretch * source.times.draw(rng)))
    return jobs


def _cold(rng: Random, tasks: int, each: int, rate: float) -> list[list[Job]]:
    """Meet one kind after the other without any knowledge."""
    return [
        stream(rng, each, rate, one_kind(STUDIED[number % len(STUDIED)]))
        for number in range(math.ceil(tasks / each))
    ]


def cold_bursts(seed: int, at_once: int) -> dict[str, list[list[Job]]]:
    """Draw bursts of so many tasks, 0.02 s apart, for each shape."""
    return {
        times.name: [
            [
                Job(0.02 * number, source, 1.0, times.draw(rng))
                for rng in [Random(f"{seed} {times.name} {at_once} {burst}")]
                for number in range(at_once)
            ]
            for burst in range(COLD[at_once])
        ]
        for times in COLD_SHAPES
        for source in [Source(_kind(times, 0), times)]
    }


def _unseen(rng: Random, tasks: int) -> list[list[Job]]:
    """Let a new site of a known type turn up every two seconds, with 25 tasks."""
    types = (LN18, BIM, GAM, HVY, FAST)
    jobs: list[Job] = []
    for number in range(math.ceil(tasks / 25)):
        times = types[number % len(types)]
        source = Source(_kind(times, number), times, math.exp(rng.gauss(0, 0.35)))
        jobs += stream(rng, 25, 0.5, lambda _rng, source=source: source, start=2.0 * number)
    return [sorted(jobs, key=lambda job: job.created)]


def _shocked(by: float) -> Scale:
    return lambda now: by if now // SHOCK_EVERY % 2 else 1.0


def _runs(tasks: int) -> Mapping[str, tuple[bool, float | None, Make]]:
    def steady(pick: Pick) -> Make:
        return lambda rng: [stream(rng, tasks, 10.0, pick)]

    def shock(by: float) -> Make:
        rate = tasks / (4 * SHOCK_EVERY)
        return lambda rng: [stream(rng, tasks, rate, one_kind(LN18), scale=_shocked(by))]

    def drift(types: Sequence[SolveTimes]) -> Make:
        def make(rng: Random) -> list[list[Job]]:
            pick = many_kinds(rng, types, 200 // len(types))
            return [stream(rng, tasks, 10.0, pick, scale=wandering(rng, tasks / 9.0))]

        return make

    def types(rng: Random) -> list[list[Job]]:
        return [stream(rng, tasks, 10.0, many_kinds(rng, STUDIED, 1, 0.0))]

    three = [Source(_kind(LN18, own), LN18, own) for own in (0.5, 1.0, 2.0)]
    return {
        **{times.name: (True, None, steady(one_kind(times))) for times in STUDIED},
        "all types": (True, None, types),
        "three sites": (True, None, steady(lambda rng: rng.choice(three))),
        **{f"health x{by:g}": (False, by, shock(by)) for by in (2.0, 0.5, 0.25)},
        "200 kinds, drift": (False, None, drift((LN18, BIM))),
        "200 kinds of 5 types, drift": (False, None, drift((LN18, BIM, GAM, HVY, FAST))),
        "cold bursts of 500": (False, None, lambda rng: _cold(rng, tasks, 500, 100.0)),
        "cold trickles of 200": (False, None, lambda rng: _cold(rng, tasks, 200, 1 / 15)),
        "unseen sites": (False, None, lambda rng: _unseen(rng, tasks)),
    }


def make_runs(tasks: int, seed: int, only: str | None) -> list[Run]:
    """Draw all runs, or the one that is named; each has a generator of its own."""
    return [
        Run(name, steady, make(Random(f"{seed} {name}")), by)
        for name, (steady, by, make) in _runs(tasks).items()
        if only in {None, name}
    ]

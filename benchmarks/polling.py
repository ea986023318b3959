"""How well the learned policy polls: against the exact optimum and against usual plans.

    python benchmarks/polling.py

Virtual time, no network: a task is polled, says ``processing`` or ``ready``, and the policy
decides. J = price times polls, plus seconds from ready to the poll that saw it; the optimum
is that of somebody who knows every distribution, every site's scale and how the service
does at the moment of creation (`optimum.py`). A task that is never solved gets one last
poll at 290 s, from everybody. The next table is of scripts that begin so many tasks at once and
end: a type of which nothing is known, of several shapes. The last ones put 10,000 tasks in
flight under a limit of 900 a second. Every run is drawn from the seed that is printed.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
import platform
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from random import Random
from typing import Any, NamedTuple, TypeVar

from optimum import BIM, LAST_POLL, LN18, optimum
from polling_runs import COLD, SHOCK_EVERY, Job, Run, Source, cold_bursts, make_runs, many_kinds

from ezcaptcha_async import LearnedPolling
from ezcaptcha_async.polling import KindStatistics, PollTiming, Scouting
from ezcaptcha_async.tasks import Kind

T = TypeVar("T")

SPACING = 3.0
SETTLED_AFTER = 60.0
SETTLED_FOR = 100.0


class EveryThreeSeconds:
    """The plain plan that the services' pages suggest. Learns nothing."""

    def first_poll(self, kind: Kind, spacing: float, rng: Random) -> float:
        """Begin at any moment, so that the mean overshoot is half of the interval."""
        return spacing * (0.5 + rng.random())

    def next_poll(self, kind: Kind, spacing: float, age: float, polls: int, rng: Random) -> float:
        """Go on at the same pace."""
        return spacing

    def learn(self, kind: Kind, after: float, age: float, *, ready: bool) -> None:
        """Learn nothing."""

    def paced(self, late: float, now: float) -> None:
        """Take no notice."""

    def remaining(self, kind: Kind, age: float) -> float | None:
        """Know nothing."""

    def kinds(self) -> tuple[KindStatistics, ...]:
        """Know nothing."""
        return ()


class Doubling(EveryThreeSeconds):
    """Exponential backoff: about 1, 2, 4 ... seconds, with the spacing kept."""

    def first_poll(self, kind: Kind, spacing: float, rng: Random) -> float:
        """Begin after one second or two."""
        return 1.0 + rng.random()

    def next_poll(self, kind: Kind, spacing: float, age: float, polls: int, rng: Random) -> float:
        """Wait twice as long each time."""
        return max(spacing, 2.0**polls)


class NaiveQuantile(EveryThreeSeconds):
    """Begins at the 20 % quantile of the ages at which it saw ``ready``, then every 3 s."""

    def __init__(self) -> None:
        self._quantile: dict[tuple[str, ...], float] = defaultdict(lambda: 8.0)

    def first_poll(self, kind: Kind, spacing: float, rng: Random) -> float:
        """Begin at the quantile, with the jitter that the learned policy has."""
        return self._quantile[kind[:2]] * (0.95 + 0.1 * rng.random())

    def learn(self, kind: Kind, after: float, age: float, *, ready: bool) -> None:
        """Move the quantile."""
        if ready:
            quantile = self._quantile[kind[:2]]
            step = 0.04 * quantile * (0.2 if age > quantile else -0.8)
            self._quantile[kind[:2]] = max(0.5, quantile + step)


class Clocked(LearnedPolling):
    """The learned policy, with a clock for the CPU time that it takes."""

    cpu_ns = 0

    def _clocked(self, method: Callable[..., T], *args: Any, **options: Any) -> T:
        before = time.thread_time_ns()
        result = method(*args, **options)
        self.cpu_ns += time.thread_time_ns() - before
        return result

    def first_poll(self, kind: Kind, spacing: float, rng: Random) -> float:
        """Ask the policy."""
        return self._clocked(super().first_poll, kind, spacing, rng)

    def next_poll(self, kind: Kind, spacing: float, age: float, polls: int, rng: Random) -> float:
        """Ask the policy."""
        return self._clocked(super().next_poll, kind, spacing, age, polls, rng)

    def learn(self, kind: Kind, after: float, age: float, *, ready: bool) -> bool:
        """Tell the policy."""
        return self._clocked(super().learn, kind, after, age, ready=ready)


OTHERS: dict[str, Callable[[], PollTiming]] = {
    "every 3 s": EveryThreeSeconds,
    "backoff": Doubling,
    "naive quantile": NaiveQuantile,
}


class Done(NamedTuple):
    """One task that is over."""

    job: Job
    polls: int
    overshoot: float


class Limit(NamedTuple):
    """A limit on requests.

    Args:
        rate: Requests per second.
        in_flight: Most tasks in flight.
        creates_count: Whether createTask counts against it, every ninth request at most
            while polls are due, as in the pool.
        oldest_first: Whether the due poll of the oldest task goes out first, as in the pool,
            or else the one that has been due the longest.
    """

    rate: float
    in_flight: int
    creates_count: bool
    oldest_first: bool


LIMITS = (
    ("polls, longest due first; creates apart", False, False),
    ("polls, oldest task first; creates apart", False, True),
    ("polls and creates, oldest task first", True, True),
)


class Waiting(NamedTuple):
    """A task whose next poll has a time. `after` is the age at the last poll, `age` at the next."""

    at: float
    order: int
    job: Job
    polls: int
    after: float
    age: float
    place: int = 0


class Simulation:
    """Lets a policy poll all tasks, in virtual time and without any limit, as the pool does."""

    def __init__(self, policy: PollTiming, rng: Random) -> None:
        self._policy = policy
        self._rng = rng
        self._order = count()
        self._heap: list[Waiting] = []
        self._waiting: defaultdict[tuple[str, ...], dict[Job, Waiting]] = defaultdict(dict)
        self._free_places: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)

    def run(self, jobs: Iterable[Job]) -> Iterator[Done]:
        """Yield each task when it is over."""
        yet_to_come = iter(jobs)
        job = next(yet_to_come, None)
        heap = self._heap
        while heap or job is not None:
            if job is not None and (not heap or job.created <= heap[0].at):
                self.begin(job)
                job = next(yet_to_come, None)
                continue
            item = heapq.heappop(heap)
            if self._of_type(item.job).get(item.job) is item:
                yield from self._poll(item)

    def begin(self, job: Job) -> None:
        """Plan a task that was created, at the lowest place that is free."""
        free = self._free_places[job.source.kind[:2]]
        self._plan(job, place=heapq.heappop(free) if free else len(self._of_type(job)))

    def _poll(self, item: Waiting) -> Iterator[Done]:
        now, _, job, polls, after, age, place = item
        ready, polls = age >= job.solved, polls + 1
        assert polls < 110, "a policy asked for too many polls"
        renewed = self._policy.learn(job.source.kind, after, age, ready=ready)
        if ready or age >= LAST_POLL:
            del self._of_type(job)[job]
            heapq.heappush(self._free_places[job.source.kind[:2]], place)
            yield Done(job, polls, age - job.solved if ready else 0.0)
        else:
            self._plan(job, polls, age, place=place)
        for other in list(self._of_type(job).values()) if renewed else ():
            if other.job is not job:
                self._plan(other.job, other.polls, other.after, place=other.place, now=now)

    def _plan(
        self, job: Job, polls: int = 0, after: float = 0.0, *, place: int, now: float = 0.0
    ) -> None:
        policy, kind, rng = self._policy, job.source.kind, self._rng
        if isinstance(policy, Scouting) and policy.scouts(kind, place):
            wait = SPACING
        elif polls:
            wait = policy.next_poll(kind, SPACING, after, polls, rng)
        else:
            wait = policy.first_poll(kind, SPACING, rng)
        assert not polls or wait >= SPACING, "a policy undercut the spacing"
        age = min(LAST_POLL, max(after + wait, now - job.created))
        known = self._of_type(job).get(job)
        if known is None or known.polls < polls or abs(known.age - age) > SPACING / 12:
            item = Waiting(job.created + age, next(self._order), job, polls, after, age, place)
            self._of_type(job)[job] = item
            heapq.heappush(self._heap, item)

    def _of_type(self, job: Job) -> dict[Job, Waiting]:
        return self._waiting[job.source.kind[:2]]


def simulate_limit(
    sources: Callable[[Random], Source],
    policy: PollTiming,
    rng: Random,
    *,
    limit: Limit,
    until: float,
) -> Iterator[tuple[float, Done]]:
    """Keep so many tasks in flight while only so many requests a second go out.

    Yields (time, task) for each that was fetched.
    """
    order = count()
    heap: list[Waiting] = []
    ready: list[tuple[float, int, Waiting]] = []
    creates, in_a_row, now = limit.in_flight, 0, 0.0
    while now < until:
        now += 1 / limit.rate
        while heap and heap[0].at <= now:
            item = heapq.heappop(heap)
            first = item.job.created if limit.oldest_first else item.at
            heapq.heappush(ready, (first, item.order, item))
        due = bool(ready)
        while creates and (not limit.creates_count or not due or in_a_row >= 8):
            creates, in_a_row = creates - 1, 0
            source = sources(rng)
            job = Job(now, source, source.own, source.own * source.times.draw(rng))
            age = policy.first_poll(source.kind, SPACING, rng)
            heapq.heappush(heap, Waiting(now + age, next(order), job, 0, 0.0, age))
            if limit.creates_count:
                due = False
                break
        if due:
            in_a_row += 1
            at, _, polled, polls, after, _, _ = heapq.heappop(ready)[2]
            age, kind = now - polled.created, polled.source.kind
            policy.paced(now - at, now)
            policy.learn(kind, after, age, ready=age >= polled.solved)
            if age >= polled.solved:
                creates += 1
                yield now, Done(polled, polls + 1, age - polled.solved)
                continue
            wait = policy.next_poll(kind, SPACING, age, polls + 1, rng)
            heapq.heappush(heap, Waiting(now + wait, next(order), polled, polls + 1, age, age))


class Figures(NamedTuple):
    """Means over tasks. `excess` is J over the optimum's J, less 1."""

    polls: float
    overshoot: float
    excess: float


def best_of(jobs: Iterable[Job], price: float) -> tuple[float, float]:
    """Return mean polls and overshoot of the optimum; scales are rounded to 1 %."""
    found = [
        optimum(job.source.times, round(100 * math.log(job.scale)), price, SPACING) for job in jobs
    ]
    return (
        sum(item.polls for item in found) / len(found),
        sum(item.overshoot for item in found) / len(found),
    )


def figures(done: Sequence[Done], price: float) -> Figures:
    """Hold what was done against the optimum for the same tasks."""
    polls = sum(item.polls for item in done) / len(done)
    overshoot = sum(item.overshoot for item in done) / len(done)
    best_polls, best_overshoot = best_of((item.job for item in done), price)
    excess = (price * polls + overshoot) / (price * best_polls + best_overshoot) - 1
    return Figures(polls, overshoot, excess)


def settled(done: Sequence[Done], price: float) -> list[float]:
    """Return the excess of tasks created from 60 to 160 s after each shock."""
    begins = [number * SHOCK_EVERY + SETTLED_AFTER for number in (1, 2, 3)]
    parts = (
        [item for item in done if 0 <= item.job.created - begin < SETTLED_FOR] for begin in begins
    )
    return [figures(part, price).excess for part in parts]


def measure(run: Run, price: float, seed: int, *, alone: bool) -> dict[str, Any]:
    """Let each policy have its turn at one run."""
    jobs = [job for part in run.parts for job in part]
    best_polls, best_overshoot = best_of(jobs, price)
    found: dict[str, Any] = {
        "tasks": len(jobs),
        "steady": run.steady,
        "optimum": {"polls": best_polls, "overshoot": best_overshoot},
    }
    done: list[Done] = []
    cpu = 0
    for part in run.parts:
        policy = Clocked(poll_price=price)
        done += Simulation(policy, Random(seed)).run(part)
        cpu += policy.cpu_ns
    found["learned"] = figures(done, price)._asdict()
    found["cpu_us"] = cpu / 1000 / len(jobs)
    if run.shock is not None:
        found["after_shocks"] = settled(done, price)
    for name, make in {} if alone else OTHERS.items():
        done = [item for part in run.parts for item in Simulation(make(), Random(seed)).run(part)]
        found[name] = figures(done, price)._asdict()
    return found


def measure_cold(price: float, seed: int, at_once: int) -> dict[str, Any]:
    """Measure bursts of each shape, each met by a policy that has learned nothing."""
    found: dict[str, Any] = {}
    for name, bursts in cold_bursts(seed, at_once).items():
        makers: dict[str, Callable[[], PollTiming]] = {
            "learned": lambda: LearnedPolling(poll_price=price),
            **OTHERS,
        }
        found[name] = {
            each: figures(
                [
                    item
                    for number, burst in enumerate(bursts)
                    for item in Simulation(make(), Random(f"{seed} {number}")).run(burst)
                ],
                price,
            )._asdict()
            for each, make in makers.items()
        }
    return found


def line_of_cold(at_once: int, found: dict[str, Any]) -> str:
    """Return what became of so many at once."""

    def excess(name: str) -> list[float]:
        return [item[name]["excess"] for item in found.values()]

    pairs = list(zip(found, excess("learned"), excess("every 3 s"), strict=True))
    cells = " | ".join(f"{name} {learned:+.0%} ({plain:+.0%})" for name, learned, plain in pairs)
    mean, plain_mean = (sum(excess(each)) / len(pairs) for each in ("learned", "every 3 s"))
    return f"{at_once:>5} at once: mean {mean:+.1%} ({plain_mean:+.1%}) | {cells}"


def measure_limit(price: float, seed: int, limit: Limit) -> dict[str, Any]:
    """Measure two minutes under a limit, after two minutes to get going."""
    found: dict[str, Any] = {}
    for name, policy in {
        "every 3 s": EveryThreeSeconds(),
        "learned": LearnedPolling(poll_price=price),
    }.items():
        rng = Random(seed)
        sources = many_kinds(rng, (LN18, BIM), 100)
        fetched = simulate_limit(sources, policy, rng, limit=limit, until=240.0)
        done = [item for at, item in fetched if at >= 120.0]
        by_kind: defaultdict[Kind, list[float]] = defaultdict(list)
        for item in done:
            by_kind[item.job.source.kind].append(item.overshoot)
        found[name] = {
            "tasks_per_minute": len(done) / 2,
            "polls": sum(item.polls for item in done) / len(done),
            "overshoot": sum(item.overshoot for item in done) / len(done),
            "worst_kind": max(sum(each) / len(each) for each in by_kind.values()),
            "longest": max(item.overshoot for item in done),
            "kinds": len(by_kind),
        }
    return found


def line(name: str, found: dict[str, Any]) -> str:
    """Return one line of the table."""
    cells = [f"{found['optimum']['polls']:6.2f} /{found['optimum']['overshoot']:5.2f} "]
    for each in ("learned", *OTHERS):
        if each in found:
            item = found[each]
            cells.append(f"{item['polls']:5.2f} /{item['overshoot']:5.2f} {item['excess']:+5.0%}")
    shocks = ", ".join(f"{item:+.0%}" for item in found.get("after_shocks", ()))
    note = f"; 60 s after each shock {shocks}" if shocks else ""
    return f"{name:>27} {' |'.join(cells)} | {found['cpu_us']:3.0f} µs{note}"


def summary(results: dict[str, Any]) -> str:
    """Return the last line of the table."""
    excesses = [item["learned"]["excess"] for item in results.values()]
    steady = [item["learned"]["excess"] for item in results.values() if item["steady"]]
    return (
        f"learned: mean of the runs {sum(excesses) / len(excesses):+.1%}, "
        f"worst steady one {max(steady, default=math.nan):+.1%}"
    )


def lines_of_limit(found: dict[str, Any]) -> str:
    """Return what became of one limit."""
    return "\n".join(
        f"{name:>27}  {item['tasks_per_minute']:,.0f} tasks/min, {item['polls']:.2f} polls, "
        f"overshoot {item['overshoot']:.2f} s, worst of {item['kinds']} kinds "
        f"{item['worst_kind']:.2f} s, longest {item['longest']:.1f} s"
        for name, item in found.items()
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=20_000, help="tasks of each run")
    parser.add_argument("--price", type=float, default=0.5, help="of a poll, in seconds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="name of one run, 'cold' or 'limit'")
    parser.add_argument("--alone", action="store_true", help="the learned policy only")
    parser.add_argument("--rate", type=float, default=900.0, help="requests/s of the limit")
    parser.add_argument("--in-flight", type=int, default=10_000, help="tasks under the limit")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    results: dict[str, Any] = {}
    say: Callable[[str], None] = (lambda _text: None) if options.json else print
    say(
        f"CPython {platform.python_version()}, seed {options.seed}, {options.tasks:,} tasks a run, "
        f"price {options.price:g} s. Polls / overshoot in s, J over the optimum's."
    )
    heads = (f"{name:>18}" for name in ("learned", *OTHERS))
    say(f"{'run':>27} {'optimum':>13} |{' |'.join(heads)} | CPU per task")
    for run in make_runs(options.tasks, options.seed, options.only):
        results[run.name] = measure(run, options.price, options.seed, alone=options.alone)
        say(line(run.name, results[run.name]))
    if results:
        say(summary(results))
    if options.only in {None, "cold"}:
        say("\nA type that nothing is known of: learned (every 3 s)")
        for at_once in COLD:
            found = results[f"cold: {at_once} at once"] = measure_cold(
                options.price, options.seed, at_once
            )
            say(line_of_cold(at_once, found))
    for what, creates_count, oldest_first in LIMITS if options.only in {None, "limit"} else ():
        limit = Limit(options.rate, options.in_flight, creates_count, oldest_first)
        found = results[f"limit: {what}"] = measure_limit(options.price, options.seed, limit)
        say(f"\n{limit.in_flight:,} in flight, {limit.rate:,.0f} a second: {what}")
        say(lines_of_limit(found))
    if options.json:
        print(json.dumps({"seed": options.seed, "price": options.price, "runs": results}))


if __name__ == "__main__":
    main()

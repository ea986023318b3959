"""What came of the demonstration: the pool's counts held against what the service saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from ezcaptcha_async import EzCaptchaError, Solution, Statistics, Task
from ezcaptcha_async.cli.output import counted, points
from ezcaptcha_async.cli.reporting.scales import percentile
from ezcaptcha_async.testing import Record, RecordSummary


@attrs.frozen(kw_only=True)
class Results:
    """What the callers of the pool were given.

    Args:
        tasks: What was asked for.
        solutions: What was solved.
        errors: What was not, and why.
    """

    tasks: Sequence[Task[Any]]
    solutions: Sequence[Solution]
    errors: Sequence[EzCaptchaError]


@attrs.frozen(kw_only=True)
class TypeTally:
    """How the tasks of one type went. Times are service seconds.

    Args:
        type: The type; empty for all together.
        tasks: How many there were.
        solved: How many were solved.
        median: Half of them were in the caller's hands within this; None when none was.
        p95: 95 % of them were.
        polls: Mean of the polls per solved task.
    """

    type: str
    tasks: int
    solved: int
    median: float | None
    p95: float | None
    polls: float | None


@attrs.frozen(kw_only=True)
class Tally:
    """What came of it all. Times are service seconds.

    Args:
        elapsed: Real seconds that it took.
        types: How each type went.
        total: How all went together.
        errors: Kind of error → how many tasks ended with it.
        requests: HTTP requests that the service saw.
        requests_per_second: Their mean per service second.
        connections: TCP connections that it saw.
        polls_per_task: Polls per task, as it counted them.
        lag_mean: Mean of the time from ready to fetched.
        lag_p95: 95 % of the tasks were fetched within this.
        spacing_violations: Polls that came sooner than it asks for.
        points_charged: What it charged.
        points_counted: What the pool counted.
        problems: What was lost or charged wrongly; empty when all is well.
    """

    elapsed: float
    types: Sequence[TypeTally]
    total: TypeTally
    errors: Mapping[str, int]
    requests: int
    requests_per_second: float
    connections: int
    polls_per_task: float
    lag_mean: float
    lag_p95: float
    spacing_violations: int
    points_charged: float
    points_counted: float
    problems: Sequence[str]


def tally(
    results: Results,
    counts: Statistics,
    record: Record,
    *,
    elapsed: float,
    speed: float,
) -> Tally:
    """Add everything up and look for problems.

    Args:
        results: What the callers were given.
        counts: What the pool counted.
        record: What the service saw.
        elapsed: Real seconds that it took.
        speed: Service seconds per second.
    """
    summary = record.summary()
    names = sorted({task.type for task in results.tasks})
    return Tally(
        elapsed=elapsed,
        types=tuple(_of_type(name, results, speed) for name in names),
        total=_of_type("", results, speed),
        errors=Counter(type(error).__name__ for error in results.errors),
        requests=summary.requests,
        requests_per_second=summary.requests_per_second,
        connections=summary.connections,
        polls_per_task=summary.mean_polls,
        lag_mean=summary.lag_mean,
        lag_p95=summary.lag_p95,
        spacing_violations=summary.spacing_violations,
        points_charged=summary.points,
        points_counted=counts.points,
        problems=tuple(_problems(results, counts, record, summary)),
    )


def _of_type(name: str, results: Results, speed: float) -> TypeTally:
    receipts = [
        solution.receipt
        for solution in results.solutions
        if name in {"", solution.receipt.task_type}
    ]
    waits = sorted(receipt.waited * speed for receipt in receipts)
    return TypeTally(
        type=name,
        tasks=sum(name in {"", task.type} for task in results.tasks),
        solved=len(receipts),
        median=percentile(waits, 0.5) if waits else None,
        p95=percentile(waits, 0.95) if waits else None,
        polls=sum(receipt.polls for receipt in receipts) / len(receipts) if receipts else None,
    )


def _problems(
    results: Results, counts: Statistics, record: Record, summary: RecordSummary
) -> Iterator[str]:
    asked = len(results.tasks)
    unsolved = asked - len(results.solutions)
    if unsolved:
        kinds = Counter(type(error).__name__ for error in results.errors)
        reasons = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        yield f"not solved: {unsolved} of {counted(asked, 'task')} ({reasons})"
    if summary.unfetched:
        yield f"paid and never fetched: {counted(summary.unfetched, 'task')}"
    if summary.charges != asked:
        yield f"{counted(asked, 'task')} asked for, {summary.charges:,} charged"
    if summary.points != counts.points:
        yield f"{points(summary.points)} points charged, {points(counts.points)} counted"
    if len({solution.receipt.task_id for solution in results.solutions}) != len(results.solutions):
        yield "the same task was given out twice"
    if any(_is_foreign(solution, record) for solution in results.solutions):
        yield "a solution belongs to a task of another type or price"
    if summary.spacing_violations:
        yield f"sooner than the service asks for: {counted(summary.spacing_violations, 'poll')}"


def _is_foreign(solution: Solution, record: Record) -> bool:
    receipt = solution.receipt
    task = record.task(receipt.task_id)
    return (
        task is None
        or task.type.casefold() != receipt.task_type.casefold()
        or task.points != (receipt.points or 0)
    )

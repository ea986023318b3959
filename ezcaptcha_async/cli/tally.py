"""What came of the demonstration, and whether the service says so too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import attrs

from ezcaptcha_async import Outcome, PoolStatistics
from ezcaptcha_async.cli.output import counted
from ezcaptcha_async.cli.reporting.scales import percentile
from ezcaptcha_async.testing import SimulatedService


@attrs.frozen(kw_only=True)
class TypeTally:
    """How the tasks of one type went. Times are service seconds."""

    type: str  # empty for all together
    tasks: int
    solved: int
    median: float | None  # seconds until they were in the caller's hands; None when none was
    p95: float | None
    polls: float | None  # mean per solved task


@attrs.frozen(kw_only=True)
class Tally:
    """What came of it all. Times are service seconds."""

    elapsed: float  # real seconds
    types: Sequence[TypeTally]
    total: TypeTally
    errors: Mapping[str, int]  # by kind
    requests: int  # as the service saw them
    requests_per_second: float  # mean per service second
    connections: int  # TCP connections that it saw
    polls_per_task: float  # as it counted them
    lag_mean: float  # from ready to fetched
    lag_p95: float
    spacing_violations: int  # polls that came sooner than it asks for
    points_charged: float  # by the service
    points_counted: float  # by the pool
    problems: Sequence[str]  # what was lost or charged wrongly; empty when all is well


def tally(
    outcomes: Sequence[Outcome[Any]],
    counts: PoolStatistics,
    service: SimulatedService,
    *,
    elapsed: float,
    speed: float,
) -> Tally:
    """Add everything up, and look for problems; `speed` is service seconds per second."""
    summary = service.summary()
    names = sorted({outcome.task.type for outcome in outcomes})
    return Tally(
        elapsed=elapsed,
        types=tuple(_of_type(name, outcomes, speed) for name in names),
        total=_of_type("", outcomes, speed),
        errors=_errors(outcomes),
        requests=summary.requests,
        requests_per_second=summary.requests_per_second,
        connections=summary.connections,
        polls_per_task=summary.mean_polls,
        lag_mean=summary.lag_mean,
        lag_p95=summary.lag_p95,
        spacing_violations=summary.spacing_violations,
        points_charged=summary.points,
        points_counted=counts.points,
        problems=tuple(_problems(outcomes, counts, service)),
    )


def _of_type(name: str, outcomes: Sequence[Outcome[Any]], speed: float) -> TypeTally:
    of_type = [outcome for outcome in outcomes if name in {"", outcome.task.type}]
    receipts = [outcome.solution.receipt for outcome in of_type if outcome.solution is not None]
    waits = sorted(receipt.waited * speed for receipt in receipts)
    return TypeTally(
        type=name,
        tasks=len(of_type),
        solved=len(receipts),
        median=percentile(waits, 0.5) if waits else None,
        p95=percentile(waits, 0.95) if waits else None,
        polls=sum(receipt.polls for receipt in receipts) / len(receipts) if receipts else None,
    )


def _errors(outcomes: Sequence[Outcome[Any]]) -> Counter[str]:
    return Counter(type(item.error).__name__ for item in outcomes if item.error is not None)


def _problems(
    outcomes: Sequence[Outcome[Any]], counts: PoolStatistics, service: SimulatedService
) -> Iterator[str]:
    # A task that was given to two callers, or to one who wanted another type, counts once.
    paid = {(task.task_id, task.type.casefold()) for task in service.record.tasks}
    given = {
        (outcome.solution.receipt.task_id, outcome.task.type.casefold())
        for outcome in outcomes
        if outcome.solution is not None
    }
    missing = len(outcomes) - len(paid & given)
    if missing:
        kinds = sorted(_errors(outcomes).items())
        reasons = ", ".join(f"{count} {kind}" for kind, count in kinds) or "mixed up"
        yield f"not solved: {missing} of {counted(len(outcomes), 'task')} ({reasons})"
    for holds in (
        partial(service.assert_charged, len(outcomes), points=counts.points),
        service.assert_all_fetched,
        service.assert_spacing_kept,
    ):
        try:
            holds()
        except AssertionError as failure:
            yield str(failure)

"""What the rows of a file come to. Pure: percentiles are exact, by nearest rank."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from math import isnan
from typing import Final

import attrs

from ezcaptcha_async.cli.catalogue import SERVICES
from ezcaptcha_async.cli.reporting.collecting import Collection, Errors, Solutions
from ezcaptcha_async.cli.reporting.scales import Bins, bins_for, percentile
from ezcaptcha_async.cli.reporting.timeline import Timeline, timeline

_FEW_BINS: Final = 16
_MANY_BINS: Final = 36


@attrs.frozen(kw_only=True)
class Spread:
    """How seconds are spread.

    Args:
        count: Over how many rows.
        least: The least.
        p5: 5 % are no more than this.
        median: Half of them are.
        p95: 95 % of them are.
        largest: The largest.
    """

    count: int
    least: float
    p5: float
    median: float
    p95: float
    largest: float


@attrs.frozen(kw_only=True)
class Histogram:
    """How many values there are in each bin."""

    bins: Bins
    counts: tuple[int, ...]


@attrs.frozen(kw_only=True)
class TypeFigures:
    """The solved rows of one type. Nothing that no row says is guessed: it is None.

    Args:
        type: The type; empty for all together.
        solved: How many there are.
        waited: Seconds from creation to the solution.
        left: Seconds for which tokens were still good when they were delivered.
        delay: Most seconds for which solutions lay ready before they were fetched; of the
            tasks that were polled before they were ready.
        expired: Tokens that were no longer good when they were delivered.
        polls: Mean of the polls per task.
        points: What they cost.
        priced: How many of them have a price.
        points_per_token: Mean price of those.
        solve_times: Their histogram; all types have the same bins.
        freshness: That of `left`.
    """

    type: str
    solved: int
    waited: Spread | None
    left: Spread | None
    delay: Spread | None
    expired: int
    polls: float | None
    points: float
    priced: int
    points_per_token: float | None
    solve_times: Histogram | None
    freshness: Histogram | None


@attrs.frozen(kw_only=True)
class ErrorFigures:
    """The rows that failed in one way.

    Args:
        kind: Class of the error.
        code: The service's code; empty when it gave none.
        rows: How many there are.
        may_be_charged: For how many the service may have taken points.
        example: What the first of them said.
    """

    kind: str
    code: str
    rows: int
    may_be_charged: int
    example: str


@attrs.frozen(kw_only=True)
class Charges:
    """What the service may have taken for rows without a solution.

    Args:
        tasks: For how many tasks.
        points: Sum of the prices that are known.
        unpriced: For how many tasks none is.
    """

    tasks: int
    points: float
    unpriced: int


@attrs.frozen(kw_only=True)
class Figures:
    """What a file comes to.

    Args:
        rows: Rows that are finished.
        solved: How many of them are solved.
        failed: How many are not.
        repeated: Failures that a later line replaced; they are in no other count.
        damaged: Lines that were skipped.
        may_be_charged: What was perhaps paid for nothing.
        seconds: From the first creation to the last row; None when no row says when.
        per_minute: Rows per minute of that.
        total: All types together.
        types: Each type, the most frequent first.
        solve_times: The solve times of all types in few bins.
        errors: Each way to fail, the most frequent first.
        points_per_token: What each token cost, with what failed and may have been charged;
            None when there is none, or no price is known.
        points_per_unit: How many points one unit of the currency buys; None where rows are of
            several services, or of one that is not known.
        currency: ISO 4217 code; empty where that is None.
        timeline: What happened when; None when no row says.
        time_scale: How many times as fast as real a simulated service ran.
    """

    rows: int
    solved: int
    failed: int
    repeated: int
    damaged: int
    may_be_charged: Charges
    seconds: float | None
    per_minute: float | None
    total: TypeFigures
    types: tuple[TypeFigures, ...]
    solve_times: Histogram | None
    errors: tuple[ErrorFigures, ...]
    points_per_token: float | None
    points_per_unit: float | None
    currency: str
    timeline: Timeline | None
    time_scale: float


def figures(collection: Collection) -> Figures:
    """Sum up what was collected."""
    together = Solutions()
    for solutions in collection.solutions.values():
        together.extend(solutions)
    waited = _spread(together.waited)
    waited_bins = _bins(waited, _MANY_BINS, from_zero=True)
    left_bins = _bins(_spread(together.left), _MANY_BINS)
    types = [
        _of_type(name, solutions, waited_bins, left_bins)
        for name, solutions in collection.solutions.items()
    ]
    errors = [item for group in collection.errors.values() if (item := _of_error(group)).rows]
    failed = sum(item.rows for item in errors)
    when = timeline(together, [group.times() for group in collection.errors.values()])
    rows = len(together) + failed
    total = _of_type("", together, waited_bins, left_bins)
    charges = _charges(collection.errors.values())
    worth = [item for item in SERVICES if collection.services == {item.name}]
    return Figures(
        rows=rows,
        solved=len(together),
        failed=failed,
        repeated=collection.repeated,
        damaged=collection.damaged,
        may_be_charged=charges,
        seconds=None if when is None else when.seconds,
        per_minute=None if when is None or not when.seconds else rows / when.seconds * 60,
        total=total,
        types=tuple(sorted(types, key=lambda item: (-item.solved, item.type))),
        solve_times=_histogram(together.waited, _bins(waited, _FEW_BINS, from_zero=True)),
        errors=tuple(sorted(errors, key=lambda item: (-item.rows, item.kind, item.code))),
        points_per_token=(total.points + charges.points) / total.priced if total.priced else None,
        points_per_unit=worth[0].points_per_unit if worth else None,
        currency=worth[0].currency if worth else "",
        timeline=when,
        time_scale=collection.time_scale,
    )


def _of_type(
    name: str, rows: Solutions, waited_bins: Bins | None, left_bins: Bins | None
) -> TypeFigures:
    prices = _known(rows.points)
    return TypeFigures(
        type=name,
        solved=len(rows),
        waited=_spread(rows.waited),
        left=_spread(rows.left),
        delay=_spread(rows.delay),
        expired=sum(left <= 0 for left in rows.left),
        polls=rows.polls / rows.polled if rows.polled else None,
        points=sum(prices),
        priced=len(prices),
        points_per_token=sum(prices) / len(prices) if prices else None,
        solve_times=_histogram(rows.waited, waited_bins),
        freshness=_histogram(rows.left, left_bins),
    )


def _of_error(group: Errors) -> ErrorFigures:
    return ErrorFigures(
        kind=group.kind,
        code=group.code,
        rows=len(group.times()),
        may_be_charged=len(group.charges()),
        example=group.example,
    )


def _charges(errors: Iterable[Errors]) -> Charges:
    charges = [points for group in errors for points in group.charges()]
    known = _known(charges)
    return Charges(tasks=len(charges), points=sum(known), unpriced=len(charges) - len(known))


def _known(values: Iterable[float]) -> array[float]:
    return array("d", (value for value in values if not isnan(value)))


def _spread(values: Iterable[float]) -> Spread | None:
    ordered = sorted(_known(values))
    if not ordered:
        return None
    return Spread(
        count=len(ordered),
        least=ordered[0],
        p5=percentile(ordered, 0.05),
        median=percentile(ordered, 0.5),
        p95=percentile(ordered, 0.95),
        largest=ordered[-1],
    )


def _bins(spread: Spread | None, most: int, *, from_zero: bool = False) -> Bins | None:
    if spread is None:
        return None
    low, least = (0.0, 0.0) if from_zero else (spread.p5, spread.least)
    return bins_for(low, spread.p95, least=least, largest=spread.largest, most=most)


def _histogram(values: Iterable[float], bins: Bins | None) -> Histogram | None:
    return None if bins is None else Histogram(bins=bins, counts=bins.counts(_known(values)))

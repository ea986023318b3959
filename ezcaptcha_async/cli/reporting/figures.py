"""What the rows of a file come to. Pure: percentiles are exact, by nearest rank."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from math import isnan
from typing import Final

import attrs

from ezcaptcha_async.cli.catalogue import SERVICES
from ezcaptcha_async.cli.reporting.collecting import Collection, Solutions
from ezcaptcha_async.cli.reporting.scales import Bins, bins_for, percentile
from ezcaptcha_async.cli.reporting.timeline import Timeline, timeline

_FEW_BINS: Final = 16
_MANY_BINS: Final = 36


@attrs.frozen(kw_only=True)
class Spread:
    """How seconds are spread."""

    count: int  # rows
    least: float
    p5: float  # 5 % are no more than this
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
    """The solved rows of one type. Nothing that no row says is guessed: it is None."""

    type: str  # empty for all together
    solved: int
    waited: Spread | None  # from creation to the solution
    left: Spread | None  # for which tokens were still good when they were delivered
    delay: Spread | None  # most that solutions lay ready; of tasks polled before that
    expired: int  # tokens that were no longer good when they were delivered
    polls: float | None  # mean per task
    points: float
    priced: int  # how many have a price
    points_per_token: float | None  # mean price of those
    solve_times: Histogram | None  # all types have the same bins
    freshness: Histogram | None  # of `left`


@attrs.frozen(kw_only=True)
class ErrorFigures:
    """The rows that failed in one way."""

    kind: str  # class of the error
    code: str  # the service's; empty when it gave none
    rows: int
    may_be_charged: int  # for how many the service may have taken points
    example: str  # what the first of them said


@attrs.frozen(kw_only=True)
class Charges:
    """What the service may have taken for rows without a solution."""

    tasks: int
    points: float  # sum of the prices that are known
    unpriced: int  # tasks of which none is


@attrs.frozen(kw_only=True)
class Figures:
    """What a file comes to."""

    rows: int  # that are finished
    solved: int
    failed: int
    repeated: int  # failures that a later line replaced; they are in no other count
    damaged: int  # lines that were skipped
    may_be_charged: Charges  # what was perhaps paid for nothing
    seconds: float | None  # from the first creation to the last row; None when no row says when
    per_minute: float | None  # rows
    total: TypeFigures  # all types together
    types: tuple[TypeFigures, ...]  # the most frequent first
    solve_times: Histogram | None  # of all types, in few bins
    errors: tuple[ErrorFigures, ...]  # the most frequent first
    points_per_token: float | None  # with what failed and may have been charged
    points_per_unit: float | None  # of the currency; None of several services
    currency: str  # ISO 4217 code; empty where that is None
    timeline: Timeline | None  # None when no row says when
    time_scale: float  # how many times as fast as real a simulated service ran


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
    groups = collection.errors.values()
    errors = [
        ErrorFigures(
            kind=group.kind,
            code=group.code,
            rows=rows,
            may_be_charged=len(group.charges()),
            example=group.example,
        )
        for group in groups
        if (rows := len(group.times()))
    ]
    failed = sum(item.rows for item in errors)
    when = timeline(together, [group.times() for group in groups])
    rows = len(together) + failed
    total = _of_type("", together, waited_bins, left_bins)
    charges = [points for group in groups for points in group.charges()]
    charged = _known(charges)
    worth = [item for item in SERVICES if collection.services == {item.name}]
    return Figures(
        rows=rows,
        solved=len(together),
        failed=failed,
        repeated=collection.repeated,
        damaged=collection.damaged,
        may_be_charged=Charges(
            tasks=len(charges), points=sum(charged), unpriced=len(charges) - len(charged)
        ),
        seconds=None if when is None else when.seconds,
        per_minute=None if when is None or not when.seconds else rows / when.seconds * 60,
        total=total,
        types=tuple(sorted(types, key=lambda item: (-item.solved, item.type))),
        solve_times=_histogram(together.waited, _bins(waited, _FEW_BINS, from_zero=True)),
        errors=tuple(sorted(errors, key=lambda item: (-item.rows, item.kind, item.code))),
        points_per_token=(total.points + sum(charged)) / total.priced if total.priced else None,
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
        polls=_mean(_known(rows.polls)),
        points=sum(prices),
        priced=len(prices),
        points_per_token=_mean(prices),
        solve_times=_histogram(rows.waited, waited_bins),
        freshness=_histogram(rows.left, left_bins),
    )


def _known(values: Iterable[float]) -> array[float]:
    return array("d", (value for value in values if not isnan(value)))


def _mean(values: array[float]) -> float | None:
    return sum(values) / len(values) if values else None


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

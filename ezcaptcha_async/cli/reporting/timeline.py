"""What happened when: rows, solve times and spend over the time of a run. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, chain, islice
from math import ceil, isnan
from typing import Final

import attrs

from ezcaptcha_async.cli.reporting.collecting import Solutions
from ezcaptcha_async.cli.reporting.scales import Bins, percentile, time_bins

_MOST_BINS: Final = 60
_MOST_TREND_BINS: Final = 20
_LEAST_FOR_A_TREND: Final = 5
_MOST_DOTS: Final = 1_500


@attrs.frozen(kw_only=True)
class Moment:
    """What happened in one bin of time."""

    solved: int  # rows
    failed: int  # rows
    points: float  # what all solutions until its end cost


@attrs.frozen(kw_only=True)
class Trend:
    """The solve times in one bin of time."""

    solved: int  # rows
    median: float | None  # None where they are too few to say
    p95: float | None


@attrs.frozen(kw_only=True)
class Timeline:
    """What happened when. Times are Unix times in seconds."""

    started_at: float  # when the first task was created, or the first row failed
    finished_at: float  # when the last row was finished
    bins: Bins  # of the times at which rows were finished
    moments: tuple[Moment, ...]
    trend_bins: Bins  # fewer, each with more rows
    trends: tuple[Trend, ...]
    dots: tuple[tuple[float, float], ...]  # when rows were solved, and the seconds that took

    @property
    def seconds(self) -> float:
        """How long it all took."""
        return self.finished_at - self.started_at


def timeline(solutions: Solutions, failures: Sequence[Iterable[float]]) -> Timeline | None:
    """Return what happened when; None when no row says when it was finished."""
    failed = array("d", (time for times in failures for time in times if not isnan(time)))
    solved = array("d", (time for time in solutions.finished_at if not isnan(time)))
    if not failed and not solved:
        return None
    first, last = min(chain(failed, solved)), max(chain(failed, solved))
    created = (time - waited for time, waited in _solve_times(solutions))
    bins = time_bins(first, last, _MOST_BINS)
    trend_bins = time_bins(first, last, _MOST_TREND_BINS)
    moments = _moments(solutions, bins, bins.counts(solved), bins.counts(failed))
    # Every row, or every second, third … where there are many.
    every = max(1, ceil(len(solutions) / _MOST_DOTS))
    return Timeline(
        started_at=min(first, min(created, default=first)),
        finished_at=last,
        bins=bins,
        moments=tuple(moments),
        trend_bins=trend_bins,
        trends=tuple(_trends(solutions, trend_bins)),
        dots=tuple(islice(_solve_times(solutions), 0, None, every)),
    )


def _moments(
    solutions: Solutions, bins: Bins, solved: Sequence[int], failed: Sequence[int]
) -> Iterator[Moment]:
    points = [0.0] * bins.number
    for time, price in zip(solutions.finished_at, solutions.points, strict=True):
        if not isnan(time + price):
            points[bins.place(time)] += price
    for place, spent in enumerate(accumulate(points)):
        yield Moment(solved=solved[place], failed=failed[place], points=spent)


def _trends(solutions: Solutions, bins: Bins) -> Iterator[Trend]:
    waits = [array("d") for _ in range(bins.number)]
    for time, waited in _solve_times(solutions):
        waits[bins.place(time)].append(waited)
    for values in waits:
        ordered = sorted(values)
        enough = len(ordered) >= _LEAST_FOR_A_TREND
        yield Trend(
            solved=len(ordered),
            median=percentile(ordered, 0.5) if enough else None,
            p95=percentile(ordered, 0.95) if enough else None,
        )


def _solve_times(solutions: Solutions) -> Iterator[tuple[float, float]]:
    for time, waited in zip(solutions.finished_at, solutions.waited, strict=True):
        if not isnan(time + waited):
            yield time, waited

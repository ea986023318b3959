"""Percentiles, and where the bins and ticks of a scale are: round numbers and round times."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from itertools import chain, count
from math import ceil, floor
from typing import Final

import attrs

_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400
_ROUND_TIMES: Final = (
    *(1, 2, 5, 10, 15, 30),
    *(_MINUTE * number for number in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * number for number in (1, 2, 3, 6, 12)),
)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of sorted values, of which there is at least one."""
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def round_step(span: float, most: int) -> float:
    """Return the least of 0.01, 0.02, 0.05, 0.1 … of which `most` reach over a span."""
    powers = (10.0**exponent for exponent in count(-2))
    steps = (factor * power for power in powers for factor in (1, 2, 5))
    return next(step for step in steps if ceil(span / step) <= most)


def round_time_step(span: float, most: int) -> int:
    """Return the least round number of seconds of which `most` reach over a span."""
    days = (_DAY << exponent for exponent in count())
    return next(step for step in chain(_ROUND_TIMES, days) if span / step <= most)


@attrs.frozen(kw_only=True)
class Bins:
    """Bins of equal width."""

    low: float  # where the first begins
    step: float  # how wide each is
    number: int
    open_below: bool = False  # the first also holds all that is less
    open_above: bool = False  # the last also holds all that is more

    @property
    def high(self) -> float:
        """Where the last one ends."""
        return self.low + self.step * self.number

    def place(self, value: float) -> int:
        """Return in which bin a value is; the first and the last hold what is outside."""
        return min(max(floor((value - self.low) / self.step), 0), self.number - 1)

    def edge(self, place: int) -> float:
        """Return where a bin begins."""
        return self.low + self.step * place

    def counts(self, values: Iterable[float]) -> tuple[int, ...]:
        """Return how many values are in each bin."""
        found = [0] * self.number
        for value in values:
            found[self.place(value)] += 1
        return tuple(found)


def bins_for(low: float, high: float, *, least: float, largest: float, most: int) -> Bins:
    """Return round bins from `low` to `high`, where most values are, not more than `most`.

    What is far outside must not squeeze the rest.
    """
    # What is not far outside is shown where it is.
    span = max(high - low, 0.0)
    low, high = max(least, low - span), min(largest, high + span)
    step = round_step(max(high - low, 0.05), most - 1)
    first = floor(low / step)
    # A value at an upper edge belongs to the bin that begins there.
    number = floor(high / step) - first + 1
    bins = Bins(low=first * step, step=step, number=number)
    return attrs.evolve(bins, open_below=least < bins.low, open_above=largest >= bins.high)


def time_bins(start: float, end: float, most: int) -> Bins:
    """Return bins of a round width, at round times of this place, from `start` to `end`."""
    step = round_time_step(max(end - start, 1.0), most - 1)
    offset = _offset(start)
    low = floor((start + offset) / step) * step - offset
    return Bins(low=low, step=step, number=floor((end - low) / step) + 1)


def ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    """Return round numbers from `low` to `high`, with both ends where those are round."""
    step = round_step(high - low, most)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return tuple(number * step for number in range(first, last + 1))


def time_ticks(low: float, high: float, most: int) -> tuple[tuple[float, str], ...]:
    """Return round times of this place from `low` to `high`, each with what to write there."""
    step = round_time_step(high - low, most)
    offset = _offset(low)
    first = ceil((low + offset) / step) * step - offset
    times = (first + step * number for number in range(floor((high - first) / step) + 1))
    return tuple((tick, _clock(tick, step)) for tick in times)


def _offset(moment: float) -> int:
    return time.localtime(moment).tm_gmtoff


def _clock(moment: float, step: float) -> str:
    """Return the time of a tick, or the day that begins there."""
    local = time.localtime(moment)
    if step >= _DAY or not (local.tm_hour or local.tm_min or local.tm_sec):
        return time.strftime("%b %d", local)
    return time.strftime("%H:%M:%S" if step < _MINUTE else "%H:%M", local)

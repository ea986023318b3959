"""The grids of ages: one that solve times are counted by, a finer one that plans are made for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

_LONGEST: Final = 300.0
_STEP: Final = 0.5
_GROWTH: Final = 1.05

_FINE_FROM: Final = 8.0
_FINE_TO: Final = 80.0
_PARTS: Final = 3


def _make_edges() -> tuple[float, ...]:
    edges = [0.0]
    while edges[-1] < _LONGEST:
        edges.append(max(edges[-1] + _STEP, edges[-1] * _GROWTH))
    return tuple(edges)


EDGES: Final = _make_edges()
"""Where the bins begin, and where the last one ends; seconds."""

BINS: Final = len(EDGES) - 1

_PLACES: Final = [
    (index, part / parts)
    for index, edge in enumerate(EDGES)
    for parts in [_PARTS if _FINE_FROM <= edge < _FINE_TO else 1]
    for part in range(parts)
]
"""Of each age that plans are made for: the edge before it, and the share of the bin until it."""

AGES: Final = tuple(
    EDGES[index] + share * (EDGES[index + 1] - EDGES[index]) if share else EDGES[index]
    for index, share in _PLACES
)
"""Ages to poll at, in seconds. Where most tasks become ready, there are three to a bin: polls 3 s
apart fit badly into bins of 1 s, and what is learned in one would be too little for more."""


def at_ages(survival: Sequence[float]) -> list[float]:
    """Return for each of `AGES` what is known at `EDGES`, along straight lines."""
    falls = [after - before for before, after in pairwise(survival)]
    falls.append(0.0)
    return [survival[index] + share * falls[index] for index, share in _PLACES]


def age_near(age: float) -> int:
    """Return the index of the one of `AGES` that is nearest to an age."""
    index = bisect_left(AGES, age)
    if index == len(AGES):
        return index - 1
    if index and age - AGES[index - 1] < AGES[index] - age:
        return index - 1
    return index

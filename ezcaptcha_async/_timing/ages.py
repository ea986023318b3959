"""The grid of ages that solve times are counted by and plans are made for."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

_LONGEST: Final = 300.0
_STEP: Final = 0.5
_GROWTH: Final = 1.05


def _make_edges() -> tuple[float, ...]:
    edges = [0.0]
    while edges[-1] < _LONGEST:
        edges.append(max(edges[-1] + _STEP, edges[-1] * _GROWTH))
    return tuple(edges)


EDGES: Final = _make_edges()
"""Where the bins begin, and where the last one ends; seconds."""

BINS: Final = len(EDGES) - 1


def edge_near(age: float) -> int:
    """Return the index of the edge that is nearest to an age."""
    index = bisect_left(EDGES, age)
    if index > BINS:
        return BINS
    if index and age - EDGES[index - 1] < EDGES[index] - age:
        return index - 1
    return index

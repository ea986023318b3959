"""A heap of items by time, each item in it once, removable at any moment.

After trio's ``Deadlines``: a removed entry stays in the heap and is passed over when it
surfaces; once such entries outnumber the live ones two to one they are swept out, so that
a burst of cancellations cannot make it grow. A removed entry lets go of its item at once.
"""

from __future__ import annotations

import heapq
from itertools import count
from math import inf
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

T = TypeVar("T")

_SWEEP_ABOVE: Final = 1_000

_Place: TypeAlias = list[Any]
"""Time, tiebreaker, item: a list, so that the item can be taken out where it stands."""

_ITEM: Final = 2
_REMOVED: Final = object()


class Timeline(Generic[T]):
    """Items ordered by time; equal times in the order in which they were set."""

    def __init__(self) -> None:
        self._heap: list[_Place] = []
        self._places: dict[T, _Place] = {}
        self._tiebreaker = count()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, item: object) -> bool:
        return item in self._places

    def __repr__(self) -> str:
        return f"<Timeline of {len(self)}, next at {self.next_time()}>"

    def items(self) -> list[T]:
        """Return all items, in no particular order."""
        return list(self._places)

    def set(self, item: T, time: float) -> None:
        """Put `item` at `time`, wherever it was before."""
        self.discard(item)
        place = self._places[item] = [time, next(self._tiebreaker), item]
        heapq.heappush(self._heap, place)
        if len(self._heap) > _SWEEP_ABOVE and len(self._heap) > 3 * len(self._places):
            self._heap = [place for place in self._heap if place[_ITEM] is not _REMOVED]
            heapq.heapify(self._heap)

    def discard(self, item: T) -> None:
        """Take `item` out, if it is there."""
        place = self._places.pop(item, None)
        if place is not None:
            place[_ITEM] = _REMOVED

    def next_time(self) -> float:
        """Return the earliest time, infinity when nothing is there."""
        heap = self._heap
        while heap and heap[0][_ITEM] is _REMOVED:
            heapq.heappop(heap)
        return heap[0][0] if heap else inf

    def pop(self, until: float = inf) -> T | None:
        """Take out the earliest item at or before `until`; None when there is none."""
        if self.next_time() > until or not self._heap:
            return None
        item = cast("T", heapq.heappop(self._heap)[_ITEM])
        del self._places[item]
        return item

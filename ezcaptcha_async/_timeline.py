"""A heap of items by time, each item in it once, removable at any moment.

After trio's ``Deadlines``: entries are deleted lazily (one is stale when it no longer
equals the item's registered time) and stale ones are swept out once they outnumber the
live ones, so that a burst of cancellations cannot make it grow.
"""

from __future__ import annotations

import heapq
from itertools import count
from math import inf
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_SWEEP_ABOVE: Final = 1_000


class Timeline(Generic[T]):
    """Items ordered by time; equal times in the order in which they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._times: dict[T, float] = {}
        self._tiebreaker = count()

    def __len__(self) -> int:
        return len(self._times)

    def __contains__(self, item: object) -> bool:
        return item in self._times

    def __repr__(self) -> str:
        return f"<Timeline of {len(self)}, next at {self.next_time()}>"

    def items(self) -> list[T]:
        """Return all items, in no particular order."""
        return list(self._times)

    def set(self, item: T, time: float) -> None:
        """Put `item` at `time`, wherever it was before."""
        self._times[item] = time
        heapq.heappush(self._heap, (time, next(self._tiebreaker), item))
        if len(self._heap) > _SWEEP_ABOVE and len(self._heap) > 3 * len(self._times):
            self._sweep()

    def discard(self, item: T) -> None:
        """Take `item` out, if it is there."""
        self._times.pop(item, None)

    def next_time(self) -> float:
        """Return the earliest time, infinity when nothing is there."""
        heap = self._heap
        while heap:
            time, _, item = heap[0]
            if self._times.get(item) == time:
                return time
            heapq.heappop(heap)
        return inf

    def pop(self, until: float = inf) -> T | None:
        """Take out the earliest item at or before `until`; None when there is none."""
        if self.next_time() > until or not self._heap:
            return None
        _, _, item = heapq.heappop(self._heap)
        del self._times[item]
        return item

    def _sweep(self) -> None:
        self._heap = [entry for entry in self._heap if self._times.get(entry[2]) == entry[0]]
        heapq.heapify(self._heap)

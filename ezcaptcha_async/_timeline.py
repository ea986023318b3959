"""A heap of items by time, each item in it once, removable at any moment.

After trio's ``Deadlines``: a removed entry stays in the heap and is passed over when it
surfaces; once such entries outnumber the live ones two to one they are swept out, so that
a burst of cancellations cannot make it grow. A removed entry lets go of its item at once.
"""

from __future__ import annotations

import heapq
from itertools import count
from math import inf
from typing import Final, Generic, TypeVar, cast

T = TypeVar("T")

_SWEEP_ABOVE: Final = 1_000


class _Slot(Generic[T]):
    """Where an item is; empty once it has been moved or removed."""

    __slots__ = ("item",)

    def __init__(self, item: T) -> None:
        self.item: T | None = item


class Timeline(Generic[T]):
    """Items ordered by time; equal times in the order in which they were set."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _Slot[T]]] = []
        self._slots: dict[T, _Slot[T]] = {}
        self._tiebreaker = count()

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, item: object) -> bool:
        return item in self._slots

    def __repr__(self) -> str:
        return f"<Timeline of {len(self)}, next at {self.next_time()}>"

    def items(self) -> list[T]:
        """Return all items, in no particular order."""
        return list(self._slots)

    def set(self, item: T, time: float) -> None:
        """Put `item` at `time`, wherever it was before."""
        self.discard(item)
        slot = self._slots[item] = _Slot(item)
        heapq.heappush(self._heap, (time, next(self._tiebreaker), slot))
        if len(self._heap) > _SWEEP_ABOVE and len(self._heap) > 3 * len(self._slots):
            self._heap = [entry for entry in self._heap if entry[2].item is not None]
            heapq.heapify(self._heap)

    def discard(self, item: T) -> None:
        """Take `item` out, if it is there."""
        slot = self._slots.pop(item, None)
        if slot is not None:
            slot.item = None

    def next_time(self) -> float:
        """Return the earliest time, infinity when nothing is there."""
        heap = self._heap
        while heap and heap[0][2].item is None:
            heapq.heappop(heap)
        return heap[0][0] if heap else inf

    def pop(self, until: float = inf) -> T | None:
        """Take out the earliest item at or before `until`; None when there is none."""
        if self.next_time() > until or not self._heap:
            return None
        item = cast("T", heapq.heappop(self._heap)[2].item)
        del self._slots[item]
        return item

"""A heap of items by time, each item in it once, removable at any moment.

After trio's ``Deadlines``: a removed entry stays in the heap until it surfaces; once such
entries outnumber the live ones two to one they are swept out, so that a burst of cancellations
cannot make it grow. A removed entry lets go of its item at once. What is on top is never a
removed one, for the earliest time is asked for far more often than anything changes.
"""

from __future__ import annotations

import heapq
from math import inf
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_SWEEP_ABOVE: Final = 1_000


class TimeQueue(Generic[T]):
    """Items ordered by time; equal times in the order in which they were set."""

    def __init__(self) -> None:
        # Numbers instead of items in the heap: nothing there keeps a removed item alive, and
        # a pair of numbers is nothing that the garbage collector would have to look into.
        self._heap: list[tuple[float, int]] = []
        self._items: dict[int, T] = {}
        self._numbers: dict[T, int] = {}
        self._last = 0
        self.next_time: float = inf
        """The earliest time, infinity when nothing is there."""

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, item: object) -> bool:
        return item in self._numbers

    def __repr__(self) -> str:
        return f"<TimeQueue of {len(self)}, next at {self.next_time}>"

    def items(self) -> list[T]:
        """Return all items, in no particular order."""
        return list(self._numbers)

    def set(self, item: T, time: float) -> None:
        """Put `item` at `time`, wherever it was before."""
        if item in self._numbers:
            self.discard(item)
        number = self._numbers[item] = self._last = self._last + 1
        self._items[number] = item
        heapq.heappush(self._heap, (time, number))
        self.next_time = self._heap[0][0]

    def discard(self, item: T) -> None:
        """Take `item` out, if it is there."""
        number = self._numbers.pop(item, None)
        if number is not None:
            del self._items[number]
            if number == self._heap[0][1]:
                self._surface()
            elif len(self._heap) >= _SWEEP_ABOVE and len(self._heap) > 3 * len(self._items):
                self._heap = [place for place in self._heap if place[1] in self._items]
                heapq.heapify(self._heap)

    def first(self) -> T:
        """Return the earliest item without taking it out; there must be one."""
        return self._items[self._heap[0][1]]

    def pop(self) -> T:
        """Take out the earliest item; there must be one."""
        item = self._items.pop(self._heap[0][1])
        del self._numbers[item]
        self._surface()
        return item

    def _surface(self) -> None:
        """Bring the next one to the top."""
        heap, items = self._heap, self._items
        while heap and heap[0][1] not in items:
            heapq.heappop(heap)
        self.next_time = heap[0][0] if heap else inf

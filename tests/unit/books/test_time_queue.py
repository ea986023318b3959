"""The heap of items by time, against a model too simple to be wrong."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ezcaptcha_async._books import time_queue
from ezcaptcha_async._books.time_queue import TimeQueue


def drained(timeline: TimeQueue[Any], until: float = inf) -> list[Any]:
    """Take everything out, in order."""
    return list(iter(lambda: timeline.pop(until), None))


def test_an_emptytime_queue() -> None:
    """A scheduler without work would spin instead of sleeping."""
    timeline: TimeQueue[str] = TimeQueue()
    assert timeline.next_time() == inf
    assert timeline.pop() is None
    assert len(timeline) == 0
    assert "a" not in timeline
    timeline.discard("a")
    assert repr(timeline) == "<TimeQueue of 0, next at inf>"


def test_order_of_time() -> None:
    """Tasks would be polled late, in the order in which they came."""
    timeline: TimeQueue[str] = TimeQueue()
    for item, time in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("z", inf)):
        timeline.set(item, time)
    assert timeline.next_time() == 1.0
    assert sorted(timeline.items()) == ["a", "b", "c", "z"]
    assert timeline.pop(0.5) is None
    assert drained(timeline, 2.0) == ["a", "b"]
    assert repr(timeline) == "<TimeQueue of 2, next at 3.0>"
    assert drained(timeline) == ["c", "z"]


def test_equal_times_keep_their_order() -> None:
    """A burst would be polled in random order: some of it always last."""
    timeline: TimeQueue[int] = TimeQueue()
    for item in range(50):
        timeline.set(item, 5.0)
    assert drained(timeline) == list(range(50))


def test_items_need_not_be_comparable() -> None:
    """Two entries that are due at once would end the scheduler with a TypeError."""
    timeline: TimeQueue[object] = TimeQueue()
    first, second = object(), object()
    timeline.set(first, 1.0)
    timeline.set(second, 1.0)
    assert drained(timeline) == [first, second]


@pytest.mark.parametrize("time", [1.0, 9.0])
def test_set_moves_an_item(time: float) -> None:
    """A poll that was put off would still go out at its first time, or twice."""
    timeline: TimeQueue[str] = TimeQueue()
    timeline.set("a", 5.0)
    timeline.set("b", 6.0)
    timeline.set("a", time)
    assert len(timeline) == 2
    assert drained(timeline) == (["a", "b"] if time < 6 else ["b", "a"])


def test_set_again_at_the_same_time_is_a_new_place() -> None:
    """An item that comes back would jump the queue of those that came meanwhile."""
    timeline: TimeQueue[str] = TimeQueue()
    timeline.set("a", 5.0)
    timeline.set("b", 5.0)
    timeline.discard("a")
    timeline.set("a", 5.0)
    assert drained(timeline) == ["b", "a"]


def test_discarded_items_do_not_come_up() -> None:
    """A cancelled ticket would be polled."""
    timeline: TimeQueue[str] = TimeQueue()
    timeline.set("a", 1.0)
    timeline.set("b", 2.0)
    timeline.discard("a")
    assert "a" not in timeline
    assert timeline.next_time() == 2.0
    assert drained(timeline) == ["b"]


def test_cancelled_items_do_not_pile_up() -> None:
    """Hours of cancelled tickets would fill the memory."""
    timeline: TimeQueue[int] = TimeQueue()
    for item in range(20_000):
        timeline.set(item, float(item))
        timeline.discard(item)
    assert len(timeline._heap) <= time_queue._SWEEP_ABOVE


@pytest.mark.parametrize("step", [1.0, 0.0])
def test_an_item_that_is_moved_often_does_not_pile_up(step: float) -> None:
    """A ticket that is resumed and let go of over and over would fill the memory."""
    timeline: TimeQueue[str] = TimeQueue()
    for turn in range(3_000):
        timeline.set("a", 1_000 + turn * step)
    assert len(timeline._heap) <= time_queue._SWEEP_ABOVE


def test_order_survives_a_sweep() -> None:
    """After a burst of cancellations, the rest would be polled in any order."""
    timeline: TimeQueue[int] = TimeQueue()
    times = {item: float(item * 7_919 % 10_007) for item in range(4_000)}
    for item, time in times.items():
        timeline.set(item, time)
    rest = [item for item in times if item % 5 == 0]
    for item in times:
        if item not in rest:
            timeline.discard(item)
    before = timeline._heap
    timeline.set(0, 0.5)
    assert timeline._heap is not before, "nothing was swept"
    assert drained(timeline) == [0, *sorted(rest[1:], key=times.__getitem__)]


def test_nothing_is_swept_while_nothing_is_stale() -> None:
    """Each of 100,000 tickets would look at all the others: seconds of a stalled loop."""
    timeline: TimeQueue[int] = TimeQueue()
    heap = timeline._heap
    for item in range(3_000):
        timeline.set(item, float(item))
    for item in range(0, 3_000, 2):
        timeline.discard(item)
        timeline.set(item, float(item))
    assert timeline._heap is heap


class _AgainstAModel(RuleBasedStateMachine):
    """The same calls on a timeline and on a plain dict of (time, order of setting)."""

    items = st.sampled_from("abcdefgh")
    times = st.sampled_from([1.0, 2.0, 3.0, inf]) | st.floats(0, 10)

    def __init__(self) -> None:
        super().__init__()
        self.timeline: TimeQueue[str] = TimeQueue()
        self.model: dict[str, tuple[float, int]] = {}
        self.turn = 0

    @rule(item=items, time=times)
    def put(self, item: str, time: float) -> None:
        self.turn += 1
        self.timeline.set(item, time)
        self.model[item] = (time, self.turn)
        bound = max(time_queue._SWEEP_ABOVE, 3 * len(self.model))
        assert len(self.timeline._heap) <= bound

    @rule(item=items)
    def discard(self, item: str) -> None:
        self.timeline.discard(item)
        self.model.pop(item, None)

    @rule(until=times)
    def pop(self, until: float) -> None:
        first = min(self.model, key=self.model.__getitem__, default=None)
        if first is not None and self.model[first][0] > until:
            first = None
        assert self.timeline.pop(until) == first
        self.model.pop(first or "", None)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def set_again(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(sorted(self.model)))
        self.put(item, self.model[item][0])

    @invariant()
    def looks_the_same(self) -> None:
        assert len(self.timeline) == len(self.model)
        assert set(self.timeline.items()) == set(self.model)
        assert all((item in self.timeline) is (item in self.model) for item in "abcdefgh")
        times = [time for time, _ in self.model.values()]
        assert self.timeline.next_time() == min(times, default=inf)


def test_against_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any order of calls that loses, repeats or misplaces an item loses a paid task's poll."""
    monkeypatch.setattr(time_queue, "_SWEEP_ABOVE", 6)
    _AgainstAModel.TestCase().runTest()

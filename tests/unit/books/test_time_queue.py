"""The heap of items by time, against a model too simple to be wrong."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ezcaptcha_async._books import time_queue
from ezcaptcha_async._books.time_queue import TimeQueue


@pytest.mark.parametrize("step", [1.0, 0.0])
def test_an_item_that_is_moved_often_does_not_pile_up(step: float) -> None:
    """A ticket that is resumed and let go of over and over would fill the memory."""
    timeline: TimeQueue[str] = TimeQueue()
    for turn in range(3_000):
        timeline.set("a", 1_000 + turn * step)
    assert len(timeline._heap) <= time_queue._SWEEP_ABOVE


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

    @rule(item=items)
    def discard(self, item: str) -> None:
        self.timeline.discard(item)
        if self.model.pop(item, None) is not None:
            bound = max(time_queue._SWEEP_ABOVE, 3 * len(self.model))
            assert len(self.timeline._heap) <= bound

    @precondition(lambda self: self.model)
    @rule()
    def pop(self) -> None:
        first = min(self.model, key=self.model.__getitem__)
        assert self.timeline.pop() == first
        del self.model[first]

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
        at = min((time for time, _ in self.model.values()), default=inf)
        assert self.timeline.next_time == at
        if self.model:
            assert self.timeline.first() == min(self.model, key=self.model.__getitem__)
        assert repr(self.timeline) == f"<TimeQueue of {len(self.model)}, next at {at}>"


def test_against_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any order of calls that loses, repeats or misplaces an item loses a paid task's poll."""
    monkeypatch.setattr(time_queue, "_SWEEP_ABOVE", 6)
    _AgainstAModel.TestCase().runTest()

"""Leave that many pools share: none goes without it, and none of it is lost or used twice."""

from __future__ import annotations

from math import inf

from ezcaptcha_async._books.gate import Gate
from ezcaptcha_async._books.leave import LeaveKeeper

from .keeper import Listener


def opened(gate: Gate) -> Gate:
    """Return a gate of which it is known that the account is good."""
    gate.succeeded(gate.send("createTask", 0.0), 0.0)
    gate.succeeded(gate.send("getTaskResult", 0.0), 0.0)
    return gate


class Wanting:
    """A keeper, and what it has asked for."""

    def __init__(self, *, rated_polls: bool = False, proven: bool = True) -> None:
        gate = Gate(max_creates=20, max_in_flight=None)
        self.gate = opened(gate) if proven else gate
        self.creates, self.polls = Listener(), Listener()
        self.keeper = LeaveKeeper(
            self.gate,
            rated_polls=rated_polls,
            want_creates=lambda: self.creates.set_result(None),
            want_polls=lambda: self.polls.set_result(None),
        )

    def create_at(self, now: float) -> float:
        """Return when a create may go."""
        return self.keeper.create_at(now, creating=0, in_flight=0)


def test_no_create_goes_without_leave_and_each_uses_one() -> None:
    """All machines together would create more than they may."""
    wanting = Wanting()
    assert wanting.create_at(1.0) == inf
    assert len(wanting.creates.told) == 1
    wanting.keeper.got_creates(["a", "b"], since=2.0, gap=0.5, hold=30.0)
    assert "2 creates" in repr(wanting.keeper)
    assert wanting.create_at(1.0) == 2.0
    assert wanting.create_at(2.0) == 2.0
    assert wanting.keeper.send("createTask", 2.0).name == "a"
    assert wanting.create_at(2.0) == 2.5
    assert wanting.keeper.send("createTask", 2.5).name == "b"
    assert wanting.create_at(2.5) == inf
    assert len(wanting.creates.told) == 2


def test_leave_that_is_void_is_not_used() -> None:
    """Others count it as free already: one more than may would be under way."""
    wanting = Wanting()
    wanting.keeper.got_creates(["a", "b"], since=0.0, gap=10.0, hold=30.0)
    assert wanting.create_at(30.0) == 30.0
    assert wanting.keeper.send("createTask", 30.0).name == "b"


def test_where_the_gate_is_closed_no_leave_is_asked_for() -> None:
    """Leave would be in hand, and void, all through a ban."""
    wanting = Wanting()
    wanting.gate.restore_ban(creates_until=60.0, polls_until=60.0)
    assert wanting.create_at(1.0) == 60.0
    assert wanting.keeper.poll_at(1.0) == 60.0
    assert not wanting.creates.told


def test_no_more_leave_is_asked_for_than_can_be_used() -> None:
    """One machine would keep the others waiting."""
    wanting = Wanting()
    assert wanting.keeper.short_of(queued=100, creating=0) == 20
    assert wanting.keeper.short_of(queued=3, creating=0) == 3
    assert wanting.keeper.short_of(queued=100, creating=18) == 2
    wanting.keeper.got_creates(["a", "b"], since=0.0, gap=0.0, hold=30.0)
    assert wanting.keeper.short_of(queued=3, creating=0) == 1
    assert wanting.keeper.short_of(queued=1, creating=0) < 1
    assert wanting.keeper.given_back() == ["a", "b"]
    assert wanting.keeper.given_back() == []
    assert Wanting(proven=False).keeper.short_of(queued=100, creating=0) == 1


def test_polls_need_leave_where_their_rate_is_shared() -> None:
    """All machines together would poll faster than the user has set."""
    free = Wanting()
    assert free.keeper.poll_at(1.0) == 1.0
    assert free.keeper.send("getTaskResult", 1.0).name is None
    rated = Wanting(rated_polls=True)
    assert rated.keeper.poll_at(1.0) == inf
    assert len(rated.polls.told) == 1
    rated.keeper.got_polls(3, since=2.0, gap=0.1)
    assert rated.keeper.poll_at(1.0) == 2.0
    rated.keeper.send("getTaskResult", 2.0)
    assert rated.keeper.poll_at(2.0) == 2.1
    assert rated.keeper.poll_at(3.15) == 3.15, "the second is stale, the third is not"
    rated.keeper.send("getTaskResult", 3.15)
    assert rated.keeper.poll_at(3.15) == inf
    assert rated.keeper.send("getBalance", 3.2).name is None

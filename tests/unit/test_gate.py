"""The gate: may this account send now? Everything with plain numbers as the time."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async._gate import BAN_SECONDS, Gate
from ezcaptcha_async._wire import Decoder, Refused, Reply
from ezcaptcha_async.errors import (
    BannedError,
    CapacityError,
    CredentialError,
    InsufficientBalanceError,
    InvalidTaskError,
    ServiceError,
    TaskFailedError,
    ThrottledError,
)
from ezcaptcha_async.services import EZCAPTCHA

NOW = 1_000.0


def new_gate(max_creates: int = 3, max_in_flight: int | None = None) -> Gate:
    """Return the gate of an account of which nothing is known."""
    return Gate(max_creates=max_creates, max_in_flight=max_in_flight)


def open_gate(max_creates: int = 3, max_in_flight: int | None = None) -> Gate:
    """Return the gate of an account whose key was found good."""
    gate = new_gate(max_creates, max_in_flight)
    gate.create_answered()
    return gate


def create_at(gate: Gate, now: float = NOW) -> float:
    """Return when a create may go, with nothing in flight."""
    return gate.create_at(now, creating=0, in_flight=0)


def test_the_canary() -> None:
    """Thousands of callers on a bad key would send thousands of creates, and earn a ban."""
    gate = new_gate()
    assert create_at(gate) == NOW
    assert gate.create_at(NOW, creating=1, in_flight=0) == inf
    gate.create_answered()
    assert gate.create_at(NOW, creating=1, in_flight=0) == NOW


def test_polls_need_no_canary() -> None:
    """A resumed ticket would wait for a create that nobody asks for."""
    assert new_gate().poll_at(NOW) == NOW


def test_limit_of_creates() -> None:
    """A key that has just run dry would be refused more often than a ban takes."""
    gate = open_gate(max_creates=3)
    assert gate.create_at(NOW, creating=2, in_flight=10_000) == NOW
    assert gate.create_at(NOW, creating=3, in_flight=0) == inf


@pytest.mark.parametrize(
    ("creating", "in_flight", "at"), [(0, 4, NOW), (2, 2, NOW), (0, 5, inf), (1, 4, inf)]
)
def test_limit_of_tasks_in_flight(creating: int, in_flight: int, at: float) -> None:
    """An account would pay for more tasks at a time than its owner permits."""
    gate = open_gate(max_in_flight=5)
    assert gate.create_at(NOW, creating=creating, in_flight=in_flight) == at


@pytest.mark.parametrize("error", [CredentialError("NO_KEY"), InsufficientBalanceError("EMPTY")])
def test_shut_and_reopened(error: ServiceError) -> None:
    """A dead key would be tried again with every task; a topped-up one never."""
    gate = open_gate()
    gate.refused(error, NOW, 0.0)
    assert create_at(gate, NOW + 1e6) == inf
    assert gate.refusal(NOW + 1e6) is error
    assert gate.poll_at(NOW) == NOW  # what is paid can still be fetched
    gate.reopen()
    assert gate.refusal(NOW) is None
    assert create_at(gate) == NOW
    # The first create after that is a canary again.
    assert gate.create_at(NOW, creating=1, in_flight=0) == inf


def test_a_create_that_was_accepted_meanwhile_does_not_open_a_shut_gate() -> None:
    """One answer that overtook another would send thousands of tasks to a dead key."""
    gate = open_gate()
    gate.refused(CredentialError("NO_KEY"), NOW, 0.0)
    gate.create_answered()
    gate.succeeded()
    assert create_at(gate) == inf


def test_a_ban_stops_everything() -> None:
    """Going on prolongs the ban."""
    gate = open_gate()
    gate.refused(BannedError("BAN"), NOW, 0.0)
    end = NOW + BAN_SECONDS
    assert BAN_SECONDS == 600
    assert create_at(gate) == gate.poll_at(NOW) == end
    refusal = gate.refusal(NOW + 100)
    assert isinstance(refusal, BannedError)
    assert refusal.retry_after == 500
    assert gate.refusal(end) is None
    assert create_at(gate, end) == gate.poll_at(end) == end
    # Nobody knows whether it is really over: one create goes first.
    assert gate.create_at(end, creating=1, in_flight=0) == inf


def test_a_ban_of_stated_length() -> None:
    """Tasks would lapse while the account is free again."""
    gate = open_gate()
    gate.refused(BannedError("BAN", retry_after=60.0), NOW, 1.0)
    assert gate.poll_at(NOW) == pytest.approx(NOW + 66)
    gate.refused(BannedError("BAN", retry_after=1.0), NOW + 1, 0.0)
    assert gate.poll_at(NOW) == pytest.approx(NOW + 66), "a later answer shortened the ban"


def test_a_ban_that_states_ten_minutes_lasts_ten_minutes() -> None:
    """A service that says how long it bans would be asked sooner than one that does not."""
    reply = Reply(200, b'{"errorId":1,"errorCode":"ERROR_IP_BANNED"}', retry_after="600")
    answer = Decoder(EZCAPTCHA, []).result(reply)
    assert isinstance(answer, Refused)
    gate = open_gate()
    gate.refused(answer.error, NOW, 0.0)
    assert gate.poll_at(NOW) >= NOW + 600


def test_throttling_slows_everything_down() -> None:
    """Only the throttled request would wait, and the others go on being throttled."""
    gate = open_gate()
    gate.refused(ThrottledError("SLOW"), NOW, 0.0)
    assert create_at(gate) == gate.poll_at(NOW) == NOW + 1
    assert gate.refusal(NOW) is None


def test_throttling_again_doubles_the_pause() -> None:
    """A service that keeps saying no would be asked once a second for ever."""
    gate = open_gate()
    now, pauses = NOW, []
    for _ in range(8):
        gate.refused(ThrottledError("SLOW"), now, 0.0)
        pauses.append(gate.poll_at(now) - now)
        now = gate.poll_at(now)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60]
    gate.succeeded()
    gate.refused(ThrottledError("SLOW"), now, 0.0)
    assert gate.poll_at(now) == now + 1


@pytest.mark.parametrize("error_class", [ThrottledError, CapacityError])
def test_one_event_does_not_double_the_pause(error_class: type[ServiceError]) -> None:
    """Thirty requests in flight that are all refused would stop the account for a minute."""
    gate = open_gate()
    for step in range(30):
        gate.refused(error_class("NO"), NOW + step / 100, 0.0)
    assert create_at(gate) == NOW + 1
    gate.refused(error_class("NO"), NOW + 1, 0.0)
    assert create_at(gate, NOW + 1) == NOW + 3


def test_throttling_with_a_stated_wait() -> None:
    """The service's own word would be passed over, or counted as a reason to double."""
    gate = open_gate()
    gate.refused(ThrottledError("SLOW", retry_after=30.0), NOW, 0.5)
    assert gate.poll_at(NOW) == pytest.approx(NOW + 31.5)
    gate.refused(ThrottledError("SLOW", retry_after=2.0), NOW + 1, 0.0)
    assert gate.poll_at(NOW) == pytest.approx(NOW + 31.5), "a shorter wait replaced a longer one"
    later = NOW + 40
    gate.refused(ThrottledError("SLOW"), later, 0.0)
    assert gate.poll_at(later) == later + 1


def test_lack_of_capacity_pauses_only_creates() -> None:
    """Solutions that are ready would not be fetched because new tasks find no slot."""
    gate = open_gate()
    gate.refused(CapacityError("FULL"), NOW, 0.0)
    assert gate.poll_at(NOW) == NOW
    assert create_at(gate) == NOW + 1
    gate.succeeded()  # a poll's answer says nothing of capacity
    gate.refused(CapacityError("FULL"), NOW + 1, 0.0)
    assert create_at(gate, NOW + 1) == NOW + 3
    gate.create_answered()
    gate.refused(CapacityError("FULL"), NOW + 3, 0.0)
    assert create_at(gate, NOW + 3) == NOW + 4


@pytest.mark.parametrize("error", [InvalidTaskError("BAD"), TaskFailedError("GAVE_UP")])
def test_errors_of_one_task_hold_nobody_back(error: ServiceError) -> None:
    """One wrong site key would stop the tasks of everybody else."""
    gate = open_gate()
    gate.refused(error, NOW, 1.0)
    assert create_at(gate) == gate.poll_at(NOW) == NOW
    assert gate.refusal(NOW) is None


def test_luck_spreads_the_return_of_accounts() -> None:
    """All accounts of a pool would come back in the same moment, and be throttled again."""
    times = []
    for luck in (0.0, 0.5, 1.0):
        gate = open_gate()
        gate.refused(ThrottledError("SLOW", retry_after=10.0), NOW, luck)
        times.append(gate.poll_at(NOW) - NOW)
    assert times == pytest.approx([10, 10.5, 11])
    gate = open_gate()
    gate.refused(ThrottledError("SLOW"), NOW, 1.0)
    assert gate.poll_at(NOW) == pytest.approx(NOW + 1.1)


def test_repr_says_how_it_stands() -> None:
    """Whoever debugs a pool that sends nothing would not see why."""
    gate = new_gate()
    assert repr(gate) == "<Gate open, not proven>"
    gate.create_answered()
    assert repr(gate) == "<Gate open, proven>"
    gate.refused(CredentialError("NO_KEY"), NOW, 0.0)
    assert repr(gate) == "<Gate shut by NO_KEY, not proven>"


error_classes = st.sampled_from(
    [
        BannedError,
        CapacityError,
        CredentialError,
        InsufficientBalanceError,
        InvalidTaskError,
        ThrottledError,
    ]
)
refusals = st.tuples(
    error_classes, st.none() | st.floats(0, 120), st.floats(0, 1), st.floats(0, 99)
)
steps = st.lists(
    refusals | st.sampled_from(["succeeded", "create_answered", "reopen"]), max_size=20
)


@given(steps, st.floats(0, 1_000), st.floats(0, 1_000), st.integers(0, 5), st.integers(0, 5))
def test_times_are_never_in_the_past_and_never_go_back(
    events: list[tuple[type[ServiceError], float | None, float, float] | str],
    early: float,
    later: float,
    creating: int,
    in_flight: int,
) -> None:
    """An alarm in the past makes the scheduler spin; one that moves back sends too soon."""
    gate = new_gate(max_in_flight=4)
    now = 0.0
    for event in events:
        if isinstance(event, str):
            getattr(gate, event)()
            continue
        error_class, retry_after, luck, wait = event
        now += wait
        before = gate.poll_at(now)
        gate.refused(error_class("NO", retry_after=retry_after), now, luck)
        assert gate.poll_at(now) >= before
    first, second = sorted([early, later])
    for at in (
        gate.poll_at,
        lambda now: gate.create_at(now, creating=creating, in_flight=in_flight),
    ):
        assert at(first) >= first
        assert at(second) >= at(first)
        # Whoever comes at the time that was named is let through.
        assert at(first) == inf or at(at(first)) == at(first)
    assert gate.create_at(now, creating=creating, in_flight=in_flight) >= gate.poll_at(now)

"""The gate: may this account send now? Everything with plain numbers as the time."""

from __future__ import annotations

from math import inf
from typing import Final

import pytest

from ezcaptcha_async._books.gate import MOST_ERRORS, Gate
from ezcaptcha_async._books.limits import Terms
from ezcaptcha_async.errors import (
    BannedError,
    CapacityError,
    CredentialError,
    InsufficientBalanceError,
    ServiceError,
    ThrottledError,
)
from ezcaptcha_async.events import Endpoint
from ezcaptcha_async.services import EZCAPTCHA, ONECAPTCHA

NOW = 1_000.0
POLL: Final = "getTaskResult"


def new_gate(max_creates: int = 3, max_in_flight: int | None = None) -> Gate:
    """Return the gate of an account of which nothing is known."""
    return Gate(max_creates=max_creates, max_in_flight=max_in_flight)


def open_gate(max_creates: int = 3, max_in_flight: int | None = None) -> Gate:
    """Return the gate of an account whose key was found good."""
    gate = new_gate(max_creates, max_in_flight)
    answered(gate)
    return gate


def answered(gate: Gate, now: float = 0.0) -> None:
    """Let a create be sent and accepted."""
    gate.succeeded(gate.send("createTask", now), now)


def refuse(
    gate: Gate,
    error: ServiceError,
    now: float = NOW,
    luck: float = 0.0,
    endpoint: Endpoint = "createTask",
) -> None:
    """Let a request be sent and refused."""
    gate.refused(gate.send(endpoint, now), error, now, luck)


def passed(gate: Gate, now: float = NOW) -> None:
    """Let a poll be sent and answered."""
    gate.succeeded(gate.send(POLL, now), now)


def fail(gate: Gate, now: float = NOW, luck: float = 1.0) -> None:
    """Let a poll be sent and never answered."""
    gate.failed(gate.send(POLL, now), now, luck)


def create_at(gate: Gate, now: float = NOW) -> float:
    """Return when a create may go, with nothing in flight."""
    return gate.create_at(now, creating=0, in_flight=0)


@pytest.mark.parametrize(
    ("creating", "in_flight", "at"),
    [(0, 4, NOW), (2, 2, NOW), (0, 5, inf), (1, 4, inf), (3, 0, inf)],
)
def test_limits_of_creates_and_of_tasks_in_flight(creating: int, in_flight: int, at: float) -> None:
    """An account would pay for more tasks at a time than its owner permits, or earn a ban."""
    gate = open_gate(max_creates=3, max_in_flight=5)
    assert gate.create_at(NOW, creating=creating, in_flight=in_flight) == at


def test_a_key_that_polls_are_refused_for_is_probed() -> None:
    """What is paid would be given up for a moment's trouble, or thirty polls earn a ban."""
    gate = open_gate()
    for permit in [gate.send(POLL, NOW) for _ in range(40)]:
        gate.refused(permit, CredentialError("NO_KEY"), NOW, 0.0)
    waits, now = [], NOW
    for _ in range(6):
        waits.append(gate.poll_at(now) - now)
        now += waits[-1]
        permit = gate.send(POLL, now)
        assert gate.poll_at(now) == inf, "one at a time"
        gate.refused(permit, CredentialError("NO_KEY"), now, 0.0)
    # Forty errors fill the minute; after that a probe now and then.
    assert waits == [60, 2, 4, 8, 15, 15]
    assert gate.state == "shut by NO_KEY"
    now = gate.poll_at(now)
    passed(gate, now)
    assert gate.poll_at(now) == create_at(gate, now) == now
    assert repr(gate) == "<Gate open>", "polls have shut it, and a poll opens it"
    refuse(gate, CredentialError("NO_KEY"), now, endpoint=POLL)
    assert gate.poll_at(now) == now + 1, "as at first"


def test_a_poll_opens_nothing_that_a_create_has_shut() -> None:
    """A key that may fetch and not buy would be tried again after each poll."""
    gate = open_gate()
    refuse(gate, CredentialError("NO_KEY"))
    refuse(gate, CredentialError("NO_KEY"), endpoint=POLL)
    passed(gate, NOW + 1)
    assert create_at(gate) == inf


def test_an_empty_balance_holds_up_no_poll() -> None:
    """The service counts none of these on polls, and what is paid can still be fetched."""
    gate = open_gate()
    for endpoint in ("createTask", POLL, POLL):
        refuse(gate, InsufficientBalanceError("EMPTY"), endpoint=endpoint)
    for _ in range(40):
        assert gate.poll_at(NOW) == NOW
        gate.send(POLL, NOW)


def test_errors_of_polls_and_creates_are_counted_apart() -> None:
    """A key that polls were refused for would hold up creates, which have a count of their own."""
    gate = open_gate()
    for _ in range(MOST_ERRORS):
        refuse(gate, CredentialError("NO_KEY"), endpoint=POLL)
    gate.reopen()
    assert create_at(gate) == NOW
    together = Gate(max_creates=3, max_in_flight=None, terms=Terms(bans_together=True))
    answered(together)
    for _ in range(MOST_ERRORS):
        refuse(together, InsufficientBalanceError("EMPTY"), endpoint=POLL)
    together.reopen()
    assert create_at(together) == together.poll_at(NOW) == NOW + 60


def test_polls_in_flight_count_where_all_is_counted() -> None:
    """A crowd of polls that are under way would come on top of what creates may earn."""
    gate = Gate(max_creates=20, max_in_flight=None, terms=Terms(bans_together=True))
    answered(gate)
    permit, *_ = [gate.send(POLL, NOW) for _ in range(30)]
    assert gate.create_at(NOW, creating=0, in_flight=30) == NOW
    gate.refused(permit, CredentialError("NO_KEY"), NOW, 0.0)
    gate.reopen()
    assert gate.create_at(NOW, creating=0, in_flight=30) == inf


def test_a_balance_question_is_a_request_like_others() -> None:
    """Asking again and again with a bad key would earn the ban that creates avoid."""
    gate = open_gate()
    assert gate.inquiry_refusal(NOW) is None
    error = CredentialError("NO_KEY")
    for _ in range(MOST_ERRORS):
        assert gate.inquiry_refusal(NOW) is None
        refuse(gate, error, endpoint="getBalance")
    assert gate.inquiry_refusal(NOW) is error
    assert gate.inquiry_refusal(NOW + 60) is None
    empty = open_gate()
    for _ in range(MOST_ERRORS):
        refuse(empty, InsufficientBalanceError("EMPTY"))
    assert empty.inquiry_refusal(NOW) is None, "it does no harm, and may find points"


MARGIN: Final = 20
"""Seconds beyond the end of a ban, for what was under way."""


@pytest.mark.parametrize(
    ("error", "endpoint", "creates", "polls"),
    [
        (BannedError("ERROR_REQUEST_BANNED"), "createTask", 180, 60),
        (BannedError("ERROR_REQUEST_BANNED"), POLL, 60, 60),
        (BannedError("ERROR_REQUEST_BANNED"), "getBalance", 60, 60),
        (BannedError("ERROR_IP_BANNED"), "createTask", 600, 600),
        (BannedError("ERROR_IP_BANNED"), POLL, 600, 600),
        (BannedError("ERROR_REQUEST_BANNED", retry_after=40), "createTask", 40, 40),
        (BannedError("ERROR_REQUEST_BANNED", retry_after=400), POLL, 400, 400),
        (BannedError("ERROR_IP_BANNED", retry_after=40), POLL, 40, 40),
    ],
)
def test_how_long_a_ban_silences(
    error: BannedError, endpoint: Endpoint, creates: float, polls: float
) -> None:
    """Tasks would lapse while the account is free again, or the ban be prolonged."""
    gate = open_gate()
    refuse(gate, error, NOW, 0.0, endpoint)
    assert create_at(gate) == gate.banned_until("createTask") == NOW + creates + MARGIN
    assert gate.poll_at(NOW) == gate.banned_until(POLL) == NOW + polls + MARGIN
    assert gate.banned_until("getBalance") == NOW + max(creates, polls) + MARGIN
    refusal = gate.refusal(NOW + 10)
    assert isinstance(refusal, BannedError)
    assert refusal.code == error.code
    assert refusal.retry_after == creates + MARGIN - 10
    assert gate.refusal(NOW + creates + MARGIN) is None
    assert gate.create_at(NOW + creates + MARGIN, creating=1, in_flight=0) == inf, "one goes first"


def test_a_ban_is_as_long_as_at_its_service() -> None:
    """At 1captcha it lasts ten minutes, whatever met it; at twenty times real speed, a moment."""
    for service, endpoint, creates, polls in (
        (ONECAPTCHA, POLL, 600 + MARGIN, 600 + MARGIN),
        (EZCAPTCHA.at_speed(20), "createTask", 10, 4),
    ):
        gate = Gate(max_creates=3, max_in_flight=None, terms=Terms.of(service))
        answered(gate, NOW)
        refuse(gate, BannedError("ERROR_REQUEST_BANNED"), endpoint=endpoint)  # type: ignore[arg-type]
        assert (create_at(gate), gate.poll_at(NOW)) == (NOW + creates, NOW + polls)


def test_what_was_sent_before_a_ban_is_no_proof_that_it_is_over() -> None:
    """A crowd instead of one probe would meet a ban that goes on, or a new account be trusted."""
    gate = open_gate()
    permit = gate.send(POLL, NOW)
    refuse(gate, BannedError("BAN"))
    gate.succeeded(permit, NOW + 1)
    end = gate.poll_at(NOW)
    gate.send(POLL, end)
    assert gate.poll_at(end) == inf
    gate = new_gate()
    permit = gate.send("createTask", NOW)
    refuse(gate, BannedError("BAN"))
    gate.refused(permit, CapacityError("FULL"), NOW + 1, 0.0)
    assert gate.state == "on trial"


def test_throttling_halves_the_rate_of_everything() -> None:
    """Only the throttled request would wait, and the others go on being throttled."""
    gate = open_gate()
    for step in range(40):
        passed(gate, NOW + step / 40)
    for _ in range(3):
        refuse(gate, ThrottledError("SLOW"), NOW + 1)
    sent = 0
    for step in range(1_000):
        now = NOW + 1 + step / 1_000
        if gate.poll_at(now) <= now and create_at(gate, now) <= now:
            passed(gate, now)
            sent += 1
    assert 18 <= sent <= 24
    assert gate.refusal(NOW) is None


def test_a_stated_wait_that_others_need_not_keep() -> None:
    """One server of several asks for a pause, and all that is paid would wait for it."""
    gate = open_gate()
    before, throttled, *later = [gate.send(POLL, NOW) for _ in range(5)]
    gate.refused(throttled, ThrottledError("SLOW", retry_after=30.0), NOW + 1, 0.0)
    gate.succeeded(before, NOW + 1)
    gate.succeeded(later[0], NOW + 1)
    gate.succeeded(later[1], NOW + 1)
    assert gate.poll_at(NOW + 1) == NOW + 16, "one asks whether that is meant for all"
    assert create_at(gate, NOW + 1) == NOW + 31
    gate.succeeded(later[2], NOW + 1)
    assert gate.poll_at(NOW + 2) < NOW + 3, "three that were sent later were accepted"
    refuse(gate, ThrottledError("SLOW", retry_after=10.0), NOW + 30, endpoint=POLL)
    assert gate.poll_at(NOW + 32) < NOW + 34
    refuse(gate, ThrottledError("SLOW", retry_after=10.0), NOW + 32, endpoint=POLL)
    assert gate.poll_at(NOW + 32) == NOW + 42, "for half a minute"


@pytest.mark.parametrize("is_accepted", [True, False])
def test_while_all_are_asked_to_wait_a_few_polls_ask_whether_that_is_meant_for_all(
    *, is_accepted: bool
) -> None:
    """Two minutes of silence, and each token that was ready by then has expired."""
    gate = open_gate()
    refuse(gate, ThrottledError("SLOW", retry_after=120.0), NOW, endpoint=POLL)
    assert gate.poll_at(NOW) == NOW + 15
    probe, *_ = [gate.send(POLL, NOW + 15) for _ in range(3)]
    assert gate.poll_at(NOW + 15) == NOW + 45, "then after twice as long"
    if is_accepted:
        gate.succeeded(probe, NOW + 16)
        assert gate.poll_at(NOW + 16) <= create_at(gate, NOW + 16) <= NOW + 17
        for seconds in (40, 60, 80):
            passed(gate, NOW + seconds)
        refuse(gate, ThrottledError("SLOW", retry_after=120.0), NOW + 90, endpoint=POLL)
        assert gate.poll_at(NOW + 91) < NOW + 93, "as long as others are answered"
        refuse(gate, ThrottledError("SLOW", retry_after=50.0), NOW + 91)
        assert create_at(gate, NOW + 92) == NOW + 141, "creates are careful"
        assert gate.poll_at(NOW + 92) < NOW + 93
        for _ in range(18):
            refuse(gate, ThrottledError("SLOW", retry_after=100.0), NOW + 92, endpoint=POLL)
        assert create_at(gate, NOW + 93) == NOW + 192, "twenty, and nobody else is answered"
    else:
        gate.refused(probe, ThrottledError("SLOW", retry_after=120.0), NOW + 16, 0.0)
        assert gate.poll_at(NOW + 16) == NOW + 45
        assert create_at(gate, NOW + 16) == NOW + 136
        for _ in range(3):
            gate.send(POLL, NOW + 45)
        assert gate.poll_at(NOW + 45) == NOW + 105


def test_refusals_in_a_row_are_bounded_as_a_ban_would_have_it() -> None:
    """A code that no table has would be earned again and again by those who come later."""
    gate = open_gate(max_creates=20)
    told = [gate.refused_task(gate.send("createTask", NOW), "WHY", NOW) for _ in range(25)]
    assert told == [False] * 4 + [True] * 21
    assert create_at(gate) == NOW + 60
    assert gate.create_at(NOW + 60, creating=1, in_flight=0) == inf, "one at a time"
    gate.succeeded(gate.send("createTask", NOW), NOW)
    assert gate.create_at(NOW + 60, creating=1, in_flight=0) == NOW + 60
    assert not gate.refused_task(gate.send("createTask", NOW), "WHY", NOW)


def test_failures_that_cost_nothing_are_a_herd_as_well() -> None:
    """Something in front of the service would turn away hundreds of creates, one like the other."""
    gate = open_gate(max_creates=20)
    for _ in range(9):
        gate.failed(gate.send("createTask", NOW), NOW, 0.0)
    assert gate.create_at(NOW, creating=9, in_flight=0) == NOW
    gate.failed(gate.send("createTask", NOW), NOW, 0.0)
    assert create_at(gate) == NOW + 1
    assert gate.create_at(NOW + 1, creating=1, in_flight=0) == inf


def test_an_outage_is_met_with_one_create_at_a_time() -> None:
    """Each create that goes into an outage may be paid for, and nobody gets its id."""
    gate = open_gate()
    sent, now = 0, NOW
    while now < NOW + 600:
        at = create_at(gate, now)
        if at == now:
            gate.failed(gate.send("createTask", now), now, 1.0)
            sent += 1
        now = max(at, now + 0.01)
    assert sent <= 10 + 4 + 600 / 15
    assert gate.failing_since < inf
    answered(gate, now)
    assert (create_at(gate, now), gate.failing_since) == (now, inf)


def test_no_failure_holds_back_the_polls_of_others() -> None:
    """One server of several is down, and what is paid for would not be asked for any more."""
    gate = open_gate()
    for step in range(10_000):
        now = NOW + step / 100
        assert gate.poll_at(now) == now
        if step % 100 == 99:
            passed(gate, now)
            assert gate.polls_fail_since == inf
        else:
            fail(gate, now)
            assert gate.polls_fail_since == NOW + (step - step % 100) / 100
    refuse(gate, CapacityError("DOWN"), now, endpoint=POLL)
    assert gate.polls_fail_since == now


def test_polls_with_a_key_that_nothing_is_known_of() -> None:
    """Thousands of resumed tickets on a bad key would earn a ban, or wait for one that hangs."""
    gate = new_gate()
    permits = [gate.send(POLL, NOW)]
    for _ in range(5):
        assert gate.poll_at(NOW) == inf
        gate.failed(permits.pop(), NOW, 0.0)
        while gate.poll_at(NOW) == NOW:
            permits.append(gate.send(POLL, NOW))
    assert len(permits) == 6, "one more beside it for each that was not answered"
    gate.succeeded(permits.pop(), NOW)
    assert gate.poll_at(NOW) == NOW


def test_the_first_create_is_repeated_after_a_while_when_it_fails() -> None:
    """Five thousand callers would try a dead address one right after the other."""
    gate = new_gate()
    waits, now = [], NOW
    for luck in (1.0, 0.0, 1.0):
        gate.failed(gate.send("createTask", now), now, luck)
        waits.append(create_at(gate, now) - now)
        now += waits[-1]
    assert waits == [1, 1, 4]
    answered(gate, now)
    for _ in range(97):
        fail(gate, now)
    assert gate.state != "on trial"
    fail(gate, now)
    assert gate.state == "on trial", "what all came to nothing is an outage"
    assert create_at(gate, now) == now + 1, "as at first"


def test_lack_of_capacity_pauses_only_creates() -> None:
    """Solutions that are ready would not be fetched because new tasks find no slot."""
    gate = open_gate()
    refuse(gate, CapacityError("FULL"), NOW, 0.0)
    assert gate.poll_at(NOW) == NOW
    assert create_at(gate) == NOW + 1
    passed(gate)  # a poll's answer says nothing of capacity
    refuse(gate, CapacityError("FULL"), NOW + 1, 0.0)
    assert create_at(gate, NOW + 1) == NOW + 3
    answered(gate, NOW)
    refuse(gate, CapacityError("FULL"), NOW + 3, 0.0)
    assert create_at(gate, NOW + 3) == NOW + 4


def lose(gate: Gate, now: float = NOW) -> None:
    """Let a create be sent whose answer is lost."""
    gate.failed(gate.send("createTask", now), now, 0.0, maybe_created=True)


def test_creates_whose_answers_are_lost_go_one_at_a_time() -> None:
    """Each that goes on into an outage is one more that may have been paid for."""
    gate = open_gate()
    lose(gate)
    lose(gate)
    assert gate.create_at(NOW, creating=2, in_flight=0) == NOW, "it may be chance"
    answered(gate)
    lose(gate)
    lose(gate)
    assert gate.failing_since == inf
    lose(gate)
    assert gate.failing_since == NOW
    assert gate.create_at(NOW, creating=0, in_flight=0) == NOW + 1
    assert gate.create_at(NOW + 1, creating=1, in_flight=0) == inf
    assert gate.poll_at(NOW) == NOW, "polls are free to repeat"
    assert gate.troubled(NOW)
    passed(gate)
    assert gate.failing_since == NOW, "a poll says nothing of creates"
    waits = []
    now = NOW + 1
    for _ in range(6):
        lose(gate, now)
        waits.append(create_at(gate, now) - now)
        now += waits[-1]
    assert waits == [2, 4, 8, 15, 15, 15]
    answered(gate, now)
    assert gate.failing_since == inf
    assert gate.create_at(now, creating=2, in_flight=0) == now
    for _ in range(3):
        lose(gate, now)
    assert create_at(gate, now) == now + 1, "as at first"


def test_trouble_sends_new_tasks_elsewhere() -> None:
    """A new task would wait out the pause of one account while another is idle."""
    gate = open_gate()
    assert not gate.troubled(NOW)
    refuse(gate, CapacityError("FULL"))
    assert gate.troubled(NOW)
    assert not gate.troubled(NOW + 1)
    refuse(gate, ThrottledError("SLOW", retry_after=30), NOW + 1)
    assert gate.troubled(NOW + 20)
    failing = new_gate()
    fail(failing)
    assert failing.troubled(NOW)
    assert not failing.troubled(NOW + 15), "or nobody would find out that it is well again"
    assert failing.failing_since == NOW


def test_luck_spreads_the_return_of_accounts() -> None:
    """All accounts of a pool would come back in the same moment, and be throttled again."""
    times = []
    for luck in (0.0, 0.5, 1.0):
        gate = open_gate()
        refuse(gate, ThrottledError("SLOW", retry_after=10.0), NOW, luck)
        times.append(gate.poll_at(NOW) - NOW)
    assert times == pytest.approx([10, 10.5, 11])
    gate = open_gate()
    refuse(gate, CapacityError("FULL"), NOW, 1.0)
    assert create_at(gate) == pytest.approx(NOW + 1.1)


def test_a_ban_of_an_earlier_process_holds() -> None:
    """A restarted process would send into the ban, and prolong it."""
    gate = new_gate()
    assert gate.banned_until("createTask") < NOW
    gate.restore_ban(creates_until=NOW + 60, polls_until=NOW + 20)
    gate.restore_ban(creates_until=NOW + 30, polls_until=NOW + 10)
    assert create_at(gate) == NOW + 60
    assert gate.poll_at(NOW) == NOW + 20
    refusal = gate.refusal(NOW)
    assert isinstance(refusal, BannedError)
    assert refusal.retry_after == 60
    assert gate.refusal(NOW + 60) is None
    passed(gate, NOW + 20)
    gate.restore_ban(creates_until=NOW + 60, polls_until=NOW + 19)
    gate.send(POLL, NOW + 20)
    assert gate.poll_at(NOW + 20) == NOW + 20, "no news is no reason to probe anew"
    gate.shut(CredentialError("NO_KEY"))
    assert isinstance(gate.refusal(NOW), BannedError), "it concerns what is paid as well"
    gate.pause(NOW + 70)
    gate.pause(NOW + 65)
    assert gate.poll_at(NOW) == NOW + 70


def test_a_request_that_did_not_go_out_blocks_nothing() -> None:
    """A new account would wait for ever for the answer to its canary."""
    gate = new_gate()
    gate.send(POLL, NOW)
    assert create_at(gate) == NOW, "polls hold back no create"
    permit = gate.send("createTask", NOW)
    assert create_at(gate) == inf
    gate.take_back(permit)
    assert create_at(gate) == NOW
    gate.send("createTask", NOW)
    gate.take_back(permit)
    assert create_at(gate) == inf, "the first permit is used"

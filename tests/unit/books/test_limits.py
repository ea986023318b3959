"""The limits that the gate is made of, each by itself, with plain numbers as the time."""

from __future__ import annotations

from math import inf

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async._books.limits import (
    AnswerTimes,
    Pacer,
    Pause,
    RecentErrors,
    RefusedInARow,
    RetryQuota,
    Terms,
)
from ezcaptcha_async.services import EZCAPTCHA

NOW = 1_000.0
gaps = st.lists(st.floats(0, 2), min_size=1, max_size=100)


def test_a_pause_doubles_up_to_a_minute_and_forgets() -> None:
    """A service that keeps saying no would be asked once a second for ever."""
    pause = Pause(1.0, 60.0)
    now, lengths = NOW, []
    for _ in range(8):
        pause.extend(now, None, 1.0)
        lengths.append(pause.until - now)
        now = pause.until
    assert lengths == [1, 2, 4, 8, 16, 32, 60, 60]
    pause.forget()
    pause.extend(now, None, 1.0)
    assert pause.until == now + 1


@given(gaps, st.floats(0.1, 1_000))
def test_a_pacer_keeps_its_rate_over_any_span(waits: list[float], per_second: float) -> None:
    """A limit that the user agreed on with the service would be broken in a burst."""
    pacer, now, passed = Pacer(per_second), NOW, []
    for wait in waits:
        now = max(now + wait, pacer.next_at)
        pacer.take(now)
        passed.append(now)
    for i, start in enumerate(passed):
        for j, end in enumerate(passed[i:], start=1):
            assert j <= per_second * (end - start + 0.05) + 1 + 1e-6


def test_a_pacer_without_a_limit_holds_nobody() -> None:
    """Who sets no limit would be slowed down."""
    pacer = Pacer(inf)
    for _ in range(1_000):
        pacer.take(NOW)
    assert pacer.next_at <= NOW


def test_a_late_event_loop_does_not_cost_a_pacer_its_rate() -> None:
    """An alarm that rings every 20 ms would bring 200 requests per second down to 50."""
    pacer, passed = Pacer(200), 0
    for step in range(500):
        now = NOW + step / 50
        while pacer.next_at <= now:
            pacer.take(now)
            passed += 1
    assert passed == pytest.approx(2_000, rel=0.01)


def refused(row: RefusedInARow, codes: str) -> list[bool]:
    """Let a create be refused with each of these codes, or accepted where it is a dot."""
    told = []
    for code in codes:
        if code == ".":
            row.end()
        else:
            told.append(row.note(code))
    return told


def test_refusals_in_a_row_are_the_accounts() -> None:
    """A key that is turned away with a code of its own would send thousands of the same error."""
    assert refused(RefusedInARow(), "aaaaaa") == [False] * 4 + [True] * 2
    assert refused(RefusedInARow(), "aaaa.aaaa") == [False] * 8
    assert refused(RefusedInARow(), "." * 40 + "aaaaa") == [False] * 4 + [True]


def test_where_codes_differ_it_takes_twice_as_many() -> None:
    """Each error in a code of its own would be sent for ever; or five bad rows fail a batch."""
    assert refused(RefusedInARow(), "abcdefghijk") == [False] * 9 + [True] * 2


def test_where_many_are_refused_anyway_a_row_may_be_chance() -> None:
    """A batch in which every second row is bad would end for the good ones as well."""
    row = RefusedInARow()
    refused(row, ".a" * 20 + ".")
    assert not any(refused(row, "a" * 18))
    assert any(refused(row, "a" * 18)), "so many are not"


def test_tokens_that_live_shortly_need_polls_more_often() -> None:
    """They would have expired before anybody asked for them."""
    usual = Terms.of(EZCAPTCHA)
    assert usual.in_flight_for == 20
    assert Terms.of(EZCAPTCHA.at_speed(10)).in_flight_for == 2
    assert Terms.of(attrs.evolve(EZCAPTCHA, token_validity=30)).in_flight_for == 5
    assert Terms.of(attrs.evolve(EZCAPTCHA, token_validity=600)).in_flight_for == 20


def test_a_quota_is_used_up_by_failures_alone() -> None:
    """An outage would not be noticed, or bad luck taken for one."""
    quota = RetryQuota()
    for _ in range(99):
        quota.failed()
    assert not quota.used_up
    quota.failed()
    assert quota.used_up
    quota.succeeded()
    for _ in range(49):
        quota.failed()
    assert not quota.used_up
    for _ in range(500):
        quota.succeeded()
    for _ in range(99):
        quota.failed()
    assert not quota.used_up


@given(gaps, st.integers(1, 10), st.integers(0, 4))
def test_errors_never_exceed_their_limit_in_any_window(
    waits: list[float], most: int, pending: int
) -> None:
    """The service would ban the account."""
    errors, now, noted = RecentErrors(most, 10.0), NOW, list[float]()
    for wait in waits:
        now += wait
        at = errors.room_at(now, pending)
        assert at >= now
        if at == inf:
            assert pending >= most
            return
        now = at
        assert errors.room_at(now, pending) == now
        errors.note(now)
        noted.append(now)
        assert sum(time + 10.0 > now for time in noted) + pending <= most


def test_looking_ahead_forgets_no_error() -> None:
    """Whoever asks about a later moment would let too many errors through until then."""
    errors = RecentErrors(1, 10.0)
    errors.note(NOW)
    assert errors.room_at(NOW + 10, 0) == NOW + 10
    assert errors.room_at(NOW + 10, 1) == inf
    assert errors.room_at(NOW, 0) == NOW + 10


def test_a_deadline_is_learned_from_answers() -> None:
    """One poll in twenty that hangs would hold a place for twenty seconds."""
    times = AnswerTimes(3.0)
    assert times.next_deadline(20.0, at_a_time=200) == 3.0
    for _ in range(100):
        times.answered(0.05)
    assert times.next_deadline(20.0, at_a_time=200) == 3.0
    assert times.next_deadline(1.0, at_a_time=200) == 1.0
    for _ in range(100):
        times.answered(2.0)
    assert times.next_deadline(20.0, at_a_time=200) == pytest.approx(6.0, abs=0.5)


def test_a_deadline_that_is_too_short_grows_again() -> None:
    """A service that has become slow would never be heard to its end."""
    times, deadlines = AnswerTimes(3.0), []
    times.answered(0.05)
    for _ in range(100):
        deadlines.append(times.next_deadline(20.0, at_a_time=200))
        times.unanswered()
    assert deadlines.pop(19) == 20.0, "one that shows how long it would take"
    assert sorted(set(deadlines)) == pytest.approx([3.0, 6.0, 12.0, 20.0], abs=1)
    times.answered(10.0)
    assert times.next_deadline(20.0, at_a_time=200) > 3.0
    for _ in range(30_000):
        times.unanswered()
    assert times.next_deadline(20.0, at_a_time=200) == 20.0, "after hours of it"
    assert times.next_deadline(20.0, at_a_time=200, luck=lambda: 1.0) == 15.0, "out of step"


@pytest.mark.parametrize(("at_a_time", "sent"), [(1, 5), (10, 10), (200, 20)])
def test_one_of_a_few_takes_its_time_soon(at_a_time: int, sent: int) -> None:
    """The window of a lone task would be over before it is known how slow the service is."""
    times, deadlines = AnswerTimes(3.0), []
    for _ in range(sent):
        deadlines.append(times.next_deadline(20.0, at_a_time=at_a_time))
        times.unanswered()
    assert deadlines == [3.0] * (sent - 1) + [20.0]


def test_what_else_was_answered_tells_how_long_the_first_one_may_take() -> None:
    """All the first polls of a service that is slow altogether would be cut off."""
    times = AnswerTimes(3.0)
    times.guess(4.0)
    times.guess(4.0)
    assert times.next_deadline(20.0, at_a_time=1) > 12.0
    times.answered(0.05)
    assert times.next_deadline(20.0, at_a_time=1) < 4.0, "no guess where something is known"


@given(st.lists(st.floats(2.0, 4.0), min_size=200, max_size=200))
def test_no_spread_of_answers_is_cut_off_for_long(seconds: list[float]) -> None:
    """Answers that take now a little less and now a little more than it would be lost in part."""
    times = AnswerTimes(3.0)
    for taken in seconds:
        if taken <= times.next_deadline(20.0, at_a_time=200):
            times.answered(taken)
        else:
            times.unanswered()
    assert times.next_deadline(20.0, at_a_time=200) >= 4.0 or max(seconds) <= 3.0

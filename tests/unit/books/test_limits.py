"""The limits that the gate is made of, each by itself, with plain numbers as the time."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async._books.limits import (
    AdaptiveRate,
    AnswerTimes,
    Pacer,
    Pause,
    RecentErrors,
    RetryQuota,
)

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
        now = max(now + wait, pacer.next_at(now))
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
    assert pacer.next_at(NOW) == NOW


def test_a_late_event_loop_does_not_cost_a_pacer_its_rate() -> None:
    """An alarm that rings every 20 ms would bring 200 requests per second down to 50."""
    pacer, passed = Pacer(200), 0
    for step in range(500):
        now = NOW + step / 50
        while pacer.next_at(now) <= now:
            pacer.take(now)
            passed += 1
    assert passed == pytest.approx(2_000, rel=0.01)


def test_there_is_no_rate_before_the_first_throttling() -> None:
    """A service that never throttles would not get what it can take."""
    rate = AdaptiveRate()
    for _ in range(10_000):
        rate.take(NOW)
    assert rate.next_at(NOW) == NOW
    assert rate.rate(NOW) == inf


def test_throttling_halves_and_time_restores() -> None:
    """An account would be throttled on and on, or crawl for ever after one bad moment."""
    rate = AdaptiveRate()
    for step in range(100):
        rate.take(NOW + step / 100)
    rate.throttled(NOW + 1)
    assert rate.rate(NOW + 1) == 50
    assert rate.rate(NOW + 11) == pytest.approx(100)
    assert rate.rate(NOW + 30) == pytest.approx(195)
    assert rate.rate(NOW + 31.1) == inf


def test_one_event_halves_once() -> None:
    """Thirty requests in flight that are all throttled would bring the rate to a billionth."""
    rate = AdaptiveRate()
    for step in range(100):
        rate.take(NOW + step / 100)
    for step in range(30):
        rate.throttled(NOW + 1 + step / 100)
    assert rate.rate(NOW + 1.5) == pytest.approx(52.5)
    for step in range(100):
        rate.take(NOW + 1 + step / 100)
    rate.throttled(NOW + 2)
    assert rate.rate(NOW + 2) == pytest.approx(27.5)


def test_the_rate_has_a_floor() -> None:
    """An account that is throttled long enough would never send anything again."""
    rate = AdaptiveRate()
    for step in range(100):
        rate.throttled(NOW + 2 * step)
    assert rate.rate(NOW + 198) == 0.5


def test_the_rate_stays_at_a_share_of_what_it_was() -> None:
    """Thousands of paid tasks would lapse because of a service that throttles at any rate."""
    rate = AdaptiveRate()
    for step in range(100):
        rate.take(NOW + step / 100)
    for step in range(20):
        rate.throttled(NOW + 1 + 2 * step)
    assert rate.rate(NOW + 39) == 5


def test_what_was_sent_long_ago_is_not_the_present_rate() -> None:
    """A burst of last minute would let a throttled account go on too fast."""
    rate = AdaptiveRate()
    for _ in range(1_000):
        rate.take(NOW)
    for step in range(10):
        rate.take(NOW + 60 + step / 10)
    rate.throttled(NOW + 61)
    assert rate.rate(NOW + 61) == 5


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
    assert times.deadline(20.0) == 3.0
    for _ in range(100):
        times.answered(0.05)
    assert times.deadline(20.0) == 3.0
    assert times.deadline(1.0) == 1.0
    for _ in range(100):
        times.answered(2.0)
    assert times.deadline(20.0) == pytest.approx(6.0, abs=0.5)


def test_a_deadline_that_is_too_short_grows_again() -> None:
    """A service that has become slow would never be heard to its end."""
    times, deadlines = AnswerTimes(3.0), []
    for _ in range(100):
        deadlines.append(times.deadline(20.0))
        times.unanswered()
    assert sorted(set(deadlines)) == [3.0, 6.0, 12.0, 20.0]
    assert deadlines == sorted(deadlines)
    times.answered(10.0)
    assert times.deadline(20.0) > 3.0


@given(st.lists(st.floats(2.0, 4.0), min_size=200, max_size=200))
def test_no_spread_of_answers_is_cut_off_for_long(seconds: list[float]) -> None:
    """Answers that take now a little less and now a little more than it would be lost in part."""
    times = AnswerTimes(3.0)
    for taken in seconds:
        if taken <= times.deadline(20.0):
            times.answered(taken)
        else:
            times.unanswered()
    assert times.deadline(20.0) >= 4.0 or max(seconds) <= 3.0

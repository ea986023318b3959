"""The rate that throttling teaches, beside services with a limit and others that have none."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count
from math import inf
from random import Random

import attrs
import pytest

from ezcaptcha_async._books.adaptive_rate import AdaptiveRate

NOW = 1_000.0
DEMAND = 60
LATENCY = 0.05


def with_limit(per_second: float) -> Callable[[float], bool]:
    """Return a service that throttles what comes above a rate, but for one second's worth."""
    room, last = per_second, NOW

    def is_throttled(now: float) -> bool:
        nonlocal room, last
        room, last = min(per_second, room + (now - last) * per_second), now
        if room < 1:
            return True
        room -= 1
        return False

    return is_throttled


def by_chance(share: float, seed: int = 1) -> Callable[[float], bool]:
    """Return a service that throttles a share, however much it is sent."""
    rng = Random(seed)
    return lambda _now: rng.random() < share


@attrs.frozen
class Seen:
    """What went on, per second."""

    sent: float
    throttled: float


def run(
    rate: AdaptiveRate,
    is_throttled: Callable[[float], bool],
    seconds: int,
    begin: float = NOW,
    demand: int = DEMAND,
) -> Seen:
    """Send as much as the rate allows and is wanted, and return what came of the second half."""
    sent = throttled = 0
    under_way = deque[tuple[float, bool]]()
    for step in range(seconds * demand):
        now = begin + step / demand
        while under_way and under_way[0][0] + LATENCY <= now:
            at, refused = under_way.popleft()
            rate.heard(now, at, throttled=refused)
        if rate.next_at(now) <= now:
            rate.take(now)
            refused = is_throttled(now)
            under_way.append((now, refused))
            if step >= seconds * demand / 2:
                sent += 1
                throttled += refused
    return Seen(2 * sent / seconds, 2 * throttled / seconds)


def crowd(rate: AdaptiveRate, number: int, begin: float = NOW) -> None:
    """Send so many in one second."""
    for step in range(number):
        rate.take(begin + step / number)


def throttle(rate: AdaptiveRate, now: float, sent_at: float, number: int = 3) -> None:
    """Let so many be throttled."""
    for _ in range(number):
        rate.heard(now, sent_at, throttled=True)


def test_throttling_halves_and_time_restores() -> None:
    """An account would be throttled on and on, or crawl for ever after one bad moment."""
    rate = AdaptiveRate()
    crowd(rate, 100)
    throttle(rate, NOW + 1, NOW, 2)
    assert rate.rate(NOW + 1) == inf, "it may be chance"
    throttle(rate, NOW + 1, NOW, 1)
    assert rate.rate(NOW + 1) == rate.rate(NOW + 4) == 50
    assert rate.rate(NOW + 14) == pytest.approx(100)
    assert rate.rate(NOW + 33) == pytest.approx(195)
    assert rate.rate(NOW + 34.1) == inf


def test_one_event_halves_once() -> None:
    """Thirty requests in flight that are all throttled would bring the rate to a billionth."""
    rate = AdaptiveRate()
    crowd(rate, 100)
    throttle(rate, NOW + 1, NOW, 60)
    throttle(rate, NOW + 3, NOW + 0.99, 60)
    assert rate.rate(NOW + 3) == 50, "that was sent before"
    throttle(rate, NOW + 1.99, NOW + 1.1, 60)
    assert rate.rate(NOW + 2) == 50, "not within a second"
    throttle(rate, NOW + 2, NOW + 1.1, 1)
    assert rate.rate(NOW + 2) == 25


def test_a_few_of_many_that_are_throttled_do_not_matter() -> None:
    """One server that hiccups would slow down everything."""
    rate = AdaptiveRate()
    crowd(rate, 100)
    for step in range(1_000):
        rate.heard(NOW + step / 100, NOW, throttled=step % 25 == 0)
    assert rate.rate(NOW + 10) == inf
    throttle(rate, NOW + 11, NOW + 11)
    before = rate.rate(NOW + 11)
    for step in range(1_000):
        rate.heard(NOW + 12 + step / 100, NOW + 12, throttled=step % 25 == 0)
    assert rate.rate(NOW + 21) > 1.5 * before


@pytest.mark.parametrize("limit", [2, 10, 40])
def test_a_limit_is_found_and_kept(limit: int) -> None:
    """A service that is throttling would be sent more and more of what it cannot take."""
    seen = run(AdaptiveRate(), with_limit(limit), 120)
    assert seen.sent - seen.throttled >= 0.6 * limit
    assert seen.throttled <= 0.2 * limit


def test_others_who_share_a_limit_are_no_chance() -> None:
    """Each would take the others' load for chance, and all together flood the service."""
    is_throttled, rates = with_limit(20), [AdaptiveRate() for _ in range(3)]
    sent = throttled = 0
    for step in range(120 * DEMAND):
        now = NOW + step / DEMAND
        for rate in rates:
            if rate.next_at(now) <= now:
                rate.take(now)
                refused = is_throttled(now)
                rate.heard(now, now, throttled=refused)
                sent, throttled = sent + 1, throttled + refused
    assert throttled <= 0.7 * sent, "0.9 of them if they did not care"


@pytest.mark.parametrize(("share", "least"), [(0.1, 0.8), (0.3, 0.8), (0.6, 0.7), (0.9, 0.2)])
def test_chance_does_not_slow_down(share: float, least: float) -> None:
    """A third of the polls is throttled whatever one does, and paid tasks would lapse."""
    sent = 0.0
    for seed in range(5):
        rate = AdaptiveRate()
        crowd(rate, 200)  # what was created
        sent += run(rate, by_chance(share, seed), 120, NOW + 1).sent
    assert sent / 5 >= least * DEMAND


def test_chance_is_found_out_from_a_quiet_beginning() -> None:
    """What was throttled while little was sent would hold up the crowd that comes then."""
    rate = AdaptiveRate()
    crowd(rate, 200)
    run(rate, by_chance(0.3), 5, NOW + 1, demand=2)
    assert run(rate, by_chance(0.3), 40, NOW + 6).sent >= 0.7 * DEMAND


def test_a_limit_that_comes_after_chance_is_kept() -> None:
    """What was taken for chance once would be taken for it for ever."""
    rate = AdaptiveRate()
    run(rate, by_chance(0.5), 60)
    seen = run(rate, with_limit(5), 120, NOW + 60)
    assert seen.throttled <= 0.3 * 5


def test_the_rate_stays_at_a_share_of_what_it_was() -> None:
    """Thousands of paid tasks would lapse because of a service that throttles at any rate."""
    rate = AdaptiveRate()
    crowd(rate, 100)
    for step in range(20 * 60):
        rate.heard(NOW + 1 + step / 40, NOW + 1 + step / 40, throttled=True)
    assert rate.rate(NOW + 31) == pytest.approx(5, rel=0.1)
    rate = AdaptiveRate()
    throttle(rate, NOW, NOW)
    assert rate.rate(NOW) == 0.5


def test_a_silence_is_no_load() -> None:
    """The seconds of a pause would count as if little had been sent in them."""
    rate = AdaptiveRate()
    crowd(rate, 100)
    throttle(rate, NOW + 1, NOW)
    rate.take(NOW + 1)
    for step in range(3):
        rate.heard(NOW + 1 + step / 10, NOW + 1, throttled=True)
        rate.heard(NOW + 1 + step / 10, NOW + 1, throttled=False)
    rate.take(NOW + 9)
    rate.heard(NOW + 9, NOW + 9, throttled=True)
    assert rate.rate(NOW + 4) == 50, "not halved for what was heard before"


def test_what_was_sent_long_ago_is_not_the_present_rate() -> None:
    """A burst of last minute would let a throttled account go on too fast."""
    for later, least, most in ((3, 400, 450), (200, 5, 5)):
        rate = AdaptiveRate()
        crowd(rate, 1_000)
        crowd(rate, 10, NOW + later)
        throttle(rate, NOW + later + 1, NOW + later)
        assert least <= rate.rate(NOW + later + 1) <= most


def test_a_faster_service_is_learned_faster() -> None:
    """A test at ten times real speed would wait ten times too long."""
    for second, now in zip((1.0, 0.1), count(NOW, 100), strict=False):
        rate = AdaptiveRate(second)
        for step in range(100):
            rate.take(now + step / 100 * second)
        throttle(rate, now + second, now)
        assert rate.rate(now + second) * second == pytest.approx(50)
        assert rate.rate(now + 14 * second) * second == pytest.approx(100)

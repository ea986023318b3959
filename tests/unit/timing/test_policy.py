"""When to poll: the bounds that a plan keeps, whatever it is set to."""

from __future__ import annotations

from math import inf, nan
from random import Random
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async._books.limits import Backoff
from ezcaptcha_async._timing.policy import PollPolicy, PollTiming
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.tasks import Kind

KIND = Kind("ezcaptcha", "ReCaptchaV2TaskProxyless", "example.com")

seconds = st.floats(0, 300)


@st.composite
def policies(draw: st.DrawFn) -> PollPolicy:
    """Draw any plan that is permitted."""
    interval, max_interval = sorted([draw(seconds), draw(seconds)])
    return PollPolicy(
        first_delay=draw(seconds),
        interval=interval,
        growth=draw(st.floats(1, 10)),
        max_interval=max_interval,
        jitter=draw(st.floats(0, 1)),
    )


generators = st.integers(0, 2**32).map(Random)


class _Luck(Random):
    """A generator that always gives the same number."""

    def __init__(self, luck: float) -> None:
        super().__init__()
        self._luck = luck

    def random(self) -> float:
        return self._luck


def test_the_plan_of_the_services_pages() -> None:
    """Tasks would be polled before anything can be solved, or much later than 3 s apart."""
    policy = PollPolicy(jitter=0)
    rng = Random(1)
    assert policy.first_poll(KIND, 3.0, rng) == 10.0
    waits = [policy.next_poll(KIND, 3.0, 10.0, polls, rng) for polls in range(1, 13)]
    assert waits[:3] == pytest.approx([3.0, 3.3, 3.63])
    assert waits == sorted(waits)
    assert waits[-1] == 8.0


def test_jitter_stretches_and_never_shortens() -> None:
    """A burst would be polled together for ever, or sooner than the service permits."""
    policy = PollPolicy(jitter=0.5)
    for luck, factor in ((0.0, 1.0), (0.5, 1.25), (0.999, 1.4995)):
        assert policy.first_poll(KIND, 3.0, _Luck(luck)) == pytest.approx(10 * factor)
        assert policy.next_poll(KIND, 3.0, 10, 1, _Luck(luck)) == pytest.approx(3 * factor)


@given(policies(), generators, st.integers(1, 10_000))
def test_bounds(policy: PollPolicy, rng: Random, polls: int) -> None:
    """A wait outside of the settings: too many polls, or a solution that lies there unseen."""
    stretched = 1 + policy.jitter
    first = policy.first_poll(KIND, 3.0, rng)
    assert policy.first_delay <= first <= policy.first_delay * stretched
    wait = policy.next_poll(KIND, 3.0, 0.0, polls, rng)
    assert policy.interval <= wait <= policy.max_interval * stretched


def test_an_interval_above_the_longest_is_a_mistake() -> None:
    """Someone who sets `interval=20` alone would get polls every 8 s and not know why."""
    with pytest.raises(ConfigurationError, match="max_interval"):
        PollPolicy(interval=20.0)


@pytest.mark.parametrize(
    ("field", "most"),
    [("first_delay", 300), ("interval", 300), ("max_interval", 300), ("growth", 10), ("jitter", 1)],
)
def test_settings_out_of_range_are_named(field: str, most: float) -> None:
    """A NaN or a negative delay would poll without pause, or never."""
    for value in (-0.1, most + 0.1, nan, inf, "3", None, True, 3j):
        with pytest.raises(ConfigurationError, match=f"^{field} must be between"):
            PollPolicy(**{field: value})  # type: ignore[arg-type]


def test_the_bounds_themselves_are_permitted() -> None:
    """The message names bounds that would be refused all the same."""
    most = PollPolicy(first_delay=300, interval=300, growth=10, max_interval=300, jitter=1)
    assert most.next_poll(KIND, 3.0, 0.0, 1, _Luck(0.0)) == 300


def test_a_plan_that_polls_all_the_time_is_permitted() -> None:
    """Tests against a simulator want no delays; the schedule keeps the spacing anyhow."""
    policy = PollPolicy(first_delay=0, interval=0, growth=1, max_interval=0, jitter=0)
    assert policy.first_poll(KIND, 3.0, Random(1)) == 0
    assert policy.next_poll(KIND, 3.0, 0, 5, Random(1)) == 0


def test_at_speed() -> None:
    """A demonstration at ten times real speed would poll ten times too late."""
    policy = PollPolicy(growth=1.5, jitter=0.2).at_speed(10)
    expected = PollPolicy(first_delay=1.0, interval=0.3, growth=1.5, max_interval=0.8, jitter=0.2)
    assert policy == expected
    assert PollPolicy().at_speed(1) == PollPolicy()


def test_a_policy_is_a_value_with_the_face_of_a_poll_timing() -> None:
    """Another policy could not take its place, or two pools not share it."""
    timing: PollTiming = PollPolicy()
    timing.learn(KIND, 0.0, 10.0, ready=True)
    timing.paced(5.0, 100.0)
    assert timing == PollPolicy()
    assert timing.remaining(KIND, 10.0) is None
    assert timing.kinds() == ()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        PollPolicy().interval = 1  # type: ignore[misc]
    for policy in (PollPolicy, Backoff):
        with pytest.raises(TypeError):
            policy(10.0)  # type: ignore[call-arg]


@given(st.integers(1, 10_000), generators)
def test_backoff_bounds(failures: int, rng: Random) -> None:
    """A service that is down would be hammered, or not be asked again while a task lapses."""
    backoff = Backoff(base=1.0, cap=15.0)
    whole = min(15.0, 2.0 ** (min(failures, 100) - 1))
    assert whole / 2 <= backoff.delay(failures, rng) <= whole


def test_backoff_doubles() -> None:
    """Retries would not grow apart."""
    whole = [Backoff(base=2.0, cap=20.0).delay(failures, _Luck(1.0)) for failures in range(1, 7)]
    assert whole == [2.0, 4.0, 8.0, 16.0, 20.0, 20.0]
    least: list[Any] = [Backoff().delay(failures, _Luck(0.0)) for failures in range(1, 7)]
    assert least == [0.5, 1.0, 2.0, 4.0, 7.5, 7.5]

"""Estimated solve times: what polls can tell, and that no sequence of them breaks it."""

from __future__ import annotations

from itertools import pairwise
from math import isfinite
from operator import itemgetter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async._timing.ages import AGES, BINS, EDGES, age_near, at_ages
from ezcaptcha_async._timing.solve_times import SolveTimes

ages = st.floats(0, 1e6)
refutes = itemgetter(2)


def learn_from(times: SolveTimes, solved: float, first: float) -> None:
    """Poll one task every 3 s until it is ready, and learn from each answer."""
    after, age = 0.0, first
    while age < solved:
        times.learn(after, age, ready=False)
        after, age = age, age + 3.0
    times.learn(after, age, ready=True)
    times.refresh()


def check(times: SolveTimes) -> None:
    """Check what every estimate keeps to."""
    assert len(times.survival) == BINS + 1
    assert times.survival[0] == 1.0
    assert all(isfinite(share) for share in times.survival)
    assert all(0 < later < share for share, later in pairwise(times.survival))


def test_the_bins() -> None:
    """Ages would be too coarse to tell a task of 3 s from one of 4 s, or the plans slow."""
    assert EDGES[0] == 0
    assert EDGES[-1] >= 300
    assert BINS < 100
    for low, high in pairwise(EDGES):
        assert 0 < high - low <= max(0.5, 0.0501 * low)


@given(ages)
def test_the_nearest_age(age: float) -> None:
    """A task would be polled by the plan for older ones."""
    nearest = age_near(age)
    assert abs(AGES[nearest] - age) == min(abs(item - age) for item in AGES)


def test_the_ages() -> None:
    """Polls 3 s apart would fit badly between them, or what was learned not at all."""
    assert set(EDGES) <= set(AGES)
    assert len(AGES) < 200
    assert all(0 < high - low <= max(0.5, low / 50) for low, high in pairwise(AGES) if low < 75)
    assert at_ages([1 - edge / 400 for edge in EDGES]) == pytest.approx(
        [1 - age / 400 for age in AGES]
    )


def test_before_anything_is_learned() -> None:
    """The first tasks of a type would be polled at absurd ages."""
    times = SolveTimes()
    check(times)
    assert 8 < times.age_at(0.5) < 20
    assert 1.5 < times.age_at(0.95) < 4
    assert 40 < times.age_at(0.05) < 80


@given(st.lists(st.tuples(ages, ages, st.booleans(), st.booleans()), max_size=60))
def test_no_polls_break_it(polls: list[tuple[float, float, bool, bool]]) -> None:
    """A clock that jumps, or ages in a wrong order, would stop all polls of a pool."""
    times = SolveTimes()
    for after, age, ready, refresh in polls:
        surprise, solved_at, _ = times.learn(after, age, ready=ready)
        assert -1 <= surprise <= 1
        assert surprise >= 0 if ready else surprise <= 0
        assert (solved_at is not None) is ready
        if refresh:
            times.refresh()
    times.refresh()
    check(times)


def test_a_ready_poll_says_only_that_it_was_before() -> None:
    """Taking the poll's age for the solve time makes every estimate late, and later polls."""
    times = SolveTimes()
    for _ in range(200):
        learn_from(times, solved=4.0, first=9.0)
    surprise, solved_at, _ = times.learn(0.0, 9.0, ready=True)
    assert solved_at is not None
    assert 3 < solved_at < 8
    assert surprise == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("median", [3.0, 12.0, 40.0, 120.0])
def test_it_finds_the_solve_times(median: float) -> None:
    """Statistics and plans would be about other tasks than those that are polled."""
    times, rng = SolveTimes(), Random(1)
    for _ in range(600):
        learn_from(times, median * rng.lognormvariate(0, 0.3), first=median * rng.random())
    assert times.age_at(0.5) == pytest.approx(median, rel=0.12)
    assert times.age_at(0.05) == pytest.approx(1.64 * median, rel=0.2)


def test_it_can_be_refuted_again_and_again() -> None:
    """Where 50,000 are ready at one age, its weights would be infinite, and no plan be made."""
    times = SolveTimes()
    refuted = 0
    for _ in range(60):
        for _ in range(300):
            times.learn(60.0, 63.0, ready=False)
        refuted += sum(refutes(times.learn(60.0, 63.0, ready=True)) for _ in range(40))
        times.refresh()
        check(times)
    assert refuted > 50


def test_what_is_refuted_is_dropped() -> None:
    """After a change for the better, tasks would be fetched late until hundreds were."""
    times, rng = SolveTimes(), Random(3)
    refuted = 0
    for _ in range(1_000):
        after, age, solved = 0.0, rng.uniform(8, 14), rng.lognormvariate(2.9, 0.35)
        while age < solved:
            refuted += refutes(times.learn(after, age, ready=False))
            after, age = age, age + 3.0
        refuted += refutes(times.learn(after, age, ready=True))
        times.refresh()
    assert refuted <= 8, "what is as expected refutes nothing, or nearly never"
    assert times.known > 50
    assert not refutes(times.learn(0.0, 2.0, ready=True)), "one odd task is nothing"
    assert any(refutes(times.learn(0.0, 2.0, ready=True)) for _ in range(2))
    times.refresh()
    assert times.known < 3


def test_a_few_tasks_tell_of_all_ages() -> None:
    """Hundreds would wait for what two of them have shown: that all of this is fast, or slow."""
    for solved, low, high in ((4.0, 3.0, 5.0), (35.0, 24.0, 40.0)):
        times = SolveTimes()
        for number in range(4):
            learn_from(times, solved, first=2.0 + number / 4)
        assert low < times.age_at(0.5) < high
    times = SolveTimes()
    early = 1 - times.survival_at(9.0) / times.survival_at(6.0)
    for _ in range(8):
        times.learn(0.0, 6.0, ready=False)
    times.refresh()
    assert 1 - times.survival_at(9.0) / times.survival_at(6.0) < 0.75 * early


def test_it_follows_both_ways() -> None:
    """An estimate that only ever grows later would never recover from one bad hour."""
    times, rng = SolveTimes(), Random(2)
    for median in (10.0, 30.0, 10.0):
        for _ in range(1_000):
            learn_from(times, median * rng.uniform(0.8, 1.2), first=median * rng.uniform(0.6, 1))
        assert times.age_at(0.5) == pytest.approx(median, rel=0.15)


def test_tasks_that_are_never_solved_fade_too() -> None:
    """After an outage the service would be thought to be down for hours more."""
    times = SolveTimes()
    for _ in range(2_000):
        times.learn(0.0, 200.0, ready=False)
        times.refresh()
    assert times.survival_at(100.0) > 0.95
    for _ in range(2_000):
        learn_from(times, solved=10.0, first=9.0)
    assert times.survival_at(100.0) < 0.02


def test_a_long_life_stays_finite() -> None:
    """The weight of new evidence grows with each task; it would overflow in the end."""
    times = SolveTimes()
    for _ in range(6_000):
        times.learn(0.0, 12.0, ready=True)
    times.refresh()
    check(times)
    assert times.survival_at(12.5) < 0.1


@given(st.floats(0, 1.5))
def test_age_and_share_are_inverse(share: float) -> None:
    """The median and p95 in the statistics would not be those of the estimate."""
    times = SolveTimes()
    age = times.age_at(share)
    assert 0 <= age <= EDGES[-1]
    if times.survival[-1] <= share <= 1:
        before = [edge for edge in EDGES if edge <= age][-1]
        assert times.survival_at(before) >= share - 1e-9

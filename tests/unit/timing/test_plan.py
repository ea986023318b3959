"""Plans of polls: the best there is, for any solve times."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async._timing.plan import Plan, make_plan


@st.composite
def grids(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    """Draw rising ages and falling shares."""
    steps = draw(st.lists(st.floats(0.25, 10), min_size=1, max_size=14))
    shares = draw(st.lists(st.floats(0.05, 0.99), min_size=len(steps), max_size=len(steps)))
    ages, survival = [0.0], [1.0]
    for step, share in zip(steps, shares, strict=True):
        ages.append(ages[-1] + step)
        survival.append(survival[-1] * share)
    return ages, survival


def successors(ages: Sequence[float], spacing: float, index: int) -> range:
    """Return the polls that may follow one: as the plan's rules have it."""
    last = len(ages) - 1
    if index == 0:
        return range(1, last + 1)
    allowed = [i for i in range(index + 1, last + 1) if ages[i] >= ages[index] + spacing]
    first = allowed[0] if allowed else last
    within = [i for i in range(first, last + 1) if ages[i] <= 2 * ages[index]]
    return range(first, (within[-1] if within else first) + 1)


def cost(
    ages: Sequence[float], survival: Sequence[float], spacing: float, price: float, plan: Plan
) -> float:
    """Return the expected cost of following a plan."""
    index, total = 0, 0.0
    while index < len(ages) - 1:
        later = plan.following[index] or successors(ages, spacing, index)[0]
        total += survival[index] * (price + ages[later] - ages[index])
        index = later
    return total


@given(grids(), st.floats(0, 8), st.floats(0.01, 20))
def test_no_plan_is_better(
    grid: tuple[list[float], list[float]], spacing: float, price: float
) -> None:
    """Every task would be polled more often than need be, or be fetched later."""
    ages, survival = grid
    last = len(ages) - 1

    @cache
    def least(index: int) -> float:
        if index == last:
            return 0.0
        return min(
            survival[index] * (price + ages[later] - ages[index]) + least(later)
            for later in successors(ages, spacing, index)
        )

    plan = make_plan(ages, survival, spacing=spacing, price=price)
    assert cost(ages, survival, spacing, price, plan) == pytest.approx(least(0))


@given(grids(), st.floats(0, 1e9), st.floats(1e-9, 1e9))
def test_a_plan_goes_forward(
    grid: tuple[list[float], list[float]], spacing: float, price: float
) -> None:
    """A task would be polled without pause, or never again."""
    ages, survival = grid
    plan = make_plan(ages, survival, spacing=spacing, price=price)
    assert len(plan.following) == len(ages)
    assert 1 <= plan.first < len(ages)
    for index, later in enumerate(plan.following):
        assert later == 0 or later > index


def _uniform(low: float, high: float) -> tuple[list[float], list[float]]:
    ages = [step / 2 for step in range(400)]
    return ages, [max(1e-9, min(1.0, (high - age) / (high - low))) for age in ages]


def test_the_first_poll_of_sure_things() -> None:
    """Tasks that take 2 to 5 s are worth one poll at 5 s; more would be wasted."""
    plan = make_plan(*_uniform(2, 5), spacing=3, price=0.5)
    assert _uniform(2, 5)[0][plan.first] == 5.0


def test_a_dearer_poll_is_a_rarer_poll() -> None:
    """The one knob would do nothing, or turn the wrong way."""
    ages, survival = _uniform(10, 80)
    polls = []
    for price in (0.1, 0.5, 2.0, 10.0):
        plan = make_plan(ages, survival, spacing=3, price=price)
        index, count = plan.first, 1
        while ages[index] < 80:
            index = plan.following[index] or index + 6
            count += 1
        polls.append(count)
    assert polls == sorted(polls, reverse=True)
    assert polls[0] > 2 * polls[-1]


def test_between_two_humps_nobody_is_asked() -> None:
    """Where some tasks take 12 s and the others 45 s, polls at 25 s are wasted."""
    ages = [step / 2 for step in range(400)]
    survival = [0.7 / (1 + exp(2 * (age - 12))) + 0.3 / (1 + exp(age - 45)) + 1e-9 for age in ages]
    survival[0] = 1.0
    plan = make_plan(ages, survival, spacing=3, price=0.5)
    assert ages[plan.following[2 * 18]] >= 30


def test_it_is_never_sure_that_nothing_comes() -> None:
    """When the solve times change to what was impossible, nobody would look before 290 s."""
    ages = [step / 2 for step in range(600)]
    survival = [1 - 0.9 * min(1.0, age / 10) + 1e-12 * (600 - age) for age in ages]
    plan = make_plan(ages, survival, spacing=3, price=0.5)
    for index in range(40, 299):
        assert ages[plan.following[index] or index + 6] <= 2 * ages[index]

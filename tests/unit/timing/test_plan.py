"""Plans of polls: the best there is, for any solve times."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async._timing.ages import AGES, EDGES, at_ages
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


def share_after(age: float) -> float:
    """Return how many of the tasks that take 8 to 28 s take longer."""
    return min(1.0, max(1e-9, (28 - age) / 20))


def test_the_ages_to_choose_from_are_enough() -> None:
    """Of what perfect knowledge saves, a twentieth would be lost to polls at round ages."""
    plan = make_plan(AGES, at_ages([*map(share_after, EDGES)]), spacing=3.0, price=0.5)
    ages = [index / 20 for index in range(6_001)]
    best = make_plan(ages, [*map(share_after, ages)], spacing=3.0, price=0.5)
    ours = cost(AGES, [*map(share_after, AGES)], 3.0, 0.5, plan)
    least = cost(ages, [*map(share_after, ages)], 3.0, 0.5, best)
    mean = 18.0  # which no plan makes less: the rest is polls and delay
    assert ours - mean < 1.02 * (least - mean)

"""The best ages to poll at when the solve times are known. Pure.

A task costs ``price`` seconds for each of its polls and the seconds from ready to the poll
that sees it. The plan with the least expected sum is the inspection problem of Barlow,
Hunter and Proschan (1963), here with a least spacing between polls, solved exactly by
dynamic programming from the last age backwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

_LONGEST_WAIT: Final = 1.0
"""Longest wait, as a share of the task's age. However sure the solve times are that nothing
will come, a task is asked for again: that is the only way to notice that they are wrong."""


class Plan(NamedTuple):
    """When to poll next, for each age of the grid.

    Args:
        first: Index of the age of the first poll.
        following: For each index, that of the next poll after a ``processing``; 0 where
            the spacing says when, because sooner would be better.
    """

    first: int
    following: Sequence[int]


def make_plan(
    ages: Sequence[float], survival: Sequence[float], *, spacing: float, price: float
) -> Plan:
    """Return the best plan.

    With S the survival function, the expected cost of a poll at x that says ``processing``
    and of the seconds that tasks then lie ready until the next one, at y, is
    S(x) (price + y - x) less the integral of S from x to y. Whatever the plan, the integrals
    add up to the same, so they can be left out.

    Args:
        ages: The grid: seconds, rising, from 0.
        survival: For each age the share of tasks that take longer, falling from 1.
        spacing: Least seconds between two polls.
        price: Seconds of delay that one poll is worth.
    """
    last = len(ages) - 1
    onward = [0.0] * (last + 1)  # the cost of all polls from each age on
    following = [0] * (last + 1)
    best = first = final = last
    for index in range(last - 1, -1, -1):
        alive, age = survival[index], ages[index]
        if index:
            while first - 1 > index and ages[first - 1] >= age + spacing:
                first -= 1
            # An earlier poll never wants a later successor than a later one does.
            while final > best or ages[final] > age * (1 + _LONGEST_WAIT):
                final -= 1
        else:
            first, final = 1, last  # the first poll may come at any age
        least, best = alive * ages[first] + onward[first], first
        for later in range(first + 1, final + 1):
            cost = alive * ages[later] + onward[later]
            if cost < least:
                least, best = cost, later
        following[index] = best if best > first or index == 0 else 0
        onward[index] = least + alive * (price - age)
    return Plan(following[0], following)

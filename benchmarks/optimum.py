"""Solve times to poll for, and the best that any plan of polls can do with them, exactly.

The optimum is the inspection problem of Barlow, Hunter and Proschan (1963) with a least
spacing between polls, solved by dynamic programming over a fine grid of the true
distribution. Nothing of the library is used here, so it cannot confirm its own mistakes.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from random import Random
from typing import NamedTuple

LAST_POLL = 290.0
"""Age of the one poll that comes in any case, for whoever is not ready before; seconds."""

_STEP = 0.1


class SolveTimes(NamedTuple):
    """How long the tasks of one type take; `scale` stretches it.

    Args:
        name: Its name in the tables.
        draw: Draws seconds; infinity for a task that is never solved.
        survival: The exact share of tasks that take longer than so many seconds.
    """

    name: str
    draw: Callable[[Random], float]
    survival: Callable[[float], float]


def lognormal(median: float, sigma: float, name: str = "") -> SolveTimes:
    """Most near the median, and a tail of slow ones."""
    root = sigma * math.sqrt(2)
    return SolveTimes(
        name,
        lambda rng: median * math.exp(rng.gauss(0, sigma)),
        lambda age: 0.5 * math.erfc(math.log(age / median) / root) if age > 0 else 1.0,
    )


def uniform(low: float, high: float, name: str = "") -> SolveTimes:
    """Any time between two bounds."""
    return SolveTimes(
        name,
        lambda rng: rng.uniform(low, high),
        lambda age: min(1.0, max(0.0, (high - age) / (high - low))),
    )


def erlang(stages: int, mean: float, name: str = "") -> SolveTimes:
    """So many exponential stages, one after the other: a gamma distribution."""
    rate = stages / mean

    def survival(age: float) -> float:
        return math.exp(-rate * age) * sum(
            (rate * age) ** stage / math.factorial(stage) for stage in range(stages)
        )

    return SolveTimes(name, lambda rng: rng.gammavariate(stages, mean / stages), survival)


def mixture(parts: Sequence[tuple[float, SolveTimes]], name: str = "") -> SolveTimes:
    """Each task takes after one of the parts, by their shares."""
    bounds = [sum(share for share, _ in parts[: index + 1]) for index in range(len(parts))]

    def draw(rng: Random) -> float:
        index = min(bisect.bisect(bounds, rng.random()), len(parts) - 1)
        return parts[index][1].draw(rng)

    return SolveTimes(
        name, draw, lambda age: sum(share * part.survival(age) for share, part in parts)
    )


def scaled(times: SolveTimes, scale: float) -> SolveTimes:
    """Let everything take `scale` times as long."""
    return SolveTimes(
        times.name,
        lambda rng: scale * times.draw(rng),
        lambda age: times.survival(age / scale),
    )


NEVER = SolveTimes("never", lambda _rng: math.inf, lambda _age: 1.0)
LN18 = lognormal(18.0, 0.35, "LN18")
BIM = mixture([(0.7, lognormal(12.0, 0.15)), (0.3, lognormal(45.0, 0.15))], "BIM")
UNI = uniform(10.0, 80.0, "UNI")
GAM = erlang(4, 25.0, "GAM")
HVY = lognormal(15.0, 0.9, "HVY")
FAST = uniform(2.0, 5.0, "FAST")
LOST = mixture([(0.95, LN18), (0.05, NEVER)], "LOST")
STUDIED = (LN18, BIM, UNI, GAM, HVY, FAST, LOST)


class Optimum(NamedTuple):
    """What the best plan costs, on average over the tasks."""

    polls: float
    overshoot: float

    def cost(self, price: float) -> float:
        """Return J in seconds."""
        return price * self.polls + self.overshoot


@cache
def optimum(times: SolveTimes, log_scale: int, price: float, spacing: float) -> Optimum:
    """Return the exact optimum for solve times whose scale is known.

    With S the survival function, the cost to go from a poll at x that said ``processing``,
    weighed with S(x), is the least over y >= x + spacing of
    price S(x) + integral of (S(x) - S(t)) from x to y + cost to go from y.

    Args:
        times: The solve times at scale 1.
        log_scale: Hundredths of the logarithm of their scale.
        price: Of one poll, in seconds.
        spacing: Least seconds between two polls.
    """
    scale = math.exp(log_scale / 100)
    last = round(LAST_POLL / _STEP)
    survival = [times.survival(index * _STEP / scale) for index in range(last + 1)]
    area = [0.0]
    for before, after in pairwise(survival):
        area.append(area[-1] + _STEP * (before + after) / 2)
    apart = math.ceil(spacing / _STEP - 1e-9)
    # Whoever is not ready at the last poll is lost, and waits for nothing.
    cost, polls, wait, best_next = ([0.0] * (last + 1) for _ in range(4))
    for index in range(last - 1, -1, -1):
        alive = survival[index]
        least, following = math.inf, last
        first = min(last, index + apart) if index else 1
        # The best poll after x comes never earlier for a later x, so the search is short.
        bound = max(first, int(best_next[index + 1]) if index < last - 1 else last)
        for later in range(first, bound + 1):
            candidate = (
                alive * (price + (later - index) * _STEP) - area[later] + area[index] + cost[later]
            )
            if candidate < least:
                least, following = candidate, later
        cost[index], best_next[index] = least, following
        overshoot = alive * (following - index) * _STEP - area[following] + area[index]
        polls[index] = alive + polls[following]
        wait[index] = overshoot + wait[following]
    return Optimum(polls[0], wait[0])


if __name__ == "__main__":
    for each in STUDIED:
        for price in (0.1, 0.5, 1.0):
            found = optimum(each, 0, price, 3.0)
            print(f"{each.name:>6} c={price}: {found.polls:.2f} / {found.overshoot:.2f}")

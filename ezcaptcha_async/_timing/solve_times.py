"""How long the tasks of one type take, as far as polls can tell. Pure.

A poll never shows when a task became ready: one that said ``processing`` at age a and
``ready`` at age b was solved somewhere in between. Taking b for the solve time would make
every estimate late, and the polls that are planned by it later still. So this is a life
table: ages are counted in bins, each with the tasks that were at risk of becoming ready in
it and those that did. A ``ready`` is one event, spread over the bins of its interval as
the estimate so far has it (Turnbull 1976). Old evidence fades, task by task.

Ages are seconds of a task at scale 1; what stretches them is not this module's business.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise
from math import erf, log, sqrt
from operator import neg
from typing import Final, NamedTuple

_LONGEST: Final = 300.0
_STEP: Final = 0.5
_GROWTH: Final = 1.05

_WINDOW: Final = 400
"""Tasks after which evidence counts for 1/e of what it did."""

# What is held of a type before anything is seen of it. The services' pages say 10 to 80 s:
# nine of ten are held to be between 7 and 54 s, and six tasks that are not outweigh it.
_PRIOR_MEDIAN: Final = 20.0
_PRIOR_SIGMA: Final = 0.6
_PRIOR_TASKS: Final = 6.0

_LEAST_SHARE: Final = 1e-6
_MOST_SHARE: Final = 0.98
"""Bounds on the share of a bin's tasks that is held to become ready in it: no estimate is
ever sure, so that none divides by nothing when it turns out to be wrong."""

_DOUBT: Final = 20.0
"""Tasks that must have reached an age before half a surprise at that age counts: while it
is the estimate that is not known, a surprise says nothing of what stretches it."""

_MOST_WEIGHT: Final = 1e6


def _make_edges() -> tuple[float, ...]:
    edges = [0.0]
    while edges[-1] < _LONGEST:
        edges.append(max(edges[-1] + _STEP, edges[-1] * _GROWTH))
    return tuple(edges)


EDGES: Final = _make_edges()
"""Where the bins begin, and where the last one ends; seconds."""

BINS: Final = len(EDGES) - 1
_MIDDLES: Final = [(low + high) / 2 for low, high in pairwise(EDGES)]


def edge_near(age: float) -> int:
    """Return the index of the edge that is nearest to an age."""
    index = min(bisect_left(EDGES, age), BINS)
    if index and age - EDGES[index - 1] < EDGES[index] - age:
        return index - 1
    return index


def _prior_survival(age: float) -> float:
    if age == 0:
        return 1.0
    return (1 - erf(log(age / _PRIOR_MEDIAN) / (_PRIOR_SIGMA * sqrt(2)))) / 2


_PRIOR_AT_RISK: Final = [_PRIOR_TASKS * _prior_survival(edge) for edge in EDGES[:-1]]
_PRIOR_READY: Final = [
    _PRIOR_TASKS * (_prior_survival(low) - _prior_survival(high)) for low, high in pairwise(EDGES)
]


class Seen(NamedTuple):
    """What one answered poll said, against what was expected of it.

    Args:
        surprise: 1 for ready and 0 for processing, less the probability of ready; less of
            it at ages at which little was seen.
        solved_at: For ready: the age at which the task is thought to have been solved.
    """

    surprise: float
    solved_at: float | None


class SolveTimes:
    """The estimated solve times of one type.

    Attributes:
        survival: For each of `EDGES` the share of tasks that take longer; falls from 1 and
            never reaches 0.
    """

    __slots__ = ("_at_risk", "_credit", "_ready", "_weight", "survival")

    def __init__(self) -> None:
        self.survival: Sequence[float] = ()
        self._at_risk = [0.0] * BINS
        self._ready = [0.0] * BINS
        # New evidence weighs more and more, instead of all the old less and less.
        self._weight = 1.0
        self.refresh()

    def learn(self, after: float, age: float, *, ready: bool) -> Seen:
        """Take notice of one answered poll; `refresh` makes it tell.

        Args:
            after: Age at the poll before it; 0 when it was the first.
            age: Age at this poll.
            ready: What it said.
        """
        if after <= 0:
            self._age()
        survival, at_risk, events, weight = self.survival, self._at_risk, self._ready, self._weight
        first, last = edge_near(after), edge_near(age)
        # Not by bins: where they are wider than the spacing, polls in one would look alike.
        unsolved = min(1.0, self.survival_at(age) / self.survival_at(after))
        credit = self._credit[last - 1] if last else 0.0
        if not ready:
            for index in range(first, last):
                at_risk[index] += weight
            return Seen(credit * (unsolved - 1), None)
        first = min(first, BINS - 1)
        last = max(last, first + 1)
        now, left = survival[first], survival[last]
        solved_at, share = 0.0, 1 / (now - left)
        for index in range(first, last):
            then = survival[index + 1]
            event = (now - then) * share
            events[index] += weight * event
            at_risk[index] += weight * (now - left) * share
            solved_at += event * _MIDDLES[index]
            now = then
        return Seen(credit * unsolved, solved_at)

    def refresh(self) -> None:
        """Let what was learned become the estimate."""
        weight, alive = self._weight, 1.0
        doubt = weight * _DOUBT
        self._credit = [risk / (risk + doubt) for risk in self._at_risk]
        survival = [1.0]
        for risk, ready, prior_risk, prior_ready in zip(
            self._at_risk, self._ready, _PRIOR_AT_RISK, _PRIOR_READY, strict=True
        ):
            share = (ready + weight * prior_ready) / (risk + weight * prior_risk)
            alive *= 1 - min(max(share, _LEAST_SHARE), _MOST_SHARE)
            survival.append(alive)
        self.survival = survival

    def survival_at(self, age: float) -> float:
        """Return the share of tasks that take longer than `age`."""
        index = bisect_left(EDGES, age)
        if index == 0:
            return 1.0
        if index > BINS:
            return self.survival[BINS]
        low, high = EDGES[index - 1], EDGES[index]
        before, after = self.survival[index - 1], self.survival[index]
        return before + (after - before) * (age - low) / (high - low)

    def age_at(self, share: float) -> float:
        """Return the age at which this share of tasks is not ready yet; at most 300 s."""
        index = bisect_left(self.survival, -share, key=neg)
        if index > BINS:
            return EDGES[-1]
        if index == 0:
            return 0.0
        high, low = self.survival[index - 1], self.survival[index]
        part = (high - share) / (high - low)
        return EDGES[index - 1] + part * (EDGES[index] - EDGES[index - 1])

    def evidence(self) -> tuple[list[float], list[float]]:
        """Return how many tasks were at risk in each bin and how many became ready, now."""
        scale = 1 / self._weight
        return [item * scale for item in self._at_risk], [item * scale for item in self._ready]

    def restore(self, at_risk: Sequence[float], ready: Sequence[float]) -> None:
        """Take over the `evidence` of another time; `refresh` makes it tell."""
        self._at_risk, self._ready, self._weight = list(at_risk), list(ready), 1.0

    def _age(self) -> None:
        """Let what is known fade by one task: also by one that is never solved."""
        self._weight *= 1 + 1 / _WINDOW
        if self._weight > _MOST_WEIGHT:
            self.restore(*self.evidence())

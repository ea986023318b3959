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
from math import log
from operator import neg
from typing import Final

from ezcaptcha_async._timing.ages import BINS, EDGES
from ezcaptcha_async._timing.expectations import LEAST_SHARE, MOST_SHARE, expected_survival

_WINDOW: Final = 400
"""Tasks after which evidence counts for 1/e of what it did."""

_PRIOR_TASKS: Final = 8.0
"""Tasks seen that outweigh what was held of a type before."""

_DOUBT: Final = 20.0
"""Tasks that must have reached an age before half a surprise at that age counts: while it
is the estimate that is not known, a surprise says nothing of what stretches it."""

_REFUTED_AT: Final = 9.0
"""Logarithm of how much likelier a coin must have made what polls said of late than the
estimate did, for the estimate to be dropped: the world has changed. Without a change that comes
about once in 8,000 polls."""

_IN_DOUBT_AT: Final = -log(2 * 0.04)
"""The same for one task that was ready so early that it had one chance in 25. More are asked
then, and none waits meanwhile for what may have become quick."""

_LEAST_CHANCE: Final = 0.002
"""So unlikely is what the estimate rules out; a single answer is not to refute it."""

_MOST_WEIGHT: Final = 1e6

_MIDDLES: Final = [(low + high) / 2 for low, high in pairwise(EDGES)]


class SolveTimes:
    """The estimated solve times of one type.

    Attributes:
        survival: For each of `EDGES` the share of tasks that take longer; falls from 1 and
            never reaches 0.
        known: How many solved tasks the estimate is made from; old ones count for less.
        in_doubt: Whether a task was ready far too early, and nothing has made up for it.
    """

    __slots__ = (
        "_against",
        "_at_risk",
        "_credit",
        "_ready",
        "_weight",
        "in_doubt",
        "known",
        "survival",
    )

    def __init__(self) -> None:
        self.survival: Sequence[float] = ()
        self._at_risk = [0.0] * BINS
        self._ready = [0.0] * BINS
        # New evidence weighs more and more, instead of all the old less and less.
        self._weight = 1.0
        self._against = 0.0
        self.in_doubt = False
        self.refresh()

    def learn(self, after: float, age: float, *, ready: bool) -> tuple[float, float | None, bool]:
        """Take notice of one answered poll; `refresh` makes it tell.

        It was sent at `age`, and the one before it at `after`, which is 0 for the first.

        Returns:
            The surprise: 1 for ready and 0 for processing, less the probability of ready; less
            of it at ages at which little was seen. For ready, the age at which the task is
            thought to have been solved. And whether the answer refutes the estimate; all that
            it was made from is gone then.
        """
        survival = self.survival
        first, before = 0, 1.0
        if after <= 0:
            self._age()
        else:
            first, before = self._at(after)
        last, alive = self._at(age)
        # Not by bins: where they are wider than the spacing, polls in one would look alike.
        unsolved = alive / before if alive < before else 1.0
        credit = self._credit[last - 1] if last else 0.0
        refutes = self._refutes(1 - unsolved if ready else unsolved, ready=ready)
        at_risk, events, weight = self._at_risk, self._ready, self._weight
        if not ready:
            at_risk[first:last] = [risk + weight for risk in at_risk[first:last]]
            return credit * (unsolved - 1), None, refutes
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
        return credit * unsolved, solved_at, refutes

    def refresh(self) -> None:
        """Let what was learned become the estimate."""
        weight, alive = self._weight, 1.0
        held = expected_survival(*self.evidence())
        doubt = weight * _DOUBT
        self._credit = [risk / (risk + doubt) for risk in self._at_risk]
        survival = [1.0]
        prior = weight * _PRIOR_TASKS
        for risk, ready, (before, after) in zip(
            self._at_risk, self._ready, pairwise(held), strict=True
        ):
            share = (ready + prior * (before - after)) / (risk + prior * before)
            alive *= 1 - min(max(share, LEAST_SHARE), MOST_SHARE)
            survival.append(alive)
        self.survival = survival
        self.known = sum(self._ready) / weight

    def survival_at(self, age: float) -> float:
        """Return the share of tasks that take longer than `age`."""
        _, share = self._at(age)
        return share

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

    def _at(self, age: float) -> tuple[int, float]:
        """Return the index of the edge nearest to an age, and `survival_at` it."""
        index = bisect_left(EDGES, age)
        if index == 0:
            return 0, 1.0
        if index > BINS:
            return BINS, self.survival[BINS]
        low, high = EDGES[index - 1], EDGES[index]
        before, after = self.survival[index - 1], self.survival[index]
        nearest = index - 1 if age - low < high - age else index
        return nearest, before + (after - before) * (age - low) / (high - low)

    def _refutes(self, chance: float, *, ready: bool) -> bool:
        """Weigh an answer that the estimate gave a chance, and drop all evidence if it must be.

        This is Page's test (1954) of the estimate against a coin: answers as unlikely as a
        change brings add up, those that the estimate foresees make up for them.
        """
        weight = -log(2 * max(_LEAST_CHANCE, chance))
        self._against = max(0.0, self._against + weight)
        is_early = ready and weight >= _IN_DOUBT_AT
        self.in_doubt = is_early or (self.in_doubt and self._against >= _IN_DOUBT_AT)
        if self._against < _REFUTED_AT:
            return False
        self._against, self.in_doubt = 0.0, False
        # All of it counts for one task from now on.
        self._weight = max(self._weight, *self._at_risk)
        self.restore(*self.evidence())
        return True

    def _age(self) -> None:
        """Let what is known fade by one task: also by one that is never solved."""
        self._weight *= 1 + 1 / _WINDOW
        if self._weight > _MOST_WEIGHT:
            self.restore(*self.evidence())

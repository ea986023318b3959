"""What is held of a type's solve times before much is seen of it, and how it gives way. Pure.

The services' pages say 10 to 80 s; a type may take 3 s all the same. So there are several
guesses, from fast to slow, and what is seen decides between them: two tasks that were ready
after 4 s make those that wait fast ones as well, and eight that were not after 9 s acquit
all others of being polled so early. That is what tells a whole type from a few of its tasks,
which counting what became ready at each age cannot do.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import erf, exp, log, sqrt
from operator import mul
from typing import Final, NamedTuple

from ezcaptcha_async._timing.ages import EDGES

_GUESSES: Final = (
    (1.5, 20.0, 0.4),
    (1.1, 45.0, 0.4),
    (0.7, 70.0, 0.3),
    (4.5, 12.0, 0.4),
    (2.0, 4.0, 0.4),
    (0.6, 2.5, 0.5),
    (3.0, 8.0, 1.0),
)
"""Share, median in seconds, and sigma of a lognormal distribution. The first three are what the
pages say; together the others count for more, because a task that waits for its first poll in
vain costs more than a poll in vain. The shares are those with which a task alone costs little:
on average over the cold shapes of `benchmarks/polling.py` and nine others, and under each of
them no more than with a poll every three seconds."""

_STRAYS: Final = (0.03, 40.0, 1.2)
"""What each guess admits of anything else, so that one odd task does not rule it out."""

_TRUST: Final = 0.35
"""What a task counts for between the guesses: none of them is quite true, and each that is
nearly true would soon be held to be certain."""

_MOST_TRUSTED: Final = 15.0
"""Tasks that count at most, for the same reason."""

_NEGLIGIBLE: Final = 14.0
"""A guess that is less likely by so much, as a logarithm, is left out: a millionth."""


LEAST_SHARE: Final = 1e-6
MOST_SHARE: Final = 0.98
"""Bounds on the share of a bin's tasks that is held to become ready in it: no estimate is
ever sure, so that none divides by nothing when it turns out to be wrong."""


class _Guess(NamedTuple):
    """One distribution that solve times may have.

    Args:
        log_share: Logarithm of how likely it is before anything is seen.
        survival: For each of `EDGES` the share of tasks that take longer.
        log_odds: For each bin the logarithm of the odds that a task becomes ready in it.
        log_left: For each bin that of the share that does not.
    """

    log_share: float
    survival: Sequence[float]
    log_odds: Sequence[float]
    log_left: Sequence[float]


def _longer(age: float, median: float, sigma: float) -> float:
    """Return the share of a lognormal distribution that is above an age."""
    return (1 - erf(log(age / median) / (sigma * sqrt(2)))) / 2 if age else 1.0


def _make_guess(share: float, median: float, sigma: float) -> _Guess:
    strays, *stray = _STRAYS
    survival = [
        (1 - strays) * _longer(edge, median, sigma) + strays * _longer(edge, *stray)
        for edge in EDGES
    ]
    ready = [
        min(max(1 - after / before, LEAST_SHARE), MOST_SHARE)
        for before, after in pairwise(survival)
    ]
    return _Guess(
        log(share),
        survival,
        [log(part / (1 - part)) for part in ready],
        [log(1 - part) for part in ready],
    )


_MADE: Final = [_make_guess(*guess) for guess in _GUESSES]


def expected_survival(at_risk: Sequence[float], ready: Sequence[float]) -> list[float]:
    """Return what to expect: for each of `EDGES` the share of tasks that take longer.

    The guesses count by how likely they make what was seen.

    Args:
        at_risk: For each bin how many tasks were seen that could become ready in it.
        ready: How many of them did.
    """
    trust = min(_TRUST, _MOST_TRUSTED / max(1.0, sum(ready)))
    scores = [
        guess.log_share
        + trust * (sum(map(mul, ready, guess.log_odds)) + sum(map(mul, at_risk, guess.log_left)))
        for guess in _MADE
    ]
    best = max(scores)
    likely = [
        (exp(score - best), guess.survival)
        for score, guess in zip(scores, _MADE, strict=True)
        if score > best - _NEGLIGIBLE
    ]
    survival = [0.0] * len(EDGES)
    for weight, shares in likely:
        survival = [known + weight * share for known, share in zip(survival, shares, strict=True)]
    return [share / survival[0] for share in survival]

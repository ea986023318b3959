"""What is held before much is seen: never certain, and moved by evidence the right way."""

from __future__ import annotations

from itertools import pairwise
from math import isfinite

from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async._timing.ages import BINS, EDGES
from ezcaptcha_async._timing.expectations import expected_survival

NOTHING = [0.0] * BINS

counts = st.lists(st.floats(0, 1e6), min_size=BINS, max_size=BINS)


def ready_at(age: float, tasks: float) -> tuple[list[float], list[float]]:
    """Return what is seen of so many tasks that become ready at an age."""
    bins = [low <= age < high for low, high in pairwise(EDGES)]
    at_risk = [tasks if low <= age else 0.0 for low in EDGES[:-1]]
    return at_risk, [tasks * here for here in bins]


def median(survival: list[float]) -> float:
    """Return the first edge at which at most half are left."""
    return next(edge for edge, share in zip(EDGES, survival, strict=True) if share <= 0.5)


def test_before_anything_is_seen_much_is_possible() -> None:
    """Tasks of 3 s would be fetched after 8 s, or those of 40 s be polled all the time."""
    survival = expected_survival(NOTHING, NOTHING)
    by_age = dict(zip(EDGES, survival, strict=True))
    assert 0.1 < 1 - by_age[5.0] < 0.5
    assert 0.1 < next(share for age, share in by_age.items() if age >= 30) < 0.4


def test_one_task_says_little_and_ten_say_much() -> None:
    """One odd task would turn a whole type, or twenty would turn nothing."""
    unknown = median(expected_survival(NOTHING, NOTHING))
    for age in (3.0, 45.0):
        distances = [
            abs(median(expected_survival(*ready_at(age, tasks))) - age) for tasks in (1, 3, 10)
        ]
        assert abs(unknown - age) > distances[0] > distances[-1]
        assert distances[-1] < 0.4 * age


@given(counts, counts)
def test_no_evidence_makes_it_certain(some: list[float], more: list[float]) -> None:
    """A file of strange counts would stop all polls of a pool."""
    survival = expected_survival([one + other for one, other in zip(some, more, strict=True)], some)
    assert survival[0] == 1.0
    assert all(isfinite(share) for share in survival)
    assert all(0 < later < share for share, later in pairwise(survival))

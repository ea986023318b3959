"""Statistics: the sum over accounts leaves nothing out."""

from __future__ import annotations

import inspect

import attrs
import pytest

from ezcaptcha_async._account.statistics import PoolStatistics, Statistics, sum_up
from ezcaptcha_async.polling import KindStatistics
from ezcaptcha_async.tasks import Kind

COUNTS = [field.name for field in attrs.fields(Statistics) if field.name != "account"]


def test_every_count_is_summed() -> None:
    """A count that is added later would be zero in the pool's snapshot."""
    one = Statistics(account="a", **dict(zip(COUNTS, range(1, 99), strict=False)))
    two = Statistics(account="b", **dict.fromkeys(COUNTS, 1_000))
    kind = KindStatistics(
        kind=Kind("a", "b", "c"), tasks=1, polls_per_task=2.0, median=3.0, p95=4.0, overshoot=1.0
    )
    total = sum_up(iter([one, two]), requests_in_flight=7, kinds=(kind,))
    assert total.kinds == (kind,)
    assert total.accounts == (one, two)
    assert total.requests_in_flight == 7
    assert total.account == ""
    for number, name in enumerate(COUNTS, start=1):
        assert getattr(total, name) == 1_000 + number


def test_an_idle_pool() -> None:
    """A progress display would fail before the first task."""
    assert sum_up([], requests_in_flight=0) == PoolStatistics()
    account = Statistics(account="a")
    assert sum_up([account], requests_in_flight=0) == PoolStatistics(accounts=(account,))


def test_a_paid_task_that_is_in_no_count_is_noticed() -> None:
    """Money would be missing, and no figure would show it."""
    books = Statistics(created=9, resumed=3, waiting=1, solved=5, failed=2, lapsed=1, orphaned=3)
    assert books.unaccounted == 0
    assert attrs.evolve(books, created=11).unaccounted == 2
    assert sum_up([books, attrs.evolve(books, solved=4)], requests_in_flight=0).unaccounted == 1


def test_a_snapshot_is_frozen() -> None:
    """Numbers that a display holds would change under its hands."""
    with pytest.raises(TypeError):
        Statistics("a", 5)  # type: ignore[call-arg]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        PoolStatistics().solved = 1  # type: ignore[misc]


def test_every_count_is_explained() -> None:
    """A number in the snapshot would have no meaning that a user can look up."""
    for statistics in (Statistics, PoolStatistics, KindStatistics):
        for name in statistics.__annotations__:
            assert f"    {name}: " in (inspect.getdoc(statistics) or "")

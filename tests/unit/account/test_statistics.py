"""Statistics: the sum over accounts leaves nothing out."""

from __future__ import annotations

import inspect

import attrs

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


def test_every_count_is_explained() -> None:
    """A number in the snapshot would have no meaning that a user can look up."""
    for statistics in (Statistics, PoolStatistics, KindStatistics):
        for name in statistics.__annotations__:
            assert f"    {name}: " in (inspect.getdoc(statistics) or "")


def test_its_repr_fits_a_line() -> None:
    """A prompt or a log would be flooded by what is learned of each kind of task."""
    full = Statistics(account="ezcaptcha:f8a8a060", **dict.fromkeys(COUNTS, 123_456))
    assert repr(full) == (
        "<Statistics of ezcaptcha:f8a8a060: 123456 queued, 123456 waiting, 123456 solved, "
        "123456 points>"
    )
    assert len(repr(full)) <= 100
    total = sum_up([full] * 9, requests_in_flight=7)
    assert repr(total).startswith("<PoolStatistics: 1111104 queued, ")
    assert len(repr(total)) <= 100


def test_it_is_said_for_people() -> None:
    """Whoever prints it would have to look the counts that matter up among noughts."""
    assert str(PoolStatistics()) == (
        "0 tasks paid for 0 points: nothing yet; 0 requests, 0 of them polls"
    )
    some = Statistics(
        created=1_000,
        solved=940,
        failed=10,
        waiting=50,
        points=6_000.5,
        requests=4_200,
        polls=3_200,
    )
    assert str(some) == (
        "1,000 tasks paid for 6,000.5 points: 50 waiting, 940 solved, 10 failed; "
        "4,200 requests, 3,200 of them polls"
    )
    assert "2 unaccounted" in str(Statistics(created=2))


def test_every_count_is_said() -> None:
    """A count that is added later would be left out of what people read."""
    text = str(Statistics(account="a", **dict(zip(COUNTS, range(1_001, 1_099), strict=False))))
    said_otherwise = {"created", "requests", "polls", "points"}
    for number, name in enumerate(COUNTS, start=1_001):
        assert (f"{number:,} {name}" in text) or name in said_otherwise

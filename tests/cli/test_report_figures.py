"""What ``ezcaptcha report`` makes of lines, also of such as nobody should write."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from math import isnan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async import CapacityError, SubmissionUnknownError
from ezcaptcha_async.cli.reporting import wording
from ezcaptcha_async.cli.reporting.collecting import collected
from ezcaptcha_async.cli.reporting.figures import Figures, figures
from ezcaptcha_async.cli.reporting.scales import (
    bins_for,
    round_step,
    round_time_step,
    ticks,
    time_bins,
    time_ticks,
)
from tests.cli.results_files import NOON, V2, failed, lines, solved, unsolvable


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be in a place half an hour off."""
    monkeypatch.setenv("TZ", "XXX-05:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def of(*rows: dict[str, Any]) -> Figures:
    """Return what some rows come to."""
    return figures(collected(lines(rows).splitlines()))


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[1]",
        b'"solved"',
        b"{}",
        b'{"status": "queued"}',
        b'{"status": ["solved"]}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"status": "solved", "row": ' + b"9" * 5_000 + b"}",
    ],
)
def test_what_is_no_row(line: bytes) -> None:
    """One bad line would end the report of all others."""
    found = collected([b"", line, b" "])
    assert (found.damaged, found.solutions, found.errors) == (1, {}, {})


@pytest.mark.parametrize("value", [None, True, "20", [], {}, -1, 1e300, 10**400, "NaN"])
def test_a_number_that_is_none(value: Any) -> None:
    """One wrong value would turn sums and percentiles into nonsense."""
    row = solved(1)
    row["finished_at"] = row["expires_at"] = value
    row["receipt"] |= dict.fromkeys(("waited", "ready_at", "polls", "points"), value)
    found = collected([json.dumps(row).encode()]).solutions[V2]
    columns = (found.finished_at, found.waited, found.left, found.delay, found.polls, found.points)
    assert all(isnan(number) for (number,) in columns)
    assert of(row).total.waited is None


def test_rows_of_another_form() -> None:
    """Numbers that are no JSON, or parts of a later version, would cost all other rows."""
    row = solved(1)
    row["receipt"] |= {"waited": float("nan"), "points": float("inf")}
    found = of(row)
    assert (found.total.waited, found.total.priced) == (None, 0)
    rows = ({"status": "solved", "receipt": 3}, {"status": "failed", "error": "x", "row": 1.5})
    found = of(*rows, *rows)
    assert (found.rows, found.repeated) == (4, 0)
    assert [item.type for item in found.types] == ["unknown type"]
    assert [(item.kind, item.example) for item in found.errors] == [("unknown error", "")]


def test_the_text_of_an_error() -> None:
    """The example of many errors would name one task of many, or bury the report in HTML."""
    (found,) = of(failed(1)).errors
    assert found.code == "ERROR_CAPTCHA_UNSOLVABLE"
    assert found.example == "nobody could; submit a new task"
    (found,) = of(failed(1, CapacityError("X" * 500, "<html>" * 500))).errors
    assert len(found.code) == 80
    assert len(found.example) == 200


def test_delay_and_freshness() -> None:
    """A user could not tell whether tokens come too late to be used."""
    late = solved(2, at=NOON + 10)
    late["expires_at"] = NOON + 9
    found = of(solved(1, at=NOON), late, solved(3, processing_at=None)).total
    assert found.left is not None
    assert (found.left.least, found.left.median, found.expired) == (-1.0, 116.0, 1)
    assert found.delay is not None
    assert (found.delay.count, found.delay.median) == (2, 4.0)
    assert found.polls == 3.0


def test_a_row_that_another_task_solved() -> None:
    """The first task may have been charged as well: that would be forgotten."""
    first = failed(1, unsolvable(1, "another-task"), final=False)
    lost = failed(2, SubmissionUnknownError("lost"), final=False)
    found = of(first, lost, solved(1), solved(2))
    assert (found.solved, found.failed, found.repeated) == (2, 0, 2)
    assert found.may_be_charged.tasks == 2
    assert (found.may_be_charged.points, found.may_be_charged.unpriced) == (6.0, 1)
    assert found.errors == ()
    assert wording.risk(found).endswith(
        "charged: 6 points (0.0006 USD), and 1 at an unknown price."
    )


def test_solve_times_of_resumed_rows_are_left_out() -> None:
    """A night in which the machine was off would be the slowest solve of all."""
    late = {**solved(2, 3_000.0, at=NOON + 60), "resumed": True}
    found = of(solved(1, 20.0), late)
    assert found.solved == 2
    assert found.total.waited is not None
    assert (found.total.waited.count, found.total.waited.largest) == (1, 20.0)


def test_which_line_of_a_row_counts() -> None:
    """Each attempt would count as a row of its own, or several rows as one."""
    rows = [failed(1, final=False) for _ in range(3)]
    found = of(*rows, failed(1, CapacityError("ERROR_NO_SLOT")))
    assert (found.rows, found.failed, found.repeated) == (1, 1, 3)
    assert [item.kind for item in found.errors] == ["CapacityError"]
    found = of(failed(1), solved(1), solved(1))
    assert (found.solved, found.failed, found.repeated) == (2, 1, 0)
    row = failed(1, final=False)
    del row["row"]
    assert of(row, row).failed == 2


def test_types_and_errors_without_end() -> None:
    """A file with a new type in each line would fill the memory, and the screen."""
    rows = [solved(row, task_type=f"Type{row}") for row in range(100)]
    rows += [failed(row, CapacityError(f"ERROR_{row}")) for row in range(100, 200)]
    found = of(*rows)
    assert (len(found.types), len(found.errors)) == (51, 51)
    assert (found.types[0].type, found.types[0].solved) == ("all others", 50)
    assert (found.errors[0].kind, found.errors[0].rows) == ("all others", 50)


def test_memory_is_bounded() -> None:
    """A million rows with their tokens would not fit."""
    row = json.dumps(solved(1) | {"solution": {"token": "x" * 2_000}}).encode()
    number = 2_000
    tracemalloc.start()
    try:
        found = collected(row for _ in range(number))
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.solutions[V2]) == number
    assert kept / number < 60
    assert peak / number < 80


def test_the_points_of_several_services_have_no_price() -> None:
    """Points of one service would be priced in the currency of another."""
    alone = of(solved(1), solved(2))
    assert (alone.currency, bool(alone.points_per_unit)) == ("USD", True)
    mixed = of(*(solved(row, service=name) for row, name in enumerate(["ezcaptcha", "a", "b"])))
    assert (mixed.currency, mixed.points_per_unit) == ("", None)


def test_what_happened_when() -> None:
    """The plots would show rows at other times than they were finished."""
    rows = [solved(row, 10.0, at=NOON + row) for row in range(60)]
    found = of(*rows, failed(99, at=NOON + 59.5)).timeline
    assert found is not None
    assert (found.started_at, found.finished_at) == (NOON - 10, NOON + 59.5)
    assert sum(item.solved for item in found.moments) == 60
    assert found.moments[-1].failed == 1
    assert all(before.points <= after.points for before, after in pairwise(found.moments))
    assert found.moments[-1].points == 360
    assert {item.median for item in found.trends} <= {10.0, None}
    assert len(found.dots) == 60
    # A page of a million dots would not open.
    found = of(*(solved(row, at=NOON + row) for row in range(1_502))).timeline
    assert found is not None
    assert len(found.dots) == 751
    # A rate of one moment would be a division by zero.
    found = of(failed(1))
    assert (found.seconds, found.per_minute) == (0.0, None)
    assert wording.title(found) == "1 row in 0 s"


@given(st.floats(1e-3, 1e9), st.integers(2, 50))
def test_steps_are_round_and_few(span: float, most: int) -> None:
    """Labels would be crooked numbers, or too many to be read."""
    step = round_step(span, most)
    assert span / step <= most + 1e-6
    assert f"{step:e}".rstrip("0")[0] in "125"
    assert span / round_time_step(span, most) <= most


@given(
    st.floats(-1e5, 1e5),
    st.floats(0, 1e4),
    st.floats(0, 1e6),
    st.floats(0, 1e6),
    st.integers(3, 40),
)
def test_bins_hold_everything(
    low: float, span: float, below: float, above: float, most: int
) -> None:
    """A token would be missing from a histogram."""
    least, largest = low - below, low + span + above
    bins = bins_for(low, low + span, least=least, largest=largest, most=most)
    assert 1 <= bins.number <= most
    assert bins.low <= low + 1e-6
    assert low + span <= bins.high + 1e-6
    assert sum(bins.counts([low, low + span, least, largest])) == 4
    assert bins.open_below or bins.low <= least


@given(st.floats(0, 3e10), st.floats(0, 1e8), st.integers(2, 60))
def test_times_are_in_their_bins(start: float, span: float, most: int) -> None:
    """The first or the last row would be missing from a plot."""
    bins = time_bins(start, start + span, most)
    assert bins.number <= most
    assert bins.low <= start
    assert start + span < bins.high


@given(st.floats(0, 1e6), st.floats(0.01, 1e6))
def test_ticks_are_inside(low: float, span: float) -> None:
    """A label would stand outside of its plot."""
    found = ticks(low, low + span, 8)
    assert len(found) <= 9
    hair = 1e-8 * span
    assert all(low - hair <= tick <= low + span + hair for tick in found)


def test_times_are_round_where_the_reader_is(zone: None) -> None:
    """Hours would be marked at half past, and days begin at half past five."""
    hours = time_ticks(NOON, NOON + 4 * 3600, 7)
    assert [label for _, label in hours] == ["18:00", "19:00", "20:00", "21:00"]
    quarter = time_ticks(NOON, NOON + 20, 7)
    assert [label for _, label in quarter][:2] == ["17:30:00", "17:30:05"]
    night = [label for _, label in time_ticks(NOON, NOON + 12 * 3600, 7)]
    assert "Nov 23" in night
    assert all(label.startswith(("Nov", "Dec")) for _, label in time_ticks(NOON, NOON + 3e6, 7))
    assert time_bins(NOON, NOON + 9 * 3600, 10).low == NOON - 1_800
    assert wording.period(of(solved(1), solved(2, at=NOON + 86_400))).count("2025-11-") == 2
    assert wording.period(of(solved(1), solved(2, at=NOON + 60))).count("2025-11-") == 1


def test_durations_and_shares_in_words() -> None:
    """Nobody could read 90,000 s, and one failure in 100,000 would look like none."""
    durations = {0.0: "0 s", 45.24: "45.2 s", 60.0: "1 min", 725.0: "12 min 5 s"}
    for seconds, words in (durations | {90_000.0: "1 d 1 h"}).items():
        assert wording.duration(seconds) == words
    shares = {(0, 0): "-", (0, 9): "0 %", (9, 9): "100 %", (1, 100_000): "0.1 %"}
    for (part, whole), words in (shares | {(99_999, 100_000): "99.9 %"}).items():
        assert wording.share(part, whole) == words

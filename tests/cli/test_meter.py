"""How far a demonstration or a batch is, as it is shown."""

from __future__ import annotations

import re
from typing import Any

import pytest
from rich.text import Text

from ezcaptcha_async import KindStatistics, PoolStatistics
from ezcaptcha_async.cli.batching.counts import BatchCounts
from ezcaptcha_async.cli.meter import Forecast, Meter
from ezcaptcha_async.cli.output import Output
from ezcaptcha_async.cli.tabular import shape
from ezcaptcha_async.polling import Kind
from tests.cli.commands import plain

IDLE = PoolStatistics()


def known(tasks: int = 10, *, median: float = 20.0, p95: float = 50.0) -> KindStatistics:
    """Return what the poll timing knows of one kind of task."""
    return KindStatistics(
        kind=Kind("ezcaptcha", "T", "example.com"),
        tasks=tasks,
        polls_per_task=2.0,
        median=median,
        p95=p95,
        overshoot=1.0,
    )


def pool(*kinds: KindStatistics, waiting: int = 0, creating: int = 0) -> PoolStatistics:
    """Return the counts of a pool."""
    return PoolStatistics(kinds=kinds, waiting=waiting, creating=creating)


def meter(total: int | None = 20, **changes: Any) -> Meter:
    """Return one that shows on stdout; ten of its tasks are finished already."""
    output = Output(as_json=False)
    settings = {"before": 10, "moves": False, "seconds_between_lines": 0.0, **changes}
    return Meter(output, output.console, "twenty tasks", total, **settings)


def test_where_nothing_can_move_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A log file would hold control sequences, or nothing at all."""
    with meter().open() as shown:
        shown.show(10, {"solved": "9", "failed": "1"}, IDLE)
        shown.show(14, {"solved": "13", "failed": "1"}, IDLE)
        more = [Text("only where there is room for it")]
        shown.show(16, {"solved": "15", "failed": "1"}, pool(known(), waiting=4), more)
    out, err = capsys.readouterr()
    assert out == ""
    for line, begin in zip(
        err.splitlines(),
        (
            "10 of 20 done, 9 solved, 1 failed, - a minute",
            "14 of 20 done, 13 solved, 1 failed, - a minute",
            r"16 of 20 done, 15 solved, 1 failed, [\d,]+ a minute, 0:00:50 left",
        ),
        strict=True,
    ):
        assert re.fullmatch(rf"\d+ s: {begin}", line)
    # A log file would hold ten lines a second.
    with meter(seconds_between_lines=1e6).open() as shown:
        for done in range(10, 20):
            shown.show(done, {"solved": "9"}, IDLE)
    assert capsys.readouterr() == ("", "")
    # A batch that is given fewer rows than before would be at "8 of 1 done".
    with meter(1, before=0).open() as shown:
        shown.show(8, {"solved": "8"}, IDLE)
    assert "8 of 8 done" in capsys.readouterr().err


def test_a_list_without_an_end(capsys: pytest.CaptureFixture[str], terminal: None) -> None:
    """A bar would promise an end that nobody knows."""
    for moves in (True, False):
        with meter(None, moves=moves).open() as shown:
            shown.show(16, {"solved": "15"}, pool(known(), waiting=4))
    out, err = capsys.readouterr()
    assert "twenty tasks" in plain(out)
    assert "solved" in plain(out)
    assert "left" not in out
    assert "━" not in out
    assert re.fullmatch(r"\d+ s: 15 solved, - a minute\n", err)


@pytest.mark.parametrize("width", [45, 60, 80, 120])
def test_what_is_narrow_gives_up_the_bar_first(
    capsys: pytest.CaptureFixture[str], terminal: None, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """Labels would be cut to letters, and figures to an ellipsis."""
    monkeypatch.setenv("COLUMNS", str(width))
    names = ("queued", "creating", "waiting", "solved", "failed", "requests", "points")
    with meter(2_000_000, moves=True).open() as shown:
        figures = {name: f"{10**6 + place:,}" for place, name in enumerate(names)}
        shown.show(1_000_000, figures, pool(known(), waiting=500))
    out = plain(capsys.readouterr().out)
    assert max(map(len, re.split(r"[\r\n]+", out))) <= width
    for words in (*names, *figures.values(), "a minute", "1,000,000 of 2,000,000", "left"):
        assert words in out
    assert ("━" in out) == (width >= 80)


def test_the_time_that_is_left() -> None:
    """It would be "1 s" for six seconds, or nine minutes for what takes a quarter of one."""
    now = 100.0
    forecast = Forecast(clock=lambda: now)
    assert forecast.seconds_left(None, pool(known(), waiting=5)) is None, "of an endless list"
    assert forecast.seconds_left(10, pool(waiting=10)) is None, "before anything is known"
    assert forecast.seconds_left(10, pool(known(0), waiting=10)) is None, "and only guessed"
    assert forecast.seconds_left(10, pool(known())) is None, "while nothing is on its way"
    busy = pool(known(30), known(10, median=40.0, p95=90.0), waiting=90, creating=10)
    assert forecast.seconds_left(900, busy) == 8 * 25 + 90, "eight hundred, a hundred at a time"
    assert forecast.seconds_left(100, busy) == 90
    now += 60
    assert forecast.seconds_left(40, pool(known(), known(p95=90.0), waiting=40)) == 30
    now += 31
    assert forecast.seconds_left(1, pool(known(p95=90.0), waiting=1)) is None, "and not 0"
    assert forecast.seconds_left(20, pool(known(), waiting=1)) == 19 * 20 + 50, "others came"
    assert forecast.seconds_left(1, pool(known(), waiting=1)) == 50


def test_a_batch_before_anything_is_solved(
    capsys: pytest.CaptureFixture[str], terminal: None
) -> None:
    """The first seconds of a batch would end in a division by zero."""
    counts = BatchCounts(total=5)
    with meter(moves=True).open() as shown:
        details = tuple(counts.details(plain=False))
        shown.show(counts.done, counts.figures(IDLE), IDLE, details)
    out = plain(capsys.readouterr().out)
    assert "in flight" in out
    assert "solve time" not in out


def test_shapes_show_a_single_one() -> None:
    """A task that took three minutes among thousands would not be seen."""
    assert shape([1000, 1, 0, 500], plain=False) == "█▁ ▄"
    assert shape([0, 3], plain=True) == " @"

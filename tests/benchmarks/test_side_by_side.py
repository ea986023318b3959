"""What the comparison makes of the figures of its runs: rows, table, aims, picture."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from benchmarks.side_by_side.figures import Row, merged
from benchmarks.side_by_side.picture import picture
from benchmarks.side_by_side.table import aims, table, troubles

TASKS = 1_000


def run_of(
    library: str, *, cpu: float = 2.0, requests: int = 6_000, solved: int = TASKS, **client: Any
) -> dict[str, Any]:
    """Return what one run leaves: both sides' figures."""
    figures = {"solved": solved, "wall": 30.0, "cpu": cpu, "stall": 0.05}
    figures |= {"peak_memory": 50 << 20, "memory_before": 40 << 20, "unfinished": 0}
    record = {"charges": TASKS, "requests": requests, "spacing_violations": 0}
    record |= {"fetched": solved, "lag_mean": 1.5, "lag_p95": 3.0}
    return {
        "library": library,
        "ours": library.startswith("ezcaptcha_async"),
        "load": {"tls": False, "low": 8.0, "high": 28.0, "tasks": TASKS},
        "client": figures
        | {"failures": {}, "stack": {"aiohttp": "3.14", "httpx": "0.28"}}
        | client,
        "service": {"record": record, "connections": 40, "peak_connections": 32, "cpu": 1.0},
    }


def row_of(*rounds: dict[str, Any]) -> Row:
    """Return the one row of several rounds of one library."""
    (row,) = merged(rounds)
    return row


def test_rounds_become_their_median_and_their_spread() -> None:
    """One round that another process disturbed would be what the table says."""
    row = row_of(*(run_of("peer 1", cpu=cpu) for cpu in (2.0, 9.0, 3.0)))
    spread = row.figures["cpu_ms_per_solved"]
    assert (spread.least, spread.median, spread.most) == (2.0, 3.0, 9.0)
    row = row_of(run_of("peer 1", cpu=2.0, requests=3_000, solved=500))
    assert row.figures["cpu_ms_per_solved"].median == 4.0
    assert row.figures["requests_per_solved"].median == 6.0
    assert row.figures["lost"].median == 500


def test_a_client_that_hangs_has_solved_nothing() -> None:
    """The comparison would end with a traceback after hours, or leave the row out."""
    hung = run_of("peer 1")
    hung["client"] = {"solved": 0, "broken": "it hung"}
    row = row_of(hung)
    assert row.figures["lost"].median == TASKS
    assert "cpu_ms_per_solved" not in row.figures
    assert troubles([row]) == ["peer 1: 1,000 x no figures"]
    assert "–" in table([row])  # noqa: RUF001
    ET.fromstring(picture([row], "title", ["note"]))  # noqa: S314 - our own text
    rounds = [
        run_of("peer 1", failures={"PoolTimeout": 3}),
        run_of("peer 1", failures={"PoolTimeout": 4}, unfinished=5),
    ]
    assert troubles([row_of(*rounds)]) == ["peer 1: 7 x PoolTimeout, 5 x not finished"]


def test_the_table_is_markdown_with_every_row_equally_long() -> None:
    """The README would show a broken table."""
    lines = table(merged([run_of("ezcaptcha_async"), run_of("a peer 1.2.3")])).splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines}) == 1
    assert len({line.count("|") for line in lines}) == 1
    assert "ezcaptcha_async (aiohttp 3.14)" in lines[2]


@pytest.mark.parametrize(
    ("cpu", "requests", "verdicts"),
    [
        (1.2, 3_600, ["met", "met", "met", "met"]),
        (1.3, 3_600, ["missed", "met", "met", "met"]),
        (1.2, 4_300, ["met", "missed", "met", "met"]),
    ],
)
def test_aims_are_held_against_the_best_peer(
    cpu: float, requests: int, verdicts: list[str]
) -> None:
    """An aim that is missed would be told as met."""
    rows = merged(
        [
            run_of("ezcaptcha_async", cpu=cpu, requests=requests),
            run_of("cheap 1", cpu=2.0, requests=7_000),
            run_of("choking 1", cpu=3.0, requests=2_000),
            run_of("lossy 1", cpu=0.1, requests=1_000, solved=999),
        ]
    )
    lines = aims(rows)
    assert [line.rpartition(": ")[2] for line in lines] == verdicts
    assert not any("lossy" in line for line in lines)


def test_a_round_is_held_against_the_same_round() -> None:
    """A machine that was busy for one of them would be held against whoever suffered most."""
    ours = [run_of("ezcaptcha_async", cpu=cpu) for cpu in (1.0, 4.0, 1.4)]
    peer = [run_of("peer 1", cpu=cpu) for cpu in (2.0, 8.0, 2.0)]
    assert "solved task 0.500 x peer 1" in aims(merged([*ours, *peer]))[0]


def test_no_aim_is_met_with_tasks_unsolved() -> None:
    """Being cheap by leaving tasks unsolved would pass."""
    rows = merged([run_of("ezcaptcha_async", cpu=0.1, solved=999), run_of("peer 1")])
    assert aims(rows) == ["ezcaptcha_async: not every task solved"]


def test_the_picture_is_one_svg_that_needs_nothing_else() -> None:
    """A README on another site would show a broken image, or bars that run over their panel."""
    rows = merged([run_of("ezcaptcha_async", cpu=1.0), run_of("<peer> 1 & 2", cpu=80.0)])
    text = picture(rows, "a <title>", ["when & where"])
    root = ET.fromstring(text)  # noqa: S314 - our own text
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "href" not in text
    assert "url(" not in text
    widths = [float(width) for width in re.findall(r'width="([\d.]+)" height="12"', text)]
    assert len(widths) == 12
    assert max(widths) == 66.0

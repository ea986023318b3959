"""``ezcaptcha report``: the command."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from pathlib import Path

import pytest

from ezcaptcha_async import CapacityError, SubmissionUnknownError
from tests.cli.commands import Cli
from tests.cli.results_files import HOSTILE, NOON, V2, failed, lines, many, solved, write


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the results are."""
    return tmp_path / "results.jsonl"


def test_the_tables(cli: Cli, path: Path) -> None:
    """A user could not see how long it took, how fresh it came and what it cost."""
    rows = [solved(number, 10.0 + number, at=NOON + number) for number in range(1, 9)]
    rows += [solved(9, 40.0, at=NOON + 9, task_type="FuncaptchaTaskProxyless", points=18.0)]
    rows += [failed(10, at=NOON + 49), failed(11, CapacityError("ERROR_NO_SLOT"), at=NOON + 20)]
    result = cli("report", write(path, rows))
    assert (result.code, result.err) == (0, "")
    words = " ".join(result.out.split())
    assert "results.jsonl 11 rows in 1 min 20 s, 8.2 a minute" in words
    assert "9 solved (81.8 %) 2 failed" in words
    assert "1 task without a solution may have been charged: 6 points (0.0006 USD)." in words
    assert "Paid 72 points (0.0072 USD), which is 8 points (0.0008 USD) for each token." in words
    table = [line.split() for line in result.out.splitlines()]
    assert [V2, "8", "14.0", "18.0", "18.0"] in [line[:5] for line in table]
    assert ["all", "types", "9", "15.0", "40.0", "40.0"] in [line[:6] for line in table]
    assert [V2, "116.0", "116.0", "0", "4.0", "3.0"] in table
    assert ["FuncaptchaTaskProxyless", "1", "18", "18"] in table
    assert ["all", "types", "9", "66", "7.33"] in table
    assert ["TaskFailedError", "ERROR_CAPTCHA_UNSOLVABLE", "1", "1"] in table
    assert ["CapacityError", "ERROR_NO_SLOT", "1", "0"] in table
    assert re.search(r"10 to 15 s +4 +━+ *\n", result.out)


def test_it_fits_eighty_columns(cli: Cli, path: Path) -> None:
    """Lines would wrap, and tables fall apart, whatever the types and codes are called."""
    long = "VeryLong" * 30
    rows = [*many(), solved(900, task_type=long, points=1e9), failed(901, CapacityError(long))]
    result = cli("report", write(path, rows))
    assert all(len(line) <= 80 for line in result.out.splitlines())
    assert HOSTILE in result.out
    assert "VeryLongVery" in result.out
    result = cli("report", write(path, [solved(1)]))
    assert "all types" not in result.out


@pytest.mark.parametrize("width", [45, 60, 80, 120])
def test_what_is_narrow_keeps_names_and_numbers(
    cli: Cli, path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """Numbers would end in an ellipsis, and types not be told apart, for the sake of bars."""
    monkeypatch.setenv("COLUMNS", str(width))
    rows = [solved(number, 10.0 + number, at=NOON + number) for number in range(1, 21)]
    long = "ReCaptchaV2SEnterpriseTaskProxyless"
    rows += [solved(21, 234.5, at=NOON + 9, task_type=long), failed(22, at=NOON + 49)]
    out = cli("report", write(path, rows)).out
    assert max(map(len, out.splitlines())) <= width
    assert not [line for line in out.splitlines() if line.endswith(" ")]
    for words in (V2, long, "234.5", "all types", "10 to 15 s", "may be charged", "per token"):
        assert words in out
    assert ("shape" in out) == (width >= 80)
    words = " ".join(out.split())
    assert "The same 'ezcaptcha batch' tries rows again that cost nothing" in words
    assert "writes a page with plots" in words


def test_a_terminal_gets_colours_and_no_orders(cli: Cli, path: Path, terminal: None) -> None:
    """A type name could clear the screen, or look like output of ours."""
    result = cli("report", write(path, [solved(1, task_type="a\x1b[2Jb [bold]c[/bold]")]))
    assert "\x1b[2J" not in result.out
    assert "a [2Jb [bold]c[/bold]" in result.out
    assert "\x1b[38;5;28m" in result.out


def test_an_ascii_terminal_is_enough(cli: Cli, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the locale is C, a type in another script would end in an encoding error."""
    write(path, [solved(1, task_type="Täsk" * 20), failed(2, CapacityError("ERRÖR" * 30))])
    for columns in ("80", "30"):
        monkeypatch.setenv("COLUMNS", columns)
        assert "T\\xe4sk" in cli.in_ascii("report", str(path))


def test_a_name_that_is_no_text(cli: Cli, tmp_path: Path) -> None:
    """A file name or a type in broken Unicode would end in an encoding error."""
    path = tmp_path / os.fsdecode(b"results-\xff.jsonl")
    html = tmp_path / "page.html"
    path.write_bytes(lines([solved(1, task_type="half\ud800")]))
    result = cli("report", str(path), "--html", str(html))
    assert result.code == 0
    assert "<h1>results- .jsonl</h1>" in html.read_text("utf-8")


def test_for_a_machine(cli: Cli, path: Path) -> None:
    """Nothing could be computed from it, or a check be made of it."""
    found = cli("report", write(path, many()), "--json").document
    assert (found["rows"], found["solved"], found["failed"]) == (400, 380, 20)
    assert found["may_be_charged"] == {"tasks": 20, "points": 60.0, "unpriced": 10}
    assert sum(item["solved"] for item in found["types"]) == 380
    assert sum(found["total"]["solve_times"]["counts"]) == found["total"]["waited"]["count"] == 380
    assert {item["code"] for item in found["errors"]} == {
        "ERROR_CAPTCHA_UNSOLVABLE",
        "ERROR_<b>BOLD</b>",
    }
    moments = found["timeline"]["moments"]
    assert sum(item["solved"] + item["failed"] for item in moments) == 400
    assert moments[-1]["points"] == found["total"]["points"]


def test_lines_that_are_cut_and_rows_that_came_again(cli: Cli, path: Path) -> None:
    """A file that is being written could not be read, or a row that was interrupted count twice."""
    result = cli("report", write(path, [solved(1)], b'\n{"row": 2, "status": "sol'))
    assert result.code == 0
    assert "1 solved" in result.out
    assert "1 line skipped: damaged, cut off, or no line of a results file." in result.out
    result = cli("report", write(path, [failed(1, final=False), solved(1, at=NOON + 60)]))
    assert "1 solved (100 %)   0 failed" in result.out
    assert "may have been charged" not in result.out
    assert "1 row failed and came again: only the last line counts." in result.out


def test_from_stdin(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results of another machine, or compressed ones, would have to be stored first."""
    stdin = io.TextIOWrapper(io.BytesIO(lines([solved(1), failed(2)])))
    monkeypatch.setattr(sys, "stdin", stdin)
    html = tmp_path / "page.html"
    result = cli("report", "-", "--html", str(html))
    assert result.code == 0
    assert "standard input  2 rows" in result.out
    assert "<h1>standard input</h1>" in html.read_text("utf-8")


def test_a_page_is_written(cli: Cli, path: Path) -> None:
    """There would be nothing to show to others."""
    html = path.with_name("page.html")
    result = cli("report", write(path, many()), "--html", str(html))
    assert (result.code, result.err) == (0, f"wrote {html}\n")
    assert "--html" not in result.out  # it has been given
    assert "380 solved" in result.out
    text = html.read_text("utf-8")
    first, rest = text.split("\n", 1)
    assert first.startswith("<!doctype html>")
    # Those of earlier versions are written anew as well.
    for before in (text, f"<!doctype html>\n{rest}", ""):
        html.write_text(before, "utf-8")
        again = cli("report", str(path), "--html", str(html), "--json")
        assert again.document["rows"] == 400
        assert html.read_text("utf-8").startswith(first)


def test_a_place_where_no_page_can_be_written(cli: Cli, path: Path) -> None:
    """A slip of the pen would destroy tokens that were paid for, or end in a traceback."""
    before = write(path, [solved(1)])
    link = path.with_name("link.html")
    link.hardlink_to(path)
    for html in (str(path), str(link), str(path.parent / "." / path.name)):
        result = cli("report", before, "--html", html)
        assert result.code == 2
        assert "would overwrite the results" in result.line
    assert json.loads(path.read_bytes())["row"] == 1
    source = write(path, [solved(1)])
    result = cli("report", source, "--html", str(path.parent / "no" / "page.html"))
    assert result.code == 2
    assert result.line.endswith("cannot write --html: No such file or directory")
    result = cli("report", source, "--html", "a\0b")
    assert result.line.endswith("cannot write --html: its name cannot be that of a file")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.jsonl", "No such file or directory"),
        (".", "Is a directory"),
        ("a\0b", "its name cannot be that of a file"),
    ],
)
def test_results_that_cannot_be_read(name: str, reason: str, cli: Cli, tmp_path: Path) -> None:
    """A typing mistake would look like a batch without a row, or end in a traceback."""
    result = cli("report", str(tmp_path / name))
    assert result.code == 2
    assert "cannot read" in result.line
    assert result.line.endswith(reason)


def test_a_file_of_another_kind(cli: Cli, path: Path) -> None:
    """The input of a batch, given instead of its results, would look like an empty batch."""
    path.write_text('{"type": "ReCaptchaV2TaskProxyless"}\n')
    result = cli("report", str(path))
    assert result.code == 2
    assert result.line.endswith("holds no results: no line of it is a finished row")


def test_results_that_say_little(cli: Cli, path: Path) -> None:
    """Looking too soon, or at what has no times, would be an error or a table without a row."""
    result = cli("report", write(path, []))
    assert result.code == 0
    assert "No row is finished yet." in result.out
    lost = SubmissionUnknownError("the answer was lost")
    result = cli("report", write(path, [failed(1, lost), failed(2, lost)]))
    assert result.code == 0
    assert "0 solved (0 %)   2 failed" in result.out
    assert "Solve times" not in result.out
    words = " ".join(result.out.split())
    assert "2 tasks without a solution may have been charged; their prices are not known." in words
    result = cli("report", write(path, [{"row": 1, "status": "solved"}]))
    assert result.code == 0
    assert ["unknown", "type", "1", "-", "-", "-"] in [
        line.split() for line in result.out.splitlines()
    ]

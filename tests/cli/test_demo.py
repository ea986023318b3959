"""``ezcaptcha demo``."""

from __future__ import annotations

import importlib.util
import os
import pty
import re
import sys
import threading
from contextlib import suppress
from itertools import product
from typing import Any

import attrs
import pytest

from ezcaptcha_async.cli.demo import Demo, example_tasks, run_demo
from ezcaptcha_async.cli.tally import Tally
from ezcaptcha_async.tasks import TASK_TYPES
from ezcaptcha_async.testing import Fault, SimulatedService
from tests.cli.commands import Cli, plain

QUICK = ("demo", "--tasks", "26", "--speed", "50")
WANTED = Demo(tasks=300, speed=10, seed=1, backend="asyncio")


def test_all_types_are_solved_and_accounted_for(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thing that a user tries would not show what the library can do."""
    found: list[Tally] = []

    def kept(*arguments: Any) -> Tally:
        found[:] = found or [run_demo(*arguments)]
        return found[0]

    monkeypatch.setattr("ezcaptcha_async.cli.demo.run_demo", kept)
    result = cli(*QUICK)
    assert result.code == 0, result.err
    lines = [line.split() for line in result.out.splitlines()]
    for task_class in TASK_TYPES:
        assert any(line[:3] == [task_class.__name__, "2", "2"] for line in lines)
    assert any(line[:3] == ["points", "charged", "280"] for line in lines)
    assert "Nothing was lost" in result.out
    assert "all types" in cli.in_ascii("demo"), "where the locale is C"
    # What came of it is not cut to letters and dots.
    for width, command in product((45, 60, 80, 120), ("demo", "types")):
        monkeypatch.setenv("COLUMNS", str(width))
        shown = cli(command).out.splitlines()
        assert max(map(len, shown)) <= width
        assert not [line for line in shown if line.endswith(" ")]
        for task_class in TASK_TYPES:
            assert any(line.split()[:1] == [task_class.__name__] for line in shown)
        assert "…" not in "".join(shown)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_summary_for_a_machine(backend: str, cli: Cli) -> None:
    """A build could not check a release by running the demonstration."""
    result = cli(*QUICK, "--backend", backend, "--json")
    document = result.document
    assert document["problems"] == []
    assert document["plan"] == {"tasks": 26, "speed": 50.0, "seed": 1, "backend": backend}
    assert document["total"]["solved"] == 26
    assert document["points_charged"] == document["points_counted"] == 280
    assert 1 <= document["connections"] <= 32
    assert len(document["types"]) == len(TASK_TYPES)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_a_terminal_shows_how_far_it_is(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user would look at nothing for ten seconds, or at lines that wrap and creep down."""
    ours, theirs = pty.openpty()
    shown = b""

    def look() -> None:
        nonlocal shown
        with suppress(OSError):  # how Linux says that the other end is closed
            while chunk := os.read(ours, 65_536):
                shown += chunk

    thread = threading.Thread(target=look)
    thread.start()
    with os.fdopen(theirs, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        result = cli(*QUICK)
    thread.join()
    os.close(ours)
    assert (result.code, result.err) == (0, "")
    text = plain(shown.decode())
    assert all(len(line) <= 80 for line in re.split(r"[\r\n]+", text))
    assert "26 tasks at 50 times real speed, against http://127.0.0.1:" in text
    assert " queued  creating  waiting   solved   failed  requests   points" in text
    assert text.count("creating") >= 2
    assert "━ 26 of 26" in text
    assert " left" in text
    assert "Nothing was lost" in text


def test_it_exits_with_1_when_something_was_lost(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that runs the demonstration would pass although tasks are lost."""

    def losing(**settings: Any) -> SimulatedService:
        service = SimulatedService(**settings)
        service.inject(Fault.RESET_AFTER, path="/createTask")
        return service

    monkeypatch.setattr("ezcaptcha_async.cli.demo.SimulatedService", losing)
    result = cli("demo", "--tasks", "13", "--speed", "100")
    assert result.code == 1
    assert "not solved: 1 of 13 tasks (1 SubmissionUnknownError)" in result.out
    assert "1 of 13 paid tasks were not fetched" in result.out


def test_an_event_loop_that_is_not_there(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without trio, a traceback of another library would be all that the user sees."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    result = cli("demo", "--backend", "trio")
    assert result.code == 2
    assert result.line.endswith("--backend trio needs another package: pip install trio")


def test_tasks_are_of_all_types_and_the_same_for_the_same_seed() -> None:
    """A run could not be repeated, or would leave a type out."""
    tasks = example_tasks(WANTED)
    assert tasks == example_tasks(WANTED) != example_tasks(attrs.evolve(WANTED, seed=2))
    assert {task.type for task in tasks} == {task_class.__name__ for task_class in TASK_TYPES}
    assert len({task.host for task in tasks}) == 5


def test_ctrl_c_ends_it_in_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, terminal: None
) -> None:
    """Ctrl-C would show a traceback, or hang, or leave a view that says something else."""
    service = SimulatedService(seed=1, balance=1e9)
    monkeypatch.setattr("ezcaptcha_async.cli.demo.SimulatedService", lambda **_settings: service)
    result = cli.interrupted(
        lambda: service.summary().fetched > 0, "demo", "--tasks", "100", "--speed", "10"
    )
    assert result.code == 130
    ended = re.fullmatch(r"ezcaptcha: interrupted; (\d+) of 100 tasks were solved\n", result.err)
    assert ended is not None
    assert f"{ended[1]} of 100" in plain(result.out)
    assert result.out.count("\x1b[?25l") == result.out.count("\x1b[?25h") == 1, "the cursor is back"

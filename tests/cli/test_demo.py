"""``ezcaptcha demo``."""

from __future__ import annotations

import importlib.util
import os
import pty
import re
import signal
import sys
from typing import Any

import attrs
import pytest

from ezcaptcha_async import EzCaptchaError, SessionPool, Statistics
from ezcaptcha_async.cli import live
from ezcaptcha_async.cli.demo import Plan, Progress, example_tasks
from ezcaptcha_async.cli.output import Output
from ezcaptcha_async.tasks import TASK_TYPES
from tests.cli.commands import Cli, environment, finish, start

QUICK = ("demo", "--tasks", "26", "--speed", "50")
PLAN = Plan(tasks=300, speed=10, seed=1, backend="asyncio")


def test_all_types_are_solved_and_accounted_for(cli: Cli) -> None:
    """The first thing that a user tries would not show what the library can do."""
    result = cli(*QUICK)
    assert result.code == 0, result.err
    lines = [line.split() for line in result.out.splitlines()]
    for task_class in TASK_TYPES:
        assert any(line[:3] == [task_class.__name__, "2", "2"] for line in lines)
    assert any(line[:3] == ["points", "charged", "280"] for line in lines)
    assert "Nothing was lost" in result.out
    assert all(len(line) <= 80 for line in result.out.splitlines())


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


def test_a_terminal_shows_how_far_it_is(cli: Cli, terminal: None) -> None:
    """The user would look at nothing for ten seconds."""
    result = cli(*QUICK)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", result.out)
    assert "26 tasks at 50 times real speed, against http://127.0.0.1:" in shown
    assert "queued  creating  waiting   solved  failed  requests/s       points" in shown
    assert shown.count("requests/s") > 3
    assert "Nothing was lost" in shown
    assert result.err == ""


def test_it_exits_with_1_when_something_was_lost(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that runs the demonstration would pass although tasks are lost."""
    submit = SessionPool.submit

    async def submit_and_lose(pool: SessionPool, task: Any, **options: Any) -> Any:
        ticket = await submit(pool, task, **options)
        if task.type == "CloudFlare5STask":
            await ticket
            raise EzCaptchaError("lost on the way")
        return ticket

    monkeypatch.setattr(SessionPool, "submit", submit_and_lose)
    result = cli("demo", "--tasks", "13", "--speed", "100")
    assert result.code == 1
    assert "not solved: 1 of 13 tasks (1 EzCaptchaError)" in result.out


def test_an_event_loop_that_is_not_there(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without trio, a traceback of another library would be all that the user sees."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    result = cli("demo", "--backend", "trio")
    assert result.code == 2
    assert result.line.endswith("--backend trio needs another package: pip install trio")


def test_tasks_are_of_all_types_and_the_same_for_the_same_seed() -> None:
    """A run could not be repeated, or would leave a type out."""
    tasks = example_tasks(PLAN)
    assert tasks == example_tasks(PLAN) != example_tasks(attrs.evolve(PLAN, seed=2))
    assert {task.type for task in tasks} == {task_class.__name__ for task_class in TASK_TYPES}
    assert len({task.host for task in tasks}) == 5


def test_where_nothing_can_move_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A log file would hold control sequences, or nothing at all."""
    progress = Progress(
        url="http://127.0.0.1:1",
        counts=Statistics(waiting=3, solved=4, failed=1, lapsed=2, requests=50, points=1_234),
        elapsed=1.0,
        rate=12.6,
    )
    with live.shown(Output(as_json=False), PLAN) as show:
        for elapsed in (1.0, 2.04, 3.0, 4.1):
            show(attrs.evolve(progress, elapsed=elapsed))
        show(attrs.evolve(progress, elapsed=6.2, left=0.2))
        show(attrs.evolve(progress, elapsed=8.3, left=6.6))
    counts = "0 queued, 0 creating, 3 waiting, 4 solved, 3 failed; 13 requests/s, 1,234 points"
    lines = ["2 s: ", "4 s: ", "6 s: ", "8 s: "]
    ends = ["", "", "; about 1 s left", "; about 7 s left"]
    said = "".join(f"{line}{counts}{end}\n" for line, end in zip(lines, ends, strict=True))
    assert capsys.readouterr() == ("", said)


def test_ctrl_c_ends_it_in_one_line() -> None:
    """Ctrl-C would show a traceback, or hang."""
    with start("demo", "--tasks", "500") as process:
        assert process.stderr is not None
        process.stderr.readline()  # "2 s: …": it is under way
        process.send_signal(signal.SIGINT)
        result = finish(process)
    assert result.code == 130
    assert re.fullmatch(r"ezcaptcha: interrupted; \d+ of 500 tasks were solved\n", result.err)
    assert result.out == ""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
def test_it_fits_a_real_terminal_of_80_columns() -> None:
    """Lines would wrap and the display would creep down the screen."""
    ours, theirs = pty.openpty()
    terminal = environment(COLUMNS="80", LINES="40", TERM="xterm-256color")
    command = (*QUICK[:3], "--speed", "100")
    with start(*command, env=terminal, stdout=theirs, stdin=theirs) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65_536):
                shown += chunk
        except OSError:  # how Linux says that the other end is closed
            pass
        os.close(ours)
        assert process.wait(20) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert all(len(line) <= 80 for line in re.split(r"[\r\n]+", text))
    assert "Nothing was lost" in text

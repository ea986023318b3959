"""``ezcaptcha batch``: each row once, however often it is run and however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from ezcaptcha_async import ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.cli.batching.rows import count_rows
from ezcaptcha_async.cli.options import Format
from ezcaptcha_async.testing import Fault, SimulatedServer, Uniform
from tests.cli.commands import BRIEF, FAST, LONG, SECRET, STEADY, Cli, Result, finish, start
from tests.cli.conftest import Serve

PAGE = {"type": "ReCaptchaV2TaskProxyless", "website_key": "a-site-key"}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A file of thirty rows."""
    return with_rows(tmp_path / "rows.jsonl", 30)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Where the results go."""
    return tmp_path / "results.jsonl"


def with_rows(path: Path, count: int) -> Path:
    """Write a file of so many rows."""
    pages = (f"https://example.com/{number}" for number in range(count))
    lines = (json.dumps({**PAGE, "website_url": page, "id": f"job {page}"}) for page in pages)
    path.write_text("\n".join(lines) + "\n")
    return path


def read(results: Path) -> list[dict[str, Any]]:
    """Read what became of the rows."""
    return [json.loads(line) for line in results.read_text().splitlines()]


def charged(server: SimulatedServer) -> int:
    """Return how many tasks were charged."""
    return server.service.summary().charges


def finish_all(server: SimulatedServer) -> None:
    """Have all tasks solved by now."""
    for task in server.service.record.tasks:
        server.service.finish(task.task_id)


def killed_while_it_creates(server: SimulatedServer, rows: Path, results: Path) -> None:
    """Run a batch, and kill it between a createTask and its answer."""
    server.service.inject(Fault.HANG, path="/createTask", times=1)
    process = start("batch", str(rows), "-o", str(results), *FAST)
    while charged(server) < 1:
        time.sleep(0.02)
    process.kill()
    finish(process)


def test_every_row_is_solved_and_says_which_it_is(
    cli: Cli, serving: Serve, rows: Path, results: Path
) -> None:
    """A token without its row is of no use to anybody."""
    server = serving()
    result = cli("batch", str(rows), "-o", str(results), *FAST)
    assert result.code == 0
    assert result.out == ""
    assert result.err.splitlines() == [
        "30 solved and 0 failed in this run; 180 points (0.0180 USD)",
        f"the results are in {results}; see 'ezcaptcha report {results}'",
    ]
    report = cli("report", str(results)).out
    assert "The service ran at 50 times real speed; the seconds are those of this" in report
    found = {item["row"]: item for item in read(results)}
    assert sorted(found) == list(range(1, 31))
    tokens = {task.task_id for task in server.service.record.tasks}
    for number, item in found.items():
        assert item["status"] == "solved"
        assert item["id"] == f"job https://example.com/{number - 1}"
        assert item["solution"]["token"].rpartition(".")[2] in tokens
        assert item["points"] == item["receipt"]["points"] == 6
        assert item["finished_at"] < item["expires_at"]
    assert charged(server) == 30


def test_the_same_command_again_buys_nothing(
    cli: Cli, serving: Serve, rows: Path, results: Path
) -> None:
    """An arrow key and Enter would cost the whole batch once more."""
    server = serving()
    assert cli("batch", str(rows), "-o", str(results), *FAST).code == 0
    sent = server.service.summary().requests
    result = cli("batch", str(rows), "-o", str(results), *FAST)
    assert result.code == 0
    assert "30 were finished before; 0 points" in result.err
    assert server.service.summary().requests == sent
    with_rows(rows, 33)
    assert cli("batch", str(rows), "-o", str(results), *FAST, "--json").document == {
        "rows": 33,
        "solved": 3,
        "failed": 0,
        "solved_before": 30,
        "failed_before": 0,
        "points": 18.0,
        "points_before": 180.0,
        "errors": {},
        "halted_by": None,
        "currency": "USD",
        "value": pytest.approx(0.0198),
        "elapsed": pytest.approx(0, abs=60),
    }
    assert charged(server) == 33


def test_a_row_that_was_put_in_at_the_top(
    cli: Cli, serving: Serve, rows: Path, results: Path
) -> None:
    """Every row behind it would be given the solution of another page."""
    server = serving()
    assert cli("batch", str(rows), "-o", str(results), *FAST).code == 0
    rows.write_text(json.dumps({**PAGE, "website_url": "https://new.example"}) + rows.read_text())
    result = cli("batch", str(rows), "-o", str(results), *FAST)
    assert result.code == 2
    assert "row 1 is not the one that was paid for" in result.err
    assert charged(server) == 30


def test_through_pipes(cli: Cli, serving: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """``grep | ezcaptcha batch - | jq`` is what a shell is for."""
    server = serving()
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "w") as pipe:
            pipe.write("website_url,website_key,id\n")
            for number in range(5):
                while charged(server) < number:
                    time.sleep(0.01)
                pipe.write(f"https://example.com/{number},k,{number}\n")
                pipe.flush()

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reader) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        result = cli("batch", "-", "--format", "csv", "--type", PAGE["type"], *FAST)
    thread.join()
    assert result.code == 0
    assert sorted(json.loads(line)["id"] for line in result.out.splitlines()) == list("01234")
    assert charged(server) == 5


def test_nothing_on_stdin(
    cli: Cli, serving: Serve, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A timer or a service unit, which has no stdin, would end in a traceback."""
    serving()
    with Path(os.devnull).open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        result = cli("batch", "-", "-o", str(results), *FAST)
    assert result.code == 0
    assert "0 solved and 0 failed" in result.err
    assert "there were no rows" in result.err


def test_a_source_that_cannot_be_read(
    cli: Cli, serving: Serve, results: Path, tmp_path: Path
) -> None:
    """A traceback would say what is wrong, or a group, which no program looks into."""
    serving()
    result = cli("batch", str(tmp_path), "-o", str(results), *FAST)
    assert result.code == 2
    assert result.line.endswith(f"cannot read {tmp_path}: Is a directory")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_ended_in_the_middle_and_gone_on_with(
    cli: Cli, serving: Serve, rows: Path, results: Path, signum: signal.Signals
) -> None:
    """A laptop that is closed, or a node that is drained, would cost the tasks in flight."""
    server = serving(**LONG)

    def is_time() -> bool:
        for task in server.service.record.tasks[: 4 * (charged(server) == 30)]:
            server.service.finish(task.task_id)
        return results.exists() and results.read_bytes().count(b"\n") >= 4

    command = ("batch", str(rows), "-o", str(results), *STEADY)
    if signum == signal.SIGKILL:
        process = start(*command)
        while not is_time():
            time.sleep(0.02)
        process.kill()
        finish(process)
    else:
        ended = cli.interrupted(is_time, *command)
        assert ended.code == 130
        assert "rows done" in ended.err
        assert "can be fetched for five minutes" in ended.err
        assert "the same command goes on from here" in ended.err
    finish_all(server)
    assert cli(*command).code == 0
    found = read(results)
    assert sorted(item["row"] for item in found) == list(range(1, 31))
    assert charged(server) == 30, "nothing was bought twice"


def test_killed_between_a_result_and_the_journal(
    cli: Cli, serving: Serve, rows: Path, results: Path
) -> None:
    """A row would have two lines, the second one with a solution that nobody needs."""
    server = serving()
    journal = results.with_name("results.jsonl.journal")
    assert cli("batch", str(rows), "-o", str(results), *FAST).code == 0
    lines = journal.read_text().splitlines()
    kept = [line for line in lines if json.loads(line)["event"] != "done"]
    journal.write_text("\n".join(kept) + "\n")
    assert cli("batch", str(rows), "-o", str(results), *FAST).code == 0
    assert len(read(results)) == 30
    assert charged(server) == 30


def test_a_journal_that_others_use_too(
    cli: Cli, serving: Serve, rows: Path, results: Path, tmp_path: Path
) -> None:
    """What a program of the user's has paid for would be fetched and thrown away."""
    server = serving(solve_times=60.0)
    journal = tmp_path / "journal"

    async def pay() -> None:
        async with SessionPool(SECRET, service=server.profile, journal=journal) as pool:
            task = ReCaptchaV2TaskProxyless(website_url="https://a.example", website_key="k")
            await pool.submit(task)

    anyio.run(pay)
    command = ("batch", str(with_rows(rows, 1)), "-o", str(results), "--journal", str(journal))
    assert cli(*command, *FAST).code == 0
    assert sorted(str(item["row"]) for item in read(results)) == ["1", "None"]
    assert charged(server) == 2


def test_gone_on_with_by_another_key(
    cli: Cli, serving: Serve, rows: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slip in the environment would buy again with one key what another has paid for."""
    server = serving(**LONG)
    command = ("batch", str(with_rows(rows, 5)), "-o", str(results), *STEADY)
    assert cli(*command, *BRIEF).code == 1
    assert charged(server) == 5
    monkeypatch.setenv("EZCAPTCHA_CLIENT_KEY", f"{SECRET}-other")
    result = cli(*command)
    assert result.code == 2
    assert "stopped: no account of this pool can fetch" in result.err
    monkeypatch.setenv("EZCAPTCHA_CLIENT_KEY", SECRET)
    finish_all(server)
    assert cli(*command).code == 0
    assert charged(server) == 5


def test_what_may_have_been_paid_is_not_bought_again(
    cli: Cli, serving: Serve, rows: Path, results: Path
) -> None:
    """A createTask under way when the process was killed would be paid for twice."""
    server = serving()
    killed_while_it_creates(server, with_rows(rows, 1), results)
    result = cli("batch", str(rows), "-o", str(results), *FAST)
    assert result.code == 1
    assert "SubmissionUnknownError" in result.err
    (item,) = read(results)
    assert (item["row"], item["final"], item["points"]) == (1, True, 6)
    assert item["error"]["may_be_charged"] is True
    assert cli("batch", str(rows), "-o", str(results), *FAST).code == 1
    assert charged(server) == 1
    assert cli("batch", str(rows), "-o", str(results), "--retry-failed", *FAST).code == 0
    assert charged(server) == 2


def test_what_may_have_been_paid_counts_where_errors_are_tried_again(
    cli: Cli, serving: Serve, rows: Path, results: Path
) -> None:
    """The budget would be overspent by all that a killed run had under way."""
    server = serving()
    killed_while_it_creates(server, with_rows(rows, 1), results)
    command = ("batch", str(rows), "-o", str(results), "--retry-failed", *FAST, "--budget")
    result = cli(*command, "6")
    assert result.code == 4
    assert "0 solved and 0 failed in this run; 6 points" in result.err
    assert cli(*command, "6").code == 4
    assert [(item["row"], item["points"]) for item in read(results)] == [(1, 6)]
    assert cli(*command, "12").code == 0
    assert [item["status"] for item in read(results)] == ["failed", "solved"]
    assert cli(*command, "12").code == 0, "nothing is left to buy"
    assert len(read(results)) == charged(server) == 2


def test_a_lost_answer_in_this_run(cli: Cli, serving: Serve, rows: Path, results: Path) -> None:
    """What it may have cost would not count against the budget."""
    server = serving()
    server.service.inject(Fault.RESET_AFTER, path="/createTask", times=1)
    result = cli("batch", str(with_rows(rows, 3)), "-o", str(results), *FAST)
    assert result.code == 1
    assert "2 solved and 1 failed in this run; 18 points" in result.err
    assert charged(server) == 3


def test_rows_that_end_in_an_error(cli: Cli, serving: Serve, rows: Path, results: Path) -> None:
    """One bad row would stop the batch, or be paid for again and again."""
    server = serving(failure_rate=1.0)
    rows.write_text('{"type": "nonsense"}\n' + rows.read_text())
    result = cli("batch", str(rows), "-o", str(results), *FAST)
    assert result.code == 1
    assert "30 rows: TaskFailedError" in result.err
    assert "1 row: ConfigurationError" in result.err
    assert "\nrow 1: line 1: type nonsense is not known" in result.err
    named = r"\nrow \d+ \(job https://example.com/\d+\): ERROR_CAPTCHA_UNSOLVABLE"
    assert re.search(named, result.err)
    assert result.err.count("\nrow ") == 5, "the first few"
    assert result.err.splitlines()[-1].endswith("with --retry-failed all")
    found = {item["row"]: item for item in read(results)}
    assert (found[1]["final"], found[1]["points"]) == (False, None)
    assert (found[2]["final"], found[2]["points"]) == (True, 6)
    again = cli("batch", str(rows), "-o", str(results), *FAST)
    assert again.code == 1
    assert charged(server) == 30


def test_a_budget_for_all_runs_together(
    cli: Cli, serving: Serve, rows: Path, results: Path
) -> None:
    """Starting it again would spend the same sum once more."""
    server = serving()
    command = ("batch", str(rows), "-o", str(results), *FAST, "--budget")
    result = cli(*command, "100")
    assert result.code == 4
    assert "16 solved" in result.err
    assert "stopped:" in result.err
    assert "of the budget of 100" in result.err
    result = cli(*command, "96")
    assert (result.code, charged(server)) == (4, 16)
    assert "the budget of 96 points is used up" in result.err
    assert cli(*command, "180").code == 0
    assert charged(server) == 30
    for spent in ("180", "100"):
        result = cli(*command, spent)
        assert result.code == 0, "a timer that runs it again would raise an alarm for ever"
        assert "stopped" not in result.err
    assert charged(server) == 30


def test_an_account_that_runs_dry(cli: Cli, serving: Serve, rows: Path, results: Path) -> None:
    """A million rows would each get an error of their own."""
    server = serving(balance=60.0)
    result = cli("batch", str(with_rows(rows, 300)), "-o", str(results), *FAST)
    assert result.code == 4
    assert "10 solved and 0 failed" in result.err
    assert "stopped: ERROR_ZERO_BALANCE" in result.err
    assert len(read(results)) == 10, "what can be tried again is no result"
    server.service.set_balance(SECRET, 1e6)
    assert cli("batch", str(rows), "-o", str(results), *FAST).code == 0
    assert charged(server) == 300


def test_a_row_that_took_too_long_is_fetched_by_the_next_run(
    cli: Cli, serving: Serve, rows: Path, results: Path
) -> None:
    """It is paid: giving up on it is no reason to pay again."""
    server = serving(**LONG)
    command = ("batch", str(with_rows(rows, 2)), "-o", str(results), *STEADY)
    assert cli(*command, *BRIEF).code == 1
    finish_all(server)
    assert [(item["final"], item["points"]) for item in read(results)] == [(False, 6), (False, 6)]
    assert "0 points" in cli(*command, "--budget", "12").err
    found = read(results)[2:]
    assert sorted(item["id"] for item in found) == [
        f"job https://example.com/{number}" for number in range(2)
    ]
    assert [(item["status"], item["resumed"]) for item in found] == [("solved", True)] * 2
    assert sum(item["points"] for item in read(results)) == 12, "no point is counted twice"
    assert charged(server) == 2


def test_a_second_try_that_is_fetched_by_the_next_run(
    cli: Cli, serving: Serve, rows: Path, results: Path
) -> None:
    """What was paid for the second time would be fetched and thrown away."""
    serving(failure_rate=1.0)
    batch = ("batch", str(with_rows(rows, 2)), "-o", str(results))
    assert cli(*batch, *FAST).code == 1
    server = serving(**LONG)
    command = (*batch, *STEADY)
    assert cli(*command, "--retry-failed", *BRIEF).code == 1
    finish_all(server)
    result = cli(*command)
    assert result.code == 0
    assert "2 solved and 0 failed in this run; 0 points" in result.err
    assert [item["status"] for item in read(results)[4:]] == ["solved", "solved"]
    assert sum(item["points"] for item in read(results)) == 24
    assert cli(*command, "--retry-failed").code == 0
    assert charged(server) == 2


def test_several_keys(cli: Cli, serving: Serve, rows: Path, results: Path, tmp_path: Path) -> None:
    """The work could not be shared among accounts."""
    server = serving()
    keys = tmp_path / "keys"
    keys.write_text(f"{SECRET}-1\n{SECRET}-2\n")
    command = ("batch", str(rows), "-o", str(results), *FAST, "--key-file", str(keys))
    assert cli(*command).code == 0
    assert server.service.summary().keys == 2


def test_a_full_disk_ends_it_with_nothing_lost(
    cli: Cli, serving: Serve, rows: Path, tmp_path: Path
) -> None:
    """Tokens that are paid for would be thrown away one after the other."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    server = serving(time_scale=10.0)
    journal = tmp_path / "journal"
    command = ("batch", str(rows), "--journal", str(journal), *STEADY, "-o")
    result = cli(*command, "/dev/full")
    assert result.code == 1, "2 says that nothing was sent"
    assert "cannot write /dev/full: No space left on device" in result.err
    results = tmp_path / "results"
    assert cli(*command, str(results)).code == 0
    assert len(read(results)) == 30
    assert charged(server) == 30


def test_a_million_rows_are_not_read_at_once(cli: Cli, serving: Serve, tmp_path: Path) -> None:
    """A long list would fill the memory before the first task is sent."""
    server = serving()
    line = json.dumps({**PAGE, "website_url": "https://example.com/"}) + "\n"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    script = (
        f"import sys\nwith open({str(pipe)!r}, 'w') as out:\n    while True: out.write({line!r})"
    )
    with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL) as writer:  # noqa: S603
        command = ("batch", str(pipe), "-o", str(tmp_path / "out"), *FAST, "--budget", "600")
        try:
            result = finish(start(*command))
        finally:
            writer.kill()  # without a reader it would wait for one for ever
    assert result.code == 4
    assert charged(server) == 100


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("no-such-file",), "there is no file 'no-such-file'"),
        (("{rows}", "--json"), "--json needs --results"),
        (("{rows}", "--journal", "{rows}.journal"), "--journal needs --results"),
        (("-", "--key-file", "-"), "cannot both be read from stdin"),
        (("{rows}", "--key-file", os.devnull), "--key-file holds no client key"),
        (("{rows}", "-o", "{rows}"), "the rows and the results cannot both be in"),
        (("{rows}", "-o", "{rows}.link"), "the rows and the results cannot both be in"),
        (("{rows}", "-o", "{rows}.hard"), "the rows and the results cannot both be in"),
        (("{rows}", "-o", "{rows}.out", "--journal", "{rows}"), "the rows and the journal"),
        (("{rows}", "-o", "{rows}.out", "--journal", "{rows}.out"), "results and the journal"),
        (("{rows}", "-o", "{rows}/results"), "cannot use"),
        (("{rows}", "--max-in-flight", "0"), "max-in-flight"),
    ],
)
def test_wrong_arguments(
    cli: Cli, serving: Serve, rows: Path, arguments: tuple[str, ...], problem: str
) -> None:
    """A slip would be paid for."""
    server = serving()
    Path(f"{rows}.link").symlink_to(rows)
    Path(f"{rows}.hard").hardlink_to(rows)
    before = rows.read_bytes()
    result = cli("batch", *(item.format(rows=rows) for item in arguments))
    assert result.code == 2
    assert problem in result.err
    assert rows.read_bytes() == before
    assert server.service.summary().requests == 0


def test_two_at_a_time_on_the_same_results(
    cli: Cli, serving: Serve, rows: Path, results: Path
) -> None:
    """A second terminal would buy every row once more."""
    server = serving(**LONG)
    process = start("batch", str(rows), "-o", str(results), *STEADY)
    while charged(server) < 30:
        time.sleep(0.02)
    result = cli("batch", str(rows), "-o", str(results), *FAST)
    assert result.code == 2
    assert f"cannot use {results} for results: another run" in result.err
    finish_all(server)
    assert finish(process).code == 0
    assert charged(server) == 30


def test_a_second_start_that_was_still_counting_rows(
    cli: Cli,
    serving: Serve,
    rows: Path,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it knows of the results would be from before the other run, and all be bought again."""
    server = serving()
    first: list[Result] = []

    nested = iter([True])

    def count_slowly(source: Path, row_format: Format) -> int | None:
        if next(nested, False):
            first.append(cli("batch", str(rows), "-o", str(results), *FAST))
        return count_rows(source, row_format)

    monkeypatch.setattr("ezcaptcha_async.cli.batching.rows.count_rows", count_slowly)
    assert cli("batch", str(rows), "-o", str(results), *FAST).code == 0
    assert [result.code for result in first] == [0]
    assert charged(server) == len(read(results)) == 30


# --------------------------------------------------------------------------- what is shown


def test_a_terminal_shows_how_far_it_is(
    cli: Cli, serving: Serve, rows: Path, results: Path, terminal: None
) -> None:
    """A user would look at nothing for an hour."""
    serving(failure_rate=0.3)
    result = cli("batch", str(rows), "-o", str(results), *FAST)
    for words in ("30 of 30", "in flight", "a minute", "TaskFailedError", "━"):
        assert words in _plain(result.err)
    assert re.search(r"solve time  median \d+ s, p95 \d+ s  .*█", _plain(result.err))
    panel = _plain(result.err).partition("in this run")[0].rpartition("\n")[0]
    assert max(map(len, panel.splitlines())) <= 80


@pytest.mark.parametrize("on_terminal", [False, True])
def test_a_service_that_is_silent_is_named(  # noqa: PLR0917
    cli: Cli,
    serving: Serve,
    rows: Path,
    results: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_terminal: bool,  # noqa: FBT001
) -> None:
    """A slip in the URL would look like rows that take their time."""
    server = serving()
    server.service.inject(Fault.HANG, path="/createTask")
    if on_terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("ezcaptcha_async.cli.batching.counts._PATIENCE", 0.0)
    monkeypatch.setattr("ezcaptcha_async.cli.batching.running._SECONDS_BETWEEN_LINES", 0.0)
    result = cli.interrupted(
        lambda: server.service.summary().creates, "batch", str(rows), "-o", str(results), *FAST
    )
    assert result.code == 130
    assert f"no answer yet from {server.url}; -v shows why" in _plain(result.err)


def test_a_plain_terminal_and_an_endless_list(
    cli: Cli, serving: Serve, rows: Path, monkeypatch: pytest.MonkeyPatch, terminal: None
) -> None:
    """Where there is no end there is no bar, and results may go where the display is not."""
    serving()
    reader, writer = os.pipe()
    os.write(writer, with_rows(rows, 2).read_bytes())
    os.close(writer)
    with os.fdopen(reader) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        monkeypatch.setenv("PYTHONIOENCODING", "ascii")
        result = cli("batch", "-", *FAST)
    assert len(result.out.splitlines()) == 2
    assert "of 2" not in result.err
    assert "the results are in" not in result.err


def test_lines_where_nothing_can_move(
    cli: Cli, serving: Serve, rows: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log file would hold one figure an hour, or ten a second."""
    monkeypatch.setattr("ezcaptcha_async.cli.batching.running._SECONDS_BETWEEN_LINES", 0.2)
    serving(solve_times=Uniform(10, 40))
    result = cli("batch", str(rows), "-o", str(results), *FAST)
    lines = result.err.splitlines()
    assert len(lines) >= 3
    assert re.match(r"\d+ s: \d+ of 30 done, \d+ solved, 0 failed, \d+ in flight, ", lines[0])


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)

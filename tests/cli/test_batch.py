"""``ezcaptcha batch``: each row once, however often it is run and however it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import anyio
import pytest

from ezcaptcha_async import Journal, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.cli.batching.results_file import ResultsFile
from ezcaptcha_async.cli.batching.rows import count_rows
from ezcaptcha_async.cli.options import Format
from ezcaptcha_async.testing import Fault, Uniform
from tests.cli.batches import PAGE, Batch, charged, finish_all
from tests.cli.commands import (
    BRIEF,
    FAST,
    LONG,
    PATIENCE,
    SCALE,
    SECRET,
    STEADY,
    Cli,
    Result,
    finish,
    plain,
    start,
)
from tests.cli.conftest import Serve

OWN = {"Customer No.": "17", "note": "call, back", "date": "2026-11-28"}
"""Columns of the user's own."""


def test_every_row_is_solved_and_says_which_it_is(batch: Batch, serving: Serve) -> None:
    """A token without its row is of no use to anybody."""
    server = serving()
    result = batch()
    assert (result.code, result.out) == (0, "")
    assert result.err.splitlines() == [
        "30 solved and 0 failed in this run; 180 points (0.0180 USD)",
        f"the results are in {batch.results}; see 'ezcaptcha report {batch.results}'",
    ]
    report = batch.cli("report", str(batch.results)).out
    assert "The service ran at 50 times real speed; the seconds are those of this" in report
    found = {item["row"]: item for item in batch.found()}
    assert sorted(found) == list(range(1, 31))
    tokens = {task.task_id for task in server.service.record.tasks}
    for number, item in found.items():
        assert item["status"] == "solved"
        assert item["id"] == f"job https://example.com/{number - 1}"
        assert item["solution"]["token"].rpartition(".")[2] in tokens
        assert item["points"] == item["receipt"]["points"] == 6
        receipt = item["receipt"]
        heard = receipt["processing_at"] or receipt["created_at"]
        assert receipt["created_at"] < item["expires_at"] <= heard + 120 / SCALE
    assert charged(server) == 30


def test_what_is_finished_is_not_bought_again(batch: Batch, serving: Serve) -> None:
    """An arrow key and Enter would cost the whole batch once more."""
    server = serving()
    assert batch().code == 0
    sent = server.service.summary().requests
    lines = batch.journal.read_text().splitlines()
    result = batch()
    assert result.code == 0
    assert "30 were finished before; 0 points" in result.err
    assert server.service.summary().requests == sent
    # Killed between a result and the journal.
    kept = [line for line in lines if json.loads(line)["event"] != "done"]
    batch.journal.write_text("\n".join(kept) + "\n")
    assert batch().code == 0
    assert len(batch.found()) == charged(server) == 30, "no second line of a row"
    batch.write(33)
    assert batch("--json").document == {
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
    # Every row behind one at the top would be given the solution of another page.
    new = json.dumps({**PAGE, "website_url": "https://new.example"})
    batch.rows.write_text(f"{new}\n{batch.rows.read_text()}")
    result = batch()
    assert result.code == 2
    assert "row 1 is not the one that was paid for" in result.err
    assert charged(server) == 33


@pytest.mark.parametrize("custom", [(), ("--custom",)])
def test_another_type_for_the_same_rows(
    batch: Batch, serving: Serve, custom: tuple[str, ...]
) -> None:
    """Whoever gave the wrong type would be told that all is done, and have tokens of that."""
    server = serving()
    names = ("websiteURL", "websiteKey") if custom else ("website_url", "website_key")
    row = dict(zip(names, ("https://example.com/", "k"), strict=True))
    batch.rows.write_text(f"{json.dumps(row)}\n" * 2)
    one, other = ("--type", PAGE["type"], *custom), ("--type", "CloudFlareTurnstileTask", *custom)
    assert batch(*one).code == 0
    for _ in range(2):
        result = batch(*other)
        assert result.code == 2
        assert "row 1 is not the one that was paid for" in result.err
    assert batch("--dry-run", *other).code == 1
    assert charged(server) == 2
    # The same type is the same, however it is said.
    named = PAGE["type"] if custom else PAGE["type"].lower()
    assert "2 were finished before" in batch("--type", named, *custom).err
    batch.rows.write_text(f"{json.dumps(row | {'type': PAGE['type']})}\n" * 2)
    assert "2 were finished before" in batch(*custom).err
    assert charged(server) == 2


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


def test_nothing_on_stdin(batch: Batch, serving: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer or a service unit, which has no stdin, would end in a traceback."""
    serving()
    batch.rows = Path("-")
    with Path(os.devnull).open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        result = batch()
    assert result.code == 0
    assert "0 solved and 0 failed" in result.err
    assert "there were no rows" in result.err


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_ended_in_the_middle_and_gone_on_with(
    batch: Batch, serving: Serve, signum: signal.Signals
) -> None:
    """A laptop that is closed, or a node that is drained, would cost the tasks in flight."""
    server = serving(**LONG)

    def is_time() -> bool:
        for task in server.service.record.tasks[: 4 * (charged(server) == 30)]:
            server.service.finish(task.task_id)
        return batch.results.exists() and batch.results.read_bytes().count(b"\n") >= 4

    command = (*batch.command, *STEADY)
    if signum == signal.SIGKILL:
        process = start(*command)
        while not is_time():
            time.sleep(0.02)
        process.kill()
        finish(process)
    else:
        ended = batch.cli.interrupted(is_time, *command)
        assert ended.code == 130
        assert "rows done" in ended.err
        assert "can be fetched for five minutes" in ended.err
        assert "the same command goes on from here" in ended.err
    finish_all(server)
    assert batch(*STEADY).code == 0
    assert sorted(item["row"] for item in batch.found()) == list(range(1, 31))
    assert charged(server) == 30, "nothing was bought twice"


def test_a_journal_that_others_use_too(batch: Batch, serving: Serve) -> None:
    """What a program of the user's has paid for would be fetched and thrown away."""
    server = serving(solve_times=60.0)

    async def pay() -> None:
        async with SessionPool(SECRET, service=server.profile, journal=batch.journal) as pool:
            task = ReCaptchaV2TaskProxyless(website_url="https://a.example", website_key="k")
            await pool.submit(task)

    anyio.run(pay)
    batch.write(1)
    assert batch("--journal", str(batch.journal)).code == 0
    assert sorted(str(item["row"]) for item in batch.found()) == ["1", "None"]
    assert charged(server) == 2


def test_what_may_have_been_paid_is_not_bought_again(batch: Batch, serving: Serve) -> None:
    """A createTask under way when the process was killed would be paid for twice."""
    server = serving()
    batch.write(1, **OWN)
    server.service.inject(Fault.HANG, path="/createTask", times=1)
    process = start(*batch.command, *FAST)
    while charged(server) < 1:
        time.sleep(0.02)
    process.kill()
    finish(process)
    left = batch.journal.read_bytes(), batch.results.read_bytes()

    def as_it_was_left() -> None:
        batch.journal.write_bytes(left[0])
        batch.results.write_bytes(left[1])

    result = batch()
    assert result.code == 1
    assert "SubmissionUnknownError" in result.err
    (item,) = batch.found()
    assert (item["row"], item["final"], item["points"]) == (1, True, 6)
    assert item["error"]["may_be_charged"] is True
    assert item["columns"] == OWN, "which of the user's own rows it is"
    assert batch().code == 1
    assert charged(server) == 1
    assert batch("--retry-failed").code == 0
    assert charged(server) == 2

    # It counts against the budget also where errors are tried again.
    as_it_was_left()
    again = ("--retry-failed", "--budget")
    result = batch(*again, "6")
    assert result.code == 4
    assert "0 solved and 0 failed in this run; 6 points" in result.err
    assert batch(*again, "6").code == 4
    assert [(item["row"], item["points"]) for item in batch.found()] == [(1, 6)]
    assert batch(*again, "12").code == 0
    assert [item["status"] for item in batch.found()] == ["failed", "solved"]
    assert batch(*again, "12").code == 0, "nothing is left to buy"
    assert len(batch.found()) == 2
    assert charged(server) == 3

    # It does not come out under the name of another customer.
    as_it_was_left()
    batch.rows.write_text(batch.rows.read_text().replace("example.com/0", "example.com/other"))
    result = batch()
    assert result.code == 2
    assert "is not the one that was paid for" in result.err
    assert [item.get("columns") for item in batch.found()] == [None]


def test_a_lost_answer_in_this_run(batch: Batch, serving: Serve) -> None:
    """What it may have cost would not count against the budget."""
    server = serving()
    server.service.inject(Fault.RESET_AFTER, path="/createTask", times=1)
    batch.write(3)
    result = batch()
    assert result.code == 1
    assert "2 solved and 1 failed in this run; 18 points" in result.err
    assert charged(server) == 3


def test_rows_that_end_in_an_error(batch: Batch, serving: Serve) -> None:
    """One bad row would stop the batch, or be paid for again and again."""
    server = serving(failure_rate=1.0)
    batch.rows.write_text('{"type": "nonsense"}\n' + batch.rows.read_text())
    result = batch()
    assert result.code == 1
    assert "30 rows: TaskFailedError" in result.err
    assert "1 row: ConfigurationError" in result.err
    assert "\nrow 1: line 1: type nonsense is not known" in result.err
    named = r"\nrow \d+ \(job https://example.com/\d+\): ERROR_CAPTCHA_UNSOLVABLE"
    assert re.search(named, result.err)
    assert result.err.count("\nrow ") == 5, "the first few"
    assert result.err.splitlines()[-1].endswith("with --retry-failed all")
    found = {item["row"]: item for item in batch.found()}
    assert (found[1]["final"], found[1]["points"]) == (False, None)
    assert (found[2]["final"], found[2]["points"]) == (True, 6)
    assert batch().code == 1
    assert charged(server) == 30


def test_a_budget_for_all_runs_together(batch: Batch, serving: Serve) -> None:
    """Starting it again would spend the same sum once more."""
    server = serving()
    result = batch("--budget", "100")
    assert result.code == 4
    assert "16 solved" in result.err
    assert "stopped:" in result.err
    assert "of the budget of 100" in result.err
    result = batch("--budget", "96")
    assert (result.code, charged(server)) == (4, 16)
    assert "the budget of 96 points is used up" in result.err
    assert batch("--budget", "180").code == 0
    assert charged(server) == 30
    for spent in ("180", "100"):
        result = batch("--budget", spent)
        assert result.code == 0, "a timer that runs it again would raise an alarm for ever"
        assert "stopped" not in result.err
    assert charged(server) == 30


def test_an_account_that_runs_dry(batch: Batch, serving: Serve) -> None:
    """A million rows would each get an error of their own."""
    server = serving(balance=60.0)
    batch.write(60)
    result = batch()
    assert result.code == 4
    assert "10 solved and 0 failed" in result.err
    assert "stopped: ERROR_ZERO_BALANCE" in result.err
    assert len(batch.found()) == 10, "what can be tried again is no result"
    server.service.set_balance(SECRET, 1e6)
    assert batch().code == 0
    assert charged(server) == 60


def test_rows_that_took_too_long_are_fetched_by_the_next_run(
    batch: Batch, serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are paid: giving up on them is no reason to pay again, with this key or another."""
    server = serving(**LONG)
    batch.write(2, **OWN)
    assert batch(*STEADY, *BRIEF).code == 1
    monkeypatch.setenv("EZCAPTCHA_CLIENT_KEY", f"{SECRET}-other")
    result = batch(*STEADY)
    assert result.code == 2
    assert "stopped: no account of this pool can fetch" in result.err
    monkeypatch.setenv("EZCAPTCHA_CLIENT_KEY", SECRET)
    finish_all(server)
    late = batch.found()
    assert [(item["final"], item["points"]) for item in late] == [(False, 6), (False, 6)]
    assert "0 points" in batch(*STEADY, "--budget", "12").err
    found = batch.found()[2:]
    assert sorted(item["id"] for item in found) == [
        f"job https://example.com/{number}" for number in range(2)
    ]
    assert [(item["status"], item["resumed"]) for item in found] == [("solved", True)] * 2
    assert [item["columns"] for item in (*late, *found)] == [OWN] * 4, "no journal knows them"
    assert sum(item["points"] for item in batch.found()) == 12, "no point is counted twice"
    assert charged(server) == 2


def test_a_second_try_that_is_fetched_by_the_next_run(batch: Batch, serving: Serve) -> None:
    """What was paid for the second time would be fetched and thrown away."""
    serving(failure_rate=1.0)
    batch.write(2)
    assert batch().code == 1
    server = serving(**LONG)
    assert batch(*STEADY, "--retry-failed", *BRIEF).code == 1
    finish_all(server)
    result = batch(*STEADY)
    assert result.code == 0
    assert "2 solved and 0 failed in this run; 0 points" in result.err
    assert [item["status"] for item in batch.found()[4:]] == ["solved", "solved"]
    assert sum(item["points"] for item in batch.found()) == 24
    assert batch(*STEADY, "--retry-failed").code == 0
    assert charged(server) == 2


def test_several_keys(batch: Batch, serving: Serve, tmp_path: Path) -> None:
    """The work could not be shared among accounts."""
    server = serving()
    keys = tmp_path / "keys"
    keys.write_text(f"{SECRET}-1\n{SECRET}-2\n")
    assert batch("--key-file", str(keys)).code == 0
    assert server.service.summary().keys == 2


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit for the size of a file")
def test_a_full_disk_ends_it_with_nothing_lost(batch: Batch, serving: Serve) -> None:
    """Tokens that are paid for would be thrown away one after the other."""
    import resource

    server = serving(time_scale=10.0)
    # Longer than the journal becomes, to which the limit applies as well.
    earlier = {"row": 31, "status": "failed", "final": False, "columns": {"note": "x" * 1_000_000}}
    batch.results.write_text(f"{json.dumps(earlier)}\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (batch.results.stat().st_size + 2_000, limits[1]))
    try:
        result = batch(*STEADY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.code == 1, "2 says that nothing was sent"
    assert f"cannot write {batch.results}: No space left on device" in result.err
    assert 1 < len(batch.found()) < 31
    assert batch(*STEADY).code == 0
    assert sorted(item["row"] for item in batch.found()) == list(range(1, 32))
    assert charged(server) == 30


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit for the size of a file")
def test_a_disk_that_is_full_for_the_journal_too(batch: Batch, serving: Serve) -> None:
    """What is paid is said to be in the journal, and nobody could fetch what is not."""
    import resource

    server = serving(**LONG)
    earlier = {"row": 31, "status": "failed", "final": False, "columns": {"note": "x" * 8_000}}
    batch.results.write_text(f"{json.dumps(earlier)}\n")
    most = batch.results.stat().st_size + 100
    ended = threading.Event()

    def finish_when_full() -> None:
        while not ended.wait(0.01):
            if batch.journal.exists() and batch.journal.stat().st_size > most - 500:
                finish_all(server)

    thread = threading.Thread(target=finish_when_full)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    thread.start()
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        result = batch(*STEADY)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        ended.set()
        thread.join()
    assert result.code == 1
    assert "but the journal did not take " in result.err
    assert "give what stands below to 'ezcaptcha resume -'" in result.err
    line, *tickets = map(json.loads, re.findall(r"^\{.*$", result.err, re.MULTILINE))
    ids = [ticket["task_id"] for ticket in (line["receipt"], *tickets)]
    ids += (ticket["task_id"] for ticket in Journal(batch.journal).unfinished())
    assert sorted(ids) == sorted(task.task_id for task in server.service.record.tasks)
    assert tickets


@pytest.mark.skipif(sys.platform == "win32", reason="there a file stays while it is open")
def test_results_that_are_replaced_in_mid_run(batch: Batch, serving: Serve) -> None:
    """What ``sed -i`` or an editor lays there would get no later token, with exit code 0."""
    server = serving(**LONG)
    held = batch.results.with_name("held")
    ended = threading.Event()

    def replace() -> None:
        while not (batch.results.exists() and batch.results.read_bytes().count(b"\n") == 4):
            for task in server.service.record.tasks[: 4 * (charged(server) == 30)]:
                server.service.finish(task.task_id)
            if ended.wait(0.01):
                return
        held.write_bytes(batch.results.read_bytes())
        held.replace(batch.results)
        finish_all(server)

    thread = threading.Thread(target=replace)
    thread.start()
    result = batch(*STEADY)
    ended.set()
    thread.join()
    assert result.code == 1
    assert f"cannot write {batch.results}: somebody has removed, replaced or cut it" in result.err
    assert "stands above instead, what else is paid is in the journal; " in result.err
    found = batch.found()
    assert len(found) == 4
    line = json.loads(result.err.splitlines()[-2])
    assert line["row"] not in {item["row"] for item in found}
    assert line["solution"]["token"]
    assert batch(*STEADY).code == 0
    assert sorted(item["row"] for item in batch.found()) == list(range(1, 31))
    assert charged(server) == 30


def test_a_million_rows_are_not_read_at_once(batch: Batch, serving: Serve) -> None:
    """A long list would fill the memory before the first task is sent."""
    server = serving()
    lines = batch.rows.read_bytes()
    batch.rows = batch.rows.with_name("pipe")
    os.mkfifo(batch.rows)

    def write() -> None:
        with suppress(BrokenPipeError), batch.rows.open("wb", buffering=0) as pipe:
            while True:
                pipe.write(lines)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    result = batch("--budget", "240")
    writer.join(PATIENCE)
    assert result.code == 4
    assert charged(server) == 40


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("no-such-file",), "there is no file 'no-such-file'"),
        (("{folder}", "-o", "{rows}.out"), "cannot read {folder}: Is a directory"),
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
        (("{rows}", "-o", "{rows}.out", "--budget", "-1"), "--budget"),
        (("{rows}", "-o", "{rows}.out", "--timeout", "0"), "--timeout"),
    ],
)
def test_wrong_arguments(
    batch: Batch, nowhere: None, arguments: tuple[str, ...], problem: str
) -> None:
    """A slip would be paid for."""
    rows = batch.rows
    Path(f"{rows}.link").symlink_to(rows)
    Path(f"{rows}.hard").hardlink_to(rows)
    before = rows.read_bytes()
    names = {"rows": rows, "folder": rows.parent}
    result = batch.cli("batch", *(item.format(**names) for item in arguments))
    assert result.code == 2
    assert problem.format(**names) in result.line
    assert rows.read_bytes() == before


def test_two_at_a_time_on_the_same_results(batch: Batch, serving: Serve) -> None:
    """A second terminal would buy every row once more."""
    server = serving()
    first = ResultsFile(batch.results)
    result = batch()
    first.close()
    assert result.code == 2
    assert f"cannot use {batch.results} for results: another run" in result.err
    assert server.service.summary().requests == 0


def test_a_second_start_that_was_still_counting_rows(
    batch: Batch, serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it knows of the results would be from before the other run, and all be bought again."""
    server = serving()
    first: list[Result] = []
    nested = iter([True])

    def count_slowly(source: Path, row_format: Format) -> int | None:
        if next(nested, False):
            first.append(batch())
        return count_rows(source, row_format)

    monkeypatch.setattr("ezcaptcha_async.cli.batching.rows.count_rows", count_slowly)
    assert batch().code == 0
    assert [result.code for result in first] == [0]
    assert charged(server) == len(batch.found()) == 30


# --------------------------------------------------------------------------- what is shown


def test_a_terminal_shows_how_far_it_is(batch: Batch, serving: Serve, terminal: None) -> None:
    """A user would look at nothing for an hour."""
    serving(failure_rate=0.3)
    shown = plain(batch().err)
    for words in ("30 of 30", "in flight", "a minute", "TaskFailedError", "━"):
        assert words in shown
    assert re.search(r"solve time  median \d+ s, p95 \d+ s  .*█", shown)
    panel = shown.partition("in this run")[0].rpartition("\n")[0]
    assert max(map(len, panel.splitlines())) <= 80


@pytest.mark.parametrize("variables", [{}, {"FORCE_COLOR": "1"}], ids=["file", "terminal"])
def test_a_service_that_is_silent_is_named(
    batch: Batch, serving: Serve, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    """A slip in the URL would look like rows that take their time."""
    server = serving()
    server.service.inject(Fault.HANG, path="/createTask")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("ezcaptcha_async.cli.batching.counts._PATIENCE", 0.0)
    monkeypatch.setattr("ezcaptcha_async.cli.batching.running._SECONDS_BETWEEN_LINES", 0.0)
    result = batch.cli.interrupted(lambda: charged(server), *batch.command, *FAST)
    assert result.code == 130
    assert f"no answer yet from {server.url}; -v shows why" in plain(result.err)


def test_a_plain_terminal_and_an_endless_list(
    batch: Batch, serving: Serve, monkeypatch: pytest.MonkeyPatch, terminal: None
) -> None:
    """Where there is no end there is no bar, and results may go where the display is not."""
    serving()
    batch.write(2)
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    with batch.rows.open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        result = batch.cli("batch", "-", *FAST)
    assert len(result.out.splitlines()) == 2
    assert "of 2" not in result.err
    assert "the results are in" not in result.err


def test_lines_where_nothing_can_move(
    batch: Batch, serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log file would hold one figure an hour, or ten a second."""
    monkeypatch.setattr("ezcaptcha_async.cli.batching.running._SECONDS_BETWEEN_LINES", 0.2)
    serving(solve_times=Uniform(10, 40))
    lines = batch().err.splitlines()
    assert len(lines) >= 3
    assert re.match(r"\d+ s: \d+ of 30 done, \d+ solved, 0 failed, \d+ in flight, ", lines[0])

"""Standard streams that are closed, full or left by their reader: they cost no token."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import anyio
import pytest

from ezcaptcha_async import Journal, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.cli.app import app
from ezcaptcha_async.testing import SimulatedServer
from tests.cli.batches import Batch, charged, finish_all
from tests.cli.commands import FAST, LONG, SECRET, STEADY, V2, Cli, run, start
from tests.cli.conftest import Serve
from tests.cli.test_slips import LONGER, SLOW

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/", website_key="a-site-key")
Broken = Callable[[str], TextIO]


@pytest.fixture
def broken() -> Iterator[Broken]:
    """Open streams to which nothing can be written."""
    with ExitStack() as stack:

        def stream(how: str) -> TextIO:
            if how == "gone":
                reader, number = os.pipe()
                os.close(reader)
            else:
                path, mode = (FULL, os.O_WRONLY) if how == "full" else (os.devnull, os.O_RDONLY)
                number = os.open(path, mode)
            file = os.fdopen(number, "w", encoding="utf-8")
            stack.callback(close, file)
            return file

        def close(file: TextIO) -> None:
            with Path(os.devnull).open("w") as null:
                os.dup2(null.fileno(), file.fileno())  # for what it still holds
            file.close()

        yield stream


def paid_for(server: SimulatedServer) -> set[str]:
    """Return the ids of all tasks that were charged."""
    return {task.task_id for task in server.service.record.tasks}


def ids_in(text: str) -> set[str]:
    """Return the ids of the tasks of which a text holds the ticket or the token."""
    return {json.loads(item)["task_id"] for item in text.splitlines() if '"version"' in item} | {
        *re.findall(r"simulated\.recaptcha\.([\w-]+)", text)
    }


NEEDS_STDOUT = (
    "balance",
    "batch rows.jsonl",
    "batch rows.jsonl -o found --json",
    "batch rows.jsonl -o found --dry-run",
    "batch rows.jsonl -o /dev/stdout",
    "completion bash",
    "demo",
    "doctor",
    "example site",
    "fleet redis://127.0.0.1:1/0 --name crawl",
    "report rows.jsonl",
    "resume journal",
    "simulate",
    " ".join(("solve", *V2)),
    "types",
)


@pytest.mark.parametrize("how", ["closed", pytest.param("full", marks=needs_full)])
def test_nothing_is_done_for_a_stdout_that_takes_nothing(
    batch: Batch, serving: Serve, broken: Broken, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """``solve >&-`` would pay, print nowhere and say that all is well."""
    server = serving()
    monkeypatch.chdir(batch.rows.parent)
    reason = "it is closed" if how == "closed" else "No space left on device"
    for command in NEEDS_STDOUT:
        monkeypatch.setattr(sys, "stdout", broken(how))
        result = batch.cli(*command.split())
        assert result.code == 2, command
        assert f"cannot write to stdout: {reason}; nothing was done" in result.err, command
        assert server.service.summary().requests == 0, command
        names = {path.name for path in batch.rows.parent.iterdir()}
        assert names == {batch.rows.name}, f"nothing is left of {command}"


def test_all_commands_are_looked_at() -> None:
    """A new one would pay for what nobody sees."""
    assert {name.partition(" ")[0] for name in NEEDS_STDOUT} == {
        name for name in app if not name.startswith("-")
    }


@pytest.mark.parametrize("how", ["closed", "gone", pytest.param("full", marks=needs_full)])
def test_little_on_such_a_stdout(
    cli: Cli, broken: Broken, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """What is short is written at the end only, and Python would tell so by a traceback."""
    for command in ("--version", "--help"):
        monkeypatch.setattr(sys, "stdout", broken(how))
        result = cli(command)
        assert result.code == 1
        assert result.err.count("\n") == (how != "gone"), "| head -1 is nobody's mistake"


@needs_full
def test_little_where_neither_is_writable(
    cli: Cli, broken: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk Python would end it with a code that says nothing."""
    monkeypatch.setattr(sys, "stdout", broken("full"))
    monkeypatch.setattr(sys, "stderr", broken("full"))
    assert cli("--version").code == 1


def test_results_in_a_file_need_no_stdout(
    batch: Batch, serving: Serve, broken: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Services are started without one, and write what they have to a file."""
    serving()
    batch.write(3)
    monkeypatch.setattr(sys, "stdout", broken("closed"))
    assert batch().code == 0
    assert len(batch.found()) == 3


# ------------------------------------------------------------- a stdout that breaks afterwards


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_token_that_nobody_reads_stands_on_stderr(
    cli: Cli,
    serving: Serve,
    broken: Broken,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
) -> None:
    """``| true`` would throw away what was paid for."""
    server = serving()
    monkeypatch.setattr(sys, "stdout", broken("gone"))
    result = cli("solve", *V2, *FAST, *options)
    assert result.code == 1
    assert ids_in(result.err) == paid_for(server)
    assert "cannot write to stdout: Broken pipe; it stands above instead" in result.err


def test_tickets_of_which_nobody_reads_the_tokens(
    batch: Batch, serving: Serve, broken: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would end in a traceback, and the other tickets be gone."""
    server = serving(**LONGER)
    rows, kept = str(batch.rows), batch.rows.with_name("kept")
    result = batch.cli.interrupted(lambda: charged(server) == 30, "batch", rows, *SLOW)
    kept.write_text(result.err)
    finish_all(server)
    command = ("resume", str(kept), *SLOW)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", broken("gone"))
        result = batch.cli(*command)
    assert result.code == 1
    assert len(ids_in(result.err)) == 30
    assert ids_in(batch.cli(*command).out) == paid_for(server)


def test_a_journal_of_which_nobody_reads_the_tokens(
    cli: Cli, serving: Serve, tmp_path: Path, broken: Broken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not shown would count as delivered, and never be shown again."""
    server = serving(**LONGER)
    journal = tmp_path / "journal"

    async def pay() -> None:
        async with SessionPool(SECRET, service=server.profile, journal=journal) as pool:
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(pool.submit, TASK)

    anyio.run(pay)
    finish_all(server)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", broken("gone"))
        result = cli("resume", str(journal), *SLOW)
    assert result.code == 1
    assert "still in the journal: run the same again" in result.err
    again = cli("resume", str(journal), *SLOW)
    assert again.code == 0
    assert ids_in(result.err) | ids_in(again.out) == paid_for(server)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_batch_to_stdout_that_is_interrupted(batch: Batch, serving: Serve, signum: int) -> None:
    """Without a journal all that is in flight would be lost: hundreds of paid tasks."""
    server = serving(**LONG)
    result = batch.cli.interrupted(
        lambda: charged(server) == 30, "batch", str(batch.rows), *STEADY, signum=signum
    )
    assert result.code == 128 + signum
    assert "30 tasks are paid: give what stands below" in result.err
    assert ids_in(result.out + result.err) == paid_for(server)


def test_a_batch_of_which_nobody_reads_on(batch: Batch, serving: Serve) -> None:
    """``| head -1`` would buy all the rest, or lose what is in flight."""
    server = serving(**LONG)
    with start("batch", str(batch.rows), "--max-in-flight", "4", *STEADY) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while charged(server) < 4:
            time.sleep(0.02)
        server.service.finish(server.service.record.tasks[0].task_id)
        first = process.stdout.readline()
        process.stdout.close()
        server.service.finish(server.service.record.tasks[1].task_id)
        err = process.stderr.read()
    assert process.returncode == 1
    assert charged(server) < 30
    assert ids_in(first + err) == paid_for(server)
    assert "Broken pipe; its last line stands above instead; " in err


@needs_full
def test_results_on_a_device_that_is_full(batch: Batch, serving: Serve) -> None:
    """All in flight would be bought for what takes none of it, or a journal laid beside it."""
    server = serving()
    batch.results = FULL
    result = batch()
    assert result.code == 2
    assert "cannot use /dev/full for results: No space left on device" in result.line
    assert charged(server) == 0
    assert not [path for path in FULL.parent.iterdir() if path.name.startswith("full.")]


@pytest.mark.parametrize("options", [(), ("--journal",)])
def test_results_in_a_pipe_of_which_nobody_reads_on(
    batch: Batch, serving: Serve, options: tuple[str, ...]
) -> None:
    """What is paid for would be lost."""
    server = serving(**LONG)
    batch.results = batch.rows.with_name("pipe")
    os.mkfifo(batch.results)
    reader = os.open(batch.results, os.O_RDONLY | os.O_NONBLOCK)
    command = (*STEADY, *(item for option in options for item in (option, str(batch.journal))))
    with start(*batch.command, *command) as process:
        while charged(server) < 30:
            time.sleep(0.02)
        server.service.finish(server.service.record.tasks[0].task_id)
        os.set_blocking(reader, True)
        first = os.read(reader, 65_536).decode()
        os.close(reader)
        finish_all(server)
        assert process.stderr is not None
        err = process.stderr.read()
    assert process.returncode == 1
    assert f"cannot write {batch.results}: Broken pipe; " in err
    kept = {item["task_id"] for item in Journal(batch.journal).unfinished()} if options else set()
    assert ids_in(first + err) | kept == paid_for(server)


def test_results_behind_the_rows_that_are_read(batch: Batch, nowhere: None) -> None:
    """``>> rows.jsonl`` would read its own results as rows, for ever."""
    before = batch.rows.read_bytes()
    with batch.rows.open("a") as behind:
        result = run("batch", str(batch.rows), *FAST, stdout=behind)
    assert result.code == 2
    assert "the rows and the results cannot both be in" in result.err
    assert batch.rows.read_bytes() == before


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("kind", ["rows", "results", "journal"])
def test_a_stream_into_a_file_of_the_batch(
    batch: Batch, serving: Serve, stream: str, kind: str
) -> None:
    """``--json > results`` and ``2> results`` would write over tokens that are paid for."""
    server = serving()
    batch.write(2)
    assert batch().code == 0
    batch.write(3)
    path: Path = getattr(batch, kind)
    before = path.read_bytes()
    with path.open("r+") as over:
        result = run(*batch.command, *FAST, "-v", "--json", **{stream: over})
    assert result.code == 2
    assert f"the {kind} and {stream} cannot both be in {path}" in (
        path.read_text() if stream == "stderr" else result.err
    )
    assert charged(server) == 2
    assert stream == "stderr" or path.read_bytes() == before


def test_results_and_remarks_in_one_log(batch: Batch, serving: Serve) -> None:
    """``nohup`` and ``> log 2>&1`` would be refused, though nothing is written over."""
    server = serving()
    batch.write(2)
    with (log := batch.rows.with_name("log")).open("wb") as both:
        assert run("batch", str(batch.rows), *FAST, stdout=both, stderr=both).code == 0
    assert ids_in(log.read_text()) == paid_for(server)


# ----------------------------------------------------------------- a stderr that takes nothing


@pytest.mark.parametrize("how", ["closed", "gone", pytest.param("full", marks=needs_full)])
def test_a_remark_that_nobody_sees_costs_nothing(
    batch: Batch, serving: Serve, broken: Broken, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """A terminal that is closed, or ``2>&1 | head -1``, would end it after it has paid."""
    server = serving()
    batch.write(3)
    for number, force_colour in enumerate((False, True)):
        if force_colour:
            monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setattr(sys, "stderr", broken(how))
        before = paid_for(server)
        result = batch.cli("solve", "-v", *V2, *FAST)
        assert result.code == 0
        assert ids_in(result.out) == paid_for(server) - before
        monkeypatch.setattr(sys, "stderr", broken(how))
        batch.results = batch.rows.with_name(f"found-{number}")
        assert batch().code == 0
        assert len(batch.found()) == 3
        monkeypatch.setattr(sys, "stderr", broken(how))
        assert batch.cli("solve", "nonsense").code == 2


# ------------------------------------------------------------------------------- real processes


@pytest.mark.parametrize(
    ("command", "streams", "code"),
    [
        ("balance", "<&- 2>&-", 0),
        ("types", "<&- >&- 2>&-", 2),
        ("solve nonsense", "2>/dev/full", 2),
    ],
)
def test_processes_that_are_started_so(
    serving: Serve, command: str, streams: str, code: int
) -> None:
    """It would end in an assertion of libuv, in a traceback, or in code 120."""
    serving()
    shell = ["/bin/sh", "-c", f'"$0" -m ezcaptcha_async "$@" {streams}', sys.executable]
    result = run(*command.split(), program=shell)
    assert result.code == code
    assert ("1,000,000 points" in result.out) == (code == 0)


def test_a_reader_who_leaves_gets_no_complaint() -> None:
    """``ezcaptcha types | head -1`` would end with a traceback."""
    with start("types") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (1, "")

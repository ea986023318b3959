"""Slips of the hand: none of them costs a file, a token or a point."""

from __future__ import annotations

import io
import json
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from ezcaptcha_async import Journal, ReCaptchaV2TaskProxyless, SavedTicket, SessionPool
from ezcaptcha_async.testing import SimulatedServer
from tests.cli.batches import Batch, charged, finish_all, read
from tests.cli.commands import BRIEF, FAST, LONG, SECRET, STEADY, V2, Cli, json_lines
from tests.cli.conftest import Serve
from tests.unit.journal.test_journal import DAMAGED, NEWER, OTHERS, untouched

SLOW = ("--time-scale", "4")
LONGER: dict[str, Any] = {"time_scale": 4.0, "solve_times": 250.0}
"""Settings of a service whose tasks can be fetched for longer than a process takes to start."""


@pytest.fixture
def interrupted(batch: Batch, serving: Serve) -> tuple[Batch, SimulatedServer]:
    """Run a batch of twelve until all is paid and some is written down, and interrupt it."""
    server = serving(**LONGER)
    batch.write(12)

    def is_time() -> bool:
        for task in server.service.record.tasks[: 4 * (charged(server) == 12)]:
            server.service.finish(task.task_id)
        return batch.results.exists() and batch.results.read_bytes().count(b"\n") == 4

    assert batch.cli.interrupted(is_time, *batch.command, *SLOW).code == 130
    finish_all(server)
    return batch, server


def paid(server: SimulatedServer) -> SavedTicket:
    """Pay for a task that is solved by now, and return its ticket."""
    task = ReCaptchaV2TaskProxyless(website_url="https://example.com/", website_key="a-site-key")

    async def pay() -> SavedTicket:
        async with SessionPool(SECRET, service=server.profile) as pool:
            return (await pool.submit(task)).to_dict()

    ticket = anyio.run(pay)
    server.service.finish(ticket["task_id"])
    return ticket


WRONG_JOURNALS = {kind: OTHERS[kind] for kind in ("results", "text", "zeros")} | DAMAGED | NEWER


@pytest.mark.parametrize("kind", WRONG_JOURNALS)
def test_the_wrong_file_to_resume(cli: Cli, nowhere: None, tmp_path: Path, kind: str) -> None:
    """It would be emptied with exit code 0, and the next batch pay for all of it again."""
    path = tmp_path / "named-by-mistake"
    path.write_bytes(WRONG_JOURNALS[kind])
    path.chmod(0o644)
    before = untouched(path)
    result = cli("resume", str(path), *FAST)
    assert result.code == 2
    assert str(path) in result.line
    assert untouched(path) == before


def test_a_large_file_to_resume(cli: Cli, nowhere: None, tmp_path: Path) -> None:
    """Gigabytes would be read into memory in search of a ticket."""
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    result = cli("resume", str(path), *FAST)
    assert result.code == 2
    assert "holds no line of a journal" in result.line


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such device")
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["balance", "--key-file"], "--key-file: it is longer than 65,536 characters"),
        (["solve", *V2, "--fields"], "--fields: it is longer than 16,777,216 characters"),
        (["resume"], "it is not a regular file"),
    ],
)
def test_a_file_without_end(cli: Cli, nowhere: None, arguments: list[str], problem: str) -> None:
    """It would be read until the machine has no memory left, and end in a traceback."""
    result = cli(*arguments, "/dev/zero")
    assert result.code == 2
    assert problem in result.line


def test_stdin_without_end(cli: Cli, nowhere: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be read until the machine has no memory left, and end in a traceback."""

    class Endless(io.StringIO):
        def read(self, size: int | None = -1, /) -> str:
            assert size is not None
            assert size >= 0, "all of it"
            return "x" * size

    monkeypatch.setattr(sys, "stdin", Endless())
    for arguments in (["balance", "--key-file", "-"], ["resume", "-"]):
        result = cli(*arguments)
        assert result.code == 2
        assert "is it the right file?" in result.line


def test_the_files_of_a_batch_to_resume(interrupted: tuple[Batch, SimulatedServer]) -> None:
    """Shown without their rows, the tokens are of no use, and the batch buys all of them again."""
    batch, server = interrupted
    results, journal = str(batch.results), str(batch.journal)
    before = untouched(batch.results), untouched(batch.journal), server.service.summary().polls
    result = batch.cli("resume", results, *SLOW)
    assert result.code == 2
    assert result.line.endswith(f"did you mean {journal}?"), "the shell completes this name first"
    result = batch.cli("resume", journal, *SLOW)
    assert result.code == 2
    assert "is the journal of a batch, which has paid for" in result.line
    assert "run the same 'ezcaptcha batch' again" in result.line
    assert batch.cli("batch", str(batch.rows), "-o", "other", "--journal", results).code == 2
    assert not Path("other").exists()
    after = untouched(batch.results), untouched(batch.journal), server.service.summary().polls
    assert after == before
    assert batch(*SLOW).code == 0
    assert sorted(item["row"] for item in batch.found()) == list(range(1, 13))
    assert charged(server) == 12
    assert Journal(batch.journal).unfinished() == ()
    assert batch.cli("resume", journal, *SLOW).code == 0, "nothing of the batch is left in it"


def test_the_journal_of_another_batch(
    interrupted: tuple[Batch, SimulatedServer], tmp_path: Path
) -> None:
    """This batch would be given the tokens of the other one, which then buys them again."""
    batch, server = interrupted
    journal = batch.journal
    before = untouched(journal)
    others = tmp_path / "others.jsonl"
    others.write_text(batch.rows.read_text().replace("example.com", "example.net"))
    mine = tmp_path / "mine.jsonl"
    options = ("-o", str(mine), "--journal", str(journal), *SLOW)
    result = batch.cli("batch", str(others), *options)
    assert result.code == 2
    assert "holds what was paid for other rows, such as another row" in result.line
    assert untouched(journal)[0] == before[0]
    copy = tmp_path / "copy"
    copy.write_bytes(journal.read_bytes())
    # Its own rows, though into another file, are those that were paid for.
    mine.write_bytes(batch.results.read_bytes())
    assert batch.cli("batch", str(batch.rows), *options).code == 0
    assert sorted(item["row"] for item in read(mine)) == list(range(1, 13))
    assert charged(server) == 12
    # It may be given fewer of its rows: what is paid for is fetched all the same, and one that
    # was solved before is bought for the new file.
    batch.write(1)
    batch.results = tmp_path / "fewer"

    def is_bought() -> None:
        if charged(server) == 13:
            server.service.finish(server.service.record.tasks[-1].task_id)

    command = (*batch.command, "--journal", str(copy), *SLOW)
    assert batch.cli.interrupted(is_bought, *command).code == 0
    assert 1 in {item["row"] for item in batch.found()}


def test_another_journal_after_a_run_that_was_ended(
    interrupted: tuple[Batch, SimulatedServer], tmp_path: Path
) -> None:
    """``--journal``, or a fleet, would buy what the one beside the results has paid for."""
    batch, server = interrupted
    before = untouched(batch.results), untouched(batch.journal)
    mine, link = tmp_path / "mine", tmp_path / "link"
    fleet = ("--fleet", "redis://127.0.0.1:1/0", "--fleet-name", "crawl")
    for books in (("--journal", str(mine)), fleet):
        for options in ((), ("--dry-run",)):
            result = batch.cli(*batch.command, *SLOW, *books, *options)
            assert result.code == 2
            assert f"{batch.journal} holds what was paid for 8 rows of these" in result.line
            assert f"run the same once without {books[-2]}, it" in result.line
    assert (untouched(batch.results), untouched(batch.journal)) == before
    assert not mine.exists()
    link.symlink_to(batch.journal)
    assert batch("--journal", str(link), *SLOW).code == 0, "it is the same"
    assert batch("--journal", str(mine), *SLOW).code == 0, "nothing is left in the other"
    assert charged(server) == 12


def test_an_empty_file_is_a_new_journal(batch: Batch, serving: Serve, tmp_path: Path) -> None:
    """What ``touch`` or ``mktemp`` has made would have to be removed first."""
    server = serving()
    journal = tmp_path / "journal"
    journal.touch()
    batch.write(2)
    assert batch("--journal", str(journal)).code == 0
    assert charged(server) == 2
    assert batch.cli("resume", str(journal), *FAST).code == 0


@pytest.mark.parametrize("content", [b"notes\n", b"notes", b"[1]\n", b"a,b\n"])
def test_the_wrong_file_for_results(batch: Batch, nowhere: None, content: bytes) -> None:
    """A lock would be left beside a file that the batch has nothing to do with."""
    batch.results.write_bytes(content)
    batch.results.chmod(0o644)
    before = untouched(batch.results)
    assert batch().code == 2
    assert untouched(batch.results) == before


def test_a_page_beside_results_that_are_not_there(cli: Cli, tmp_path: Path) -> None:
    """The older page would be blamed for a slip in the name of the results."""
    page = tmp_path / "page.html"
    page.write_text("")
    result = cli("report", str(tmp_path / "missing"), "--html", str(page))
    assert result.code == 2
    assert "No such file" in result.line


OWN_PAGE = b"<!doctype html>\n<html><head><title>My ezcaptcha report</title></head></html>\n"


@pytest.mark.parametrize("content", [OTHERS["results"], OTHERS["rows"], b"notes", OWN_PAGE])
def test_the_wrong_file_for_a_page(cli: Cli, tmp_path: Path, content: bytes) -> None:
    """Rows, a journal, a diary or a page of the user's would be replaced by a report."""
    source, path = tmp_path / "results.jsonl", tmp_path / "other"
    source.write_bytes(OTHERS["results"])
    path.write_bytes(content)
    result = cli("report", str(source), "--html", str(path))
    assert result.code == 2
    assert "which is not a page of a report; give it another name" in result.line
    assert path.read_bytes() == content


# ------------------------------------------------------------------- tickets that were printed


@pytest.mark.parametrize(
    ("signum", "options"), [(signal.SIGINT, ()), (signal.SIGTERM, ("--json",))]
)
def test_what_ctrl_c_prints_is_what_resume_takes(  # noqa: PLR0917
    cli: Cli,
    serving: Serve,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    signum: int,
    options: tuple[str, ...],
) -> None:
    """A ticket that only Python can use is of no use at the prompt, and five minutes are short."""
    server = serving(**LONGER)
    ended = cli.interrupted(lambda: charged(server), "solve", *V2, *SLOW, *options, signum=signum)
    assert (ended.code, ended.out) == (128 + signum, "")
    assert options or "give what stands below to 'ezcaptcha resume -'" in ended.err
    (task,) = server.service.record.tasks
    assert f"ed; task {task.task_id} is paid" in ended.err
    server.service.finish(task.task_id)
    path = tmp_path / "kept"
    path.write_text(ended.err)
    monkeypatch.setattr(sys, "stdin", io.StringIO(ended.err))
    for source in ("-", str(path)):
        result = cli("resume", source, *SLOW)
        assert result.code == 0
        assert result.out == f"{task.task_id} simulated.recaptcha.{task.task_id}\n"
    assert charged(server) == 1


def test_a_timeout_prints_the_ticket_too(
    cli: Cli, serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is paid and goes on at the service, and nothing at the prompt could fetch it."""
    server = serving(**LONG)
    ended = cli("solve", *V2, *STEADY, *BRIEF)
    assert ended.code == 7
    _, message, ticket = ended.err.splitlines()
    assert "it is paid: give what stands below to 'ezcaptcha resume -'" in message
    server.service.finish(json.loads(ticket)["task_id"])
    monkeypatch.setattr(sys, "stdin", io.StringIO(ticket))
    result = cli("resume", "-", "--json", *STEADY)
    assert result.code == 0
    assert json_lines(result.out.splitlines())[0]["receipt"]["task_id"] in ticket
    assert charged(server) == 1


def test_what_is_over_prints_no_ticket(cli: Cli, serving: Serve) -> None:
    """Nobody can fetch a task that failed."""
    serving(failure_rate=1.0)
    ended = cli("solve", *V2, *FAST)
    assert ended.code == 6
    assert "resume" not in ended.err


def test_tickets_of_which_one_cannot_be_fetched(
    cli: Cli, serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The good one would be lost with the bad one."""
    server = serving(**LONG)
    ticket = {**paid(server), "reference": "job 17"}
    mistyped = ticket | {"task_id": "mistyped", "reference": "job 7"}
    text = "\n".join(map(json.dumps, (ticket, mistyped)))
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    result = cli("resume", "-", *STEADY)
    assert result.code == 6
    assert result.out == "{0} simulated.recaptcha.{0} job 17\n".format(ticket["task_id"])
    assert "task mistyped (job 7): ERROR_TASK_NOT_EXIST" in result.err


def test_tickets_of_two_accounts(cli: Cli, serving: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script would take it that nothing was sent, and throw away what was fetched."""
    server = serving(**LONG)
    mine = paid(server)
    others = mine | {"task_id": "of-another-account", "account": "0" * len(mine["account"] or "")}
    for tickets, code in (([mine, others], 1), ([others], 2)):
        monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(map(json.dumps, tickets))))
        result = cli("resume", "-", *STEADY)
        assert result.code == code
        assert "task of-another-account: no account of this pool" in result.err
        assert (mine["task_id"] in result.out) == (mine in tickets)


def test_tickets_that_have_only_what_they_need(
    cli: Cli, serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token would be fetched, and then lost in a traceback for want of a reference."""
    server = serving(**LONG)
    saved = paid(server)
    needed = ("task_id", "service", "type", "created_at")
    good = {name: item for name, item in saved.items() if name in needed}
    bad = good | {"task_id": "mistyped"}
    for options in ((), ("--json",)):
        text = "\n".join(map(json.dumps, (good, bad)))
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        result = cli("resume", "-", *STEADY, *options)
        assert result.code == 6
        assert f"simulated.recaptcha.{saved['task_id']}" in result.out
        assert "ERROR_TASK_NOT_EXIST" in result.out + result.err


def test_tickets_that_are_interrupted_again(cli: Cli, serving: Serve, tmp_path: Path) -> None:
    """What was given to resume would be gone with the second Ctrl-C."""
    server = serving(**LONGER)
    path = tmp_path / "kept"
    path.write_text(cli.interrupted(lambda: charged(server), "solve", *V2, *SLOW).err)
    polls = server.service.summary().polls
    ended = cli.interrupted(
        lambda: server.service.summary().polls > polls, "resume", str(path), *SLOW
    )
    assert ended.code == 130
    assert json.loads(ended.err.splitlines()[-1])["task_id"] in path.read_text()


@pytest.mark.parametrize("text", ["", "notes\n", "{}"])
def test_nothing_to_resume_on_stdin(
    cli: Cli, nowhere: None, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """An empty pipe would look like a task that was fetched."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    result = cli("resume", "-", *FAST)
    assert result.code == 2
    assert "stdin holds no saved ticket" in result.line
    result = cli("resume", "-", "--key-file", "-", *FAST)
    assert result.code == 2
    assert "cannot both be read from stdin" in result.line

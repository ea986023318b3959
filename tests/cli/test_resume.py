"""``ezcaptcha resume``: what a program that has ended left behind."""

from __future__ import annotations

import json
import time
from pathlib import Path

import anyio
import attrs
import pytest
from anyio.from_thread import start_blocking_portal

from ezcaptcha_async import (
    Account,
    CloudFlare5STask,
    PollPolicy,
    ReCaptchaV2TaskProxyless,
    SessionPool,
    SubmissionUnknownError,
    Task,
)
from ezcaptcha_async.testing import Fault, SimulatedServer
from tests.cli.commands import FAST, SCALE, SECRET, Cli, json_lines, run
from tests.cli.conftest import Serve

V2 = ReCaptchaV2TaskProxyless(website_url="https://example.com/", website_key="a-site-key")
CLOUDFLARE = CloudFlare5STask(
    website_url="https://example.com/", proxy=f"http://user:{SECRET}@example.net:8080"
)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "paid.jsonl"


def leave(server: SimulatedServer, journal: Path, *tasks: Task, lost: int = 0) -> list[str]:  # type: ignore[type-arg]
    """Be a program that pays for tasks and ends; return their ids."""

    async def work() -> list[str]:
        policy = PollPolicy().at_speed(SCALE)
        account = Account(SECRET, service=server.profile)
        async with SessionPool(account, polling=policy, journal=journal) as pool:
            for _ in range(lost):
                server.service.inject(Fault.MALFORMED, path="/createTask")
                with pytest.raises(SubmissionUnknownError):
                    await pool.submit(V2)
            return [(await pool.submit(task)).task_id for task in tasks]

    return anyio.run(work)


def test_each_task_is_a_line(cli: Cli, serving: Serve, journal: Path) -> None:
    """A script could not tell which solution belongs to what it has paid for."""
    server = serving()
    first, second, third = leave(server, journal, V2, V2, CLOUDFLARE)
    result = cli("resume", str(journal), *FAST)
    assert result.code == 0
    lines = dict(line.split(" ", 1) for line in result.out.splitlines())
    assert lines.keys() == {first, second, third}
    assert lines[first] == f"simulated.recaptcha.{first}"
    assert json.loads(lines[third])["cookies"]
    assert result.err == "3 tasks of 3 fetched, 0 unknown\n"
    again = cli("resume", str(journal), *FAST)
    assert (again.code, again.out) == (0, "")
    assert server.service.summary().charges == 3


def test_lines_for_a_machine(cli: Cli, serving: Serve, journal: Path) -> None:
    """A program could not tell solutions, errors and what is unknown apart."""
    server = serving()
    good, bad = leave(server, journal, V2, V2, lost=1)
    server.service.finish(bad, error="ERROR_CAPTCHA_UNSOLVABLE")
    result = cli("resume", str(journal), "--json", *FAST)
    assert result.code == 6
    assert result.err == ""
    documents = json_lines(result.out.splitlines())
    by_id = {item["ticket"]["task_id"]: item for item in documents if "ticket" in item}
    assert by_id[good]["solution"]["token"] == f"simulated.recaptcha.{good}"
    assert by_id[good]["receipt"]["task_id"] == good
    assert by_id[bad]["error"]["kind"] == "TaskFailedError"
    [unknown] = [item["unknown"] for item in documents if "unknown" in item]
    assert unknown["host"] == "example.com"
    assert abs(unknown["sent_at"] - time.time()) < 60


def test_what_is_unknown_has_its_exit_code(cli: Cli, serving: Serve, journal: Path) -> None:
    """A charge that nobody can account for would go unnoticed."""
    server = serving()
    leave(server, journal, V2, lost=1)
    result = cli("resume", str(journal), *FAST)
    assert result.code == 9
    unknown, summary = result.err.splitlines()
    assert unknown.startswith("unknown: ReCaptchaV2TaskProxyless for example.com, sent 20")
    assert unknown.endswith("may have been charged for 6 points (0.0006 USD)")
    assert summary == "1 task of 1 fetched, 1 unknown"


def test_an_unknown_task_of_another_type(cli: Cli, serving: Serve, journal: Path) -> None:
    """One without a page and a price must not break the list."""
    server = serving()
    leave(server, journal, lost=1)
    line = json.loads(journal.read_text("ascii").splitlines()[-1])
    line["submission"] |= {"host": "", "points": None, "type": "NewTask"}
    journal.write_text(json.dumps(line) + "\n", "ascii")
    result = cli("resume", str(journal), *FAST)
    assert result.err.startswith("unknown: NewTask, sent 20")
    assert "may have been charged\n" in result.err


def test_why_a_task_has_no_solution(cli: Cli, serving: Serve, journal: Path) -> None:
    """One failure would hide the others, or the reason."""
    server = serving()
    (bad,) = leave(server, journal, V2)
    server.service.finish(bad, error="ERROR_CAPTCHA_UNSOLVABLE")
    account = Account(SECRET, service=attrs.evolve(server.profile, name="another"))
    lines = journal.read_text("ascii").splitlines()
    other = json.loads(lines[1])
    other["task"] |= {"task_id": "elsewhere", "service": account.service.name}
    journal.write_text("\n".join([*lines, json.dumps(other)]) + "\n", "ascii")
    result = cli("resume", str(journal), *FAST)
    assert result.code == 1  # of several kinds
    assert result.out == ""
    assert f"task {bad}: ERROR_CAPTCHA_UNSOLVABLE" in result.err
    assert "task elsewhere: no account of this pool can fetch" in result.err
    assert result.err.endswith("0 tasks of 2 fetched, 0 unknown\n")


def test_a_journal_that_is_not_there_or_in_use(cli: Cli, serving: Serve, journal: Path) -> None:
    """A typing mistake would look like a program that has left nothing; one still runs."""
    server = serving()
    result = cli("resume", str(journal), *FAST)
    assert result.code == 2
    assert "there is no journal" in result.line
    assert not journal.exists()
    with start_blocking_portal() as portal:
        pool = SessionPool(SECRET, service=server.profile, journal=journal)
        portal.call(pool.open)
        result = cli("resume", str(journal), *FAST)
        portal.call(pool.aclose)
    assert result.code == 2
    assert "another pool or process uses it" in result.line


def test_ctrl_c_keeps_the_rest(cli: Cli, serving: Serve, journal: Path) -> None:
    """What was not fetched yet would be lost by stopping."""
    # Not so fast that the tasks lapse before a process has started on a busy machine.
    slow = ("--time-scale", "4")
    server = serving(time_scale=4, solve_times=290.0)
    ids = leave(server, journal, V2, V2)
    polls = server.service.summary().polls
    result = cli.interrupted(
        lambda: server.service.summary().polls > polls, "resume", str(journal), *slow
    )
    assert result.code == 130
    assert "interrupted; what was not shown is still in the journal" in result.line
    for task_id in ids:
        server.service.finish(task_id)
    again = cli("resume", str(journal), *slow)
    assert again.code == 0
    assert len(again.out.splitlines()) == 2


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_what_is_printed_into_the_journal(serving: Serve, journal: Path, name: str) -> None:
    """Each token would go to a file that is replaced under it, and no longer be paid for there."""
    # Not so fast that the task lapses before a process has started on a busy machine.
    server = serving(time_scale=4)
    (task_id,) = leave(server, journal, V2)
    link = journal.with_name("link")
    link.symlink_to(journal)
    with journal.open("ab") as stream:
        result = run("resume", str(link), "--time-scale", "4", **{name: stream})
    assert result.code == 2
    if name == "stdout":
        assert f"JOURNAL and stdout cannot both be {link}" in result.err
    with journal.with_name("tokens").open("wb") as stream:
        assert run("resume", str(journal), "--time-scale", "4", stdout=stream).code == 0
    assert journal.with_name("tokens").read_text().startswith(f"{task_id} simulated")

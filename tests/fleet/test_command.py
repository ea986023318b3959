"""``ezcaptcha fleet``: how the pools stand, for a person and for a program."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
import redis

from ezcaptcha_async import BannedError, InsufficientBalanceError
from ezcaptcha_async.cli import main
from ezcaptcha_async.testing import (
    Fixed,
    SimulatedServer,
    SimulatedService,
    serve,
)
from tests.redis_server import RedisServer

from .conftest import KEY, TASK, crew, job, new_service

ROW = {"type": "ReCaptchaV2TaskProxyless", "website_key": "a-site-key"}
CRAWL = ("--fleet", "redis://host", "--fleet-name", "crawl")


async def command(*arguments: str) -> int:
    """Run it as a program of its own would, beside the event loop of the pools."""
    return await anyio.to_thread.run_sync(main, ["fleet", *arguments])


async def test_a_person_sees_how_it_stands(
    lasting: RedisServer, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever is on call at night would have to read keys in a database."""
    service = new_service(solve_times=Fixed(10))
    async with crew(service, lasting, name) as members:
        first, _ = await members.pools(2, budget=1_000)
        await first.solve(job(1), once=True)
        service.set_balance(KEY, 0)
        with pytest.raises(InsufficientBalanceError):
            await first.solve(TASK)
        await first.fleet_status()  # it has told all by then
        assert await command(lasting.url, "--name", name) == 0
        said = capsys.readouterr().out
        assert f"{name}: 2 pools alive" in said
        assert "6 of 1,000 spent" in said
        assert "1 created, 1 delivered" in said
        assert "shut by ERROR_ZERO_BALANCE" in said
        assert await command(lasting.url, "--name", name, "--reopen", "--json") == 0
        document = json.loads(capsys.readouterr().out)
        assert document["pools"] == 2
        assert document["accounts"][0]["state"] == "open"
        service.set_balance(KEY, 100)
        with anyio.fail_after(30):
            while True:
                try:
                    assert await first.solve(TASK)
                    break
                except InsufficientBalanceError:
                    await anyio.sleep(0.05)


async def test_it_says_how_long_a_ban_lasts(
    lasting: RedisServer, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody would know when to look again."""
    service = new_service(solve_times=Fixed(10))
    async with crew(service, lasting, name) as members:
        pool = await members.pool()
        service.ban(seconds=6_000)
        with pytest.raises(BannedError):
            await pool.solve(TASK)
        with anyio.fail_after(30):
            while "banned for" not in (said := capsys.readouterr().out):
                assert await command(lasting.url, "--name", name) == 0
        assert "being created" in said


async def test_what_cannot_be_looked_at_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """The password of the server would be in the log of whoever runs it."""
    assert await command("redis://:a-password@127.0.0.1:1", "--name", "crawl") != 0
    said = capsys.readouterr().err
    assert "cannot look at the fleet crawl at redis://127.0.0.1:1" in said
    assert "a-password" not in said
    assert await command("http://host", "--name", "crawl") != 0
    assert "url must be" in capsys.readouterr().err


async def test_without_the_extra_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name error of another library would tell nobody what to do."""
    monkeypatch.setitem(sys.modules, "redis", None)
    assert await command("redis://host", "--name", "crawl") != 0
    assert "pip install '.[redis]'" in capsys.readouterr().err


async def test_the_environment_may_name_the_server(
    lasting: RedisServer,
    name: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its password would stand in the list of processes, for all users of the machine."""
    monkeypatch.delenv("EZCAPTCHA_FLEET", raising=False)
    assert await command("--name", name) != 0
    assert "set EZCAPTCHA_FLEET" in capsys.readouterr().err
    monkeypatch.setenv("EZCAPTCHA_FLEET", lasting.url)
    assert await command("--name", name) == 0
    assert f"{name}: 0 pools alive" in capsys.readouterr().out


# ---------------------------------------------------------------------------------- batch


def with_rows(path: Path, number: int) -> Path:
    """Write a file of so many rows."""
    lines = [
        json.dumps({**ROW, "website_url": f"https://example.com/{index}", "id": f"job {index}"})
        for index in range(number)
    ]
    path.write_text("\n".join(lines), "utf-8")
    return path


def read(results: Path) -> list[dict[str, Any]]:
    """Return what a file of results holds."""
    return [json.loads(line) for line in results.read_text("utf-8").splitlines()]


class Machines:
    """Machines that are given rows to solve together."""

    def __init__(
        self,
        server: RedisServer,
        name: str,
        web: SimulatedServer,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self._fleet = "--fleet", server.url, "--fleet-name", name
        self._folder = folder
        self._numbers = itertools.count()
        for variable, value in (web.environment | {"EZCAPTCHA_CLIENT_KEY": KEY}).items():
            monkeypatch.setenv(variable, str(value))

    def run(self, rows: Path, *options: str) -> tuple[int, list[dict[str, Any]]]:
        """Give one that is new to them some rows; return its exit code and results."""
        results = self._folder / f"results{next(self._numbers)}"
        return main(self.arguments(rows, results, *options)), read(results)

    def arguments(self, rows: Path, results: Path, *options: str) -> list[str]:
        """Return what to tell one."""
        return ["batch", str(rows), "-o", str(results), *self._fleet, *options]


@pytest.fixture
def machines(
    lasting: RedisServer, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Machines, SimulatedService]]:
    """Machines that share a fleet, and the service that they work with."""
    service = new_service(solve_times=Fixed(5))
    with serve(service, time_scale=20) as web:
        yield Machines(lasting, name, web, tmp_path, monkeypatch), service


def same_rows(path: Path, number: int) -> Path:
    """Write a file of rows that look all the same, and have no name of their own."""
    text = json.dumps({**ROW, "website_url": "https://example.com/", "mine": "a column"})
    path.write_text(f"{text}\n" * number, "utf-8")
    return path


def test_the_same_rows_on_two_machines_are_paid_for_once(
    machines: tuple[Machines, SimulatedService], tmp_path: Path
) -> None:
    """Each machine would buy all of them."""
    crowd, service = machines
    rows = with_rows(tmp_path / "rows.jsonl", 20)
    program = sys.executable, "-m", "ezcaptcha_async.cli"
    other = tmp_path / "elsewhere"
    with subprocess.Popen([*program, *crowd.arguments(rows, other, "--budget", "130")]) as machine:  # noqa: S603
        while not service.summary().charges and machine.poll() is None:
            time.sleep(0.01)
        code, results = crowd.run(rows, "--budget", "130")
        assert machine.wait(60) == code == 0
    tokens = [
        {line["id"]: line["solution"]["token"] for line in lines}
        for lines in (results, read(other))
    ]
    assert tokens[0] == tokens[1]
    assert len(set(tokens[0].values())) == 20
    assert not list(tmp_path.glob("*.journal"))
    service.assert_charged(20)


def test_rows_that_look_the_same_are_bought_each_and_once(
    machines: tuple[Machines, SimulatedService], tmp_path: Path
) -> None:
    """Of two rows of two parts, one would get the token of the other, which is used up."""
    crowd, service = machines
    (tmp_path / "elsewhere").mkdir()
    parts = [same_rows(tmp_path / f"part{number}.jsonl", 2) for number in range(2)]
    copy = same_rows(tmp_path / "elsewhere" / "part0.jsonl", 2)
    results = [crowd.run(rows)[1] for rows in (*parts, copy)]
    tokens = [{line["solution"]["token"] for line in lines} for lines in results]
    assert len(tokens[0] | tokens[1]) == 4
    assert tokens[2] <= tokens[0], "the same file is the same on each machine"
    service.assert_charged(4)


def test_a_row_that_is_done_is_not_bought_when_its_token_has_expired(
    machines: tuple[Machines, SimulatedService],
    lasting: RedisServer,
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A machine that begins two minutes later would buy all rows again."""
    crowd, service = machines
    rows = same_rows(tmp_path / "rows.jsonl", 3)
    crowd.run(rows)
    with redis.Redis.from_url(lasting.url) as client:
        assert client.delete(*client.keys(f"*{name}*:ref:*")) == 3  # as after two minutes
    capsys.readouterr()
    assert crowd.run(rows) == (0, [])
    assert "3 rows more had been finished by the fleet" in capsys.readouterr().err
    assert crowd.run(rows, "--json") == (0, [])
    assert json.loads(capsys.readouterr().out)["elsewhere"] == 3
    with rows.open("a", encoding="utf-8") as file:
        file.write(rows.read_text("utf-8").splitlines()[0])
    assert [line["row"] for line in crowd.run(rows)[1]] == [4]
    service.assert_charged(4)


def test_rows_of_a_pipe_need_a_name_each(
    machines: tuple[Machines, SimulatedService],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Rows of two pipes that look the same would be one, or those of one be bought twice."""
    crowd, service = machines
    named = with_rows(tmp_path / "rows.jsonl", 2)
    for number, text in enumerate((same_rows(tmp_path / "same", 2), named)):
        pipe = tmp_path / f"pipe{number}"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(text.read_bytes(),))
        writer.start()
        code, results = crowd.run(pipe)
        writer.join()
        assert (code, len(results)) == ((2, 0), (0, 2))[number]
        assert ('need an "id" each' in capsys.readouterr().err) == (number == 0)
    assert len(crowd.run(named)[1]) == 2, "wherever they stand"
    service.assert_charged(2)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--fleet", "redis://host"], "--fleet needs --fleet-name"),
        (["--fleet-name", "crawl"], "no URL of Redis or Valkey"),
        (["--fleet", "redis://host", "--fleet-name", "a b"], "name must be"),
        (["--fleet", "host", *CRAWL[2:]], "url must be"),
        ([*CRAWL, "--journal", "j"], "--journal do not"),
        ([*CRAWL, "--retry-failed"], "--retry-failed"),
    ],
)
def test_what_does_not_go_together_is_said_before_anything_is_sent(
    options: list[str],
    problem: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A slip would be found out when rows are paid for twice."""
    monkeypatch.delenv("EZCAPTCHA_FLEET", raising=False)
    monkeypatch.setenv("EZCAPTCHA_CLIENT_KEY", KEY)
    rows, results = with_rows(tmp_path / "rows.jsonl", 2), tmp_path / "results"
    assert main(["batch", str(rows), "-o", str(results), *options]) == 2
    assert problem in capsys.readouterr().err
    assert not results.exists()

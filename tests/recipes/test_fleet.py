"""Workers for many machines, on a real server of Redis or Valkey, by themselves and in queues."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ezcaptcha_async.testing import SimulatedService
from tests.redis_server import RedisServer, redis_server

from .conftest import environment

PAGES = [f"https://example.com/page/{number}" for number in range(5)]
RunFile = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisServer]:
    """Return a server that the environment names."""
    with redis_server(tmp_path, "--appendonly", "no") as server:
        monkeypatch.setenv("REDIS_URL", server.url)
        yield server


def check(lines: list[str], service: SimulatedService) -> None:
    """See that each page, which came twice, was paid for once."""
    assert len(lines) == 10
    assert len(set(lines)) == 5, "a page and its token, the same each time"
    assert all("simulated." in line for line in lines)
    service.assert_charged(5)
    service.assert_all_fetched()


def submitted(program: Path, run_file: RunFile, *worker: str) -> list[str]:
    """Start a worker as the program says, submit the pages twice, and return what came of it."""
    command = [str(Path(sys.executable).with_name(worker[0])), *worker[1:]]
    process = subprocess.Popen(  # noqa: S603 - what the example says
        command,
        cwd=program.parent,
        env=environment(program.parent),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return run_file(program.name, *PAGES, *PAGES).stdout.splitlines()
    finally:
        process.terminate()
        process.wait(60)


def test_jobs_that_are_delivered_twice(
    service: SimulatedService,
    run_here: Callable[..., str],
    example: Callable[[str], Path],
    server: RedisServer,
) -> None:
    """Whoever copies it would pay for the same job as often as it is delivered."""
    *lines, status = run_here(example("fleet"), server.url, *PAGES, *PAGES).splitlines()
    check(lines, service)
    assert "created=5, done=5" in status


def test_streaq(
    service: SimulatedService,
    run_file: RunFile,
    example: Callable[[str], Path],
    server: RedisServer,
) -> None:
    """A job that is run again would be paid for again."""
    program = example("streaq")
    check(submitted(program, run_file, "streaq", "run", "streaq_jobs:worker"), service)


def test_taskiq(
    service: SimulatedService,
    run_file: RunFile,
    example: Callable[[str], Path],
    server: RedisServer,
) -> None:
    """A job that is run again would be paid for again."""
    program = example("taskiq")
    options = "--workers", "1", "--ack-type", "when_executed"
    check(submitted(program, run_file, "taskiq", "worker", *options, "taskiq_jobs:broker"), service)

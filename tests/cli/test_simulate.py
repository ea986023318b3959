"""``ezcaptcha simulate``, and commands that use it from other processes."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import Popen
from typing import Any

import pytest

from ezcaptcha_async.testing import run as run_service
from tests.cli.commands import FAST, V2, Cli, Result, finish, start


@contextmanager
def _simulator(*options: str) -> Iterator[tuple[Popen[str], dict[str, Any]]]:
    """Run the simulator as a process of its own; yield it and what it said."""
    with start("simulate", "--json", *options) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def test_other_processes_use_it_as_it_says(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines to copy would not work, and a user's own program could not be tried."""
    with _simulator("--solve-time", "12", "--points", "100", *FAST) as (process, said):
        for name, value in said["environment"].items():
            monkeypatch.setenv(name, value)
        assert said["time_scale"] == 50
        assert cli("solve", *V2, "--json").out.count('"points": 6') == 1
        assert cli("balance").out.startswith("94 points (0.0094 USD) at ezcaptcha:")
        process.send_signal(signal.SIGTERM)
        ended = finish(process)
    assert ended.code == 143
    error = ended.error
    assert error["message"].startswith("terminated; served ")
    assert error["message"].endswith(" requests for 1 task")


def test_ctrl_c_ends_it_and_it_says_what_it_served(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C would show a traceback, and leave the handlers of signals changed."""
    result = _interrupted_simulation(cli, monkeypatch)
    assert result.code == 130
    assert result.out.startswith("Simulated service on http://127.0.0.1:")
    assert "  export EZCAPTCHA_CLIENT_KEY=simulated\n" in result.out
    assert result.err == "ezcaptcha: interrupted; served 0 requests for 0 tasks\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_faster_one_says_what_others_need(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's first task would not be fetched in time, and nothing would say why."""
    result = _interrupted_simulation(cli, monkeypatch, "--time-scale", "10")
    assert "  export EZCAPTCHA_TIME_SCALE=10.0\n" in result.out


def _interrupted_simulation(cli: Cli, monkeypatch: pytest.MonkeyPatch, *options: str) -> Result:
    def run_and_interrupt(*arguments: Any, on_ready: Any, **settings: Any) -> None:
        def ready(server: Any) -> None:
            on_ready(server)
            signal.raise_signal(signal.SIGINT)

        run_service(*arguments, on_ready=ready, **settings)

    monkeypatch.setattr("ezcaptcha_async.cli.simulating.run", run_and_interrupt)
    return cli("simulate", *options)


def test_a_port_that_is_taken_is_one_line(cli: Cli) -> None:
    """A second simulator would end in a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = cli("simulate", "--port", str(taken.getsockname()[1]))
    assert result.code == 2
    assert "choose another" in result.line

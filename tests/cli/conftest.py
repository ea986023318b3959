"""Fixtures for the command line: a plain terminal, a service on loopback, a way to run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ezcaptcha_async.testing import SimulatedServer, SimulatedService, serve
from tests.cli.batches import Batch
from tests.cli.commands import SCALE, SECRET, Cli
from tests.cli.examining import Examine, Findings, findings

Serve = Callable[..., SimulatedServer]


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's terminal out: 80 columns, no colour."""
    for name in ("FORCE_COLOR", "NO_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "JPY_PARENT_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Run commands in this process, and leave the log as it was."""
    logger = logging.getLogger("ezcaptcha_async")
    handlers = logger.handlers.copy()
    yield Cli(capsys)
    logger.setLevel(logging.NOTSET)
    logger.handlers[:] = handlers


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have rich take the captured streams for a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serve a simulated service, quickly, and point the environment at it."""
    with ExitStack() as stack:

        def start(*, time_scale: float = SCALE, **settings: Any) -> SimulatedServer:
            service = SimulatedService(**{"solve_times": 12.0, **settings})
            server = stack.enter_context(serve(service, time_scale=time_scale))
            monkeypatch.setenv("EZCAPTCHA_BASE_URL", server.url)
            monkeypatch.setenv("EZCAPTCHA_CLIENT_KEY", SECRET)
            return server

        yield start


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Have a key and no proxy in the environment."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("EZCAPTCHA_CLIENT_KEY", SECRET)
    return monkeypatch


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a key, and a service that does not answer."""
    monkeypatch.setenv("EZCAPTCHA_CLIENT_KEY", SECRET)
    monkeypatch.setenv("EZCAPTCHA_BASE_URL", "http://127.0.0.1:1")


@pytest.fixture
def batch(cli: Cli, tmp_path: Path) -> Batch:
    """Have thirty rows to buy."""
    return Batch(cli, tmp_path)


@pytest.fixture
def examine(cli: Cli, at: pytest.MonkeyPatch) -> Examine:
    """Have the service at a URL, or that of the environment, examined."""

    def run(url: str = "", *options: str) -> Findings:
        base_url = ("--base-url", url) if url else ()
        return findings(cli("doctor", "--json", *base_url, *options))

    return run

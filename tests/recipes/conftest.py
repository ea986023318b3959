"""A service that the environment names, at thirty times real speed, and pages to visit."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import ezcaptcha_async
from ezcaptcha_async.cli import main
from ezcaptcha_async.examples.site_server import Page
from ezcaptcha_async.testing import SimulatedServer, SimulatedService, serve

SPEED = 30.0
PACKAGE = Path(ezcaptcha_async.__file__).parent


@pytest.fixture
def simulated_server(simulated_service: SimulatedService) -> Iterator[SimulatedServer]:
    """Serve tasks of 20 s, which take less than one here."""
    simulated_service.set_solve_times(20)
    with serve(simulated_service, time_scale=SPEED) as server:
        yield server


@pytest.fixture
def service(
    simulated_service: SimulatedService, simulated_environment: dict[str, str]
) -> SimulatedService:
    """Return the service that a `SessionPool()` without any argument uses."""
    return simulated_service


class _QuietPage(Page):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is inherited
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    """Serve the example of a site on a port of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _QuietPage)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)


def file_of(name: str) -> str:
    """Return what the file of an example is called."""
    (path,) = (PACKAGE / "examples").glob(f"{name}_*")
    return path.name


@pytest.fixture
def example(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[[str], Path]:
    """Return what writes an example into an empty folder, as the command prints it."""

    def written(name: str) -> Path:
        capsys.readouterr()
        assert main(["example", name]) == 0
        path = tmp_path / file_of(name)
        path.write_text(capsys.readouterr().out, "utf-8")
        return path

    return written


def names_in(path: Path, name: str = "imported") -> dict[str, Any]:
    """Run a Python file in this process; return its names."""
    names: dict[str, Any] = {"__name__": name}
    exec(compile(path.read_text("utf-8"), path, "exec"), names)  # noqa: S102 - our own example
    return names


def environment(folder: Path) -> dict[str, str]:
    """Return the variables of a process that finds the package, with a home of its own."""
    return os.environ | {"PYTHONPATH": str(PACKAGE.parent), "HOME": str(folder)}


@pytest.fixture
def run_here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., str]:
    """Return what runs a program in this process and in an empty folder, for what it prints."""

    def run(path: Path, *arguments: str) -> str:
        capsys.readouterr()
        with monkeypatch.context() as patched:
            patched.chdir(tmp_path)
            patched.setattr(sys, "argv", [path.name, *arguments])
            names_in(path, "__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture
def run_file(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return what runs Python in a process of its own, in an empty folder.

    These frameworks log a lot, change the event loop, and warn of what is not ours.
    """

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run

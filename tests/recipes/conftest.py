"""A service that the environment names, at thirty times real speed, and pages to visit."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ezcaptcha_async.testing import SimulatedServer, SimulatedService, serve

SPEED = 30.0
PAGE = b'<html><form action="/done"><div data-sitekey="site-key"></div></form></html>'


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


class _Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        found = self.path.startswith("/page/")
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE) if found else 0))
        self.end_headers()
        if found:
            self.wfile.write(PAGE)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is inherited
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    """Serve pages with a form; yield what stands for https://example.com."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)


def run_block(block: str) -> dict[str, Any]:
    """Run a Python block of the README; return its names."""
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - our own README
    return names


@pytest.fixture
def run_file(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return what runs Python in a process of its own, in an empty folder.

    These frameworks log a lot, change the event loop, and warn of what is not ours.
    """
    import ezcaptcha_async

    package = str(Path(ezcaptcha_async.__file__).parents[1])

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": package, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run

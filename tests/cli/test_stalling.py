"""Readers that stall, such as ``| less`` or a terminal after Ctrl-S: they cost no token."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import anyio
import attrs
import pytest

from ezcaptcha_async import SessionPool
from ezcaptcha_async.cli import streams
from ezcaptcha_async.testing import SimulatedServer
from tests.cli.batches import Batch, charged, finish_all
from tests.cli.commands import (
    FAST,
    LONG,
    PATIENCE,
    SECRET,
    STEADY,
    V2,
    Cli,
    Result,
    finish,
    start,
)
from tests.cli.conftest import Serve
from tests.cli.test_slips import LONGER, SLOW
from tests.cli.test_streams import TASK, ids_in, paid_for

XOFF, XON = b"\x13", b"\x11"
"""What Ctrl-S and Ctrl-Q send."""


@attrs.frozen
class Stalled:
    """A stream that takes nothing until its reader goes on."""

    reader: int
    writer: int
    goes_on: bytes  # what the reader sends first

    def rest(self) -> str:
        """Go on, and read until nobody writes any more."""
        os.close(self.writer)
        if self.goes_on:
            os.write(self.reader, self.goes_on)
        found = b""
        with suppress(OSError):  # how Linux says that a terminal is closed
            while chunk := os.read(self.reader, 65_536):
                found += chunk
        return found.decode()


Stall = Callable[[str], Stalled]
Full = Callable[[], Callable[[], bool]]


@pytest.fixture
def stall() -> Iterator[Stall]:
    """Open streams whose readers have stalled."""
    with ExitStack() as stack:

        def opened(how: str) -> Stalled:
            if how == "terminal":
                reader, writer = pty.openpty()
                os.write(reader, XOFF)
            elif how == "socket":
                reader, writer = (item.detach() for item in socket.socketpair())
            else:
                reader, writer = os.pipe()
            for number in (reader, writer):
                stack.callback(close, number)
            if how != "terminal":
                fill(writer)
            return Stalled(reader, writer, XON if how == "terminal" else b"")

        def close(number: int) -> None:
            with suppress(OSError):
                os.close(number)

        yield opened


def fill(writer: int) -> None:
    """Write blank lines until no more fit."""
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"\n" * 4096)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"\n")
    os.set_blocking(writer, True)


def until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until something is the case while a process runs."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail("it has not come to that")
        time.sleep(0.02)


def fetched(server: SimulatedServer) -> int:
    """Return how many solutions were fetched."""
    return server.service.summary().fetched


def ended(process: subprocess.Popen[str], signum: int) -> Result:
    """Send a signal, and return what is left by then."""
    process.send_signal(signum)
    return finish(process)


@pytest.mark.parametrize("how", ["pipe", "socket", "terminal"])
def test_polling_goes_on_while_the_reader_stalls(
    batch: Batch, serving: Serve, stall: Stall, how: str
) -> None:
    """Who reads on in ``less`` after five minutes would find that hundreds have lapsed."""
    server, stalled = serving(**LONG), stall(how)
    process = start("batch", str(batch.rows), *STEADY, stdout=stalled.writer)
    until(lambda: charged(server) == 30, process)
    finish_all(server)
    until(lambda: fetched(server) == 30, process)
    found = stalled.rest()
    assert finish(process).code == 0
    assert ids_in(found) == paid_for(server)
    assert found.count('{"row":') == 30


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_reader_stalls(
    batch: Batch, serving: Serve, stall: Stall, signum: int
) -> None:
    """Only ``kill -9`` would end it, and all that is paid be lost."""
    server, stalled = serving(**LONG), stall("pipe")
    process = start("batch", str(batch.rows), *STEADY, stdout=stalled.writer)
    until(lambda: charged(server) == 30, process)
    server.service.finish(server.service.record.tasks[0].task_id)
    until(lambda: fetched(server) == 1, process)
    result = ended(process, signum)
    assert result.code == 128 + signum
    assert ids_in(result.err) == paid_for(server)
    assert stalled.rest().strip() == ""


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch, stall: Stall) -> Full:
    """Have a stdout that is full once it is called, and tell if something waits for its reader."""
    waits = threading.Event()
    put = streams.put
    stdout = os.fdopen(stall("pipe").writer, "w", encoding="utf-8", closefd=False)

    def watched(number: int, data: bytes) -> int:
        done = put(number, data)
        if number == stdout.fileno() and not done:
            waits.set()
        return done

    def stalled() -> Callable[[], bool]:
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(streams, "put", watched)
        return waits.is_set

    return stalled


def test_a_line_in_mid_write(batch: Batch, serving: Serve, full: Full) -> None:
    """What counts as delivered, and never arrived, would be in nobody's hands."""
    server = serving(**LONG)
    rows, waits = str(batch.rows), full()

    def is_time() -> bool:
        if charged(server) == 30:
            server.service.finish(server.service.record.tasks[0].task_id)
        return waits() and charged(server) == 30

    result = batch.cli.interrupted(is_time, "batch", rows, *STEADY)
    assert result.code == 130
    assert "0 rows done; what was not taken stands above; 29 tasks are paid" in result.err
    assert ids_in(result.err) == paid_for(server)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_token_in_mid_write(
    cli: Cli, serving: Serve, full: Full, options: tuple[str, ...]
) -> None:
    """The same, of a single one."""
    server = serving()
    result = cli.interrupted(full(), "solve", *V2, *FAST, *options)
    assert result.code == 130
    assert ids_in(result.err) == paid_for(server)
    assert "what was not taken stands above" in result.err


def test_no_more_is_begun_than_the_reader_takes(batch: Batch, serving: Serve, stall: Stall) -> None:
    """All rows would be bought for a reader who gets to them when their tokens are too old."""
    server, stalled = serving(**LONG), stall("pipe")
    batch.write(90)
    process = start("batch", str(batch.rows), *STEADY, stdout=stalled.writer)
    until(lambda: charged(server) >= 40, process)
    finish_all(server)
    until(lambda: fetched(server) >= 40, process)
    result = ended(process, signal.SIGINT)
    assert charged(server) < 50
    assert ids_in(result.err) == paid_for(server)


def test_where_neither_stdout_nor_stderr_is_read(
    batch: Batch, serving: Serve, stall: Stall
) -> None:
    """It could not be ended, and go on for good on a server on which nobody looks."""
    server, out, err = serving(**LONG), stall("pipe"), stall("pipe")
    process = start("batch", str(batch.rows), *STEADY, stdout=out.writer, stderr=err.writer)
    until(lambda: charged(server) == 30, process)
    finish_all(server)
    until(lambda: fetched(server) == 30, process)
    assert ended(process, signal.SIGTERM).code == 143


def test_a_log_that_is_not_read(batch: Batch, serving: Serve, stall: Stall) -> None:
    """With ``-v 2>&1 | less`` the log of the first page would hold the whole batch."""
    server, stalled = serving(), stall("pipe")
    process = start(*batch.command, "-v", *FAST, stderr=stalled.writer)
    assert finish(process).code == 0
    assert len(batch.found()) == charged(server) == 30
    assert stalled.rest().strip() == ""


def test_results_in_a_pipe_by_name(batch: Batch, serving: Serve) -> None:
    """``-o >(less)`` would do what stdout does not."""
    server = serving(**LONG)
    batch.results = batch.rows.with_name("pipe")
    os.mkfifo(batch.results)
    reader = os.open(batch.results, os.O_RDWR)
    fill(reader)
    process = start(*batch.command, *STEADY)
    until(lambda: charged(server) == 30, process)
    finish_all(server)
    until(lambda: fetched(server) == 30, process)
    result = ended(process, signal.SIGINT)
    os.close(reader)
    assert ids_in(result.err) == paid_for(server)


# ---------------------------------------------------------------------------- the other commands


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_one_token_that_is_not_read(serving: Serve, stall: Stall, signum: int) -> None:
    """It would be gone, although it was solved, and no ticket be left."""
    server, stalled = serving(**LONG), stall("pipe")
    process = start("solve", *V2, *STEADY, stdout=stalled.writer)
    until(lambda: charged(server) == 1, process)
    finish_all(server)
    until(lambda: fetched(server) == 1, process)
    result = ended(process, signum)
    assert result.code == 128 + signum
    assert ids_in(result.err) == paid_for(server)


def test_a_table_that_is_not_read(stall: Stall) -> None:
    """The first Ctrl-C would do nothing, and the second show a traceback."""
    stalled = stall("pipe")

    def held() -> bytes:
        return fcntl.ioctl(stalled.reader, termios.FIONREAD, bytes(4))

    full = held()
    os.read(stalled.reader, 4096)
    process = start("types", "--json", stdout=stalled.writer)
    until(lambda: held() == full, process)
    result = ended(process, signal.SIGINT)
    assert (result.code, result.err.count("\n")) == (130, 1)


def test_tickets_whose_tokens_are_not_read(
    batch: Batch, serving: Serve, stall: Stall, tmp_path: Path
) -> None:
    """A signal would not end it, and the tickets that it has taken up be gone."""
    server, stalled = serving(**LONGER), stall("pipe")
    rows, kept = str(batch.rows), tmp_path / "kept"
    result = batch.cli.interrupted(lambda: charged(server) == 30, "batch", rows, *SLOW)
    kept.write_text(result.err)
    finish_all(server)
    process = start("resume", str(kept), *SLOW, stdout=stalled.writer)
    until(lambda: fetched(server) == 30, process)
    result = ended(process, signal.SIGINT)
    assert result.code == 130
    assert ids_in(result.err) == paid_for(server)


def test_a_journal_whose_tokens_are_not_read(
    cli: Cli, serving: Serve, stall: Stall, tmp_path: Path
) -> None:
    """What was not shown would count as delivered, and never be shown again."""
    server, stalled = serving(**LONGER), stall("pipe")
    journal = tmp_path / "journal"

    async def pay() -> None:
        async with SessionPool(SECRET, service=server.profile, journal=journal) as pool:
            for _ in range(3):
                await pool.submit(TASK)

    anyio.run(pay)
    finish_all(server)
    process = start("resume", str(journal), *SLOW, stdout=stalled.writer)
    until(lambda: fetched(server) == 3, process)
    result = ended(process, signal.SIGTERM)
    assert result.code == 143
    assert "still in the journal: run the same again" in result.err
    assert ids_in(cli("resume", str(journal), *SLOW).out) == paid_for(server)


# ---------------------------------------------------------------------------- writing by itself


def test_a_reader_that_is_slow_gets_all_of_it() -> None:
    """Of a thousand tickets those would be cut off that do not fit into a pipe at once."""
    reader, writer = os.pipe()
    found: list[bytes] = []
    text = b"ticket\n" * 100_000

    def read() -> None:
        while chunk := os.read(reader, 4096):
            found.append(chunk)

    thread = threading.Thread(target=read)
    thread.start()
    streams.press(writer, text, patience=PATIENCE)
    os.close(writer)
    thread.join()
    os.close(reader)
    assert b"".join(found) == text


def test_who_shares_the_stream_is_not_disturbed() -> None:
    """The shell that started it would be told that its terminal is not ready, and end."""
    reader, writer = os.pipe()
    assert streams.put(writer, b"a line\n") == 7
    assert os.get_blocking(writer)
    os.close(writer)
    os.close(reader)


def test_a_closed_stream_leads_nowhere(tmp_path: Path) -> None:
    """A job that is started without one of them would end in a traceback."""
    path = tmp_path / "results.jsonl"
    with path.open("wb") as file:
        number = file.fileno()
        assert streams.leads_to(number, path)
        assert not streams.leads_to(number, tmp_path / "another")
    assert not streams.leads_to(number, path)

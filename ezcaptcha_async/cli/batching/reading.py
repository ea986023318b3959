"""Lines and records of a file or a pipe, taken out of it by a thread, as far as it has come."""

from __future__ import annotations

import csv
import io
import os
import sys
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO, Final, Generic, TypeVar

import anyio
import attrs
from anyio import from_thread
from anyio.lowlevel import EventLoopToken, current_token
from anyio.streams.memory import MemoryObjectSendStream

from ezcaptcha_async import ConfigurationError
from ezcaptcha_async.cli.failures import reason
from ezcaptcha_async.cli.options import STDIN

T = TypeVar("T")

LONGEST: Final = 1024 * 1024
"""Most bytes of one line; of a longer one just enough is given out to tell."""
_MOST_LINES: Final = 100  # of a record below its first
_CHUNK: Final = 64 * 1024  # bytes that are read at once


async def read_ahead(source: Path, parse: Callable[[BinaryIO], Iterable[T]]) -> AsyncGenerator[T]:
    """Yield what is in a file or a pipe, while a thread reads on and parses, by one chunk."""
    send, receive = anyio.create_memory_object_stream[list[T] | Exception]()
    # stdin itself would be closed under the thread when the process ends.
    file = os.dup(sys.stdin.fileno()) if source == STDIN else source
    reader = _Reader(file, parse, send)
    # A daemon lets the process end while it waits for what comes next through a pipe.
    Thread(target=reader.run, name="ezcaptcha-rows", daemon=True).start()
    try:
        async for batch in receive:
            if isinstance(batch, OSError):
                raise ConfigurationError(f"cannot read {source}: {reason(batch)}")
            if isinstance(batch, Exception):
                raise batch
            for item in batch:
                yield item
    finally:
        reader.is_wanted = False
        receive.close()


def lines_of(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a stream, without their ends and without a byte order mark."""
    mark = BOM_UTF8
    while line := stream.readline(LONGEST + 1):
        if mark and (line.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) or b"\0" in line):
            raise ConfigurationError(
                "line 1 of the rows is no text in UTF-8, but in UTF-16, or none: "
                "save the file as UTF-8"
            )
        text = line.removeprefix(mark).removesuffix(b"\n").removesuffix(b"\r")
        if mark and b"\r" in text:
            raise ConfigurationError(
                "line 1 of the rows has line ends of old Macs: save it with those of Unix"
            )
        yield text
        mark = b""
        while len(line) > LONGEST and not line.endswith(b"\n"):
            line = stream.readline(LONGEST + 1)


def records_of(lines: Iterable[bytes]) -> Iterator[tuple[int, list[str] | None]]:
    """Yield each record of CSV that is not blank: its first line, and its cells.

    None stands for the cells of what is no CSV, on one line. Refused is a quote that is opened on
    one line and not closed on a later one as it should be, or so far below that this may be the
    quote of another row: all rows in between would be one.
    """
    line = 1

    def text(read: bytes) -> str:
        if records.line_num - line >= _MOST_LINES:
            raise csv.Error("the record is too long")  # its lines are held in memory
        return _text(read)

    csv.field_size_limit(LONGEST)  # a cell may be a whole line; by itself csv takes 128 KiB
    records = csv.reader(map(text, lines), strict=True)
    while True:
        cells: list[str] | None = None
        line, most = records.line_num + 1, 0
        try:
            cells = next(records)
            most = _MOST_LINES
            "".join(cells).encode()
        except StopIteration:
            return
        except UnicodeEncodeError:
            cells = None
        except csv.Error:
            pass  # on one line it costs one row
        if records.line_num - line > most:
            raise ConfigurationError(
                f"line {line} of the rows opens a quote that is not closed: "
                "close it, or write it twice within quotes"
            )
        if cells is None or len(cells) > 1 or "".join(cells).strip():
            yield line, cells


def _text(line: bytes) -> str:
    if len(line) > LONGEST:
        raise csv.Error("the line is too long")
    # What is no text is kept until its record has ended.
    return f"{line.decode('utf-8', 'surrogateescape')}\n"


class _Source(io.FileIO):
    """A file that says when more of it is about to be read, which may take its time."""

    def __init__(self, file: Path | int, before: Callable[[], None]) -> None:
        super().__init__(file)
        self._before = before

    def readinto(self, buffer: Any, /) -> int | None:
        self._before()
        return super().readinto(buffer)


@attrs.define(eq=False)
class _Reader(Generic[T]):
    """Reads until there is no more, or nobody takes it; an error comes last."""

    _file: Path | int
    _parse: Callable[[BinaryIO], Iterable[T]]
    _send: MemoryObjectSendStream[list[T] | Exception]
    _token: EventLoopToken = attrs.field(init=False, factory=current_token)
    _batch: list[T] = attrs.field(init=False, factory=list[T])
    is_wanted: bool = True
    """Whether somebody takes what is read; not asked of an event loop that may have ended."""

    def run(self) -> None:
        """Read all of it, in a thread."""
        try:
            try:
                source = _Source(self._file, before=self._hand_over)
                with io.BufferedReader(source, _CHUNK) as stream:
                    for item in self._parse(stream):
                        self._batch.append(item)
                self._hand_over()
            except Exception as failure:  # noqa: BLE001 - raised where the items are wanted
                self._hand_over()
                self._in_event_loop(self._send.send, failure)
            self._in_event_loop(self._send.aclose)
        except (anyio.BrokenResourceError, anyio.RunFinishedError):
            self._send.close()

    def _hand_over(self) -> None:
        """Wait until what was read so far is taken."""
        batch, self._batch = self._batch, []
        if batch:
            self._in_event_loop(self._send.send, batch)

    def _in_event_loop(
        self, call: Callable[..., Coroutine[Any, Any, None]], *arguments: Any
    ) -> None:
        if not self.is_wanted:
            raise anyio.BrokenResourceError
        from_thread.run(call, *arguments, token=self._token)

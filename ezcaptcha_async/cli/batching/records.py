"""What stands on the lines of a file or a pipe, read as far as it has come."""

from __future__ import annotations

import os
import stat
import sys
from collections import deque
from concurrent.futures import Future
from threading import Thread
from typing import BinaryIO, Final

import anyio
from anyio.lowlevel import checkpoint

CHUNK: Final = 64 * 1024
"""Bytes that are read at once."""

LONGEST: Final = 1024 * 1024
"""Most bytes of one record; of a longer one just enough is given out to tell."""

_LOOK_AGAIN: Final = 0.01
_IS_WINDOWS: Final = sys.platform == "win32"


class Records:
    """What is on the lines of a stream that are not blank; a quoted line end ends none.

    Args:
        stream: A file, a pipe, or anything else with a descriptor.
        quoted: True for CSV, where a line end within quotes belongs to its cell.
    """

    def __init__(self, stream: BinaryIO, *, quoted: bool) -> None:
        # Not through the stream's buffer: a pipe is read as far as it has come.
        self._descriptor = stream.fileno()
        # Other devices, such as the null device, an event loop may refuse to wait for.
        mode = os.fstat(self._descriptor).st_mode
        self._waits = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(self._descriptor)
        self._quoted = quoted
        self._lines = deque[bytes]()
        self._rest = b""
        self._is_first = True
        self._has_ended = False

    async def next(self) -> bytes | None:
        """Return the next one; None when there is no more."""
        parts, size, is_open = list[bytes](), 0, False
        while (line := await self._line()) is not None:
            parts.append(line)
            size += len(line)
            if self._quoted and b'"' in line:
                is_open = ends_open(line, is_open)
            if is_open and size < LONGEST:
                continue
            record = b"\n".join(parts)
            if record.strip():
                return record
            parts.clear()
        return b"\n".join(parts) if parts else None

    async def _line(self) -> bytes | None:
        while not self._lines:
            if self._has_ended:
                return None
            await self._read()
        line = self._lines.popleft().removesuffix(b"\r")
        if self._is_first:
            line, self._is_first = line.removeprefix(b"\xef\xbb\xbf"), False
        return line

    async def _read(self) -> None:
        if self._waits:
            chunk = await _read_when_ready(self._descriptor)
        else:
            chunk = os.read(self._descriptor, CHUNK)
        self._has_ended = not chunk
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._lines.extend(lines)
        # Of a line without an end, just enough is kept to know that it is too long.
        self._rest = rest[: LONGEST + 1]
        if self._has_ended:
            self._lines.append(rest)
        await checkpoint()


def ends_open(line: bytes, begins_open: bool) -> bool:  # noqa: FBT001 - a state, no switch
    """Return whether a line of CSV ends within quotes, going by whether it begins within some.

    They begin at the beginning of a cell; anywhere else a quote is a character like others.
    """
    is_open = begins_open
    cell = 0  # where the next cell begins, or the rest of the one that is open
    while cell <= len(line):
        if not is_open and not line.startswith(b'"', cell):
            comma = line.find(b",", cell)
            if comma < 0:
                return False
            cell = comma + 1
            continue
        # Of a quote within quotes there are two, the second of which opens them again.
        end = line.find(b'"', cell if is_open else cell + 1)
        if end < 0:
            return True
        is_open = False
        cell = end + 1
        if not line.startswith(b'"', cell):
            cell = (line.find(b",", cell) + 1) or len(line) + 1
    return False


async def _read_when_ready(descriptor: int) -> bytes:
    """Read from what may have nothing yet; the event loop goes on meanwhile."""
    if _IS_WINDOWS:
        return await read_in_thread(descriptor)
    await anyio.wait_readable(descriptor)
    return os.read(descriptor, CHUNK)


async def read_in_thread(descriptor: int) -> bytes:
    """Do the same on Windows, where a pipe cannot be waited for, and reading it blocks.

    A daemon, unlike the threads of an event loop, lets the process end before the next row
    comes.
    """
    chunk = Future[bytes]()

    def read() -> None:
        try:
            chunk.set_result(os.read(descriptor, CHUNK))
        except OSError as error:
            chunk.set_exception(error)

    Thread(target=read, daemon=True).start()
    while not chunk.done():  # noqa: ASYNC110 - that thread can set no event
        await anyio.sleep(_LOOK_AGAIN)
    return chunk.result()

"""The rows of a batch: JSON lines or CSV, read one after the other, each a task or a problem."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import re
import stat
import sys
from collections import deque
from collections.abc import AsyncGenerator, Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO, Final, Literal, TypeAlias, cast

import anyio
import attrs
from anyio.lowlevel import checkpoint

from ezcaptcha_async import ConfigurationError, Task
from ezcaptcha_async._secrets import is_secret_name
from ezcaptcha_async.cli.connection import STDIN
from ezcaptcha_async.cli.fields import task_of

Format: TypeAlias = Literal["jsonl", "csv"]

_CHUNK: Final = 64 * 1024
_LONGEST: Final = 1024 * 1024
"""Most bytes of one row."""
_LONGEST_ID: Final = 150
_LOOK_AGAIN: Final = 0.01
_IS_WINDOWS: Final = sys.platform == "win32"

RowName: TypeAlias = tuple[int, str, str | None]
"""Number, key and the user's own name of a row, which a task's reference holds."""


@attrs.frozen(kw_only=True)
class Row:
    """One row; either `task` or `problem` is set.

    Args:
        number: Which row, counted from 1; blank lines and the header do not count.
        key: What it is known by from one run to the next: a digest of what it says.
        id: The user's own name for it.
        task: What it asks for; its reference names the row.
        problem: Why it cannot be read.
    """

    number: int
    key: str
    id: str | None = None
    task: Task[Any] | None = None
    problem: ConfigurationError | None = None


@attrs.frozen(kw_only=True)
class RowReader:
    """Reads rows.

    Args:
        format: How they are written down.
        task_type: The type of rows that name none.
        custom: True for types without a class: fields as they are on the wire.
    """

    format: Format
    task_type: str | None = None
    custom: bool = False

    async def rows(self, stream: BinaryIO) -> AsyncGenerator[Row]:
        """Yield the rows of a file or a pipe; never more of it is in memory than one chunk.

        Raises:
            ConfigurationError: A CSV file has no header.
        """
        header: list[str] | None = None
        number = 0
        records = _Records(stream, quoted=self.format == "csv")
        while (record := await records.next()) is not None:
            if self.format == "csv" and header is None:
                header = _header(record)
                continue
            number += 1
            yield self._row(number, record, header)

    def _row(self, number: int, record: bytes, header: list[str] | None) -> Row:
        values: dict[str, Any] | None = None
        name = None
        try:
            values = _object(record) if header is None else _cells(record, header)
            key = _key_of(values)
            name = _id_of(values)
            own = "" if name is None else f":{name}"
            task = self._task(values, f"{number}:{key}{own}")
        except ConfigurationError as error:
            known = _key_of(values) if values is not None else _key_of({"row": str(record)})
            return Row(number=number, key=known, id=name, problem=error)
        return Row(number=number, key=key, id=name, task=task)

    def _task(self, values: dict[str, Any], reference: str) -> Task[Any]:
        task_type = values.pop("type", None) or self.task_type
        if not isinstance(task_type, str):
            raise ConfigurationError("a row needs a type; --type gives one to all that have none")
        return attrs.evolve(task_of(task_type, values, custom=self.custom), reference=reference)


def row_of(reference: str | None) -> RowName | None:
    """Return which row a task was created for; None when for none."""
    found = re.fullmatch("([1-9][0-9]{0,8}):([0-9a-f]{16})(?::(.*))?", reference or "")
    return None if found is None else (int(found[1]), found[2], found[3])


def format_of(source: Path) -> Format:
    """Return how the rows of a file are written down, going by its name."""
    return "csv" if source.suffix.lower() == ".csv" else "jsonl"


@contextmanager
def opened(source: Path) -> Generator[BinaryIO]:
    """Open a file, or stdin for ``-``.

    Raises:
        ConfigurationError: It cannot be read.
    """
    if source == STDIN:
        yield sys.stdin.buffer
        return
    try:
        stream = source.open("rb", buffering=0)
    except OSError as error:
        raise ConfigurationError(f"cannot read {source}: {error.strerror}") from None
    with stream:
        yield cast("BinaryIO", stream)


def count_rows(source: Path, row_format: Format) -> int | None:
    """Return about how many rows there are; None when that cannot be known beforehand."""
    if source == STDIN or not stat.S_ISREG(source.stat().st_mode):
        return None
    lines, last = 0, b"\n"
    with source.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            lines += chunk.count(b"\n")
            last = chunk[-1:]
    return max(0, lines + (last != b"\n") - (row_format == "csv"))


# ------------------------------------------------------------------------------- details


class _Records:
    """What is on the lines of a stream that are not blank; a quoted line end ends none."""

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
                is_open = _is_open(line, is_open)
            if is_open and size < _LONGEST:
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
            chunk = os.read(self._descriptor, _CHUNK)
        self._has_ended = not chunk
        *lines, rest = (self._rest + chunk).split(b"\n")
        self._lines.extend(lines)
        # Of a line without an end, just enough is kept to know that it is too long.
        self._rest = rest[: _LONGEST + 1]
        if self._has_ended:
            self._lines.append(rest)
        await checkpoint()


def _is_open(line: bytes, is_open: bool) -> bool:  # noqa: FBT001
    """Return whether a line of CSV ends within quotes, going by whether it begins within some.

    They begin at the beginning of a cell; anywhere else a quote is a character like others.
    """
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
        return await _read_in_thread(descriptor)
    await anyio.wait_readable(descriptor)
    return os.read(descriptor, _CHUNK)


async def _read_in_thread(descriptor: int) -> bytes:
    # On Windows a pipe cannot be waited for, and reading it blocks. A daemon, unlike the
    # threads of an event loop, lets the process end before the next row comes.
    chunk = Future[bytes]()

    def read() -> None:
        try:
            chunk.set_result(os.read(descriptor, _CHUNK))
        except OSError as error:
            chunk.set_exception(error)

    Thread(target=read, daemon=True).start()
    while not chunk.done():  # noqa: ASYNC110 - that thread can set no event
        await anyio.sleep(_LOOK_AGAIN)
    return chunk.result()


def _object(record: bytes) -> dict[str, Any]:
    value = None
    try:
        if len(record) <= _LONGEST:
            value = json.loads(record)
    except (ValueError, RecursionError):
        pass  # raised below, where the cause, which holds the text, does not come along
    if not isinstance(value, dict):
        raise ConfigurationError("a row must be one JSON object on one line")
    return cast("dict[str, Any]", value)


def _header(record: bytes) -> list[str]:
    names = [name.strip() for name in _split(record)]
    if not all(name.isidentifier() for name in names) or len(set(names)) < len(names):
        raise ConfigurationError(
            "the first line of a CSV file must name its columns, such as "
            "type,website_url,website_key, each once"
        )
    return names


def _cells(record: bytes, header: list[str]) -> dict[str, Any]:
    cells = _split(record)
    if len(cells) != len(header):
        raise ConfigurationError(f"a row has {len(cells)} columns, the header {len(header)}")
    return {name: cell for name, cell in zip(header, cells, strict=True) if cell}


def _split(record: bytes) -> list[str]:
    try:
        if len(record) <= _LONGEST:
            return next(csv.reader([record.decode()], strict=True))
    except (ValueError, csv.Error):
        pass
    raise ConfigurationError("a row must be CSV: text in UTF-8, separated by commas")


def _without_secrets(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if not is_secret_name(name)}


def _id_of(values: dict[str, Any]) -> str | None:
    """Take the user's name of a row out of it."""
    value = values.pop("id", None)
    if value is None:
        return None
    name = str(value)
    if not name.isprintable() or len(name) > _LONGEST_ID:
        raise ConfigurationError(
            f"id must be printable, on one line, and at most {_LONGEST_ID} characters long"
        )
    return name


def _key_of(values: Mapping[str, Any]) -> str:
    # Without secrets: the digest stands in a file, where they could be searched for.
    public = json.loads(json.dumps(values), object_hook=_without_secrets)  # nested ones too
    text = json.dumps(public, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]

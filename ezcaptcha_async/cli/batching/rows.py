"""The rows of a batch: JSON lines or CSV, read one after the other, each a task or a problem."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import stat
import sys
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, TypeAlias, cast

import attrs

from ezcaptcha_async import ConfigurationError, Task
from ezcaptcha_async.cli.batching.records import CHUNK, LONGEST, Records
from ezcaptcha_async.cli.connection import STDIN
from ezcaptcha_async.cli.fields import task_of
from ezcaptcha_async.tasks import is_secret_name

Format: TypeAlias = Literal["jsonl", "csv"]

_LONGEST_ID: Final = 150

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
        records = Records(stream, quoted=self.format == "csv")
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
        while chunk := stream.read(CHUNK):
            lines += chunk.count(b"\n")
            last = chunk[-1:]
    return max(0, lines + (last != b"\n") - (row_format == "csv"))


# ------------------------------------------------------------------------------- details


def _object(record: bytes) -> dict[str, Any]:
    value = None
    try:
        if len(record) <= LONGEST:
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
        if len(record) <= LONGEST:
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

"""The rows of a batch: JSON lines or CSV, read one after the other, each a task or a problem."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from codecs import getincrementaldecoder
from collections.abc import AsyncGenerator, Container, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias, cast

import attrs

from ezcaptcha_async import ConfigurationError, Task
from ezcaptcha_async.cli.batching import forms
from ezcaptcha_async.cli.batching.reading import LONGEST, lines_of, read_ahead, records_of
from ezcaptcha_async.cli.failures import reason
from ezcaptcha_async.cli.fields import class_of, is_own, object_in, task_of
from ezcaptcha_async.cli.options import STDIN, Format
from ezcaptcha_async.tasks import is_secret_name

_LONGEST_ID: Final = 150
# Made once: there are millions of rows, and those of a file name the same columns.
_SORTED: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_is_secret: Final = lru_cache(maxsize=1024)(is_secret_name)
_OTHER_FILES: Final = {
    b"PK\x03\x04": "save a sheet of the workbook as CSV, or unpack the archive",
    b"\xd0\xcf\x11\xe0": "save a sheet of the workbook as CSV",
    b"\x1f\x8b": "unpack it, as gunzip does",
    b"BZh": "unpack it, as bunzip2 does",
    b"\xfd7zXZ": "unpack it, as unxz does",
    b"\x28\xb5\x2f\xfd": "unpack it, as unzstd does",
}
"""How files of other kinds begin, and what to do with them."""

_Values: TypeAlias = tuple[int, dict[str, Any] | ConfigurationError]
"""The line of a row, and what it says, or why that cannot be read."""


@attrs.frozen
class RowName:
    """What is known of a row by the reference of its task."""

    number: int  # counted from 1; blank lines and the header do not count
    key: str  # a digest of its type and what it says, the same in each run
    id: str | None = None  # the user's own name for it


@attrs.frozen
class Row(RowName):
    """One row; either `task` or `problem` is set."""

    columns: Mapping[str, Any] = attrs.field(factory=dict[str, Any])  # for the user; no secrets
    task: Task[Any] | None = None  # its reference names the row
    problem: ConfigurationError | None = None  # why it cannot be read; begins with its line


@attrs.frozen(kw_only=True)
class RowReader:
    """Reads rows; the type of those that name none must be known."""

    format: Format
    task_type: str | None = None  # of rows that name none
    custom: bool = False  # fields are as they are on the wire, and types have no class

    def __attrs_post_init__(self) -> None:
        if self.task_type is not None and not self.custom:
            class_of(self.task_type)

    def rows(self, source: Path, only: Container[int] | None = None) -> AsyncGenerator[Row]:
        """Yield the rows of a file or a pipe, or only those of some numbers; a few ahead."""
        return read_ahead(source, partial(self.read, only=only))

    def count(self, source: Path) -> int | None:
        """Return about how many rows there are; None when that cannot be known beforehand."""
        try:
            found = count_rows(source, self.format)
            if found is not None:
                # A quote that is not closed is found only by reading CSV to its end.
                only = () if self.format == "csv" else None
                with source.open("rb") as stream:
                    next(self.read(stream, only), None)
        except OSError as error:
            raise ConfigurationError(f"cannot read {source}: {reason(error)}") from None
        return found

    def read(self, stream: BinaryIO, only: Container[int] | None = None) -> Iterator[Row]:
        """Yield the rows of a stream, which may wait for each; refuse one of another form."""
        lines = lines_of(stream)
        read = _from_csv if self.format == "csv" else _from_json
        rows = enumerate(self._with_types(read(lines, custom=self.custom)), 1)
        return (
            self._row(number, line, values)
            for number, (line, values) in rows
            if only is None or number in only
        )

    def _with_types(self, rows: Iterator[_Values]) -> Iterator[_Values]:
        """Refuse rows of which none has a type, going by the first two; one may be a slip."""
        first: list[_Values] = []
        for line, values in islice(rows, 2):
            first.append((line, values))
            if self.task_type or isinstance(values, ConfigurationError) or values.get("type"):
                return chain(first, rows)
        if first:
            raise ConfigurationError(
                f"line {first[0][0]} of the rows has no type: "
                "give --type, or name one in each row as type"
            )
        return iter(first)

    def _row(self, number: int, line: int, values: dict[str, Any] | ConfigurationError) -> Row:
        said = {} if isinstance(values, ConfigurationError) else values
        if not said.get("type") and self.task_type is not None:
            # Another --type makes other rows of them: what was paid for is of no use for those.
            named = self.task_type if self.custom else class_of(self.task_type).__name__
            said = said | {"type": named}
        # Without secrets: the digest stands in a file, where they could be searched for.
        key = hashlib.sha256(_SORTED.encode(_public(said)).encode()).hexdigest()[:16]
        name = task = problem = None
        columns = dict[str, Any]()
        try:
            if isinstance(values, ConfigurationError):
                raise values
            name = _id_of(values)
            task_type = self._type_of(values)
            if not self.custom:
                own = [item for item in values if is_own(task_type, item)]
                columns = _columns({item: values.pop(item) for item in own})
            reference = f"{number}:{key}" if name is None else f"{number}:{key}:{name}"
            task = task_of(task_type, values, custom=self.custom, reference=reference)
        except ConfigurationError as error:
            problem = ConfigurationError(f"line {line}: {error.message}")
        return Row(number, key, name, columns, task, problem)

    def _type_of(self, values: dict[str, Any]) -> str:
        """Take the type of a row out of it."""
        task_type = values.pop("type", None) or self.task_type
        if not isinstance(task_type, str):
            raise ConfigurationError("a row needs a type; --type gives one to all that have none")
        return task_type


def row_of(reference: str | None) -> RowName | None:
    """Return which row a task was created for; None when for none."""
    found = re.fullmatch("([1-9][0-9]{0,8}):([0-9a-f]{16})(?::(.*))?", reference or "")
    return None if found is None else RowName(int(found[1]), found[2], found[3])


def shared_reference(row: Row, source: Path) -> str:
    """Return what a row is known by on all machines that share a fleet.

    That is its own name, wherever it stands; else the name of its file, without the folder, and
    its number: so a file has the same name on all machines, and parts of one have others. Rows
    that say something else are other rows in any case.
    """
    if row.id is not None:
        return f"{row.key}:{row.id}"
    if not source.is_file():
        raise ConfigurationError(
            'the rows of a fleet need an "id" each, if they do not come from a file: else nobody '
            "could tell them from those of other machines"
        )
    file = hashlib.sha256(os.fsencode(source.name)).hexdigest()[:16]
    return f"{row.key}:{row.number}:{file}"


def format_of(source: Path) -> Format:
    """Return how the rows of a file are written down, going by its name."""
    return "csv" if source.suffix.lower() == ".csv" else "jsonl"


def count_rows(source: Path, row_format: Format) -> int | None:
    """Return about how many rows there are; None when that cannot be known beforehand.

    A file that is no text in UTF-8 is refused, with the first line that is not.
    """
    if source == STDIN or not stat.S_ISREG(source.stat().st_mode):
        return None
    decoder = getincrementaldecoder("utf-8")()
    lines, text = 0, "\n"
    with source.open("rb") as stream:
        while chunk := stream.read(LONGEST):
            try:
                text = decoder.decode(chunk) or text
            except UnicodeDecodeError as error:
                wrong = lines + error.object[: error.start].count(b"\n") + 1
                marks = (mark for mark in _OTHER_FILES if error.object.startswith(mark))
                remedy = _OTHER_FILES.get(next(marks, b""), "save the file as that")
                break
            lines += text.count("\n")
        else:
            return max(0, lines + (not text.endswith("\n")) - (row_format == "csv"))
    raise ConfigurationError(f"line {wrong} of the rows is no text in UTF-8: {remedy}")


def _from_json(lines: Iterable[bytes], *, custom: bool) -> Iterator[_Values]:
    """Yield the fields of each line that is not blank, or why there are none.

    One wrong line is one row; where the next one is wrong as well, it is another form. An array
    may have lines that look like rows.
    """
    read = ((number, _loaded(line), line) for number, line in enumerate(lines, 1) if line.strip())
    first = list(islice(read, 1))
    if first and not forms.is_row(first[0][1], custom=custom):
        number, value, line = first[0]
        first += islice(read, 0 if line.lstrip().startswith(b"[") else 1)
        if not forms.is_row(first[-1][1], custom=custom):
            forms.refuse_lines(number, line, value)
    for number, value, line in chain(first, read):
        if value is None:
            wrong = "a row must be one JSON object on one line, with each name once"
            yield number, ConfigurationError(_too_long(line) or wrong)
        else:
            yield number, value


def _loaded(line: bytes) -> dict[str, Any] | None:
    try:
        # Of bytes, json would guess the encoding, for each line anew.
        return None if _too_long(line) else object_in(line.decode())
    except UnicodeDecodeError:
        return None


def _too_long(line: bytes) -> str:
    """Return what is wrong with a line of which no more was read; nothing for any other."""
    return f"a line holds at most {LONGEST:,} bytes" if len(line) > LONGEST else ""


def _from_csv(lines: Iterable[bytes], *, custom: bool) -> Iterator[_Values]:
    """Yield the cells of each record below the header by name, or why there are none."""
    header: list[str] | None = None
    for line, cells in records_of(lines):
        if header is None:
            header = forms.header(line, cells, custom=custom)
        elif cells is None:
            wrong = f"a row must be CSV: text in UTF-8 of at most {LONGEST:,} bytes, with commas"
            yield line, ConfigurationError(wrong)
        elif len(cells) != len(header):
            wrong = f"a row has {len(cells)} columns, the header {len(header)}"
            yield line, ConfigurationError(wrong)
        else:
            named = zip(header, cells, strict=True)
            yield line, {name: cell for name, cell in named if name and cell}


def _columns(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that come out with the result, in which they must be JSON."""
    if not own:
        return {}
    with suppress(ValueError):
        json.dumps(own, allow_nan=False)
        return _public(own)
    raise ConfigurationError("NaN and Infinity are no JSON: write null, or the number as text")


def _public(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values without secrets, nested ones too."""
    if not any(isinstance(value, dict | list) for value in values.values()):
        return _without_secrets(values)
    return cast("dict[str, Any]", json.loads(json.dumps(values), object_hook=_without_secrets))


def _without_secrets(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if not _is_secret(name)}


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

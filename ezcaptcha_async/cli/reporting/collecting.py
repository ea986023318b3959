"""All rows of a file as columns of plain numbers: 48 bytes for each, whatever it holds.

Lines may be damaged: nothing in them is believed. A failed row that a later line may replace
is remembered by its number as well, and at most so many types and errors are told apart, so
that no file can fill the memory.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable
from math import nan
from typing import Any, Final, cast

import attrs

from ezcaptcha_async.cli.output import printable

OTHERS: Final = "all others"
_MOST_TYPES: Final = 50
_MOST_ERRORS: Final = 50
_LONGEST_NAME: Final = 80
_LONGEST_MESSAGE: Final = 200
_MOST: Final = 1e12
_MOST_SECONDS: Final = 1e6
# The year 3000; every platform has a calendar until then.
_LATEST: Final = 32_503_680_000.0

_COUNTS: Final = 1
_MAY_BE_CHARGED: Final = 2


def _numbers() -> array[float]:
    return array("d")


@attrs.define(eq=False)
class Solutions:
    """The solved rows of one type, one column for each figure; not-a-number where there is none.

    The Unix time at which a solution was delivered; the seconds until then, but of no row that
    an earlier run began; those for which the token was still good then; the most for which it
    lay ready before it was fetched; its polls and points.
    """

    finished_at: array[float] = attrs.field(factory=_numbers)
    waited: array[float] = attrs.field(factory=_numbers)
    left: array[float] = attrs.field(factory=_numbers)
    delay: array[float] = attrs.field(factory=_numbers)
    polls: array[float] = attrs.field(factory=_numbers)
    points: array[float] = attrs.field(factory=_numbers)

    def __len__(self) -> int:
        return len(self.finished_at)

    def add(self, row: dict[str, Any], receipt: dict[str, Any]) -> None:
        """Keep one row."""
        finished_at = _time(row.get("finished_at"))
        waited = nan if row.get("resumed") else receipt.get("waited")
        left = _time(row.get("expires_at")) - finished_at
        delay = _time(receipt.get("ready_at")) - _time(receipt.get("processing_at"))
        self.finished_at.append(finished_at)
        self.waited.append(a_number(waited, most=_MOST_SECONDS))
        self.left.append(a_number(left, -_MOST_SECONDS, _MOST_SECONDS))
        self.delay.append(a_number(delay, most=_MOST_SECONDS))
        self.polls.append(a_number(receipt.get("polls")))
        self.points.append(a_number(receipt.get("points")))

    def extend(self, other: Solutions) -> None:
        """Keep all rows of another type as well."""
        for column in attrs.fields(Solutions):
            getattr(self, column.name).extend(getattr(other, column.name))


@attrs.define(eq=False)
class Errors:
    """The failed rows with one kind and code."""

    kind: str  # class of the error
    code: str  # the service's; empty when it gave none
    example: str  # what the first of them says
    finished_at: array[float] = attrs.field(factory=_numbers)
    points: array[float] = attrs.field(factory=_numbers)
    marks: bytearray = attrs.field(factory=bytearray)

    def add(self, row: dict[str, Any], error: dict[str, Any]) -> int:
        """Keep one row, and return its place."""
        self.finished_at.append(_time(row.get("finished_at")))
        self.points.append(a_number(an_object(error.get("ticket")).get("points")))
        self.marks.append(_COUNTS | (_MAY_BE_CHARGED if error.get("may_be_charged") is True else 0))
        return len(self.marks) - 1

    def replace(self, place: int, *, by_the_same_task: bool) -> None:
        """Take back a row for which a later line has come.

        What another task may have been charged for stays charged.
        """
        self.marks[place] &= 0 if by_the_same_task else _MAY_BE_CHARGED

    def times(self) -> list[float]:
        """Return when the rows failed that still count."""
        pairs = zip(self.finished_at, self.marks, strict=True)
        return [time for time, mark in pairs if mark & _COUNTS]

    def charges(self) -> list[float]:
        """Return the points that may have been charged, not-a-number where that is unknown."""
        pairs = zip(self.points, self.marks, strict=True)
        return [points for points, mark in pairs if mark & _MAY_BE_CHARGED]


@attrs.define(eq=False)
class Collection:
    """What a file holds."""

    solutions: dict[str, Solutions] = attrs.field(factory=dict[str, Solutions])  # by type
    errors: dict[tuple[str, str], Errors] = attrs.field(factory=dict[tuple[str, str], Errors])
    damaged: int = 0  # lines that were skipped
    repeated: int = 0  # failed rows that a later line has replaced
    # Two at most, which is as much as one need know.
    services: set[str] = attrs.field(factory=set[str])
    time_scale: float = 1.0  # of the fastest of them
    _replaceable: dict[Any, tuple[Errors, int, str]] = attrs.field(
        factory=dict[Any, tuple[Errors, int, str]]
    )

    def add(self, line: bytes) -> None:
        """Take in one line."""
        row = document_in(line) or {}
        match row.get("status"):
            case "solved":
                self._add_solved(row, an_object(row.get("receipt")))
            case "failed":
                self._add_failed(row, an_object(row.get("error")))
            case _:
                self.damaged += 1

    def _add_solved(self, row: dict[str, Any], receipt: dict[str, Any]) -> None:
        self._replace(row, _text(receipt.get("task_id")))
        name = _text(receipt.get("task_type")) or "unknown type"
        if name not in self.solutions and len(self.solutions) >= _MOST_TYPES:
            name = OTHERS
        self.solutions.setdefault(name, Solutions()).add(row, receipt)
        self.time_scale = max(self.time_scale, a_number(row.get("time_scale"), 1))
        if len(self.services) <= 1:
            self.services.add(_text(receipt.get("service")))

    def _add_failed(self, row: dict[str, Any], error: dict[str, Any]) -> None:
        task_id = _text(error.get("task_id"))
        self._replace(row, task_id)
        code, message = _text(error.get("code")), error.get("message")
        key = (_text(error.get("kind")) or "unknown error", code)
        if key not in self.errors and len(self.errors) >= _MOST_ERRORS:
            key = (OTHERS, "")
        if key not in self.errors:
            if isinstance(message, str):
                # Without the code, and the id that belongs to one of many tasks only.
                message = message.removesuffix(f" (task {task_id})").removeprefix(f"{code}: ")
            self.errors[key] = Errors(*key, _text(message, _LONGEST_MESSAGE))
        place = self.errors[key].add(row, error)
        if isinstance(row.get("row"), int) and row.get("final") is False:
            self._replaceable[row["row"]] = (self.errors[key], place, task_id)

    def _replace(self, row: dict[str, Any], task_id: str) -> None:
        """Take back the row with the same number that failed before, if there is one."""
        number = row.get("row")
        if isinstance(number, int) and number in self._replaceable:
            errors, place, failed_id = self._replaceable.pop(number)
            errors.replace(place, by_the_same_task=bool(task_id) and task_id == failed_id)
            self.repeated += 1


def collected(lines: Iterable[bytes]) -> Collection:
    """Read all lines, each once; of one that is damaged no more is known than that."""
    collection = Collection()
    for line in filter(bytes.strip, lines):
        collection.add(line)
    return collection


def document_in(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a line is; None where it is none, as when it is damaged."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def an_object(value: Any) -> dict[str, Any]:
    """Return an object; an empty one for what is none."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _text(value: Any, longest: int = _LONGEST_NAME) -> str:
    """Return a text on one line, shortened where it is too long to be shown."""
    if not isinstance(value, str):
        return ""
    text = printable(value[: 2 * longest])
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def a_number(value: Any, least: float = 0, most: float = _MOST) -> float:
    """Return a number within its bounds, else not-a-number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return nan
    # Compared before it is converted: JSON knows whole numbers that no float can hold.
    return float(value) if least <= value <= most else nan


def _time(value: Any) -> float:
    """Return a Unix time in seconds, else not-a-number."""
    return a_number(value, most=_LATEST)

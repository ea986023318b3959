"""All rows of a file as columns of plain numbers: 40 bytes for each, whatever it holds.

A failed row that a later line may replace is remembered by its number as well, and at
most so many types and errors are told apart, so that no file can fill the memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from math import isnan
from typing import Final

import attrs

from ezcaptcha_async.cli.reporting.results import FailedRow, ResultRow, SolvedRow, parsed

OTHERS: Final = "all others"
_MOST_TYPES: Final = 50
_MOST_ERRORS: Final = 50

_COLUMNS: Final = ("finished_at", "waited", "left", "delay", "points")
_COUNTS: Final = 1
_MAY_BE_CHARGED: Final = 2


def _numbers() -> array[float]:
    return array("d")


@attrs.define(eq=False)
class Solutions:
    """The solved rows of one type, one column for each figure; see `SolvedRow`."""

    finished_at: array[float] = attrs.field(factory=_numbers)
    waited: array[float] = attrs.field(factory=_numbers)
    left: array[float] = attrs.field(factory=_numbers)
    delay: array[float] = attrs.field(factory=_numbers)
    points: array[float] = attrs.field(factory=_numbers)
    polls: float = 0.0
    polled: int = 0

    def __len__(self) -> int:
        return len(self.finished_at)

    def add(self, row: SolvedRow) -> None:
        """Keep one row."""
        for name in _COLUMNS:
            getattr(self, name).append(getattr(row, name))
        if not isnan(row.polls):
            self.polls += row.polls
            self.polled += 1

    def extend(self, other: Solutions) -> None:
        """Keep all rows of another type as well."""
        for name in _COLUMNS:
            getattr(self, name).extend(getattr(other, name))
        self.polls += other.polls
        self.polled += other.polled


@attrs.define(eq=False)
class Errors:
    """The failed rows with one kind and code."""

    kind: str  # class of the error
    code: str  # the service's; empty when it gave none
    example: str  # what the first of them says
    finished_at: array[float] = attrs.field(factory=_numbers)
    points: array[float] = attrs.field(factory=_numbers)
    marks: bytearray = attrs.field(factory=bytearray)

    def add(self, row: FailedRow) -> int:
        """Keep one row, and return its place."""
        self.finished_at.append(row.finished_at)
        self.points.append(row.points)
        self.marks.append(_COUNTS | (_MAY_BE_CHARGED if row.may_be_charged else 0))
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
    _replaceable: dict[int, tuple[Errors, int, str]] = attrs.field(
        factory=dict[int, tuple[Errors, int, str]]
    )

    def add(self, row: ResultRow) -> None:
        """Take in one row."""
        before = None if row.row is None else self._replaceable.pop(row.row, None)
        if before is not None:
            errors, place, task_id = before
            errors.replace(place, by_the_same_task=bool(task_id) and task_id == row.task_id)
            self.repeated += 1
        if isinstance(row, SolvedRow):
            self._solutions_of(row.type).add(row)
            self.time_scale = max(self.time_scale, row.time_scale)
            if len(self.services) <= 1:
                self.services.add(row.service)
            return
        errors = self._errors_of(row)
        place = errors.add(row)
        if row.row is not None and not row.final:
            self._replaceable[row.row] = (errors, place, row.task_id)

    def _solutions_of(self, name: str) -> Solutions:
        if name not in self.solutions and len(self.solutions) >= _MOST_TYPES:
            name = OTHERS
        return self.solutions.setdefault(name, Solutions())

    def _errors_of(self, row: FailedRow) -> Errors:
        key = (row.kind, row.code)
        if key not in self.errors and len(self.errors) >= _MOST_ERRORS:
            key = (OTHERS, "")
        if key not in self.errors:
            self.errors[key] = Errors(*key, row.message)
        return self.errors[key]


def collected(lines: Iterable[bytes]) -> Collection:
    """Read all lines, each once; of one that is damaged no more is known than that."""
    collection = Collection()
    for line in filter(bytes.strip, lines):
        row = parsed(line)
        if row is None:
            collection.damaged += 1
        else:
            collection.add(row)
    return collection

"""What one line of a results file says. Lines may be damaged: nothing in them is believed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from math import nan
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import attrs

from ezcaptcha_async import ConfigurationError
from ezcaptcha_async.cli.failures import reason
from ezcaptcha_async.cli.options import STDIN
from ezcaptcha_async.cli.output import printable

UNKNOWN_TYPE: Final = "unknown type"

_LONGEST_LINE: Final = 1 << 26
_LONGEST_NAME: Final = 80
_LONGEST_MESSAGE: Final = 200
_MOST_SECONDS: Final = 1e6
_MOST: Final = 1e12
# The year 3000; every platform has a calendar until then.
_LATEST: Final = 32_503_680_000.0


@attrs.frozen(kw_only=True)
class SolvedRow:
    """A row with a solution. Numbers that it does not say are not-a-number."""

    row: int | None  # None when it has no number
    task_id: str  # empty when it is not known
    type: str
    finished_at: float  # Unix time in seconds at which the solution was delivered
    waited: float  # seconds from creation to the solution; not of a row that an earlier run began
    left: float  # seconds for which the token was still good when it was delivered
    delay: float  # most seconds for which the solution lay ready before it was fetched
    polls: float
    points: float
    service: str  # empty when it is not known
    time_scale: float = 1.0  # how many times as fast as real it ran


@attrs.frozen(kw_only=True)
class FailedRow:
    """A row with an error."""

    row: int | None  # None when it has no number
    task_id: str  # empty when it is not known
    final: bool  # False when a later line may replace this one
    finished_at: float  # Unix time in seconds
    kind: str  # class of the error
    code: str  # the service's; empty when it gave none
    message: str
    may_be_charged: bool
    points: float  # as listed


ResultRow: TypeAlias = SolvedRow | FailedRow


def lines(source: Path) -> Iterator[bytes]:
    """Read the lines of a file one by one, or those of stdin for ``-``."""
    try:
        with nullcontext(sys.stdin.buffer) if source == STDIN else source.open("rb") as stream:
            yield from iter(lambda: stream.readline(_LONGEST_LINE), b"")
    except (OSError, ValueError) as error:
        problem = reason(error, "its name cannot be that of a file")
        raise ConfigurationError(f"cannot read {source}: {problem}") from None


def document_in(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object that a line is; None where it is none, as when it is damaged."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def parsed(line: bytes) -> ResultRow | None:
    """Return what a line says; None when it is damaged, or no line of a results file."""
    row = document_in(line) or {}
    match row.get("status"):
        case "solved":
            return _solved(row)
        case "failed":
            return _failed(row)
        case _:
            return None


def _solved(row: dict[str, Any]) -> SolvedRow:
    receipt = _object(row.get("receipt"))
    finished_at = _time(row.get("finished_at"))
    delay = _time(receipt.get("ready_at")) - _time(receipt.get("processing_at"))
    return SolvedRow(
        row=_row_number(row),
        task_id=_text(receipt.get("task_id")),
        type=_text(receipt.get("task_type")) or UNKNOWN_TYPE,
        finished_at=finished_at,
        waited=nan if row.get("resumed") else _number(receipt.get("waited"), 0, _MOST_SECONDS),
        left=_number(_time(row.get("expires_at")) - finished_at, -_MOST_SECONDS, _MOST_SECONDS),
        delay=_number(delay, 0, _MOST_SECONDS),
        polls=_number(receipt.get("polls"), 0, _MOST),
        points=_number(receipt.get("points"), 0, _MOST),
        service=_text(receipt.get("service")),
        time_scale=max(1.0, _number(row.get("time_scale", 1.0), 1, _MOST)),
    )


def _failed(row: dict[str, Any]) -> FailedRow:
    error = _object(row.get("error"))
    task_id = _text(error.get("task_id"))
    code = _text(error.get("code"))
    return FailedRow(
        row=_row_number(row),
        task_id=task_id,
        final=row.get("final") is not False,
        finished_at=_time(row.get("finished_at")),
        kind=_text(error.get("kind")) or "unknown error",
        code=code,
        message=_text(_without(error.get("message"), code, task_id), _LONGEST_MESSAGE),
        may_be_charged=error.get("may_be_charged") is True,
        points=_number(_object(error.get("ticket")).get("points"), 0, _MOST),
    )


def _without(message: Any, code: str, task_id: str) -> Any:
    """Return a message without the code, and the id that belongs to one of many tasks only."""
    if not isinstance(message, str):
        return None
    return message.removesuffix(f" (task {task_id})").removeprefix(f"{code}: ")


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _row_number(row: dict[str, Any]) -> int | None:
    number = row.get("row")
    return number if isinstance(number, int) else None


def _text(value: Any, longest: int = _LONGEST_NAME) -> str:
    """Return a text on one line, shortened where it is too long to be shown."""
    if not isinstance(value, str):
        return ""
    text = printable(value[: 2 * longest])
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _number(value: Any, least: float, most: float) -> float:
    """Return a number within its bounds, else not-a-number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return nan
    # Compared before it is converted: JSON knows whole numbers that no float can hold.
    return float(value) if least <= value <= most else nan


def _time(value: Any) -> float:
    return _number(value, 0, _LATEST)

"""The lines of a results file. They may be damaged: nothing in them is believed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from math import nan
from pathlib import Path
from typing import Any, Final, cast

from ezcaptcha_async import ConfigurationError
from ezcaptcha_async.cli.failures import reason
from ezcaptcha_async.cli.options import STDIN
from ezcaptcha_async.cli.output import printable

_LONGEST_LINE: Final = 1 << 26
_LONGEST_NAME: Final = 80
_MOST: Final = 1e12
# The year 3000; every platform has a calendar until then.
_LATEST: Final = 32_503_680_000.0


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


def an_object(value: Any) -> dict[str, Any]:
    """Return an object; an empty one for what is none."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def a_text(value: Any, longest: int = _LONGEST_NAME) -> str:
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


def a_time(value: Any) -> float:
    """Return a Unix time in seconds, else not-a-number."""
    return a_number(value, most=_LATEST)

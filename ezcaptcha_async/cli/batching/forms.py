"""Whether rows are in the form that they are taken to be in, before the first is bought."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, NoReturn

from ezcaptcha_async import ConfigurationError
from ezcaptcha_async.cli.fields import names_a_field, wire_names

_DELIMITERS: Final = {";": "semicolons", "\t": "tabs", "|": "bars"}


def is_row(value: dict[str, Any] | None, *, custom: bool) -> bool:
    """Return whether what a line of JSON holds is an object that a task can be made of."""
    return value is not None and (custom or (names_a_field(value) and not wire_names(value)))


def refuse_lines(number: int, line: bytes, value: dict[str, Any] | None) -> NoReturn:
    """Say what lines are that are no rows, going by the first and what it holds as JSON."""
    text = line.decode(errors="replace").strip()
    if value is not None:
        _check_names(number, value)
        _refuse(number, "has no field of a task", "check that it is the right file")
    if text.startswith("["):
        _refuse(number, "begins a JSON array", "write one object a line, as jq -c '.[]' does")
    if text.startswith("{"):
        wrong = "ends in a comma" if text.endswith(",") else "is no whole JSON object"
        _refuse(number, wrong, "write one object a line and nothing between, as jq -c . does")
    _check_delimiter(number, text)
    _refuse(number, "is no JSON object", "give --format csv if it is CSV")


def header(number: int, cells: Sequence[str] | None, *, custom: bool) -> list[str]:
    """Return the names of the columns, empty for one without a name, or refuse what are none."""
    # None is what is no CSV.
    names = [""] if cells is None else [cell.strip() for cell in cells]
    if names[0].startswith(("{", "[")):
        _refuse(number, "is JSON", "give --format jsonl, and one object a line")
    if len(names) == 1:
        _check_delimiter(number, names[0], is_header=True)
    named = [name for name in names if name]
    is_known = all(map(str.isidentifier, named)) if custom else names_a_field(named)
    if not (named and is_known) or len(set(named)) < len(named):
        wanted = "such as type,website_url,website_key, each once"
        _refuse(number, "must name its columns", wanted)
    if not custom:
        _check_names(number, named)
    return names


def _check_names(number: int, names: Collection[str]) -> None:
    if found := wire_names(names):
        wanted = ", ".join(f"{ours} for {name}" for name, ours in found.items())
        _refuse(number, "names fields as on the wire", f"write {wanted}")


def _check_delimiter(number: int, text: str, *, is_header: bool = False) -> None:
    """Refuse another delimiter than a comma; in a header without one, whatever it parts."""
    for delimiter, name in _DELIMITERS.items():
        parts = text.split(delimiter)[1:]
        if names_a_field(parts) or (is_header and parts):
            _refuse(number, f"is separated by {name}", "save the file as CSV with commas")


def _refuse(number: int, reason: str, remedy: str) -> NoReturn:
    raise ConfigurationError(f"line {number} of the rows {reason}: {remedy}")

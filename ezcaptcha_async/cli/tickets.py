"""Saved tickets in a text: as this program prints them, and as a program of the user's does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, cast

from ezcaptcha_async import SavedTicket

_FIELDS: Final = frozenset({"task_id", "service", "type", "created_at"})
"""What a saved ticket has at least."""


def tickets_in(text: str) -> list[SavedTicket]:
    """Return the saved tickets of a text, each once.

    One stands by itself, in a list, or in the error that ``--json`` prints; the text is one
    JSON document, or one on each line, between which anything else may stand.
    """
    whole = _documents(text)
    lines = () if whole else text.splitlines()
    documents = whole or [document for line in lines for document in _documents(line)]
    found = (ticket for document in documents for ticket in _tickets(document))
    return list({ticket["task_id"]: ticket for ticket in found}.values())


def _documents(text: str) -> list[object]:
    """Return the JSON document that a text is, or those in a list; none where it is no JSON."""
    document: object = None
    if text.lstrip().startswith(("{", "[")):
        with suppress(ValueError, RecursionError):
            document = json.loads(text)
    return _listed(document)


def _listed(value: object) -> list[object]:
    if isinstance(value, list):
        return cast("list[object]", value)
    return [] if value is None else [value]


def _tickets(document: object) -> Iterator[SavedTicket]:
    """Yield the ticket that a document is, or those of the error that it tells of."""
    if not isinstance(document, dict):
        return
    fields = cast("dict[str, Any]", document)
    if fields.keys() >= _FIELDS and isinstance(fields["task_id"], str):
        yield cast("SavedTicket", fields)
    elif fields.keys() == {"error"} and isinstance(fields["error"], dict):
        error = cast("dict[str, Any]", fields["error"])
        for ticket in (*_listed(error.get("ticket")), *_listed(error.get("tickets"))):
            yield from _tickets(ticket)

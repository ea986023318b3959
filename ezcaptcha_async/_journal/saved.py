"""A ticket written down: what another process needs to fetch a paid task, and no secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias, TypeVar, cast

import attrs
from attrs.validators import optional

from ezcaptcha_async._checks import (
    checked,
    filled_problem,
    number_problem,
    reference_problem,
    str_problem,
)
from ezcaptcha_async.errors import ConfigurationError, SavedTicket

T = TypeVar("T")

Key: TypeAlias = tuple[str, str | None, str]
"""Service, fingerprint of the account and task id: what a paid task is known by."""

_VERSION: Final = 1


def made(record: type[T], fields: Mapping[str, Any]) -> T:
    """Make what was written down of those fields that it knows; a later release may write more.

    They come from outside, so each is checked as the ``metadata["check"]`` of its field says.

    Raises:
        ConfigurationError: A value has not the right form.
    """
    known = attrs.fields(cast("Any", record))
    read = record(**{field.name: fields[field.name] for field in known if field.name in fields})
    for field in known:
        if "check" in field.metadata:
            field.metadata["check"](read, field, getattr(read, field.name))
    return read


_WHOSE: Final = "the saved ticket's "
_FILLED: Final = {"check": checked(filled_problem, _WHOSE)}
_FILLED_OR_NONE: Final = {"check": optional(_FILLED["check"])}
_NUMBER: Final = {"check": checked(number_problem, _WHOSE)}
_NUMBER_OR_NONE: Final = {"check": optional(_NUMBER["check"])}
_TEXT: Final = {"check": checked(str_problem, _WHOSE)}
_REFERENCE: Final = {"check": optional(checked(reference_problem, _WHOSE))}


def _id_problem(value: object) -> str | None:
    # A line end in an id would forge a line in a log.
    is_harmless = isinstance(value, str) and value.isascii() and value.isprintable()
    return filled_problem(value) or (None if is_harmless else "must hold printable ASCII only")


@attrs.frozen(kw_only=True)
class SavedTask:
    """The fields of a saved ticket.

    Args:
        task_id: The service's id.
        service: Name of the service.
        account: Fingerprint of the account that paid; None when it is not known.
        type: The task's type, as this library names it.
        host: Host of the task's page, for its expected solve time.
        created_at: Unix time in seconds of its creation.
        processing_at: Unix time in seconds of the last ``processing``.
        polls: How many polls were sent so far.
        points: Listed price.
        reference: What the task is to whoever had it solved.
    """

    task_id: str = attrs.field(metadata={"check": checked(_id_problem, _WHOSE)})
    service: str = attrs.field(metadata=_FILLED)
    account: str | None = attrs.field(default=None, metadata=_FILLED_OR_NONE)
    type: str = attrs.field(metadata=_FILLED)
    host: str = attrs.field(default="", metadata=_TEXT)
    created_at: float = attrs.field(metadata=_NUMBER)
    processing_at: float | None = attrs.field(default=None, metadata=_NUMBER_OR_NONE)
    polls: int = attrs.field(default=0, metadata=_NUMBER)
    points: float | None = attrs.field(default=None, metadata=_NUMBER_OR_NONE)
    reference: str | None = attrs.field(default=None, metadata=_REFERENCE)

    def to_dict(self) -> SavedTicket:
        """Return the JSON-able form."""
        return cast("SavedTicket", {"version": _VERSION, **attrs.asdict(self)})

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> SavedTask:
        """Read the JSON-able form. Unknown keys are passed over.

        Raises:
            ConfigurationError: It is no saved ticket, one of a newer version, or a value has not
                the right form.
        """
        if not isinstance(saved, Mapping):
            raise ConfigurationError(f"expected a saved ticket, not {type(saved).__name__}")
        if saved.get("version", _VERSION) != _VERSION:
            raise ConfigurationError(
                "the saved ticket's version is not known; update ezcaptcha-async"
            )
        missing = sorted(_REQUIRED - saved.keys())
        if missing:
            raise ConfigurationError(f"the saved ticket has no {missing[0]}")
        return made(cls, saved)


def key_of(task: SavedTask) -> Key:
    """Return what a paid task is known by."""
    return task.service, task.account, task.task_id


_REQUIRED: Final = frozenset(
    field.name for field in attrs.fields(SavedTask) if field.default is attrs.NOTHING
)

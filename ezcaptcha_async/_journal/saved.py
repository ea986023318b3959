"""A ticket written down: what another process needs to fetch a paid task, and no secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

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

_VERSION: Final = 1


_WHOSE: Final = "the saved ticket's "
_check_filled: Final = checked(filled_problem, _WHOSE)
_check_number: Final = checked(number_problem, _WHOSE)
_check_number_or_none: Final = optional(_check_number)


def _id_problem(value: object) -> str | None:
    # A line end in an id would forge a line in a log.
    is_harmless = isinstance(value, str) and value.isascii() and value.isprintable()
    return filled_problem(value) or (None if is_harmless else "must hold printable ASCII only")


@attrs.frozen(kw_only=True)
class SavedTask:
    """The fields of a saved ticket, checked.

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

    Raises:
        ConfigurationError: A value is missing or has not the right form.
    """

    task_id: str = attrs.field(validator=checked(_id_problem, _WHOSE))
    service: str = attrs.field(validator=_check_filled)
    account: str | None = attrs.field(default=None, validator=optional(_check_filled))
    type: str = attrs.field(validator=_check_filled)
    host: str = attrs.field(default="", validator=checked(str_problem, _WHOSE))
    created_at: float = attrs.field(validator=_check_number)
    processing_at: float | None = attrs.field(default=None, validator=_check_number_or_none)
    polls: int = attrs.field(default=0, validator=_check_number)
    points: float | None = attrs.field(default=None, validator=_check_number_or_none)
    reference: str | None = attrs.field(
        default=None, validator=optional(checked(reference_problem, _WHOSE))
    )

    def to_dict(self) -> SavedTicket:
        """Return the JSON-able form."""
        return cast("SavedTicket", {"version": _VERSION, **attrs.asdict(self)})

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> SavedTask:
        """Read the JSON-able form. Unknown keys are passed over.

        Raises:
            ConfigurationError: It is no saved ticket, or one of a newer version.
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
        return cls(**{name: value for name, value in saved.items() if name in _NAMES})


_NAMES: Final = frozenset(field.name for field in attrs.fields(SavedTask))
_REQUIRED: Final = frozenset(
    field.name for field in attrs.fields(SavedTask) if field.default is attrs.NOTHING
)

"""A ticket written down: what another process needs to fetch a paid task, and no secret."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

import attrs

from ezcaptcha_async._checks import reference_problem
from ezcaptcha_async.errors import ConfigurationError, SavedTicket

_VERSION: Final = 1
_LARGEST: Final = sys.float_info.max


def _check_text(_saved: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"the saved ticket's {field.name} must be a non-empty str")


def _check_host(_saved: object, field: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, str):
        raise ConfigurationError(f"the saved ticket's {field.name} must be a str")


def _check_reference(_saved: object, _field: attrs.Attribute[Any], value: object) -> None:
    problem = reference_problem(value)
    if problem is not None:
        raise ConfigurationError(f"the saved ticket's reference {problem}")


def _check_number(_saved: object, field: attrs.Attribute[Any], value: object) -> None:
    # Compared and not converted: JSON knows whole numbers that no float can hold.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _LARGEST:
        raise ConfigurationError(f"the saved ticket's {field.name} must be a finite number")


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

    task_id: str = attrs.field(validator=_check_text)
    service: str = attrs.field(validator=_check_text)
    account: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(_check_text)
    )
    type: str = attrs.field(validator=_check_text)
    host: str = attrs.field(default="", validator=_check_host)
    created_at: float = attrs.field(validator=_check_number)
    processing_at: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(_check_number)
    )
    polls: int = attrs.field(default=0, validator=_check_number)
    points: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(_check_number)
    )
    reference: str | None = attrs.field(
        default=None, validator=attrs.validators.optional(_check_reference)
    )

    def to_dict(self) -> SavedTicket:
        """Return the JSON-able form."""
        return {"version": _VERSION, **attrs.asdict(self)}

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
        names = {field.name for field in attrs.fields(cls)}
        required = {field.name for field in attrs.fields(cls) if field.default is attrs.NOTHING}
        missing = sorted(required - saved.keys())
        if missing:
            raise ConfigurationError(f"the saved ticket has no {missing[0]}")
        return cls(**{name: value for name, value in saved.items() if name in names})

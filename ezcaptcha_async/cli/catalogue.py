"""The task types as data: their fields from the classes, their prices from the profiles."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias, get_type_hints

import attrs

from ezcaptcha_async import EZCAPTCHA, ONECAPTCHA, Offer, Service, Task
from ezcaptcha_async.tasks import TASK_TYPES

SERVICES: Final = (EZCAPTCHA, ONECAPTCHA)
_TOLD_OF_A_SERVICE: Final = ("name", "base_url", "currency", "points_per_unit")

Form: TypeAlias = Literal["text", "flag", "object"]


@attrs.frozen(kw_only=True)
class Field:
    """One field of a task type."""

    name: str  # as the task class has it
    wire: str | None  # as the services spell it; None for `extra`, which holds any other
    form: Form
    required: bool
    default: bool | str | None  # what it is when left out


def _fields_of(task_class: type[Task[Any]]) -> tuple[Field, ...]:
    hints = get_type_hints(task_class)
    found = (
        _field(item, hints[item.name])
        for item in attrs.fields(task_class)
        if item.name != "reference"  # that goes to no service
    )
    return tuple(sorted(found, key=lambda field: (field.wire is None, not field.required)))


def _field(field: Any, hint: Any) -> Field:
    required = field.default is attrs.NOTHING
    return Field(
        name=field.name,
        wire=field.metadata.get("wire"),
        form=field.metadata.get("form", "flag" if hint in (bool, bool | None) else "text"),
        required=required,
        default=None if required else field.default,
    )


FIELDS: Final = {task_class: _fields_of(task_class) for task_class in TASK_TYPES}
"""Task class → its fields: required ones first, ``extra`` last."""
ALL_FIELDS: Final = [field for fields in FIELDS.values() for field in fields]
FIELD_NAMES: Final = tuple(dict.fromkeys(field.name for field in ALL_FIELDS))


def offers_of(task_class: type[Task[Any]]) -> tuple[tuple[Service, Offer], ...]:
    """Return the services that have a type, each with its offer."""
    offers = ((service, service.offer_for(task_class.__name__)) for service in SERVICES)
    return tuple((service, offer) for service, offer in offers if offer is not None)


def as_document() -> dict[str, Any]:
    """Return everything as one JSON-able object."""
    return {
        "services": [
            {name: getattr(service, name) for name in _TOLD_OF_A_SERVICE} for service in SERVICES
        ],
        "types": [
            {
                "type": task_class.__name__,
                "fields": [attrs.asdict(field) for field in fields],
                "offers": [
                    {
                        "service": service.name,
                        "type": offer.wire_type,
                        "points": offer.points,
                        "lowest_points": offer.lowest_points,
                    }
                    for service, offer in offers_of(task_class)
                ],
            }
            for task_class, fields in FIELDS.items()
        ],
    }

"""From ``TYPE name=value …`` to a task. No value is ever repeated in an error."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final, cast

from ezcaptcha_async import ConfigurationError, CustomTask, Task
from ezcaptcha_async.cli.catalogue import Field, fields_of
from ezcaptcha_async.tasks import TASK_TYPES

_ARGUMENT: Final = re.compile(r"(\w+)(:?=)(.*)", re.DOTALL)
_FLAGS: Final[Mapping[str, bool]] = {
    "true": True,
    "yes": True,
    "1": True,
    "false": False,
    "no": False,
    "0": False,
}

_TaskClass = type[Task[Any]]


def task_from(
    task_type: str, arguments: Iterable[str], more: str | None = None, *, custom: bool = False
) -> Task[Any]:
    """Build a task.

    Args:
        task_type: The type, in any case.
        arguments: ``name=text`` or ``name:=JSON`` for each field.
        more: Further fields as the text of one JSON object.
        custom: True for a type without a class: fields as they are on the wire.

    Raises:
        ConfigurationError: The type or a field is not known, missing or wrong.
    """
    values = {} if more is None else _object(more)
    given: dict[str, Any] = {}
    for position, argument in enumerate(arguments, 1):
        name, value = _split(argument, position)
        if name in given or name in values:
            raise ConfigurationError(f"field {name} was given twice")
        given[name] = value
    return task_of(task_type, values | given, custom=custom)


def task_of(task_type: str, values: Mapping[str, Any], *, custom: bool = False) -> Task[Any]:
    """Build a task of fields that have been read already.

    Args:
        task_type: The type, in any case.
        values: The fields by name; a flag may be text.
        custom: True for a type without a class: fields as they are on the wire.

    Raises:
        ConfigurationError: As `task_from`.
    """
    if custom:
        return CustomTask(task_type, values)
    task_class = _class_of(task_type)
    fields = {field.name: field for field in fields_of(task_class)}
    for name in values:
        if name not in fields:
            raise ConfigurationError(_unknown_field(name, task_class, fields))
    missing = [
        field.name for field in fields.values() if field.required and field.name not in values
    ]
    if missing:
        raise ConfigurationError(f"{task_class.__name__} needs {' and '.join(missing)}")
    return task_class(**{name: _parsed(fields[name], value) for name, value in values.items()})


def _split(argument: str, position: int) -> tuple[str, Any]:
    match = _ARGUMENT.fullmatch(argument)
    if match is None:
        # Not shown: it may be a proxy with its password.
        raise ConfigurationError(f"field {position} must have the form name=value")
    name, sign, text = match.groups()
    if sign == "=":
        return name, text
    try:
        return name, json.loads(text)
    except (ValueError, RecursionError):
        pass  # raised below, where the cause, which holds the text, does not come along
    raise ConfigurationError(f"{name}:= must be followed by JSON; for plain text write {name}=")


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ConfigurationError("--fields must hold one JSON object")
    return cast("dict[str, Any]", value)


_TYPO: Final = 0.9
_MEANINGS: Final = (
    ("turnstile", "cloudflareturnstiletask"),
    ("hcaptcha", "hcaptcha"),
    ("funcaptcha", "funcaptchataskproxyless"),
    ("arkose", "funcaptchataskproxyless"),
    ("cloudflare", "cloudflare5stask"),
    ("v3enterprise", "recaptchav3enterprisetaskproxyless"),
    ("v3", "recaptchav3taskproxyless"),
    ("enterprise", "recaptchav2enterprisetaskproxyless"),
    ("captcha", "recaptchav2taskproxyless"),
)
"""What other services call a type → the type, in lower case; the first word that is there."""


def _class_of(task_type: str) -> _TaskClass:
    names = {task_class.__name__.casefold(): task_class for task_class in TASK_TYPES}
    wanted = task_type.casefold()
    if wanted in names:
        return names[wanted]
    meant = _meant(wanted, names)
    hint = f"did you mean {names[meant].__name__}? " if meant else ""
    # A field in the place of the type may be a secret.
    shown = f"type {task_type}" if task_type.isidentifier() else "the type comes first; that one"
    raise ConfigurationError(
        f"{shown} is not known; {hint}'ezcaptcha types' lists all, "
        "--custom sends any other with its fields as they are on the wire"
    )


def _meant(wanted: str, names: Iterable[str]) -> str | None:
    """Return the type that was probably meant: a typo of its name, else what it is about.

    By letters alone "TurnstileTask" is nearest to FunCaptcha, which would be paid for in vain.
    """
    typo = get_close_matches(wanted, names, n=1, cutoff=_TYPO)
    if typo:
        return typo[0]
    about = next((known for word, known in _MEANINGS if word in wanted), None)
    return about if about is not None else next(iter(get_close_matches(wanted, names, n=1)), None)


def _unknown_field(name: str, task_class: _TaskClass, fields: Mapping[str, Field]) -> str:
    on_the_wire = {field.wire: field.name for field in fields.values()}
    close = get_close_matches(name, fields, n=1)
    known = on_the_wire.get(name) or (close[0] if close else None)
    hint = f"did you mean {known}?" if known else f"it has {', '.join(fields)}"
    return f"{task_class.__name__} has no field {name}; {hint}"


def _parsed(field: Field, value: Any) -> Any:
    if field.form != "flag" or not isinstance(value, str):
        return value
    flag = _FLAGS.get(value.lower())
    if flag is None:
        raise ConfigurationError(f"{field.name} must be true or false")
    return flag

"""From ``TYPE name=value …`` to a task. No value is ever repeated in an error."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final, cast

from ezcaptcha_async import ConfigurationError, CustomTask, Task
from ezcaptcha_async.cli.catalogue import ALL_FIELDS, FIELD_NAMES, FIELDS, Field
from ezcaptcha_async.cli.connection import may_be_key
from ezcaptcha_async.tasks import TASK_TYPES

_ARGUMENT: Final = re.compile(r"(\w+)(:?=)(.*)", re.DOTALL)
_WORDS: Final = re.compile(r"[A-Z]?[a-z]+([A-Z][a-z]+|_[A-Z]?[a-z]+)*")
_FLAGS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

_TaskClass = type[Task[Any]]
_CLASSES: Final = {task_class.__name__.casefold(): task_class for task_class in TASK_TYPES}


def task_from(
    task_type: str, arguments: Iterable[str], more: str | None = None, *, custom: bool = False
) -> Task[Any]:
    """Build a task of ``name=text`` or ``name:=JSON`` for each field, and of more in JSON."""
    values = {} if more is None else object_in(more)
    if values is None:
        raise ConfigurationError("--fields must hold one JSON object, with each name once")
    given: dict[str, Any] = {}
    for position, argument in enumerate(arguments, 1):
        name, value = _split(argument, position)
        if name in given or name in values:
            shown = f"field {position}" if _may_be_key(name) else f"field {name}"
            raise ConfigurationError(f"{shown} was given twice")
        given[name] = value
    return task_of(task_type, values | given, custom=custom)


def task_of(
    task_type: str, values: Mapping[str, Any], *, custom: bool = False, reference: str | None = None
) -> Task[Any]:
    """Build a task of fields that have been read already; a flag may be text."""
    if custom:
        return CustomTask(task_type, values, reference=reference)
    task_class = class_of(task_type)
    fields = {field.name: field for field in FIELDS[task_class]}
    for name in values:
        if name not in fields:
            raise ConfigurationError(_unknown_field(name, task_class, fields))
    required = (field.name for field in fields.values() if field.required)
    if missing := [name for name in required if name not in values]:
        raise ConfigurationError(f"{task_class.__name__} needs {' and '.join(missing)}")
    parsed = {name: _parsed(fields[name], value) for name, value in values.items()}
    return task_class(**parsed, reference=reference)


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


def _each_once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice")  # json would take the last, and pay for it
    return found


_JSON: Final = json.JSONDecoder(object_pairs_hook=_each_once)  # made once: rows are millions


def object_in(text: str) -> dict[str, Any] | None:
    """Return the JSON object that a text is, with each name once; None where it is none."""
    try:
        value = _JSON.decode(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


_TYPO: Final = 0.85  # MTCaptcha is as near as 0.82 to HCaptcha
_LIKE: Final = 0.8
_LONG: Final = 4  # so many letters in common are no accident
_ENDING: Final = re.compile(r"task(prox\w*?(?=s9|$))?")
_MEANINGS: Final = (
    ("turnstile", "cloudflareturnstiletask"),
    ("hcaptcha", "hcaptcha"),
    ("funcaptcha", "funcaptchataskproxyless"),
    ("arkose", "funcaptchataskproxyless"),
    ("cloudflare", "cloudflare5stask"),
    ("nocaptcha", "recaptchav2taskproxyless"),
    ("recaptcha v3 enterprise", "recaptchav3enterprisetaskproxyless"),
    ("recaptcha v3", "recaptchav3taskproxyless"),
    ("recaptcha enterprise", "recaptchav2enterprisetaskproxyless"),
    ("recaptcha", "recaptchav2taskproxyless"),
)
"""What other services call a type → the type, in lower case; the first whose words are there."""


def class_of(task_type: str) -> type[Task[Any]]:
    """Return the class of a type, in any case; or say which one was probably meant."""
    wanted = task_type.casefold()
    if wanted in _CLASSES:
        return _CLASSES[wanted]
    meant = _meant(wanted)
    hint = f"did you mean {_CLASSES[meant].__name__}? " if meant else ""
    # A field in the place of the type may be a secret, and so may a key.
    is_shown = task_type.isidentifier() and (bool(meant) or not may_be_key(task_type))
    shown = f"type {task_type}" if is_shown else "the type comes first; that one"
    raise ConfigurationError(
        f"{shown} is not known; {hint}'ezcaptcha types' lists all, "
        "--custom sends any other with its fields as they are on the wire"
    )


def _meant(wanted: str) -> str | None:
    """Return the type that was probably meant: a typo of its name, else what it is about.

    By letters alone "TurnstileTask" and "NoCaptchaTaskProxyless" are nearest to FunCaptcha, and
    "GeeTestTaskProxyless" to a reCAPTCHA, which would be paid for in vain. So what most names end
    in does not count.
    """
    stem = _stem(wanted)
    about = [(words, known) for words, known in _MEANINGS if _holds(stem, words)][:1]
    stems = {_stem(known): known for known in _CLASSES}
    near = get_close_matches(stem, stems, n=len(stems), cutoff=_TYPO)
    typos = [stems[known] for known in near if all(_holds(known, words) for words, _ in about)]
    meant = [*typos, *(known for _, known in about)]
    return meant[0] if meant else None


def _stem(name: str) -> str:
    return _ENDING.sub("", _plain(name))


def _holds(name: str, words: str) -> bool:
    return all(word in name for word in words.split())


@lru_cache(maxsize=1024)  # a batch asks for each of its rows
def is_own(task_type: str, name: str) -> bool:
    """Return whether a name in a row is one of the user's own, and not meant for a field.

    A typo is meant for one, and so is what the services or others call a field, or what is one
    of another type: who left it out would pay for a task that nobody wanted.
    """
    plain = _plain(name)
    if plain in _NAMES or plain in _FOREIGN:
        return False
    fields = {_plain(field.name) for field in FIELDS[class_of(task_type)]}
    return not get_close_matches(plain, fields, n=1, cutoff=_LIKE) and not any(
        (len(plain) >= _LONG and plain in field) or (len(field) > _LONG and field in plain)
        for field in fields
    )


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


_OF_THE_WIRE: Final = {
    _plain(field.wire): field.name
    for field in ALL_FIELDS
    if field.wire is not None and field.wire != field.name
}
"""What a field is called on the wire, in plain letters → here, where that is not the same."""

_NAMES: Final = frozenset([*map(_plain, FIELD_NAMES), *_OF_THE_WIRE])
"""What all fields of all types are called, here and on the wire, in plain letters."""

_FOREIGN: Final[Mapping[str, str | None]] = {
    name: ours
    for ours, names in (
        ("api_js_subdomain", "arkoselabsapijssubdomain surl"),
        ("data", "blob datablob"),
        ("page_action", "action"),
        ("proxy", "proxyaddress proxylogin proxypassword proxyport proxytype"),
        ("s", "datas enterprisepayload recaptchadatasvalue"),
        ("website_key", "captchakey googlekey publickey sitekey websitepublickey"),
        ("website_url", "pageurl siteurl"),
        (None, "apidomain cdata chlpagedata cookies enterprise isenterprise issession minscore"),
        (None, "pagedata turnstileaction turnstilecdata useragent"),
    )
    for name in names.split()
}
"""What other services call a field, in plain letters → ours that says the same, if there is one."""

_PAGE: Final = "website_url"


def names_a_field(names: Iterable[str]) -> bool:
    """Return whether one of the names is that of a field."""
    return not _NAMES.isdisjoint(map(_plain, names))


def wire_names(names: Collection[str]) -> dict[str, str]:
    """Return those of the names that only the services have for a field, each with ours.

    None where the page, which each task needs, is not among them: a row may do without the others.
    """
    plain = {name: _plain(name) for name in names if name not in FIELD_NAMES}
    found = {name: _OF_THE_WIRE[word] for name, word in plain.items() if word in _OF_THE_WIRE}
    return found if _PAGE in found.values() and _PAGE not in names else {}


def _unknown_field(name: str, task_class: _TaskClass, fields: Mapping[str, Field]) -> str:
    on_the_wire = {field.wire: field.name for field in fields.values()}
    plain = _plain(name)
    # By its letters alone "isEnterprise" may be near to something else.
    meant = [_FOREIGN[plain]] if plain in _FOREIGN else get_close_matches(name, fields, n=1)
    known = on_the_wire.get(name) or next((item for item in meant if item in fields), None)
    hint = f"did you mean {known}?" if known else f"it has {', '.join(fields)}"
    shown = "of a name that was given" if _may_be_key(name) else name
    return f"{task_class.__name__} has no field {shown}; {hint}"


def _may_be_key(name: str) -> bool:
    # Those that others have made up may be long, but are words.
    return may_be_key(name) and _WORDS.fullmatch(name) is None


def _parsed(field: Field, value: Any) -> Any:
    if field.form != "flag" or not isinstance(value, str):
        return value
    flag = _FLAGS.get(value.lower())
    if flag is None:
        raise ConfigurationError(f"{field.name} must be true or false")
    return flag

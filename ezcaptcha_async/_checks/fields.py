"""The fields of a task: what is wrong with a value, and what it becomes."""

# Annotations are not postponed here: attrs gives those of a converter to the constructors of
# the task classes, in whose module their names would not be found.

import json
import math
import re
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias, cast
from urllib.parse import urlsplit

import attrs

from ezcaptcha_async._checks.numbers import is_number
from ezcaptcha_async._checks.proxies import credentials_last, read_proxy
from ezcaptcha_async.errors import ConfigurationError

LONGEST_REFERENCE: Final = 200
"""Most characters of a task's reference."""

LONGEST_TEXT: Final = 64 * 1024
"""Most characters of any other field."""

LONGEST_OBJECT: Final = 256 * 1024
"""Most characters of a field that is a JSON object: each create reads and writes it anew, for
which the event loop stands still."""

LANGUAGE: Final = "en-US"
"""The only one that HCaptcha is solved in."""

_OF_SECRETS: Final = (
    r"passw|passphrase|pwd|secret|token|cookie|credential|login|user_?name|session|authoriz"
    r"|(api|access|client|private)[-_ ]?key|^(pass|auth)$"
)
_UNPRINTABLE: Final = r"[\s\x00-\x1f\x7f]"
_USER_INFO: Final = r"(?<=://)[^/?#]*@"


def names_secret(name: str) -> bool:
    """Return whether a field of that name holds a secret. A site key is none: the page shows it."""
    return re.search(_OF_SECRETS, name, re.IGNORECASE) is not None


def without_user_info(url: str | None) -> str:
    """Show a URL without its credentials."""
    return repr(url and re.sub(_USER_INFO, "***@", url))


@lru_cache(maxsize=1_024)
def host_of(url: str) -> str:
    """Return the host of a URL, in lower case; empty when there is none, or no such port."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # both may raise
    except ValueError:
        return ""
    return host or ""


def str_problem(value: object, most: float = math.inf) -> str | None:
    """Return what is wrong with what should be a str of at most so many characters."""
    if not isinstance(value, str):
        return f"must be a str, not {type(value).__name__}"
    return None if len(value) <= most else f"must have at most {most:,} characters"


def filled_problem(value: object) -> str | None:
    """Return what is wrong with what should be a str that is not empty."""
    return None if isinstance(value, str) and value else "must be a non-empty str"


def number_problem(value: object) -> str | None:
    """Return what is wrong with what should be a number."""
    return None if is_number(value) else "must be a finite number"


def _text_problem(value: object) -> str | None:
    if isinstance(value, str) and (not value or re.search(_UNPRINTABLE, value)):
        return "must not be empty or hold white space"
    return str_problem(value, LONGEST_TEXT)


def _flag_problem(value: object) -> str | None:
    return None if isinstance(value, bool) else f"must be True or False, not {value!r}"


def _url_problem(value: object) -> str | None:
    problem, url = _text_problem(value), str(value)
    if problem or (url.lower().startswith(("http://", "https://")) and host_of(url)):
        return problem
    return "must be a whole URL such as https://example.com/login"


def _title_problem(value: object) -> str | None:
    is_blank = isinstance(value, str) and not value.strip()
    return "must not be empty" if is_blank else str_problem(value, LONGEST_TEXT)


def _language_problem(value: object) -> str | None:
    return None if value == LANGUAGE else f"must be {LANGUAGE!r}, the only one that the service has"


def _credentials_last_problem(value: object) -> str | None:
    if value is None or credentials_last(str(value)):
        return None
    return (
        "must be one that can be written as scheme://host:port:user:password, which this type is "
        "sent: no colon or white space in user or password, and no @ that makes it ambiguous"
    )


def reference_problem(value: object) -> str | None:
    """Return what is wrong with a reference; None when nothing is."""
    if isinstance(value, str) and 0 < len(value) <= LONGEST_REFERENCE and value.isprintable():
        return None
    return f"must be printable text of 1 to {LONGEST_REFERENCE} characters"


_Check: TypeAlias = Callable[[object, "attrs.Attribute[Any]", Any], None]


def checked(problem_with: Callable[[object], str | None], whose: str = "") -> _Check:
    """Return a validator that raises for what is wrong with a value.

    Args:
        problem_with: Returns that, or None.
        whose: Stands before the name of the field.
    """

    def check(_task: object, field: "attrs.Attribute[Any]", value: object) -> None:
        problem = problem_with(value)
        if problem is not None:
            raise ConfigurationError(f"{whose}{field.alias} {problem}")

    return check


check_text: Final = checked(_text_problem)
check_optional_text: Final = attrs.validators.optional(check_text)
check_flag: Final = checked(_flag_problem)
check_url: Final = checked(_url_problem)
check_optional_flag: Final = attrs.validators.optional(check_flag)
check_optional_title: Final = attrs.validators.optional(checked(_title_problem))
check_language: Final = checked(_language_problem)
check_credentials_last: Final = checked(_credentials_last_problem)
check_reference: Final = attrs.validators.optional(checked(reference_problem))


def as_proxy(value: str) -> str:
    """Return a proxy in its one form."""
    problem = _text_problem(value)
    proxy, problem = ("", problem) if problem else read_proxy(value)
    if problem:
        raise ConfigurationError(f"proxy {problem}")
    return proxy


def as_optional_proxy(value: str | None) -> str | None:
    """Return a proxy in its one form, if there is one."""
    return None if value is None else as_proxy(value)


def _json_text(value: Mapping[str, Any] | str) -> str:
    """Return a JSON object as compact text; empty when `value` is none, or too long.

    Text is what makes it immutable, hashable and cheap to keep.
    """
    try:
        loaded = dict(value) if isinstance(value, Mapping) else json.loads(value)
        text = json.dumps(loaded, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return ""
    return text if text.startswith("{") and len(text) <= LONGEST_OBJECT else ""


def _object_of(value: Mapping[str, Any] | str, field: str) -> str:
    text = _json_text(value)
    if not text:
        raise ConfigurationError(
            f"{field} must be a JSON object: a mapping or its JSON text, of at most "
            f"{LONGEST_OBJECT:,} characters"
        )
    return text


def as_data(value: Mapping[str, Any] | str | None) -> str | None:
    """Return ``data`` as JSON text."""
    return None if value is None else _object_of(value, "data")


def as_rq_data(value: Mapping[str, Any] | str | None) -> str | None:
    """Return ``rq_data`` as JSON text."""
    return None if value is None else _object_of(value, "rq_data")


def as_custom_fields(value: Mapping[str, Any] | str) -> str:
    """Return the fields of a custom task as JSON text."""
    text = _object_of(value, "fields")
    if "type" in json.loads(text):
        raise ConfigurationError("fields must not hold 'type'; it is the first argument")
    return text


def as_extra(value: Mapping[str, Any] | str | None) -> str | None:
    """Return what a task holds beside its fields as JSON text; None when that is nothing."""
    text = None if value is None else _object_of(value, "extra")
    return None if text == "{}" else text


def check_extra(task: object, _field: "attrs.Attribute[Any]", extra: str | None) -> None:
    """Check that `extra` holds none of the fields that a task has, nor one that is misspelt."""
    names = [] if extra is None else list(json.loads(extra))
    task_class = cast("Hashable", type(task))
    problems = [extra_problem(task_class, name) for name in names]
    for problem in problems:
        if problem is not None:
            raise ConfigurationError(f"extra {problem}")


def check_no_field_twice(task: Any, _field: "attrs.Attribute[Any]", fields: str) -> None:
    """Check that the `extra` of a custom task holds none of its `fields`."""
    held = {name.casefold() for name in json.loads(fields)}
    names = [name for name in json.loads(task.extra or "{}") if name.casefold() in held]
    if names:
        raise ConfigurationError(f"extra must not hold {names[0][:40]!r}, which fields holds")


@lru_cache(maxsize=1_024)
def extra_problem(task_class: Hashable, name: str) -> str | None:
    """Return why a task must not be sent a field of that name beside its own, if so."""
    meant, shown = plain(name), repr(name[:40])
    if meant == "type":
        return "must not hold 'type': the class says it, and of a CustomTask the first argument"
    for field in attrs.fields(cast("type[Any]", task_class)):
        if "wire" not in field.metadata:
            continue
        known = {plain(field.name), plain(field.metadata["wire"])}
        if meant in known:
            return f"must not hold {shown}: give it as {field.alias}"
        if any(is_misspelt(meant, other) for other in known):
            return (
                f"holds {shown}: did you mean {field.alias}? "
                "If there is such a field, send it in the fields of a CustomTask"
            )
    return None


def plain(name: str) -> str:
    """Return a name as it is compared: however it is spelt, in letters and digits alone."""
    return name.replace("_", "").replace("-", "").casefold()


def is_misspelt(name: str, known: str) -> bool:
    """Return whether one is so near to the other that it is meant: of four letters, one is wrong.

    Two in eight or more; no new name, such as proxyType beside proxy, is so near.
    """
    from difflib import SequenceMatcher  # noqa: PLC0415 - for mistakes alone

    most, longer = min(len(known) // 4, 2), max(len(name), len(known))
    if abs(len(name) - len(known)) > most:
        return False
    blocks = SequenceMatcher(None, name, known, autojunk=False).get_matching_blocks()
    return longer - sum(block.size for block in blocks) <= most


def keys_only(text: str | None) -> str:
    """Show the names in a JSON object, and none of its values."""
    return "None" if text is None else f"<{', '.join(json.loads(text))}>"

"""In which words each service refuses; what it sells is in the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias

import attrs

from ezcaptcha_async.testing._field_checks import NO_CREDENTIALS, REQUIRED

Dialect: TypeAlias = Literal["ezcaptcha", "1captcha"]

_OLDER_FIELD_CODES: Final = {
    "websiteURL": "INVALID_RECAPTCHA_SITEURL",
    "websiteKey": "ERROR_RECAPTCHA_INVALID_SITEKEY",
}


@attrs.frozen(kw_only=True)
class Habits:
    """How one service answers.

    Args:
        refused_fields: Field → what is wrong with it; returns the error code for that.
        names_fields: Whether the answer names the fields as well, under ``errors``.
    """

    refused_fields: Callable[[Mapping[str, str]], str]
    names_fields: bool


def _live_field_code(faults: Mapping[str, str]) -> str:
    if faults in ({"proxy": REQUIRED}, {"proxy": NO_CREDENTIALS}):
        return "ERROR_REQUEST_PROXY_MISSING"
    return "ERROR_REQUEST_PARAMETERS"


def _older_field_code(faults: Mapping[str, str]) -> str:
    field, reason = next(iter(faults.items()), ("", REQUIRED))
    if reason == REQUIRED:
        return "ERROR_REQUIRED_FIELDS"
    return _OLDER_FIELD_CODES.get(field, "ERROR_REQUIRED_FIELDS")


HABITS: Final[Mapping[Dialect, Habits]] = {
    "ezcaptcha": Habits(refused_fields=_live_field_code, names_fields=True),
    "1captcha": Habits(refused_fields=_older_field_code, names_fields=False),
}
"""EzCaptcha as it is in October 2026, and 1captcha as its pages have it."""

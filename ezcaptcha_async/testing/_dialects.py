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
        unknown_type: The error code for a task type that it does not have.
        unknown_task: The error code for a task id that is unknown or past its window.
        errors_as_http_status: Whether errors come as HTTP 4xx and 5xx.
        is_live: Whether every answer has a ``requestId``, one that refuses fields has their
            names under ``errors``, and one for a failed task a ``status``.
    """

    refused_fields: Callable[[Mapping[str, str]], str]
    unknown_type: str
    unknown_task: str
    errors_as_http_status: bool
    is_live: bool


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
    "ezcaptcha": Habits(
        refused_fields=_live_field_code,
        unknown_type="ERROR_TASK_TYPE_NOT_SUPPORTED",
        unknown_task="ERROR_TASK_NOT_EXIST",
        errors_as_http_status=True,
        is_live=True,
    ),
    "1captcha": Habits(
        refused_fields=_older_field_code,
        unknown_type="ERROR_TASK_NOT_SUPPORTED",
        unknown_task="ERROR_TASKID_INVALID",
        errors_as_http_status=False,
        is_live=False,
    ),
}
"""EzCaptcha as it is in October 2026, and 1captcha as its pages have it."""

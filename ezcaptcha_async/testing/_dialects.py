"""In which words each service refuses; what it sells is in the catalogue."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias

import attrs

from ezcaptcha_async.testing._field_checks import NO_CREDENTIALS, REQUIRED
from ezcaptcha_async.testing._guards import DEFAULT_BAN, BanRule

Dialect: TypeAlias = Literal["ezcaptcha", "1captcha"]

_OLDER_FIELD_CODES: Final = {
    "websiteURL": "INVALID_RECAPTCHA_SITEURL",
    "websiteKey": "ERROR_RECAPTCHA_INVALID_SITEKEY",
}
_WRONG_KEY: Final = frozenset({"ERROR_KEY_DOES_NOT_EXIST", "ERROR_KEY_NOT_AVAILABLE"})
_OLDER_BAN: Final = BanRule(
    frozenset({"ERROR_KEY_DOES_NOT_EXIST", "ERROR_KEY_BANNED", "ERROR_ZERO_BALANCE"}), DEFAULT_BAN
)


@attrs.frozen(kw_only=True)
class Habits:
    """How one service answers.

    Args:
        refused_fields: Field → what is wrong with it; returns the error code for that.
        unknown_type: The error code for a task type that it does not have.
        unknown_task: The error code for a task id that is unknown or past its window.
        errors_as_http_status: Whether errors come as HTTP 4xx and 5xx.
        bans: Path → what earns a ban there; each key has its own where the service is live.
        is_live: Whether answers have a ``requestId``, those that refuse fields their names
            under ``errors``, and those for a failed task a ``status``.
    """

    refused_fields: Callable[[Mapping[str, str]], str]
    unknown_type: str
    unknown_task: str
    errors_as_http_status: bool
    bans: Mapping[str, BanRule]
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
        bans={
            "/createTask": BanRule(_WRONG_KEY | {"ERROR_ZERO_BALANCE"}, 180.0),
            "/getTaskResult": BanRule(_WRONG_KEY, 60.0),
        },
        is_live=True,
    ),
    "1captcha": Habits(
        refused_fields=_older_field_code,
        unknown_type="ERROR_TASK_NOT_SUPPORTED",
        unknown_task="ERROR_TASKID_INVALID",
        errors_as_http_status=False,
        bans=dict.fromkeys(("/createTask", "/getTaskResult", "/getBalance"), _OLDER_BAN),
        is_live=False,
    ),
}
"""EzCaptcha as it is in October 2026, and 1captcha as its pages have it."""

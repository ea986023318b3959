"""The task types of both services: names, prices, fields, solve times and solutions.

Written by hand from the services' pages and not taken from the library's own tables, so
that a mistake there shows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

import attrs

from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.testing._checks import number
from ezcaptcha_async.testing._solve_times import (
    LogNormal,
    Mixture,
    SolveTime,
    SolveTimes,
    as_solve_time,
)

Dialect: TypeAlias = Literal["ezcaptcha", "1captcha"]
Rejection: TypeAlias = tuple[str, str]
_Check: TypeAlias = Callable[[Any], bool]

_URL: Final = re.compile(r"https?://[^\s/?#]+\S*", re.IGNORECASE)
_SITE_KEY: Final = re.compile(r"[\w-]+", re.ASCII)
_PROXY: Final = re.compile(r"[a-z0-9]+://\S+:\d+/?", re.IGNORECASE)
_USER_AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0 Safari/537.36"

_FIELD_CODES: Final = {
    "websiteURL": "INVALID_RECAPTCHA_SITEURL",
    "websiteKey": "ERROR_RECAPTCHA_INVALID_SITEKEY",
}


def _matches(pattern: re.Pattern[str]) -> _Check:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_flag_as_text(value: object) -> bool:
    return value in ("true", "false")


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_object_as_text(value: object) -> bool:
    try:
        return isinstance(value, str) and isinstance(json.loads(value), dict)
    except (ValueError, RecursionError):
        return False


_CHECKS: Final[Mapping[str, _Check]] = {
    "websiteURL": _matches(_URL),
    "websiteKey": _matches(_SITE_KEY),
    "isInvisible": _is_flag,
    "sa": _is_text,
    "s": _is_text,
    "pageAction": _is_text,
    "data": _is_object_as_text,
    "funcaptchaApiJSSubdomain": _is_text,
    "proxy": _matches(_PROXY),
    "rqData": _is_object,
}


def _recaptcha(task_id: str) -> str:
    return f'{{"gRecaptchaResponse":"simulated.recaptcha.{task_id}"}}'


def _recaptcha_with_browser(task_id: str) -> str:
    solution = {
        "gRecaptchaResponse": f"simulated.recaptcha.{task_id}",
        "user_agent": _USER_AGENT,
        "sec_ch_ua": '"Chromium";v="140"',
        "cookies": {"_GRECAPTCHA": f"simulated.cookie.{task_id}"},
    }
    return json.dumps(solution)


def _funcaptcha(task_id: str) -> str:
    return f'{{"token":"simulated.funcaptcha.{task_id}|r=eu-west-1|sup=1"}}'


def _cloudflare(task_id: str) -> str:
    solution = {
        "header": {"user-agent": _USER_AGENT, "accept-language": "en"},
        "cookies": {"cf_clearance": f"simulated.clearance.{task_id}"},
        "body": f"<html><!-- {task_id} --><body>behind the check</body></html>",
    }
    return json.dumps(solution)


@attrs.frozen(kw_only=True)
class TaskKind:
    """One task type of the simulated service.

    Args:
        name: In the service's own spelling.
        points: What one task costs.
        required: Fields that must be there, apart from ``type``.
        fields: Field → check, for all fields; None when any field will do.
        solve_time: How long a task takes.
        solution: Task id → solution as JSON text.
    """

    name: str
    points: float
    required: tuple[str, ...] = ()
    fields: Mapping[str, _Check] | None = None
    solve_time: SolveTime
    solution: Callable[[str], str]

    def rejection(self, task: dict[str, Any]) -> Rejection | None:
        """Return the error code and description for a task that is not accepted."""
        for name in self.required:
            if task.get(name) in (None, ""):
                return "ERROR_REQUIRED_FIELDS", f"the field {name} is required"
        for name, value in task.items():
            check = self.fields.get(name) if self.fields else None
            if check is not None and value is not None and not check(value):
                code = _FIELD_CODES.get(name, "ERROR_REQUIRED_FIELDS")
                return code, f"the field {name} is not valid"
        return None

    def unknown_fields(self, task: dict[str, Any]) -> Iterator[str]:
        """Return the fields of a task that mean nothing here."""
        if self.fields is None:
            return iter(())
        fields = self.fields
        return (name for name in task if name not in fields and name != "type")


def _between_10_and_80(median: float, sigma: float = 0.35) -> LogNormal:
    return LogNormal(median, sigma, low=10.0, high=80.0)


_DEFAULT_SOLVE_TIME: Final = _between_10_and_80(25)


def _kind(
    name: str,
    points: float,
    solution: Callable[[str], str],
    solve_time: SolveTime,
    *,
    fields: tuple[str, str],
) -> TaskKind:
    required, optional = (names.split() for names in fields)
    return TaskKind(
        name=name,
        points=points,
        required=tuple(required),
        fields={name: _CHECKS[name] for name in (*required, *optional)},
        solve_time=solve_time,
        solution=solution,
    )


_V2: Final = ("websiteURL websiteKey", "isInvisible sa")
_V2_S: Final = ("websiteURL websiteKey s", "isInvisible sa")
_V3: Final = ("websiteURL websiteKey", "isInvisible pageAction")

# Where the pages disagree on a price, the highest.
_EZCAPTCHA: Final = (
    _kind("ReCaptchaV2TaskProxyless", 6, _recaptcha, _between_10_and_80(22), fields=_V2),
    _kind(
        "ReCaptchaV2TaskProxylessS9",
        12,
        _recaptcha_with_browser,
        _between_10_and_80(30),
        fields=_V2,
    ),
    _kind("ReCaptchaV2STaskProxyless", 15, _recaptcha, _between_10_and_80(26), fields=_V2_S),
    _kind(
        "ReCaptchaV2EnterpriseTaskProxyless",
        18,
        _recaptcha_with_browser,
        _between_10_and_80(28),
        fields=_V2,
    ),
    _kind(
        "ReCaptchaV2SEnterpriseTaskProxyless",
        30,
        _recaptcha_with_browser,
        _between_10_and_80(32),
        fields=_V2_S,
    ),
    _kind("ReCaptchaV3TaskProxyless", 8, _recaptcha, _between_10_and_80(14, 0.25), fields=_V3),
    _kind(
        "ReCaptchaV3TaskProxylessS9",
        15,
        _recaptcha_with_browser,
        _between_10_and_80(18, 0.25),
        fields=_V3,
    ),
    _kind(
        "ReCaptchaV3EnterpriseTaskProxyless",
        18,
        _recaptcha_with_browser,
        _between_10_and_80(18, 0.25),
        fields=_V3,
    ),
    _kind(
        "FuncaptchaTaskProxyless",
        18,
        _funcaptcha,
        # Few rounds or many: a page asks for one or the other.
        Mixture(((0.7, _between_10_and_80(20, 0.25)), (0.3, _between_10_and_80(50, 0.25)))),
        fields=("websiteURL websiteKey", "data funcaptchaApiJSSubdomain"),
    ),
    # No page states a price.
    _kind(
        "CloudFlare5STask",
        0,
        _cloudflare,
        _between_10_and_80(16),
        fields=("websiteURL proxy", "rqData"),
    ),
)
_ONECAPTCHA_V2: Final = _kind(
    "RecaptchaV2TaskProxyless", 4, _recaptcha, _between_10_and_80(22), fields=_V2
)
_ONECAPTCHA: Final = (
    attrs.evolve(
        _ONECAPTCHA_V2,
        fields={**(_ONECAPTCHA_V2.fields or {}), "isInvisible": _is_flag_as_text},
    ),
)


def _extra_kind(name: str, solution: Mapping[str, Any]) -> TaskKind:
    try:
        text = json.dumps(dict(solution))
    except (TypeError, ValueError):
        text = ""
    if not text:
        raise ConfigurationError(f"extra_types[{name!r}] must be a solution that JSON can hold")
    return TaskKind(
        name=name, points=0, solve_time=_DEFAULT_SOLVE_TIME, solution=lambda _task_id: text
    )


class Catalogue:
    """The task types that one simulated service has.

    Args:
        dialect: Whose types, spelling and habits.
        extra_types: Type → the solution that each of its tasks gets.
        points: Type → price, where it differs from the listed one.
        solve_times: Type → solve time, or one solve time for all types.

    Raises:
        ConfigurationError: A type is not known, or a value is out of range.
    """

    def __init__(
        self,
        *,
        dialect: Dialect,
        extra_types: Mapping[str, Mapping[str, Any]],
        points: Mapping[str, float],
        solve_times: SolveTimes | None,
    ) -> None:
        if dialect not in ("ezcaptcha", "1captcha"):
            raise ConfigurationError(f"dialect must be ezcaptcha or 1captcha, not {dialect!r}")
        # Only EzCaptcha says that it ignores case.
        self._fold: Callable[[str], str] = str.casefold if dialect == "ezcaptcha" else str
        self._kinds: dict[str, TaskKind] = {}
        for kind in _EZCAPTCHA if dialect == "ezcaptcha" else _ONECAPTCHA:
            self._put(kind)
        for name, solution in extra_types.items():
            self._put(_extra_kind(name, solution))
        for name, price in points.items():
            found = self._known("points", name)
            self._put(attrs.evolve(found, points=number(f"points[{name!r}]", price)))
        self.set_solve_times({} if solve_times is None else solve_times)

    def __iter__(self) -> Iterator[TaskKind]:
        return iter(self._kinds.values())

    def find(self, name: str) -> TaskKind | None:
        """Return a type by its name on the wire, if there is one."""
        return self._kinds.get(self._fold(name))

    def set_solve_times(self, solve_times: SolveTimes) -> None:
        """Change solve times; types that are not named keep theirs."""
        if callable(solve_times) or isinstance(solve_times, int | float):
            solve_times = dict.fromkeys((kind.name for kind in self), solve_times)
        elif not isinstance(solve_times, Mapping):
            raise ConfigurationError(
                f"solve_times must be a solve time or a mapping of them, not {solve_times!r}"
            )
        for name, solve_time in solve_times.items():
            kind = self._known("solve_times", name)
            self._put(attrs.evolve(kind, solve_time=as_solve_time(solve_time)))

    def _put(self, kind: TaskKind) -> None:
        self._kinds[self._fold(kind.name)] = kind

    def _known(self, setting: str, name: str) -> TaskKind:
        kind = self.find(name)
        if kind is None:
            known = ", ".join(kind.name for kind in self)
            raise ConfigurationError(f"{setting} names {name!r}; the types here are {known}")
        return kind

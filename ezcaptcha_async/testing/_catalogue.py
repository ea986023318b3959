"""The task types of both services: names, prices, fields, solve times and solutions.

Written by hand from the services' pages and not taken from the library's own tables, so
that a mistake there shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import attrs

from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.testing._checks import number
from ezcaptcha_async.testing._dialects import Dialect
from ezcaptcha_async.testing._field_checks import (
    CHECKS,
    FLAG_AS_TEXT,
    FUNCAPTCHA_PROXY,
    REQUIRED,
    TURNSTILE_KEY,
    Check,
)
from ezcaptcha_async.testing._solve_times import (
    LogNormal,
    Mixture,
    SolveTime,
    SolveTimes,
    as_solve_time,
)

_USER_AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0.0.0 Safari/537.36"


def _recaptcha(task_id: str) -> str:
    return f'{{"gRecaptchaResponse":"simulated.recaptcha.{task_id}"}}'


def _recaptcha_in_browser(task_id: str) -> str:
    solution = {
        "gRecaptchaResponse": f"simulated.recaptcha.{task_id}",
        "user_agent": _USER_AGENT,
        "sec_ch_ua": '"Chromium";v="140"',
        "cookies": {"_GRECAPTCHA": f"simulated.cookie.{task_id}"},
    }
    return json.dumps(solution)


def _funcaptcha(task_id: str) -> str:
    return f'{{"token":"simulated.funcaptcha.{task_id}|r=eu-west-1|sup=1"}}'


def _hcaptcha(task_id: str) -> str:
    return json.dumps({"generated_pass_UUID": f"simulated.hcaptcha.{task_id}", "ua": _USER_AGENT})


def _turnstile(task_id: str) -> str:
    solution = {"token": f"simulated.turnstile.{task_id}", "header": {"user-agent": _USER_AGENT}}
    return json.dumps(solution)


def _cloudflare(task_id: str) -> str:
    solution = {
        "header": {"user-agent": _USER_AGENT, "accept-language": "en"},
        "cookies": {"cf_clearance": f"simulated.clearance.{task_id}"},
        "tlsVersion": "chrome140",
        "sToken": f"simulated.turnstile.{task_id}",
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
    fields: Mapping[str, Check] | None = None
    solve_time: SolveTime
    solution: Callable[[str], str]

    def faults(self, task: dict[str, Any]) -> dict[str, str]:
        """Return what is wrong with a task: field → reason."""
        faults = dict.fromkeys(
            (name for name in self.required if task.get(name) in (None, "")), REQUIRED
        )
        for name, check in (self.fields or {}).items():
            value = task.get(name)
            reason = "" if value is None or name in faults else check(value)
            if reason:
                faults[name] = reason
        return faults

    def unknown_fields(self, task: dict[str, Any]) -> list[str]:
        """Return the fields of a task that mean nothing here."""
        known = task if self.fields is None else {"type", *self.fields}
        return [name for name in task if name not in known]


def _around(median: float, sigma: float = 0.35) -> LogNormal:
    return LogNormal(median, sigma, low=10.0, high=80.0)


def _kind(
    name: str,
    points: float,
    solution: Callable[[str], str],
    solve_time: SolveTime,
    fields: tuple[str, str],
    **own_checks: Check,
) -> TaskKind:
    """Return a type by the fields that it requires and those that it permits."""
    required, optional = (names.split() for names in fields)
    checks = {**CHECKS, **own_checks}
    return TaskKind(
        name=name,
        points=points,
        required=tuple(required),
        fields={name: checks[name] for name in (*required, *optional)},
        solve_time=solve_time,
        solution=solution,
    )


_V2: Final = ("websiteURL websiteKey", "isInvisible sa s proxy websiteTitle")
_V3: Final = ("websiteURL websiteKey", "isInvisible pageAction checkField proxy websiteTitle")
_FUNCAPTCHA: Final = ("websiteURL websiteKey", "data funcaptchaApiJSSubdomain proxy cn")
_HCAPTCHA: Final = ("websiteURL websiteKey lang invisible", "rqdata proxy")
_TURNSTILE: Final = ("websiteURL websiteKey", "rqData proxy")
_CLOUDFLARE: Final = ("websiteURL proxy", "rqData")
_OLDER: Final = ("websiteURL websiteKey", "isInvisible")

# Where the pages disagree on a price, the highest; where they state none, 0.
_EZCAPTCHA: Final = (
    _kind("ReCaptchaV2TaskProxyless", 6, _recaptcha_in_browser, _around(22), _V2),
    _kind("ReCaptchaV2TaskProxylessS9", 12, _recaptcha_in_browser, _around(30), _V2),
    _kind("ReCaptchaV2STaskProxyless", 15, _recaptcha_in_browser, _around(26), _V2),
    _kind("ReCaptchaV2EnterpriseTaskProxyless", 18, _recaptcha_in_browser, _around(28), _V2),
    _kind("ReCaptchaV2SEnterpriseTaskProxyless", 30, _recaptcha_in_browser, _around(32), _V2),
    _kind("ReCaptchaV3TaskProxyless", 8, _recaptcha_in_browser, _around(14, 0.25), _V3),
    _kind("ReCaptchaV3TaskProxylessS9", 15, _recaptcha_in_browser, _around(18, 0.25), _V3),
    _kind("ReCaptchaV3EnterpriseTaskProxyless", 18, _recaptcha_in_browser, _around(18, 0.25), _V3),
    _kind("ReCaptchaV3EnterpriseTaskProxylessS9", 0, _recaptcha_in_browser, _around(22, 0.25), _V3),
    _kind(
        "FuncaptchaTaskProxyless",
        18,
        _funcaptcha,
        # Few rounds or many: a page asks for one or the other.
        Mixture(((0.7, _around(20, 0.25)), (0.3, _around(50, 0.25)))),
        _FUNCAPTCHA,
        proxy=FUNCAPTCHA_PROXY,
    ),
    _kind("HCaptcha", 0, _hcaptcha, _around(24), _HCAPTCHA),
    _kind(
        "CloudFlareTurnstileTask", 0, _turnstile, _around(14), _TURNSTILE, websiteKey=TURNSTILE_KEY
    ),
    _kind("CloudFlare5STask", 0, _cloudflare, _around(16), _CLOUDFLARE),
)
_ONECAPTCHA: Final = (
    _kind("RecaptchaV2TaskProxyless", 4, _recaptcha, _around(22), _OLDER, isInvisible=FLAG_AS_TEXT),
)


def _extra_kind(name: str, solution: Mapping[str, Any]) -> TaskKind:
    try:
        text = json.dumps(dict(solution))
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"extra_types[{name!r}] must be a solution that JSON can hold"
        ) from None
    return TaskKind(name=name, points=0, solve_time=_around(25), solution=lambda _task_id: text)


class Catalogue:
    """The task types that one simulated service has.

    Args:
        dialect: Whose types, spelling and habits.
        extra_types: Type → the solution that each of its tasks gets.
        points: Type → price, where it differs from the listed one.
        solve_times: Type → solve time, or one solve time for all types.
    """

    def __init__(
        self,
        *,
        dialect: Dialect,
        extra_types: Mapping[str, Mapping[str, Any]],
        points: Mapping[str, float],
        solve_times: SolveTimes | None,
    ) -> None:
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

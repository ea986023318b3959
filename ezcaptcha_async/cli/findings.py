"""What the doctor finds, and what it makes of a certificate, a clock and a balance."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, TypeAlias

import attrs

from ezcaptcha_async import Balance, Service
from ezcaptcha_async.cli.failures import ExitCode
from ezcaptcha_async.cli.output import counted, money

State: TypeAlias = Literal["ok", "warning", "problem", "skipped"]

_DAY: Final = 86_400
_DAYS_TO_RENEW: Final = 14
# A Date header knows whole seconds only, and a machine with NTP is not further off.
_CLOCK_TOLERANCE: Final = 2.0
_TASKS_LEFT: Final = 100


@attrs.frozen
class Finding:
    """What one check found."""

    name: str  # what was checked
    state: State
    text: str  # what was found, for a person
    remedy: str | None = None  # what to do about it
    exit_code: ExitCode = attrs.field(default=ExitCode.DONE, kw_only=True)
    details: Mapping[str, Any] = attrs.field(factory=dict[str, Any], kw_only=True)


def skipped(name: str, why: str = "not checked") -> Finding:
    """Return that a check was left out, for one before if there is no other reason."""
    return Finding(name, "skipped", why)


def certificate(version: str, seconds_left: float) -> Finding:
    """Judge a certificate that is valid."""
    days = int(seconds_left // _DAY)
    details = {"version": version, "days_left": days}
    left = counted(days, "day")
    if days < _DAYS_TO_RENEW:
        remedy = "whoever runs the service has to renew it"
        text = f"the certificate expires in {left}"
        return Finding("TLS", "warning", text, remedy, details=details)
    text = f"{version}, the certificate is valid for {left}"
    return Finding("TLS", "ok", text, details=details)


def clock(date: str | None, sent: float, received: float) -> Finding:
    """Judge this machine's clock by the service's, which the ``Date`` header of an answer tells."""
    try:
        moment = parsedate_to_datetime(date or "").timestamp() + 0.5
    except (ValueError, OverflowError):
        return skipped("clock", "the answer has no date")
    ahead = (sent + received) / 2 - moment
    details = {"seconds_ahead": round(ahead, 1)}
    if abs(ahead) <= _CLOCK_TOLERANCE + (received - sent) / 2:
        text = f"within {max(1, round(abs(ahead)))} s of the service's"
        return Finding("clock", "ok", text, details=details)
    text = f"{abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} the service's"
    remedy = "let NTP set it: saved tickets carry its time along"
    return Finding("clock", "warning", text, remedy, details=details)


def balance(found: Balance, service: Service) -> Finding:
    """Judge what is left on an account."""
    worth = money(found.points, service)
    details = {"points": found.points, "currency": found.currency, "value": found.value}
    dearest = max((offer.points or 0 for offer in service.offers), default=0)
    if found.points <= 0:
        remedy, code = "top up the account; paid tasks can still be fetched", ExitCode.BALANCE
        text = "out of points"
        return Finding("balance", "problem", text, remedy, exit_code=code, details=details)
    if found.points < _TASKS_LEFT * dearest:
        text = f"{worth}: may end within {_TASKS_LEFT} tasks"
        return Finding("balance", "warning", text, "top up the account", details=details)
    return Finding("balance", "ok", worth, details=details)

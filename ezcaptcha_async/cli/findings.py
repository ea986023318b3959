"""What the doctor finds, and what it makes of a certificate, a clock and a balance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


@attrs.frozen(kw_only=True)
class Finding:
    """What one check found.

    Args:
        name: What was checked.
        state: Whether that is well.
        text: What was found, for a person.
        remedy: What to do about it.
        exit_code: What a problem is for a script.
        details: The figures, for a script.
    """

    name: str
    state: State = "ok"
    text: str
    remedy: str | None = None
    exit_code: ExitCode = ExitCode.DONE
    details: Mapping[str, Any] = attrs.field(factory=dict[str, Any])


def exit_code_of(findings: Iterable[Finding]) -> ExitCode:
    """Return the code of the first problem; what comes after it may follow from it."""
    return next((item.exit_code for item in findings if item.state == "problem"), ExitCode.DONE)


def certificate(version: str, seconds_left: float) -> Finding:
    """Judge a certificate that is valid.

    Args:
        version: The TLS version that was agreed on.
        seconds_left: How long it is valid yet.
    """
    days = int(seconds_left // _DAY)
    details = {"version": version, "days_left": days}
    left = counted(days, "day")
    if days < _DAYS_TO_RENEW:
        return Finding(
            name="TLS",
            state="warning",
            text=f"the certificate expires in {left}",
            remedy="whoever runs the service has to renew it",
            details=details,
        )
    text = f"{version}, the certificate is valid for {left}"
    return Finding(name="TLS", text=text, details=details)


def clock(date: str | None, sent: float, received: float) -> Finding:
    """Judge this machine's clock by the service's.

    Args:
        date: The ``Date`` header of an answer.
        sent: Unix time at which the request was sent.
        received: Unix time at which the answer was there.
    """
    try:
        moment = parsedate_to_datetime(date or "").timestamp() + 0.5
    except (ValueError, OverflowError):
        return Finding(name="clock", state="skipped", text="the answer has no date")
    ahead = (sent + received) / 2 - moment
    details = {"seconds_ahead": round(ahead, 1)}
    if abs(ahead) <= _CLOCK_TOLERANCE + (received - sent) / 2:
        text = f"within {max(1, round(abs(ahead)))} s of the service's"
        return Finding(name="clock", text=text, details=details)
    return Finding(
        name="clock",
        state="warning",
        text=f"{abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} the service's",
        remedy="let NTP set it: saved tickets carry its time along",
        details=details,
    )


def balance(found: Balance, service: Service) -> Finding:
    """Judge what is left on an account."""
    worth = money(found.points, service)
    details = {"points": found.points, "currency": found.currency, "value": found.value}
    dearest = max((offer.points or 0 for offer in service.offers), default=0)
    if found.points <= 0:
        return Finding(
            name="balance",
            state="problem",
            text="out of points",
            remedy="top up the account; paid tasks can still be fetched",
            exit_code=ExitCode.BALANCE,
            details=details,
        )
    if found.points < _TASKS_LEFT * dearest:
        return Finding(
            name="balance",
            state="warning",
            text=f"{worth}: may end within {_TASKS_LEFT} tasks",
            remedy="top up the account",
            details=details,
        )
    return Finding(name="balance", text=worth, details=details)

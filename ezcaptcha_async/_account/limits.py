"""What an account is kept to: in this pool, and among all that share it."""

from __future__ import annotations

from typing import Final

from ezcaptcha_async._books import MOST_ERRORS, Gate, Gatekeeper, Line, Terms
from ezcaptcha_async.accounts import Account
from ezcaptcha_async.fleets import Member

_HOLD: Final = 10.0
"""Seconds beyond the deadline of a request for which leave to send it counts as used."""


def gate_of(account: Account, *, shared: bool = False) -> Gate:
    """Return a gate for the limits of an account, but for rates that are `shared` by many pools."""
    return Gate(
        max_creates=account.max_creates,
        max_in_flight=account.max_in_flight,
        creates_per_second=None if shared else account.creates_per_second,
        polls_per_second=None if shared else account.polls_per_second,
        terms=Terms.of(account.service),
    )


def member_of(account: Account, *, request_timeout: float) -> Member:
    """Return what an account is to the pools that share it."""
    return Member(
        account=account.name,
        creates_per_second=account.creates_per_second,
        polls_per_second=account.polls_per_second,
        max_creates=account.max_creates,
        max_in_flight=account.max_in_flight,
        most_errors=MOST_ERRORS,
        error_window=account.service.ban_window,
        hold=request_timeout + _HOLD,
    )


def line_of(account: Account, keeper: Gatekeeper) -> Line:
    """Return the line of an account's tasks, with its gate or one that needs leave as well."""
    service, terms = account.service, Terms.of(account.service)
    return Line(
        gate=keeper,
        account=account.name,
        result_window=service.result_window,
        spacing=service.min_poll_interval,
        token_validity=service.token_validity,
        tick=terms.tick,
        most_late=terms.most_late,
    )

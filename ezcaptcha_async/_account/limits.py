"""What an account is kept to in this pool."""

from __future__ import annotations

from ezcaptcha_async._books import Gate, Gatekeeper, Line, Terms
from ezcaptcha_async.accounts import Account


def gate_of(account: Account, *, shared: bool = False) -> Gate:
    """Return a gate for the limits of an account, but for rates that are `shared` by many pools."""
    return Gate(
        max_creates=account.max_creates,
        max_in_flight=account.max_in_flight,
        creates_per_second=None if shared else account.creates_per_second,
        polls_per_second=None if shared else account.polls_per_second,
        terms=Terms.of(account.service),
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

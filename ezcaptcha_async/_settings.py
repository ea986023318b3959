"""How a pool works: what the user set, checked before anything is opened."""

from __future__ import annotations

from math import inf
from random import Random

import attrs

from ezcaptcha_async._timing import PollTiming
from ezcaptcha_async.accounts import Account, default_key, default_service
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.services import Service


@attrs.frozen(kw_only=True)
class Settings:
    """How a pool works, checked. All times in seconds."""

    polling: PollTiming
    max_requests: int
    request_timeout: float
    create_patience: float
    close_grace: float
    rng: Random


def accounts_from(given: tuple[Account | str, ...], service: Service | None) -> tuple[Account, ...]:
    """Return the accounts that a pool works for.

    Args:
        given: What the user passed; nothing at all for the key in the environment.
        service: The service of plain keys.

    Raises:
        ConfigurationError: A key or a combination is wrong.
    """
    accounts: list[Account] = []
    for item in given or (default_key(),):
        if isinstance(item, Account):
            if service is not None:
                raise ConfigurationError("service is for plain keys; an Account has its own")
            accounts.append(item)
        else:
            accounts.append(Account(item, service=service or default_service()))
    names = [account.name for account in accounts]
    if len(set(names)) < len(names):
        raise ConfigurationError("the same account was given twice; give each one once")
    return tuple(accounts)


def check_number(name: str, value: object, unit: str) -> None:
    """Check a setting that may be None: its default."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < inf:
        raise ConfigurationError(f"{name} must be a positive number of {unit}, not {value!r}")


def check_whole_number(name: str, value: object) -> None:
    """Check a setting that may be None: its default."""
    if value is not None and (type(value) is not int or value < 1):
        raise ConfigurationError(f"{name} must be a whole number of at least 1, not {value!r}")

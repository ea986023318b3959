"""How a pool works: what the user set, checked before anything is opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from inspect import iscoroutinefunction
from math import inf
from random import Random
from typing import Any, TypeAlias

import attrs

from ezcaptcha_async._journal import Journal
from ezcaptcha_async._timing import LearnedPolling, PollTiming
from ezcaptcha_async._wire import check_transport
from ezcaptcha_async.accounts import Account, Balance, default_key, default_service
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.events import Event
from ezcaptcha_async.services import Service
from ezcaptcha_async.transports import Transport


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


_Check: TypeAlias = Callable[["Settings", "attrs.Attribute[Any]", Any], None]


def _number_of(unit: str) -> _Check:
    def check(_settings: Settings, field: attrs.Attribute[Any], value: object) -> None:
        check_number(field.name, value, unit)

    return check


def _whole(_settings: Settings, field: attrs.Attribute[Any], value: object) -> None:
    check_whole_number(field.name, value)


def _function_of(argument: str) -> _Check:
    def check(_settings: Settings, field: attrs.Attribute[Any], value: object) -> None:
        if value is not None:
            _check_callback(field.name, value, argument)

    return check


def _known_or_own(settings: Settings, _field: attrs.Attribute[Any], transport: object) -> None:
    if transport is not None and settings.http_client is not None:
        raise ConfigurationError("give http_client or transport, not both")
    check_transport(transport)


def _raise_or_retry(settings: Settings, _field: attrs.Attribute[Any], on_unknown: object) -> None:
    if on_unknown not in {"raise", "retry"}:
        raise ConfigurationError(f"on_unknown must be 'raise' or 'retry', not {on_unknown!r}")
    if (on_unknown == "retry") is (settings.unknown_budget is None):
        raise ConfigurationError(
            "on_unknown='retry' may pay twice: set unknown_budget to the points it may cost"
            if settings.unknown_budget is None
            else "unknown_budget is for on_unknown='retry'"
        )


def _together(settings: Settings, _field: attrs.Attribute[Any], low_balance: object) -> None:
    if (low_balance is None) is not (settings.on_low_balance is None):
        raise ConfigurationError("low_balance and on_low_balance go together; set both")


def _as_journal(journal: Journal | str | os.PathLike[str] | None) -> Journal | None:
    return journal if journal is None or isinstance(journal, Journal) else Journal(journal)


def _as_random(rng: Random | None) -> Random:
    return Random() if rng is None else rng


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Settings:
    """How a pool works, checked; see `SessionPool` for what each setting means.

    Raises:
        ConfigurationError: A value is wrong, or two do not go together; the message names it.
    """

    http_client: Any = None
    transport: Transport | str | None = attrs.field(default=None, validator=_known_or_own)
    polling: PollTiming
    journal: Journal | None = attrs.field(default=None, converter=_as_journal)
    unknown_budget: float | None = attrs.field(default=None, validator=_number_of("points"))
    on_unknown: str = attrs.field(default="raise", validator=_raise_or_retry)
    budget: float | None = attrs.field(default=None, validator=_number_of("points"))
    on_low_balance: Callable[[Balance], object] | None = attrs.field(
        default=None, validator=_function_of("a Balance")
    )
    low_balance: float | None = attrs.field(
        default=None, validator=[_number_of("points"), _together]
    )
    on_event: Callable[[Event], object] | None = attrs.field(
        default=None, validator=_function_of("an event")
    )
    max_requests: int | None = attrs.field(default=None, validator=_whole)
    request_timeout: float = attrs.field(validator=_number_of("seconds"))
    create_patience: float = attrs.field(validator=_number_of("seconds"))
    close_grace: float = attrs.field(validator=_number_of("seconds"))
    rng: Random = attrs.field(converter=_as_random)


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


def default_polling(accounts: Iterable[Account]) -> LearnedPolling:
    """Return the policy of a pool that was given none.

    Where its services run at different speeds, that of the slowest holds: a poll that comes
    late costs time, one that comes too soon is for nothing.
    """
    return LearnedPolling().at_speed(min(account.service.speed for account in accounts))


def _check_callback(name: str, function: object, argument: str) -> None:
    if not callable(function):
        raise ConfigurationError(f"{name} must be a function that takes {argument}")
    called = function.func if isinstance(function, partial) else function
    if iscoroutinefunction(called) or iscoroutinefunction(getattr(called, "__call__", None)):  # noqa: B004 - its code, not whether it is callable
        raise ConfigurationError(
            f"{name} must be a plain function, not an async one, which nobody would await: "
            "let it put what it is told into a queue, or start a task of its own"
        )

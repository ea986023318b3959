"""How a pool works: what the user set, checked before anything is opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from inspect import iscoroutinefunction
from math import inf
from random import Random

import attrs

from ezcaptcha_async._journal import Journal
from ezcaptcha_async._timing import LearnedPolling, PollTiming
from ezcaptcha_async.accounts import Account, Balance, default_key, default_service
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.events import Event
from ezcaptcha_async.services import Service


@attrs.frozen(kw_only=True)
class Settings:
    """How a pool works, checked. All times in seconds.

    Args:
        polling: When to poll.
        max_requests: None for what the transport is good for.
        request_timeout: Total deadline of one request.
        create_patience: How long a create that was certainly not accepted is tried again.
        close_grace: How long closing waits for requests in flight.
        rng: The source of jitter.
        budget: Most points to spend; None for no limit.
        unknown_budget: Most points to risk on creates that are sent once more after their
            answer was lost; None for none at all.
        low_balance: Points below which `on_low_balance` is called.
        on_low_balance: Told of a balance that has run low; None when nobody wants to know.
        on_event: Told of all that happens; likewise.
    """

    polling: PollTiming
    max_requests: int | None
    request_timeout: float
    create_patience: float
    close_grace: float
    rng: Random
    budget: float | None
    unknown_budget: float | None
    low_balance: float
    on_low_balance: Callable[[Balance], object] | None
    on_event: Callable[[Event], object] | None


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


def journal_from(journal: Journal | str | os.PathLike[str] | None) -> Journal | None:
    """Return the journal that the user named by its path, or None.

    Raises:
        ConfigurationError: It is neither.
    """
    if journal is None or isinstance(journal, Journal):
        return journal
    return Journal(journal)


def check_on_unknown(on_unknown: object, unknown_budget: object) -> None:
    """Check what is to happen when the answer to createTask was lost.

    Raises:
        ConfigurationError: The two do not go together.
    """
    if on_unknown not in {"raise", "retry"}:
        raise ConfigurationError(f"on_unknown must be 'raise' or 'retry', not {on_unknown!r}")
    check_number("unknown_budget", unknown_budget, "points")
    if (on_unknown == "retry") is (unknown_budget is None):
        raise ConfigurationError(
            "on_unknown='retry' may pay twice: set unknown_budget to the points it may cost"
            if unknown_budget is None
            else "unknown_budget is for on_unknown='retry'"
        )


def check_low_balance(low_balance: object, on_low_balance: object) -> None:
    """Check when the user wants to be told of a low balance, and how.

    Raises:
        ConfigurationError: The two do not go together.
    """
    check_number("low_balance", low_balance, "points")
    if (low_balance is None) is not (on_low_balance is None):
        raise ConfigurationError("low_balance and on_low_balance go together; set both")
    if on_low_balance is not None:
        _check_callback("on_low_balance", on_low_balance, "a Balance")


def check_on_event(on_event: object) -> None:
    """Check what is to be told of all that happens.

    Raises:
        ConfigurationError: It is no function.
    """
    if on_event is not None:
        _check_callback("on_event", on_event, "an event")


def _check_callback(name: str, function: object, argument: str) -> None:
    if not callable(function):
        raise ConfigurationError(f"{name} must be a function that takes {argument}")
    called = function.func if isinstance(function, partial) else function
    if iscoroutinefunction(called) or iscoroutinefunction(getattr(called, "__call__", None)):  # noqa: B004 - its code, not whether it is callable
        raise ConfigurationError(
            f"{name} must be a plain function, not an async one, which nobody would await: "
            "let it put what it is told into a queue, or start a task of its own"
        )

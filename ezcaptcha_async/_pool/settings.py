"""How a pool works: what the user set, checked before anything is opened."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs
from attrs.validators import optional

from ezcaptcha_async._checks import is_count, is_deferred, is_positive
from ezcaptcha_async.accounts import Account, Balance, default_key
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.services import Service

if TYPE_CHECKING:
    from ezcaptcha_async._journal import Journal
    from ezcaptcha_async._timing import PollTiming
    from ezcaptcha_async.events import Event
    from ezcaptcha_async.fleets import Sharing
    from ezcaptcha_async.transports import Transport

_TRANSPORTS: Final = ("aiohttp", "httpx")
"""What can be asked for by name."""

_POLL_TIMING: Final = ("first_poll", "next_poll", "learn", "paced", "remaining", "kinds")


def check_number(name: str, value: object, unit: str = "seconds") -> None:
    """Check a setting that is an amount."""
    if not is_positive(value):
        raise ConfigurationError(f"{name} must be a positive number of {unit}, not {value!r}")


def check_whole_number(name: str, value: object) -> None:
    """Check a setting that is a number of things."""
    if not is_count(value):
        raise ConfigurationError(f"{name} must be a whole number of at least 1, not {value!r}")


def check_flag(name: str, value: object) -> None:
    """Check an argument that switches something."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} must be True or False, not {value!r}")


_Check: TypeAlias = Callable[["Settings", "attrs.Attribute[Any]", Any], None]


def _seconds(_settings: Settings, field: attrs.Attribute[Any], value: object) -> None:
    check_number(field.name, value)


def _points(_settings: Settings, field: attrs.Attribute[Any], value: object) -> None:
    check_number(field.name, value, "points")


def _whole(_settings: Settings, field: attrs.Attribute[Any], value: object) -> None:
    check_whole_number(field.name, value)


def _function_of(argument: str) -> _Check:
    def check(_settings: Settings, field: attrs.Attribute[Any], function: object) -> None:
        if not callable(function):
            raise ConfigurationError(f"{field.name} must be a function that takes {argument}")
        if is_deferred(function):
            raise ConfigurationError(
                f"{field.name} must be a plain function, not an async one, which nobody would "
                "await: let it put what it is told into a queue, or start a task of its own"
            )

    return check


def _check_methods(name: str, value: object, remedy: str, methods: Iterable[str]) -> None:
    """Check that something of the user's own can be asked what it is for."""
    if isinstance(value, type):
        raise ConfigurationError(
            f"{name} must not be the class {value.__name__}; make one: {value.__name__}(...)"
        )
    missing = [method for method in methods if not callable(getattr(value, method, None))]
    if missing:
        raise ConfigurationError(
            f"{name} must be {remedy}; {type(value).__name__} has no method {', '.join(missing)}"
        )


def _known_or_own(settings: Settings, _field: attrs.Attribute[Any], transport: object) -> None:
    if transport is not None and settings.http_client is not None:
        raise ConfigurationError("give http_client or transport, not both")
    if isinstance(transport, str) and transport not in _TRANSPORTS:
        names = " or ".join(repr(name) for name in _TRANSPORTS)
        raise ConfigurationError(f"transport must be {names}, not {transport!r}")
    if transport is None or isinstance(transport, str):
        return
    remedy = "'httpx', 'aiohttp' or a Transport"
    _check_methods("transport", transport, remedy, ("post", "aclose"))
    if not is_count(getattr(transport, "max_requests", None)):
        raise ConfigurationError(
            "transport must have max_requests, a whole number of at least 1: how many requests "
            "at a time it is good for"
        )


def _plan(_settings: Settings, _field: attrs.Attribute[Any], polling: object) -> None:
    remedy = "a PollPolicy, a LearnedPolling, or what has the methods of a PollTiming"
    _check_methods("polling", polling, remedy, _POLL_TIMING)
    for method in (*_POLL_TIMING, "scouts"):
        if is_deferred(getattr(polling, method, None)):
            raise ConfigurationError(
                f"polling must have plain methods, and {method} is async or a generator"
            )


def _generator(_settings: Settings, _field: attrs.Attribute[Any], rng: object) -> None:
    if not isinstance(rng, Random):
        raise ConfigurationError(
            f"rng must be a random.Random, such as random.Random(7), not {type(rng).__name__}"
        )


def _instead_of_a_journal(settings: Settings, _field: attrs.Attribute[Any], fleet: object) -> None:
    if isinstance(fleet, type) or not iscoroutinefunction(getattr(fleet, "join", None)):
        raise ConfigurationError("fleet must be a Fleet, of ezcaptcha_async.redis")
    if settings.journal is not None:
        raise ConfigurationError("give journal or fleet, not both: a fleet keeps the books")


def _raise_or_retry(settings: Settings, _field: attrs.Attribute[Any], on_unknown: object) -> None:
    if not isinstance(on_unknown, str) or on_unknown not in {"raise", "retry"}:
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
    if journal is None:
        return None
    from ezcaptcha_async._journal import Journal  # noqa: PLC0415 - most have none

    return journal if isinstance(journal, Journal) else Journal(journal)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Settings:
    """How a pool works, checked; see `SessionPool` for what each setting means.

    Raises:
        ConfigurationError: A value is wrong, or two do not go together; the message names it.
    """

    http_client: Any
    transport: Transport | str | None = attrs.field(validator=_known_or_own)
    polling: PollTiming | None = attrs.field(validator=optional(_plan))
    journal: Journal | None = attrs.field(converter=_as_journal)
    fleet: Sharing | None = attrs.field(validator=optional(_instead_of_a_journal))
    unknown_budget: float | None = attrs.field(validator=optional(_points))
    on_unknown: str = attrs.field(validator=_raise_or_retry)
    budget: float | None = attrs.field(validator=optional(_points))
    on_low_balance: Callable[[Balance], object] | None = attrs.field(
        validator=optional(_function_of("a Balance"))
    )
    low_balance: float | None = attrs.field(validator=[optional(_points), _together])
    on_event: Callable[[Event], object] | None = attrs.field(
        validator=optional(_function_of("an event"))
    )
    max_requests: int | None = attrs.field(validator=optional(_whole))
    request_timeout: float = attrs.field(validator=_seconds)
    create_patience: float = attrs.field(validator=_seconds)
    close_grace: float = attrs.field(validator=_seconds)
    rng: Random | None = attrs.field(validator=optional(_generator))

    @property
    def opens_client(self) -> bool:
        """Whether the pool sends its requests with an HTTP client of its own."""
        brought = self.transport is not None and not isinstance(self.transport, str)
        return self.http_client is None and not brought


def accounts_from(given: tuple[Account | str, ...], service: Service | None) -> tuple[Account, ...]:
    """Return the accounts that a pool works for.

    Args:
        given: What the user passed; nothing at all for the key in the environment.
        service: The service of plain keys.

    Raises:
        ConfigurationError: A key or a combination is wrong.
    """
    if service is not None and not isinstance(service, Service):
        raise ConfigurationError(
            f"service must be a Service, such as EZCAPTCHA, not {type(service).__name__}"
        )
    own: dict[str, Any] = {} if service is None else {"service": service}
    accounts: list[Account] = []
    for item in given or (default_key(),):
        if own and isinstance(item, Account):
            raise ConfigurationError("service is for plain keys; an Account has its own")
        accounts.append(item if isinstance(item, Account) else Account(item, **own))
    if len({account.name for account in accounts}) < len(accounts):
        raise ConfigurationError("the same account was given twice; give each one once")
    return tuple(accounts)

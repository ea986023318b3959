"""One client key at one service, with its limits."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from ezcaptcha_async._checks import GuardedConstructor, is_count, is_number
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.services import EZCAPTCHA, LOOPBACK_HOSTS, Service

KEY_VARIABLE: Final = "EZCAPTCHA_CLIENT_KEY"
OTHER_KEY_VARIABLES: Final = ("EZCAPTCHA_API_KEY", "EZCAPSOLVER_API_KEY")
"""Those of the maker's own clients, in the order in which they are looked at."""

URL_VARIABLE: Final = "EZCAPTCHA_BASE_URL"
SCALE_VARIABLE: Final = "EZCAPTCHA_TIME_SCALE"


_SLOWEST: Final = 1e-6
"""Requests per second, one in twelve days: fewer would hold every one back for ever."""


def default_service(environ: Mapping[str, str] = os.environ) -> Service:
    """Return EzCaptcha, at ``EZCAPTCHA_BASE_URL`` where that is set.

    A simulated service on loopback may be served faster than in reality, by
    ``EZCAPTCHA_TIME_SCALE``. Anywhere else that would poll too soon, and earn a ban.

    Raises:
        ConfigurationError: The one holds no safe URL, or the other no number that may be
            used there.
    """
    base_url, scale = environ.get(URL_VARIABLE, ""), environ.get(SCALE_VARIABLE, "")
    del environ  # it holds the key, and a traceback may show locals
    variable = URL_VARIABLE
    try:
        service = attrs.evolve(EZCAPTCHA, base_url=base_url) if base_url else EZCAPTCHA
        variable = SCALE_VARIABLE
        return service.at_speed(_time_scale(scale, service)) if scale else service
    except ConfigurationError as error:
        problem = error.message
    raise ConfigurationError(f"{variable}: {problem}")


def _time_scale(text: str, service: Service) -> float:
    if urlsplit(service.base_url).hostname not in LOOPBACK_HOSTS:
        raise ConfigurationError(
            f"only a simulated service on loopback runs faster; name it in {URL_VARIABLE}"
        )
    try:
        return float(text)
    except ValueError:
        problem = f"it must be a positive number, not {text!r}"
    raise ConfigurationError(problem)


_QUOTES: Final = ('"', "'")


def _check_key(_account: object, _field: attrs.Attribute[str], key: object) -> None:
    if not (isinstance(key, str) and key and key.isascii() and key.isprintable()):
        raise ConfigurationError("client_key must be a non-empty str of printable ASCII characters")
    if " " in key:
        raise ConfigurationError("client_key must be one key, without blanks; strip it")
    if key.startswith(_QUOTES) or key.endswith(_QUOTES):
        raise ConfigurationError("client_key must not stand in quotes, as in a file of variables")


def _check_service(_account: object, _field: attrs.Attribute[Service], service: object) -> None:
    if not isinstance(service, Service):
        raise ConfigurationError(f"service must be a Service, not {type(service).__name__}")


def _check_limit(_account: object, field: attrs.Attribute[Any], limit: object) -> None:
    if not is_count(limit):
        raise ConfigurationError(f"{field.name} must be a whole number of at least 1")


def _check_rate(_account: object, field: attrs.Attribute[Any], rate: object) -> None:
    if not is_number(rate, _SLOWEST):
        raise ConfigurationError(
            f"{field.name} must be a positive number per second, of {_SLOWEST:g} or more"
        )


@attrs.frozen
class Account(GuardedConstructor):
    """One client key at one service.

    Args:
        client_key: The secret key; shown nowhere.
        service: The profile of the service that issued it; EzCaptcha when left out, at
            ``EZCAPTCHA_BASE_URL`` where that is set.
        max_in_flight: Most paid tasks at a time; further ones wait in line. None: no limit.
        max_creates: Most createTask requests in flight at a time. The services ban a client
            after about 30 refused ones in a minute, and where a key runs dry all that are in
            flight are refused. So no more than 25 are, less the errors of the last minute,
            whatever is asked for here: as many as succeed would not make another number safe.
        creates_per_second: Most createTask requests per second, evenly spaced. None: no limit.
        polls_per_second: Most getTaskResult requests per second, likewise.
        app_id: Your number as a developer, 1 or more, where the service has given you one:
            it goes with each createTask.

    Raises:
        ConfigurationError: A value is missing or out of range; the message names it.

    Example:
        >>> pool = SessionPool(
        ...     Account("a-key", max_in_flight=200, creates_per_second=10),
        ...     Account("another-key", service=ONECAPTCHA),
        ... )
        >>> pool
        <SessionPool of ezcaptcha:f8a8a060, 1captcha:..., not open>
    """

    client_key: str = attrs.field(repr=False, validator=_check_key)
    service: Service = attrs.field(
        factory=default_service,
        kw_only=True,
        validator=_check_service,
        repr=lambda service: repr(service.name),
    )
    max_in_flight: int | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(_check_limit)
    )
    max_creates: int = attrs.field(default=20, kw_only=True, validator=_check_limit)
    creates_per_second: float | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(_check_rate)
    )
    polls_per_second: float | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(_check_rate)
    )

    app_id: int | None = attrs.field(
        default=None, kw_only=True, validator=attrs.validators.optional(_check_limit)
    )

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that tell accounts apart and do not give the key away.

        Saved tickets carry it, because a task can only be fetched with the key that paid.
        """
        import hashlib  # noqa: PLC0415 - it loads OpenSSL, 3 ms

        digest = hashlib.blake2s(self.client_key.encode(), digest_size=4, person=b"ezcaptch")
        return digest.hexdigest()

    @property
    def name(self) -> str:
        """``service:fingerprint``; what statistics, logs and errors call this account."""
        return f"{self.service.name}:{self.fingerprint}"


def key_variable(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the environment variable that the client key comes from; None when none holds one."""
    for name in (KEY_VARIABLE, *OTHER_KEY_VARIABLES):
        if environ.get(name, "").strip():
            return name
    return None


@attrs.frozen
class Balance:
    """The points of one account.

    Args:
        points: Points that are left.
        account: Name of the account.
        currency: ISO 4217 code of the service's currency.
        value: What the points are worth in that currency.

    Example:
        >>> async with SessionPool() as pool:
        ...     balance = await pool.balance()
        >>> balance.points, balance.value, balance.currency
        (20000.0, 2.0, 'USD')
    """

    points: float
    account: str
    currency: str
    value: float


def default_key(environ: Mapping[str, str] = os.environ) -> str:
    """Return the client key of the environment.

    It is in ``EZCAPTCHA_CLIENT_KEY``, else in ``EZCAPTCHA_API_KEY`` or ``EZCAPSOLVER_API_KEY``,
    as for the maker's own clients.

    Raises:
        ConfigurationError: None of them holds one.
    """
    name = key_variable(environ)
    if name is None:
        del environ
        others = " or ".join(OTHER_KEY_VARIABLES)
        raise ConfigurationError(
            f"no client key: pass one, or set {KEY_VARIABLE} ({others} will do too)"
        )
    return environ[name].strip()

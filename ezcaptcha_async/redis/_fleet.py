"""What a user writes down of a fleet, and how a pool joins it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, urlsplit

import anyio
import attrs

from ezcaptcha_async._checks import GuardedConstructor, is_number
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.fleets import FleetStatus, Funds, Member
from ezcaptcha_async.redis._store import Store

_DATABASE: Final = re.compile(r"[0-9]{1,5}")
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
DAY: Final = 86_400
T = TypeVar("T")

_SETTINGS: Final = {
    "redis": {"db"},
    "rediss": {"db", "ssl_ca_certs"},
    "unix": {"db"},
}
"""What may stand after the question mark: much of all that the client takes there would switch off
what is promised here."""


_NO_URL: Final = (
    "url must be that of a server, such as redis://10.0.0.5:6379/0; a password has each of "
    "/ ? # % [ ] percent-encoded"
)


def _shown(url: str) -> str:
    """Return a URL without its user and password, and without what its query may hold."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _check_url(_fleet: object, _field: attrs.Attribute[Any], url: object) -> None:
    problem = _problem_with(url)
    if problem is not None:
        raise ConfigurationError(problem)


def _problem_with(url: object) -> str | None:
    """Return what is wrong with a URL, without a word of it; None when nothing is."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        is_url = bool(parts.hostname or parts.path) and parts.port != 0
    except ValueError:
        return _NO_URL
    if not is_url or parts.scheme not in _SETTINGS or parts.fragment:
        return _NO_URL
    settings = parse_qs(parts.query, keep_blank_values=True)
    known = _SETTINGS[parts.scheme]
    if not settings.keys() <= known:
        names = " and ".join(sorted(known))
        return f"url must have no settings after the question mark but {names}"
    databases = settings.get("db", [])
    if parts.scheme != "unix" and parts.path not in {"", "/"}:
        databases = [*databases, parts.path[1:]]
    if len(databases) > 1 or not all(_DATABASE.fullmatch(text) for text in databases):
        return "url must name one database, by its number, as in redis://10.0.0.5:6379/0"
    return None


def _check_name(_fleet: object, _field: attrs.Attribute[Any], name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(
            "name must be 1 to 64 letters, digits, dots, dashes and underscores"
        )


def _seconds(low: int, high: int) -> Callable[[object, attrs.Attribute[Any], object], None]:
    """Return what checks that seconds are within two bounds."""

    def check(_fleet: object, field: attrs.Attribute[Any], value: object) -> None:
        if not is_number(value, low, high):
            raise ConfigurationError(
                f"{field.name} must be from {low:,} to {high:,} seconds, not {value!r}"
            )

    return check


@attrs.frozen
class Fleet(GuardedConstructor):
    """Pools on any number of machines that work as one: give it to each as ``fleet``.

    They share the limits of each account (`Account`), the `budget`, the gate, and what is paid,
    in Redis or Valkey; so all of them must be given the same limits.

    Args:
        url: Of the server: ``redis://``, with TLS ``rediss://``, or ``unix://``. It may hold a
            user and a password, which are shown nowhere. With TLS, certificates are verified;
            ``?ssl_ca_certs=`` names a file of authorities of your own.
        name: Of the fleet; pools of one name work together.
        lease: Seconds after its last sign of life, of which it gives one each second, for
            which a pool is taken to be alive. Then others fetch what it has paid for.
        remember: Seconds for which a reference of ``once`` is not paid for again after its
            outcome was given to a caller, also where its token is of no more use: whoever asks
            then gets a `DeliveredBeforeError`. At most 30 days; by default a job that is
            delivered again is solved anew.

    Raises:
        ConfigurationError: A value has not the right form.

    Example:
        >>> Fleet("redis://:secret@10.0.0.5:6379/0", name="crawl")
        Fleet(url='redis://10.0.0.5:6379/0', name='crawl', lease=10.0)
    """

    url: str = attrs.field(validator=_check_url, repr=lambda url: repr(_shown(url)))
    name: str = attrs.field(kw_only=True, validator=_check_name)
    lease: float = attrs.field(default=10.0, kw_only=True, validator=_seconds(1, 300))
    remember: float = attrs.field(
        default=0.0, kw_only=True, validator=_seconds(0, 30 * DAY), repr=False
    )

    async def join(self, members: Sequence[Member], funds: Funds) -> Store:
        """Join; a pool does it when it is opened.

        Raises:
            ConfigurationError: The server cannot be used, or the fleet's pools have other limits;
                or it is trio that runs, for which the client of Redis is not made.
        """
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError(
                "a fleet needs asyncio: the client of Redis does not run on trio"
            ) from None
        store = self._store(funds)
        try:
            await store.join(members)
        except (ConnectionError, ConfigurationError) as error:
            problem = str(error)
        except BaseException:  # cancelled, and it may have joined
            with anyio.CancelScope(shield=True):
                await store.aclose()
            raise
        else:
            return store
        await store.close()
        raise ConfigurationError(
            f"cannot join the fleet {self.name} at {_shown(self.url)}: {problem}"
        )

    async def status(self) -> FleetStatus:
        """Look at the fleet from outside: it takes neither a pool nor a key.

        Raises:
            ConfigurationError: The server cannot be used.
        """
        return await self._visit(Store.status)

    async def reopen(self) -> None:
        """Let accounts take new tasks again that were shut for their key or their balance.

        The next createTask of each goes alone, and shuts it again if it is refused.

        Raises:
            ConfigurationError: The server cannot be used.
        """
        await self._visit(Store.reopen)

    def _store(self, funds: Funds) -> Store:
        return Store(
            self.url,
            f"{{ez:{self.name}}}",
            os.urandom(6).hex(),
            lease=self.lease,
            remember=self.remember,
            funds=funds,
        )

    async def _visit(self, ask: Callable[[Store], Awaitable[T]]) -> T:
        store = self._store(Funds())
        try:
            await store.look_around()
            return await ask(store)
        except ConnectionError as error:
            problem = str(error)
        finally:
            await store.close()
        raise ConfigurationError(
            f"cannot look at the fleet {self.name} at {_shown(self.url)}: {problem}"
        )

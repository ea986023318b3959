"""What the library needs of an HTTP client: for those who bring a transport of their own.

A transport posts one body and says what came of it, as a value: a `Reply` or a `NoAnswer`. It
never raises for what the network does, because an HTTP client's exceptions hold the
request and with it the client key. If it raises all the same, that is logged, and no answer has
come: a poll is repeated, a createTask may have been paid for. The total deadline of a request is
not its business: whoever calls it puts a cancel scope around the call, the same for every
transport.

Those that are here already, with the same guarantees, and how a pool comes to use one:

====================== ============================================== =======================
httpx                  ``transport="httpx"``, or an injected          asyncio and trio,
                       ``http_client=httpx.AsyncClient(...)``         32 requests at a time
httpx2                 ``http_client=httpx2.AsyncClient(...)``        the same
aiohttp 3.14 or newer  ``transport="aiohttp"``, or an injected        asyncio, 100 at a time;
                       ``http_client=aiohttp.ClientSession(...)``     the default where it is
====================== ============================================== =======================

Where the pool itself uses httpx, each request in flight has a connection of its own. An injected
client is shared and never closed. One of httpx's looks at all its connections for every request,
which takes two to five times the CPU: give it
``limits=httpx.Limits(max_connections=32, max_keepalive_connections=32)``. What the pool opens
itself trusts the same certificate authorities, read once a process, and goes through the proxies
that the environment names; SOCKS is for httpx alone.
"""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType
from typing import Any, Protocol, TypeAlias

import attrs

from ezcaptcha_async.errors import ConfigurationError

__all__ = ["Evidence", "NoAnswer", "Reply", "RequestBody", "Transport"]


_Check: TypeAlias = Callable[[object, "attrs.Attribute[Any]", object], None]


def _one_of(*types: type) -> _Check:
    """Refuse what a transport made of the wrong things, where it made it."""

    def check(_value: object, field: attrs.Attribute[Any], given: object) -> None:
        if type(given) not in types and (isinstance(given, bool) or not isinstance(given, types)):
            names = " or ".join("None" if item is NoneType else item.__name__ for item in types)
            raise ConfigurationError(f"{field.name} must be {names}, not {type(given).__name__}")

    return check


@attrs.frozen(repr=False)
class RequestBody:
    """A request body. It holds the client key, so it has no telling repr.

    Example:
        >>> body = RequestBody(b'{"clientKey": "secret"}')
        >>> body  # safe to log; `content` is what a transport sends
        <RequestBody of 23 bytes>
    """

    content: bytes = attrs.field(repr=False)  # for those who go by the fields, as rich does

    def __repr__(self) -> str:
        return f"<RequestBody of {len(self.content)} bytes>"


@attrs.frozen(repr=False)
class Reply:
    """An HTTP answer.

    Args:
        status: The HTTP status.
        body: The decoded body.
        retry_after: The ``Retry-After`` header.
        date: The ``Date`` header, which a date in ``Retry-After`` is measured against.
        charset: The charset that the ``Content-Type`` header names; None for that of JSON.

    Raises:
        ConfigurationError: A value is of another type; the message names it.

    Example:
        >>> Reply(200, b'{"errorId": 0, "balance": 500}')  # what a transport's `post` returns
        <Reply 200, 30 bytes>
    """

    status: int = attrs.field(validator=_one_of(int))
    body: bytes = attrs.field(repr=False, validator=_one_of(bytes))
    retry_after: str | None = attrs.field(default=None, validator=_one_of(str, NoneType))
    date: str | None = attrs.field(default=None, validator=_one_of(str, NoneType))
    charset: str | None = attrs.field(default=None, validator=_one_of(str, NoneType))

    def __repr__(self) -> str:
        return f"<Reply {self.status}, {len(self.body)} bytes>"


@attrs.frozen
class NoAnswer:
    """No answer came.

    Args:
        reason: Name of what went wrong, without any content of the request.
        unsent: True only when the request body certainly never left.
        permanent: True when trying again cannot help, such as a bad certificate.

    Raises:
        ConfigurationError: A value is of another type; the message names it.

    Example:
        >>> NoAnswer("connection refused", unsent=True)  # what a transport's `post` returns
        NoAnswer(reason='connection refused', unsent=True, permanent=False)
    """

    reason: str = attrs.field(validator=_one_of(str))
    unsent: bool = attrs.field(default=False, validator=_one_of(bool))
    permanent: bool = attrs.field(default=False, validator=_one_of(bool))


@attrs.define
class Evidence:
    """How far a request got; an adapter writes it, also for a request that is cut off.

    Args:
        observed: True once the adapter knows at all.
        body_begun: True once the first byte of the body may have left.

    Example:
        >>> evidence = Evidence()
        >>> evidence.observed = True  # the transport knows, and no byte has left yet
        >>> evidence.unsent
        True
        >>> evidence.body_begun = True
        >>> evidence.unsent
        False
    """

    observed: bool = False
    body_begun: bool = False

    @property
    def unsent(self) -> bool:
        """True when it is certain that the service did not get the request."""
        return self.observed and not self.body_begun


class Transport(Protocol):
    """What the library needs of an HTTP client.

    Attributes:
        max_requests: How many requests at a time this client is good for.

    Example:
        >>> class Canned:
        ...     max_requests = 32
        ...     async def post(self, url, body, *, timeout, evidence=None):
        ...         return Reply(200, b'{"errorId": 0, "balance": 500}')
        ...     async def aclose(self):
        ...         pass
        >>> async with SessionPool(transport=Canned()) as pool:
        ...     (await pool.balance()).points
        500.0
    """

    max_requests: int

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply | NoAnswer:
        """POST a JSON body, follow no redirect, and read at most 1 MiB.

        Args:
            url: Absolute URL.
            body: The request body.
            timeout: Seconds after which the caller cancels; a hint for the client's own.
            evidence: Where to write how far the request got, for one that must not be
                repeated unless it was never sent.
        """
        ...

    async def aclose(self) -> None:
        """Close what this adapter opened itself, and nothing that was handed in."""
        ...

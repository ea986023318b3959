"""The adapter to httpx and to httpx2, on asyncio and on trio."""

from __future__ import annotations

import os
import ssl
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import cache, partial
from types import ModuleType
from typing import Any, Final

import anyio
import attrs

from ezcaptcha_async._wire.transport import (
    CLOSED,
    HEADERS,
    KEEP_ALIVE_SECONDS,
    MAX_BODY,
    TOO_LONG,
    is_certificate_error,
    reply_from,
)
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody

HTTPX_REQUESTS: Final = 32
"""How many requests at a time httpx is good for.

Measured with 0.28.1: a client looks at every connection for every request, so that 50 at a
time cost twice the CPU of 10, and 100 at a time collapse to a tenth of the throughput. One
connection to a lane costs the same with any number of lanes.
"""

_OWN_SHARE: Final = 0.9
"""Share of the total deadline that the client's own timeouts get. It ends a request that
hangs more cleanly by itself than when it is cancelled, and says for what it was waiting."""


class HttpxTransport:
    """Posts through httpx: over connections of its own, or through a client that is injected.

    Args:
        client: An ``httpx.AsyncClient`` or ``httpx2.AsyncClient`` to use and never to close;
            None for connections of its own, one to each request in flight.
        max_requests: Most connections of its own, while no more requests are in flight.

    Raises:
        ConfigurationError: `client` is something else.
        ImportError, OSError, ValueError: The environment names a proxy or certificates that
            httpx cannot use.
    """

    def __init__(self, client: Any = None, *, max_requests: int = HTTPX_REQUESTS) -> None:
        self.max_requests = max_requests
        self._way = _Lanes(max_requests) if client is None else _Injected(client)

    def __repr__(self) -> str:
        return f"<HttpxTransport on {self._way}>"

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply | NoAnswer:
        """POST as `Transport.post` says."""
        if self._way.is_closed:
            return CLOSED
        # A name for the fault, not the exception: that one holds the request.
        try:
            async with self._way.answer(url, body, _OWN_SHARE * timeout, evidence) as response:
                return await _read(response)
        except Exception as error:  # noqa: BLE001 - also what custom transports let through
            return NoAnswer(
                type(error).__name__,
                unsent=evidence is not None and evidence.unsent,
                permanent=is_certificate_error(error),
            )

    async def aclose(self) -> None:
        """Close the connections, if they are its own."""
        await self._way.aclose()


class _Injected:
    """A client of the user's, with hooks, limits and cookies of its own."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._package = _package_of(client)

    def __repr__(self) -> str:
        return f"an injected {self._package.__name__}.AsyncClient"

    @property
    def is_closed(self) -> bool:
        closed: bool = self._client.is_closed
        return closed

    @asynccontextmanager
    async def answer(
        self, url: str, body: RequestBody, timeout: float, evidence: Evidence | None
    ) -> AsyncGenerator[Any]:
        try:
            request = self._client.build_request(
                "POST",
                url,
                content=body.content,
                headers=HEADERS,
                timeout=timeout,
                extensions={} if evidence is None else {"trace": _tracer(evidence)},
            )
            response = await self._client.send(request, stream=True, follow_redirects=False)
        except self._package.PoolTimeout:
            if evidence is not None:
                evidence.observed = True  # what waits for a connection has sent nothing
            raise
        try:
            yield response
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Leave it open: its owner closes it."""


@attrs.define(eq=False)
class _Lane:
    """One connection, which is opened with the first request.

    Args:
        origin: Where it leads: scheme, host and port.
        send: Sends a request and returns the answer, not yet read.
        close: Closes the connection.
        idle_since: When its last answer was read, in seconds of a monotonic clock.
        socket: What it was connected to last, also where that came to nothing.
    """

    origin: tuple[str, str, int | None]
    send: Callable[[Any], Awaitable[Any]]
    close: Callable[[], Awaitable[None]]
    idle_since: float = 0.0
    socket: Any = None


@attrs.frozen
class _Target:
    """What is the same for all requests to one URL.

    Args:
        url: As an ``httpx.URL``.
        headers: As ``httpx.Headers``: those of a client.
        origin: Scheme, host and port.
    """

    url: Any
    headers: Any
    origin: tuple[str, str, int | None]


class _Lanes:
    """Connections of our own, one to each request in flight.

    The pool of a client looks at every connection for every request, and keeps what is left
    of a request that was cut off. A lane has nothing else to look at, and is dropped then.

    Args:
        most: Most lanes, in use or idle, while no more requests are in flight.
    """

    def __init__(self, most: int) -> None:
        # Slow, and not for those who bring a client.
        from urllib.request import getproxies  # noqa: PLC0415

        import httpx  # noqa: PLC0415

        self.is_closed = False
        self._most = most
        self._httpx = httpx
        self._ssl_context = ssl_context()
        self._limits = httpx.Limits(
            max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEP_ALIVE_SECONDS
        )
        # Which proxy is for which URL, a client alone knows. Without any of them its transport
        # does the same for a fifth less.
        proxies = getproxies()
        self._is_direct = not any(proxies.get(scheme) for scheme in ("http", "https", "all"))
        # It sends nothing, but it says what is wrong with the environment, and how a client
        # introduces itself.
        self._model = self._new_client()
        self._targets: dict[str, _Target] = {}
        self._lanes: set[_Lane] = set()
        self._idle: list[_Lane] = []  # the last used one at the end

    def __repr__(self) -> str:
        kind = "AsyncHTTPTransport" if self._is_direct else "AsyncClient"
        return f"its own httpx.{kind}, {len(self._lanes)} connections"

    @asynccontextmanager
    async def answer(
        self, url: str, body: RequestBody, timeout: float, evidence: Evidence | None
    ) -> AsyncGenerator[Any]:
        evidence = Evidence() if evidence is None else evidence
        # It is traced from the first step on: no event means that none was taken.
        evidence.observed = True
        target = self._targets.get(url) or self._target(url)
        lane = self._take(target.origin)
        is_sound = False
        try:
            await self._close_superfluous()
            request = self._httpx.Request(
                "POST",
                target.url,
                headers=target.headers,
                content=body.content,
                extensions={
                    "timeout": dict.fromkeys(("connect", "read", "write", "pool"), timeout),
                    "trace": _tracer(evidence, lane),
                },
            )
            response = await lane.send(request)
            try:
                yield response
            finally:
                await response.aclose()
            is_sound = True
        finally:
            if is_sound and not self.is_closed:
                lane.idle_since = time.monotonic()
                self._idle.append(lane)
            else:
                await self._drop(lane)

    async def aclose(self) -> None:
        self.is_closed = True
        self._idle.clear()
        for lane in tuple(self._lanes):
            await self._drop(lane)

    def _target(self, url: str) -> _Target:
        request = self._model.build_request("POST", url, content=b"{}", headers=HEADERS)
        parsed, headers = request.url, request.headers
        # Those that each request works out for itself.
        del headers["host"], headers["content-length"]
        origin = parsed.scheme, parsed.host, parsed.port
        self._targets[url] = _Target(parsed, headers, origin)
        return self._targets[url]

    def _take(self, origin: tuple[str, str, int | None]) -> _Lane:
        for lane in reversed(self._idle):
            if lane.origin == origin:
                self._idle.remove(lane)
                return lane
        lane = self._new_lane(origin)
        self._lanes.add(lane)
        return lane

    def _new_lane(self, origin: tuple[str, str, int | None]) -> _Lane:
        if self._is_direct:
            transport = self._httpx.AsyncHTTPTransport(
                verify=self._ssl_context, limits=self._limits
            )
            return _Lane(origin, transport.handle_async_request, transport.aclose)
        client = self._new_client()
        send = partial(client.send, stream=True, follow_redirects=False)
        return _Lane(origin, send, client.aclose)

    def _new_client(self) -> Any:
        from http.cookiejar import CookieJar, DefaultCookiePolicy  # noqa: PLC0415 - as above

        keeping_none = CookieJar(DefaultCookiePolicy(allowed_domains=()))
        return self._httpx.AsyncClient(
            verify=self._ssl_context, limits=self._limits, cookies=keeping_none
        )

    async def _close_superfluous(self) -> None:
        """Close what nobody has used for long, and what is one too many beside a new one."""
        latest = time.monotonic() - KEEP_ALIVE_SECONDS
        while self._idle and (len(self._lanes) > self._most or self._idle[0].idle_since < latest):
            await self._drop(self._idle.pop(0))

    async def _drop(self, lane: _Lane) -> None:
        self._lanes.discard(lane)
        # Not even a cancelled request leaves its connection behind, nor one that broke says so.
        with anyio.CancelScope(shield=True), suppress(Exception):
            await lane.close()
            if lane.socket is not None:
                # httpcore forgets the connection where a handshake on it is cut off.
                await lane.socket.aclose()


def ssl_context() -> ssl.SSLContext:
    """Return the TLS settings of httpx, made once a process, for that takes 30 to 100 ms.

    Raises:
        OSError: The environment names certificates that cannot be read.
    """
    return _ssl_context(certificates_named())


def certificates_named() -> tuple[str | None, str | None]:
    """Return which certificates the environment names, as a file and as a directory."""
    return os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")


@cache
def _ssl_context(_certificates: tuple[str | None, str | None]) -> ssl.SSLContext:
    import httpx  # noqa: PLC0415 - a fifth of a second, for those who bring a client

    return httpx.create_ssl_context()


def _package_of(client: Any) -> ModuleType:
    """Return the package that the client's class comes from.

    httpx2 has the names of httpx but classes of its own, so exceptions are taken from here.
    """
    for base in type(client).__mro__:
        package = sys.modules.get(base.__module__.partition(".")[0])
        if package is not None and base is getattr(package, "AsyncClient", None):
            return package
    raise ConfigurationError(
        "http_client must be an httpx.AsyncClient, an httpx2.AsyncClient or an "
        f"aiohttp.ClientSession, not {type(client).__name__}"
    )


def _tracer(evidence: Evidence, lane: _Lane | None = None) -> Any:
    """Return an httpcore ``trace`` callback that writes down how far a request got.

    The type of an exception does not tell whether the request was sent; these events do.
    A transport that emits none leaves ``observed`` False, and nothing is concluded.
    """

    async def trace(event: str, info: Mapping[str, Any]) -> None:
        evidence.observed = True
        if lane is not None and event.endswith("connect_tcp.complete"):
            lane.socket = info["return_value"]
        if event.endswith("send_request_body.started"):
            # What is said to a proxy in order to get a tunnel is no request of ours yet.
            method = getattr(info.get("request"), "method", b"POST")
            evidence.body_begun = evidence.body_begun or method != b"CONNECT"

    return trace


async def _read(response: Any) -> Reply | NoAnswer:
    status, headers = response.status_code, response.headers
    if response.is_stream_consumed:  # a mock transport has read it already, and decoded it
        return reply_from(status, response.content[: MAX_BODY + 1], headers)
    # The raw stream, so that a small compressed body cannot grow without a bound.
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MAX_BODY:
            return TOO_LONG
    coding = headers.get("content-encoding", "")
    return reply_from(status, bytes(content), headers, coding=coding)

"""Requests over connections of our own: those of httpcore, which is what httpx sends with."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from importlib.util import find_spec
from typing import Any, Final

import anyio
import attrs

from ezcaptcha_async._wire.tls import ssl_context
from ezcaptcha_async._wire.tracing import tracer
from ezcaptcha_async._wire.transport import HEADERS, KEEP_ALIVE_SECONDS, Incoming
from ezcaptcha_async.environment import Proxies, Proxy
from ezcaptcha_async.transports import Evidence, RequestBody

_NO_SOCKS: Final = "pip install 'httpx[socks]'"
_STEPS: Final = ("connect", "read", "write", "pool")


@attrs.frozen
class _Target:
    """What is the same for all requests to one URL.

    Args:
        url: As an ``httpcore.URL``.
        origin: Its scheme, host and port.
        headers: As bytes: those of an httpx client, but for the length of the body.
        proxy: Through which it goes, if any.
        connect: Makes a connection, which is opened with the first request.
    """

    url: Any
    origin: Any
    headers: list[tuple[bytes, bytes]]
    proxy: Proxy | None
    connect: Callable[[Any], Any]


@attrs.define(eq=False)
class _Lane:
    """One connection.

    Args:
        origin: Where it leads: scheme, host and port.
        connection: An ``httpcore.AsyncConnectionInterface``.
        idle_since: When its last answer was read, in seconds of a monotonic clock; 0 before that.
        socket: What it was connected to, also where that came to nothing.
    """

    origin: Any
    connection: Any
    idle_since: float = 0.0
    socket: Any = None

    def connected(self, socket: Any) -> None:
        """Note what it was connected to."""
        self.socket = socket


class Lanes:
    """Connections of our own, one to each request in flight.

    The pool of a client looks at every connection for every request, and keeps what is left
    of a request that was cut off. A lane has nothing else to look at, and is dropped then. What
    a client and its transport do beside that, such as keeping cookies, costs as much again.

    Args:
        most: Most lanes, in use or idle, while no more requests are in flight.
        urls: Where they will lead.
    """

    def __init__(self, most: int, urls: Iterable[str]) -> None:
        self._proxies = Proxies()
        if self._proxies.check(urls, no_socks=None if find_spec("socksio") else _NO_SOCKS):
            ssl_context()
        import httpcore  # noqa: PLC0415 - slow, and not for those who bring a client
        import httpx  # noqa: PLC0415

        self.is_closed = False
        self.most = most
        self._httpcore = httpcore
        self._httpx = httpx
        # It sends nothing, but it says how a client introduces itself.
        self._model = httpx.AsyncClient(transport=httpx.AsyncBaseTransport(), trust_env=False)
        self._targets: dict[str, _Target] = {}
        self._lanes: set[_Lane] = set()
        self._idle: list[_Lane] = []  # the last used one at the end

    def __repr__(self) -> str:
        return f"its own httpx, {len(self._lanes)} connections"

    def proxy_for(self, url: str) -> Proxy | None:
        return self._targets[url].proxy if url in self._targets else None

    @asynccontextmanager
    async def answer(
        self, url: str, body: RequestBody, timeout: float, evidence: Evidence | None
    ) -> AsyncGenerator[Incoming]:
        if evidence is not None:
            # It is traced from the first step on: no event means that none was taken.
            evidence.observed = True
        target = self._targets.get(url) or self._target(url)
        lane = await self._take(target)
        is_sound = False
        try:
            await self._close_superfluous()
            extensions: dict[str, Any] = {"timeout": dict.fromkeys(_STEPS, timeout)}
            if evidence is not None or not lane.idle_since:
                extensions["trace"] = tracer(evidence or Evidence(), lane.connected)
            request = self._httpcore.Request(
                "POST",
                target.url,
                headers=[*target.headers, (b"Content-Length", b"%d" % len(body.content))],
                content=body.content,
                extensions=extensions,
            )
            response = await lane.connection.handle_async_request(request)
            try:
                headers = self._httpx.Headers(response.headers)
                yield Incoming(response.status, headers, response.aiter_stream())
            finally:
                await response.aclose()
            is_sound = lane.connection.is_available() and not _has_more(lane.connection)
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
        del request.headers["content-length"]
        to, proxy = self._url(request.url), self._proxies.for_url(url)
        way = self._way(to, proxy)
        self._targets[url] = _Target(to, to.origin, request.headers.raw, proxy, way)
        return self._targets[url]

    def _way(self, to: Any, proxy: Proxy | None) -> Callable[[Any], Any]:
        """Return what makes connections: a pool of httpcore's, in which there is never one."""
        speaks_tls = to.scheme == b"https" or (proxy is not None and proxy.scheme == "https")
        # Where no TLS is spoken, one that trusts nobody does, and takes no time.
        context = ssl_context() if speaks_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        settings: dict[str, Any] = {"ssl_context": context, "keepalive_expiry": KEEP_ALIVE_SECONDS}
        if proxy is None:
            return self._httpcore.AsyncConnectionPool(**settings).create_connection
        settings["proxy_url"] = self._url(self._httpx.URL(proxy.url))
        if proxy.user or proxy.password:
            settings["proxy_auth"] = proxy.user.encode(), proxy.password.encode()
        if proxy.is_socks:
            return self._httpcore.AsyncSOCKSProxy(**settings).create_connection
        if proxy.scheme == "https":
            settings["proxy_ssl_context"] = context
        return self._httpcore.AsyncHTTPProxy(**settings).create_connection

    def _url(self, url: Any) -> Any:
        """Return an ``httpx.URL``, which knows of all alphabets, as an ``httpcore.URL``."""
        return self._httpcore.URL(
            scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
        )

    async def _take(self, target: _Target) -> _Lane:
        idle = self._idle
        while lane := next((it for it in reversed(idle) if it.origin == target.origin), None):
            idle.remove(lane)
            if lane.connection.is_available() and not lane.connection.has_expired():
                return lane  # the service has not closed it since
            await self._drop(lane)
        lane = _Lane(target.origin, target.connect(target.origin))
        self._lanes.add(lane)
        return lane

    async def _close_superfluous(self) -> None:
        """Close what nobody has used for long, and what is one too many beside a new one."""
        latest = time.monotonic() - KEEP_ALIVE_SECONDS
        while self._idle and (len(self._lanes) > self.most or self._idle[0].idle_since < latest):
            await self._drop(self._idle.pop(0))

    async def _drop(self, lane: _Lane) -> None:
        self._lanes.discard(lane)
        # Not even a cancelled request leaves its connection behind, nor one that broke says so.
        with anyio.CancelScope(shield=True), suppress(Exception):
            await lane.connection.aclose()
            if lane.socket is not None:
                # httpcore forgets the connection where a handshake on it is cut off.
                await lane.socket.aclose()


def _has_more(connection: Any) -> bool:
    """Return whether more has come than an answer: it would be taken for that to the next request.

    What has not come yet is seen before that one, and httpcore has no public name for what has.
    """
    while (inner := getattr(connection, "_connection", None)) is not None:
        connection = inner
    state = getattr(connection, "_h11_state", None)
    return state is not None and bool(state.trailing_data[0])

"""Every HTTP client that the library can use, behind one way of opening and asking it.

Names of clients: ``httpx`` and ``aiohttp`` are those that an adapter opens for itself; the
others are injected.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import aiohttp
import anyio
import httpx
import httpx2

from ezcaptcha_async._wire.aiohttp import AiohttpTransport
from ezcaptcha_async._wire.clients import transport_for
from ezcaptcha_async._wire.httpx import HttpxTransport
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody, Transport

from .raw_server import RawServer, Script

KEY: Final = "a-client-key-that-is-secret"
BODY: Final = RequestBody(b'{"clientKey":"%b","task":{"type":"T"}}' % KEY.encode())

SPEED: Final = 30.0
"""How many seconds of the simulated service pass in one, where a pool is tried out on it."""

OWN: Final = ("httpx", "aiohttp")
INJECTED: Final = ("httpx-client", "httpx2-client", "aiohttp-session")
ALL: Final = (*OWN, *INJECTED)
ONE_OF_EACH: Final = ("httpx", "httpx2-client", "aiohttp")
"""One for each package, where it makes no difference who opened the client."""

PACKAGES: Final[Mapping[str, Any]] = {"httpx": httpx, "httpx2": httpx2}

Opener = Callable[..., AbstractAsyncContextManager[Any]]


def _httpx_client(
    package: Any,
    *,
    limit: int | None = None,
    verify: ssl.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
    proxy: str | None = None,
    **settings: Any,
) -> AbstractAsyncContextManager[Any]:
    if limit is not None:
        settings["limits"] = package.Limits(max_connections=limit)
    if verify is not None:
        settings["verify"] = verify
    client: AbstractAsyncContextManager[Any] = package.AsyncClient(
        headers=headers, proxy=proxy, **settings
    )
    return client


def _aiohttp_session(
    *,
    limit: int | None = None,
    verify: ssl.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
    proxy: str | None = None,
    **settings: Any,
) -> AbstractAsyncContextManager[Any]:
    connector = aiohttp.TCPConnector(limit=limit or 100, ssl=True if verify is None else verify)
    session: AbstractAsyncContextManager[Any] = aiohttp.ClientSession(
        connector=connector, headers=headers, proxy=proxy, **settings
    )
    return session


CLIENTS: Final[Mapping[str, Opener]] = {
    "httpx-client": lambda **settings: _httpx_client(httpx, **settings),
    "httpx2-client": lambda **settings: _httpx_client(httpx2, **settings),
    "aiohttp-session": _aiohttp_session,
}


@asynccontextmanager
async def opened(kind: str, *, limit: int | None = None, **settings: Any) -> AsyncGenerator[Any]:
    """Open a transport.

    Args:
        kind: Name of the client.
        limit: Most connections.
        **settings: Of an injected client: `verify`, `headers`, `proxy` for any of them, the
            others are its package's own.
    """
    if kind in OWN:
        limits: dict[str, Any] = {} if limit is None else {"max_requests": limit}
        own = HttpxTransport if kind == "httpx" else AiohttpTransport
        transport = own(**limits, **settings)
        try:
            yield transport
        finally:
            await transport.aclose()
    else:
        async with CLIENTS[kind](limit=limit, **settings) as client:
            yield transport_for(client)


async def post(
    transport: Transport, url: str, *, timeout: float = 2.0, body: RequestBody = BODY
) -> Reply | NoAnswer:
    """Post as a session does: under one total deadline, and the evidence decides after it."""
    evidence = Evidence()
    with anyio.move_on_after(timeout):
        return await transport.post(url, body, timeout=timeout, evidence=evidence)
    return NoAnswer("no whole answer in time", unsent=evidence.unsent)


async def fault_of(transport: Transport, url: str, *, timeout: float = 2.0) -> NoAnswer:
    """Post, and expect that no answer comes, and that nothing says more than it should."""
    outcome = await post(transport, url, timeout=timeout)
    assert isinstance(outcome, NoAnswer)
    assert KEY not in repr(outcome)
    return outcome


async def reply_of(transport: Transport, url: str) -> Reply:
    """Post, and expect an answer."""
    outcome = await post(transport, url)
    assert isinstance(outcome, Reply), outcome
    return outcome


async def reply_to(kind: str, script: Script) -> Reply:
    """Post once to a server that plays the script, and expect an answer."""
    with RawServer(script) as server:
        async with opened(kind) as transport:
            return await reply_of(transport, server.url)


async def fault_to(kind: str, script: Script, *, timeout: float = 2.0) -> NoAnswer:
    """Post once to a server that plays the script, and expect none.

    Whatever the script is, a request that the server has read must not count as unsent.
    """
    with RawServer(script) as server:
        async with opened(kind) as transport:
            fault = await fault_of(transport, server.url, timeout=timeout)
        assert not (fault.unsent and any(request.body for request in server.received))
        return fault


async def all_closed(server: RawServer) -> bool:
    """Wait until no connection is open; asyncio closes sockets in a later turn."""
    with anyio.move_on_after(2):
        while server.open_connections:
            await anyio.sleep(0.001)
    return not server.open_connections

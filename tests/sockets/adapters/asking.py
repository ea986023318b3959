"""An adapter to any HTTP client, opened and asked in one way; names as in `clients`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio

from ezcaptcha_async._wire import transport_for
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody, Transport
from tests.sockets.clients import CLIENTS, KEY, OWN
from tests.sockets.raw_server import RawServer, Script

BODY: Final = RequestBody(b'{"clientKey":"%b","task":{"type":"T"}}' % KEY.encode())


@asynccontextmanager
async def opened(kind: str, *, limit: int | None = None, **settings: Any) -> AsyncGenerator[Any]:
    """Open a transport.

    Args:
        kind: Name of the client.
        limit: Most connections.
        **settings: Of an injected client only: `verify`, `headers`, `proxy` for any of them,
            the others are its package's own.
    """
    if kind in OWN:
        transport = transport_for(choice=kind, max_requests=limit)
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

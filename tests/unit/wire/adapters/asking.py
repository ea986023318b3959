"""An adapter to any HTTP client, opened and asked in one way; names as in `clients`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import anyio

from ezcaptcha_async._wire import transport_for
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody, Transport
from tests.sockets.clients import CLIENTS, KEY, OWN
from tests.sockets.raw_server import RawServer, Script

BODY: Final = RequestBody(b'{"clientKey":"%b","task":{"type":"T"}}' % KEY.encode())

LONG: Final = 30.0
"""Seconds for what takes a few milliseconds, unless the machine is busy."""
CUT_OFF: Final = "no whole answer in time"


@asynccontextmanager
async def opened(
    kind: str, *, limit: int | None = None, urls: Sequence[str] = (), **settings: Any
) -> AsyncGenerator[Any]:
    """Open a transport.

    Args:
        kind: Name of the client.
        limit: Most connections.
        urls: Where it is said to lead.
        **settings: Of an injected client only: `verify`, `headers`, `proxy` for any of them,
            the others are its package's own.
    """
    if kind in OWN:
        transport = transport_for(choice=kind, max_requests=limit, urls=urls)
        try:
            yield transport
        finally:
            await transport.aclose()
    else:
        async with CLIENTS[kind](limit=limit, **settings) as client:
            yield transport_for(client)


async def post(
    transport: Transport, url: str, *, timeout: float = LONG, body: RequestBody = BODY
) -> Reply | NoAnswer:
    """Post as a session does: under one total deadline, and the evidence decides after it."""
    evidence = Evidence()
    with anyio.move_on_after(timeout):
        return await transport.post(url, body, timeout=timeout, evidence=evidence)
    return NoAnswer(CUT_OFF, unsent=evidence.unsent)


async def cut_off(
    transport: Transport,
    url: str,
    when: Callable[[Evidence], object],
    *,
    body: RequestBody = BODY,
) -> NoAnswer:
    """Post, and end it as a deadline does, but as soon as something has come to pass."""
    evidence = Evidence()
    async with anyio.create_task_group() as group:
        group.start_soon(partial(transport.post, url, body, timeout=LONG, evidence=evidence))
        with anyio.fail_after(LONG):
            while not when(evidence):
                await anyio.sleep(0.001)
        group.cancel_scope.cancel()
    return NoAnswer(CUT_OFF, unsent=evidence.unsent)


async def fault_of(transport: Transport, url: str, *, timeout: float = LONG) -> NoAnswer:
    """Post, and expect that no answer comes, and that nothing says more than it should."""
    outcome = await post(transport, url, timeout=timeout)
    assert isinstance(outcome, NoAnswer)
    assert KEY not in repr(outcome)
    return outcome


async def given_up(kind: str, transport: Transport, url: str) -> NoAnswer:
    """Post with little patience: a client ends that itself, and aiohttp, which cannot, is cut off.

    A session's own total deadline would come so soon after that a busy machine meets both.
    """
    seconds = 0.3
    evidence = Evidence()
    with anyio.move_on_after(seconds if "aiohttp" in kind else LONG):
        outcome = await transport.post(url, BODY, timeout=seconds, evidence=evidence)
        assert isinstance(outcome, NoAnswer)
        return outcome
    return NoAnswer(CUT_OFF, unsent=evidence.unsent)


async def reply_of(transport: Transport, url: str, *, timeout: float = LONG) -> Reply:
    """Post, and expect an answer."""
    outcome = await post(transport, url, timeout=timeout)
    assert isinstance(outcome, Reply), outcome
    return outcome


async def reply_to(kind: str, script: Script) -> Reply:
    """Post once to a server that plays the script, and expect an answer."""
    (reply,) = await replies_to(kind, script)
    return reply


async def replies_to(kind: str, *scripts: Script) -> list[Reply]:
    """Post once to a server for each script, with a client of its own, and expect answers."""
    replies = []
    with RawServer(*scripts) as server:
        for _ in scripts:
            async with opened(kind) as transport:
                replies.append(await reply_of(transport, server.url))
    return replies


async def faults_to(kind: str, *scripts: Script) -> None:
    """Post once to a server for each script, with a client of its own, and expect no answer.

    The server reads each request, so none may count as unsent.
    """
    with RawServer(*scripts) as server:
        for script in scripts:
            async with opened(kind) as transport:
                assert not (await fault_of(transport, server.url)).unsent, script
        assert len(server.complete) == len(scripts)


async def all_closed(server: RawServer) -> bool:
    """Wait until no connection is open; asyncio closes sockets in a later turn."""
    with anyio.move_on_after(LONG):
        while server.open_connections:
            await anyio.sleep(0.001)
    return not server.open_connections

"""What only httpx and httpx2 have: event hooks, and classes that users derive from."""

from __future__ import annotations

import gzip
from typing import Any

import anyio
import httpx
import pytest

from ezcaptcha_async import ConfigurationError
from ezcaptcha_async._wire.httpx import HttpxTransport
from ezcaptcha_async.transports import Evidence, NoAnswer
from tests.sockets.clients import PACKAGES
from tests.sockets.raw_server import GOOD, End, RawServer, Script, answer

from .asking import BODY, fault_of, opened, post, reply_of


@pytest.fixture(params=PACKAGES)
def name(request: pytest.FixtureRequest) -> str:
    """Name of the package."""
    return str(request.param)


@pytest.mark.parametrize("client", [object(), httpx.Client, httpx.AsyncHTTPTransport, "client"])
def test_anything_else_is_not_a_client(client: object) -> None:
    """A synchronous client would fail at the first request, far from the mistake."""
    with pytest.raises(ConfigurationError, match=r"must be an httpx\.AsyncClient, an httpx2\."):
        HttpxTransport(client)


async def test_a_client_of_a_derived_class_works(name: str) -> None:
    """Tracing libraries and users derive from the client's class."""

    class Instrumented(PACKAGES[name].AsyncClient):  # type: ignore[misc]
        pass

    with RawServer(Script(end=End.RESET), GOOD) as server:
        async with Instrumented() as client:
            transport = HttpxTransport(client)
            assert not (await fault_of(transport, server.url)).unsent
            await reply_of(transport, server.url)


async def test_a_client_that_follows_redirects_does_not_follow_ours(name: str) -> None:
    """A 307 sends the body, and with it the key, to another host."""
    with RawServer(GOOD) as elsewhere:
        moved = answer(b"", "307 Moved", {"location": elsewhere.url, "connection": "close"})
        with RawServer(Script(send=moved)) as server:
            async with opened(f"{name}-client", follow_redirects=True) as transport:
                assert (await reply_of(transport, server.url)).status == 307
        assert elsewhere.connections == 0


async def test_hooks_of_the_user_may_read_the_answer_and_may_fail(name: str) -> None:
    """Logging hooks are common; one that fails must not bring the pool down."""
    seen: list[bytes] = []

    async def read(response: Any) -> None:
        seen.append(await response.aread())

    async def fail(_response: Any) -> None:
        raise ZeroDivisionError

    kind = f"{name}-client"
    compressed = answer(gzip.compress(b"{}"), headers={"content-encoding": "gzip"})
    with RawServer(Script(send=compressed, end=End.KEEP)) as server:
        async with opened(kind, event_hooks={"response": [read]}) as transport:
            assert (await reply_of(transport, server.url)).body == b"{}"
        async with opened(kind, event_hooks={"response": [fail]}) as transport:
            assert not (await fault_of(transport, server.url)).unsent
    assert seen == [b"{}"]


async def test_headers_that_never_got_through_are_never_sent(name: str) -> None:
    """What stopped within the headers has certainly not reached the body."""
    # More than all the buffers between client and server hold.
    padding = {"x-padding": "x" * 6_000_000}
    for end, timeout in ((End.RESET, 5.0), (End.HANG, 0.3)):
        with RawServer(Script(read=10_000, end=end)) as server:
            async with opened(f"{name}-client", headers=padding) as transport:
                fault = await fault_of(transport, server.url, timeout=timeout)
        assert fault.unsent


async def test_no_free_connection_is_never_sent(name: str) -> None:
    """An injected client may be small and busy; its own timeout for a connection says so."""
    with RawServer(Script(end=End.HANG)) as server:
        async with (
            opened(f"{name}-client", limit=1) as transport,
            anyio.create_task_group() as group,
        ):
            group.start_soon(post, transport, server.url)
            while not server.complete:
                await anyio.sleep(0.001)
            evidence = Evidence()
            fault = await transport.post(server.url, BODY, timeout=0.03, evidence=evidence)
            assert isinstance(fault, NoAnswer)
            assert fault.unsent
            # A poll is repeated in any case, so nobody asks.
            fault = await transport.post(server.url, BODY, timeout=0.03)
            assert fault == NoAnswer("PoolTimeout")
            group.cancel_scope.cancel()
        assert len(server.complete) == 1

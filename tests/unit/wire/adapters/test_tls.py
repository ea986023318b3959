"""TLS and proxies, where nothing of a request may be said too early: for every HTTP client."""

from __future__ import annotations

import gc
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anyio
import pytest

from tests.sockets.clients import OWN
from tests.sockets.raw_server import GOOD, HEAD_ONLY, End, RawServer, Script, answer

from .asking import LONG, all_closed, fault_of, given_up, opened, reply_of

RESET_AT_ONCE: Final = Script(read=0, end=End.RESET)
SILENT: Final = Script(end=End.HANG)


@pytest.fixture
def trusting(certificate: Path) -> ssl.SSLContext:
    """Return a client's TLS settings that trust the self-signed certificate."""
    return ssl.create_default_context(cafile=certificate)


async def test_a_certificate_that_nobody_vouches_for(kind: str, tls: ssl.SSLContext) -> None:
    """The key must not go to an impostor, and trying again changes nothing."""
    with RawServer(GOOD, tls=tls) as server:
        async with opened(kind) as transport:
            fault = await fault_of(transport, server.url)
        assert server.received == []
    assert fault.unsent
    assert fault.permanent
    words = ": the certificate of 127.0.0.1 is not trusted: self-signed certificate"
    assert fault.reason.endswith(words)


async def test_a_certificate_for_another_host(
    injected: str, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """It is as bad as none."""
    with RawServer(GOOD, tls=tls) as server:
        async with opened(injected, verify=trusting) as transport:
            fault = await fault_of(transport, server.url.replace("127.0.0.1", "localhost"))
        assert server.received == []
    assert fault.unsent
    assert fault.permanent
    assert ": the certificate of localhost is not trusted: Hostname mismatch" in fault.reason


async def test_a_certificate_that_is_trusted(
    injected: str, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """A gateway with a private authority works with an injected client."""
    with RawServer(GOOD, tls=tls) as server:
        async with opened(injected, verify=trusting) as transport:
            for _ in range(3):
                await reply_of(transport, server.url)
    assert (server.connections, len(server.complete)) == (1, 3)


async def test_a_break_after_a_request_over_tls(
    injected: str, tls: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """Encryption changes nothing: what was sent may have been paid for."""
    with RawServer(Script(end=End.RESET), tls=tls) as server:
        async with opened(injected, verify=trusting) as transport:
            fault = await fault_of(transport, server.url)
        assert len(server.complete) == 1
    assert not fault.unsent


# Where the total deadline cuts a handshake off, httpcore leaves the socket to the garbage
# collector, and so does uvloop where it is reset; a test of its own sees to it that this is
# not the normal way.
cut_off = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


def _patience(script: Script) -> float:
    """Return seconds: a deadline is met only by what hangs, however busy the machine is."""
    return 0.08 if script.end is End.HANG else LONG


@asynccontextmanager
async def _left_behind_is_collected() -> AsyncGenerator[None]:
    """Have it happen here, and not in some other test.

    While nothing is collected, all that is new stays among the youngest objects; to look
    through those alone takes no time.
    """
    gc.disable()
    try:
        yield
    finally:
        await anyio.sleep(0.01)  # asyncio hears that the server is gone
        gc.collect(0)
        gc.enable()


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(Script(read=0, end=End.HANG), id="silent", marks=cut_off),
        pytest.param(RESET_AT_ONCE, id="reset", marks=cut_off),
        pytest.param(
            Script(read=5, send=b"HTTP/1.1 400 Bad Request\r\n\r\n", end=End.RESET),
            id="not-tls-reset",
        ),
        pytest.param(Script(read=5, send=b"HTTP/1.1 400 Bad Request\r\n\r\n"), id="not-tls"),
    ],
)
async def test_a_handshake_that_fails_is_never_sent(package: str, script: Script) -> None:
    """The body comes after the handshake; and a server that restarts is not a bad certificate."""
    async with _left_behind_is_collected():
        with RawServer(script) as server:
            async with opened(package) as transport:
                url = server.url.replace("http:", "https:")
                fault = await fault_of(transport, url, timeout=_patience(script))
    assert fault.unsent
    assert not fault.permanent


@cut_off
async def test_a_handshake_that_hangs_is_closed_at_its_deadline(package: str) -> None:
    """A gateway that hangs for an hour must not cost one open socket for each attempt."""
    async with _left_behind_is_collected():
        with RawServer(SILENT) as server:
            async with opened(package) as transport:
                url = server.url.replace("http:", "https:")
                await given_up(package, transport, url)
                assert await all_closed(server)


# --------------------------------------------------------------------------------- proxy


@asynccontextmanager
async def _opened_behind(
    kind: str, proxy: RawServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Any]:
    if kind in OWN:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        settings = {}
    else:
        settings = {"proxy": proxy.url}
    async with opened(kind, **settings) as transport:
        yield transport


@pytest.mark.parametrize(
    "script",
    [
        Script(read=HEAD_ONLY, send=answer(b"", "503 Service Unavailable")),
        Script(read=HEAD_ONLY, send=answer(b"", "407 Proxy Authentication Required")),
        Script(read=HEAD_ONLY, end=End.RESET),
        Script(read=HEAD_ONLY, end=End.HANG),
        pytest.param(
            Script(read=HEAD_ONLY, send=b"HTTP/1.1 200 OK\r\n\r\n", end=End.HANG), marks=cut_off
        ),
        Script(read=HEAD_ONLY, send=b"HTTP/1.1 200 OK\r\n\r\n", end=End.RESET),
    ],
    ids=["503", "407", "reset", "silent", "tls-silent", "tls-reset"],
)
async def test_a_proxy_that_gives_no_tunnel_has_seen_nothing(
    package: str, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the host name went to the proxy, so the create must be repeated, not given up."""
    async with _left_behind_is_collected():
        with RawServer(script) as proxy:
            async with _opened_behind(package, proxy, monkeypatch) as transport:
                url = "https://service.invalid/createTask"
                fault = await fault_of(transport, url, timeout=_patience(script))
    if (status := script.send[9:12].decode()) in {"407", "503"} and package in OWN:
        named = f": HTTP {status} of the proxy 127.0.0.1, which HTTPS_PROXY names"
        assert fault.reason.endswith(named)
    assert all(request.head.startswith(b"CONNECT ") for request in proxy.received)
    assert not any(request.body for request in proxy.received)
    assert fault.unsent
    assert not fault.permanent

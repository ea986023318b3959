"""The connections that httpx is given by its adapter: one to each request in flight."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import anyio
import httpx
import pytest

from ezcaptcha_async._wire.tls import ssl_context
from ezcaptcha_async._wire.transport import KEEP_ALIVE_SECONDS
from ezcaptcha_async.transports import NoAnswer
from tests.sockets.clients import OWN
from tests.sockets.raw_server import GOOD, End, RawServer, Script, answer

from .asking import LONG, all_closed, cut_off, fault_of, opened, post, reply_of

SILENT: Final = Script(end=End.HANG)
SLOW: Final = Script(send=b"HTTP/1.1 204 No Content\r\n\r\n", pause=0.003, end=End.KEEP)
URL: Final = "http://service.invalid/createTask"


class Clock:
    """What the adapter takes for the time."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        """Return it, in seconds."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let the adapter's time pass by hand."""
    clock = Clock()
    monkeypatch.setattr("ezcaptcha_async._wire.lanes.time", clock)
    return clock


async def _until(condition: Callable[[], bool]) -> None:
    with anyio.fail_after(LONG):
        while not condition():
            await anyio.sleep(0.001)


# ------------------------------------------------------------------------- one to each


async def test_a_request_that_is_cut_off_takes_only_its_own_connection_along() -> None:
    """Deadlines may be short only if they cost nobody else anything."""
    with RawServer(SILENT, SILENT, GOOD) as server:
        async with opened("httpx") as transport, anyio.create_task_group() as group:
            group.start_soon(post, transport, server.url)
            await _until(lambda: len(server.received) == 1)
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as others:
                    others.start_soon(post, transport, server.url)
                    await _until(lambda: len(server.received) == 2)
                    await reply_of(transport, server.url)
                    assert server.open_connections == 3
                    scope.cancel()
            await _until(lambda: server.open_connections == 2)
            await reply_of(transport, server.url)
            assert (server.connections, server.open_connections) == (3, 2)
            group.cancel_scope.cancel()


async def test_a_request_that_never_began_is_never_sent() -> None:
    """It is repeated, where one of which nothing is known is given up as perhaps paid for."""
    with RawServer(GOOD) as server:
        async with opened("httpx") as transport:
            assert (await fault_of(transport, server.url, timeout=0.0)).unsent


async def test_a_handshake_that_is_cut_off_leaves_no_socket() -> None:
    """A gateway that hangs would cost one for each attempt: nothing else closes it."""
    gc.disable()
    try:
        with RawServer(SILENT) as server:
            async with opened("httpx") as transport, anyio.create_task_group() as group:
                url = server.url.replace("http:", "https:")
                group.start_soon(post, transport, url)
                await _until(lambda: bool(server.open_connections))
                group.cancel_scope.cancel()
            assert await all_closed(server)
    finally:
        gc.enable()


@pytest.mark.parametrize("limit", [1, 2])
async def test_two_services_share_the_connections_that_were_agreed(limit: int) -> None:
    """A gateway counts the connections of a client; but one for each request costs time."""
    with RawServer(GOOD) as one, RawServer(GOOD) as other:
        async with opened("httpx", limit=limit) as transport:
            for number in range(1, 4):
                await reply_of(transport, one.url)
                await reply_of(transport, other.url)
                made = number if limit == 1 else 1
                assert (one.connections, other.connections) == (made, made)
                assert limit > 1 or await all_closed(one)


async def test_what_nobody_uses_is_closed_and_what_was_used_last_is_used_first(
    clock: Clock,
) -> None:
    """After a burst, a program that polls now and then would hold all its sockets open."""
    with RawServer(SLOW) as server:
        async with opened("httpx") as transport:
            async with anyio.create_task_group() as group:
                for _ in range(4):
                    group.start_soon(reply_of, transport, server.url)
            for _ in range(2):
                clock.now += 0.6 * KEEP_ALIVE_SECONDS
                await reply_of(transport, server.url)
            await _until(lambda: server.open_connections == 1)
            assert repr(transport).endswith("1 connections>")
        assert (server.connections, len(server.complete)) == (4, 6)


# ---------------------------------------------------------------------------- the end


async def test_closing_ends_what_is_in_flight() -> None:
    """A pool that is closed must not keep its service's connections, nor its caller waiting."""
    outcomes: list[Any] = []
    with RawServer(SILENT) as server:
        async with opened("httpx") as transport, anyio.create_task_group() as group:

            async def ask() -> None:
                outcomes.append(await post(transport, server.url))

            group.start_soon(ask)
            await _until(lambda: bool(server.received))
            await transport.aclose()
        assert await all_closed(server)
    assert isinstance(outcomes[0], NoAnswer)
    assert not outcomes[0].unsent


async def test_closing_keeps_no_connection_that_comes_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that is looked up meanwhile leads to a socket that nobody would close."""
    asked, may_answer, look_up = threading.Event(), threading.Event(), socket.getaddrinfo
    here = threading.get_ident()

    def slow(*arguments: Any, **options: Any) -> Any:
        if threading.get_ident() != here:  # trio itself asks whether it is a name at all
            asked.set()
            assert may_answer.wait(10)
        return look_up(*arguments, **options)

    with RawServer(GOOD) as server:
        monkeypatch.setattr(socket, "getaddrinfo", slow)
        async with opened("httpx") as transport, anyio.create_task_group() as group:
            url = server.url.replace("127.0.0.1", "localhost")
            group.start_soon(post, transport, url)
            await _until(asked.is_set)
            await transport.aclose()
            may_answer.set()
        assert await all_closed(server)
        assert server.connections == 1


# -------------------------------------------------------------------- what is sent


@pytest.fixture(params=["direct", "proxy"])
def way(request: pytest.FixtureRequest) -> str:
    """Whether the environment names a proxy."""
    return str(request.param)


def _lead(server: RawServer, way: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let requests come to the server, as a proxy or not; return the URL for them."""
    if way == "direct":
        return f"{server.url}/createTask"
    monkeypatch.setenv("HTTP_PROXY", server.url)
    return URL


async def test_requests_are_those_of_a_client(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that lets httpx in must let the adapter's requests in as well."""
    moved = answer(b"", "307 Moved", {"location": "http://elsewhere.invalid"})
    with RawServer(Script(send=moved, end=End.KEEP)) as server:
        url = _lead(server, way, monkeypatch)
        for kind in ("httpx", "httpx-client"):
            async with opened(kind) as transport:
                assert (await reply_of(transport, url)).status == 307, "nor is it followed"
    own, client = server.received
    assert own == client
    assert own.head.startswith(b"POST " + (URL if way == "proxy" else "/createTask").encode())


async def test_cookies_are_not_kept(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load balancer's cookie would send each poll to another machine, or all to one."""
    script = Script(send=answer(headers={"set-cookie": "a=b; Path=/"}), end=End.KEEP)
    with RawServer(script) as server:
        url = _lead(server, way, monkeypatch)
        async with opened("httpx") as transport:
            for _ in range(2):
                await reply_of(transport, url)
    assert [request.headers.get("cookie") for request in server.received] == [None, None]


# ------------------------------------------------------------------------- proxies


async def test_what_is_said_to_a_proxy_may_have_come_to_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Behind a proxy, too, a task must not be paid for twice."""
    scripts = [Script(end=End.RESET), Script(read=0, end=End.RESET), GOOD]
    with RawServer(*scripts) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        async with opened("httpx") as transport:
            assert not (await fault_of(transport, URL)).unsent
            await fault_of(transport, URL)
            for _ in range(3):
                await reply_of(transport, URL)
            assert repr(transport).endswith("1 connections>")
        assert await all_closed(proxy)
        assert (proxy.connections, len(proxy.complete)) == (3, 4)
        proxy_url = proxy.url
    async with opened("httpx") as transport:
        assert (await fault_of(transport, proxy_url)).unsent


async def test_tls_is_spoken_with_a_proxy_that_wants_it(
    tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever listens on the way to it would read its password."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with RawServer(GOOD, tls=tls) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//me:secret@"))
        async with opened("httpx") as transport:
            await reply_of(transport, URL)
    assert proxy.complete[0].head.startswith(b"POST http://service.invalid/createTask ")
    assert "proxy-authorization" in proxy.complete[0].headers


async def test_a_socks_proxy_is_told_user_and_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be asked as one that speaks HTTP, or refuse each request."""
    asked: list[dict[str, Any]] = []

    def proxy(**settings: Any) -> Any:
        asked.append(settings)
        raise ConnectionRefusedError

    monkeypatch.setattr("ezcaptcha_async._wire.lanes.find_spec", bool)  # as if it could be had
    monkeypatch.setattr("httpcore.AsyncSOCKSProxy", proxy)
    monkeypatch.setenv("HTTP_PROXY", "socks5h://me:secret@127.0.0.1:1080")
    async with opened("httpx") as transport:
        assert (await fault_of(transport, URL)).unsent
    assert bytes(asked[0]["proxy_url"]) == b"socks5h://127.0.0.1:1080/"
    assert asked[0]["proxy_auth"] == (b"me", b"secret")


# ------------------------------------------------------------------------ certificates


async def test_certificates_are_read_once_a_process(
    anyio_backend_name: str,
    one_authority: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reading them holds the event loop up for 50 ms: two hundred pools would for 10 s."""
    made: list[ssl.SSLContext] = []
    make = httpx.create_ssl_context

    def counted() -> ssl.SSLContext:
        made.append(make())
        return made[-1]

    monkeypatch.setattr(httpx, "create_ssl_context", counted)
    other = tmp_path / "other.pem"
    other.write_bytes(one_authority.read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    for kind in OWN if anyio_backend_name == "asyncio" else ("httpx",):
        for _ in range(2):
            async with opened(kind, urls=["https://service.invalid"]):
                pass
    assert len(made) == 1
    assert ssl_context() is made[0]
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    assert ssl_context() is made[1] is not made[0]


async def test_certificates_that_are_trusted_by_the_environment(
    tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway with a private authority works without a client of one's own."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with RawServer(Script(send=answer(), end=End.KEEP, then=SILENT), GOOD, tls=tls) as server:
        async with opened("httpx") as transport:
            await reply_of(transport, server.url)
            sent_again = await cut_off(transport, server.url, lambda _: len(server.complete) == 2)
            assert not sent_again.unsent
            await reply_of(transport, server.url)
        assert await all_closed(server)

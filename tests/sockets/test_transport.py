"""What a real HTTP client on a real socket makes of everything a server can do to it.

Each test runs with a client that the transport opened itself, with an injected
``httpx.AsyncClient`` and with an injected ``httpx2.AsyncClient``, on asyncio and on trio.
"""

from __future__ import annotations

import gc
import gzip
import shutil
import socket
import ssl
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import anyio
import certifi
import httpx
import httpx2
import pytest

from ezcaptcha_async import ConfigurationError
from ezcaptcha_async._transport import MAX_BODY, Evidence, HttpxTransport, NoAnswer
from ezcaptcha_async._wire import Reply, RequestBody

from .raw_server import (
    EVERYTHING,
    GOOD,
    HEAD_ONLY,
    End,
    RawServer,
    Script,
    answer,
    chunked,
)

KEY: Final = "a-client-key-that-is-secret"
BODY: Final = RequestBody(b'{"clientKey":"%b","task":{"type":"T"}}' % KEY.encode())
# Where a request breaks off, httpx and httpcore drop generators of their own half-way; on
# trio each of them says so. Nothing else may be left open.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator '(httpx|httpcore):ResourceWarning")

PACKAGES: Final[dict[str, Any]] = {"httpx": httpx, "httpx2": httpx2}

BOMB: Final = gzip.compress(bytes(32 * MAX_BODY), compresslevel=6)
"""32 MiB of zeros in 32 KiB."""
RESET_AT_ONCE: Final = Script(read=0, end=End.RESET)
SILENT: Final = Script(end=End.HANG)
BREAKS_OFF: Final = [
    pytest.param(End.CLOSE, id="close"),
    pytest.param(End.RESET, id="reset"),
]


@pytest.fixture(scope="module")
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with the first of the public certificate authorities."""
    end = "-----END CERTIFICATE-----"
    path = tmp_path_factory.mktemp("authorities") / "first.pem"
    path.write_text(Path(certifi.where()).read_text("utf-8").partition(end)[0] + end)
    return path


@pytest.fixture(autouse=True)
def _few_authorities(one_authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust one authority only: loading all of them takes each client 20 ms."""
    monkeypatch.setenv("SSL_CERT_FILE", str(one_authority))


@pytest.fixture(params=["own", *PACKAGES])
def kind(request: pytest.FixtureRequest) -> str:
    """Name of the HTTP client."""
    return str(request.param)


@pytest.fixture(params=["own", "httpx2"])
def package(request: pytest.FixtureRequest) -> str:
    """Name of the HTTP client, where it makes no difference who opened it."""
    return str(request.param)


@pytest.fixture(params=PACKAGES)
def injected(request: pytest.FixtureRequest) -> str:
    """Name of the HTTP client, where the test needs to set it up."""
    return str(request.param)


@asynccontextmanager
async def opened(kind: str, **settings: Any) -> AsyncGenerator[HttpxTransport]:
    """Open a transport; settings are those of an injected client."""
    if kind == "own":
        transport = HttpxTransport(**settings)
        try:
            yield transport
        finally:
            await transport.aclose()
    else:
        async with PACKAGES[kind].AsyncClient(**settings) as client:
            yield HttpxTransport(client)


async def post(
    transport: HttpxTransport, url: str, *, timeout: float = 2.0, body: RequestBody = BODY
) -> Reply | NoAnswer:
    """Post as a session does: under one total deadline, and the evidence decides after it."""
    evidence = Evidence()
    with anyio.move_on_after(timeout):
        return await transport.post(url, body, timeout=timeout, evidence=evidence)
    return NoAnswer("no whole answer in time", unsent=evidence.unsent)


async def fault_of(transport: HttpxTransport, url: str, *, timeout: float = 2.0) -> NoAnswer:
    """Post, and expect that no answer comes, and that nothing says more than it should."""
    outcome = await post(transport, url, timeout=timeout)
    assert isinstance(outcome, NoAnswer)
    assert KEY not in repr(outcome)
    return outcome


async def reply_of(transport: HttpxTransport, url: str) -> Reply:
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


# ------------------------------------------------------------------------ good answers


async def test_a_plain_exchange(kind: str) -> None:
    """The request must arrive as the service wants it, and the answer as it was sent."""
    script = Script(
        send=answer(
            b'{"errorId":1}',
            "503 Service Unavailable",
            {"retry-after": "7", "date": "Tue, 03 Nov 2026 10:00:00 GMT"},
        ),
        end=End.KEEP,
    )
    with RawServer(script) as server:
        async with opened(kind) as transport:
            reply = await reply_of(transport, f"{server.url}/createTask")
    assert (reply.status, reply.body) == (503, b'{"errorId":1}')
    assert (reply.retry_after, reply.date) == ("7", "Tue, 03 Nov 2026 10:00:00 GMT")
    (request,) = server.received
    assert request.head.startswith(b"POST /createTask HTTP/1.1\r\n")
    assert request.body == BODY.content
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert "transfer-encoding" not in request.headers


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (answer(b""), b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (answer(b"<html>", headers={"content-type": "text/html; charset=nonsense"}), b"<html>"),
        (chunked(b"ab", b"c") + b"0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n" + answer(), None),
        (answer(headers={"content-encoding": "identity"}), None),
        (answer(headers={"content-encoding": ""}), None),
        (answer(b"\xff\x00"), b"\xff\x00"),
        (answer(headers={"retry-after": "7\r\nretry-after: 8", "x-name": "\xe9"}), None),
    ],
    ids=[
        "empty",
        "204",
        "wrong-type",
        "chunked",
        "1xx",
        "identity",
        "no-coding",
        "binary",
        "odd-headers",
    ],
)
async def test_unusual_answers_are_passed_on_as_they_are(
    package: str, sent: bytes, body: bytes | None
) -> None:
    """Whether an answer means something is decided by its content, elsewhere."""
    reply = await reply_to(package, Script(send=sent, end=End.KEEP))
    assert reply.body == (b'{"errorId":0}' if body is None else body)


async def test_an_answer_that_ends_with_its_connection(package: str) -> None:
    """HTTP/1.0 has no other end; some gateways still speak it."""
    script = Script(send=b"HTTP/1.0 200 OK\r\n\r\n{}")
    assert (await reply_to(package, script)).body == b"{}"


async def test_an_answer_before_the_request_was_read(kind: str) -> None:
    """A gateway turns requests away by their headers; its answer says so."""
    script = Script(read=HEAD_ONLY, send=answer(b"", "429 Too Many Requests"))
    assert (await reply_to(kind, script)).status == 429


async def test_a_slow_answer_in_time(package: str) -> None:
    """Bytes that come one by one are still an answer."""
    reply = await reply_to(package, Script(send=answer(), pause=0.0005, end=End.KEEP))
    assert reply.body == b'{"errorId":0}'


async def test_one_connection_serves_many_requests(kind: str) -> None:
    """A new connection for each poll costs a TLS handshake of 100 ms and more."""
    with RawServer(GOOD) as server:
        async with opened(kind) as transport:
            for _ in range(10):
                await reply_of(transport, server.url)
    assert (server.connections, len(server.complete)) == (1, 10)


async def test_a_connection_that_the_server_closed_meanwhile(kind: str) -> None:
    """Servers close idle connections; the next request needs a new one and no excuse."""
    with RawServer(Script(send=answer()), GOOD) as server:
        async with opened(kind) as transport:
            await reply_of(transport, server.url)
            while not server.ended:
                await anyio.sleep(0.001)
            await reply_of(transport, server.url)
    assert server.connections == 2


async def test_no_more_connections_than_requests_at_a_time() -> None:
    """The default client must keep what it opened, or each request costs a connection."""
    slow = Script(send=answer(b"{}"), pause=0.0002, end=End.KEEP)
    with RawServer(slow) as server:
        async with opened("own", max_requests=8) as transport, anyio.create_task_group() as group:

            async def several() -> None:
                for _ in range(5):
                    await reply_of(transport, server.url)

            for _ in range(8):
                group.start_soon(several)
        assert len(server.complete) == 40
        assert server.connections == 8


# ------------------------------------------------------------------- no connection at all


@contextmanager
def _full_house() -> Iterator[str]:
    """Yield the URL of a server whose queue is full: connecting takes for ever."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for guest in (first, second):
            guest.setblocking(False)  # noqa: FBT003
            guest.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


async def test_a_refused_connection_is_never_sent(kind: str) -> None:
    """It must be repeated, not reported as perhaps paid for."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        async with opened(kind) as transport:
            fault = await fault_of(transport, f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert fault.unsent
    assert not fault.permanent


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse when a queue is full")
async def test_a_connection_that_is_never_accepted_is_never_sent(kind: str) -> None:
    """A host behind a firewall answers nothing; nothing was sent to it either."""
    with _full_house() as url:
        async with opened(kind) as transport:
            fault = await fault_of(transport, url, timeout=0.1)
    assert fault.unsent


async def test_a_host_without_an_address_is_never_sent(
    package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name server that fails for a moment must not cost a task."""

    def unknown(*_args: object, **_kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    async with opened(package) as transport:
        fault = await fault_of(transport, "http://service.invalid")
    assert fault.unsent
    assert not fault.permanent


async def test_no_free_connection_is_never_sent(injected: str) -> None:
    """An injected client may be small and busy; waiting for it costs nothing."""
    limits = PACKAGES[injected].Limits(max_connections=1)
    with RawServer(SILENT) as server:
        async with opened(injected, limits=limits) as transport, anyio.create_task_group() as group:
            group.start_soon(post, transport, server.url)
            while not server.complete:
                await anyio.sleep(0.001)
            evidence = Evidence()
            fault = await transport.post(server.url, BODY, timeout=0.03, evidence=evidence)
            assert isinstance(fault, NoAnswer)
            assert fault.unsent
            group.cancel_scope.cancel()
        assert len(server.complete) == 1


async def test_no_free_connection_until_the_deadline_is_never_sent(injected: str) -> None:
    """The client's own timeout and the total deadline are the same and end together."""
    limits = PACKAGES[injected].Limits(max_connections=1)
    with RawServer(SILENT) as server:
        async with opened(injected, limits=limits) as transport, anyio.create_task_group() as group:
            group.start_soon(post, transport, server.url)
            while not server.complete:
                await anyio.sleep(0.001)
            fault = await fault_of(transport, server.url, timeout=0.25)
            group.cancel_scope.cancel()
        assert len(server.complete) == 1
    assert fault.unsent


async def test_a_closed_client_is_a_fault(injected: str) -> None:
    """Whoever closes their client too early must not bring the scheduler down."""
    client = PACKAGES[injected].AsyncClient()
    transport = HttpxTransport(client)
    await client.aclose()
    with RawServer(GOOD) as server:
        fault = await fault_of(transport, server.url)
        assert server.connections == 0
    assert fault.unsent
    assert fault.permanent


# ----------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a self-signed certificate for 127.0.0.1 and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("making a certificate needs the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=test -addext subjectAltName=IP:127.0.0.1 "
        "-addext keyUsage=critical,digitalSignature,keyCertSign -keyout key.pem -out cert.pem"
    )
    subprocess.run([openssl, *command.split()], cwd=folder, check=True, capture_output=True)  # noqa: S603
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return both


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """Return a server's TLS settings with the self-signed certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_a_certificate_that_nobody_vouches_for(kind: str, tls: ssl.SSLContext) -> None:
    """The key must not go to an impostor, and trying again changes nothing."""
    with RawServer(GOOD, tls=tls) as server:
        async with opened(kind) as transport:
            fault = await fault_of(transport, server.url)
        assert server.received == []
    assert fault.unsent
    assert fault.permanent


async def test_a_certificate_for_another_host(
    injected: str, tls: ssl.SSLContext, certificate: Path
) -> None:
    """It is as bad as none."""
    trusting = ssl.create_default_context(cafile=certificate)
    with RawServer(GOOD, tls=tls) as server:
        async with opened(injected, verify=trusting) as transport:
            fault = await fault_of(transport, server.url.replace("127.0.0.1", "localhost"))
        assert server.received == []
    assert fault.unsent
    assert fault.permanent


async def test_a_certificate_that_is_trusted(
    injected: str, tls: ssl.SSLContext, certificate: Path
) -> None:
    """A gateway with a private authority works with an injected client."""
    trusting = ssl.create_default_context(cafile=certificate)
    with RawServer(GOOD, tls=tls) as server:
        async with opened(injected, verify=trusting) as transport:
            for _ in range(3):
                await reply_of(transport, server.url)
    assert (server.connections, len(server.complete)) == (1, 3)


async def test_a_break_after_a_request_over_tls(
    injected: str, tls: ssl.SSLContext, certificate: Path
) -> None:
    """Encryption changes nothing: what was sent may have been paid for."""
    trusting = ssl.create_default_context(cafile=certificate)
    with RawServer(Script(end=End.RESET), tls=tls) as server:
        async with opened(injected, verify=trusting) as transport:
            fault = await fault_of(transport, server.url)
        assert len(server.complete) == 1
    assert not fault.unsent


# Where the total deadline cuts a handshake off, httpcore leaves the socket to the garbage
# collector; a test of its own sees to it that this is not the normal way.
cut_off = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


async def _left_behind_is_collected() -> None:
    """Have it happen here and now, and not in some other test."""
    await anyio.sleep(0.01)  # asyncio hears that the server is gone
    gc.collect()


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(Script(read=0, end=End.HANG), id="silent", marks=cut_off),
        pytest.param(RESET_AT_ONCE, id="reset"),
        pytest.param(
            Script(read=5, send=b"HTTP/1.1 400 Bad Request\r\n\r\n", end=End.RESET),
            id="not-tls-reset",
        ),
        pytest.param(Script(read=5, send=b"HTTP/1.1 400 Bad Request\r\n\r\n"), id="not-tls"),
    ],
)
async def test_a_handshake_that_fails_is_never_sent(package: str, script: Script) -> None:
    """The body comes after the handshake; and a server that restarts is not a bad certificate."""
    with RawServer(script) as server:
        async with opened(package) as transport:
            url = server.url.replace("http:", "https:")
            fault = await fault_of(transport, url, timeout=0.08)
    await _left_behind_is_collected()
    assert fault.unsent
    assert not fault.permanent


@cut_off
async def test_a_handshake_that_hangs_is_closed_at_its_deadline(package: str) -> None:
    """A gateway that hangs for an hour must not cost one open socket for each attempt."""
    gc.disable()
    try:
        with RawServer(SILENT) as server:
            async with opened(package) as transport:
                url = server.url.replace("http:", "https:")
                await fault_of(transport, url, timeout=1.5)
                assert server.wait_idle(2.0)
    finally:
        gc.enable()
        await _left_behind_is_collected()


# --------------------------------------------------------------------------------- proxy


@asynccontextmanager
async def _opened_behind(
    kind: str, proxy: RawServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[HttpxTransport]:
    if kind == "own":
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
    with RawServer(script) as proxy:
        async with _opened_behind(package, proxy, monkeypatch) as transport:
            fault = await fault_of(transport, "https://service.invalid/createTask", timeout=0.08)
        assert all(request.head.startswith(b"CONNECT ") for request in proxy.received)
        assert not any(request.body for request in proxy.received)
    await _left_behind_is_collected()
    assert fault.unsent
    assert not fault.permanent


# --------------------------------------------------------------------- broken connections


async def test_a_reset_at_once(kind: str) -> None:
    """The request may have left or not; the transport must only never be wrong about it."""
    with RawServer(RESET_AT_ONCE) as server:
        async with opened(kind) as transport:
            for _ in range(50):
                await fault_of(transport, server.url)
        assert server.received == []


@pytest.mark.parametrize("end", BREAKS_OFF)
async def test_a_break_after_the_headers(kind: str, end: End) -> None:
    """The body was on its way, so nothing is certain."""
    fault = await fault_to(kind, Script(read=HEAD_ONLY, end=end))
    assert not fault.permanent


@pytest.mark.parametrize("end", BREAKS_OFF)
async def test_a_break_after_the_whole_request(kind: str, end: End) -> None:
    """The task may be paid for: it must never look unsent."""
    fault = await fault_to(kind, Script(end=end))
    assert not fault.unsent
    assert not fault.permanent


@pytest.mark.parametrize("end", BREAKS_OFF)
@pytest.mark.parametrize(
    "whole", [answer(), chunked(b"{", b"}") + b"0\r\n\r\n"], ids=["length", "chunked"]
)
async def test_an_answer_cut_off_anywhere_is_no_answer(
    package: str, whole: bytes, end: End
) -> None:
    """Half an answer must not be read as a whole one, nor its request as unsent."""
    # Every byte of the body, and some of the headers.
    body_at = whole.index(b"\r\n\r\n") + 4
    offsets = [*range(0, body_at, 15), *range(body_at - 3, len(whole))]
    scripts = [Script(send=whole[:offset], end=end) for offset in offsets]
    with RawServer(*scripts) as server:
        async with opened(package) as transport:
            for _ in offsets:
                fault = await fault_of(transport, server.url)
                assert not fault.unsent
        assert len(server.complete) == server.connections == len(offsets)


@pytest.mark.parametrize("end", BREAKS_OFF)
async def test_a_request_cut_off_anywhere_is_never_wrongly_unsent(kind: str, end: End) -> None:
    """The one mistake that costs money: repeating a createTask that the service has."""
    with RawServer(Script(send=answer(headers={"connection": "close"}))) as server:
        async with opened(kind) as transport:
            await reply_of(transport, server.url)
            head = len(server.received.pop().head)
            total = head + len(BODY.content)
            # Every offset of the body and the end of the headers, and some before.
            step = 1 if end is End.RESET else 3
            offsets = [*range(0, head - 4, 9), *range(head - 4, total, step), total]
            server.scripts.extend(Script(read=offset, end=end) for offset in offsets)
            for offset in offsets:
                before = len(server.received)
                fault = await fault_of(transport, server.url)
                for request in server.received[before:]:
                    assert request.complete == (offset == total)
                    assert not (request.body and fault.unsent), offset
                assert not (offset > head and fault.unsent), offset
        assert len(server.complete) == 1


@pytest.mark.parametrize(
    ("end", "timeout"), [(End.RESET, 5.0), (End.HANG, 0.3)], ids=["reset", "silent"]
)
async def test_headers_that_never_got_through_are_never_sent(
    injected: str, end: End, timeout: float
) -> None:
    """What stopped within the headers has certainly not reached the body."""
    # More than all the buffers between client and server hold.
    padding = {"x-padding": "x" * 6_000_000}
    with RawServer(Script(read=10_000, end=end)) as server:
        async with opened(injected, headers=padding) as transport:
            fault = await fault_of(transport, server.url, timeout=timeout)
    assert fault.unsent


GARBAGE: Final = (
    b"this is not HTTP\r\n\r\n",
    b"220 mail.example ESMTP ready\r\n",
    b"\x15\x03\x01\x00\x02\x02\x28",  # an alert of TLS
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
    b"HTTP/1.1 two hundred\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}",
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000 + b"\r\n\r\n{}",
    b"\x00" * 1_000,
)


async def test_garbage_instead_of_http(package: str) -> None:
    """Something else on that port must be a fault and not an exception of some parser."""
    with RawServer(*(Script(send=garbage) for garbage in GARBAGE)) as server:
        async with opened(package) as transport:
            for garbage in GARBAGE:
                outcome = await post(transport, server.url)
                assert isinstance(outcome, NoAnswer), garbage
                assert not outcome.unsent
        assert server.connections == len(GARBAGE)


# ------------------------------------------------------------------------------- too slow


@pytest.mark.parametrize(
    "script",
    [
        Script(read=0, end=End.HANG),
        Script(read=HEAD_ONLY, end=End.HANG),
        SILENT,
        Script(send=answer()[:30], end=End.HANG),
        Script(send=answer()[:-3], end=End.HANG),
        Script(send=answer(), pause=0.02),
        Script(send=b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.0005, endless=True),
        Script(send=chunked(b"x")[-6:], pause=0.001, endless=True),
    ],
    ids=["unread", "head-read", "read", "headers", "body", "drip", "1xx", "endless-line"],
)
async def test_the_total_deadline_holds(package: str, script: Script) -> None:
    """A server that keeps a client busy must not keep it beyond its deadline."""
    with RawServer(script, GOOD) as server:
        async with opened(package) as transport:
            began = anyio.current_time()
            fault = await fault_of(transport, server.url, timeout=0.05)
            assert anyio.current_time() - began < 0.5
            assert not fault.unsent
            # The client is none the worse for it.
            await reply_of(transport, server.url)


@pytest.mark.parametrize("delay", [0.0, 0.0005, 0.001, 0.002, 0.004, 0.03])
async def test_deadlines_use_no_connection_up(package: str, delay: float) -> None:
    """A connection that is lost at each deadline would leave none in the end."""
    if package == "own":
        settings: dict[str, Any] = {"max_requests": 2}
    else:
        settings = {"limits": PACKAGES[package].Limits(max_connections=2)}
    with RawServer(*[SILENT] * 6, GOOD) as server:
        async with opened(package, **settings) as transport:
            for _ in range(3):
                async with anyio.create_task_group() as group:
                    for _ in range(2):
                        group.start_soon(lambda: post(transport, server.url, timeout=delay))
            # Connections that were cut off before they were made did not use up a script.
            server.scripts[:] = [GOOD]
            await reply_of(transport, server.url)
            await reply_of(transport, server.url)
        assert server.wait_idle()


# -------------------------------------------------------------------------------- too much


async def test_an_answer_of_exactly_the_limit(package: str) -> None:
    """The limit is for mistakes and traps; what is within it is read."""
    reply = await reply_to(package, Script(send=answer(b"x" * MAX_BODY), end=End.KEEP))
    assert len(reply.body) == MAX_BODY


@pytest.mark.parametrize(
    "script",
    [
        Script(send=answer(b"x" * (MAX_BODY + 1)), end=End.KEEP),
        Script(send=chunked(*[b"x" * 65_536] * 17) + b"0\r\n\r\n", end=End.KEEP),
        Script(send=answer(b"x" * 65_536, headers={"content-length": "10000000000"})),
    ],
    ids=["length", "chunked", "announced-and-cut"],
)
async def test_an_answer_beyond_the_limit_is_a_fault(package: str, script: Script) -> None:
    """A gigabyte from a broken gateway must not end up in memory."""
    with RawServer(script, GOOD) as server:
        async with opened(package) as transport:
            fault = await fault_of(transport, server.url)
            assert not fault.unsent
            await reply_of(transport, server.url)


async def test_an_endless_answer_is_left_at_the_limit(package: str) -> None:
    """The client hangs up; it neither reads on nor waits."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n"
    with RawServer(Script(send=head + b"x" * 65_536, endless=True), GOOD) as server:
        async with opened(package) as transport:
            began = anyio.current_time()
            await fault_of(transport, server.url, timeout=5.0)
            assert anyio.current_time() - began < 2.0
            assert server.wait_idle()
            await reply_of(transport, server.url)


@pytest.mark.parametrize(
    ("coding", "sent"),
    [
        ("gzip", gzip.compress(b'{"errorId":0}')),
        ("GZIP", gzip.compress(b'{"errorId":0}')),
        ("x-gzip", gzip.compress(b'{"errorId":0}')),
        ("deflate", zlib.compress(b'{"errorId":0}')),
    ],
    ids=["gzip", "upper-case", "x-gzip", "deflate"],
)
async def test_a_compressed_answer_is_read(package: str, coding: str, sent: bytes) -> None:
    """We ask for none, but gateways compress all the same."""
    script = Script(send=answer(sent, headers={"content-encoding": coding}), end=End.KEEP)
    assert (await reply_to(package, script)).body == b'{"errorId":0}'


async def test_a_compressed_bomb_is_a_fault_and_takes_no_memory(package: str) -> None:
    """A few kilobytes that swell to gigabytes would end the process."""
    script = Script(send=answer(BOMB, headers={"content-encoding": "gzip"}), end=End.KEEP)
    with RawServer(script) as server:
        async with opened(package) as transport:
            tracemalloc.start()
            try:
                await fault_of(transport, server.url)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    assert len(BOMB) < MAX_BODY / 10
    assert peak < 5 * MAX_BODY


@pytest.mark.parametrize(
    ("coding", "sent"),
    [
        ("br", b"\x0b\x06\x80{}\x03"),
        ("gzip, gzip", gzip.compress(gzip.compress(b"{}"))),
        ("gzip", b"{}"),
        ("deflate", b"\xff\xff\xff\xff"),
        ("nonsense", b"{}"),
    ],
    ids=["br", "twice", "not-gzip", "not-deflate", "nonsense"],
)
async def test_a_compression_that_cannot_be_undone_is_a_fault(
    package: str, coding: str, sent: bytes
) -> None:
    """Its bytes must not be taken for the answer."""
    script = Script(send=answer(sent, headers={"content-encoding": coding}), end=End.KEEP)
    assert not (await fault_to(package, script)).unsent


# ------------------------------------------------------------------------------- redirects


@pytest.mark.parametrize("follow", [False, True], ids=["default", "client-follows"])
async def test_a_redirect_is_never_followed(injected: str, follow: bool) -> None:  # noqa: FBT001
    """A 307 sends the body, and with it the key, to another host."""
    statuses = (301, 302, 303, 307, 308)
    with RawServer(GOOD) as elsewhere:
        location = {"location": f"{elsewhere.url}/createTask", "connection": "close"}
        redirects = [answer(b"", f"{status} Moved", location) for status in statuses]
        with RawServer(*(Script(send=redirect) for redirect in redirects)) as server:
            async with opened(injected, follow_redirects=follow) as transport:
                replies = [await reply_of(transport, server.url) for _ in statuses]
        assert elsewhere.connections == 0
    assert tuple(reply.status for reply in replies) == statuses
    assert len(server.complete) == len(statuses)


async def test_a_redirect_to_nowhere_is_still_an_answer(package: str) -> None:
    """Its status says that createTask was not carried out, so nothing is unknown."""
    for location in ("", "http://[", "//", "gopher://x", "/createTask"):
        redirect = Script(send=answer(b"", "307 Moved", {"location": location}), end=End.KEEP)
        assert (await reply_to(package, redirect)).status == 307


# --------------------------------------------------------------------------- the life of it


async def test_an_injected_client_is_never_closed(injected: str) -> None:
    """It belongs to the user, who has other uses for it."""
    with RawServer(GOOD) as server:
        async with PACKAGES[injected].AsyncClient() as client:
            transport = HttpxTransport(client)
            await reply_of(transport, server.url)
            await transport.aclose()
            assert not client.is_closed
            assert (await client.post(server.url, json={})).status_code == 200
        assert server.wait_idle()
    assert len(server.complete) == 2


async def test_its_own_client_is_closed_with_its_connections() -> None:
    """Else each pool would leave sockets behind."""
    with RawServer(GOOD) as server:
        transport = HttpxTransport()
        await reply_of(transport, server.url)
        assert server.open_connections == 1
        await transport.aclose()
        await transport.aclose()
        assert server.wait_idle()
        fault = await fault_of(transport, server.url)
        assert fault.unsent


async def test_nothing_in_its_words_is_secret(kind: str) -> None:
    """They end up in logs."""
    async with opened(kind) as transport:
        assert repr(transport).startswith("<HttpxTransport on ")
        assert repr(BODY) == f"<RequestBody of {len(BODY.content)} bytes>"
    assert KEY not in repr(transport) + repr(BODY)


@pytest.mark.parametrize("client", [object(), httpx.Client, httpx.AsyncHTTPTransport, "client"])
def test_anything_else_is_not_a_client(client: object) -> None:
    """A synchronous client would fail at the first request, far from the mistake."""
    with pytest.raises(ConfigurationError, match=r"must be an httpx\.AsyncClient or an httpx2"):
        HttpxTransport(client)


async def test_a_client_of_a_derived_class_works(injected: str) -> None:
    """Tracing libraries and users derive from the client's class."""

    class Instrumented(PACKAGES[injected].AsyncClient):  # type: ignore[misc]
        pass

    with RawServer(Script(end=End.RESET), GOOD) as server:
        async with Instrumented() as client:
            transport = HttpxTransport(client)
            assert not (await fault_of(transport, server.url)).unsent
            await reply_of(transport, server.url)


async def test_hooks_of_the_user_may_read_the_answer_and_may_fail(injected: str) -> None:
    """Logging hooks are common; one that fails must not bring the pool down."""
    seen: list[bytes] = []

    async def read(response: Any) -> None:
        seen.append(await response.aread())

    async def fail(_response: Any) -> None:
        raise ZeroDivisionError

    compressed = answer(gzip.compress(b"{}"), headers={"content-encoding": "gzip"})
    with RawServer(Script(send=compressed, end=End.KEEP)) as server:
        async with opened(injected, event_hooks={"response": [read]}) as transport:
            assert (await reply_of(transport, server.url)).body == b"{}"
        async with opened(injected, event_hooks={"response": [fail]}) as transport:
            assert not (await fault_of(transport, server.url)).unsent
    assert seen == [b"{}"]


async def test_evidence_is_written_in_the_order_of_events(package: str) -> None:
    """What decides over money must not depend on what an HTTP client's exceptions mean."""
    steps: list[tuple[bool, bool]] = []

    class Witness(Evidence):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if hasattr(self, "body_begun"):
                steps.append((self.observed, self.body_begun))

    with RawServer(GOOD) as server:
        async with opened(package) as transport:
            await transport.post(server.url, BODY, timeout=1.0, evidence=Witness())
    assert steps[0] == (False, False)
    assert steps[-1] == (True, True)
    assert all(before <= after for before, after in pairwise(steps))


async def test_a_poll_needs_no_evidence(kind: str) -> None:
    """Polls are repeated in any case, so what they did not ask for is not claimed."""
    with RawServer(RESET_AT_ONCE, Script(read=EVERYTHING, end=End.RESET), GOOD) as server:
        async with opened(kind) as transport:
            for _ in range(2):
                fault = await transport.post(server.url, BODY, timeout=1.0)
                assert isinstance(fault, NoAnswer)
                assert not fault.unsent
            assert isinstance(await transport.post(server.url, BODY, timeout=1.0), Reply)

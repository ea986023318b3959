"""What answers come to, and that no answer can do harm: the same for every HTTP client."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from typing import Final

import anyio
import pytest

from ezcaptcha_async._wire.transport import MAX_BODY
from tests.sockets.raw_server import GOOD, HEAD_ONLY, End, RawServer, Script, answer, chunked

from .asking import BODY, all_closed, fault_of, fault_to, opened, reply_of, reply_to

BOMB: Final = gzip.compress(bytes(32 * MAX_BODY), compresslevel=6)
"""32 MiB of zeros in 32 KiB."""


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


async def test_no_more_connections_than_requests_at_a_time(own: str) -> None:
    """The default client must keep what it opened, or each request costs a connection."""
    slow = Script(send=answer(b"{}"), pause=0.0002, end=End.KEEP)
    with RawServer(slow) as server:
        async with opened(own, limit=8) as transport, anyio.create_task_group() as group:

            async def several() -> None:
                for _ in range(5):
                    await reply_of(transport, server.url)

            for _ in range(8):
                group.start_soon(several)
        assert len(server.complete) == 40
        assert server.connections == 8


# -------------------------------------------------------------------------------- too much


async def test_an_answer_of_exactly_the_limit(package: str) -> None:
    """The limit is for mistakes and traps; what is within it is read."""
    reply = await reply_to(package, Script(send=answer(b"x" * MAX_BODY), end=End.KEEP))
    assert len(reply.body) == MAX_BODY


@pytest.mark.parametrize(
    "script",
    [
        Script(send=answer(b"x" * (MAX_BODY + 1))),
        Script(send=chunked(*[b"x" * 65_536] * 17) + b"0\r\n\r\n"),
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
            assert await all_closed(server)
            await reply_of(transport, server.url)


async def test_an_endless_answer_is_left_at_the_limit(package: str) -> None:
    """The client hangs up; it neither reads on nor waits."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n"
    with RawServer(Script(send=head + b"x" * 65_536, endless=True), GOOD) as server:
        async with opened(package) as transport:
            began = anyio.current_time()
            await fault_of(transport, server.url, timeout=5.0)
            assert anyio.current_time() - began < 2.0
            assert await all_closed(server)
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


async def test_a_redirect_is_never_followed(kind: str) -> None:
    """A 307 sends the body, and with it the key, to another host."""
    statuses = (301, 302, 303, 307, 308)
    with RawServer(GOOD) as elsewhere:
        location = {"location": f"{elsewhere.url}/createTask", "connection": "close"}
        redirects = [answer(b"", f"{status} Moved", location) for status in statuses]
        with RawServer(*(Script(send=redirect) for redirect in redirects)) as server:
            async with opened(kind) as transport:
                replies = [await reply_of(transport, server.url) for _ in statuses]
        assert elsewhere.connections == 0
    assert tuple(reply.status for reply in replies) == statuses
    assert len(server.complete) == len(statuses)


async def test_a_redirect_to_nowhere_is_still_an_answer(package: str) -> None:
    """Its status says that createTask was not carried out, so nothing is unknown."""
    for location in ("", "http://[", "//", "gopher://x", "/createTask"):
        redirect = Script(send=answer(b"", "307 Moved", {"location": location}), end=End.KEEP)
        assert (await reply_to(package, redirect)).status == 307

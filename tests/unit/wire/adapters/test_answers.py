"""What answers come to, and that no answer can do harm: the same for every HTTP client."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from typing import Final

import anyio

from ezcaptcha_async._wire.transport import MAX_BODY
from tests.sockets.raw_server import GOOD, HEAD_ONLY, End, RawServer, Script, answer, chunked

from .asking import (
    BODY,
    CUT_OFF,
    all_closed,
    fault_of,
    faults_to,
    opened,
    replies_to,
    reply_of,
    reply_to,
)

BOMB: Final = gzip.compress(bytes(32 * MAX_BODY), compresslevel=6)
"""32 MiB of zeros in 32 KiB."""


PAID: Final = b'{"errorId":0,"taskId":"paid-1"}'
NOTHING: Final = b'{"errorId":0}'


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


UNUSUAL: Final = {
    answer(b""): b"",
    answer(b"", "503 Service Unavailable", {"content-encoding": "gzip"}): b"",
    b"HTTP/1.1 204 No Content\r\n\r\n": b"",
    answer(b"<html>", headers={"content-type": "text/html; charset=nonsense"}): b"<html>",
    chunked(b"ab", b"c") + b"0\r\n\r\n": b"abc",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nx: y\r\n\r\n" + answer(): NOTHING,
    answer(headers={"content-encoding": "identity"}): NOTHING,
    answer(headers={"content-encoding": ""}): NOTHING,
    answer(b"\xff\x00"): b"\xff\x00",
    answer(headers={"retry-after": "7\r\nretry-after: 8", "x-name": "\xe9"}): NOTHING,
    # HTTP/1.0 has no other end; some gateways still speak it.
    b"HTTP/1.0 200 OK\r\n\r\n{}": b"{}",
    # The limit is for mistakes and traps; what is within it is read.
    answer(b"x" * MAX_BODY): b"x" * MAX_BODY,
}


async def test_unusual_answers_are_passed_on_as_they_are(parser: str) -> None:
    """Whether an answer means something is decided by its content, elsewhere."""
    replies = await replies_to(parser, *(Script(send=sent) for sent in UNUSUAL))
    for reply, (sent, body) in zip(replies, UNUSUAL.items(), strict=True):
        assert reply.body == body, sent[:99]


async def test_what_came_before_a_bad_end_is_read(parser: str) -> None:
    """The id of a paid task would be lost in an answer that has all of it."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 60\r\n\r\n"
    for sent in (head + PAID, head + PAID[:-1], chunked(PAID)):
        reply = await reply_to(parser, Script(send=sent))
        assert PAID.startswith(reply.body), sent
    # And where nothing more comes before the deadline.
    with RawServer(Script(send=head + PAID[:-1], end=End.HANG)) as server:
        async with opened(parser) as transport:
            reply = await reply_of(transport, server.url, timeout=2.0)
    assert reply.body == PAID[:-1]


async def test_half_a_solution_before_a_bad_end_is_no_answer(parser: str) -> None:
    """The next poll brings the whole, and a part would be given out in its place."""
    half = b'{"errorId":0,"status":"ready","solution":{"cookies":{"a":"b"'
    await faults_to(parser, Script(send=chunked(half)))


async def test_an_answer_before_the_request_was_read(package: str) -> None:
    """A gateway turns requests away by their headers; its answer says so."""
    script = Script(read=HEAD_ONLY, send=answer(b"", "429 Too Many Requests"))
    assert (await reply_to(package, script)).status == 429


async def test_a_slow_answer_in_time(parser: str) -> None:
    """Bytes that come one by one are still an answer."""
    reply = await reply_to(parser, Script(send=answer(), pause=0.0005, end=End.KEEP))
    assert reply.body == NOTHING


async def test_one_connection_serves_many_requests(package: str) -> None:
    """A new connection for each poll costs a TLS handshake of 100 ms and more."""
    with RawServer(GOOD) as server:
        async with opened(package) as transport:
            for _ in range(10):
                await reply_of(transport, server.url)
    assert (server.connections, len(server.complete)) == (1, 10)


async def test_a_connection_that_the_server_closed_meanwhile(package: str) -> None:
    """Servers close idle connections; the next request needs a new one and no excuse."""
    with RawServer(Script(send=answer()), GOOD) as server:
        async with opened(package) as transport:
            await reply_of(transport, server.url)
            while not server.ended:
                await anyio.sleep(0.001)
            await reply_of(transport, server.url)
    assert server.connections == 2


async def test_no_more_connections_than_requests_at_a_time(own: str) -> None:
    """The default client must keep what it opened, or each request costs a connection."""
    slow = Script(send=b"HTTP/1.1 204 No Content\r\n\r\n", pause=0.0006, end=End.KEEP)
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


async def test_an_answer_beyond_the_limit_is_a_fault(parser: str) -> None:
    """A gigabyte from a broken gateway must not end up in memory."""
    for sent in (
        answer(b"x" * (MAX_BODY + 1)),
        chunked(*[b"x" * 65_536] * 17) + b"0\r\n\r\n",
        answer(b"x" * 65_536, headers={"content-length": "10000000000"}),  # and cut
    ):
        with RawServer(Script(send=sent), GOOD) as server:
            async with opened(parser) as transport:
                fault = await fault_of(transport, server.url)
                assert not fault.unsent
                assert await all_closed(server)
                await reply_of(transport, server.url)


async def test_json_beyond_the_limit_is_cut_off(parser: str) -> None:
    """The id of a paid task would be lost for what stands behind it."""
    sent = b'{"errorId":0,"taskId":"77"}' + b" " * MAX_BODY
    for coding, packed in (("", sent), ("gzip", gzip.compress(sent))):
        script = Script(send=answer(packed, headers={"content-encoding": coding}))
        with RawServer(script, GOOD) as server:
            async with opened(parser) as transport:
                assert (await reply_of(transport, server.url)).body == sent[:MAX_BODY]
                assert await all_closed(server)
                await reply_of(transport, server.url)


CHARSETS: Final = {
    "application/json; charset=utf-8": "utf_8",
    'application/json;charset="GBK"': "gbk",
    "application/json; Charset=ISO-8859-1; x=y": "latin_1",
    "text/html; charset = big5": "big5",
    "application/json; charset=nonsense": None,
    "application/json; charset=unicode_escape": None,
    "charset": None,
    "": None,
}


async def test_the_charset_of_an_answer(parser: str) -> None:
    """What is said in another charset could not be read, and nobody would know which it is."""
    answers = [answer(headers={"content-type": content_type}) for content_type in CHARSETS]
    replies = await replies_to(parser, *(Script(send=sent) for sent in answers))
    assert [reply.charset for reply in replies] == [*CHARSETS.values()]


async def test_an_endless_answer_is_left_at_the_limit(parser: str) -> None:
    """The client hangs up; it neither reads on nor waits."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n"
    with RawServer(Script(send=head + b"x" * 65_536, endless=True), GOOD) as server:
        async with opened(parser) as transport:
            assert (await fault_of(transport, server.url)).reason != CUT_OFF
            assert await all_closed(server)
            await reply_of(transport, server.url)


PACKED: Final = [
    *((coding, gzip.compress(NOTHING)) for coding in ("gzip", "GZIP", "x-gzip", "")),
    ("deflate", zlib.compress(NOTHING)),
    ("deflate", zlib.compress(NOTHING, wbits=-zlib.MAX_WBITS)),
    ("gzip, gzip", gzip.compress(gzip.compress(NOTHING))),
    ("gzip, deflate", zlib.compress(gzip.compress(NOTHING))),
    ("identity, gzip", gzip.compress(NOTHING)),
    *((coding, NOTHING) for coding in ("utf-8", "br", "gzip", "deflate")),  # undone on the way
]


async def test_a_compressed_answer_is_read(parser: str) -> None:
    """We ask for none, but gateways compress all the same, and forget to say what they did.

    The id of a paid task would be lost in what is JSON for everybody to see.
    """
    answers = [answer(sent, headers={"content-encoding": coding}) for coding, sent in PACKED]
    replies = await replies_to(parser, *(Script(send=sent) for sent in answers))
    for reply, (coding, sent) in zip(replies, PACKED, strict=True):
        assert reply.body == NOTHING, (coding, sent)


async def test_a_compressed_bomb_is_a_fault_and_takes_no_memory(parser: str) -> None:
    """A few kilobytes that swell to gigabytes would end the process."""
    script = Script(send=answer(BOMB, headers={"content-encoding": "gzip"}), end=End.KEEP)
    with RawServer(script) as server:
        async with opened(parser) as transport:
            tracemalloc.start()
            try:
                await fault_of(transport, server.url)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    assert len(BOMB) < MAX_BODY / 10
    assert peak < 5 * MAX_BODY


async def test_a_compression_that_cannot_be_undone_is_a_fault(parser: str) -> None:
    """Its bytes must not be taken for the answer."""
    packed = {
        "br": b"\x0b\x06\x80{}\x03",
        "gzip": b"<html>",
        "GZIP": b"\x1f\x8bnonsense",
        "deflate": b"\xff\xff\xff\xff",
        "nonsense": b"<html>",
    }
    answers = [answer(sent, headers={"content-encoding": name}) for name, sent in packed.items()]
    await faults_to(parser, *(Script(send=sent) for sent in answers))


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


async def test_a_redirect_to_nowhere_is_still_an_answer(parser: str) -> None:
    """Its status says that createTask was not carried out, so nothing is unknown."""
    places = ("", "http://[", "//", "gopher://x", "/createTask")
    redirects = [answer(b"", "307 Moved", {"location": location}) for location in places]
    replies = await replies_to(parser, *(Script(send=redirect) for redirect in redirects))
    assert {reply.status for reply in replies} == {307}

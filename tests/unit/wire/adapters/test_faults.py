"""Faults of the network, and whether a request counts as sent: the same for every HTTP client."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import product
from typing import Final

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from anyio.lowlevel import checkpoint

from ezcaptcha_async.transports import NoAnswer, Reply
from tests.sockets.raw_server import (
    EVERYTHING,
    GOOD,
    HEAD_ONLY,
    End,
    RawServer,
    Script,
    answer,
    chunked,
)

from .asking import (
    BODY,
    LONG,
    all_closed,
    cut_off,
    fault_of,
    faults_to,
    given_up,
    opened,
    post,
    reply_of,
)

RESET_AT_ONCE: Final = Script(read=0, end=End.RESET)
SILENT: Final = Script(end=End.HANG)
BREAKS_OFF: Final = (End.CLOSE, End.RESET)


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
    assert fault.reason.endswith(": 127.0.0.1 refused the connection")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse when a queue is full")
async def test_a_connection_that_is_never_accepted_is_never_sent(package: str) -> None:
    """A host behind a firewall answers nothing; nothing was sent to it either."""
    with _full_house() as url:
        async with opened(package) as transport:
            fault = await cut_off(transport, url, lambda evidence: evidence.observed)
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
    assert fault.reason.endswith(": the name of service.invalid is not found")


async def test_no_free_connection_until_the_deadline_is_never_sent(injected: str) -> None:
    """The client's own timeout says so, and must end before the total deadline does."""
    with RawServer(SILENT) as server:
        async with opened(injected, limit=1) as transport, anyio.create_task_group() as group:
            group.start_soon(post, transport, server.url)
            while not server.complete:
                await anyio.sleep(0.001)
            fault = await given_up(injected, transport, server.url)
            if "aiohttp" not in injected:  # of a poll, which is repeated in any case, nobody asks
                poll = await transport.post(server.url, BODY, timeout=0.03)
                assert poll == NoAnswer("PoolTimeout at 127.0.0.1")
            group.cancel_scope.cancel()
        assert len(server.complete) == 1
    assert fault.unsent


async def test_a_closed_client_is_a_fault(injected: str) -> None:
    """Whoever closes their client too early must not bring the scheduler down."""
    async with opened(injected) as transport:
        pass
    with RawServer(GOOD) as server:
        fault = await fault_of(transport, server.url)
        assert server.connections == 0
    assert fault.unsent
    assert fault.permanent


# --------------------------------------------------------------------- broken connections


async def test_a_reset_at_once(package: str) -> None:
    """The request may have left or not; the transport must only never be wrong about it."""
    with RawServer(RESET_AT_ONCE) as server:
        async with opened(package) as transport:
            for _ in range(20):
                await fault_of(transport, server.url)
        assert server.received == []


async def test_a_break_after_the_headers_or_the_whole_request(package: str) -> None:
    """The body was on its way, so nothing is certain; the task may be paid for."""
    places = product((HEAD_ONLY, EVERYTHING), BREAKS_OFF)
    scripts = [Script(read=place, end=end) for place, end in places]
    with RawServer(*scripts) as server:
        async with opened(package) as transport:
            for script in scripts:
                fault = await fault_of(transport, server.url)
                assert not fault.permanent
                assert not (
                    fault.unsent and (script.read == EVERYTHING or server.received[-1].body)
                )


async def test_a_break_on_a_connection_that_had_served_before(kind: str) -> None:
    """HTTP clients try again on a fresh connection what they take for safe; this is not."""
    for end in BREAKS_OFF:
        with RawServer(Script(send=answer(), end=End.KEEP, then=Script(end=end)), GOOD) as server:
            async with opened(kind) as transport:
                await reply_of(transport, server.url)
                fault = await fault_of(transport, server.url)
                assert not fault.unsent
                assert (server.connections, len(server.complete)) == (1, 2)
                await reply_of(transport, server.url)
        assert len(server.complete) == 3


class _Twice:
    """A service that sends the first of its answers twice on one connection.

    Args:
        late: Whether the second time is when `again` is set, and not at once.
    """

    def __init__(self, *, late: bool) -> None:
        self.again, self.sent = anyio.Event(), anyio.Event()
        self._late = late
        self._requests = 0

    async def serve(self, stream: SocketStream) -> None:
        """Answer each request with its number."""
        async with stream:
            with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
                while True:
                    received = b""
                    while not received.endswith(BODY.content):
                        received += await stream.receive()
                    self._requests += 1
                    await self._answer(stream, answer(b'{"taskId":%d}' % self._requests))

    async def _answer(self, stream: SocketStream, one: bytes) -> None:
        if self._requests > 1:
            await stream.send(one)
        elif self._late:
            await stream.send(one)
            await self.again.wait()
            await stream.send(one)
            self.sent.set()
        else:
            await stream.send(one + one)


@pytest.mark.parametrize("asked_for", ["create", "poll"])
@pytest.mark.parametrize("late", [False, True])
async def test_an_answer_that_nobody_has_asked_for_answers_nothing(
    own: str, *, late: bool, asked_for: str
) -> None:
    """Each would get the answer to the one before: another page's token, a paid task unknown."""
    service = _Twice(late=late)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - of a socket, not of SQL
    async with anyio.create_task_group() as group, listener, opened(own) as transport:
        group.start_soon(listener.serve, service.serve)
        url = f"http://127.0.0.1:{port}"

        async def asked() -> Reply | NoAnswer:
            if asked_for == "create":
                return await post(transport, url)
            said: Reply | NoAnswer = await transport.post(url, BODY, timeout=LONG)
            return said

        assert _number_of(await asked()) == 1
        if late:
            service.again.set()
            await service.sent.wait()
            for _ in range(9):
                await checkpoint()
        told = await asked()
        if isinstance(told, NoAnswer):
            assert told.unsent
            told = await asked()
        assert _number_of(told) == 2
        group.cancel_scope.cancel()


def _number_of(reply: Reply | NoAnswer) -> int:
    assert isinstance(reply, Reply)
    return int(json.loads(reply.body)["taskId"])


async def test_an_answer_cut_off_anywhere_is_no_answer(parser: str) -> None:
    """Half an answer must not be read as a whole one, nor its request as unsent."""
    for whole in (answer(), chunked(b"{", b"}") + b"0\r\n\r\n"):
        # Every byte of the body, and some of the headers.
        body_at = whole.index(b"\r\n\r\n") + 4
        offsets = [*range(0, body_at, 30), *range(body_at - 3, len(whole))]
        scripts = [Script(send=whole[:at], end=end) for at, end in product(offsets, BREAKS_OFF)]
        with RawServer(*scripts) as server:
            async with opened(parser) as transport:
                for script in scripts:
                    assert not (await fault_of(transport, server.url)).unsent, script
            assert len(server.complete) == server.connections == len(scripts)


async def test_a_request_cut_off_anywhere_is_never_wrongly_unsent(package: str) -> None:
    """The one mistake that costs money: repeating a createTask that the service has."""
    with RawServer(Script(send=answer(headers={"connection": "close"}))) as server:
        async with opened(package) as transport:
            await reply_of(transport, server.url)
            head = len(server.received.pop().head)
            total = head + len(BODY.content)
            # Every offset of the body and the end of the headers, and some before.
            cuts = [
                (offset, End.RESET) for offset in (*range(0, head - 4, 9), *range(head - 4, total))
            ]
            cuts += [(offset, End.CLOSE) for offset in range(head - 4, total, 9)]
            cuts += [(total, end) for end in BREAKS_OFF]
            server.scripts.extend(Script(read=offset, end=end) for offset, end in cuts)
            for offset, end in cuts:
                before = len(server.received)
                fault = await fault_of(transport, server.url)
                for request in server.received[before:]:
                    assert request.complete == (offset == total)
                    assert not (request.body and fault.unsent), (offset, end)
                assert not (offset > head and fault.unsent), (offset, end)
        assert len(server.complete) == len(BREAKS_OFF)


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


async def test_garbage_instead_of_http(parser: str) -> None:
    """Something else on that port must be a fault and not an exception of some parser."""
    await faults_to(parser, *(Script(send=garbage) for garbage in GARBAGE))


# ------------------------------------------------------------------------------- too slow


TOO_SLOW: Final = {
    "unread": Script(read=0, end=End.HANG),
    "head read": Script(read=HEAD_ONLY, end=End.HANG),
    "read": SILENT,
    "headers": Script(send=answer()[:30], end=End.HANG),
    "body": Script(send=answer()[:-3], end=End.HANG),
    "drip": Script(send=answer(), pause=0.02),
    "1xx": Script(send=b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.005, endless=True),
    "endless line": Script(send=chunked(b"x")[-6:], pause=0.005, endless=True),
}


async def test_the_total_deadline_holds(package: str) -> None:
    """A server that keeps a client busy must not keep it beyond its deadline."""

    async def ask(name: str, script: Script) -> None:
        with RawServer(script) as server:
            async with opened(package) as transport:
                with anyio.fail_after(LONG):
                    fault = await fault_of(transport, server.url, timeout=0.5)
                # On a busy machine it may not have come so far.
                assert not (fault.unsent and any(item.body for item in server.received)), name
                # The client is none the worse for it.
                server.scripts[:] = [GOOD]
                await reply_of(transport, server.url)

    # All at the same time, for none of them does much.
    async with anyio.create_task_group() as group:
        for name, script in TOO_SLOW.items():
            group.start_soon(ask, name, script)


async def test_deadlines_use_no_connection_up(package: str) -> None:
    """A connection that is lost at each deadline would leave none in the end."""
    delays = (0.0, 0.0005, 0.001, 0.002, 0.004, 0.03)
    with RawServer(*[SILENT] * 12, GOOD) as server:
        async with opened(package, limit=2) as transport:
            for delay in delays:
                async with anyio.create_task_group() as group:
                    for _ in range(2):
                        group.start_soon(partial(post, transport, server.url, timeout=delay))
            # Connections that were cut off before they were made did not use up a script.
            server.scripts[:] = [GOOD]
            await reply_of(transport, server.url)
            await reply_of(transport, server.url)
        assert await all_closed(server)

"""Faults of the network, and whether a request counts as sent: the same for every HTTP client."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import anyio
import pytest

from tests.sockets.raw_server import GOOD, HEAD_ONLY, End, RawServer, Script, answer, chunked

from .asking import BODY, all_closed, fault_of, fault_to, opened, post, reply_of

RESET_AT_ONCE: Final = Script(read=0, end=End.RESET)
SILENT: Final = Script(end=End.HANG)
BREAKS_OFF: Final = [
    pytest.param(End.CLOSE, id="close"),
    pytest.param(End.RESET, id="reset"),
]


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


async def test_no_free_connection_until_the_deadline_is_never_sent(injected: str) -> None:
    """The client's own timeout says so, and must end before the total deadline does."""
    with RawServer(SILENT) as server:
        async with opened(injected, limit=1) as transport, anyio.create_task_group() as group:
            group.start_soon(partial(post, transport, server.url, timeout=30.0))
            while not server.complete:
                await anyio.sleep(0.001)
            fault = await fault_of(transport, server.url, timeout=1.5)
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
async def test_a_break_on_a_connection_that_had_served_before(kind: str, end: End) -> None:
    """HTTP clients try again on a fresh connection what they take for safe; this is not."""
    with RawServer(Script(send=answer(), end=End.KEEP, then=Script(end=end)), GOOD) as server:
        async with opened(kind) as transport:
            await reply_of(transport, server.url)
            fault = await fault_of(transport, server.url)
            assert not fault.unsent
            assert (server.connections, len(server.complete)) == (1, 2)
            await reply_of(transport, server.url)
    assert len(server.complete) == 3


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


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: str(garbage[9:30]))
async def test_garbage_instead_of_http(package: str, garbage: bytes) -> None:
    """Something else on that port must be a fault and not an exception of some parser."""
    assert not (await fault_to(package, Script(send=garbage))).unsent


# ------------------------------------------------------------------------------- too slow


TOO_SLOW: Final = {
    "unread": Script(read=0, end=End.HANG),
    "head read": Script(read=HEAD_ONLY, end=End.HANG),
    "read": SILENT,
    "headers": Script(send=answer()[:30], end=End.HANG),
    "body": Script(send=answer()[:-3], end=End.HANG),
    "drip": Script(send=answer(), pause=0.02),
    "1xx": Script(send=b"HTTP/1.1 100 Continue\r\n\r\n", pause=0.0005, endless=True),
    "endless line": Script(send=chunked(b"x")[-6:], pause=0.001, endless=True),
}


async def test_the_total_deadline_holds(package: str) -> None:
    """A server that keeps a client busy must not keep it beyond its deadline."""

    async def ask(name: str, script: Script) -> None:
        with RawServer(script, GOOD) as server:
            async with opened(package) as transport:
                with anyio.fail_after(5):
                    fault = await fault_of(transport, server.url, timeout=0.5)
                assert not fault.unsent, name
                # The client is none the worse for it.
                await reply_of(transport, server.url)

    # All at the same time, for none of them does much.
    async with anyio.create_task_group() as group:
        for name, script in TOO_SLOW.items():
            group.start_soon(ask, name, script)


@pytest.mark.parametrize("delay", [0.0, 0.0005, 0.001, 0.002, 0.004, 0.03])
async def test_deadlines_use_no_connection_up(package: str, delay: float) -> None:
    """A connection that is lost at each deadline would leave none in the end."""
    with RawServer(*[SILENT] * 6, GOOD) as server:
        async with opened(package, limit=2) as transport:
            for _ in range(3):
                async with anyio.create_task_group() as group:
                    for _ in range(2):
                        group.start_soon(lambda: post(transport, server.url, timeout=delay))
            # Connections that were cut off before they were made did not use up a script.
            server.scripts[:] = [GOOD]
            await reply_of(transport, server.url)
            await reply_of(transport, server.url)
        assert await all_closed(server)

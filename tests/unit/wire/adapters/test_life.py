"""Whose client it is, what it says of itself and of a request: the same for every HTTP client."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final

import anyio
import pytest

from ezcaptcha_async._wire.clients import transport_for
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody
from tests.sockets.clients import CLIENTS, KEY
from tests.sockets.raw_server import EVERYTHING, GOOD, End, RawServer, Script

from .asking import BODY, LONG, all_closed, cut_off, fault_of, opened, post, reply_of

FILES: Final = Path("/proc/self/fd")
RESET_AT_ONCE: Final = Script(read=0, end=End.RESET)


async def test_an_injected_client_is_never_closed(injected: str) -> None:
    """It belongs to the user, who has other uses for it."""
    with RawServer(GOOD) as server:
        async with CLIENTS[injected]() as client:
            transport = transport_for(client)
            await reply_of(transport, server.url)
            await transport.aclose()
            await reply_of(transport_for(client), server.url)
        assert await all_closed(server)
    assert len(server.complete) == 2


async def test_its_own_client_is_closed_with_its_connections(own: str) -> None:
    """Else each pool would leave sockets behind."""
    with RawServer(GOOD) as server:
        async with opened(own) as transport:
            await reply_of(transport, server.url)
            assert server.open_connections == 1
            await transport.aclose()
            await transport.aclose()
            assert await all_closed(server)
            fault = await fault_of(transport, server.url)
            assert fault.unsent


@pytest.mark.skipif(not FILES.exists(), reason="needs Linux's list of open files")
async def test_many_of_them_leave_no_file_open(own: str) -> None:
    """A program that opens a pool for each of its jobs would come to its limit of files."""
    before = None
    with RawServer(Script(end=End.RESET), GOOD) as server:
        for _ in range(8):
            async with opened(own) as transport, anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(post, transport, server.url)
            assert await all_closed(server)
            # What an event loop needs for itself it has after the first.
            before = len(list(FILES.iterdir())) if before is None else before
        assert len(list(FILES.iterdir())) <= before


async def test_closing_does_not_wait_for_a_server_that_does_not_read(own: str) -> None:
    """A pool must be able to end while a service hangs, whatever it still had to say to it."""
    long = RequestBody(b"x" * 8_000_000)
    with RawServer(Script(read=10_000, end=End.HANG)) as server:
        with anyio.fail_after(LONG):
            async with opened(own) as transport:
                fault = await cut_off(transport, server.url, lambda _: server.received, body=long)
    assert not fault.unsent


async def test_nothing_in_its_words_is_secret(kind: str) -> None:
    """They end up in logs."""
    async with opened(kind) as transport:
        whose = "an injected" if kind in CLIENTS else "its own"
        package = kind.partition("-")[0]
        assert f"Transport on {whose} {package}" in repr(transport)
        assert repr(BODY) == f"<RequestBody of {len(BODY.content)} bytes>"
    assert KEY not in repr(transport) + repr(BODY)


async def test_evidence_is_written_in_the_order_of_events(kind: str) -> None:
    """What decides over money must not depend on what an HTTP client's exceptions mean."""
    steps: list[tuple[bool, bool]] = []

    class Witness(Evidence):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if hasattr(self, "body_begun"):
                steps.append((self.observed, self.body_begun))

    with RawServer(GOOD) as server:
        async with opened(kind) as transport:
            await transport.post(server.url, BODY, timeout=LONG, evidence=Witness())
    assert steps[0] == (False, False)
    assert steps[-1] == (True, True)
    assert all(before <= after for before, after in pairwise(steps))


async def test_a_poll_needs_no_evidence(kind: str) -> None:
    """Polls are repeated in any case, so what they did not ask for is not claimed."""
    with RawServer(RESET_AT_ONCE, Script(read=EVERYTHING, end=End.RESET), GOOD) as server:
        async with opened(kind) as transport:
            for _ in range(2):
                fault = await transport.post(server.url, BODY, timeout=LONG)
                assert isinstance(fault, NoAnswer)
                assert not fault.unsent
            assert isinstance(await transport.post(server.url, BODY, timeout=LONG), Reply)

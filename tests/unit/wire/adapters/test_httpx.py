"""What only httpx and httpx2 have: event hooks, and classes that users derive from."""

from __future__ import annotations

import gzip
from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from ezcaptcha_async._wire.httpx import HttpxTransport, _read
from ezcaptcha_async._wire.transport import Incoming
from ezcaptcha_async.transports import Evidence, Reply
from tests.sockets.clients import PACKAGES
from tests.sockets.raw_server import GOOD, End, RawServer, Script, answer

from .asking import BODY, LONG, cut_off, fault_of, opened, post, reply_of


@pytest.fixture(params=PACKAGES)
def name(request: pytest.FixtureRequest) -> str:
    """Name of the package."""
    return str(request.param)


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
    for end in (End.RESET, End.HANG):
        with RawServer(Script(read=10_000, end=end)) as server:
            async with opened(f"{name}-client", headers=padding) as transport:
                if end is End.RESET:
                    fault = await fault_of(transport, server.url)
                else:
                    fault = await cut_off(transport, server.url, lambda _: server.received)
        assert fault.unsent


async def test_who_may_send_more_through_a_shared_client_does(name: str) -> None:
    """A pool that is to send one request at a time would hold back all others on its client."""
    with RawServer(Script(end=End.HANG)) as server:
        async with PACKAGES[name].AsyncClient() as client, anyio.create_task_group() as group:
            for most in (1, 3):
                transport = HttpxTransport(client, max_requests=most)
                for _ in range(most):
                    group.start_soon(post, transport, server.url)
            while len(server.complete) < 3:
                await anyio.sleep(0.001)
            group.cancel_scope.cancel()
        assert len(server.complete) == 3


CHALLENGE = {"www-authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'}


class Guarded:
    """A gateway that asks for a user and a password, and counts what it is sent."""

    def __init__(self, package: Any) -> None:
        self.package = package
        self.asked: list[str] = []

    def __call__(self, request: Any) -> Any:
        """Answer as a gateway does."""
        self.asked.append(f"{request.method} {request.headers.get('authorization', 'nobody')[:6]}")
        knows = "authorization" in request.headers
        return self.package.Response(200 if knows else 401, headers=CHALLENGE, content=b"{}")

    def client(self, auth: Any) -> Any:
        """Return a client that comes to it."""
        return self.package.AsyncClient(transport=self.package.MockTransport(self), auth=auth)


async def test_what_must_not_be_repeated_is_not_repeated_for_a_password(name: str) -> None:
    """HTTP Digest sends each request twice: createTask, and with it the task, would be as well."""
    package = PACKAGES[name]
    gateway = Guarded(package)
    async with gateway.client(package.DigestAuth("me", "secret")) as client:
        transport = HttpxTransport(client)
        first = await transport.post("http://gateway/", BODY, timeout=1, evidence=Evidence())
        assert isinstance(first, Reply)
        assert (first.status, gateway.asked) == (401, ["POST nobody"])
        # A poll may be repeated, and from then on the challenge is known.
        await reply_of_poll(transport)
        second = await transport.post("http://gateway/", BODY, timeout=1, evidence=Evidence())
        assert isinstance(second, Reply)
        assert second.status == 200
    assert gateway.asked[1:] == ["POST nobody", "POST Digest", "POST Digest"]


async def reply_of_poll(transport: HttpxTransport) -> None:
    """Ask as for a result, which may be asked for any number of times."""
    reply = await transport.post("http://gateway/", BODY, timeout=1)
    assert isinstance(reply, Reply)
    assert reply.status == 200


async def test_other_ways_to_log_in_work_as_before(name: str) -> None:
    """A user and a password, or a token that is fetched first, go with each request."""
    package = PACKAGES[name]

    class Token(package.Auth):  # type: ignore[name-defined, misc]
        def __init__(self, *, gives_up: bool) -> None:
            self.gives_up = gives_up

        def auth_flow(self, request: Any) -> Any:
            yield package.Request("GET", "http://gateway/token")
            if not self.gives_up:
                request.headers["authorization"] = "Bearer x"
                yield request
                yield request

    for auth, asked in (
        (("me", "secret"), ["POST Basic "]),
        (Token(gives_up=False), ["GET nobody", "POST Bearer"]),
        (Token(gives_up=True), ["GET nobody"]),
    ):
        gateway = Guarded(package)
        async with gateway.client(auth) as client:
            reply = await HttpxTransport(client).post(
                "http://gateway/", BODY, timeout=1, evidence=Evidence()
            )
        assert isinstance(reply, Reply)
        assert gateway.asked == asked


async def test_a_transport_that_tries_again_sends_nothing_twice(name: str) -> None:
    """Packages that retry are common, and a task that is created twice is paid for twice."""
    package = PACKAGES[name]

    class Retrying(package.AsyncHTTPTransport):  # type: ignore[misc, name-defined]
        async def handle_async_request(self, request: Any) -> Any:
            response = await super().handle_async_request(request)
            await response.aread()
            return await super().handle_async_request(request)

    with RawServer(GOOD) as server:
        async with package.AsyncClient(transport=Retrying()) as client:
            fault = await fault_of(HttpxTransport(client), server.url)
        assert len(server.complete) == 1
    assert not fault.unsent


async def test_small_chunks_leave_others_their_turns() -> None:
    """The event loop would stand still for half a second, again and again until the deadline."""
    turns = 0

    async def chunks() -> AsyncGenerator[bytes]:
        for _ in range(1_000):
            yield b" "

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    async with anyio.create_task_group() as group:
        group.start_soon(others)
        await _read(Incoming(200, {}, chunks()), anyio.current_time() + LONG)
        group.cancel_scope.cancel()
    assert turns >= 100

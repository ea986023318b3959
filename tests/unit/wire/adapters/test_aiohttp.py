"""What only aiohttp has: a session with a will of its own, and bodies that leave only once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import hdrs

from ezcaptcha_async._wire.aiohttp import AIOHTTP_REQUESTS, AiohttpTransport
from ezcaptcha_async.transports import NoAnswer
from tests.sockets.raw_server import GOOD, HEAD_ONLY, End, RawServer, Script, answer

from .asking import BODY, all_closed, cut_off, fault_of, opened, post, reply_of

Handler = Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Run on asyncio: aiohttp knows nothing else."""
    return "asyncio", {"use_uvloop": bool(request.param)}


async def test_settings_of_a_session_for_its_own_requests_are_not_ours() -> None:
    """An application's session raises for statuses, has a base URL, and gives up early."""
    script = Script(send=answer(b'{"errorId":1}', "503 Service Unavailable"), pause=0.001)
    async with (
        aiohttp.ClientSession(
            "http://elsewhere.invalid/api/",
            raise_for_status=True,
            timeout=aiohttp.ClientTimeout(total=0.01, sock_read=0.01),
            auto_decompress=True,
            read_bufsize=1 << 24,
        ) as session,
    ):
        with RawServer(script) as server:
            reply = await reply_of(AiohttpTransport(session), server.url)
    assert (reply.status, reply.body) == (503, b'{"errorId":1}')


async def test_cookies_are_the_sessions_own_business() -> None:
    """A shared session keeps them, as for the application's requests; ours keeps none."""
    script = Script(send=answer(headers={"set-cookie": "a=b"}), end=End.KEEP)
    with RawServer(script) as server:
        jar = aiohttp.CookieJar(unsafe=True)  # also for an address without a name
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            for _ in range(2):
                await reply_of(AiohttpTransport(session), server.url)
        async with opened("aiohttp") as transport:
            for _ in range(2):
                await reply_of(transport, server.url)
    cookies = [request.headers.get("cookie") for request in server.complete]
    assert cookies == [None, "a=b", None, None]


@pytest.mark.parametrize("attempts", [1, 2, 3])
async def test_a_middleware_that_tries_again_sends_no_create_twice(attempts: int) -> None:
    """Such middlewares are in aiohttp's own cookbook; a second createTask would pay twice."""
    tried = 0

    async def persistent(request: aiohttp.ClientRequest, handler: Handler) -> Any:
        nonlocal tried
        for left in reversed(range(attempts)):
            tried += 1
            try:
                response = await handler(request)
            except aiohttp.ClientError:
                if not left:
                    raise
            else:
                if response.status < 500 or not left:
                    return response
                response.release()
        raise AssertionError

    busy = Script(send=answer(b"", "503 Service Unavailable"), end=End.KEEP)
    for script in (busy, Script(end=End.RESET)):
        with RawServer(script) as server:
            async with aiohttp.ClientSession(middlewares=[persistent]) as session:
                outcome = await post(AiohttpTransport(session), server.url)
            assert len(server.complete) == 1
        assert not isinstance(outcome, NoAnswer) or not outcome.unsent
    assert tried >= 2 * attempts - 1


async def test_a_middleware_may_look_at_the_body_or_send_another_one() -> None:
    """Signing gateways do the one; after the other nothing is known, so nothing is claimed."""
    seen: list[bytes] = []

    async def replace(request: aiohttp.ClientRequest, handler: Handler) -> Any:
        assert not isinstance(request.body, bytes)
        seen.append(await request.body.as_bytes())
        await request.update_body(b"another")
        return await handler(request)

    with RawServer(GOOD, Script(end=End.RESET)) as server:
        async with aiohttp.ClientSession(middlewares=[replace]) as session:
            await reply_of(AiohttpTransport(session), server.url)
        async with aiohttp.ClientSession(middlewares=[replace]) as session:
            assert not (await fault_of(AiohttpTransport(session), server.url)).unsent
    assert seen == [BODY.content] * 2
    assert [request.body for request in server.complete] == [b"another"] * 2


async def test_a_double_in_the_place_of_aiohttp_proves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Test doubles raise what they like without any request: no reason to call it unsent."""

    async def fail(*_args: object, **_kwargs: object) -> None:
        raise aiohttp.ServerDisconnectedError

    monkeypatch.setattr(aiohttp.ClientSession, "_request", fail)
    async with aiohttp.ClientSession() as session:
        assert not (await fault_of(AiohttpTransport(session), "http://localhost")).unsent


@pytest.mark.parametrize("owned", [True, False])
async def test_a_double_may_answer(monkeypatch: pytest.MonkeyPatch, *, owned: bool) -> None:
    """A create that a user's test answers without a request would be sent again and again."""

    async def answering(*_args: object, **_kwargs: object) -> Any:
        content = SimpleNamespace(is_eof=lambda: True, read_nowait=lambda: b"{}")
        return SimpleNamespace(status=200, headers={}, content=content, close=lambda: None)

    monkeypatch.setattr(aiohttp.ClientSession, "_request", answering)
    async with aiohttp.ClientSession() as session:
        transport = AiohttpTransport(None if owned else session)
        assert (await reply_of(transport, "http://localhost")).body == b"{}"
        await transport.aclose()


async def test_hooks_of_the_user_may_read_the_answer_and_may_fail() -> None:
    """Logging hooks are common; one that fails must not bring the pool down."""
    seen: list[bytes] = []

    async def read(_session: object, _context: object, parameters: Any) -> None:
        seen.append(await parameters.response.read())

    async def fail(*_arguments: object) -> None:
        raise ZeroDivisionError

    reading, failing = aiohttp.TraceConfig(), aiohttp.TraceConfig()
    reading.on_request_end.append(read)
    failing.on_request_end.append(fail)
    with RawServer(GOOD) as server:
        async with aiohttp.ClientSession(trace_configs=[reading]) as session:
            assert (await reply_of(AiohttpTransport(session), server.url)).body == b'{"errorId":0}'
        async with aiohttp.ClientSession(trace_configs=[failing]) as session:
            assert not (await fault_of(AiohttpTransport(session), server.url)).unsent
    assert seen == [b'{"errorId":0}']


@pytest.mark.parametrize("end", [End.RESET, End.HANG])
async def test_a_body_that_waits_for_a_continue_is_never_sent(end: End) -> None:
    """A session may ask before it sends; a server that does not say yes got nothing."""
    with RawServer(Script(read=HEAD_ONLY, end=end)) as server:
        async with aiohttp.ClientSession(headers={hdrs.EXPECT: "100-continue"}) as session:
            transport = AiohttpTransport(session)
            if end is End.RESET:
                fault = await fault_of(transport, server.url)
            else:
                fault = await cut_off(transport, server.url, lambda _: server.received)
        assert [request.body for request in server.received] == [b""]
    assert fault.unsent
    go_on = Script(read=HEAD_ONLY, send=b"HTTP/1.1 100 Continue\r\n\r\n", end=End.RESET)
    with RawServer(go_on) as server:  # the same against one that says yes
        async with aiohttp.ClientSession(headers={hdrs.EXPECT: "100-continue"}) as session:
            assert not (await fault_of(AiohttpTransport(session), server.url)).unsent


async def test_no_more_requests_than_the_session_takes() -> None:
    """At its own limit aiohttp's line is unfair: some requests wait for seconds."""
    for settings, most in (
        ({"limit": 7}, 7),
        ({"limit": 0}, AIOHTTP_REQUESTS),
        ({"limit": 50, "limit_per_host": 6}, 6),
        ({"limit": 10_000}, AIOHTTP_REQUESTS),
    ):
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(**settings)) as session:
            assert AiohttpTransport(session).max_requests == most
    assert AiohttpTransport(session).max_requests == AIOHTTP_REQUESTS  # closed: it has none
    assert (await fault_of(AiohttpTransport(session), "http://localhost")).permanent


async def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Companies let nothing out but through it; httpx goes through it as well."""
    with RawServer(GOOD) as proxy, RawServer(GOOD) as server:
        for address in (proxy.url, proxy.url.removeprefix("http://")):
            monkeypatch.setenv("ALL_PROXY", address)
            async with opened("aiohttp") as transport:
                await reply_of(transport, "http://service.invalid/createTask")
                await reply_of(transport, server.url)
    assert [request.head.split()[1] for request in proxy.complete] == [
        b"http://service.invalid/createTask"
    ] * 2
    assert len(server.complete) == 2


async def test_nothing_is_read_from_netrc(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The passwords in it are for other things on the same host."""
    (tmp_path / "netrc").write_text("default login someone password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with RawServer(GOOD) as server:
        async with opened("aiohttp") as transport:
            await reply_of(transport, server.url)
    assert "authorization" not in server.complete[0].headers


async def test_a_cancelled_request_leaves_no_task_and_no_connection() -> None:
    """A pool that is closed while requests hang must not leave them running."""
    before = asyncio.all_tasks()
    with RawServer(Script(end=End.HANG)) as server:
        async with opened("aiohttp") as transport:
            for asked in range(3):
                sent = partial(lambda asked, _: len(server.complete) > asked, asked)
                assert not (await cut_off(transport, server.url, sent)).unsent
            assert await all_closed(server)
            await asyncio.sleep(0)
            assert asyncio.all_tasks() == before

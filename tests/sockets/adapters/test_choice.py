"""Which HTTP client a pool takes, with and without the extra, on asyncio and on trio."""

from __future__ import annotations

import sys
from typing import Any

import aiohttp
import httpx
import httpx2
import pytest

from ezcaptcha_async import ConfigurationError, SessionPool
from ezcaptcha_async._wire.aiohttp import AIOHTTP_REQUESTS
from ezcaptcha_async._wire.httpx import HTTPX_REQUESTS
from ezcaptcha_async.transports import NoAnswer
from tests.sockets.clients import CLIENTS


async def chosen(**settings: Any) -> tuple[str, int]:
    """Open a pool; return what its transport says it is, and how many requests it may send."""
    async with SessionPool("key", **settings) as pool:
        assert pool._engine is not None
        return repr(pool._engine._transport), pool._engine.runner._max_requests


def _hide(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "ezcaptcha_async._wire.aiohttp")


async def test_aiohttp_is_the_default_where_it_can_be(anyio_backend: str) -> None:
    """Whoever installs the extra wants its speed, without another word; trio has no aiohttp."""
    expected = {
        "asyncio": ("<AiohttpTransport on its own aiohttp.ClientSession>", AIOHTTP_REQUESTS),
        "trio": ("<HttpxTransport on its own httpx.AsyncClient>", HTTPX_REQUESTS),
    }
    assert await chosen() == expected[anyio_backend]


async def test_httpx_is_the_default_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain installation works."""
    _hide("aiohttp", monkeypatch)
    assert await chosen() == ("<HttpxTransport on its own httpx.AsyncClient>", HTTPX_REQUESTS)


@pytest.mark.parametrize("version", ["3.13.5", "3.8.0", "2.0"])
async def test_an_aiohttp_that_is_too_old_is_left_alone(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be there for something else; the pool must not break on it."""
    monkeypatch.setattr(aiohttp, "__version__", version)
    assert "HttpxTransport" in (await chosen())[0]


async def test_a_proxy_that_only_httpx_can_use_is_left_to_httpx(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Installing the extra must not break a program that goes through a SOCKS proxy."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    monkeypatch.setattr("ezcaptcha_async._wire.clients.HttpxTransport", _Recorder)
    assert "_Recorder" in (await chosen())[0]


class _Recorder:
    """Stands for httpx, which needs a package of its own for SOCKS."""

    max_requests = 1

    async def aclose(self) -> None:
        """Nothing to close."""


async def test_the_setting_decides(anyio_backend: str) -> None:
    """A program that depends on one of them says so."""
    name, requests = await chosen(transport="httpx")
    assert ("HttpxTransport" in name, requests) == (True, HTTPX_REQUESTS)
    if anyio_backend == "asyncio":
        name, requests = await chosen(transport="aiohttp", max_requests=7)
        assert ("AiohttpTransport" in name, requests) == (True, 7)
    else:
        with pytest.raises(ConfigurationError, match="aiohttp needs asyncio"):
            await chosen(transport="aiohttp")


async def test_a_word_that_is_none_is_named() -> None:
    """A spelling mistake must not fall back to something else."""
    with pytest.raises(ConfigurationError, match="transport must be 'aiohttp' or 'httpx'"):
        SessionPool("key", transport="requests")


async def test_asking_for_what_is_not_installed_names_the_remedy(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The extra is easily forgotten in a deployment."""
    _hide("aiohttp", monkeypatch)
    match = {"asyncio": r"pip install 'ezcaptcha-async\[fast\]'", "trio": "needs asyncio"}
    with pytest.raises(ConfigurationError, match=match[anyio_backend]):
        await chosen(transport="aiohttp")


async def test_an_injected_client_is_recognised(injected: str) -> None:
    """Applications share the client that they have."""
    async with CLIENTS[injected](limit=20) as client:
        name, requests = await chosen(http_client=client)
    assert injected.partition("-")[0] in name
    assert "an injected" in name
    assert requests == (20 if injected == "aiohttp-session" else HTTPX_REQUESTS)


@pytest.mark.parametrize("client", [object(), httpx.Client, httpx2.AsyncBaseTransport, "client"])
async def test_anything_else_is_named(client: object) -> None:
    """A synchronous client would fail at the first request, far from the mistake."""
    with pytest.raises(ConfigurationError, match=r"or an aiohttp\.ClientSession, not "):
        await chosen(http_client=client)


async def test_an_aiohttp_session_on_trio_is_a_mistake(anyio_backend: str) -> None:
    """It would fail deep inside aiohttp."""
    if anyio_backend == "trio":
        session = object.__new__(aiohttp.ClientSession)
        with pytest.raises(ConfigurationError, match="aiohttp needs asyncio"):
            await chosen(http_client=session)


async def test_a_transport_of_the_users_own_says_how_many_requests_it_takes() -> None:
    """And the setting goes before it."""

    class Own:
        max_requests = 3

        async def post(self, *_arguments: object, **_options: object) -> NoAnswer:
            return NoAnswer("nobody is there")

        async def aclose(self) -> None:
            """Nothing to close."""

    assert (await chosen(transport=Own()))[1] == 3
    assert (await chosen(transport=Own(), max_requests=2))[1] == 2

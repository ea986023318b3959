"""Which HTTP client a pool takes, with and without the extra, on asyncio and on trio."""

from __future__ import annotations

import os
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import anyio
import attrs
import httpx
import httpx2
import pytest

from ezcaptcha_async import EZCAPTCHA, ConfigurationError, PoolClosedError, SessionPool
from ezcaptcha_async._wire.aiohttp import AIOHTTP_REQUESTS
from ezcaptcha_async._wire.httpx import HTTPX_REQUESTS
from ezcaptcha_async.transports import NoAnswer
from tests.sockets.clients import CLIENTS

OWN_HTTPX: Final = (
    "<HttpxTransport on its own httpx, 0 connections>",
    HTTPX_REQUESTS,
)


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
    own_aiohttp = "<AiohttpTransport on its own aiohttp.ClientSession>", AIOHTTP_REQUESTS
    assert await chosen() == (OWN_HTTPX if anyio_backend == "trio" else own_aiohttp)


async def test_an_aiohttp_that_is_too_old_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be there for something else; the pool must not break on it."""
    for version in ("3.13.5", "3.8.0", "2.0"):
        monkeypatch.setattr(aiohttp, "__version__", version)
        assert await chosen() == OWN_HTTPX, version


async def test_a_proxy_that_only_httpx_can_use_is_left_to_httpx(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Installing the extra must not break a program that goes through a SOCKS proxy."""
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    monkeypatch.setattr("ezcaptcha_async._wire.httpx.HttpxTransport", _Recorder)
    assert "_Recorder" in (await chosen())[0]


class _Recorder:
    """Stands for httpx, which needs a package of its own for SOCKS."""

    max_requests = 1

    def __init__(self, urls: object = ()) -> None:
        """Take what httpx would be told."""

    async def aclose(self) -> None:
        """Nothing to close."""


class _Brought:
    max_requests = 3

    async def post(self, *_arguments: object, **_options: object) -> NoAnswer:
        return NoAnswer("nobody is there")

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
        session = object.__new__(aiohttp.ClientSession)
        for settings in ({"transport": "aiohttp"}, {"http_client": session}):
            with pytest.raises(ConfigurationError, match="aiohttp needs asyncio"):
                await chosen(**settings)


async def test_without_the_extra_httpx_is_the_default_and_aiohttp_names_the_remedy(
    anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plain installation works, and the extra is easily forgotten in a deployment."""
    _hide("aiohttp", monkeypatch)
    assert await chosen() == OWN_HTTPX
    match = {"asyncio": r"pip install 'aiohttp>=3.14'", "trio": "needs asyncio"}
    with pytest.raises(ConfigurationError, match=match[anyio_backend]):
        await chosen(transport="aiohttp")


async def test_an_injected_client_is_recognised(injected: str) -> None:
    """Applications share the client that they have."""
    async with CLIENTS[injected](limit=20) as client:
        name, requests = await chosen(http_client=client)
    assert injected.partition("-")[0] in name
    assert "an injected" in name
    assert requests == 20


async def test_anything_else_is_named() -> None:
    """It would fail at the first request, far from the mistake, or be something else."""
    expected = r"must be an httpx\.AsyncClient, .* or an aiohttp\.ClientSession, not "
    for client in (object(), httpx.Client, httpx2.AsyncBaseTransport, "client"):
        with pytest.raises(ConfigurationError, match=expected):
            await chosen(http_client=client)
    with pytest.raises(ConfigurationError, match="transport must be 'aiohttp' or 'httpx'"):
        SessionPool("key", transport="requests")


async def test_a_transport_of_the_users_own_says_how_many_requests_it_takes() -> None:
    """And the setting goes before it."""
    assert (await chosen(transport=_Brought()))[1] == 3
    assert (await chosen(transport=_Brought(), max_requests=2))[1] == 2


# ----------------------------------------------------------------------------- preparing


@pytest.fixture
def unprepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if no pool had been opened in this process."""
    monkeypatch.setattr("ezcaptcha_async._wire.clients._PREPARED", set())


@pytest.mark.usefixtures("unprepared")
async def test_what_takes_long_does_not_hold_up_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A web server would answer nobody for half a second, at the first pool of each worker."""
    others_go_on, calls = threading.Event(), []

    def load(*, with_aiohttp: bool, **_other: bool) -> None:
        assert others_go_on.wait(10)
        calls.append(with_aiohttp)

    monkeypatch.setattr("ezcaptcha_async._wire.clients._load", load)
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(partial(chosen, transport="httpx"))
        await anyio.sleep(0.01)
        assert not calls
        others_go_on.set()
    before = len(calls)
    await chosen(transport="httpx")
    assert calls == [False] * before, "once is enough"


@pytest.mark.usefixtures("unprepared")
async def test_who_brings_a_client_waits_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is imported for them; and virtual time would pass while a thread works."""
    monkeypatch.setattr("ezcaptcha_async._wire.clients._load", None)
    async with CLIENTS["httpx2-client"]() as client:
        await chosen(http_client=client)
    await chosen(transport=_Brought())


@pytest.mark.usefixtures("unprepared")
@pytest.mark.parametrize("installed", [True, False])
async def test_what_is_prepared_is_what_is_used(
    installed: bool,  # noqa: FBT001
    anyio_backend: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the first pool pays for it, and for one client only."""
    opened_in: list[bool] = []
    here = threading.get_ident()

    class Witness(_Recorder):
        def __init__(self, urls: object = ()) -> None:
            super().__init__(urls)
            opened_in.append(threading.get_ident() == here)

    if not installed:
        _hide("aiohttp", monkeypatch)
    monkeypatch.setattr("ezcaptcha_async._wire.httpx.HttpxTransport", Witness)
    for _ in range(2):
        await chosen()
    uses_aiohttp = installed and anyio_backend == "asyncio"
    assert opened_in == ([] if uses_aiohttp else [False, True, True])


@pytest.mark.usefixtures("unprepared")
async def test_a_pool_is_opened_once_whoever_comes_meanwhile() -> None:
    """Two at the same time would hold one journal, and one of them would never be closed."""
    pool = SessionPool("key", transport="httpx")
    refused: list[PoolClosedError] = []

    async def open_it() -> None:
        try:
            await pool.open()
        except PoolClosedError as error:
            refused.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(open_it)
    assert len(refused) == 1
    await pool.aclose()


@pytest.mark.usefixtures("unprepared")
async def test_certificates_that_are_not_there_are_told_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever mounts them a moment later can open a pool then."""
    missing = tmp_path / "missing.pem"
    good = os.environ["SSL_CERT_FILE"]
    monkeypatch.setenv("SSL_CERT_FILE", str(missing))
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
            await chosen()
    missing.write_bytes(Path(good).read_bytes())
    await chosen()


@pytest.mark.usefixtures("unprepared")
async def test_an_aiohttp_that_cannot_be_imported(
    anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It opens the file for the keys of connections at once, and a pool that needs none broke."""

    def fail(name: str) -> None:
        raise FileNotFoundError(2, "No such file or directory", name)

    monkeypatch.setattr("ezcaptcha_async._wire.clients.import_module", fail)
    monkeypatch.setenv("SSLKEYLOGFILE", "/no/such/folder/keys")
    local = attrs.evolve(EZCAPTCHA, base_url="http://127.0.0.1:1")
    assert await chosen(service=local) == OWN_HTTPX
    if anyio_backend_name == "asyncio":
        with pytest.raises(ConfigurationError, match=r"^SSLKEYLOGFILE names a file that cannot be"):
            await chosen(service=local, transport="aiohttp")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
@pytest.mark.usefixtures("unprepared")
@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSLKEYLOGFILE"])
async def test_a_pipe_in_the_place_of_a_file_is_told(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening it waits for its other end: the pool would hang for ever, without a word."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    monkeypatch.setenv(variable, str(pipe))
    for settings in ({}, {"transport": "httpx"}):
        with pytest.raises(ConfigurationError, match=f"^{variable} names a pipe"):
            await chosen(**settings)
    monkeypatch.delitem(sys.modules, "aiohttp")
    local = attrs.evolve(EZCAPTCHA, base_url="http://127.0.0.1:1")
    assert await chosen(service=local) == OWN_HTTPX

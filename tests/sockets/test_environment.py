"""Pools in environments that are broken: told of at once, in words of our own."""

from __future__ import annotations

import sys
from base64 import b64encode
from pathlib import Path
from typing import Any, Final

import attrs
import pytest

from ezcaptcha_async import EZCAPTCHA, Account, ConfigurationError, SessionPool, TransportError
from ezcaptcha_async.testing import SimulatedService, serve

from .clients import OWN
from .raw_server import HEAD_ONLY, End, RawServer, Script, answer

SECRET: Final = "s3cret"
PROXY: Final = f"me:{SECRET}@proxy.example"

BROKEN: Final = (
    *(f"http://{PROXY}{port}" for port in ("", ":port", ":99999")),
    f"http://me:{SECRET}@:3128",
    f"http://me:{SECRET}@[zz]:3128",
    *(f"http://me:{SECRET}{bad}@proxy.example:3128" for bad in ("#", "/more", "\x01", "\udce9")),
    *(f"{scheme}://{PROXY}:1080" for scheme in ("socks", "socks4", "socks5", "socks5h")),
)
TLS: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")


@pytest.fixture(params=["default", *OWN])
def own(request: pytest.FixtureRequest) -> str:
    """Name of the HTTP client, or none."""
    return str(request.param)


@pytest.fixture
def transport(own: str) -> dict[str, Any]:
    """What a user says of the HTTP client."""
    return {} if own == "default" else {"transport": own}


@pytest.fixture(autouse=True)
def _without_socks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a machine without the package for SOCKS."""
    monkeypatch.setitem(sys.modules, "socksio", None)


async def _opened(**settings: Any) -> None:
    async with SessionPool("key", **settings):
        """Open, with the default service: nothing is sent there."""


async def _is_told(variable: str, **settings: Any) -> str:
    with pytest.raises(ConfigurationError, match=rf"^{variable} ") as caught:
        await _opened(**settings)
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    return str(error)


async def test_a_proxy_that_cannot_be_used(
    transport: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A traceback of 45 lines would end in a piece of the proxy's password."""
    for broken in BROKEN:
        monkeypatch.setenv("HTTPS_PROXY", broken)
        assert SECRET not in await _is_told("HTTPS_PROXY", **transport)
    for exemption in ("ez-captcha.com", "*", "[::1], api.ez-captcha.com:443"):
        monkeypatch.setenv("NO_PROXY", exemption)
        await _opened(**transport)


async def test_nothing_of_it_concerns_what_stays_here(
    transport: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A simulated service could not be used behind a proxy; or the proxy would get the key."""
    for name in TLS:
        monkeypatch.setenv(name, "/no/such/place")
    with serve(SimulatedService(), time_scale=30) as server:
        for broken in (*BROKEN, f"http://{PROXY}:3128"):
            for variable in ("HTTP_PROXY", "https_proxy", "ALL_PROXY"):
                monkeypatch.setenv(variable, broken)
            await _opened(service=server.profile, **transport)
        async with SessionPool("key", service=server.profile, **transport) as pool:
            assert (await pool.balance()).points


async def test_what_may_say_anything(
    transport: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What every other program takes would keep a pool from being opened."""
    for variable, value in (
        ("NO_PROXY", "[::1]"),
        ("NO_PROXY", "[::1, http://[, 1.2.3.4/99, :x, \udce9"),
        ("no_proxy", "*."),
        ("NETRC", "/no/such/file"),
        ("AIOHTTP_NO_EXTENSIONS", "what"),
        ("REQUEST_METHOD", "GET"),
    ):
        with monkeypatch.context() as environment:
            environment.setenv(variable, value)
            await _opened(**transport)
            environment.setenv("HTTPS_PROXY", f"http://{PROXY}:3128")
            await _opened(**transport)


async def test_certificates_that_cannot_be_read(
    transport: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FileNotFoundError would not say which file, nor why it is looked for."""
    (tmp_path / "empty.pem").touch()
    (tmp_path / "text.pem").write_text("no certificate")
    broken = {
        "SSL_CERT_FILE": (SECRET, "", "empty.pem", "text.pem"),
        "SSL_CERT_DIR": (SECRET, "empty.pem"),
        "SSLKEYLOGFILE": ("", f"{SECRET}/keys"),
    }
    for name in TLS:
        monkeypatch.delenv(name, raising=False)
    for variable, names in broken.items():
        for name in names:
            with monkeypatch.context() as environment:
                environment.setenv(variable, str(tmp_path / name))
                text = await _is_told(variable, **transport)
            assert str(tmp_path) not in text
            assert SECRET not in text


async def test_an_installation_without_certificates(
    transport: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package that was installed by halves would be looked for in the environment."""
    for name in TLS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("certifi.where", lambda: str(tmp_path / "cacert.pem"))
    # As good as none, but other than before: what a process has read, it does not read again.
    monkeypatch.setenv("SSL_CERT_DIR", "")
    await _is_told("the certificates cannot be read", **transport)


async def test_each_account_of_a_pool_is_looked_at(
    transport: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second service would fail with each request, and the pool be open already."""
    monkeypatch.setenv("HTTPS_PROXY", BROKEN[0])
    monkeypatch.setenv("NO_PROXY", "exempt.example")
    exempt = attrs.evolve(EZCAPTCHA, base_url="https://exempt.example")
    await _opened(service=exempt, **transport)
    accounts = Account("one", service=exempt), Account("two", service=EZCAPTCHA)
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY"):
        async with SessionPool(*accounts, **transport):
            pass


async def test_a_proxy_is_told_user_and_password(
    transport: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would refuse each request; and what a URL must escape, it must get as it is."""
    points = answer(b'{"errorId":0,"balance":5}')
    gateway = attrs.evolve(EZCAPTCHA, base_url="http://gateway.invalid", allow_plain_http=True)
    with RawServer(Script(send=points, end=End.KEEP)) as proxy:
        for name in ("HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url.replace("//", "//me:p%40ss\u20ac@"))
        async with SessionPool("key", service=gateway, **transport) as pool:
            assert (await pool.balance()).points == 5
    refusing = Script(read=HEAD_ONLY, send=answer(b"", "407 Proxy Authentication Required"))
    with RawServer(refusing) as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", tunnel.url.replace("//", "//me:p%40ss\u20ac@"))
        async with SessionPool("key", **transport) as pool:
            with pytest.raises(TransportError, match=r"HTTP 407 of the proxy 127\.0\.0\.1, which"):
                await pool.balance()
    expected = b64encode("me:p@ss\u20ac".encode()).decode()
    for request in (*proxy.received, *tunnel.received):
        assert request.headers["proxy-authorization"] == f"Basic {expected}"
    assert tunnel.received[0].head.startswith(b"CONNECT ")

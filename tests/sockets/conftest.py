"""Fixtures for tests on real sockets: which HTTP client, and certificates."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import Final

import certifi
import pytest

from . import clients

HERE: Final = Path(__file__).parent

left_half_way = pytest.mark.filterwarnings(
    "ignore:Async generator '(httpx|httpcore):ResourceWarning"
)
"""Where a request breaks off, httpx and httpcore drop generators of their own half-way; on trio
each of them says so. Nothing else may be left open."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out aiohttp on trio, where it is not, and uvloop where it makes no difference."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(left_half_way)
    superfluous = [item for item in items if _is_superfluous(item)]
    config.hook.pytest_deselected(items=superfluous)
    items[:] = [item for item in items if item not in superfluous]


def _is_superfluous(item: pytest.Item) -> bool:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    names = [str(parameters.get(name, "")) for name in ("kind", "package", "injected", "own")]
    on_aiohttp = any("aiohttp" in name for name in names)
    without = {"trio": on_aiohttp, "uvloop": not on_aiohttp}
    return without.get(str(parameters.get("anyio_backend")), False)


@pytest.fixture(params=["asyncio", "trio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> str | tuple[str, dict[str, bool]]:
    """Run each asynchronous test on both event loops, and aiohttp's on uvloop as well."""
    name = str(request.param)
    return ("asyncio", {"use_uvloop": True}) if name == "uvloop" else name


@pytest.fixture(params=clients.ALL)
def kind(request: pytest.FixtureRequest) -> str:
    """Name of the HTTP client."""
    return str(request.param)


@pytest.fixture(params=clients.ONE_OF_EACH)
def package(request: pytest.FixtureRequest) -> str:
    """Name of the HTTP client, where it makes no difference who opened it."""
    return str(request.param)


@pytest.fixture(params=clients.OWN)
def own(request: pytest.FixtureRequest) -> str:
    """Name of an HTTP client that an adapter opens for itself."""
    return str(request.param)


@pytest.fixture(params=clients.INJECTED)
def injected(request: pytest.FixtureRequest) -> str:
    """Name of the HTTP client, where the test needs to set it up."""
    return str(request.param)


@pytest.fixture(scope="session")
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with the first of the public certificate authorities."""
    end = "-----END CERTIFICATE-----"
    path = tmp_path_factory.mktemp("authorities") / "first.pem"
    path.write_text(Path(certifi.where()).read_text("utf-8").partition(end)[0] + end)
    return path


@pytest.fixture(autouse=True)
def _few_authorities(one_authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust one authority only: loading all of them takes each client 20 ms."""
    monkeypatch.setenv("SSL_CERT_FILE", str(one_authority))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a self-signed certificate for 127.0.0.1 and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("making a certificate needs the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=test -addext subjectAltName=IP:127.0.0.1 "
        "-addext keyUsage=critical,digitalSignature,keyCertSign -keyout key.pem -out cert.pem"
    )
    subprocess.run([openssl, *command.split()], cwd=folder, check=True, capture_output=True)  # noqa: S603
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return both


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """Return a server's TLS settings with the self-signed certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context

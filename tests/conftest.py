"""Fixtures for all tests: both backends, and no setting of the machine's own."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import ssl
import subprocess
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# A busy machine is no reason for a property to fail.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples each time, so that who breaks nothing sees nothing fail; HYPOTHESIS_SEARCH=1
# looks for new ones, and for more of them.
settings.register_profile(
    "steady", settings.get_profile("search"), derandomize=True, max_examples=30
)
settings.load_profile("search" if "HYPOTHESIS_SEARCH" in os.environ else "steady")

# What starts in the background, or under nohup, is deaf to Ctrl-C or to a closed terminal, and so
# is all that it starts. The tests send both.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

pytest_plugins = ["ezcaptcha_async.pytest_plugin"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mix tests that wait with tests that compute, where processes share them in this order."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: crc32(item.nodeid.partition("[")[0].encode()))


@given(st.none())
def _hypothesis_starts(nothing: None) -> None:
    """Let hypothesis make its random numbers.

    It asks the garbage collector who holds them, and warns when nobody does: in Python 3.14,
    that is when what holds them was left out of the collections before.
    """


def pytest_collection_finish() -> None:
    """Leave thousands of tests out of each garbage collection, which took 0.2 s with them."""
    _hypothesis_starts()
    gc.collect()
    gc.freeze()


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each asynchronous test on both event loops."""
    return str(request.param)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a developer's own keys and proxies out of the tests."""
    for name in ("EZCAPTCHA_CLIENT_KEY", "EZCAPTCHA_API_KEY", "EZCAPSOLVER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("EZCAPTCHA_BASE_URL", "EZCAPTCHA_TIME_SCALE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


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

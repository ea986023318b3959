"""Fixtures for all tests: both backends, and no setting of the machine's own."""

from __future__ import annotations

import pytest

pytest_plugins = ["ezcaptcha_async.pytest_plugin"]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each asynchronous test on both event loops."""
    return str(request.param)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a developer's own key and proxies out of the tests."""
    for name in ("EZCAPTCHA_CLIENT_KEY", "EZCAPTCHA_BASE_URL", "EZCAPTCHA_TIME_SCALE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

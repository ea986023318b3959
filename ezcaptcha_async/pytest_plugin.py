"""Fixtures for the tests of those who use this library; pytest finds them by itself.

::

    @pytest.mark.simulated_service(balance=0, seed=7)
    async def test_out_of_points(simulated_service, simulated_pool): ...

    @pytest.mark.simulated_server(time_scale=10)
    def test_the_whole_application(simulated_service, simulated_environment): ...

They are plain fixtures, so they work with each plugin that runs asynchronous tests:
pytest-asyncio, anyio's and pytest-trio. The package is imported by the fixtures alone, so that
a run that needs none of them pays nothing for the plugin.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ezcaptcha_async import SessionPool
    from ezcaptcha_async.testing import SimulatedServer, SimulatedService

_MARKERS = (
    "simulated_service(**settings): settings of SimulatedService; the nearest marker wins",
    "simulated_pool(**settings): settings of SessionPool; the nearest marker wins",
    "simulated_server(**settings): settings of serve(), such as time_scale; the nearest wins",
)


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    for line in _MARKERS:
        config.addinivalue_line("markers", line)


def _settings(request: pytest.FixtureRequest, name: str) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    node: pytest.Item = request.node
    for marker in node.iter_markers(name):
        if marker.args:
            raise pytest.UsageError(f"the marker {name} takes keyword arguments only")
        settings = {**marker.kwargs, **settings}
    return settings


@pytest.fixture
def simulated_service(request: pytest.FixtureRequest) -> SimulatedService:
    """A fresh `SimulatedService`, with the settings of the marker ``simulated_service``."""
    from ezcaptcha_async.testing import SimulatedService  # noqa: PLC0415 - keeps the plugin cheap

    return SimulatedService(**_settings(request, "simulated_service"))


@pytest.fixture
def simulated_pool(
    request: pytest.FixtureRequest, simulated_service: SimulatedService
) -> SessionPool:
    """A `SessionPool` on that service in this process, yet to be opened by the test.

    It has the settings of the marker ``simulated_pool``. Requests go over no socket, so
    virtual time works.
    """
    from ezcaptcha_async import SessionPool  # noqa: PLC0415 - keeps the plugin cheap

    settings: dict[str, Any] = {
        "service": simulated_service.profile(),
        "http_client": simulated_service.client(),
        **_settings(request, "simulated_pool"),
    }
    return SessionPool("simulated", **settings)


@pytest.fixture
def simulated_server(
    request: pytest.FixtureRequest, simulated_service: SimulatedService
) -> Iterator[SimulatedServer]:
    """The same service on a real loopback port, with the settings of ``simulated_server``."""
    from ezcaptcha_async.testing import serve  # noqa: PLC0415 - keeps the plugin cheap

    with serve(simulated_service, **_settings(request, "simulated_server")) as server:
        yield server


@pytest.fixture
def simulated_environment(
    monkeypatch: pytest.MonkeyPatch, simulated_server: SimulatedServer
) -> dict[str, str]:
    """Environment variables that send an application's own ``SessionPool()`` to that port.

    They are set for the test, and returned for processes that it starts.
    """
    for name, value in simulated_server.environment.items():
        monkeypatch.setenv(name, value)
    return simulated_server.environment

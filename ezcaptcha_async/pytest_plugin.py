"""Fixtures for the tests of those who use this library; pytest finds them by itself.

::

    @pytest.mark.simulated_service(balance=0, seed=7)
    async def test_out_of_points(simulated_service): ...

    @pytest.mark.simulated_server(time_scale=10)
    async def test_on_a_real_port(simulated_server): ...

The package is imported by the fixtures alone, so that a run that needs none of them pays
nothing for the plugin.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ezcaptcha_async.testing import SimulatedServer, SimulatedService

_MARKERS = (
    "simulated_service(**settings): settings of SimulatedService; the nearest marker wins",
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
def simulated_server(
    request: pytest.FixtureRequest, simulated_service: SimulatedService
) -> Iterator[SimulatedServer]:
    """The same service on a real loopback port, with the settings of ``simulated_server``."""
    from ezcaptcha_async.testing import serve  # noqa: PLC0415 - keeps the plugin cheap

    with serve(simulated_service, **_settings(request, "simulated_server")) as server:
        yield server

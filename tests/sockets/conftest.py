"""Fixtures for tests on real sockets: which HTTP client, and certificates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import certifi
import pytest

from . import clients

HERE: Final = Path(__file__).parent
ON_SOCKETS: Final = (HERE, HERE.parent / "unit" / "wire" / "adapters")

left_half_way = pytest.mark.filterwarnings(
    "ignore:Async generator '(httpx|httpcore):ResourceWarning"
)
"""Where a request breaks off, httpx and httpcore drop generators of their own half-way; on trio
each of them says so. Nothing else may be left open."""


LOOP_OF: Final = {
    "default": "asyncio",
    "httpx": "asyncio",
    "httpx2-client": "trio",
    "aiohttp": "uvloop",
}
"""HTTP client → the one event loop on which whole pools use it, and on which it is tried how it
reads answers; each adapter is tried on all."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out aiohttp on trio, where it is not, and uvloop where it makes no difference."""
    kept, superfluous = [], []
    for item in items:
        if item.path.parent not in ON_SOCKETS:
            kept.append(item)
            continue
        (superfluous if _is_superfluous(item) else kept).append(item)
        item.add_marker(left_half_way)
    config.hook.pytest_deselected(items=superfluous)
    items[:] = kept


def _is_superfluous(item: pytest.Item) -> bool:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    names = [str(parameters.get(name, "")) for name in ("kind", "package", "injected", "own")]
    loop = str(parameters.get("anyio_backend"))
    on_one = parameters.get("parser") or (item.path.parent == HERE and "".join(names))
    if on_one in LOOP_OF:
        return loop != LOOP_OF[on_one]
    on_aiohttp = any("aiohttp" in name for name in names)
    without = {"trio": on_aiohttp, "uvloop": not on_aiohttp}
    return without.get(loop, False)


@pytest.fixture(params=["asyncio", "trio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> str | tuple[str, dict[str, bool]]:
    """Run each asynchronous test on both event loops, and aiohttp's on uvloop as well."""
    name = str(request.param)
    return ("asyncio", {"use_uvloop": True}) if name == "uvloop" else name


def _named(names: Sequence[str]) -> Any:
    """Return a fixture that is the name of each of these HTTP clients in turn."""
    return pytest.fixture(params=names)(lambda request: str(request.param))


kind = _named(clients.ALL)
package = _named(clients.ONE_OF_EACH)
"""Where it makes no difference who opened the client."""
parser = _named(clients.ONE_OF_EACH)
"""Where only how it reads bytes makes a difference."""
own = _named(clients.OWN)
"""That an adapter opens for itself."""
injected = _named(clients.INJECTED)
"""That a test needs to set up."""


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

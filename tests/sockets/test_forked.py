"""A process forks while it uses a pool: what the parent has paid for stays the parent's.

Forking servers and ``multiprocessing`` do so. The child has a copy of everything, of the
connections and of the journal's lock as well.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from ezcaptcha_async.testing import Fixed, SimulatedServer, SimulatedService, serve

from .clients import LONG_WINDOW, SPEED

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")

ROOT: Final = Path(__file__).parents[2]
ON_EACH: Final = [("asyncio", "aiohttp"), ("trio", "httpx")]
REFUSED: Final = "ConfigurationError: this pool belongs to another event loop or process"
COMMAND: Final = (
    sys.executable,
    # Python warns of forks in processes with threads, of which an HTTP client may have some.
    "-Wignore::DeprecationWarning",
    "-m",
    "tests.sockets.forking",
)


def _service() -> SimulatedService:
    return SimulatedService(solve_times=Fixed(12), result_window=LONG_WINDOW)


def _run(mode: str, backend: str, client: str, server: SimulatedServer, journal: Path) -> Any:
    """Run the program; return what parent and child found out, and the errors of both."""
    arguments = (mode, backend, client, server.url, str(journal))
    done = subprocess.run(  # noqa: S603
        [*COMMAND, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    found: dict[str, Any] = {"errors": done.stderr}
    for line in done.stdout.splitlines():
        found.update(json.loads(line))
    return found


def _check_parent(found: dict[str, Any], service: SimulatedService, *, others: int = 0) -> None:
    """Check that the books are sound, and that there were no other requests than these."""
    assert found["untouched"], "the child wrote into its parent's journal"
    assert (found["solved"], found["unknown"]) == (4, 0)
    summary = service.summary()
    assert summary.requests == found["requests"] + others
    assert summary.charges == summary.fetched == 4 + bool(others)


@pytest.mark.parametrize(("backend", "client"), ON_EACH)
def test_a_child_cannot_use_its_parents_pool(backend: str, client: str, tmp_path: Path) -> None:
    """It would hang, or pay and read answers on connections that are its parent's."""
    service, journal = _service(), tmp_path / "paid.jsonl"
    with serve(service, time_scale=SPEED) as server:
        found = _run("use", backend, client, server, journal)
    child = found["child"]
    assert child.pop("aclose") == "done"
    assert child.pop("solved") == "done", "what is there already needs no connection"
    for use, finding in child.items():
        assert finding.startswith(REFUSED), use
    # Only that it could not note in the journal whom a solution was given to.
    assert found["errors"].count("\n") == 1, found["errors"]
    assert f"{journal} cannot be written (another process has it)" in found["errors"]
    # A pool of its own is what it can use, with a journal of its own.
    if backend == "asyncio":
        assert found["anew"]
        assert found["same_journal"].startswith("ConfigurationError: cannot use the journal")
    _check_parent(found, service, others=found["anew"])


def test_a_child_that_exits_leaves_the_parent_alone(tmp_path: Path) -> None:
    """Closing the copy would make the parent's event loop deaf to its own connections.

    On asyncio only: trio itself hangs when a forked child leaves ``trio.run``.
    """
    service = _service()
    with serve(service, time_scale=SPEED) as server:
        found = _run("exit", "asyncio", "httpx", server, tmp_path / "paid.jsonl")
    _check_parent(found, service)

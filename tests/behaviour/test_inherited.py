"""A pool's copy in a forked child, as if this process were one: it does nothing at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from ezcaptcha_async import ConfigurationError, SessionPool
from ezcaptcha_async.testing import Fixed, SimulatedService

from .conftest import KEY, TASK, DirectTransport, open_pool


async def test_a_copy_sends_nothing_and_closes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The child would poll and pay on its parent's connections, or wait for ever to close."""
    service = SimulatedService(solve_times=Fixed(30))
    journal = tmp_path / "paid.jsonl"
    async with open_pool(service, journal=journal) as pool:
        ticket = await pool.submit(TASK)
        before, written = service.summary(), journal.read_bytes()
        with monkeypatch.context() as forked:
            child = os.getpid() + 1
            forked.setattr(os, "getpid", lambda: child)
            for use in (pool.solve(TASK), pool.submit(TASK), pool.balance(), ticket):
                with pytest.raises(ConfigurationError, match="another event loop or process"):
                    await use
            with pytest.raises(ConfigurationError, match="open one pool in each"):
                pool.reopen()
            await anyio.sleep(100)
            with anyio.fail_after(1):
                await pool.aclose()
        assert (service.summary(), journal.read_bytes()) == (before, written)
        # What the copy did not do, the pool does; submitting a task wakes it up.
        await pool.submit(TASK)
        assert (await ticket).token
    counts = pool.statistics()
    assert (counts.solved, counts.created, counts.unaccounted) == (1, 2, 0)
    assert service.summary().charges == 2


@pytest.mark.parametrize("is_copy", [False, True])
def test_a_copy_whose_event_loop_ends_leaves_the_connections_alone(
    is_copy: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
    anyio_backend: tuple[str, dict[str, Any]],
) -> None:
    """The child would take them out of the parent's event loop, which would wait in vain."""
    closed = False

    class Watched(DirectTransport):
        async def aclose(self) -> None:
            nonlocal closed
            closed = True

    async def main() -> None:
        service = SimulatedService()
        transport = Watched(service, latency=0.1)
        pool = SessionPool(KEY, service=service.profile(), transport=transport)
        assert (await (await pool.open()).balance()).points
        if is_copy:
            child = os.getpid() + 1
            monkeypatch.setattr(os, "getpid", lambda: child)

    backend, options = anyio_backend
    anyio.run(main, backend=backend, backend_options=options)
    assert closed is not is_copy

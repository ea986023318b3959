"""Processes that are killed: what the service has charged is delivered, fetched, or listed.

The kills are those of ``benchmarks/killed.py``; here they are a few, there they are 200.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import anyio
import pytest

from ezcaptcha_async import Journal, PollPolicy, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.testing import Fixed, SimulatedService, serve

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "killed.py"
TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")
SPEED = 30.0


@pytest.fixture
def killed() -> ModuleType:
    """The benchmark, as a module."""
    spec = importlib.util.spec_from_file_location("killed", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["killed"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_process_loses_nothing_that_is_paid(killed: ModuleType) -> None:
    """A machine that runs out of memory ends processes so, in the middle of anything."""
    moments = killed.kill_often(2, 8, power_loss_safe=True)
    assert not [moment for moment in moments if moment.is_lost]
    figures = killed.totals(moments)
    assert figures["charged"] == sum(figures[name] for name in ("delivered", "resumed", "missing"))
    assert figures["missing"] <= figures["unknown"]
    assert figures["charged"] > 0


async def test_a_pool_that_waits_for_the_disk_solves_as_any_other(tmp_path: Path) -> None:
    """Safety from power losses would cost solutions, or hold up those who do not wait."""
    service = SimulatedService(solve_times=Fixed(6))
    journal = Journal(tmp_path / "paid.jsonl", power_loss_safe=True)
    with serve(service, time_scale=SPEED) as server:
        async with SessionPool(
            "a-key", service=server.profile, polling=PollPolicy().at_speed(SPEED), journal=journal
        ) as pool:
            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(pool.solve, TASK)
            counts = pool.statistics()
            assert (counts.solved, counts.unaccounted) == (10, 0)
            assert pool.unknowns() == ()
            async with pool.resume_all() as outcomes:
                assert [outcome async for outcome in outcomes] == []
    assert service.summary().charges == 10

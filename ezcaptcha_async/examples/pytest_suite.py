"""pytest: your code against the simulated service, in virtual time.

pip install pytest
pytest pytest_suite.py

The fixtures are there as soon as the package is installed: see help("ezcaptcha_async.testing").
"""

from typing import Any

import pytest

from ezcaptcha_async import (
    BannedError,
    InsufficientBalanceError,
    ReCaptchaV2TaskProxyless,
    SessionPool,
)
from ezcaptcha_async.testing import Fault, SimulatedService, VirtualTimeLoop

TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run these tests in virtual time, by anyio's plugin, which comes with anyio."""
    return "asyncio", {"loop_factory": VirtualTimeLoop}


@pytest.mark.simulated_service(solve_times=40)
async def test_a_lost_answer_costs_nothing(
    simulated_service: SimulatedService, simulated_pool: SessionPool
) -> None:
    """A poll that fails is repeated, and nothing is paid twice."""
    simulated_service.inject(Fault.RESET_AFTER, path="/getTaskResult")
    async with simulated_pool as pool:
        assert (await pool.solve(TASK)).token
    simulated_service.assert_charged(1, points=6)
    simulated_service.assert_polled(at_most=12)
    simulated_service.assert_spacing_kept()
    simulated_service.assert_all_fetched()


@pytest.mark.simulated_service(balance=10)
async def test_points_for_one_task_only(
    simulated_service: SimulatedService, simulated_pool: SessionPool
) -> None:
    """Whoever pays is told that the account is empty."""
    async with simulated_pool as pool:
        await pool.solve(TASK)
        with pytest.raises(InsufficientBalanceError):
            await pool.solve(TASK)
    simulated_service.assert_charged(1)


async def test_a_ban(simulated_service: SimulatedService, simulated_pool: SessionPool) -> None:
    """A ban is told at once, with its end."""
    simulated_service.ban(seconds=600)
    async with simulated_pool as pool:
        with pytest.raises(BannedError):
            await pool.solve(TASK)
    simulated_service.assert_charged(0)

"""What becomes of solutions for which there is no room, in a whole pool on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from ezcaptcha_async import ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.testing import Fixed, SimulatedService, VirtualTimeLoop

TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")


def test_solutions_that_nobody_awaits_wait_at_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand pages of a megabyte would be kept for callers who never come."""
    monkeypatch.setattr("ezcaptcha_async._books.books._MOST_KEPT", 500)
    service = SimulatedService(solve_times=Fixed(15))

    async def main() -> None:
        async with (
            service.client() as client,
            SessionPool("a-key", service=service.profile(), http_client=client) as pool,
        ):
            tickets = [await pool.submit(TASK) for _ in range(9)]
            await asyncio.sleep(60)
            assert 0 < sum(ticket.done for ticket in tickets) < 3
            assert all([(await ticket).token for ticket in tickets])

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    assert service.summary().lost == 0

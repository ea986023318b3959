"""Partial outages: a poll that goes wrong is only a skipped poll, whatever share of them does."""

from __future__ import annotations

from random import Random

import anyio
import pytest

from ezcaptcha_async import EzCaptchaError, SessionPool
from ezcaptcha_async.testing import Fixed, SimulatedService
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody

from .conftest import KEY, TASK, DirectTransport

BAD_GATEWAY = Reply(502, b"<html>502 Bad Gateway</html>")
NO_ANSWER = NoAnswer("the connection was reset")


class Sky(DirectTransport):
    """Lets a share of the polls fail, and another one hang."""

    def __init__(
        self, service: SimulatedService, *, fails: float = 0.0, hangs: float = 0.0
    ) -> None:
        super().__init__(service, latency=0.05)
        self.fails, self.hangs = fails, hangs
        self.polls: list[float] = []
        self._rng = Random(7)

    async def post(  # type: ignore[override]
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply | NoAnswer:
        """Answer, or do not."""
        if url.endswith("/getTaskResult"):
            self.polls.append(anyio.current_time())
            luck = self._rng.random()
            if luck < self.hangs:
                await anyio.sleep_forever()
            if luck < self.fails:
                await anyio.sleep(0.05)
                return BAD_GATEWAY if luck < self.fails / 2 else NO_ANSWER
        return await super().post(url, body, timeout=timeout, evidence=evidence)


async def solve(service: SimulatedService, sky: Sky, count: int) -> int:
    """Solve so many tasks at once, and return how many were solved."""
    solved = 0

    async def one(pool: SessionPool) -> None:
        nonlocal solved
        try:
            await pool.solve(TASK)
        except EzCaptchaError:
            return
        solved += 1

    async with (
        SessionPool(KEY, service=service.profile(), transport=sky, rng=Random(7)) as pool,
        anyio.create_task_group() as group,
    ):
        for _ in range(count):
            group.start_soon(one, pool)
    return solved


def lags(service: SimulatedService) -> list[float]:
    """Return how long after they were ready tasks were fetched."""
    return [
        task.fetched_at - task.ready_at
        for task in service.record.tasks
        if task.fetched_at is not None
    ]


@pytest.mark.parametrize(
    ("fails", "hangs", "most_lag"), [(0.6, 0.0, 9.0), (0.9, 0.0, 40.0), (0.0, 0.5, 15.0)]
)
async def test_a_share_of_the_polls_goes_wrong(fails: float, hangs: float, most_lag: float) -> None:
    """One of several servers is down, and paid tasks would lapse or their tokens expire."""
    service = SimulatedService(solve_times=Fixed(20))
    sky = Sky(service, fails=fails, hangs=hangs)
    assert await solve(service, sky, 100) == 100
    late = lags(service)
    assert sum(late) / len(late) <= most_lag
    assert len(sky.polls) <= 100 * (20 + max(late)) / 3, "never more often than the spacing"


async def test_a_total_outage_is_met_with_less_and_less() -> None:
    """Hundreds of tickets would beat on a service that is down; then come back all at once."""
    service = SimulatedService(solve_times=Fixed(20))
    sky = Sky(service, fails=0.0)
    begin = anyio.current_time()

    async def outage() -> None:
        await anyio.sleep(10)
        sky.fails = 1.0
        await anyio.sleep(110)
        sky.fails = 0.0

    async with anyio.create_task_group() as group:
        group.start_soon(outage)
        assert await solve(service, sky, 100) == 100
    times = [at - begin for at in sky.polls]
    early = sum(20 <= at < 50 for at in times)
    late = sum(90 <= at < 120 for at in times)
    assert late < early / 2
    assert max(lags(service)) <= 120 - 20 + 10
    after = [at for at in times if at >= 120]
    assert max(sum(low <= at < low + 0.5 for at in after) for low in after) <= 60, "spread"

"""Threads and event loops of real applications, on real sockets and in real time."""

from __future__ import annotations

import asyncio
import threading

import anyio
import anyio.to_thread
import pytest

from ezcaptcha_async import ConfigurationError, PollPolicy, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.testing import Fault, Fixed, SimulatedService, serve

TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")
SPEED = 20.0
POLLING = PollPolicy().at_speed(SPEED)


@pytest.mark.parametrize("other", ["asyncio", "trio"])
async def test_another_event_loop_is_told_so(other: str) -> None:
    """Waiting for an event of another loop would hang without a word."""
    service = SimulatedService(solve_times=Fixed(8))
    with serve(service, time_scale=SPEED) as server:
        pool = SessionPool("key", service=server.profile, polling=POLLING)
        await pool.__aenter__()
        ticket = await pool.submit(TASK)

        async def elsewhere() -> None:
            with pytest.raises(ConfigurationError, match="another event loop"):
                await pool.solve(TASK)
            with pytest.raises(ConfigurationError, match="another event loop"):
                await ticket

        await anyio.to_thread.run_sync(lambda: anyio.run(elsewhere, backend=other))
        solution = await ticket

        async def finished() -> None:
            assert await ticket == solution

        await anyio.to_thread.run_sync(lambda: anyio.run(finished, backend=other))
        await pool.aclose()


def test_a_pool_in_each_of_several_threads() -> None:
    """Each event loop has its own pool; they must not share anything by accident."""
    service = SimulatedService(solve_times=Fixed(8))
    failures: list[BaseException] = []

    async def solve_some() -> None:
        async with SessionPool("key", service=server.profile, polling=POLLING) as pool:
            await asyncio.gather(*(pool.solve(TASK) for _ in range(20)))

    def run() -> None:
        try:
            asyncio.run(solve_some())
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    with serve(service, time_scale=SPEED) as server:
        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
    assert failures == []
    assert service.summary().fetched == 60


def test_httpx_on_uvloop() -> None:
    """Servers run on it; its sockets, timers and futures are not asyncio's own."""
    uvloop = pytest.importorskip("uvloop")
    service = SimulatedService(solve_times=Fixed(8))
    service.inject(Fault.RESET_AFTER, path="/getTaskResult", times=3)

    async def main() -> None:
        settings = {"service": server.profile, "polling": POLLING, "transport": "httpx"}
        async with SessionPool("key", **settings) as pool:
            await asyncio.gather(*(pool.solve(TASK) for _ in range(20)))
            ticket = await pool.submit(TASK)
        assert [orphan.task_id for orphan in pool.orphans()] == [ticket.task_id]

    with serve(service, time_scale=SPEED) as server:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    assert service.summary().fetched == 20


def test_a_loop_that_ends_without_closing_the_pool() -> None:
    """Forgetting ``async with`` must not hang the end of the program."""
    service = SimulatedService(solve_times=Fixed(8))

    async def main() -> SessionPool:
        pool = SessionPool("key", service=server.profile, polling=POLLING)
        await pool.__aenter__()
        assert (await pool.solve(TASK)).token
        return pool

    with serve(service, time_scale=SPEED) as server:
        assert "closed" in repr(asyncio.run(main()))

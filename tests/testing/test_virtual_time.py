"""The event loop on virtual time that users' own tests can run on."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from ezcaptcha_async import ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.testing import DeadlockError, Fixed, SimulatedService, VirtualTimeLoop

TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")


def test_an_hour_passes_at_once_and_in_order() -> None:
    """A user's test of a slow task would take as long as the task."""
    woken: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        woken.append((name, asyncio.get_running_loop().time() - 1_000.0))

    async def main() -> None:
        await asyncio.gather(sleep("late", 3_600.0), sleep("early", 1.5), sleep("at once", 0.0))

    started = time.monotonic()
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    assert woken == [("at once", 0.0), ("early", 1.5), ("late", 3_600.0)]
    assert time.monotonic() - started < 3_600


def test_a_pool_and_its_service_share_the_virtual_clock() -> None:
    """A user's test of their own code would see tasks that are never solved."""
    service = SimulatedService(solve_times=Fixed(40))

    async def main() -> float:
        async with (
            service.client(latency=0.1) as client,
            SessionPool("key", service=service.profile(), http_client=client) as pool,
        ):
            return (await pool.solve(TASK)).receipt.waited

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(main()) == pytest.approx(42, abs=4)


def test_a_hang_is_an_error() -> None:
    """A test that waits for what never comes would run for ever."""

    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with (
        asyncio.Runner(loop_factory=VirtualTimeLoop) as runner,
        pytest.raises(DeadlockError, match="every coroutine waits"),
    ):
        runner.run(main())


def test_what_comes_from_outside_is_heard_before_time_passes() -> None:
    """A callback from a signal handler would wait for the next timer, or for ever."""

    async def main() -> float:
        loop = asyncio.get_running_loop()
        called = loop.create_future()
        loop.call_soon_threadsafe(called.set_result, None)
        await asyncio.gather(called, asyncio.sleep(0))
        return loop.time()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(main()) == 1_000.0


def test_a_thread_at_work_is_waited_for() -> None:
    """A pool that imports its HTTP client in a thread would be taken for one that hangs."""
    came = threading.Event()

    async def main() -> float:
        loop = asyncio.get_running_loop()
        waiting = asyncio.create_task(asyncio.to_thread(came.wait))
        await asyncio.sleep(0)
        loop.call_soon(came.set)
        await waiting
        return loop.time()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(main()) == 1_000.0

"""Streams of tasks: lazy, bounded, as they complete."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from ezcaptcha_async import (
    CloudFlare5STask,
    ConfigurationError,
    FuncaptchaTaskProxyless,
    ReCaptchaV2TaskProxyless,
    TaskFailedError,
)
from ezcaptcha_async.testing import Fixed, SimulatedService, Uniform

from .conftest import TASK, on_both_loops, open_pool


async def test_outcomes_come_as_they_complete() -> None:
    """A fast task must not wait for a slow one that was given first."""
    service = SimulatedService(
        solve_times={"ReCaptchaV2TaskProxyless": 60, "FuncaptchaTaskProxyless": 5}
    )
    fast = FuncaptchaTaskProxyless(website_url="https://example.com", website_key="k")
    async with open_pool(service) as pool, pool.solve_many([TASK, fast]) as outcomes:
        got = [(outcome.index, outcome.task) async for outcome in outcomes]
    assert got == [(1, fast), (0, TASK)]


async def test_the_input_is_read_only_as_far_as_there_is_room() -> None:
    """An endless input must not be read to its end, nor paid for ahead of need."""
    service = SimulatedService(solve_times=Uniform(5, 20))
    read = 0

    def endless() -> Iterator[ReCaptchaV2TaskProxyless]:
        nonlocal read
        while True:
            read += 1
            yield TASK

    taken = 0
    async with open_pool(service) as pool:
        async with pool.solve_many(endless(), max_in_flight=20) as outcomes:
            async for outcome in outcomes:
                assert outcome.solution is not None
                taken += 1
                assert read <= taken + 21
                if taken == 100:
                    break
        await anyio.sleep(1)
        counts = pool.statistics()
        assert counts.waiting == counts.creating == counts.queued == 0
        # What was paid for and not taken is still there.
        assert counts.orphaned == service.summary().charges - taken
        for orphan in pool.orphans():
            assert (await orphan).token
    assert service.summary().lost == 0


async def test_a_slow_reader_holds_back_new_tasks() -> None:
    """Tokens live two minutes; solving ahead of the reader would waste them."""
    service = SimulatedService(solve_times=Fixed(5))
    async with (
        open_pool(service) as pool,
        pool.solve_many([TASK] * 30, max_in_flight=5) as outcomes,
    ):
        async for _ in outcomes:
            await anyio.sleep(60)
            assert service.summary().charges <= 30
            in_hand = pool.statistics().solved + pool.statistics().waiting
            assert pool.statistics().created - in_hand <= 5


async def test_errors_are_outcomes_and_stop_nothing() -> None:
    """One bad task among ten thousand is one line in a report."""
    service = SimulatedService(failure_rate=0.3, dialect="1captcha")
    bad = CloudFlare5STask(website_url="https://example.com", proxy="http://u:p@1.2.3.4:80")
    tasks = [TASK] * 20 + [bad]
    async with open_pool(service) as pool, pool.solve_many(tasks) as outcomes:
        got = {outcome.index: outcome async for outcome in outcomes}
    assert sorted(got) == list(range(21))
    assert isinstance(got[20].error, ConfigurationError)
    assert {type(outcome.error) for outcome in got.values() if outcome.index < 20} == {
        TaskFailedError,
        type(None),
    }
    assert all((o.solution is None) != (o.error is None) for o in got.values())


async def later(tasks: list[ReCaptchaV2TaskProxyless]) -> AsyncIterator[ReCaptchaV2TaskProxyless]:
    """Yield them one by one."""
    for task in tasks:
        await anyio.sleep(1)
        yield task


@on_both_loops
async def test_all_that_tasks_may_come_from() -> None:
    """A queue, a database cursor, or a stream that stays another part's to close; or nothing."""
    send, receive = anyio.create_memory_object_stream[ReCaptchaV2TaskProxyless](3)
    with send:
        for _ in range(3):
            send.send_nowait(TASK)
    async with receive, open_pool(SimulatedService()) as pool:
        for tasks, count in ((later([TASK] * 5), 5), (receive, 3), ([], 0)):
            async with pool.solve_many(tasks) as outcomes:
                assert len([outcome async for outcome in outcomes]) == count


@on_both_loops
async def test_an_exception_of_the_reader_comes_out_as_it_is() -> None:
    """The user's own exception, not one in a group."""
    async with open_pool(SimulatedService()) as pool:
        with pytest.raises(KeyError, match="mine"):
            async with pool.solve_many([TASK] * 3) as outcomes:
                async for _ in outcomes:
                    raise KeyError("mine")


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "many"])
async def test_a_wrong_bound_is_named(wrong: object) -> None:
    """Found at once, not after an hour."""
    async with open_pool(SimulatedService()) as pool:
        with pytest.raises(ConfigurationError, match="max_in_flight"):
            pool.solve_many([TASK], max_in_flight=wrong)  # type: ignore[arg-type]

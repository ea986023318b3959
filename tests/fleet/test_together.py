"""Pools that work as one: one gate, one budget, one set of books, one payment for a reference."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from ezcaptcha_async import (
    Account,
    BudgetExceededError,
    ConfigurationError,
    SessionPool,
)
from ezcaptcha_async.redis import Fleet
from ezcaptcha_async.testing import Fixed, Uniform
from tests.redis_server import RedisServer

from .conftest import KEY, TASK, crew, job, new_service, until


async def all_of(*calls: Any) -> list[Any]:
    """Return what each comes to, solution or error."""
    return await asyncio.gather(*calls, return_exceptions=True)


# ------------------------------------------------------------------------------- one payment


async def test_the_same_jobs_at_three_pools_are_paid_for_once(
    lasting: RedisServer, name: str
) -> None:
    """A list of jobs that is given to all machines would be bought as often as there are some."""
    service = new_service(solve_times=Uniform(5, 20))
    async with crew(service, lasting, name) as members:
        pools = await members.pools(3)
        solutions = await all_of(
            *(pool.solve(job(number), once=True) for number in range(30) for pool in pools)
        )
        by_job = [solutions[number * 3 : number * 3 + 3] for number in range(30)]
        assert all(len({item.token for item in same}) == 1 for same in by_job)
        assert sum(pool.statistics().created for pool in pools) == 30
        assert all(pool.statistics().unaccounted == 0 for pool in pools)
        status = [await pool.fleet_status() for pool in pools][-1]  # each has told all by then
        assert (status.pools, status.created, status.done, status.spent) == (3, 30, 30, 180)
        assert [account.in_flight for account in status.accounts] == [0]
    assert service.summary().charges == 30


async def test_every_way_of_asking_gets_the_same(lasting: RedisServer, name: str) -> None:
    """One of them would pay again."""
    service = new_service(solve_times=Fixed(10))
    async with crew(service, lasting, name) as members:
        first, second = await members.pools(2)

        async def submitted(pool: SessionPool) -> Any:
            return await (await pool.submit(job(1), once=True))

        async def among_many(pool: SessionPool) -> Any:
            async with pool.solve_many([job(1)], once=True) as outcomes:
                (outcome,) = [outcome async for outcome in outcomes]
                return outcome.solution

        ways = [submitted, among_many, lambda pool: pool.solve(job(1), once=True)]
        solutions = await all_of(*(way(pool) for way in ways for pool in (first, second)))
        assert len({item.token for item in solutions}) == 1
        later = await members.pool()
        left = solutions[0].remaining()
        again = await later.solve(job(1), once=True)
        assert again.token == solutions[0].token
        assert 0 < again.remaining() <= left + 1
        assert again.receipt.task_id == solutions[0].receipt.task_id
    assert service.summary().charges == 1


async def test_whoever_waits_outlives_the_first_who_asked(lasting: RedisServer, name: str) -> None:
    """Its caller is cancelled, and a job on another machine would wait until it lapses."""
    service = new_service(solve_times=Fixed(30))
    async with crew(service, lasting, name) as members:
        first, second = await members.pools(2)
        for number, waits in enumerate((True, False)):
            async with asyncio.TaskGroup() as group:
                gives_up = group.create_task(first.solve(job(number), once=True))
                await until(lambda: first.statistics().waiting == 1)
                later = group.create_task(second.solve(job(number), once=True)) if waits else None
                await asyncio.sleep(0)
                gives_up.cancel()
            later = later or asyncio.create_task(second.solve(job(number), once=True))
            assert (await asyncio.wait_for(later, 60)).token
        await until(lambda: first.statistics().orphaned == 2)
        assert len(first.orphans()) == 2, "it is there for whoever resumes it"
    assert service.summary().charges == 2


# -------------------------------------------------------------------------------- one limit


async def test_one_limit_in_flight_and_one_budget_are_kept_together(
    lasting: RedisServer, name: str
) -> None:
    """Ten machines would have ten times as many tasks in flight, and spend ten times as much."""
    service = new_service(solve_times=Fixed(8))
    most = 0

    async with crew(service, lasting, name) as members:
        account = Account(KEY, service=members.profile, max_in_flight=5)
        pools = [await members.pool(account, budget=100) for _ in range(3)]

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, sum(pool.statistics().waiting for pool in pools))
                await anyio.sleep(0.005)

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            results = await all_of(*(pool.solve(TASK) for _ in range(7) for pool in pools))
            group.cancel_scope.cancel()
        assert sum(isinstance(item, BudgetExceededError) for item in results) == 21 - 16
        assert (await pools[0].fleet_status()).spent == 96
    assert 1 < most <= 5
    service.assert_charged(16, points=96)


# --------------------------------------------------------------------------------- one gate


async def test_pools_must_agree_on_their_limits(lasting: RedisServer, name: str) -> None:
    """Nobody could say which of two limits holds."""
    service = new_service()
    async with crew(service, lasting, name) as members:
        await members.pool(budget=100)
        with pytest.raises(ConfigurationError, match="budget is 100 in the fleet's pools"):
            await members.pool(budget=200)
        other = Account(KEY, service=members.profile, creates_per_second=3)
        with pytest.raises(ConfigurationError, match="creates_per_second of ezcaptcha:"):
            await members.pool(other, budget=100)
        await members.pool(budget=100.0)
        await members.pool(Account("another", service=members.profile), budget=100)
    async with crew(service, lasting, name) as members:
        await members.pool(budget=200)  # nobody is there who would disagree


async def test_a_fleet_keeps_the_books(lasting: RedisServer, name: str, tmp_path: Any) -> None:
    """Of two books, one would not know what the other does."""
    fleet = Fleet(lasting.url, name=name)
    with pytest.raises(ConfigurationError, match="journal or fleet, not both"):
        SessionPool(KEY, fleet=fleet, journal=tmp_path / "paid.jsonl")
    for slip in (lasting.url, Fleet):
        with pytest.raises(ConfigurationError, match="fleet must be a Fleet"):
            SessionPool(KEY, fleet=slip)  # type: ignore[arg-type]
    async with SessionPool(KEY, http_client=new_service().client()) as pool:
        with pytest.raises(ConfigurationError, match="needs a pool in a fleet"):
            await pool.fleet_status()

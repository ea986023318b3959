"""Pools that work as one: one gate, one budget, one set of books, one payment for a reference."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from ezcaptcha_async import (
    Account,
    AccountEvent,
    BannedError,
    BudgetExceededError,
    ConfigurationError,
    CredentialError,
    Event,
    EzCaptchaError,
    InsufficientBalanceError,
    SessionPool,
    SubmissionUnknownError,
    TaskFailedError,
)
from ezcaptcha_async.redis import Fleet
from ezcaptcha_async.testing import Fault, Fixed, Uniform
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
            *(pool.solve(job(number), once=True) for number in range(100) for pool in pools)
        )
        by_job = [solutions[number * 3 : number * 3 + 3] for number in range(100)]
        assert all(len({item.token for item in same}) == 1 for same in by_job)
        assert sum(pool.statistics().created for pool in pools) == 100
        assert all(pool.statistics().unaccounted == 0 for pool in pools)
        status = [await pool.fleet_status() for pool in pools][-1]  # each has told all by then
        assert (status.pools, status.created, status.done, status.spent) == (3, 100, 100, 600)
        assert [account.in_flight for account in status.accounts] == [0]
    assert service.summary().charges == 100


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


async def test_what_failed_at_one_pool_is_told_to_the_others(
    lasting: RedisServer, name: str
) -> None:
    """A job that fails would be paid for at each machine that it is delivered to."""
    service = new_service(solve_times=Fixed(5), failure_rate=1.0)
    async with crew(service, lasting, name) as members:
        pools = await members.pools(2)
        errors = await all_of(*(pool.solve(job(1), once=True) for pool in pools))
        errors += await all_of(pools[1].solve(job(1), once=True))
        assert [type(error) for error in errors] == [TaskFailedError] * 3
        assert len({error.code for error in errors}) == 1
        assert len({error.task_id for error in errors}) == 1
    assert service.summary().charges == 1


async def test_what_may_have_been_paid_for_is_not_bought_at_another_pool(
    lasting: RedisServer, name: str
) -> None:
    """A job whose createTask was lost would be paid for again on the next machine."""
    service = new_service(solve_times=Fixed(5))
    service.inject(Fault.RESET_AFTER, path="/createTask")
    async with crew(service, lasting, name) as members:
        first, second = await members.pools(2)
        for pool in (first, second, first):
            with pytest.raises(SubmissionUnknownError) as caught:
                await pool.solve(job(1), once=True)
            assert caught.value.may_be_charged
        await until(second.unknowns)
        assert [item.reference for item in second.unknowns()] == ["job 1"]
        assert (await second.fleet_status()).unknown == 1
    assert service.summary().charges == 1


async def test_what_may_have_been_paid_for_is_bought_again_within_one_limit(
    lasting: RedisServer, name: str
) -> None:
    """Each machine would risk the whole limit."""
    service = new_service(solve_times=Fixed(5))
    service.inject(Fault.RESET_AFTER, path="/createTask", times=2)
    async with crew(service, lasting, name) as members:
        pools = await members.pools(2, on_unknown="retry", unknown_budget=11)
        with pytest.raises(SubmissionUnknownError):
            await pools[0].solve(job(1), once=True)  # sent twice
        with pytest.raises(SubmissionUnknownError):
            await pools[1].solve(job(1), once=True)
        assert await pools[1].solve(job(2), once=True)
    assert service.summary().charges == 3


async def test_a_reference_is_of_one_task_in_the_whole_fleet(
    lasting: RedisServer, name: str
) -> None:
    """A job would get the token of a page that is not its own."""
    service = new_service(solve_times=Fixed(5))
    other = type(TASK)(website_url="https://other.example/", website_key="key", reference="job 1")
    async with crew(service, lasting, name) as members:
        first, second = await members.pools(2)
        await first.solve(job(1), once=True)
        with pytest.raises(ConfigurationError, match="stands for another task"):
            await second.solve(other, once=True)
    assert service.summary().charges == 1


async def test_a_job_that_was_not_paid_is_free_again(lasting: RedisServer, name: str) -> None:
    """A reference that was refused at one machine could be solved at none."""
    service = new_service(solve_times=Fixed(5))
    bad = type(TASK)(website_url=TASK.website_url, website_key="<key>", reference="job 1")
    async with crew(service, lasting, name) as members:
        first, second = await members.pools(2)
        with pytest.raises(EzCaptchaError):
            await first.solve(bad, once=True)
        assert await second.solve(job(1), once=True)
        status = await first.fleet_status()
        assert status.spent == 6
    assert service.summary().charges == 1


# -------------------------------------------------------------------------------- one limit


async def test_one_rate_is_kept_together(lasting: RedisServer, name: str) -> None:
    """Ten machines would send ten times as fast as they were told to."""
    service = new_service(solve_times=Fixed(5))
    async with crew(service, lasting, name) as members:
        account = Account(KEY, service=members.profile, creates_per_second=40, polls_per_second=40)
        pools = [await members.pool(account) for _ in range(3)]
        await pools[0].solve(TASK)
        began = anyio.current_time()
        await all_of(*(pool.solve(TASK) for _ in range(15) for pool in pools))
        # A quarter of a second's worth, and a twentieth at once, is given ahead.
        assert anyio.current_time() - began > 44 / 40 - 0.35
    assert service.summary().charges == 46


async def test_a_pause_is_kept_by_all(lasting: RedisServer, name: str) -> None:
    """What the service asks of one machine, it asks of all."""
    service = new_service(solve_times=Fixed(5), max_requests_per_second=1, retry_after=60)
    async with crew(service, lasting, name) as members:
        first, second = await members.pools(2)
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(first.solve, TASK)
            with anyio.fail_after(30):
                (account,) = (await second.fleet_status()).accounts
                while account.state != "paused":
                    await anyio.sleep(0.05)
                    (account,) = (await second.fleet_status()).accounts
            assert account.retry_after is not None
            group.cancel_scope.cancel()


async def test_one_limit_in_flight_is_kept_together(lasting: RedisServer, name: str) -> None:
    """Ten machines would have ten times as many tasks in flight as the plan permits."""
    service = new_service(solve_times=Fixed(8))
    most = 0

    async with crew(service, lasting, name) as members:
        account = Account(KEY, service=members.profile, max_in_flight=5)
        pools = [await members.pool(account) for _ in range(3)]

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, sum(pool.statistics().waiting for pool in pools))
                await anyio.sleep(0.005)

        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            await all_of(*(pool.solve(TASK) for _ in range(7) for pool in pools))
            group.cancel_scope.cancel()
    assert 1 < most <= 5
    assert service.summary().charges == 21


async def test_one_budget_is_kept_together(lasting: RedisServer, name: str) -> None:
    """Each machine would spend all of it."""
    service = new_service(solve_times=Fixed(5))
    async with crew(service, lasting, name) as members:
        pools = await members.pools(3, budget=100)
        results = await all_of(*(pool.solve(TASK) for _ in range(10) for pool in pools))
        refused = [item for item in results if isinstance(item, BudgetExceededError)]
        assert len(refused) == 30 - 16
        assert (await pools[0].fleet_status()).spent == 96
    service.assert_charged(16, points=96)


# --------------------------------------------------------------------------------- one gate


async def test_a_withdrawn_key_is_known_to_all(lasting: RedisServer, name: str) -> None:
    """Each machine would find out by itself, and all together earn a ban."""
    service = new_service(solve_times=Fixed(5))
    async with crew(service, lasting, name) as members:
        told: list[str] = []

        def note(event: Event) -> None:
            if isinstance(event, AccountEvent):
                told.append(event.state)

        pools = await members.pools(4, on_event=note)
        await all_of(*(pool.solve(TASK) for pool in pools))
        service.ban_key(KEY)
        with pytest.raises(CredentialError):
            await pools[0].solve(TASK)
        await until(lambda: told == ["shut"] * 4)
        results = await all_of(*(pool.solve(TASK) for _ in range(50) for pool in pools))
        assert {type(item) for item in results} == {CredentialError}
        (account,) = (await pools[1].fleet_status()).accounts
        assert account.state.startswith("shut by ERROR_KEY")
    assert sum(service.summary().refused.values()) < 10


async def test_an_account_that_is_reopened_is_so_for_all(lasting: RedisServer, name: str) -> None:
    """After a top-up, each machine would have to be told by hand."""
    service = new_service(solve_times=Fixed(5), balance=0)
    async with crew(service, lasting, name) as members:
        first, second = await members.pools(2)
        results = await all_of(first.solve(TASK), second.solve(TASK))
        assert {type(item) for item in results} == {InsufficientBalanceError}
        for pool in (first, second):
            await pool.fleet_status()  # it has told all by then
        service.set_balance(KEY, 1_000)
        await first.balance()
        assert await first.solve(TASK)
        with anyio.fail_after(30):
            while isinstance((await all_of(second.solve(TASK)))[0], InsufficientBalanceError):
                await anyio.sleep(0.05)
        (account,) = (await first.fleet_status()).accounts
        assert account.state == "open"


async def test_a_ban_is_kept_by_all(lasting: RedisServer, name: str) -> None:
    """Each machine that goes on prolongs it for all."""
    service = new_service(solve_times=Fixed(5))
    async with crew(service, lasting, name) as members:
        first, second = await members.pools(2)
        await all_of(first.solve(TASK), second.solve(TASK))
        service.ban(seconds=6_000)
        with pytest.raises(BannedError):
            await first.solve(TASK)
        with anyio.fail_after(30):
            while (await second.fleet_status()).accounts[0].state != "banned":
                await anyio.sleep(0.01)
        third = await members.pool()  # it comes into the ban, and knows of it
        requests = service.summary().requests
        with pytest.raises(BannedError) as caught:
            await third.solve(TASK)
        assert caught.value.retry_after is not None
        assert service.summary().requests == requests
        (account,) = (await first.fleet_status()).accounts
        assert account.state == "banned"
        assert account.retry_after is not None


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

"""Limits on money and on requests, with callers by the hundred."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import anyio
import attrs
import pytest

from ezcaptcha_async import (
    Account,
    Balance,
    BudgetExceededError,
    CloudFlare5STask,
    ConfigurationError,
    InsufficientBalanceError,
    Offer,
    SessionPool,
    TransportError,
)
from ezcaptcha_async.testing import Fault, Fixed, SimulatedService, Uniform

from .conftest import KEY, TASK, open_pool, open_pool_directly, solve_all

# ----------------------------------------------------------------------------- money


async def test_a_budget_is_never_exceeded_and_used_up_to_the_last_task() -> None:
    """A mistake in a loop would spend the whole account."""
    service = SimulatedService(solve_times=Fixed(15))
    async with open_pool_directly(service, budget=100) as pool:
        solved, errors = await solve_all(pool, 300)
        assert solved == 16  # at 6 points
        assert len(errors) == 284
        assert all(isinstance(error, BudgetExceededError) for error in errors)
        assert "6 points" in str(errors[0])
        assert pool.statistics().points == service.summary().points == 96


async def test_what_was_not_paid_goes_back_to_the_budget() -> None:
    """Tasks that were refused or given up would eat the budget."""
    service = SimulatedService(solve_times=Fixed(15), balance=0)
    async with open_pool_directly(service, budget=10) as pool:
        with pytest.raises(InsufficientBalanceError):
            await pool.solve(TASK)
        service.set_balance(KEY, 1_000)
        with pytest.raises(ConfigurationError):
            pool.reopen("nobody")
        pool.reopen()
        with anyio.move_on_after(0.01):
            await pool.solve(TASK)  # still on its way when the caller leaves: it is paid
        await anyio.sleep(1)
        with pytest.raises(BudgetExceededError):
            await pool.solve(TASK)


async def test_what_may_have_been_paid_counts() -> None:
    """A budget would be exceeded by creates whose answers were lost."""
    service = SimulatedService(solve_times=Fixed(15))
    service.inject(Fault.RESET_AFTER, path="/createTask")
    async with open_pool(service, budget=10) as pool:
        solved, errors = await solve_all(pool, 1)
        assert (solved, len(errors)) == (0, 1)
        with pytest.raises(BudgetExceededError):
            await pool.solve(TASK)
    assert service.summary().points == 6


async def test_a_budget_needs_prices() -> None:
    """A type without a listed price would be free."""
    task = CloudFlare5STask(website_url="https://example.com", proxy="http://u:p@1.2.3.4:1")
    service = SimulatedService(solve_times=Fixed(15))
    profile = service.profile()
    offers = [item for item in profile.offers if item.type != task.type]
    unpriced = attrs.evolve(profile.offer_for(task.type), points=None, lowest_points=None)
    account = Account(KEY, service=attrs.evolve(profile, offers=[*offers, unpriced]))
    async with open_pool(service, account, budget=10) as pool:
        with pytest.raises(ConfigurationError, match="no listed price"):
            await pool.solve(task)
    assert service.summary().requests == 0


async def test_a_price_of_ones_own_is_what_the_error_says() -> None:
    """The remedy that is named for a type without a price would be none."""
    task = CloudFlare5STask(website_url="https://example.com", proxy="http://u:p@1.2.3.4:1")
    service = SimulatedService(solve_times=Fixed(15))
    async with open_pool(service, budget=10) as pool:
        with pytest.raises(ConfigurationError, match=r"attrs\.evolve\(service, offers=\[Offer\("):
            await pool.solve(task)
    profile = service.profile()
    own = attrs.evolve(profile, offers=[Offer(type=task.type, points=4), *profile.offers])
    async with open_pool(service, Account(KEY, service=own), budget=10) as pool:
        assert (await pool.solve(task)).receipt.points == 4
        await pool.solve(task)
        with pytest.raises(BudgetExceededError, match="costs 4 points"):
            await pool.solve(task)


# -------------------------------------------------------------------------- requests


async def test_limits_that_the_user_sets_are_kept() -> None:
    """What was agreed with the service would be broken by the first hundred callers."""
    service = SimulatedService(solve_times=Uniform(10, 40))
    account = Account(KEY, service=service.profile(), creates_per_second=4, polls_per_second=8)
    async with open_pool(service, account) as pool:
        started = anyio.current_time()
        solved, _ = await solve_all(pool, 100)
        spent = anyio.current_time() - started
        counts = pool.statistics()
    assert solved == 100
    assert spent >= 100 / 4
    assert counts.polls <= 8 * (spent + 0.1)
    assert service.summary().spacing_violations == 0


async def test_a_service_that_throttles_is_asked_more_slowly() -> None:
    """Half of all requests would go on being turned down, and count against the account."""
    service = SimulatedService(solve_times=Uniform(10, 40), max_requests_per_second=20)
    async with open_pool_directly(service) as pool:
        solved, errors = await solve_all(pool, 250)
    assert (solved, errors) == (250, [])
    assert service.summary().refused["ERROR_REQUEST_LIMIT"] <= 0.15 * service.summary().requests


async def test_an_outage_costs_fewer_and_fewer_requests_and_no_paid_task() -> None:
    """Thousands of tickets would beat on a service that is down; or give up too early."""
    service = SimulatedService(solve_times=Uniform(10, 40))
    async with open_pool(service) as pool, anyio.create_task_group() as group:
        for _ in range(60):
            group.start_soon(pool.solve, TASK)
        while pool.statistics().created < 60:
            await anyio.sleep(0.1)
        service.set_fault_rates({Fault.RESET_BEFORE: 1.0})
        sent = [pool.statistics().requests]
        for _ in range(3):
            await anyio.sleep(40)
            sent.append(pool.statistics().requests)
        first, _, last = (after - before for before, after in pairwise(sent))
        assert first <= 60 * 40 / 3, "never more often than the spacing"
        assert last < first / 2
        service.clear_faults()
        while pool.statistics().solved < 60:
            await anyio.sleep(0.5)
        assert pool.statistics().lapsed == 0
    assert service.summary().charges == 60


async def test_callers_hear_of_an_outage_when_their_patience_ends() -> None:
    """Whoever is not the one that tries would wait for ever."""
    service = SimulatedService(fault_rates={Fault.REFUSED: 1.0})
    async with open_pool(service, create_patience=60) as pool:
        started = anyio.current_time()
        with anyio.fail_after(100):
            solved, errors = await solve_all(pool, 200)
        assert (solved, len(errors)) == (0, 200)
        assert all(isinstance(error, TransportError) and error.retryable for error in errors)
        assert anyio.current_time() - started >= 45
        assert pool.statistics().requests < 20


async def test_one_probe_decides_when_a_ban_ends() -> None:
    """A crowd that returns too early prolongs the ban, for everybody."""
    service = SimulatedService(solve_times=Fixed(15), ban_seconds=620, result_window=3_000)
    async with open_pool(service) as pool:
        tickets = [await pool.submit(TASK) for _ in range(100)]
        service.ban(seconds=900)
        await anyio.sleep(11)
        met = service.summary().refused["ERROR_IP_BANNED"]
        assert met <= 32
        await anyio.sleep(720)  # 640 s, and up to a tenth of that by chance
        assert service.summary().refused["ERROR_IP_BANNED"] == met + 1
        service.lift_ban()
        for ticket in tickets:
            assert (await ticket).token


async def test_the_owner_is_told_of_a_low_balance_once() -> None:
    """An account would run dry at night; or each of a thousand tasks would send a message."""
    service = SimulatedService(solve_times=Fixed(15), balance=1_000)
    told: list[Balance] = []
    async with open_pool_directly(service, low_balance=500, on_low_balance=told.append) as pool:
        await solve_all(pool, 80)
        assert told == []
        await solve_all(pool, 20)
        assert len(told) == 1
        assert told[0].points < 500
        assert service.summary().balance_queries <= 5
        service.set_balance(KEY, 530)
        assert (await pool.balance()).points == 530
        await solve_all(pool, 10)
        assert len(told) == 2


async def test_a_balance_that_is_not_told_is_asked_for_again() -> None:
    """One bad answer would keep a low balance secret."""
    service = SimulatedService(solve_times=Fixed(15), balance=100)
    service.inject(Fault.HTML, path="/getBalance")
    told: list[Balance] = []
    async with open_pool(service, low_balance=500, on_low_balance=told.append) as pool:
        await solve_all(pool, 1)
        assert told == []
        await solve_all(pool, 1)
        assert len(told) == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"low_balance": 5},
        {"on_low_balance": print},
        {"low_balance": 0, "on_low_balance": print},
        {"low_balance": 5, "on_low_balance": "print"},
    ],
)
def test_a_low_balance_needs_both_settings(settings: dict[str, Any]) -> None:
    """Nobody would ever be told, without a word."""
    with pytest.raises(ConfigurationError, match="low_balance"):
        SessionPool(KEY, **settings)

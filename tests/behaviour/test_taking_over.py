"""What one account cannot create goes to another, and is paid for once."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import attrs
import httpx
import pytest

from ezcaptcha_async import (
    Account,
    BannedError,
    CredentialError,
    CustomTask,
    EzCaptchaError,
    InsufficientBalanceError,
    InvalidTaskError,
    SessionPool,
    SolveTimeoutError,
    SubmissionUnknownError,
)
from ezcaptcha_async.testing import Fault, Fixed, SimulatedService

from .conftest import TASK, open_pool
from .test_limits_at_work import solve_all

KEYS = ("key-1", "key-2")


def accounts_at(service: SimulatedService, *keys: str, **settings: Any) -> list[Account]:
    """Return accounts of one service."""
    return [Account(key, service=service.profile(), **settings) for key in keys or KEYS]


@asynccontextmanager
async def open_pool_on_two(
    first: SimulatedService, second: SimulatedService, **settings: Any
) -> AsyncGenerator[SessionPool]:
    """Open a pool with an account at each of two services."""
    urls = ("http://127.0.0.1:1", "http://127.0.0.1:2")
    services = (first, second)
    mounts = {
        url: service.transport(latency=0.1) for url, service in zip(urls, services, strict=True)
    }
    async with httpx.AsyncClient(mounts=mounts) as client:
        accounts = [
            Account(key, service=service.profile(url))
            for key, service, url in zip(KEYS, services, urls, strict=True)
        ]
        async with SessionPool(*accounts, http_client=client, **settings) as pool:
            yield pool


def charged(*services: SimulatedService) -> int:
    """Return how many tasks were charged."""
    return sum(service.summary().charges for service in services)


async def test_a_key_that_is_refused_costs_nobody_their_task() -> None:
    """Half of the callers would fail for a key that was withdrawn, though the other one works."""
    service = SimulatedService(client_keys=["key-2"], solve_times=Fixed(15))
    async with open_pool(service, *accounts_at(service)) as pool:
        assert await solve_all(pool, 200) == (200, [])
        bad, good = pool.statistics().accounts
        assert (bad.created, bad.refused, bad.queued) == (0, 0, 0)
        assert (good.created, good.points) == (200, 1_200)
    assert service.summary().refused == {"ERROR_KEY_DOES_NOT_EXIST": 1}
    assert charged(service) == 200


async def test_an_account_that_runs_dry_hands_over() -> None:
    """The tasks behind the last that it could pay for would fail in the middle of the night."""
    service = SimulatedService(solve_times=Fixed(15))
    service.set_balance("key-1", 60)
    async with open_pool(service, *accounts_at(service)) as pool:
        assert await solve_all(pool, 300) == (300, [])
        assert [item.created for item in pool.statistics().accounts] == [10, 290]
        assert pool.statistics().refused == 0
    assert charged(service) == 300
    assert service.summary().refused["ERROR_ZERO_BALANCE"] <= 20


async def test_a_ban_sends_what_is_in_line_to_the_other_service() -> None:
    """Ten minutes of silence would fail everything that stood in line there."""
    first, second = SimulatedService(solve_times=Fixed(15)), SimulatedService(solve_times=Fixed(15))
    first.ban(anyio.current_time(), 600)
    async with open_pool_on_two(first, second) as pool:
        assert await solve_all(pool, 100) == (100, [])
    assert first.summary().refused == {"ERROR_IP_BANNED": 1}
    assert charged(first, second) == charged(second) == 100


async def test_an_outage_sends_what_is_in_line_to_the_other_service() -> None:
    """Callers who came early would pay for the outage of one of two services."""
    first, second = SimulatedService(solve_times=Fixed(15)), SimulatedService(solve_times=Fixed(15))
    first.set_fault_rates({Fault.REFUSED: 1.0})
    async with open_pool_on_two(first, second, create_patience=20) as pool:
        assert await solve_all(pool, 100) == (100, [])
        before = pool.statistics().requests
        # Whoever comes now need not wait at all.
        started = anyio.current_time()
        assert await solve_all(pool, 10) == (10, [])
        assert anyio.current_time() - started < 20
        assert pool.statistics().requests < before + 10 + 60
    assert charged(first) == 0
    assert charged(second) == 110


async def test_when_no_account_is_left_all_are_told() -> None:
    """Tasks would wander from account to account for ever."""
    service = SimulatedService(balance=0)
    async with open_pool(service, *accounts_at(service, "a", "b", "c")) as pool:
        solved, errors = await solve_all(pool, 50)
        assert solved == 0
        assert len(errors) == 50
        assert {type(error) for error in errors} == {InsufficientBalanceError}
        assert len(set(map(id, errors))) == 50
    assert service.summary().refused == {"ERROR_ZERO_BALANCE": 3}
    assert pool.statistics().queued == 0


async def test_what_may_have_been_paid_stays() -> None:
    """Its second payment, at another account, would be no account's own to explain."""
    service = SimulatedService(solve_times=Fixed(15))
    service.set_balance("key-1", 6)
    service.inject(Fault.RESET_AFTER, path="/createTask")
    accounts = accounts_at(service)
    async with open_pool(service, *accounts, on_unknown="retry", unknown_budget=100) as pool:
        with pytest.raises(EzCaptchaError) as caught:
            await pool.solve(TASK)
        assert isinstance(caught.value, InsufficientBalanceError)
        assert caught.value.may_be_charged
        assert [item.requests for item in pool.statistics().accounts] == [2, 0]
    assert charged(service) == 1


async def test_a_lost_answer_is_not_asked_for_elsewhere() -> None:
    """The task would be paid for twice in silence."""
    service = SimulatedService(solve_times=Fixed(15))
    service.inject(Fault.RESET_AFTER, path="/createTask")
    async with open_pool(service, *accounts_at(service)) as pool:
        with pytest.raises(SubmissionUnknownError):
            await pool.solve(TASK)
    assert charged(service) == 1


async def test_a_task_that_is_refused_for_itself_is_not_tried_elsewhere() -> None:
    """Each account would be asked for what none of them can do."""
    service = SimulatedService()
    async with open_pool(service, *accounts_at(service)) as pool:
        with pytest.raises(InvalidTaskError):
            await pool.solve(CustomTask("NoSuchTask", {"websiteURL": "https://example.com"}))
    assert pool.statistics().requests == 1


async def test_the_budget_counts_what_the_other_account_asks() -> None:
    """Moving to a dearer service would spend more than was allowed."""
    first, second = SimulatedService(balance=0), SimulatedService(solve_times=Fixed(15))
    urls = ("http://127.0.0.1:1", "http://127.0.0.1:2")
    dear = second.profile(urls[1])
    dear = attrs.evolve(dear, offers=[attrs.evolve(item, points=9.0) for item in dear.offers])
    mounts = {urls[0]: first.transport(), urls[1]: second.transport()}
    async with httpx.AsyncClient(mounts=mounts) as client:
        accounts = (Account("a", service=first.profile(urls[0])), Account("b", service=dear))
        async with SessionPool(*accounts, http_client=client, budget=10) as pool:
            assert (await pool.solve(TASK)).receipt.points == 9
        async with SessionPool(*accounts, http_client=client, budget=8) as pool:
            with pytest.raises(InsufficientBalanceError):
                await pool.solve(TASK)
            assert pool.statistics().points == 0


async def test_patience_and_cancellation_move_along() -> None:
    """A caller who is gone would be paid for at the other account, or never be answered."""
    service = SimulatedService(client_keys=["key-2"], solve_times=Fixed(15))
    accounts = accounts_at(service, max_in_flight=1)
    async with open_pool(service, *accounts) as pool, anyio.create_task_group() as group:
        scopes = [anyio.CancelScope() for _ in range(3)]

        async def cancelled(scope: anyio.CancelScope) -> None:
            with scope:
                await pool.solve(TASK)

        async def impatient() -> None:
            with pytest.raises(SolveTimeoutError) as caught:
                await pool.solve(TASK, timeout=5)
            assert not caught.value.may_be_charged

        group.start_soon(pool.solve, TASK)
        await anyio.sleep(1)
        for scope in scopes:
            group.start_soon(cancelled, scope)
            group.start_soon(impatient)
        await anyio.sleep(2)
        assert [item.queued for item in pool.statistics().accounts] == [0, 6]
        for scope in scopes:
            scope.cancel()
    assert charged(service) == 1
    assert pool.statistics().cancelled == 6


async def test_a_closed_pool_moves_nothing() -> None:
    """A refusal that comes in while the pool closes would begin anew elsewhere."""
    service = SimulatedService(client_keys=["key-2"])
    async with open_pool(service, *accounts_at(service)) as pool:
        async with anyio.create_task_group() as group:

            async def solve() -> None:
                with pytest.raises(CredentialError):
                    await pool.solve(TASK)

            group.start_soon(solve)
            await anyio.sleep(0.05)
            await pool.aclose()
    assert pool.statistics().requests == 1


async def test_a_ban_on_all_is_told_with_its_length() -> None:
    """Who could plan around it would try again and again."""
    service = SimulatedService()
    service.ban(anyio.current_time(), 600)
    async with open_pool(service, *accounts_at(service)) as pool:
        with pytest.raises(BannedError) as caught:
            await pool.solve(TASK)
        assert (caught.value.retry_after or 0) >= 600
    assert pool.statistics().requests == 2

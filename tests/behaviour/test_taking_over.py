"""Whoever is in line for creation is answered: what one account cannot create goes to another."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from itertools import product
from typing import Any

import anyio
import attrs
import httpx
import pytest

from ezcaptcha_async import (
    Account,
    AccountEvent,
    BannedError,
    CapacityError,
    CredentialError,
    CustomTask,
    Event,
    EzCaptchaError,
    InsufficientBalanceError,
    InvalidTaskError,
    PollPolicy,
    SessionPool,
    SolveTimeoutError,
    SubmissionUnknownError,
    ThrottledError,
    TransportError,
)
from ezcaptcha_async.testing import Fault, Fixed, SimulatedService
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody

from .conftest import KEY, TASK, open_pool, solve_all

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
        assert await solve_all(pool, 60) == (60, [])
        bad, good = pool.statistics().accounts
        assert (bad.created, bad.refused, bad.queued) == (0, 0, 0)
        assert (good.created, good.points) == (60, 360)
    assert service.summary().refused == {"ERROR_KEY_DOES_NOT_EXIST": 1}
    assert charged(service) == 60


async def test_an_account_that_runs_dry_hands_over() -> None:
    """The tasks behind the last that it could pay for would fail in the middle of the night."""
    service = SimulatedService(solve_times=Fixed(15))
    service.set_balance("key-1", 60)
    async with open_pool(service, *accounts_at(service)) as pool:
        assert await solve_all(pool, 100) == (100, [])
        assert [item.created for item in pool.statistics().accounts] == [10, 90]
        assert pool.statistics().refused == 0
    assert charged(service) == 100
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
    assert charged(first) == 0
    assert charged(second) == 100


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


@pytest.mark.parametrize("keys", [KEYS, KEYS[:1]])
@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.THROTTLED, Fault.REFUSED])
async def test_in_an_outage_of_all_patience_ends(fault: Fault, keys: tuple[str, ...]) -> None:
    """Tasks would go from one account to the other and back; or who is not the probe, wait on."""
    service = SimulatedService(fault_rates={fault: 1.0})
    async with open_pool(service, *accounts_at(service, *keys), create_patience=60) as pool:
        started = anyio.current_time()
        solved, errors = await solve_all(pool, 100)
        assert 45 <= anyio.current_time() - started < (300 if len(keys) > 1 else 100)
        assert (solved, len(errors)) == (0, 100)
        assert {type(error) for error in errors} <= {CapacityError, ThrottledError, TransportError}
        assert all(error.retryable for error in errors)
        assert pool.statistics().queued == 0
        assert fault is not Fault.REFUSED or pool.statistics().requests < 20 * len(keys)


async def test_an_account_that_failed_once_works_again() -> None:
    """One lost answer would leave it idle for as long as the other one is well."""
    service = SimulatedService(solve_times=Fixed(20))
    service.inject(Fault.RESET_AFTER, path="/createTask", times=1)
    accounts = accounts_at(service, max_in_flight=5)
    async with open_pool(service, *accounts) as pool:
        solved, errors = await solve_all(pool, 200)
        assert (solved, len(errors)) == (199, 1)
        shares = [item.solved for item in pool.statistics().accounts]
        assert min(shares) > 60


async def test_an_outage_costs_those_who_come_later_one_probe_at_a_time() -> None:
    """Every other new task would wait for the account that does not answer."""
    first, second = SimulatedService(solve_times=Fixed(15)), SimulatedService(solve_times=Fixed(15))
    first.set_fault_rates({Fault.REFUSED: 1.0})
    async with open_pool_on_two(first, second) as pool:
        assert await solve_all(pool, 50) == (50, [])
        for _ in range(5):
            await anyio.sleep(20)
            started = anyio.current_time()
            assert await solve_all(pool, 20) == (20, [])
            assert anyio.current_time() - started < 25
        assert pool.statistics().requests - second.summary().requests < 20


async def test_a_budget_goes_to_the_account_that_it_is_enough_for() -> None:
    """A task would be refused for the price of one account while another is cheaper."""
    service = SimulatedService(solve_times=Fixed(15))
    profile = service.profile()
    dear = attrs.evolve(profile, offers=[attrs.evolve(item, points=9.0) for item in profile.offers])
    accounts = (Account("a", service=dear), Account("b", service=profile))
    async with open_pool(service, *accounts, budget=8) as pool:
        assert (await pool.solve(TASK)).receipt.points == 6


async def test_a_ban_of_a_shut_account_is_a_ban() -> None:
    """Tickets that will lapse in it would wait for nothing, and nobody be told of the ban."""
    service = SimulatedService(solve_times=Fixed(200), balance=30)
    events: list[Event] = []
    async with open_pool(service, on_event=events.append) as pool:
        tickets = [await pool.submit(TASK) for _ in range(5)]
        with pytest.raises(InsufficientBalanceError):
            await pool.solve(TASK)
        service.ban(anyio.current_time(), 600)
        started = anyio.current_time()
        for ticket in tickets:
            with pytest.raises(BannedError):
                await ticket
        assert anyio.current_time() - started < 60
        with pytest.raises(BannedError):
            await pool.balance()
    told = [item.state for item in events if isinstance(item, AccountEvent)]
    assert told == ["shut", "banned"]


async def test_no_balance_question_goes_out_in_a_ban() -> None:
    """What is asked in a ban prolongs it."""
    service = SimulatedService(solve_times=Fixed(100))
    told: list[object] = []
    async with open_pool(service, latency=2.0, low_balance=500, on_low_balance=told.append) as pool:
        async with anyio.create_task_group() as group:

            async def solve() -> None:
                with suppress(BannedError):
                    await pool.solve(TASK)

            group.start_soon(solve)
            await anyio.sleep(5)
            group.start_soon(solve)
            await anyio.sleep(1.5)
            service.ban(anyio.current_time(), 600)
            await anyio.sleep(30)
            met = service.summary().refused["ERROR_IP_BANNED"]
            assert met <= 2, "what was under way when it began"
            await anyio.sleep(300)
            assert service.summary().refused["ERROR_IP_BANNED"] == met


# ------------------------------------------------------------------------------------------ in line


def _reply(**members: Any) -> Reply:
    return Reply(200, json.dumps(members).encode())


def _refusal(code: str) -> Reply:
    return _reply(errorId=1, errorCode=code, errorDescription="no")


SOLVED = _reply(errorId=0, status="ready", solution={"gRecaptchaResponse": "a-token"})
ANSWERS: dict[str, Reply | NoAnswer | None] = {
    "created": None,
    "no points": _refusal("ERROR_ZERO_BALANCE"),
    "no such key": _refusal("ERROR_KEY_DOES_NOT_EXIST"),
    "no capacity": _refusal("ERROR_NO_SLOT_AVAILABLE"),
    "throttled": _refusal("ERROR_REQUEST_LIMIT"),
    "banned": _refusal("ERROR_REQUEST_BANNED"),
    "never sent": NoAnswer("refused", unsent=True),
    "lost": NoAnswer("reset"),
}


class ScriptedTransport:
    """Answers each createTask as it is told, after so long; then with an id of its own."""

    max_requests = 10

    def __init__(self, *script: tuple[str, float]) -> None:
        self._script = [("created", 0.1), *script]
        self._created = 0

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply | NoAnswer:
        """Answer."""
        if not url.endswith("createTask"):
            return SOLVED
        name, seconds = self._script.pop(0) if self._script else ("created", 0.1)
        await anyio.sleep(seconds)
        answer = ANSWERS[name]
        if answer is not None:
            return answer
        self._created += 1
        return _reply(errorId=0, taskId=f"id {self._created}")

    async def aclose(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize(
    ("accounts", "settings"),
    [
        ((KEY,), {}),
        ((KEY,), {"on_unknown": "retry", "unknown_budget": 100}),
        ((KEY, "another-key-that-is-secret"), {}),
    ],
    ids=["one account", "and retrying", "two"],
)
async def test_whatever_two_at_once_are_answered_both_are_told(
    accounts: tuple[str, ...], settings: dict[str, Any]
) -> None:
    """One would wait for ever for an account that the answer to the other has shut."""
    for first, second in product(ANSWERS, repeat=2):
        for sooner, later in ((0.1, 2.0), (1.0, 1.0)):
            transport = ScriptedTransport((first, sooner), (second, later))
            async with SessionPool(*accounts, transport=transport, **settings) as pool:
                await pool.solve(TASK)  # an account that works
                told: list[str] = []

                async def solve(pool: SessionPool = pool, told: list[str] = told) -> None:
                    try:
                        told.append((await pool.solve(TASK)).token)
                    except EzCaptchaError as error:
                        told.append(type(error).__name__)

                # A ban of ten minutes is the longest that anything takes.
                with anyio.move_on_after(1_000):
                    async with anyio.create_task_group() as group:
                        group.start_soon(solve)
                        group.start_soon(solve)
                assert len(told) == 2, f"{first} after {sooner} s, {second} after {later} s"
                assert not pool.statistics().unaccounted


async def test_a_place_that_becomes_free_is_taken_at_once() -> None:
    """The next one would wait until something else happened to be due, minutes later."""
    service = SimulatedService(solve_times=Fixed(250))
    account = Account(KEY, service=service.profile(), max_in_flight=1)
    rarely = PollPolicy(first_delay=200, interval=200, max_interval=200)
    async with (
        service.client() as client,
        SessionPool(account, http_client=client, polling=rarely) as pool,
        anyio.create_task_group() as group,
    ):

        async def impatient() -> None:
            with pytest.raises(SolveTimeoutError):
                await pool.solve(TASK, timeout=60)

        ticket = await pool.submit(TASK)
        group.start_soon(impatient)
        await anyio.sleep(20)
        assert service.summary().charges == 1
        ticket.cancel()
        await anyio.sleep(1)
        assert service.summary().charges == 2
        with anyio.fail_after(41):
            ticket = await pool.submit(TASK)  # as soon as the other has given up
        ticket.cancel()

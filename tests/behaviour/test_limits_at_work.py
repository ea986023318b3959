"""Limits on money and on requests, and accounts in trouble, with callers by the hundred."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import attrs
import pytest
from anyio.lowlevel import checkpoint

from ezcaptcha_async import (
    Account,
    Balance,
    BannedError,
    BudgetExceededError,
    CapacityError,
    CloudFlare5STask,
    ConfigurationError,
    CredentialError,
    EzCaptchaError,
    InsufficientBalanceError,
    Offer,
    PollPolicy,
    ProtocolError,
    ResultWindowLapsedError,
    ServiceError,
    SessionPool,
    ThrottledError,
)
from ezcaptcha_async.testing import Fault, Fixed, SimulatedService, Uniform
from ezcaptcha_async.transports import Reply

from .conftest import KEY, TASK, DirectTransport, open_pool, open_pool_directly, solve_all

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


async def test_a_budget_needs_prices_and_the_error_says_how_to_set_one() -> None:
    """A type without a listed price would be free, or the remedy that is named be none."""
    task = CloudFlare5STask(website_url="https://example.com", proxy="http://u:p@1.2.3.4:1")
    service = SimulatedService(solve_times=Fixed(15))
    async with open_pool(service, budget=10) as pool:
        with pytest.raises(ConfigurationError, match=r"no listed price.*offers=\[Offer\("):
            await pool.solve(task)
    assert service.summary().requests == 0
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
        for times in (0, 1):
            await pool.solve(TASK)
            assert len(told) == times


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


# ------------------------------------------------------------------------------------------ trouble


def refusal(status: int, code: str, retry_after: str | None = None) -> Reply:
    """Answer as the service refuses."""
    body = f'{{"errorId": 1, "errorCode": "{code}"}}'.encode()
    return Reply(status, body, retry_after=retry_after)


class Refusing(DirectTransport):
    """Answers everything alike, and counts; lets it through where it has no answer."""

    def __init__(self, service: SimulatedService, answer: Reply | None) -> None:
        super().__init__(service, latency=0.0)
        self.answer = answer
        self.sent = 0

    async def before(self, path: str) -> Reply | None:
        """Answer."""
        self.sent += 1
        await anyio.sleep(0.1)
        return self.answer


async def test_a_balance_that_runs_out_costs_few_refused_requests() -> None:
    """Creates in flight at that moment are refused, and no more; paid tasks are fetched."""
    service = SimulatedService(balance=50 * 6, solve_times=Fixed(15))
    async with open_pool_directly(service) as pool:
        _, errors = await solve_all(pool, 1_000)
        assert len(errors) == 950
        assert all(isinstance(error, InsufficientBalanceError) for error in errors)
        assert service.summary().refused["ERROR_ZERO_BALANCE"] <= 20
        assert service.summary().fetched == 50
        service.set_balance(KEY, 600)
        with pytest.raises(InsufficientBalanceError):
            await pool.solve(TASK)
        assert (await pool.balance()).points == 600
        assert (await pool.solve(TASK)).token


async def test_nothing_is_sent_during_a_ban() -> None:
    """Going on prolongs it; whoever asks hears how long to wait."""
    service = SimulatedService(solve_times=Fixed(15), ban_seconds=600)
    async with open_pool(service) as pool:
        ticket = await pool.submit(TASK)
        service.ban()
        with pytest.raises(BannedError) as caught:
            await pool.solve(TASK)
        assert caught.value.retry_after is None or caught.value.retry_after >= 600
        # Its window ends before the ban does, so its owner hears of it at once.
        with pytest.raises(BannedError) as caught:
            await ticket
        assert caught.value.ticket is not None
        sent = service.summary().requests
        with pytest.raises(BannedError) as caught:
            await pool.solve(TASK)
        assert caught.value.retry_after == pytest.approx(630, abs=40)
        with pytest.raises(BannedError):
            await pool.balance()
        await anyio.sleep(599)
        assert service.summary().requests == sent
        await anyio.sleep(100)
        assert (await pool.solve(TASK)).token


async def test_a_key_that_stays_refused_earns_no_ban() -> None:
    """Fifty tickets that go on being polled with it would earn one."""
    service = SimulatedService(solve_times=Fixed(60))
    async with open_pool(service) as pool:
        tickets = [await pool.submit(TASK) for _ in range(50)]
        service.ban_key(KEY)
        for ticket in tickets:
            with pytest.raises(ResultWindowLapsedError, match="last poll: ERROR_KEY_BANNED"):
                await ticket
        # Those under way when the key was withdrawn, and a probe now and then.
        assert service.summary().polls <= 32 + 25
        assert set(service.summary().refused) == {"ERROR_KEY_BANNED"}


REFUSALS: dict[str, tuple[Reply, type[EzCaptchaError], int]] = {
    "throttled": (refusal(429, "ERROR_REQUEST_LIMIT"), ThrottledError, 12),
    "throttled for 30 s": (refusal(429, "ERROR_REQUEST_LIMIT", "30"), ThrottledError, 4),
    "throttled by a page": (Reply(429, b"<html>", retry_after="30"), ThrottledError, 4),
    "no capacity": (refusal(503, "ERROR_SERVICE_UNAVAILABLE"), CapacityError, 12),
    "banned": (refusal(403, "ERROR_IP_BANNED"), BannedError, 1),
    "banned for 30 s": (refusal(403, "ERROR_IP_BANNED", "30"), BannedError, 3),
    "a firewall": (Reply(403, b"<html>"), ProtocolError, 15),
    "a firewall that says how long": (Reply(403, b"", retry_after="60"), ProtocolError, 2),
    "a bad key": (refusal(200, "ERROR_KEY_DOES_NOT_EXIST"), CredentialError, 15),
    "no points": (refusal(200, "ERROR_ZERO_BALANCE"), InsufficientBalanceError, 15),
    "a code of tomorrow": (refusal(200, "ERROR_OF_TOMORROW"), ServiceError, 15),
}


@pytest.mark.parametrize(("answer", "error", "most"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_monitor_that_asks_each_second_is_no_herd(
    answer: Reply, error: type[EzCaptchaError], most: int
) -> None:
    """For 120 refusals of one kind services ban, and prolong the ban with each of them."""
    transport = Refusing(SimulatedService(), answer)
    async with SessionPool(KEY, transport=transport) as pool:
        for _ in range(120):
            with pytest.raises(error) as caught:
                await pool.balance()
            assert type(caught.value) is error
            await anyio.sleep(1)
        assert 1 <= transport.sent <= most
        wait = caught.value.retry_after
        assert wait is not None
        transport.answer = None
        await anyio.sleep(wait)
        assert (await pool.balance()).points > 0
        assert (await pool.balance()).points > 0, "as soon as all is well each is asked again"


async def test_a_server_among_several_that_refuses_holds_no_question_back() -> None:
    """What the others answer at once would be asked of them every 15 seconds."""
    transport = Refusing(SimulatedService(), None)
    async with SessionPool(KEY, transport=transport) as pool:
        for number in range(60):
            transport.answer = (
                Reply(403, b"<html>") if number % 9 in {0, 1, 3, 4, 5, 6, 7} else None
            )
            with contextlib.suppress(ProtocolError):
                await pool.balance()
        assert transport.sent == 60


async def test_those_who_ask_for_the_balance_after_a_ban_send_one_probe() -> None:
    """Hundreds who waited for its end would earn the next one."""
    service = SimulatedService()
    transport = Refusing(service, refusal(403, "ERROR_IP_BANNED", "30"))
    async with SessionPool(KEY, transport=transport) as pool:
        with pytest.raises(BannedError):
            await pool.balance()
        await anyio.sleep(60)
        refused: list[type[Exception]] = []

        async def ask() -> None:
            try:
                await pool.balance()
            except BannedError as error:
                refused.append(type(error))

        async with anyio.create_task_group() as group:
            for _ in range(300):
                group.start_soon(ask)
    assert (transport.sent, len(refused)) == (2, 300)


async def test_a_question_in_line_when_a_ban_becomes_known_is_not_sent() -> None:
    """It would prolong the ban that the request before it has met."""
    transport = Refusing(SimulatedService(), refusal(403, "ERROR_IP_BANNED", "30"))

    async def ask(question: Callable[[], Awaitable[object]]) -> None:
        with pytest.raises(BannedError):
            await question()

    async with (
        SessionPool(KEY, transport=transport, max_requests=1) as pool,
        anyio.create_task_group() as group,
    ):
        group.start_soon(ask, partial(pool.solve, TASK))
        while not transport.sent:
            await checkpoint()
        group.start_soon(ask, pool.balance)
    assert transport.sent == 1


async def test_reopening_lets_the_balance_be_asked_for_at_once() -> None:
    """Whoever has set things right would have to wait for nothing."""
    transport = Refusing(SimulatedService(), refusal(200, "ERROR_KEY_DOES_NOT_EXIST"))
    async with SessionPool(KEY, transport=transport) as pool:
        for _ in range(10):
            with pytest.raises(CredentialError):
                await pool.balance()
        assert transport.sent == 5
        transport.answer = None
        pool.reopen()
        assert (await pool.balance()).points > 0


async def test_balance_requests_are_shared_and_priced() -> None:
    """A thousand dashboards cost one request."""
    service = SimulatedService(balance=12_500)
    got: list[float] = []
    async with open_pool(service) as pool, anyio.create_task_group() as group:

        async def ask() -> None:
            balance = await pool.balance()
            assert (balance.currency, balance.value) == ("USD", 1.25)
            got.append(balance.points)

        for _ in range(1_000):
            group.start_soon(ask)
    assert got == [12_500.0] * 1_000
    assert service.summary().balance_queries == 1


async def test_a_ticket_under_way_when_the_ban_becomes_known_is_told_as_well() -> None:
    """Its caller would wait through a ban that outlasts the ticket."""
    service = SimulatedService(solve_times=Fixed(15), ban_seconds=600)
    async with open_pool(service, polling=PollPolicy(first_delay=5, jitter=0)) as pool:
        slow = await pool.submit(TASK)
        service.inject(Fault.HANG, path="/getTaskResult", seconds=3)
        await anyio.sleep(6)  # its poll is under way, and was answered before the ban
        service.ban()
        with pytest.raises(BannedError):
            await pool.solve(TASK)
        with anyio.fail_after(3), pytest.raises(BannedError) as caught:
            await slow
        assert caught.value.ticket is not None

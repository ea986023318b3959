"""What the network and a struggling service do to a solve."""

from __future__ import annotations

import anyio
import pytest

from ezcaptcha_async import (
    CapacityError,
    ProtocolError,
    SubmissionUnknownError,
    ThrottledError,
    TransportError,
)
from ezcaptcha_async.testing import Fault, Fixed, SimulatedService

from .conftest import TASK, open_pool


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.value)
async def test_a_poll_that_meets_a_fault_is_only_a_skipped_poll(fault: Fault) -> None:
    """A paid task must not be lost because one poll went wrong."""
    service = SimulatedService(solve_times=Fixed(15))
    service.inject(fault, path="/getTaskResult", times=3)
    async with open_pool(service) as pool:
        solution = await pool.solve(TASK)
    assert solution.token
    summary = service.summary()
    assert (summary.charges, summary.lost, summary.spacing_violations) == (1, 0, 0)


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.RESET_BEFORE], ids=lambda f: f.value)
async def test_a_create_that_was_never_sent_is_repeated(fault: Fault) -> None:
    """Nothing was paid, so the caller need not hear of it."""
    service = SimulatedService()
    service.inject(fault, path="/createTask", times=3)
    async with open_pool(service) as pool:
        await pool.solve(TASK)
    assert service.summary().charges == 1
    assert pool.statistics().unknown == 0


@pytest.mark.parametrize(
    "fault", [Fault.RESET_AFTER, Fault.HANG, Fault.MALFORMED, Fault.HTML], ids=lambda f: f.value
)
async def test_a_create_whose_answer_is_lost_is_never_repeated(fault: Fault) -> None:
    """Repeating it may pay twice; the user must decide."""
    service = SimulatedService()
    service.inject(fault, path="/createTask", times=None)
    async with open_pool(service) as pool:
        with pytest.raises(SubmissionUnknownError) as caught:
            await pool.solve(TASK)
    assert caught.value.may_be_charged
    assert caught.value.task_id is None
    assert service.summary().creates <= 1
    assert pool.statistics().unknown == 1
    assert pool.statistics().requests == 1


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.UNAVAILABLE], ids=lambda f: f.value)
async def test_a_create_that_was_turned_away_is_tried_again(fault: Fault) -> None:
    """The service said that it did not accept it; a moment later it may."""
    service = SimulatedService()
    service.inject(fault, path="/createTask", times=3)
    async with open_pool(service) as pool:
        await pool.solve(TASK)
    assert service.summary().charges == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.REFUSED, TransportError),
        (Fault.THROTTLED, ThrottledError),
        (Fault.UNAVAILABLE, CapacityError),
    ],
    ids=lambda value: getattr(value, "value", ""),
)
async def test_patience_with_creates_ends(fault: Fault, error: type[Exception]) -> None:
    """Nobody waits for ever for a service that is down, and nothing was paid."""
    service = SimulatedService()
    service.inject(fault, path="/createTask", times=None)
    async with open_pool(service, create_patience=60.0) as pool:
        began = anyio.current_time()
        with pytest.raises(error) as caught:
            await pool.solve(TASK)
        assert 20 <= anyio.current_time() - began <= 120
    assert caught.value.retryable  # type: ignore[attr-defined]
    assert not caught.value.may_be_charged  # type: ignore[attr-defined]
    assert pool.statistics().refused == 1


async def test_a_throttled_account_slows_down_as_a_whole() -> None:
    """Each caller backing off by itself would keep the service throttling all of them."""
    service = SimulatedService(solve_times=Fixed(12), retry_after=7)
    async with open_pool(service) as pool, anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(pool.solve, TASK)
        await anyio.sleep(5)
        service.inject(Fault.THROTTLED, path="/getTaskResult")
        while not service.summary().faults:
            await anyio.sleep(0.05)
        await anyio.sleep(0.2)  # what was in flight arrives
        before = service.summary().requests
        await anyio.sleep(6.5)
        assert service.summary().requests == before
    assert service.summary().fetched == 10


async def test_a_rate_limit_is_lived_with() -> None:
    """Under a limit of the service all tasks are still solved, only later."""
    service = SimulatedService(solve_times=Fixed(12), max_requests_per_second=20)
    async with open_pool(service) as pool, anyio.create_task_group() as group:
        for _ in range(60):
            group.start_soon(pool.solve, TASK)
    assert service.summary().fetched == 60


async def test_no_capacity_holds_back_creates_only() -> None:
    """Polls of paid tasks go on while the service takes no new ones."""
    service = SimulatedService(solve_times=Fixed(12), capacity=5)
    async with open_pool(service) as pool, anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(pool.solve, TASK)
    summary = service.summary()
    assert (summary.charges, summary.fetched) == (20, 20)
    assert summary.lag_max < 5


@pytest.mark.parametrize("answer", [{"errorId": 0}, {"errorId": 0, "balance": "much"}])
async def test_a_balance_that_means_nothing(answer: dict[str, object]) -> None:
    """A wrong number would make the user top up, or not."""
    import httpx

    from ezcaptcha_async import SessionPool

    mock = httpx.MockTransport(lambda _request: httpx.Response(200, json=answer))
    async with httpx.AsyncClient(transport=mock) as client:
        async with SessionPool("key", http_client=client) as pool:
            with pytest.raises(ProtocolError, match="balance"):
                await pool.balance()


async def test_a_balance_that_is_not_answered() -> None:
    """Nothing was paid, so it may simply be asked again."""
    service = SimulatedService(balance=0)
    service.inject(Fault.RESET_AFTER, path="/getBalance")
    async with open_pool(service) as pool:
        with pytest.raises(TransportError) as caught:
            await pool.balance()
        assert caught.value.retryable
        assert (await pool.balance()).points == 0


async def test_a_redirect_is_not_followed() -> None:
    """Following it would send the key to another host."""
    import httpx

    from ezcaptcha_async import SessionPool

    seen: list[str] = []

    def redirect(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(307, headers={"location": "https://elsewhere.example/createTask"})

    client = httpx.AsyncClient(transport=httpx.MockTransport(redirect), follow_redirects=True)
    async with client, SessionPool("key", http_client=client) as pool:
        with pytest.raises(ProtocolError, match="HTTP 307") as caught:
            await pool.solve(TASK)
    assert caught.value.status == 307
    assert seen == ["https://api.ez-captcha.com/createTask"]

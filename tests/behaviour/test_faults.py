"""What the network and a struggling service do to a solve."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from ezcaptcha_async import (
    Account,
    CapacityError,
    EzCaptchaError,
    SessionPool,
    SolveTimeoutError,
    SubmissionUnknownError,
    ThrottledError,
    TransportError,
)
from ezcaptcha_async.testing import Fault, Fixed, SimulatedService
from ezcaptcha_async.transports import NoAnswer, Reply

from .conftest import KEY, TASK, DirectTransport, all_of, open_pool


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


@pytest.mark.parametrize("path", ["/createTask", "/getTaskResult"])
async def test_a_timeout_says_what_went_wrong_last(path: str) -> None:
    """A user would look for what is slow, where the service cannot be reached at all."""
    service = SimulatedService()
    service.inject(Fault.REFUSED, path=path, times=None)
    async with open_pool(service) as pool:
        with pytest.raises(SolveTimeoutError, match=r"its last request: .*ConnectError"):
            await pool.solve(TASK, timeout=20)


async def test_a_throttled_account_slows_down_as_a_whole() -> None:
    """Each caller backing off by itself would keep the service throttling all of them."""
    service = SimulatedService(solve_times=Fixed(12), retry_after=7)
    async with open_pool(service) as pool, anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(pool.solve, TASK)
        await anyio.sleep(5)
        service.inject(Fault.THROTTLED, path="/getTaskResult", times=None)
        while not service.summary().faults:
            await anyio.sleep(0.05)
        await anyio.sleep(0.2)  # what was in flight arrives
        service.clear_faults()
        before = service.summary().requests
        await anyio.sleep(6.5)
        assert service.summary().requests == before
    assert service.summary().fetched == 10


async def test_no_capacity_holds_back_creates_only() -> None:
    """Polls of paid tasks go on while the service takes no new ones."""
    service = SimulatedService(solve_times=Fixed(12), capacity=5)
    async with open_pool(service) as pool, anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(pool.solve, TASK)
    summary = service.summary()
    assert (summary.charges, summary.fetched) == (20, 20)
    assert summary.lag_max < 5


async def test_a_balance_that_is_not_answered() -> None:
    """Nothing was paid, so it may simply be asked again."""
    service = SimulatedService(balance=0)
    service.inject(Fault.RESET_AFTER, path="/getBalance")
    async with open_pool(service) as pool:
        with pytest.raises(TransportError) as caught:
            await pool.balance()
        assert caught.value.retryable
        assert (await pool.balance()).points == 0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (NoAnswer("ConnectError: api.example refused the connection", unsent=True), "refused the"),
        (Reply(503, b"<html>"), "HTTP 503 with no JSON object"),
    ],
    ids=["unanswered", "unreadable"],
)
async def test_whoever_gave_up_in_line_hears_of_the_cause(
    answer: NoAnswer | Reply, words: str
) -> None:
    """Two minutes of failures would say nothing of the certificate, the name or the refusal."""

    class Failing:
        max_requests = 1

        async def post(self, *_arguments: object, **_options: object) -> NoAnswer | Reply:
            await anyio.sleep(1)
            return answer

        async def aclose(self) -> None:
            """Nothing to close."""

    account = Account(KEY, max_creates=1)
    async with SessionPool(account, transport=Failing(), create_patience=30) as pool:
        errors = await all_of(*(lambda: pool.solve(TASK) for _ in range(40)))
    assert all(isinstance(error, EzCaptchaError) for error in errors)
    in_line = [str(error) for error in errors if "nothing but failures" in str(error)]
    assert in_line
    assert all("; the last one of createTask: " in text and words in text for text in in_line)


async def test_one_id_for_all_is_not_asked_for_again_and_again() -> None:
    """A cache on the way answers each createTask: each may have been paid, and none is known."""
    service = SimulatedService(solve_times=Fixed(100))

    class Cached(DirectTransport):
        sent = 0

        async def post(self, url: str, *arguments: Any, **options: Any) -> Reply | NoAnswer:
            await anyio.sleep(0.1)
            if url.endswith("/createTask"):
                self.sent += 1
                return Reply(200, b'{"errorId":0,"taskId":"8f14e45f-ceea"}')
            return Reply(200, b'{"errorId":0,"status":"processing"}')

    transport = Cached(service, 0.1)
    async with SessionPool(
        KEY, service=service.profile(), transport=transport, create_patience=30
    ) as pool:
        errors = await all_of(*(lambda: pool.solve(TASK, timeout=60) for _ in range(300)))
    assert transport.sent < 60
    unknown = [error for error in errors if isinstance(error, SubmissionUnknownError)]
    assert len(unknown) == transport.sent - 1
    assert "the id of another task" in str(unknown[0])


async def test_a_client_that_is_cancelled_by_others_is_a_fault() -> None:
    """A hook that awaits a future which somebody cancels would close the pool for everybody."""
    service = SimulatedService(solve_times=Fixed(15))
    ids: list[str] = []

    class Cancelled(DirectTransport):
        async def post(self, url: str, *arguments: Any, **options: Any) -> Reply:
            reply = await super().post(url, *arguments, **options)
            ids.append(url.rpartition("/")[2])
            if ids.count(ids[-1]) == 1:
                raise asyncio.CancelledError
            return reply

    async with SessionPool(
        KEY, service=service.profile(), transport=Cancelled(service, 0.1)
    ) as pool:
        with pytest.raises(SubmissionUnknownError, match="was cancelled by others"):
            await pool.solve(TASK)
        assert (await pool.solve(TASK)).token
    assert ids.count("getTaskResult") > 1

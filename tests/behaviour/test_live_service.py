"""The service as it is today: each code of its own clients, and what follows from it."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import anyio
import attrs
import httpx
import pytest

from ezcaptcha_async import (
    Account,
    AccountEvent,
    CredentialError,
    Event,
    InsufficientBalanceError,
    InvalidTaskError,
    ProtocolError,
    ReCaptchaV2TaskProxyless,
    RequestError,
    RequestEvent,
    ServiceError,
    SessionPool,
    SubscriptionError,
    Task,
    TaskEvent,
    TaskFailedError,
)

from .conftest import KEY, TASK, all_of

Answer = Callable[[int], httpx.Response]


def refusal(code: str, http_status: int = 500, /, **more: Any) -> httpx.Response:
    """Answer as the live service refuses."""
    body = {"errorId": 1, "errorCode": code, "errorDescription": "no", "requestId": "r-1", **more}
    return httpx.Response(http_status, json=body)


def created(number: int) -> httpx.Response:
    """Answer to a createTask that was accepted."""
    return httpx.Response(200, json={"errorId": 0, "taskId": f"t-{number}"})


def processing(_number: int) -> httpx.Response:
    """Answer to a poll of what is not solved yet."""
    return httpx.Response(200, json={"errorId": 0, "status": "processing"})


def ready(_number: int) -> httpx.Response:
    """Answer to a poll of what is solved."""
    solution = {"gRecaptchaResponse": "a-token"}
    return httpx.Response(200, json={"errorId": 0, "status": "ready", "solution": solution})


class Live:
    """A service that answers as a test says, and counts what it is asked."""

    def __init__(self, **answers: Answer) -> None:
        self.asked = Counter[str]()
        self.answers: dict[str, Answer] = {"createTask": created, "getTaskResult": ready, **answers}

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        endpoint = request.url.path.strip("/")
        self.asked[endpoint] += 1
        assert json.loads(request.content)["clientKey"] == KEY
        return self.answers[endpoint](self.asked[endpoint])


@asynccontextmanager
async def pool_on(live: Live, **settings: Any) -> AsyncGenerator[SessionPool]:
    """Open a pool on such a service."""
    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(live.handle)) as client,
        SessionPool(KEY, http_client=client, **settings) as pool,
    ):
        yield pool


async def solve_all(
    pool: SessionPool, count: int, task: Callable[[int], Task[Any]] = lambda _: TASK
) -> list[Exception]:
    """Be so many callers at once, and return what they were told."""
    results = await all_of(*(lambda n=n: pool.solve(task(n)) for n in range(count)))
    return [result for result in results if isinstance(result, Exception)]


@pytest.mark.parametrize(
    ("code", "expected", "remedy"),
    [
        ("ERROR_KEY_NOT_AVAILABLE", CredentialError, "check the client key"),
        ("ERROR_ZERO_BALANCE", InsufficientBalanceError, "top up"),
        ("ERROR_SUBSCRIPTION_EXPIRED", SubscriptionError, "renew the subscription"),
    ],
)
@pytest.mark.parametrize("status", [200, 500])
async def test_what_is_wrong_with_the_account_is_met_once(
    code: str, expected: type[ServiceError], remedy: str, status: int
) -> None:
    """A hundred callers would send a hundred createTasks, which earns a ban."""
    live = Live(createTask=lambda _: refusal(code, status))
    async with pool_on(live) as pool:
        errors = await solve_all(pool, 100)
        assert live.asked["createTask"] == 1
        assert {type(error) for error in errors} == {expected}
        assert len(errors) == 100
        assert remedy in str(errors[0])
        assert str(errors[0]).endswith("request r-1")
        assert isinstance(errors[0], CredentialError | InsufficientBalanceError)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ERROR_REQUEST_PARAMETERS", InvalidTaskError),
        ("ERROR_NOT_FOUND", RequestError),
    ],
)
async def test_what_is_wrong_with_a_task_or_a_request(
    code: str, expected: type[ServiceError]
) -> None:
    """It would be tried again for two minutes, or be said to be paid for perhaps."""
    live = Live(createTask=lambda _: refusal(code, errors={"task.x": "bad"}))
    async with pool_on(live) as pool:
        with pytest.raises(expected) as caught:
            await pool.solve(TASK)
    assert live.asked["createTask"] == 1
    assert not caught.value.may_be_charged
    assert not caught.value.retryable
    assert caught.value.errors == {"task.x": "bad"}
    assert isinstance(caught.value, ProtocolError) is (expected is RequestError)


@pytest.mark.parametrize("error_id", [0, 1])
@pytest.mark.parametrize("code", ["ERROR_CAPTCHA_UNSOLVABLE", "WORKER_HAS_A_NAME_FOR_IT"])
async def test_a_failed_task_ends_at_once(code: str, error_id: int) -> None:
    """It would be polled to the end of its five minutes, and then be called lapsed."""
    live = Live(getTaskResult=lambda _: refusal(code, 200, errorId=error_id, status="error"))
    events: list[Event] = []
    async with pool_on(live, on_event=events.append) as pool:
        with pytest.raises(TaskFailedError) as caught:
            await pool.solve(TASK)
        assert pool.statistics().failed == 1
    assert live.asked["getTaskResult"] == 1
    assert (caught.value.code, caught.value.description) == (code, "no")
    assert caught.value.retryable
    assert caught.value.may_be_charged
    assert caught.value.task_id == "t-1"
    ends = [item for item in events if isinstance(item, TaskEvent) and item.state == "failed"]
    asked = [item for item in events if isinstance(item, RequestEvent) and item.code]
    assert [(item.code, item.request_id, item.errors) for item in (*ends, *asked)] == [
        (code, "r-1", None),
        (code, "r-1", None),
    ]


@pytest.mark.parametrize(
    "code",
    [
        "ERROR_KEY_NOT_AVAILABLE",
        "ERROR_SUBSCRIPTION_EXPIRED",
        "ERROR_SERVICE_TIMEOUT",
        "ERROR_NOT_FOUND",
        "ERROR_CONTENT_TYPE_ERROR",
        "ERROR_REQUEST_BANNED",
    ],
)
async def test_what_says_nothing_of_a_task_ends_none(code: str) -> None:
    """A paid task would be taken away that can still be fetched."""
    live = Live(getTaskResult=lambda n: refusal(code) if n < 4 else ready(n))
    async with pool_on(live) as pool:
        tickets = [await pool.submit(TASK) for _ in range(3)]
        for ticket in tickets:
            assert (await ticket).token == "a-token"
    assert live.asked["getTaskResult"] <= 3 + 3 + 3


async def test_a_key_that_is_good_again_takes_new_tasks() -> None:
    """Somebody would have to reopen the account by hand after a moment's trouble."""
    live = Live(getTaskResult=lambda n: refusal("ERROR_KEY_NOT_AVAILABLE") if n < 3 else ready(n))
    events: list[Event] = []
    async with pool_on(live, on_event=events.append) as pool:
        ticket = await pool.submit(TASK)
        assert (await ticket).token
        assert (await pool.solve(TASK)).token
    states = [item.state for item in events if isinstance(item, AccountEvent)]
    assert states == ["shut", "reopened"]


async def test_points_reopen_no_account_whose_subscription_is_over() -> None:
    """Each balance question would cost another refused createTask."""
    live = Live(
        createTask=lambda _: refusal("ERROR_SUBSCRIPTION_EXPIRED"),
        getBalance=lambda _: httpx.Response(200, json={"errorId": 0, "balance": 500}),
    )
    async with pool_on(live) as pool:
        for _ in range(3):
            with pytest.raises(SubscriptionError):
                await pool.solve(TASK)
            assert (await pool.balance()).points == 500
        assert live.asked["createTask"] == 1
        pool.reopen()
        with pytest.raises(SubscriptionError):
            await pool.solve(TASK)
        assert live.asked["createTask"] == 2


# --------------------------------------------------------------------------------- herds


def page(number: int) -> ReCaptchaV2TaskProxyless:
    """Return one of many different tasks."""
    return ReCaptchaV2TaskProxyless(website_url=f"https://example.com/{number}", website_key="k")


@pytest.mark.parametrize(
    "code", ["ERROR_KEY_DENIED_ACCESS", "ERROR_OF_TOMORROW", "ERROR_RECAPTCHA_INVALID_SITEKEY"]
)
@pytest.mark.parametrize("proven", [False, True])
async def test_one_code_over_and_over_is_the_account_s(code: str, proven: bool) -> None:  # noqa: FBT001
    """A hundred callers would send a hundred createTasks, and earn a ban."""
    live = Live(createTask=lambda n: created(n) if proven and n == 1 else refusal(code))
    async with pool_on(live) as pool:
        if proven:
            assert (await pool.solve(page(0))).token
        errors = await solve_all(pool, 100, page)
        assert len(errors) == 100
        assert {error.code for error in errors if isinstance(error, ServiceError)} == {code}
        assert live.asked["createTask"] <= (1 + 20 + 4 if proven else 5)
        before = live.asked["createTask"]
        assert len(await solve_all(pool, 10, page)) == 10
        assert live.asked["createTask"] - before <= 1, "from then on one goes at a time"


HERDS: dict[str, Answer] = {
    "codes by turns": lambda n: refusal(("ERROR_OF_TOMORROW", "ERROR_OF_TODAY")[n % 2]),
    "a code of the request": lambda _: refusal("ERROR_NOT_FOUND"),
    "a page instead of JSON": lambda _: httpx.Response(403, text="<html>denied</html>"),
    "nothing at all": lambda _: httpx.Response(400),
}


@pytest.mark.parametrize("answer", HERDS.values(), ids=HERDS.keys())
async def test_whatever_turns_creates_away_the_herd_is_held_back(answer: Answer) -> None:
    """A firewall in front of the service would see the same request a hundred times."""
    live = Live(createTask=lambda n: created(n) if n <= 40 else answer(n))
    async with pool_on(live) as pool:
        errors = await solve_all(pool, 200, page)
    assert len(errors) == 160
    assert live.asked["createTask"] <= 40 + 45


@pytest.mark.parametrize("count", [2, 10])
async def test_what_an_account_turns_away_goes_only_where_it_may_be_taken(count: int) -> None:
    """What is refused for what it is would be refused by each account more often than by one."""
    asked = Counter[str]()

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/getTaskResult":
            return ready(0)
        key = json.loads(request.content)["clientKey"]
        asked[key] += 1
        return created(asked.total()) if is_well and key == "key-0" else refusal("ERROR_OF_TODAY")

    is_well = False
    accounts = [Account(f"key-{number}") for number in range(count)]
    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client,
        SessionPool(*accounts, http_client=client) as pool,
    ):
        errors = await solve_all(pool, 200, page)
        assert [type(error) for error in errors] == 200 * [ServiceError]
        assert max(asked.values()) <= 5
        is_well = True
        errors = await solve_all(pool, 200, page)
        assert len(errors) < 200, "one task finds out that an account is well again"


@pytest.mark.parametrize("share", [0.5, 0.8])
async def test_where_others_succeed_nobody_is_held_back(share: float) -> None:
    """One customer's bad pages would hold up all the others, or make theirs fail."""
    rng = Random(7)

    def answer(number: int) -> httpx.Response:
        is_bad = rng.random() < share if number > 20 else number % 2 == 0
        return refusal("ERROR_OF_TOMORROW") if is_bad else created(number)

    live = Live(createTask=answer)
    async with pool_on(live) as pool:
        errors = await solve_all(pool, 300, page)
        assert live.asked["createTask"] == 300
        assert abs(len(errors) - 280 * share - 10) < 30


async def test_equal_tasks_fail_with_the_first_of_them() -> None:
    """A page whose key has changed would be refused once for each of a hundred callers."""
    live = Live(createTask=lambda _: refusal("ERROR_RECAPTCHA_INVALID_SITEKEY"))
    async with pool_on(live) as pool:
        errors = await solve_all(pool, 100, lambda n: attrs.evolve(TASK, reference=f"job {n}"))
        assert {type(error) for error in errors} == {InvalidTaskError}
        assert len(errors) == 100
        assert live.asked["createTask"] == 1
        with pytest.raises(InvalidTaskError):
            await pool.solve(TASK)
        assert live.asked["createTask"] == 1
        live.answers["createTask"] = created
        assert (await pool.solve(page(1))).token, "another one is no equal"
        await anyio.sleep(61)
        assert (await pool.solve(TASK)).token, "the page is well again"


async def test_not_every_refused_task_is_remembered_for_ever() -> None:
    """A service that refuses millions of pages would fill the memory with them."""
    codes = ("ERROR_RECAPTCHA_INVALID_SITEKEY", "INVALID_RECAPTCHA_SITEURL")
    live = Live(createTask=lambda n: refusal(codes[n % 2]))
    async with pool_on(live) as pool:
        for number in range(1_002):
            with pytest.raises(InvalidTaskError):
                await pool.solve(page(number))
        assert live.asked["createTask"] == 1_002
        with pytest.raises(InvalidTaskError):
            await pool.solve(page(1_001))
        assert live.asked["createTask"] == 1_002
        with pytest.raises(InvalidTaskError):
            await pool.solve(page(0))
        assert live.asked["createTask"] == 1_003


@pytest.mark.parametrize("code", ["ERROR_TASK_NOT_EXIST", "ERROR_TASK_ABSENT"])
async def test_ids_that_nobody_knows_are_asked_for_one_at_a_time(code: str) -> None:
    """Three hundred wrong tickets would be three hundred errors within a second."""
    most, going = Counter[bool](), 0

    async def poll(request: httpx.Request) -> httpx.Response:
        nonlocal going
        going += 1
        await anyio.sleep(0.1)
        several = live.asked["getTaskResult"] >= 10
        most[several] = max(most[several], going)
        going -= 1
        live.asked["getTaskResult"] += 1
        known = json.loads(request.content)["taskId"].startswith("good")
        return ready(0) if known else refusal(code)

    live = Live()
    saved = {"service": "ezcaptcha", "type": TASK.type, "created_at": time.time()}
    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(poll)) as client,
        SessionPool(KEY, http_client=client) as pool,
    ):
        for name in ("wrong", "good"):
            tickets = [{**saved, "task_id": f"{name}-{number}"} for number in range(60)]
            results = await all_of(
                *(lambda ticket=ticket: pool.resume(ticket) for ticket in tickets)
            )
            assert all(isinstance(item, ServiceError) is (name == "wrong") for item in results)
            assert max(most[False], 4 * most[True]) <= 5 or name == "good"

"""What a pool tells whoever watches it: the user's function, and the log."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from contextlib import suppress
from typing import Any

import anyio
import attrs
import pytest

from ezcaptcha_async import (
    Account,
    AccountEvent,
    ConfigurationError,
    CredentialError,
    Event,
    EzCaptchaError,
    InsufficientBalanceError,
    PollPolicy,
    ReCaptchaV2TaskProxyless,
    RequestEvent,
    ResultWindowLapsedError,
    SessionPool,
    SolveTimeoutError,
    SubmissionUnknownError,
    TaskEvent,
    TaskFailedError,
)
from ezcaptcha_async.testing import Fault, Fixed, SimulatedService, Uniform

from .conftest import KEY, TASK, on_one_loop, open_pool, open_pool_directly, solve_all

SECRET_TASK = ReCaptchaV2TaskProxyless(
    website_url="https://secret-host.example/path?token=secret", website_key="secret-site-key"
)


def states(events: list[Event]) -> dict[int, list[str]]:
    """Return the states that each task went through, numbered from 1."""
    found = defaultdict[int, list[str]](list)
    for event in events:
        if isinstance(event, TaskEvent):
            found[event.number].append(event.state)
    return {number: found[old] for number, old in enumerate(sorted(found), 1)}


def only(events: list[Event], state: str) -> TaskEvent:
    """Return the one event of this state."""
    (found,) = (item for item in events if isinstance(item, TaskEvent) and item.state == state)
    return found


async def test_one_task_from_its_beginning_to_its_end() -> None:
    """A trace would have holes, or a metric the wrong numbers."""
    service = SimulatedService(solve_times=Fixed(25))
    events: list[Event] = []
    async with open_pool(service, on_event=events.append) as pool:
        solution = await pool.solve(TASK)
    receipt = solution.receipt
    assert states(events) == {1: ["queued", "created", "solved"]}
    queued, created, solved = (item for item in events if isinstance(item, TaskEvent))
    assert (queued.task_id, queued.age, queued.polls, queued.seconds) == (None, None, 0, 0)
    assert (created.task_id, created.age) == (receipt.task_id, 0)
    assert (solved.task_id, solved.polls, solved.points) == (receipt.task_id, receipt.polls, 6)
    assert solved.age == pytest.approx(receipt.waited)
    assert solved.seconds == pytest.approx(receipt.waited + 0.1)
    assert solved.lag is not None
    assert 0 <= solved.age - 25 <= 2 * solved.lag + 0.1, "it was ready after the poll before"
    assert (solved.type, solved.service) == (TASK.type, "ezcaptcha")
    assert (solved.error, solved.code) == (None, None)
    requests = [item for item in events if isinstance(item, RequestEvent)]
    assert [(item.endpoint, item.outcome) for item in requests] == [
        ("createTask", "created"),
        *[("getTaskResult", "processing")] * (receipt.polls - 1),
        ("getTaskResult", "ready"),
    ]
    assert all(item.seconds == pytest.approx(0.1) for item in requests)
    assert {item.number for item in requests} == {solved.number}
    assert {item.account for item in requests} == {Account(KEY).name}
    order = [type(item).__name__ for item in events]
    assert order[:3] == ["TaskEvent", "RequestEvent", "TaskEvent"]
    assert order[-2:] == ["RequestEvent", "TaskEvent"], "the request before what came of it"


@on_one_loop
async def test_all_ends_that_a_task_can_come_to() -> None:
    """A state without an event would make a gauge drift from the truth for ever."""
    service = SimulatedService(solve_times=Uniform(8, 80), failure_rate=0.2, result_window=60)
    service.set_fault_rates({Fault.RESET_AFTER: 0.15, Fault.HTML: 0.05})
    events: list[Event] = []
    async with open_pool(service, on_event=events.append) as pool:
        async with anyio.create_task_group() as group:

            async def impatient() -> None:
                with anyio.move_on_after(20), suppress(EzCaptchaError):
                    await pool.solve(TASK)

            for _ in range(8):
                group.start_soon(impatient)
            _solved, errors = await solve_all(pool, 50)
        for ticket in pool.orphans():
            with suppress(EzCaptchaError):
                await ticket
        counts = pool.statistics()
    last = Counter(steps[-1] for steps in states(events).values())
    ends = {
        "solved": counts.solved,
        "failed": counts.failed,
        "lapsed": counts.lapsed,
        "unknown": counts.unknown,
    }
    assert all(ends.values()), "or it would prove little"
    assert last == ends | ({"cancelled": counts.cancelled} if counts.cancelled else {})
    assert all(steps[0] == "queued" for steps in states(events).values())
    assert {type(error) for error in errors} <= {
        ResultWindowLapsedError,
        SubmissionUnknownError,
        TaskFailedError,
    }
    asked = Counter(item.endpoint for item in events if isinstance(item, RequestEvent))
    assert asked["getTaskResult"] == counts.polls
    assert asked.total() == counts.requests
    failed = next(item for item in events if isinstance(item, TaskEvent) and item.state == "failed")
    assert (failed.error, failed.code) == ("TaskFailedError", "ERROR_CAPTCHA_UNSOLVABLE")


async def test_a_ticket_that_is_left_and_taken_up_again() -> None:
    """An in-flight gauge would count it twice, or not at all."""
    service = SimulatedService(solve_times=Fixed(40))
    events: list[Event] = []
    async with open_pool(service, on_event=events.append) as pool:
        with anyio.move_on_after(20):
            await pool.solve(TASK)
        (orphan,) = pool.orphans()
        assert (await orphan).token
        assert states(events) == {1: ["queued", "created", "orphaned", "resumed", "solved"]}
        saved = (await pool.submit(TASK)).to_dict()
    before = {item.number for item in events if isinstance(item, TaskEvent)}
    events.clear()
    async with open_pool(service, on_event=events.append) as pool:
        assert await pool.resume(saved)
    resumed, solved = only(events, "resumed"), only(events, "solved")
    assert resumed.task_id == solved.task_id == saved["task_id"]
    assert resumed.number not in before, "who watches two pools can tell their tasks apart"
    assert (resumed.age or 0) > 0
    assert resumed.seconds == 0


async def test_an_orphan_says_what_its_caller_was_told() -> None:
    """Timeouts would be in no count of errors, though nothing else tells of a slow service."""
    service = SimulatedService(solve_times=Fixed(40))
    events: list[Event] = []
    async with open_pool(service, on_event=events.append) as pool:
        with pytest.raises(SolveTimeoutError):
            await pool.solve(TASK, timeout=20)
        for seconds in (0.05, 20):  # while it is created, and while it is solved
            with anyio.move_on_after(seconds):
                await pool.solve(TASK)
        await pool.submit(TASK)
    told = [
        item.error for item in events if isinstance(item, TaskEvent) and item.state == "orphaned"
    ]
    assert told == ["SolveTimeoutError", None, None, "PoolClosedError"]
    assert set(map(tuple, states(events).values())) == {("queued", "created", "orphaned")}


async def test_the_lag_of_a_solution_that_came_when_nobody_waited() -> None:
    """A figure of how late solutions are fetched would tell when they were wanted."""
    service = SimulatedService(solve_times=Fixed(25))
    events: list[Event] = []
    polling = PollPolicy(first_delay=20, interval=6, jitter=0)
    async with open_pool(service, polling=polling, on_event=events.append) as pool:
        with anyio.move_on_after(26.25):  # the last poll is under way
            await pool.solve(TASK)
        await anyio.sleep(100)
        (orphan,) = pool.orphans()
        await orphan
    assert states(events) == {1: ["queued", "created", "orphaned", "resumed", "solved"]}
    requests = [item for item in events if isinstance(item, RequestEvent)]
    assert len(requests) == 3, "the solution was there already"
    assert only(events, "solved").lag == pytest.approx(3, abs=0.2)


async def test_an_account_in_trouble(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever is on call would learn of an empty account from angry users."""
    service = SimulatedService(balance=0, solve_times=Fixed(15))
    events: list[Event] = []
    caplog.set_level(logging.INFO, "ezcaptcha_async")
    async with open_pool(service, on_event=events.append) as pool:
        with pytest.raises(InsufficientBalanceError):
            await pool.solve(TASK)
        with pytest.raises(InsufficientBalanceError):
            await pool.solve(TASK)
        service.set_balance(KEY, 100)
        await pool.balance()
        await pool.balance()
        service.ban(anyio.current_time(), 600)
        with pytest.raises(EzCaptchaError):
            await pool.solve(TASK)
    told = [item for item in events if isinstance(item, AccountEvent)]
    assert [(item.state, item.code) for item in told] == [
        ("shut", "ERROR_ZERO_BALANCE"),
        ("reopened", None),
        ("banned", "ERROR_IP_BANNED"),
    ]
    assert (told[2].retry_after or 0) > 600
    name = Account(KEY).name
    assert [(item.levelname, item.getMessage()) for item in caplog.records] == [
        ("WARNING", f"account {name} shut: ERROR_ZERO_BALANCE, request {told[0].request_id}"),
        ("INFO", f"account {name} reopened"),
        ("WARNING", f"account {name} banned: ERROR_IP_BANNED, request {told[2].request_id}"),
    ]


async def test_the_log_carries_fields(caplog: pytest.LogCaptureFixture) -> None:
    """A log that is searched by task id would have to be taken apart with patterns."""
    service = SimulatedService(solve_times=Fixed(15))
    caplog.set_level(logging.DEBUG, "ezcaptcha_async")
    async with open_pool(service) as pool:
        solution = await pool.solve(TASK)
    last: Any = caplog.records[-1]
    assert last.getMessage() == f"task {last.ezcaptcha_number} ({TASK.type}) solved"
    assert last.ezcaptcha_task_id == solution.receipt.task_id
    assert last.ezcaptcha_polls == solution.receipt.polls
    assert last.ezcaptcha_state == "solved"


async def test_no_event_tells_a_secret_or_a_page(caplog: pytest.LogCaptureFixture) -> None:
    """Events go to logs and metrics that many people can read."""
    service = SimulatedService(solve_times=Fixed(15), client_keys=["another"])
    events: list[Event] = []
    caplog.set_level(logging.DEBUG, "ezcaptcha_async")
    async with open_pool(service, on_event=events.append) as pool:
        with pytest.raises(CredentialError):
            await pool.solve(SECRET_TASK)
    told = [
        *map(repr, events),
        *(repr(attrs.asdict(event)) for event in events),
        *(repr(vars(record)) for record in caplog.records),
    ]
    assert not [text for text in told if KEY in text or "secret" in text]


@pytest.mark.parametrize(
    ("setting", "mistake"),
    [
        *(("on_event", kind) for kind in (RuntimeError, asyncio.CancelledError, BaseException)),
        *(("on_low_balance", kind) for kind in (RuntimeError, GeneratorExit)),
    ],
)
async def test_a_function_that_fails_costs_no_task(
    setting: str, mistake: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake in a dashboard would stop the pool; so would a future that others cancelled."""
    service = SimulatedService(solve_times=Fixed(15), balance=50)

    def fail(_told: object) -> None:
        raise mistake("a mistake of the user's")

    settings: dict[str, Any] = {setting: fail}
    if setting == "on_low_balance":
        settings["low_balance"] = 100
    async with open_pool(service, **settings) as pool:
        assert (await pool.solve(TASK)).token
        assert (await pool.solve(TASK)).token
    assert "a mistake of the user's" in caplog.text
    assert f"{setting} failed" in caplog.text


@on_one_loop
async def test_a_function_may_look_at_the_pool() -> None:
    """A gauge that is set from the statistics would read half-written books."""
    service = SimulatedService(solve_times=Uniform(8, 40), failure_rate=0.1)
    unaccounted: list[int] = []

    def look(_event: Event) -> None:
        unaccounted.append(pool.statistics().unaccounted)

    async with open_pool_directly(service, on_event=look) as pool:
        await solve_all(pool, 50)
    assert set(unaccounted) == {0}


def test_what_is_no_function_is_refused() -> None:
    """Its mistake would be logged thousands of times instead."""
    with pytest.raises(ConfigurationError, match="on_event"):
        SessionPool(KEY, on_event="print")  # type: ignore[arg-type]


def test_a_library_keeps_quiet() -> None:
    """Warnings would be printed to the stderr of programs that have set up no log."""
    handlers = logging.getLogger("ezcaptcha_async").handlers
    assert any(isinstance(item, logging.NullHandler) for item in handlers)

"""Metrics and traces of a pool, as an OpenTelemetry SDK receives them."""

from __future__ import annotations

import asyncio
import sys
import types
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import anyio
import attrs
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from ezcaptcha_async import (
    Account,
    AccountEvent,
    CloudFlare5STask,
    ConfigurationError,
    CredentialError,
    CustomTask,
    Event,
    EzCaptchaError,
    InsufficientBalanceError,
    PollPolicy,
    ResultWindowLapsedError,
    SessionPool,
    SolveTimeoutError,
    SubmissionUnknownError,
    TaskEvent,
    TaskFailedError,
    otel,
)
from ezcaptcha_async.otel import OpenTelemetry
from ezcaptcha_async.testing import Fault, Fixed, SimulatedService, Uniform

from .conftest import KEY, TASK, on_both_loops, open_pool, open_pool_directly, solve_all
from .shared_books import ModelFleet
from .telemetry import Telemetry
from .test_events import SECRET_TASK

NAMES = {
    "ezcaptcha.service": "ezcaptcha",
    "ezcaptcha.account": Account(KEY).name,
    "ezcaptcha.task.type": TASK.type,
}


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """Return the attributes of a span."""
    return dict(span.attributes or {})


def state_of(span: ReadableSpan) -> str:
    """Return the state in which a span's task ended."""
    return str(attributes_of(span)["ezcaptcha.task.state"])


# -------------------------------------------------------------------------- one task


async def test_a_span_tells_what_happened_to_a_task() -> None:
    """A slow request of a user's own could not be traced to what made it slow."""
    service = SimulatedService(solve_times=Fixed(25))
    telemetry = Telemetry()
    async with open_pool(service, on_event=telemetry) as pool:
        with telemetry.tracer.start_as_current_span("the user's own") as own:
            solution = await pool.solve(TASK)
    (span,) = telemetry.spans
    receipt = solution.receipt
    assert (span.name, span.kind) == (f"solve {TASK.type}", SpanKind.CLIENT)
    assert span.parent == own.get_span_context()
    assert span.status.status_code is StatusCode.UNSET
    attributes = dict(attributes_of(span))
    assert attributes.pop("ezcaptcha.task.number")
    assert attributes == NAMES | {
        "ezcaptcha.task.id": receipt.task_id,
        "ezcaptcha.task.state": "solved",
        "ezcaptcha.task.polls": receipt.polls,
        "ezcaptcha.points": 6,
    }
    events = [(event.name, (event.attributes or {})["ezcaptcha.outcome"]) for event in span.events]
    assert events == [
        ("createTask", "created"),
        *[("getTaskResult", "processing")] * (receipt.polls - 1),
        ("getTaskResult", "ready"),
    ]
    assert telemetry.is_over


async def test_the_figures_of_one_task() -> None:
    """A dashboard would show numbers that the pool's own statistics do not."""
    service = SimulatedService(solve_times=Fixed(25))
    telemetry = Telemetry()
    async with open_pool(service, on_event=telemetry) as pool:
        async with anyio.create_task_group() as group:
            group.start_soon(pool.solve, TASK)
            await anyio.sleep(5)
            (active,) = telemetry.points("active_tasks")
            assert (active.value, dict(active.attributes)) == (1, NAMES)
    (solve,) = telemetry.points("solve.duration")
    assert (solve.count, dict(solve.attributes)) == (1, NAMES)
    assert 25 < solve.sum < 30
    (lag,) = telemetry.points("fetch.lag")
    assert lag.count == 1
    assert solve.sum - 25 < 2 * lag.sum + 0.1
    (polls,) = telemetry.points("task.polls")
    assert (polls.count, polls.sum) == (1, pool.statistics().polls)
    assert telemetry.total("points") == 6
    assert telemetry.total("tasks") == telemetry.total("tasks", task_state="solved") == 1
    (created,) = telemetry.points("request.duration", endpoint="createTask", outcome="created")
    assert (created.count, created.sum) == (1, pytest.approx(0.1))
    asked = telemetry.total("request.duration", endpoint="getTaskResult")
    assert asked == pool.statistics().polls
    assert telemetry.is_over


async def test_a_figure_leads_to_its_trace() -> None:
    """Whoever sees a slow solve in a histogram would be led to the program's start instead."""
    service = SimulatedService(solve_times=Fixed(25))
    telemetry = Telemetry()
    with telemetry.tracer.start_as_current_span("the program's start"):
        async with open_pool(service, on_event=telemetry) as pool:
            with telemetry.tracer.start_as_current_span("the user's own"):
                await pool.solve(TASK)
    (span,) = telemetry.spans
    examples = {
        metric.name: {(item.trace_id, item.span_id) for item in point.exemplars}
        for metric in telemetry.metrics()
        for point in metric.data.data_points
    }
    for name in ("solve.duration", "request.duration", "task.polls", "fetch.lag"):
        assert examples[f"ezcaptcha.{name}"] == {(span.context.trace_id, span.context.span_id)}


@on_both_loops
async def test_each_caller_is_the_parent_of_its_own_tasks() -> None:
    """Traces of a web application would be mixed up: each request under another one's."""
    service = SimulatedService(solve_times=Uniform(10, 40))
    telemetry = Telemetry()
    parents: dict[str, trace.SpanContext] = {}

    async def ask(pool: SessionPool, number: int) -> None:
        name = f"request {number}"
        with telemetry.tracer.start_as_current_span(name) as own:
            if number % 2:
                solution = await pool.solve(TASK)
            else:
                ticket = await pool.submit(TASK)
                with telemetry.tracer.start_as_current_span("later"):
                    solution = await ticket
            parents[solution.receipt.task_id] = own.get_span_context()

    with telemetry.tracer.start_as_current_span("the program's start"):
        async with open_pool(service, on_event=telemetry) as pool:
            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(ask, pool, number)
    assert len(telemetry.spans) == 20
    for span in telemetry.spans:
        assert span.parent == parents[attributes_of(span)["ezcaptcha.task.id"]]


@on_both_loops
async def test_many_tasks_belong_to_whoever_asked_for_them() -> None:
    """The tasks of a batch would be roots of their own: a thousand traces instead of one."""
    service = SimulatedService(solve_times=Uniform(10, 40))
    telemetry = Telemetry()

    def tasks() -> Iterator[Any]:
        for _ in range(30):
            yield TASK

    async with open_pool(service, on_event=telemetry) as pool:
        with telemetry.tracer.start_as_current_span("the batch") as own:
            async with pool.solve_many(tasks(), max_in_flight=10) as outcomes:
                async for outcome in outcomes:
                    with telemetry.tracer.start_as_current_span("what is done with one"):
                        assert outcome.solution is not None
    assert len(telemetry.spans) == 30
    assert all(span.parent == own.get_span_context() for span in telemetry.spans)


async def test_a_task_without_a_listed_price() -> None:
    """It would count as free."""
    service = SimulatedService(solve_times=Fixed(15))
    telemetry = Telemetry()
    task = CloudFlare5STask(website_url="https://example.com", proxy="http://u:p@1.2.3.4:80")
    async with open_pool(service, on_event=telemetry) as pool:
        await pool.solve(task)
    (span,) = telemetry.spans
    assert "ezcaptcha.points" not in attributes_of(span)
    assert telemetry.points("points") == []


# --------------------------------------------------------------------- how tasks end


async def test_the_gauge_is_right_all_the_time_and_in_the_end() -> None:
    """A gauge that drifts raises alarms at night, or none when it should."""
    service = SimulatedService(solve_times=Uniform(8, 160), failure_rate=0.2, result_window=120)
    service.set_fault_rates({Fault.RESET_AFTER: 0.1, Fault.HTML: 0.05, Fault.UNAVAILABLE: 0.1})
    telemetry = Telemetry()

    def check() -> None:
        counts = pool.statistics()
        active = counts.queued + counts.creating + counts.waiting
        assert telemetry.total("active_tasks") == active == telemetry.open_spans

    accounts = [Account(KEY, service=service.profile(), max_in_flight=20)]
    async with open_pool(service, *accounts, on_event=telemetry) as pool:
        async with anyio.create_task_group() as group:

            async def impatient(seconds: float) -> None:
                with anyio.move_on_after(seconds), suppress(EzCaptchaError):
                    await pool.solve(TASK, timeout=60)

            async def look() -> None:
                while True:
                    check()
                    await anyio.sleep(5.3)

            group.start_soon(look)
            async with anyio.create_task_group() as callers:
                for number in range(60):
                    callers.start_soon(impatient, number % 40)
                callers.start_soon(solve_all, pool, 60)
            for ticket in pool.orphans():
                with suppress(EzCaptchaError):
                    await ticket
            group.cancel_scope.cancel()
        check()
        counts = pool.statistics()
    ends = ("solved", "failed", "lapsed", "unknown", "refused", "cancelled")
    told = {end: telemetry.total("tasks", task_state=end) for end in ends}
    assert told == {end: getattr(counts, end) for end in ends}
    assert all(told[end] for end in ends if end != "refused"), told
    assert telemetry.total("points") == counts.points
    assert telemetry.total("request.duration") == counts.requests
    spans = Counter(map(state_of, telemetry.spans))
    assert spans["orphaned"] == telemetry.total("tasks", task_state="orphaned")
    assert spans["lapsed"] < told["lapsed"], "the others were orphans"
    del spans["orphaned"], spans["lapsed"], told["lapsed"]
    assert spans == {end: number for end, number in told.items() if number}
    assert telemetry.is_over


@pytest.mark.parametrize(
    ("error", "settings", "state", "code"),
    [
        (TaskFailedError, {"failure_rate": 1.0}, "failed", "ERROR_CAPTCHA_UNSOLVABLE"),
        (ResultWindowLapsedError, {"solve_times": Fixed(400)}, "lapsed", None),
        (InsufficientBalanceError, {"balance": 0}, "refused", "ERROR_ZERO_BALANCE"),
        (SubmissionUnknownError, {}, "unknown", None),
    ],
)
async def test_an_error_has_its_class_and_a_code_that_is_known(
    error: type[EzCaptchaError], settings: dict[str, Any], state: str, code: str | None
) -> None:
    """An alarm could not tell an empty account from a service that is down."""
    service = SimulatedService(**settings)
    if error is SubmissionUnknownError:
        service.inject(Fault.RESET_AFTER, path="/createTask")
    telemetry = Telemetry()
    async with open_pool(service, on_event=telemetry) as pool:
        with pytest.raises(error):
            await pool.solve(TASK)
    (span,) = telemetry.spans
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == error.__name__
    told = {"ezcaptcha.task.state": state, "error.type": error.__name__}
    if code is not None:
        told["ezcaptcha.error.code"] = code
    assert told.items() <= attributes_of(span).items()
    (ended,) = telemetry.points("tasks")
    assert dict(ended.attributes) == NAMES | told
    assert telemetry.points("solve.duration") == []
    assert telemetry.is_over


async def test_a_caller_who_leaves_is_no_error() -> None:
    """Each user who closes a page would count as a failure of the service."""
    service = SimulatedService(solve_times=Fixed(25))
    telemetry = Telemetry()
    accounts = [Account(KEY, service=service.profile(), max_in_flight=1)]
    async with open_pool(service, *accounts, on_event=telemetry) as pool:
        async with anyio.create_task_group() as group:
            group.start_soon(pool.solve, TASK)
            await anyio.sleep(1)
            with anyio.move_on_after(5):
                await pool.solve(TASK)  # in line behind the first
            with pytest.raises(SolveTimeoutError):
                await pool.solve(TASK, timeout=5)
    left, late, solved = telemetry.spans
    assert [state_of(span) for span in telemetry.spans] == ["cancelled", "cancelled", "solved"]
    assert left.status.status_code is solved.status.status_code is StatusCode.UNSET
    assert late.status.description == "SolveTimeoutError"
    assert "error.type" not in attributes_of(left)
    assert telemetry.total("tasks", task_state="cancelled") == 2
    assert telemetry.is_over


async def test_a_task_that_another_account_takes_over() -> None:
    """One account's gauge would rise for ever, and the other one's fall below zero."""
    service = SimulatedService(client_keys=["good"], solve_times=Fixed(15))
    accounts = [Account(key, service=service.profile()) for key in ("bad", "good")]
    telemetry = Telemetry()
    async with open_pool(service, *accounts, on_event=telemetry) as pool:
        async with anyio.create_task_group() as group:
            group.start_soon(solve_all, pool, 50)
            await anyio.sleep(5)
            bad, good = (
                telemetry.total("active_tasks", account=account.name) for account in accounts
            )
            assert (bad, good) == (0, 50)
    assert len(telemetry.spans) == 50
    moved = [span for span in telemetry.spans if "handed over" in {e.name for e in span.events}]
    assert moved
    for span in telemetry.spans:
        assert attributes_of(span)["ezcaptcha.account"] == accounts[1].name
    (ended,) = telemetry.points("tasks")
    assert (ended.value, ended.attributes["ezcaptcha.account"]) == (50, accounts[1].name)
    assert telemetry.is_over


# -------------------------------------------------------------------------- orphans


async def test_a_task_that_is_left_and_taken_up_again() -> None:
    """Nobody could find out what a resumed task had cost and why it was left."""
    service = SimulatedService(solve_times=Fixed(40))
    telemetry = Telemetry()
    async with open_pool(service, on_event=telemetry) as pool:
        with telemetry.tracer.start_as_current_span("first"), anyio.move_on_after(20):
            await pool.solve(TASK)
        assert telemetry.is_over
        with telemetry.tracer.start_as_current_span("second") as own:
            await pool.orphans()[0]
    left, resumed = telemetry.spans
    assert [state_of(span) for span in telemetry.spans] == ["orphaned", "solved"]
    assert left.status.status_code is StatusCode.UNSET
    assert resumed.name == f"resume {TASK.type}"
    assert resumed.parent == own.get_span_context()
    assert [link.context for link in resumed.links] == [left.context]
    same = "ezcaptcha.task.id"
    assert attributes_of(left)[same] == attributes_of(resumed)[same]
    assert telemetry.total("points") == 6, "it was paid for once"
    assert telemetry.points("solve.duration") == [], "nobody knows when it was ready"
    assert telemetry.total("tasks", task_state="orphaned") == 1
    assert telemetry.total("tasks", task_state="solved") == 1
    assert telemetry.total("task.polls") == 1
    assert telemetry.is_over


async def test_a_task_of_an_earlier_pool_is_linked_where_that_is_known() -> None:
    """A restart of the pool would cut the story of each task in two."""
    service = SimulatedService(solve_times=Fixed(40))
    telemetry = Telemetry()
    async with open_pool(service, on_event=telemetry) as pool:
        tickets = [(await pool.submit(TASK)).to_dict() for _ in range(2)]
    assert telemetry.spans[0].status.description == "PoolClosedError"
    async with open_pool(service, on_event=telemetry) as pool:
        await pool.resume(tickets[0])
    telemetry.watch = telemetry.watcher()  # as in another process
    async with open_pool(service, on_event=telemetry) as pool:
        await pool.resume(tickets[1])
    first, _, known, unknown = telemetry.spans
    assert [link.context for link in known.links] == [first.context]
    assert unknown.links == ()
    assert telemetry.is_over


async def test_what_another_pool_has_paid_for_is_a_resumed_task() -> None:
    """The solve times of a fleet would be those of its dearest jobs, once for each who asked."""
    service, telemetry = SimulatedService(solve_times=Fixed(25)), Telemetry()
    job = attrs.evolve(TASK, reference="job 17")
    shared: dict[str, Any] = {"fleet": ModelFleet(anyio.current_time)}
    async with open_pool(service, **shared) as first, anyio.create_task_group() as group:
        group.start_soon(partial(first.solve, job, once=True))
        await anyio.sleep(5)
        async with open_pool(service, on_event=telemetry, **shared) as second:
            solution = await second.solve(job, once=True)
    (span,) = telemetry.spans
    assert attributes_of(span)["ezcaptcha.task.id"] == solution.receipt.task_id
    assert "handed over" not in {event.name for event in span.events}
    assert telemetry.total("tasks", task_state="solved") == 1
    assert telemetry.points("solve.duration") == []
    assert telemetry.is_over


async def test_an_orphan_that_nobody_takes_up() -> None:
    """What was paid for and lapsed would be in no figure, or the gauge fall below zero."""
    service = SimulatedService(solve_times=Fixed(40))
    telemetry = Telemetry()
    async with open_pool(service, on_event=telemetry) as pool:
        with pytest.raises(SolveTimeoutError):
            await pool.solve(TASK, timeout=20)
        await anyio.sleep(301)
    (span,) = telemetry.spans
    assert state_of(span) == "orphaned"
    assert span.status.description == "SolveTimeoutError"
    (orphaned,) = telemetry.points("tasks", task_state="orphaned")
    assert orphaned.attributes["error.type"] == "SolveTimeoutError"
    (lapsed,) = telemetry.points("tasks", task_state="lapsed")
    assert "error.type" not in lapsed.attributes, "it was told once"
    assert telemetry.total("task.polls") == 1
    assert not telemetry.remembered
    assert telemetry.is_over


@pytest.mark.parametrize("taken", [True, False])
async def test_a_caller_who_leaves_as_the_solution_comes(taken: bool) -> None:  # noqa: FBT001
    """One task would count as two that were solved."""
    service = SimulatedService(solve_times=Fixed(25))

    def leave(event: Event) -> None:
        if isinstance(event, TaskEvent) and event.state == "solved":
            caller.cancel()

    telemetry = Telemetry(leave)
    async with open_pool(service, on_event=telemetry) as pool:
        caller = asyncio.create_task(pool.solve(TASK))
        await asyncio.wait([caller])
        assert caller.cancelled()
        (orphan,) = pool.orphans()
        if taken:
            await orphan
        else:
            await anyio.sleep(301)
    assert telemetry.total("tasks") == telemetry.total("tasks", task_state="solved") == 1
    assert telemetry.total("task.polls") == telemetry.total("solve.duration") == 1
    assert [state_of(span) for span in telemetry.spans] == ["solved"] * (1 + taken)
    assert not telemetry.remembered
    assert telemetry.is_over


@on_both_loops
async def test_a_pool_that_is_closed_ends_all_spans() -> None:
    """A restarted worker would leak a span for each task that was on its way."""
    service = SimulatedService(solve_times=Uniform(8, 60))
    telemetry = Telemetry()
    accounts = [Account(KEY, service=service.profile(), max_in_flight=60)]
    async with open_pool(service, *accounts, on_event=telemetry) as pool:
        async with anyio.create_task_group() as group:
            group.start_soon(solve_all, pool, 100)
            await anyio.sleep(30)
            assert telemetry.open_spans == telemetry.total("active_tasks") > 30
            await pool.aclose()
            assert telemetry.is_over
    ends = {state_of(span) for span in telemetry.spans}
    assert ends >= {"solved", "orphaned", "cancelled"}
    told = {span.status.description for span in telemetry.spans if state_of(span) != "solved"}
    assert told == {"PoolClosedError"}


# ----------------------------------------------------------------- what is not there


async def test_no_metric_and_no_trace_tells_a_secret_or_a_page() -> None:
    """They go to a company that shows them to whoever has an account there."""
    service = SimulatedService(solve_times=Fixed(25), client_keys=[KEY, "other"])
    telemetry = Telemetry()
    accounts = [Account(key, service=service.profile()) for key in (KEY, "bad-key")]
    async with open_pool(service, *accounts, on_event=telemetry) as pool:
        task_ids = [(await pool.solve(SECRET_TASK)).receipt.task_id for _ in range(4)]
        await pool.balance(accounts[0])
    async with open_pool(service, "bad-key", on_event=telemetry) as pool:
        with pytest.raises(CredentialError):
            await pool.solve(SECRET_TASK)
    spans = "".join(str(span.to_json()) for span in telemetry.spans)
    metrics = "".join(metric.to_json() for metric in telemetry.metrics())
    for text in (spans, metrics):
        assert TASK.type in text
        for secret in (KEY, "bad-key", "secret"):
            assert secret not in text
    for task_id in task_ids:
        assert task_id in spans
        assert task_id not in metrics
    assert telemetry.total("request.duration", endpoint="getBalance", outcome="balance") == 1


async def test_a_code_that_nobody_documents_is_other() -> None:
    """A service that puts a number into its codes would make a series of each answer."""
    telemetry = Telemetry()
    names = {"service": "ezcaptcha", "account": "an account"}
    for code in ("ERROR_1", "ERROR_2", "ERROR_IP_BANNED"):
        telemetry(AccountEvent(state="banned", code=code, **names))
    telemetry(AccountEvent(state="reopened", **names))
    assert telemetry.total("account.changes", error_code="other") == 2
    assert telemetry.total("account.changes", error_code="ERROR_IP_BANNED") == 1
    (reopened,) = telemetry.points("account.changes", account_state="reopened")
    assert "ezcaptcha.error.code" not in reopened.attributes


async def test_names_that_users_make_up_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Types or accounts without end would fill the memory of everything that keeps metrics."""
    monkeypatch.setattr(otel, "_MOST_NAMES", 8)
    service = SimulatedService(solve_times=Fixed(15))
    telemetry = Telemetry()
    async with open_pool(service, on_event=telemetry) as pool:
        for number in range(20):
            task = CustomTask(f"Type{number}", {"websiteURL": "https://example.com"})
            with suppress(EzCaptchaError):
                await pool.solve(task)
    types = {point.attributes["ezcaptcha.task.type"] for point in telemetry.points("active_tasks")}
    assert "other" in types
    assert len(types) == 8, "seven of them, since the account alone is a name as well"
    assert len({span.name for span in telemetry.spans}) == 8
    assert telemetry.total("tasks", task_type="other") == 13
    assert telemetry.is_over


async def test_orphans_are_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that abandons tasks and reopens its pool for weeks would grow and grow."""
    monkeypatch.setattr(otel, "_MOST_LEFT", 3)
    service = SimulatedService(solve_times=Fixed(40))
    telemetry = Telemetry()
    async with open_pool(service, on_event=telemetry) as pool:
        tickets = [await pool.submit(TASK) for _ in range(5)]
    assert telemetry.remembered == 3
    async with open_pool(service, on_event=telemetry) as pool:
        for ticket in tickets:
            await pool.resume(ticket.to_dict())
    links = [len(span.links) for span in telemetry.spans[5:]]
    assert links == [0, 0, 1, 1, 1], "the oldest are forgotten first"


# ----------------------------------------------------------------------------- set-up


async def test_without_an_sdk_it_does_no_harm() -> None:
    """A library that is instrumented would have to know whether its user has an SDK."""
    service = SimulatedService(solve_times=Fixed(25))
    watch = OpenTelemetry()
    async with open_pool(service, on_event=watch) as pool:
        with anyio.move_on_after(10):
            await pool.solve(TASK)
        await pool.orphans()[0]
        assert (await pool.solve(TASK)).token
        ticket = await pool.submit(TASK)
        assert repr(watch) == "<OpenTelemetry, 1 tasks active>"
        await ticket


async def test_two_pools_share_the_providers(caplog: pytest.LogCaptureFixture) -> None:
    """An application with a pool for each service would see the figures of one of them."""
    service = SimulatedService(solve_times=Fixed(25))
    telemetry = Telemetry()
    async with (
        open_pool(service, on_event=telemetry.watcher()) as one,
        open_pool(service, on_event=telemetry.watcher()) as two,
        anyio.create_task_group() as group,
    ):
        group.start_soon(solve_all, one, 3)
        group.start_soon(solve_all, two, 4)
    assert telemetry.total("tasks", task_state="solved") == len(telemetry.spans) == 7
    assert telemetry.is_over
    assert caplog.text == ""


async def test_the_buckets_tell_tasks_of_10_to_80_seconds_apart() -> None:
    """Nearly all tasks would be in one bucket, and every percentile be a guess."""
    service = SimulatedService(solve_times=Uniform(10, 80))
    telemetry = Telemetry()
    polling = PollPolicy(first_delay=10, interval=3, growth=1)
    async with open_pool_directly(service, polling=polling, on_event=telemetry) as pool:
        assert await solve_all(pool, 100) == (100, [])
    for name in ("solve.duration", "task.polls", "fetch.lag"):
        (point,) = telemetry.points(name)
        assert point.bucket_counts[-1] == 0, f"{name}: above all bounds"
        # The plan is fixed, and so is the lag that is estimated from it.
        assert name == "fetch.lag" or max(point.bucket_counts) < 0.35 * 100, name


def test_what_is_no_provider_is_refused() -> None:
    """Its mistake would be logged with each event instead."""
    with pytest.raises(ConfigurationError, match="tracer_provider must be a TracerProvider"):
        OpenTelemetry(tracer_provider="console")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="meter_provider must be a MeterProvider"):
        OpenTelemetry(meter_provider=Telemetry().tracer_provider)  # type: ignore[arg-type]


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user would search for a module of a name that no installer knows."""
    monkeypatch.delitem(sys.modules, "ezcaptcha_async.otel")
    monkeypatch.setitem(sys.modules, "opentelemetry.context", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'opentelemetry-api>=1\.34'"):
        import ezcaptcha_async.otel  # noqa: F401


def test_another_module_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged installation would be taken for a missing extra."""

    class Damaged(types.ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise ModuleNotFoundError("No module named 'something_else'", name="something_else")

    monkeypatch.delitem(sys.modules, "ezcaptcha_async.otel")
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", Damaged("opentelemetry.trace"))
    with pytest.raises(ModuleNotFoundError, match="something_else"):
        import ezcaptcha_async.otel  # noqa: F401

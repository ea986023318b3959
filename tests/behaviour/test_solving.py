"""Solving tasks on the simulated service, one by one and in streams, under virtual time."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
import attrs
import pytest

import ezcaptcha_async as ez
from ezcaptcha_async import (
    ONECAPTCHA,
    CloudFlare5STask,
    ConfigurationError,
    FuncaptchaTaskProxyless,
    PollPolicy,
    ReCaptchaV2TaskProxyless,
    ResultWindowLapsedError,
    Solution,
    SolveTimeoutError,
    Task,
    TaskFailedError,
    UnknownArgumentError,
)
from ezcaptcha_async.testing import Fault, Fixed, SimulatedService, Uniform

from .conftest import TASK, on_both_loops, open_pool, open_pool_directly

PAGE: dict[str, Any] = {"website_url": "https://example.com/login", "website_key": "site-key"}
TURNSTILE: dict[str, Any] = {"website_url": "https://example.com/", "website_key": "0x4AAA"}
TYPES: dict[type[Solution], list[Task[Any]]] = {
    ez.ReCaptchaSolution: [
        ez.ReCaptchaV2TaskProxyless(**PAGE),
        ez.ReCaptchaV2TaskProxylessS9(**PAGE),
        ez.ReCaptchaV2STaskProxyless(**PAGE, s="s-value"),
        ez.ReCaptchaV2EnterpriseTaskProxyless(**PAGE, sa="login"),
        ez.ReCaptchaV2SEnterpriseTaskProxyless(**PAGE, s="s-value"),
        ez.ReCaptchaV3TaskProxyless(**PAGE, page_action="login"),
        ez.ReCaptchaV3TaskProxylessS9(**PAGE),
        ez.ReCaptchaV3EnterpriseTaskProxyless(**PAGE),
        ez.ReCaptchaV3EnterpriseTaskProxylessS9(**PAGE, page_action="login"),
    ],
    ez.FuncaptchaSolution: [ez.FuncaptchaTaskProxyless(**PAGE, data={"blob": "b"})],
    ez.CloudFlare5SSolution: [
        ez.CloudFlare5STask(website_url="https://example.com", proxy="http://u:p@1.2.3.4:80")
    ],
    ez.CloudFlareTurnstileSolution: [ez.CloudFlareTurnstileTask(**TURNSTILE, rq_data={"a": 1})],
    ez.HCaptchaSolution: [ez.HCaptcha(**PAGE, invisible=True, rqdata="rq")],
    ez.CustomSolution: [ez.CustomTask("NewTask", {"websiteURL": "https://example.com"})],
}


@pytest.mark.parametrize("solution_type", TYPES)
async def test_every_type_is_solved(solution_type: type[Solution]) -> None:
    """A type whose request or answer is misread cannot be used at all."""
    for task in TYPES[solution_type]:
        service = SimulatedService(extra_types={"NewTask": {"answer": 42}})
        async with open_pool(service) as pool:
            solution = await pool.solve(task)
        assert type(solution) is solution_type
        assert solution.receipt.task_type == task.type
        if isinstance(solution, ez.CustomSolution):
            assert solution.extra["answer"] == 42
        summary = service.summary()
        assert (summary.charges, summary.fetched, summary.unknown_fields) == (1, 1, {})


async def test_1captcha_gets_its_own_spelling() -> None:
    """The same task must work at a service that spells type and booleans differently."""
    service = SimulatedService(dialect="1captcha")
    async with open_pool(service) as pool:
        solution = await pool.solve(attrs.evolve(TASK, is_invisible=True))
    assert solution.receipt.service == ONECAPTCHA.name
    assert solution.receipt.points == 4
    assert service.summary().refused == {}


async def test_a_type_that_no_account_serves_is_refused_before_anything_is_sent() -> None:
    """Sending it would earn an error that counts towards a ban."""
    service = SimulatedService(dialect="1captcha")
    async with open_pool(service) as pool:
        with pytest.raises(ConfigurationError, match="no account serves FuncaptchaTask"):
            await pool.solve(ez.FuncaptchaTaskProxyless(**PAGE))
    assert service.summary().requests == 0


@on_both_loops
async def test_hundreds_at_once_are_all_solved() -> None:
    """The main job: nothing lost, nothing paid twice, the service's spacing kept."""
    service = SimulatedService(solve_times=Uniform(8, 28))
    tokens: set[str] = set()
    async with open_pool_directly(service) as pool, anyio.create_task_group() as group:

        async def solve() -> None:
            tokens.add((await pool.solve(TASK)).token)

        for _ in range(200):
            group.start_soon(solve)
    summary = service.summary()
    assert len(tokens) == 200
    assert (summary.charges, summary.fetched, summary.lost) == (200, 200, 0)
    assert summary.spacing_violations == 0
    counts = pool.statistics()
    assert (counts.created, counts.solved, counts.waiting, counts.queued) == (200, 200, 0, 0)
    assert counts.points == summary.points == 1_200
    assert counts.polls == summary.polls
    assert counts.requests == summary.requests


async def test_no_more_requests_at_a_time_than_allowed() -> None:
    """Beyond its limit an HTTP client collapses; and ours is shared with the user's own."""
    service = SimulatedService(solve_times=Fixed(5))
    most = 0
    async with open_pool(service, max_requests=7) as pool, anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(pool.solve, TASK)
        while pool.statistics().solved < 50:
            most = max(most, pool.statistics().requests_in_flight)
            await anyio.sleep(0.01)
    assert most == 7


async def test_freshness_counts_from_the_last_processing() -> None:
    """A token that is believed fresh for too long fails at the user's site."""
    service = SimulatedService(solve_times=Fixed(20))
    async with open_pool(service, polling=PollPolicy(first_delay=18, jitter=0)) as pool:
        solution = await pool.solve(TASK)
    receipt = solution.receipt
    assert receipt.processing_at is not None
    assert receipt.polls == 2
    # Each of the two polls may wait up to 0.05 s for others.
    assert receipt.processing_at - receipt.created_at == pytest.approx(18.1, abs=0.06)
    assert receipt.waited == pytest.approx(21.2, abs=0.11)
    # From the sending of that poll: the service judged it some time after.
    assert solution.expires_at - receipt.processing_at == pytest.approx(119.9, abs=0.01)
    assert solution.remaining(receipt.ready_at) == pytest.approx(119.9 - 3.1, abs=0.06)


async def test_freshness_counts_from_creation_when_the_first_poll_finds_it_ready() -> None:
    """Nobody knows when it became ready, so the safe end is the earliest one."""
    service = SimulatedService(solve_times=Fixed(1))
    async with open_pool(service) as pool:
        solution = await pool.solve(TASK)
    assert solution.receipt.processing_at is None
    assert solution.expires_at - solution.receipt.created_at == pytest.approx(120, abs=0.01)
    assert abs(solution.receipt.created_at - time.time()) < 60


async def test_the_window_ends_a_task_that_is_never_ready() -> None:
    """A caller would wait for ever; and the ticket must be known for a complaint."""
    service = SimulatedService(solve_times=Fixed(1_000))
    async with open_pool(service) as pool:
        began = anyio.current_time()
        with pytest.raises(ResultWindowLapsedError) as caught:
            await pool.solve(TASK)
        waited = anyio.current_time() - began
    assert 300 <= waited <= 300.2
    assert caught.value.task_id
    assert caught.value.ticket is not None
    assert caught.value.may_be_charged
    assert pool.statistics().lapsed == 1
    polls = service.record.tasks[0].polls
    assert polls <= 110


@on_both_loops
async def test_the_window_ends_also_while_a_poll_hangs() -> None:
    """A half-open connection must not stretch the deadline."""
    service = SimulatedService(solve_times=Fixed(1_000))
    async with open_pool(service, request_timeout=60.0) as pool:
        began = anyio.current_time()
        ticket = await pool.submit(TASK)
        await anyio.sleep(280)
        service.inject(Fault.HANG, path="/getTaskResult", times=None)
        with pytest.raises(ResultWindowLapsedError):
            await ticket
        assert anyio.current_time() - began <= 300.2


@on_both_loops
@pytest.mark.parametrize("seconds", [0.01, 5.0])
async def test_the_callers_timeout_is_kept_to_the_moment(seconds: float) -> None:
    """A budget in seconds is a promise, whether the task is being created or solved."""
    service = SimulatedService(solve_times=Fixed(30))
    async with open_pool(service) as pool:
        began = anyio.current_time()
        with pytest.raises(SolveTimeoutError) as caught:
            await pool.solve(TASK, timeout=seconds)
        assert anyio.current_time() - began == pytest.approx(seconds, abs=0.02)
        assert caught.value.may_be_charged
        await anyio.sleep(1)
        (orphan,) = pool.orphans()
        solution = await pool.resume(orphan)
    assert solution.receipt.task_id == orphan.task_id
    assert service.summary().charges == 1


async def test_a_task_that_times_out_in_line_costs_nothing() -> None:
    """Whoever never got their turn must not be told that they may have paid."""
    service = SimulatedService(solve_times=Fixed(30))
    async with open_pool(service, max_requests=1) as pool, anyio.create_task_group() as group:
        group.start_soon(pool.solve, TASK)
        await anyio.sleep(0.01)
        with pytest.raises(SolveTimeoutError) as caught:
            await pool.solve(TASK, timeout=0.02)
        assert not caught.value.may_be_charged
        assert caught.value.ticket is None
    assert pool.statistics().cancelled == 1
    assert service.summary().charges == 1


@on_both_loops
async def test_a_ticket_can_be_awaited_by_several_and_again() -> None:
    """Whoever holds a ticket may await it; each gets the solution."""
    service = SimulatedService(solve_times=Fixed(12))
    got: list[str] = []
    async with open_pool(service) as pool:
        ticket = await pool.submit(TASK)
        assert (ticket.state, ticket.done, ticket.task_type) == ("waiting", False, TASK.type)
        assert ticket.account == pool.statistics().accounts[0].account
        assert ticket.lapses_at - ticket.created_at == pytest.approx(300)

        async def wait() -> None:
            got.append((await ticket).token)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(wait)
        assert ticket.done
        await wait()
    assert len(got) == 4
    assert len(set(got)) == 1


@pytest.mark.parametrize("call", ["solve", "submit", "solve_many"])
async def test_an_argument_that_is_not_there_is_answered_before_anything_is_paid(call: str) -> None:
    """A newcomer would be told that it is wrong, not what is right, and show a password."""
    service = SimulatedService()
    async with open_pool(service) as pool:
        with pytest.raises(
            UnknownArgumentError, match=rf"{call}\(\) has no .*field of the task"
        ) as told:
            await getattr(pool, call)(TASK, proxy="http://me:do-not-show-this@example.com:80")
    traceback = told.value.__traceback__
    while traceback is not None:
        if "ezcaptcha_async" in traceback.tb_frame.f_code.co_filename:
            assert "do-not-show-this" not in repr(traceback.tb_frame.f_locals)
        traceback = traceback.tb_next
    service.assert_charged(0)


# ------------------------------------------------------------------------------------------ streams


async def test_outcomes_come_as_they_complete() -> None:
    """A fast task must not wait for a slow one that was given first."""
    service = SimulatedService(
        solve_times={"ReCaptchaV2TaskProxyless": 60, "FuncaptchaTaskProxyless": 5}
    )
    fast = FuncaptchaTaskProxyless(website_url="https://example.com", website_key="k")
    async with open_pool(service) as pool, pool.solve_many([TASK, fast]) as outcomes:
        got = [(outcome.index, outcome.task) async for outcome in outcomes]
    assert got == [(1, fast), (0, TASK)]


async def test_the_input_is_read_only_as_far_as_there_is_room() -> None:
    """An endless input must not be read to its end, nor paid for ahead of need."""
    service = SimulatedService(solve_times=Uniform(5, 20))
    read = 0

    def endless() -> Iterator[ReCaptchaV2TaskProxyless]:
        nonlocal read
        while True:
            read += 1
            yield TASK

    taken = 0
    async with open_pool(service) as pool:
        async with pool.solve_many(endless(), max_in_flight=20) as outcomes:
            async for outcome in outcomes:
                assert outcome.solution is not None
                taken += 1
                assert read <= taken + 21
                if taken == 100:
                    break
        await anyio.sleep(1)
        counts = pool.statistics()
        assert counts.waiting == counts.creating == counts.queued == 0
        # What was paid for and not taken is still there.
        assert counts.orphaned == service.summary().charges - taken
        for orphan in pool.orphans():
            assert (await orphan).token
    assert service.summary().lost == 0


async def test_errors_are_outcomes_and_stop_nothing() -> None:
    """One bad task among ten thousand is one line in a report."""
    service = SimulatedService(failure_rate=0.3, dialect="1captcha")
    bad = CloudFlare5STask(website_url="https://example.com", proxy="http://u:p@1.2.3.4:80")
    tasks = [TASK] * 20 + [bad]
    async with open_pool(service) as pool, pool.solve_many(tasks) as outcomes:
        got = {outcome.index: outcome async for outcome in outcomes}
    assert sorted(got) == list(range(21))
    assert isinstance(got[20].error, ConfigurationError)
    assert {type(outcome.error) for outcome in got.values() if outcome.index < 20} == {
        TaskFailedError,
        type(None),
    }
    assert all((o.solution is None) != (o.error is None) for o in got.values())


async def later(tasks: list[ReCaptchaV2TaskProxyless]) -> AsyncIterator[ReCaptchaV2TaskProxyless]:
    """Yield them one by one."""
    for task in tasks:
        await anyio.sleep(1)
        yield task


@on_both_loops
async def test_all_that_tasks_may_come_from() -> None:
    """A queue, a database cursor, or a stream that stays another part's to close; or nothing."""
    send, receive = anyio.create_memory_object_stream[ReCaptchaV2TaskProxyless](3)
    with send:
        for _ in range(3):
            send.send_nowait(TASK)
    async with receive, open_pool(SimulatedService()) as pool:
        for tasks, count in ((later([TASK] * 5), 5), (receive, 3), ([], 0)):
            async with pool.solve_many(tasks) as outcomes:
                assert len([outcome async for outcome in outcomes]) == count


@on_both_loops
async def test_an_exception_of_the_reader_comes_out_as_it_is() -> None:
    """The user's own exception, not one in a group."""
    async with open_pool(SimulatedService()) as pool:
        with pytest.raises(KeyError, match="mine"):
            async with pool.solve_many([TASK] * 3) as outcomes:
                async for _ in outcomes:
                    raise KeyError("mine")


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "many"])
async def test_a_wrong_bound_is_named(wrong: object) -> None:
    """Found at once, not after an hour."""
    async with open_pool(SimulatedService()) as pool:
        with pytest.raises(ConfigurationError, match="max_in_flight"):
            pool.solve_many([TASK], max_in_flight=wrong)  # type: ignore[arg-type]

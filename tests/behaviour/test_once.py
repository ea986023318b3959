"""``once=True``: one reference is paid for once, whoever asks for it, however often, and when."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Final

import anyio
import attrs
import pytest

from ezcaptcha_async import (
    Account,
    BudgetExceededError,
    ConfigurationError,
    EzCaptchaError,
    FuncaptchaTaskProxyless,
    InvalidTaskError,
    PollPolicy,
    PoolClosedError,
    ReCaptchaSolution,
    ReCaptchaV2TaskProxyless,
    SessionPool,
    SolveTimeoutError,
    SubmissionUnknownError,
    TaskFailedError,
    TicketCancelledError,
)
from ezcaptcha_async.testing import Fault, Fixed, SimulatedService, Uniform

from .conftest import TASK, all_of, copied, open_pool

JOB: Final = attrs.evolve(TASK, reference="job 17")
VALID: Final = 120.0
"""Seconds for which a token is valid."""
WINDOW: Final = 300.0
"""Seconds for which a result can be fetched."""


async def solved(pool: SessionPool, task: ReCaptchaV2TaskProxyless = JOB) -> ReCaptchaSolution:
    """Solve by ``solve``."""
    return await pool.solve(task, once=True)


async def submitted(pool: SessionPool, task: ReCaptchaV2TaskProxyless = JOB) -> ReCaptchaSolution:
    """Solve by ``submit``."""
    return await (await pool.submit(task, once=True))


async def among_many(pool: SessionPool, task: ReCaptchaV2TaskProxyless = JOB) -> ReCaptchaSolution:
    """Solve by ``solve_many``."""
    async with pool.solve_many([task], once=True) as outcomes:
        async for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
            assert outcome.solution is not None
            return outcome.solution
    raise AssertionError


Ask = Callable[..., Awaitable[ReCaptchaSolution]]
WAYS: Final[list[Ask]] = [solved, submitted, among_many]
each_way = pytest.mark.parametrize("ask", WAYS)


def by_turns(*moments: float) -> pytest.MarkDecorator:
    """Ask in one way after the other, each at one of these moments."""
    asked = [(WAYS[number % 3], seconds) for number, seconds in enumerate(moments)]
    return pytest.mark.parametrize(("ask", "seconds"), asked)


def tokens(results: Iterable[Any]) -> set[str]:
    """Return the different tokens."""
    return {result.token for result in results}


# ------------------------------------------------------------------------- side by side


async def test_all_who_ask_at_once_get_one_token() -> None:
    """A job that is delivered to three workers at once would be paid for three times."""
    service = SimulatedService(solve_times=Fixed(20))
    async with open_pool(service) as pool:
        results = await all_of(*(lambda ask=ask: ask(pool) for ask in WAYS * 10))
        assert len(tokens(results)) == 1
        assert len({result.receipt.task_id for result in results}) == 1
        assert pool.statistics().created == 1
        assert pool.statistics().unaccounted == 0
    assert service.summary().charges == 1


async def test_each_reference_is_paid_for() -> None:
    """Two jobs would have to share a token, which works once."""
    service = SimulatedService(solve_times=Fixed(20))
    jobs = [attrs.evolve(TASK, reference=f"job {number % 5}") for number in range(20)]
    async with open_pool(service) as pool:
        async with pool.solve_many(jobs, once=True) as outcomes:
            found = {outcome.index: outcome.solution async for outcome in outcomes}
        assert len(found) == 20
        assert len(tokens(found.values())) == 5
        assert all(found[index] == found[index % 5] for index in found)
    assert service.summary().charges == 5


@by_turns(0.0, 0.05, 0.05, 5.0, 19.0)
async def test_who_comes_later_waits_for_the_first(ask: Ask, seconds: float) -> None:
    """The second would pay again while the first is queued, being created, or being solved."""
    service = SimulatedService(solve_times=Fixed(20))
    async with open_pool(service) as pool:

        async def later() -> ReCaptchaSolution:
            await anyio.sleep(seconds)
            return await ask(pool)

        results = await all_of(lambda: solved(pool), later)
        assert len(tokens(results)) == 1
    assert service.summary().charges == 1


async def test_who_asks_again_gets_the_same_while_it_is_valid() -> None:
    """A job is delivered again, because its worker died after it had the token."""
    service = SimulatedService(solve_times=Fixed(20))
    async with open_pool(service) as pool:
        first = await solved(pool)
        await anyio.sleep(first.expires_at - first.receipt.ready_at - 1)
        requests = service.summary().requests
        for again in WAYS:
            assert await again(pool) == first
        assert service.summary().requests == requests
        await anyio.sleep(2)
        later = await submitted(pool)
        assert later.token != first.token, "an expired one is of use to nobody"
        assert later.remaining(later.receipt.ready_at) > VALID / 2
    assert service.summary().charges == 2


async def test_without_once_each_call_is_paid_for() -> None:
    """Whoever wants two tokens for one job would get one."""
    service = SimulatedService(solve_times=Fixed(20))
    async with open_pool(service) as pool:
        results = await all_of(lambda: pool.solve(JOB), lambda: pool.solve(JOB))
        assert len(tokens(results)) == 2
        assert (await solved(pool)).token not in tokens(results), "they were delivered"
    assert service.summary().charges == 3


async def test_what_may_be_paid_for_without_once_counts_for_it() -> None:
    """A job that was begun in the plain way and is run again would be paid for twice."""
    service = SimulatedService(solve_times=Fixed(20))
    service.inject(Fault.RESET_AFTER, path="/createTask")
    async with open_pool(service) as pool:
        with pytest.raises(SubmissionUnknownError):
            await pool.solve(JOB)
        with pytest.raises(SubmissionUnknownError):
            await pool.solve(JOB, once=True)
        assert (await pool.solve(JOB)).token, "without it, a call always buys"
    assert service.summary().charges == 2


async def test_what_is_paid_and_not_delivered_is_not_bought_again() -> None:
    """A ticket that was given up, or never awaited, is paid for all the same."""
    service = SimulatedService(solve_times=Fixed(40))
    async with open_pool(service) as pool:
        ticket = await pool.submit(JOB)
        assert ticket.cancel()
        assert (await solved(pool)).receipt.task_id == ticket.task_id
        await anyio.sleep(VALID)
        with pytest.raises(SolveTimeoutError) as caught:
            await pool.solve(JOB, timeout=5)
        assert caught.value.ticket is not None
        assert (await solved(pool)).receipt.task_id == caught.value.task_id
        await anyio.sleep(VALID)
        left = await pool.submit(JOB)
        await anyio.sleep(60)
        assert left.done
        assert (await solved(pool)).receipt.task_id == left.task_id
    assert service.summary().charges == 3


@by_turns(0.05, 0.05, 12, 19)
async def test_what_another_caller_waits_for_is_his(ask: Ask, seconds: float) -> None:
    """Two who need a token each would get the same one, which works once."""
    service = SimulatedService(solve_times=Fixed(20))
    plain: list[str] = []

    async def solve_plainly(pool: SessionPool) -> None:
        plain.append((await pool.solve(JOB)).token)

    async with open_pool(service) as pool, anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(solve_plainly, pool)
        await anyio.sleep(seconds)
        once = await all_of(lambda: ask(pool), lambda: ask(pool))
        assert tokens([await ask(pool)]) == tokens(once), "and one is for all who ask once"
    assert len(tokens(once)) == 1
    assert len({*plain, *tokens(once)}) == 3
    assert service.summary().charges == 3


# ---------------------------------------------------------------- those who go away


@by_turns(0.0, 0.05, 0.05, 5.0, 20.15, 20.15)
async def test_one_who_is_cancelled_takes_nobody_along(ask: Ask, seconds: float) -> None:
    """A worker that is stopped would fail the job at the others, or have it paid for again."""
    service = SimulatedService(solve_times=Fixed(20))
    async with open_pool(service) as pool:

        async def cancelled() -> ReCaptchaSolution:
            with anyio.move_on_after(seconds):
                await ask(pool)
            return await solved(pool)  # the same worker, started again

        results = await all_of(cancelled, lambda: submitted(pool), lambda: among_many(pool))
        assert len(tokens(results)) == 1
        assert pool.statistics().unaccounted == 0
        assert not pool.orphans()
    assert service.summary().charges == 1


@by_turns(0.0, 0.05, 0.05, 5.0)
async def test_what_all_have_left_is_taken_up_again(ask: Ask, seconds: float) -> None:
    """What was paid for a job whose worker was stopped would be thrown away."""
    service = SimulatedService(solve_times=Fixed(20))
    async with open_pool(service) as pool:
        with anyio.move_on_after(seconds):
            await ask(pool)
        await anyio.sleep(seconds)
        await ask(pool)
    assert service.summary().charges == 1


async def test_each_has_a_patience_of_its_own() -> None:
    """The impatient one would wait too long, or take the token from the patient one."""
    service = SimulatedService(solve_times=Fixed(20))
    async with open_pool(service) as pool:
        began = anyio.current_time()
        waited: dict[str, float] = {}

        async def impatient(name: str, call: Callable[[], Awaitable[Any]]) -> Any:
            try:
                return await call()
            finally:
                waited[name] = anyio.current_time() - began

        async def many() -> Any:
            async with pool.solve_many([JOB], once=True, timeout=6) as outcomes:
                async for outcome in outcomes:
                    assert outcome.error is not None
                    raise outcome.error

        async def submit() -> Any:
            return await (await pool.submit(JOB, once=True, timeout=7))

        results = await all_of(
            lambda: impatient("solve", lambda: pool.solve(JOB, once=True, timeout=5)),
            lambda: impatient("many", many),
            lambda: impatient("submit", submit),
            lambda: impatient("late", lambda: pool.submit(JOB, once=True, timeout=0.05)),
            lambda: solved(pool),
        )
        *errors, last = results
        for error in errors:
            assert isinstance(error, SolveTimeoutError)
        assert [error.ticket is None for error in errors] == [False, False, False, True]
        assert errors[-1].may_be_charged, "it was being created"
        assert waited == pytest.approx({"late": 0.05, "solve": 5, "many": 6, "submit": 7})
        assert last.token
        assert pool.statistics().unaccounted == 0
    assert service.summary().charges == 1


@each_way
async def test_who_gives_up_a_task_gives_up_for_himself(ask: Ask) -> None:
    """Somebody else's timeout, or a ticket that is cancelled, would fail a job that could wait."""
    service = SimulatedService(solve_times=Fixed(40))
    async with open_pool(service) as pool:
        ticket = await pool.submit(JOB, once=True, timeout=10)  # in vain: it takes longer
        results: list[Any] = []

        async def wait_for_it() -> None:
            results.append(await ask(pool))

        async with anyio.create_task_group() as group:
            group.start_soon(wait_for_it)
            with pytest.raises(SolveTimeoutError):
                await ticket
            again = await pool.submit(JOB, once=True)
            assert again.task_id == ticket.task_id
            if ask is not submitted:
                assert again.cancel()
        assert results[0].receipt.task_id == ticket.task_id
        assert pool.statistics().unaccounted == 0
    assert service.summary().charges == 1


async def test_whoever_resumes_is_not_hurt_by_the_first_caller() -> None:
    """The first caller's timeout would end the wait of one who has more time."""
    service = SimulatedService(solve_times=Fixed(40))
    async with open_pool(service) as pool:
        ticket = await pool.submit(TASK, timeout=10)
        results = await all_of(
            lambda: pool.resume(ticket.to_dict()),
            lambda: pool.resume(ticket.to_dict(), timeout=20),
        )
        assert results[0].token
        assert isinstance(results[1], SolveTimeoutError)


async def test_all_tickets_of_one_reference_are_one_task() -> None:
    """Whoever cancels a ticket expects that it is polled no more."""
    service = SimulatedService(solve_times=Fixed(40))
    async with open_pool(service) as pool:
        first, second = [await pool.submit(JOB, once=True) for _ in range(2)]
        assert first.cancel()
        with pytest.raises(TicketCancelledError):
            await second
        assert (await solved(pool)).receipt.task_id == first.task_id
    assert service.summary().charges == 1


async def test_closing_the_pool_answers_all() -> None:
    """Those who wait together would wait for ever."""
    service = SimulatedService(solve_times=Fixed(40))
    async with open_pool(service) as pool:

        async def close() -> ReCaptchaSolution:
            ticket = await pool.submit(JOB, once=True)
            await anyio.sleep(5)
            ticket.cancel()
            await pool.aclose()
            return await ticket

        results = await all_of(close, *(lambda ask=ask: ask(pool) for ask in WAYS))
        assert {type(result) for result in results} <= {PoolClosedError, TicketCancelledError}
        assert all(result.ticket is not None for result in results)
    assert service.summary().charges == 1


# ------------------------------------------------------------------- what comes to nothing


async def test_what_failed_is_not_bought_again_while_it_is_known() -> None:
    """A job that is delivered again and again would be paid for each time."""
    service = SimulatedService(solve_times=Fixed(20), failure_rate=1.0)
    async with open_pool(service) as pool:
        for ask in WAYS:
            with pytest.raises(TaskFailedError):
                await ask(pool)
        assert service.summary().charges == 1
        await anyio.sleep(WINDOW)
        with pytest.raises(TaskFailedError):
            await solved(pool)
    assert service.summary().charges == 2


async def test_what_was_not_paid_is_tried_again() -> None:
    """A reference that was refused once would be refused for ever."""
    service = SimulatedService(solve_times=Fixed(20))
    bad = attrs.evolve(JOB, website_key="<key>")
    async with open_pool(service, budget=6) as pool:
        for ask in WAYS:
            with pytest.raises(InvalidTaskError):
                await ask(pool, bad)
        await solved(pool)
        with pytest.raises(BudgetExceededError):
            await solved(pool, attrs.evolve(JOB, reference="job 18"))
    assert service.summary().charges == 1


async def test_what_may_have_been_paid_for_is_not_bought_again() -> None:
    """The answer to createTask was lost: the job, delivered again, may be paid for twice."""
    service = SimulatedService(solve_times=Fixed(20))
    service.inject(Fault.RESET_AFTER, path="/createTask")
    async with open_pool(service) as pool:
        results = await all_of(*(lambda ask=ask: ask(pool) for ask in WAYS))
        results += [*await all_of(lambda: solved(pool)), *await all_of(lambda: among_many(pool))]
        assert {type(result) for result in results} == {SubmissionUnknownError}
        assert "'job 17'" in str(results[-1])
        assert all(result.may_be_charged for result in results)
        (lost,) = pool.unknowns()
        assert lost.reference == "job 17"
        assert pool.statistics().unknown == 1
        await solved(pool, attrs.evolve(JOB, reference="job 18"))
    assert service.summary().charges == 2


async def test_what_may_have_been_paid_for_is_bought_again_where_that_is_wanted(
    path: Path,
) -> None:
    """Who would rather pay twice than not at all says so, and how much that may cost."""
    service = SimulatedService(solve_times=Fixed(20))
    service.inject(Fault.RESET_AFTER, path="/createTask", times=4)
    retry: dict[str, Any] = {"on_unknown": "retry", "unknown_budget": 13, "journal": path}
    async with open_pool(service, **retry) as pool:
        with pytest.raises(SubmissionUnknownError):
            await solved(pool)  # sent twice
        with pytest.raises(SubmissionUnknownError) as caught:
            await solved(pool)  # and once more
        assert caught.value.may_be_charged
        with pytest.raises(SubmissionUnknownError):
            await solved(pool)  # the limit is reached
        assert service.summary().charges == 3
        assert pool.statistics().unknown == 3
    async with open_pool(service, **retry) as pool:
        with pytest.raises(SubmissionUnknownError):
            await solved(pool)
        first = await solved(pool)
        assert await solved(pool) == first
        await anyio.sleep(VALID + 20)
        assert await solved(pool) != first, "what came of the lost one was known at last"
    assert service.summary().charges == 6


# --------------------------------------------------------------------- what is refused


async def test_a_reference_is_needed_and_once_is_a_switch() -> None:
    """All tasks would be taken for the same, or a task in its place for yes."""
    service = SimulatedService()
    async with open_pool(service) as pool:
        ways: tuple[Any, ...] = (pool.solve, pool.submit, pool.solve_many)
        for ask in WAYS:
            with pytest.raises(ConfigurationError, match="once=True needs a reference"):
                await ask(pool, TASK)
        for once in (1, "yes", None):
            for send in ways:
                with pytest.raises(ConfigurationError, match="once must be True or False"):
                    await send(JOB, once=once)
    assert service.summary().requests == 0


@pytest.mark.parametrize(
    "other",
    [
        FuncaptchaTaskProxyless(
            website_url=TASK.website_url, website_key="key", reference=JOB.reference
        ),
        attrs.evolve(JOB, website_url="https://another.example/"),
    ],
)
async def test_a_reference_is_of_one_task(other: Any, path: Path) -> None:
    """One job would get the token of another one, of a type that it cannot use."""
    service = SimulatedService(solve_times=Fixed(20))
    async with open_pool(service, journal=path) as pool:
        ticket = await pool.submit(JOB, once=True)
        for wrong in (other, attrs.evolve(JOB, website_key="another")):
            with pytest.raises(ConfigurationError, match="'job 17' stands for another task"):
                await pool.solve(wrong, once=True)
        killed = copied(path)
        assert (await ticket).token
    async with open_pool(service, journal=killed) as pool:
        with pytest.raises(ConfigurationError, match="'job 17' stands for another task"):
            await pool.solve(other, once=True)
    assert service.summary().charges == 1


# ------------------------------------------------------------------------ killed processes


async def asked_again(service: SimulatedService, journal: Path, **settings: Any) -> Any:
    """Return what a process that is started now gets for the job, and that it paid nothing."""
    charges = service.summary().charges
    async with open_pool(service, journal=journal, **settings) as pool:
        results = await all_of(*(lambda ask=ask: ask(pool) for ask in WAYS))
        assert pool.statistics().created == 0
        assert pool.statistics().unaccounted == 0
    assert service.summary().charges == charges
    assert len({getattr(result, "token", type(result)) for result in results}) == 1
    return results[0]


async def test_the_next_process_fetches_what_was_paid(path: Path) -> None:
    """A job that is delivered again after a crash would be paid for again."""
    service = SimulatedService(solve_times=Fixed(40))
    async with open_pool(service, journal=path) as pool:
        ticket = await pool.submit(JOB, once=True)
        at_once = copied(path)
        await anyio.sleep(20)
        while_it_waits = copied(path)
        solution = await ticket
        delivered = copied(path)
    for killed in (at_once, while_it_waits, delivered):
        again = await asked_again(service, killed)
        assert again.token == solution.token
        assert again.receipt.task_id == ticket.task_id
    assert (await asked_again(service, delivered)).token == solution.token, "and once more"
    async with open_pool(service, journal=delivered) as pool, pool.resume_all() as outcomes:
        assert [outcome async for outcome in outcomes] == [], "a job has had it"


async def test_the_next_process_knows_how_long_a_token_is_valid(path: Path) -> None:
    """It would be bought again too soon, or given out when it is expired."""
    service = SimulatedService(solve_times=Fixed(60))
    async with open_pool(service, journal=path) as pool:
        first = await solved(pool)
        now = first.receipt.ready_at
    (line,) = (json.loads(text) for text in path.read_text("ascii").splitlines()[-1:])
    assert line["event"] == "delivered"
    assert line["until"] == pytest.approx(first.expires_at)
    again = await asked_again(service, path)
    assert again.expires_at == pytest.approx(first.expires_at)
    assert again.remaining(now) > VALID / 2
    # As if the process had been started later.
    *_, line = (json.loads(text) for text in path.read_text("ascii").splitlines())
    path.write_text(json.dumps({**line, "until": time.time() - 1}), "ascii")
    async with open_pool(service, journal=path) as pool:
        assert (await solved(pool)).token != first.token
    assert service.summary().charges == 2


async def test_what_is_being_resumed_is_waited_for(path: Path) -> None:
    """A program that resumes what is left, and takes jobs meanwhile, would pay for one twice."""
    service = SimulatedService(solve_times=Fixed(40))
    async with open_pool(service, journal=path) as pool:
        ticket = await pool.submit(JOB)
    async with open_pool(service, journal=path) as pool:
        async with pool.resume_all() as outcomes:
            again, token = pool.solve(JOB, once=True), None
            async with anyio.create_task_group() as group:

                async def ask() -> None:
                    nonlocal token
                    token = (await again).token

                await anyio.sleep(1)
                group.start_soon(ask)
                (outcome,) = [outcome async for outcome in outcomes]
        assert isinstance(outcome.solution, ReCaptchaSolution)
        assert outcome.solution.token == token
        assert outcome.task_id == ticket.task_id
        assert pool.statistics().created == 0
    assert service.summary().charges == 1


async def test_what_failed_in_an_earlier_process_is_not_bought_again(path: Path) -> None:
    """A job that fails, and its worker with it, would be paid for at each start."""
    service = SimulatedService(solve_times=Fixed(20), failure_rate=1.0)
    async with open_pool(service, journal=path) as pool:
        with pytest.raises(TaskFailedError):
            await solved(pool)
    assert isinstance(await asked_again(service, path), TaskFailedError)


async def test_a_process_that_was_killed_in_the_middle_of_createtask(path: Path) -> None:
    """Nobody knows whether it was paid for, so the job must not be paid for again."""
    service = SimulatedService(solve_times=Fixed(20))
    async with open_pool(service, journal=path, latency=10.0) as pool:
        with anyio.move_on_after(7):
            await pool.submit(JOB, once=True)
        killed = copied(path)
    assert service.summary().charges == 1
    error = await asked_again(service, killed)
    assert isinstance(error, SubmissionUnknownError)
    assert error.may_be_charged
    async with open_pool(service, journal=killed, on_unknown="retry", unknown_budget=6) as pool:
        assert await solved(pool)
    assert service.summary().charges == 2


async def test_what_another_account_has_paid_for_is_not_bought_again(path: Path) -> None:
    """After a change of the key, each job in flight would be paid for twice."""
    service = SimulatedService(solve_times=Fixed(40))
    async with open_pool(service, journal=path) as pool:
        await pool.submit(JOB, once=True)
    other = Account("another-key", service=service.profile())
    async with open_pool(service, other, journal=path) as pool:
        with pytest.raises(ConfigurationError, match="no account of this pool can fetch"):
            await solved(pool)
    assert service.summary().charges == 1


async def test_what_can_be_fetched_no_more_is_bought_again(path: Path) -> None:
    """A reference would stand for a task that nobody can have, for ever."""
    service = SimulatedService(solve_times=Fixed(20))
    async with open_pool(service, journal=path) as pool:
        await pool.submit(JOB, once=True)
    lines = [json.loads(line) for line in path.read_text("ascii").splitlines()]
    lines[1]["task"]["created_at"] -= WINDOW
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "ascii")
    async with open_pool(service, journal=path) as pool:
        assert await solved(pool)
    assert service.summary().charges == 2


async def test_what_was_given_out_late_is_bought_again_when_it_can_be_fetched_no_more(
    path: Path,
) -> None:
    """A job whose worker died with the token would get neither it nor a new one."""
    service = SimulatedService(solve_times=Fixed(250))
    async with open_pool(service, journal=path) as pool:
        assert await solved(pool)
        await anyio.sleep(60)
        assert (await solved(pool)).remaining() > 40, "here it is known still"
    assert service.summary().charges == 1
    # As if the process had been started 310 s after the creation.
    *_, line = (json.loads(text) for text in path.read_text("ascii").splitlines())
    for name in ("created_at", "processing_at"):
        line["task"][name] -= WINDOW + 10
    line["until"] = time.time() + 40
    path.write_text(f"{json.dumps(line)}\n", "ascii")
    async with open_pool(service, journal=path) as pool:
        assert len(tokens([await solved(pool), await solved(pool)])) == 1
    assert service.summary().charges == 2
    await asked_again(service, path)


# ------------------------------------------------------------------------------ all at once


async def test_no_reference_is_paid_for_twice_whatever_happens(path: Path) -> None:
    """Jobs are delivered at random, again and again, cancelled, timed out, and processes killed."""
    luck = Random(0)
    service = SimulatedService(solve_times=Uniform(10, 60), failure_rate=0.1, seed=0)
    service.inject(Fault.RESET_AFTER, path="/createTask", times=None, share=0.1)
    names = [f"job {number}" for number in range(12)]
    found: dict[str, set[str]] = {name: set() for name in names}

    async def deliver(pool: SessionPool) -> None:
        name, ask = luck.choice(names), luck.choice(WAYS)
        await anyio.sleep(luck.uniform(0, 40))
        with suppress(EzCaptchaError), anyio.move_on_after(luck.choice([0.05, 5, 20, 100])):
            found[name].add((await ask(pool, attrs.evolve(JOB, reference=name))).token)

    for _ in range(3):
        async with open_pool(service, journal=path) as pool:
            async with anyio.create_task_group() as group:
                for _ in range(60):
                    group.start_soon(deliver, pool)
                await anyio.sleep(25)
                path = copied(path)
                group.cancel_scope.cancel()
            assert pool.statistics().unaccounted == 0
    assert all(len(different) <= 1 for different in found.values())
    assert sum(len(different) for different in found.values()) > 3
    assert service.summary().charges <= len(names)


async def test_what_fails_when_nobody_waits_is_told_to_who_asks_next() -> None:
    """He would turn round and round, past his own timeout, and the pool never close."""
    service = SimulatedService(solve_times=Fixed(5), failure_rate=1.0)
    polling = PollPolicy(first_delay=10, jitter=0)
    async with open_pool(service, latency=1.0, polling=polling) as pool:
        with pytest.raises(SolveTimeoutError):
            await pool.solve(JOB, timeout=11.5)  # its poll is on the way then
        await anyio.sleep(5)
        with anyio.fail_after(60), pytest.raises(TaskFailedError):
            await pool.solve(JOB, once=True, timeout=30)
    assert service.summary().charges == 1


async def test_who_awaits_a_ticket_is_polled_for_when_others_go_away() -> None:
    """A paid token would be left to lapse while somebody waits for it."""
    service = SimulatedService(solve_times=Fixed(40))
    async with open_pool(service) as pool:
        ticket = await pool.submit(JOB, once=True)
        ticket.cancel()
        tokens: list[str] = []

        async def await_it() -> None:
            tokens.append((await ticket).token)

        async with anyio.create_task_group() as group, anyio.create_task_group() as leaving:
            leaving.start_soon(solved, pool)
            await anyio.sleep(1)
            group.start_soon(await_it)
            await anyio.sleep(1)
            leaving.cancel_scope.cancel()
        assert tokens
        assert pool.statistics().lapsed == 0


async def test_what_was_kept_too_long_is_not_given_out() -> None:
    """A token that is expired helps nobody, however it was paid for."""
    service = SimulatedService(solve_times=Fixed(20))
    polling = PollPolicy(first_delay=22, jitter=0)
    async with open_pool(service, polling=polling) as pool:
        with suppress(ZeroDivisionError):
            async with pool.solve_many([JOB], once=True):
                await anyio.sleep(60)
                raise ZeroDivisionError
        await anyio.sleep(VALID / 4)
        assert (await solved(pool)).token
        assert service.summary().charges == 1
        with suppress(ZeroDivisionError):
            async with pool.solve_many([attrs.evolve(JOB, reference="job 18")], once=True):
                await anyio.sleep(60)
                raise ZeroDivisionError
        await anyio.sleep(VALID)
        assert (await solved(pool, attrs.evolve(JOB, reference="job 18"))).remaining() > 60
        assert pool.statistics().expired == 0
    assert service.summary().charges == 3

"""A pool as one of a fleet, under virtual time: what is shared is a model of it in memory.

The same with a real server, and what Redis makes of it, is in ``tests/fleet``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import anyio
import attrs
import pytest

from ezcaptcha_async import (
    Account,
    AccountEvent,
    BannedError,
    BudgetExceededError,
    ConfigurationError,
    CredentialError,
    Event,
    FuncaptchaTaskProxyless,
    InsufficientBalanceError,
    JournalError,
    PoolClosedError,
    RequestEvent,
    SessionPool,
    SubmissionUnknownError,
    TaskFailedError,
)
from ezcaptcha_async.fleets import Funds, Intention, Known, Overspent, Trouble
from ezcaptcha_async.testing import Fault, Fixed, SimulatedReply, SimulatedService

from .conftest import KEY, TASK, all_of, on_one_loop, open_pool
from .shared_books import ModelBooks, ModelFleet

JOB = attrs.evolve(TASK, reference="job 17")


@asynccontextmanager
async def pools(
    service: SimulatedService, fleet: ModelFleet, number: int, *accounts: Any, **settings: Any
) -> AsyncGenerator[list[SessionPool]]:
    """Open so many pools of one fleet."""
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(open_pool(service, *accounts, fleet=fleet, **settings))
            for _ in range(number)
        ]


def new_fleet(lease: float = 10.0) -> ModelFleet:
    """Return a fleet on the event loop's clock."""
    return ModelFleet(anyio.current_time, lease)


class Cut(ModelBooks):
    """What a pool has of its fleet, until it is cut off: for the others it is dead."""

    is_cut = False

    def _now(self) -> float:
        if self.is_cut:
            raise ConnectionError("it is cut off")
        return super()._now()


class CutFleet(ModelFleet):
    """A fleet whose pools can be cut off."""

    async def join(self, members: Any, funds: Any) -> Cut:
        """Join, and be the last one of `joined`."""
        await super().join(members, funds)
        books = Cut(self, f"cut{next(self.runs)}", tuple(members), funds)
        self.joined = [*getattr(self, "joined", []), books]
        return books


# ------------------------------------------------------------------------------- one payment


@on_one_loop
async def test_the_server_is_asked_for_many_references_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thousands that wait for another machine would take all of the server's time."""
    service, fleet = SimulatedService(), new_fleet()
    asked, look = list[int](), ModelBooks.look

    async def counting(books: ModelBooks, references: Sequence[str]) -> list[Known | None]:
        asked.append(len(references))
        return await look(books, references)

    monkeypatch.setattr(ModelBooks, "look", counting)
    jobs = [attrs.evolve(TASK, reference=f"job {number}") for number in range(600)]
    theirs = ("intended", "another.1", anyio.current_time() + 100)
    fleet.references = {job.reference or "": theirs for job in jobs}
    async with pools(service, fleet, 1) as (pool,):
        with anyio.move_on_after(3):
            await all_of(*(lambda job=job: pool.solve(job, once=True) for job in jobs))
    assert max(asked) == 500
    assert 5_000 < sum(asked) < 12_000 * 3
    service.assert_charged(0)


async def test_no_poll_waits_for_what_is_shared() -> None:
    """A server that is slow would have paid tasks lapse."""
    service = SimulatedService(solve_times=Fixed(60))
    fleet = new_fleet()
    async with pools(service, fleet, 1) as (pool,):
        ticket = await pool.submit(TASK)
        await anyio.sleep(3)
        asked, polled = fleet.calls, service.summary().polls
        await anyio.sleep(40)
        beats = fleet.calls - asked
        assert beats <= 42, "a sign of life each second, and nothing else"
        assert service.summary().polls > polled
        assert (await ticket).token


@on_one_loop
async def test_few_calls_for_a_task() -> None:
    """The server would be the limit of what the machines can do."""
    service = SimulatedService(solve_times=Fixed(20))
    fleet = new_fleet()
    async with pools(service, fleet, 1) as (pool,):
        await pool.solve(TASK)
        began, asked = anyio.current_time(), fleet.calls
        await all_of(*(lambda: pool.solve(TASK) for _ in range(100)))
        beats = anyio.current_time() - began
        assert (fleet.calls - asked - beats) / 100 <= 4


async def test_one_pool_gives_up_and_another_takes_its_place() -> None:
    """A job whose caller went away before it was paid would be held by nobody."""
    service = SimulatedService(solve_times=Fixed(20))
    async with pools(service, new_fleet(), 2) as (first, second):
        await first.solve(TASK)
        await second.solve(TASK)
        service.inject("ERROR_NO_SLOT_AVAILABLE", path="/createTask", times=None)
        with anyio.move_on_after(3):
            await first.solve(JOB, once=True)
        service.clear_faults()
        assert (await second.solve(JOB, once=True)).token
    assert service.summary().charges == 3


async def test_who_waits_for_another_pool_can_be_cancelled_and_closed() -> None:
    """It would be asked for for ever, or hold up the end of a program."""
    service = SimulatedService(solve_times=Fixed(60))
    async with pools(service, new_fleet(), 3) as (first, second, third):
        ticket = await first.submit(JOB, once=True)
        with anyio.move_on_after(5) as scope:
            await second.solve(JOB, once=True)
        assert scope.cancelled_caught
        assert second.statistics().queued == 0
        later = await all_of(lambda: third.submit(JOB, once=True), third.aclose)
        assert type(later[0]).__name__ == "PoolClosedError"
        assert (await second.submit(JOB, once=True)).task_id == ticket.task_id
        assert (await ticket).token
    assert service.summary().charges == 1


async def test_a_reference_that_is_taken_in_the_last_moment() -> None:
    """Two pools have both seen that nobody has it: only the one that is first may pay."""
    service = SimulatedService(solve_times=Fixed(20))
    fleet = new_fleet()
    async with pools(service, fleet, 1) as (pool,):
        await pool.solve(TASK)
        other = await fleet.join((), Funds())
        seen = other.fleet.known

        def taken(reference: str | None) -> Known | None:
            other.fleet.known = seen  # type: ignore[method-assign]  # once only
            fleet.references["job 17"] = ("intended", "another.1", anyio.current_time() + 5)
            return None  # what it was a moment ago

        fleet.known = taken  # type: ignore[method-assign]  # the moment between two questions
        assert (await pool.solve(JOB, once=True)).token
    assert service.summary().charges == 2


async def test_who_goes_away_while_it_is_looked_up() -> None:
    """The answer would be for a task that nobody wants any more."""
    service = SimulatedService(solve_times=Fixed(20))
    fleet = new_fleet()
    async with pools(service, fleet, 1) as (pool,):
        with anyio.CancelScope() as scope:

            async def leave() -> None:
                scope.cancel()
                await anyio.sleep(0.01)

            looked, fleet.on_look = fleet.on_look, leave
            await pool.solve(JOB, once=True)
        await anyio.sleep(1)
        assert pool.statistics().cancelled == 1
        fleet.on_look = looked
        assert await pool.solve(JOB, once=True)
    assert service.summary().charges == 1


@pytest.mark.parametrize("trouble", ["left", "closed", "shut"])
async def test_nothing_is_bought_for_those_who_are_gone(
    trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A createTask would be paid for nobody, or go into a ban: its leave takes a while to get."""
    service = SimulatedService(solve_times=Fixed(20))
    async with pools(service, new_fleet(), 1, on_event=(told := list[Event]()).append) as (pool,):
        intend = ModelBooks.intend

        async def slow(books: ModelBooks, intention: Intention) -> Known | Overspent | None:
            await anyio.sleep(2)
            return await intend(books, intention)

        monkeypatch.setattr(ModelBooks, "intend", slow)
        async with anyio.create_task_group() as group:
            group.start_soon(all_of, partial(pool.solve, TASK))
            await anyio.sleep(1)
            if trouble == "left":
                group.cancel_scope.cancel()
            elif trouble == "closed":
                await pool.aclose()
            else:
                service.ban(seconds=100, client_key=KEY)
                await all_of(pool.balance)
        await anyio.sleep(2)
    sent = [event.endpoint for event in told if isinstance(event, RequestEvent)]
    assert "createTask" not in sent
    assert service.summary().charges == 0


async def test_what_failed_and_what_is_unknown_is_known_to_all() -> None:
    """Each machine would pay for it."""
    service = SimulatedService(solve_times=Fixed(20), failure_rate=1.0)
    async with pools(service, new_fleet(), 2) as (first, second):
        for pool in (first, second):
            with pytest.raises(TaskFailedError) as caught:
                await pool.solve(JOB, once=True)
            assert caught.value.task_id is not None
        service.inject(Fault.RESET_AFTER, path="/createTask")
        lost = attrs.evolve(JOB, reference="job 18")
        for pool in (first, second):
            with pytest.raises(SubmissionUnknownError):
                await pool.solve(lost, once=True)
        await anyio.sleep(2)
        assert [item.reference for item in second.unknowns()] == ["job 18"]
    assert service.summary().charges == 2


async def test_what_is_shared_holds_no_secret_that_a_service_repeats() -> None:
    """Whoever can read the server would have the key, and the proxy of each task."""

    def telling(reply: SimulatedReply) -> SimulatedReply:
        if b"gRecaptchaResponse" not in reply.body:
            return reply
        told = {**json.loads(reply.body), "sent": [KEY, "http://user:proxy-password@host:80"]}
        return attrs.evolve(reply, body=json.dumps(told).encode())

    service = SimulatedService(solve_times=Fixed(20))
    service.inject(telling, path="/getTaskResult", times=None)
    fleet = new_fleet()
    task = attrs.evolve(JOB, proxy="http://user:proxy-password@host:80")
    async with pools(service, fleet, 2) as members:
        first, second = await all_of(*(lambda p=p: p.solve(task, once=True) for p in members))
        assert first.token == second.token
        (state, text, _) = fleet.references["job 17"]
        assert state == "ended"
        assert first.token in text
        assert not [secret for secret in (KEY, "proxy-password") if secret in text]
    service.assert_charged(1)


async def test_the_risk_is_one_for_all() -> None:
    """Each machine would risk the whole limit."""
    service = SimulatedService(solve_times=Fixed(20))
    service.inject(Fault.RESET_AFTER, path="/createTask", times=2)
    settings = {"on_unknown": "retry", "unknown_budget": 13}
    async with pools(service, new_fleet(), 2, **settings) as (first, second):
        with pytest.raises(SubmissionUnknownError):
            await first.solve(JOB, once=True)  # sent twice
        assert (await second.solve(JOB, once=True)).token  # and once more
    assert service.summary().charges == 3


async def test_another_task_of_the_same_reference_is_refused() -> None:
    """A page would get the token of another one."""
    service = SimulatedService(solve_times=Fixed(20))
    other = FuncaptchaTaskProxyless(
        website_url=TASK.website_url, website_key="key", reference="job 17"
    )
    async with pools(service, new_fleet(), 2) as (first, second):
        await first.solve(JOB, once=True)
        with pytest.raises(ConfigurationError, match="stands for another task in the fleet"):
            await second.solve(other, once=True)


# ---------------------------------------------------------------------------------- limits


async def test_one_budget_and_one_rate_of_polls() -> None:
    """All machines together would spend, and ask, as often more as there are machines."""
    service = SimulatedService(solve_times=Fixed(30))
    account = Account(KEY, service=service.profile(), polls_per_second=2)
    polls: list[float] = []

    def note(event: Event) -> None:
        if isinstance(event, RequestEvent) and event.endpoint == "getTaskResult":
            polls.append(anyio.current_time())

    async with pools(service, new_fleet(), 2, account, budget=60, on_event=note) as members:
        results = await all_of(*(lambda p=p: p.solve(TASK) for p in members for _ in range(8)))
        refused = [item for item in results if isinstance(item, BudgetExceededError)]
        assert len(refused) == 6
    assert service.summary().charges == 10
    assert len(polls) > 10
    assert all(later - sooner > 0.4 for sooner, later in pairwise(polls))


async def test_leave_that_is_not_used_is_given_back() -> None:
    """Others would wait until it is void."""
    service = SimulatedService(solve_times=Fixed(20))
    fleet = new_fleet()
    async with pools(service, fleet, 1, max_requests=1) as (pool,):
        await pool.solve(TASK)
        with anyio.move_on_after(0.25):
            await all_of(*(lambda: pool.solve(TASK) for _ in range(30)))
        (account,) = (await pool.fleet_status()).accounts
        assert account.creating > 10
        await anyio.sleep(3)
        (account,) = (await pool.fleet_status()).accounts
        assert account.creating == 0


# ------------------------------------------------------------------------------------ gates


async def test_what_one_pool_meets_holds_for_all() -> None:
    """Each of them would find out by itself, and all together earn a ban."""
    service = SimulatedService(solve_times=Fixed(20))
    told: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, AccountEvent):
            told.append(event.state)

    async with pools(service, new_fleet(), 3, on_event=note) as members:
        await all_of(*(lambda p=p: p.solve(TASK) for p in members))
        service.set_balance(KEY, 0)
        with pytest.raises(InsufficientBalanceError):
            await members[0].solve(TASK)
        await anyio.sleep(2)
        refused = dict(service.summary().refused)
        for pool in members:
            with pytest.raises(InsufficientBalanceError):
                await pool.solve(TASK)
        assert service.summary().refused == refused
        service.set_balance(KEY, 100)
        members[1].reopen()
        await anyio.sleep(2)
        assert await members[2].solve(TASK)
        assert told == ["shut"] * 3 + ["reopened"] * 3
        service.ban(seconds=100, client_key=KEY)
        with pytest.raises(BannedError):
            await members[0].solve(TASK)
        await anyio.sleep(2)
        requests = service.summary().requests
        with pytest.raises(BannedError):
            await members[1].solve(TASK)
        assert service.summary().requests == requests


async def test_what_is_reopened_at_once_is_open() -> None:
    """A pool that never heard that others knew of it would stay shut for ever."""
    service = SimulatedService(solve_times=Fixed(5), balance=0)
    fleet = new_fleet()
    async with pools(service, fleet, 1) as (pool,):
        await anyio.sleep(1.5)  # in the middle between two signs of life
        with pytest.raises(InsufficientBalanceError):
            await pool.solve(TASK)
        service.set_balance(KEY, 1_000)
        await pool.fleet_status()  # it has told of it
        name = Account(KEY, service=service.profile()).name
        outside = await fleet.join((), Funds())
        await outside.tell([Trouble(account=name, kind="reopened")])
        await anyio.sleep(1.5)
        assert await pool.solve(TASK)


async def test_those_in_line_are_told_what_another_pool_has_met() -> None:
    """They would wait for leave that nobody gives."""
    service = SimulatedService(solve_times=Fixed(20))
    account, fleet = Account(KEY, service=service.profile()), new_fleet()
    async with pools(service, fleet, 1, account) as (pool,):
        service.inject(Fault.HANG, path="/createTask", seconds=15)

        async def meet() -> None:
            await anyio.sleep(1)
            other = await fleet.join((), Funds())
            code = "ERROR_KEY_DOES_NOT_EXIST"
            await other.tell([Trouble(account=account.name, kind="refused", code=code)])

        results = await all_of(*(lambda: pool.solve(TASK) for _ in range(30)), meet)
        errors = [item for item in results if isinstance(item, CredentialError)]
        assert len(errors) == 29
    assert service.summary().creates == 1


async def test_a_pause_that_the_service_asks_for_holds_for_all() -> None:
    """The others would go on, and the service be asked more and more."""
    service = SimulatedService(solve_times=Fixed(20))
    fleet = new_fleet()
    async with pools(service, fleet, 2) as (first, second):
        await all_of(*(lambda p=p: p.solve(TASK) for p in (first, second)))
        other = await fleet.join((), Funds())
        account = Account(KEY, service=service.profile()).name
        await other.tell([Trouble(account=account, kind="paused", seconds=30)])
        await anyio.sleep(2)
        began = anyio.current_time()
        await second.submit(TASK)
        assert 25 < anyio.current_time() - began < 40


async def test_throttling_that_names_a_time_is_told_to_all() -> None:
    """It concerns the account, and so all who use it."""
    service = SimulatedService(solve_times=Fixed(20), max_requests_per_second=1, retry_after=20)
    fleet = new_fleet()
    async with pools(service, fleet, 1) as (pool,):
        with anyio.move_on_after(8):
            await all_of(*(lambda: pool.solve(TASK) for _ in range(30)))
        (gate,) = fleet.gates.values()
        assert gate.paused > anyio.current_time()


# -------------------------------------------------------------------------- those who die


async def test_what_a_dead_pool_has_paid_for_is_fetched_by_the_others() -> None:
    """It would lapse, and the job be paid for again."""
    service = SimulatedService(solve_times=Fixed(60))
    fleet = CutFleet(anyio.current_time)
    async with pools(service, fleet, 3) as (first, second, third):
        tickets = [await first.submit(JOB, once=True), await first.submit(TASK)]
        fleet.joined[0].is_cut = True
        await anyio.sleep(15)
        adopted = [pool.statistics().resumed for pool in (second, third)]
        assert sorted(adopted) == [0, 2]
        again = await all_of(*(lambda p=p: p.solve(JOB, once=True) for p in (second, third)))
        assert {item.receipt.task_id for item in again} == {tickets[0].task_id}
        async with (second if adopted[0] else third).resume_all() as outcomes:
            found = {outcome.task_id async for outcome in outcomes}
        assert tickets[1].task_id in found
        assert (await second.fleet_status()).adopted == 2
        for ticket in tickets:
            assert (await ticket).token, "it was not dead, only cut off"
        fleet.joined[0].is_cut = False
        await anyio.sleep(3)
        assert (await first.fleet_status()).pools == 3
    assert service.summary().charges == 2


async def test_what_a_newer_version_has_paid_for_ends_no_pool(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """While machines are updated one by one, all that are not would lose what they wait for."""
    service = SimulatedService(solve_times=Fixed(60))
    fleet = CutFleet(anyio.current_time)
    async with pools(service, fleet, 2) as (first, second):
        await first.solve(JOB, once=True)
        await first.submit(TASK)
        ticket = await second.submit(TASK)
        await anyio.sleep(1)
        for name, (state, text, until) in fleet.references.items():
            fleet.references[name] = state, text.replace('"version": 1', '"version": 2'), until
        with pytest.raises(ConfigurationError, match="update ezcaptcha-async"):
            await second.solve(JOB, once=True)
        for key, text in fleet.paid.items():
            fleet.paid[key] = text.replace('"version": 1', '"version": 2')
        fleet.joined[0].is_cut = True
        await anyio.sleep(15)
        assert (await ticket).token
    assert "update ezcaptcha-async" in caplog.text


async def test_what_was_taken_over_is_handed_on() -> None:
    """A machine that is shut down after another one had died would throw away what both paid."""
    service = SimulatedService(solve_times=Fixed(100))
    fleet = CutFleet(anyio.current_time)
    async with pools(service, fleet, 2) as (first, second):
        tickets = [await first.submit(JOB, once=True), await first.submit(TASK)]
        fleet.joined[0].is_cut = True
        await anyio.sleep(15)
        assert second.statistics().resumed == 2
        await second.aclose()
        assert len(fleet.paid) == 2
        async with pools(service, fleet, 1) as (third,):
            solution = await third.solve(JOB, once=True)
            assert solution.receipt.task_id == tickets[0].task_id
            async with third.resume_all() as outcomes:
                found = {outcome.task_id async for outcome in outcomes}
            assert tickets[1].task_id in found
    assert service.summary().charges == 2


async def test_a_pool_that_was_taken_for_dead_goes_on_with_its_own() -> None:
    """It would fetch its own tasks twice."""
    service = SimulatedService(solve_times=Fixed(60))
    fleet = CutFleet(anyio.current_time)
    async with pools(service, fleet, 1) as (pool,):
        ticket = await pool.submit(JOB, once=True)
        await anyio.sleep(1)
        fleet.owned["gone"] = fleet.owned.pop(fleet.joined[0].run)
        fleet.pools["gone"] = 0.0
        await anyio.sleep(3)
        assert (await pool.fleet_status()).adopted == 1
        assert pool.statistics().resumed == 0
        async with pool.resume_all() as outcomes:
            assert [outcome.task_id async for outcome in outcomes] == []
        assert (await ticket).token
    assert fleet.paid == {}
    assert service.summary().spacing_violations == 0


async def test_what_fails_after_it_was_taken_over_is_told() -> None:
    """Whoever asks for the job would wait for ever."""
    service = SimulatedService(solve_times=Fixed(60), failure_rate=1.0)
    fleet = CutFleet(anyio.current_time)
    async with pools(service, fleet, 2) as (first, second):
        await first.submit(JOB, once=True)
        fleet.joined[0].is_cut = True
        await anyio.sleep(15)
        with pytest.raises(TaskFailedError):
            await second.solve(JOB, once=True)
    assert service.summary().charges == 1


async def test_createtask_requests_of_the_dead_are_listed() -> None:
    """The machine died while the service charged: nobody would ever hear of the money."""
    service = SimulatedService(solve_times=Fixed(20))
    fleet = CutFleet(anyio.current_time)
    service.inject(Fault.HANG, path="/createTask", seconds=14)
    async with pools(service, fleet, 2) as (first, second):
        async with anyio.create_task_group() as group:
            group.start_soon(all_of, lambda: first.solve(JOB, once=True))
            await anyio.sleep(1)
            fleet.joined[0].is_cut = True
            with pytest.raises(SubmissionUnknownError):
                await second.solve(JOB, once=True)
            assert [item.reference for item in second.unknowns()] == ["job 17"]
            # It was alive after all, and is so again: nothing of that was lost.
            fleet.joined[0].is_cut = False
            await anyio.sleep(10)
            assert second.unknowns() == ()
            assert (await second.solve(JOB, once=True)).token
    assert service.summary().charges == 1


async def test_books_that_have_forgotten_are_told_again() -> None:
    """What is paid would be bought again by the next who asks."""
    service = SimulatedService(solve_times=Fixed(60))
    fleet = new_fleet()
    async with pools(service, fleet, 2) as (first, second):
        ticket = await first.submit(JOB, once=True)
        left = await first.submit(TASK)
        fleet.references.clear()
        fleet.paid.clear()
        fleet.owned.clear()
        fleet.pools.clear()
        await anyio.sleep(2)
        assert (await second.solve(JOB, once=True)).receipt.task_id == ticket.task_id
        assert len(fleet.paid) == 2, "not delivered yet"
        await left
    assert service.summary().charges == 2


async def test_a_ticket_from_elsewhere_is_in_the_shared_books() -> None:
    """Whoever dies while he fetches it would lose it."""
    service = SimulatedService(solve_times=Fixed(60))
    fleet = new_fleet()
    async with open_pool(service) as lonely:
        saved = (await lonely.submit(TASK)).to_dict()
    async with pools(service, fleet, 1) as (pool,), anyio.create_task_group() as group:
        group.start_soon(pool.resume, saved)
        await anyio.sleep(2)
        assert [json.loads(text)["task_id"] for text in fleet.paid.values()] == [saved["task_id"]]
    assert fleet.paid == {}


# ----------------------------------------------------------------- what cannot be reached


async def test_nothing_is_created_while_nobody_can_say_that_it_may_be(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Limits would be broken, and what is paid be known to nobody."""
    service = SimulatedService(solve_times=Fixed(30))
    fleet = new_fleet()
    account = Account(KEY, service=service.profile(), polls_per_second=5)
    async with pools(service, fleet, 1, account) as (pool,):
        tickets = [await pool.submit(task) for task in (TASK, JOB)]
        fleet.away = True
        began = anyio.current_time()
        other = attrs.evolve(JOB, reference="job 18")
        results = await all_of(lambda: pool.solve(TASK), lambda: pool.solve(other, once=True))
        assert {type(item) for item in results} == {JournalError}
        assert 9 < anyio.current_time() - began < 13
        assert all("cannot be reached" in str(item) for item in results)
        for ticket in tickets:
            assert (await ticket).token
        with pytest.raises(JournalError, match="cannot be reached"):
            await pool.fleet_status()
        assert service.summary().charges == 2
        began = anyio.current_time()
        with pytest.raises(JournalError, match="cannot be reached"):
            await pool.solve(TASK)
        assert anyio.current_time() - began < 2, "also where nothing else goes on"
        fleet.away = False
        assert await pool.solve(TASK)
        await anyio.sleep(1)
        assert fleet.paid == {}, "what was owed is told"
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_short_absence_is_waited_out() -> None:
    """Each restart of the server would fail what is in line."""
    service = SimulatedService(solve_times=Fixed(20))
    fleet = new_fleet()
    async with pools(service, fleet, 2) as members:
        await all_of(*(lambda p=p: p.solve(TASK) for p in members))

        async def go_away() -> None:
            await anyio.sleep(0.25)
            fleet.away = True
            await anyio.sleep(4)
            fleet.away = False

        results = await all_of(
            go_away,
            *(lambda p=p: p.solve(TASK) for p in members for _ in range(15)),
            *(lambda p=p: p.solve(JOB, once=True) for p in members),
        )
        assert not [item for item in results if isinstance(item, Exception)]
        assert (await members[0].fleet_status()).adopted == 0
    assert service.summary().charges == 33


async def test_a_pool_closes_without_what_it_shares() -> None:
    """A program could not be ended."""
    service = SimulatedService(solve_times=Fixed(60))
    fleet = new_fleet()
    async with pools(service, fleet, 1) as (pool,):
        await pool.submit(TASK)
        fleet.away = True
        pool.reopen()
        began = anyio.current_time()
        await pool.aclose()
        assert anyio.current_time() - began < 10


async def test_it_is_opened_once() -> None:
    """The books of the second opening would be left open."""
    service = SimulatedService()
    fleet = new_fleet()
    async with pools(service, fleet, 1) as (pool,):
        with pytest.raises(Exception, match="opened once"):
            await pool.open()
        assert len(fleet.pools) == 1


async def test_who_gives_up_opening_leaves_nothing_open() -> None:
    """A program that is ended while the server hangs would leave a pool at work."""
    service = SimulatedService()
    fleet = new_fleet()
    fleet.on_beat = anyio.sleep_forever
    pool = SessionPool(KEY, http_client=service.client(), fleet=fleet)
    with anyio.move_on_after(3) as scope:
        await pool.open()
    assert scope.cancelled_caught
    assert not fleet.pools
    with pytest.raises(PoolClosedError):
        await pool.solve(TASK)


async def test_a_mistake_in_what_is_beside_the_runner_ends_nobodys_wait_in_vain(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Everybody would wait for ever, and nobody be told what to report."""
    service = SimulatedService(solve_times=Fixed(60))
    fleet = new_fleet()

    async def fail() -> None:
        raise LookupError("a mistake")

    async with pools(service, fleet, 1) as (pool,):
        ticket = await pool.submit(TASK)
        fleet.on_beat = fail
        with pytest.raises(PoolClosedError, match=r"internal error \(LookupError\)") as caught:
            await ticket
        assert caught.value.ticket is not None
    assert "please report" in caplog.text

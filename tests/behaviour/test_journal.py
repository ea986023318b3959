"""A pool with a journal: what is paid for outlives the process, and so does a ban."""

from __future__ import annotations

import errno
import json
import logging
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import attrs
import httpx
import pytest

from ezcaptcha_async import (
    Account,
    BannedError,
    ConfigurationError,
    EzCaptchaError,
    Journal,
    JournalError,
    PoolClosedError,
    ProtocolError,
    ResultWindowLapsedError,
    Resumed,
    SessionPool,
    Statistics,
    SubmissionUnknownError,
    TaskFailedError,
)
from ezcaptcha_async.testing import Fault, Fixed, SimulatedService, Uniform

from .conftest import (
    KEY,
    TASK,
    copied,
    on_both_loops,
    open_pool,
    open_pool_directly,
    solve_all,
)


def events(path: Path) -> list[str]:
    """Return what was written, as words."""
    return [json.loads(line)["event"] for line in path.read_text("ascii").splitlines()]


def banned_until(until: float) -> bytes:
    """Return the line of a ban."""
    ban = {"service": "ezcaptcha", "account": Account(KEY).fingerprint, "until": until}
    return json.dumps({"v": 1, "event": "banned", **ban}).encode() + b"\n"


async def resumed(pool: SessionPool) -> list[Resumed]:
    """Resume all that there is."""
    async with pool.resume_all() as outcomes:
        return [outcome async for outcome in outcomes]


# ------------------------------------------------------------------------ killed processes


@on_both_loops
async def test_what_is_paid_is_fetched_by_the_next_process(path: Path) -> None:
    """A scraper that is killed has paid for everything that it had in flight."""
    service = SimulatedService(solve_times=Uniform(20, 60))
    async with open_pool(service, journal=path) as pool, anyio.create_task_group() as group:
        for _ in range(30):
            group.start_soon(pool.solve, TASK)
        await anyio.sleep(40)
        solved, charged = pool.statistics().solved, service.summary().charges
        assert 0 < solved < charged == 30
        killed = copied(path)
    async with open_pool(service, journal=killed) as pool:
        outcomes = await resumed(pool)
        assert len(outcomes) == charged - solved
        assert all(
            outcome.solution and outcome.solution.receipt.task_id == outcome.task_id
            for outcome in outcomes
        )
        assert pool.statistics().created == 0
        assert pool.unknowns() == ()
        assert await resumed(pool) == []
    assert service.summary().charges == charged
    async with open_pool(service, journal=killed) as pool:
        assert await resumed(pool) == []


async def test_whoever_resumes_knows_what_a_task_was_for(path: Path) -> None:
    """A token would come back, and nobody would know for which job."""
    service = SimulatedService(solve_times=Fixed(40))
    service.inject(Fault.RESET_AFTER, path="/createTask", when=lambda _path, _body: lost)
    lost = False
    async with open_pool(service, journal=path) as pool, anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(pool.solve, attrs.evolve(TASK, reference=f"job {number}"))
        await anyio.sleep(5)
        lost = True
        with pytest.raises(SubmissionUnknownError):
            await pool.solve(attrs.evolve(TASK, reference="job 3"))
        ticket = await pool.submit(attrs.evolve(TASK, reference="job 4"))
        assert ticket.reference == "job 4"
        killed = copied(path)
        group.cancel_scope.cancel()
    async with open_pool(service, journal=killed) as pool:
        outcomes = await resumed(pool)
        jobs = sorted(str(outcome.reference) for outcome in outcomes)
        assert jobs == ["job 0", "job 1", "job 2", "job 4"]
        assert [item.reference for item in pool.unknowns()] == ["job 3"]


async def test_what_a_reader_has_not_kept_yet_is_fetched_again(path: Path) -> None:
    """A process that is killed between a solution and the file it goes to has paid in vain."""
    service = SimulatedService(solve_times=Fixed(12), failure_rate=0.5)
    kept: list[str] = []
    async with open_pool(service, journal=path) as pool:
        async with pool.solve_many([TASK] * 6) as outcomes:
            async for outcome in outcomes:
                assert events(path).count("done") == len(kept)
                found = outcome.solution.receipt if outcome.solution else outcome.error
                assert found is not None
                kept.append(str(found.task_id))
                killed = copied(path)
    assert events(path).count("done") == 6, "left without an error: the last one is kept too"
    async with open_pool(service, journal=killed) as pool:
        (again,) = await resumed(pool)
        assert again.task_id == kept[-1]


async def test_a_reader_who_fails_has_not_kept_what_it_got(path: Path) -> None:
    """A full disk under the results would throw away the solution that did not fit."""
    service = SimulatedService(solve_times=Fixed(12))
    async with open_pool(service, journal=path) as pool:
        with pytest.raises(OSError, match="full"):
            async with pool.solve_many([TASK] * 2, max_in_flight=1) as outcomes:
                async for _ in outcomes:
                    raise OSError("the disk is full")
        async with pool.solve_many([TASK]) as outcomes:
            async for _ in outcomes:
                break
    assert events(path).count("done") == 1


async def test_what_was_delivered_is_not_fetched_again(path: Path) -> None:
    """Every restart would poll for the tasks of the last five minutes."""
    service = SimulatedService(solve_times=Fixed(12))
    async with open_pool(service, journal=str(path)) as pool:
        await pool.solve(TASK)
        await (await pool.submit(TASK))
        async with pool.solve_many([TASK]) as outcomes:
            assert [outcome.error async for outcome in outcomes] == [None]
    assert events(path) == ["intent", "created", "done"] * 3
    sent = service.summary().requests
    async with open_pool(service, journal=str(path)) as pool:
        assert await resumed(pool) == []
    assert path.read_bytes() == b""
    assert service.summary().requests == sent


async def test_a_solution_that_nobody_took_is_fetched_again(path: Path) -> None:
    """It was ready in a process that died before its caller had its turn."""
    service = SimulatedService(solve_times=Fixed(12))
    async with open_pool(service, journal=path) as pool:
        ticket = await pool.submit(TASK)
        await anyio.sleep(30)
        assert ticket.done
        killed = copied(path)
        await ticket
        await ticket
        assert events(path).count("done") == 1
    async with open_pool(service, journal=killed) as pool:
        [outcome] = await resumed(pool)
        assert outcome.solution is not None
        assert outcome.task_id == ticket.task_id


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"solve_times": Fixed(12), "failure_rate": 1.0}, TaskFailedError),
        ({"solve_times": Fixed(5_000)}, ResultWindowLapsedError),
    ],
)
async def test_what_came_to_nothing_is_told_once(
    path: Path, settings: dict[str, Any], error: type[EzCaptchaError]
) -> None:
    """Whoever was told would be told again after each restart."""
    service = SimulatedService(**settings)
    async with open_pool(service, journal=path) as pool:
        with pytest.raises(error):
            await pool.solve(TASK)
    assert events(path) == ["intent", "created", "done"]
    async with open_pool(service, journal=path) as pool:
        assert await resumed(pool) == []


async def test_what_the_caller_gave_up_can_be_resumed(path: Path) -> None:
    """A timeout, a cancellation and a closed pool all leave paid tasks behind."""
    service = SimulatedService(solve_times=Fixed(60))
    async with open_pool(service, journal=path) as pool:
        with pytest.raises(TimeoutError):
            await pool.solve(TASK, timeout=5)
        with anyio.move_on_after(5):
            await pool.solve(TASK)
        (await pool.submit(TASK)).cancel()
        await pool.submit(TASK)
    async with open_pool(service, journal=path) as pool:
        outcomes = await resumed(pool)
        assert len(outcomes) == 4
        assert all(outcome.solution for outcome in outcomes)
    assert service.summary().charges == 4


async def test_orphans_of_the_same_pool_are_resumed_along(path: Path) -> None:
    """A program that resumes once a minute need not know where its paid tasks come from."""
    service = SimulatedService(solve_times=Fixed(30))
    async with open_pool(service, journal=path) as pool:
        with anyio.move_on_after(5):
            await pool.solve(TASK)
        ticket = await pool.submit(TASK)  # somebody waits for it
        [outcome] = await resumed(pool)
        assert outcome.solution is not None
        assert outcome.task_id != ticket.task_id
        assert (await ticket).token
        assert await resumed(pool) == []


async def test_a_reader_who_leaves_loses_nothing(path: Path) -> None:
    """What was taken up and not read is as paid as before."""
    service = SimulatedService(solve_times=Uniform(20, 60))
    async with open_pool(service, journal=path) as pool:
        for _ in range(10):
            await pool.submit(TASK)
    async with open_pool(service, journal=path) as pool:
        async with pool.resume_all(max_in_flight=4) as outcomes:
            async for outcome in outcomes:
                assert outcome.solution is not None
                break
        left = len(await resumed(pool))
        assert left == 9
    assert service.summary().charges == 10


async def test_a_process_that_is_killed_while_it_resumes(path: Path) -> None:
    """Whoever crashes at the start would lose everything at the second start."""
    service = SimulatedService(solve_times=Fixed(60))
    async with open_pool(service, journal=path) as pool:
        ticket = (await pool.submit(TASK)).to_dict()
    async with open_pool(service, journal=path) as pool, anyio.create_task_group() as group:
        group.start_soon(resumed, pool)
        await anyio.sleep(5)
        killed = copied(path)
    async with open_pool(service, journal=killed) as pool:
        assert [outcome.ticket for outcome in await resumed(pool)] == [ticket]


async def test_a_ticket_from_elsewhere_is_in_the_journal_too(path: Path) -> None:
    """It was paid for by a pool without a journal, and is fetched by one that has one."""
    service = SimulatedService(solve_times=Fixed(60))
    async with open_pool(service) as pool:
        saved = (await pool.submit(TASK)).to_dict()
    async with open_pool(service, journal=path) as pool, anyio.create_task_group() as group:
        group.start_soon(pool.resume, {**saved, "account": None})
        await anyio.sleep(1)
        killed = copied(path)
    assert events(path) == ["created", "done"]
    async with open_pool(service, journal=killed) as pool:
        [outcome] = await resumed(pool)
        assert outcome.solution is not None


@pytest.mark.parametrize("key", [KEY, "key-2"])
async def test_tasks_that_are_too_old_are_named_once(path: Path, key: str) -> None:
    """Money that is gone must be known, after two crashes too, and must not be asked for."""
    service = SimulatedService(solve_times=Fixed(20))
    async with open_pool(service, journal=path) as pool:
        ticket = await pool.submit(TASK)
    lines = [json.loads(line) for line in path.read_text("ascii").splitlines()]
    lines[1]["task"]["created_at"] -= 1_000
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "ascii")
    sent = service.summary().requests
    async with open_pool(service, journal=path):
        pass
    async with open_pool(service, journal=path) as pool:
        with pytest.raises(RuntimeError):
            async with pool.resume_all() as outcomes:
                await anext(outcomes)
                raise RuntimeError
    account = Account(key, service=service.profile())
    async with open_pool(service, account, journal=path) as pool:
        [outcome] = await resumed(pool)
        assert isinstance(outcome.error, ResultWindowLapsedError)
        assert outcome.error.ticket == outcome.ticket
        assert outcome.task_id == outcome.error.task_id == ticket.task_id
        assert await resumed(pool) == []
    assert events(path)[-1] == "done"
    async with open_pool(service, journal=path) as pool:
        assert await resumed(pool) == []
    assert service.summary().requests == sent


async def test_tasks_of_another_account_stay_for_it(path: Path) -> None:
    """Asked for with the wrong key they do not exist; dropped they would be lost."""
    service = SimulatedService(solve_times=Fixed(60))
    profile = service.profile()
    first, second = (Account(key, service=profile) for key in ("key-1", "key-2"))
    async with open_pool(service, first, journal=path) as pool:
        await pool.submit(TASK)
    async with open_pool(service, second, journal=path) as pool:
        [outcome] = await resumed(pool)
        assert isinstance(outcome.error, ConfigurationError)
        assert first.fingerprint in str(outcome.error)
    async with open_pool(service, second, first, journal=path) as pool:
        [outcome] = await resumed(pool)
        assert outcome.solution is not None


async def test_a_key_that_is_refused_for_a_while_costs_no_paid_task(path: Path) -> None:
    """The key is good again a minute later; so are its tasks."""
    service = SimulatedService(solve_times=Fixed(60))
    async with open_pool(service, journal=path) as pool:
        ticket = await pool.submit(TASK)
        service.ban_key(KEY)
        with anyio.move_on_after(100) as scope:
            await ticket
    assert scope.cancelled_caught
    assert "done" not in events(path)


async def test_one_id_for_two_tasks_is_in_the_journal(path: Path) -> None:
    """A gateway that repeats an id has charged twice, and gives one solution."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/createTask":
            return httpx.Response(200, json={"errorId": 0, "taskId": "always-the-same"})
        return httpx.Response(200, json={"errorId": 0, "status": "processing"})

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client,
        SessionPool(KEY, http_client=client, journal=path) as pool,
    ):
        await pool.submit(TASK)
        with pytest.raises(SubmissionUnknownError, match="the id of another task"):
            await pool.submit(TASK)
        assert len(pool.unknowns()) == 1
    assert events(path) == ["intent", "created", "intent", "unknown"]


# ------------------------------------------------------------------------------- unknown


async def test_a_lost_answer_is_written_down_and_listed(path: Path) -> None:
    """Nobody could ask the service's support about a charge that nobody knows of."""
    service = SimulatedService(solve_times=Fixed(12))
    service.inject(Fault.RESET_AFTER, path="/createTask")
    async with open_pool(service, journal=path) as pool:
        with pytest.raises(SubmissionUnknownError) as caught:
            await pool.solve(TASK)
        assert caught.value.may_be_charged
        assert pool.statistics().unknown == 1
        [unknown] = pool.unknowns()
        await pool.solve(TASK)
    assert unknown.service == "ezcaptcha"
    assert unknown.type == TASK.type
    assert unknown.host == "example.com"
    assert unknown.points == 6
    assert abs(unknown.sent_at - time.time()) < 60
    assert Account(KEY).fingerprint == unknown.account
    async with open_pool(service, journal=path) as pool:
        assert pool.unknowns() == (unknown,)
        assert await resumed(pool) == []


async def test_a_create_that_a_crash_cut_off_is_unknown(path: Path) -> None:
    """The process dies between the charge and its answer."""
    service = SimulatedService(solve_times=Fixed(12))
    service.inject(Fault.HANG, path="/createTask")
    async with open_pool(service, journal=path, close_grace=0.5) as pool:
        async with anyio.create_task_group() as group:
            group.start_soon(solve_all, pool, 1)
            await anyio.sleep(5)
            killed = copied(path)
            assert pool.unknowns() == ()
            await pool.aclose()
        assert len(pool.unknowns()) == 1
    assert events(killed) == ["intent"]
    for journal in (path, killed):
        async with open_pool(service, journal=journal) as pool:
            assert len(pool.unknowns()) == 1
            assert await resumed(pool) == []


@pytest.mark.parametrize(
    "fault", [Fault.REFUSED, Fault.RESET_BEFORE, Fault.THROTTLED, Fault.UNAVAILABLE]
)
async def test_what_was_certainly_not_paid_is_not_unknown(path: Path, fault: Fault) -> None:
    """A list of charges that never were hides the ones that may have been."""
    service = SimulatedService(solve_times=Fixed(12))
    service.inject(fault, path="/createTask", times=2)
    async with open_pool(service, journal=path) as pool:
        await pool.solve(TASK)
        assert pool.unknowns() == ()
    assert events(path) == ["intent", "not_paid"] * 2 + ["intent", "created", "done"]


async def test_an_http_error_without_words_is_not_unknown(path: Path) -> None:
    """A gateway that says 404 has bought nothing."""

    def handle(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(404, text="no such page")

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(handle)) as client,
        SessionPool(KEY, http_client=client, journal=path) as pool,
    ):
        with pytest.raises(ProtocolError, match="HTTP 404") as caught:
            await pool.solve(TASK)
    assert caught.value.status == 404
    assert events(path) == ["intent", "not_paid"]


async def test_a_lost_create_is_repeated_once_where_that_is_wanted(path: Path) -> None:
    """For some a late answer costs more than a second task."""
    service = SimulatedService(solve_times=Fixed(12))
    service.inject(Fault.RESET_AFTER, path="/createTask")
    async with open_pool(
        service, journal=path, on_unknown="retry", unknown_budget=100, budget=100
    ) as pool:
        await pool.solve(TASK)
        counts = pool.statistics()
        assert (counts.created, counts.solved, counts.unknown, counts.unaccounted) == (1, 1, 1, 0)
        assert len(pool.unknowns()) == 1
        assert service.summary().charges == 2
        service.inject(Fault.RESET_AFTER, path="/createTask", times=2)
        with pytest.raises(SubmissionUnknownError):
            await pool.solve(TASK)
        assert pool.statistics().unknown == 3
    assert events(path).count("unknown") == 3
    assert service.summary().charges == 4


@pytest.mark.parametrize(
    ("budgets", "repeated"),
    [({"unknown_budget": 13}, 2), ({"unknown_budget": 100, "budget": 11}, 0)],
)
async def test_repetitions_end_with_their_budget(budgets: dict[str, Any], repeated: int) -> None:
    """A service that loses every second answer would be paid twice all night."""
    service = SimulatedService(solve_times=Fixed(12))
    async with open_pool(service, on_unknown="retry", **budgets) as pool:
        for _ in range(repeated):
            service.inject(Fault.RESET_AFTER, path="/createTask")
            await pool.solve(TASK)
        service.inject(Fault.RESET_AFTER, path="/createTask")
        with pytest.raises(SubmissionUnknownError):
            await pool.solve(TASK)
    assert service.summary().points == (2 * repeated + 1) * 6


async def test_whoever_gives_up_a_repetition_hears_of_the_first_try() -> None:
    """The error would say that nothing was paid."""
    service = SimulatedService(solve_times=Fixed(12))
    service.inject(Fault.RESET_AFTER, path="/createTask")
    service.inject(Fault.UNAVAILABLE, path="/createTask", times=None)
    async with open_pool(service, on_unknown="retry", unknown_budget=100) as pool:
        with pytest.raises(TimeoutError) as caught:
            await pool.solve(TASK, timeout=15)
        assert isinstance(caught.value, EzCaptchaError)
        assert caught.value.may_be_charged
        assert caught.value.ticket is None


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"on_unknown": "repeat"}, "on_unknown must be 'raise' or 'retry'"),
        ({"on_unknown": "retry"}, "set unknown_budget"),
        ({"on_unknown": "retry", "unknown_budget": 0}, "unknown_budget must be a positive"),
        ({"unknown_budget": 10}, "unknown_budget is for on_unknown='retry'"),
    ],
)
def test_repetitions_need_a_limit(settings: dict[str, Any], problem: str) -> None:
    """Paying twice must be somebody's decision, and bounded."""
    with pytest.raises(ConfigurationError, match=problem):
        SessionPool(KEY, **settings)


# ---------------------------------------------------------------------------------- bans


async def test_a_ban_holds_in_the_next_process(path: Path) -> None:
    """A supervisor restarts the program at once, and each start would prolong the ban."""
    service = SimulatedService(solve_times=Fixed(12), ban_seconds=600)
    async with open_pool(service, journal=path) as pool:
        ticket = (await pool.submit(TASK)).to_dict()
        service.ban()
        with pytest.raises(BannedError):
            await pool.solve(TASK)
    sent = service.summary().requests
    async with open_pool(service, journal=path) as pool:
        with pytest.raises(BannedError) as caught:
            await pool.solve(TASK)
        assert caught.value.retry_after is not None
        assert 590 < caught.value.retry_after < 670
        with pytest.raises(BannedError):
            await pool.balance()
        # Its window ends before the ban does, so waiting for it is of no use.
        [outcome] = await resumed(pool)
        assert isinstance(outcome.error, BannedError)
        assert outcome.error.ticket == ticket
        assert service.summary().requests == sent
        await anyio.sleep(700)
        await pool.solve(TASK)


async def test_what_outlives_a_ban_is_fetched_after_it(path: Path) -> None:
    """A short ban would cost all that is in flight."""
    service = SimulatedService(solve_times=Fixed(12))
    async with open_pool(service, journal=path) as pool:
        await pool.submit(TASK)
    with path.open("ab") as file:
        file.write(banned_until(time.time() + 60))
    before = service.now
    async with open_pool(service, journal=path) as pool:
        [outcome] = await resumed(pool)
        assert outcome.solution is not None
    assert service.now >= before + 55


async def test_no_ban_lasts_longer_than_bans_do(path: Path) -> None:
    """A clock that was wrong for a moment would silence a program for most of a day."""
    service = SimulatedService(solve_times=Fixed(12))
    path.write_bytes(banned_until(time.time() + 80_000))
    async with open_pool(service, journal=path) as pool:
        await anyio.sleep(3_961)
        await pool.solve(TASK)


# ------------------------------------------------------------------------------ the file


async def test_one_journal_is_for_one_pool(path: Path) -> None:
    """Both would fetch the same tasks, and poll twice as often as the service wants."""
    service = SimulatedService(solve_times=Fixed(12))
    pool = SessionPool(KEY, service=service.profile(), journal=Journal(path))
    async with open_pool(service, journal=path) as first:
        with pytest.raises(ConfigurationError, match=str(path)):
            await pool.__aenter__()
        await first.solve(TASK)
    async with pool:
        assert await resumed(pool) == []


def long_journal(tasks: int) -> bytes:
    """Return what a process has left that paid for so many tasks."""
    task = {"service": "ezcaptcha", "account": Account(KEY).fingerprint, "type": TASK.type}
    lines = [
        {"v": 1, "event": "created", "attempt": None, "window": 300.0}
        | {"task": {"version": 1, "task_id": f"{number}", "created_at": time.time(), **task}}
        for number in range(tasks)
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


async def test_a_journal_is_made_shorter_while_the_pool_works(path: Path) -> None:
    """What is paid in that very moment would be lost, or the file be as long as the year."""
    service, tasks = SimulatedService(solve_times=Uniform(3, 60)), 300
    path.write_bytes(long_journal(3_600) + b'{"v":1,"event":"not_paid","attempt":"over"}\n')
    async with open_pool_directly(service, journal=path) as pool:
        async with anyio.create_task_group() as group:
            for _ in range(tasks):
                group.start_soon(pool.solve, TASK)
            while pool.statistics().solved < tasks:
                await anyio.sleep(15)
                # As a process that is killed now.
                left = Journal(copied(path)).unfinished()
                assert len(left) >= 3_600 + pool.statistics().waiting
    assert "not_paid" not in events(path)
    assert len(Journal(path).unfinished()) == 3_600


@pytest.mark.parametrize("newer", [False, True])
async def test_a_pool_that_cannot_open_lets_go_of_its_journal(path: Path, *, newer: bool) -> None:
    """After a wrong setting was corrected, or an update, the journal would be in use by nobody."""
    path.write_bytes(content := long_journal(500) + b'{"v":99,"event":"new"}\n' * newer)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="update ezcaptcha" if newer else "http_cl"):
            await SessionPool(KEY, http_client=None if newer else object(), journal=path).open()
    assert path.read_bytes() == content or not newer


async def test_a_full_disk_stops_creating_and_nothing_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Paid without a trace, or paid and thrown away: either costs money."""
    service = SimulatedService(solve_times=Fixed(12))

    def full(_file: int, _lines: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with open_pool(service, journal=path) as pool:
        ticket = await pool.submit(TASK)
        with monkeypatch.context() as outage:
            outage.setattr(os, "write", full)
            for _ in range(3):
                with pytest.raises(JournalError, match="No space left"):
                    await pool.solve(TASK)
            assert (await ticket).token
            assert service.summary().charges == 1
        await pool.solve(TASK)
        assert pool.statistics().refused == 3
    # It was written anew after the outage, without what was over by then.
    assert events(path) == ["intent", "created", "done"]


async def test_resuming_needs_a_journal(path: Path) -> None:
    """A program that forgot to name it would be told that nothing is paid."""
    service = SimulatedService()
    async with open_pool(service) as pool:
        with pytest.raises(ConfigurationError, match="needs a pool with a journal"):
            pool.resume_all()
    pool = SessionPool(KEY, journal=path)
    for call in (pool.resume_all, pool.unknowns):
        with pytest.raises(PoolClosedError):
            call()
    async with open_pool(service, journal=path) as pool:
        for wrong in (0, None):
            with pytest.raises(ConfigurationError, match="max_in_flight"):
                pool.resume_all(max_in_flight=wrong)  # type: ignore[arg-type]
    with pytest.raises(PoolClosedError):
        pool.resume_all()
    assert pool.unknowns() == ()


# ---------------------------------------------------------------------------- accounting


async def test_the_books_balance_at_every_moment(path: Path) -> None:
    """Money would be spent that no figure shows."""
    service = SimulatedService(
        solve_times=Uniform(5, 100),
        failure_rate=0.1,
        result_window=75,
        fault_rates={fault: 0.02 for fault in Fault if fault is not Fault.HANG},
    )
    done = anyio.Event()

    async def watch(pool: SessionPool) -> None:
        while not done.is_set():
            counts = pool.statistics()
            assert counts.unaccounted == 0
            await anyio.sleep(0.7)

    async def solve(pool: SessionPool, patience: float) -> None:
        with anyio.move_on_after(patience):
            with suppress(EzCaptchaError):
                await pool.solve(TASK)

    async with (
        open_pool(service, journal=path, on_unknown="retry", unknown_budget=120) as pool,
        anyio.create_task_group() as group,
    ):
        group.start_soon(watch, pool)
        async with anyio.create_task_group() as callers:
            for number in range(100):
                callers.start_soon(solve, pool, 5.0 + number)
        async with pool.resume_all() as outcomes:
            async for _ in outcomes:
                pass
        done.set()
    counts = pool.statistics()
    assert counts.unaccounted == 0
    charges = service.summary().charges
    assert counts.created <= charges <= counts.created + counts.unknown
    assert len(pool.unknowns()) == counts.unknown


async def test_books_that_do_not_balance_are_reported(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake in this library that loses paid tasks would go on unseen."""
    service = SimulatedService(solve_times=Fixed(12))
    async with open_pool_directly(service) as pool:
        await pool.solve(TASK)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    async with open_pool_directly(service) as pool:
        await pool.solve(TASK)
        monkeypatch.setattr(Statistics, "unaccounted", 2)
    assert "do not balance by 2 paid tasks" in caplog.text

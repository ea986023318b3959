"""What only shows in a whole pool, on virtual time: how much is kept, how often it is looked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from math import inf
from pathlib import Path
from typing import Any

import pytest

from ezcaptcha_async import (
    Account,
    CredentialError,
    ReCaptchaSolution,
    ReCaptchaV2TaskProxyless,
    SessionPool,
)
from ezcaptcha_async._account.exchange import Asked
from ezcaptcha_async._books import Books
from ezcaptcha_async._journal.file_ledger import FileLedger
from ezcaptcha_async.fleets import Gates
from ezcaptcha_async.testing import Fault, Fixed, SimulatedService, VirtualTimeLoop
from ezcaptcha_async.transports import Reply

TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")


def test_solutions_that_nobody_awaits_wait_at_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand pages of a megabyte would be kept for callers who never come."""
    monkeypatch.setattr("ezcaptcha_async._books.books._MOST_KEPT", 500)
    service = SimulatedService(solve_times=Fixed(15))

    async def main() -> None:
        async with (
            service.client() as client,
            SessionPool("a-key", service=service.profile(), http_client=client) as pool,
        ):
            tickets = [await pool.submit(TASK) for _ in range(9)]
            await asyncio.sleep(60)
            assert 0 < sum(ticket.done for ticket in tickets) < 3
            assert all([(await ticket).token for ticket in tickets])

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    assert service.summary().lost == 0


@asynccontextmanager
async def cut_off(
    service: SimulatedService,
) -> AsyncGenerator[tuple[SessionPool, list[asyncio.Task[ReCaptchaSolution]]]]:
    """Have 50 tasks in flight and 10 in line when the service cannot be reached any more."""
    account = Account("a-key", service=service.profile(), max_in_flight=50)
    async with service.client() as client, SessionPool(account, http_client=client) as pool:
        callers = [asyncio.create_task(pool.solve(TASK)) for _ in range(60)]
        await asyncio.sleep(30)
        service.inject(Fault.REFUSED, times=None)
        yield pool, callers


def test_an_outage_looks_at_those_in_line_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """With each poll that fails, thousands in line would take the whole of a processor."""
    looks = 0
    see_to_queued = Books.see_to_queued

    def counting(*arguments: object, **options: object) -> object:
        nonlocal looks
        looks += 1
        return see_to_queued(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Books, "see_to_queued", counting)
    service = SimulatedService(solve_times=Fixed(100))

    async def main() -> None:
        async with cut_off(service) as (pool, callers):
            before = pool.statistics().requests
            await asyncio.sleep(30)
            assert pool.statistics().requests - before > 100
            assert 0 < looks <= 21, "after ten seconds of nothing but failures"
            service.clear_faults()
            assert all(solution.token for solution in await asyncio.gather(*callers))

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())
    assert service.summary().lost == 0


def test_a_failure_does_not_keep_those_in_line_from_being_told() -> None:
    """Whoever is in line at an account that was shut amid an outage would wait for ever."""
    service = SimulatedService(solve_times=Fixed(100))

    async def main() -> None:
        async with cut_off(service) as (pool, callers):
            await asyncio.sleep(25)
            assert pool.statistics().queued == 10
            assert pool._engine is not None
            standing = pool._engine.sessions[0].standing
            standing.turn_away_queued(CredentialError("NO_KEY"))
            standing._relieves_at = -inf
            permit = standing.gate.send("getTaskResult", asyncio.get_running_loop().time())
            standing.failed(Asked(permit, None, permit.at, 20.0), "unanswered", "no connection")
            await asyncio.sleep(1)
            assert pool.statistics().queued == 0
            service.clear_faults()
            solved = await asyncio.gather(*callers, return_exceptions=True)
            assert sum(isinstance(item, CredentialError) for item in solved) == 10

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())


def test_two_that_are_paid_at_a_time_and_have_one_id(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """While the first is being written down, the second would take its place in the books."""
    written = FileLedger.created
    ids = iter((b"the-first", b"the-same", b"the-same"))

    async def late(*arguments: Any) -> None:
        await asyncio.sleep(5)
        await written(*arguments)

    class OneId:
        max_requests = 9

        async def post(self, url: str, *_arguments: Any, **_options: Any) -> Reply:
            await asyncio.sleep(1)
            if url.endswith("/createTask"):
                return Reply(200, b'{"errorId":0,"taskId":"%b"}' % next(ids))
            return Reply(200, b'{"errorId":0,"status":"processing"}')

        async def aclose(self) -> None:
            """Nothing to close."""

    async def main() -> None:
        async with SessionPool("a-key", transport=OneId(), journal=tmp_path / "paid.jsonl") as pool:
            await pool.submit(TASK)  # one alone, to try the account out
            callers = [asyncio.ensure_future(pool.submit(TASK)) for _ in range(2)]
            told = await asyncio.gather(*callers, return_exceptions=True)
            assert sorted(type(item).__name__ for item in told) == [
                "SubmissionUnknownError",
                "Ticket",
            ]
            assert len(pool.unknowns()) == 1

    monkeypatch.setattr(FileLedger, "created", late)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())


def test_a_ban_of_creates_that_is_told_again_slows_no_poll() -> None:
    """With each sign of life of its fleet a pool would go back to one poll at a time."""
    service = SimulatedService(solve_times=Fixed(12))

    async def main() -> None:
        account = Account("a-key", service=service.profile())
        async with service.client() as client, SessionPool(account, http_client=client) as pool:
            await pool.solve(TASK)
            assert pool._engine is not None
            standing = pool._engine.sessions[0].standing
            standing.heed(Gates(account=account.name, banned=100.0), was_shut=False, reopened=False)
            assert standing.gate.ban(asyncio.get_running_loop().time(), "createTask")
            assert standing.gate.state == "open"

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(main())

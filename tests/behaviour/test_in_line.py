"""Nobody in line for creation is forgotten, whatever comes back to the others."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import anyio
import pytest

from ezcaptcha_async import (
    Account,
    EzCaptchaError,
    PollPolicy,
    SessionPool,
    SolveTimeoutError,
)
from ezcaptcha_async.testing import Fixed, SimulatedService
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody

from .conftest import KEY, TASK


def _reply(**members: Any) -> Reply:
    return Reply(200, json.dumps(members).encode())


def _refusal(code: str) -> Reply:
    return _reply(errorId=1, errorCode=code, errorDescription="no")


SOLVED = _reply(errorId=0, status="ready", solution={"gRecaptchaResponse": "a-token"})
ANSWERS: dict[str, Reply | NoAnswer | None] = {
    "created": None,
    "no points": _refusal("ERROR_ZERO_BALANCE"),
    "no such key": _refusal("ERROR_KEY_DOES_NOT_EXIST"),
    "no capacity": _refusal("ERROR_NO_SLOT_AVAILABLE"),
    "throttled": _refusal("ERROR_REQUEST_LIMIT"),
    "banned": _refusal("ERROR_REQUEST_BANNED"),
    "never sent": NoAnswer("refused", unsent=True),
    "lost": NoAnswer("reset"),
}


class ScriptedTransport:
    """Answers each createTask as it is told, after so long; then with an id of its own."""

    max_requests = 10

    def __init__(self, *script: tuple[str, float]) -> None:
        self._script = [("created", 0.1), *script]
        self._created = 0

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply | NoAnswer:
        """Answer."""
        if not url.endswith("createTask"):
            return SOLVED
        name, seconds = self._script.pop(0) if self._script else ("created", 0.1)
        await anyio.sleep(seconds)
        answer = ANSWERS[name]
        if answer is not None:
            return answer
        self._created += 1
        return _reply(errorId=0, taskId=f"id {self._created}")

    async def aclose(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize(
    ("accounts", "settings"),
    [
        ((KEY,), {}),
        ((KEY,), {"on_unknown": "retry", "unknown_budget": 100}),
        ((KEY, "another-key-that-is-secret"), {}),
    ],
    ids=["one account", "and retrying", "two"],
)
async def test_whatever_two_at_once_are_answered_both_are_told(
    accounts: tuple[str, ...], settings: dict[str, Any]
) -> None:
    """One would wait for ever for an account that the answer to the other has shut."""
    for first, second in product(ANSWERS, repeat=2):
        for sooner, later in ((0.1, 2.0), (1.0, 1.0)):
            transport = ScriptedTransport((first, sooner), (second, later))
            async with SessionPool(*accounts, transport=transport, **settings) as pool:
                await pool.solve(TASK)  # an account that works
                told: list[str] = []

                async def solve(pool: SessionPool = pool, told: list[str] = told) -> None:
                    try:
                        told.append((await pool.solve(TASK)).token)
                    except EzCaptchaError as error:
                        told.append(type(error).__name__)

                # A ban of ten minutes is the longest that anything takes.
                with anyio.move_on_after(1_000):
                    async with anyio.create_task_group() as group:
                        group.start_soon(solve)
                        group.start_soon(solve)
                assert len(told) == 2, f"{first} after {sooner} s, {second} after {later} s"
                assert not pool.statistics().unaccounted


async def test_a_place_that_becomes_free_is_taken_at_once() -> None:
    """The next one would wait until something else happened to be due, minutes later."""
    service = SimulatedService(solve_times=Fixed(250))
    account = Account(KEY, service=service.profile(), max_in_flight=1)
    rarely = PollPolicy(first_delay=200, interval=200, max_interval=200)
    async with (
        service.client() as client,
        SessionPool(account, http_client=client, polling=rarely) as pool,
        anyio.create_task_group() as group,
    ):

        async def impatient() -> None:
            with pytest.raises(SolveTimeoutError):
                await pool.solve(TASK, timeout=60)

        ticket = await pool.submit(TASK)
        group.start_soon(impatient)
        await anyio.sleep(20)
        assert service.summary().charges == 1
        ticket.cancel()
        await anyio.sleep(1)
        assert service.summary().charges == 2
        with anyio.fail_after(41):
            ticket = await pool.submit(TASK)  # as soon as the other has given up
        ticket.cancel()

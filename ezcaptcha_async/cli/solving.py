"""``solve`` and ``balance``: one call to a service, and what to say of it."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import anyio
import attrs

from ezcaptcha_async import Account, SessionPool, Solution, Task, TransportError
from ezcaptcha_async.cli.failures import Interrupted
from ezcaptcha_async.cli.interrupts import paid_tickets, run_async
from ezcaptcha_async.cli.output import Output, counted, money, printable

T = TypeVar("T")
_PATIENCE: Final = 5.0  # seconds after which a user wonders whether anything happens


def solve(output: Output, account: Account, task: Task[Any], *, timeout: float | None) -> None:
    """Solve one task and print its solution."""
    pool, is_paid, is_seen = SessionPool(account), anyio.Event(), output.remarks.is_terminal
    unread: list[str] = []

    async def call() -> Solution:
        with output.waiting(f"waiting for {task.type} at {account.service.name}"):
            ticket = await pool.submit(task, timeout=timeout)
            is_paid.set()
            if not is_seen:
                output.remark(f"waiting for task {ticket.task_id}, which is paid")
            solution: Solution = await ticket
        unread.append(_text(solution, as_json=output.as_json))
        await output.paid_result(unread[0])
        unread.clear()
        return solution

    async def say_if_slow() -> None:
        with anyio.move_on_after(_PATIENCE):
            await is_paid.wait()
            return
        output.remark(f"no answer yet from {account.service.base_url}; -v shows why")

    try:
        solution = _in_pool(pool, call, beside=None if is_seen else say_if_slow)
    except Interrupted as interruption:
        if not unread:
            raise
        note = "what was not taken stands above"
        raise Interrupted(interruption.signum, results=unread, note=note) from None
    if output.as_json:
        return
    receipt = solution.receipt
    price = "" if receipt.points is None else f" for {money(receipt.points, account.service)}"
    expiry = time.strftime("%H:%M:%S", time.localtime(solution.expires_at))
    output.remark(f"task {receipt.task_id}, {receipt.task_type} at {receipt.service}")
    output.remark(f"solved in {receipt.waited:.1f} s with {counted(receipt.polls, 'poll')}{price}")
    output.remark(f"expires in {solution.remaining():.0f} s, at {expiry}")


def balance(output: Output, account: Account) -> None:
    """Print how many points an account has."""
    pool = SessionPool(account)
    try:
        with output.waiting(f"asking for the balance at {account.service.name}"):
            found = _in_pool(pool, pool.balance)
    except TransportError as error:
        where = f"asked of {account.service.base_url}; 'ezcaptcha doctor' finds out more"
        raise TransportError(f"{error.message}, {where}", sent=error.sent) from None
    if output.as_json:
        output.document(attrs.asdict(found))
    else:
        output.result(f"{money(found.points, account.service)} at {found.account}")


def _in_pool(
    pool: SessionPool,
    call: Callable[[], Awaitable[T]],
    beside: Callable[[], Awaitable[None]] | None = None,
) -> T:
    answers: list[T] = []

    async def work() -> None:
        async with pool:
            answers.append(await call())

    try:
        run_async(work, beside=beside)
    except Interrupted as interruption:
        # It may have come while the pool was closing; what is paid for is not thrown away.
        if not answers:
            raise Interrupted(interruption.signum, paid_tickets(pool)) from None
    return answers[0]


def _text(solution: Solution, *, as_json: bool) -> str:
    """Return what to print of a solution."""
    if as_json:
        return json.dumps(described(solution))
    token = getattr(solution, "token", None)
    return json.dumps(answer(solution), indent=2) if token is None else printable(token)


def answer(solution: Solution) -> dict[str, Any]:
    """Return what the service answered, as a JSON-able object."""
    return attrs.asdict(solution, filter=attrs.filters.exclude("receipt", "expires_at"))


def described(solution: Solution) -> dict[str, Any]:
    """Return all that is known of a solution, as a JSON-able object."""
    receipt = solution.receipt
    return {
        "solution": answer(solution),
        "expires_at": solution.expires_at,
        "receipt": {**attrs.asdict(receipt), "waited": receipt.waited},
    }

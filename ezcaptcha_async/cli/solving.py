"""``solve`` and ``balance``: one call to a service, and what to say of it."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import attrs

from ezcaptcha_async import (
    Account,
    CloudFlareTurnstileSolution,
    FuncaptchaSolution,
    HCaptchaSolution,
    ReCaptchaSolution,
    SessionPool,
    Solution,
    Task,
)
from ezcaptcha_async.cli.failures import Interrupted
from ezcaptcha_async.cli.interrupts import paid_tickets, run_async
from ezcaptcha_async.cli.output import Output, counted, points, printable

T = TypeVar("T")
_NOT_OF_THE_ANSWER: Final = {"receipt", "expires_at"}
_TOKENS: Final = (
    CloudFlareTurnstileSolution,
    FuncaptchaSolution,
    HCaptchaSolution,
    ReCaptchaSolution,
)


def solve(
    output: Output,
    account: Account,
    task: Task[Any],
    *,
    timeout: float | None,
) -> None:
    """Solve one task and print its solution.

    Args:
        output: Where to.
        account: Who pays.
        task: What to solve.
        timeout: Most seconds to wait.

    Raises:
        EzCaptchaError: Why there is none.
        Interrupted: By a signal; it names the task if that is paid.
    """
    pool = SessionPool(account)
    with output.waiting(f"{task.type} at {account.service.name}"):
        solution = _in_pool(pool, lambda: pool.solve(task, timeout=timeout))
    if output.as_json:
        output.document(described(solution))
        return
    text = token(solution)
    if text is not None:
        output.result(printable(text))
    else:
        output.result(json.dumps(answer(solution), indent=2))
    _remark_on(solution, output)


def balance(output: Output, account: Account) -> None:
    """Print how many points an account has.

    Raises:
        EzCaptchaError: Why that is not known.
        Interrupted: By a signal.
    """
    pool = SessionPool(account)
    with output.waiting(f"balance at {account.service.name}"):
        found = _in_pool(pool, pool.balance)
    if output.as_json:
        output.document(attrs.asdict(found))
    else:
        worth = f"{found.value:,.2f} {found.currency}"
        output.result(f"{points(found.points)} points ({worth}) at {found.account}")


def _in_pool(pool: SessionPool, call: Callable[[], Awaitable[T]]) -> T:
    answers: list[T] = []

    async def work() -> None:
        async with pool:
            answers.append(await call())

    try:
        run_async(work)
    except Interrupted as interruption:
        signum = interruption.signum
    else:
        return answers[0]
    if answers:
        # The signal came while the pool was closing; what is paid for is not thrown away.
        return answers[0]
    raise Interrupted(signum, paid_tickets(pool))


def token(solution: Solution) -> str | None:
    """Return the token, where a solution consists of one."""
    return solution.token if isinstance(solution, _TOKENS) else None


def answer(solution: Solution) -> dict[str, Any]:
    """Return what the service answered, as a JSON-able object."""
    return attrs.asdict(solution, filter=lambda field, _value: field.name not in _NOT_OF_THE_ANSWER)


def described(solution: Solution) -> dict[str, Any]:
    """Return all that is known of a solution, as a JSON-able object."""
    receipt = solution.receipt
    return {
        "solution": answer(solution),
        "expires_at": solution.expires_at,
        "receipt": {**attrs.asdict(receipt), "waited": receipt.waited},
    }


def _remark_on(solution: Solution, output: Output) -> None:
    receipt = solution.receipt
    price = "" if receipt.points is None else f" for {points(receipt.points)} points"
    expiry = time.strftime("%H:%M:%S", time.localtime(solution.expires_at))
    output.remark(f"task {receipt.task_id}, {receipt.task_type} at {receipt.service}")
    output.remark(f"solved in {receipt.waited:.1f} s with {counted(receipt.polls, 'poll')}{price}")
    output.remark(f"expires in {solution.remaining():.0f} s, at {expiry}")

"""What a pool tells whoever watches it: see ``SessionPool(on_event=...)``.

No event holds a URL, a key or anything else of a task but its type and its caller's own
reference, so that events may go to logs and traces as they are.

The logger ``ezcaptcha_async`` is told the same: tasks and requests at ``DEBUG``, accounts in
trouble as warnings, each with the event's fields as ``extra`` (``ezcaptcha_task_id`` and so on).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import attrs

TaskState: TypeAlias = Literal[
    "queued",
    "created",
    "resumed",
    "orphaned",
    "solved",
    "failed",
    "lapsed",
    "expired",
    "unknown",
    "refused",
    "cancelled",
]
RequestOutcome: TypeAlias = Literal[
    "created", "processing", "ready", "balance", "refused", "unreadable", "unanswered"
]
Endpoint: TypeAlias = Literal["createTask", "getTaskResult", "getBalance"]
AccountState: TypeAlias = Literal["shut", "banned", "reopened"]


@attrs.frozen(kw_only=True)
class TaskEvent:
    """A task has come to another state.

    Args:
        number: Which of the process's tasks, over all its pools, counted from 1; the same in
            all events of a task.
        state: ``queued`` for creation, again when another account takes it over;
            ``created``: paid from here on; ``resumed``: a paid one was taken up (again);
            ``orphaned``: paid, and nobody waits; ``solved``; ``failed``: the service gave
            up; ``lapsed``: the result window is over; ``expired``: after ``solved``, the
            solution had expired when its caller took it; ``unknown``: the answer to
            createTask was lost; ``refused``: not accepted, nothing paid; ``cancelled``:
            given up before anything was paid.
        type: The task's type.
        service: Name of the service.
        account: Name of the account, which does not tell the key.
        task_id: The service's id; None as long as nothing is paid.
        points: Listed price; None where no page states it.
        reference: What the task is to its caller, in the caller's own words.
        seconds: Since the pool took the task on.
        age: Seconds since it was created; None as long as it is not.
        polls: getTaskResult requests sent for it.
        lag: For ``solved``: about how many seconds the solution was ready before it was
            fetched. It was at most twice that; None where the first answer was ready.
        error: Class name of the error that the caller gets.
        code: The service's error code, where it gave one.
        request_id: What its support asks for, likewise.
        errors: Field of the task → what the service finds wrong with it, likewise.

    Example:
        >>> def watch(event: Event) -> None:
        ...     if isinstance(event, TaskEvent):
        ...         print(event.state, event.type)
        >>> async with SessionPool(on_event=watch) as pool:
        ...     solution = await pool.solve(TASK)
        queued ReCaptchaV2TaskProxyless
        created ReCaptchaV2TaskProxyless
        solved ReCaptchaV2TaskProxyless
    """

    number: int
    state: TaskState
    type: str
    service: str
    account: str
    task_id: str | None
    points: float | None
    reference: str | None
    seconds: float
    age: float | None
    polls: int
    lag: float | None
    error: str | None
    code: str | None
    request_id: str | None = None
    errors: Mapping[str, str] | None = attrs.field(default=None, hash=False)


@attrs.frozen(kw_only=True)
class RequestEvent:
    """A request has come to its end.

    Args:
        endpoint: What was asked.
        outcome: ``refused`` with a code, ``unreadable``: an answer that means nothing,
            ``unanswered``: no whole answer in time; the others are as they should be.
        service: Name of the service.
        account: Name of the account.
        seconds: From its sending until its answer was read.
        number: Which of the process's tasks it was for; None for getBalance.
        code: The service's error code, where it gave one.
        request_id: What its support asks for, likewise.
        errors: Field of the task → what the service finds wrong with it, likewise.

    Example:
        >>> def watch(event: Event) -> None:
        ...     if isinstance(event, RequestEvent):
        ...         print(f"{event.endpoint}: {event.outcome} after {event.seconds:.1f} s")
        >>> async with SessionPool(on_event=watch) as pool:
        ...     balance = await pool.balance()
        getBalance: balance after 0.0 s
    """

    endpoint: Endpoint
    outcome: RequestOutcome
    service: str
    account: str
    seconds: float
    number: int | None
    code: str | None
    request_id: str | None = None
    errors: Mapping[str, str] | None = attrs.field(default=None, hash=False)


@attrs.frozen(kw_only=True)
class AccountEvent:
    """An account takes no more tasks, or takes them again.

    Args:
        state: ``shut`` for its key or its balance, ``banned``, or ``reopened``. A ban that
            ends by itself is no event.
        service: Name of the service.
        account: Name of the account.
        code: The service's error code.
        request_id: What its support asks for, where it gave one.
        retry_after: Seconds until a ban ends.

    Example:
        >>> def watch(event: Event) -> None:
        ...     if isinstance(event, AccountEvent):
        ...         print(event.account, event.state, event.code)
        >>> async with SessionPool("empty-key", on_event=watch) as pool:
        ...     refused = await asyncio.gather(pool.solve(TASK), return_exceptions=True)
        ezcaptcha:1fcf4925 shut ERROR_ZERO_BALANCE
    """

    state: AccountState
    service: str
    account: str
    code: str | None = None
    request_id: str | None = None
    retry_after: float | None = None


Event: TypeAlias = TaskEvent | RequestEvent | AccountEvent
"""What ``on_event`` gets."""

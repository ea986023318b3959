"""What goes wrong: one line for a person, one object for a machine, one exit code per kind."""

from __future__ import annotations

import enum
import signal
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ezcaptcha_async.errors import (
    BannedError,
    BudgetExceededError,
    CapacityError,
    ConfigurationError,
    CredentialError,
    EzCaptchaError,
    InsufficientBalanceError,
    InvalidTaskError,
    ProtocolError,
    ResultWindowLapsedError,
    SavedTicket,
    ServiceError,
    SolveTimeoutError,
    SubmissionUnknownError,
    TaskFailedError,
    TaskNotFoundError,
    ThrottledError,
    TransportError,
)


class ExitCode(enum.IntEnum):
    """The exit codes; a script may rely on them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CREDENTIALS = 3
    BALANCE = 4
    REFUSED = 5
    TASK = 6
    TIMEOUT = 7
    NO_ANSWER = 8
    UNKNOWN = 9
    INTERRUPTED = 130
    TERMINATED = 143


MEANINGS: Final[Mapping[ExitCode, str]] = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "the demo lost something, or anything that is not listed here",
    ExitCode.USAGE: "wrong arguments or configuration; nothing was sent",
    ExitCode.CREDENTIALS: "the client key is wrong",
    ExitCode.BALANCE: "out of points",
    ExitCode.REFUSED: "banned, throttled, or no capacity; try again later",
    ExitCode.TASK: "the service rejects the task, or gave up on it",
    ExitCode.TIMEOUT: "not solved in time",
    ExitCode.NO_ANSWER: "no answer, or one that means nothing",
    ExitCode.UNKNOWN: "the answer to createTask was lost; it may have been charged",
    ExitCode.INTERRUPTED: "ended by Ctrl-C",
    ExitCode.TERMINATED: "ended by SIGTERM",
}
"""Exit code → what it says; the help shows this table."""


HOW_TO_FETCH: Final = "give what stands below to 'ezcaptcha resume -'"
"""What to do with saved tickets that are printed."""

_OVER: Final = (ResultWindowLapsedError, TaskFailedError, TaskNotFoundError)
"""Ends of a paid task after which there is nothing to fetch any more."""


class UsageError(Exception):
    """The arguments make no sense."""


_CODES: Final[Mapping[type[BaseException], ExitCode]] = {
    UsageError: ExitCode.USAGE,
    ConfigurationError: ExitCode.USAGE,
    CredentialError: ExitCode.CREDENTIALS,
    InsufficientBalanceError: ExitCode.BALANCE,
    BudgetExceededError: ExitCode.BALANCE,
    BannedError: ExitCode.REFUSED,
    ThrottledError: ExitCode.REFUSED,
    CapacityError: ExitCode.REFUSED,
    InvalidTaskError: ExitCode.TASK,
    TaskFailedError: ExitCode.TASK,
    TaskNotFoundError: ExitCode.TASK,
    ResultWindowLapsedError: ExitCode.TIMEOUT,
    SolveTimeoutError: ExitCode.TIMEOUT,
    TransportError: ExitCode.NO_ANSWER,
    ProtocolError: ExitCode.NO_ANSWER,
    # A code that this version does not know.
    ServiceError: ExitCode.NO_ANSWER,
    SubmissionUnknownError: ExitCode.UNKNOWN,
    EzCaptchaError: ExitCode.FAILED,
}
"""Error class → exit code; a class that is not here counts as its nearest base."""


class Interrupted(Exception):  # noqa: N818 - not an error: somebody wanted it so
    """The process was told to end.

    Args:
        signum: By which signal.
        tickets: Paid tasks that can still be fetched.
        note: What the command has to say of its end.
    """

    def __init__(
        self, signum: int, tickets: Sequence[SavedTicket] = (), *, note: str | None = None
    ) -> None:
        super().__init__(signum, tickets)
        self.signum = signum
        self.tickets: tuple[SavedTicket, ...] = tuple(tickets)
        self.note = note

    def __str__(self) -> str:
        ended = "terminated" if self.signum == signal.SIGTERM else "interrupted"
        if self.note is not None:
            return f"{ended}; {self.note}"
        match len(self.tickets):
            case 0:
                return f"{ended}; no paid task is left to fetch"
            case 1:
                ids = f"task {self.tickets[0]['task_id']} is paid"
            case count:
                ids = f"{count} tasks are paid"
        return f"{ended}; {ids} and can still be fetched: {HOW_TO_FETCH}"


def exit_code(failure: BaseException) -> ExitCode:
    """Return the exit code for what ended a command."""
    if isinstance(failure, Interrupted):
        terminated = failure.signum == signal.SIGTERM
        return ExitCode.TERMINATED if terminated else ExitCode.INTERRUPTED
    return next((_CODES[base] for base in type(failure).__mro__ if base in _CODES), ExitCode.FAILED)


def line(failure: BaseException) -> str:
    """Return what ended a command as one line for a person; it holds no secret."""
    wait = failure.retry_after if isinstance(failure, EzCaptchaError) else None
    return str(failure) if wait is None else f"{failure}; try again in {wait:.0f} s"


def tickets(failure: BaseException) -> tuple[SavedTicket, ...]:
    """Return the paid tasks that can still be fetched after what ended a command."""
    if isinstance(failure, Interrupted):
        return failure.tickets
    ticket = failure.ticket if isinstance(failure, EzCaptchaError) else None
    return () if ticket is None or isinstance(failure, _OVER) else (ticket,)


def description(failure: BaseException) -> dict[str, Any]:
    """Return what ended a command as a JSON-able object; it holds no secret."""
    described: dict[str, Any] = {
        "kind": type(failure).__name__,
        "message": str(failure),
        "exit_code": int(exit_code(failure)),
    }
    if isinstance(failure, Interrupted):
        described["tickets"] = list(failure.tickets)
    if isinstance(failure, ServiceError):
        described["code"] = failure.code
    if isinstance(failure, EzCaptchaError):
        described |= {
            "task_id": failure.task_id,
            "ticket": failure.ticket,
            "may_be_charged": failure.may_be_charged,
            "retryable": failure.retryable,
            "retry_after": failure.retry_after,
        }
    return {"error": described}


def help_table() -> str:
    """Return the exit codes as a Markdown table for the help."""
    rows = (f"| {code:d} | {meaning} |" for code, meaning in MEANINGS.items())
    return "\n".join(("| exit code | means |", "|---:|:---|", *rows))

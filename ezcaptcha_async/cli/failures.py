"""What goes wrong: one line for a person, one object for a machine, one exit code per kind.

Arguments and files that cannot be used are a ConfigurationError wherever that is found out.
"""

from __future__ import annotations

import enum
import signal
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from ezcaptcha_async import SavedTicket, errors


class UsageError(Exception):
    """The arguments make no sense."""


class ExitCode(enum.IntEnum):
    """The exit codes, each with what it says and what ends in it; a script may rely on them.

    An error of a class that none of them names counts as its nearest base.
    """

    meaning: str
    kinds: tuple[type[Exception], ...]

    DONE = 0, "done"
    FAILED = 1, "anything else, or a row failed"
    USAGE = 2, "wrong arguments or files, nothing was sent", UsageError, errors.ConfigurationError
    CREDENTIALS = 3, "the client key is wrong", errors.CredentialError
    BALANCE = 4, "out of points", errors.InsufficientBalanceError, errors.BudgetExceededError
    REFUSED = (
        5,
        "banned or throttled, or no capacity",
        *(errors.BannedError, errors.ThrottledError, errors.CapacityError),
    )
    TASK = (
        6,
        "the service rejects the task or gave up on it",
        *(errors.InvalidTaskError, errors.TaskFailedError, errors.TaskNotFoundError),
    )
    TIMEOUT = 7, "not solved in time", errors.ResultWindowLapsedError, errors.SolveTimeoutError
    NO_ANSWER = (
        8,
        "no answer, or none that means anything",
        # The last with a code that this version does not know.
        *(errors.TransportError, errors.ProtocolError, errors.ServiceError),
    )
    UNKNOWN = (
        9,
        "the answer to createTask was lost, which may be charged",
        errors.SubmissionUnknownError,
    )
    HUNG_UP = 129, "ended by SIGHUP"
    INTERRUPTED = 130, "ended by Ctrl-C"
    TERMINATED = 143, "ended by SIGTERM"

    def __new__(cls, code: int, meaning: str, *kinds: type[Exception]) -> Self:
        """Make one that counts as its number."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning, member.kinds = meaning, kinds
        return member


_CODES: Final = {kind: code for code in ExitCode for kind in code.kinds}
_OVER: Final = (errors.ResultWindowLapsedError, errors.TaskFailedError, errors.TaskNotFoundError)
"""Ends of a paid task after which there is nothing to fetch any more."""


class BrokenOffError(Exception):
    """Something was sent, and then the command could not go on as it was told to."""

    def __init__(
        self, message: str, results: Sequence[str] = (), tickets: Sequence[SavedTicket] = ()
    ) -> None:
        super().__init__(message)
        # What is paid for, and could not be written where it belongs; a line each.
        self.results: tuple[str, ...] = tuple(results)
        self.tickets: tuple[SavedTicket, ...] = tuple(tickets)  # which can still be fetched


class Interrupted(Exception):  # noqa: N818 - not an error: somebody wanted it so
    """The process was told to end, by a signal."""

    def __init__(
        self,
        signum: int,
        tickets: Sequence[SavedTicket] = (),
        results: Sequence[str] = (),
        *,
        note: str | None = None,
    ) -> None:
        super().__init__(signum, tickets)
        self.signum = signum
        self.results: tuple[str, ...] = tuple(results)  # as of what broke off
        self.tickets: tuple[SavedTicket, ...] = tuple(tickets)  # which can still be fetched
        self.note = note  # what the command has to say of its end

    def __str__(self) -> str:
        ended, _ = _ENDS[self.signum]
        if self.note is not None:
            return f"{ended}; {self.note}"
        return ended if self.tickets else f"{ended}; no paid task is left to fetch"


_ENDS: Final[Mapping[int, tuple[str, ExitCode]]] = {
    1: ("hung up", ExitCode.HUNG_UP),  # by its number: Windows has no SIGHUP
    signal.SIGINT: ("interrupted", ExitCode.INTERRUPTED),
    signal.SIGTERM: ("terminated", ExitCode.TERMINATED),
}
"""Signal → what it does, and the exit code."""


def reason(error: Exception, otherwise: str = "") -> str:
    """Return why the operating system refused something; or otherwise, if it was not that."""
    return getattr(error, "strerror", None) or otherwise or type(error).__name__


def exit_code(failure: BaseException) -> ExitCode:
    """Return the exit code for what ended a command."""
    if isinstance(failure, Interrupted):
        return _ENDS[failure.signum][1]
    return next((_CODES[base] for base in type(failure).__mro__ if base in _CODES), ExitCode.FAILED)


def line(failure: BaseException) -> str:
    """Return what ended a command as one line for a person; it holds no secret."""
    wait = failure.retry_after if isinstance(failure, errors.EzCaptchaError) else None
    return str(failure) if wait is None else f"{failure}; try again in {wait:.0f} s"


def last_line(failure: BaseException) -> str:
    """Return the same with what to do with the tickets, which are to stand below."""
    text = _with_tickets(line(failure), failure)
    if not tickets(failure):
        return text
    return f"{text}: give what stands below to 'ezcaptcha resume -' within five minutes"


def _with_tickets(text: str, failure: BaseException) -> str:
    match tickets(failure):
        case ():
            return text
        case (ticket,):
            known = str(ticket["task_id"])
            return f"{text}; {'it' if known in text else f'task {known}'} is paid"
        case several:
            return f"{text}; {len(several):,} tasks are paid"


def tickets(failure: BaseException) -> tuple[SavedTicket, ...]:
    """Return the paid tasks that can still be fetched after what ended a command."""
    if isinstance(failure, Interrupted | BrokenOffError):
        return failure.tickets
    ticket = failure.ticket if isinstance(failure, errors.EzCaptchaError) else None
    return () if ticket is None or isinstance(failure, _OVER) else (ticket,)


def results(failure: BaseException) -> tuple[str, ...]:
    """Return the lines that are paid for, and could not be written where they belong."""
    return failure.results if isinstance(failure, Interrupted | BrokenOffError) else ()


def description(failure: BaseException) -> dict[str, Any]:
    """Return what ended a command as a JSON-able object; it holds no secret."""
    described: dict[str, Any] = {
        "kind": type(failure).__name__,
        "message": str(failure),
        "exit_code": int(exit_code(failure)),
    }
    if isinstance(failure, Interrupted | BrokenOffError):
        described["tickets"] = list(failure.tickets)
        described["message"] = _with_tickets(str(failure), failure)
    if isinstance(failure, errors.ServiceError):
        described["code"] = failure.code
    if isinstance(failure, errors.ProtocolError) and failure.payload is not None:
        described["payload"] = failure.payload
    if isinstance(failure, errors.EzCaptchaError):
        described |= {
            "task_id": failure.task_id,
            "ticket": failure.ticket,
            "may_be_charged": failure.may_be_charged,
            "retryable": failure.retryable,
            "retry_after": failure.retry_after,
        }
    return {"error": described}


def help_on_codes() -> str:
    """Return the exit codes as a paragraph for the help."""
    codes = "; ".join(f"{code:d} {code.meaning}" for code in ExitCode)
    return f"Exit codes: {codes}."

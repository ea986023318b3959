"""From an error to one line, one object and one exit code."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

import ezcaptcha_async
from ezcaptcha_async import BannedError, EzCaptchaError, ServiceError
from ezcaptcha_async.cli.failures import (
    ExitCode,
    Interrupted,
    description,
    exit_code,
    help_on_codes,
    last_line,
    line,
)

CODES = {
    "BannedError": 5,
    "BudgetExceededError": 4,
    "CapacityError": 5,
    "ConfigurationError": 2,
    "UnknownArgumentError": 2,
    "CredentialError": 3,
    "EzCaptchaError": 1,
    "InsufficientBalanceError": 4,
    "InvalidTaskError": 6,
    "JournalError": 1,
    "PoolClosedError": 1,
    "ProtocolError": 8,
    "RequestError": 8,
    "ResultWindowLapsedError": 7,
    "ServiceError": 8,
    "SolveTimeoutError": 7,
    "SubmissionUnknownError": 9,
    "SubscriptionError": 4,
    "TaskFailedError": 6,
    "TaskNotFoundError": 6,
    "ThrottledError": 5,
    "TicketCancelledError": 1,
    "TransportError": 8,
}


def _tree(base: type[EzCaptchaError]) -> Iterator[type[EzCaptchaError]]:
    yield base
    for error_class in base.__subclasses__():
        yield from _tree(error_class)


def test_every_error_of_the_library_has_its_exit_code() -> None:
    """A script that tells kinds of failure apart would stop working unnoticed."""
    public = {
        error_class.__name__: error_class
        for error_class in _tree(EzCaptchaError)
        if error_class.__name__ in ezcaptcha_async.__all__
    }
    assert {name: int(exit_code(error_class())) for name, error_class in public.items()} == CODES
    assert exit_code(RuntimeError()) is ExitCode.FAILED
    for code in ExitCode:
        assert f" {int(code)} {code.meaning}" in help_on_codes()


def test_the_line_says_how_long_to_wait() -> None:
    """A user would try again at once, and prolong the ban."""
    assert line(BannedError("ERROR_IP_BANNED", retry_after=599.6)).endswith("try again in 600 s")
    assert line(BannedError("ERROR_IP_BANNED")).endswith("until the ban ends")
    assert line(RuntimeError("of another kind")) == "of another kind"


def test_an_error_is_described_for_a_machine() -> None:
    """A script could not tell whether something was paid, or go on with the ticket."""
    ticket = {"task_id": "a-task"}
    error = ServiceError("ERROR_NEW", "of tomorrow", retry_after=3).for_ticket("a-task", ticket)
    described = json.loads(json.dumps(description(error)))["error"]
    assert described == {
        "kind": "ServiceError",
        "message": "ERROR_NEW: of tomorrow (task a-task)",
        "exit_code": 8,
        "code": "ERROR_NEW",
        "task_id": "a-task",
        "ticket": ticket,
        "may_be_charged": True,
        "retryable": False,
        "retry_after": 3,
    }


@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        (Interrupted(signal.SIGINT), 130, "interrupted; no paid task is left to fetch"),
        (Interrupted(signal.SIGTERM, note="a note"), 143, "terminated; a note"),
        (Interrupted(signal.SIGHUP, note="a note"), 129, "hung up; a note"),
        (Interrupted(signal.SIGINT, [{"task_id": "one"}]), 130, "interrupted; task one is paid"),
        (
            Interrupted(signal.SIGTERM, [{"task_id": "one"}, {"task_id": "two"}]),
            143,
            "terminated; 2 tasks are paid",
        ),
    ],
)
def test_an_interruption_says_what_is_left(failure: Interrupted, code: int, message: str) -> None:
    """Whoever presses Ctrl-C would not learn that something paid is waiting."""
    assert exit_code(failure) == code
    described = description(failure)["error"]
    assert described["message"] == message
    assert last_line(failure).startswith(message)
    assert ("ezcaptcha resume -" in last_line(failure)) == bool(failure.tickets)
    assert described["tickets"] == list(failure.tickets)

"""The tree of errors: one root, plain values, and a fresh copy for everybody who waits."""

from __future__ import annotations

import copy
import pickle
import re
from typing import Any

import pytest

from ezcaptcha_async import errors
from ezcaptcha_async.errors import (
    BannedError,
    CapacityError,
    ConfigurationError,
    EzCaptchaError,
    JournalError,
    ProtocolError,
    ResultWindowLapsedError,
    ServiceError,
    SolveTimeoutError,
    SubmissionUnknownError,
    TaskFailedError,
    ThrottledError,
    TransportError,
)


def _classes(root: type[EzCaptchaError] = EzCaptchaError) -> list[type[EzCaptchaError]]:
    below = [found for item in root.__subclasses__() for found in _classes(item)]
    return [root, *(item for item in below if item.__module__ == errors.__name__)]


CLASSES = list(dict.fromkeys(_classes()))
RETRYABLE = {
    JournalError,
    TransportError,
    BannedError,
    ThrottledError,
    CapacityError,
    TaskFailedError,
    ResultWindowLapsedError,
    SolveTimeoutError,
}


def example(error_class: type[EzCaptchaError]) -> EzCaptchaError:
    """Return an error in which no attribute has its default."""
    special: dict[str, Any] = {}
    if issubclass(error_class, TransportError):
        special = {"sent": False}
    elif issubclass(error_class, ProtocolError):
        special = {"status": 502}
    positional = ("ERROR_X", "sorry") if issubclass(error_class, ServiceError) else ("it broke",)
    return error_class(
        *positional,
        task_id="77",
        ticket={"version": 1, "task_id": "77"},
        may_be_charged=not error_class().may_be_charged,
        retryable=not error_class.default_retryable,
        retry_after=2.5,
        **special,
    )


def _parents_as_drawn() -> dict[str, tuple[str, ...]]:
    """Read the tree at the head of the module: name → names of its bases."""
    drawn: dict[str, tuple[str, ...]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if not (found := re.match(r"( {4}[│├└─ ]*)(\w+Error)\b(?:.*\(also (\w+)\))?", line)):
            continue
        prefix, name, also = found.groups()
        depth = len(prefix) // 4 - 1
        parent = above[depth - 1] if depth else "Exception"
        drawn[name] = (parent, also) if also else (parent,)
        above[depth:] = [name]
    return drawn


def test_the_tree_in_the_docstring_is_the_real_one() -> None:
    """Whoever decides from the drawing which class to catch would catch the wrong one."""
    real = {item.__name__: tuple(base.__name__ for base in item.__bases__) for item in CLASSES}
    assert _parents_as_drawn() == real
    kin = [ConfigurationError, ResultWindowLapsedError, SolveTimeoutError]
    assert [item.__bases__[1] for item in kin] == [ValueError, TimeoutError, TimeoutError]
    public = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert public == set(real), "one of them is no EzCaptchaError"


@pytest.mark.parametrize("error_class", CLASSES)
def test_errors_pickle_and_copy(error_class: type[EzCaptchaError]) -> None:
    """An error from a worker process, or one's own copy, would arrive without its ticket."""
    error = example(error_class)
    protocols = range(pickle.HIGHEST_PROTOCOL + 1)
    twins = [pickle.loads(pickle.dumps(error, protocol)) for protocol in protocols]
    for twin in (*twins, copy.copy(error), copy.deepcopy(error)):
        assert twin is not error
        assert type(twin) is error_class
        assert (vars(twin), twin.args, str(twin)) == (vars(error), error.args, str(error))
    error.__setstate__(None)  # as `copy` and `pickle` may where there are no attributes
    assert vars(error) == vars(twin)


@pytest.mark.parametrize("error_class", CLASSES)
def test_defaults(error_class: type[EzCaptchaError]) -> None:
    """A retry loop that asks `retryable` would give up too soon, or hammer a dead key."""
    error = error_class()
    assert error.retryable is (error_class in RETRYABLE)
    assert error_class(retryable=True).retryable is True
    assert error_class(retryable=False).retryable is False
    assert (error.task_id, error.ticket, error.retry_after) == (None, None, None)
    assert error.may_be_charged is (error_class is SubmissionUnknownError)


@pytest.mark.parametrize("error_class", CLASSES)
def test_for_ticket_gives_a_fresh_copy_that_carries_the_ticket(
    error_class: type[EzCaptchaError],
) -> None:
    """A paid task could not be resumed from its error, or waiters would share tracebacks."""
    error = error_class("it broke", retry_after=1.5)
    error.add_note("shared")
    try:
        raise error
    except EzCaptchaError:
        twin = error.for_ticket("9", {"task_id": "9"})
    assert twin is not error
    assert type(twin) is error_class
    assert (twin.task_id, twin.ticket, twin.may_be_charged) == ("9", {"task_id": "9"}, True)
    assert twin.retry_after == 1.5
    assert twin.__traceback__ is None
    assert (error.task_id, error.ticket) == (None, None)
    twin.add_note("mine")
    assert error.__notes__ == ["shared"]


@pytest.mark.parametrize("error_class", CLASSES)
def test_what_was_given_is_what_is_read(error_class: type[EzCaptchaError]) -> None:
    """A handler that looks at `error.ticket`, `.code` or `.sent` would look at nothing."""
    error = example(error_class)
    assert (error.task_id, error.ticket) == ("77", {"version": 1, "task_id": "77"})
    assert error.retry_after == 2.5
    assert error.args == (error.message,)
    if isinstance(error, TransportError):
        assert (error.sent, TransportError("it broke").sent) == (False, True)
    if isinstance(error, ProtocolError):
        assert (error.status, ProtocolError("it broke").status) == (502, None)
    if isinstance(error, ServiceError):
        assert (error.code, error.description) == ("ERROR_X", "sorry")
    else:
        assert error.message == "it broke"


def test_for_ticket_without_a_ticket_keeps_what_the_error_knows() -> None:
    """A task that may have been charged would be reported as free."""
    error = SubmissionUnknownError("lost").for_ticket(None, None)
    assert (error.task_id, error.ticket, error.may_be_charged) == (None, None, True)
    paid = example(TaskFailedError)
    assert vars(paid.for_ticket(None, None)) == vars(paid)


def test_texts_name_the_task_and_the_remedy() -> None:
    """A log line would not say which paid task it is about, nor what to do."""
    assert str(EzCaptchaError("it broke")) == "it broke"
    assert str(EzCaptchaError("it broke", task_id="9")) == "it broke (task 9)"
    assert str(ServiceError("ERROR_X")) == "ERROR_X"
    assert str(ServiceError("ERROR_X", "why")) == "ERROR_X: why"
    assert str(ThrottledError("ERROR_X", "why")) == "ERROR_X: why; slow down"
    assert str(ThrottledError("ERROR_X", task_id="9")) == "ERROR_X; slow down (task 9)"


@pytest.mark.parametrize(
    "error_class",
    [item for item in CLASSES if issubclass(item, ServiceError) and item is not ServiceError],
)
def test_every_kind_of_service_error_stands_for_a_remedy(error_class: type[ServiceError]) -> None:
    """A subclass without a remedy of its own tells the user nothing that its parent does not."""
    others = [item.remedy for item in CLASSES if issubclass(item, ServiceError)]
    assert error_class.remedy
    assert others.count(error_class.remedy) == 1

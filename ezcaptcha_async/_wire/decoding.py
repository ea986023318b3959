"""What the answers of the services mean.

Decoding has two steps, taken in different places. The scheduler needs to know only what
an answer *is* (created, processing, ready, refused, unreadable), so that is read at once.
The solution inside is decoded by whoever waits for it: a bad payload hurts one caller.

An answer is judged by the best evidence in it: a solution; then, of createTask, an id; then a
code that the service's table knows; then its status; then its errorId. So nothing that was paid
for is lost to a stray code, and no clear no is taken for a lost answer. The HTTP status counts
only when there is none of these, because the services send errors with 200 and with 5xx alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final, cast

import attrs

from ezcaptcha_async._wire.parsing import Answer, Json, answer_in, id_in, text_of
from ezcaptcha_async._wire.said import (
    MOST_FIELD_ERRORS,
    OTHER_PLACES_OF_A_CODE,
    Said,
    says_something,
    texts_with_a_code,
)
from ezcaptcha_async._wire.scrubbing import MAX_SCRUBBED, Scrubber
from ezcaptcha_async._wire.solution import is_solution, kept_of, solution_in
from ezcaptcha_async._wire.words import (
    DONE_SIGNS,
    DONE_WORDS,
    PROCESSING_WORDS,
    holds_nothing,
    is_nothing,
    is_placeholder,
)
from ezcaptcha_async.errors import (
    BannedError,
    CredentialError,
    InsufficientBalanceError,
    ServiceError,
    TaskFailedError,
    TaskNotFoundError,
    ThrottledError,
)
from ezcaptcha_async.services import Service
from ezcaptcha_async.solutions import CustomSolution
from ezcaptcha_async.tasks import SolutionType, Task
from ezcaptcha_async.transports import Reply

MAX_RETRY_AFTER: Final = 120.0
"""Most seconds of ``Retry-After`` that are obeyed; a longer one is a mistake or a trap."""

MAX_BAN: Final = 3_600.0
"""The same for a ban; the services state 600 s."""

_MAX_TASK_ID: Final = 200
_MOST_OF_FIELD_ERRORS: Final = 2_000
"""Most characters of all of them together that are looked through."""
_LARGEST_WHOLE: Final = 2**53
"""Below it a float says which whole number it was."""

_REQUEST_ID: Final = re.compile(rb'"requestId"\s*:\s*"[^"\\]*"')
"""The number that the live service gives to each of its answers."""
_IN_AN_ID: Final = re.compile(r"[1-9]|.{8}")
"""What tells an id from what fills its place beside a refusal."""
_BARE_CODE: Final = re.compile(r"[A-Za-z0-9]+(_[A-Za-z0-9]+)+")
"""How a code is spelled where anything else might stand: a gateway says "Service Unavailable"
as well, of a createTask that may have been carried out."""

_CODE_IN_A_TEXT: Final = re.compile(r"ERROR_[A-Z0-9_]*[A-Z0-9]", re.IGNORECASE)

_NOT_OF_THE_TASK: Final = (
    BannedError,
    CredentialError,
    InsufficientBalanceError,
    TaskNotFoundError,
    ThrottledError,
)
"""What a worker does not say of a task that it failed: the service says it of the request."""

_TOO_MANY_REQUESTS: Final = 429
_NOT_IN_A_CODE: Final = re.compile(r"\W+")

_IN_FRONT: Final[Mapping[int, str]] = {
    401: "a gateway or proxy in front of the service asks for a password",
    402: "it is an account page or a gateway that asks for payment, and not the service",
    403: "a firewall or proxy in front of the service may refuse this address or client",
    407: "the proxy on the way asks for a password",
    451: "a firewall or provider on the way blocks the service",
    511: "the network asks to log in first",
}
"""HTTP status → what may stand in front of a service that says such things in JSON alone."""


@attrs.frozen
class Created:
    """createTask was accepted; the task is paid."""

    task_id: str


@attrs.frozen
class Processing:
    """The task is not solved yet; also what an unknown status means."""


@attrs.frozen(repr=False)
class Ready:
    """The task is solved.

    Args:
        kept: What its solution is decoded from.
        is_empty: Whether that is nothing at all.
    """

    kept: Reply
    is_empty: bool = False

    def __repr__(self) -> str:
        return "<Ready>"


@attrs.frozen
class Refused:
    """The service answered with an error code (or with HTTP 429)."""

    error: ServiceError


@attrs.frozen
class Unreadable:
    """The answer means nothing: HTML, broken JSON, a missing field."""

    reason: str
    status: int


_PROCESSING: Final = Processing()


class Decoder:
    """Reads the answers to one account, without its secrets.

    Args:
        service: The profile whose error codes apply.
        secrets: Texts that are taken out of whatever the service says; some services
            repeat the key in their error descriptions.
    """

    __slots__ = ("_service", "_usual", "scrubber")

    def __init__(self, service: Service, secrets: Iterable[str]) -> None:
        self.scrubber = Scrubber(secrets)
        self._service = service
        self._usual: tuple[bytes, int, str | None] | None = None

    def __repr__(self) -> str:
        return f"<Decoder of {self._service.name}>"

    def created(
        self, reply: Reply, task: Task[Any] | None = None
    ) -> Created | Refused | Unreadable:
        """Read the answer to createTask; the secrets of `task` are taken out as well."""
        said = self._said(reply)
        task_id = _task_id(id_in(said.members.get("taskId")), is_refused=said.is_refusal)
        if task_id is not None and not self._is_code(task_id):
            return Created(task_id)
        refusal = self._refusal(said, reply, task)
        if refusal is not None:
            return refusal
        # Where it says that all is well there is an id, and this is the only one.
        task_id = _task_id(said.members.get("id"), is_refused=True)
        if task_id is not None and said.has_error_id:
            return Created(task_id)
        return _unreadable(said, "$.taskId: expected an id")

    def result(
        self,
        reply: Reply,
        task: Task[Any] | None = None,
        solution_type: SolutionType = CustomSolution,
    ) -> Processing | Ready | Refused | Unreadable:
        """Read the answer to getTaskResult.

        Args:
            reply: The answer.
            task: What was asked for, where it is known; its secrets are taken out as well.
            solution_type: The class of its solution.
        """
        # Nearly every poll is answered as the one before, but for its number: processing.
        usual = (_REQUEST_ID.sub(b"", reply.body, count=1), reply.status, reply.charset)
        if usual == self._usual:
            return _PROCESSING
        said = self._said(reply)
        solution = said.members.get("solution")
        if is_solution(solution_type, solution, is_denied=said.denies_solution):
            return Ready(kept_of(solution_type, reply, said.members))
        raw = solution_in(said.members)
        # In so many words, it says that the task is not solved yet.
        says_not_yet = said.is_envelope and said.word in PROCESSING_WORDS
        if self._service.means_processing(said.code) if said.is_known else says_not_yet:
            self._usual = None if raw else usual
            return _PROCESSING
        nothing = _unreadable(said, "$.status: missing")
        refusal = self._refusal(said, reply, task, of_task=True)
        if refusal is not None or not said.is_envelope:
            return refusal or nothing
        is_done = not said.word or said.word in DONE_WORDS | DONE_SIGNS
        is_beside = is_solution(solution_type, raw, is_denied=True)
        # A task of any type may be answered with any word, such as "false".
        is_empty = holds_nothing(raw, may_be_words=solution_type is CustomSolution)
        if said.word == "ready" or (is_done and not is_empty) or is_beside:
            return Ready(kept_of(solution_type, reply, said.members), is_empty=is_empty)
        is_of_service = "errorId" in said.members or "status" in said.members
        return _PROCESSING if is_of_service else nothing

    def balance(self, reply: Reply) -> float | Refused | Unreadable:
        """Read the answer to getBalance: points."""
        said = self._said(reply)
        refusal = self._refusal(said, reply, None)
        if refusal is not None:
            return refusal
        balance = id_in(said.members.get("balance"))
        try:
            points = math.nan if isinstance(balance, bool) else float(cast("str", balance))
        except (TypeError, ValueError, OverflowError):
            points = math.nan
        if said.is_envelope and math.isfinite(points):
            return points
        return _unreadable(said, "$.balance: expected a number")

    def _said(self, reply: Reply) -> Said:
        answer = answer_in(reply)
        if answer is None:
            # Some services, and gateways before them, answer with nothing but the code.
            is_short = len(reply.body) <= _MAX_TASK_ID
            members = {"error": text_of(reply).strip('"')} if is_short else {}
            answer = Answer(members, is_whole=False)
        members = answer.members
        code = str(members["errorCode"]).strip() if says_something(members.get("errorCode")) else ""
        in_place = id_in(members.get("taskId"))
        if not code and isinstance(in_place, str) and self._is_code(in_place):
            code = in_place
        said = Said(members, answer.is_whole, reply.status, code, bool(code) and self._knows(code))
        for name, text in () if said.is_known else texts_with_a_code(members):
            other = self._code_in(text, said, name)
            if other is not None:
                return attrs.evolve(said, code=other, is_known=True)
        return said

    def _is_code(self, text: str) -> bool:
        """Return whether a text in the place of an id is an error code, known or not."""
        is_one = text.isupper() and _CODE_IN_A_TEXT.fullmatch(text) is not None
        return is_one or self._service.lists_code(text)

    def _code_in(self, text: str, said: Said, name: str) -> str | None:
        """Return the known code that a text called so is, or that it names."""
        if name in OTHER_PLACES_OF_A_CODE and said.word in PROCESSING_WORDS:
            return None
        if _BARE_CODE.fullmatch(text) and self._knows(text) and name != "status":
            is_doubtful = said.has_failed and self._service.means_processing(text)
            return None if is_doubtful else text
        found = _CODE_IN_A_TEXT.search(text)
        if found is None or said.word in PROCESSING_WORDS:  # it may tell of an earlier try
            return None
        return found[0] if self._service.lists_code(found[0]) else None

    def _knows(self, code: str) -> bool:
        service = self._service
        return service.means_processing(code) or service.error_class(code) is not ServiceError

    def _refusal(
        self, said: Said, reply: Reply, task: Task[Any] | None, *, of_task: bool = False
    ) -> Refused | None:
        """Return the clear no that an answer is; None where it is none.

        Where it is `of_task`, its status may say that the task failed: its worker then names the
        code, and makes new ones up as it needs them.
        """
        members = said.members
        has_failed = of_task and said.has_failed
        if said.is_refusal or has_failed:
            of_what = "status" if said.has_failed else "errorId"
            code = said.code or f"{of_what} {members.get(of_what)}"
        elif said.denial and not of_task:
            code = said.denial
        elif reply.status == _TOO_MANY_REQUESTS and not said.is_envelope:
            return Refused(ThrottledError("HTTP 429", retry_after=retry_delay(reply)))
        else:
            return None
        error_class = self._service.error_class(code)
        if self._service.lists_code(code):  # no secret, whatever the secrets are
            code = _NOT_IN_A_CODE.sub("_", code).strip("_")
        else:
            code = self.scrubber.scrub(code, task)
        if reply.status == _TOO_MANY_REQUESTS and not said.is_known:
            error_class = ThrottledError
        if has_failed and not issubclass(error_class, _NOT_OF_THE_TASK):
            error_class = TaskFailedError
        request_id = members.get("requestId")
        has_id = isinstance(request_id, str | int) and request_id != ""
        most = MAX_BAN if error_class is BannedError else MAX_RETRY_AFTER
        error = error_class(
            code,
            self.scrubber.scrub(said.reason, task),
            request_id=self.scrubber.scrub(request_id, task) if has_id else None,
            errors=self._field_errors(members.get("errors"), task),
            retry_after=retry_delay(reply, most=most),
        )
        return Refused(error)

    def _field_errors(self, errors: object, task: Task[Any] | None) -> dict[str, str]:
        found: dict[str, str] = {}
        if not isinstance(errors, dict):
            return found
        left = _MOST_OF_FIELD_ERRORS
        for path, reason in islice(cast("Json", errors).items(), MOST_FIELD_ERRORS):
            text = str(reason)
            left -= sum(min(len(item), MAX_SCRUBBED) for item in (path, text))
            if left < 0:
                break
            found[self.scrubber.scrub(path, task)] = self.scrubber.scrub(text, task)
        return found


def retry_delay(reply: Reply, *, most: float = MAX_RETRY_AFTER) -> float | None:
    """Return the seconds of ``Retry-After``, given as seconds or as a date.

    None when there is none, or none that makes sense; never above `most`.
    """
    if reply.retry_after is None:
        return None
    try:
        seconds = float(reply.retry_after)
    except ValueError:
        seconds = _seconds_between(reply.date, reply.retry_after)
    if not math.isfinite(seconds) or seconds < 0:
        return None
    return min(seconds, most)


def _seconds_between(start: str | None, end: str) -> float:
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - nearly always it is a number

    try:
        return (parsedate_to_datetime(end) - parsedate_to_datetime(start or "")).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _unreadable(said: Said, missing: str) -> Unreadable:
    """Return that an answer says nothing, or one of the service not what was asked for."""
    if said.is_envelope:
        return Unreadable(missing, said.status)
    what = "an object without errorId" if said.is_whole else "no JSON object"
    in_front = _IN_FRONT.get(said.status)
    why = f"; {in_front}" if in_front else ""
    return Unreadable(f"HTTP {said.status} with {what}{why}", said.status)


def _task_id(value: object, *, is_refused: bool) -> str | None:
    """Return a usable id; beside a refusal, what stands for none is none."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_WHOLE:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value).strip()
    # A line end in an id would forge a line in a log.
    if not (0 < len(text) <= _MAX_TASK_ID and text.isascii() and text.isprintable()):
        return None
    is_nil = not text.strip("-0") and (is_refused or "-" in text)
    is_filler = is_refused and (
        is_placeholder(text) or _IN_AN_ID.search(text) is None or len(text.split()) > 1
    )
    return None if is_nil or is_filler or is_nothing(text) else text

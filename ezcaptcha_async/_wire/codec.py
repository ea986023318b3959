"""Bytes ↔ values: what is sent to the services and what their answers mean.

Decoding has two steps, taken in different places. The scheduler needs to know only what
an answer *is* (created, processing, ready, refused, unreadable), so that is read at once.
The solution inside is decoded by whoever waits for it: a bad payload hurts one caller.

An answer is judged by its envelope; the HTTP status counts only when there is none,
because the services send errors with 200 and with 5xx alike.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Hashable, Iterable, Mapping
from email.utils import parsedate_to_datetime
from functools import cache
from itertools import islice
from typing import Any, Final, TypeAlias, TypeVar, cast

import attrs

from ezcaptcha_async._wire.secrets import secrets_in, spellings
from ezcaptcha_async.errors import (
    BannedError,
    CredentialError,
    InsufficientBalanceError,
    ProtocolError,
    ServiceError,
    TaskFailedError,
    TaskNotFoundError,
    ThrottledError,
)
from ezcaptcha_async.services import Offer, Service
from ezcaptcha_async.solutions import (
    CloudFlare5SSolution,
    CloudFlareTurnstileSolution,
    FuncaptchaSolution,
    HCaptchaSolution,
    ReCaptchaSolution,
    Receipt,
    Solution,
)
from ezcaptcha_async.tasks import CustomTask, Task
from ezcaptcha_async.transports import Reply, RequestBody

S = TypeVar("S", bound=Solution)
Json: TypeAlias = dict[str, Any]
_Writer: TypeAlias = Callable[[str], Any]

MAX_RETRY_AFTER: Final = 120.0
"""Most seconds of ``Retry-After`` that are obeyed; a longer one is a mistake or a trap."""

MAX_BAN: Final = 3_600.0
"""The same for a ban; the services state 600 s."""

_USER_INFO: Final = re.compile(r"(?<=://)[^/\s]*@|[^/\s:@]{1,100}:[^/\s@]{1,100}@")
"""Credentials before a host, in a URL or by themselves."""
_MAX_TEXT: Final = 300
_MAX_SCRUBBED: Final = 10_000
_MAX_TASK_ID: Final = 200
_MOST_FIELD_ERRORS: Final = 20
_MOST_LEVELS: Final = 200
"""How deep an answer may be nested. Reading, copying, writing and showing have limits of their
own, of hundreds or, from Python 3.14, of ten thousands of levels: what can be read is not always
what can be shown, and there showing it takes seconds.
"""
_NOT_OF_THE_TASK: Final = (
    BannedError,
    CredentialError,
    InsufficientBalanceError,
    TaskNotFoundError,
    ThrottledError,
)
"""What a worker does not say of a task that it failed: the service says it of the request."""

_TOO_MANY_REQUESTS: Final = 429
_REDIRECTION: Final = 300


# ---------------------------------------------------------------------- what is sent


class Encoder:
    """Writes the request bodies of one account; the constant part is encoded once.

    Args:
        client_key: The account's key.
        app_id: The developer's number, which only createTask takes.
    """

    __slots__ = ("_ask", "_create", "_head")

    def __init__(self, client_key: str, app_id: int | None = None) -> None:
        self._head = f'{{"clientKey":{json.dumps(client_key)}'
        self._ask = f'{self._head},"taskId":'
        self._create = self._head if app_id is None else f'{self._head},"appId":{app_id}'

    def __repr__(self) -> str:
        return "<Encoder>"

    def create_task(self, task: Task[Any], offer: Offer | None) -> RequestBody:
        """Encode createTask; `offer` is None for a type that the profile does not list."""
        fields = json.dumps(task_fields(task, offer), separators=(",", ":"))
        return RequestBody(f'{self._create},"task":{fields}}}'.encode())

    def get_task_result(self, task_id: str) -> RequestBody:
        """Encode getTaskResult."""
        return RequestBody(f"{self._ask}{json.dumps(task_id)}}}".encode())

    def get_balance(self) -> RequestBody:
        """Encode getBalance."""
        return RequestBody(f"{self._head}}}".encode())


@cache
def _wire_names(task_class: Hashable) -> tuple[tuple[str, str, _Writer | None], ...]:
    return tuple(
        (field.name, field.metadata["wire"], field.metadata.get("write"))
        for field in attrs.fields(cast("type[Task[Any]]", task_class))
        if "wire" in field.metadata
    )


def task_fields(task: Task[Any], offer: Offer | None) -> Json:
    """Return the ``task`` object of createTask, in the service's spelling."""
    extra: Json = {} if task.extra is None else json.loads(task.extra)
    if isinstance(task, CustomTask):
        return {"type": task.type, **json.loads(task.fields), **extra}
    fields: Json = {"type": task.type if offer is None else offer.wire_type}
    as_text = offer is not None and offer.booleans_as_text
    for name, wire_name, write in _wire_names(cast("Hashable", type(task))):
        value = getattr(task, name)
        if value is None:
            continue
        if as_text and isinstance(value, bool):
            value = "true" if value else "false"
        fields[wire_name] = value if write is None else write(value)
    return {**fields, **extra}


# ------------------------------------------------------------------ what an answer is


@attrs.frozen
class Created:
    """createTask was accepted; the task is paid."""

    task_id: str


@attrs.frozen
class Processing:
    """The task is not solved yet; also what an unknown status means."""


@attrs.frozen(repr=False)
class Ready:
    """The task is solved; `solution` is whatever the service sent."""

    solution: Any

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
    """Reads the answers to one account.

    Args:
        service: The profile whose error codes apply.
        secrets: Texts that are taken out of whatever the service says; some services
            repeat the key in their error descriptions.
    """

    __slots__ = ("_secrets", "_service", "_usual")

    def __init__(self, service: Service, secrets: Iterable[str]) -> None:
        self._service = service
        self._secrets = spellings(secrets)
        self._usual: Reply | None = None

    def __repr__(self) -> str:
        return f"<Decoder of {self._service.name}>"

    def created(
        self, reply: Reply, task: Task[Any] | None = None
    ) -> Created | Refused | Unreadable:
        """Read the answer to createTask; the secrets of `task` are taken out as well."""
        envelope = self._envelope(reply, task)
        if not isinstance(envelope, dict):
            return envelope
        task_id = _task_id(envelope.get("taskId"))
        if task_id is None:
            return Unreadable("$.taskId: expected an id", reply.status)
        return Created(task_id)

    def result(
        self, reply: Reply, task: Task[Any] | None = None
    ) -> Processing | Ready | Refused | Unreadable:
        """Read the answer to getTaskResult; the secrets of `task` are taken out as well."""
        # Nearly every poll is answered with the very bytes of the one before: processing.
        usual = self._usual
        if usual is not None and reply.body == usual.body and reply.status == usual.status:
            return _PROCESSING
        envelope = self._envelope(reply, task, is_result=True)
        if not isinstance(envelope, dict):
            return envelope
        if "errorId" not in envelope and "status" not in envelope:
            return Unreadable("$.status: missing", reply.status)
        if envelope.get("status") == "ready":
            return Ready(envelope.get("solution"))
        self._usual = reply
        return _PROCESSING

    def balance(self, reply: Reply) -> float | Refused | Unreadable:
        """Read the answer to getBalance: points."""
        envelope = self._envelope(reply)
        if not isinstance(envelope, dict):
            return envelope
        balance = envelope.get("balance")
        try:
            points = math.nan if isinstance(balance, bool) else float(cast("str", balance))
        except (TypeError, ValueError, OverflowError):
            points = math.nan
        if not math.isfinite(points):
            return Unreadable("$.balance: expected a number", reply.status)
        return points

    def scrub(self, text: object, task: Task[Any] | None = None) -> str:
        """Return one bounded line for people, with every secret taken out of it."""
        whole = str(text)
        secrets = (*self._secrets, *secrets_of(task))
        clean = whole[:_MAX_SCRUBBED]
        # First what is known: what only looks like credentials may end within one of them.
        for secret in secrets:
            clean = clean.replace(secret, "***")
        clean = _USER_INFO.sub("***@", clean)
        if len(whole) > _MAX_SCRUBBED:
            # What was cut off may have been the other half of a secret.
            clean = clean[: -max(map(len, secrets), default=1)]
        clean = "".join(char if char.isprintable() else " " for char in clean)
        return clean if len(clean) <= _MAX_TEXT else f"{clean[:_MAX_TEXT]}…"

    def _envelope(
        self, reply: Reply, task: Task[Any] | None = None, *, is_result: bool = False
    ) -> Json | Refused | Unreadable:
        """Return the JSON object of a good answer, else what is wrong with it."""
        body = _parsed(reply.body)
        if isinstance(body, dict):
            envelope = cast("Json", body)
            if is_result and envelope.get("status") == "error":
                return self._refused(envelope, reply, task, of_the_task=True)
            error_id = envelope.get("errorId")
            if error_id not in (None, 0, "0"):  # it may be unhashable
                return self._refused(envelope, reply, task)
            if error_id is not None or reply.status < _REDIRECTION:
                return envelope
        if reply.status == _TOO_MANY_REQUESTS:
            return Refused(ThrottledError("HTTP 429", retry_after=retry_delay(reply)))
        what = "an object without errorId" if isinstance(body, dict) else "no JSON object"
        return Unreadable(f"HTTP {reply.status} with {what}", reply.status)

    def _refused(
        self, envelope: Json, reply: Reply, task: Task[Any] | None, *, of_the_task: bool = False
    ) -> Refused:
        """Return the error that an answer names.

        Args:
            envelope: The answer.
            reply: What brought it.
            task: What it is about; its secrets are taken out of all texts.
            of_the_task: Whether it says that the task failed: its worker then names the code,
                and makes new ones up as it needs them.
        """
        unnamed = "status error" if of_the_task else f"errorId {envelope.get('errorId')}"
        code = str(envelope.get("errorCode") or unnamed).strip()
        error_class = self._service.error_class(code)
        if error_class is ServiceError:
            code = self.scrub(code, task)  # a known one is no secret, whatever the secrets are
            if reply.status == _TOO_MANY_REQUESTS:
                error_class = ThrottledError
        if of_the_task and not issubclass(error_class, _NOT_OF_THE_TASK):
            error_class = TaskFailedError
        most = MAX_BAN if error_class is BannedError else MAX_RETRY_AFTER
        error = error_class(
            code,
            self.scrub(envelope.get("errorDescription") or "", task),
            request_id=self._request_id(envelope, task),
            errors=self._field_errors(envelope, task),
            retry_after=retry_delay(reply, most=most),
        )
        return Refused(error)

    def _request_id(self, envelope: Json, task: Task[Any] | None) -> str | None:
        value = envelope.get("requestId")
        return self.scrub(value, task) if isinstance(value, str | int) and value != "" else None

    def _field_errors(self, envelope: Json, task: Task[Any] | None) -> dict[str, str]:
        errors = envelope.get("errors")
        if not isinstance(errors, dict):
            return {}
        items = islice(cast("Json", errors).items(), _MOST_FIELD_ERRORS)
        return {self.scrub(path, task): self.scrub(reason, task) for path, reason in items}


def _parsed(content: bytes) -> object:
    """Return the JSON value of an answer; None as well when it is none, or nested too deep."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    items: list[object] = [value]
    for _ in range(_MOST_LEVELS + 1):
        items = [part for item in items for part in _parts(item)]
        if not items:
            return value
    return None


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast("Json", value).values()
    return cast("list[object]", value) if isinstance(value, list) else ()


def secrets_of(task: Task[Any] | None) -> tuple[str, ...]:
    """Return what is secret of a task, longest first."""
    return () if task is None else secrets_in(task_fields(task, None))


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
    try:
        return (parsedate_to_datetime(end) - parsedate_to_datetime(start or "")).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _task_id(value: object) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value)
    return text if 0 < len(text) <= _MAX_TASK_ID else None


# -------------------------------------------------------------- what is in a solution


def decode_solution(
    solution_type: type[S], raw: object, *, receipt: Receipt, expires_at: float
) -> S:
    """Turn the ``solution`` of a ready answer into a value.

    A missing or misshapen required part raises; a misshapen optional one is kept in
    ``extra``, because it is no reason to throw a paid token away.

    Raises:
        ProtocolError: With the path of the value at fault.
    """
    if not isinstance(raw, dict):
        raise ProtocolError(f"$.solution: expected an object, got {_shape(raw)}")
    rest = cast("Json", raw).copy()
    fields: Json = {}
    for name, wire_name, read, required in _LAYOUTS.get(solution_type, ()):
        if wire_name not in rest and not required:
            continue
        value = read(rest.get(wire_name))
        if value is not None:
            fields[name] = value
            del rest[wire_name]
        elif required:
            raise ProtocolError(_complaint(f"$.solution.{wire_name}", rest.get(wire_name), read))
    return solution_type(**fields, extra=rest, receipt=receipt, expires_at=expires_at)


def _token(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> Mapping[str, str] | None:
    if not isinstance(value, dict):
        return None
    mapping = cast("Json", value)
    if not all(isinstance(item, str | int | float) for item in mapping.values()):
        return None
    return {name: str(item) for name, item in mapping.items()}


def _complaint(path: str, value: Any, read: _Reader) -> str:
    if read is _texts and isinstance(value, dict):
        items = cast("Json", value).items()
        name, item = next(pair for pair in items if not isinstance(pair[1], str | int | float))
        return f"{path}[{name[:40]!r}]: expected a string, got {_shape(item)}"
    return f"{path}: expected {_EXPECTED[read]}, got {_shape(cast('object', value))}"


def _shape(value: object) -> str:
    """Name the shape of a value and not the value, which may be secret or huge."""
    if value is None:
        return "nothing"
    if value == "":
        return "an empty string"
    return _SHAPES.get(type(value).__name__, "a number")


_SHAPES: Final = {"dict": "an object", "list": "an array", "str": "a string", "bool": "a boolean"}

_Reader: TypeAlias = Callable[[object], Any]
_EXPECTED: Final[Mapping[_Reader, str]] = {
    _token: "a non-empty string",
    _texts: "an object of strings",
}
_Layout: TypeAlias = tuple[tuple[str, str, _Reader, bool], ...]
_LAYOUTS: Final[Mapping[type[Solution], _Layout]] = {
    ReCaptchaSolution: (
        ("token", "gRecaptchaResponse", _token, True),
        ("user_agent", "user_agent", _text, False),
        ("sec_ch_ua", "sec_ch_ua", _text, False),
        ("cookies", "cookies", _texts, False),
    ),
    FuncaptchaSolution: (("token", "token", _token, True),),
    CloudFlare5SSolution: (
        ("headers", "header", _texts, True),
        ("cookies", "cookies", _texts, True),
        ("body", "body", _text, False),
        ("tls_version", "tlsVersion", _text, False),
        ("s_token", "sToken", _text, False),
    ),
    CloudFlareTurnstileSolution: (
        ("token", "token", _token, True),
        ("headers", "header", _texts, False),
    ),
    HCaptchaSolution: (
        ("token", "generated_pass_UUID", _token, True),
        ("user_agent", "ua", _text, False),
    ),
}
"""Solution class → (field, name on the wire, reader, required)."""

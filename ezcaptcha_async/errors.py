"""What this library raises, as one tree, and what to do about it.

Fleets have one more, the `DeliveredBeforeError` of `ezcaptcha_async.fleets`.

::

    EzCaptchaError
    ├── ConfigurationError         (also ValueError) correct what it names; nothing was sent
    │   └── UnknownArgumentError       (also TypeError) give what it names instead
    ├── TransportError             check the network: createTask could not be sent
    ├── ProtocolError              look at the path it names; the ticket is kept
    ├── SubmissionUnknownError     decide yourself, it may be paid; `SessionPool.unknowns`
    ├── ServiceError               see its code: the service's answer is an error
    │   ├── CredentialError            correct the key; `SessionPool.balance` reopens the account
    │   ├── InsufficientBalanceError   top up; `SessionPool.balance` reopens the account
    │   │   └── SubscriptionError      renew it, then `SessionPool.reopen`
    │   ├── BannedError                wait ``retry_after`` seconds; until then nothing is sent
    │   ├── ThrottledError             try again later: throttled all through `create_patience`
    │   ├── CapacityError              likewise: the service was full
    │   ├── InvalidTaskError           correct site key, URL or fields
    │   ├── TaskFailedError            submit a new task: the service gave up
    │   ├── TaskNotFoundError          check where the ticket came from, or it is too old
    │   └── RequestError               (also ProtocolError) check ``base_url`` and proxies
    ├── ResultWindowLapsedError    (also TimeoutError) submit a new task: 300 s are over
    ├── SolveTimeoutError          (also TimeoutError) resume its ticket, if it has one
    ├── BudgetExceededError        set another `budget`; nothing was sent
    ├── JournalError               make room on the disk, or see to the fleet's server; not sent
    ├── TicketCancelledError       you ended it: resume the ticket, if you want it after all
    └── PoolClosedError            likewise, in another pool

Every error says whether something was paid: ``ticket`` is the saved ticket (what
``Ticket.to_dict`` gives) as soon as a task id is known, and ``SessionPool.resume``
takes it as it is. Errors hold plain values only, so they pickle, copy, and outlive
the pool; they never hold a client key or a proxy password.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar, Self, TypedDict


class SavedTicket(TypedDict):
    """A paid task written down: a dict, JSON-able, without any secret.

    `SessionPool.resume` takes it as it is, and any mapping with what was read from its JSON.

    Attributes:
        version: Of this form: 1.
        task_id: The service's id.
        service: Name of the service.
        account: Fingerprint of the account that paid; None when it is not known.
        type: The task's type, as this library names it.
        host: Host of the task's page.
        created_at: Unix time in seconds of its creation.
        processing_at: Unix time in seconds of the last ``processing``; None before the first.
        polls: How many polls were sent so far.
        points: Listed price; None when it is not known.
        reference: What the task is to whoever had it solved.

    Example:
        >>> async with SessionPool() as pool:
        ...     saved: SavedTicket = (await pool.submit(TASK)).to_dict()
        >>> saved["type"], saved["points"]
        ('ReCaptchaV2TaskProxyless', 6)
    """

    version: int
    task_id: str
    service: str
    account: str | None
    type: str
    host: str
    created_at: float
    processing_at: float | None
    polls: int
    points: float | None
    reference: str | None


class EzCaptchaError(Exception):
    """The root of every error that this library raises.

    Args:
        message: One line for a person.
        task_id: The service's id of the task, once it is known.
        ticket: The paid task written down; give it to ``SessionPool.resume``.
            None when nothing was paid, or when the id was never learned.
        may_be_charged: True when the service may have taken points for this task.
        retryable: True when the same call may succeed later; None means the default
            of the class. It says nothing of money: a paid task is resumed, not bought again.
        retry_after: Seconds to wait before the next try, when that is known.

    Example:
        >>> async with SessionPool() as pool:
        ...     try:
        ...         solution = await pool.solve(TASK, timeout=12)
        ...     except EzCaptchaError as error:
        ...         if error.ticket is None:
        ...             raise
        ...         solution = await pool.resume(error.ticket)  # it is paid: not bought again
        >>> pool.statistics().created
        1
    """

    default_retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str = "",
        *,
        task_id: str | None = None,
        ticket: SavedTicket | None = None,
        may_be_charged: bool = False,
        retryable: bool | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.task_id = task_id
        self.ticket = ticket
        self.may_be_charged = may_be_charged
        self.retryable: bool = self.default_retryable if retryable is None else retryable
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.message} (task {self.task_id})" if self.task_id else self.message

    def for_ticket(self, task_id: str | None, ticket: SavedTicket | None) -> Self:
        """Return a fresh copy that carries the ticket.

        Everybody who waits gets an exception of their own: one that is raised in several
        places would collect all of their tracebacks.
        """
        error = copy.copy(self)
        if hasattr(error, "__notes__"):
            error.__notes__ = list(error.__notes__)
        if task_id is not None:
            error.task_id = task_id
            error.ticket = ticket
            error.may_be_charged = True
        return error

    def __reduce__(self) -> tuple[Any, ...]:
        # OSError, a base of the two timeouts, brings a __reduce__ of its own that would
        # drop our attributes; one rule for the whole tree instead.
        return type(self), (), {**self.__dict__, "args": self.args}


class ConfigurationError(EzCaptchaError, ValueError):
    """An argument, a field or a setting is wrong. Raised before anything is sent.

    The message names the field and the remedy.

    Example:
        >>> SessionPool("a-key", max_requests=0)
        Traceback (most recent call last):
        ezcaptcha_async.errors.ConfigurationError: max_requests must be a whole number of ...
    """


class UnknownArgumentError(ConfigurationError, TypeError):
    """A call has no argument of that name. The message names the one that is meant.

    Example:
        >>> Account(api_key="a-key")
        Traceback (most recent call last):
        ezcaptcha_async.errors.UnknownArgumentError: Account() has no argument 'api_key': ...
    """


class TransportError(EzCaptchaError):
    """No answer came: the connection failed, or the total deadline of the request passed.

    Args:
        message: One line for a person.
        sent: False when the request certainly never left, so that repeating it is free
            of risk. True when the service may have acted on it.
        **details: As for `EzCaptchaError`.

    Example:
        >>> error = TransportError("getBalance: connection refused", sent=False)
        >>> error.sent, error.may_be_charged, error.retryable
        (False, False, True)
    """

    default_retryable = True

    def __init__(self, message: str = "", *, sent: bool = True, **details: Any) -> None:
        super().__init__(message, **details)
        self.sent = sent


class ProtocolError(EzCaptchaError):
    """An answer came that does not mean anything: HTML, broken JSON, a missing field.

    Args:
        message: One line that names the path of the offending value, such as
            ``$.solution.gRecaptchaResponse``.
        status: The HTTP status of the answer, when there was one.
        payload: What was paid for, where it is not of the form that its type has: the
            solution as it came, or, of an answer of more than 64 KiB, the answer as a text.
            It is in no message.
        **details: As for `EzCaptchaError`.

    Example:
        >>> error = ProtocolError("the answer is not JSON", status=502)
        >>> error.status, error.retryable
        (502, False)
    """

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        payload: object = None,
        **details: Any,
    ) -> None:
        super().__init__(message, **details)
        self.status = status
        self.payload = payload


class SubmissionUnknownError(EzCaptchaError):
    """createTask was sent but its answer was lost: the task may have been paid for.

    The service offers no idempotency key, so this is never repeated by itself, unless the
    pool was made with ``on_unknown="retry"``.
    ``may_be_charged`` is True and ``task_id`` is None.

    Example:
        >>> service = SimulatedService()
        >>> service.inject(Fault.RESET_AFTER, path="/createTask")
        >>> async with SessionPool(http_client=service.client()) as pool:
        ...     try:
        ...         solution = await pool.solve(TASK)
        ...     except SubmissionUnknownError as error:
        ...         print(error.may_be_charged, error.ticket)
        True None
    """

    def __init__(self, message: str = "", *, may_be_charged: bool = True, **details: Any) -> None:
        super().__init__(message, may_be_charged=may_be_charged, **details)


class ServiceError(EzCaptchaError):
    """The service answered with an error code. Each subclass stands for one remedy.

    Args:
        code: The service's ``errorCode``, as sent.
        description: The service's ``errorDescription``, with secrets taken out.
        request_id: The ``requestId`` of the answer, which the service's support asks for;
            None where it gave none.
        errors: For a refused createTask: the path of each field at fault and the reason, as
            far as the service names them, with secrets taken out.
        **details: As for `EzCaptchaError`.

    Example:
        >>> async with SessionPool("wrong-key") as pool:
        ...     try:
        ...         balance = await pool.balance()
        ...     except ServiceError as error:
        ...         print(error.code, error.remedy, sep=": ")
        ERROR_KEY_DOES_NOT_EXIST: check the client key
    """

    remedy: ClassVar[str] = ""
    concerns_account: ClassVar[bool] = False
    """Whether it is refused for reasons that are the account's, and not the single task's."""
    is_passing: ClassVar[bool] = False
    """Whether the account can do the same in a moment: no capacity, or too many requests."""
    is_of_task: ClassVar[bool] = True
    """Whether it says what became of the task that was asked for."""

    def __init__(
        self,
        code: str = "",
        description: str = "",
        *,
        request_id: str | None = None,
        errors: Mapping[str, str] | None = None,
        **details: Any,
    ) -> None:
        self.code = code
        self.description = description
        self.request_id = request_id
        self.errors: dict[str, str] = dict(errors or {})
        super().__init__(self._text(), **details)

    def _text(self) -> str:
        text = f"{self.code}: {self.description}" if self.description else self.code
        if self.errors:
            text += f" ({', '.join(f'{field}: {why}' for field, why in self.errors.items())})"
        if self.remedy:
            text += f"; {self.remedy}"
        return f"{text}; request {self.request_id}" if self.request_id else text


class CredentialError(ServiceError):
    """The client key is unknown or banned. Repeating it earns a ban: correct the key.

    Example:
        >>> async with SessionPool("wrong-key") as pool:
        ...     try:
        ...         solution = await pool.solve(TASK)
        ...     except CredentialError as error:
        ...         print(error)
        ERROR_KEY_DOES_NOT_EXIST: the client key does not exist; check the client key; request ...
    """

    remedy = "check the client key"
    concerns_account = True
    is_of_task = False


class InsufficientBalanceError(ServiceError):
    """The account is out of points: top it up. Paid tasks can still be fetched.

    Example:
        >>> async with SessionPool("empty-key") as pool:
        ...     try:
        ...         solution = await pool.solve(TASK)
        ...     except InsufficientBalanceError as error:
        ...         print(error)
        ERROR_ZERO_BALANCE: the account has no points left; top up the account; request ...
    """

    remedy = "top up the account"
    concerns_account = True
    is_of_task = False


class SubscriptionError(InsufficientBalanceError):
    """The account's subscription or package does not pay for the task; points do not help.

    Nothing more is created at the account until `SessionPool.reopen`. Paid tasks can still be
    fetched.

    Example:
        >>> print(SubscriptionError("ERROR_SUBSCRIPTION_EXPIRED"))
        ERROR_SUBSCRIPTION_EXPIRED; renew the subscription, or buy a package with this task type
    """

    remedy = "renew the subscription, or buy a package with this task type"


class BannedError(ServiceError):
    """The service blocks this client for minutes after too many errors.

    Going on prolongs the ban; ``retry_after`` says how long to keep silent.

    Example:
        >>> error = BannedError("ERROR_IP_BANNED", retry_after=600)
        >>> f"{error}; {error.retry_after / 60:g} minutes"
        'ERROR_IP_BANNED; send nothing until the ban ends; 10 minutes'
    """

    default_retryable = True
    remedy = "send nothing until the ban ends"
    concerns_account = True
    is_of_task = False


class ThrottledError(ServiceError):
    """Too many requests. It says nothing of the task: slow down and try again.

    Example:
        >>> error = ThrottledError("ERROR_REQUEST_LIMIT", retry_after=30)
        >>> error.retryable, error.retry_after, error.may_be_charged
        (True, 30, False)
    """

    default_retryable = True
    remedy = "slow down"
    concerns_account = True
    is_passing = True
    is_of_task = False


class CapacityError(ServiceError):
    """The service is overloaded or has no free slot: try again later. Nothing was paid.

    Example:
        >>> error = CapacityError("ERROR_NO_SLOT_AVAILABLE")
        >>> error.retryable, error.may_be_charged
        (True, False)
    """

    default_retryable = True
    remedy = "try again later"
    concerns_account = True
    is_passing = True
    is_of_task = False


class InvalidTaskError(ServiceError):
    """The service rejects the task: a wrong site key, URL, field or type. Not charged.

    Example:
        >>> task = ReCaptchaV2TaskProxyless(website_url="https://example.com/", website_key="<key>")
        >>> async with SessionPool() as pool:
        ...     try:
        ...         solution = await pool.solve(task)
        ...     except InvalidTaskError as error:
        ...         print(error.code, error.errors)
        ERROR_REQUEST_PARAMETERS {'task.websiteKey': 'must be a site key'}
    """

    remedy = "correct the task"


class TaskFailedError(ServiceError):
    """The service gave up on the task, for whatever reason its worker names in ``code``.

    Example:
        >>> error = TaskFailedError("ERROR_CAPTCHA_UNSOLVABLE", task_id="17", may_be_charged=True)
        >>> str(error)
        'ERROR_CAPTCHA_UNSOLVABLE; submit a new task (task 17)'
    """

    default_retryable = True
    remedy = "submit a new task"


class TaskNotFoundError(ServiceError):
    """The service does not know the task id, or its result window is over.

    Example:
        >>> async with SessionPool() as pool:
        ...     ticket = await pool.submit(TASK)
        ...     try:
        ...         solution = await pool.resume(ticket.to_dict() | {"task_id": "mistyped"})
        ...     except TaskNotFoundError as error:
        ...         print(error.code)
        ERROR_TASK_NOT_EXIST
    """

    remedy = "check the task id; results can be fetched for a few minutes only"


class RequestError(ServiceError, ProtocolError):
    """The service did not understand the request as such: its path, method or content type.

    That is a mistake of this library, a wrong ``base_url``, or a proxy that changes requests.
    Nothing was paid.

    Example:
        >>> error = RequestError("ERROR_CONTENT_TYPE_ERROR")
        >>> isinstance(error, ProtocolError), error.retryable
        (True, False)
    """

    remedy = "check base_url and what a proxy does to requests; else report it"
    is_of_task = False


class ResultWindowLapsedError(EzCaptchaError, TimeoutError):
    """The result window ended (300 s after creation) and the task was never ready.

    Example:
        >>> error = ResultWindowLapsedError("not solved within 300 s", task_id="17")
        >>> isinstance(error, TimeoutError), error.retryable
        (True, True)
    """

    default_retryable = True


class SolveTimeoutError(EzCaptchaError, TimeoutError):
    """The caller's own ``timeout`` passed first.

    When ``ticket`` is set, the task is paid and goes on at the service: resume it.

    Example:
        >>> async with SessionPool() as pool:
        ...     try:
        ...         solution = await pool.solve(TASK, timeout=12)
        ...     except SolveTimeoutError as error:
        ...         if error.ticket is not None:  # it is paid, and goes on at the service
        ...             solution = await pool.resume(error.ticket)
        >>> solution.token
        'simulated.recaptcha...'
    """

    default_retryable = True


class BudgetExceededError(EzCaptchaError):
    """The task would cost more points than the pool's budget has left. Nothing was sent.

    Example:
        >>> async with SessionPool(budget=10) as pool:
        ...     solution = await pool.solve(TASK)
        ...     try:
        ...         solution = await pool.solve(TASK)
        ...     except BudgetExceededError as error:
        ...         print(error)
        ReCaptchaV2TaskProxyless costs 6 points, and of the budget of 10 there are 4 left
    """


class JournalError(EzCaptchaError):
    """The journal cannot be written, or the fleet's server be reached: createTask was not sent.

    Nothing was paid.

    Example:
        >>> error = JournalError("cannot write the journal paid.jsonl: No space left on device")
        >>> error.may_be_charged, error.retryable
        (False, True)
    """

    default_retryable = True


class TicketCancelledError(EzCaptchaError):
    """The ticket was cancelled. Its task is paid: resume it.

    Example:
        >>> async with SessionPool() as pool:
        ...     ticket = await pool.submit(TASK)
        ...     if ticket.cancel():
        ...         try:
        ...             solution = await ticket
        ...         except TicketCancelledError:
        ...             solution = await pool.resume(ticket)
        >>> pool.statistics().created
        1
    """


class PoolClosedError(EzCaptchaError):
    """The pool is closed, is closing, or was never entered.

    Example:
        >>> async with SessionPool() as pool:
        ...     ticket = await pool.submit(TASK)
        >>> await ticket
        Traceback (most recent call last):
        ezcaptcha_async.errors.PoolClosedError: the pool ...
    """

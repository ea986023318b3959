"""One account at work: sends its requests, and tells the gate and the schedule the answers.

The three outcomes of createTask are decided here and nowhere else: **paid** (an id came),
**not paid** (the service refused, or the request was certainly never sent) and **unknown**
(sent, and no valid answer). Only what is certainly not paid is ever tried again. A poll is
free to repeat, so whatever goes wrong with one is a skipped poll.
"""

from __future__ import annotations

import time
from math import inf
from random import Random
from typing import Any, Final, assert_never

import anyio
import attrs

from ezcaptcha_async._entries import Entry, Line, Phase
from ezcaptcha_async._event_loop import EventLoop
from ezcaptcha_async._gate import CONCERNS_ACCOUNT, Gate
from ezcaptcha_async._schedule import Schedule
from ezcaptcha_async._scheduler import Deadline, Scheduler
from ezcaptcha_async._statistics import Statistics
from ezcaptcha_async._timing import Backoff, PollTiming
from ezcaptcha_async._transport import Evidence, NoAnswer, Transport
from ezcaptcha_async._wire import (
    Balance,
    Created,
    Decoder,
    Encoder,
    Processing,
    Ready,
    Refused,
    Reply,
    RequestBody,
    Unreadable,
)
from ezcaptcha_async.accounts import Account
from ezcaptcha_async.errors import (
    BannedError,
    CapacityError,
    ConfigurationError,
    CredentialError,
    EzCaptchaError,
    InsufficientBalanceError,
    PoolClosedError,
    ProtocolError,
    ServiceError,
    SubmissionUnknownError,
    ThrottledError,
    TransportError,
)
from ezcaptcha_async.tasks import Kind, Task

_BACKOFF: Final = Backoff()
_NOT_PROCESSED: Final = range(300, 500)
"""HTTP statuses that say, without an envelope, that createTask was not carried out."""


@attrs.define(eq=False)
class _Inquiry:
    answered: anyio.Event
    outcome: Balance | EzCaptchaError = attrs.field(factory=PoolClosedError)


class Session:
    """One account at work.

    Args:
        account: The account.
        schedule: The books, shared with the other accounts of the pool.
        scheduler: Decides when requests go out, likewise.
        loop: The event loop that all of this runs in.
        transport: Sends the requests.
        timing: Says when to poll.
        rng: The source of jitter.
        request_timeout: Total deadline of one request in seconds.
        create_patience: Seconds for which a create that was certainly not accepted is
            tried again.
    """

    def __init__(
        self,
        account: Account,
        *,
        schedule: Schedule,
        scheduler: Scheduler,
        loop: EventLoop,
        transport: Transport,
        timing: PollTiming,
        rng: Random,
        request_timeout: float,
        create_patience: float,
    ) -> None:
        self.account = account
        self.loop = loop
        self.service = account.service
        self.gate = Gate(
            max_creates=account.max_creates,
            max_in_flight=account.max_in_flight,
            creates_per_second=account.creates_per_second,
            polls_per_second=account.polls_per_second,
        )
        self.line = Line(
            gate=self.gate,
            result_window=self.service.result_window,
            spacing=self.service.min_poll_interval,
        )
        schedule.add_line(self.line)
        self.requests = 0
        self.polls = 0
        # Unix time minus the event loop's clock, taken anew with each answer, because the
        # two drift apart over days and when the machine sleeps.
        self.epoch = time.time() - loop.clock()
        self._schedule = schedule
        self._scheduler = scheduler
        self._clock = loop.clock
        self._transport = transport
        self._timing = timing
        self._rng = rng
        self._request_timeout = request_timeout
        self._create_patience = create_patience
        self._encoder = Encoder(account.client_key)
        self._decoder = Decoder(self.service, secrets=[account.client_key])
        self._create_url = f"{self.service.base_url}/createTask"
        self._result_url = f"{self.service.base_url}/getTaskResult"
        self._balance_url = f"{self.service.base_url}/getBalance"
        self._inquiry: _Inquiry | None = None

    def __repr__(self) -> str:
        return f"<Session of {self.account.name}, load {self.line.load}>"

    # ---------------------------------------------------------------------- tickets

    def check_here(self) -> None:
        """Check that the caller is in the pool's own event loop.

        Raises:
            ConfigurationError: It is in another one.
        """
        if not self.loop.is_running:
            raise ConfigurationError(
                "this pool belongs to another event loop; open one pool in each event loop"
            )

    def enqueue(self, task: Task[Any], deadline: float) -> Entry:
        """Put a task in line for creation.

        Args:
            task: What to solve.
            deadline: On the event loop's clock, when the caller's patience ends.
        """
        offer = self.service.offer_for(task.type)
        entry = Entry(
            line=self.line,
            kind=Kind(self.service.name, task.type, task.host),
            solution_type=task.solution_type,
            task=task,
            points=None if offer is None else offer.points,
            deadline=deadline,
            queued_at=self._clock(),
        )
        self._schedule.enqueue(entry)
        self._scheduler.wake()
        return entry

    def adopt(self, entry: Entry) -> None:
        """Take over a paid task that was created elsewhere."""
        age = self._timing.first_poll(entry.kind, self._rng)
        self._schedule.adopt(entry, poll_at=entry.created_at + age)
        self._scheduler.wake()

    def hold(self, entry: Entry) -> None:
        """Note that one more waits for a ticket; an orphan is taken up again."""
        self._schedule.hold(entry, self._clock())
        self._scheduler.wake()

    def release(self, entry: Entry) -> None:
        """Note that one of those who wait for a ticket went away."""
        self._schedule.release(entry)

    def abandon(self, entry: Entry, error: EzCaptchaError) -> None:
        """Stop polling a ticket and tell `error` to whoever waits."""
        self._schedule.abandon(entry, error)

    # ------------------------------------------------------------------- createTask

    async def create(self, entry: Entry, task: Task[Any], deadline: Deadline) -> None:
        """Send createTask and enter its outcome into the books."""
        evidence = Evidence()
        body = self._encoder.create_task(task, self.service.offer_for(task.type))
        reply = await self._post(self._create_url, body, deadline, evidence)
        now = self._clock()
        if isinstance(reply, NoAnswer):
            self._note_failure(now)
            self._create_fault(entry, reply, now)
            return
        answer = self._decoder.created(reply, task)
        match answer:
            case Created(task_id):
                self.gate.succeeded(now, create=True)
                poll_at = now + self._timing.first_poll(entry.kind, self._rng)
                self._schedule.created(entry, task_id, now=now, poll_at=poll_at)
            case Refused(error):
                self._create_refused(entry, error, now)
            case Unreadable(reason, status):
                self._note_failure(now)
                if status in _NOT_PROCESSED:
                    problem = ProtocolError(f"createTask was answered with {reason}", status=status)
                    self._schedule.refuse(entry, problem)
                else:
                    self._schedule.lost(entry, _unknown(reason))
            case _:
                assert_never(answer)

    def _create_fault(self, entry: Entry, fault: NoAnswer, now: float) -> None:
        if not fault.unsent:
            self._schedule.lost(entry, _unknown(fault.reason))
            return
        error = TransportError(
            f"createTask could not be sent: {fault.reason}",
            sent=False,
            retryable=not fault.permanent,
        )
        self._try_again(entry, error, now)

    def _create_refused(self, entry: Entry, error: ServiceError, now: float) -> None:
        self._note_refusal(error, now, create=True)
        if isinstance(error, ThrottledError | CapacityError):
            self._try_again(entry, error, now)
        else:
            self._schedule.refuse(entry, error)

    def _try_again(self, entry: Entry, error: EzCaptchaError, now: float) -> None:
        """Repeat a create that certainly was not accepted, while patience lasts."""
        if entry.first_attempt_at is None:
            entry.first_attempt_at = now
        at = now + max(_BACKOFF.delay(entry.attempts, self._rng), error.retry_after or 0.0)
        if error.retryable and at < entry.first_attempt_at + self._create_patience:
            self._schedule.retry_create(entry, at)
        else:
            self._schedule.refuse(entry, error)

    # ---------------------------------------------------------------- getTaskResult

    async def poll(self, entry: Entry, task_id: str, deadline: Deadline) -> None:
        """Send getTaskResult and enter its outcome into the books."""
        self.polls += 1
        sent_age = self._clock() - entry.created_at
        body = self._encoder.get_task_result(task_id)
        reply = await self._post(self._result_url, body, deadline)
        now = self._clock()
        if isinstance(reply, NoAnswer):
            self._note_failure(now)
            self._skip(entry, now)
            return
        answer = self._decoder.result(reply, entry.task)
        match answer:
            case Processing():
                self.gate.succeeded(now)
                self._timing.learn(entry.kind, entry.polled_age, sent_age, ready=False)
                wait = self._timing.next_poll(entry.kind, sent_age, entry.answered + 1, self._rng)
                self._schedule.processing(entry, now=now, sent_age=sent_age, poll_at=now + wait)
            case Ready(raw):
                self.gate.succeeded(now)
                self._timing.learn(entry.kind, entry.polled_age, sent_age, ready=True)
                self._schedule.solved(entry, raw, now)
            case Refused(error):
                self._poll_refused(entry, error, now)
            case Unreadable():
                self._note_failure(now)
                self._skip(entry, now)
            case _:
                assert_never(answer)

    def _poll_refused(self, entry: Entry, error: ServiceError, now: float) -> None:
        self._note_refusal(error, now)
        if isinstance(
            error, ThrottledError | CapacityError | BannedError | InsufficientBalanceError
        ):
            # None of these says anything of the task.
            self._skip(entry, now)
        else:
            self._schedule.failed(entry, error)
        if isinstance(error, CredentialError):
            self._schedule.fail_paid(self.line, error)

    def _skip(self, entry: Entry, now: float) -> None:
        wait = _BACKOFF.delay(entry.faults + 1, self._rng)
        self._schedule.skipped(entry, now=now, poll_at=now + wait)

    # ------------------------------------------------------------------- getBalance

    async def balance(self) -> Balance:
        """Ask for the balance; those who ask while a request is under way share it.

        Raises:
            BannedError: The account is banned for now; nothing was sent.
            ThrottledError: It is throttled for now, likewise.
            CredentialError: The service does not know the key.
            TransportError: No answer came.
            ProtocolError: The answer means nothing.
            ServiceError: The service refused for another reason.
        """
        now = self._clock()
        refusal = self.gate.refusal(now)
        if isinstance(refusal, BannedError):
            raise refusal.for_ticket(None, None)
        pause = self.gate.held_until(now) - now
        if pause > 0:
            raise ThrottledError(
                "ERROR_REQUEST_LIMIT", "the account is throttled for now", retry_after=pause
            )
        if self._inquiry is None:
            self._inquiry = _Inquiry(anyio.Event())
            self._scheduler.send(self._inquire)
        inquiry = self._inquiry
        await inquiry.answered.wait()
        if isinstance(inquiry.outcome, Balance):
            return inquiry.outcome
        raise inquiry.outcome.for_ticket(None, None)

    async def _inquire(self, deadline: Deadline) -> None:
        self.gate.sent(self._clock())
        reply = await self._post(self._balance_url, self._encoder.get_balance(), deadline)
        self.answer_inquiry(self._read_balance(reply))

    def answer_inquiry(self, outcome: Balance | EzCaptchaError) -> None:
        """Answer whoever waits for the balance."""
        inquiry, self._inquiry = self._inquiry, None
        if inquiry is not None:
            inquiry.outcome = outcome
            inquiry.answered.set()

    def _read_balance(self, reply: Reply | NoAnswer) -> Balance | EzCaptchaError:
        now = self._clock()
        if isinstance(reply, NoAnswer):
            self._note_failure(now)
            return TransportError(
                f"getBalance was not answered: {reply.reason}", retryable=not reply.permanent
            )
        answer = self._decoder.balance(reply)
        match answer:
            case int() | float() as points:
                self.gate.succeeded(now)
                if points > 0:
                    self.gate.reopen()
                value = points / self.service.points_per_unit
                return Balance(points, self.account.name, self.service.currency, value)
            case Refused(error):
                self._note_refusal(error, now)
                return error
            case Unreadable(reason, status):
                self._note_failure(now)
                return ProtocolError(f"getBalance was answered with {reason}", status=status)
            case _:
                assert_never(answer)

    # ---------------------------------------------------------------------- details

    def statistics(self) -> Statistics:
        """Return a snapshot of the counts."""
        count = self.line.phases
        return Statistics(
            account=self.account.name,
            queued=count[Phase.QUEUED],
            creating=count[Phase.CREATING],
            waiting=self.line.in_flight,
            created=self.line.created,
            resumed=self.line.resumed,
            solved=count[Phase.SOLVED],
            failed=count[Phase.FAILED],
            lapsed=count[Phase.LAPSED],
            orphaned=count[Phase.ORPHANED],
            unknown=count[Phase.UNKNOWN],
            refused=count[Phase.REFUSED],
            cancelled=count[Phase.CANCELLED],
            requests=self.requests,
            polls=self.polls,
            points=self.line.points,
        )

    def _note_refusal(self, error: ServiceError, now: float, *, create: bool = False) -> None:
        """Let the gate draw its conclusions, and answer those whom they concern."""
        if not isinstance(error, CONCERNS_ACCOUNT):
            self.gate.succeeded(now, create=create)
            return
        self.gate.refused(error, now, self._rng.random())
        refusal = self.gate.refusal(now)
        if refusal is None:
            return
        self._schedule.refuse_queued(self.line, refusal)

    def tell_who_lapses(self) -> None:
        """Answer those whose result window ends before a ban does; after each request.

        Not only when the ban becomes known: other requests are under way then, and what
        they are for is told when they are over.
        """
        now = self._clock()
        refusal = self.gate.refusal(now)
        if isinstance(refusal, BannedError):
            self._schedule.fail_lapsing(self.line, refusal, until=self.gate.held_until(now))

    def _note_failure(self, now: float) -> None:
        """Let the gate draw its conclusions, and end the wait of those who lost patience."""
        self.gate.failed(now, self._rng.random())
        since = self.gate.failing_since
        if since is not None and now - since >= self._create_patience:
            error = TransportError(
                f"nothing but failures for {now - since:.0f} s, so createTask was not sent",
                sent=False,
                retryable=True,
            )
            patience_ended = now - self._create_patience
            self._schedule.refuse_queued(self.line, error, since=patience_ended)

    async def _post(
        self, url: str, body: RequestBody, deadline: Deadline, evidence: Evidence | None = None
    ) -> Reply | NoAnswer:
        self.requests += 1
        timeout = self._request_timeout
        deadline.at = self._clock() + timeout
        try:
            reply = await self._transport.post(url, body, timeout=timeout, evidence=evidence)
        except anyio.get_cancelled_exc_class():
            if not deadline.passed:
                raise  # the pool ends
            unsent = evidence is not None and evidence.unsent
            return NoAnswer(f"no whole answer within {timeout:g} s", unsent=unsent)
        finally:
            deadline.at = inf
        self.epoch = time.time() - self._clock()
        return reply


def _unknown(reason: str) -> SubmissionUnknownError:
    return SubmissionUnknownError(
        f"createTask was sent, but its answer was lost ({reason}); it may have been paid for"
    )

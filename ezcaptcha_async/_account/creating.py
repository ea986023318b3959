"""createTask, and its three outcomes; they are decided here and nowhere else.

**Paid**: an id came. **Not paid**: the service refused, or the request was certainly never
sent. **Unknown**: sent, and no valid answer. Only what is certainly not paid is ever tried
again by itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, assert_never, cast

import attrs

from ezcaptcha_async._account.exchange import Exchange
from ezcaptcha_async._account.standing import Standing
from ezcaptcha_async._books import Command, Entry, Phase
from ezcaptcha_async._journal import Intent, SavedTask, Submission
from ezcaptcha_async._wire import Created, Refused, Unreadable
from ezcaptcha_async.errors import (
    BudgetExceededError,
    EzCaptchaError,
    InvalidTaskError,
    JournalError,
    ProtocolError,
    ServiceError,
    SubmissionUnknownError,
    TransportError,
)
from ezcaptcha_async.tasks import Task
from ezcaptcha_async.transports import Evidence, NoAnswer

if TYPE_CHECKING:
    from ezcaptcha_async.fleets import Known

_NOT_PROCESSED: Final = range(300, 500)
"""HTTP statuses that say, without an envelope, that createTask was not carried out."""


_MOST_INVALID: Final = 1_000
"""Most refused tasks that are remembered, the newest ones."""


class Creator:
    """Creates the tasks of one account.

    Args:
        exchange: Sends the requests.
        standing: Told what the answers say of the account.
        first_poll: Returns the age, in seconds, at which to poll a new task.
        may_repeat: Says whether a create whose answer was lost is sent once more, and
            enters it into the limit on that.
        on_paid: Called with each new paid task.
    """

    def __init__(
        self,
        exchange: Exchange,
        standing: Standing,
        *,
        first_poll: Callable[[Entry], float],
        may_repeat: Callable[[Entry], bool],
        on_paid: Callable[[Entry], None],
    ) -> None:
        self._exchange = exchange
        self._standing = standing
        self._books = standing.books
        self._ledger = standing.ledger
        self._first_poll = first_poll
        self._may_repeat = may_repeat
        self._on_paid = on_paid
        self._invalid = OrderedDict[Task[Any], tuple[InvalidTaskError, float]]()

    def refusal_of(self, task: Task[Any]) -> InvalidTaskError | None:
        """Return why the service has just refused an equal task, which it would do again."""
        known = self._invalid.get(_plain(task)) if self._invalid else None
        return known[0] if known is not None and self._exchange.clock() < known[1] else None

    async def create(self, command: Command) -> None:
        """Send createTask and enter its outcome into the books."""
        entry = command.entry
        task = cast("Task[Any]", entry.task)
        invalid = self.refusal_of(task)
        if invalid is not None:  # since it came into line
            self._books.refuse(entry, invalid)
            return
        intent: Intent | Known | EzCaptchaError
        try:
            intent = await self._ledger.intend(
                self._submission(entry),
                command.permit.name,
                once=entry.once,
                again=entry.repeated,
            )
        except (JournalError, BudgetExceededError) as error:
            intent = error.for_ticket(None, None)
        # Leave may take a while to get: its caller may be gone by now, or the account banned.
        now = self._exchange.clock()
        refusal = self._standing.gate.refusal(now)
        if isinstance(intent, Intent) and self._books.wants(entry) and refusal is None:
            await self._create(command, task, intent)
            return
        if isinstance(intent, Intent):
            self._ledger.not_paid(intent)
            if refusal is None:
                self._books.retry_create(entry, now)
            else:
                self._standing.turn_away(entry, refusal)
        elif not isinstance(intent, EzCaptchaError):
            self._books.set_aside(entry)
            self._ledger.looks_up()
        elif intent.retry_after is not None:
            self._try_again(entry, intent)
        else:
            self._books.refuse(entry, intent)

    async def _create(self, command: Command, task: Task[Any], intent: Intent) -> None:
        entry, exchange, evidence = command.entry, self._exchange, Evidence()
        body = exchange.encoder.create_task(task, exchange.service.offer_for(task.type))
        asked = exchange.ask(command.permit, entry)
        reply = await exchange.post(asked, body, evidence)
        if isinstance(reply, NoAnswer):
            self._standing.failed(asked, "unanswered", reply.reason, maybe_created=not reply.unsent)
            self._fault(entry, intent, reply)
            return
        answer = exchange.decoder.created(reply, task)
        repeats_secret = exchange.decoder.scrubber.repeats_secret
        if isinstance(answer, Created) and repeats_secret(answer.task_id, task, body):
            # It would stand in every log, ticket and journal.
            answer = Unreadable("an id that holds a secret", 200)
        elif isinstance(answer, Created) and answer.task_id in entry.line.paid:
            answer = Unreadable("the id of another task", 200)
        match answer:
            case Created(task_id):
                self._standing.answered(asked, "created")
                await self._paid(entry, intent, task_id)
            case Refused(error):
                self._ledger.not_paid(intent)
                self._standing.refused(asked, error)
                self._refused(entry, error)
            case Unreadable(reason, status):
                certain = status in _NOT_PROCESSED
                self._standing.failed(asked, "unreadable", reason, maybe_created=not certain)
                if certain:
                    self._ledger.not_paid(intent)
                    problem = ProtocolError(f"createTask was answered with {reason}", status=status)
                    self._books.refuse(entry, problem)
                else:
                    self._lost(entry, intent, reason)
            case _:
                assert_never(answer)

    async def _paid(self, entry: Entry, intent: Intent, task_id: str) -> None:
        now = self._exchange.clock()
        task = saved_of(self._exchange, entry, task_id, now)
        # First the journal: what is paid is written down before anybody can hear of it.
        await self._ledger.created(intent, task, self._exchange.service.result_window)
        wait = self._first_poll(entry)
        if self._exchange.pace.sends_scout():
            wait = min(wait, entry.line.spacing)
        self._books.created(entry, task_id, now=now, poll_at=now + wait)
        if entry.phase is Phase.UNKNOWN:
            self._ledger.unknown(intent)
        self._on_paid(entry)

    def _fault(self, entry: Entry, intent: Intent, fault: NoAnswer) -> None:
        if not fault.unsent:
            self._lost(entry, intent, fault.reason)
            return
        self._ledger.not_paid(intent)
        error = TransportError(
            f"createTask could not be sent: {fault.reason}",
            sent=False,
            retryable=not fault.permanent,
        )
        self._try_again(entry, error)

    def _refused(self, entry: Entry, error: ServiceError) -> None:
        if error.is_passing:
            self._try_again(entry, error)
        elif error.concerns_account:
            # The gate's word, which knows how long a ban still lasts.
            refusal = self._standing.gate.refusal(self._exchange.clock())
            self._standing.turn_away(entry, refusal or error)
        else:
            self._books.refuse(entry, error)
            if isinstance(error, InvalidTaskError) and entry.task is not None:
                self._remember(entry.task, error)

    def _remember(self, task: Task[Any], error: InvalidTaskError) -> None:
        """Remember a refusal: for the very same task it would come again, and earn a ban."""
        exchange = self._exchange
        self._invalid[_plain(task)] = error, exchange.clock() + exchange.service.ban_window
        if len(self._invalid) > _MOST_INVALID:
            self._invalid.popitem(last=False)

    def _try_again(self, entry: Entry, error: EzCaptchaError) -> None:
        """Repeat a create that certainly was not accepted, while patience lasts."""
        now = self._exchange.clock()
        refusal = self._standing.gate.refusal(now)
        if refusal is not None:  # another's answer has shut the account; nobody waits there
            self._standing.turn_away(entry, refusal)
            return
        if entry.first_attempt_at is None:
            entry.first_attempt_at = now
        at = now + max(self._exchange.pace.backoff(entry.attempts), error.retry_after or 0.0)
        lasts = error.retryable and at < entry.first_attempt_at + self._standing.create_patience
        if not lasts:
            self._standing.turn_away(entry, error)
        elif not self._standing.pass_on(entry, untroubled=True):
            entry.trouble = str(error)
            self._books.retry_create(entry, at)

    def _lost(self, entry: Entry, intent: Intent, reason: str) -> None:
        self._ledger.unknown(intent)
        error = SubmissionUnknownError(
            f"createTask was sent, but its answer was lost ({reason}); it may have been paid for"
        )
        now = self._exchange.clock()
        is_open = self._standing.gate.refusal(now) is None  # nobody waits where it is shut
        if is_open and not entry.repeated and self._may_repeat(entry):
            at = now + self._exchange.pace.backoff(entry.attempts)
            self._books.repeat_create(entry, error, at)
        else:
            self._books.lost(entry, error)

    def _submission(self, entry: Entry) -> Submission:
        return Submission(
            service=entry.kind.service,
            account=self._exchange.fingerprint,
            type=entry.kind.task_type,
            host=entry.kind.host,
            points=entry.points,
            sent_at=self._exchange.clock() + self._exchange.unix_offset,
            reference=entry.reference,
        )


def saved_of(exchange: Exchange, entry: Entry, task_id: str, created_at: float) -> SavedTask:
    """Write a paid task down, also before the books know its id and when it was created."""
    offset, heard = exchange.unix_offset, entry.processing_at
    return SavedTask(
        task_id=task_id,
        service=entry.kind.service,
        account=exchange.fingerprint,
        type=entry.kind.task_type,
        host=entry.kind.host,
        created_at=created_at + offset,
        processing_at=None if heard is None else heard + offset,
        polls=entry.polls,
        points=entry.points,
        reference=entry.reference,
    )


def _plain(task: Task[Any]) -> Task[Any]:
    """Return the task as the service sees it, whatever its caller calls it."""
    return task if task.reference is None else attrs.evolve(task, reference=None)

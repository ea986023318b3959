"""One account at work: its gate, its books, and the three things that it does.

What a pool asks of an account comes in here; `_creating`, `_polling` and `_inquiring` send
the requests, `_exchange` is what they share.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from ezcaptcha_async._account.balance import Inquirer
from ezcaptcha_async._account.creating import Creator
from ezcaptcha_async._account.exchange import Exchange
from ezcaptcha_async._account.polling import Poller
from ezcaptcha_async._account.statistics import Statistics
from ezcaptcha_async._books import (
    IN_FLIGHT,
    BalanceWatch,
    Create,
    Entry,
    Gate,
    Line,
    Permit,
    Phase,
    Poll,
)
from ezcaptcha_async._journal import SavedTask
from ezcaptcha_async._runtime import EventLoop, Runner, call_back
from ezcaptcha_async._timing import PollTiming
from ezcaptcha_async.accounts import Balance
from ezcaptcha_async.errors import ConfigurationError, EzCaptchaError, InvalidTaskError
from ezcaptcha_async.services import Service
from ezcaptcha_async.tasks import Kind, Task, kind_of, solution_type_for

_logger: Final = logging.getLogger("ezcaptcha_async")


class Session:
    """One account at work.

    Args:
        exchange: Sends its requests.
        runner: Decides when requests go out, for all accounts of the pool.
        loop: The event loop that all of this runs in.
        polling: When to poll.
        may_repeat: Says whether a create whose answer was lost is sent once more, and
            enters it into the limit on that.
        low_balance: Points below which `on_low_balance` is called.
        on_low_balance: Told of a balance that has run low; None when nobody wants to know.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        runner: Runner,
        loop: EventLoop,
        polling: PollTiming,
        may_repeat: Callable[[Entry], bool],
        low_balance: float = 0.0,
        on_low_balance: Callable[[Balance], object] | None = None,
    ) -> None:
        self.account = exchange.account
        self.service: Service = exchange.service
        self.gate: Gate = exchange.gate
        self.line: Line = exchange.line
        self.loop = loop
        self._exchange = exchange
        self._books = exchange.books
        self._ledger = exchange.ledger
        self._runner = runner
        self._poller = Poller(exchange, polling)
        self._creator = Creator(
            exchange,
            first_poll=self._poller.first_poll,
            may_repeat=may_repeat,
            on_paid=self._note_payment,
        )
        self._inquirer = Inquirer(exchange, send=runner.send, on_answer=self._note_balance)
        self._tell = on_low_balance
        self._watch = None if on_low_balance is None else BalanceWatch(low_balance)

    def __repr__(self) -> str:
        return f"<Session of {self.account.name}, load {self.line.load}>"

    @property
    def unix_offset(self) -> float:
        """Unix time minus the event loop's clock, in seconds."""
        return self._exchange.unix_offset

    def check_here(self) -> None:
        """Check that the caller is in the pool's own event loop and process.

        Raises:
            ConfigurationError: It is in another one.
        """
        if not self.loop.is_running:
            raise ConfigurationError(
                "this pool belongs to another event loop or process; open one pool in each"
            )

    # --------------------------------------------------------------------- requests

    async def create(self, command: Create) -> None:
        """Send createTask and enter what comes of it into the books."""
        try:
            await self._creator.create(command)
        finally:
            self._end(command.permit)

    async def poll(self, command: Poll) -> None:
        """Send getTaskResult and enter what comes of it into the books."""
        try:
            await self._poller.poll(command)
        finally:
            self._end(command.permit)

    def _end(self, permit: Permit) -> None:
        # Of whatever was cut off in the middle: on trial, the next one waits for it.
        self.gate.take_back(permit)
        self._exchange.tell_who_lapses()

    async def balance(self) -> Balance:
        """Ask for the balance; raises as `Inquirer.balance`."""
        return await self._inquirer.balance()

    def reopen(self) -> None:
        """Take new tasks again after a credential or balance error."""
        self._exchange.reopen()

    def _note_payment(self, entry: Entry) -> None:
        if self._watch is not None:
            self._watch.spent(entry.points or 0.0)
            self._watch_balance(self._watch)

    def _watch_balance(self, watch: BalanceWatch) -> None:
        if self.gate.inquiry_refusal(self.loop.clock()) is None and watch.asks():
            self._inquirer.begin()

    def _note_balance(self, outcome: Balance | EzCaptchaError) -> None:
        if self._watch is None or self._tell is None:
            return
        if not isinstance(outcome, Balance):
            self._watch.unknown()
            return
        if self._watch.known(outcome.points):
            call_back("on_low_balance", self._tell, outcome)
        self._watch_balance(self._watch)

    def answer_inquiry(self, error: EzCaptchaError) -> None:
        """Tell an error to whoever waits for the balance."""
        self._inquirer.answer(error)

    # ---------------------------------------------------------------------- tickets

    def enqueue(self, task: Task[Any], deadline: float) -> Entry:
        """Put a task in line for creation.

        Args:
            task: What to solve.
            deadline: On the event loop's clock, when the caller's patience ends.
        """
        entry = Entry(
            line=self.line,
            kind=self._kind_of(task),
            solution_type=task.solution_type,
            task=task,
            points=self._points_of(task),
            reference=task.reference,
            deadline=deadline,
            queued_at=self.loop.clock(),
        )
        self._books.enqueue(entry)
        self._runner.wake()
        return entry

    def refusal_of(self, task: Task[Any]) -> InvalidTaskError | None:
        """Return why the service has just refused an equal task, which it would do again."""
        return self._creator.refusal_of(task)

    def take_over(self, entry: Entry, task: Task[Any]) -> None:
        """Take a task that another account could not create and that is certainly not paid."""
        self._books.hand_over(entry, self.line, self._kind_of(task), self._points_of(task))
        self._runner.wake()

    def adopt(self, entry: Entry) -> None:
        """Take over a paid task that was created elsewhere."""
        self._ledger.adopted(self.saved(entry), self.service.result_window)
        self._books.adopt(entry, poll_at=entry.created_at + self._poller.first_poll(entry))
        self._runner.wake()

    def hold(self, entry: Entry) -> None:
        """Note that one more waits for a ticket; an orphan is taken up again."""
        self._books.hold(entry, self.loop.clock())
        self._runner.wake()

    def release(self, entry: Entry) -> None:
        """Note that one of those who wait for a ticket went away."""
        self._books.release(entry)

    def abandon(self, entry: Entry, error: EzCaptchaError) -> None:
        """Stop polling a ticket and tell `error` to whoever waits."""
        self._books.abandon(entry, error)

    def delivered(self, entry: Entry) -> None:
        """Note that a caller has been given what a paid task came to."""
        self._ledger.done(self.service.name, self._exchange.fingerprint, entry.task_id or "")

    def unix_time(self) -> float:
        """Return Unix time in seconds, as the event loop's clock has it."""
        return self.loop.clock() + self.unix_offset

    def note_expired(self, entry: Entry) -> None:
        """Note that a solution was given out only when it had expired already."""
        if not self.line.expired:
            _logger.warning(
                "a solution of %s was given out when it had expired, and so was paid for in "
                "vain: take outcomes sooner, or begin less at a time (max_in_flight); "
                "statistics().expired counts them",
                self.account.name,
            )
        self.line.expired += 1
        self._exchange.note_expired(entry)

    def remaining(self, entry: Entry) -> float | None:
        """Return the seconds until a ticket in flight is ready, as expected."""
        return self._poller.remaining(entry) if entry.phase in IN_FLIGHT else None

    def saved(self, entry: Entry) -> SavedTask:
        """Write a paid task down."""
        heard = entry.processing_at
        return SavedTask(
            task_id=entry.task_id or "",
            service=entry.kind.service,
            account=self._exchange.fingerprint,
            type=entry.kind.task_type,
            host=entry.kind.host,
            created_at=entry.created_at + self.unix_offset,
            processing_at=None if heard is None else heard + self.unix_offset,
            polls=entry.polls,
            points=entry.points,
            reference=entry.reference,
        )

    def entry_of(self, saved: SavedTask) -> Entry:
        """Return an entry, in no books yet, for a paid task that was written down."""
        now, window = self.loop.clock(), self.service.result_window
        # A clock that was wrong must not give it more time than it has.
        age = max(0.0, now + self.unix_offset - saved.created_at)
        heard = saved.processing_at
        return Entry(
            line=self.line,
            kind=kind_of(saved.service, saved.type, saved.host),
            solution_type=solution_type_for(saved.type),
            points=saved.points,
            reference=saved.reference,
            queued_at=now,
            task_id=saved.task_id,
            created_at=now - age,
            lapses_at=now - age + window,
            processing_at=None if heard is None else heard - self.unix_offset,
            polls=saved.polls,
        )

    def _kind_of(self, task: Task[Any]) -> Kind:
        return kind_of(self.service.name, task.type, task.host)

    def _points_of(self, task: Task[Any]) -> float | None:
        offer = self.service.offer_for(task.type)
        return None if offer is None else offer.points

    # ---------------------------------------------------------------------- looking

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
            expired=self.line.expired,
            orphaned=count[Phase.ORPHANED],
            unknown=count[Phase.UNKNOWN] + self.line.repeated,
            refused=count[Phase.REFUSED],
            cancelled=count[Phase.CANCELLED],
            requests=self._exchange.requests,
            polls=self._poller.polls,
            points=self.line.points,
        )

"""One account at work: its gate, its books, and the three things that it does.

What a pool asks of an account comes in here; `_creating`, `_polling` and `_inquiring` send
the requests, `_exchange` is what they share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ezcaptcha_async._balance_watch import BalanceWatch
from ezcaptcha_async._callbacks import call_back
from ezcaptcha_async._creating import Creator
from ezcaptcha_async._emitter import Emitter
from ezcaptcha_async._entries import IN_FLIGHT, Entry, Line, Phase
from ezcaptcha_async._event_loop import EventLoop
from ezcaptcha_async._exchange import Exchange, PassOn
from ezcaptcha_async._gate import Gate
from ezcaptcha_async._inquiring import Inquirer
from ezcaptcha_async._ledger import Ledger
from ezcaptcha_async._polling import Poller
from ezcaptcha_async._saved import SavedTask
from ezcaptcha_async._schedule import Create, Poll, Schedule
from ezcaptcha_async._scheduler import Scheduler
from ezcaptcha_async._settings import Settings
from ezcaptcha_async._statistics import Statistics
from ezcaptcha_async._transport import Transport
from ezcaptcha_async._wire import Balance
from ezcaptcha_async.accounts import Account
from ezcaptcha_async.errors import ConfigurationError, EzCaptchaError
from ezcaptcha_async.services import Service
from ezcaptcha_async.tasks import Kind, Task, kind_of


class Session:
    """One account at work.

    Args:
        account: The account.
        schedule: The books, shared with the other accounts of the pool.
        scheduler: Decides when requests go out, likewise.
        loop: The event loop that all of this runs in.
        transport: Sends the requests.
        ledger: Where what is paid is written down.
        pass_on: Gives a task that this account cannot create, and that is certainly not
            paid, to another one: see `Dispatch.pass_on`.
        emitter: Told of each request, and of the account's troubles.
        may_repeat: Says whether a create whose answer was lost is sent once more, and
            enters it into the limit on that.
        settings: The pool's.
    """

    def __init__(
        self,
        account: Account,
        *,
        schedule: Schedule,
        scheduler: Scheduler,
        loop: EventLoop,
        transport: Transport,
        ledger: Ledger,
        pass_on: PassOn,
        emitter: Emitter,
        may_repeat: Callable[[Entry], bool],
        settings: Settings,
    ) -> None:
        self.account = account
        self.service: Service = account.service
        self.loop = loop
        self._schedule = schedule
        self._scheduler = scheduler
        self._ledger = ledger
        self._exchange = Exchange(
            account,
            schedule=schedule,
            clock=loop.clock,
            transport=transport,
            ledger=ledger,
            pass_on=pass_on,
            emitter=emitter,
            settings=settings,
        )
        self.gate: Gate = self._exchange.gate
        self.line: Line = self._exchange.line
        self._poller = Poller(self._exchange, settings.polling)
        self._creator = Creator(
            self._exchange,
            first_poll=self._poller.first_poll,
            may_repeat=may_repeat,
            on_paid=self._note_payment,
        )
        self._inquirer = Inquirer(self._exchange, send=scheduler.send, on_answer=self._note_balance)
        self._tell = settings.on_low_balance
        self._watch = None if self._tell is None else BalanceWatch(settings.low_balance)

    def __repr__(self) -> str:
        return f"<Session of {self.account.name}, load {self.line.load}>"

    @property
    def epoch(self) -> float:
        """Unix time minus the event loop's clock, in seconds."""
        return self._exchange.epoch

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

    async def perform(self, command: Create | Poll) -> None:
        """Send one request and enter what comes of it into the books."""
        try:
            if isinstance(command, Create):
                await self._creator.create(command)
            else:
                await self._poller.poll(command)
        finally:
            # Of whatever was cut off in the middle: on trial, the next one waits for it.
            self.gate.take_back(command.permit)
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
        self._schedule.enqueue(entry)
        self._scheduler.wake()
        return entry

    def take_over(self, entry: Entry, task: Task[Any]) -> None:
        """Take a task that another account could not create and that is certainly not paid."""
        self._schedule.hand_over(entry, self.line, self._kind_of(task), self._points_of(task))
        self._scheduler.wake()

    def adopt(self, entry: Entry) -> None:
        """Take over a paid task that was created elsewhere."""
        self._ledger.adopted(self.saved(entry), self.service.result_window)
        self._schedule.adopt(entry, poll_at=entry.created_at + self._poller.first_poll(entry))
        self._scheduler.wake()

    def hold(self, entry: Entry) -> None:
        """Note that one more waits for a ticket; an orphan is taken up again."""
        self._schedule.hold(entry, self.loop.clock())
        self._scheduler.wake()

    def release(self, entry: Entry) -> None:
        """Note that one of those who wait for a ticket went away."""
        self._schedule.release(entry)

    def abandon(self, entry: Entry, error: EzCaptchaError) -> None:
        """Stop polling a ticket and tell `error` to whoever waits."""
        self._schedule.abandon(entry, error)

    def delivered(self, entry: Entry) -> None:
        """Note that a caller has been given what a paid task came to."""
        self._ledger.done(self.service.name, self._exchange.fingerprint, entry.task_id or "")

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
            created_at=entry.created_at + self.epoch,
            processing_at=None if heard is None else heard + self.epoch,
            polls=entry.polls,
            points=entry.points,
            reference=entry.reference,
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
            orphaned=count[Phase.ORPHANED],
            unknown=count[Phase.UNKNOWN] + self.line.repeated,
            refused=count[Phase.REFUSED],
            cancelled=count[Phase.CANCELLED],
            requests=self._exchange.requests,
            polls=self._poller.polls,
            points=self.line.points,
        )

"""One account at work: its gate, its books, and the three things that it does.

What a pool does with its tickets comes in here; `creating`, `polling` and `balance` each do one
of the three, with the `Exchange` that sends their requests, and the `Standing` that hears of each.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from typing import Any

import attrs

from ezcaptcha_async._account.balance import Inquirer
from ezcaptcha_async._account.creating import Creator, saved_of
from ezcaptcha_async._account.exchange import Exchange
from ezcaptcha_async._account.policy import Policy
from ezcaptcha_async._account.polling import Poller
from ezcaptcha_async._account.standing import Standing
from ezcaptcha_async._account.statistics import Statistics
from ezcaptcha_async._books import IN_FLIGHT, AnyOutcome, Command, Entry, Gate, Line, Phase, Solved
from ezcaptcha_async._journal import SavedTask
from ezcaptcha_async._runtime import EventLoop, Runner
from ezcaptcha_async._wire import decode_solution
from ezcaptcha_async.accounts import Balance
from ezcaptcha_async.errors import (
    ConfigurationError,
    EzCaptchaError,
    ProtocolError,
    ServiceError,
)
from ezcaptcha_async.services import Service
from ezcaptcha_async.solutions import Receipt, Solution
from ezcaptcha_async.tasks import Kind, Task, kind_of, solution_type_for
from ezcaptcha_async.transports import Reply


class Session:
    """One account at work.

    Args:
        exchange: Sends its requests.
        standing: How it stands with its service.
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
        standing: Standing,
        *,
        runner: Runner,
        loop: EventLoop,
        polling: Policy,
        may_repeat: Callable[[Entry], bool],
        low_balance: float,
        on_low_balance: Callable[[Balance], object] | None,
    ) -> None:
        self.account = exchange.account
        self.service: Service = exchange.service
        self.gate: Gate = standing.gate
        self.line: Line = standing.line
        self.loop = loop
        self._exchange = exchange
        self.standing = standing
        self.books = standing.books
        self._ledger = standing.ledger
        self._polling = polling
        self._poller = Poller(exchange, standing, polling)
        self.inquirer = Inquirer(
            exchange,
            standing,
            send=runner.send,
            low_balance=low_balance,
            on_low_balance=on_low_balance,
        )
        self.creator = Creator(
            exchange,
            standing,
            first_poll=polling.first_poll,
            may_repeat=may_repeat,
            on_paid=self.inquirer.note_payment,
        )

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
                "this pool belongs to another event loop or process; open one pool in each, and "
                "from another thread let the pool's own loop do it: loop.call_soon_threadsafe"
            )

    # --------------------------------------------------------------------- requests

    async def perform(self, command: Command) -> None:
        """Send createTask or getTaskResult, and enter what comes of it into the books."""
        try:
            if command.permit.endpoint == "createTask":
                await self.creator.create(command)
            else:
                await self._poller.poll(command)
        finally:
            # Of what was not sent, or cut off in the middle: on trial, the next one waits for it.
            self.gate.take_back(command.permit)
            self.standing.tell_who_lapses(command.entry)

    def reopen(self) -> None:
        """Take new tasks again after a credential or balance error."""
        self.standing.reopen()
        self.inquirer.forgive()
        self.books.wake()

    # ---------------------------------------------------------------------- tickets

    def entry_for(self, task: Task[Any], deadline: float = inf) -> Entry:
        """Return an entry, in no books yet, for a new task; see `Entry` for what is said of it."""
        # By position: names would take as long again, for each of thousands of callers.
        kind, now = self._kind_of(task), self.loop.clock()
        return Entry(
            self.line, kind, task.solution_type, task, None, task.reference, 0, deadline, now
        )

    def enqueue(self, entry: Entry, task: Task[Any]) -> None:
        """Put a new task in line for creation here, whose entry may have been made elsewhere."""
        if entry.line is not self.line:
            entry.line, entry.kind = self.line, self._kind_of(task)
        self.books.enqueue(entry, aside=entry.once and self._ledger.looks_up())

    def found(
        self, entry: Entry, task: SavedTask, result: Reply | ServiceError, seconds: float
    ) -> None:
        """Take what another pool has paid for and had solved, for the same reference.

        That is what its solution is decoded from, or the error that it ended with, and is of use
        for so many seconds.
        """
        now = self.loop.clock()
        outcome = result if isinstance(result, ServiceError) else Solved(result, now)
        entry.processing_at = now + seconds - self.line.token_validity
        created_at = min(task.created_at - self.unix_offset, entry.processing_at, now)
        self.books.found(entry, task.task_id, outcome, created_at=created_at)

    def take_over(self, entry: Entry, task: Task[Any]) -> None:
        """Take a task that another account could not create and that is certainly not paid."""
        offer = self.service.offer_for(task.type)
        points = None if offer is None else offer.points
        self.books.hand_over(entry, self.line, self._kind_of(task), points)

    def adopt(self, entry: Entry) -> None:
        """Take over a paid task that was created elsewhere."""
        self._ledger.adopted(self.saved(entry), self.service.result_window)
        self.books.adopt(entry, poll_at=entry.created_at + self._polling.first_poll(entry))

    def hold(self, entry: Entry) -> None:
        """Note that one more waits for a ticket; an orphan is taken up again."""
        self.books.hold(entry, self.loop.clock())

    def collect(self, entry: Entry, outcome: AnyOutcome) -> Solution:
        """Turn an outcome into what it means for a caller, who has it from here on.

        Raises:
            EzCaptchaError: Why there is no solution. A fresh exception for each caller,
                with the ticket as soon as something was paid.
        """
        try:
            return self.reveal(entry, outcome)
        finally:
            self.confirm(entry, outcome)

    def reveal(self, entry: Entry, outcome: AnyOutcome) -> Solution:
        """Turn an outcome into what it means for a caller who will `confirm` that it was kept.

        Raises:
            EzCaptchaError: As `collect` does.
        """
        entry.delivered = True
        result = self._decoded(entry, outcome) if isinstance(outcome, Solved) else outcome
        if isinstance(result, Solution):
            # One that is done can be awaited anywhere, also where its loop has no time any more.
            if self.loop.is_running and result.expires_at <= self.loop.clock() + self.unix_offset:
                self.standing.note_expired(entry)
            return result
        entry.undecodable = isinstance(outcome, Solved)
        raise self.with_ticket(entry, result)

    def confirm(self, entry: Entry, outcome: AnyOutcome) -> None:
        """What was revealed is in the caller's hands: nobody need fetch it again."""
        if isinstance(outcome, Solved):
            is_over = not entry.undecodable  # else it may be fetched again, as another type
        else:
            is_over = _is_final(entry, outcome)
        if is_over:
            self._delivered(entry)

    def with_ticket(self, entry: Entry, error: EzCaptchaError) -> EzCaptchaError:
        """Return a fresh copy of an error that carries the ticket, if one was paid for."""
        if entry.task_id is None:
            fresh = error.for_ticket(None, None)
            fresh.may_be_charged |= entry.repeated
            return fresh
        return error.for_ticket(entry.task_id, self.saved(entry).to_dict())

    def _decoded(self, entry: Entry, solved: Solved) -> Solution | ProtocolError:
        offset, heard = self.unix_offset, entry.processing_at
        receipt = Receipt(
            task_id=entry.task_id or "",
            service=entry.kind.service,
            task_type=entry.kind.task_type,
            created_at=entry.created_at + offset,
            processing_at=None if heard is None else heard + offset,
            ready_at=solved.at + offset,
            polls=entry.polls,
            points=entry.points,
        )
        try:
            return decode_solution(
                entry.solution_type,
                solved.kept,
                receipt=receipt,
                expires_at=entry.unsolved_at + offset + self.service.token_validity,
            )
        except ProtocolError as error:
            scrubber = self._exchange.decoder.scrubber
            error.payload = scrubber.without_secrets(error.payload, entry.task)
            return error

    def _delivered(self, entry: Entry) -> None:
        if entry.once and entry.phase in {Phase.SOLVED, Phase.FAILED}:
            heard_at = entry.unsolved_at + self.unix_offset
            task = attrs.evolve(self.saved(entry), processing_at=heard_at)
            self._ledger.delivered(task, entry.stands_until + self.unix_offset)
        else:
            self._ledger.done(self.service.name, self._exchange.fingerprint, entry.task_id or "")
        self.books.delivered(entry)

    def can_be_fetched(self, entry: Entry) -> bool:
        """Return whether a paid task's window is still open, also when the event loop has ended."""
        running = self.loop.is_running
        now = self.loop.clock() if running else time.time() - self.unix_offset
        return now < entry.lapses_at

    def remaining(self, entry: Entry) -> float | None:
        """Return the seconds until a ticket in flight is ready, as expected."""
        if entry.phase not in IN_FLIGHT:
            return None
        return self._polling.remaining(entry.kind, self.loop.clock() - entry.created_at)

    def saved(self, entry: Entry) -> SavedTask:
        """Write a paid task down."""
        return saved_of(self._exchange, entry, entry.task_id or "", entry.created_at)

    def entry_of(self, saved: SavedTask) -> Entry:
        """Return an entry, in no books yet, for a paid task that was written down."""
        now, window = self.loop.clock(), self.service.result_window
        # A clock that was wrong must not give it more time than it has.
        age = max(0.0, now + self.unix_offset - saved.created_at)
        heard = saved.processing_at
        if heard is not None:
            heard = max(now - age, min(heard - self.unix_offset, now))
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
            processing_at=heard,
            polls=saved.polls,
        )

    def _kind_of(self, task: Task[Any]) -> Kind:
        return kind_of(self.service.name, task.type, task.host)

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


def _is_final(entry: Entry, error: EzCaptchaError) -> bool:
    """Tell whether an error is the task's own end, which another try would meet again."""
    ended = entry.phase in {Phase.FAILED, Phase.LAPSED} and error is entry.outcome
    return ended and not (isinstance(error, ServiceError) and error.concerns_account)

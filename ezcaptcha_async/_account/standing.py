"""How an account stands with its service: what the answers to single requests mean for all.

What one means for its own task is decided in `creating` and `polling`; here the gate draws its
conclusions, and those whom they concern are told.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Literal, Protocol

from ezcaptcha_async._account.emitter import Emitter
from ezcaptcha_async._account.exchange import Asked, Exchange
from ezcaptcha_async._books import Books, Entry, Gate, Line, Terms
from ezcaptcha_async._journal import Ledger
from ezcaptcha_async._log import log
from ezcaptcha_async._wire import MAX_BAN
from ezcaptcha_async.errors import (
    BannedError,
    EzCaptchaError,
    RequestError,
    ServiceError,
    TransportError,
)
from ezcaptcha_async.events import AccountEvent, AccountState, RequestEvent, RequestOutcome

if TYPE_CHECKING:
    from ezcaptcha_async.fleets import Gates


class PassOn(Protocol):
    """See `Accounts.pass_on`."""

    def __call__(self, entry: Entry, *, untroubled: bool) -> bool: ...


class Standing:
    """How one account stands with its service.

    Args:
        exchange: Sends its requests.
        gate: Decides when it may send.
        line: Its tasks.
        books: The books, shared with the other accounts of the pool.
        ledger: Where what is paid is written down.
        pass_on: Gives a task that this account cannot create, and that is certainly not
            paid, to another one: see `Accounts.pass_on`.
        emitter: Told of each request, and of the account's troubles.
        create_patience: Seconds for which a create that was certainly not accepted is tried
            again.
    """

    def __init__(
        self,
        exchange: Exchange,
        *,
        gate: Gate,
        line: Line,
        books: Books,
        ledger: Ledger,
        pass_on: PassOn,
        emitter: Emitter,
        create_patience: float,
    ) -> None:
        self.gate = gate
        self.line = line
        self.books = books
        self.ledger = ledger
        self.pass_on = pass_on
        self.create_patience = create_patience
        self._exchange = exchange
        self._clock = exchange.clock
        self._account = exchange.account.name
        self._service = exchange.service
        self._fingerprint = exchange.fingerprint
        self._emitter = emitter
        self._rng = exchange.pace.rng
        self._relieves_at = -inf
        self._terms = Terms.of(exchange.service)
        books.lines.append(line)
        self._restore_ban()

    def __repr__(self) -> str:
        return f"<Standing of {self._account}: {self.gate.state}>"

    @property
    def polls_seem_dead(self) -> bool:
        """Whether no poll has succeeded for so long that they back off."""
        return self._clock() - self.gate.polls_fail_since > self._terms.polls_dead_after

    def answered(self, asked: Asked, outcome: RequestOutcome) -> None:
        """Note that the service answered as asked."""
        self._tell(asked, outcome)
        self._note_success(asked)

    def refused(self, asked: Asked, error: ServiceError) -> None:
        """Note a refusal, and answer those whom it concerns."""
        self._tell(asked, "refused", error)
        now = self._clock()
        if isinstance(error, RequestError):
            self._note_failure(asked, str(error))
            return
        if not error.concerns_account:
            if asked.endpoint != "createTask":
                self._note_success(asked)
            elif self.gate.refused_task(asked.permit, error.code, now):
                self.turn_away_queued(error)
            return
        before = _state_after(self.gate.refusal(now))
        self.gate.refused(asked.permit, error, now, self._rng.random())
        if isinstance(error, BannedError):
            self.ledger.banned(
                self._service.name,
                self._fingerprint,
                self.gate.banned_until("createTask") + self._exchange.unix_offset,
                self.gate.banned_until("getTaskResult") + self._exchange.unix_offset,
            )
            self.tell_who_lapses()
        else:
            self.ledger.refused(self._service.name, self._fingerprint, error)
        refusal = self.gate.refusal(now)
        if refusal is not None:
            state = _state_after(refusal)
            if state != before:
                self._tell_of_account(state, refusal)
            self.turn_away_queued(refusal)
        if now - self.gate.creates_refused_since >= self.create_patience:
            self.turn_away_queued(error, since=now - self.create_patience)

    def _note_success(self, asked: Asked) -> None:
        now, gate = self._clock(), self.gate
        was_shut, failing_since = gate.is_shut, gate.polls_fail_since
        gate.succeeded(asked.permit, now)
        if was_shut and not gate.is_shut:
            self._note_reopened()
        is_over = gate.polls_fail_since != failing_since
        if is_over and now - failing_since > self._terms.polls_dead_after:
            spread = self._terms.retry_spread
            self.books.hasten(self.line, lambda: now + spread * self._rng.random())

    def reopen(self) -> None:
        """Take new tasks again after a credential or balance error."""
        was_shut = self.gate.is_shut
        self.gate.reopen()
        if was_shut:
            self._note_reopened()

    def _note_reopened(self) -> None:
        self._tell_of_account("reopened")
        self.ledger.reopened(self._service.name, self._fingerprint)

    def heed(self, gates: Gates, *, was_shut: bool, reopened: bool) -> None:
        """Do as the gates of all pools stand.

        `was_shut` is how they stood when this pool heard of them last, and `reopened` whether
        somebody has reopened them since: it may never have heard that they were shut in between.
        """
        now = self._clock()
        if gates.banned > 0:
            self.gate.restore_ban(creates_until=now + gates.banned)
        if gates.polls_banned > 0:
            self.gate.restore_ban(polls_until=now + gates.polls_banned)
        if gates.paused > 0:
            self.gate.pause(now + gates.paused)
        before = _state_after(self.gate.refusal(now))
        if gates.shut_by and not self.gate.is_shut and (reopened or not was_shut):
            error_class = self._service.error_class(gates.shut_by)
            self.gate.shut(error_class(gates.shut_by, "as another pool of the fleet was told"))
        elif reopened and not gates.shut_by and self.gate.is_shut:
            self.gate.reopen()
        refusal = self.gate.refusal(now)
        if refusal is not None:
            self.turn_away_queued(refusal)
        state = _state_after(refusal)
        if state != before:
            self._tell_of_account(state, refusal)

    def failed(
        self,
        asked: Asked,
        outcome: Literal["unreadable", "unanswered"],
        reason: str,
        *,
        maybe_created: bool = False,
    ) -> None:
        """Note that no valid answer came, and end the wait of those who lost patience.

        They are told the reason of the last one. `maybe_created` says that it was a createTask
        that may have been carried out.
        """
        self._tell(asked, outcome)
        self._note_failure(asked, reason, maybe_created=maybe_created)

    def _note_failure(self, asked: Asked, reason: str, *, maybe_created: bool = False) -> None:
        now = self._clock()
        self.gate.failed(asked.permit, now, self._rng.random(), maybe_created=maybe_created)
        since = self.gate.failing_since
        if now < max(since, self._relieves_at):
            return
        # Not with each poll that fails: there may be thousands in line, to be looked at each time.
        self._relieves_at = now + self._terms.first_wait
        if now - since >= self.create_patience:
            error = TransportError(
                f"nothing but failures for {now - since:.0f} s, so createTask was not sent; "
                f"the last one of {asked.endpoint}: {reason}",
                sent=False,
                retryable=True,
            )
            self.turn_away_queued(error, since=now - self.create_patience)
        elif now - since >= self._terms.passes_on_after and self.line.held_since == -inf:
            # Else those in line are being told already why they must not wait.
            self.books.see_to_queued(self.line, lambda entry: self.pass_on(entry, untroubled=True))

    def turn_away(self, entry: Entry, error: EzCaptchaError) -> None:
        """See to a task that this account cannot create and that is certainly not paid.

        Another account takes it where one can; else its caller is told why.
        """
        if not self.pass_on(entry, untroubled=False):
            self.books.refuse(entry, error)

    def tell_who_lapses(self, entry: Entry | None = None) -> None:
        """Answer those whose result window ends before a ban does.

        Or only `entry`, whose request was under way when the ban became known.
        """
        until = self.gate.banned_until("getTaskResult")
        is_concerned = entry is None or entry.lapses_at <= until
        ban = self.gate.ban(self._clock(), "getTaskResult") if is_concerned else None
        if ban is None:
            return
        if entry is None:
            self.books.fail_lapsing(self.line, ban, until=until)
        else:
            self.books.fail_if_lapsing(entry, ban, until=until)

    def note_expired(self, entry: Entry) -> None:
        """Note that a solution was given out only when it had expired already."""
        if not self.line.expired:
            log.warning(
                "a solution of %s was given out when it had expired, and so was paid for in "
                "vain: take outcomes sooner, or begin less at a time (max_in_flight); "
                "statistics().expired counts them",
                self._account,
            )
        self.line.expired += 1
        self._emitter.moved(entry, "expired")

    def _tell(
        self, asked: Asked, outcome: RequestOutcome, error: ServiceError | None = None
    ) -> None:
        if self._emitter.watched:
            event = RequestEvent(
                endpoint=asked.endpoint,
                outcome=outcome,
                service=self._service.name,
                account=self._account,
                seconds=self._clock() - asked.at,
                number=asked.number,
                code=None if error is None else error.code,
                request_id=None if error is None else error.request_id,
                errors=None if error is None else (error.errors or None),
            )
            self._emitter.emit(event)

    def _tell_of_account(self, state: AccountState, refusal: ServiceError | None = None) -> None:
        event = AccountEvent(
            state=state,
            service=self._service.name,
            account=self._account,
            code=None if refusal is None else refusal.code,
            request_id=None if refusal is None else refusal.request_id,
            retry_after=None if refusal is None else refusal.retry_after,
        )
        self._emitter.emit(event)

    def turn_away_queued(self, error: EzCaptchaError, *, since: float = inf) -> None:
        """Tell those who have been in line for creation since then why they must not wait."""
        self.books.see_to_queued(self.line, lambda entry: self.turn_away(entry, error), since=since)

    def _restore_ban(self) -> None:
        ban = self.ledger.ban(self._service.name, self._fingerprint)
        if ban is not None:
            # No ban is longer; the clock that wrote it down may have been wrong.
            latest = self._clock() + 1.1 * MAX_BAN
            self.gate.restore_ban(
                creates_until=min(ban.until - self._exchange.unix_offset, latest),
                polls_until=min(ban.polls_until - self._exchange.unix_offset, latest),
            )


def _state_after(refusal: ServiceError | None) -> AccountState:
    """Return what an account is that takes no new tasks for this reason."""
    if refusal is None:
        return "reopened"
    return "banned" if isinstance(refusal, BannedError) else "shut"

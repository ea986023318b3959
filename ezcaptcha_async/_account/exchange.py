"""Sends one account's requests, and sees to what their answers mean for the whole account.

What an answer means for its own task is decided in `_creating` and `_polling`; here the gate
draws its conclusions, and those whom they concern are told.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf
from random import Random
from typing import Final, Literal, Protocol

import anyio
import attrs

from ezcaptcha_async._account.emitter import Emitter
from ezcaptcha_async._books import AnswerTimes, Backoff, Books, Entry, Gate, Line, Permit, Terms
from ezcaptcha_async._journal import Ledger
from ezcaptcha_async._wire import MAX_BAN, Decoder, Encoder
from ezcaptcha_async.accounts import Account
from ezcaptcha_async.errors import (
    BannedError,
    EzCaptchaError,
    RequestError,
    ServiceError,
    TransportError,
)
from ezcaptcha_async.events import (
    AccountEvent,
    AccountState,
    Endpoint,
    RequestEvent,
    RequestOutcome,
)
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody, Transport

_RETRY_JITTER: Final = 0.1

_AT_FIRST: Final = 16
"""Tasks in flight for each request at a time while nothing is known: where a poll takes 5 s, as
many as can be polled twice in 160 s, of the 300 s that there are."""

_NEARLY: Final = 0.8
"""Share of a deadline after which a request that failed did so because of it: HTTP clients have
timeouts of their own, a little shorter."""


@attrs.frozen
class Asked:
    """A request, from its sending until it is told what came of it.

    Args:
        permit: With which it is sent.
        number: Which ticket it is for.
        at: When it was sent, on the event loop's clock.
    """

    permit: Permit
    number: int | None
    at: float

    @property
    def endpoint(self) -> Endpoint:
        """What is asked."""
        return self.permit.endpoint


class PassOn(Protocol):
    """See `Accounts.pass_on`."""

    def __call__(self, entry: Entry, *, untroubled: bool) -> bool: ...


class Exchange:
    """One account's requests and answers.

    Args:
        account: The account.
        books: The books, shared with the other accounts of the pool.
        clock: The event loop's clock.
        transport: Sends the requests.
        ledger: Where what is paid is written down.
        pass_on: Gives a task that this account cannot create, and that is certainly not
            paid, to another one: see `Accounts.pass_on`.
        emitter: Told of each request, and of the account's troubles.
        rng: The source of jitter.
        slots: How many requests at a time this account may count on.
        request_timeout: Total deadline of one request, in seconds.
        create_patience: Seconds for which a create that was certainly not accepted is tried
            again.
    """

    def __init__(
        self,
        account: Account,
        *,
        books: Books,
        clock: Callable[[], float],
        transport: Transport,
        ledger: Ledger,
        pass_on: PassOn,
        emitter: Emitter,
        rng: Random,
        slots: float,
        request_timeout: float,
        create_patience: float,
    ) -> None:
        self.account = account
        self.service = account.service
        self.fingerprint = account.fingerprint
        self.books = books
        self.clock = clock
        self.ledger = ledger
        self.pass_on = pass_on
        self.rng = rng
        self.create_patience = create_patience
        self.encoder = Encoder(account.client_key, account.app_id)
        self.decoder = Decoder(self.service, secrets=[account.client_key])
        self._terms = Terms.of(self.service)
        self._answer_times = AnswerTimes(self._terms.least_deadline)
        self._backoff = Backoff(base=self._terms.first_wait, cap=self._terms.longest_wait)
        self.gate = Gate(
            max_creates=account.max_creates,
            max_in_flight=account.max_in_flight,
            creates_per_second=account.creates_per_second,
            polls_per_second=account.polls_per_second,
            terms=self._terms,
        )
        self.line = Line(
            gate=self.gate,
            account=account.name,
            result_window=self.service.result_window,
            spacing=self.service.min_poll_interval,
        )
        self._slots = slots
        self._has_scout = False
        self.line.most_in_flight = self._most_in_flight()
        self.line.most_late = self._terms.most_late
        self.requests = 0
        # Unix time minus the event loop's clock, taken anew with each answer, because the
        # two drift apart over days and when the machine sleeps.
        self.unix_offset = time.time() - clock()
        self._emitter = emitter
        self._transport = transport
        self._request_timeout = request_timeout
        books.add_line(self.line)
        self._restore_ban()

    def __repr__(self) -> str:
        return f"<Exchange of {self.account.name}, {self.requests} requests>"

    def ask(self, permit: Permit, entry: Entry | None = None) -> Asked:
        """Begin a request; what came of it is then told below, once."""
        return Asked(permit, None if entry is None else entry.number, self.clock())

    async def post(
        self, asked: Asked, body: RequestBody, evidence: Evidence | None = None
    ) -> Reply | NoAnswer:
        """Send a request.

        Args:
            asked: What is asked.
            body: The request body.
            evidence: Where to write how far the request got.
        """
        self.requests += 1
        is_poll = asked.endpoint == "getTaskResult"
        timeout: float = self._request_timeout
        if is_poll:
            # It is free to repeat, and must not hold a place that others need.
            timeout = self._answer_times.deadline(timeout)
        reply: Reply | NoAnswer | None = None
        with anyio.CancelScope(deadline=self.clock() + timeout):
            reply = await self._transport.post(
                f"{self.service.base_url}/{asked.endpoint}",
                body,
                timeout=timeout,
                evidence=evidence,
            )
            self.unix_offset = time.time() - self.clock()
        seconds = self.clock() - asked.at
        if is_poll and isinstance(reply, Reply):
            self._answer_times.answered(seconds)
        elif is_poll and seconds > _NEARLY * timeout:
            self._answer_times.unanswered()
        if is_poll:
            self._answer_times.took(seconds)
            self.line.most_in_flight = self._most_in_flight()
        if reply is None:
            unsent = evidence is not None and evidence.unsent
            return NoAnswer(f"no whole answer within {timeout:g} s", unsent=unsent)
        return reply

    @property
    def ban_window(self) -> float:
        """Within how many seconds the service counts errors."""
        return self._terms.ban_window

    def backoff(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row."""
        return self._backoff.delay(failures, self.rng)

    def sends_scout(self) -> bool:
        """Say once that a poll is to go early, where that lets more be created.

        It tells how long a poll takes, and so how many tasks can be polled.
        """
        is_short = self.line.load > self.line.most_in_flight
        if not is_short or self._has_scout or self._answer_times.usual is not None:
            return False
        self._has_scout = True
        return True

    def _most_in_flight(self) -> float:
        """Return how many tasks can be polled in time.

        While nobody knows how long a poll takes, as many as would be if it took long.
        """
        usual = self._answer_times.usual
        most = _AT_FIRST * self._slots
        if usual is not None:
            most = max(self._slots, self._slots / max(usual, 1e-6) * self._terms.in_flight_for)
        rate = self.account.polls_per_second
        return most if rate is None else min(most, max(1.0, rate * self._terms.in_flight_for))

    def retry_poll_in(self, entry: Entry) -> float:
        """Return the seconds to wait with a poll after one that said nothing of the task.

        As long as others are answered, the spacing is all that the service asks for; a task
        that is ready is not to wait. Only where none is answered any more, they back off.
        """
        if self._polls_seem_dead:
            return self.backoff(entry.faults + 1)
        spacing: float = entry.line.spacing
        return spacing * (1 + _RETRY_JITTER * self.rng.random())

    @property
    def _polls_seem_dead(self) -> bool:
        return self.clock() - self.gate.polls_fail_since > self._terms.polls_dead_after

    # --------------------------------------------------- what an answer means for all

    def answered(self, asked: Asked, outcome: RequestOutcome) -> None:
        """Note that the service answered as asked."""
        self._tell(asked, outcome)
        self._note_success(asked)

    def refused(self, asked: Asked, error: ServiceError) -> None:
        """Note a refusal, and answer those whom it concerns."""
        self._tell(asked, "refused", error)
        now = self.clock()
        if isinstance(error, RequestError):
            self._note_failure(asked)
            return
        if not error.concerns_account:
            if asked.endpoint != "createTask":
                self._note_success(asked)
            elif self.gate.refused_task(asked.permit, error.code, now):
                self._turn_away_queued(error)
            return
        before = _state_after(self.gate.refusal(now))
        self.gate.refused(asked.permit, error, now, self.rng.random())
        if isinstance(error, BannedError):
            self.ledger.banned(
                self.service.name,
                self.fingerprint,
                self.gate.banned_until("createTask") + self.unix_offset,
                self.gate.banned_until("getTaskResult") + self.unix_offset,
            )
        refusal = self.gate.refusal(now)
        if refusal is not None:
            state = _state_after(refusal)
            if state != before:
                self._tell_of_account(state, refusal)
            self._turn_away_queued(refusal)
        since = self.gate.creates_refused_since
        if since is not None and now - since >= self.create_patience:
            self._turn_away_queued(error, since=now - self.create_patience)

    def _note_success(self, asked: Asked) -> None:
        now, was_shut, was_dead = self.clock(), self.gate.is_shut, self._polls_seem_dead
        self.gate.succeeded(asked.permit, now)
        if was_shut and not self.gate.is_shut:
            self._tell_of_account("reopened")
        if was_dead and not self._polls_seem_dead:
            spread = self._terms.retry_spread
            self.books.hasten(self.line, lambda: now + spread * self.rng.random())

    def reopen(self) -> None:
        """Take new tasks again after a credential or balance error."""
        was_shut = self.gate.is_shut
        self.gate.reopen()
        if was_shut:
            self._tell_of_account("reopened")

    def failed(
        self,
        asked: Asked,
        outcome: Literal["unreadable", "unanswered"],
        *,
        maybe_created: bool = False,
    ) -> None:
        """Note that no valid answer came, and end the wait of those who lost patience.

        Args:
            asked: The request.
            outcome: What came instead.
            maybe_created: Whether it was a createTask that may have been carried out.
        """
        self._tell(asked, outcome)
        self._note_failure(asked, maybe_created=maybe_created)

    def _note_failure(self, asked: Asked, *, maybe_created: bool = False) -> None:
        now = self.clock()
        self.gate.failed(asked.permit, now, self.rng.random(), maybe_created=maybe_created)
        since = self.gate.failing_since
        if since is None:
            return
        error = TransportError(
            f"nothing but failures for {now - since:.0f} s, so createTask was not sent",
            sent=False,
            retryable=True,
        )
        if now - since >= self.create_patience:
            self._turn_away_queued(error, since=now - self.create_patience)
        elif now - since >= self._terms.passes_on_after:
            for entry in self.books.queued(self.line):
                self.pass_on(entry, untroubled=True)

    def turn_away(self, entry: Entry, error: EzCaptchaError) -> None:
        """See to a task that this account cannot create and that is certainly not paid.

        Another account takes it where one can; else its caller is told why.
        """
        if not self.pass_on(entry, untroubled=False):
            self.books.refuse(entry, error)

    def tell_who_lapses(self) -> None:
        """Answer those whose result window ends before a ban does; after each request.

        Not only when the ban becomes known: other requests are under way then, and what
        they are for is told when they are over.
        """
        ban = self.gate.ban(self.clock(), "getTaskResult")
        if ban is not None:
            until = self.gate.banned_until("getTaskResult")
            self.books.fail_lapsing(self.line, ban, until=until)

    def note_expired(self, entry: Entry) -> None:
        """Tell that a solution was given out when it had expired already."""
        self._emitter.moved(entry, "expired")

    def _tell(
        self, asked: Asked, outcome: RequestOutcome, error: ServiceError | None = None
    ) -> None:
        if self._emitter.watched:
            event = RequestEvent(
                endpoint=asked.endpoint,
                outcome=outcome,
                service=self.service.name,
                account=self.account.name,
                seconds=self.clock() - asked.at,
                number=asked.number,
                code=None if error is None else error.code,
                request_id=None if error is None else error.request_id,
                errors=None if error is None else (error.errors or None),
            )
            self._emitter.emit(event)

    def _tell_of_account(self, state: AccountState, refusal: ServiceError | None = None) -> None:
        event = AccountEvent(
            state=state,
            service=self.service.name,
            account=self.account.name,
            code=None if refusal is None else refusal.code,
            request_id=None if refusal is None else refusal.request_id,
            retry_after=None if refusal is None else refusal.retry_after,
        )
        self._emitter.emit(event)

    def _turn_away_queued(self, error: EzCaptchaError, *, since: float = inf) -> None:
        for entry in self.books.queued(self.line, since=since):
            self.turn_away(entry, error)

    def _restore_ban(self) -> None:
        ban = self.ledger.ban(self.service.name, self.fingerprint)
        if ban is not None:
            # No ban is longer; the clock that wrote it down may have been wrong.
            latest = self.clock() + 1.1 * MAX_BAN
            self.gate.restore_ban(
                creates_until=min(ban.until - self.unix_offset, latest),
                polls_until=min(ban.polls_until - self.unix_offset, latest),
            )


def _state_after(refusal: ServiceError | None) -> AccountState:
    """Return what an account is that takes no new tasks for this reason."""
    if refusal is None:
        return "reopened"
    return "banned" if isinstance(refusal, BannedError) else "shut"

"""getBalance: those who ask while a request is under way share its answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import assert_never

import anyio
import attrs

from ezcaptcha_async._account.exchange import Asked, Exchange
from ezcaptcha_async._account.standing import Standing
from ezcaptcha_async._books import BalanceWatch, Entry, InquiryHold, Terms
from ezcaptcha_async._wire import Refused, Unreadable, retry_delay
from ezcaptcha_async.accounts import Balance
from ezcaptcha_async.errors import EzCaptchaError, PoolClosedError, ProtocolError, TransportError
from ezcaptcha_async.transports import NoAnswer, Reply


@attrs.define(eq=False)
class Inquiry:
    """A request that is under way."""

    answered: anyio.Event
    outcome: Balance | EzCaptchaError = attrs.field(factory=PoolClosedError)


class Inquirer:
    """Asks for the balance of one account.

    Args:
        exchange: Sends the requests.
        standing: Told what the answers say of the account.
        send: Lets a request run in the pool's own time, whatever becomes of who asked.
        low_balance: Points below which `on_low_balance` is called.
        on_low_balance: Told of a balance that has run low; None when nobody wants to know.
    """

    def __init__(
        self,
        exchange: Exchange,
        standing: Standing,
        *,
        send: Callable[[Callable[[], Awaitable[None]]], None],
        low_balance: float,
        on_low_balance: Callable[[Balance], object] | None,
    ) -> None:
        self._exchange = exchange
        self._standing = standing
        self._send = send
        self._tell = on_low_balance
        self._watch = None if on_low_balance is None else BalanceWatch(low_balance)
        self._inquiry: Inquiry | None = None
        self._hold = InquiryHold(Terms.of(exchange.service))

    async def balance(self) -> Balance:
        """Return the balance.

        Raises:
            EzCaptchaError: As `SessionPool.balance` says.
        """
        refusal = self.refusal()
        if refusal is not None:
            raise refusal.for_ticket(None, None)
        inquiry = self.begin()
        await inquiry.answered.wait()
        if isinstance(inquiry.outcome, Balance):
            return inquiry.outcome
        raise inquiry.outcome.for_ticket(None, None)

    def refusal(self) -> EzCaptchaError | None:
        """Return why nothing is sent now; None when it is."""
        now = self._exchange.clock()
        refusals = self._hold.refusal(now), self._standing.gate.inquiry_refusal(now)
        known = [error for error in refusals if error is not None]
        return max(known, key=lambda error: error.retry_after or 0.0, default=None)

    def forgive(self) -> None:
        """Ask again, whatever was refused: the user says that all is well."""
        self._hold.end()

    def begin(self) -> Inquiry:
        """Send a request, unless one is under way."""
        if self._inquiry is None:
            self._inquiry = Inquiry(anyio.Event())
            self._send(self._inquire)
        return self._inquiry

    def answer(self, outcome: Balance | EzCaptchaError) -> None:
        """Answer whoever waits."""
        inquiry, self._inquiry = self._inquiry, None
        if inquiry is not None:
            inquiry.outcome = outcome
            inquiry.answered.set()

    def note_payment(self, entry: Entry) -> None:
        """Ask for the balance where that may have run low by a task that was paid."""
        if self._watch is not None:
            self._watch.spent(entry.points or 0.0)
            self._look_after(self._watch)

    def _look_after(self, watch: BalanceWatch) -> None:
        if self.refusal() is None and watch.asks():
            self.begin()

    def _conclude(self, outcome: Balance | EzCaptchaError) -> None:
        self.answer(outcome)
        if self._watch is None or self._tell is None:
            return
        if not isinstance(outcome, Balance):
            self._watch.unknown()
            return
        if self._watch.known(outcome.points):
            self._tell(outcome)
        self._look_after(self._watch)

    async def _inquire(self) -> None:
        exchange, refusal = self._exchange, self.refusal()
        if refusal is not None:  # since it was begun
            self._conclude(refusal)
            return
        asked = exchange.ask(self._standing.gate.send("getBalance", exchange.clock()))
        reply = await exchange.post(asked, exchange.encoder.get_balance())
        self._conclude(self._read(asked, reply))

    def _read(self, asked: Asked, reply: Reply | NoAnswer) -> Balance | EzCaptchaError:
        exchange, service = self._exchange, self._exchange.service
        if isinstance(reply, NoAnswer):
            self._standing.failed(asked, "unanswered", reply.reason)
            return TransportError(
                f"getBalance was not answered: {reply.reason}", retryable=not reply.permanent
            )
        answer = exchange.decoder.balance(reply)
        match answer:
            case int() | float() as points:
                self._hold.end()
                self._standing.answered(asked, "balance")
                if points > 0 and not self._standing.gate.is_shut_for_more_than_points:
                    self._standing.reopen()
                value = points / service.points_per_unit
                return Balance(points, exchange.account.name, service.currency, value)
            case Refused(error):
                self._standing.refused(asked, error)
                return self._refused(error, error.code)
            case Unreadable(reason, status):
                self._standing.failed(asked, "unreadable", reason)
                problem = ProtocolError(
                    f"getBalance was answered with {reason}",
                    status=status,
                    retry_after=retry_delay(reply),
                )
                return self._refused(problem, reason)
            case _:
                assert_never(answer)

    def _refused(self, error: EzCaptchaError, code: str) -> EzCaptchaError:
        exchange = self._exchange
        self._hold.refused(error, code, exchange.clock(), exchange.pace.rng.random())
        # Where the service does not say for how long, what the next one would be told does.
        return error if error.retry_after else self.refusal() or error

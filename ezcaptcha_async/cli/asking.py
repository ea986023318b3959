"""One request to the service, sent as the library sends all of them, and what it tells."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import anyio
import attrs

from ezcaptcha_async import (
    Account,
    Balance,
    CredentialError,
    EzCaptchaError,
    InsufficientBalanceError,
    ProtocolError,
    Service,
    ServiceError,
    SessionPool,
    TransportError,
)
from ezcaptcha_async._wire import Decoder, Unreadable, transport_for
from ezcaptcha_async.cli import failures, findings
from ezcaptcha_async.cli.failures import ExitCode
from ezcaptcha_async.cli.findings import Finding
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody, Transport

_SLOW: Final = 3.0
_CHECK_WAY: Final = "check the network, --base-url, and what a proxy or firewall does"
_NOTHING: Final = RequestBody(b"{}")


class Witness:
    """A transport that remembers the last answer, and when it came.

    Args:
        inner: Sends the requests.
    """

    def __init__(self, inner: Transport) -> None:
        self.max_requests: int = inner.max_requests
        self.reply: Reply | None = None
        self.sent: float = 0.0
        self.received: float = 0.0
        self._inner = inner

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply | NoAnswer:
        """POST as `Transport.post` says."""
        self.sent = time.time()
        answer = await self._inner.post(url, body, timeout=timeout, evidence=evidence)
        self.received = time.time()
        self.reply = answer if isinstance(answer, Reply) else None
        return answer

    async def aclose(self) -> None:
        """Close what the other transport opened."""
        await self._inner.aclose()


@attrs.frozen(kw_only=True)
class Conversation:
    """One request, and what came of it.

    Args:
        account: Whose key it carried; None when there is no key.
        outcome: What the pool made of it; None for any answer to a request without a key.
        reply: The answer, if one came.
        sent: Unix time at which it was sent.
        received: Unix time at which the answer was there.
    """

    account: Account | None
    outcome: Balance | EzCaptchaError | None
    reply: Reply | None
    sent: float
    received: float


async def ask(service: Service, account: Account | None, *, timeout: float) -> Conversation:
    """Ask for the balance, or, without a key, for anything at all.

    Raises:
        OSError, ImportError, ValueError: The HTTP client cannot be opened.
    """
    witness = Witness(transport_for())
    outcome: Balance | EzCaptchaError | None
    if account is None:
        outcome = await _knock(witness, service, timeout)
    else:
        # It closes the transport.
        async with SessionPool(account, transport=witness, request_timeout=timeout) as pool:
            try:
                outcome = await pool.balance()
            except EzCaptchaError as error:
                outcome = error
    return Conversation(
        account=account,
        outcome=outcome,
        reply=witness.reply,
        sent=witness.sent,
        received=witness.received,
    )


async def _knock(witness: Witness, service: Service, timeout: float) -> EzCaptchaError | None:
    """Send a request that has no key, and no harm in it: nobody is banned for one of those."""
    answer: Reply | NoAnswer = NoAnswer(f"no whole answer within {timeout:g} s")
    try:
        with anyio.move_on_after(timeout):
            answer = await witness.post(f"{service.base_url}/getBalance", _NOTHING, timeout=timeout)
    finally:
        await witness.aclose()
    if isinstance(answer, NoAnswer):
        return TransportError(f"getBalance was not answered: {answer.reason}")
    match Decoder(service, secrets=[]).balance(answer):
        case Unreadable(reason, status):
            return ProtocolError(f"getBalance was answered with {reason}", status=status)
        case _:
            return None


def conclusions(spoken: Conversation, service: Service) -> Iterator[Finding]:
    """Yield what the answer says of HTTP, the key, the balance and the clock."""
    outcome, reply = spoken.outcome, spoken.reply
    seconds = spoken.received - spoken.sent
    if reply is None or isinstance(outcome, ProtocolError):
        yield Finding(
            name="HTTP",
            state="problem",
            text=str(outcome),
            remedy=_CHECK_WAY,
            exit_code=ExitCode.NO_ANSWER,
        )
    else:
        yield _http(seconds)
    yield unknown("key") if spoken.account is None else _key(spoken.account, outcome)
    if isinstance(outcome, InsufficientBalanceError):
        outcome = Balance(0, outcome.code, service.currency, 0.0)
    if isinstance(outcome, Balance):
        yield findings.balance(outcome, service)
    else:
        yield unknown("balance")
    if reply is None:
        yield unknown("clock")
    else:
        yield findings.clock(reply.date, spoken.sent, spoken.received)


def unknown(name: str) -> Finding:
    """Return that a check had to be left out, because of one before."""
    return Finding(name=name, state="skipped", text="not checked")


def _http(seconds: float) -> Finding:
    details = {"seconds": round(seconds, 3)}
    if seconds > _SLOW:
        return Finding(
            name="HTTP",
            state="warning",
            text=f"answered only after {seconds:.1f} s",
            remedy="check the network; slow answers are late solutions",
            details=details,
        )
    text = f"answered in {1000 * seconds:.0f} ms"
    return Finding(name="HTTP", text=text, details=details)


def _key(account: Account, outcome: Balance | EzCaptchaError | None) -> Finding:
    details = {"account": account.name}
    if isinstance(outcome, Balance | InsufficientBalanceError):
        return Finding(name="key", text=f"accepted, as {account.name}", details=details)
    if not isinstance(outcome, ServiceError):
        return unknown("key")
    refused = "refused" if isinstance(outcome, CredentialError) else "not checked"
    wait = "" if outcome.retry_after is None else f"; try again in {outcome.retry_after:.0f} s"
    words = ": ".join(filter(None, (refused, outcome.code, outcome.description)))
    return Finding(
        name="key",
        state="problem",
        text=words,
        remedy=f"{outcome.remedy or 'ask the service'}{wait}",
        exit_code=failures.exit_code(outcome),
        details={**details, "code": outcome.code},
    )

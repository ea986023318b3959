"""One request to the service, sent by a pool as all of them are, and what it tells."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

import attrs
import httpx

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
from ezcaptcha_async.cli import failures, findings
from ezcaptcha_async.cli.failures import ExitCode
from ezcaptcha_async.cli.findings import Finding
from ezcaptcha_async.environment import Proxies
from ezcaptcha_async.services import LOOPBACK_HOSTS

_SLOW: Final = 3.0
_CHECK_WAY: Final = "check the network, --base-url, and what a proxy or firewall does"
_START_IT: Final = "check --base-url, and that what it names on this machine is running"
_NO_KEY: Final = "there-is-no-key"
"""Is asked with where there is none: nobody is banned for one of those."""


@attrs.define
class _Watch:
    """When an HTTP client sent its last request, and what the answer said of the time."""

    sent: float = 0.0
    received: float = 0.0
    date: str | None = None

    async def note_request(self, request: httpx.Request) -> None:
        # So that the pool's own limit ends it, which says in words what has passed.
        request.extensions.pop("timeout", None)
        self.sent = time.time()

    async def note_response(self, response: httpx.Response) -> None:
        self.received = time.time()
        self.date = response.headers.get("date")


@attrs.frozen(kw_only=True)
class Conversation:
    """One request, and what came of it.

    Args:
        account: Whose key it carried; None when there is no key.
        outcome: What the pool made of it.
        date: The ``Date`` header of the answer.
        sent: Unix time at which it was sent.
        received: Unix time at which the answer was there.
    """

    account: Account | None
    outcome: Balance | EzCaptchaError
    date: str | None
    sent: float
    received: float


async def ask(service: Service, account: Account | None, *, timeout: float) -> Conversation:
    """Ask for the balance, be it with a key that is none.

    Raises:
        ConfigurationError: What the environment says of proxies or certificates cannot be used.
    """
    watch = _Watch()
    asking = account or Account(_NO_KEY, service=service)
    async with SessionPool(asking, transport="httpx"):
        pass  # it says what is wrong with the environment
    proxy = Proxies().for_url(service.base_url)
    speaks_tls = "https" in {urlsplit(service.base_url).scheme, proxy and proxy.scheme}
    async with (
        httpx.AsyncClient(
            trust_env=False,
            verify=httpx.create_ssl_context(trust_env=speaks_tls),
            proxy=None if proxy is None else proxy.address,
            event_hooks={"request": [watch.note_request], "response": [watch.note_response]},
        ) as client,
        SessionPool(asking, http_client=client, request_timeout=timeout) as pool,
    ):
        outcome: Balance | EzCaptchaError
        try:
            outcome = await pool.balance()
        except EzCaptchaError as error:
            outcome = error
    return Conversation(
        account=account,
        outcome=outcome,
        date=watch.date,
        sent=watch.sent,
        received=watch.received,
    )


def conclusions(spoken: Conversation, service: Service) -> Iterator[Finding]:
    """Yield what the answer says of HTTP, the key, the balance and the clock."""
    account, outcome = spoken.account, spoken.outcome
    seconds = spoken.received - spoken.sent
    if isinstance(outcome, TransportError | ProtocolError):
        is_here = urlsplit(service.base_url).hostname in LOOPBACK_HOSTS
        is_silent = isinstance(outcome, TransportError)
        yield Finding(
            name="HTTP",
            state="problem",
            text=str(outcome),
            remedy=_START_IT if is_here and is_silent else _CHECK_WAY,
            exit_code=ExitCode.NO_ANSWER,
        )
    else:
        yield _http(seconds)
    yield unknown("key") if account is None else _key(account, outcome)
    if isinstance(outcome, InsufficientBalanceError):
        outcome = Balance(0, outcome.code, service.currency, 0.0)
    if isinstance(outcome, Balance) and account is not None:
        yield findings.balance(outcome, service)
    else:
        yield unknown("balance")
    if isinstance(outcome, TransportError):
        yield unknown("clock")
    else:
        yield findings.clock(spoken.date, spoken.sent, spoken.received)


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


def _key(account: Account, outcome: Balance | EzCaptchaError) -> Finding:
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

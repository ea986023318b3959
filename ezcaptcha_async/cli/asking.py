"""One request to the service, sent by a pool as all of them are, and what the answer tells."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import attrs
import httpx

from ezcaptcha_async import Account, Balance, Service, SessionPool, errors
from ezcaptcha_async.cli import failures
from ezcaptcha_async.cli.failures import ExitCode
from ezcaptcha_async.cli.findings import Finding, skipped
from ezcaptcha_async.cli.output import money
from ezcaptcha_async.environment import Proxies
from ezcaptcha_async.services import LOOPBACK_HOSTS

_SLOW: Final = 3.0
_TASKS_LEFT: Final = 100
# A Date header knows whole seconds only, and a machine with NTP is not further off.
_CLOCK_TOLERANCE: Final = 2.0
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


async def answers(service: Service, account: Account | None, *, timeout: float) -> list[Finding]:
    """Ask for the balance; return what the answer says of HTTP, the key, the balance, the clock."""
    watch = _Watch()
    asking = account or Account(_NO_KEY, service=service)
    try:
        outcome = await _outcome(asking, watch, timeout)
    except errors.ConfigurationError as error:
        return unanswered(Finding("HTTP", "problem", error.message, exit_code=ExitCode.USAGE))
    return list(_conclusions(service, account, outcome, watch))


def unanswered(http: Finding) -> list[Finding]:
    """Return the same where nothing could be asked."""
    return [http, *map(skipped, ("key", "balance", "clock"))]


async def _outcome(
    account: Account, watch: _Watch, timeout: float
) -> Balance | errors.EzCaptchaError:
    """Return what a pool makes of the answer."""
    url = account.service.base_url
    async with SessionPool(account, transport="httpx"):
        pass  # it raises what is wrong with proxies or certificates in the environment
    proxy = Proxies().for_url(url)
    speaks_tls = "https" in {urlsplit(url).scheme, proxy and proxy.scheme}
    async with (
        httpx.AsyncClient(
            trust_env=False,
            verify=httpx.create_ssl_context(trust_env=speaks_tls),
            proxy=None if proxy is None else proxy.address,
            event_hooks={"request": [watch.note_request], "response": [watch.note_response]},
        ) as client,
        SessionPool(account, http_client=client, request_timeout=timeout) as pool,
    ):
        try:
            return await pool.balance()
        except errors.EzCaptchaError as error:
            return error


def _conclusions(
    service: Service,
    account: Account | None,
    outcome: Balance | errors.EzCaptchaError,
    watch: _Watch,
) -> Iterator[Finding]:
    is_silent = isinstance(outcome, errors.TransportError)
    if isinstance(outcome, errors.TransportError | errors.ProtocolError):
        is_here = urlsplit(service.base_url).hostname in LOOPBACK_HOSTS
        remedy = _START_IT if is_here and is_silent else _CHECK_WAY
        code = ExitCode.NO_ANSWER
        yield Finding("HTTP", "problem", str(outcome), remedy, exit_code=code)
    else:
        yield _http(watch.received - watch.sent)
    yield skipped("key") if account is None else _key(account, outcome)
    if isinstance(outcome, errors.InsufficientBalanceError):
        outcome = Balance(0, outcome.code, service.currency, 0.0)
    if isinstance(outcome, Balance) and account is not None:
        yield _balance(outcome, service)
    else:
        yield skipped("balance")
    yield skipped("clock") if is_silent else _clock(watch.date, watch.sent, watch.received)


def _http(seconds: float) -> Finding:
    details = {"seconds": round(seconds, 3)}
    if seconds > _SLOW:
        remedy = "check the network; slow answers are late solutions"
        text = f"answered only after {seconds:.1f} s"
        return Finding("HTTP", "warning", text, remedy, details=details)
    return Finding("HTTP", "ok", f"answered in {1000 * seconds:.0f} ms", details=details)


def _key(account: Account, outcome: Balance | errors.EzCaptchaError) -> Finding:
    details = {"account": account.name}
    if isinstance(outcome, Balance | errors.InsufficientBalanceError):
        return Finding("key", "ok", f"accepted, as {account.name}", details=details)
    if not isinstance(outcome, errors.ServiceError):
        return skipped("key")
    refused = "refused" if isinstance(outcome, errors.CredentialError) else "not checked"
    wait = "" if outcome.retry_after is None else f"; try again in {outcome.retry_after:.0f} s"
    return Finding(
        "key",
        "problem",
        ": ".join(filter(None, (refused, outcome.code, outcome.description))),
        f"{outcome.remedy or 'ask the service'}{wait}",
        exit_code=failures.exit_code(outcome),
        details={**details, "code": outcome.code},
    )


def _balance(found: Balance, service: Service) -> Finding:
    """Judge what is left on an account."""
    worth = money(found.points, service)
    details = {"points": found.points, "currency": found.currency, "value": found.value}
    dearest = max((offer.points or 0 for offer in service.offers), default=0)
    if found.points <= 0:
        remedy, code = "top up the account; paid tasks can still be fetched", ExitCode.BALANCE
        text = "out of points"
        return Finding("balance", "problem", text, remedy, exit_code=code, details=details)
    if found.points < _TASKS_LEFT * dearest:
        text = f"{worth}: may end within {_TASKS_LEFT} tasks"
        return Finding("balance", "warning", text, "top up the account", details=details)
    return Finding("balance", "ok", worth, details=details)


def _clock(date: str | None, sent: float, received: float) -> Finding:
    """Judge this machine's clock by the service's, which the ``Date`` header of an answer tells."""
    try:
        moment = parsedate_to_datetime(date or "").timestamp() + 0.5
    except (ValueError, OverflowError):
        return skipped("clock", "the answer has no date")
    ahead = (sent + received) / 2 - moment
    details = {"seconds_ahead": round(ahead, 1)}
    if abs(ahead) <= _CLOCK_TOLERANCE + (received - sent) / 2:
        text = f"within {max(1, round(abs(ahead)))} s of the service's"
        return Finding("clock", "ok", text, details=details)
    text = f"{abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} the service's"
    remedy = "let NTP set it: saved tickets carry its time along"
    return Finding("clock", "warning", text, remedy, details=details)

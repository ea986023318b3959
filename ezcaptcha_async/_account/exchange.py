"""Sends one account's requests, each in its time."""

from __future__ import annotations

import time
from collections.abc import Callable

import anyio
import attrs

from ezcaptcha_async._account.pace import Pace
from ezcaptcha_async._books import Entry, Permit
from ezcaptcha_async._runtime import is_stray
from ezcaptcha_async._wire import Decoder, Encoder
from ezcaptcha_async.accounts import Account
from ezcaptcha_async.events import Endpoint
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody, Transport


@attrs.define
class Asked:
    """A request, from its sending until it is told what came of it.

    Args:
        permit: With which it is sent.
        number: Which ticket it is for.
        at: When it was sent, on the event loop's clock.
        timeout: Seconds that its answer may take.
        took: Seconds that it took, known when it is over.
    """

    permit: Permit
    number: int | None
    at: float
    timeout: float
    took: float = 0.0

    @property
    def endpoint(self) -> Endpoint:
        """What is asked."""
        return self.permit.endpoint


class Exchange:
    """One account's requests, in its service's words.

    Args:
        account: The account.
        pace: How long a poll may take; learns from each.
        clock: The event loop's clock.
        transport: Sends the requests.
        request_timeout: Total deadline of one request, in seconds.
    """

    def __init__(
        self,
        account: Account,
        *,
        pace: Pace,
        clock: Callable[[], float],
        transport: Transport,
        request_timeout: float,
    ) -> None:
        self.account = account
        self.service = account.service
        self.fingerprint = account.fingerprint
        self.pace = pace
        self.clock = clock
        self.encoder = Encoder(account.client_key, account.app_id)
        self.decoder = Decoder(self.service, secrets=[account.client_key])
        self.requests = 0
        # Unix time minus the event loop's clock, taken anew after each request, because the
        # two drift apart over days and when the machine sleeps.
        self.unix_offset = time.time() - clock()
        self._transport = transport
        self._request_timeout = request_timeout

    def __repr__(self) -> str:
        return f"<Exchange of {self.account.name}, {self.requests} requests>"

    def ask(self, permit: Permit, entry: Entry | None = None) -> Asked:
        """Begin a request; what came of it is then told to the account's `Standing`, once."""
        timeout = self._request_timeout
        if permit.endpoint == "getTaskResult":
            timeout = self.pace.next_deadline(timeout)
        return Asked(permit, None if entry is None else entry.number, self.clock(), timeout)

    async def post(
        self, asked: Asked, body: RequestBody, evidence: Evidence | None = None
    ) -> Reply | NoAnswer:
        """Send a request, and write into `evidence` how far it got."""
        self.requests += 1
        endpoint, timeout = asked.permit.endpoint, asked.timeout
        reply: Reply | NoAnswer | None = None
        stray = False
        with anyio.CancelScope(deadline=asked.at + timeout):
            try:
                reply = await self._transport.post(
                    f"{self.service.base_url}/{endpoint}", body, timeout=timeout, evidence=evidence
                )
            except BaseException as error:
                stray = is_stray(error)
                if not stray:
                    raise
        now = self.clock()
        asked.took = now - asked.at
        self.unix_offset = time.time() - now
        if reply is None:
            late = f"no whole answer within {timeout:g} s"
            reason = "the HTTP client was cancelled by others" if stray else late
            return NoAnswer(reason, unsent=evidence is not None and evidence.unsent)
        if endpoint != "getTaskResult" and isinstance(reply, Reply):
            self.pace.answer_took(asked.took)
        return reply

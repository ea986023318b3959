"""A transport of the user's own: its mistakes hurt one request, and never the pool.

What it says when it raises is not logged, because that may hold the request and with it the
client key. Where it was raised tells as much.
"""

from __future__ import annotations

import traceback

from ezcaptcha_async._log import log
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody, Transport


class BroughtTransport:
    """Sends requests with a transport that the user has brought."""

    def __init__(self, transport: Transport) -> None:
        self.max_requests = transport.max_requests
        self._transport = transport

    def __repr__(self) -> str:
        return f"<BroughtTransport, a {type(self._transport).__name__}>"

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply | NoAnswer:
        """Have a request sent; where the transport fails at that, no answer has come."""
        try:
            reply: object = await self._transport.post(
                url, body, timeout=timeout, evidence=evidence
            )
        except Exception as error:  # noqa: BLE001 - it is the user's, and ends no pool
            reason = f"transport.post raised {type(error).__name__}"
            remark = _place_of(error)
        else:
            if isinstance(reply, (Reply, NoAnswer)):
                return reply
            reason = f"transport.post returned a {type(reply).__name__}"
            remark = "it must return a Reply or a NoAnswer"
        log.error("%s\n%s", reason, remark)
        return NoAnswer(reason, unsent=evidence is not None and evidence.unsent)

    async def aclose(self) -> None:
        """Close it."""
        try:
            await self._transport.aclose()
        except Exception as error:  # noqa: BLE001 - nor keeps one from closing
            reason, remark = f"transport.aclose raised {type(error).__name__}", _place_of(error)
        else:
            return
        log.error("%s\n%s", reason, remark)


def _place_of(error: Exception) -> str:
    return "".join(traceback.format_tb(error.__traceback__))

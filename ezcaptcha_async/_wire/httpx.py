"""The adapter to httpx and to httpx2, on asyncio and on trio."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import anyio
from anyio.lowlevel import checkpoint

from ezcaptcha_async._wire.faults import no_answer_after
from ezcaptcha_async._wire.injected import Injected
from ezcaptcha_async._wire.lanes import Lanes
from ezcaptcha_async._wire.transport import (
    CLOSED,
    MAX_BODY,
    OWN_SHARE,
    Incoming,
    reply_before_break,
    reply_from,
)
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody

HTTPX_REQUESTS: Final = 32
"""How many requests at a time httpx is good for.

Measured with 0.28.1: a client looks at every connection for every request, so that 50 at a
time cost twice the CPU of 10, and 100 at a time collapse to a tenth of the throughput. One
connection to a lane costs the same with any number of lanes.
"""


_SMALL: Final = 100
"""Bytes of a chunk; whole answers have more."""


class HttpxTransport:
    """Posts through httpx: over connections of its own, or through a client that is injected.

    Args:
        client: An ``httpx.AsyncClient`` or ``httpx2.AsyncClient`` to use and never to close;
            None for connections of its own, one to each request in flight.
        max_requests: Most connections of its own, while no more requests are in flight.
        urls: Where its own connections will lead, so that what is wrong is told at once.

    Raises:
        ConfigurationError: `client` is something else, or the environment names a proxy or
            certificates that cannot be used.
    """

    def __init__(
        self, client: Any = None, *, max_requests: int = HTTPX_REQUESTS, urls: Iterable[str] = ()
    ) -> None:
        own = client is None
        self._way = Lanes(max_requests, urls) if own else Injected(client, max_requests)
        self.max_requests = self._way.most

    def __repr__(self) -> str:
        return f"<HttpxTransport on {self._way}>"

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply | NoAnswer:
        """POST as `Transport.post` says."""
        if self._way.is_closed:
            return CLOSED
        own = OWN_SHARE * timeout
        deadline = anyio.current_time() + own
        # A name for the fault, not the exception: that one holds the request.
        try:
            async with self._way.answer(url, body, own, evidence) as answer:
                return await _read(answer, deadline)
        except Exception as error:  # noqa: BLE001 - also what custom transports let through
            return no_answer_after(error, url, evidence, proxy=self._way.proxy_for(url))

    async def aclose(self) -> None:
        """Close the connections, if they are its own."""
        await self._way.aclose()


async def _read(answer: Incoming, deadline: float) -> Reply | NoAnswer:
    status, headers = answer.status, answer.headers
    if answer.chunks is None:
        return reply_from(status, answer.content[: MAX_BODY + 1], headers)
    coding = headers.get("content-encoding", "")
    content = bytearray()
    try:
        # Its own timeouts begin anew with each step.
        with anyio.fail_after(deadline - anyio.current_time()):
            async for chunk in answer.chunks:
                content += chunk
                if len(content) > MAX_BODY:
                    break
                if len(chunk) < _SMALL:
                    await checkpoint()  # thousands of them may come without a pause
    except Exception:  # whichever package it is of, it goes on, or something has come
        came = reply_before_break(status, bytes(content), headers, coding=coding)
        if came is None:
            raise
        return came
    return reply_from(status, bytes(content), headers, coding=coding)

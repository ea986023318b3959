"""The adapter to httpx and to httpx2, on asyncio and on trio."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from ezcaptcha_async._wire.transport import (
    CLOSED,
    HEADERS,
    KEEP_ALIVE_SECONDS,
    MAX_BODY,
    TOO_LONG,
    is_certificate_error,
    reply_from,
)
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody

HTTPX_REQUESTS: Final = 32
"""How many requests at a time httpx is good for.

Measured with 0.28.1: its pool looks at every connection for every request, so that 50 at a
time cost twice the CPU of 10, and 100 at a time collapse to a tenth of the throughput.
"""

_OWN_SHARE: Final = 0.9
"""Share of the total deadline that the client's own timeouts get. It ends a request that
hangs more cleanly by itself than when it is cancelled, and says for what it was waiting."""


class HttpxTransport:
    """Posts through an ``httpx.AsyncClient`` or an ``httpx2.AsyncClient``.

    Args:
        client: A client to use and never to close; None to open one.
        max_requests: Connections of the client that is opened.

    Raises:
        ConfigurationError: `client` is something else.
    """

    def __init__(self, client: Any = None, *, max_requests: int = HTTPX_REQUESTS) -> None:
        self.max_requests = max_requests
        self._owned = client is None
        if client is None:
            import httpx  # noqa: PLC0415 - a fifth of a second, for those who bring none

            limits = httpx.Limits(
                max_connections=max_requests,
                max_keepalive_connections=max_requests,
                keepalive_expiry=KEEP_ALIVE_SECONDS,
            )
            client = httpx.AsyncClient(limits=limits)
        self._client = client
        self._package = _package_of(client)

    def __repr__(self) -> str:
        ownership = "its own" if self._owned else "an injected"
        return f"<HttpxTransport on {ownership} {self._package.__name__}.AsyncClient>"

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply | NoAnswer:
        """POST as `Transport.post` says."""
        if self._client.is_closed:
            return CLOSED
        extensions = {} if evidence is None else {"trace": _tracer(evidence)}
        if evidence is not None and self._owned:
            # Our own client traces from the first step on: no event means that none was taken.
            evidence.observed = True
        # A name for the fault, not the exception: that one holds the request.
        try:
            request = self._client.build_request(
                "POST",
                url,
                content=body.content,
                headers=HEADERS,
                timeout=_OWN_SHARE * timeout,
                extensions=extensions,
            )
            response = await self._client.send(request, stream=True, follow_redirects=False)
            try:
                return await _read(response)
            finally:
                await response.aclose()
        except Exception as error:  # noqa: BLE001 - also what custom transports let through
            pool_was_full = isinstance(error, self._package.PoolTimeout)
            return NoAnswer(
                type(error).__name__,
                unsent=evidence is not None and (evidence.unsent or pool_was_full),
                permanent=is_certificate_error(error),
            )

    async def aclose(self) -> None:
        """Close the client, if it is our own."""
        if self._owned:
            await self._client.aclose()


def _package_of(client: Any) -> ModuleType:
    """Return the package that the client's class comes from.

    httpx2 has the names of httpx but classes of its own, so exceptions are taken from here.
    """
    for base in type(client).__mro__:
        package = sys.modules.get(base.__module__.partition(".")[0])
        if package is not None and base is getattr(package, "AsyncClient", None):
            return package
    raise ConfigurationError(
        "http_client must be an httpx.AsyncClient, an httpx2.AsyncClient or an "
        f"aiohttp.ClientSession, not {type(client).__name__}"
    )


def _tracer(evidence: Evidence) -> Any:
    """Return an httpcore ``trace`` callback that writes down how far a request got.

    The type of an exception does not tell whether the request was sent; these events do.
    A transport that emits none leaves ``observed`` False, and nothing is concluded.
    """

    async def trace(event: str, info: Mapping[str, Any]) -> None:
        evidence.observed = True
        if event.endswith("send_request_body.started"):
            # What is said to a proxy in order to get a tunnel is no request of ours yet.
            method = getattr(info.get("request"), "method", b"POST")
            evidence.body_begun = evidence.body_begun or method != b"CONNECT"

    return trace


async def _read(response: Any) -> Reply | NoAnswer:
    status, headers = response.status_code, response.headers
    if response.is_stream_consumed:  # a mock transport has read it already, and decoded it
        return reply_from(status, response.content[: MAX_BODY + 1], headers)
    # The raw stream, so that a small compressed body cannot grow without a bound.
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MAX_BODY:
            return TOO_LONG
    coding = headers.get("content-encoding", "")
    return reply_from(status, bytes(content), headers, coding=coding)

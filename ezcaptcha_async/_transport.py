"""The only place that knows an HTTP client.

An adapter posts one body and says what came of it, as a value: a `Reply` or a `NoAnswer`. It
never raises for what the network does, because an HTTP client's exceptions hold the
request and with it the client key. The total deadline of a request is not its business:
whoever calls it puts a cancel scope around the call, the same for every adapter.
"""

from __future__ import annotations

import ssl
import sys
import zlib
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final, Protocol

import attrs

from ezcaptcha_async._wire import Reply, RequestBody
from ezcaptcha_async.errors import ConfigurationError

MAX_BODY: Final = 1024 * 1024
"""Most bytes of an answer, decoded. A longer one is cut off and counts as unreadable."""

HTTPX_REQUESTS: Final = 32
"""How many requests at a time httpx is good for.

Measured with 0.28.1: its pool looks at every connection for every request, so that 50 at a
time cost twice the CPU of 10, and 100 at a time collapse to a tenth of the throughput.
"""

_OWN_SHARE: Final = 0.9
"""Share of the total deadline that the client's own timeouts get. It ends a request that
hangs more cleanly by itself than when it is cancelled, and says for what it was waiting."""

_KEEP_ALIVE_SECONDS: Final = 20.0
_HEADERS: Final = {"content-type": "application/json", "accept-encoding": "identity"}


@attrs.frozen
class NoAnswer:
    """No answer came.

    Args:
        reason: Name of what went wrong, without any content of the request.
        unsent: True only when the request body certainly never left.
        permanent: True when trying again cannot help, such as a bad certificate.
    """

    reason: str
    unsent: bool = False
    permanent: bool = False


@attrs.define
class Evidence:
    """How far a request got; an adapter writes it, also for a request that is cut off.

    Args:
        observed: True once the adapter knows at all.
        body_begun: True once the first byte of the body may have left.
    """

    observed: bool = False
    body_begun: bool = False

    @property
    def unsent(self) -> bool:
        """True when it is certain that the service did not get the request."""
        return self.observed and not self.body_begun


class Transport(Protocol):
    """What the library needs of an HTTP client.

    Attributes:
        max_requests: How many requests at a time this client is good for.
    """

    max_requests: int

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply | NoAnswer:
        """POST a JSON body, follow no redirect, and read at most `MAX_BODY` bytes.

        Args:
            url: Absolute URL.
            body: The request body.
            timeout: Seconds after which the caller cancels; a hint for the client's own.
            evidence: Where to write how far the request got, for one that must not be
                repeated unless it was never sent.
        """
        ...

    async def aclose(self) -> None:
        """Close what this adapter opened itself, and nothing that was handed in."""
        ...


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
            import httpx  # noqa: PLC0415  # a fifth of a second, for those who bring none

            limits = httpx.Limits(
                max_connections=max_requests,
                max_keepalive_connections=max_requests,
                keepalive_expiry=_KEEP_ALIVE_SECONDS,
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
            return NoAnswer("the HTTP client is closed", unsent=True, permanent=True)
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
                headers=_HEADERS,
                timeout=_OWN_SHARE * timeout,
                extensions=extensions,
            )
            response = await self._client.send(request, stream=True, follow_redirects=False)
            try:
                return await _read(response)
            finally:
                await response.aclose()
        except Exception as error:  # noqa: BLE001  # also what custom transports let through
            pool_was_full = isinstance(error, self._package.PoolTimeout)
            return NoAnswer(
                type(error).__name__,
                unsent=evidence is not None and (evidence.unsent or pool_was_full),
                permanent=_is_certificate_error(error),
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
        "http_client must be an httpx.AsyncClient or an httpx2.AsyncClient, "
        f"not {type(client).__name__}"
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
    if response.is_stream_consumed:  # a mock transport has read it already
        content = response.content[: MAX_BODY + 1]
    else:
        # The raw stream, so that a small compressed body cannot grow without a bound.
        chunks = bytearray()
        async for chunk in response.aiter_raw():
            chunks += chunk
            if len(chunks) > MAX_BODY:
                return NoAnswer("the answer is longer than 1 MiB")
        content = _decoded(bytes(chunks), response.headers.get("content-encoding", ""))
    if content is None or len(content) > MAX_BODY:
        return NoAnswer("the answer is longer than 1 MiB, or its compression is unknown")
    return Reply(
        response.status_code,
        content,
        response.headers.get("retry-after"),
        response.headers.get("date"),
    )


def _decoded(content: bytes, encoding: str) -> bytes | None:
    """Undo a compression that we did not ask for, up to just above the cap."""
    if encoding.lower() in {"", "identity"}:
        return content
    if encoding.lower() not in {"gzip", "x-gzip", "deflate"}:
        return None
    try:
        # 32 more than the largest window: tell gzip and zlib apart by their headers.
        return zlib.decompressobj(wbits=32 + zlib.MAX_WBITS).decompress(content, MAX_BODY + 1)
    except zlib.error:
        return None


def _is_certificate_error(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False

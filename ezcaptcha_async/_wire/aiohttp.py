"""The adapter to aiohttp; asyncio only.

Whether a request was sent is not read off aiohttp's exceptions. The body that aiohttp is
given notes for itself that it is about to be written, whoever the session belongs to.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Iterable
from typing import Any, Final

import aiohttp
from yarl import URL

from ezcaptcha_async._wire.faults import no_answer_after
from ezcaptcha_async._wire.tls import ssl_context
from ezcaptcha_async._wire.transport import (
    CLOSED,
    HEADERS,
    KEEP_ALIVE_SECONDS,
    MAX_BODY,
    OWN_SHARE,
    reply_before_break,
    reply_from,
)
from ezcaptcha_async.environment import Proxies, Proxy
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody

AIOHTTP_REQUESTS: Final = 100
"""How many requests at a time aiohttp is good for.

Measured with 3.14.5 against answers that take 0.1 s: 32 at a time get 311 polls/s, 100 get 978
and 500 get 4,019. CPU per poll falls all the way, but answers that come together are dealt
with together: the event loop is held up twice as long by 500 as by 100. More is for those
who ask for it, and whose service allows it.
"""

_OURS: Final[dict[str, Any]] = {
    "headers": HEADERS,
    "allow_redirects": False,
    "raise_for_status": False,
    "auto_decompress": False,
    "read_bufsize": 64 * 1024,
    # The caller's deadline cancels the request, and with it the connection.
    "timeout": aiohttp.ClientTimeout(),
}
"""What a session may have set otherwise for requests of its own."""

_TURNS: Final = 3
"""Turns of the event loop before a request that must not be lost: in them aiohttp hears of
the connections that the service has closed by now, and does not write into one of those."""

_UNASKED: Final = "the connection had an answer that nobody had asked for"
_NO_SOCKS: Final = "aiohttp cannot use it; pass transport='httpx'"

_LOWEST_FINAL_STATUS: Final = 200


class AiohttpTransport:
    """Posts through an ``aiohttp.ClientSession``. Made in the event loop that it works in.

    Args:
        session: A session to use and never to close; None to open one.
        max_requests: Connections of the session that is opened.
        urls: Where that will lead, so that what is wrong is told at once.

    Raises:
        ConfigurationError: The environment names a proxy or certificates that cannot be used.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession | None = None,
        *,
        max_requests: int = AIOHTTP_REQUESTS,
        urls: Iterable[str] = (),
    ) -> None:
        self._owned = session is None
        self._proxies: Proxies | None = None
        if session is None:
            self._proxies = Proxies()
            if self._proxies.check(urls, no_socks=_NO_SOCKS):
                ssl_context()
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=max_requests, keepalive_timeout=KEEP_ALIVE_SECONDS
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        elif session.connector is not None:
            # At its own limits the connector is unfair: wait in our line instead of in its.
            limits = (session.connector.limit, session.connector.limit_per_host)
            max_requests = min([max_requests, *filter(None, limits)])
        self.max_requests = max_requests
        self._session = session
        self._clock = asyncio.get_running_loop().time
        # A middleware may send another body in the place of ours, which then knows nothing.
        # aiohttp has no public name for them.
        self._knows = not getattr(session, "_middlewares", ())
        self._targets: dict[str, tuple[URL, dict[str, Any], Proxy | None]] = {}

    def __repr__(self) -> str:
        ownership = "its own" if self._owned else "an injected"
        return f"<AiohttpTransport on {ownership} aiohttp.ClientSession>"

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply | NoAnswer:
        """POST as `Transport.post` says."""
        if self._session.closed:
            return CLOSED
        known = evidence if self._knows and evidence is not None else Evidence()
        data = _Body(body.content, known)
        if evidence is not None:
            evidence.observed = self._owned
            for _ in range(_TURNS):
                await asyncio.sleep(0)
        deadline = self._clock() + OWN_SHARE * timeout
        # A name for the fault, not the exception: that one holds the request.
        try:
            target, options, _ = self._targets.get(url) or self._target(url)
            response = await self._session.post(target, data=data, **options)
            try:
                if self._knows and data.is_real and not known.body_begun:
                    # Before Python 3.12 it is there before that has looked for one.
                    return NoAnswer(_UNASKED, unsent=True)
                return await _read(response, deadline)
            finally:
                response.close()  # what was read to its end has gone back to the connector
        except Exception as error:  # noqa: BLE001 - also what hooks and resolvers let through
            proxy = self._targets[url][-1] if url in self._targets else None
            return no_answer_after(error, url, evidence, proxy=proxy)

    async def aclose(self) -> None:
        """Close the session, if it is our own."""
        if self._owned:
            await self._session.close()

    def _target(self, url: str) -> tuple[URL, dict[str, Any], Proxy | None]:
        """Work out once for each URL what aiohttp would work out for each request.

        Its own ``trust_env`` starts two threads for each request, and sends passwords from
        ``.netrc``.
        """
        target, proxy, options = URL(url), None, dict(_OURS)
        if self._proxies is not None:
            proxy = self._proxies.for_url(url)
            if "https" in {target.scheme, proxy and proxy.scheme}:
                # The authorities that httpx trusts: which one is at work makes no difference.
                options["ssl"] = ssl_context()
        if proxy is not None:
            options["proxy"] = URL(proxy.url)
            if proxy.user or proxy.password:
                credentials = b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
                told = {"proxy-authorization": f"Basic {credentials}"}
                if target.scheme == "https":
                    options["proxy_headers"] = told  # with what asks for a tunnel
                else:
                    options["headers"] = {**HEADERS, **told}
        self._targets[url] = target, options, proxy
        return self._targets[url]


class _Body(aiohttp.Payload):
    """A request body that notes when it is about to leave, and leaves at most once."""

    _autoclose = True  # it holds nothing that must be closed

    def __init__(self, content: bytes, evidence: Evidence) -> None:
        super().__init__(content)
        self._evidence = evidence
        self.is_real = False

    @property
    def size(self) -> int:
        # A real request of aiohttp's asks for it, and will write it. What takes the place of
        # aiohttp in a test, and raises or answers what it likes, does neither.
        self.is_real = self._evidence.observed = True
        return len(self._value)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return it as text, for a middleware that signs requests."""
        return str(self._value, encoding, errors)

    async def write(self, writer: Any) -> None:
        """Write it, unless an answer is there already; from here on it may have left."""
        if getattr(writer.protocol, "should_close", False):
            # aiohttp gives it out as the answer to this request.
            raise ConnectionError(_UNASKED)
        if self._evidence.body_begun:
            # A middleware tries again. What was sent may be paid for.
            raise RuntimeError("this request is sent once")
        self._evidence.body_begun = True
        connection = writer.transport
        try:
            await writer.write(self._value)
        except asyncio.CancelledError:
            # Closing it would wait for as long as the service does not read.
            connection.abort()
            raise


async def _read(response: aiohttp.ClientResponse, deadline: float) -> Reply | NoAnswer:
    if response.status < _LOWEST_FINAL_STATUS:
        return NoAnswer("the answer is in another protocol")
    status, headers = response.status, response.headers
    coding = headers.get("content-encoding", "")
    content = bytearray()
    try:
        if response.content.is_eof():  # it came with its head, as nearly every answer does
            content += response.content.read_nowait()
        else:
            async with asyncio.timeout_at(deadline):
                while chunk := await response.content.readany():
                    content += chunk
                    if len(content) > MAX_BODY:
                        break
    except (aiohttp.ClientError, OSError):  # a TimeoutError is one
        # What comes in one turn with the break stays there; aiohttp has no public name for it.
        content += b"".join(getattr(response.content, "_buffer", ()))
        came = reply_before_break(status, bytes(content), headers, coding=coding)
        if came is None:
            raise
        return came
    # Where a hook of the user has read it already, it is kept there.
    whole = bytes(content) or await response.read()
    return reply_from(status, whole, headers, coding=coding)

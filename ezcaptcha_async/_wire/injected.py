"""Requests through an httpx or httpx2 client of the user's."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from types import ModuleType
from typing import Any, Final
from weakref import WeakKeyDictionary

import anyio
import anyio.lowlevel

from ezcaptcha_async._wire.tracing import tracer
from ezcaptcha_async._wire.transport import HEADERS, Incoming
from ezcaptcha_async.environment import Proxy
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.transports import Evidence, RequestBody


class Injected:
    """A client of the user's, with hooks, limits and cookies of its own.

    It sends the `most` at a time, of all that send through it together.
    """

    def __init__(self, client: Any, most: int) -> None:
        self._client = client
        self._package = _package_of(client)
        self.most = min(most, _connections_of(client) or most)

    def __repr__(self) -> str:
        return f"an injected {self._package.__name__}.AsyncClient"

    @property
    def is_closed(self) -> bool:
        closed: bool = self._client.is_closed
        return closed

    def proxy_for(self, _url: str) -> Proxy | None:
        """Return None: which proxy it uses, its owner knows."""

    @asynccontextmanager
    async def answer(
        self, url: str, body: RequestBody, timeout: float, evidence: Evidence | None
    ) -> AsyncGenerator[Incoming]:
        try:
            request = self._client.build_request(
                "POST",
                url,
                content=body.content,
                headers=HEADERS,
                timeout=timeout,
                extensions={} if evidence is None else {"trace": tracer(evidence)},
            )
            settings: dict[str, Any] = {}
            if evidence is not None and self._client.auth is not None:
                settings["auth"] = _sending_once(self._package, self._client.auth)
            async with self._place(timeout, evidence):
                response = await self._client.send(
                    request, stream=True, follow_redirects=False, **settings
                )
                is_read = response.is_stream_consumed  # by a mock transport
                try:
                    yield Incoming(
                        response.status_code,
                        response.headers,
                        None if is_read else response.aiter_raw(),
                        response.content if is_read else b"",
                    )
                finally:
                    await response.aclose()
        except self._package.PoolTimeout:
            if evidence is not None:
                evidence.observed = True  # what waits for a connection has sent nothing
            raise

    @asynccontextmanager
    async def _place(self, timeout: float, evidence: Evidence | None) -> AsyncGenerator[None]:
        room, request, is_taken = _room_in(self._client, self.most), object(), False
        try:
            with anyio.move_on_after(timeout):
                await room.acquire_on_behalf_of(request)
                is_taken = True
        finally:
            if not is_taken and evidence is not None:
                evidence.observed = True  # what stands in line has sent nothing
        if not is_taken:
            raise self._package.PoolTimeout("no place became free")
        try:
            yield
        finally:
            room.release_on_behalf_of(request)

    async def aclose(self) -> None:
        """Leave it open: its owner closes it."""


_ROOM: Final[WeakKeyDictionary[Any, tuple[object, anyio.CapacityLimiter]]] = WeakKeyDictionary()
"""For each injected client the event loop in which it works, and what may be sent at a time."""


def _room_in(client: Any, most: int) -> anyio.CapacityLimiter:
    """Return what all who send through a client take a place in before they do.

    Each pool keeps to its own limit; two hundred of them on one client would have it look at
    thousands of requests for every one, until none is answered any more. There are as many places
    as the pool needs that may send the `most`.
    """
    loop = anyio.lowlevel.current_token()
    known, room = _ROOM.get(client, (None, None))
    if room is None or known != loop:
        room = anyio.CapacityLimiter(most)
        _ROOM[client] = loop, room
    elif room.total_tokens < most:
        room.total_tokens = most
    return room


def _connections_of(client: Any) -> int | None:
    """Return how many connections an injected client may open; None if that cannot be told.

    Neither httpx nor httpx2 says so in a public place.
    """
    pool = getattr(getattr(client, "_transport", None), "_pool", None)
    most = getattr(pool, "_max_connections", None)
    return most if isinstance(most, int) and most > 0 else None


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


def _sending_once(package: ModuleType, auth: Any) -> Any:
    """Return an ``Auth`` as the client's own, under which a request is sent but once.

    That of HTTP Digest sends it again, with the challenge that came: here the challenge is the
    answer. Other requests, such as one for a token, go out as they are.
    """

    class SendingOnce(package.Auth):  # type: ignore[name-defined, misc]  # of httpx or httpx2
        async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
            flow = auth.async_auth_flow(request)
            with suppress(StopAsyncIteration):
                step = await anext(flow)
                while (step.method, step.url) != (request.method, request.url):
                    step = await flow.asend((yield step))
                yield step
            await flow.aclose()

    return SendingOnce()

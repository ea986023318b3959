"""Every HTTP client that a pool can use, behind one way of giving it to one.

Names of clients: ``httpx`` and ``aiohttp`` are those that a pool opens for itself; the
others are injected.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import aiohttp
import httpx
import httpx2

KEY: Final = "a-client-key-that-is-secret"

SPEED: Final = 30.0
"""How many seconds of the simulated service pass in one."""
LONG_WINDOW: Final = 300 * SPEED
"""A result window of five minutes of ours: on a busy machine nothing is to lapse."""

OWN: Final = ("httpx", "aiohttp")
INJECTED: Final = ("httpx-client", "httpx2-client", "aiohttp-session")
ALL: Final = (*OWN, *INJECTED)
ONE_OF_EACH: Final = ("httpx", "httpx2-client", "aiohttp")
"""One for each package, where it makes no difference who opened the client."""

PACKAGES: Final[Mapping[str, Any]] = {"httpx": httpx, "httpx2": httpx2}

Opener = Callable[..., AbstractAsyncContextManager[Any]]


def _httpx_client(
    package: Any,
    *,
    limit: int | None = None,
    verify: ssl.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
    proxy: str | None = None,
    **settings: Any,
) -> AbstractAsyncContextManager[Any]:
    if limit is not None:
        settings["limits"] = package.Limits(max_connections=limit)
    if verify is not None:
        settings["verify"] = verify
    client: AbstractAsyncContextManager[Any] = package.AsyncClient(
        headers=headers, proxy=proxy, **settings
    )
    return client


def _aiohttp_session(
    *,
    limit: int | None = None,
    verify: ssl.SSLContext | None = None,
    headers: Mapping[str, str] | None = None,
    proxy: str | None = None,
    **settings: Any,
) -> AbstractAsyncContextManager[Any]:
    connector = aiohttp.TCPConnector(limit=limit or 100, ssl=True if verify is None else verify)
    session: AbstractAsyncContextManager[Any] = aiohttp.ClientSession(
        connector=connector, headers=headers, proxy=proxy, **settings
    )
    return session


CLIENTS: Final[Mapping[str, Opener]] = {
    "httpx-client": lambda **settings: _httpx_client(httpx, **settings),
    "httpx2-client": lambda **settings: _httpx_client(httpx2, **settings),
    "aiohttp-session": _aiohttp_session,
}


@asynccontextmanager
async def lent(kind: str) -> AsyncGenerator[dict[str, Any]]:
    """Yield what tells any number of pools to use that client; none of them closes it."""
    if kind in OWN:
        yield {"transport": kind}
    else:
        async with CLIENTS[kind]() as client:
            yield {"http_client": client}

"""Which HTTP client sends the requests of a pool."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Final

from anyio import to_thread

from ezcaptcha_async._wire.httpx import HttpxTransport, certificates_named, ssl_context
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.transports import Transport

TRANSPORTS: Final = ("aiohttp", "httpx")
"""What can be asked for by name."""

_PREPARED: Final[set[object]] = set()
"""What `prepare` has done in this process."""

_LOWEST_AIOHTTP: Final = (3, 14)
_REMEDY: Final = "pip install 'ezcaptcha-async[fast]'"


def check_transport(transport: object) -> None:
    """Check what the user named as transport, or brought.

    Raises:
        ConfigurationError: It is the name of none.
    """
    if isinstance(transport, str) and transport not in TRANSPORTS:
        names = " or ".join(repr(name) for name in TRANSPORTS)
        raise ConfigurationError(f"transport must be {names}, not {transport!r}")


async def prepare(
    client: Any = None, choice: Transport | str | None = None, *, on_trio: bool = False
) -> None:
    """Do in a worker thread, once a process, what `transport_for` would take long for.

    Importing an HTTP client and reading certificates takes 0.2 to 0.6 s, for which the event
    loop would stand still.

    Args:
        client: As for `transport_for`.
        choice: Likewise.
        on_trio: Likewise.

    Raises:
        ImportError, OSError, ValueError: What the environment names cannot be used.
    """
    if client is None and (choice is None or isinstance(choice, str)):
        with_aiohttp = choice != "httpx" and not on_trio
        work = (with_aiohttp, certificates_named())
        if work not in _PREPARED:
            await to_thread.run_sync(_load, with_aiohttp)
            _PREPARED.add(work)


def _load(with_aiohttp: bool) -> None:  # noqa: FBT001 - called by a worker thread
    if with_aiohttp:
        try:
            import_module("aiohttp")
        except ImportError:
            pass
        else:
            ssl_context()
            return
    HttpxTransport()


def transport_for(
    client: Any = None,
    choice: Transport | str | None = None,
    *,
    max_requests: int | None = None,
    on_trio: bool = False,
) -> Transport:
    """Return what sends the requests. Called in the event loop that it is to work in.

    Args:
        client: A client of the user's, of whichever package.
        choice: A transport of the user's, or the name of one; None for aiohttp where it can
            be used, else httpx.
        max_requests: Requests at a time; None for what the HTTP client is good for.
        on_trio: Whether that event loop is trio's, where aiohttp cannot be used.

    Raises:
        ConfigurationError: What was asked for cannot be had; the message names the remedy.
    """
    limit: dict[str, Any] = {} if max_requests is None else {"max_requests": max_requests}
    if client is not None:
        return _adapter_to(client, limit, on_trio=on_trio)
    if choice == "aiohttp":
        return _aiohttp_transport(limit, on_trio=on_trio)
    if choice == "httpx":
        return HttpxTransport(**limit)
    if choice is not None and not isinstance(choice, str):
        return choice
    try:
        return _aiohttp_transport(limit, on_trio=on_trio)
    except ConfigurationError:
        return HttpxTransport(**limit)


def _adapter_to(client: Any, limit: dict[str, Any], *, on_trio: bool) -> Transport:
    # Whoever has a session has imported its package.
    aiohttp = sys.modules.get("aiohttp")
    if aiohttp is not None and isinstance(client, aiohttp.ClientSession):
        return _aiohttp_transport({"session": client, **limit}, on_trio=on_trio)
    return HttpxTransport(client, **limit)


def _aiohttp_transport(settings: dict[str, Any], *, on_trio: bool) -> Transport:
    if on_trio:
        raise ConfigurationError("aiohttp needs asyncio; on trio use httpx or httpx2")
    try:
        import aiohttp  # noqa: PLC0415 - an extra, and a third of a second
    except ImportError:
        version = None
    else:
        version = tuple(int(part) for part in aiohttp.__version__.split(".")[:2])
    if version is None or version < _LOWEST_AIOHTTP:
        lowest = ".".join(str(part) for part in _LOWEST_AIOHTTP)
        raise ConfigurationError(f"aiohttp {lowest} or newer is not installed: {_REMEDY}")
    from ezcaptcha_async._wire.aiohttp import AiohttpTransport  # noqa: PLC0415 - it imports aiohttp

    return AiohttpTransport(**settings)

"""Which HTTP client sends the requests of a pool."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from anyio import to_thread

from ezcaptcha_async._importing import import_all
from ezcaptcha_async._wire.brought import BroughtTransport
from ezcaptcha_async._wire.tls import certificates_named, pipe_named, ssl_context, tls_problem
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.transports import Transport

if TYPE_CHECKING:
    from ezcaptcha_async.environment import Proxies

_PREPARED: Final[set[object]] = set()
"""What `prepare` has done in this process."""

_SHARED: Final = (f"{__package__}.faults", f"{__package__}.transport")
"""What all adapters to clients import; 3 ms each."""

_LOWEST_AIOHTTP: Final = (3, 14)


async def prepare(
    client: Any = None,
    choice: Transport | str | None = None,
    *,
    urls: Iterable[str] = (),
    on_trio: bool = False,
) -> None:
    """Do in a worker thread, once a process, what `transport_for` would take long for.

    Importing an HTTP client and reading certificates takes 0.2 to 0.6 s, for which the event
    loop would stand still. With a client of the user's it takes a few ms, and no thread: what
    such a client sends to may be a simulated service, under a virtual clock. What it takes is
    what `transport_for` does.

    Raises:
        ConfigurationError: What the environment names cannot be used.
    """
    if client is None and (choice is None or isinstance(choice, str)):
        with_aiohttp = choice != "httpx" and not on_trio
        proxies = _proxies() if _PREPARED else await to_thread.run_sync(_proxies)
        speaks_tls = proxies.check(urls)
        work = (with_aiohttp, speaks_tls, certificates_named())
        if work not in _PREPARED:
            await to_thread.run_sync(
                partial(_load, with_aiohttp=with_aiohttp, speaks_tls=speaks_tls)
            )
            _PREPARED.add(work)
    elif client is not None:
        await import_all(_SHARED)


def _proxies() -> Proxies:
    from ezcaptcha_async.environment import Proxies  # noqa: PLC0415 - 20 ms with what it imports

    return Proxies()


def _load(*, with_aiohttp: bool, speaks_tls: bool) -> None:
    if with_aiohttp and _aiohttp_problem() is None:
        import_module(f"{__package__}.aiohttp")
    else:
        _httpx_transport()
    if speaks_tls:
        ssl_context()


def transport_for(
    client: Any = None,
    choice: Transport | str | None = None,
    *,
    max_requests: int | None = None,
    urls: Iterable[str] = (),
    on_trio: bool = False,
) -> Transport:
    """Return what sends the requests. Called in the event loop that it is to work in.

    Args:
        client: A client of the user's, of whichever package.
        choice: A transport of the user's, or the name of one; None for aiohttp where it can
            be used, else httpx.
        max_requests: Requests at a time; None for what the HTTP client is good for.
        urls: Where it is to send them: what the environment says of the way there is checked.
        on_trio: Whether that event loop is trio's, where aiohttp cannot be used.

    Raises:
        ConfigurationError: What was asked for cannot be had; the message names the remedy.
    """
    limit: dict[str, Any] = {} if max_requests is None else {"max_requests": max_requests}
    if client is not None:
        # Whoever has a session has imported its package.
        aiohttp = sys.modules.get("aiohttp")
        if aiohttp is not None and isinstance(client, aiohttp.ClientSession):
            return _aiohttp_transport({"session": client, **limit}, on_trio=on_trio)
        return _httpx_transport(client=client, **limit)
    if choice is not None and not isinstance(choice, str):
        return BroughtTransport(choice)
    settings: dict[str, Any] = {**limit, "urls": tuple(urls)}
    if choice == "aiohttp":
        return _aiohttp_transport(settings, on_trio=on_trio)
    if choice is None:
        with suppress(ConfigurationError):
            return _aiohttp_transport(settings, on_trio=on_trio)
    return _httpx_transport(**settings)


def _httpx_transport(**settings: Any) -> Transport:
    from ezcaptcha_async._wire.httpx import HttpxTransport  # noqa: PLC0415 - likewise not for all

    return HttpxTransport(**settings)


def _aiohttp_transport(settings: dict[str, Any], *, on_trio: bool) -> Transport:
    if on_trio:
        raise ConfigurationError("aiohttp needs asyncio; on trio use httpx or httpx2")
    problem = _aiohttp_problem()
    if problem is not None:
        raise ConfigurationError(problem)
    from ezcaptcha_async._wire.aiohttp import AiohttpTransport  # noqa: PLC0415 - it imports aiohttp

    return AiohttpTransport(**settings)


def _aiohttp_problem() -> str | None:
    """Import aiohttp, an extra that takes a third of a second; return why it cannot be used."""
    problem = None if "aiohttp" in sys.modules else pipe_named()
    if problem is not None:
        return problem
    try:
        aiohttp = import_module("aiohttp")
    except ImportError:
        pass
    except OSError as error:
        return tls_problem(error)  # it sets TLS up as soon as it is imported
    else:
        version = tuple(int(part) for part in aiohttp.__version__.split(".")[:2])
        if version >= _LOWEST_AIOHTTP:
            return None
    lowest = ".".join(str(part) for part in _LOWEST_AIOHTTP)
    return f"aiohttp {lowest} or newer is not installed: pip install 'aiohttp>={lowest}'"

"""What an HTTP client's exception means, in words of our own.

The exception itself goes no further: it holds the request, and with it the client key. Which
class it is says little, for several things that a user must tell apart share one, so what led to
it is looked at: the errors of the operating system and of OpenSSL.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Final, cast
from urllib.parse import urlsplit

from ezcaptcha_async.environment import Proxy
from ezcaptcha_async.transports import Evidence, NoAnswer

_STATUS: Final = re.compile(r"[1-5]\d\d(?!\d)")


def no_answer_after(
    error: Exception, url: str, evidence: Evidence | None, *, proxy: Proxy | None = None
) -> NoAnswer:
    """Return what came of a request that ended in an exception."""
    host = urlsplit(url).hostname or "the service"
    links = list(_links(error))
    is_untrusted = _has(links, ssl.SSLCertVerificationError)
    if is_untrusted:
        what = f": the certificate of {host} is not trusted: {_said(links, 'verify_message')}"
    else:
        # It is with the proxy that it connects; TLS, it speaks with the service all the same.
        peer = host if proxy is None else f"the proxy {proxy.host}, which {proxy.variable} names"
        what = _words(links, host, peer)
    return NoAnswer(
        f"{type(error).__name__}{what}",
        unsent=evidence is not None and evidence.unsent,
        permanent=is_untrusted,
    )


def _words(links: list[BaseException], host: str, peer: str) -> str:
    if _has(links, socket.gaierror, UnicodeError):
        return f": the name of {peer} is not found"
    if _has(links, ConnectionRefusedError):
        return f": {peer} refused the connection"
    status = next(filter(None, map(_proxy_status, links)), None)
    if status is not None:
        return f": HTTP {status} of {peer}"
    if _has(links, ssl.SSLError):
        return f": no TLS with {host}: {_said(links, 'reason')}"
    numbers = (link.errno for link in links if isinstance(link, OSError))
    number = next(filter(None, numbers), None)
    return f" at {peer}" if number is None else f" at {peer}: {os.strerror(number)}"


def _proxy_status(error: BaseException) -> str | None:
    """Return with which status a proxy gave no way through; all else that it says is foreign."""
    if not type(error).__name__.endswith("ProxyError"):
        return None
    found = _STATUS.match(str(getattr(error, "status", error)))
    return found and found[0]


def _has(links: list[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(link, kinds) for link in links)


def _said(links: list[BaseException], name: str) -> str:
    """Return what OpenSSL said; exceptions of aiohttp's are of its classes without saying so."""
    texts = (getattr(link, name, None) for link in links if isinstance(link, ssl.SSLError))
    return next((text for text in texts if isinstance(text, str)), "it was broken off")


def _links(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception, and all that led to it; of a host with several addresses, each one."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        waiting += [link.__context__, link.__cause__]
        if isinstance(link, BaseExceptionGroup):
            waiting += cast("BaseExceptionGroup[BaseException]", link).exceptions

"""What the library needs of an HTTP client, and what the adapters to them share.

An adapter posts one body and says what came of it, as a value: a `Reply` or a `NoAnswer`. It
never raises for what the network does, because an HTTP client's exceptions hold the
request and with it the client key. The total deadline of a request is not its business:
whoever calls it puts a cancel scope around the call, the same for every adapter.
"""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Mapping
from typing import Final

from ezcaptcha_async.transports import NoAnswer, Reply

MAX_BODY: Final = 1024 * 1024
"""Most bytes of an answer, decoded. A longer one is cut off and counts as unreadable."""

KEEP_ALIVE_SECONDS: Final = 20.0
"""How long a client that an adapter opens keeps a connection that nobody uses."""

HEADERS: Final[Mapping[str, str]] = {
    "content-type": "application/json",
    "accept-encoding": "identity",
}


CLOSED: Final = NoAnswer("the HTTP client is closed", unsent=True, permanent=True)
TOO_LONG: Final = NoAnswer("the answer is longer than 1 MiB")


def reply_from(
    status: int, content: bytes, headers: Mapping[str, str], *, coding: str = ""
) -> Reply | NoAnswer:
    """Return the answer, or that it is none.

    Args:
        status: The HTTP status.
        content: The body as it came, hardly longer than `MAX_BODY`.
        headers: The headers, whatever the case of their names.
        coding: The compression that `content` is under; we asked for none.
    """
    body = _decoded(content, coding.lower())
    if body is None or len(body) > MAX_BODY:
        return NoAnswer("the answer is longer than 1 MiB, or its compression is unknown")
    return Reply(status, body, headers.get("retry-after"), headers.get("date"))


def _decoded(content: bytes, coding: str) -> bytes | None:
    """Undo a compression, up to just above the cap, so that a bomb stays small."""
    if coding in {"", "identity"}:
        return content
    if coding not in {"gzip", "x-gzip", "deflate"}:
        return None
    try:
        # 32 more than the largest window: tell gzip and zlib apart by their headers.
        return zlib.decompressobj(wbits=32 + zlib.MAX_WBITS).decompress(content, MAX_BODY + 1)
    except zlib.error:
        return None


def is_certificate_error(error: BaseException | None) -> bool:
    """Return whether a certificate is what is wrong, so that trying again cannot help."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False

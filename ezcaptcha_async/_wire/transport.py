"""What the adapters to HTTP clients share; what is asked of them, `transports` says."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable, Mapping
from contextlib import suppress
from typing import Final, cast

import attrs

from ezcaptcha_async._wire.parsing import Answer, answer_in, charset_named
from ezcaptcha_async.transports import NoAnswer, Reply

MAX_BODY: Final = 1024 * 1024
"""Most bytes of an answer, decoded. A longer one is cut off, and only what is JSON is read."""

KEEP_ALIVE_SECONDS: Final = 20.0
"""How long a client that an adapter opens keeps a connection that nobody uses."""

OWN_SHARE: Final = 0.9
"""Share of the total deadline after which an adapter itself ends a request that hangs. That is
cleaner than to be cancelled: it can say for what it was waiting, and what has come."""

HEADERS: Final[Mapping[str, str]] = {
    "content-type": "application/json",
    "accept-encoding": "identity",
}


_BEFORE_JSON: Final = b" \t\r\n\x00\xef\xbb\xbf\xff\xfe"
_MOST_CODINGS: Final = 3
_MOST_MEMBERS: Final = 100
_NEAR_THE_END: Final = 64
"""Bytes among which a checksum is; it takes eight."""

CLOSED: Final = NoAnswer("the HTTP client is closed", unsent=True, permanent=True)
TOO_LONG: Final = NoAnswer("the answer is longer than 1 MiB")


@attrs.frozen
class Incoming:
    """An answer that is coming in.

    Args:
        status: Its HTTP status.
        headers: Its headers, whatever the case of their names.
        chunks: Its body as it comes, so that a small compressed one cannot grow without a
            bound; None where something has read and decoded it already.
        content: Its body in that case.
    """

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterable[bytes] | None
    content: bytes = b""


def reply_from(
    status: int, content: bytes, headers: Mapping[str, str], *, coding: str = ""
) -> Reply | NoAnswer:
    """Return the answer, or that it is none.

    Args:
        status: The HTTP status.
        content: The body as it came, hardly longer than `MAX_BODY`.
        headers: The headers, whatever the case of their names.
        coding: The compression that the headers name; we asked for none.
    """
    body = content if _is_json(content) else _uncompressed(content, coding.lower())
    if not _is_json(body):
        is_packed = body and body is content and coding.lower() not in {"", "identity"}
        if is_packed and _answer_in(Reply(status, body[:MAX_BODY])) is None:
            return NoAnswer("the answer is in an unknown compression")
        if len(body) > MAX_BODY:
            return TOO_LONG
    # Of JSON that is too long, the beginning may say what was paid for.
    return Reply(
        status,
        body[:MAX_BODY],
        headers.get("retry-after"),
        headers.get("date"),
        charset_named(headers.get("content-type", "")),
    )


def reply_before_break(
    status: int, content: bytes, headers: Mapping[str, str], *, coding: str = ""
) -> Reply | None:
    """Return what had come of an answer when it broke off, where that says something.

    Half a solution is none: the next poll brings the whole. It takes what `reply_from` takes.
    """
    reply = reply_from(status, content, headers, coding=coding)
    answer = _answer_in(reply) if isinstance(reply, Reply) else None
    if answer is None:
        return None
    is_half = not answer.is_whole and "solution" in answer.members
    return None if is_half else cast("Reply", reply)


def _answer_in(reply: Reply) -> Answer | None:
    answer = answer_in(reply)
    return answer if answer is not None and answer.members else None


def _is_json(body: bytes) -> bool:
    return body[:64].lstrip(_BEFORE_JSON)[:1] in {b"{", b"[", b'"'}


def _uncompressed(content: bytes, coding: str) -> bytes:
    """Undo what compressions there are, up to just above the cap, so that a bomb stays small.

    The bytes tell, and not the header: gateways lose it, or leave it on what they have unpacked.
    """
    for _ in range(_MOST_CODINGS):
        is_zlib = content[:1] == b"x" and int.from_bytes(content[:2]) % 31 == 0
        if is_zlib or content.startswith(b"\x1f\x8b"):
            unpacked = _unpacked(content)
        elif _is_json(content):
            break
        else:
            # Without any header, as some servers understand "deflate"; JSON proves it.
            unpacked, _ = _member(content, -zlib.MAX_WBITS, MAX_BODY + 1)
            unpacked = unpacked if "deflate" in coding or _is_json(unpacked) else b""
        if not unpacked:
            break
        content = unpacked
    return content


def _unpacked(content: bytes) -> bytes:
    """Undo gzip, of which there may be several, or zlib: as far as it can be undone."""
    members: list[bytes] = []
    room = MAX_BODY + 1
    while content and room > 0 and len(members) < _MOST_MEMBERS:
        # 32 more than the largest window: tell gzip and zlib apart by their headers.
        member, content = _member(content, 32 + zlib.MAX_WBITS, room)
        members.append(member)
        room -= len(member)
    return b"".join(members)


def _member(content: bytes, window: int, room: int) -> tuple[bytes, bytes]:
    """Return what was packed, and what stands behind it."""
    work = zlib.decompressobj(window)
    try:
        return work.decompress(content, room), work.unused_data
    except zlib.error:
        if window < 0:
            return b"", b""
    # Its checksum may be all that is wrong. What came just before that is told byte by byte alone.
    work = zlib.decompressobj(window)
    end = content[-_NEAR_THE_END:]
    pieces = (content[:-_NEAR_THE_END], *(end[at : at + 1] for at in range(len(end))))
    unpacked: list[bytes] = []
    with suppress(zlib.error):  # as above, and so with no more than there was room for
        unpacked.extend(map(work.decompress, pieces))
    return b"".join(unpacked), b""

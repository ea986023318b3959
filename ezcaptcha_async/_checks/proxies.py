"""A proxy as people write it, and the one form in which a task keeps it.

Nothing here raises: what is wrong is said in words that show nothing of the value, and whoever
raises has let go of it by then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from typing import Final
from urllib.parse import quote, unquote

_SCHEMES: Final = ("http", "https", "socks5")
"""What the service takes. socks4 knows no password, and without one a proxy is refused."""

_FORM: Final = "http://user:password@host:port"
_WRONG_FORM: Final = f"must have the form {_FORM} (schemes: {', '.join(_SCHEMES)})"
_NO_CREDENTIALS: Final = f"must have a user and a password, which the service asks for: {_FORM}"
_TWO_MEANINGS: Final = (
    f"must have one meaning only: write {_FORM}, with each : in user or password as %3A, "
    "each @ as %40"
)

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_ADDRESS: Final = r"(?P<host>[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{1,5})"
_TEXT: Final = r"[^:\s\x00-\x1f\x7f]+"
_BEFORE: Final = re.compile(
    # What looks like a scheme and is no user has lost a slash.
    rf"(?!(?i:{'|'.join(_SCHEMES)}):)(?P<user>[^:/?#]+):(?P<password>.+)@{_ADDRESS}/?"
)
_BEHIND: Final = re.compile(rf"{_ADDRESS}:(?P<user>{_TEXT}):(?P<password>{_TEXT})")
_BARE: Final = re.compile(rf"(?:[^@]*@)?{_ADDRESS}/?")

_ESCAPE: Final = re.compile(r"(%[0-9A-Fa-f]{2})")
_LEGAL: Final = "!$&'()*+,;="
"""What a URL may hold in a user or a password, beside letters, digits and ``-._~``."""

_LAST_PORT: Final = 65_535
_NUMBERS: Final = re.compile(r"(0x[0-9a-f]+|[0-9]+)(\.(0x[0-9a-f]+|[0-9]+)){0,3}")


def read_proxy(text: str) -> tuple[str, str]:
    """Return a proxy as ``scheme://user:password@host:port``, and what is wrong with it.

    One of the two is empty. The credentials may stand before the host or behind the port. Before
    it they may hold percent escapes, which stay as they are; behind it there are none.
    """
    found = _SCHEME.match(text)
    scheme = found[1].lower() if found else _SCHEMES[0]
    rest = text[found.end() :] if found else text
    before, behind = _BEFORE.fullmatch(rest), _BEHIND.fullmatch(rest)
    if before and behind:
        return "", _TWO_MEANINGS
    parts = before or behind or _BARE.fullmatch(rest)
    address = _address(parts["host"], parts["port"]) if parts else ""
    if parts is None or not address or scheme not in _SCHEMES:
        return "", _WRONG_FORM
    if parts.re is _BARE:
        return "", _NO_CREDENTIALS
    escaped = [_escaped(parts[name], literal=parts is behind) for name in ("user", "password")]
    return f"{scheme}://{':'.join(escaped)}@{address}", ""


def credentials_last(proxy: str) -> str:
    """Return what `read_proxy` returned as ``scheme://host:port:user:password``.

    Empty when its credentials cannot be written so: there are no escapes in that form.
    """
    scheme, _, rest = proxy.partition("://")
    credentials, _, address = rest.rpartition("@")
    try:
        plain = [unquote(part, errors="strict") for part in credentials.split(":")]
    except UnicodeDecodeError:
        return ""
    written = ":".join((f"{scheme}://{address}", *plain))
    return written if unquote(read_proxy(written)[0]) == unquote(proxy) else ""


def is_at_private_address(proxy: str) -> bool:
    """Return whether the host of a proxy is an address that means nothing to a service.

    Only what is written is looked at, in all spellings that a resolver takes for an address; a
    name may lead anywhere.
    """
    host = proxy.rpartition("@")[2].rpartition(":")[0].strip("[]").removesuffix(".")
    return is_loopback(host) or any(
        not address.is_global or address.is_multicast or address.is_reserved
        for address in _addresses(host)
    )


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, as far as what is written tells."""
    name = host.removesuffix(".").lower()
    is_named = name == "localhost" or name.endswith(".localhost")
    return is_named or any(address.is_loopback for address in _addresses(name))


def _address(host: str, port: str) -> str:
    """Return host and port as they are kept; empty when they cannot be."""
    if not 0 < int(port) <= _LAST_PORT:
        return ""
    if host.startswith("[") and (":" not in host or not any(_addresses(host[1:-1]))):
        return ""
    return f"{host.lower()}:{int(port)}"


def _escaped(text: str, *, literal: bool) -> str:
    pieces = [text] if literal else _ESCAPE.split(text)  # every other one is an escape
    return "".join(
        piece if number % 2 else quote(piece, safe=_LEGAL, errors="surrogatepass")
        for number, piece in enumerate(pieces)
    )


def _addresses(host: str) -> Iterator[IPv4Address | IPv6Address]:
    """Yield each address that a host may be a spelling of; none for a name."""
    if ":" in host:
        with suppress(ValueError):
            six = IPv6Address(host)
            yield six.ipv4_mapped or six
        return
    if _NUMBERS.fullmatch(host):
        # With a zero in front, a number is octal to some resolvers and decimal to others.
        for base_after_zero in (8, 10):
            with suppress(ValueError, OverflowError):
                *first, last = (int(text, _base(text, base_after_zero)) for text in host.split("."))
                # The last one fills what is left.
                yield IPv4Address(bytes(first) + last.to_bytes(4 - len(first)))


def _base(number: str, after_zero: int) -> int:
    if number.startswith("0x"):
        return 16
    return after_zero if number.startswith("0") else 10

"""What the simulated service finds wrong with a field of a task.

A check takes the value of a field and returns what is wrong with it, in words that follow the
name of the field; an empty text when nothing is.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

Check: TypeAlias = Callable[[Any], str]

REQUIRED: Final = "is required"
NO_CREDENTIALS: Final = "needs a user and a password"

_URL: Final = re.compile(r"https?://[^\s/?#]+\S*", re.IGNORECASE)
_SITE_KEY: Final = re.compile(r"[\w-]+", re.ASCII)
_TURNSTILE_KEY: Final = re.compile(r"0x[\w-]+", re.ASCII)

_SCHEME: Final = r"(?:https?|socks5)://"
_HOST_AND_PORT: Final = r"(?P<host>[^\s:@/\[\]]+|\[[0-9a-f:.]+\]):\d{1,5}"
_PROXY: Final = re.compile(rf"{_SCHEME}(?:(?P<credentials>\S*)@)?{_HOST_AND_PORT}/?", re.IGNORECASE)
_FUNCAPTCHA_PROXY: Final = re.compile(
    rf"{_SCHEME}{_HOST_AND_PORT}(?::(?P<credentials>\S*))?", re.IGNORECASE
)
_PRIVATE_NETWORKS: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"),
        *("::1/128", "fc00::/7", "fe80::/10"),
    )
)


def _must_be(what: str, holds: Callable[[Any], bool]) -> Check:
    return lambda value: "" if holds(value) else f"must be {what}"


def _matches(pattern: re.Pattern[str]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_object_as_text(value: object) -> bool:
    try:
        return isinstance(value, str) and isinstance(json.loads(value), dict)
    except (ValueError, RecursionError):
        return False


def _is_private(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False  # a name; it is not looked up
    return any(address in network for network in _PRIVATE_NETWORKS)


def _proxy(form: re.Pattern[str], written: str) -> Check:
    def check(value: object) -> str:
        if value == "":
            return ""
        found = form.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            return f"must be {written}"
        user, _, password = (found["credentials"] or "").partition(":")
        if not user or not password:
            return NO_CREDENTIALS
        return "must not be in a private network" if _is_private(found["host"]) else ""

    return check


_TEXT: Final = _must_be("a string", lambda value: isinstance(value, str))
_FLAG: Final = _must_be("a boolean", lambda value: isinstance(value, bool))

CHECKS: Final[Mapping[str, Check]] = {
    "websiteURL": _must_be("an http or https URL", _matches(_URL)),
    "websiteKey": _must_be("a site key", _matches(_SITE_KEY)),
    "websiteTitle": _TEXT,
    "isInvisible": _FLAG,
    "invisible": _FLAG,
    "sa": _TEXT,
    "s": _TEXT,
    "pageAction": _TEXT,
    "checkField": _TEXT,
    "data": _must_be("a JSON object as a string", _is_object_as_text),
    "funcaptchaApiJSSubdomain": _TEXT,
    "cn": _FLAG,
    "proxy": _proxy(_PROXY, "protocol://user:password@host:port"),
    "rqData": _must_be("an object", lambda value: isinstance(value, dict)),
    "rqdata": _TEXT,
    "lang": _must_be("en-US", lambda value: value == "en-US"),
}
"""Field → its check, where no type has another."""

FUNCAPTCHA_PROXY: Final = _proxy(_FUNCAPTCHA_PROXY, "protocol://host:port:user:password")
TURNSTILE_KEY: Final = _must_be("a site key that begins with 0x", _matches(_TURNSTILE_KEY))
FLAG_AS_TEXT: Final = _must_be(
    "true or false as a string", lambda value: value in ("true", "false")
)

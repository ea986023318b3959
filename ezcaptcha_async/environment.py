"""Which proxy the environment names for the requests to a service.

It is read here, once for whoever sends them: each HTTP client reads it in a way of its own, and
says of a value that it cannot use what it likes, which may be a part of the proxy's password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address, ip_network
from typing import Any, Final
from urllib.parse import SplitResult, quote, unquote, urlsplit

import attrs

from ezcaptcha_async._checks import is_loopback
from ezcaptcha_async.errors import ConfigurationError

__all__ = ["Proxies", "Proxy"]

_SCHEMES: Final = ("http", "https", "all")
_PORTS: Final = {"http": 80, "https": 443}
_LAST_PORT: Final = 65_535

_USABLE: Final = ("http", "https", "socks5", "socks5h")
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_ADDRESS: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:(?P<user>[^:/?#\s]*)(?::(?P<password>[^/?#\s]*))?@)?"
    rf"(?P<host>{_LABEL}(?:\.{_LABEL})*\.?|\[[0-9A-Fa-f:.]+\]):(?P<port>[0-9]{{1,5}})/?"
)
"""Without a port it would mean 80, 1080 or 3128, each to another program."""
_REMEDY: Final = (
    "write http://user:password@host:port, with what a URL cannot hold in a user or a password "
    "escaped, such as # as %23, / as %2F and @ as %40; or unset it"
)

_EXEMPTION: Final = re.compile(
    r"(?:(?P<scheme>[a-z]+)://)?"
    r"(?P<host>\[[0-9a-f:.]+\](?:/\d+)?|[0-9a-f]*:[0-9a-f:.]*:[0-9a-f:.]*(?:/\d+)?|[^:\[\]]+)"
    r"(?::(?P<port>[0-9]{1,5}))?/?"
)


@attrs.frozen(kw_only=True)
class Proxy:
    """A proxy that the environment names.

    Args:
        variable: Where it is named.
        scheme: ``http``, ``https``, ``socks5`` or ``socks5h``.
        host: Its host, with brackets where it is an address of IPv6.
        port: Its port.
        user: The user, as it is and not as it is written; empty when there is none.
        password: The password, likewise.

    Example:
        >>> proxy = Proxy(
        ...     variable="HTTPS_PROXY", scheme="http", host="proxy.example", port=3128,
        ...     user="me", password="secret",
        ... )
        >>> proxy.url  # without user and password, which `address` has
        'http://proxy.example:3128'
        >>> "secret" in repr(proxy)
        False
    """

    variable: str
    scheme: str
    host: str
    port: int
    user: str = attrs.field(default="", repr=False)
    password: str = attrs.field(default="", repr=False)

    @property
    def url(self) -> str:
        """Where it is, without user and password."""
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def address(self) -> str:
        """The same with user and password, escaped: a secret."""
        if not self.user and not self.password:
            return self.url
        credentials = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
        return f"{self.scheme}://{credentials}@{self.host}:{self.port}"

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS and not HTTP."""
        return self.scheme.startswith("socks")


class Proxies:
    """The proxies of the environment, as they are when this is made.

    They are those of ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY``, in both
    cases; on Windows and macOS, where none of these is set, those of the system.

    Example:
        >>> import os
        >>> os.environ["HTTPS_PROXY"] = "http://me:secret@proxy.example:3128"
        >>> proxies = Proxies()
        >>> proxies.for_url("https://api.ez-captcha.com").host
        'proxy.example'
        >>> proxies.for_url("https://localhost:8443") is None  # never: it would get the key
        True
        >>> del os.environ["HTTPS_PROXY"]
    """

    def __init__(self) -> None:
        from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - slow to import

        found = getproxies()
        self._addresses = {scheme: text for scheme in _SCHEMES if (text := found.get(scheme))}
        self._variables = {scheme: _variable(scheme) for scheme in self._addresses}
        self._exemptions = found.get("no", "").lower().split(",")
        self._is_exempt_by_system = proxy_bypass

    def __repr__(self) -> str:
        return f"<Proxies of {', '.join(self._variables.values()) or 'none'}>"

    def for_url(self, url: str) -> Proxy | None:
        """Return the proxy for requests to a URL; None where they go there directly.

        Raises:
            ConfigurationError: What the environment holds cannot be used; the message names the
                variable, and nothing of its value but the scheme and the host.
        """
        parts = urlsplit(url)
        if not self._addresses or self._exempts(parts):
            return None
        scheme = parts.scheme if parts.scheme in self._addresses else "all"
        return self._proxy(scheme) if scheme in self._addresses else None

    def check(self, urls: Iterable[str], *, no_socks: str | None = None) -> bool:
        """Check all that is named for the way to some services, before anything is sent.

        Also what is named for the other scheme: it would surprise another day. Only
        ``ALL_PROXY`` may be anything where it is not what counts.

        Args:
            urls: Where requests go.
            no_socks: What to do about a SOCKS proxy that the HTTP client cannot use.

        Returns:
            Whether TLS is spoken on the way.

        Raises:
            ConfigurationError: As for `for_url`.
        """
        speaks_tls = False
        for url in urls:
            parts = urlsplit(url)
            used = self.for_url(url)
            speaks_tls = speaks_tls or "https" in {parts.scheme, used and used.scheme}
            if not self._addresses or self._exempts(parts):
                continue
            named = [self._proxy(scheme) for scheme in self._addresses if scheme != "all"]
            for proxy in (*named, *filter(None, [used])):
                if proxy.is_socks and no_socks is not None:
                    where = f"{proxy.variable} names the {proxy.scheme} proxy at {proxy.host}"
                    raise ConfigurationError(f"{where}: {no_socks}, or add the service to NO_PROXY")
        return speaks_tls

    def _proxy(self, scheme: str) -> Proxy:
        variable = self._variables[scheme]
        proxy, problem = _read(self._addresses[scheme], variable)
        if proxy is None:
            raise ConfigurationError(f"{variable} {problem}")
        return proxy

    def _exempts(self, url: SplitResult) -> bool:
        host = (url.hostname or "").rstrip(".")
        port = url.port or _PORTS.get(url.scheme)
        return (
            is_loopback(host)
            or any(_matches(item.strip(), url.scheme, host, port) for item in self._exemptions)
            or bool(self._is_exempt_by_system(f"{host}:{port}"))
        )


def _variable(scheme: str) -> str:
    name = f"{scheme}_proxy"
    set_ones = [item for item, value in os.environ.items() if value and item.lower() == name]
    # As `getproxies` does, the one in lower case first.
    return max(set_ones, key=str.islower, default=f"the system's {scheme} proxy")


def _read(text: str, variable: str) -> tuple[Proxy | None, str]:
    """Return the proxy and what is wrong with it, without raising: the text holds a password."""
    text = text.strip()
    text = text if "://" in text else f"http://{text}"
    found = _ADDRESS.fullmatch(text) if text.isprintable() else None
    if found is None or not _is_host(found["host"]) or not 0 < int(found["port"]) <= _LAST_PORT:
        return None, f"does not hold the URL of a proxy: {_REMEDY}"
    scheme, host = found["scheme"].lower(), found["host"].lower()
    if scheme not in _USABLE:
        return None, f"names the {scheme} proxy at {host}, but it must be {', '.join(_USABLE)}"
    user, password = unquote(found["user"] or ""), unquote(found["password"] or "")
    if ":" in user:
        return None, "names a user with a colon in it, which no proxy understands"
    where: dict[str, Any] = {"scheme": scheme, "host": host, "port": int(found["port"])}
    return Proxy(variable=variable, user=user, password=password, **where), ""


def _is_host(host: str) -> bool:
    with suppress(ValueError):
        return not host.startswith("[") or bool(ip_address(host[1:-1]))
    return False


def _matches(exemption: str, scheme: str, host: str, port: int | None) -> bool:
    """Return whether an entry of ``NO_PROXY`` is about a host; what means nothing is not."""
    if exemption == "*":
        return True
    found = _EXEMPTION.fullmatch(exemption)
    if found is None or found["scheme"] not in {None, "all", scheme}:
        return False
    if found["port"] is not None and int(found["port"]) != port:
        return False
    named = found["host"].replace("[", "").replace("]", "")
    with suppress(ValueError):
        return ip_address(host) in ip_network(named, strict=False)
    domain = named.lstrip("*").strip(".")
    return domain != "" and (host == domain or host.endswith(f".{domain}"))

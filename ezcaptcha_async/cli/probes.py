"""The network below HTTP: looking up a name, and a handshake. Nothing is sent over either."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import suppress
from ipaddress import ip_address
from typing import Final, cast
from urllib.parse import SplitResult

import anyio
import httpx
from anyio import from_thread
from anyio.abc import SocketStream
from anyio.lowlevel import current_token
from anyio.streams.tls import TLSAttribute, TLSStream

from ezcaptcha_async import ConfigurationError
from ezcaptcha_async.cli.failures import ExitCode
from ezcaptcha_async.cli.findings import Finding, skipped
from ezcaptcha_async.cli.output import counted
from ezcaptcha_async.environment import Proxies

_THROUGH_PROXY: Final = "requests go through the proxy that the environment names"
_CHECK_NETWORK: Final = "check the network, and what a firewall lets out"
_DAY: Final = 86_400
_DAYS_TO_RENEW: Final = 14
_PORTS: Final = {"http": 80, "https": 443}

# OpenSSL's X509_V_ERR_*: the clock may be what is wrong, or the address.
_TIME_IS_WRONG: Final = {9, 10}
_HOST_IS_WRONG: Final = {62, 64}


async def look_up(url: SplitResult, *, timeout: float) -> Finding:
    """Look up the service's name."""
    host = str(url.hostname)
    if _is_address(host):
        return skipped("DNS", f"{host} is an address")
    if host == "localhost":
        return skipped("DNS", f"{host} is this machine")
    if _uses_proxy(url):
        return skipped("DNS", _THROUGH_PROXY)
    begin = time.monotonic()
    with anyio.move_on_after(timeout):
        found = await _addresses(host, _port(url))
        seconds = time.monotonic() - begin
        if isinstance(found, Exception):
            text = f"{host} is not found: {_reason(found)}"
            return _problem("DNS", text, "check --base-url and the resolver")
        more = f" and {len(found) - 1} more" if found[1:] else ""
        text = f"{found[0]}{more}, in {1000 * seconds:.0f} ms"
        return Finding("DNS", "ok", text, details={"addresses": found, "seconds": seconds})
    return _problem("DNS", f"no answer within {timeout:g} s", "check the resolver")


async def shake_hands(url: SplitResult, *, timeout: float) -> Finding:
    """Open a TLS connection to the service as the HTTP clients do, and close it."""
    if url.scheme == "http":
        return skipped("TLS", "plain http, which does not leave this machine")
    if _uses_proxy(url):
        return skipped("TLS", _THROUGH_PROXY)
    try:
        context = httpx.create_ssl_context()
    except OSError as error:
        text = f"the certificate authorities cannot be read: {_reason(error)}"
        remedy = "check SSL_CERT_FILE, SSL_CERT_DIR and SSLKEYLOGFILE"
        return _problem("TLS", text, remedy, ExitCode.USAGE)
    with anyio.move_on_after(timeout):
        try:
            connection = await anyio.connect_tcp(str(url.hostname), _port(url))
        except OSError as error:
            return _problem("TLS", f"no connection to port {_port(url)}: {_reason(error)}")
        async with connection:
            return await _greet(connection, str(url.hostname), context)
    return _problem("TLS", f"no handshake within {timeout:g} s")


async def _greet(connection: SocketStream, host: str, context: ssl.SSLContext) -> Finding:
    try:
        stream = await TLSStream.wrap(
            connection, hostname=host, ssl_context=context, standard_compatible=False
        )
    except ssl.SSLCertVerificationError as error:
        return _distrusted(error)
    except (OSError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
        text = f"the handshake failed: {_reason(error)}"
        return _problem("TLS", text, "check --base-url, and what a proxy or firewall does")
    proof = stream.extra_attributes
    valid_until = str(proof[TLSAttribute.peer_certificate]()["notAfter"])
    left = ssl.cert_time_to_seconds(valid_until) - time.time()
    return _certificate(proof[TLSAttribute.tls_version](), left)


def _certificate(version: str, seconds_left: float) -> Finding:
    """Judge a certificate that is valid."""
    days = int(seconds_left // _DAY)
    details = {"version": version, "days_left": days}
    left = counted(days, "day")
    if days < _DAYS_TO_RENEW:
        remedy = "whoever runs the service has to renew it"
        text = f"the certificate expires in {left}"
        return Finding("TLS", "warning", text, remedy, details=details)
    text = f"{version}, the certificate is valid for {left}"
    return Finding("TLS", "ok", text, details=details)


def _distrusted(error: ssl.SSLCertVerificationError) -> Finding:
    if error.verify_code in _TIME_IS_WRONG:
        remedy = "check this machine's clock; if that is right, the service has to renew it"
    elif error.verify_code in _HOST_IS_WRONG:
        remedy = "check --base-url"
    else:
        remedy = "do not go on, unless the gateway is yours: SSL_CERT_FILE names its authority"
    return _problem("TLS", f"the certificate is not trusted: {error.verify_message}", remedy)


async def _addresses(host: str, port: int) -> list[str] | Exception:
    """Look up a name in a thread of our own, which keeps nobody waiting when it is given up.

    Event loops do it in threads that they, or Python, wait for at the end.
    """
    outcome: list[list[str] | Exception] = []
    done, token = anyio.Event(), current_token()

    def work() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            outcome.append(sorted({str(entry[4][0]) for entry in entries}))
        except (OSError, UnicodeError) as error:
            outcome.append(error)
        with suppress(RuntimeError):  # given up, and the event loop has gone
            from_thread.run_sync(done.set, token=token)

    threading.Thread(target=work, name="ezcaptcha-doctor-dns", daemon=True).start()
    await done.wait()
    return outcome[0]


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        ip_address(host)
        return True
    return False


def _uses_proxy(url: SplitResult) -> bool:
    with suppress(ConfigurationError):  # it is told of with what is asked through it
        return Proxies().for_url(url.geturl()) is not None
    return True


def _port(url: SplitResult) -> int:
    return url.port or _PORTS[url.scheme]


def _reason(error: BaseException) -> str:
    """Return why, without the numbers of OpenSSL and the operating system."""
    cause = error.__cause__
    if isinstance(cause, ExceptionGroup):  # one for each address
        cause = next(iter(cast("ExceptionGroup[Exception]", cause).exceptions))
    if isinstance(cause, OSError):
        error = cause
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return str(reason or error or type(error).__name__)


def _problem(
    name: str, text: str, remedy: str = _CHECK_NETWORK, code: ExitCode = ExitCode.NO_ANSWER
) -> Finding:
    return Finding(name, "problem", text, remedy, exit_code=code)

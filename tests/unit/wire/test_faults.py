"""What an exception of an HTTP client means, in words that a user can act on."""

from __future__ import annotations

import errno
import socket
import ssl

import pytest

from ezcaptcha_async._wire.faults import no_answer_after
from ezcaptcha_async.environment import Proxy
from ezcaptcha_async.transports import Evidence

URL = "https://api.example/createTask"
PROXY = Proxy(variable="HTTPS_PROXY", scheme="http", host="proxy.example", port=3128)


class ConnectError(Exception):
    """What an HTTP client raises for several things."""


class ProxyError(Exception):
    """What it raises for the answer of a proxy."""


def caused_by(cause: BaseException, error: Exception) -> Exception:
    """Return an error with its cause."""
    error.__cause__ = cause
    cause.__context__ = error  # such circles do occur
    return error


REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "secret")


@pytest.mark.parametrize(
    ("cause", "words", "behind"),
    [
        (REFUSED, ": {} refused the connection", "proxy"),
        (ExceptionGroup("all", [REFUSED, OSError()]), ": {} refused the connection", "proxy"),
        (socket.gaierror(-2, "secret"), ": the name of {} is not found", "proxy"),
        (UnicodeError("secret"), ": the name of {} is not found", "proxy"),
        (OSError(errno.ENETUNREACH, "secret"), " at {}: Network is unreachable", "proxy"),
        (TimeoutError(), " at {}", "proxy"),
        (ssl.SSLError(1, "secret"), ": no TLS with {}: it was broken off", "service"),
        (
            ssl.SSLCertVerificationError(1, "secret"),
            ": the certificate of {} is not trusted: it was broken off",
            "service",
        ),
    ],
)
def test_what_led_to_it_is_told(cause: BaseException, words: str, behind: str) -> None:
    """A certificate, a name and a refusal would all be called ConnectError."""
    error = caused_by(cause, ConnectError("secret"))
    fault = no_answer_after(error, URL, None)
    assert fault.reason == f"ConnectError{words.format('api.example')}"
    assert fault.permanent == isinstance(cause, ssl.SSLCertVerificationError)
    assert not fault.unsent
    with_whom = "api.example"
    if behind == "proxy":
        with_whom = "the proxy proxy.example, which HTTPS_PROXY names"
    fault = no_answer_after(error, URL, Evidence(observed=True), proxy=PROXY)
    assert fault.reason == f"ConnectError{words.format(with_whom)}"
    assert fault.unsent


@pytest.mark.parametrize(
    ("said", "words"), [("407 secret", ": HTTP 407 of {}"), ("secret", " at {}")]
)
def test_of_what_a_proxy_says_only_the_status_is_told(said: str, words: str) -> None:
    """Its page may hold anything."""
    fault = no_answer_after(ProxyError(said), URL, None, proxy=PROXY)
    proxy = "the proxy proxy.example, which HTTPS_PROXY names"
    assert fault.reason == f"ProxyError{words.format(proxy)}"

"""TLS for connections of our own, and what is wrong with what the environment says of it."""

from __future__ import annotations

import errno
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ezcaptcha_async.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl

_CERT_FILE: Final = "SSL_CERT_FILE"
_CERT_DIR: Final = "SSL_CERT_DIR"
_KEY_LOG: Final = "SSLKEYLOGFILE"


def ssl_context() -> ssl.SSLContext:
    """Return the TLS settings of httpx, made once a process, for that takes 30 to 100 ms.

    Raises:
        ConfigurationError: The environment names certificates that cannot be read, or a file
            for the keys of connections that cannot be written.
    """
    problem = pipe_named()
    if problem is None:
        try:
            return _ssl_context(certificates_named())
        except OSError as error:
            problem = tls_problem(error)
    raise ConfigurationError(problem)


def certificates_named() -> tuple[str | None, ...]:
    """Return what the environment says of TLS: a file and folders of certificates, and of keys."""
    return tuple(os.environ.get(name) for name in (_CERT_FILE, _CERT_DIR, _KEY_LOG))


def pipe_named() -> str | None:
    """Return which variable names a pipe, whose other end OpenSSL would wait for for ever."""
    for variable in (_CERT_FILE, _KEY_LOG):
        if Path(os.environ.get(variable, "")).is_fifo():
            return f"{variable} names a pipe: name a file, or unset it"
    return None


@cache
def _ssl_context(named: tuple[str | None, ...]) -> ssl.SSLContext:
    import httpx  # noqa: PLC0415 - a fifth of a second, for those who bring a client

    file, folders, _ = named
    if folders and not file and not any(Path(name).is_dir() for name in folders.split(os.pathsep)):
        # OpenSSL looks at them not until a certificate is to be checked, and trusts nobody then.
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return httpx.create_ssl_context()


def tls_problem(error: OSError) -> str:
    """Return which variable it is that TLS cannot be set up with, and what to do about it."""
    reason = getattr(error, "reason", None) or error.strerror
    file, folders, keys = certificates_named()
    if keys:
        import ssl  # noqa: PLC0415 - whoever had an error of TLS has imported it

        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).keylog_filename = keys
        except OSError:
            return f"{_KEY_LOG} names a file that cannot be written ({reason}): unset it"
    if file:
        return (
            f"{_CERT_FILE} names a file that certificates cannot be read from ({reason}): name one "
            "in the PEM format, or unset it"
        )
    if folders:
        return f"{_CERT_DIR} names no folder of certificates ({reason}): name one, or unset it"
    return f"the certificates cannot be read ({reason}): pip install --force-reinstall certifi"

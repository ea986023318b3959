"""The command line; it comes with the extra ``cli``.

Nothing here imports what comes with it at the top, so that a plain installation can say
what is missing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, TextIO

from ezcaptcha_async import __version__
from ezcaptcha_async.cli import streams

_FROM_THE_EXTRA: Final = frozenset({"cyclopts", "filelock", "rich"})
_FAILED: Final = 1
_USAGE: Final = 2
_INTERRUPTED: Final = 130
_SIGNALLED: Final = 128  # is added to the number of a signal


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: What follows the program's name; taken from ``sys.argv`` when left out.
    """
    _open_standard_streams()
    code = 0
    try:
        code = _run(sys.argv[1:] if arguments is None else list(arguments))
        if code > _SIGNALLED and streams.is_full(sys.stdout):
            _discard(sys.stdout)  # whoever ended it did not want to wait for the reader
        sys.stdout.flush()
    except KeyboardInterrupt:  # while it starts; what a command has to say of it is said by then
        code = _INTERRUPTED
    except OSError as error:
        _discard(sys.stdout)
        if code == 0 and not isinstance(error, BrokenPipeError):
            with suppress(OSError):
                sys.stderr.write(f"ezcaptcha: cannot write to stdout: {error.strerror}\n")
        code = code or _FAILED
    try:
        sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)
    return code


def _run(tokens: list[str]) -> int:
    if tokens in (["--version"], ["-V"]):
        sys.stdout.write(f"{__version__}\n")
        return 0
    try:
        from ezcaptcha_async.cli.app import run  # noqa: PLC0415 - only here is the extra needed

        return run(tokens)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _FROM_THE_EXTRA:
            raise
        sys.stderr.write(
            f"ezcaptcha: the command line needs {package}: "
            "in the checkout of ezcaptcha_async, pip install '.[cli]'\n"
        )
        return _USAGE


def _discard(stream: TextIO) -> None:
    """Throw away what a stream does not take: Python would try once more on exit, and complain."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_standard_streams() -> None:
    """Open the null device in place of the standard streams that are closed.

    Their numbers would be given to the next files that are opened, which then are written to by
    whoever means the streams, and which the event loop refuses to close. What is written to
    stdout may be paid for: there it is refused.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(number)
        except OSError:
            # It takes the lowest number that is free: this one.
            os.open(os.devnull, os.O_RDONLY if name == "stdout" else os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - a number, and for good

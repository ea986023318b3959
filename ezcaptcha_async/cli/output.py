"""Where a command's words go: results to stdout, all else to stderr, one JSON document if asked."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cached_property
from io import UnsupportedOperation
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

from ezcaptcha_async import ConfigurationError, ProtocolError, Service
from ezcaptcha_async.cli import failures, streams

if TYPE_CHECKING:
    import anyio
    from rich.console import Console, RenderableType

PROGRAM: Final = "ezcaptcha"

# Each has a contrast of about 4 : 1 or more on white and on black alike, and where there are but
# the colours that a terminal mixes for itself, none becomes yellow or cyan.
GOOD: Final = "color(28)"
BAD: Final = "color(160)"
WARNING: Final = "color(163)"
FIGURE: Final = "color(63)"
FAINT: Final = "dim"

INDENT: Final = (0, 0, 0, 2)
"""Of what is more than a line: the padding of `rich`."""

_THEME: Final = {
    "cyclopts.name": FIGURE,
    "cyclopts.required": BAD,
    "cyclopts.required_marker": BAD,
    "cyclopts.choices": FAINT,
    "cyclopts.default": FAINT,
    "markdown.code": "bold",
    "markdown.code_block": "none",
}
"""For the help, which is cyan otherwise."""

_LEAST_WIDTH: Final = 20
_WIDTH: Final = 80
_BLANKS: Final = re.compile(r" +$", re.MULTILINE)
_SMALL: Final = 0.1
_PATIENCE: Final = 1.0  # seconds that a reader of stderr gets to take the tickets of what is paid


def printable(text: str) -> str:
    """Return the text on one line, with nothing in it that a terminal would obey."""
    return "".join(
        character if character.isprintable() else " " for character in " ".join(text.split())
    )


def points(value: float) -> str:
    """Return a number of points, with decimals only where there are some."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"


def amount(value: float) -> str:
    """Return a sum of money, with as many decimals as one of a single task needs."""
    return f"{value:,.2f}" if value == 0 or value >= _SMALL else f"{value:,.4f}"


def money(value: float, service: Service) -> str:
    """Return a number of points, and what they are worth at a service."""
    worth = amount(value / service.points_per_unit)
    return f"{points(value)} points ({worth} {service.currency})"


def counted(number: int, noun: str) -> str:
    """Return the number with its noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def scaled(time_scale: float) -> str:
    """Return what to say of a service whose time runs faster than ours; nothing if it does not."""
    return "" if time_scale == 1 else f" at {time_scale:g} times real speed"


class _Wrapped:
    """A stream in which a part of another one is replaced."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Trimmed(_Wrapped):
    """Takes the blanks off the ends of lines, with which tables are filled up."""

    def write(self, text: str) -> int:
        return self._stream.write(_BLANKS.sub("", text))


class _Lenient(_Wrapped):
    """Writes what can be written: that nobody sees a remark is no reason to lose what is paid.

    Nor is that its reader stalls, who gets so many seconds.
    """

    def __init__(self, stream: TextIO, *, patience: float = 0.0) -> None:
        super().__init__(stream)
        self._patience = patience

    def write(self, text: str) -> int:
        with suppress(OSError):
            number = streams.stalling(self._stream)
            if number is None:
                self._stream.write(text)
            else:
                streams.press(number, _encoded(text, self._stream), patience=self._patience)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def _stderr(*, patience: float = 0.0) -> TextIO:
    return cast("TextIO", _Lenient(sys.stderr, patience=patience))


def console_for(stream: TextIO) -> Console:
    """Return a console that shows text as it is: no markup, no highlighting.

    Where it is no terminal, lines end with their last word.
    """
    from rich.console import Console
    from rich.theme import Theme

    theme = Theme(_THEME)
    console = Console(file=stream, markup=False, highlight=False, emoji=False, theme=theme)
    if console.width < _LEAST_WIDTH:  # as where a machine sets COLUMNS=0
        console.width = _WIDTH
    if not console.is_terminal:
        console.file = cast("TextIO", _Trimmed(stream))
    return console


class Output:
    """One command's way to the outside.

    Args:
        as_json: True for one JSON document on stdout, and errors as JSON on stderr.
        needs_stdout: Whether there is something for stdout, which must be open then.
    """

    def __init__(self, *, as_json: bool, needs_stdout: bool = True) -> None:
        self.as_json = as_json
        if needs_stdout:
            _check_stdout()

    @cached_property
    def console(self) -> Console:
        """Shows results."""
        return console_for(sys.stdout)

    @cached_property
    def remarks(self) -> Console:
        """Shows all else."""
        return console_for(_stderr())

    @cached_property
    def _turn(self) -> anyio.Lock:
        """Of those that print side by side, a line each."""
        import anyio

        return anyio.Lock()

    def can_move(self, console: Console) -> bool:
        """Return whether one of the two can show something that moves."""
        return console.is_terminal and not console.is_dumb_terminal and not self.as_json

    def show_log(self) -> None:
        """Show on stderr from now on what the library logs; it holds no secret."""
        handler = logging.StreamHandler(_stderr())
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger = logging.getLogger("ezcaptcha_async")
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)

    @property
    def width(self) -> int:
        """How many columns there are for what is shown."""
        return self.console.width - INDENT[-1]

    def show(self, *parts: RenderableType) -> None:
        """Show something on stdout, indented, and coloured where that is a terminal."""
        from rich.console import Group
        from rich.padding import Padding

        self.console.print(Padding(Group(*parts), INDENT, expand=False))

    @contextmanager
    def waiting(self, what: str) -> Generator[None]:
        """Show on a terminal that something takes its time."""
        if self.as_json or not self.remarks.is_terminal:
            yield
        else:
            from rich.text import Text

            with self.remarks.status(Text(what, style=FAINT), spinner_style=GOOD):
                yield

    def document(self, value: Any) -> None:
        """Print a JSON document."""
        self.result(json.dumps(value))

    def result(self, text: str) -> None:
        """Print a result as it is: no colour, no wrapping, so that a script can take it."""
        _line(text, sys.stdout)

    async def paid_result(self, text: str) -> None:
        """Print a result that is paid for; if stdout does not take it, the error has it.

        The event loop goes on while a reader stalls.
        """
        async with self._turn:
            number = streams.stalling(sys.stdout)
            try:
                if number is None:
                    self.result(text)
                else:
                    await streams.pour(number, _encoded(f"{text}\n", sys.stdout))
            except OSError as error:
                why = f"cannot write to stdout: {failures.reason(error)}; it stands above instead"
                raise failures.BrokenOffError(why, results=(text,)) from None

    def remark(self, text: str) -> None:
        """Say something on stderr, to a person only."""
        if not self.as_json:
            _line(printable(text), _stderr())

    def failure(self, failure: BaseException) -> None:
        """Say what ended the command: one line, or JSON; then the tickets of what is paid.

        Above it stand the results that are paid for, and that stdout did not take.
        """
        lines = list(failures.results(failure))
        if self.as_json:
            lines.append(json.dumps(failures.description(failure)))
        else:
            if isinstance(failure, ProtocolError) and failure.payload is not None:
                lines.append(f"{PROGRAM}: what came is {json.dumps(failure.payload)}")
            lines.append(f"{PROGRAM}: {printable(failures.last_line(failure))}")
            lines += map(json.dumps, failures.tickets(failure))
        # At once: a reader that stalls gets its seconds for all of them together.
        _line("\n".join(lines), _stderr(patience=_PATIENCE))


def _check_stdout() -> None:
    try:
        os.write(sys.stdout.fileno(), b"")
    except UnsupportedOperation:
        return  # no file, but the object of a program that calls this one
    except OSError as error:
        problem = "it is closed" if error.errno == errno.EBADF else failures.reason(error)
        raise ConfigurationError(f"cannot write to stdout: {problem}; nothing was done") from None


def _line(text: str, stream: TextIO) -> None:
    # In one piece: whoever writes there as well must not come between.
    stream.write(_encoded(f"{text}\n", stream).decode(stream.encoding or "utf-8"))
    stream.flush()


def _encoded(text: str, stream: TextIO) -> bytes:
    # What the stream's encoding lacks must not turn a paid token into a traceback.
    return text.encode(stream.encoding or "utf-8", "backslashreplace")

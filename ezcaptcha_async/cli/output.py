"""Where a command's words go: results to stdout, all else to stderr, one JSON document if asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final, TextIO

from rich.console import Console, RenderableType
from rich.text import Text

from ezcaptcha_async import EzCaptchaError
from ezcaptcha_async.cli import failures

PROGRAM: Final = "ezcaptcha"


def printable(text: str) -> str:
    """Return the text on one line, with nothing in it that a terminal would obey."""
    return "".join(
        character if character.isprintable() else " " for character in " ".join(text.split())
    )


def points(value: float) -> str:
    """Return a number of points, with decimals only where there are some."""
    return f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"


def counted(number: int, noun: str) -> str:
    """Return the number with its noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def console_for(stream: TextIO) -> Console:
    """Return a console that shows text as it is: no markup, no highlighting."""
    return Console(file=stream, markup=False, highlight=False, emoji=False)


class Output:
    """One command's way to the outside.

    Args:
        as_json: True for one JSON document on stdout, and errors as JSON on stderr.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console: Console = console_for(sys.stdout)
        self.remarks: Console = console_for(sys.stderr)

    @property
    def is_live(self) -> bool:
        """Whether stdout can show something that moves."""
        return self.console.is_terminal and not self.console.is_dumb_terminal and not self.as_json

    @property
    def bar(self) -> str:
        """What a bar on stdout is drawn with."""
        return "=" if self.console.options.ascii_only else "━"

    def show(self, renderable: RenderableType) -> None:
        """Show something on stdout, coloured where that is a terminal."""
        self.console.print(renderable)

    @contextmanager
    def waiting(self, what: str) -> Generator[None]:
        """Show on a terminal that something takes its time."""
        if self.as_json or not self.remarks.is_terminal:
            yield
        else:
            with self.remarks.status(Text(what, style="dim")):
                yield

    def document(self, value: Any) -> None:
        """Print the one JSON document."""
        _line(json.dumps(value), sys.stdout)

    def result(self, text: str) -> None:
        """Print a result as it is: no colour, no wrapping, so that a script can take it."""
        _line(text, sys.stdout)

    def remark(self, text: str) -> None:
        """Say something on stderr, to a person only."""
        if not self.as_json:
            _line(printable(text), sys.stderr)

    def failure(self, failure: BaseException) -> None:
        """Say what ended the command: one line, or JSON; then the tickets of an interruption."""
        if self.as_json:
            _line(json.dumps(failures.description(failure)), sys.stderr)
            return
        text, tickets = failures.line(failure), failures.tickets(failure)
        if tickets and isinstance(failure, EzCaptchaError):
            text = f"{text}; it is paid: {failures.HOW_TO_FETCH}"
        _line(f"{PROGRAM}: {printable(text)}", sys.stderr)
        for ticket in tickets:
            _line(json.dumps(ticket), sys.stderr)


def _line(text: str, stream: TextIO) -> None:
    # What the stream's encoding lacks must not turn a paid token into a traceback.
    encoding = stream.encoding or "utf-8"
    shown = text.encode(encoding, "backslashreplace").decode(encoding)
    print(shown, file=stream, flush=True)

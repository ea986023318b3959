"""``report``: read a results file, show what it comes to, and write a page of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Final

import attrs

from ezcaptcha_async import ConfigurationError
from ezcaptcha_async.cli.failures import reason
from ezcaptcha_async.cli.options import STDIN
from ezcaptcha_async.cli.output import Output, printable
from ezcaptcha_async.cli.reporting import tables
from ezcaptcha_async.cli.reporting.collecting import collected
from ezcaptcha_async.cli.reporting.figures import figures
from ezcaptcha_async.cli.reporting.page import LONGEST_HEAD, is_page, page

_LONGEST_LINE: Final = 1 << 26


def report(output: Output, source: Path, html: Path | None) -> None:
    """Show what a results file comes to, and write a page of it."""
    name = "standard input" if source == STDIN else printable(source.name)
    if html is not None:
        _check_page(html, source)
    with output.waiting(f"reading {name}"):
        collection = collected(_lines(source))
        if collection.damaged and not (collection.solutions or collection.errors):
            raise ConfigurationError(f"{source} holds no results: no line of it is a finished row")
        found = figures(collection)
    if html is not None:
        try:
            html.write_text(page(name, found), encoding="utf-8")
        except (OSError, ValueError) as error:
            problem = reason(error, "its name cannot be that of a file")
            raise ConfigurationError(f"cannot write --html: {problem}") from None
    if output.as_json:
        # The dots of the page's plot are a sample, and of no use to a machine.
        output.document(attrs.asdict(found, filter=attrs.filters.exclude("dots")))
    else:
        tables.show(output, name, found, has_page=html is not None)
    if html is not None:
        output.remark(f"wrote {html}")


def _lines(source: Path) -> Iterator[bytes]:
    """Read the lines of a file one by one, or those of stdin for ``-``."""
    try:
        with nullcontext(sys.stdin.buffer) if source == STDIN else source.open("rb") as stream:
            yield from iter(lambda: stream.readline(_LONGEST_LINE), b"")
    except (OSError, ValueError) as error:
        problem = reason(error, "its name cannot be that of a file")
        raise ConfigurationError(f"cannot read {source}: {problem}") from None


def _check_page(html: Path, source: Path) -> None:
    """Refuse to write over anything but such a page: results, rows or the user's own page."""
    try:
        if not html.is_file():
            return
        is_source = source != STDIN and html.samefile(source)
        with html.open("rb") as file:
            head = file.read(LONGEST_HEAD).decode("utf-8", "replace")
    except (OSError, ValueError):
        return  # one of them cannot be read or written, which is told when that is tried
    if is_source:
        raise ConfigurationError("--html would overwrite the results; give it another name")
    if head and not is_page(head):
        raise ConfigurationError(
            f"--html would overwrite {html}, which is not a page of a report; give it another name"
        )

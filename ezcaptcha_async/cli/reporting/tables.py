"""The report on a terminal, within 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Group, OverflowMethod, RenderableType
from rich.table import Table
from rich.text import Text

from ezcaptcha_async.cli.output import BAD, FAINT, FIGURE, GOOD, WARNING, Output
from ezcaptcha_async.cli.reporting import wording
from ezcaptcha_async.cli.reporting.figures import Figures, Histogram
from ezcaptcha_async.cli.tabular import SHAPE, shape, tabulated

_WIDTH: Final = 78
_GAP: Final = 2
_SHAPE_WIDTH: Final = 10
_BAR_WIDTH: Final = 48


def show(output: Output, source: str, found: Figures, *, has_page: bool) -> None:
    """Show all of it; who has the page already is not told how to get it."""
    output.show("", *_parts(_Terminal(output), source, found, has_page=has_page))


class _Terminal:
    """What the terminal can draw."""

    def __init__(self, output: Output) -> None:
        options = output.console.options
        self.bar = "=" if options.ascii_only else "━"
        self.width = min(output.width, _WIDTH)
        self._encoding = options.encoding
        self._plain = options.ascii_only
        self.overflow: OverflowMethod = "crop" if options.ascii_only else "ellipsis"

    def text(self, text: str) -> str:
        """Return text from a file, with nothing that the terminal has no character for."""
        return text.encode(self._encoding, "backslashreplace").decode(self._encoding)

    def shape(self, histogram: Histogram | None) -> str:
        """Draw a histogram as one short line."""
        if histogram is None:
            return ""
        number = len(histogram.counts)
        sums = [0] * min(_SHAPE_WIDTH, number)
        for place, count in enumerate(histogram.counts):
            sums[place * len(sums) // number] += count
        return shape(sums, plain=self._plain)


def _parts(
    terminal: _Terminal, source: str, found: Figures, *, has_page: bool
) -> Iterator[RenderableType]:
    yield Text.assemble((terminal.text(source), "bold"), f"  {wording.title(found)}")
    if period := wording.period(found):
        yield Text(period, FAINT)
    yield ""
    yield from _outcome(terminal, found)
    sections = list(_of_solved_rows(terminal, found)) if found.solved else []
    if found.errors:
        sections.append(("Errors", _errors(terminal, found)))
    for heading, part in sections:
        yield from ("", Text(heading, "bold"), "", part)
    notes = [*wording.notes(found), *wording.next_steps(found, has_page=has_page)]
    if notes:
        yield ""
        yield from (Text(note, FAINT) for note in notes)


def _outcome(terminal: _Terminal, found: Figures) -> Iterator[RenderableType]:
    if not found.rows:
        yield Text("No row is finished yet.")
        return
    solved = round(terminal.width * found.solved / found.rows)
    yield Text.assemble(
        (terminal.bar * solved, GOOD), (terminal.bar * (terminal.width - solved), BAD)
    )
    yield Text.assemble(
        (f"{found.solved:,} solved", GOOD),
        (f" ({wording.share(found.solved, found.rows)})", FAINT),
        "   ",
        (f"{found.failed:,} failed", BAD if found.failed else FAINT),
    )
    if spend := wording.spend(found):
        yield Text(spend)
    if risk := wording.risk(found):
        yield Text(risk, WARNING)


def _of_solved_rows(terminal: _Terminal, found: Figures) -> Iterator[tuple[str, RenderableType]]:
    drawn: wording.Column = (SHAPE, lambda item: terminal.shape(item.solve_times))
    solve_times = (*wording.solve_times(), drawn)
    yield "Solve times in seconds", _by_type(terminal, found, solve_times)
    if (histogram := found.solve_times) is not None:
        yield "How many took how long", _histogram(terminal, histogram)
    freshness = _by_type(terminal, found, wording.freshness())
    hint = Text("delay: median of the most that a solution lay ready unfetched", FAINT)
    heading = "Freshness: seconds left of a token when it was delivered"
    yield heading, Group(freshness, "", hint)
    yield "Spend", _by_type(terminal, found, wording.SPEND)


def _by_type(
    terminal: _Terminal, found: Figures, columns: Sequence[wording.Column]
) -> RenderableType:
    is_one = len(found.types) == 1
    items = found.types if is_one else (*found.types, found.total)
    names, values = zip(*columns, strict=True)
    rows = [
        (terminal.text(wording.name(item)), *(value(item) for value in values)) for item in items
    ]
    return tabulated(
        ("type", *names),
        rows,
        width=terminal.width,
        totals=not is_one,
        overflow=terminal.overflow,
    )


def _histogram(terminal: _Terminal, histogram: Histogram) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(justify="right", style=FAINT, no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style=FIGURE, no_wrap=True)
    top = max(*histogram.counts, 1)
    ranges = list(wording.ranges(histogram))
    taken = max(map(len, ranges)) + len(f"{top:,}") + 2 * _GAP
    width = max(0, min(_BAR_WIDTH, terminal.width - taken))
    for words, count in zip(ranges, histogram.counts, strict=True):
        table.add_row(words, f"{count:,}", terminal.bar * -(-count * width // top))
    return table


def _errors(terminal: _Terminal, found: Figures) -> RenderableType:
    rows = [
        (
            terminal.text(item.kind),
            terminal.text(item.code or wording.ABSENT),
            f"{item.rows:,}",
            f"{item.may_be_charged:,}",
        )
        for item in found.errors
    ]
    columns = ("kind", "code", "rows", "may be charged")
    return tabulated(columns, rows, width=terminal.width, words=2, overflow=terminal.overflow)

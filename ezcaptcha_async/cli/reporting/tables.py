"""The report on a terminal, within 80 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from rich import box
from rich.console import Group, OverflowMethod, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ezcaptcha_async.cli.output import (
    BAD,
    FAINT,
    FIGURE,
    GOOD,
    WARNING,
    Output,
    points,
    shape,
    stacked,
)
from ezcaptcha_async.cli.reporting import wording
from ezcaptcha_async.cli.reporting.figures import Figures, Histogram, TypeFigures

_INDENT: Final = 2
_WIDTH: Final = 78
_GAP: Final = 2
_LONGEST_NAME: Final = 36
_SHAPE: Final = "shape"
_SHAPE_WIDTH: Final = 10
_BAR_WIDTH: Final = 48
_COUNT_WIDTH: Final = 7


def show(output: Output, source: str, found: Figures) -> None:
    """Show all of it."""
    parts = list(_parts(_Terminal(output), source, found))
    output.show(Padding(Group(*parts), (1, 0, 0, _INDENT), expand=False))


class _Terminal:
    """What the terminal can draw."""

    def __init__(self, output: Output) -> None:
        options = output.console.options
        self.bar = output.bar
        self.width = min(options.max_width - _INDENT, _WIDTH)
        self._encoding = options.encoding
        self._plain = options.ascii_only
        self.overflow: OverflowMethod = "crop" if options.ascii_only else "ellipsis"

    def text(self, text: str, style: str = "") -> Text:
        """Return text from a file, with nothing that the terminal has no character for."""
        known = text.encode(self._encoding, "backslashreplace").decode(self._encoding)
        return Text(known, style)

    def shape(self, histogram: Histogram | None) -> str:
        """Draw a histogram as one short line."""
        if histogram is None:
            return ""
        number = len(histogram.counts)
        sums = [0] * min(_SHAPE_WIDTH, number)
        for place, count in enumerate(histogram.counts):
            sums[place * len(sums) // number] += count
        return shape(sums, plain=self._plain)


def _parts(terminal: _Terminal, source: str, found: Figures) -> Iterator[RenderableType]:
    yield Text.assemble(terminal.text(source, "bold"), f"  {wording.title(found)}")
    if period := wording.period(found):
        yield Text(period, FAINT)
    yield ""
    yield from _outcome(terminal, found)
    if found.solved:
        for heading, part in _sections(terminal, found):
            yield ""
            yield Text(heading, "bold")
            yield ""
            yield part
    if found.errors:
        yield ""
        yield Text("Errors", "bold")
        yield ""
        yield _errors(terminal, found)
    notes = [*wording.notes(found), *wording.next_steps(found)]
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
        yield Text(wording.sentence(spend))
    if risk := wording.risk(found):
        yield Text(wording.sentence(risk), WARNING)


def _sections(terminal: _Terminal, found: Figures) -> Iterator[tuple[str, RenderableType]]:
    solve_times: list[_Column] = [
        ("median", lambda item: wording.number(item.waited, "median")),
        ("p95", lambda item: wording.number(item.waited, "p95")),
        ("max", lambda item: wording.number(item.waited, "largest")),
        (_SHAPE, lambda item: terminal.shape(item.solve_times)),
    ]
    freshness: list[_Column] = [
        ("median", lambda item: wording.number(item.left, "median")),
        ("p5", lambda item: wording.number(item.left, "p5")),
        ("expired", lambda item: f"{item.expired:,}"),
        ("delay", lambda item: wording.number(item.delay, "median")),
        ("polls", lambda item: wording.mean(item.polls)),
    ]
    spend: list[_Column] = [
        ("solved", lambda item: f"{item.solved:,}"),
        ("points", lambda item: points(item.points) if item.priced else wording.ABSENT),
        ("per token", lambda item: wording.price(item.points_per_token)),
    ]
    solved: _Column = ("solved", lambda item: f"{item.solved:,}")
    yield "Solve times in seconds", _by_type(terminal, found, [solved, *solve_times])
    if (histogram := found.solve_times) is not None:
        yield "How many took how long", _histogram(terminal, histogram)
    yield (
        "Freshness: seconds left of a token when it was delivered",
        Group(
            _by_type(terminal, found, freshness),
            "",
            Text("delay: median of the most that a solution lay ready unfetched", FAINT),
        ),
    )
    yield "Spend", _by_type(terminal, found, spend)


_Column = tuple[str, Callable[[TypeFigures], str]]


def _table(*, show_footer: bool = False) -> Table:
    return Table(
        box=box.SIMPLE,
        show_edge=False,
        pad_edge=False,
        padding=(0, 0, 0, 1),
        header_style=FAINT,
        border_style=FAINT,
        show_footer=show_footer,
    )


def _by_type(terminal: _Terminal, found: Figures, columns: Sequence[_Column]) -> RenderableType:
    table = _table(show_footer=len(found.types) > 1)
    cells = [[value(item) for item in (*found.types, found.total)] for _, value in columns]
    headed = [(name, *column) for (name, _), column in zip(columns, cells, strict=True)]
    taken = sum(max(map(len, column)) + _GAP for column in headed)
    # What goes when there is not room for everything is the shape, then the end of the type, and
    # never a number.
    longest = max(len(wording.name(item)) for item in (*found.types, found.total))
    taken += min(longest, _LONGEST_NAME)
    if headed[-1][0] == _SHAPE and taken > terminal.width:
        return _by_type(terminal, found, columns[:-1])
    if taken > terminal.width:
        items = found.types if len(found.types) == 1 else (*found.types, found.total)
        names = [terminal.text(wording.name(item)).plain for item in items]
        return stacked(("", *(name for name, _ in columns)), list(zip(names, *cells, strict=False)))
    table.add_column(
        "type",
        wording.name(found.total),
        no_wrap=True,
        overflow=terminal.overflow,
        max_width=terminal.width - taken + min(longest, _LONGEST_NAME),
        footer_style="bold",
    )
    for name, *column in headed:
        table.add_column(
            name,
            column[-1],
            justify="left" if name == _SHAPE else "right",
            style=FIGURE if name == _SHAPE else "",
            min_width=max(map(len, (name, *column))),
            no_wrap=True,
            overflow=terminal.overflow,
            footer_style=FIGURE if name == _SHAPE else "bold",
        )
    for item, *row in zip(found.types, *cells, strict=False):
        table.add_row(terminal.text(item.type), *row)
    return table


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
            terminal.text(item.kind).plain,
            terminal.text(item.code or wording.ABSENT).plain,
            f"{item.rows:,}",
            f"{item.may_be_charged:,}",
        )
        for item in found.errors
    ]
    counts = ("rows", "may be charged")
    columns = zip(("kind", "code", *counts), *rows, strict=True)
    if sum(max(map(len, column)) + _GAP for column in columns) - _GAP > terminal.width:
        named = [
            (f"{kind} {code}".removesuffix(f" {wording.ABSENT}"), *rest)
            for kind, code, *rest in rows
        ]
        return stacked(("", *counts), named)
    table = _table()
    for name in ("kind", "code"):
        table.add_column(name, no_wrap=True)
    for name in counts:
        table.add_column(name, justify="right", min_width=max(_COUNT_WIDTH, len(name)))
    for row in rows:
        table.add_row(*row)
    return table

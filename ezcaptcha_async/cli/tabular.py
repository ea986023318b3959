"""Figures of many things below each other, in as much room as there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.console import Group, OverflowMethod, RenderableType
from rich.table import Table
from rich.text import Text

from ezcaptcha_async.cli.output import FAINT, FIGURE

SHAPE: Final = "shape"
"""The name of a last column that is drawn with `shape`."""

_GAP: Final = 2
_LONGEST_NAME: Final = 36
_STEPS: Final = " ▁▂▃▄▅▆▇█"
_PLAIN_STEPS: Final = " .:-=+*#@"


def shape(counts: Sequence[int], *, plain: bool) -> str:
    """Draw counts as one short line, in which a single one is seen."""
    steps = _PLAIN_STEPS if plain else _STEPS
    top = max(*counts, 1)
    return "".join(steps[-(-count * (len(steps) - 1) // top)] for count in counts)


def tabulated(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int,
    words: int = 1,
    totals: bool = False,
    overflow: OverflowMethod = "crop",
) -> RenderableType:
    """Return a table; the first `words` columns are names, the last row may be the totals.

    What goes when there is not room for everything is the shape, then the end of the names, then
    the table, so that each name stands above its figures; but never a figure.
    """
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    room = width - sum(widths[1:]) - _GAP * len(widths[1:])
    if room < min(widths[0], _LONGEST_NAME):
        if header[-1] != SHAPE:
            return _stacked(header, rows, widths, words)
        rows, header = [row[:-1] for row in rows], header[:-1]
        return tabulated(header, rows, width=width, words=words, totals=totals, overflow=overflow)
    table = Table(
        box=box.SIMPLE,
        show_edge=False,
        pad_edge=False,
        padding=(0, 0, 0, 1),
        header_style=FAINT,
        border_style=FAINT,
        show_footer=totals,
    )
    for place, (name, total) in enumerate(zip(header, rows[-1], strict=True)):
        is_shape = name == SHAPE
        table.add_column(
            name,
            total,
            justify="left" if is_shape or place < words else "right",
            style=FIGURE if is_shape else "",
            footer_style=FIGURE if is_shape else "bold",
            min_width=widths[place] if place else None,
            max_width=None if place else room,
            no_wrap=True,
            overflow=overflow,
        )
    for row in rows[:-1] if totals else rows:
        table.add_row(*row)
    return table


def _stacked(
    header: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], words: int
) -> Group:
    def line(cells: Sequence[str], style: str = "") -> Text:
        pairs = list(zip(cells, widths, strict=True))[words:]
        return Text("".join(f"  {cell:>{width}}" for cell, width in pairs), style=style)

    lines = [line(header, FAINT)]
    for row in rows:
        lines += [Text(" ".join(row[:words]), no_wrap=True, overflow="crop"), line(row)]
    return Group(*lines)

"""The figures of one load as a picture: plain SVG that stands alone, in light and in dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from statistics import median

from .figures import Row
from .table import ABSENT, cell

PANELS = (
    ("client CPU", "ms per solved task", "cpu_ms_per_solved", "{:,.1f}"),
    ("requests", "per solved task", "requests_per_solved", "{:.1f}"),
    ("lag", "s, ready to fetched", "lag_mean_s", "{:.2f}"),
    ("longest stall", "ms, event loop", "stall_ms", "{:,.0f}"),
    ("connections", "at a time", "connections", "{:,.0f}"),
    ("peak memory", "MiB", "memory_mib", "{:,.0f}"),
)
"""Heading, unit, figure, and how its value is written."""

MARGIN = 24
NAMES = 190
SOLVED = 110
PANEL = 128
BAR = 66
BAR_HEIGHT = 12
ROW = 34
HEAD = 118
MOST = 4
"""A bar is cut when it is this many times as long as the middle one of its panel."""

FOOT = 62

STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.title { font-size: 17px; font-weight: 600 }
.heading { font-weight: 600 }
.small, .small tspan { font-size: 11px; fill: #59636e }
.card { fill: #ffffff; stroke: #d1d9e0 }
.rule { stroke: #d1d9e0 }
.peer { fill: #9aa4af }
.ours { fill: #1f883d }
.cut { stroke: #ffffff; stroke-width: 3 }
.own { font-weight: 600 }
.short { fill: #cf222e; font-weight: 600 }
.lost { fill: #cf222e; font-size: 11px }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc }
  .small, .small tspan { fill: #9198a1 }
  .card { fill: #0d1117; stroke: #3d444d }
  .rule { stroke: #3d444d }
  .cut { stroke: #0d1117 }
  .peer { fill: #656c76 }
  .ours { fill: #3fb950 }
  .short, .lost { fill: #ff7b72 }
}
"""


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    attribute = f' class="{kind}"' if kind else ""
    return f'<text x="{x:g}" y="{y:g}"{attribute}>{escape(text)}</text>'


def _heads() -> list[str]:
    y = HEAD - 30
    drawn = [_text(MARGIN + NAMES, y, "solved", "heading")]
    for number, (heading, unit, _, _) in enumerate(PANELS):
        x = MARGIN + NAMES + SOLVED + number * PANEL
        drawn += [_text(x, y, heading, "heading"), _text(x, y + 15, unit, "small")]
    return drawn


def _bar(row: Row, figure: str, form: str, place: tuple[float, float], unit: float) -> list[str]:
    """Draw one figure at its place, `unit` points long for each one, and cut where too long."""
    x, y = place
    spread = row.figures.get(figure)
    if spread is None:
        return [_text(x, y, ABSENT, "small")]
    width = min(max(1.0, spread.median * unit), BAR)
    kind = "ours" if row.ours else "peer"
    top, bottom = y - BAR_HEIGHT + 2, y + 2
    size = f'width="{width:.1f}" height="{BAR_HEIGHT}" rx="2"'
    drawn = [f'<rect x="{x:g}" y="{top:g}" {size} class="{kind}"/>']
    if spread.median * unit > 1.001 * BAR:
        cut = x + 0.8 * BAR
        drawn.append(f'<path d="M{cut + 4:g} {top - 2:g}L{cut - 4:g} {bottom + 2:g}" class="cut"/>')
    own = "own" if row.ours else ""
    return [*drawn, _text(x + width + 5, y, cell(row, figure, form), own)]


def _unit(rows: Sequence[Row], figure: str) -> float:
    """Return how long a bar is for each one: so that the longest fits, or all but a few do."""
    medians = [row.figures[figure].median for row in rows if figure in row.figures]
    longest = min(max(medians), MOST * median(medians)) if medians else 0.0
    return BAR / longest if longest else 0.0


def _row(row: Row, y: float, units: dict[str, float]) -> list[str]:
    everything = row.figures["solved"].median == row.tasks
    solved = ("own" if row.ours else "") if everything else "short"
    name, _, version = row.library.partition(" ")
    under = ", ".join(filter(None, (version, row.stack)))
    drawn = [
        _text(MARGIN, y - 3, name, "own" if row.ours else ""),
        _text(MARGIN, y + 10, under, "small"),
        _text(MARGIN + NAMES, y, cell(row, "solved", "{:,.0f}"), solved),
    ]
    if row.figures["lost"].median:
        lost = f"{cell(row, 'lost', '{:,.0f}')} lost"
        drawn.append(_text(MARGIN + NAMES + 46, y, lost, "lost"))
    for number, (_, _, figure, form) in enumerate(PANELS):
        x = MARGIN + NAMES + SOLVED + number * PANEL
        drawn += _bar(row, figure, form, (x, y), units[figure])
    return drawn


def picture(rows: Sequence[Row], title: str, notes: Sequence[str]) -> str:
    """Return the picture; the bars of a panel have one scale, and the longest may be cut.

    Args:
        rows: From the top downwards.
        title: What was measured.
        notes: Lines below: when, where, with which settings.
    """
    width = 2 * MARGIN + NAMES + SOLVED + len(PANELS) * PANEL
    height = HEAD + len(rows) * ROW + FOOT + 16 * max(0, len(notes) - 2)
    units = {figure: _unit(rows, figure) for _, _, figure, _ in PANELS}
    drawn = [
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" class="card"/>',
        _text(MARGIN, 36, title, "title"),
        _text(
            MARGIN, 56, "Medians. Shorter bars are better; a slash marks one that is cut.", "small"
        ),
        *_heads(),
    ]
    for number, row in enumerate(rows):
        top = HEAD + number * ROW
        drawn.append(f'<path d="M{MARGIN} {top}H{width - MARGIN}" class="rule"/>')
        drawn += _row(row, top + 20, units)
    below = HEAD + len(rows) * ROW
    drawn.append(f'<path d="M{MARGIN} {below}H{width - MARGIN}" class="rule"/>')
    drawn += [
        _text(MARGIN, below + 24 + 16 * number, note, "small") for number, note in enumerate(notes)
    ]
    body = "\n".join(drawn)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n{body}\n</svg>\n"
    )

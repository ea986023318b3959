"""The figures as text: Markdown that also reads well in a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from operator import truediv
from statistics import median

from .figures import Row

COLUMNS = (
    ("solved", "solved", "{:,.0f}"),
    ("lost paid tasks", "lost", "{:,.0f}"),
    ("wall s", "wall_s", "{:.1f}"),
    ("client CPU ms / solved", "cpu_ms_per_solved", "{:.1f}"),
    ("requests / solved", "requests_per_solved", "{:.2f}"),
    ("lag s, mean", "lag_mean_s", "{:.2f}"),
    ("lag s, p95", "lag_p95_s", "{:.2f}"),
    ("connections at a time", "connections", "{:,.0f}"),
    ("connections made", "connections_made", "{:,.0f}"),
    ("longest stall ms", "stall_ms", "{:,.0f}"),
    ("peak memory MiB", "memory_mib", "{:,.0f}"),
)
"""Heading, figure, and how it is written."""

ABSENT = "–"  # noqa: RUF001 - a dash, as tables have it

CPU_AIM = {"aiohttp": 0.6, "httpx": 1.0}
"""By the HTTP client at work."""

REQUESTS_AIM = 0.6
LAG_AIM = 1.3
LONGEST_STALL = 50.0
"""Milliseconds, opening the pool included."""


def cell(row: Row, figure: str, form: str) -> str:
    """Return the median of a figure, or a dash where there is none."""
    spread = row.figures.get(figure)
    return ABSENT if spread is None else form.format(spread.median)


def table(rows: Sequence[Row]) -> str:
    """Return the medians of all rows, aligned."""
    lines = [["library", *(heading for heading, _, _ in COLUMNS)]]
    for row in rows:
        name = f"{row.library} ({row.stack})" if row.stack else row.library
        lines.append([name, *(cell(row, figure, form) for _, figure, form in COLUMNS)])
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of cells as a table; the first line is its heading."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    text = [_line(line, widths) for line in (lines[0], rule, *lines[1:])]
    return "\n".join(text)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    aligned = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return f"| {' | '.join(aligned)} |"


def troubles(rows: Sequence[Row]) -> list[str]:
    """Return one line for each library that did not solve all of its tasks."""
    return [
        f"{row.library}: " + ", ".join(f"{count:,} x {name}" for name, count in found)
        for row in rows
        if (found := sorted(row.troubles.items()))
    ]


def _solves_everything(row: Row) -> bool:
    return row.figures["solved"].least == row.tasks and "cpu_ms_per_solved" in row.figures


def _median(row: Row, figure: str) -> float:
    return row.figures[figure].median


def _beside(row: Row, best: Row, figure: str) -> float:
    """Return the median of the rounds' ratios: a round has its own tasks and its own minutes."""
    return median(map(truediv, row.figures[figure].rounds, best.figures[figure].rounds))


def aims(rows: Sequence[Row]) -> list[str]:
    """Return how each row of ours stands to the best peer that solved every task in every round.

    That is the one with the least CPU: one that hardly gets to ask sends the fewest requests.
    """
    peers = [row for row in rows if not row.ours and _solves_everything(row)]
    if not peers:
        return []
    best = min(peers, key=lambda peer: _median(peer, "cpu_ms_per_solved"))
    lines: list[str] = []

    def judge(row: Row, what: str, value: float, most: float) -> None:
        verdict = "met" if value <= most else "missed"
        lines.append(f"{row.library}: {what.format(value)}; aim {most:g}: {verdict}")

    for row in filter(lambda row: row.ours, rows):
        if not _solves_everything(row):
            lines.append(f"{row.library}: not every task solved")
            continue
        cpu_aim = next(most for client, most in CPU_AIM.items() if client in row.stack)
        for what, figure, most in (
            ("client CPU per solved task", "cpu_ms_per_solved", cpu_aim),
            ("requests per solved task", "requests_per_solved", REQUESTS_AIM),
            ("lag", "lag_mean_s", LAG_AIM),
        ):
            judge(row, f"{what} {{:.3f}} x {best.library}", _beside(row, best, figure), most)
        judge(row, "longest stall {:.0f} ms", _median(row, "stall_ms"), LONGEST_STALL)
    return lines

"""How far the demonstration is: live on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Final

from rich.console import Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ezcaptcha_async import Statistics
from ezcaptcha_async.cli.demo import Plan, Progress
from ezcaptcha_async.cli.output import Output, counted, points

_INDENT: Final = 2
_WIDTH: Final = 78
# Wider than their names, so that the line is as long as the bar and long numbers fit.
_COLUMN_WIDTHS: Final = {"solved": 7, "points": 11, "elapsed": 9}
_SECONDS_BETWEEN_LINES: Final = 2.0

# One colour per state: the bar and the counts below it share them, so no legend is needed.
_COLOURS: Final = {
    "queued": "dim",
    "creating": "yellow",
    "waiting": "cyan",
    "solved": "green",
    "failed": "red",
}


@contextmanager
def shown(output: Output, plan: Plan) -> Generator[Callable[[Progress], None]]:
    """Show how far the demonstration is.

    Yields:
        Takes the progress, several times a second.
    """
    if not output.is_live:
        yield _Lines(output)
        return
    with Live(console=output.console, auto_refresh=False) as live:
        yield lambda progress: live.update(_panel(progress, plan, output), refresh=True)


class _Lines:
    def __init__(self, output: Output) -> None:
        self._output = output
        self._next = _SECONDS_BETWEEN_LINES

    def __call__(self, progress: Progress) -> None:
        if progress.elapsed < self._next:
            return
        self._next = progress.elapsed + _SECONDS_BETWEEN_LINES
        counts = ", ".join(f"{count} {name}" for name, count in _states(progress.counts).items())
        left = _left(progress)
        self._output.remark(
            f"{progress.elapsed:.0f} s: {counts}; {progress.rate:.0f} requests/s, "
            f"{points(progress.counts.points)} points{left and f'; {left}'}"
        )


def _states(counts: Statistics) -> Mapping[str, int]:
    return {
        "queued": counts.queued,
        "creating": counts.creating,
        "waiting": counts.waiting,
        "solved": counts.solved,
        "failed": counts.failed + counts.lapsed + counts.unknown + counts.refused,
    }


def _panel(progress: Progress, plan: Plan, output: Output) -> RenderableType:
    width = min(output.console.width - _INDENT, _WIDTH)
    states = _states(progress.counts)
    title = Text.assemble(
        (counted(plan.tasks, "task"), "bold"),
        (f" at {plan.speed:g} times real speed, against {progress.url}", "dim"),
    )
    figures = {
        **{name: f"{count:,}" for name, count in states.items()},
        "requests/s": f"{progress.rate:,.0f}",
        "points": points(progress.counts.points),
        "elapsed": f"{progress.elapsed:.1f} s",
    }
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="")
    for name in figures:
        table.add_column(
            Text(name, style=_COLOURS.get(name, "dim")),
            justify="right",
            min_width=_COLUMN_WIDTHS.get(name),
        )
    table.add_row(*figures.values())
    bar = _bar(states, plan.tasks, width, output.bar)
    lines = ("", title, "", bar, "", table, Text(_left(progress), style="dim"))
    return Padding(Group(*lines), (0, 0, 0, _INDENT))


def _left(progress: Progress) -> str:
    """Say how long it will take yet; nothing when nobody knows."""
    return "" if progress.left is None else f"about {max(1, round(progress.left))} s left"


def _bar(states: Mapping[str, int], tasks: int, width: int, character: str) -> Text:
    """Draw all tasks as one bar; what is finished is on the left."""
    bar = Text()
    reached = drawn = 0
    for name in ("solved", "failed", "waiting", "creating"):
        reached += states[name]
        end = round(width * min(reached, tasks) / tasks)
        bar.append(character * (end - drawn), style=_COLOURS[name])
        drawn = end
    return bar.append(character * (width - drawn), style=_COLOURS["queued"])

"""How far many tasks are: a bar and figures on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from math import ceil
from time import monotonic
from typing import Final

import anyio
import attrs
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress import BarColumn, Progress
from rich.table import Column, Table
from rich.text import Text

from ezcaptcha_async import PoolStatistics
from ezcaptcha_async.cli.output import BAD, FAINT, GOOD, INDENT, Output

_GAP: Final = 2
_PADDING: Final = (0, _GAP, 0, 0)
_TICK: Final = 0.2
_RATE_WINDOW: Final = 60.0  # seconds over which the rate is taken
_BAR_WIDTH: Final = 40
_NARROW: Final = 72  # columns below which there is no bar
_COLUMN_WIDTH: Final = 7  # wider than their names, so that figures may grow
_COLOURS: Final = {"solved": GOOD, "failed": BAD}


@attrs.define(eq=False)
class Forecast:
    """Says how long it takes until all tasks are finished.

    The last one is begun when those before it have made room for it; from then on it takes as
    long as the slow ones of what the pool has seen.
    """

    clock: Callable[[], float] = monotonic
    _all_begun_at: float | None = attrs.field(init=False, default=None)

    def seconds_left(self, unfinished: int | None, pool: PoolStatistics) -> float | None:
        """Return the seconds until the end; None while they cannot be known."""
        kinds = [kind for kind in pool.kinds if kind.tasks]
        in_flight = pool.waiting + pool.creating
        if unfinished is None or not (kinds and in_flight):
            return None
        to_begin, now = max(0, unfinished - in_flight), self.clock()
        if to_begin:
            self._all_begun_at = None
            seen = sum(kind.tasks for kind in kinds)
            typical = sum(kind.tasks * kind.median for kind in kinds) / seen
            until_begun = to_begin * typical / in_flight
        else:
            self._all_begun_at = self._all_begun_at or now
            until_begun = self._all_begun_at - now
        left = until_begun + max(kind.p95 for kind in kinds)
        return left if left > 0 else None  # one of the few that take longer


@attrs.define(eq=False)
class Meter:
    """Shows how far a number of tasks is."""

    output: Output  # where lines go
    console: Console  # where the bar is
    title: str
    total: int | None  # None when nobody knows
    before: int = attrs.field(default=0, kw_only=True)  # finished already
    moves: bool = attrs.field(kw_only=True)  # else there are lines
    seconds_between_lines: float = attrs.field(kw_only=True)
    _progress: Progress = attrs.field(init=False)
    _next_line: float = attrs.field(init=False)
    _forecast: Forecast = attrs.field(init=False, factory=Forecast)
    _live: Live | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        bar = BarColumn(_BAR_WIDTH, style=FAINT, complete_style=GOOD, finished_style=GOOD)
        # Never started: what moves is more than its bar.
        self._progress = Progress(
            *(() if self.console.width < _NARROW else (bar,)),
            "{task.completed:,} of {task.total:,}",
            "{task.fields[left]}",
            console=self.console,
            speed_estimate_period=_RATE_WINDOW,
        )
        self._progress.add_task("", total=self.total, completed=self.before, left="")
        self._next_line = self.seconds_between_lines

    @contextmanager
    def open(self) -> Generator[Meter]:
        """Have the bar on the console, where it may move."""
        if not self.moves:
            yield self
            return
        with Live(
            self._view({}),
            console=self.console,
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        ) as self._live:
            yield self

    def show(
        self,
        done: int,
        figures: Mapping[str, str],
        pool: PoolStatistics,
        more: Sequence[RenderableType] = (),
        note: str = "",
    ) -> None:
        """Show how far it is; `more` stands below where there is room, `note` behind in a line."""
        task = self._progress.tasks[0]
        total = None if task.total is None else max(task.total, done)
        unfinished = None if total is None else int(total) - done
        seconds = self._forecast.seconds_left(unfinished, pool)
        left = "" if seconds is None else f"{timedelta(seconds=ceil(seconds))} left"
        self._progress.update(task.id, completed=done, total=total, left=left)
        rate = "-" if task.speed is None else f"{60 * task.speed:,.0f}"
        figures = {**figures, "a minute": rate}
        if self._live is None:
            self._say(figures, note)
        else:
            self._live.update(self._view(figures, more), refresh=True)

    async def keep_showing(self, show: Callable[[], None]) -> None:
        """Have something show several times a second how far it is."""
        while True:
            await anyio.sleep(_TICK)
            show()

    def _view(self, figures: Mapping[str, str], more: Sequence[RenderableType] = ()) -> Padding:
        title = Text(self.title, style="bold", overflow="fold")
        lines: list[RenderableType] = ["", title, ""]
        if self._progress.tasks[0].total is not None:
            lines += [self._progress, ""]
        return Padding(Group(*lines, self._table(figures), "", *more), INDENT)

    def _table(self, figures: Mapping[str, str]) -> Table:
        """Return the figures side by side, or one below the other where there is no room."""
        widths = [max(_COLUMN_WIDTH, *map(len, item)) for item in figures.items()]
        if sum(widths) + _GAP * len(widths) > self.console.width:
            table = Table.grid(Column(style=FAINT), Column(justify="right"), padding=_PADDING)
            for name, figure in figures.items():
                table.add_row(name, Text(figure, style=_COLOURS.get(name, "")))
            return table
        columns = (
            Column(name, justify="right", style=_COLOURS.get(name, ""), min_width=width)
            for name, width in zip(figures, widths, strict=True)
        )
        table = Table(*columns, box=None, padding=_PADDING, pad_edge=False, header_style=FAINT)
        table.add_row(*figures.values())
        return table

    def _say(self, figures: Mapping[str, str], note: str) -> None:
        task = self._progress.tasks[0]
        elapsed = task.elapsed or 0.0
        if elapsed < self._next_line:
            return
        self._next_line = elapsed + self.seconds_between_lines
        words = [f"{figure} {name}" for name, figure in figures.items()]
        if task.total is not None:
            words.insert(0, f"{task.completed:,} of {task.total:,.0f} done")
        if task.fields["left"]:
            words.append(task.fields["left"])
        if note:
            words.append(note)
        self.output.remark(f"{elapsed:.0f} s: {', '.join(words)}")

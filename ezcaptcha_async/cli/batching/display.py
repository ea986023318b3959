"""A batch on the screen: live on a terminal, a line now and then elsewhere, a summary at last."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ezcaptcha_async.cli.batching.progress import BIN_SECONDS, BINS, Progress
from ezcaptcha_async.cli.batching.results_file import STDOUT
from ezcaptcha_async.cli.output import Output, counted, points

_INDENT: Final = 2
_WIDTH: Final = 76
_LABEL_WIDTH: Final = 12
_SECONDS_BETWEEN_LINES: Final = 10.0
_KINDS_OF_ERRORS: Final = 5
_STEPS: Final = " ▁▂▃▄▅▆▇█"
_ASCII_STEPS: Final = " .:-=+*#@"


@contextmanager
def shown(output: Output, title: str, *, in_the_way: bool) -> Generator[Callable[[Progress], None]]:
    """Show on stderr how far a batch is; stdout may hold its results.

    Args:
        output: Where to.
        title: What to call it.
        in_the_way: Whether results go to stdout, where a moving display may be in their way.

    Yields:
        Takes the progress, several times a second.
    """
    console = output.remarks
    moves = console.is_terminal and not console.is_dumb_terminal and not output.as_json
    if not moves or (in_the_way and output.console.is_terminal):
        yield _Lines(output)
        return
    with Live(
        console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
    ) as live:
        yield lambda progress: live.update(_panel(progress, title, output), refresh=True)


def summary(progress: Progress) -> dict[str, Any]:
    """Return how far a batch came, as a JSON-able object."""
    return {
        "rows": progress.total,
        "solved": progress.solved,
        "failed": progress.failed,
        "solved_before": progress.solved_before,
        "failed_before": progress.failed_before,
        "points": progress.points,
        "points_before": progress.points_before,
        "errors": dict(progress.errors),
        "halted_by": None if progress.halted_by is None else type(progress.halted_by).__name__,
        "elapsed": progress.elapsed,
    }


class _Lines:
    def __init__(self, output: Output) -> None:
        self._output = output
        self._next = _SECONDS_BETWEEN_LINES

    def __call__(self, progress: Progress) -> None:
        progress.look()
        if progress.elapsed < self._next:
            return
        self._next = progress.elapsed + _SECONDS_BETWEEN_LINES
        figures = _figures(progress)
        words = ", ".join(f"{figures[name]} {name}" for name in ("done", "solved", "failed"))
        left = f", about {figures['left']} left" if figures["left"] != "-" else ""
        self._output.remark(
            f"{progress.elapsed:.0f} s: {words}, {figures['in flight']} in flight; "
            f"{figures['a minute']} a minute{left}; {figures['points']} points"
        )


def _figures(progress: Progress) -> dict[str, str]:
    counts = progress.counts
    rate = progress.per_minute()
    left = progress.seconds_left(rate)
    done = f"{progress.done:,}"
    return {
        "done": done if progress.total is None else f"{done} of {progress.total:,}",
        "solved": f"{progress.solved_before + progress.solved:,}",
        "failed": f"{progress.failed_before + progress.failed:,}",
        "in flight": "-" if counts is None else f"{counts.waiting + counts.creating:,}",
        "a minute": "-" if rate is None else f"{rate:,.0f}",
        "left": "-" if left is None else _clock(left),
        "points": points(progress.points_before + progress.points),
    }


def _panel(progress: Progress, title: str, output: Output) -> RenderableType:
    progress.look()
    width = min(output.remarks.width - _INDENT, _WIDTH)
    plain = output.remarks.options.ascii_only
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name, figure in _figures(progress).items():
        style = {"solved": "green", "failed": "red" if progress.failed else ""}.get(name, "")
        table.add_column(name, justify="right", style=style, min_width=max(7, len(figure)))
    table.add_row(*_figures(progress).values())
    lines: list[RenderableType] = [
        Text(),
        Text(title, style="bold", no_wrap=True, overflow="ellipsis"),
        Text(),
    ]
    if progress.total:
        lines += [_bar(progress, width, "=" if plain else "━"), Text()]
    lines += [table, Text()]
    if progress.solved:
        lines += [*_histogram(progress, _ASCII_STEPS if plain else _STEPS), Text()]
    if progress.errors:
        lines += [*_errors(progress), Text()]
    return Padding(Group(*lines), (0, 0, 0, _INDENT))


def _bar(progress: Progress, width: int, character: str) -> Text:
    """Draw all rows as one bar; what is finished is on the left."""
    counts, total = progress.counts, max(progress.total or 1, progress.done)
    states = (
        (progress.solved_before + progress.solved, "green"),
        (progress.failed_before + progress.failed, "red"),
        (0 if counts is None else counts.waiting + counts.creating, "cyan"),
    )
    bar = Text()
    reached = drawn = 0
    for count, colour in states:
        reached += count
        end = round(width * min(reached, total) / total)
        bar.append(character * (end - drawn), style=colour)
        drawn = end
    return bar.append(character * (width - drawn), style="dim")


def _histogram(progress: Progress, steps: str) -> tuple[Text, Text]:
    """Draw how long the tasks took, two characters for each bin, and the axis below."""
    highest = max(progress.times)
    last = max(position for position, count in enumerate(progress.times) if count)
    shown_bins = min(BINS, max(last + 1, 12))
    bars = "".join(
        2 * steps[-(-count * (len(steps) - 1) // highest)] for count in progress.times[:shown_bins]
    )
    median, late = progress.solve_time(0.5) or 0.0, progress.solve_time(0.95) or 0.0
    axis = "".join(
        f"{f'{position * BIN_SECONDS:.0f} s':<8}" for position in range(0, shown_bins, 4)
    )
    return (
        Text.assemble(
            (f"{'solve time':<{_LABEL_WIDTH}}", "dim"),
            (bars, "cyan"),
            f"  median {median:.0f} s, p95 {late:.0f} s",
        ),
        Text(f"{'':<{_LABEL_WIDTH}}{axis.rstrip()}", style="dim"),
    )


def _errors(progress: Progress) -> list[Text]:
    """List what went wrong, the commonest first."""
    commonest = progress.errors.most_common(_KINDS_OF_ERRORS)
    width = max(len(f"{count:,}") for _, count in commonest)
    return [
        Text.assemble(
            (f"{'' if position else 'errors':<{_LABEL_WIDTH}}", "dim"),
            (f"{count:>{width},} {name}", "red"),
        )
        for position, (name, count) in enumerate(commonest)
    ]


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def show_end(output: Output, progress: Progress, results: Path) -> None:
    """Say how a batch ended, in one line or two."""
    before = progress.solved_before + progress.failed_before
    words = f"{progress.solved:,} solved and {progress.failed:,} failed in this run"
    if before:
        words += f", {before:,} were finished before"
    output.remark(f"{words}; {points(progress.points)} points")
    for name, count in progress.errors.most_common():
        output.remark(f"{counted(count, 'row')}: {name}")
    if progress.halted_by is not None:
        output.remark(f"stopped: {progress.halted_by}; the same command goes on from here")
    if results != STDOUT:
        output.remark(f"the results are in {results}")

"""The plots of the page, each with its words and its figures as a table. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal, TypeAlias

from ezcaptcha_async.cli.output import counted, points
from ezcaptcha_async.cli.reporting import plots, wording
from ezcaptcha_async.cli.reporting.figures import Figures, Histogram, Spread
from ezcaptcha_async.cli.reporting.parts import (
    Markup,
    breakable,
    details,
    element,
    figure,
    hinted,
    legend,
    table,
)
from ezcaptcha_async.cli.reporting.scales import Bins
from ezcaptcha_async.cli.reporting.timeline import Timeline

_MOST_STRIPS: Final = 8
_End: TypeAlias = Literal["p5", "p95"]


def solve_times(found: Figures) -> Markup:
    """Return a histogram for each type, one below the other."""
    shown = found.types[:_MOST_STRIPS]
    items = (*shown, *([found.total] if len(found.types) > 1 else []))
    last = items[-1]
    strips = [
        _strip(wording.name(item), "solve times", item.waited, item.solve_times, bare=item != last)
        for item in items
    ]
    more = len(found.types) - len(shown)
    note = f"{counted(more, 'more type')} in the table." if more else ""
    return _strips("Solve times", found.total.solve_times, strips, note)


def freshness(found: Figures) -> Markup:
    """Return a histogram of what was left of the tokens."""
    total = found.total
    strip = _strip("All types", "freshness", total.left, total.freshness, end="p5")
    return _strips("Freshness", total.freshness, [strip], end="p5")


def _strips(
    caption: str,
    histogram: Histogram | None,
    strips: Sequence[Markup],
    note: str = "",
    *,
    end: _End = "p95",
) -> Markup:
    """Return strips below each other, with the bins of all types as a table."""
    ends, bins = "", list[Markup]()
    if histogram is not None:
        words, whole = list(wording.ranges(histogram)), sum(histogram.counts)
        # What the outer bars hold, where that is more than their place tells.
        first = [f"The first bar is {words[0]}."] if histogram.bins.open_below else []
        last = [f"The last bar is {words[-1]}."] if histogram.bins.open_above else []
        ends = " ".join(first + last)
        rows = [
            (seconds, f"{count:,}", wording.share(count, whole))
            for seconds, count in zip(words, histogram.counts, strict=True)
        ]
        columns = ("seconds", "tokens", "share")
        bins = [details("Bins as a table", table(f"{caption}, all types", columns, rows))]
    return element(
        "div",
        legend(("line median", "median"), ("line p95", end)),
        *strips,
        hinted("p", ends),
        hinted("p", note),
        *bins,
        class_="strips",
    )


def _strip(
    name: str,
    what: str,
    spread: Spread | None,
    histogram: Histogram | None,
    *,
    end: _End = "p95",
    bare: bool = False,
) -> Markup:
    if spread is None or histogram is None:
        return figure(name, "not known")
    edge = spread.p5 if end == "p5" else spread.p95
    words = f"median {spread.median:,.1f} s, {end} {edge:,.1f} s"
    scale = f"{words}; bars of {histogram.bins.step:g} s, the highest is {max(histogram.counts):,}"
    pairs = zip(wording.ranges(histogram), histogram.counts, strict=True)
    titles = [f"{values}: {count:,}" for values, count in pairs]
    x = plots.values_axis(histogram.bins, " s")
    y = plots.Axis(0.0, float(max(*histogram.counts, 1)), ())
    shapes = [
        plots.bars(histogram.counts, titles, y, "solved"),
        plots.rule(spread.median, x, "median"),
        plots.rule(edge, x, "p95"),
    ]
    text = f"Histogram of the {what} of {name}, {spread.count:,} in all: {words}."
    return figure(breakable(name), scale, plots.plot(shapes, text, x, bare=bare))


def over_time(when: Timeline, waited: Spread | None) -> Iterator[Markup]:
    """Yield the plots of what happened when, and their figures."""
    x = plots.times_axis(when.bins)
    yield _throughput(when, x)
    if waited is not None and when.dots:
        yield _solve_times_over_time(when, x, waited)


def _throughput(when: Timeline, x: plots.Axis) -> Markup:
    per_minute = 60 / when.bins.step
    solved = [item.solved * per_minute for item in when.moments]
    failed = [item.failed * per_minute for item in when.moments]
    peak = max(good + bad for good, bad in zip(solved, failed, strict=True))
    y = plots.heights_axis(peak)
    pairs = list(zip(_times(when.bins), when.moments, strict=True))
    titles = [f"{time}: {item.solved:,} solved, {item.failed:,} failed" for time, item in pairs]
    width = wording.duration(when.bins.step)
    text = f"Rows per minute over time: at most {peak:,.1f}, in bins of {width}."
    shapes = (
        plots.bars(solved, titles, y, "solved"),
        plots.bars(failed, titles, y, "failed", below=solved),
    )
    columns = ("from", "solved", "failed", "points so far")
    rows = [
        (time, f"{item.solved:,}", f"{item.failed:,}", points(item.points)) for time, item in pairs
    ]
    return figure(
        "Rows per minute",
        f"Each bar is {width}.",
        legend(("solved", "solved"), ("failed", "failed")),
        plots.plot(shapes, text, x, y),
        details("Bars as a table", table("Rows and points over time", columns, rows)),
    )


def _solve_times_over_time(when: Timeline, x: plots.Axis, waited: Spread) -> Markup:
    y = plots.heights_axis(min(waited.largest, 2 * waited.p95), " s")
    beyond = " What took longer is at the upper edge." if waited.largest > y.high else ""
    bins = when.trend_bins
    trends = [
        (bins.edge(place) + bins.step / 2, item.median, item.p95)
        for place, item in enumerate(when.trends)
    ]
    shapes = (
        plots.dots(when.dots, x, y, "tokens"),
        plots.line([(middle, p95) for middle, _, p95 in trends], x, y, "p95"),
        plots.line([(middle, median) for middle, median, _ in trends], x, y, "median"),
    )
    known = [item.median for item in when.trends if item.median is not None]
    text = "Solve times over time, a dot for each token."
    if known:
        text += f" The median goes from {min(known):,.1f} to {max(known):,.1f} s."
    columns = ("from", "solved", "median", "p95")
    rows = [
        (time, f"{item.solved:,}", wording.seconds(item.median), wording.seconds(item.p95))
        for time, item in zip(_times(bins), when.trends, strict=True)
    ]
    return figure(
        "How long solutions took",
        f"Lines are over {wording.duration(bins.step)} each.{beyond}",
        legend(("dots", "token"), ("line median", "median"), ("line p95", "p95")),
        plots.plot(shapes, text, x, y),
        details("Lines as a table", table("Solve times over time", columns, rows)),
    )


def _times(bins: Bins) -> list[str]:
    edges = [bins.edge(place) for place in range(bins.number)]
    days = {wording.moment(edge, "%Y-%m-%d") for edge in edges}
    form = "%H:%M:%S" if len(days) == 1 else "%b %d %H:%M:%S"
    return [wording.moment(edge, form) for edge in edges]


def spend(when: Timeline | None, unit: str) -> Markup:
    """Return what was spent until when."""
    if when is None or not when.moments[-1].points:
        return figure("Points spent", "not known")
    x = plots.times_axis(when.bins)
    spent = [(when.bins.low, 0.0)]
    spent += [(when.bins.edge(place + 1), item.points) for place, item in enumerate(when.moments)]
    whole = spent[-1][1]
    y = plots.heights_axis(whole)
    half = next(time for time, so_far in spent if so_far >= whole / 2)
    by = wording.moment(half, "%H:%M:%S")
    text = f"Points spent over time: {points(whole)} in the end, half of them by {by}."
    shapes = (plots.area(spent, x, y, "spend"), plots.line(spent, x, y, "spend"))
    hint = f"In {unit}, for solved tasks, all together."
    return figure("Points spent", hint, plots.plot(shapes, text, x, y))


def amounts(values: Sequence[int]) -> Iterable[Markup]:
    """Yield a bar for each value."""
    top, whole = max(values), sum(values)
    for value in values:
        bar = element("span", style=f"width:{100 * value / top:.1f}%")
        words = wording.share(value, whole)
        yield element("div", element("div", bar, aria_hidden="true"), words, class_="amount")

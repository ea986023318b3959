"""Figures in words, the same on the terminal and on the page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final, Literal, TypeAlias

from ezcaptcha_async.cli.output import amount, counted, points, scaled
from ezcaptcha_async.cli.reporting.figures import Figures, Histogram, Spread, TypeFigures

ABSENT: Final = "-"
Column: TypeAlias = tuple[str, Callable[[TypeFigures], str]]
"""Its heading, and what stands there for a type."""

_Figure: TypeAlias = Literal["p5", "median", "p95", "largest"]
_MANY: Final = 100
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


def seconds(value: float | None) -> str:
    """Return seconds with one decimal."""
    return ABSENT if value is None else f"{value:,.1f} s"


def solve_times(unit: str = "") -> tuple[Column, ...]:
    """Return the columns of a table of solve times, each figure with its unit."""
    return (
        ("solved", lambda item: f"{item.solved:,}"),
        ("median", lambda item: _figure(item.waited, "median", unit)),
        ("p95", lambda item: _figure(item.waited, "p95", unit)),
        ("max", lambda item: _figure(item.waited, "largest", unit)),
    )


def freshness(unit: str = "") -> tuple[Column, ...]:
    """Return the same for what was left of the tokens, and how they were fetched."""
    return (
        ("median", lambda item: _figure(item.left, "median", unit)),
        ("p5", lambda item: _figure(item.left, "p5", unit)),
        ("expired", lambda item: f"{item.expired:,}"),
        ("delay", lambda item: _figure(item.delay, "median", unit)),
        ("polls", lambda item: ABSENT if item.polls is None else f"{item.polls:,.1f}"),
    )


def _figure(found: Spread | None, figure: _Figure, unit: str) -> str:
    return ABSENT if found is None else f"{getattr(found, figure):,.1f}{unit}"


SPEND: Final[tuple[Column, ...]] = (
    ("solved", lambda item: f"{item.solved:,}"),
    ("points", lambda item: points(item.points) if item.priced else ABSENT),
    ("per token", lambda item: price(item.points_per_token)),
)
"""The same for what they cost."""


def duration(value: float) -> str:
    """Return a time span in its two largest units."""
    if value < 60:  # noqa: PLR2004 - seconds of a minute
        return seconds(value).replace(".0 s", " s")
    left = round(value)
    parts: list[str] = []
    for unit, size in _UNITS:
        number, left = divmod(left, size)
        if number or parts:
            parts.append(f"{number:,} {unit}")
    return " ".join(part for part in parts[:2] if not part.startswith("0 "))


def price(value: float | None) -> str:
    """Return points."""
    return ABSENT if value is None else points(value)


def share(part: int, whole: int) -> str:
    """Return how much of the whole a part is; only all is 100 %, and only nothing 0 %."""
    if not whole:
        return ABSENT
    percent = 100 * part / whole
    if 0 < part < whole:
        percent = min(max(percent, 0.1), 99.9)
    return f"{percent:.1f} %".replace(".0 %", " %")


def moment(value: float, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """Return a Unix time as a date and a time of this place."""
    return time.strftime(form, time.localtime(value))


def ranges(histogram: Histogram, unit: str = " s") -> Iterator[str]:
    """Yield what each bin of a histogram holds."""
    bins = histogram.bins
    for place in range(bins.number):
        low, high = f"{bins.edge(place):.10g}", f"{bins.edge(place + 1):.10g}"
        if bins.open_above and place == bins.number - 1:
            yield f"{low}{unit} or more"
        elif bins.open_below and place == 0:
            yield f"less than {high}{unit}"
        else:
            yield f"{low} to {high}{unit}"


def title(found: Figures) -> str:
    """Return how many rows there were, how long they took, and how fast that is."""
    text = counted(found.rows, "row")
    if found.seconds is not None:
        text += f" in {duration(found.seconds)}"
    if found.per_minute is not None:
        text += f", {found.per_minute:,.{0 if found.per_minute >= _MANY else 1}f} a minute"
    return text


def period(found: Figures) -> str:
    """Return from when to when it went; empty when nobody knows."""
    when = found.timeline
    if when is None:
        return ""
    same_day = moment(when.started_at, "%Y-%m-%d") == moment(when.finished_at, "%Y-%m-%d")
    end = moment(when.finished_at, "%H:%M:%S %z" if same_day else "%Y-%m-%d %H:%M:%S %z")
    return f"{moment(when.started_at)} to {end}"


def value(cost: float, found: Figures) -> str:
    """Return what points are worth; empty where that is not known."""
    unit = found.points_per_unit
    return "" if unit is None else f"{amount(cost / unit)} {found.currency}"


def worth(cost: float, found: Figures) -> str:
    """Return points, and what they are worth where that is known."""
    known = value(cost, found)
    return f"{points(cost)} points ({known})" if known else f"{points(cost)} points"


def unit(found: Figures) -> str:
    """Return what points are."""
    if found.points_per_unit is None:
        return "points"
    return f"points, {found.points_per_unit:,.0f} of which are 1 {found.currency}"


def spend(found: Figures) -> str:
    """Return what was paid for all tokens, and for each; empty when no price is known."""
    if found.points_per_token is None:
        return ""
    paid = worth(found.total.points + found.may_be_charged.points, found)
    each = worth(found.points_per_token, found)
    return f"Paid {paid}, which is {each} for each token."


def risk(found: Figures) -> str:
    """Return what may have been paid for nothing; empty when nothing was."""
    charges = found.may_be_charged
    if not charges.tasks:
        return ""
    text = f"{counted(charges.tasks, 'task')} without a solution may have been charged"
    if charges.unpriced == charges.tasks:
        return f"{text}; their prices are not known."
    more = f", and {charges.unpriced:,} at an unknown price" if charges.unpriced else ""
    return f"{text}: {worth(charges.points, found)}{more}."


def notes(found: Figures) -> Iterator[str]:
    """Yield what else a reader should know."""
    if found.time_scale > 1:
        yield f"The service ran{scaled(found.time_scale)}; the seconds are those of this machine."
    if found.repeated:
        yield f"{counted(found.repeated, 'row')} failed and came again: only the last line counts."
    if found.damaged:
        skipped = counted(found.damaged, "line")
        yield f"{skipped} skipped: damaged, cut off, or no line of a results file."
    unpriced = found.solved - found.total.priced
    if unpriced:
        yield f"{counted(unpriced, 'token')} without a known price: not in the points."


def next_steps(found: Figures, *, has_page: bool) -> Iterator[str]:
    """Yield what a reader may do next."""
    if found.failed:
        yield (
            "The same 'ezcaptcha batch' tries rows again that cost nothing, "
            "with --retry-failed all."
        )
    if found.rows and not has_page:
        yield "'ezcaptcha report RESULTS --html PAGE' writes a page with plots."


def name(item: TypeFigures) -> str:
    """Return the type, or what stands for all of them."""
    return item.type or "all types"

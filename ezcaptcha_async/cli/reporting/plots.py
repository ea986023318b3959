"""Plots as inline SVG. Pure.

The drawing stretches with the page; what is written beside it is HTML, and keeps its size.
Strokes keep their width, and dots, which are strokes without length, their roundness.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor
from typing import Final

import attrs

from ezcaptcha_async.cli.reporting.parts import Markup, element
from ezcaptcha_async.cli.reporting.scales import Bins, round_step, ticks, time_ticks

_SIZE: Final = 1_000
_GAP: Final = 0.12
_MOST_X_TICKS: Final = 8
_MOST_TIME_TICKS: Final = 5
_MOST_Y_TICKS: Final = 4
_LARGE: Final = ((9, " G"), (6, " M"), (5, " k"))
_NEAR_AN_END: Final = 0.012


@attrs.frozen
class Axis:
    """One direction of a plot."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]  # which values are marked, and what is written there

    def at(self, value: float) -> float:
        """Return where a value is, from 0 to 1."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


def values_axis(bins: Bins, unit: str) -> Axis:
    """Return the axis of a histogram."""
    marked = ticks(bins.low, bins.high, _MOST_X_TICKS)
    return Axis(bins.low, bins.high, tuple((tick, _label(tick, unit)) for tick in marked))


def times_axis(bins: Bins) -> Axis:
    """Return the axis of what happened when."""
    return Axis(bins.low, bins.high, time_ticks(bins.low, bins.high, _MOST_TIME_TICKS))


def heights_axis(top: float, unit: str = "") -> Axis:
    """Return an axis from 0 to a round number that is not below `top`."""
    step = round_step(top, _MOST_Y_TICKS)
    high = step * max(1, ceil(top / step))
    marked = ticks(0.0, high, _MOST_Y_TICKS)
    return Axis(0.0, high, tuple((tick, _label(tick, unit)) for tick in marked))


def plot(
    shapes: Iterable[Markup], text: str, x: Axis, y: Axis | None = None, *, bare: bool = False
) -> Markup:
    """Return a plot; without `y` it is a low strip, `bare` where another below says the axis."""
    rows = [] if y is None else [(y.at(value), words) for value, words in y.ticks]
    columns = [(x.at(value), words) for value, words in x.ticks]
    grid = "".join(f"M0 {_down(at)}H{_SIZE}" for at, _ in rows)
    grid += "".join(f"M{_right(at)} 0V{_SIZE}" for at, _ in columns)
    drawing = element(
        "svg",
        element("path", d=grid, class_="grid"),
        *shapes,
        viewBox=f"0 0 {_SIZE} {_SIZE}",
        preserveAspectRatio="none",
        role="img",
        aria_label=text,
    )
    at_the_left = (element("span", words, style=f"bottom:{_percent(at)}") for at, words in rows)
    room = y is not None
    below = (
        element("span", words, style=f"left:{_percent(at)}", class_=_side(at, words, room=room))
        for at, words in columns
    )
    return element(
        "div",
        *([] if y is None else [element("div", *at_the_left, class_="ys", aria_hidden="true")]),
        drawing,
        *([] if bare else [element("div", *below, class_="xs", aria_hidden="true")]),
        class_="plot" if room else "plot strip bare" if bare else "plot strip",
    )


def bars(
    counts: Sequence[float], titles: Sequence[str], y: Axis, kind: str, below: Sequence[float] = ()
) -> Markup:
    """Return bars over the whole width, each with its title, on the ground or on what is below."""
    width = _SIZE / len(counts)
    grounds = below or [0.0] * len(counts)
    drawn = (
        element(
            "rect",
            element("title", title),
            x=(place + _GAP / 2) * width,
            width=width * (1 - _GAP),
            y=(1 - y.at(ground + count)) * _SIZE,
            height=(y.at(ground + count) - y.at(ground)) * _SIZE,
        )
        for place, (count, title, ground) in enumerate(zip(counts, titles, grounds, strict=True))
        if count
    )
    return element("g", *drawn, class_=kind)


def line(points: Sequence[tuple[float, float | None]], x: Axis, y: Axis, kind: str) -> Markup:
    """Return a line through points; it is broken where a value is not known."""
    steps: list[str] = []
    command = "M"
    for at, value in points:
        if value is None:
            command = "M"
            continue
        # A point alone has a line of no length, which is drawn as a dot.
        steps.append(f"{command}{_place((at, value), x, y)}" + ("h0" if command == "M" else ""))
        command = "L"
    return element("path", d="".join(steps), class_=f"line {kind}")


def area(points: Sequence[tuple[float, float]], x: Axis, y: Axis, kind: str) -> Markup:
    """Return what is between a line and the ground."""
    corners = "L".join(_place(point, x, y) for point in points)
    first, last = (_right(x.at(points[end][0])) for end in (0, -1))
    return element("path", d=f"M{first} {_SIZE}L{corners}L{last} {_SIZE}Z", class_=f"area {kind}")


def dots(points: Iterable[tuple[float, float]], x: Axis, y: Axis, kind: str) -> Markup:
    """Return a cloud of dots."""
    d = "".join(f"M{_place(point, x, y)}h0" for point in points)
    return element("path", d=d, class_=f"dots {kind}")


def rule(value: float, x: Axis, kind: str) -> Markup:
    """Return a line from the ground to the top."""
    return element("path", d=f"M{_right(x.at(value))} 0V{_SIZE}", class_=f"line {kind}")


def _place(point: tuple[float, float], x: Axis, y: Axis) -> str:
    return f"{_right(x.at(point[0]))} {_down(y.at(point[1]))}"


def _right(share: float) -> str:
    return f"{share * _SIZE:.1f}".removesuffix(".0")


def _down(share: float) -> str:
    return _right(1 - share)


def _percent(share: float) -> str:
    return f"{floor(share * 10_000) / 100:g}%"


def _label(value: float, unit: str) -> str:
    """Return a number in little room."""
    for size, letter in _LARGE:
        if value >= 10**size:
            return f"{value / 10 ** (size // 3 * 3):g}{letter}{unit}"
    return f"{value:,.10g}{unit}"


def _side(share: float, words: str, *, room: bool) -> str | None:
    """Return on which side of its tick a label must be, lest it reach out of the page."""
    near = _NEAR_AN_END * max(1, len(words) - 4)
    if share < near and not room:
        return "first"
    return "last" if share > 1 - near else None

"""Tables for a person. They fit 80 columns."""

from __future__ import annotations

from typing import Final

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from ezcaptcha_async import EZCAPTCHA, Offer
from ezcaptcha_async.cli.catalogue import FIELDS, SERVICES, Field, offers_of
from ezcaptcha_async.cli.output import BAD, FAINT, GOOD, INDENT, Output, amount, counted, points
from ezcaptcha_async.cli.tabular import tabulated
from ezcaptcha_async.cli.tally import Tally

_TALLY_COLUMNS: Final = ("type", "tasks", "solved", "median", "p95", "polls")
_TYPE_WIDTH: Final = 40
_NARROW: Final = 68


def show_tally(output: Output, found: Tally) -> None:
    """Show what came of the demonstration."""
    rows = [
        (
            item.type or "all types",
            f"{item.tasks:,}",
            f"{item.solved:,}",
            _seconds(item.median),
            _seconds(item.p95),
            "-" if item.polls is None else f"{item.polls:.1f}",
        )
        for item in (*found.types, found.total)
    ]
    table = tabulated(_TALLY_COLUMNS, rows, width=output.width, totals=True)
    words = [
        Text.assemble((what, f"bold {BAD}"), end, (details, FAINT))
        for what, end, details in (problem.partition("\n") for problem in found.problems)
    ]
    good = Text("Nothing was lost: each task was charged once and its solution fetched.", GOOD)
    output.show(table, "", _totals(found), "", *(words or [good]))


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _totals(found: Tally) -> Table:
    columns = Column(style=FAINT), Column(justify="right"), Column(style=FAINT)
    table = Table.grid(*columns, padding=(0, 2, 0, 0))
    table.add_row("elapsed", _seconds(found.elapsed), "of real time; all others are service time")
    over = f"over {counted(found.connections, 'connection')}"
    table.add_row("requests", f"{found.requests:,}", over)
    table.add_row("polls per task", f"{found.polls_per_task:.1f}", "")
    table.add_row("ready to fetched", _seconds(found.lag_mean), f"mean; p95 {found.lag_p95:.1f} s")
    table.add_row("spacing violations", f"{found.spacing_violations:,}", "")
    worth = f"{amount(found.points_charged / EZCAPTCHA.points_per_unit)} {EZCAPTCHA.currency}"
    counts = f"{worth}; the pool has counted {points(found.points_counted)}"
    table.add_row("points charged", points(found.points_charged), counts)
    return table


def show_types(output: Output) -> None:
    """Show every task type with its prices and fields."""
    is_narrow = output.console.width < _NARROW
    # Where there is no room beside it, prices are below the type.
    width, below = (12, "\n") if is_narrow else (_TYPE_WIDTH, "")
    names = "".join(f"{service.name:>12}" for service in SERVICES)
    lines: list[RenderableType] = ["", Text(f"{'type':<{width}}{names}", style=FAINT)]
    for task_class, fields in FIELDS.items():
        offers = {service.name: offer for service, offer in offers_of(task_class)}
        prices = "".join(f"{_price(offers.get(service.name)):>12}" for service in SERVICES)
        if is_narrow:
            prices = f"{'':<{width}}{prices}"
        name = f"{task_class.__name__:<{width}}"
        lines.append(Text.assemble((name, "bold"), below, prices))
        shown = " ".join(_field(field) for field in fields if field.wire)
        lines.append(Padding(Text(shown, style=FAINT), INDENT))
    worth = (
        f"{points(service.points_per_unit)} points are 1 {service.currency} at {service.name}"
        for service in SERVICES
    )
    lines += ["", Text(f"Prices are in points: {', '.join(worth)}.")]
    lines.append(Text("Fields in brackets may be left out; extra={...} takes any other."))
    output.show(*lines)


def _price(offer: Offer | None) -> str:
    if offer is None:
        return "-"
    if offer.points is None or offer.lowest_points is None:
        return "not stated"
    if offer.lowest_points == offer.points:
        return points(offer.points)
    return f"{points(offer.lowest_points)} or {points(offer.points)}"


def _field(field: Field) -> str:
    match field.form:
        case "object":
            shown = f"{field.name}={{...}}"
        case "flag" if field.default is None:
            shown = f"{field.name}=true|false"
        case "flag":
            shown = f"{field.name}={str(field.default).lower()}"
        case _:
            shown = field.name if field.default is None else f"{field.name}={field.default}"
    return shown if field.required else f"[{shown}]"

"""``batch --dry-run``: what a batch would do and cost; nothing is sent, and nothing written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import attrs
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from ezcaptcha_async import Service
from ezcaptcha_async.cli.batching.batch import Batch
from ezcaptcha_async.cli.batching.earlier import paid_rows, unknown_rows
from ezcaptcha_async.cli.batching.results_file import ResultsFile
from ezcaptcha_async.cli.batching.rows import Row
from ezcaptcha_async.cli.interrupts import run_async
from ezcaptcha_async.cli.options import STDOUT
from ezcaptcha_async.cli.output import BAD, GOOD, Output, counted, money, points
from ezcaptcha_async.cli.tabular import tabulated

_INDENT: Final = (0, 0, 0, 2)
_MOST_PROBLEMS: Final = 1_000
_SHOWN_PROBLEMS: Final = 10


@attrs.define(kw_only=True)
class Rehearsal:
    """What a batch would do."""

    service: Service
    paid: Mapping[int, str]  # number and key of what an earlier run paid for, and did not finish
    unknown: Mapping[int, str] = attrs.field(factory=dict[int, str])  # perhaps paid
    results: ResultsFile | None = None  # of earlier runs
    rows: int = 0
    finished: int = 0  # by earlier runs
    to_fetch: int = 0  # paid for already
    lost: int = 0  # perhaps paid for, and not to be fetched
    bad: int = 0  # cannot be sent
    problems: list[tuple[int, str]] = attrs.field(factory=list[tuple[int, str]])
    types: Counter[str] = attrs.field(factory=Counter[str])  # how many would be bought

    def add(self, row: Row) -> None:
        """Count one row."""
        self.rows += 1
        service, state = self.service, "open"
        if self.results is not None:
            state = self.results.state_of(row)
        if state == "finished":
            self.finished += 1
        elif self.paid.get(row.number) == row.key:
            self.to_fetch += 1
        elif self.unknown.get(row.number) == row.key:
            self.lost += 1
        elif state == "changed":
            self._add_problem(row, "is not the one that was paid for; use another results file")
        elif row.task is None:
            self._add_problem(row, str(row.problem))
        elif service.offers and service.offer_for(row.task.type) is None:
            self._add_problem(row, f"{service.name} has no type {row.task.type}")
        else:
            self.types[row.task.type] += 1

    def _add_problem(self, row: Row, problem: str) -> None:
        self.bad += 1
        if self.bad <= _MOST_PROBLEMS:
            self.problems.append((row.number, problem))


def rehearse(batch: Batch, service: Service) -> Rehearsal:
    """Read all rows, and count what would become of them.

    Raises:
        ConfigurationError: They cannot be read, or their form is another one.
        Interrupted: By a signal.
    """
    batch.reader.count(batch.source)
    # What is lost is tried again only by whoever wants it so.
    unknown = {} if batch.retry_failed else unknown_rows(batch)
    found = Rehearsal(service=service, paid=paid_rows(batch) or {}, unknown=unknown)
    if batch.results != STDOUT and batch.results.is_file():
        found.results = ResultsFile(batch.results, retry_failed=batch.retry_failed, read_only=True)

    async def work() -> None:
        async for row in batch.reader.rows(batch.source):
            found.add(row)

    run_async(work)
    return found


def price_of(task_type: str, rows: int, service: Service) -> float | None:
    """Return the points that so many rows cost; None where the price is not known."""
    offer = service.offer_for(task_type)
    return None if offer is None or offer.points is None else rows * offer.points


def as_document(found: Rehearsal) -> dict[str, Any]:
    """Return all of it as a JSON-able object."""
    service = found.service
    prices = {name: price_of(name, rows, service) for name, rows in found.types.items()}
    total = sum(price or 0.0 for price in prices.values())
    return {
        "rows": found.rows,
        "finished": found.finished,
        "to_fetch": found.to_fetch,
        "lost": found.lost,
        "bad": found.bad,
        "problems": [{"row": row, "message": message} for row, message in found.problems],
        "types": [
            {"type": name, "rows": rows, "points": prices[name]}
            for name, rows in found.types.most_common()
        ],
        "points": total,
        "currency": service.currency,
        "value": total / service.points_per_unit,
    }


def show(output: Output, found: Rehearsal) -> None:
    """Show all of it to a person."""
    service = found.service
    lines: list[RenderableType] = ["", Text(_summary(found)), ""]
    if found.types:
        lines += [_table(output, found), ""]
    for row, problem in found.problems[:_SHOWN_PROBLEMS]:
        lines.append(Text(f"row {row}: {problem}", style=BAD))
    if found.bad > _SHOWN_PROBLEMS:
        lines.append(Text(f"and {found.bad - _SHOWN_PROBLEMS:,} more", style=BAD))
    if found.bad:
        lines += ["", Text("What is bad is not sent, and costs nothing.")]
    total = sum(price_of(name, rows, service) or 0.0 for name, rows in found.types.items())
    lines.append(Text(f"At the listed prices: {money(total, service)}.", style="bold"))
    lines.append(Text("Nothing was sent; without --dry-run it is.", style=GOOD))
    output.show(Padding(Group(*lines), _INDENT))


def _summary(found: Rehearsal) -> str:
    words = f"{counted(found.rows, 'row')}: {sum(found.types.values()):,} to buy"
    if found.finished:
        words += f", {found.finished:,} finished before"
    if found.to_fetch:
        words += f", {found.to_fetch:,} paid and to fetch"
    if found.lost:
        words += f", {found.lost:,} perhaps paid and lost"
    return f"{words}, {found.bad:,} bad"


def _table(output: Output, found: Rehearsal) -> RenderableType:
    rows: list[tuple[str, str, str]] = []
    for name, number in found.types.most_common():
        price = price_of(name, number, found.service)
        rows.append((name, f"{number:,}", "not known" if price is None else points(price)))
    return tabulated(("type", "rows", "points"), rows, width=output.console.width - _INDENT[-1])

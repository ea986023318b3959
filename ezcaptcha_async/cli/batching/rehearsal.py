"""``batch --dry-run``: what a batch would do and cost; nothing is sent, and nothing written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
from rich.console import RenderableType
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
    # Row number and why, of the first of those.
    problems: list[tuple[int, str]] = attrs.field(factory=list[tuple[int, str]])
    types: Counter[str] = attrs.field(factory=Counter[str])  # how many would be bought

    def add(self, row: Row) -> None:
        """Count one row."""
        self.rows += 1
        service = self.service
        state = "open" if self.results is None else self.results.state_of(row)
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

    def costs(self) -> Iterator[tuple[str, int, float | None]]:
        """Yield each type, its rows that would be bought, and their points where that is known."""
        for name, rows in self.types.most_common():
            offer = self.service.offer_for(name)
            price = None if offer is None else offer.points
            yield name, rows, None if price is None else rows * price

    @property
    def points(self) -> float:
        """What all of them cost, as far as that is known."""
        return sum(points or 0.0 for _, _, points in self.costs())

    def _add_problem(self, row: Row, problem: str) -> None:
        self.bad += 1
        if self.bad <= _MOST_PROBLEMS:
            self.problems.append((row.number, problem))


def rehearse(batch: Batch, service: Service) -> Rehearsal:
    """Read all rows, and count what would become of them."""
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


def as_document(found: Rehearsal) -> dict[str, Any]:
    """Return all of it as a JSON-able object."""
    return {
        "rows": found.rows,
        "finished": found.finished,
        "to_fetch": found.to_fetch,
        "lost": found.lost,
        "bad": found.bad,
        "problems": [{"row": row, "message": message} for row, message in found.problems],
        "types": [
            {"type": name, "rows": rows, "points": cost} for name, rows, cost in found.costs()
        ],
        "points": found.points,
        "currency": found.service.currency,
        "value": found.points / found.service.points_per_unit,
    }


def show(output: Output, found: Rehearsal) -> None:
    """Show all of it to a person."""
    words = f"{counted(found.rows, 'row')}: {sum(found.types.values()):,} to buy"
    if found.finished:
        words += f", {found.finished:,} finished before"
    if found.to_fetch:
        words += f", {found.to_fetch:,} paid and to fetch"
    if found.lost:
        words += f", {found.lost:,} perhaps paid and lost"
    lines: list[RenderableType] = ["", Text(f"{words}, {found.bad:,} bad"), ""]
    if found.types:
        rows = [
            (name, f"{rows:,}", "not known" if cost is None else points(cost))
            for name, rows, cost in found.costs()
        ]
        lines += [tabulated(("type", "rows", "points"), rows, width=output.width), ""]
    for row, problem in found.problems[:_SHOWN_PROBLEMS]:
        lines.append(Text(f"row {row}: {problem}", style=BAD))
    if found.bad > _SHOWN_PROBLEMS:
        lines.append(Text(f"and {found.bad - _SHOWN_PROBLEMS:,} more", style=BAD))
    if found.bad:
        lines += ["", Text("What is bad is not sent, and costs nothing.")]
    cost = money(found.points, found.service)
    lines.append(Text(f"At the listed prices: {cost}.", style="bold"))
    lines.append(Text("Nothing was sent; without --dry-run it is.", style=GOOD))
    output.show(*lines)

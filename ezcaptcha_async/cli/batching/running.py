"""``batch``: solve the rows of a file, once each, however often the command is run.

A row counts as finished when its line is in the results file. What is paid and not there yet
is in the journal beside it, which names the row: the next run fetches that first.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from itertools import count
from typing import Any, Final, cast

import attrs

from ezcaptcha_async import Account, Journal, Outcome, SavedTicket, SessionPool, Task, errors
from ezcaptcha_async.cli.batching import earlier
from ezcaptcha_async.cli.batching.batch import Batch, check_different
from ezcaptcha_async.cli.batching.counts import BatchCounts
from ezcaptcha_async.cli.batching.results_file import ResultsFile
from ezcaptcha_async.cli.batching.rows import RowName, shared_reference
from ezcaptcha_async.cli.batching.writing import RowWriter, found_in
from ezcaptcha_async.cli.failures import BrokenOffError, Interrupted
from ezcaptcha_async.cli.interrupts import paid_tickets, run_async
from ezcaptcha_async.cli.meter import Meter
from ezcaptcha_async.cli.options import STDIN, STDOUT
from ezcaptcha_async.cli.output import Output, counted, scaled
from ezcaptcha_async.fleets import DeliveredBeforeError

_SECONDS_BETWEEN_LINES: Final = 10.0


def run_batch(batch: Batch, accounts: Sequence[Account], output: Output) -> BatchCounts:
    """Run a batch as far as it goes, and return how far that was."""
    if batch.source != STDIN and not batch.source.exists():
        raise errors.ConfigurationError(f"there is no file {str(batch.source)!r}")
    check_different(batch)
    # Before a results file is made, so that nothing is left of what is refused.
    total = batch.reader.count(batch.source)
    paid = earlier.paid_rows(batch)
    results = ResultsFile(batch.results, retry_failed=batch.retry_failed)
    try:
        counts = BatchCounts(
            total=total,
            solved_before=results.solved,
            failed_before=0 if batch.retry_failed else results.failed,
            points_before=results.points,
            elsewhere=None if batch.fleet is None else 0,
            service=accounts[0].service,
        )
        writer = RowWriter(batch=batch, results=results, counts=counts)
        run = _BatchRun(writer=writer, paid=paid, accounts=accounts)
        with _meter(batch, counts, output).open() as meter:

            def show(*, is_last: bool = False) -> None:
                pool, plain = counts.statistics(), output.remarks.options.ascii_only
                details = tuple(counts.details(plain=plain, is_last=is_last))
                meter.show(counts.done, counts.figures(pool), pool, details, note=counts.silence())

            try:
                run_async(run.work, beside=partial(meter.keep_showing, show))
            except Interrupted as interruption:
                show()
                note, tickets = _what_is_left(batch, counts)
                lines = writer.unwritten()
                if lines:
                    note += "; what was not taken stands above"
                raise Interrupted(interruption.signum, tickets, lines, note=note) from None
            except (errors.ConfigurationError, BrokenOffError) as error:
                if not counts.has_sent:
                    raise
                show()
                note, tickets = _what_is_left(batch, counts)
                raise BrokenOffError(f"{error}; {note}", writer.unwritten(), tickets) from None
            show(is_last=True)
    finally:
        results.close()
    return counts


def _meter(batch: Batch, counts: BatchCounts, output: Output) -> Meter:
    """Return what shows on stderr how far a batch is."""
    # Where results are shown, what moves would be in their way.
    results_are_shown = batch.results == STDOUT and output.console.is_terminal
    return Meter(
        output,
        output.remarks,
        f"{batch.source} to {batch.results}{scaled(counts.service.speed)}",
        counts.total,
        before=counts.done,
        moves=output.can_move(output.remarks) and not results_are_shown,
        seconds_between_lines=_SECONDS_BETWEEN_LINES,
    )


def _what_is_left(batch: Batch, counts: BatchCounts) -> tuple[str, tuple[SavedTicket, ...]]:
    """Return what to say of a run that was ended, and the paid tasks that no book knows."""
    done = f"{counted(counts.done, 'row')} done"
    tickets = () if counts.pool is None else paid_tickets(counts.pool)
    if not batch.keeps_books:
        return done, tickets
    left, lost = len(tickets), _not_in_journal(batch, tickets)
    paid = f", {left:,} more paid, which can be fetched for five minutes" if left else ""
    if lost:
        paid += f", but the journal did not take {len(lost):,} of them"
    return f"{done}{paid}; the same command goes on from here", lost


def _not_in_journal(batch: Batch, tickets: tuple[SavedTicket, ...]) -> tuple[SavedTicket, ...]:
    """Return the paid tasks that the next run does not find: the disk was full for it as well."""
    if batch.journal is None or not tickets:
        return ()
    known = set[str]()
    with suppress(errors.ConfigurationError):  # it is not there any more, or damaged
        known = {ticket["task_id"] for ticket in Journal(batch.journal).unfinished()}
    return tuple(ticket for ticket in tickets if ticket["task_id"] not in known)


@attrs.frozen(kw_only=True)
class _BatchRun:
    """One run of a batch."""

    writer: RowWriter
    paid: Mapping[int, str] | None  # by earlier runs; None where there is no journal of any
    accounts: Sequence[Account]
    _under_way: dict[int, RowName] = attrs.field(init=False, factory=dict[int, RowName])
    """The rows that were begun, by their place among those."""

    async def work(self) -> None:
        if self.paid is not None:
            await earlier.read_begun(self.writer, self.paid, must_match=True)
            async with self._pool(None) as pool:
                await earlier.fetch(self.writer, pool)
        if self.writer.counts.halted_by is None:
            await self._solve_rows()

    async def _solve_rows(self) -> None:
        batch, left = self.writer.batch, self.writer.batch.budget
        if left is not None and batch.fleet is None:  # a fleet knows what it has spent
            left -= self.writer.results.points
        is_spent = left is not None and left <= 0
        tasks = self._tasks(is_spent=is_spent)
        async with (
            self._pool(None if is_spent else left) as pool,
            pool.solve_many(
                tasks,
                max_in_flight=batch.max_in_flight,
                timeout=batch.timeout,
                once=batch.fleet is not None,
            ) as outcomes,
        ):
            async for outcome in outcomes:
                await self._note_outcome(outcome)

    async def _tasks(self, *, is_spent: bool) -> AsyncGenerator[Task[Any]]:
        """Yield the tasks of the rows that are not finished; none where the budget is spent."""
        batch, counts = self.writer.batch, self.writer.counts
        begun = count()
        async with aclosing(batch.reader.rows(batch.source)) as rows:
            async for row in rows:
                state = self.writer.results.state_of(row)
                if state == "changed":
                    counts.halted_by = errors.ConfigurationError(
                        f"row {row.number} is not the one that was paid for as row "
                        f"{row.number}; use another results file for other rows"
                    )
                if counts.halted_by is not None:
                    return
                if state == "finished":
                    continue
                self.writer.keep_columns(row)
                if row.problem is not None:
                    await self.writer.write(row, row.problem, points=None)
                elif is_spent:
                    counts.halted_by = errors.BudgetExceededError(
                        f"the budget of {batch.budget:,.0f} points is used up"
                    )
                    return
                else:
                    self._under_way[next(begun)] = row
                    task = cast("Task[Any]", row.task)
                    if batch.fleet is not None:
                        task = attrs.evolve(task, reference=shared_reference(row, batch.source))
                    yield task

    async def _note_outcome(self, outcome: Outcome[Any]) -> None:
        points, row = None, self._under_way.pop(outcome.index)
        if isinstance(outcome.error, DeliveredBeforeError):
            self.writer.skip(row)
            return
        if isinstance(outcome.error, errors.SubmissionUnknownError):
            offers = (item.service.offer_for(outcome.task.type) for item in self.accounts)
            points = next((offer.points for offer in offers if offer is not None), None)
        await self.writer.write(row, found_in(outcome), points)

    @asynccontextmanager
    async def _pool(self, budget: float | None) -> AsyncGenerator[SessionPool]:
        batch = self.writer.batch
        async with SessionPool(
            *self.accounts, journal=batch.journal, fleet=batch.fleet, budget=budget
        ) as pool:
            self.writer.counts.watch(pool)
            yield pool

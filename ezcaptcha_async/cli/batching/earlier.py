"""What earlier runs of a batch have paid for, or may have, as its journal knows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path

from ezcaptcha_async import Journal, Resumed, SessionPool, Submission, errors
from ezcaptcha_async.cli.batching.batch import (
    MOST_IN_FLIGHT,
    Batch,
    is_same,
    is_stream,
    journal_of,
)
from ezcaptcha_async.cli.batching.rows import RowName, row_of
from ezcaptcha_async.cli.batching.writing import Found, RowWriter, found_in
from ezcaptcha_async.cli.output import counted


def paid_rows(batch: Batch) -> dict[int, str] | None:
    """Return number and key of each row that its journal knows as paid for; None without one.

    Refused is one whose results have another journal beside them, with rows to be fetched.
    """
    _check_no_other(batch)
    if batch.journal is None or not batch.journal.exists():
        return None
    return _unfinished(batch.journal)


def unknown_rows(batch: Batch) -> dict[int, str]:
    """Return the same for the rows of which it does not say whether they are paid for."""
    if batch.journal is None or not batch.journal.exists():
        return {}
    return _rows_named(item.reference for item in Journal(batch.journal).unknowns())


def _check_no_other(batch: Batch) -> None:
    """Check that no run of the same batch has paid for rows as another journal knows."""
    other = journal_of(batch.results)
    if is_stream(batch.results) or not other.is_file():
        return
    if batch.journal is not None and is_same(batch.journal, other):
        return
    if rows := len(_unfinished(other)):
        books = "--journal" if batch.fleet is None else "--fleet-name"
        raise errors.ConfigurationError(
            f"{other} holds what was paid for {counted(rows, 'row')} of these results, which "
            f"would be bought again: run the same once without {books}, it fetches them"
        )


def _unfinished(journal: Path) -> dict[int, str]:
    return _rows_named(ticket["reference"] for ticket in Journal(journal).unfinished())


def _rows_named(references: Iterable[str | None]) -> dict[int, str]:
    rows = (row_of(reference) for reference in references)
    return {row.number: row.key for row in rows if row is not None}


async def fetch(writer: RowWriter, pool: SessionPool) -> None:
    """Fetch what is paid for, and write down what may be and cannot be fetched."""
    unknown = dict(_unknown(writer, pool.unknowns()))
    await read_begun(writer, {row.number: row.key for row in unknown})
    for row, submission in unknown.items():
        lost = errors.SubmissionUnknownError(
            "an earlier run ended while createTask was under way; it may have been paid for"
        )
        await _write_of_before(writer, row, lost, submission.points)
    most = writer.batch.max_in_flight or MOST_IN_FLIGHT
    async with pool.resume_all(max_in_flight=most) as outcomes:
        async for outcome in outcomes:
            await _note_resumed(writer, outcome)


async def read_begun(
    writer: RowWriter, begun: Mapping[int, str], *, must_match: bool = False
) -> None:
    """Read the rows that an earlier run began, of which the journal knows but number and key.

    Of rows that come through a pipe nothing can be known beforehand. Where rows must match, the
    journal of another batch is refused: ours would get its tokens, and it none. By its name a
    journal belongs to its results.
    """
    batch, last = writer.batch, max(begun, default=0)
    if not last or not batch.source.is_file():
        return
    async with aclosing(batch.reader.rows(batch.source, only=begun)) as rows:
        async for row in rows:
            if row.key == begun[row.number]:
                writer.keep_columns(row)
            elif must_match and batch.journal != journal_of(batch.results):
                raise errors.ConfigurationError(
                    f"{batch.journal} holds what was paid for other rows, such as another "
                    f"row {row.number}; give each batch a journal of its own"
                )
            if row.number >= last:
                break


def _unknown(
    writer: RowWriter, submissions: Iterable[Submission]
) -> Iterator[tuple[RowName, Submission]]:
    """Yield the rows that may have been paid for, unless an earlier run wrote that down."""
    results = writer.results
    for submission in submissions:
        row = row_of(submission.reference)
        if row is None or results.is_solved(row.number):
            continue
        if not results.is_lost(row.number, submission.sent_at):
            yield row, submission


async def _note_resumed(writer: RowWriter, outcome: Resumed) -> None:
    row, results, counts = row_of(outcome.reference), writer.results, writer.counts
    if row is not None:
        has_failed = outcome.error is not None and results.is_finished(row.number)
        if has_failed or results.is_solved(row.number):
            return  # its line was written, and the process killed before the journal's
        if isinstance(outcome.error, errors.ConfigurationError):
            # It waits for the account that has paid; to buy it with this one is no answer.
            counts.halted_by = counts.halted_by or outcome.error
            return
    points = outcome.ticket.get("points")
    await _write_of_before(writer, row, found_in(outcome), points, resumed=True)


async def _write_of_before(
    writer: RowWriter,
    row: RowName | None,
    found: Found,
    points: float | None,
    *,
    resumed: bool = False,
) -> None:
    """Write down what became of a row that an earlier run began."""
    if row is not None and writer.results.is_finished(row.number):
        writer.counts.failed_before -= 1  # it is counted anew
    tried_again = row is not None and writer.batch.retry_failed
    await writer.write(row, found, points, resumed=resumed, tried_again=tried_again)

"""What earlier runs of a batch have paid for, or may have, as its journal knows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import aclosing

import attrs

from ezcaptcha_async import Journal, Resumed, SessionPool, Submission, errors
from ezcaptcha_async.cli.batching.batch import Batch, journal_of
from ezcaptcha_async.cli.batching.rows import RowName, row_of
from ezcaptcha_async.cli.batching.writing import Found, RowWriter, found_in


def paid_rows(batch: Batch) -> dict[int, str] | None:
    """Return number and key of each row that its journal knows as paid for; None without one."""
    if batch.journal is None or not batch.journal.exists():
        return None
    return _rows_named(ticket["reference"] for ticket in Journal(batch.journal).unfinished())


def unknown_rows(batch: Batch) -> dict[int, str]:
    """Return the same for the rows of which it does not say whether they are paid for."""
    if batch.journal is None or not batch.journal.exists():
        return {}
    return _rows_named(item.reference for item in Journal(batch.journal).unknowns())


def _rows_named(references: Iterable[str | None]) -> dict[int, str]:
    rows = (row_of(reference) for reference in references)
    return {row.number: row.key for row in rows if row is not None}


@attrs.frozen(kw_only=True)
class EarlierRuns:
    """What earlier runs of a batch have begun: it is fetched before anything is bought."""

    writer: RowWriter
    paid: Mapping[int, str]  # number and key of the rows that are paid for and not finished

    async def look(self) -> None:
        """Read the rows that are paid for, and refuse the journal of another batch."""
        await self._read_begun(self.paid, must_match=True)

    async def fetch(self, pool: SessionPool) -> None:
        """Fetch what is paid for, and write down what may be and cannot be fetched."""
        unknown = dict(self._unknown(pool.unknowns()))
        await self._read_begun({row.number: row.key for row in unknown})
        for row, submission in unknown.items():
            lost = errors.SubmissionUnknownError(
                "an earlier run ended while createTask was under way; it may have been paid for"
            )
            self._write_of_before(row, lost, submission.points)
        async with pool.resume_all(max_in_flight=self.writer.batch.max_in_flight) as outcomes:
            async for outcome in outcomes:
                self._note_resumed(outcome)

    async def _read_begun(self, begun: Mapping[int, str], *, must_match: bool = False) -> None:
        """Read the rows that an earlier run began, of which the journal knows but the name.

        Of rows that come through a pipe nothing can be known beforehand.

        Args:
            begun: Their numbers and keys.
            must_match: Whether to refuse the journal of another batch: ours would get its
                tokens, and it none. By its name a journal belongs to its results.
        """
        batch, last = self.writer.batch, max(begun, default=0)
        if not last or not batch.source.is_file():
            return
        async with aclosing(batch.reader.rows(batch.source, only=begun)) as rows:
            async for row in rows:
                if row.key == begun[row.number]:
                    self.writer.keep_columns(row)
                elif must_match and batch.journal != journal_of(batch.results):
                    raise errors.ConfigurationError(
                        f"{batch.journal} holds what was paid for other rows, such as another "
                        f"row {row.number}; give each batch a journal of its own"
                    )
                if row.number >= last:
                    break

    def _unknown(self, submissions: Iterable[Submission]) -> Iterator[tuple[RowName, Submission]]:
        """Yield the rows that may have been paid for, unless an earlier run wrote that down."""
        results = self.writer.results
        for submission in submissions:
            row = row_of(submission.reference)
            if row is None or results.is_solved(row.number):
                continue
            if not results.is_lost(row.number, submission.sent_at):
                yield row, submission

    def _note_resumed(self, outcome: Resumed) -> None:
        row, results, counts = row_of(outcome.reference), self.writer.results, self.writer.counts
        if row is not None:
            has_failed = outcome.error is not None and results.is_finished(row.number)
            if has_failed or results.is_solved(row.number):
                return  # its line was written, and the process killed before the journal's
            if isinstance(outcome.error, errors.ConfigurationError):
                # It waits for the account that has paid; to buy it with this one is no answer.
                counts.halted_by = counts.halted_by or outcome.error
                return
        points = outcome.ticket.get("points")
        self._write_of_before(row, found_in(outcome), points, resumed=True)

    def _write_of_before(
        self, row: RowName | None, found: Found, points: float | None, *, resumed: bool = False
    ) -> None:
        """Write down what became of a row that an earlier run began."""
        if row is not None and self.writer.results.is_finished(row.number):
            self.writer.counts.failed_before -= 1  # it is counted anew
        tried_again = row is not None and self.writer.batch.retry_failed
        self.writer.write(row, found, points, resumed=resumed, tried_again=tried_again)

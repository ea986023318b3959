"""What became of the rows of a batch, written down and counted."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any, Final, TypeAlias, cast

import anyio
import attrs

from ezcaptcha_async import EzCaptchaError, Outcome, Resumed, Solution, errors
from ezcaptcha_async.cli import failures
from ezcaptcha_async.cli.batching.batch import Batch
from ezcaptcha_async.cli.batching.counts import BatchCounts
from ezcaptcha_async.cli.batching.results_file import ResultsFile
from ezcaptcha_async.cli.batching.rows import Row, RowName
from ezcaptcha_async.cli.failures import BrokenOffError
from ezcaptcha_async.cli.options import STDOUT
from ezcaptcha_async.cli.solving import described

_HALTING: Final = (
    errors.BannedError,
    errors.BudgetExceededError,
    errors.CapacityError,
    errors.CredentialError,
    errors.InsufficientBalanceError,
    errors.JournalError,
    errors.PoolClosedError,
    errors.ThrottledError,
    errors.TransportError,
)
"""What the next row would meet as well, so that none is read any more."""


Found: TypeAlias = Solution | EzCaptchaError
"""What became of a row."""


@attrs.frozen(kw_only=True)
class RowWriter:
    """Writes down what became of each row, and counts it."""

    batch: Batch
    results: ResultsFile
    counts: BatchCounts
    _columns: dict[int, Mapping[str, Any]] = attrs.field(
        init=False, factory=dict[int, Mapping[str, Any]]
    )
    """The user's own columns of the rows under way that have some, by their number."""
    _turn: anyio.Lock = attrs.field(init=False, factory=anyio.Lock)
    """Of rows that are written down side by side, a line each."""
    _in_hand: list[dict[str, Any]] = attrs.field(init=False, factory=list[dict[str, Any]])
    """What is being written, or was when it failed or a signal came."""

    def unwritten(self) -> tuple[str, ...]:
        """Return the lines that were not taken."""
        return tuple(map(json.dumps, self._in_hand))

    def keep_columns(self, row: Row) -> None:
        """Keep the user's own columns of a row until it is written down."""
        if row.columns:
            self._columns[row.number] = row.columns

    def skip(self, row: RowName) -> None:
        """Count a row that another machine of the fleet has written down."""
        self._columns.pop(row.number, None)
        self.counts.elsewhere = (self.counts.elsewhere or 0) + 1

    async def write(
        self,
        row: RowName | None,
        found: Found,
        points: float | None,
        *,
        resumed: bool = False,
        tried_again: bool = False,
    ) -> None:
        """Write down what became of a row, unless the next run may have better luck.

        Args:
            row: Which it is.
            found: What became of it.
            points: Listed price.
            resumed: Whether an earlier run has paid for it.
            tried_again: Whether this run tries it once more after an error, and counts
                what comes of that.

        Raises:
            BrokenOffError: The file does not take it.
        """
        document: dict[str, Any] = {"row": None, "finished_at": time.time()}
        if row is not None:
            document |= {"row": row.number, "key": row.key}
            if row.id is not None:
                document["id"] = row.id
            if columns := self._columns.pop(row.number, None):
                document["columns"] = columns
        if resumed:
            document["resumed"] = True
        # The run that began it, and did not wait for its end, has counted what it cost.
        is_counted = resumed and row is not None and self.results.is_counted(row.number)
        if isinstance(found, EzCaptchaError):
            if isinstance(found, _HALTING):
                self.counts.halted_by = self.counts.halted_by or found
                return
            cost = 0.0 if is_counted else _cost_of(found, points)
            document |= {"status": "failed", "final": _is_final(found), "points": cost}
            is_ours = not resumed and found.task_id is not None
            self.counts.note_cost(cost, counted_by_pool=is_ours)
            await self._keep(document | failures.description(found))
            if not tried_again:
                self.counts.note_failure(found, row)
        else:
            cost = 0.0 if is_counted else found.receipt.points
            speed = self.counts.service.speed
            document |= {"status": "solved", "points": cost}
            document |= {} if speed == 1 else {"time_scale": speed}
            self.counts.note_cost(cost, counted_by_pool=not resumed)
            await self._keep(document | described(found))
            self.counts.note_solution(found, resumed=resumed)

    async def _keep(self, document: dict[str, Any]) -> None:
        self._in_hand.append(document)
        try:
            async with self._turn:
                await self.results.write_on(document)
        except OSError as error:
            where = "to stdout" if self.batch.results == STDOUT else self.batch.results
            problem = f"cannot write {where}: {failures.reason(error)}"
            # Also where the books have it: there it can be fetched for five minutes only.
            problem += "; its last line stands above instead"
            if self.batch.keeps_books:
                books = "journal" if self.batch.fleet is None else "fleet"
                problem += f", what else is paid is in the {books}"
            raise BrokenOffError(problem, self.unwritten()) from None
        self._in_hand.remove(document)


def found_in(outcome: Outcome[Any] | Resumed) -> Found:
    """Return the one of the two that is there."""
    return cast("Found", outcome.solution or outcome.error)


def _is_final(error: EzCaptchaError) -> bool:
    """Tell whether another run would come to the same, or pay once more."""
    if isinstance(error, errors.SolveTimeoutError):
        return False  # if it is paid, it is in the journal
    return (
        error.may_be_charged
        or error.task_id is not None
        or isinstance(error, errors.InvalidTaskError)
    )


def _cost_of(error: EzCaptchaError, points: float | None) -> float | None:
    if error.ticket is not None:
        return error.ticket["points"]
    return points if error.may_be_charged else None

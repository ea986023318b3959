"""``batch``: solve the rows of a file, once each, however often the command is run.

A row counts as finished when its line is in the results file. What is paid and not there yet
is in the journal beside it, which names the row: the next run fetches that first.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import combinations
from pathlib import Path
from typing import Any, Final, cast

import anyio
import attrs

from ezcaptcha_async import (
    Account,
    BannedError,
    BudgetExceededError,
    CapacityError,
    ConfigurationError,
    CredentialError,
    EzCaptchaError,
    InsufficientBalanceError,
    InvalidTaskError,
    Journal,
    JournalError,
    Outcome,
    PoolClosedError,
    Resumed,
    SessionPool,
    Solution,
    SolveTimeoutError,
    Submission,
    SubmissionUnknownError,
    Task,
    ThrottledError,
    TransportError,
)
from ezcaptcha_async.cli import failures
from ezcaptcha_async.cli.batching.progress import Progress
from ezcaptcha_async.cli.batching.results_file import STDOUT, ResultsFile
from ezcaptcha_async.cli.batching.rows import RowName, RowReader, count_rows, opened, row_of
from ezcaptcha_async.cli.connection import STDIN
from ezcaptcha_async.cli.failures import Interrupted
from ezcaptcha_async.cli.interrupts import run_async
from ezcaptcha_async.cli.output import counted
from ezcaptcha_async.cli.solving import described

_TICK: Final = 0.2

_HALTING: Final = (
    BannedError,
    BudgetExceededError,
    CapacityError,
    CredentialError,
    InsufficientBalanceError,
    JournalError,
    PoolClosedError,
    ThrottledError,
    TransportError,
)
"""What the next row would meet as well, so that none is read any more."""


@attrs.frozen(kw_only=True)
class Plan:
    """What to do.

    Args:
        source: File with the rows; ``-`` for stdin.
        results: File for what becomes of them; ``-`` for stdout.
        journal: File for what is paid; None for none.
        reader: Reads the rows.
        max_in_flight: Most rows begun and not finished.
        budget: Most points for all rows, earlier runs included.
        timeout: Most seconds for each row.
        retry_failed: Whether rows that ended in an error are tried again.
    """

    source: Path
    results: Path
    journal: Path | None
    reader: RowReader
    max_in_flight: int
    budget: float | None
    timeout: float | None
    retry_failed: bool


def journal_of(results: Path) -> Path:
    """Return where a batch keeps its journal, unless it is told otherwise."""
    return Path(f"{results}.journal")


def run_batch(
    plan: Plan, accounts: Sequence[Account], show: Callable[[Progress], None]
) -> Progress:
    """Run a batch as far as it goes, and return how far that was.

    Args:
        plan: What to do.
        accounts: Who pays.
        show: Called several times a second.

    Raises:
        ConfigurationError: A file cannot be read or written, or is another one of them as well.
        Interrupted: By a signal.
    """
    if plan.source != STDIN and not plan.source.exists():
        raise ConfigurationError(f"there is no file {str(plan.source)!r}")
    _check_different(plan)
    # Before a results file is made, so that nothing is left of what is refused.
    paid = _paid_rows(plan)
    results = ResultsFile(plan.results, retry_failed=plan.retry_failed)
    try:
        progress = Progress(
            total=count_rows(plan.source, plan.reader.format),
            solved_before=results.solved,
            failed_before=0 if plan.retry_failed else results.failed,
            points_before=results.points,
            time_scale=accounts[0].service.speed,
        )
        batch = _Batch(plan, accounts, results, progress, show, paid=paid)
        try:
            run_async(batch.run, beside=batch.keep_showing)
        except Interrupted as interruption:
            raise Interrupted(interruption.signum, note=_how_to_go_on(plan, progress)) from None
    finally:
        results.close()
    show(progress)
    return progress


def _paid_rows(plan: Plan) -> dict[int, str]:
    """Return the number and the key of each row that its journal knows as paid for.

    Raises:
        ConfigurationError: The file is no journal.
    """
    if plan.journal is None or not plan.journal.exists():
        return {}
    paid = (row_of(ticket["reference"]) for ticket in Journal(plan.journal).unfinished())
    return {row[0]: row[1] for row in paid if row is not None}


def _check_different(plan: Plan) -> None:
    """Refuse to write over the rows, or results into the journal, also through links."""
    files = {"rows": plan.source, "results": plan.results, "journal": plan.journal}
    named = [
        (name, path)
        for name, path in files.items()
        if path is not None and path not in {STDIN, STDOUT}
    ]
    for (one, path), (other, same) in combinations(named, 2):
        if _is_same(path, same):
            raise ConfigurationError(f"the {one} and the {other} cannot both be in {path}")


def _is_same(one: Path, other: Path) -> bool:
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    return one.is_file() and other.is_file() and one.samefile(other)


def _how_to_go_on(plan: Plan, progress: Progress) -> str:
    progress.look()
    done = f"{counted(progress.done, 'row')} done"
    if plan.journal is None:
        return f"{done}; without a journal nothing else is kept"
    left = progress.counts.orphaned if progress.counts else 0
    paid = f", {left:,} more paid, which can be fetched for five minutes" if left else ""
    return f"{done}{paid}; the same command goes on from here"


class _Batch:
    """One run."""

    def __init__(
        self,
        plan: Plan,
        accounts: Sequence[Account],
        results: ResultsFile,
        progress: Progress,
        show: Callable[[Progress], None],
        *,
        paid: Mapping[int, str],
    ) -> None:
        self._plan = plan
        self._accounts = accounts
        self._results = results
        self._progress = progress
        self._show = show
        self._paid = paid
        self._was_run_before = plan.journal is not None and plan.journal.exists()

    async def run(self) -> None:
        await self._fetch_paid()
        if self._progress.halted_by is None:
            await self._solve_rows()

    async def keep_showing(self) -> None:
        while True:
            self._show(self._progress)
            await anyio.sleep(_TICK)

    # ---------------------------------------------------------------- what is paid already

    async def _fetch_paid(self) -> None:
        if not self._was_run_before:
            return
        await self._check_paid()
        async with self._pool(None) as pool:
            for submission in pool.unknowns():
                self._note_unknown(submission)
            async with pool.resume_all(max_in_flight=self._plan.max_in_flight) as outcomes:
                async for outcome in outcomes:
                    self._note_resumed(outcome)

    async def _check_paid(self) -> None:
        """Refuse the journal of another batch: ours would get its tokens, and it none.

        By its name a journal belongs to its results; of rows that come through a pipe nothing
        can be known beforehand.
        """
        plan, last = self._plan, max(self._paid, default=0)
        if not last or plan.journal == journal_of(plan.results) or not plan.source.is_file():
            return
        with opened(plan.source) as stream:
            async with aclosing(plan.reader.rows(stream)) as rows:
                async for row in rows:
                    if self._paid.get(row.number, row.key) != row.key:
                        raise ConfigurationError(
                            f"{plan.journal} holds what was paid for other rows, such as another "
                            f"row {row.number}; give each batch a journal of its own"
                        )
                    if row.number >= last:
                        break

    def _note_unknown(self, submission: Submission) -> None:
        row = row_of(submission.reference)
        if row is None or self._results.is_solved(row[0]):
            return
        if self._results.is_lost(row[0], submission.sent_at):
            return  # an earlier run wrote that down
        error = SubmissionUnknownError(
            "an earlier run ended while createTask was under way; it may have been paid for"
        )
        self._write_of_before(row, error, points=submission.points)

    def _note_resumed(self, outcome: Resumed) -> None:
        row = row_of(outcome.reference)
        if row is not None and (
            self._results.is_solved(row[0])
            or (outcome.error is not None and self._results.is_finished(row[0]))
        ):
            return  # its line was written, and the process killed before the journal's
        if row is not None and isinstance(outcome.error, ConfigurationError):
            # It waits for the account that has paid; to buy the row with this one is no answer.
            self._progress.halted_by = self._progress.halted_by or outcome.error
            return
        points = outcome.ticket.get("points")
        self._write_of_before(row, _found(outcome), points=points, resumed=True)

    def _write_of_before(
        self,
        row: RowName | None,
        found: Solution | EzCaptchaError,
        *,
        points: float | None,
        resumed: bool = False,
    ) -> None:
        """Write down what became of a row that an earlier run began."""
        if row is not None and self._results.is_finished(row[0]):
            self._progress.failed_before -= 1  # it is counted anew
        tried_again = row is not None and self._plan.retry_failed
        self._write(row, found, points, resumed=resumed, tried_again=tried_again)

    # --------------------------------------------------------------------------- new rows

    async def _solve_rows(self) -> None:
        plan, budget = self._plan, self._plan.budget
        if budget is not None:
            budget -= self._results.points
            if budget <= 0:
                self._progress.halted_by = BudgetExceededError(
                    f"the budget of {plan.budget:,.0f} points is used up"
                )
                return
        async with (
            self._pool(budget) as pool,
            pool.solve_many(
                self._tasks(), max_in_flight=plan.max_in_flight, timeout=plan.timeout
            ) as outcomes,
        ):
            async for outcome in outcomes:
                self._note_outcome(outcome)

    async def _tasks(self) -> AsyncGenerator[Task[Any]]:
        """Yield the tasks of the rows that are not finished."""
        progress = self._progress
        with opened(self._plan.source) as stream:
            async with aclosing(self._plan.reader.rows(stream)) as rows:
                async for row in rows:
                    standing = self._results.standing(row)
                    if standing == "changed":
                        progress.halted_by = ConfigurationError(
                            f"row {row.number} is not the one that was paid for as row "
                            f"{row.number}; use another results file for other rows"
                        )
                    if progress.halted_by is not None:
                        return
                    if standing == "finished":
                        continue
                    if row.problem is None:
                        yield cast("Task[Any]", row.task)
                    else:
                        self._write((row.number, row.key, row.id), row.problem, points=None)

    def _note_outcome(self, outcome: Outcome[Any]) -> None:
        points = None
        if isinstance(outcome.error, SubmissionUnknownError):
            offers = (item.service.offer_for(outcome.task.type) for item in self._accounts)
            points = next((offer.points for offer in offers if offer is not None), None)
        self._write(row_of(outcome.task.reference), _found(outcome), points)

    # ---------------------------------------------------------------------------- details

    @asynccontextmanager
    async def _pool(self, budget: float | None) -> AsyncGenerator[SessionPool]:
        journal = self._plan.journal
        async with SessionPool(*self._accounts, journal=journal, budget=budget) as pool:
            self._progress.watch(pool.statistics)
            yield pool

    def _write(
        self,
        row: RowName | None,
        found: Solution | EzCaptchaError,
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
        """
        document: dict[str, Any] = {"row": None, "finished_at": time.time()}
        if row is not None:
            document |= {"row": row[0], "key": row[1]}
            if row[2] is not None:
                document["id"] = row[2]
        if resumed:
            document["resumed"] = True
        # The run that began it, and did not wait for its end, has counted what it cost.
        is_counted = resumed and row is not None and self._results.is_counted(row[0])
        if isinstance(found, EzCaptchaError):
            if isinstance(found, _HALTING):
                self._progress.halted_by = self._progress.halted_by or found
                return
            cost = 0.0 if is_counted else _cost_of(found, points)
            document |= {"status": "failed", "final": _is_final(found), "points": cost}
            self._progress.note_cost(cost)
            if not tried_again:
                self._progress.note_failure(found)
            self._keep(document | failures.description(found))
        else:
            cost = 0.0 if is_counted else found.receipt.points
            document |= {"status": "solved", "points": cost}
            self._progress.note_cost(cost)
            self._progress.note_solution(found)
            self._keep(document | described(found))

    def _keep(self, document: dict[str, Any]) -> None:
        problem = None
        try:
            self._results.write(document)
        except BrokenPipeError:
            raise
        except OSError as error:
            problem = error.strerror or type(error).__name__
        if problem is not None:
            raise ConfigurationError(
                f"cannot write {self._plan.results}: {problem}; what is paid is in the journal"
            )


def _found(outcome: Outcome[Any] | Resumed) -> Solution | EzCaptchaError:
    """Return the one of the two that is there."""
    return cast("Solution | EzCaptchaError", outcome.solution or outcome.error)


def _is_final(error: EzCaptchaError) -> bool:
    """Tell whether another run would come to the same, or pay once more."""
    if isinstance(error, SolveTimeoutError):
        return False  # if it is paid, it is in the journal
    return error.may_be_charged or error.task_id is not None or isinstance(error, InvalidTaskError)


def _cost_of(error: EzCaptchaError, points: float | None) -> float | None:
    if error.ticket is not None:
        return cast("float | None", error.ticket["points"])
    return points if error.may_be_charged else None

"""What a batch has come to in this run and before, and what to say of it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from time import monotonic
from typing import Any, Final

import attrs
from rich.text import Text

from ezcaptcha_async import (
    EZCAPTCHA,
    EzCaptchaError,
    PoolStatistics,
    Service,
    SessionPool,
    Solution,
)
from ezcaptcha_async.cli.batching.batch import is_stream
from ezcaptcha_async.cli.batching.rows import RowName
from ezcaptcha_async.cli.output import (
    BAD,
    FAINT,
    FIGURE,
    PROGRAM,
    Output,
    amount,
    counted,
    money,
    points,
    printable,
)
from ezcaptcha_async.cli.reporting.scales import Bins, percentile
from ezcaptcha_async.cli.tabular import shape

_RECENT: Final = 1_000  # so many of the last solve times are kept
_BINS: Final = Bins(low=0.0, step=5.0, number=24, open_above=True)
_PATIENCE: Final = 5.0  # seconds after which a user wonders whether anything happens
_LABEL_WIDTH: Final = 12
_KINDS_OF_ERRORS: Final = 5
_EXAMPLES: Final = 5


@attrs.define(eq=False, kw_only=True)
class BatchCounts:
    """What a batch has come to."""

    total: int | None = None  # rows; None when nobody knows
    solved_before: int = 0  # by earlier runs
    failed_before: int = 0
    points_before: float = 0.0
    elsewhere: int | None = None  # rows that others of the fleet had finished; None without one
    service: Service = EZCAPTCHA  # says what points are worth and how fast it runs

    solved: int = 0
    failed: int = 0
    points: float = 0.0
    errors: Counter[str] = attrs.field(factory=Counter[str])
    examples: list[str] = attrs.field(factory=list[str])
    """The first rows that ended in an error, each with its reason."""
    halted_by: EzCaptchaError | None = None
    """Why no more rows are begun."""
    pool: SessionPool | None = attrs.field(init=False, default=None)
    """Which is at work, or was last."""
    _settled: float = attrs.field(init=False, default=0.0)
    _sent_before: bool = attrs.field(init=False, default=False)
    _started_at: float = attrs.field(init=False, factory=monotonic)
    _waits: deque[float] = attrs.field(init=False, factory=lambda: deque[float](maxlen=_RECENT))

    @property
    def done(self) -> int:
        """Rows that are finished, in this run and before, here and elsewhere."""
        before = self.solved_before + self.failed_before
        return before + self.solved + self.failed + (self.elsewhere or 0)

    @property
    def has_sent(self) -> bool:
        """Whether anything went out in this run."""
        return self._sent_before or self.statistics().requests > 0

    def watch(self, pool: SessionPool) -> None:
        """Take what a pool counts from now on."""
        self._sent_before = self.has_sent
        self.pool, self._settled = pool, 0.0

    def statistics(self) -> PoolStatistics:
        """Return what the pool counts that is at work, or was last."""
        return PoolStatistics() if self.pool is None else self.pool.statistics()

    def silence(self) -> str:
        """Return what to say of a service that has not answered for long; nothing of another."""
        elapsed, pool = monotonic() - self._started_at, self.statistics()
        if elapsed < _PATIENCE or pool.created or self.done or not pool.requests:
            return ""
        return f"no answer yet from {self.service.base_url}; -v shows why"

    def paid(self, pool: PoolStatistics) -> float:
        """Return the points that all runs have paid, or may have, also for what is in flight."""
        return self.points_before + self.points + max(0.0, pool.points - self._settled)

    def note_cost(self, points: float | None, *, counted_by_pool: bool) -> None:
        """Count what a row cost in this run, or may have, and whether the pool at work paid it."""
        self.points += points or 0.0
        if counted_by_pool:
            self._settled += points or 0.0

    def note_solution(self, solution: Solution, *, resumed: bool) -> None:
        """Count a solved row; one that lay ready while nobody asked says nothing of the times."""
        self.solved += 1
        if not resumed:
            self._waits.append(solution.receipt.waited * self.service.speed)

    def note_failure(self, error: EzCaptchaError, row: RowName | None) -> None:
        """Count a row that ended in an error."""
        self.failed += 1
        self.errors[type(error).__name__] += 1
        if row is not None and len(self.examples) < _EXAMPLES:
            name = f"row {row.number}" if row.id is None else f"row {row.number} ({row.id})"
            self.examples.append(f"{name}: {error}")

    def figures(self, pool: PoolStatistics) -> dict[str, str]:
        """Return what a display has in short."""
        elsewhere = {} if self.elsewhere is None else {"elsewhere": f"{self.elsewhere:,}"}
        return elsewhere | {
            "solved": f"{self.solved_before + self.solved:,}",
            "failed": f"{self.failed_before + self.failed:,}",
            "in flight": f"{pool.waiting + pool.creating:,}",
            "points": points(self.paid(pool)),
            self.service.currency: amount(self.paid(pool) / self.service.points_per_unit),
        }

    def details(self, *, plain: bool, is_last: bool = False) -> Iterator[Text]:
        """Yield what a display has below that: solve times of late, and errors.

        Below the last view those are told in full.
        """
        if silence := self.silence():
            yield _cropped((silence, BAD))
        if self._waits:
            ordered = sorted(self._waits)
            yield _cropped(
                (f"{'solve time':<{_LABEL_WIDTH}}", FAINT),
                f"median {percentile(ordered, 0.5):.0f} s, p95 {percentile(ordered, 0.95):.0f} s  ",
                (shape(_BINS.counts(ordered), plain=plain).rstrip(), FIGURE),
            )
        if is_last:
            return
        for position, (name, count) in enumerate(self.errors.most_common(_KINDS_OF_ERRORS)):
            label = "" if position else "errors"
            yield _cropped((f"{label:<{_LABEL_WIDTH}}", FAINT), (f"{count:,} {name}", BAD))
        for example in self.examples:
            yield _cropped((printable(example), FAINT))

    def as_document(self) -> dict[str, Any]:
        """Return all of it as a JSON-able object."""
        elsewhere = {} if self.elsewhere is None else {"elsewhere": self.elsewhere}
        return elsewhere | {
            "rows": self.total,
            "solved": self.solved,
            "failed": self.failed,
            "solved_before": self.solved_before,
            "failed_before": self.failed_before,
            "points": self.points,
            "points_before": self.points_before,
            "currency": self.service.currency,
            "value": (self.points_before + self.points) / self.service.points_per_unit,
            "errors": dict(self.errors),
            "halted_by": None if self.halted_by is None else type(self.halted_by).__name__,
            "elapsed": monotonic() - self._started_at,
        }

    def show_end(self, output: Output, results: Path) -> None:
        """Say how the run ended, and what to do next."""
        before = self.solved_before + self.failed_before
        words = f"{self.solved:,} solved and {self.failed:,} failed in this run"
        if before:
            words += f", {before:,} were finished before"
        output.remark(f"{words}; {money(self.points, self.service)}")
        if not self.done and self.halted_by is None:
            output.remark("there were no rows: blank lines and a header alone are none")
        if self.elsewhere:
            output.remark(
                f"{counted(self.elsewhere, 'row')} more had been finished by the fleet within a "
                "day, and are in the results of another machine or run; another --fleet-name "
                "buys them anew"
            )
        if self.points_before:
            together = money(self.points_before + self.points, self.service)
            output.remark(f"all runs together: {together}")
        for name, count in self.errors.most_common():
            output.remark(f"{counted(count, 'row')}: {name}")
        for example in self.examples:
            output.remark(example)
        is_kept = not is_stream(results)
        if self.halted_by is not None:
            goes_on = "; the same command goes on from here" if is_kept else ""
            output.remark(f"stopped: {self.halted_by}{goes_on}")
        if not is_kept:
            return
        output.remark(f"the results are in {results}; see '{PROGRAM} report {quote(str(results))}'")
        if self.halted_by is None and (self.failed or self.failed_before):
            output.remark(
                "the same command tries rows again that cost nothing, with --retry-failed all"
            )


def _cropped(*parts: str | tuple[str, str]) -> Text:
    """Return a line that gives up its end where there is no room, and never becomes two."""
    return Text.assemble(*parts, no_wrap=True, overflow="crop")

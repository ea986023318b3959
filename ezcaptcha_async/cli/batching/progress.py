"""How far a batch is: what was counted in this run, and what follows from it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from time import monotonic
from typing import Final

import attrs

from ezcaptcha_async import EzCaptchaError, PoolStatistics, Solution

RATE_WINDOW: Final = 60.0
"""Seconds over which the rate is taken."""

BIN_SECONDS: Final = 5.0
BINS: Final = 24
"""Bins of the histogram of solve times; what takes longer than 120 s is in the last one."""


@attrs.define(eq=False, kw_only=True)
class Progress:
    """How far a batch is.

    Args:
        total: How many rows there are; None when nobody knows.
        solved_before: Rows that earlier runs have solved.
        failed_before: Rows that ended in an error in earlier runs.
        points_before: Points that earlier runs have spent.
        time_scale: How many service seconds pass in one second.
        clock: Returns seconds.
    """

    total: int | None = None
    solved_before: int = 0
    failed_before: int = 0
    points_before: float = 0.0
    time_scale: float = 1.0
    clock: Callable[[], float] = attrs.field(default=monotonic, repr=False)

    solved: int = 0
    failed: int = 0
    points: float = 0.0
    errors: Counter[str] = attrs.field(factory=Counter[str])
    times: list[int] = attrs.field(factory=lambda: [0] * BINS)
    counts: PoolStatistics | None = None
    halted_by: EzCaptchaError | None = None
    """Why no more rows are begun."""
    _started_at: float = attrs.field(init=False, default=0.0)
    _recent: deque[tuple[float, int]] = attrs.field(factory=deque[tuple[float, int]], repr=False)
    _statistics: Callable[[], PoolStatistics] | None = attrs.field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        self._started_at = self.clock()

    @property
    def done(self) -> int:
        """Rows that are finished, in this run and before."""
        return self.solved_before + self.failed_before + self.solved + self.failed

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning of this run."""
        return self.clock() - self._started_at

    def watch(self, statistics: Callable[[], PoolStatistics]) -> None:
        """Look at another pool from here on, also after it was closed."""
        self._statistics = statistics

    def look(self) -> None:
        """Take a new look at the pool."""
        if self._statistics is not None:
            self.counts = self._statistics()

    def note_cost(self, points: float | None) -> None:
        """Count what a row cost in this run, or may have cost."""
        self.points += points or 0.0

    def note_solution(self, solution: Solution) -> None:
        """Count a solved row."""
        self.solved += 1
        waited = solution.receipt.waited * self.time_scale
        self.times[min(int(waited / BIN_SECONDS), BINS - 1)] += 1

    def note_failure(self, error: EzCaptchaError) -> None:
        """Count a row that ended in an error."""
        self.failed += 1
        self.errors[type(error).__name__] += 1

    def per_minute(self) -> float | None:
        """Return how many rows a minute are finished, lately; None at the very beginning."""
        now, finished = self.elapsed, self.solved + self.failed
        recent = self._recent
        recent.append((now, finished))
        while recent[0][0] < now - RATE_WINDOW:
            recent.popleft()
        then, before = recent[0] if now > RATE_WINDOW else (0.0, 0)
        return (finished - before) / (now - then) * 60 if now > then and finished else None

    def seconds_left(self, per_minute: float | None) -> float | None:
        """Return how long it will take yet; None when nobody knows."""
        if self.total is None or not per_minute:
            return None
        return max(0, self.total - self.done) / per_minute * 60

    def solve_time(self, share: float) -> float | None:
        """Return within how many seconds that share of the tasks was solved."""
        wanted, reached = share * sum(self.times), 0
        for position, count in enumerate(self.times):
            reached += count
            if count and reached >= wanted:
                return (position + 1 - (reached - wanted) / count) * BIN_SECONDS
        return None

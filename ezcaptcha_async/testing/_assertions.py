"""What a test says of the service afterwards, with a failure that tells what happened instead."""

from __future__ import annotations

from collections.abc import Iterable
from math import fsum
from typing import Final

from ezcaptcha_async.testing._exchange import Answering
from ezcaptcha_async.testing._record import TaskRecord

_MOST_LISTED: Final = 20


class Assertions(Answering):
    """Raises AssertionError with the tasks in question; pytest points at the caller's line."""

    def assert_charged(
        self, times: int, *, points: float | None = None, task_type: str | None = None
    ) -> None:
        """Assert that so many tasks were paid for: no more, and no fewer.

        Args:
            times: How many.
            points: What they cost together; anything when left out.
            task_type: Count this type alone, in the service's own spelling.

        Raises:
            AssertionError: It was otherwise.
        """
        __tracebackhide__ = True
        tasks = [task for task in self.record.tasks if task_type in (None, task.type)]
        cost = fsum(task.points for task in tasks)
        if len(tasks) == times and points in (None, cost):
            return
        of_type = "" if task_type is None else f" of the type {task_type}"
        for_points = "" if points is None else f" for {points:g} points"
        raise AssertionError(
            f"{len(tasks)} tasks{of_type} were charged for {cost:g} points, "
            f"not {times}{for_points}{_listed(tasks)}{self._refusals()}"
        )

    def assert_polled(self, *, at_most: int) -> None:
        """Assert that no task was asked for more often than that.

        Args:
            at_most: getTaskResult requests for one task.

        Raises:
            AssertionError: At least one was.
        """
        __tracebackhide__ = True
        tasks = [task for task in self.record.tasks if task.polls > at_most]
        if tasks:
            raise AssertionError(
                f"{len(tasks)} tasks were polled more than {at_most} times{_listed(tasks)}"
            )

    def assert_spacing_kept(self) -> None:
        """Assert that no poll came sooner after ``processing`` than the service allows.

        Raises:
            AssertionError: At least one did.
        """
        __tracebackhide__ = True
        summary = self.record.summary()
        if summary.spacing_violations:
            raise AssertionError(
                f"{summary.spacing_violations} of {summary.polls} polls came too soon after "
                f"'processing'{_listed(self.record.tasks)}"
            )

    def assert_all_fetched(self) -> None:
        """Assert that nothing was paid for in vain: the outcome of each task was fetched.

        Raises:
            AssertionError: At least one was not, or not yet.
        """
        __tracebackhide__ = True
        tasks = [task for task in self.record.tasks if task.fetched_at is None]
        if tasks:
            raise AssertionError(
                f"{len(tasks)} of {len(self.record.tasks)} paid tasks were not fetched"
                f"{_listed(tasks)}"
            )

    def _refusals(self) -> str:
        refused = self.record.summary().refused
        return "".join(f"\n  refused {count} times: {code}" for code, count in refused.items())


def _listed(tasks: Iterable[TaskRecord]) -> str:
    lines = [_line(task) for task in tasks]
    if len(lines) > _MOST_LISTED:
        lines[_MOST_LISTED:] = [f"and {len(lines) - _MOST_LISTED} more"]
    return "".join(f"\n  {line}" for line in lines)


def _line(task: TaskRecord) -> str:
    if task.fetched_at is None:
        fate = "not fetched"
    else:
        outcome = "solution" if task.error is None else task.error
        fate = f"{outcome} fetched after {task.fetched_at - task.created_at:.1f} s"
    ready = task.ready_at - task.created_at
    return f"{task.type} {task.task_id}: ready after {ready:.1f} s, {task.polls} polls, {fate}"

"""What a test says of the service afterwards, with a failure that tells what happened instead."""

from __future__ import annotations

from collections.abc import Iterable
from math import fsum
from typing import Final

from ezcaptcha_async.testing._record import Record, TaskRecord

_MOST_LISTED: Final = 20


def charged(
    record: Record, times: int, *, points: float | None = None, task_type: str | None = None
) -> None:
    """See `SimulatedService.assert_charged`."""
    __tracebackhide__ = True
    tasks = [task for task in record.tasks if task_type in (None, task.type)]
    cost = fsum(task.points for task in tasks)
    if len(tasks) == times and points in (None, cost):
        return
    of_type = "" if task_type is None else f" of the type {task_type}"
    for_points = "" if points is None else f" for {points:g} points"
    refused = record.summary().refused.items()
    refusals = "".join(f"\n  refused {count} times: {code}" for code, count in refused)
    raise AssertionError(
        f"{len(tasks)} tasks{of_type} were charged for {cost:g} points, "
        f"not {times}{for_points}{_listed(tasks)}{refusals}"
    )


def polled(record: Record, *, at_most: int) -> None:
    """See `SimulatedService.assert_polled`."""
    __tracebackhide__ = True
    tasks = [task for task in record.tasks if task.polls > at_most]
    if tasks:
        raise AssertionError(
            f"{len(tasks)} tasks were polled more than {at_most} times{_listed(tasks)}"
        )


def spacing_kept(record: Record) -> None:
    """See `SimulatedService.assert_spacing_kept`."""
    __tracebackhide__ = True
    summary = record.summary()
    if summary.spacing_violations:
        raise AssertionError(
            f"{summary.spacing_violations} of {summary.polls} polls came too soon after "
            f"'processing'{_listed(record.tasks)}"
        )


def all_fetched(record: Record) -> None:
    """See `SimulatedService.assert_all_fetched`."""
    __tracebackhide__ = True
    tasks = [task for task in record.tasks if task.fetched_at is None]
    if tasks:
        raise AssertionError(
            f"{len(tasks)} of {len(record.tasks)} paid tasks were not fetched{_listed(tasks)}"
        )


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

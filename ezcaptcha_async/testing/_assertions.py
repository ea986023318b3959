"""What happened instead of what a test asserts: the tasks that it is about, in the failure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ezcaptcha_async.testing._record import TaskRecord

_MOST_LISTED: Final = 20


def listed(tasks: Iterable[TaskRecord]) -> str:
    """Return a line for each task, up to a bound, each with a line end before it."""
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

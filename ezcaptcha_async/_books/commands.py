"""What the books have done next: createTask or getTaskResult for one entry."""

from __future__ import annotations

from typing import Any

import attrs

from ezcaptcha_async._books.entries import Entry
from ezcaptcha_async._books.gate import Permit
from ezcaptcha_async.tasks import Task


@attrs.frozen
class Create:
    """Command: send createTask."""

    entry: Entry
    task: Task[Any]
    permit: Permit = attrs.field(eq=False, repr=False)


@attrs.frozen
class Poll:
    """Command: send getTaskResult."""

    entry: Entry
    task_id: str
    permit: Permit = attrs.field(eq=False, repr=False)

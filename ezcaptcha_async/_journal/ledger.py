"""What a pool writes down of its money, and what stands there from before.

The one rule: what may be paid is written before it happens, and what is paid as soon as it
is known. So a line that cannot be written means two things. An `Intent` refuses its
createTask, while nothing is paid. Everything else goes on without its line, which is kept
and written as soon as the disk takes lines again: a full disk costs no paid task.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final, Protocol

from ezcaptcha_async._journal.records import (
    DAY,
    MAX_LINE,
    Banned,
    Done,
    Intent,
    Key,
    NotPaid,
    Paid,
    Reading,
    Record,
    Standing,
    Submission,
    Unknown,
    encoded,
    replay,
)
from ezcaptcha_async._journal.saved import SavedTask
from ezcaptcha_async.errors import ConfigurationError, JournalError

GROWTH: Final = 4
"""Times its content after the last rewriting that a journal may grow to before the next."""

LEAST_SIZE: Final = 1024 * 1024
"""Bytes below which it is not rewritten while the pool is open."""

_logger: Final = logging.getLogger("ezcaptcha_async")


class LineFile(Protocol):
    """What the ledger needs of a journal's file."""

    @property
    def path(self) -> str: ...

    @property
    def size(self) -> int: ...

    def lines(self, most: int) -> Iterator[bytes]: ...

    def append(self, lines: bytes) -> None: ...

    async def flush(self) -> None: ...

    def keep_as_damaged(self) -> str: ...

    def replace(self, lines: bytes) -> None: ...

    def close(self) -> None: ...


class Ledger:
    """The books of one pool that outlive it, where there is a file.

    Args:
        file: Where to write; None to remember only what is unknown.
        unix_time: Returns Unix time in seconds.

    Raises:
        ConfigurationError: The file cannot be read.
    """

    def __init__(self, file: LineFile | None, unix_time: Callable[[], float]) -> None:
        self._file = file
        self._unix_time = unix_time
        self._standing = Standing()
        self._inherited: dict[Key, SavedTask] = {}
        self._owed: list[bytes] = []
        self._run = os.urandom(4).hex()
        self._numbers = count(1)
        self._rewrite_at = LEAST_SIZE
        self._failing = False
        if file is not None:
            self._take_over(file)

    def __repr__(self) -> str:
        return f"<Ledger in {self._file}, {self._standing}>"

    # -------------------------------------------------------------------- what happens

    async def intend(self, submission: Submission) -> Intent:
        """Write down that a createTask is about to be sent.

        Raises:
            JournalError: That is not possible, so it must not be sent.
        """
        intent = Intent(f"{self._run}.{next(self._numbers)}", submission)
        self._standing.apply(intent)
        if self._file is None:
            return intent
        self._owed.append(encoded(intent))
        problem = self._pay(self._file)
        if problem is not None:
            self._owed.pop()
            self._standing.apply(NotPaid(intent.attempt))
        elif problem := await self._flush(self._file):
            self.not_paid(intent)
        if problem is not None:
            raise JournalError(
                f"the journal cannot be written ({problem}), so createTask was not sent"
            )
        return intent

    async def created(self, intent: Intent, task: SavedTask, window: float) -> None:
        """Write down that a task is paid.

        Args:
            intent: What led to it.
            task: The task.
            window: Seconds after its creation in which its result can be fetched.
        """
        if self._file is None:
            self._standing.apply(NotPaid(intent.attempt))
            return
        self._note(Paid(intent.attempt, task, window))
        await self._flush(self._file)

    def not_paid(self, intent: Intent) -> None:
        """Write down that a createTask was refused, or certainly never sent."""
        self._note(NotPaid(intent.attempt))

    def unknown(self, intent: Intent) -> None:
        """Write down that the answer to a createTask was lost."""
        self._note(Unknown(intent.attempt, intent.submission))

    def adopted(self, task: SavedTask, window: float) -> None:
        """Write down a paid task that is taken up here, unless it stands there already."""
        record = Paid(None, task, window)
        self.taken_up(task)
        if self._file is not None and record.key not in self._standing.unfinished:
            self._note(record)

    def done(self, service: str, account: str | None, task_id: str) -> None:
        """Write down that a paid task came to its end, and that its caller was told."""
        if (service, account, task_id) in self._standing.unfinished:
            self._note(Done(service, account, task_id))

    def banned(self, service: str, account: str, until: float, polls_until: float) -> None:
        """Write down until when, in Unix time, the service wants no createTask, and no poll."""
        self._note(Banned(service, account, until, polls_until))

    # --------------------------------------------------------------------- what stands

    def ban(self, service: str, account: str) -> Banned | None:
        """Return the ban of an account, which may be over; None when there was none."""
        return self._standing.bans.get((service, account))

    def inherited(self) -> list[SavedTask]:
        """Return the paid tasks of earlier processes that nobody has taken up yet.

        Those whose result window is over already are among them, until they are done.
        """
        return list(self._inherited.values())

    def is_over(self, task: SavedTask) -> bool:
        """Return whether the result window of an inherited task is over."""
        known = self._standing.unfinished.get((task.service, task.account, task.task_id))
        return known is None or known.ends_at <= self._unix_time()

    def taken_up(self, task: SavedTask) -> None:
        """Note that somebody sees to an inherited task, as far as that is possible."""
        self._inherited.pop((task.service, task.account, task.task_id), None)

    def unknown_submissions(self) -> list[Submission]:
        """Return the last createTask requests of the last day whose answer was lost."""
        oldest = self._unix_time() - DAY
        return [item for item in self._standing.unknown.values() if item.sent_at > oldest]

    def close(self) -> None:
        """Write what is still owed, and let others have the file. Twice is fine."""
        self._standing.settle()
        file, self._file = self._file, None
        if file is not None:
            if self._owed:
                self._pay(file)
            file.close()

    # ------------------------------------------------------------------------- details

    def _take_over(self, file: LineFile) -> None:
        """Read what earlier processes have left, and begin with a file that is in order."""
        reading = Reading()
        try:
            reading = replay(file.lines(MAX_LINE))
            problem = reading.problem
        except OSError as error:
            problem = _reason(error)
        self._standing = reading.standing
        if problem is not None:
            file.close()
            raise ConfigurationError(f"cannot use the journal {file.path}: {problem}")
        self._inherited = {key: item.task for key, item in self._standing.unfinished.items()}
        self._standing.expire(self._unix_time())
        if file.size:
            self._rewrite(file, damaged=reading.skipped)

    def _note(self, record: Record) -> None:
        self._standing.apply(record)
        if self._file is not None:
            self._owed.append(encoded(record))
            self._pay(self._file)

    def _pay(self, file: LineFile) -> str | None:
        """Write the lines that are owed; return why that is not possible, if it is not."""
        reason = None
        try:
            file.append(b"".join(self._owed))
        except OSError as error:
            reason = _reason(error)
        if reason is not None:
            if not self._failing:
                _logger.error(
                    "the journal %s cannot be written (%s); no task is created meanwhile",
                    file.path,
                    reason,
                )
            self._failing = True
            return reason
        self._owed.clear()
        # After an outage, a disk may be another one, or the file a new one.
        if self._failing or file.size > self._rewrite_at:
            self._failing = False
            self._standing.expire(self._unix_time())
            self._rewrite(file)
        return None

    async def _flush(self, file: LineFile) -> str | None:
        reason = None
        try:
            await file.flush()
        except OSError as error:
            reason = _reason(error)
        if reason is not None:
            _logger.error("the journal %s may not be on the disk (%s)", file.path, reason)
        return reason

    def _rewrite(self, file: LineFile, *, damaged: int = 0) -> None:
        """Leave out all that is over. Where that fails, the longer file is as good.

        Args:
            file: The journal.
            damaged: How many lines of it could not be read, so that the old content is kept.
        """
        try:
            if damaged:
                _logger.warning(
                    "%d lines of the journal %s are damaged; they are passed over and kept in %s",
                    damaged,
                    file.path,
                    file.keep_as_damaged(),
                )
            file.replace(b"".join(self._standing.lines()))
        except OSError as error:
            _logger.warning("the journal %s stays as it is (%s)", file.path, _reason(error))
        self._rewrite_at = max(LEAST_SIZE, GROWTH * file.size)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__

"""What a pool writes into a file of its money, and what stands there from before.

The one rule: what may be paid is written before it happens, and what is paid as soon as it
is known. So a line that cannot be written means two things. An `Intent` refuses its
createTask, while nothing is paid. Everything else goes on without its line, which is kept
and written as soon as the disk takes lines again: a full disk costs no paid task.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

from ezcaptcha_async._journal.file import JournalFile, reason_of
from ezcaptcha_async._journal.protocols import Ledger
from ezcaptcha_async._journal.records import (
    MAX_LINE,
    Banned,
    Delivered,
    Done,
    NotPaid,
    Paid,
    Reading,
    Record,
    Unknown,
    encoded,
)
from ezcaptcha_async._journal.saved import Key, SavedTask, key_of
from ezcaptcha_async._journal.submissions import Intent, Submission
from ezcaptcha_async._log import log
from ezcaptcha_async.errors import ConfigurationError, JournalError

GROWTH: Final = 4
"""Times its content after the last rewriting that a journal may grow to before the next."""

_TURN: Final = 100
"""Lines, which take 2 ms, that are read before other coroutines get their turn. A thread would
not do: it and the event loop would fight for the interpreter, for a second at a time."""

LEAST_SIZE: Final = 1024 * 1024
"""Bytes below which it is not rewritten while the pool is open."""


async def ledger_in(file: JournalFile, unix_time: Callable[[], float]) -> FileLedger:
    """Read what earlier processes have left, and go on in their file; close it if that fails.

    Raises:
        ConfigurationError: It cannot be read, or is no journal.
    """
    reading = Reading()
    try:
        for number, line in enumerate(file.lines(MAX_LINE), start=1):
            reading.take(line)
            if number % _TURN == 0:
                await checkpoint()
        problem = reading.problem
    except OSError as error:
        problem = reason_of(error)
    except BaseException:  # whoever opens the pool may be cancelled
        file.close()
        raise
    if problem is not None:
        file.close()
        raise ConfigurationError(f"cannot use the journal {file.path}: {problem}")
    reading.contents.settle()
    return FileLedger(file, unix_time, reading)


class FileLedger(Ledger):
    """The books of one pool that outlive it in a file; see `Ledger`.

    Args:
        file: Where to write.
        unix_time: Returns Unix time in seconds.
        reading: What earlier processes have left there.
    """

    def __init__(self, file: JournalFile, unix_time: Callable[[], float], reading: Reading) -> None:
        self._file = file
        self._unix_time = unix_time
        self._contents = reading.contents
        self._inherited = {key: item.task for key, item in self._contents.unfinished.items()}
        self._contents.expire(unix_time())
        self._paid_for: dict[str | None, Key] = {}  # by earlier processes; by reference
        for known in (self._contents.delivered, self._contents.unfinished):
            self._paid_for |= {item.task.reference: key for key, item in known.items()}
        self._owed: list[bytes] = []
        self._run = os.urandom(4).hex()
        self._numbers = count(1)
        self._damaged = reading.skipped  # lines that are not kept anywhere else yet
        self._rewrite_at = LEAST_SIZE
        self._rewriting_due = anyio.Event()
        if file.size:
            self._rewriting_due.set()
        self._failing = False
        self._closed = False

    def __repr__(self) -> str:
        return f"<FileLedger in {self._file}, {self._contents}>"

    # -------------------------------------------------------------------- what happens

    async def intend(
        self,
        submission: Submission,
        permit: str | None = None,
        *,
        once: bool = False,
        again: bool = False,
    ) -> Intent:
        del permit, once, again  # nobody else is there who could have the same reference
        intent = Intent(f"{self._run}.{next(self._numbers)}", submission)
        self._contents.apply(intent)
        self._owed.append(encoded(intent))
        problem = self._pay()
        if problem is not None:
            self._owed.pop()
            self._contents.apply(NotPaid(intent.attempt))
        elif problem := await self._flush():
            self.not_paid(intent)
        if problem is not None:
            raise JournalError(
                f"the journal cannot be written ({problem}), so createTask was not sent"
            )
        return intent

    async def created(self, intent: Intent, task: SavedTask, window: float) -> None:
        self._note(Paid(intent.attempt, task, window))
        await self._flush()

    def not_paid(self, intent: Intent) -> None:
        self._note(NotPaid(intent.attempt))

    def unknown(self, intent: Intent) -> None:
        self._note(Unknown(intent.attempt, intent.submission))

    def adopted(self, task: SavedTask, window: float) -> None:
        self.taken_up(task)
        if key_of(task) not in self._contents.unfinished:
            self._note(Paid(None, task, window))

    def done(self, service: str, account: str | None, task_id: str) -> None:
        if (service, account, task_id) in self._contents.unfinished:
            self._note(Done(service, account, task_id))

    def delivered(self, task: SavedTask, until: float) -> None:
        if key_of(task) in self._contents.unfinished:
            self._note(Delivered(task, until))

    def banned(self, service: str, account: str, until: float, polls_until: float) -> None:
        self._note(Banned(service, account, until, polls_until))

    # --------------------------------------------------------------------- what stands

    def ban(self, service: str, account: str) -> Banned | None:
        return self._contents.bans.get((service, account))

    def is_over(self, task: SavedTask) -> bool:
        known = self._contents.unfinished.get(key_of(task))
        return known is None or known.ends_at <= self._unix_time()

    def paid_for(self, reference: str) -> SavedTask | None:
        key = self._paid_for.get(reference)
        if key is None:
            return None
        now = self._unix_time()
        paid, delivered = self._contents.unfinished.get(key), self._contents.delivered.get(key)
        if paid is not None and now < paid.ends_at:
            return paid.task
        return delivered.task if delivered is not None and now < delivered.until else None

    def lost_for(self, reference: str) -> Submission | None:
        return self._contents.lost_for(reference, self._unix_time())

    def unknown_submissions(self) -> list[Submission]:
        return self._contents.lost_since_yesterday(self._unix_time())

    async def run(self) -> None:
        while True:
            await self._rewriting_due.wait()
            await self._rewrite()

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._contents.settle()
        # Where the file was removed, the first time finds it out, and the second makes it anew.
        if self._pay() is not None:
            self._pay()
        try:
            if self._rewriting_due.is_set():
                await self._rewrite()
        finally:
            self._file.close()

    # ------------------------------------------------------------------------- details

    def _note(self, record: Record) -> None:
        self._contents.apply(record)
        if not self._closed:
            self._owed.append(encoded(record))
            self._pay()

    def _pay(self) -> str | None:
        """Write the lines that are owed; return why that is not possible, if it is not."""
        file, reason = self._file, None
        try:
            file.append(b"".join(self._owed))
        except OSError as error:
            reason = reason_of(error)
        if reason is not None:
            if not self._failing:
                log.error(
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
            self._rewriting_due.set()
        return None

    async def _flush(self) -> str | None:
        file, reason = self._file, None
        try:
            await file.flush()
        except OSError as error:
            reason = reason_of(error)
        if reason is not None:
            log.error("the journal %s may not be on the disk (%s)", file.path, reason)
        return reason

    async def _rewrite(self) -> None:
        """Leave out all that is over. Where that fails, the longer file is as good.

        If lines of it are damaged, the old content is kept beside it.
        """
        file = self._file
        try:
            if self._damaged:
                log.warning(
                    "%d lines of the journal %s are damaged; they are passed over and kept in %s",
                    self._damaged,
                    file.path,
                    file.keep_as_damaged(),
                )
                self._damaged = 0
            await file.replace(self._contents.tidied(self._unix_time()))
        except OSError as error:
            log.warning("the journal %s stays as it is (%s)", file.path, reason_of(error))
        self._rewriting_due = anyio.Event()
        self._rewrite_at = max(LEAST_SIZE, GROWTH * file.size)

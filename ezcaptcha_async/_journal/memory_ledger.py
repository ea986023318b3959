"""What a pool without a journal remembers of its money: what it may have paid for."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from ezcaptcha_async._journal.protocols import Ledger
from ezcaptcha_async._journal.saved import SavedTask
from ezcaptcha_async._journal.submissions import Creates, Intent, Submission


class MemoryLedger(Ledger):
    """The books of a pool that end with it; see `Ledger`.

    Args:
        unix_time: Returns Unix time in seconds.
    """

    def __init__(self, unix_time: Callable[[], float]) -> None:
        self._unix_time = unix_time
        self._inherited = {}
        self._creates = Creates()
        self._numbers = count(1)

    def __repr__(self) -> str:
        return f"<MemoryLedger, {self._creates}>"

    async def intend(
        self,
        submission: Submission,
        permit: str | None = None,
        *,
        once: bool = False,
        again: bool = False,
    ) -> Intent:
        del permit, once, again
        intent = Intent(str(next(self._numbers)), submission)
        self._creates.unanswered[intent.attempt] = submission
        return intent

    async def created(self, intent: Intent, task: SavedTask, window: float) -> None:
        del task, window
        self.not_paid(intent)

    def not_paid(self, intent: Intent) -> None:
        self._creates.unanswered.pop(intent.attempt, None)

    def unknown(self, intent: Intent) -> None:
        self._creates.note_lost(intent.attempt, intent.submission)

    def is_over(self, task: SavedTask) -> bool:
        del task  # it has inherited none
        return True

    def lost_for(self, reference: str) -> Submission | None:
        return self._creates.lost_for(reference, self._unix_time())

    def unknown_submissions(self) -> list[Submission]:
        return self._creates.lost_since_yesterday(self._unix_time())

    async def aclose(self) -> None:
        self._creates.settle()

"""What a pool asks of the books that outlive it, whoever keeps them."""

# ruff: noqa: ARG002 - what books that keep nothing do with it: the arguments are for the others

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ezcaptcha_async._journal.saved import Key, SavedTask, key_of
from ezcaptcha_async._journal.submissions import Intent, Submission
from ezcaptcha_async.errors import ServiceError
from ezcaptcha_async.transports import Reply

if TYPE_CHECKING:
    from ezcaptcha_async._journal.records import Banned
    from ezcaptcha_async.fleets import Known


class Ledger(Protocol):
    """The books of a pool that outlive it: a file, or those that many pools share.

    Every method but `intend` tells of something that has happened, which nothing can undo: none
    of them raises, and what cannot be written at once is owed. What one sort of books has no
    use for does nothing here.
    """

    _inherited: dict[Key, SavedTask]

    async def intend(
        self,
        submission: Submission,
        permit: str | None = None,
        *,
        once: bool = False,
        again: bool = False,
    ) -> Intent | Known:
        """Write down that a createTask is about to be sent.

        Args:
            submission: What is sent.
            permit: The name of the leave to send it, where leave has names.
            once: Whether at most one payment is made for its reference.
            again: Whether one for the same task may have been paid for already.

        Returns:
            The intent; or what is known of its reference, and then it must not be sent.

        Raises:
            JournalError: That is not possible, so it must not be sent; with ``retry_after``
                where it may soon be.
            BudgetExceededError: It would cost more than all pools together may spend.
        """
        ...

    async def created(self, intent: Intent, task: SavedTask, window: float) -> None:
        """Write down that a task is paid.

        Args:
            intent: What led to it.
            task: The task.
            window: Seconds after its creation in which its result can be fetched.
        """
        ...

    def not_paid(self, intent: Intent) -> None:
        """Write down that a createTask was refused, or certainly never sent."""
        ...

    def unknown(self, intent: Intent) -> None:
        """Write down that the answer to a createTask was lost."""
        ...

    def adopted(self, task: SavedTask, window: float) -> None:
        """Write down a paid task that is taken up here, unless it stands there already."""
        return

    def done(self, service: str, account: str | None, task_id: str) -> None:
        """Write down that a paid task came to its end, and that its caller was told."""
        return

    def settled(self, task: SavedTask, until: float, result: Reply | ServiceError) -> None:
        """Tell what a task came to that was created once for its reference.

        Args:
            task: The task.
            until: Unix time in seconds until which that is of use.
            result: What its solution is decoded from, or the error that it ended with.
        """
        return

    def delivered(self, task: SavedTask, until: float) -> None:
        """Write down the same as `done` of a task that may be asked for again by its reference.

        Args:
            task: The task.
            until: Unix time in seconds until which that is of use.
        """
        return

    def banned(self, service: str, account: str, until: float, polls_until: float) -> None:
        """Write down until when, in Unix time, the service wants no createTask, and no poll."""
        return

    def refused(self, service: str, account: str, error: ServiceError) -> None:
        """Tell of an error for a key, a balance, or too many requests: others have it too."""
        return

    def reopened(self, service: str, account: str) -> None:
        """Tell that an account takes tasks again."""
        return

    def looks_up(self) -> bool:
        """Return whether it must be looked up first what is known of a reference."""
        return False

    def ban(self, service: str, account: str) -> Banned | None:
        """Return the ban of an account, which may be over; None when there was none."""
        return None

    def inherited(self) -> list[SavedTask]:
        """Return the paid tasks of earlier processes that nobody has taken up yet.

        Those whose result window is over already are among them, until they are done.
        """
        return list(self._inherited.values())

    def is_over(self, task: SavedTask) -> bool:
        """Return whether the result window of an inherited task is over."""
        ...

    def taken_up(self, task: SavedTask) -> None:
        """Note that somebody sees to an inherited task, as far as that is possible."""
        self._inherited.pop(key_of(task), None)

    def paid_for(self, reference: str) -> SavedTask | None:
        """Return the task that an earlier process has paid for a reference.

        None when there is none, or what it came to is of no more use.
        """
        return None

    def lost_for(self, reference: str) -> Submission | None:
        """Return the last createTask for a reference if its answer was lost.

        None also when that was more than a day ago, or when it was created since.
        """
        return None

    def unknown_submissions(self) -> list[Submission]:
        """Return the last createTask requests of the last day whose answer was lost."""
        ...

    async def run(self) -> None:
        """Do what nobody waits for, until cancelled."""
        return

    async def aclose(self) -> None:
        """Write what is still owed, and let others have it. Twice is fine."""
        ...

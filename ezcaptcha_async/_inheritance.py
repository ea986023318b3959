"""What earlier processes have paid for, as the journal knows it, and how it is taken up."""

from __future__ import annotations

from ezcaptcha_async._claim import Claim
from ezcaptcha_async._dispatch import Dispatch
from ezcaptcha_async._ledger import Ledger
from ezcaptcha_async._saved import SavedTask
from ezcaptcha_async.errors import ConfigurationError, EzCaptchaError, ResultWindowLapsedError
from ezcaptcha_async.solutions import Solution


class Inheritance:
    """The paid tasks that nobody has been given the outcome of.

    Args:
        ledger: Knows them.
        dispatch: Finds the accounts that have paid for them.
    """

    def __init__(self, ledger: Ledger, dispatch: Dispatch) -> None:
        self._ledger = ledger
        self._dispatch = dispatch

    def tasks(self) -> list[SavedTask]:
        """Return them, oldest first: those of earlier processes, and the pool's own orphans."""
        own = (
            session.saved(entry)
            for session in self._dispatch.sessions
            for entry in session.line.orphans()
        )
        return sorted([*self._ledger.inherited(), *own], key=lambda task: task.created_at)

    def take_up(self, task: SavedTask) -> Claim[Solution]:
        """Return a claim on one of them.

        Raises:
            ConfigurationError: Another account has paid for it, and may still fetch it.
            ResultWindowLapsedError: Its result window is over.
            BannedError: Its account is banned for longer than that window lasts.
        """
        self._ledger.taken_up(task)
        problem = None
        try:
            return self._dispatch.take_up(task)
        except ConfigurationError as error:
            if not self._ledger.is_over(task):
                raise
            problem = error.message
        raise ResultWindowLapsedError(
            f"{problem}; its result window is over", task_id=task.task_id, ticket=task.to_dict()
        )

    def told(self, task: SavedTask, error: EzCaptchaError) -> None:
        """Note that somebody has been told why one could not be taken up."""
        if isinstance(error, ResultWindowLapsedError):
            self._ledger.done(task.service, task.account, task.task_id)

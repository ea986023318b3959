"""At most one payment for one reference, whoever asks for it and however often.

What was begun in this pool stands in the books, what earlier processes have paid for in the
journal. Only where neither has anything is a task created.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ezcaptcha_async._books import Books, Entry
from ezcaptcha_async._journal import Ledger
from ezcaptcha_async._pool.accounts import Accounts
from ezcaptcha_async.errors import ConfigurationError, ResultWindowLapsedError
from ezcaptcha_async.tasks import Task


class Once:
    """Begins with what is to be paid for once.

    Args:
        accounts: Begin with new tasks, and take up paid ones.
        books: Know what was begun here.
        ledger: Knows what earlier processes have paid for, and what may have been paid for.
        clock: The event loop's clock.
    """

    def __init__(
        self, accounts: Accounts, books: Books, ledger: Ledger, clock: Callable[[], float]
    ) -> None:
        self._accounts = accounts
        self._books = books
        self._ledger = ledger
        self._clock = clock

    def begin(self, task: Task[Any]) -> Entry:
        """Return the entry of what its reference was begun with; begin where there is nothing.

        Raises:
            ConfigurationError: The task has no reference, or one that stands for another task.
            SubmissionUnknownError: It may be paid for already, and is not to be sent again.
            EzCaptchaError: As `Accounts.begin` and `Accounts.take_up` say.
        """
        reference = task.reference
        if reference is None:
            raise ConfigurationError(
                "once=True needs a reference: give each task the id of its job or row, "
                "reference='job 17'"
            )
        entry = self._begun(task, reference) or self._paid_before(task, reference)
        if entry is None:
            lost = self._ledger.lost_for(reference)
            entry = self._accounts.begin(task, once=True, lost=lost)
        entry.once = True
        return entry

    def _begun(self, task: Task[Any], reference: str) -> Entry | None:
        entry = self._books.standing_for(reference, self._clock())
        if entry is None:
            return None
        if not entry.once and entry.task is not None and entry.waiters:
            # Its token is for who waits for it, and works once.
            self._books.delivered(entry)
            return None
        _check_same(task, entry.kind.task_type, entry.kind.host, entry.task)
        self._accounts.session_of[entry.line].hold(entry)
        return entry

    def _paid_before(self, task: Task[Any], reference: str) -> Entry | None:
        saved = self._ledger.paid_for(reference)
        if saved is None:
            return None
        _check_same(task, saved.type, saved.host)
        try:
            return self._accounts.take_up(saved)
        except ResultWindowLapsedError:
            # Its token may be valid still, but only who was given it has it.
            return None


def _check_same(task: Task[Any], task_type: str, host: str, known: Task[Any] | None = None) -> None:
    # No more than that: a page's own data, and the proxy, may well be others the next time.
    keys = [getattr(item, "website_key", None) for item in (task, known or task)]
    if (task.type, task.host) != (task_type, host) or keys[0] != keys[1]:
        raise ConfigurationError(
            f"reference {task.reference!r} stands for another task, a {task_type} for "
            f"{host or 'no page'}; give each task one of its own"
        )

"""Who waits for what: callers of tasks that are paid or not yet, alone or together."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Any, Final

import anyio
from anyio.lowlevel import checkpoint

from ezcaptcha_async._account import Session
from ezcaptcha_async._books import AnyOutcome, Entry, Line, Phase, Waiters
from ezcaptcha_async._runtime import Waiter
from ezcaptcha_async.errors import EzCaptchaError, SolveTimeoutError, TicketCancelledError
from ezcaptcha_async.solutions import Solution

BY_OTHERS: Final = (SolveTimeoutError, TicketCancelledError)
"""How a wait for a task ends that goes on all the same, for whoever else wants it."""


class Callers:
    """Those who wait for entries of the books.

    Args:
        sessions: Which account works on which line of entries; until a task is paid, its line may
            change.
    """

    def __init__(self, sessions: Mapping[Line, Session]) -> None:
        self.sessions = sessions

    def session_of(self, entry: Entry) -> Session:
        """Return the account that works on it now."""
        return self.sessions[entry.line]

    def wait_for(self, entry: Entry) -> Waiter:
        """Return what to await for the outcome of a task that was begun, or put in line, just now.

        Its only caller, whose deadline it has, ends that wait with `taken` or `let_go`.
        """
        waiter = entry.waiters = self.sessions[entry.line].loop.waiter()
        return waiter

    def taken(self, entry: Entry, waiter: Waiter, outcome: AnyOutcome) -> Solution:
        """Return the solution that the outcome is.

        Raises:
            EzCaptchaError: Why there is none.
        """
        entry.waiters = _without(entry.waiters, waiter)
        return self.sessions[entry.line].collect(entry, outcome)

    def let_go(self, entry: Entry, waiter: Waiter) -> None:
        """Give up the wait, because it was interrupted.

        A caller who was cancelled in the very moment of delivery lets go too: the
        solution is kept as an orphan.
        """
        entry.waiters = _without(entry.waiters, waiter)
        self.release(entry)

    def release(self, entry: Entry | None) -> None:
        """Note that one who wanted it does so no more; None where nothing was begun."""
        if entry is not None:
            self.sessions[entry.line].books.release(entry)

    async def redeem(self, entry: Entry, deadline: float) -> Solution:
        """Wait for the solution, and let go when the wait is interrupted.

        Args:
            entry: The task.
            deadline: Until when this caller waits for a task that others may wait for too.

        Raises:
            EzCaptchaError: Why there is no solution.
        """
        try:
            outcome = await self.shared(entry, deadline)
        except BaseException:
            self.release(entry)
            raise
        return self.sessions[entry.line].collect(entry, outcome)

    async def shared(
        self,
        entry: Entry,
        deadline: float | None,
        but: tuple[type[EzCaptchaError], ...] = BY_OTHERS,
    ) -> AnyOutcome:
        """Wait for what the task comes to, with others: who gives up does so for himself alone.

        An orphan is taken up again. The outcome is what *this* caller was told: the entry may have
        been taken up again by somebody else before the caller has its turn.

        Args:
            entry: The task.
            deadline: Until when this caller waits; None for the only one, whose deadline the
                task has.
            but: What others bring about that does not end this wait.

        Raises:
            SolveTimeoutError: The deadline passed first.
        """
        while True:
            session = self.sessions[entry.line]
            if entry.outcome is None:
                session.check_here()
                if entry.phase is Phase.ORPHANED:
                    # Where its solution came meanwhile, this is the answer already.
                    session.hold(entry)
            outcome = entry.outcome
            if outcome is None:
                patience = inf if deadline is None else deadline
                outcome = await self._heard(entry, session.loop.waiter(), patience)
            else:
                await checkpoint()
            if deadline is None or not isinstance(outcome, but) or not session.loop.is_running:
                return outcome
            self.sessions[entry.line].hold(entry)
            if entry.outcome is outcome:
                return outcome  # it has ended with that, for everybody

    async def created(self, entry: Entry, deadline: float | None) -> None:
        """Wait until a task is created; `deadline` as for `shared`.

        Raises:
            EzCaptchaError: It is not, and why.
        """
        try:
            outcome = await self._told_of_creation(entry, deadline)
        except BaseException:
            self.release(entry)
            raise
        if entry.task_id is None and outcome is not None:
            self.sessions[entry.line].collect(entry, outcome)

    async def _told_of_creation(self, entry: Entry, deadline: float | None) -> AnyOutcome | None:
        if entry.task_id is not None:  # somebody else has it created
            await checkpoint()
            return entry.outcome
        waiter = self.sessions[entry.line].loop.waiter()
        entry.creators = _with(entry.creators, waiter)
        try:
            told: AnyOutcome | None = await self._heard(entry, waiter, deadline or inf)
            return told
        finally:
            entry.creators = _without(entry.creators, waiter)

    async def _heard(self, entry: Entry, waiter: Waiter, deadline: float) -> Any:
        """Wait among those whom the books answer."""
        entry.waiters = _with(entry.waiters, waiter)
        try:
            if deadline == inf:  # as nearly always: a scope for each would cost more than the wait
                return await waiter
            with anyio.CancelScope(deadline=deadline):
                return await waiter
        finally:
            entry.waiters = _without(entry.waiters, waiter)
        raise self.sessions[entry.line].with_ticket(entry, entry.late())


def _with(waiters: Waiters, waiter: Waiter) -> Waiters:
    if isinstance(waiters, dict):
        waiters[waiter] = None
        return waiters
    return waiter if waiters is None else {waiters: None, waiter: None}


def _without(waiters: Waiters, waiter: Waiter) -> Waiters:
    if isinstance(waiters, dict):
        del waiters[waiter]
        return waiters
    return None

"""One caller's hold on a task in flight: wait for it, decode it, or let go of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar, cast

from anyio.lowlevel import checkpoint

from ezcaptcha_async._entries import AnyOutcome, Entry, Line, Phase, Solved
from ezcaptcha_async._saved import SavedTask
from ezcaptcha_async._session import Session
from ezcaptcha_async._wire import decode_solution
from ezcaptcha_async.errors import EzCaptchaError, ProtocolError, ServiceError
from ezcaptcha_async.solutions import Receipt, Solution

S = TypeVar("S", bound=Solution)


class Claim(Generic[S]):
    """What one caller has in the books.

    Args:
        entry: The task in flight; the caller counts among its holders.
        session_of: Which account works on which line of entries.
    """

    __slots__ = ("_ended", "_session_of", "entry")

    def __init__(self, entry: Entry, session_of: Mapping[Line, Session]) -> None:
        self.entry: Entry = entry
        self._session_of = session_of
        self._ended = False

    def __repr__(self) -> str:
        return f"<Claim on {self.entry.task_id}, {self.entry.phase.name.lower()}>"

    @property
    def session(self) -> Session:
        """The account that works on it; until it is paid that may change."""
        return self._session_of[self.entry.line]

    async def redeem(self) -> S:
        """Wait for the solution, and let go when the wait is interrupted.

        A caller who was cancelled in the very moment of delivery lets go too: the
        solution is kept as an orphan.

        Raises:
            EzCaptchaError: Why there is no solution.
        """
        try:
            outcome = await self.settled()
        except BaseException:
            self.release()
            raise
        return self.collect(outcome)

    async def settled(self) -> AnyOutcome:
        """Wait for what the task comes to; an orphan is taken up again.

        The outcome is what *this* caller was told: the entry may have been taken up again
        by somebody else before the caller has its turn.
        """
        entry = self.entry
        if entry.outcome is None:
            self.session.check_here()
            if entry.phase is Phase.ORPHANED:
                # Where its solution came meanwhile, this is the answer already.
                self.session.hold(entry)
        if entry.outcome is None:
            told: AnyOutcome = await self._told()
            return told
        outcome = entry.outcome
        await checkpoint()
        return outcome

    async def created(self) -> AnyOutcome | None:
        """Wait until a task just queued is created, or certain not to be.

        Returns:
            What it came to already; None when it is on its way.
        """
        told: AnyOutcome | None = await self._told(also_when_created=True)
        return told

    def collect(self, outcome: AnyOutcome) -> S:
        """Turn an outcome into what it means for a caller, who has it from here on.

        Raises:
            EzCaptchaError: Why there is no solution. A fresh exception for each caller,
                with the ticket as soon as something was paid.
        """
        try:
            return self.reveal(outcome)
        finally:
            self.confirm()

    def reveal(self, outcome: AnyOutcome) -> S:
        """Do the same for a caller who will `confirm` that it was kept."""
        self.entry.delivered = True
        result = self._decode(outcome) if isinstance(outcome, Solved) else outcome
        self._ended = isinstance(result, Solution) or self._is_final(result)
        if isinstance(result, Solution):
            return cast("S", result)
        raise self.with_ticket(result)

    def confirm(self) -> None:
        """What was revealed is in the caller's hands: nobody need fetch it again."""
        if self._ended:
            self.session.delivered(self.entry)

    def release(self) -> None:
        """Let go; the last one who does turns a paid task into an orphan."""
        self.session.release(self.entry)

    def saved(self) -> SavedTask:
        """Write the paid task down."""
        return self.session.saved(self.entry)

    def with_ticket(self, error: EzCaptchaError) -> EzCaptchaError:
        """Return a fresh copy of an error that carries the ticket, if one was paid for."""
        if self.entry.task_id is None:
            fresh = error.for_ticket(None, None)
            fresh.may_be_charged |= self.entry.repeated
            return fresh
        return error.for_ticket(self.entry.task_id, self.saved().to_dict())

    async def _told(self, *, also_when_created: bool = False) -> Any:
        waiter = self.session.loop.waiter()
        entry = self.entry
        entry.waiters = (*entry.waiters, waiter)
        if also_when_created:
            entry.creator = waiter
        try:
            return await waiter
        finally:
            entry.creator = None
            entry.waiters = tuple(item for item in entry.waiters if item is not waiter)

    def _is_final(self, error: EzCaptchaError) -> bool:
        """Tell whether an error is the task's own end, which another try would meet again."""
        entry = self.entry
        ended = entry.phase in {Phase.FAILED, Phase.LAPSED} and error is entry.outcome
        return ended and not (isinstance(error, ServiceError) and error.concerns_account)

    def _decode(self, solved: Solved) -> Solution | ProtocolError:
        entry, epoch = self.entry, self.session.epoch
        saved = self.saved()
        receipt = Receipt(
            task_id=saved.task_id,
            service=saved.service,
            task_type=saved.type,
            created_at=saved.created_at,
            processing_at=saved.processing_at,
            ready_at=solved.at + epoch,
            polls=saved.polls,
            points=saved.points,
        )
        unsolved_at = saved.processing_at or saved.created_at
        if entry.answered:
            # The service judged between sending and receipt; the earlier one is safe.
            unsolved_at = saved.created_at + entry.polled_age
        try:
            return decode_solution(
                entry.solution_type,
                solved.raw,
                receipt=receipt,
                expires_at=unsolved_at + self.session.service.token_validity,
            )
        except ProtocolError as error:
            return error

"""One task in flight, as its caller has it: wait for it, decode it, write it down, let go of it.

`Ticket` is the face of a task that is paid. The functions below it work on any entry of the
books, paid or not yet, and on the accounts among which it may still change.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any, Generic, NoReturn, TypeAlias, TypeVar, cast

from anyio.lowlevel import checkpoint

from ezcaptcha_async._account import Session
from ezcaptcha_async._books import AnyOutcome, Entry, Line, Phase, Solved
from ezcaptcha_async._runtime import Waiter
from ezcaptcha_async._wire import decode_solution
from ezcaptcha_async.errors import (
    EzCaptchaError,
    ProtocolError,
    SavedTicket,
    ServiceError,
    TicketCancelledError,
)
from ezcaptcha_async.solutions import Receipt, Solution

S = TypeVar("S", bound=Solution)

Sessions: TypeAlias = Mapping[Line, Session]
"""Which account works on which line of entries; until a task is paid, its line may change."""


class Ticket(Generic[S]):
    """One created task. It is paid: its id is worth money until the result window ends.

    ``SessionPool.submit`` gives tickets out. Await one for its solution, as often as you
    like; cancelling whoever awaits it does not cancel the ticket.

    Example:
        >>> async with SessionPool() as pool:
        ...     ticket = await pool.submit(TASK)  # paid from here on
        ...     print(ticket.state, ticket.done)
        ...     solution = await ticket
        waiting False
        >>> ticket.state, ticket.done
        ('solved', True)
    """

    __slots__ = ("_entry", "_sessions")

    def __init__(self, entry: Entry, sessions: Sessions) -> None:
        self._entry = entry
        self._sessions = sessions

    def __repr__(self) -> str:
        return f"<Ticket {self.task_id} of {self.task_type}, {self.state}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Ticket belongs to its pool and cannot be pickled or copied; keep ticket.to_dict(), "
            "which SessionPool.resume takes in any process"
        )

    @property
    def task_id(self) -> str:
        """The service's id of the task."""
        return self._entry.task_id or ""

    @property
    def task_type(self) -> str:
        """The task's type."""
        return self._entry.kind.task_type

    @property
    def reference(self) -> str | None:
        """What the task is to whoever wanted it solved: ``Task.reference``."""
        return self._entry.reference

    @property
    def account(self) -> str:
        """Name of the account that paid."""
        return self._session.account.name

    @property
    def state(self) -> str:
        """One word: waiting, polling, orphaned, solved, failed or lapsed."""
        return self._entry.phase.name.lower()

    @property
    def done(self) -> bool:
        """True when awaiting it gives an answer at once."""
        return self._entry.outcome is not None

    @property
    def created_at(self) -> float:
        """Unix time in seconds of its creation."""
        return self._entry.created_at + self._session.unix_offset

    @property
    def lapses_at(self) -> float:
        """Unix time in seconds at which its result window ends."""
        return self._entry.lapses_at + self._session.unix_offset

    @property
    def estimated_remaining(self) -> float | None:
        """Seconds until it is ready, as expected; half of such tasks are sooner.

        None when it is not polled, and while nothing is known of tasks of its type.
        """
        return self._session.remaining(self._entry)

    def to_dict(self) -> SavedTicket:
        """Write the ticket down as a JSON-able dict; it holds no secret.

        Give it to ``SessionPool.resume``, in this process or in another one, before
        `lapses_at`, in a pool that has the same client key.

        Example:
            >>> import json
            >>> async with SessionPool() as pool:
            ...     ticket = await pool.submit(TASK)
            ...     text = json.dumps(ticket.to_dict())
            >>> async with SessionPool() as pool:  # in another process
            ...     solution = await pool.resume(json.loads(text))
        """
        return self._session.saved(self._entry).to_dict()

    def cancel(self) -> bool:
        """Stop polling. The task stays paid and can be resumed until its window ends.

        Whoever awaits the ticket gets `TicketCancelledError`.

        Returns:
            True when it was still in flight.

        Example:
            >>> async with SessionPool() as pool:
            ...     ticket = await pool.submit(TASK)
            ...     ticket.cancel()
            ...     solution = await pool.resume(ticket)  # it is paid
            True
        """
        entry = self._entry
        if self.done or entry.phase is Phase.ORPHANED:
            return False
        self._session.abandon(entry, TicketCancelledError("the ticket was cancelled"))
        return True

    def __await__(self) -> Generator[Any, Any, S]:
        """Wait for the solution.

        Raises:
            TaskFailedError: The service gave up.
            ResultWindowLapsedError: The result window ended first.
            SolveTimeoutError: The ``timeout`` of ``submit`` passed first.
            TicketCancelledError: `cancel` was called.
            PoolClosedError: The pool was closed first.
            EzCaptchaError: Whatever else the service said. All of these carry the ticket.
            ConfigurationError: The ticket belongs to another event loop or process.
        """
        return self._outcome().__await__()

    async def _outcome(self) -> S:
        solution = collect(self._entry, self._sessions, await settled(self._entry, self._sessions))
        return cast("S", solution)

    @property
    def _session(self) -> Session:
        return self._sessions[self._entry.line]


async def redeem(entry: Entry, sessions: Sessions) -> Solution:
    """Wait for the solution, and let go when the wait is interrupted.

    A caller who was cancelled in the very moment of delivery lets go too: the
    solution is kept as an orphan.

    Raises:
        EzCaptchaError: Why there is no solution.
    """
    try:
        outcome = await settled(entry, sessions)
    except BaseException:
        sessions[entry.line].release(entry)
        raise
    return collect(entry, sessions, outcome)


async def settled(entry: Entry, sessions: Sessions) -> AnyOutcome:
    """Wait for what the task comes to; an orphan is taken up again.

    The outcome is what *this* caller was told: the entry may have been taken up again
    by somebody else before the caller has its turn.
    """
    if entry.outcome is None:
        session = sessions[entry.line]
        session.check_here()
        if entry.phase is Phase.ORPHANED:
            # Where its solution came meanwhile, this is the answer already.
            session.hold(entry)
    if entry.outcome is None:
        waiter = sessions[entry.line].loop.waiter()
        told: AnyOutcome = await _heard(entry, waiter)
        return told
    outcome = entry.outcome
    await checkpoint()
    return outcome


async def created(entry: Entry, sessions: Sessions) -> AnyOutcome | None:
    """Wait until a task just queued is created, or certain not to be.

    Returns:
        What it came to already; None when it is on its way.
    """
    entry.creator = waiter = sessions[entry.line].loop.waiter()
    try:
        told: AnyOutcome | None = await _heard(entry, waiter)
        return told
    finally:
        entry.creator = None


def collect(entry: Entry, sessions: Sessions, outcome: AnyOutcome) -> Solution:
    """Turn an outcome into what it means for a caller, who has it from here on.

    Raises:
        EzCaptchaError: Why there is no solution. A fresh exception for each caller,
            with the ticket as soon as something was paid.
    """
    try:
        return reveal(entry, sessions, outcome)
    finally:
        confirm(entry, sessions, outcome)


def reveal(entry: Entry, sessions: Sessions, outcome: AnyOutcome) -> Solution:
    """Turn an outcome into what it means for a caller who will `confirm` that it was kept.

    Raises:
        EzCaptchaError: As `collect` does.
    """
    entry.delivered = True
    session = sessions[entry.line]
    result = _decode(entry, session, outcome) if isinstance(outcome, Solved) else outcome
    if isinstance(result, Solution):
        # A ticket that is done can be awaited anywhere, also where its loop has no time any more.
        if session.loop.is_running and result.expires_at <= session.unix_time():
            session.note_expired(entry)
        return result
    entry.undecodable = isinstance(outcome, Solved)
    raise with_ticket(entry, session, result)


def confirm(entry: Entry, sessions: Sessions, outcome: AnyOutcome) -> None:
    """What was revealed is in the caller's hands: nobody need fetch it again."""
    # What could not be read may be fetched again, as another type.
    read = isinstance(outcome, Solved) and not entry.undecodable
    if read or (isinstance(outcome, EzCaptchaError) and _is_final(entry, outcome)):
        sessions[entry.line].delivered(entry)


def with_ticket(entry: Entry, session: Session, error: EzCaptchaError) -> EzCaptchaError:
    """Return a fresh copy of an error that carries the ticket, if one was paid for."""
    if entry.task_id is None:
        fresh = error.for_ticket(None, None)
        fresh.may_be_charged |= entry.repeated
        return fresh
    return error.for_ticket(entry.task_id, session.saved(entry).to_dict())


async def _heard(entry: Entry, waiter: Waiter) -> Any:
    """Wait among those whom the books answer."""
    entry.waiters = (*entry.waiters, waiter)
    try:
        return await waiter
    finally:
        entry.waiters = tuple(item for item in entry.waiters if item is not waiter)


def _is_final(entry: Entry, error: EzCaptchaError) -> bool:
    """Tell whether an error is the task's own end, which another try would meet again."""
    ended = entry.phase in {Phase.FAILED, Phase.LAPSED} and error is entry.outcome
    return ended and not (isinstance(error, ServiceError) and error.concerns_account)


def _decode(entry: Entry, session: Session, solved: Solved) -> Solution | ProtocolError:
    saved = session.saved(entry)
    receipt = Receipt(
        task_id=saved.task_id,
        service=saved.service,
        task_type=saved.type,
        created_at=saved.created_at,
        processing_at=saved.processing_at,
        ready_at=solved.at + session.unix_offset,
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
            expires_at=unsolved_at + session.service.token_validity,
        )
    except ProtocolError as error:
        return error

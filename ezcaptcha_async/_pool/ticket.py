"""One task in flight, as its caller has it: wait for it, write it down, let go of it.

`Ticket` is the face of a task that is paid. The functions below it wait for any entry of the
books, paid or not yet, among accounts of which another may still take it over.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from math import inf
from typing import Any, Generic, NoReturn, TypeAlias, TypeVar, cast

import anyio
from anyio.lowlevel import checkpoint

from ezcaptcha_async._account import Session
from ezcaptcha_async._books import AnyOutcome, Entry, Line, Phase, Waiters
from ezcaptcha_async._runtime import Waiter
from ezcaptcha_async.errors import (
    EzCaptchaError,
    SavedTicket,
    SolveTimeoutError,
    TicketCancelledError,
)
from ezcaptcha_async.solutions import Solution

S = TypeVar("S", bound=Solution)

Sessions: TypeAlias = Mapping[Line, Session]
"""Which account works on which line of entries; until a task is paid, its line may change."""


class Ticket(Generic[S]):
    """One created task. It is paid: its id is worth money until the result window ends.

    ``SessionPool.submit`` gives tickets out. Await one for its solution, as often as you
    like; cancelling whoever awaits it does not cancel the ticket. Two that one pool gives out for
    one task are equal.

    Example:
        >>> async with SessionPool() as pool:
        ...     ticket = await pool.submit(TASK)  # paid from here on
        ...     print(ticket.state, ticket.done)
        ...     solution = await ticket
        waiting False
        >>> ticket.state, ticket.done
        ('solved', True)
    """

    __slots__ = ("_deadline", "_entry", "_sessions")

    def __init__(self, entry: Entry, sessions: Sessions, deadline: float | None = None) -> None:
        self._entry = entry
        self._sessions = sessions
        self._deadline = deadline

    def __repr__(self) -> str:
        return f"<Ticket {self.task_id} of {self.task_type}, {self.state}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ticket) and self._entry is other._entry

    def __hash__(self) -> int:
        return hash(self._entry)

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

        Raises:
            ConfigurationError: It is, and the caller is in another event loop, thread or process.

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
        self._session.check_here()
        self._session.books.abandon(entry, TicketCancelledError("the ticket was cancelled"))
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
            ConfigurationError: The ticket belongs to another event loop, thread or process.
        """
        return self._outcome().__await__()

    async def _outcome(self) -> S:
        entry, deadline = self._entry, self._deadline
        outcome = await shared(entry, self._sessions, deadline, but=(SolveTimeoutError,))
        return cast("S", self._session.collect(entry, outcome))

    @property
    def _session(self) -> Session:
        return self._sessions[self._entry.line]


def wait_for(entry: Entry, sessions: Sessions) -> Waiter:
    """Return what to await for the outcome of a task that was begun just now.

    Its only caller, whose deadline it has, ends that wait with `taken` or `let_go`.
    """
    waiter = sessions[entry.line].loop.waiter()
    entry.waiters = _with(entry.waiters, waiter)
    return waiter


def taken(entry: Entry, sessions: Sessions, waiter: Waiter, outcome: AnyOutcome) -> Solution:
    """Return the solution that the outcome is.

    Raises:
        EzCaptchaError: Why there is none.
    """
    entry.waiters = _without(entry.waiters, waiter)
    return sessions[entry.line].collect(entry, outcome)


def let_go(entry: Entry, sessions: Sessions, waiter: Waiter) -> None:
    """Give up the wait, because it was interrupted.

    A caller who was cancelled in the very moment of delivery lets go too: the
    solution is kept as an orphan.
    """
    entry.waiters = _without(entry.waiters, waiter)
    sessions[entry.line].books.release(entry)


async def redeem(entry: Entry, sessions: Sessions, deadline: float) -> Solution:
    """Wait for the solution, and let go when the wait is interrupted.

    Args:
        entry: The task.
        sessions: Who works on it.
        deadline: Until when this caller waits for a task that others may wait for too.

    Raises:
        EzCaptchaError: Why there is no solution.
    """
    try:
        outcome = await shared(entry, sessions, deadline)
    except BaseException:
        sessions[entry.line].books.release(entry)
        raise
    return sessions[entry.line].collect(entry, outcome)


async def shared(
    entry: Entry,
    sessions: Sessions,
    deadline: float | None,
    but: tuple[type[EzCaptchaError], ...] = (SolveTimeoutError, TicketCancelledError),
) -> AnyOutcome:
    """Wait for what the task comes to, with others: who gives up does so for himself alone.

    An orphan is taken up again. The outcome is what *this* caller was told: the entry may have
    been taken up again by somebody else before the caller has its turn.

    Args:
        entry: The task.
        sessions: Who works on it.
        deadline: Until when this caller waits; None for the only one, whose deadline the task has.
        but: What others bring about that does not end this wait.

    Raises:
        SolveTimeoutError: The deadline passed first.
    """
    while True:
        session = sessions[entry.line]
        if entry.outcome is None:
            session.check_here()
            if entry.phase is Phase.ORPHANED:
                # Where its solution came meanwhile, this is the answer already.
                session.hold(entry)
        outcome = entry.outcome
        if outcome is None:
            patience = inf if deadline is None else deadline
            outcome = await _heard(entry, sessions, session.loop.waiter(), patience)
        else:
            await checkpoint()
        if deadline is None or not isinstance(outcome, but):
            return outcome
        sessions[entry.line].hold(entry)
        if entry.outcome is outcome:
            return outcome  # it has ended with that, for everybody


async def created(entry: Entry, sessions: Sessions, deadline: float | None) -> AnyOutcome | None:
    """Wait until a task is created, or certain not to be; `deadline` as for `redeem`.

    Returns:
        What it came to already; None when it is on its way.

    Raises:
        SolveTimeoutError: The deadline passed first.
    """
    if entry.task_id is not None:  # somebody else has it created
        await checkpoint()
        return entry.outcome
    waiter = sessions[entry.line].loop.waiter()
    entry.creators = _with(entry.creators, waiter)
    try:
        told: AnyOutcome | None = await _heard(entry, sessions, waiter, deadline or inf)
        return told
    finally:
        entry.creators = _without(entry.creators, waiter)


async def _heard(entry: Entry, sessions: Sessions, waiter: Waiter, deadline: float) -> Any:
    """Wait among those whom the books answer."""
    entry.waiters = _with(entry.waiters, waiter)
    try:
        if deadline == inf:  # as nearly always: a scope for each would cost more than the wait
            return await waiter
        with anyio.CancelScope(deadline=deadline):
            return await waiter
    finally:
        entry.waiters = _without(entry.waiters, waiter)
    raise sessions[entry.line].with_ticket(entry, entry.late())


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

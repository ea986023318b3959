"""A task that is paid, as its caller has it: wait for it, write it down, let go of it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Generic, NoReturn, TypeVar, cast

from ezcaptcha_async._account import Session
from ezcaptcha_async._books import Entry, Phase
from ezcaptcha_async._pool.callers import Callers
from ezcaptcha_async.errors import (
    EzCaptchaError,
    SavedTicket,
    SolveTimeoutError,
    TicketCancelledError,
)
from ezcaptcha_async.solutions import Solution

S = TypeVar("S", bound=Solution)


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

    __slots__ = ("_but", "_callers", "_deadline", "_entry")

    def __init__(
        self,
        entry: Entry,
        callers: Any,
        deadline: float | None = None,
        but: tuple[type[EzCaptchaError], ...] = (SolveTimeoutError,),
    ) -> None:
        self._entry = entry
        # Not in the signature, from which type checkers would look through the whole house.
        self._callers: Callers = callers
        self._deadline = deadline
        self._but = but

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
        outcome = self._entry.outcome
        is_others = self._deadline is not None and isinstance(outcome, self._but)
        return outcome is not None and not is_others

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
        outcome = await self._callers.shared(self._entry, self._deadline, self._but)
        return cast("S", self._session.collect(self._entry, outcome))

    @property
    def _session(self) -> Session:
        return self._callers.session_of(self._entry)

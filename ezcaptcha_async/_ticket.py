"""The face of one paid task: await it, write it down, cancel it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Generic, TypeVar

from ezcaptcha_async._claim import Claim
from ezcaptcha_async._entries import Phase
from ezcaptcha_async.errors import SavedTicket, TicketCancelledError
from ezcaptcha_async.solutions import Solution

S = TypeVar("S", bound=Solution)


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

    __slots__ = ("_claim",)

    def __init__(self, claim: Claim[S]) -> None:
        self._claim = claim

    def __repr__(self) -> str:
        return f"<Ticket {self.task_id} of {self.task_type}, {self.state}>"

    @property
    def task_id(self) -> str:
        """The service's id of the task."""
        return self._claim.entry.task_id or ""

    @property
    def task_type(self) -> str:
        """The task's type."""
        return self._claim.entry.kind.task_type

    @property
    def reference(self) -> str | None:
        """What the task is to whoever wanted it solved: ``Task.reference``."""
        return self._claim.entry.reference

    @property
    def account(self) -> str:
        """Name of the account that paid."""
        return self._claim.session.account.name

    @property
    def state(self) -> str:
        """One word: waiting, polling, orphaned, solved, failed or lapsed."""
        return self._claim.entry.phase.name.lower()

    @property
    def done(self) -> bool:
        """True when awaiting it gives an answer at once."""
        return self._claim.entry.outcome is not None

    @property
    def created_at(self) -> float:
        """Unix time in seconds of its creation."""
        return self._claim.entry.created_at + self._claim.session.epoch

    @property
    def lapses_at(self) -> float:
        """Unix time in seconds at which its result window ends."""
        return self._claim.entry.lapses_at + self._claim.session.epoch

    @property
    def estimated_remaining(self) -> float | None:
        """Seconds until it is ready, as expected; half of such tasks are sooner.

        None when it is not polled, and while nothing is known of tasks of its type.
        """
        return self._claim.session.remaining(self._claim.entry)

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
        return self._claim.saved().to_dict()

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
        entry = self._claim.entry
        if self.done or entry.phase is Phase.ORPHANED:
            return False
        self._claim.session.abandon(entry, TicketCancelledError("the ticket was cancelled"))
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
        return self._claim.collect(await self._claim.settled())

"""Many at once, new tasks or paid ones: read lazily, bounded, given out as they complete."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
)
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial
from itertools import count
from math import exp, inf
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar, cast

import anyio
import attrs
from anyio.lowlevel import checkpoint

from ezcaptcha_async._books import AnyOutcome, Entry
from ezcaptcha_async._journal import Ledger, SavedTask
from ezcaptcha_async._pool.accounts import Accounts
from ezcaptcha_async._pool.callers import Callers
from ezcaptcha_async._runtime import unwrapped
from ezcaptcha_async.errors import (
    ConfigurationError,
    EzCaptchaError,
    ResultWindowLapsedError,
    SavedTicket,
)
from ezcaptcha_async.solutions import Solution
from ezcaptcha_async.tasks import Task

if TYPE_CHECKING:
    from anyio.abc import ObjectReceiveStream, ObjectSendStream

MOST_IN_FLIGHT: Final = 500
"""Most tasks begun and not taken, where the user names no number."""

T = TypeVar("T")
S = TypeVar("S", bound=Solution)
R = TypeVar("R")


@attrs.frozen(kw_only=True)
class Outcome(Generic[S]):
    """What became of one task of ``solve_many``: either `solution` or `error` is set.

    Args:
        index: Position of the task in the input, from 0.
        task: The task itself.
        solution: What it was solved with.
        error: Why it was not.

    Example:
        >>> async with SessionPool() as pool, pool.solve_many([TASK, TASK]) as outcomes:
        ...     known = {outcome.index: outcome async for outcome in outcomes}
        >>> known[1].solution.token, known[1].error
        ('simulated.recaptcha...', None)
    """

    index: int
    task: Task[S]
    solution: S | None = None
    error: EzCaptchaError | None = None


@attrs.frozen(kw_only=True)
class Resumed:
    """What became of one paid task of ``resume_all``: `solution` or `error` is set.

    Args:
        ticket: The paid task as the journal had it; ``SessionPool.resume`` takes it.
        solution: What it was solved with.
        error: Why it was not.

    Example:
        >>> async with SessionPool(journal="paid.jsonl") as pool:
        ...     ticket = await pool.submit(TASK)  # and then the program ends
        >>> async with SessionPool(journal="paid.jsonl") as pool, pool.resume_all() as outcomes:
        ...     async for outcome in outcomes:
        ...         print(outcome.task_id == ticket.task_id, outcome.solution.token)
        True simulated.recaptcha...
    """

    ticket: SavedTicket = attrs.field(hash=False)
    solution: Solution | None = None
    error: EzCaptchaError | None = None

    @property
    def task_id(self) -> str:
        """The service's id of the task."""
        return self.ticket["task_id"]

    @property
    def reference(self) -> str | None:
        """What the task is to whoever wanted it solved: ``Task.reference``."""
        return self.ticket.get("reference")  # others leave out what is not set


def solved(
    tasks: Iterable[Task[S]] | AsyncIterable[Task[S]],
    start: _Start[Task[S]],
    callers: Callable[[], Callers],
    *,
    max_in_flight: int | None,
) -> AbstractAsyncContextManager[AsyncIterator[Outcome[S]]]:
    """Solve new tasks; see `SessionPool.solve_many`.

    Args:
        tasks: What to solve.
        start: Begins with one of them.
        callers: Returns who waits in the pool.
        max_in_flight: Most tasks begun whose outcome has not been taken yet.
    """

    def life() -> tuple[float, float]:
        services = [session.service for session in callers().sessions.values()]
        seconds = min(service.token_validity for service in services)
        return seconds, _UNKNOWN_READER / max(service.speed for service in services)

    def made(
        index: int, task: Task[S], solution: Solution | None, error: EzCaptchaError | None
    ) -> Outcome[S]:
        known = cast("S | None", solution)
        return Outcome(index=index, task=task, solution=known, error=error)

    return _outcomes_of(
        tasks,
        start,
        made,
        callers,
        max_in_flight=MOST_IN_FLIGHT if max_in_flight is None else max_in_flight,
        life=life if max_in_flight is None else None,
    )


def resumed(
    ledger: Ledger, accounts: Accounts, callers: Callers, *, max_in_flight: int
) -> AbstractAsyncContextManager[AsyncIterator[Resumed]]:
    """Fetch what is paid and nobody has been given the outcome of; see `SessionPool.resume_all`.

    Args:
        ledger: Knows what earlier processes have paid for.
        accounts: Finds the accounts that have paid for them; the orphans of this pool are theirs.
        callers: Who waits in the pool.
        max_in_flight: Most tasks taken up whose outcome has not been taken yet.
    """
    left = [
        *ledger.inherited(),
        *(s.saved(entry) for s in accounts.sessions for entry in s.line.orphans()),
    ]
    # In a fleet, what others have left behind may be both.
    known = {(task.service, task.account, task.task_id): task for task in left}
    tasks = sorted(known.values(), key=lambda task: task.created_at)

    async def take_up(task: SavedTask) -> tuple[Entry, float]:
        ledger.taken_up(task)
        try:
            return accounts.take_up(task), inf
        except ConfigurationError as error:
            if not ledger.is_over(task):
                raise  # the account that has paid for it may still fetch it
            problem = error.message
        raise ResultWindowLapsedError(
            f"{problem}; its result window is over", task_id=task.task_id, ticket=task.to_dict()
        )

    def told(task: SavedTask, error: EzCaptchaError) -> None:
        if isinstance(error, ResultWindowLapsedError):
            ledger.done(task.service, task.account, task.task_id)

    def made(
        _index: int, task: SavedTask, solution: Solution | None, error: EzCaptchaError | None
    ) -> Resumed:
        return Resumed(ticket=task.to_dict(), solution=solution, error=error)

    return _outcomes_of(
        tasks,
        take_up,
        made,
        lambda: callers,
        max_in_flight=max_in_flight,
        told=told,
    )


_UNKNOWN_READER: Final = 1.5
"""Seconds that a reader is taken to need for each outcome, until it has shown it."""
_KNOWN_AT_FIRST: Final = 20
"""Outcomes that it is taken to have needed them for before."""

_TURN: Final = 100
"""Items after which other coroutines get their turn."""

_Start: TypeAlias = Callable[[T], Awaitable[tuple[Entry, float | None]]]
"""Begins with an item; returns its entry, and the deadline of this wait as `shared` has it."""
_Settled: TypeAlias = tuple[int, T, Entry | None, AnyOutcome]
_Make: TypeAlias = Callable[[int, T, Solution | None, EzCaptchaError | None], R]


@asynccontextmanager
async def _outcomes_of(
    items: Iterable[T] | AsyncIterable[T],
    start: _Start[T],
    make: _Make[T, R],
    callers: Callable[[], Callers],
    *,
    max_in_flight: int,
    told: Callable[[T, EzCaptchaError], None] | None = None,
    life: Callable[[], tuple[float, float]] | None = None,
) -> AsyncGenerator[AsyncIterator[R]]:
    """See to items side by side and yield an iterator over what becomes of them.

    Args:
        items: New tasks, or paid ones.
        start: Begins with one of them.
        make: Puts together what the reader gets for one.
        callers: Returns who waits in the pool.
        max_in_flight: Most items begun whose outcome has not been taken yet.
        told: Called when the reader has got why an item could not even be begun.
        life: See `_Places`; where it limits what is begun.

    Raises:
        PoolClosedError: The pool was never open.

    Where reading the items raises, what was begun is given out first: it may be paid for.

    What the reader has got counts as delivered when it asks for more, or leaves without an
    error: until then it may not have kept it.

    A place is free again only when its outcome has been taken, so that neither a long
    input nor a slow reader makes anything grow. What is solved but not taken when the
    reader leaves is released, and so stays among the pool's orphans.
    """
    who = callers()
    places = _Places(max_in_flight, life)
    send, receive = anyio.create_memory_object_stream[_Settled[T]]()
    outcomes = _Outcomes(receive, places, make, who, told)
    positions = count()

    async def solve(index: int, item: T, out: ObjectSendStream[_Settled[T]]) -> None:
        async with out:
            entry = None
            try:
                entry, deadline = await start(item)
                outcome = await who.shared(entry, deadline)
                await out.send((index, item, entry, outcome))
            except EzCaptchaError as error:  # not even begun, or too late for this caller
                who.release(entry)
                await out.send((index, item, None, error))
            except BaseException:
                who.release(entry)
                raise

    async def begin(item: T) -> None:
        await places.acquire()
        index = next(positions)
        if index % _TURN == 0:
            await checkpoint()  # what is read without waiting would starve the event loop
        group.start_soon(solve, index, item, send.clone())

    async def feed() -> None:
        async with send:
            try:
                await _for_each(items, begin)
            except Exception as error:  # noqa: BLE001 - raised when all that is begun is given out
                outcomes.failure = error

    try:
        async with receive, anyio.create_task_group() as group:
            group.start_soon(feed)
            yield outcomes
            outcomes.confirm()
            group.cancel_scope.cancel()
    except BaseExceptionGroup as group_of_failures:
        # Whoever reads raised; our group means nothing to them.
        failure = unwrapped(group_of_failures)
    else:
        return
    raise failure


class _Outcomes(AsyncIterator[R], Generic[T, R]):
    """Takes what is settled; a class, because a generator would have to be closed."""

    def __init__(
        self,
        stream: ObjectReceiveStream[_Settled[T]],
        places: _Places,
        make: _Make[T, R],
        callers: Callers,
        told: Callable[[T, EzCaptchaError], None] | None,
    ) -> None:
        self.failure: Exception | None = None  # of whatever the items are read from
        self._stream = stream
        self._places = places
        self._make = make
        self._callers = callers
        self._told = told
        self._confirm: Callable[[], None] | None = None

    def confirm(self) -> None:
        """The reader is done with what it got last."""
        confirm, self._confirm = self._confirm, None
        if confirm is not None:
            confirm()

    async def __anext__(self) -> R:
        self.confirm()
        self._places.asked()
        try:
            index, item, entry, outcome = await self._stream.receive()
        except anyio.EndOfStream:
            failure = self.failure or StopAsyncIteration()
        else:
            self._places.given()
            return self._given_out(index, item, entry, outcome)
        raise failure

    def _given_out(self, index: int, item: T, entry: Entry | None, outcome: AnyOutcome) -> R:
        if entry is None:
            error = cast("EzCaptchaError", outcome)
            if self._told is not None:
                self._confirm = partial(self._told, item, error)
            return self._make(index, item, None, error)
        session = self._callers.session_of(entry)
        self._confirm = partial(session.confirm, entry, outcome)
        try:
            return self._make(index, item, session.reveal(entry, outcome), None)
        except EzCaptchaError as error:
            return self._make(index, item, None, error)


class _Places:
    """How many items may be begun whose outcome has not been taken yet.

    Args:
        most: Most of them; whoever names a number himself gets it from the beginning.
        life: Returns the seconds for which a solution is of use, and those that a reader is taken
            to need for one at first; None where the reader is not to limit anything.
    """

    def __init__(self, most: int, life: Callable[[], tuple[float, float]] | None) -> None:
        self._most = most
        self._life = life
        self._reader: _Reader | None = None
        self._begun = 0
        self._given_at: float | None = None
        self._free = anyio.Event()

    async def acquire(self) -> None:
        """Wait for a place."""
        if self._reader is None and self._life is not None:
            self._reader = _Reader(self._most, *self._life())
        while self._begun >= (self._most if self._reader is None else self._reader.takes):
            self._free = anyio.Event()
            await self._free.wait()
        self._begun += 1

    def asked(self) -> None:
        """The reader is done with what it got, and wants the next outcome."""
        if self._given_at is not None and self._reader is not None:
            self._reader.took_one(anyio.current_time() - self._given_at)
            self._free.set()
        self._given_at = None

    def given(self) -> None:
        """The reader has got an outcome."""
        self._begun -= 1
        self._given_at = anyio.current_time()
        self._free.set()


class _Reader:
    """How many outcomes a reader takes within half the life of a token, by what it took of late.

    What is solved and not taken grows old, so no more than that are begun. At first it is taken
    for a slow one; each that it takes at once lets two more be begun, for who has taken a few
    quickly may only have put them aside.

    Args:
        most: More than so many are of no interest.
        life: Seconds for which a solution is of use.
        at_first: Seconds that it is taken to need for one at first.
    """

    def __init__(self, most: int, life: float, at_first: float) -> None:
        self._most = most
        self._span = life / 2
        self._seconds = _KNOWN_AT_FIRST * at_first
        self._took = float(_KNOWN_AT_FIRST)

    @property
    def takes(self) -> float:
        """How many it takes; 1 at least."""
        return max(1.0, self._span * self._took / self._seconds)

    def took_one(self, seconds: float) -> None:
        """Note an outcome that it took so long for, of its own time."""
        stays = exp(-seconds / self._span)
        self._seconds = stays * self._seconds + seconds
        # More would let no more be begun, but hide for long that it has become slow.
        enough = self._most * self._seconds / self._span
        self._took = min(stays * self._took + 1, enough)


async def _for_each(items: Iterable[T] | AsyncIterable[T], call: Callable[[T], Any]) -> None:
    if isinstance(items, AsyncGenerator):
        # Left to the garbage collector, it would end at the wrong time and place.
        async with aclosing(cast("AsyncGenerator[T]", items)) as generator:
            async for item in generator:
                await call(item)
    elif isinstance(items, AsyncIterable):
        async for item in items:
            await call(item)
    else:
        for item in items:
            await call(item)

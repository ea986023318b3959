"""What stands in the books: tickets, the accounts that they belong to, and their moves.

Values and plain records only; `Books` makes the moves. The legal ones are a table, and
an illegal one raises and changes nothing::

    QUEUED ◄─► CREATING ──► WAITING ◄──► POLLING ──► SOLVED    (QUEUED ──► WAITING: see `found`)
      │           │            │            │
      │           │            ├────────────┴──► FAILED, LAPSED
      │           │            ▼
      │           │         ORPHANED    (paid, nobody waits; resumable)
      │           ├──► REFUSED, UNKNOWN
      └───────────┴──► CANCELLED

An entry is answered once: `Entry.outcome` is set, and everybody in `Entry.waiters` gets it.
Answers are values; whoever waits turns them into a solution or an exception.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextvars import Context
from enum import IntEnum
from heapq import heappop, heappush
from math import inf
from operator import attrgetter
from typing import Any, Final, Literal, Protocol, TypeAlias

import attrs

from ezcaptcha_async._books.gate import Permit
from ezcaptcha_async._books.time_queue import TimeQueue
from ezcaptcha_async.errors import EzCaptchaError, SolveTimeoutError
from ezcaptcha_async.events import Endpoint
from ezcaptcha_async.tasks import Kind, SolutionType, Task
from ezcaptcha_async.transports import Reply


class Phase(IntEnum):
    """Where a ticket stands."""

    QUEUED = 0  # waits for the gate; costs nothing
    CREATING = 1  # createTask is in flight
    WAITING = 2  # paid; the next poll has a due time
    POLLING = 3  # paid; getTaskResult is in flight
    ORPHANED = 4  # paid; nobody waits, and it can still be fetched
    SOLVED = 5
    FAILED = 6  # paid; the service gave up, or will not give the result
    LAPSED = 7  # paid; the result window ended
    UNKNOWN = 8  # the answer to createTask was lost
    REFUSED = 9  # not paid; the service said no
    CANCELLED = 10  # not paid; the caller went away, timed out, or the pool closed


MOVES: Final[Mapping[Phase, tuple[Phase, ...]]] = {
    Phase.QUEUED: (Phase.CREATING, Phase.WAITING, Phase.REFUSED, Phase.CANCELLED),
    Phase.CREATING: (Phase.QUEUED, Phase.WAITING, Phase.REFUSED, Phase.UNKNOWN, Phase.CANCELLED),
    Phase.WAITING: (Phase.POLLING, Phase.FAILED, Phase.LAPSED, Phase.ORPHANED),
    Phase.POLLING: (Phase.WAITING, Phase.SOLVED, Phase.FAILED, Phase.LAPSED, Phase.ORPHANED),
    Phase.ORPHANED: (Phase.WAITING, Phase.POLLING, Phase.SOLVED, Phase.FAILED, Phase.LAPSED),
    # Solved, but the caller was cancelled in the very moment of delivery.
    Phase.SOLVED: (Phase.ORPHANED,),
    Phase.FAILED: (),
    Phase.LAPSED: (),
    Phase.UNKNOWN: (),
    Phase.REFUSED: (),
    Phase.CANCELLED: (),
}

IN_FLIGHT: Final = (Phase.WAITING, Phase.POLLING)
"""Paid, and polled for somebody."""

AT_SERVICE: Final = (Phase.CREATING, Phase.WAITING, Phase.POLLING, Phase.ORPHANED)
"""Sent to the service, and not over."""

PENDING: Final = (Phase.QUEUED, Phase.CREATING)
"""Not paid yet, and meant to be."""


_UNKNOWN_IN_A_ROW: Final = 5
"""Ids of tickets from elsewhere that the service did not know, before the others go singly."""


class IllegalMoveError(Exception):
    """A transition that the table does not have: a mistake in this library."""


class Waiting(Protocol):
    def done(self) -> bool: ...

    def set_result(self, result: Any, /) -> None: ...

    def set_exception(self, exception: BaseException, /) -> None: ...


def answer(waiter: Waiting, outcome: object) -> None:
    """Give one who waits the outcome; the first one stands."""
    if not waiter.done():
        waiter.set_result(outcome)


def refuse(waiter: Waiting, error: BaseException) -> None:
    """Have one who waits raise an error; what came first stands."""
    if not waiter.done():
        waiter.set_exception(error)


Waiters: TypeAlias = Waiting | dict[Waiting, None] | None
"""Those who wait. Nothing around the only one, as nearly always: with tens of thousands of
tickets each object less is one that the garbage collector does not stop the event loop for.
"""


def answer_all(waiters: Waiters, outcome: object) -> None:
    """Give all who wait the outcome."""
    if isinstance(waiters, dict):
        for waiter in waiters:
            answer(waiter, outcome)
    elif waiters is not None:
        answer(waiters, outcome)


class Watcher(Protocol):
    def moved(self, entry: Entry, state: Literal["created", "resumed"] | None = None) -> None: ...


class Gatekeeper(Protocol):
    def create_at(self, now: float, *, creating: int, in_flight: int) -> float: ...

    def poll_at(self, now: float) -> float: ...

    def send(self, endpoint: Endpoint, now: float) -> Permit: ...


@attrs.define
class Room:
    """What solutions take up that can still be asked for.

    Args:
        used: Bytes.
    """

    used: int = 0


@attrs.frozen
class Solved:
    """The outcome of a solved ticket.

    Args:
        kept: What its solution is decoded from.
        at: When its answer came.
        room: Where it is kept, for as long as somebody holds it.
    """

    kept: Reply = attrs.field(repr=False)
    at: float
    room: Room = attrs.field(factory=Room, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        self.room.used += len(self.kept.body)

    def __del__(self) -> None:
        self.room.used -= len(self.kept.body)


AnyOutcome: TypeAlias = Solved | EzCaptchaError
"""What became of a ticket."""


@attrs.define(eq=False, kw_only=True)
class Line:
    """The entries of one account.

    Args:
        gate: Says when this account may send.
        account: Its name.
        result_window: Seconds for which a paid task can be fetched.
        spacing: Least seconds between a ``processing`` answer and the next poll.
        token_validity: Seconds for which a solution is of use.
        tick: Seconds within which polls that fall due go out together; 0 for each by itself.
    """

    gate: Gatekeeper
    account: str = ""
    result_window: float
    spacing: float
    token_validity: float = inf
    tick: float = 0.0
    queue: OrderedDict[Entry, None] = attrs.field(factory=OrderedDict["Entry", None], repr=False)
    ready: TimeQueue[Entry] = attrs.field(factory=TimeQueue["Entry"], repr=False)
    """Due polls, the most urgent one first."""
    doubtful: TimeQueue[Entry] = attrs.field(factory=TimeQueue["Entry"], repr=False)
    """The same of tickets from elsewhere of which nothing good was heard here."""
    unknown_ids: int = 0
    """How many of those the service did not know, one after the other."""
    knows_ids: bool = False
    """Whether it knew one of them, and not as many unknown ones came after it."""
    doubtful_in_flight: int = 0
    creating: set[Entry] = attrs.field(factory=set["Entry"], repr=False)
    paid: dict[str, Entry] = attrs.field(factory=dict[str, "Entry"], repr=False)
    phases: list[int] = attrs.field(factory=lambda: [0] * len(Phase))
    at_service: dict[str, int] = attrs.field(factory=dict[str, int], repr=False)
    """How many tasks of each type are at the service."""
    free_places: dict[str, list[int]] = attrs.field(factory=dict[str, list[int]], repr=False)
    """Places of such that have left, of each type one heap; the next ones take them."""
    created: int = 0
    resumed: int = 0
    points: float = 0.0
    pending_points: float = 0.0
    """Prices of what is queued or being created."""
    repeated: int = 0
    """Creates whose answer was lost and that were sent once more."""
    unknown_points: float = 0.0
    """Prices of creates whose answer was lost; they may have been charged."""
    expired: int = 0
    """Solutions that had expired when they were given out."""
    most_in_flight: float = inf
    """How many tasks can be polled in time, as far as that is known."""
    most_late: float = inf
    """No more is created while the poll that is most overdue is so many seconds late."""
    held_since: float = -inf
    """Those who have been in line since then or longer are being seen to; nothing is created."""
    trouble: str | None = None
    """Why the account's last poll said nothing of its task, where it did not."""

    @property
    def polls_due(self) -> TimeQueue[Entry]:
        """The due polls of which the next one is taken.

        Where several ids in a row were unknown, those of which nothing good was heard go one
        at a time: the services ban for the same error over and over. So no more than several
        are under way until one of them is known.
        """
        if self.doubtful.next_time < self.ready.next_time:
            most = inf if self.knows_ids else max(1, _UNKNOWN_IN_A_ROW - self.unknown_ids)
            return self.doubtful if self.doubtful_in_flight < most else self.ready
        return self.ready

    @property
    def committed_points(self) -> float:
        """What was paid, may have been paid, and will be paid if all goes well."""
        return self.points + self.pending_points + self.unknown_points

    @property
    def in_flight(self) -> int:
        """Paid tickets that are being polled."""
        return self.phases[Phase.WAITING] + self.phases[Phase.POLLING]

    @property
    def pending(self) -> int:
        """Tickets that are not paid yet, and meant to be."""
        return self.phases[Phase.QUEUED] + self.phases[Phase.CREATING]

    @property
    def load(self) -> int:
        """Tickets that this account still has work with."""
        return self.pending + self.in_flight

    def enter(self, entry: Entry) -> None:
        """Count one more that is at the service, and give it a place among them.

        It is the lowest that is free. By their number alone, each that comes where so many are
        at work at a time would have the same one, and all of them or none would be scouts.
        """
        kind = entry.kind.task_type
        there = self.at_service.get(kind, 0)
        free = self.free_places.setdefault(kind, [])
        entry.place = heappop(free) if free else there
        self.at_service[kind] = there + 1

    def leave(self, entry: Entry) -> None:
        """Count one less."""
        kind = entry.kind.task_type
        self.at_service[kind] -= 1
        heappush(self.free_places[kind], entry.place)
        if not self.at_service[kind]:
            del self.at_service[kind], self.free_places[kind]

    def note_id(self, *, known: bool) -> None:
        """Note whether the service knew the id of a ticket from elsewhere."""
        self.unknown_ids = 0 if known else self.unknown_ids + 1
        self.knows_ids = known or (self.knows_ids and self.unknown_ids < _UNKNOWN_IN_A_ROW)

    def create_at(self, now: float) -> float:
        """Return when the next create may go: what could not be polled in time is not bought."""
        creating, in_flight = self.phases[Phase.CREATING], self.in_flight
        if self.held_since > -inf or creating + in_flight >= self.most_in_flight:
            return inf
        if self.ready.next_time < inf and now - self.ready.first().due_at > self.most_late:
            return inf
        return self.gate.create_at(now, creating=creating, in_flight=in_flight)

    def orphans(self) -> Iterator[Entry]:
        """Yield the paid entries that nobody waits for."""
        return (entry for entry in self.paid.values() if entry.phase is Phase.ORPHANED)


@attrs.define(eq=False)
class Entry:
    """One ticket in the books. Times are on the event loop's clock.

    Args:
        line: The account that it belongs to.
        kind: What its solve time depends on.
        solution_type: The class of its solution.
        task: What to create; None when it was created elsewhere.
        points: Listed price.
        reference: What the task is to its caller.
        number: Which of all tasks of the process it is, for whoever watches; 0 as long as it is in
            no books.
        deadline: When the caller's patience ends.
        queued_at: When the caller came.
        once: Whether at most one payment is made for its reference.
    """

    line: Line
    kind: Kind
    solution_type: SolutionType
    task: Task[Any] | None = attrs.field(default=None, repr=False)
    points: float | None = None
    reference: str | None = None
    number: int = 0
    deadline: float = inf
    queued_at: float = -inf
    once: bool = False

    phase: Phase = Phase.QUEUED
    task_id: str | None = None
    created_at: float = inf
    lapses_at: float = inf
    place: int = 0  # the lowest that no other task of its type at the service had
    attempts: int = 0  # createTask requests sent
    first_attempt_at: float | None = None  # when the first of them was turned down
    hand_overs: int = 0  # how often another account took it over
    repeated: bool = False  # createTask was sent once more after its answer was lost
    polls: int = 0  # getTaskResult requests sent
    answered: int = 0  # polls that said processing
    faults: int = 0  # polls in a row that said nothing
    trouble: str | None = None  # why its last request said nothing
    alike: int = 0  # how many of them in a row said nothing for that reason
    polled_age: float = 0.0  # when the last poll that was answered was sent
    processing_at: float | None = None  # when the last "processing" was received
    spaced_until: float = -inf  # before when the service wants no poll
    due_at: float = inf  # when the next poll should go out
    last_poll_at: float = inf  # when one is due at the latest
    urgent_at: float = inf  # from when on its polls go before others
    request_in_flight: bool = False
    is_doubtful: bool = False  # it came from elsewhere, and nothing good was heard of it yet
    holders: int = 1  # how many wait, or hold the ticket and may wait later
    delivered: bool = False
    undecodable: bool = False  # there is a solution, of a shape that nobody can read
    outcome: AnyOutcome | None = None  # what to tell whoever waits
    kept: Solved | None = None  # a solution that came when nobody waited
    context: Context | None = attrs.field(default=None, repr=False)  # its caller's, in no books yet
    creators: Waiters = attrs.field(default=None, repr=False)  # wait for the creation
    waiters: Waiters = attrs.field(default=None, repr=False)

    @property
    def unsolved_at(self) -> float:
        """The last moment at which the task was certainly not solved yet."""
        if self.answered:
            # The service judged between sending and receipt; the earlier one is safe.
            return self.created_at + self.polled_age
        return self.created_at if self.processing_at is None else self.processing_at

    @property
    def stands_until(self) -> float:
        """Until when what a paid task came to is what its reference came to."""
        if self.phase is Phase.SOLVED:
            return self.unsolved_at + self.line.token_validity
        return self.lapses_at

    def late(self) -> SolveTimeoutError:
        """Return what to tell a caller whose patience ends now."""
        step = "created" if self.task_id is None else "solved"
        why = "" if self.trouble is None else f"; its last request: {self.trouble}"
        return SolveTimeoutError(
            f"the timeout passed before the task was {step}{why}",
            may_be_charged=self.phase is not Phase.QUEUED,
        )

    def answer(self, outcome: AnyOutcome) -> None:
        """Give everybody who waits their outcome; the first one stands."""
        if self.outcome is None:
            self.outcome = outcome
            answer_all(self.waiters, outcome)


@attrs.define
class Command:
    """What the books have done next for one entry: what the permit is for."""

    entry: Entry
    permit: Permit = attrs.field(eq=attrgetter("endpoint"))

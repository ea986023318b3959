"""A schedule with plain settings, for tests that write events into its keeper."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from math import inf
from typing import Any, Final

import attrs

from ezcaptcha_async._books.books import Books
from ezcaptcha_async._books.entries import PENDING, AnyOutcome, Command, Entry, Line, Phase, Solved
from ezcaptcha_async._books.gate import Permit
from ezcaptcha_async.errors import EzCaptchaError, TaskFailedError
from ezcaptcha_async.events import Endpoint
from ezcaptcha_async.solutions import ReCaptchaSolution
from ezcaptcha_async.tasks import Kind, ReCaptchaV2TaskProxyless
from ezcaptcha_async.transports import Reply

READY = Reply(200, b'{"errorId":0,"status":"ready","solution":{"gRecaptchaResponse":"t"}}')
TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com", website_key="6Lc")
KIND = Kind("ezcaptcha", TASK.type, TASK.host)

PAID = frozenset({Phase.WAITING, Phase.POLLING, Phase.ORPHANED})
FINISHED = frozenset(Phase) - PAID - {Phase.QUEUED, Phase.CREATING}


class Listener:
    """Waits, and keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[AnyOutcome | None] = []

    def done(self) -> bool:
        """Return that it hears whatever it is told."""
        return False

    def set_result(self, result: AnyOutcome | None, /) -> None:
        """Keep it."""
        self.told.append(result)


class PlainGate:
    """A gate that says what the test says."""

    def __init__(self) -> None:
        self.creates_from = -inf
        self.polls_from = -inf

    def create_at(self, now: float, *, creating: int, in_flight: int) -> float:
        """Return when a create may go."""
        assert creating >= 0
        assert in_flight >= 0
        return max(now, self.creates_from)

    def poll_at(self, now: float) -> float:
        """Return when a poll may go."""
        return max(now, self.polls_from)

    def send(self, endpoint: Endpoint, now: float) -> Permit:
        """Give leave."""
        return Permit(endpoint, now)


CREATE: Final = Permit("createTask", 0.0)
POLL: Final = Permit("getTaskResult", 0.0)
"""Commands are the same whatever their permits are, but for what may be sent."""


def new_entry(line: Line, **settings: Any) -> Entry:
    """Return an entry that is in no keeper yet."""
    given = {"points": 2.0, **settings}
    return Entry(line=line, kind=KIND, solution_type=ReCaptchaSolution, task=TASK, **given)


class Keeper:
    """A schedule, its lines, and short ways to bring an entry to where a test needs it."""

    def __init__(self, lines: int = 1, *, window: float = 300.0, spacing: float = 3.0) -> None:
        self.books = Books()
        self.gates = [PlainGate() for _ in range(lines)]
        self.lines = [Line(gate=gate, result_window=window, spacing=spacing) for gate in self.gates]
        self.books.lines += self.lines
        self.gate, self.line = self.gates[0], self.lines[0]
        self._ids = count(1)

    def queued(self, *, line: int = 0, deadline: float = inf, queued_at: float = -inf) -> Entry:
        """Return an entry that waits for its turn."""
        entry = new_entry(self.lines[line], deadline=deadline, queued_at=queued_at)
        self.books.enqueue(entry)
        return entry

    def creating(self, *, now: float = 0.0, line: int = 0, deadline: float = inf) -> Entry:
        """Return an entry whose createTask is in flight."""
        entry = self.queued(line=line, deadline=deadline)
        command = self.books.take(now)
        assert command == Command(entry, CREATE)
        return entry

    def waiting(
        self, *, now: float = 0.0, poll_at: float = 10.0, line: int = 0, deadline: float = inf
    ) -> Entry:
        """Return an entry that was created now and is polled at `poll_at`."""
        entry = self.creating(now=now, line=line, deadline=deadline)
        self.books.created(entry, f"id-{next(self._ids)}", now=now, poll_at=poll_at)
        return entry

    def polling(self, *, now: float = 0.0, deadline: float = inf) -> Entry:
        """Return an entry that was created now, and whose poll is in flight at once."""
        entry = self.waiting(now=now, poll_at=now, deadline=deadline)
        self.advance(now)
        assert self.take(now) == Command(entry, POLL)
        return entry

    def orphaned(self, *, now: float = 0.0) -> Entry:
        """Return a paid entry that nobody waits for."""
        entry = self.waiting(now=now)
        self.books.release(entry)
        return entry

    def in_phase(self, phase: Phase) -> Entry:
        """Return an entry in any phase, at time 0; finished ones have been answered."""
        makers: dict[Phase, Callable[..., Entry]] = {
            Phase.QUEUED: self.queued,
            Phase.WAITING: self.waiting,
            Phase.ORPHANED: self.orphaned,
            **dict.fromkeys((Phase.POLLING, Phase.SOLVED, Phase.FAILED), self.polling),
            Phase.LAPSED: self.polling,
        }
        entry = makers.get(phase, self.creating)()
        if phase in FINISHED:
            self._finish(entry, phase)
        assert entry.phase is phase
        return entry

    def _finish(self, entry: Entry, phase: Phase) -> None:
        match phase:
            case Phase.UNKNOWN:
                self.books.lost(entry, EzCaptchaError("lost"))
            case Phase.REFUSED:
                self.books.refuse(entry, EzCaptchaError("no"))
            case Phase.CANCELLED:
                self.books.abandon(entry, EzCaptchaError("gone"))
                self.books.retry_create(entry, 1.0)
            case Phase.SOLVED:
                self.books.solved(entry, READY, 1.0)
            case Phase.FAILED:
                self.books.failed(entry, TaskFailedError("GAVE_UP"))
            case _:
                self.advance(300.0)

    def advance(self, now: float) -> None:
        """Let time pass until nothing more is to be done at once."""
        while self.books.advance(now, 100):
            pass

    def take(self, now: float) -> Command | None:
        """Let time pass and take one command."""
        self.advance(now)
        return self.books.take(now)

    def take_all(self, now: float) -> list[Command]:
        """Let time pass and take all commands."""
        self.advance(now)
        return list(iter(lambda: self.books.take(now), None))

    def polled(self, now: float) -> list[Entry]:
        """Return the entries whose polls go out now."""
        return [item.entry for item in self.take_all(now) if item.permit.endpoint == POLL.endpoint]


def standing(entry: Entry) -> tuple[Phase, Solved | EzCaptchaError | None]:
    """Return where an entry stands, in a form that type checkers do not remember."""
    return entry.phase, entry.outcome


def counts(line: Line) -> dict[Phase, int]:
    """Return how many entries are in each phase, without those that none is in."""
    return {phase: line.phases[phase] for phase in Phase if line.phases[phase]}


def snapshot(schedule: Books, *entries: Entry) -> Any:
    """Write down all that is in the keeper, to compare it later."""
    ready = [line.ready for line in schedule.lines]
    timelines = (schedule._due, *ready, schedule._retries, schedule._deadlines)
    return (
        [(set(timeline.items()), timeline.next_time) for timeline in timelines],
        [
            (counts(line), list(line.queue), set(line.creating), dict(line.paid))
            for line in schedule.lines
        ],
        [(line.created, line.resumed) for line in schedule.lines],
        [attrs.asdict(entry, recurse=False) for entry in entries],
    )


def check(schedule: Books, entries: list[Entry]) -> None:
    """Check what must hold at every moment, given all entries that were ever made."""
    for line in schedule.lines:
        mine = [entry for entry in entries if entry.line is line]
        count_of = {phase: sum(entry.phase is phase for entry in mine) for phase in Phase}
        assert counts(line) == {phase: number for phase, number in count_of.items() if number}
        assert line.in_flight == count_of[Phase.WAITING] + count_of[Phase.POLLING]
        assert line.load == line.in_flight + count_of[Phase.QUEUED] + count_of[Phase.CREATING]
        assert line.created + line.resumed == sum(
            count_of[phase] for phase in (*PAID, Phase.SOLVED, Phase.FAILED, Phase.LAPSED)
        )
        pending = [entry for entry in mine if entry.phase in PENDING]
        assert line.pending_points == sum(entry.points or 0.0 for entry in pending)
        assert line.repeated == sum(entry.repeated for entry in mine)
        lost = [entry for entry in mine if entry.phase is Phase.UNKNOWN]
        lost += [entry for entry in mine if entry.repeated]
        assert line.unknown_points == sum(entry.points or 0.0 for entry in lost)
        retries = [entry for entry in schedule._retries.items() if entry.line is line]
        queued = [entry for entry in mine if entry.phase is Phase.QUEUED]
        assert len(queued) == len(line.queue) + len(retries)
        assert set(queued) == {*line.queue, *retries}
        there = count_of[Phase.CREATING] + sum(count_of[phase] for phase in PAID)
        assert line.at_service == ({KIND.task_type: there} if there else {})
        places = [entry.place for entry in (*line.creating, *line.paid.values())]
        places += line.free_places.get(KIND.task_type, [])
        assert sorted(places) == list(range(len(places))), "each has one of its own"
        assert line.creating == {entry for entry in mine if entry.phase is Phase.CREATING}
        assert line.paid == {entry.task_id: entry for entry in mine if entry.phase in PAID}
        assert set(line.orphans()) == {item for item in mine if item.phase is Phase.ORPHANED}
    ready = [
        entry for line in schedule.lines for entry in (*line.ready.items(), *line.doubtful.items())
    ]
    armed = {*schedule._due.items(), *ready}
    assert len(armed) == len(schedule._due) + len(ready)
    alarms = set(schedule._deadlines.items())
    for entry in entries:
        if entry.phase in FINISHED:
            assert entry not in alarms
        if entry.phase in PAID:
            assert entry in alarms, "it would wait for ever"
        if schedule._closed_by is None:
            assert (entry in armed) is (entry.phase is Phase.WAITING)
        else:
            assert entry.phase is Phase.WAITING or entry not in armed
        # A solution is given out by the keeper alone, so that it is counted once.
        assert isinstance(entry.outcome, Solved) is (entry.phase is Phase.SOLVED)

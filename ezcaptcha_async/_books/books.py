"""Every transition of every ticket, every deadline, and what to send next. Pure.

Two rules hold here: every transition lives in this file, and nothing here knows who asks.
Events come in as method calls with the time as an argument; `Books.take` gives out one
command after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from math import ceil, inf
from typing import Final, cast

from ezcaptcha_async._books.entries import (
    AT_SERVICE,
    IN_FLIGHT,
    MOVES,
    PENDING,
    AnyOutcome,
    Command,
    Entry,
    IllegalMoveError,
    Line,
    Phase,
    Room,
    Solved,
    Watcher,
    answer_all,
)
from ezcaptcha_async._books.references import References
from ezcaptcha_async._books.rounds import Rounds
from ezcaptcha_async._books.time_queue import TimeQueue
from ezcaptcha_async.errors import (
    EzCaptchaError,
    ResultWindowLapsedError,
    SubmissionUnknownError,
    TaskFailedError,
)
from ezcaptcha_async.tasks import Kind
from ezcaptcha_async.transports import Reply

_POLLS_IN_A_ROW: Final = 8
"""Most polls that go before a create which could go as well."""

_LAST_POLL_AT: Final = 29 / 30
"""Share of the result window at which a last poll is due: 290 s of 300 s."""

_MOST_POLLS: Final = 110
"""Most polls of one task; services stop answering at about 120."""

_WORTH_MOVING: Final = 1 / 12
"""Share of the spacing by which a new plan must differ from the old one to be followed: 0.25 s
of 3 s. Less is no more than the jitter in it."""
_MOST_KEPT: Final = 128 * 1024 * 1024
"""Most bytes of solutions that nobody waits for: the pages of some hundred Cloudflare checks."""

_URGENT: Final = 1 / 5
"""Last share of the result window in which a poll goes before others: 60 s of 300 s."""


class Books:
    """The books of all accounts of one pool.

    Args:
        watcher: Told of each move that concerns a caller; None when nobody wants to know.
        numbers: What to number the tasks with; from 1 when left out.
    """

    def __init__(
        self, watcher: Watcher | None = None, *, numbers: Iterator[int] | None = None
    ) -> None:
        self._tell: Callable[..., object] = (lambda *_: None) if watcher is None else watcher.moved
        self._numbers = count(1) if numbers is None else numbers
        self.lines: list[Line] = []
        """Those of its accounts, to which more may be added."""
        self._next_line = 0
        self._polls_in_a_row = 0
        self._due: TimeQueue[Entry] = TimeQueue()  # by the time of the next poll
        self._retries: TimeQueue[Entry] = TimeQueue()  # creates that wait for another try
        self._deadlines: TimeQueue[Entry] = TimeQueue()
        self._aside: dict[Entry, None] = {}  # others may see to them
        self.references = References()
        self.wake: Callable[[], None] = lambda: None
        """Called when a caller has brought something to be done sooner than `next_time` said."""
        self.rounds = Rounds()
        self._closed_by: EzCaptchaError | None = None
        self._room = Room()

    def __repr__(self) -> str:
        load = sum(line.load for line in self.lines)
        return f"<Books of {len(self.lines)} accounts, {load} tickets>"

    @property
    def closed(self) -> bool:
        """Whether no more commands are given out."""
        return self._closed_by is not None

    # ------------------------------------------------------------- commands and time

    def next_time(self, now: float) -> float:
        """Return when something will have to be done next; infinity when idle."""
        if self.rounds.current:
            return now
        earliest = min(self._due.next_time, self._deadlines.next_time, self._retries.next_time)
        for line in self.lines:
            # What may go now is taken as soon as a slot is free; that needs no alarm.
            if line.queue and now < (at := line.create_at(now)) < earliest:
                earliest = at
            if line.polls_due.next_time < inf and now < (at := line.gate.poll_at(now)) < earliest:
                earliest = at
        return earliest

    def advance(self, now: float, limit: int) -> bool:
        """Let time pass: expire deadlines, and line up what has become due.

        So that one call is short, it looks at `limit` entries at most; it returns whether there
        is more to do at once.
        """
        again: list[Entry] = []
        more = True
        for _ in range(limit):
            if self._deadlines.next_time <= now:
                self._expire(self._deadlines.pop(), now)
            elif self._due.next_time <= now:
                entry = self._due.pop()
                polls = entry.line.doubtful if entry.is_doubtful else entry.line.ready
                polls.set(entry, min(entry.due_at, entry.urgent_at))
            elif self._retries.next_time <= now:
                again.append(self._retries.pop())
            elif self.references.finished.next_time <= now:
                self.references.forget_one()
            elif self.rounds.current:
                self.rounds.go()
            else:
                more = False
                break
        # Whoever has had a turn before comes before those who have not, in their order.
        for entry in reversed(again):
            entry.line.queue[entry] = None
            entry.line.queue.move_to_end(entry, last=False)
        return more

    def take(self, now: float, *, creates: bool = True) -> Command | None:
        """Give out the next command: polls before creates, in the order in which they fell due.

        What is near the end of its window goes first. Only that, because oldest first at all
        times would starve the youngest when slots are short. Accounts share the slots evenly.

        When polls alone would fill all slots, every ninth command is a create all the same:
        new callers get their turn, and an account's canary is not held up.
        """
        if self._closed_by is not None:
            return None
        if not creates:
            return self._take_poll(now)
        if self._polls_in_a_row < _POLLS_IN_A_ROW:
            command = self._take_poll(now) or self._take_create(now)
        else:
            command = self._take_create(now) or self._take_poll(now)
        is_poll = command is not None and command.permit.endpoint == "getTaskResult"
        self._polls_in_a_row = self._polls_in_a_row + 1 if is_poll else 0
        return command

    def _take_poll(self, now: float) -> Command | None:
        chosen, least = None, (inf, inf)
        for line in self.lines:
            polls = line.polls_due
            if polls.next_time < inf and line.gate.poll_at(now) <= now:
                # The one with the fewest under way: one whose polls hang would hold all the slots.
                rank = line.phases[Phase.POLLING], polls.next_time
                if rank < least:
                    chosen, least = polls, rank
        if chosen is None:
            return None
        entry = chosen.pop()
        line = entry.line
        self._move(entry, Phase.POLLING)
        entry.polls += 1
        entry.request_in_flight = True
        line.doubtful_in_flight += entry.is_doubtful
        return Command(entry, line.gate.send("getTaskResult", now))

    def _take_create(self, now: float) -> Command | None:
        for _ in self.lines:
            line = self.lines[self._next_line]
            self._next_line = (self._next_line + 1) % len(self.lines)
            if line.queue and line.create_at(now) <= now:
                entry, _ = line.queue.popitem(last=False)
                self._move(entry, Phase.CREATING)
                line.creating.add(entry)
                entry.attempts += 1
                entry.request_in_flight = True
                return Command(entry, line.gate.send("createTask", now))
        return None

    # -------------------------------------------------------------- events: creating

    def enqueue(self, entry: Entry, *, aside: bool = False) -> None:
        """A caller wants a task; `aside`: it must first be known whether others see to it."""
        entry.number = next(self._numbers)
        if entry.once:
            self.references.list(entry)
        self._join(entry)
        if aside:
            self._put_aside(entry)
        if entry.deadline < inf:
            self._watch(entry)

    def created(self, entry: Entry, task_id: str, *, now: float, poll_at: float) -> None:
        """CreateTask was accepted: the task is paid, whoever still waits for it."""
        line = entry.line
        if entry.phase is not Phase.CREATING:
            raise IllegalMoveError(f"{entry.phase.name} to created")
        if task_id in line.paid:
            repeated = "createTask was answered with the id of another task"
            self.lost(entry, SubmissionUnknownError(repeated))
            return
        self._move(entry, Phase.WAITING)
        self._end_create(entry)
        line.created += 1
        line.points += entry.points or 0.0
        entry.task_id = task_id
        entry.trouble = None
        entry.created_at = now
        entry.lapses_at = now + line.result_window
        self._keep(entry)
        self._tell(entry, "created")
        if self.wants(entry):
            self._arm(entry, max(now, poll_at))
        else:
            self.abandon(entry, self._closed_by)
        answer_all(entry.creators, entry.outcome)

    def wants(self, entry: Entry) -> bool:
        """Return whether a task that is not paid yet is to be: somebody waits for it."""
        return self._closed_by is None and entry.holders > 0

    def retry_create(self, entry: Entry, at: float) -> None:
        """CreateTask was certainly not accepted, and may be tried again."""
        if self.wants(entry):
            self._move(entry, Phase.QUEUED)
            self._retries.set(entry, at)
        else:
            self._finish(entry, Phase.CANCELLED, self._closed_by)
        self._end_create(entry)

    def repeat_create(self, entry: Entry, error: EzCaptchaError, at: float) -> None:
        """The answer to createTask was lost, and it is sent once more all the same; only once."""
        if entry.repeated or not self.wants(entry):
            self.lost(entry, error)
            return
        self._move(entry, Phase.QUEUED)
        entry.repeated = True
        entry.line.repeated += 1
        entry.line.unknown_points += entry.points or 0.0
        self._retries.set(entry, at)
        self._end_create(entry)

    def set_aside(self, entry: Entry) -> None:
        """CreateTask was not sent, because others see to the same reference."""
        if self.wants(entry):
            self._move(entry, Phase.QUEUED)
            self._put_aside(entry)
        else:
            self._finish(entry, Phase.CANCELLED, self._closed_by)
        self._end_create(entry)

    def aside(self) -> list[Entry]:
        """Return what waits until it is known what others make of it."""
        return list(self._aside)

    def line_up(self, entry: Entry) -> None:
        """Nobody else sees to it: it goes into line for creation."""
        del self._aside[entry]
        entry.line.queue[entry] = None
        self.wake()

    def found(self, entry: Entry, task_id: str, outcome: AnyOutcome, *, created_at: float) -> None:
        """Others have had it created, and this is what it came to."""
        self._move(entry, Phase.WAITING)
        self._leave_queue(entry)
        entry.line.resumed += 1
        entry.task_id = task_id
        entry.created_at = created_at
        entry.lapses_at = created_at + entry.line.result_window
        self._tell(entry, "resumed")
        self._move(entry, Phase.POLLING)
        solved = isinstance(outcome, Solved)
        self._finish(entry, Phase.SOLVED if solved else Phase.FAILED, outcome)
        answer_all(entry.creators, outcome)

    def refuse(self, entry: Entry, error: EzCaptchaError) -> None:
        """The task was not accepted, and nothing was paid."""
        self._finish(entry, Phase.REFUSED, error)
        self._end_create(entry)

    def lost(self, entry: Entry, error: EzCaptchaError) -> None:
        """The answer to createTask was lost: paid or not, nobody knows."""
        self._finish(entry, Phase.UNKNOWN, error)
        self._end_create(entry)

    def hand_over(self, entry: Entry, line: Line, kind: Kind, points: float | None) -> None:
        """A task in line, or just refused, is certainly not paid; another account creates it."""
        if entry.phase is not Phase.QUEUED:
            self._move(entry, Phase.QUEUED)
            self._end_create(entry)
        self._leave_queue(entry)
        entry.line.phases[Phase.QUEUED] -= 1
        entry.line.pending_points -= entry.points or 0.0
        entry.line, entry.kind, entry.points = line, kind, points
        entry.attempts = 0
        entry.hand_overs += 1
        self._join(entry)

    def see_to_queued(
        self, line: Line, see_to: Callable[[Entry], object], *, since: float = inf
    ) -> None:
        """Have all seen to that are in line for creation at an account, in parts.

        Only to those who have been in line `since` then or longer. Until all were seen to, none
        of that line is created; whoever comes meanwhile is not among them.
        """

        def look(entry: Entry) -> None:
            if entry.phase is Phase.QUEUED and entry.line is line and entry.queued_at <= since:
                see_to(entry)

        # Whoever was to be told before is told either way.
        if since >= line.held_since:
            line.held_since = since
            retries = (entry for entry in self._retries.items() if entry.line is line)
            self.rounds.begin(line, (*line.queue, *retries), look, holds=line)

    # --------------------------------------------------------------- events: polling

    def processing(self, entry: Entry, *, now: float, sent_age: float, poll_at: float) -> None:
        """A poll said ``processing``, received now."""
        self._end_poll(entry, known=True)
        entry.answered += 1
        entry.faults = 0
        entry.trouble = entry.line.trouble = None
        entry.polled_age = sent_age
        entry.processing_at = now
        self._rearm(entry, now, poll_at)

    def skipped(self, entry: Entry, *, now: float, poll_at: float, trouble: str) -> None:
        """A poll said nothing of the task: a fault, a throttle, a broken answer, a refused key."""
        self._end_poll(entry)
        entry.faults += 1
        entry.alike = entry.alike + 1 if trouble == entry.trouble else 1
        entry.trouble = entry.line.trouble = trouble
        self._rearm(entry, now, poll_at)

    def hasten(self, line: Line, poll_at: Callable[[], float]) -> None:
        """Polls are answered again: those that had failed go soon, whatever they waited for.

        `poll_at` returns a moment for each of them, so that they do not go all at once.
        """

        def look(entry: Entry) -> None:
            if entry.faults and entry.phase is Phase.WAITING and entry in self._due:
                self._arm(entry, min(entry.due_at, poll_at()))

        self.rounds.begin(("hasten", line), line.paid.values(), look)

    def replan(self, kind: Kind, poll_at: Callable[[Entry], float]) -> None:
        """More is known of a type: its tasks that wait are planned anew, at any site.

        What failed keeps its time: it does not wait for its solution. `poll_at` returns when an
        entry that waits is to be polled, as things look now, and not in the past.
        """

        def look(entry: Entry) -> None:
            if entry.kind[:2] == kind[:2] and not entry.faults and entry in self._due:
                at = poll_at(entry)
                if abs(at - entry.due_at) > _WORTH_MOVING * entry.line.spacing:
                    self._arm(entry, at)

        def paid() -> list[Entry]:
            return [entry for line in self.lines for entry in line.paid.values()]

        self.rounds.renew(("replan", kind[:2]), paid, look)

    def has_room_for(self, entry: Entry, kept: Reply) -> bool:
        """Return whether a solution is taken: whoever waits takes it away again at once.

        Else it is left with the service, which keeps it as long, and fetched when there is
        room, or when somebody waits for it.
        """
        return bool(entry.waiters) or self._room.used + len(kept.body) <= _MOST_KEPT

    def solved(self, entry: Entry, kept: Reply, now: float) -> None:
        """A poll said ``ready``."""
        self._end_poll(entry, known=True)
        entry.line.trouble = None
        outcome = Solved(kept, now, self._room)
        if entry.phase is Phase.POLLING:
            self._finish(entry, Phase.SOLVED, outcome)
        elif entry.phase is Phase.ORPHANED:
            entry.kept = outcome

    def failed(self, entry: Entry, error: EzCaptchaError) -> None:
        """The service will not give a result."""
        self._end_poll(entry, known=isinstance(error, TaskFailedError))
        if entry.phase in (*IN_FLIGHT, Phase.ORPHANED):
            self._finish(entry, Phase.FAILED, error)

    def fail_lapsing(self, line: Line, error: EzCaptchaError, *, until: float) -> None:
        """Nothing can be fetched until then: tell those whose window ends before."""
        look = partial(self.fail_if_lapsing, error=error, until=until)
        self.rounds.begin(("lapsing", line), line.paid.values(), look)

    def fail_if_lapsing(self, entry: Entry, error: EzCaptchaError, *, until: float) -> None:
        """Tell one of them, unless its solution is here, or may be on its way."""
        is_paid = entry.phase in (*IN_FLIGHT, Phase.ORPHANED)
        is_here = entry.request_in_flight or entry.kept is not None
        if is_paid and entry.lapses_at <= until and not is_here:
            self.failed(entry, error)

    # --------------------------------------------------------------- events: callers

    def release(self, entry: Entry) -> None:
        """One of those who wait went away; abandon the entry with the last one."""
        if entry.holders > 1:
            entry.holders -= 1
        elif entry.holders and not entry.waiters:  # nobody awaits its ticket either
            self.abandon(entry)

    def abandon(self, entry: Entry, error: EzCaptchaError | None = None) -> None:
        """Nobody waits any more. A queued entry costs nothing; a paid one is kept.

        `error` is for anybody who waits all the same.
        """
        entry.holders = 0
        if not entry.number:
            return  # it is in no books
        left = False
        if entry.phase is Phase.QUEUED:
            self._finish(entry, Phase.CANCELLED, error)
        elif entry.phase in IN_FLIGHT:
            self._disarm(entry)
            self._move(entry, Phase.ORPHANED)
            self._watch(entry)
            left = True
        elif entry.phase is Phase.SOLVED and not entry.delivered:
            entry.kept = entry.outcome if isinstance(entry.outcome, Solved) else None
            entry.outcome = None
            self._move(entry, Phase.ORPHANED)
            self._keep(entry)
            left = True
        if error is not None:
            entry.answer(error)
        if left:
            self._tell(entry)  # when it is known what its caller was told
        if entry.line.queue:  # there may be room for the next one
            self.wake()

    def adopt(self, entry: Entry, *, poll_at: float) -> None:
        """A paid task that was created elsewhere; its id and times are set."""
        entry.number = next(self._numbers)
        self._enter(entry, Phase.WAITING)
        entry.is_doubtful = True
        entry.line.resumed += 1
        if entry.processing_at is not None:
            entry.spaced_until = entry.processing_at + entry.line.spacing
        self._keep(entry)
        self._arm(entry, poll_at)
        self._tell(entry, "resumed")
        self.wake()

    def hold(self, entry: Entry, now: float) -> None:
        """One more waits. An orphan is taken up again, to the end of its window."""
        entry.holders += 1
        if entry.phase is Phase.CREATING:
            entry.outcome = None  # what those who gave up meanwhile were told
        if entry.phase is not Phase.ORPHANED:
            return
        entry.outcome = None
        if self._closed_by is not None:
            entry.answer(self._closed_by)  # nothing is polled any more
            return
        entry.deadline = inf
        self._tell(entry, "resumed")
        if entry.kept is not None:
            self._finish(entry, Phase.SOLVED, entry.kept)
        elif entry.request_in_flight:
            self._move(entry, Phase.POLLING)
            self._watch(entry)
        else:
            self._move(entry, Phase.WAITING)
            self._watch(entry)
            self._arm(entry, now)
            self.wake()

    def delivered(self, entry: Entry) -> None:
        """A caller has been given what a paid task came to."""
        if not entry.once:
            self.references.unlist(entry)

    # -------------------------------------------------------------- events: the end

    def close(self, error: EzCaptchaError) -> None:
        """Give out no more commands; answer all but the requests in flight, in parts."""
        self._closed_by = error

        def look(entry: Entry) -> None:
            # An answer that is on its way may still be a solution; wait for it.
            if entry.outcome is None and not entry.request_in_flight:
                self.abandon(entry, error)

        everybody = [
            *(entry for line in self.lines for entry in (*line.queue, *line.paid.values())),
            *self._retries.items(),
            *self._aside,
        ]
        self.rounds.clear()
        self.rounds.begin("close", everybody, look)

    def abort(self, error: EzCaptchaError) -> None:
        """Answer everybody now, whatever was on its way."""
        if self._closed_by is None:
            self.close(error)
        while self.rounds.current:
            self.rounds.go()
        for line in self.lines:
            for entry in list(line.paid.values()):
                entry.request_in_flight = False
                if entry.outcome is None:
                    self.abandon(entry, error)
            for entry in list(line.creating):
                lost = SubmissionUnknownError(f"createTask was in flight: {error.message}")
                self.lost(entry, lost)

    # ---------------------------------------------------------------------- details

    def _expire(self, entry: Entry, now: float) -> None:
        if now >= entry.lapses_at:
            message = f"not solved within {entry.line.result_window:g} s of its creation"
            if entry.trouble is not None:
                message += f"; its last poll: {entry.trouble}"
            elif entry.line.trouble is not None:
                message += f"; the account's last poll: {entry.line.trouble}"
            self._finish(entry, Phase.LAPSED, ResultWindowLapsedError(message))
        else:
            self.abandon(entry, entry.late())

    def _join(self, entry: Entry) -> None:
        """Put an entry last in its account's line for creation."""
        self._enter(entry, Phase.QUEUED)
        entry.line.pending_points += entry.points or 0.0
        entry.line.queue[entry] = None
        self._tell(entry)
        self.wake()

    def _put_aside(self, entry: Entry) -> None:
        entry.line.queue.pop(entry, None)
        self._aside[entry] = None

    def _enter(self, entry: Entry, phase: Phase) -> None:
        entry.phase = phase
        entry.line.phases[phase] += 1
        if phase in AT_SERVICE:
            entry.line.enter(entry)

    def _move(self, entry: Entry, phase: Phase) -> None:
        if phase not in MOVES[entry.phase]:
            raise IllegalMoveError(f"{entry.phase.name} to {phase.name}")
        line = entry.line
        line.phases[entry.phase] -= 1
        line.phases[phase] += 1
        if entry.phase in PENDING and phase not in PENDING:
            line.pending_points -= entry.points or 0.0
            if phase is Phase.UNKNOWN:
                line.unknown_points += entry.points or 0.0
        if (phase in AT_SERVICE) is not (entry.phase in AT_SERVICE):
            (line.enter if phase in AT_SERVICE else line.leave)(entry)
        entry.phase = phase

    def _finish(self, entry: Entry, phase: Phase, outcome: AnyOutcome | None) -> None:
        before = entry.phase
        self._move(entry, phase)
        self._deadlines.discard(entry)
        if before is Phase.QUEUED:
            self._leave_queue(entry)
        elif before is Phase.WAITING:
            self._disarm(entry)
        if entry.task_id is not None:
            entry.line.paid.pop(entry.task_id, None)
        if before is Phase.ORPHANED and entry.outcome is not None:
            entry.outcome = outcome  # for whoever asks next; those who left were told already
        elif outcome is not None:
            entry.answer(outcome)
        if phase in {Phase.SOLVED, Phase.FAILED}:
            self.references.finish(entry)
        else:
            self.references.unlist(entry)
        self._tell(entry)

    def _keep(self, entry: Entry) -> None:
        """List a paid entry, and see to it that it leaves the list again."""
        window = entry.line.result_window
        entry.last_poll_at = entry.created_at + _LAST_POLL_AT * window
        entry.urgent_at = entry.lapses_at - _URGENT * window
        entry.line.paid[cast("str", entry.task_id)] = entry
        self.references.list(entry)
        self._watch(entry)

    def _watch(self, entry: Entry) -> None:
        """Register the one moment at which this entry ends, whatever happens."""
        patience = entry.deadline if entry.holders else inf
        self._deadlines.set(entry, min(patience, entry.lapses_at))

    def _arm(self, entry: Entry, poll_at: float) -> None:
        """Set the next poll: not sooner than the service asks, nor too late to be of use."""
        if entry.polls < _MOST_POLLS:
            tick, at = entry.line.tick, max(entry.spaced_until, min(poll_at, entry.last_poll_at))
            if tick and at < entry.urgent_at:
                # The next moment at which others are polled too, and not the nearest one: what
                # is polled just before it is solved waits for another poll.
                at = max(at, ceil(at / tick) * tick)
            entry.due_at = at
            self._due.set(entry, at)

    def _rearm(self, entry: Entry, now: float, poll_at: float) -> None:
        spacing, left = entry.line.spacing, _MOST_POLLS - entry.polls
        if 0 < left <= _MOST_POLLS / 2:
            # What is left is to last to the end of the window. Half of them are free: most tasks
            # are solved long before, and not to be delayed for the few that are not.
            spacing = max(spacing, (entry.last_poll_at - now) / left)
        # The service may have seen a poll that failed, so its spacing counts in any case.
        entry.spaced_until = now + spacing
        if entry.phase is not Phase.POLLING:
            return
        self._move(entry, Phase.WAITING)
        if self._closed_by is not None:
            self.abandon(entry, self._closed_by)
        else:
            self._arm(entry, poll_at)

    def _leave_queue(self, entry: Entry) -> None:
        entry.line.queue.pop(entry, None)
        self._aside.pop(entry, None)
        self._retries.discard(entry)

    def _disarm(self, entry: Entry) -> None:
        self._due.discard(entry)
        entry.line.ready.discard(entry)
        entry.line.doubtful.discard(entry)

    def _end_poll(self, entry: Entry, *, known: bool | None = None) -> None:
        """Note that a poll came back, and whether the service knows the id if it says so."""
        was_in_flight, entry.request_in_flight = entry.request_in_flight, False
        if not entry.is_doubtful or not was_in_flight:
            return
        line = entry.line
        line.doubtful_in_flight -= 1
        if known is not None:
            entry.is_doubtful = False
            line.note_id(known=known)

    def _end_create(self, entry: Entry) -> None:
        entry.request_in_flight = False
        entry.line.creating.discard(entry)

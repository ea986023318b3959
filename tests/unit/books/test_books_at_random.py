"""The schedule under random events with advancing time: what must hold at every moment."""

from __future__ import annotations

from itertools import count
from math import inf
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ezcaptcha_async._books.books import Books
from ezcaptcha_async._books.entries import Command, Entry, Line, Phase
from ezcaptcha_async._books.gate import Gate
from ezcaptcha_async.errors import (
    BannedError,
    CredentialError,
    EzCaptchaError,
    InvalidTaskError,
    PoolClosedError,
    ServiceError,
    SubmissionUnknownError,
    TaskFailedError,
    ThrottledError,
    TicketCancelledError,
)

from .keeper import FINISHED, KIND, PAID, READY, Listener, check, new_entry

MAX_CREATES = (2, 3)
MAX_IN_FLIGHT = (4, None)
CLOSED = PoolClosedError("closed")

T = TypeVar("T")

lines = st.integers(0, 1)
short = st.floats(0, 20)


def _pick(data: st.DataObject, items: list[T]) -> T:
    """Draw one of them by its number: reports would be unreadable with whole entries."""
    return items[data.draw(st.integers(0, len(items) - 1))]


class _World(RuleBasedStateMachine):
    """Two accounts with real gates, callers who come and go, and a service without manners."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.schedule = Books()
        self.gates = [
            Gate(max_creates=creates, max_in_flight=in_flight)
            for creates, in_flight in zip(MAX_CREATES, MAX_IN_FLIGHT, strict=True)
        ]
        self.lines = [
            Line(gate=self.gates[0], result_window=300.0, spacing=3.0),
            Line(gate=self.gates[1], result_window=30.0, spacing=1.0),
        ]
        self.schedule.lines += self.lines
        self.entries: list[Entry] = []
        self.in_flight: list[Command] = []
        self.heard: dict[Entry, float] = {}  # when the last "processing" came
        self.listeners: dict[Entry, Listener] = {}  # who waits
        self.polls_in_a_row = 0
        self.closed = False
        self._ids = count(1)

    def _register(self, entry: Entry) -> None:
        self.entries.append(entry)
        listener = self.listeners[entry] = Listener()
        entry.waiters = listener

    # ------------------------------------------------------------------------ callers

    @initialize(many=st.integers(0, 8))
    def begin(self, many: int) -> None:
        """Some are paid already, or nearly all that happens would happen in the queue."""
        for number in range(many):
            self.enqueue(number % 2, 1, inf)
            command = self.schedule.take(self.now)
            assert command is not None
            assert command.permit.endpoint == "createTask"
            self._answer_create(command, "created", 10.0)

    @precondition(lambda self: not self.closed)
    @rule(line=lines, many=st.integers(1, 4), patience=st.just(inf) | st.floats(0, 60))
    def enqueue(self, line: int, many: int, patience: float) -> None:
        for _ in range(many):
            entry = new_entry(self.lines[line], deadline=self.now + patience)
            self._register(entry)
            self.schedule.enqueue(entry)

    @precondition(lambda self: not self.closed)
    @rule(line=lines, age=st.floats(0, 0.99), heard=st.none() | st.floats(0, 1))
    def adopt(self, line: int, age: float, heard: float | None) -> None:
        created_at = self.now - age * self.lines[line].result_window
        entry = new_entry(
            self.lines[line],
            task_id=f"adopted-{next(self._ids)}",
            created_at=created_at,
            lapses_at=created_at + self.lines[line].result_window,
        )
        if heard is not None:
            entry.processing_at = self.heard[entry] = self.now - heard * (self.now - created_at)
        self._register(entry)
        self.schedule.adopt(entry, poll_at=created_at + 10)

    @precondition(lambda self: self.entries)
    @rule(data=st.data(), finished=st.booleans())
    def release(self, data: st.DataObject, finished: bool) -> None:  # noqa: FBT001
        """A caller is cancelled, perhaps in the very moment of delivery."""
        wanted = [item for item in self.entries if item.holders]
        wanted = [item for item in wanted if (item.phase in FINISHED) is finished] or self.entries
        entry = _pick(data, wanted)
        if entry.holders == 1:
            entry.waiters = None
        self.schedule.release(entry)
        if entry.phase is Phase.ORPHANED and entry.outcome is None:
            self.listeners[entry].told.clear()  # what it was told was taken back unheard

    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        """A paid ticket is resumed, or awaited once more."""
        paid = [item for line in self.lines for item in line.paid.values()]
        if self.closed:
            paid = [item for item in paid if item.outcome is None]
        if not paid:
            return
        entry = _pick(data, paid)
        if entry.phase is Phase.ORPHANED:
            self.listeners[entry].told.clear()
        entry.waiters = self.listeners[entry]
        self.schedule.hold(entry, self.now)

    @rule(data=st.data(), what=st.sampled_from(["collect", "cancel"]))
    def collect_or_cancel(self, data: st.DataObject, what: str) -> None:
        if what == "collect":
            solved = [item for item in self.entries if item.phase is Phase.SOLVED]
            if solved:
                _pick(data, solved).delivered = True
            return
        waiting = [item for item in self.entries if item.outcome is None and item.holders]
        if waiting:
            entry = _pick(data, waiting)
            self.schedule.abandon(entry, TicketCancelledError("cancelled"))

    @rule(wait=st.floats(-5, 20))
    def replan(self, wait: float) -> None:
        """The estimate was renewed."""
        self.schedule.replan(KIND, lambda _entry: self.now + wait)

    # --------------------------------------------------------------------------- time

    @rule(seconds=st.floats(0, 12), limit=st.integers(1, 10), most=st.integers(0, 6))
    def let_time_pass(self, seconds: float, limit: int, most: int) -> None:
        self.now += seconds
        while self.schedule.advance(self.now, limit):
            pass
        for entry in self.entries:
            if entry.phase in PAID:
                assert entry.lapses_at > self.now
            if entry.holders and entry.outcome is None:
                assert entry.deadline > self.now
        self._take(most)

    @rule()
    def sleep_until_something_is_to_be_done(self) -> None:
        at = self.schedule.next_time(self.now)
        if at < inf:
            self.let_time_pass(max(0.0, at - self.now), 10, 6)

    def _take(self, most: int) -> None:
        create_before = False
        for _ in range(most):
            free = [line.create_at(self.now) <= self.now for line in self.lines]
            may_poll = [line.gate.poll_at(self.now) <= self.now for line in self.lines]
            command = self.schedule.take(self.now)
            if command is None:
                self.polls_in_a_row = 0
                for line, create, poll in zip(self.lines, free, may_poll, strict=True):
                    assert self.closed or not (line.queue and create), "a task is held up"
                    assert self.closed or not (line.polls_due and poll), "a poll is held up"
                break
            entry = command.entry
            line = entry.line
            assert not self.closed
            assert entry.outcome is None, "someone who has an answer is asked for again"
            assert all(item.entry is not entry for item in self.in_flight)
            self.in_flight.append(command)
            if command.permit.endpoint == "createTask":
                assert free[self.lines.index(line)]
                # Only after so many polls does a create go first.
                create_before = self.polls_in_a_row < 8
                self.polls_in_a_row = 0
                continue
            assert not create_before, "a create went before a poll"
            self.polls_in_a_row += 1
            assert may_poll[self.lines.index(line)]
            assert self.now >= self.heard.get(entry, -inf) + line.spacing

    # ------------------------------------------------------------------------ answers

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), many=st.integers(1, 4))
    def answer(self, data: st.DataObject, many: int) -> None:
        for _ in range(min(many, len(self.in_flight))):
            command = _pick(data, self.in_flight)
            self.in_flight.remove(command)
            wait = data.draw(st.floats(-5, 20))
            if command.permit.endpoint == "createTask":
                words = ["created", "created", "created", "again", "refused", "lost", "repeat"]
                self._answer_create(command, data.draw(st.sampled_from(words)), wait)
            else:
                words = ["processing", "processing", "skipped", "failed", "solved", "solved"]
                self._answer_poll(command, data.draw(st.sampled_from(words)), wait)

    def _answer_create(self, command: Command, word: str, wait: float) -> None:
        entry, permit = command.entry, command.permit
        gate = self.gates[self.lines.index(entry.line)]
        if word == "created":
            gate.succeeded(permit, self.now)
            task_id = f"created-{next(self._ids)}"
            self.schedule.created(entry, task_id, now=self.now, poll_at=self.now + wait)
        elif word == "again":
            gate.failed(permit, self.now, 0.5)
            self.schedule.retry_create(entry, self.now + max(0.0, wait))
        elif word == "refused":
            gate.succeeded(permit, self.now)
            self.schedule.refuse(entry, InvalidTaskError("BAD"))
        elif word == "repeat":
            gate.failed(permit, self.now, 0.5)
            lost, again = SubmissionUnknownError("lost"), entry.repeated
            self.schedule.repeat_create(entry, lost, self.now + max(0.0, wait))
            assert not again or entry.phase is Phase.UNKNOWN, "it is sent twice at most"
        else:
            gate.failed(permit, self.now, 0.5)
            self.schedule.lost(entry, SubmissionUnknownError("lost"))

    def _answer_poll(self, command: Command, word: str, wait: float) -> None:
        entry, permit = command.entry, command.permit
        at = self.now + wait
        gate = self.gates[self.lines.index(entry.line)]
        if word == "skipped":
            gate.failed(permit, self.now, 0.5)
        else:
            gate.succeeded(permit, self.now)
        if word == "processing":
            self.heard[entry] = self.now
            age = self.now - entry.created_at
            self.schedule.processing(entry, now=self.now, sent_age=age, poll_at=at)
        elif word == "skipped":
            self.schedule.skipped(entry, now=self.now, poll_at=at, trouble="502")
        elif word == "failed":
            self.schedule.failed(entry, TaskFailedError("GAVE_UP"))
        else:
            self.schedule.solved(entry, READY, self.now)

    # ---------------------------------------------------------------- whole accounts

    def _refused(self, line: int, error: ServiceError) -> None:
        permit = self.gates[line].send("getBalance", self.now)
        self.gates[line].refused(permit, error, self.now, 0.5)
        refusal = self.gates[line].refusal(self.now)
        if refusal is not None:
            other = self.lines[1 - line]
            taken = self.gates[1 - line].refusal(self.now) is None

            def turn_away(entry: Entry) -> None:
                if taken and not entry.repeated and not self.closed:
                    self.schedule.hand_over(entry, other, KIND, 3.0)
                else:
                    self.schedule.refuse(entry, refusal)

            self.schedule.see_to_queued(self.lines[line], turn_away)

    @rule(line=lines, what=st.sampled_from(["throttled", "banned", "dead"]), seconds=short)
    def trouble(self, line: int, what: str, seconds: float) -> None:
        if what == "throttled":
            self._refused(line, ThrottledError("SLOW"))
        elif what == "banned":
            banned = BannedError("BAN", retry_after=seconds)
            self._refused(line, banned)
            until = self.gates[line].banned_until("getTaskResult")
            self.schedule.fail_lapsing(self.lines[line], banned, until=until)
        else:
            self._refused(line, CredentialError("NO_KEY"))
            self.gates[line].reopen()

    @precondition(lambda self: len(self.entries) > 25 and not self.closed)
    @rule()
    def close(self) -> None:
        self.closed = True
        self.schedule.close(CLOSED)

    # --------------------------------------------------------------------- invariants

    @invariant()
    def the_books_are_right(self) -> None:
        check(self.schedule, self.entries)
        requests = {item.entry: item for item in self.in_flight}
        for entry in self.entries:
            if entry.waiters:
                assert len(self.listeners[entry].told) == (entry.outcome is not None)
            assert entry.request_in_flight is (entry in requests)
            if entry.phase is Phase.POLLING:
                assert requests[entry].permit.endpoint == "getTaskResult"
            if entry.phase is Phase.CREATING:
                assert requests[entry].permit.endpoint == "createTask"
            if entry.phase in {Phase.FAILED, Phase.REFUSED, Phase.UNKNOWN}:
                assert isinstance(entry.outcome, EzCaptchaError)

    @invariant()
    def something_will_happen(self) -> None:
        """Whoever waits is reached by an alarm, a slot or an answer."""
        if not self.closed and any(entry.phase in PAID for entry in self.entries):
            ready = any(line.ready for line in self.lines)
            assert ready or self.schedule.next_time(self.now) < inf

    def teardown(self) -> None:
        """Abort, and see that nobody who waited is left without an answer."""
        waiting = [item for item in self.entries if item.holders and item.outcome is None]
        self.schedule.abort(CLOSED)
        self.in_flight.clear()
        for entry in waiting:
            assert entry.outcome is not None
            assert len(self.listeners[entry].told) == 1
        assert not any(line.queue or line.creating or line.load for line in self.lines)
        assert self.schedule.take(self.now + 1_000) is None
        check(self.schedule, self.entries)


def test_whatever_happens_the_books_are_right() -> None:
    """Lost paid tasks, wrong counts, undercut spacing, or a caller who waits for ever."""
    run_state_machine_as_test(_World, settings=settings(stateful_step_count=80))

"""Ticket states, deadlines and the order of requests, as plain events at plain times."""

from __future__ import annotations

from itertools import pairwise
from math import inf
from typing import Any

import pytest

from ezcaptcha_async._books.entries import MOVES, Command, Entry, IllegalMoveError, Phase, Solved
from ezcaptcha_async.errors import (
    BannedError,
    InsufficientBalanceError,
    PoolClosedError,
    ResultWindowLapsedError,
    SolveTimeoutError,
    SubmissionUnknownError,
    TaskFailedError,
    TaskNotFoundError,
    TicketCancelledError,
)
from ezcaptcha_async.transports import Reply

from .keeper import (
    CREATE,
    FINISHED,
    KIND,
    PAID,
    READY,
    Keeper,
    Listener,
    check,
    new_entry,
    snapshot,
    standing,
)

GAVE_UP = TaskFailedError("GAVE_UP")
CLOSED = PoolClosedError("the pool was closed")


def phase_name(value: object) -> str | None:
    """Name phases in a test's id."""
    return value.name if isinstance(value, Phase) else None


# ------------------------------------------------------------------- the table of moves


@pytest.mark.parametrize("phase", Phase, ids=phase_name)
def test_illegal_moves_change_nothing(phase: Phase) -> None:
    """A mistake in the library would falsify the counts on top of everything else."""
    keeper = Keeper()
    entry = keeper.in_phase(phase)
    before = snapshot(keeper.books, entry)
    for target in set(Phase) - set(MOVES[phase]):
        with pytest.raises(IllegalMoveError):
            keeper.books._move(entry, target)
        assert snapshot(keeper.books, entry) == before, target


# event → what it leads to, in a line of (name, call, target)
EVENTS: list[tuple[str, Any, Phase]] = [
    ("created", lambda keeper, entry: keeper.created(entry, "7", now=1, poll_at=2), Phase.WAITING),
    ("retry_create", lambda keeper, entry: keeper.retry_create(entry, 1), Phase.QUEUED),
    ("refuse", lambda keeper, entry: keeper.refuse(entry, GAVE_UP), Phase.REFUSED),
    ("lost", lambda keeper, entry: keeper.lost(entry, GAVE_UP), Phase.UNKNOWN),
    ("repeat_create", lambda keeper, entry: keeper.repeat_create(entry, GAVE_UP, 1), Phase.QUEUED),
]


@pytest.mark.parametrize("phase", sorted(set(Phase) - {Phase.ORPHANED}), ids=phase_name)
def test_an_event_that_does_not_fit_changes_nothing(phase: Phase) -> None:
    """An answer that comes twice would take an entry out of the queue or off its request."""
    keeper = Keeper()
    entry = keeper.in_phase(phase)
    before = snapshot(keeper.books, entry)
    for name, call, target in EVENTS:
        if target not in MOVES[phase]:
            with pytest.raises(IllegalMoveError):
                call(keeper.books, entry)
            assert snapshot(keeper.books, entry) == before, name


# ----------------------------------------------------------------------- order of sending


def test_creates_go_out_in_the_order_in_which_they_came() -> None:
    """Whoever asked first would be served last."""
    keeper = Keeper()
    entries = [keeper.queued() for _ in range(5)]
    commands = keeper.take_all(0.0)
    assert commands == [Command(entry, CREATE) for entry in entries]
    assert [entry.phase for entry in entries] == [Phase.CREATING] * 5
    assert all(entry.request_in_flight and entry.attempts == 1 for entry in entries)
    check(keeper.books, entries)


def test_accounts_take_turns() -> None:
    """One account's long queue would hold up all the others."""
    keeper = Keeper(lines=3)
    entries = [keeper.queued(line=line) for line in (0, 0, 0, 1, 1, 2)]
    order = [keeper.lines.index(command.entry.line) for command in keeper.take_all(0.0)]
    assert order == [0, 1, 2, 0, 1, 0]
    check(keeper.books, entries)


def test_a_flood_of_polls_leaves_room_for_creates() -> None:
    """New callers, and the canary of an account, would wait until all others are solved."""
    keeper = Keeper()
    for _ in range(20):
        keeper.waiting(poll_at=10.0)
    for _ in range(3):
        keeper.queued()
    kinds = [command.permit.endpoint[0] for command in keeper.take_all(10.0)]
    assert "".join(kinds) == "ggggggggcggggggggcggggc"


def test_polls_go_in_the_order_in_which_they_fell_due() -> None:
    """When slots are short, the youngest tasks would starve behind older ones that come again."""
    keeper = Keeper()
    old = keeper.waiting(now=0.0, poll_at=20.0)
    young = keeper.waiting(now=5.0, poll_at=10.0)
    middle = keeper.waiting(now=3.0, poll_at=30.0)
    assert keeper.polled(9.9) == []
    assert keeper.polled(30.0) == [young, old, middle]


def test_what_is_about_to_lapse_is_polled_first() -> None:
    """When slots are short, the results that are about to be lost would be lost."""
    keeper = Keeper()
    young = keeper.waiting(now=200.0, poll_at=251.0)
    late = keeper.waiting(now=10.0, poll_at=260.0)
    later = keeper.waiting(now=5.0, poll_at=255.0)
    keeper.advance(252.0)  # one has been waiting for a slot already
    assert keeper.polled(260.0) == [later, late, young]


def test_polls_of_one_tick_go_together() -> None:
    """Each would wake the event loop by itself; too soon, it would count towards a ban."""
    keeper = Keeper()
    keeper.line.tick = 0.05
    together = [keeper.waiting(poll_at=at) for at in (10.01, 10.03, 10.0499)]
    next_one = keeper.waiting(poll_at=10.051)
    assert keeper.polled(10.0499) == []
    assert keeper.polled(10.0501) == together
    assert keeper.polled(10.1001) == [next_one]
    for number in range(1_000):
        at = 20.0 + 0.00137 * number
        assert at <= keeper.waiting(poll_at=at).due_at <= at + 0.0501


def test_a_poll_near_the_end_of_its_window_waits_for_no_other() -> None:
    """A service that is slow then would be asked too late."""
    keeper = Keeper()
    keeper.line.tick = 0.05
    assert keeper.waiting(poll_at=250.013).due_at == 250.013


def test_polls_of_a_paused_account_wait_and_are_not_lost() -> None:
    """A pause would swallow polls, or stop those of other accounts."""
    keeper = Keeper(lines=2)
    paused = keeper.waiting(poll_at=10.0)
    other = keeper.waiting(poll_at=10.0, line=1)
    keeper.gate.polls_from = 25.0
    assert keeper.polled(10.0) == [other]
    assert (paused.phase, paused.polls) == (Phase.WAITING, 0)
    assert keeper.books.next_time(10.0) == 25.0
    assert keeper.polled(24.9) == []
    assert keeper.polled(25.0) == [paused]
    assert paused.polls == 1


def test_next_time_is_the_earliest_of_everything() -> None:
    """The scheduler would sleep through a poll, a deadline or a retry."""
    keeper = Keeper()
    entry = keeper.waiting(poll_at=40.0)
    assert keeper.books.next_time(0.0) == 40.0
    retried = keeper.creating(deadline=30.0)
    assert keeper.books.next_time(0.0) == 30.0
    keeper.books.retry_create(retried, 20.0)
    assert keeper.books.next_time(0.0) == 20.0
    queued = keeper.queued()
    keeper.gate.creates_from = 15.0
    assert keeper.books.next_time(0.0) == 15.0
    # What may go now is waited for in another way: by the end of a request.
    assert keeper.books.next_time(15.0) == 20.0
    for item in (entry, retried, queued):
        keeper.books.release(item)
    assert keeper.books.next_time(15.0) == 300.0


# ------------------------------------------------------------------------ when to poll


@pytest.mark.parametrize(("poll_at", "due"), [(20.5, 23.0), (23.0, 23.0), (27.0, 27.0), (-inf, 23)])
@pytest.mark.parametrize("event", ["processing", "skipped"])
def test_the_spacing_is_never_undercut(event: str, poll_at: float, due: float) -> None:
    """The service would throttle or ban the account."""
    keeper = Keeper(spacing=3.0)
    entry = keeper.polling()
    if event == "processing":
        keeper.books.processing(entry, now=20.0, sent_age=19.0, poll_at=poll_at)
        assert (entry.processing_at, entry.polled_age, entry.answered) == (20.0, 19.0, 1)
    else:
        keeper.books.skipped(entry, now=20.0, poll_at=poll_at, trouble="502")
        assert (entry.processing_at, entry.answered, entry.faults) == (None, 0, 1)
    assert (entry.phase, entry.request_in_flight) == (Phase.WAITING, False)
    assert keeper.books.next_time(20.0) == due
    assert keeper.polled(due - 0.01) == []
    assert keeper.polled(due) == [entry]


def test_faults_are_counted_in_a_row() -> None:
    """The backoff after a fault would never come down again."""
    keeper = Keeper()
    entry = keeper.polling()
    faults = []
    for now, event in enumerate(("skipped", "skipped", "processing", "skipped"), start=1):
        if event == "skipped":
            keeper.books.skipped(entry, now=10.0 * now, poll_at=0.0, trouble="502")
        else:
            keeper.books.processing(entry, now=10.0 * now, sent_age=1.0, poll_at=0.0)
        faults.append(entry.faults)
        assert keeper.polled(10.0 * now + 3) == [entry]
    assert faults == [1, 2, 0, 1]
    assert (entry.polls, entry.answered) == (5, 1)


def polls_until_the_end(keeper: Keeper, entry: Entry, wait: float) -> list[float]:
    """Answer every poll with ``processing`` at once; return when they went out."""
    times = []
    now = 0.0
    while (now := keeper.books.next_time(now)) < entry.lapses_at:
        assert keeper.polled(now) == [entry]
        times.append(now)
        keeper.books.processing(entry, now=now, sent_age=now, poll_at=now + wait)
    keeper.advance(now)
    return times


@pytest.mark.parametrize("spacing", [0.05, 1.0, 2.0])
@pytest.mark.parametrize("event_every", [0.0, 0.5])
def test_no_policy_gets_more_than_110_polls(spacing: float, event_every: float) -> None:
    """Services stop answering at about 120 polls of one task, and a paid task would be lost."""
    keeper = Keeper(spacing=spacing)
    entry = keeper.waiting(poll_at=0.0)
    times = polls_until_the_end(keeper, entry, event_every)
    assert len(times) <= 110
    assert times[-1] == pytest.approx(290.0, abs=4.0)
    # The first half comes as the policy wants it: most tasks are solved long before.
    assert times[54] == pytest.approx(54 * max(spacing, event_every))
    gaps = [later - time for time, later in pairwise(times)]
    assert max(gaps) < 6.0
    assert entry.phase is Phase.LAPSED
    check(keeper.books, [entry])


# -------------------------------------------------------------------- what is answered


def test_a_lost_create_that_is_repeated_stays_in_the_books() -> None:
    """What may have been paid for the first time would be spent a second time."""
    keeper = Keeper()
    entry = new_entry(keeper.line, points=6.0)
    keeper.books.enqueue(entry)
    assert keeper.take(0.0) == Command(entry, CREATE)
    keeper.books.repeat_create(entry, SubmissionUnknownError("lost"), 2.0)
    check(keeper.books, [entry])
    assert (entry.phase, entry.outcome, entry.repeated) == (Phase.QUEUED, None, True)
    assert (keeper.line.repeated, keeper.line.committed_points) == (1, 12.0)
    assert keeper.take_all(1.9) == []
    assert keeper.take_all(2.0) == [Command(entry, CREATE)]
    keeper.books.created(entry, "7", now=3.0, poll_at=13.0)
    assert (keeper.line.points, keeper.line.committed_points) == (6.0, 12.0)
    check(keeper.books, [entry])


@pytest.mark.parametrize("why", ["closed", "nobody waits"])
def test_a_lost_create_is_not_repeated_for_nobody(why: str) -> None:
    """It would be paid twice, and nobody be there to take even one solution."""
    keeper = Keeper()
    entry, error = keeper.creating(), SubmissionUnknownError("lost")
    if why == "closed":
        keeper.books.close(CLOSED)
    else:
        keeper.books.release(entry)
    keeper.books.repeat_create(entry, error, 2.0)
    assert (entry.phase, entry.outcome, entry.repeated) == (Phase.UNKNOWN, error, False)
    assert keeper.line.repeated == 0
    check(keeper.books, [entry])


def test_points_are_counted_once_for_each_paid_task() -> None:
    """A report of the costs would leave out what orphans cost, or count a task twice."""
    keeper = Keeper()
    entries = [new_entry(keeper.line, points=points) for points in (6, 15, None, 8)]
    for entry in entries:
        keeper.books.enqueue(entry)
    keeper.take_all(0.0)
    for number, entry in enumerate(entries[:3]):
        keeper.books.created(entry, f"id-{number}", now=0.0, poll_at=10.0)
    keeper.books.created(entries[3], "id-0", now=0.0, poll_at=10.0)  # an id once more
    assert keeper.line.points == 21
    assert keeper.line.created == 3
    adopted(keeper, points=30)
    assert keeper.line.points == 21, "another process has paid for it"
    keeper.books.release(entries[0])
    assert keeper.line.points == 21


def test_created_tells_whoever_waits_for_the_ticket() -> None:
    """`submit` would return only when the task is solved."""
    keeper = Keeper()
    entry = keeper.creating(now=5.0)
    entry.creators = creator = Listener()
    keeper.books.created(entry, "7", now=8.0, poll_at=18.0)
    assert creator.told == [None]
    assert (entry.created_at, entry.lapses_at) == (8.0, 308.0)
    assert (entry.phase, entry.request_in_flight) == (Phase.WAITING, False)
    assert keeper.line.paid == {"7": entry}
    assert (keeper.line.created, keeper.line.resumed) == (1, 0)


def test_a_retried_create_waits_its_time_and_then_goes_first() -> None:
    """It would be sent again at once, or stand behind everybody who came later."""
    keeper = Keeper()
    entry = keeper.creating()
    later = keeper.queued()
    keeper.books.retry_create(entry, 5.0)
    assert (entry.phase, entry.request_in_flight) == (Phase.QUEUED, False)
    check(keeper.books, [entry, later])
    assert keeper.books.next_time(0.0) == 5.0
    keeper.gate.creates_from = 5.0
    assert keeper.take_all(4.9) == []
    assert keeper.take_all(5.0) == [Command(entry, CREATE), Command(later, CREATE)]
    assert entry.attempts == 2


# -------------------------------------------------------------- deadlines and patience


def test_the_window_ends_a_waiting_task() -> None:
    """A caller would wait for a result that can no longer be fetched."""
    keeper = Keeper()
    entry = keeper.waiting()
    keeper.advance(299.9)
    assert standing(entry) == (Phase.WAITING, None)
    keeper.advance(300.0)
    assert entry.phase is Phase.LAPSED
    assert isinstance(entry.outcome, ResultWindowLapsedError)
    assert "within 300 s" in str(entry.outcome)
    assert keeper.take_all(1e6) == []
    check(keeper.books, [entry])


@pytest.mark.parametrize("retried", [False, True])
def test_a_timeout_in_the_queue(retried: bool) -> None:  # noqa: FBT001
    """A caller would wait longer than they asked to, or be told of a charge that never was."""
    keeper = Keeper()
    keeper.gate.creates_from = 0.0
    entry = keeper.creating(deadline=20.0) if retried else keeper.queued(deadline=20.0)
    if retried:
        keeper.books.retry_create(entry, 30.0)
    keeper.advance(20.0)
    assert entry.phase is Phase.CANCELLED
    assert isinstance(entry.outcome, SolveTimeoutError)
    assert not entry.outcome.may_be_charged
    assert "before the task was created" in str(entry.outcome)
    assert keeper.take_all(1e6) == []
    check(keeper.books, [entry])


@pytest.mark.parametrize("end", ["created", "lost", "refused", "retry"])
def test_a_timeout_during_creation(end: str) -> None:
    """A task that is paid for after its caller timed out would be lost, or polled for nobody."""
    keeper = Keeper()
    entry = keeper.creating(deadline=20.0)
    keeper.advance(20.0)
    outcome = entry.outcome
    assert isinstance(outcome, SolveTimeoutError)
    assert outcome.may_be_charged
    assert entry.phase is Phase.CREATING
    check(keeper.books, [entry])
    if end == "created":
        keeper.books.created(entry, "7", now=21.0, poll_at=31.0)
    elif end == "lost":
        keeper.books.lost(entry, SubmissionUnknownError("lost"))
    elif end == "refused":
        keeper.books.refuse(entry, GAVE_UP)
    else:
        keeper.books.retry_create(entry, 25.0)
    expected = {
        "created": Phase.ORPHANED,
        "lost": Phase.UNKNOWN,
        "refused": Phase.REFUSED,
        "retry": Phase.CANCELLED,
    }
    assert (entry.phase, entry.outcome) == (expected[end], outcome)
    assert keeper.take_all(100.0) == []
    check(keeper.books, [entry])


# ------------------------------------------------------------------ callers come and go


def test_the_last_one_who_goes_turns_it_into_an_orphan() -> None:
    """One cancelled waiter of two would stop the task for the other."""
    keeper = Keeper()
    entry = keeper.waiting()
    keeper.books.hold(entry, 5.0)
    assert entry.holders == 2
    keeper.books.release(entry)
    assert (entry.phase, entry.holders) == (Phase.WAITING, 1)
    keeper.books.release(entry)
    assert (entry.phase, entry.holders) == (Phase.ORPHANED, 0)
    keeper.books.release(entry)
    assert entry.holders == 0
    assert entry.outcome is None
    check(keeper.books, [entry])


def test_solutions_that_nobody_waits_for_have_their_bound() -> None:
    """A service that sends a megabyte for each ticket would fill the memory with them."""
    keeper, large = Keeper(), Reply(200, bytes(1024 * 1024))
    entries = [keeper.polling() for _ in range(130)]
    kept = []
    for entry in entries:
        if keeper.books.has_room_for(entry, large):
            keeper.books.solved(entry, large, 12.0)
            kept.append(entry)
    assert len(kept) == 128
    assert not keeper.books.has_room_for(entries[-1], READY)
    entries[-1].waiters = Listener()
    assert keeper.books.has_room_for(entries[-1], large), "who waits takes it away at once"
    entries[-1].waiters = None
    kept[0].outcome = None
    assert keeper.books.has_room_for(entries[-1], large), "what nobody holds takes up nothing"


def test_a_solution_that_nobody_took_is_kept() -> None:
    """A caller who is cancelled in the moment of delivery would lose a paid token."""
    keeper = Keeper()
    entry = keeper.in_phase(Phase.SOLVED)
    keeper.books.release(entry)
    assert list(keeper.line.orphans()) == [entry]
    check(keeper.books, [entry])
    keeper.books.hold(entry, 5.0)
    assert (entry.phase, entry.outcome) == (Phase.SOLVED, Solved(READY, 1.0))
    assert keeper.line.paid == {}
    check(keeper.books, [entry])
    entry.delivered = True
    keeper.books.release(entry)
    assert entry.phase is Phase.SOLVED
    check(keeper.books, [entry])


def test_an_orphan_is_taken_up_again() -> None:
    """A resumed ticket would not be polled, or its old timeout end it."""
    keeper = Keeper()
    entry = keeper.waiting(deadline=20.0)
    keeper.advance(20.0)
    keeper.books.hold(entry, 100.0)
    assert (entry.phase, entry.holders, entry.outcome) == (Phase.WAITING, 1, None)
    assert entry.deadline == inf
    check(keeper.books, [entry])
    assert keeper.polled(100.0) == [entry]
    keeper.advance(300.0)
    assert isinstance(entry.outcome, ResultWindowLapsedError)


@pytest.mark.parametrize("answer", ["solved", "failed"])
def test_an_answer_after_the_window_comes_too_late(answer: str) -> None:
    """A caller who was told that it is over would be counted twice."""
    keeper = Keeper()
    entry = keeper.polling()
    keeper.advance(300.0)
    told = entry.outcome
    if answer == "solved":
        keeper.books.solved(entry, READY, 301.0)
    else:
        keeper.books.failed(entry, GAVE_UP)
    assert standing(entry) == (Phase.LAPSED, told)
    check(keeper.books, [entry])


@pytest.mark.parametrize("answer", ["solved", "processing", "skipped", "failed"])
def test_an_orphan_is_taken_up_during_its_request(answer: str) -> None:
    """Its answer would be passed over, or it be polled twice at a time."""
    keeper = Keeper()
    entry = keeper.polling()
    keeper.books.release(entry)
    assert standing(entry) == (Phase.ORPHANED, None)
    keeper.books.hold(entry, 5.0)
    assert standing(entry) == (Phase.POLLING, None)
    assert keeper.take_all(100.0) == []
    check(keeper.books, [entry])
    if answer == "solved":
        keeper.books.solved(entry, READY, 101.0)
        assert entry.outcome == Solved(READY, 101.0)
    elif answer == "failed":
        keeper.books.failed(entry, GAVE_UP)
        assert entry.outcome is GAVE_UP
    elif answer == "processing":
        keeper.books.processing(entry, now=101.0, sent_age=100.0, poll_at=107.0)
        assert keeper.polled(107.0) == [entry]
    else:
        keeper.books.skipped(entry, now=101.0, poll_at=107.0, trouble="502")
        assert keeper.polled(107.0) == [entry]
    check(keeper.books, [entry])


# ------------------------------------------------------------------ what others see to


def test_what_a_caller_brings_rings() -> None:
    """It would wait for the next poll of another task, or for the next beat of a fleet."""
    keeper = Keeper()
    leaving = keeper.waiting(poll_at=50.0)
    aside = new_entry(keeper.line, reference="job 17", once=True)
    keeper.books.enqueue(aside, aside=True)
    rung: list[str] = []
    keeper.books.wake = lambda: rung.append("once more")
    keeper.books.line_up(aside)
    assert len(rung) == 1, "it can be created now"
    keeper.books.release(leaving)
    assert len(rung) == 2, "there may be room for who is in line"


def test_what_others_may_see_to_is_not_created_until_that_is_known() -> None:
    """It would be paid for here and there."""
    keeper = Keeper()
    entry = new_entry(keeper.line, reference="job 17", once=True)
    keeper.books.enqueue(entry, aside=True)
    assert keeper.take(1.0) is None
    assert keeper.books.aside() == [entry]
    assert in_line(keeper) == []
    keeper.books.line_up(entry)
    assert keeper.books.aside() == []
    assert keeper.take(1.0) == Command(entry, CREATE)
    keeper.books.set_aside(entry)
    assert keeper.books.aside() == [entry]
    assert standing(entry) == (Phase.QUEUED, None)
    assert keeper.take(2.0) is None


@pytest.mark.parametrize("failed", [False, True])
def test_what_others_have_paid_for_is_an_answer(failed: bool) -> None:  # noqa: FBT001
    """Whoever waits here would wait for ever, or pay again."""
    keeper = Keeper()
    entry = new_entry(keeper.line, reference="job 17", once=True)
    entry.creators = creator = Listener()
    keeper.books.enqueue(entry, aside=True)
    outcome = GAVE_UP if failed else Solved(READY, 8.0)
    keeper.books.found(entry, "7", outcome, created_at=2.0)
    assert standing(entry) == (Phase.FAILED if failed else Phase.SOLVED, outcome)
    assert creator.told == [outcome]
    assert (entry.task_id, entry.lapses_at) == ("7", 302.0)
    assert (keeper.line.created, keeper.line.resumed) == (0, 1)
    assert keeper.books.references.standing_for("job 17", 8.0) is entry
    check(keeper.books, [entry])


def test_what_others_see_to_ends_with_the_pool_and_with_its_caller() -> None:
    """It would be asked for for ever."""
    keeper = Keeper()
    gone, left, late = (new_entry(keeper.line, once=True, reference=name) for name in "abc")
    for entry in (gone, left):
        keeper.books.enqueue(entry, aside=True)
    keeper.books.release(gone)
    assert standing(gone) == (Phase.CANCELLED, None)
    keeper.books.enqueue(late)
    assert keeper.take(1.0) == Command(late, CREATE)
    keeper.books.release(late)
    keeper.books.close(CLOSED)
    keeper.books.set_aside(late)
    keeper.advance(0.0)
    assert standing(left) == (Phase.CANCELLED, CLOSED)
    assert late.phase is Phase.CANCELLED
    assert keeper.books.aside() == []


def test_an_orphan_that_is_held_after_the_end_is_answered() -> None:
    """Whoever takes it up in that moment would wait for a poll that nobody sends."""
    keeper = Keeper()
    entry = keeper.waiting()
    keeper.books.abandon(entry, TicketCancelledError("the ticket was cancelled"))
    keeper.books.close(CLOSED)
    keeper.books.hold(entry, 5.0)
    assert standing(entry) == (Phase.ORPHANED, CLOSED)


def test_what_is_being_created_is_taken_up_again() -> None:
    """Whoever comes after one who lost patience would be told of that one's timeout."""
    keeper = Keeper()
    entry = keeper.creating(deadline=5.0)
    keeper.advance(5.0)
    assert isinstance(entry.outcome, SolveTimeoutError)
    keeper.books.hold(entry, 6.0)
    assert standing(entry) == (Phase.CREATING, None)
    keeper.books.created(entry, "7", now=8.0, poll_at=18.0)
    assert entry.phase is Phase.WAITING


# ------------------------------------------------------------------------- by reference


def referring(keeper: Keeper, *, once: bool = True) -> Entry:
    """Return an entry that is being created for a reference."""
    entry = new_entry(keeper.line, reference="job 17", once=once)
    keeper.books.enqueue(entry)
    assert keeper.books.take(0.0) == Command(entry, CREATE)
    return entry


@pytest.mark.parametrize("phase", [Phase.UNKNOWN, Phase.REFUSED, Phase.CANCELLED, Phase.LAPSED])
def test_a_reference_stands_for_nothing_that_came_to_nothing(phase: Phase) -> None:
    """A job that was refused once could never be done."""
    keeper = Keeper()
    entry = referring(keeper)
    if phase is Phase.LAPSED:
        keeper.books.created(entry, "7", now=0.0, poll_at=1.0)
    keeper._finish(entry, phase)
    assert entry.phase is phase
    assert keeper.books.references.standing_for("job 17", 1.0) is None


def test_what_failed_stands_until_its_window_ends() -> None:
    """Each delivery of a job that fails would be paid for."""
    keeper = Keeper()
    entry = referring(keeper)
    keeper.books.created(entry, "7", now=0.0, poll_at=1.0)
    keeper.books.failed(entry, GAVE_UP)
    keeper.books.delivered(entry)
    assert keeper.books.references.standing_for("job 17", 299.0) is entry
    assert keeper.books.references.standing_for("job 17", 300.0) is None


def test_what_is_not_created_once_is_known_while_it_is_paid_and_not_delivered() -> None:
    """Every solution of the last two minutes would be kept in memory, for nobody."""
    keeper = Keeper()
    entry = referring(keeper, once=False)
    assert keeper.books.references.standing_for("job 17", 0.0) is None
    keeper.books.created(entry, "7", now=0.0, poll_at=1.0)
    assert keeper.books.references.standing_for("job 17", 0.0) is entry
    keeper.take(1.0)
    keeper.books.solved(entry, READY, 2.0)
    assert keeper.books.references.standing_for("job 17", 2.0) is entry
    keeper.books.abandon(entry)
    assert keeper.books.references.standing_for("job 17", 2.0) is entry
    keeper.books.hold(entry, 3.0)
    keeper.books.delivered(entry)
    assert keeper.books.references.standing_for("job 17", 3.0) is None


def test_what_was_bought_once_stands_beside_what_is_bought_again() -> None:
    """Whoever asks once more would be given the token of a caller who bought one for himself."""
    keeper = Keeper()
    keeper.line.token_validity = 120.0
    first, plain, again = (referring(keeper, once=once) for once in (True, False, True))
    keeper.books.created(first, "7", now=0.0, poll_at=1.0)
    keeper.take(1.0)
    keeper.books.solved(first, READY, 2.0)
    keeper.books.created(plain, "8", now=3.0, poll_at=9.0)
    assert keeper.books.references.standing_for("job 17", 3.0) is first
    keeper.books.delivered(plain)
    assert keeper.books.references.standing_for("job 17", 3.0) is first
    keeper.books.created(again, "9", now=4.0, poll_at=9.0)
    assert keeper.books.references.standing_for("job 17", 4.0) is again, (
        "another machine may have paid"
    )


def adopted(keeper: Keeper, **settings: Any) -> Entry:
    """Take over a task that was created elsewhere at time 0."""
    about = {"task_id": "7", "created_at": 0.0, "lapses_at": 300.0, **settings}
    entry = new_entry(keeper.line, **about)
    keeper.books.adopt(entry, poll_at=10.0)
    return entry


def test_a_task_from_elsewhere() -> None:
    """A ticket that another process paid for would not be polled, or be counted as created."""
    keeper = Keeper()
    entry = adopted(keeper)
    assert (keeper.line.created, keeper.line.resumed) == (0, 1)
    assert (entry.phase, keeper.line.paid) == (Phase.WAITING, {"7": entry})
    check(keeper.books, [entry])
    assert keeper.polled(50.0) == [entry]
    keeper.advance(300.0)
    assert isinstance(entry.outcome, ResultWindowLapsedError)
    check(keeper.books, [entry])


def test_a_task_from_elsewhere_keeps_the_spacing() -> None:
    """The process before has just polled it; doing so again at once undercuts the service."""
    keeper = Keeper(spacing=3.0)
    adopted(keeper, processing_at=48.0)
    assert keeper.books.next_time(50.0) == 51.0


def test_a_poll_that_fails_says_nothing_of_an_id_from_elsewhere() -> None:
    """Ids that nobody has spoken for would go out together again, and be answered with a ban."""
    keeper = Keeper()
    for number in range(7):
        adopted(keeper, task_id=f"from-elsewhere-{number}")
    unknown = keeper.polled(10.0)
    assert len(unknown) == 5
    for entry in unknown:
        keeper.books.failed(entry, TaskNotFoundError("UNKNOWN"))
    (failing,) = keeper.polled(11.0)
    keeper.books.skipped(failing, now=12.0, poll_at=15.0, trouble="502")
    (other,) = keeper.polled(20.0)
    keeper.books.processing(other, now=20.0, sent_age=20.0, poll_at=30.0)
    assert keeper.polled(40.0) == [failing, other]


# ----------------------------------------------------------------- one account's troubles


def test_nobody_in_line_is_created_until_all_were_told() -> None:
    """Its caller would be told that nothing was paid, or be told nothing."""
    keeper = Keeper()
    first, second, gone = keeper.queued(), keeper.queued(), keeper.queued()
    error = InsufficientBalanceError("EMPTY")
    keeper.books.see_to_queued(keeper.line, lambda entry: keeper.books.refuse(entry, error))
    newcomer = keeper.queued()
    assert keeper.books.rounds.current
    assert keeper.books.next_time(0.0) == 0.0
    assert keeper.books.advance(0.0, 1)
    assert first.outcome is error
    assert keeper.books.take(0.0) is None
    keeper.books.release(gone)
    keeper.advance(0.0)
    assert (second.outcome, gone.outcome, newcomer.outcome) == (error, None, None)
    (command,) = keeper.take_all(0.0)
    assert command.entry is newcomer


def test_whoever_is_told_of_a_refusal_is_told_once() -> None:
    """The answers of a hundred requests in flight would each go past everybody in line."""
    keeper = Keeper()
    early, late = keeper.queued(queued_at=10.0), keeper.queued(queued_at=20.0)
    told: list[tuple[str, Entry]] = []

    def tell(text: str, since: float = inf) -> None:
        keeper.books.see_to_queued(
            keeper.line, lambda entry: told.append((text, entry)), since=since
        )

    tell("some", since=10.0)
    tell("all")
    tell("some again", since=15.0)
    keeper.advance(0.0)
    assert told == [("all", early), ("all", late)]
    tell("later", since=15.0)
    keeper.advance(0.0)
    assert told[2:] == [("later", early)]


def test_a_pool_that_is_closed_while_many_are_told_answers_all() -> None:
    """The rest of them would wait for ever, or for what a closed pool cannot give."""
    keeper = Keeper()
    polling, asked, waiting = keeper.polling(), keeper.polling(), keeper.waiting()
    first, second = keeper.queued(), keeper.queued()
    error = InsufficientBalanceError("EMPTY")
    keeper.books.see_to_queued(keeper.line, lambda entry: keeper.books.refuse(entry, error))
    keeper.books.advance(0.0, 1)
    keeper.books.close(CLOSED)
    keeper.books.solved(polling, READY, 1.0)
    keeper.books.processing(asked, now=1.0, sent_age=1.0, poll_at=9.0)
    assert standing(asked) == (Phase.ORPHANED, CLOSED)
    keeper.advance(0.0)
    assert [item.outcome for item in (first, second, waiting)] == [error, CLOSED, CLOSED]
    assert polling.phase is Phase.SOLVED, "its answer came before it was told"
    check(keeper.books, [first, second, waiting, polling, asked])


def in_line(keeper: Keeper, *, since: float = inf) -> list[Entry]:
    """Return those who are in line for creation."""
    found: list[Entry] = []
    keeper.books.see_to_queued(keeper.line, found.append, since=since)
    keeper.advance(0.0)
    return found


def test_who_is_in_line() -> None:
    """Thousands of callers would wait for an account that takes no tasks, or be paid for."""
    keeper = Keeper(lines=2)
    retried = keeper.creating()
    keeper.books.retry_create(retried, 50.0)
    creating, waiting = keeper.creating(), keeper.waiting()
    retried_elsewhere = keeper.creating(line=1)
    keeper.books.retry_create(retried_elsewhere, 50.0)
    queued, elsewhere = keeper.queued(queued_at=10.0), keeper.queued(line=1)
    late = keeper.queued(queued_at=20.0)
    assert in_line(keeper, since=10.0) == [queued, retried]
    keeper.books.release(late)
    error = InsufficientBalanceError("EMPTY")
    keeper.books.see_to_queued(keeper.line, lambda entry: keeper.books.refuse(entry, error))
    keeper.advance(0.0)
    for entry in (queued, retried):
        assert (entry.phase, entry.outcome) == (Phase.REFUSED, error)
    for entry in (creating, waiting, elsewhere, retried_elsewhere):
        assert entry.outcome is None
    check(keeper.books, [retried, creating, waiting, retried_elsewhere, queued, elsewhere, late])
    assert {command.entry for command in keeper.take_all(50.0)} == {
        waiting,
        elsewhere,
        retried_elsewhere,
    }


def test_another_account_takes_over() -> None:
    """A task would stand in two lines and be paid twice, or in none and wait for ever."""
    keeper = Keeper(lines=2)
    kind = KIND._replace(service="1captcha")
    retried = keeper.creating()
    keeper.books.retry_create(retried, 50.0)
    refused = keeper.creating()
    first, queued = keeper.queued(line=1), keeper.queued(deadline=70.0)
    other = keeper.lines[1]
    for entry in (retried, queued, refused):
        keeper.books.hand_over(entry, other, kind, 5.0)
        assert (entry.line, entry.kind, entry.points) == (other, kind, 5.0)
    check(keeper.books, [retried, first, queued, refused])
    assert (keeper.line.load, keeper.line.pending_points, other.pending_points) == (0, 0.0, 17.0)
    commands = keeper.take_all(0.0)
    assert [command.entry for command in commands] == [first, retried, queued, refused]
    assert all(command.permit.endpoint == "createTask" for command in commands)
    keeper.advance(80.0)
    assert isinstance(queued.outcome, SolveTimeoutError), "its caller's patience moves along"


@pytest.mark.parametrize("phase", sorted(PAID | FINISHED), ids=phase_name)
def test_what_is_paid_or_over_is_not_handed_over(phase: Phase) -> None:
    """A task that is paid for here would be paid for elsewhere as well."""
    keeper = Keeper(lines=2)
    entry = keeper.in_phase(phase)
    before = snapshot(keeper.books, entry)
    with pytest.raises(IllegalMoveError):
        keeper.books.hand_over(entry, keeper.lines[1], KIND, 5.0)
    assert snapshot(keeper.books, entry) == before


def test_fail_lapsing() -> None:
    """A ban of ten minutes would be waited for in vain by those whose window ends before."""
    keeper = Keeper()
    polling = keeper.polling(now=0.0)
    early, late = keeper.waiting(now=0.0), keeper.waiting(now=1.0)
    error = BannedError("BAN")
    keeper.books.fail_lapsing(keeper.line, error, until=300.0)
    keeper.advance(0.0)
    assert (early.phase, early.outcome) == (Phase.FAILED, error)
    assert polling.outcome is None
    assert late.outcome is None
    check(keeper.books, [polling, early, late])


def test_a_solution_in_hand_needs_no_fetching() -> None:
    """A solution that is paid for and here would be thrown away because of a ban."""
    keeper = Keeper()
    entry = keeper.polling()
    keeper.books.release(entry)
    keeper.books.solved(entry, READY, 5.0)
    keeper.books.fail_lapsing(keeper.line, BannedError("BAN"), until=600.0)
    keeper.advance(0.0)
    keeper.books.hold(entry, 10.0)
    assert entry.outcome == Solved(READY, 5.0)


# ------------------------------------------------------------------------------ the end


def test_abort_answers_everybody() -> None:
    """Whatever dies, somebody would wait for ever."""
    keeper = Keeper(lines=2)
    polling, orphan_in_flight = keeper.polling(), keeper.polling()
    creating, waiting = keeper.creating(), keeper.waiting(line=1)
    queued = keeper.queued()
    keeper.books.release(orphan_in_flight)
    entries = [polling, creating, waiting, queued, orphan_in_flight]
    keeper.books.abort(CLOSED)
    assert polling.outcome is waiting.outcome is queued.outcome is CLOSED
    assert orphan_in_flight.outcome is CLOSED
    assert creating.phase is Phase.UNKNOWN
    assert isinstance(creating.outcome, SubmissionUnknownError)
    assert "createTask was in flight: the pool was closed" in str(creating.outcome)
    assert set(keeper.line.orphans()) == {polling, orphan_in_flight}
    assert not any(entry.request_in_flight for entry in entries)
    check(keeper.books, entries)
    keeper.books.abort(PoolClosedError("again"))
    assert polling.outcome is CLOSED


# ------------------------------------------------------------------------------ looking


def test_reprs_show_counts_and_no_tasks() -> None:
    """A log line of a busy pool would hold ten thousand entries, or the tasks' secrets."""
    keeper = Keeper()
    entry = keeper.waiting()
    keeper.queued()
    assert repr(keeper.books) == "<Books of 1 accounts, 2 tickets>"
    assert "website" not in repr(keeper.line)
    assert "website" not in repr(entry)
    assert "Entry" not in repr(keeper.line)


def test_what_waits_is_planned_anew() -> None:
    """Tasks would be fetched late by a plan that nobody would make any more."""
    keeper = Keeper()
    sooner, later, same, polled = (keeper.waiting(poll_at=20.0) for _ in range(4))
    polling = keeper.polling()
    keeper.books.processing(polling, now=10.0, sent_age=9.0, poll_at=20.0)
    failed = keeper.polling()
    keeper.books.skipped(failed, now=10.0, poll_at=20.0, trouble="502")
    orphan = keeper.orphaned()
    plan = {sooner: 15.0, later: 30.0, same: 20.1, polled: 12.0, polling: 11.0}
    keeper.books.replan(KIND, plan.__getitem__)
    assert keeper.books.next_time(12.0) == 12.0, "there is something to do at once"
    keeper.advance(12.0)
    assert [entry.due_at for entry in plan] == [15.0, 30.0, 20.0, 12.0, 13.0]
    assert failed.due_at == 20.0, "what failed waits for the service"
    assert orphan.phase is Phase.ORPHANED
    assert keeper.books.next_time(12.0) == 13.0


def test_planning_anew_again_and_again_comes_to_everybody() -> None:
    """In a burst of thousands the estimate moves faster than all of them can be looked at."""
    keeper = Keeper()
    first, second, third = entries = [keeper.waiting(poll_at=20.0) for _ in range(3)]
    for at in (30.0, 31.0, 32.0):
        keeper.books.replan(KIND, lambda _entry, at=at: at)
        assert keeper.books.advance(12.0, 1)
    assert [entry.due_at for entry in entries] == [30.0, 30.0, 30.0]
    keeper.advance(12.0)
    assert [entry.due_at for entry in entries] == [32.0, 32.0, 32.0], "then by what is known last"
    keeper.books.replan(KIND, lambda _entry: 40.0)
    keeper.books.replan(KIND, lambda _entry: 41.0)
    keeper.books.close(CLOSED)
    keeper.advance(12.0)
    assert first.due_at == second.due_at == third.due_at == 32.0, "nobody waits any more"


def test_whoever_comes_takes_the_lowest_place_that_is_free() -> None:
    """Of 16 at work at a time each would come as the sixteenth, and each be a scout."""
    keeper = Keeper()
    there = [keeper.orphaned() for _ in range(4)]
    assert [entry.place for entry in there] == [0, 1, 2, 3]
    for entry in (there[2], there[0]):
        keeper.books.failed(entry, GAVE_UP)
    assert [keeper.orphaned().place for _ in range(3)] == [0, 2, 4]


def test_polls_that_had_failed_go_soon_once_others_are_answered() -> None:
    """After an outage each ticket would wait out a pause of its own, of up to fifteen seconds."""
    keeper = Keeper()
    failed, spaced, good = (keeper.polling(), keeper.polling(), keeper.polling())
    keeper.books.skipped(failed, now=10.0, poll_at=25.0, trouble="502")
    keeper.books.skipped(spaced, now=19.0, poll_at=34.0, trouble="502")
    keeper.books.processing(good, now=10.0, sent_age=10.0, poll_at=40.0)
    orphan = keeper.polling()
    keeper.books.skipped(orphan, now=10.0, poll_at=25.0, trouble="502")
    keeper.books.release(orphan)
    keeper.books.hasten(keeper.line, lambda: 20.5)
    keeper.advance(20.0)
    assert [item.due_at for item in (failed, spaced, good)] == [20.5, 22.0, 40.0]
    assert keeper.books.next_time(20.0) == 20.5
    keeper.books.hasten(keeper.line, lambda: 30.0)
    keeper.advance(20.0)
    assert failed.due_at == 20.5, "never later than it was to go"

"""Ticket states, deadlines and the order of requests, as plain events at plain times."""

from __future__ import annotations

from itertools import pairwise, product
from math import inf
from typing import Any

import pytest

from ezcaptcha_async._entries import MOVES, Entry, IllegalMoveError, Phase, Solved
from ezcaptcha_async._schedule import Create, Poll, Schedule
from ezcaptcha_async.errors import (
    BannedError,
    EzCaptchaError,
    InsufficientBalanceError,
    InvalidTaskError,
    PoolClosedError,
    ResultWindowLapsedError,
    SolveTimeoutError,
    SubmissionUnknownError,
    TaskFailedError,
    TicketCancelledError,
)

from .books import (
    FINISHED,
    KIND,
    PAID,
    PERMIT,
    TASK,
    Books,
    Listener,
    PlainGate,
    check,
    counts,
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


def test_every_phase_is_in_the_table() -> None:
    """A phase that is added later would end in a KeyError in the scheduler."""
    assert set(MOVES) == set(Phase)


@pytest.mark.parametrize(
    ("phase", "target"),
    [pair for pair in product(Phase, Phase) if pair[1] not in MOVES[pair[0]]],
    ids=phase_name,
)
def test_illegal_moves_change_nothing(phase: Phase, target: Phase) -> None:
    """A mistake in the library would falsify the counts on top of everything else."""
    books = Books()
    entry = books.in_phase(phase)
    before = snapshot(books.schedule, entry)
    with pytest.raises(IllegalMoveError):
        books.schedule._move(entry, target)
    assert snapshot(books.schedule, entry) == before


def test_an_illegal_move_is_named() -> None:
    """The critical log line that a user reports would say "3 to 0"."""
    books = Books()
    with pytest.raises(IllegalMoveError, match="POLLING to QUEUED"):
        books.schedule._move(books.polling(), Phase.QUEUED)


@pytest.mark.parametrize(
    ("phase", "target"),
    [pair for pair in product(Phase, Phase) if pair[1] in MOVES[pair[0]]],
    ids=phase_name,
)
def test_legal_moves_are_counted(phase: Phase, target: Phase) -> None:
    """Statistics would count a ticket twice, or not at all."""
    books = Books()
    entry = books.in_phase(phase)
    books.schedule._move(entry, target)
    assert entry.phase is target
    assert counts(books.line) == {target: 1}


# event → what it leads to, in a line of (name, call, target)
EVENTS: list[tuple[str, Any, Phase]] = [
    ("created", lambda books, entry: books.created(entry, "7", now=1, poll_at=2), Phase.WAITING),
    ("retry_create", lambda books, entry: books.retry_create(entry, 1), Phase.QUEUED),
    ("refuse", lambda books, entry: books.refuse(entry, GAVE_UP), Phase.REFUSED),
    ("lost", lambda books, entry: books.lost(entry, GAVE_UP), Phase.UNKNOWN),
    ("repeat_create", lambda books, entry: books.repeat_create(entry, GAVE_UP, 1), Phase.QUEUED),
]


@pytest.mark.parametrize(
    ("call", "phase"),
    [
        pytest.param(call, phase, id=f"{name}-{phase.name}")
        for name, call, target in EVENTS
        for phase in Phase
        if target not in MOVES[phase] and phase is not Phase.ORPHANED
    ],
)
def test_an_event_that_does_not_fit_changes_nothing(call: Any, phase: Phase) -> None:
    """An answer that comes twice would take an entry out of the queue or off its request."""
    books = Books()
    entry = books.in_phase(phase)
    before = snapshot(books.schedule, entry)
    with pytest.raises(IllegalMoveError):
        call(books.schedule, entry)
    assert snapshot(books.schedule, entry) == before


# ----------------------------------------------------------------------- order of sending


def test_nothing_to_do() -> None:
    """An idle pool would wake up for nothing."""
    assert Schedule().next_time(0.0) == inf
    assert Schedule().take(0.0) is None
    assert Schedule().advance(0.0, 10) is False
    books = Books()
    assert books.take_all(1e9) == []
    assert books.schedule.next_time(1e9) == inf


def test_creates_go_out_in_the_order_in_which_they_came() -> None:
    """Whoever asked first would be served last."""
    books = Books()
    entries = [books.queued() for _ in range(5)]
    commands = books.take_all(0.0)
    assert commands == [Create(entry, TASK, PERMIT) for entry in entries]
    assert [entry.phase for entry in entries] == [Phase.CREATING] * 5
    assert all(entry.request_in_flight and entry.attempts == 1 for entry in entries)
    check(books.schedule, entries)


def test_accounts_take_turns() -> None:
    """One account's long queue would hold up all the others."""
    books = Books(lines=3)
    entries = [books.queued(line=line) for line in (0, 0, 0, 1, 1, 2)]
    order = [books.lines.index(command.entry.line) for command in books.take_all(0.0)]
    assert order == [0, 1, 2, 0, 1, 0]
    check(books.schedule, entries)


def test_an_account_that_must_wait_holds_up_no_other() -> None:
    """A throttled account would stop the whole pool."""
    books = Books(lines=2)
    slow, fast = books.queued(line=0), books.queued(line=1)
    books.gate.creates_from = 5.0
    assert books.take_all(0.0) == [Create(fast, TASK, PERMIT)]
    assert books.schedule.next_time(0.0) == 5.0
    assert books.take_all(5.0) == [Create(slow, TASK, PERMIT)]


def test_polls_go_before_creates() -> None:
    """A flood of new tasks would let paid ones lapse."""
    books = Books()
    first = books.waiting(poll_at=10.0)
    second = books.queued()
    assert books.take_all(10.0) == [Poll(first, "id-1", PERMIT), Create(second, TASK, PERMIT)]
    assert (first.phase, first.polls, first.request_in_flight) == (Phase.POLLING, 1, True)
    assert first.polled_age == 0.0, "no poll was answered yet"


def test_a_flood_of_polls_leaves_room_for_creates() -> None:
    """New callers, and the canary of an account, would wait until all others are solved."""
    books = Books()
    for _ in range(20):
        books.waiting(poll_at=10.0)
    for _ in range(3):
        books.queued()
    kinds = ["p" if isinstance(command, Poll) else "c" for command in books.take_all(10.0)]
    assert "".join(kinds) == "ppppppppcppppppppcppppc"


def test_polls_go_on_while_no_create_may_go() -> None:
    """Every ninth slot would stay empty while the account takes no new tasks."""
    books = Books()
    entries = [books.waiting(poll_at=10.0) for _ in range(20)]
    late = books.queued()
    books.gate.creates_from = 60.0
    assert books.polled(10.0) == entries
    assert books.take(60.0) == Create(late, TASK, PERMIT)


def test_polls_go_in_the_order_in_which_they_fell_due() -> None:
    """When slots are short, the youngest tasks would starve behind older ones that come again."""
    books = Books()
    old = books.waiting(now=0.0, poll_at=20.0)
    young = books.waiting(now=5.0, poll_at=10.0)
    middle = books.waiting(now=3.0, poll_at=30.0)
    assert books.polled(9.9) == []
    assert books.polled(30.0) == [young, old, middle]


def test_what_is_about_to_lapse_is_polled_first() -> None:
    """When slots are short, the results that are about to be lost would be lost."""
    books = Books()
    young = books.waiting(now=200.0, poll_at=251.0)
    late = books.waiting(now=10.0, poll_at=260.0)
    later = books.waiting(now=5.0, poll_at=255.0)
    books.advance(252.0)  # one has been waiting for a slot already
    assert books.polled(260.0) == [later, late, young]


def test_polls_of_a_paused_account_wait_and_are_not_lost() -> None:
    """A pause would swallow polls, or stop those of other accounts."""
    books = Books(lines=2)
    paused = books.waiting(poll_at=10.0)
    other = books.waiting(poll_at=10.0, line=1)
    books.gate.polls_from = 25.0
    assert books.polled(10.0) == [other]
    assert (paused.phase, paused.polls) == (Phase.WAITING, 0)
    assert books.schedule.next_time(10.0) == 25.0
    assert books.polled(24.9) == []
    assert books.polled(25.0) == [paused]
    assert paused.polls == 1


def test_next_time_is_the_earliest_of_everything() -> None:
    """The scheduler would sleep through a poll, a deadline or a retry."""
    books = Books()
    entry = books.waiting(poll_at=40.0)
    assert books.schedule.next_time(0.0) == 40.0
    retried = books.creating(deadline=30.0)
    assert books.schedule.next_time(0.0) == 30.0
    books.schedule.retry_create(retried, 20.0)
    assert books.schedule.next_time(0.0) == 20.0
    queued = books.queued()
    books.gate.creates_from = 15.0
    assert books.schedule.next_time(0.0) == 15.0
    # What may go now is waited for in another way: by the end of a request.
    assert books.schedule.next_time(15.0) == 20.0
    for item in (entry, retried, queued):
        books.schedule.release(item)
    assert books.schedule.next_time(15.0) == 300.0


def test_a_line_that_can_create_nothing_needs_no_alarm() -> None:
    """The scheduler would spin while a limit is reached."""
    books = Books()
    books.queued()
    books.gate.creates_from = inf
    assert books.schedule.next_time(0.0) == inf
    assert books.take(0.0) is None


def test_advance_does_no_more_than_it_may() -> None:
    """Ten thousand deadlines in one moment would stall the event loop."""
    books = Books()
    for _ in range(5):
        books.waiting(poll_at=10.0)
    assert books.schedule.advance(10.0, 3) is True
    assert len(books.schedule._due) == 2
    assert books.schedule.advance(10.0, 3) is False
    assert len(books.schedule._due) == 0
    assert books.schedule.advance(10.0, 3) is False


# ------------------------------------------------------------------------ when to poll


@pytest.mark.parametrize("poll_at", [-5.0, 100.0])
def test_the_first_poll_is_never_in_the_past(poll_at: float) -> None:
    """An alarm in the past would make the scheduler spin."""
    books = Books()
    books.waiting(now=100.0, poll_at=poll_at)
    assert books.schedule.next_time(100.0) == 100.0


@pytest.mark.parametrize(("poll_at", "due"), [(20.5, 23.0), (23.0, 23.0), (27.0, 27.0), (-inf, 23)])
@pytest.mark.parametrize("event", ["processing", "skipped"])
def test_the_spacing_is_never_undercut(event: str, poll_at: float, due: float) -> None:
    """The service would throttle or ban the account."""
    books = Books(spacing=3.0)
    entry = books.polling()
    if event == "processing":
        books.schedule.processing(entry, now=20.0, sent_age=19.0, poll_at=poll_at)
        assert (entry.processing_at, entry.polled_age, entry.answered) == (20.0, 19.0, 1)
    else:
        books.schedule.skipped(entry, now=20.0, poll_at=poll_at, trouble="502")
        assert (entry.processing_at, entry.answered, entry.faults) == (None, 0, 1)
    assert (entry.phase, entry.request_in_flight) == (Phase.WAITING, False)
    assert books.schedule.next_time(20.0) == due
    assert books.polled(due - 0.01) == []
    assert books.polled(due) == [entry]


def test_faults_are_counted_in_a_row() -> None:
    """The backoff after a fault would never come down again."""
    books = Books()
    entry = books.polling()
    faults = []
    for now, event in enumerate(("skipped", "skipped", "processing", "skipped"), start=1):
        if event == "skipped":
            books.schedule.skipped(entry, now=10.0 * now, poll_at=0.0, trouble="502")
        else:
            books.schedule.processing(entry, now=10.0 * now, sent_age=1.0, poll_at=0.0)
        faults.append(entry.faults)
        assert books.polled(10.0 * now + 3) == [entry]
    assert faults == [1, 2, 0, 1]
    assert (entry.polls, entry.answered) == (5, 1)


@pytest.mark.parametrize(("window", "last"), [(300.0, 290.0), (60.0, 58.0)])
def test_a_last_poll_comes_before_the_window_ends(window: float, last: float) -> None:
    """A task that was solved in its last seconds would be paid for and lost."""
    books = Books(window=window)
    entry = books.waiting(now=1_000.0, poll_at=5_000.0)
    assert books.schedule.next_time(1_000.0) == pytest.approx(1_000 + last)
    assert books.polled(1_000 + last) == [entry]
    now = 1_000 + last + 1
    books.schedule.processing(entry, now=now, sent_age=last, poll_at=now + 100)
    assert books.schedule.next_time(now) == min(now + 3, 1_000 + window)


def test_an_interval_is_cut_short_at_the_last_poll() -> None:
    """An interval that begins at 286 s would end after the window."""
    books = Books()
    entry = books.polling()
    books.schedule.processing(entry, now=286.0, sent_age=285.0, poll_at=294.0)
    assert books.schedule.next_time(286.0) == 290.0


def polls_until_the_end(books: Books, entry: Entry, wait: float) -> list[float]:
    """Answer every poll with ``processing`` at once; return when they went out."""
    times = []
    now = 0.0
    while (now := books.schedule.next_time(now)) < entry.lapses_at:
        assert books.polled(now) == [entry]
        times.append(now)
        books.schedule.processing(entry, now=now, sent_age=now, poll_at=now + wait)
    books.advance(now)
    return times


@pytest.mark.parametrize("spacing", [0.05, 1.0, 2.0])
@pytest.mark.parametrize("event_every", [0.0, 0.5])
def test_no_policy_gets_more_than_110_polls(spacing: float, event_every: float) -> None:
    """Services stop answering at about 120 polls of one task, and a paid task would be lost."""
    books = Books(spacing=spacing)
    entry = books.waiting(poll_at=0.0)
    times = polls_until_the_end(books, entry, event_every)
    assert len(times) <= 110
    assert times[-1] == pytest.approx(290.0, abs=4.0)
    # The first half comes as the policy wants it: most tasks are solved long before.
    assert times[54] == pytest.approx(54 * max(spacing, event_every))
    gaps = [later - time for time, later in pairwise(times)]
    assert max(gaps) < 6.0
    assert entry.phase is Phase.LAPSED
    check(books.schedule, [entry])


def test_the_usual_spacing_is_not_stretched() -> None:
    """Every task would be polled later than need be."""
    books = Books(spacing=3.0)
    times = polls_until_the_end(books, books.waiting(poll_at=0.0), 0.0)
    assert {round(later - time, 6) for time, later in pairwise(times)} <= {3.0, 2.0}


def test_faults_count_as_polls_too() -> None:
    """The service counts the requests that it saw, whatever became of the answers."""
    books = Books(spacing=0.1)
    entry = books.waiting(poll_at=0.0)
    now = 0.0
    while (now := books.schedule.next_time(now)) < entry.lapses_at:
        assert books.polled(now) == [entry]
        books.schedule.skipped(entry, now=now, poll_at=now, trouble="502")
    assert entry.polls <= 110


def test_a_poll_knows_when_it_was_due() -> None:
    """Nobody could tell that polls go out late, and that they should be rarer."""
    books = Books()
    entry = books.waiting(now=0.0, poll_at=10.0)
    assert entry.due_at == 10.0
    books.gate.polls_from = 40.0
    assert books.polled(10.0) == []
    assert books.polled(40.0) == [entry]
    assert entry.due_at == 10.0
    books.schedule.processing(entry, now=41.0, sent_age=40.0, poll_at=41.0)
    assert entry.due_at == 44.0


# -------------------------------------------------------------------- what is answered


def test_solved() -> None:
    """A solution would not reach whoever waits for it."""
    books = Books()
    entry = books.polling()
    first, second = Listener(), Listener()
    entry.waiters = (first, second)
    books.schedule.solved(entry, {"token": "t"}, 12.0)
    assert (entry.phase, entry.outcome) == (Phase.SOLVED, Solved({"token": "t"}, 12.0))
    assert first.told == second.told == [Solved({"token": "t"}, 12.0)]
    assert not entry.request_in_flight
    assert books.take_all(1e6) == []
    assert books.schedule.next_time(0.0) == inf
    check(books.schedule, [entry])


def test_the_first_answer_stands() -> None:
    """Whoever waits would be told two things, or the later of them."""
    books = Books()
    entry = books.polling()
    listener = Listener()
    entry.waiters = (listener,)
    books.schedule.failed(entry, GAVE_UP)
    books.schedule.failed(entry, TaskFailedError("OTHER"))
    books.schedule.solved(entry, {}, 12.0)
    assert (entry.phase, entry.outcome, listener.told) == (Phase.FAILED, GAVE_UP, [GAVE_UP])
    check(books.schedule, [entry])


def test_a_refused_create() -> None:
    """A task that the service does not accept would be waited for, or counted as paid."""
    books = Books()
    entry, error = books.creating(), InvalidTaskError("BAD")
    books.schedule.refuse(entry, error)
    assert (entry.phase, entry.outcome) == (Phase.REFUSED, error)
    assert books.line.created == 0
    check(books.schedule, [entry])


def test_a_lost_create_is_not_repeated() -> None:
    """A task that may have been paid for would be paid for twice."""
    books = Books()
    entry, error = books.creating(), SubmissionUnknownError("lost")
    books.schedule.lost(entry, error)
    assert (entry.phase, entry.outcome) == (Phase.UNKNOWN, error)
    assert books.take_all(1e6) == []
    check(books.schedule, [entry])


def test_a_lost_create_that_is_repeated_stays_in_the_books() -> None:
    """What may have been paid for the first time would be spent a second time."""
    books = Books()
    entry = new_entry(books.line, points=6.0)
    books.schedule.enqueue(entry)
    assert books.take(0.0) == Create(entry, TASK, PERMIT)
    books.schedule.repeat_create(entry, SubmissionUnknownError("lost"), 2.0)
    check(books.schedule, [entry])
    assert (entry.phase, entry.outcome, entry.repeated) == (Phase.QUEUED, None, True)
    assert (books.line.repeated, books.line.committed_points) == (1, 12.0)
    assert books.take_all(1.9) == []
    assert books.take_all(2.0) == [Create(entry, TASK, PERMIT)]
    books.schedule.created(entry, "7", now=3.0, poll_at=13.0)
    assert (books.line.points, books.line.committed_points) == (6.0, 12.0)
    check(books.schedule, [entry])


@pytest.mark.parametrize("why", ["closed", "nobody waits"])
def test_a_lost_create_is_not_repeated_for_nobody(why: str) -> None:
    """It would be paid twice, and nobody be there to take even one solution."""
    books = Books()
    entry, error = books.creating(), SubmissionUnknownError("lost")
    if why == "closed":
        books.schedule.close(CLOSED)
    else:
        books.schedule.release(entry)
    books.schedule.repeat_create(entry, error, 2.0)
    assert (entry.phase, entry.outcome, entry.repeated) == (Phase.UNKNOWN, error, False)
    assert books.line.repeated == 0
    check(books.schedule, [entry])


def test_points_are_counted_once_for_each_paid_task() -> None:
    """A report of the costs would leave out what orphans cost, or count a task twice."""
    books = Books()
    entries = [new_entry(books.line, points=points) for points in (6, 15, None, 8)]
    for entry in entries:
        books.schedule.enqueue(entry)
    books.take_all(0.0)
    for number, entry in enumerate(entries[:3]):
        books.schedule.created(entry, f"id-{number}", now=0.0, poll_at=10.0)
    books.schedule.created(entries[3], "id-0", now=0.0, poll_at=10.0)  # an id once more
    assert books.line.points == 21
    assert books.line.created == 3
    adopted(books, points=30)
    assert books.line.points == 21, "another process has paid for it"
    books.schedule.release(entries[0])
    assert books.line.points == 21


def test_created_tells_whoever_waits_for_the_ticket() -> None:
    """`submit` would return only when the task is solved."""
    books = Books()
    entry = books.creating(now=5.0)
    entry.creator = Listener()
    books.schedule.created(entry, "7", now=8.0, poll_at=18.0)
    assert entry.creator.told == [None]
    assert (entry.created_at, entry.lapses_at) == (8.0, 308.0)
    assert (entry.phase, entry.request_in_flight) == (Phase.WAITING, False)
    assert books.line.paid == {"7": entry}
    assert (books.line.created, books.line.resumed) == (1, 0)


def test_a_retried_create_waits_its_time_and_then_goes_first() -> None:
    """It would be sent again at once, or stand behind everybody who came later."""
    books = Books()
    entry = books.creating()
    later = books.queued()
    books.schedule.retry_create(entry, 5.0)
    assert (entry.phase, entry.request_in_flight) == (Phase.QUEUED, False)
    check(books.schedule, [entry, later])
    assert books.schedule.next_time(0.0) == 5.0
    books.gate.creates_from = 5.0
    assert books.take_all(4.9) == []
    assert books.take_all(5.0) == [Create(entry, TASK, PERMIT), Create(later, TASK, PERMIT)]
    assert entry.attempts == 2


def test_retried_creates_keep_their_order() -> None:
    """Of those that were turned down together, the one that waits longest would go last."""
    books = Books()
    entries = [books.creating() for _ in range(3)]
    for at, entry in enumerate(entries, start=5):
        books.schedule.retry_create(entry, float(at))
    assert books.take_all(10.0) == [Create(entry, TASK, PERMIT) for entry in entries]


def test_a_retry_for_nobody_is_not_sent() -> None:
    """A task would be paid for after its caller went away."""
    books = Books()
    entry = books.creating()
    books.schedule.release(entry)
    assert entry.phase is Phase.CREATING
    books.schedule.retry_create(entry, 5.0)
    assert (entry.phase, entry.outcome) == (Phase.CANCELLED, None)
    assert books.take_all(1e6) == []
    check(books.schedule, [entry])


def test_two_tasks_with_one_id() -> None:
    """A gateway that repeats an id would leave one of the two callers waiting for ever."""
    books = Books()
    entries = [books.creating(), books.creating()]
    for entry in entries:
        books.schedule.created(entry, "same", now=0.0, poll_at=10.0)
    books.schedule.abort(CLOSED)
    assert all(entry.outcome is not None for entry in entries)


@pytest.mark.parametrize("ends", [0, 1])
def test_two_tasks_with_one_id_of_which_one_ends(ends: int) -> None:
    """The end of one would take the other off the list, so that closing does not answer it."""
    books = Books()
    entries = [books.creating(), books.creating()]
    for entry in entries:
        books.schedule.created(entry, "same", now=0.0, poll_at=10.0)
    books.take_all(10.0)
    books.schedule.failed(entries[ends], GAVE_UP)
    books.schedule.abort(CLOSED)
    assert all(entry.outcome is not None for entry in entries)


# -------------------------------------------------------------- deadlines and patience


def test_the_window_ends_a_waiting_task() -> None:
    """A caller would wait for a result that can no longer be fetched."""
    books = Books()
    entry = books.waiting()
    books.advance(299.9)
    assert standing(entry) == (Phase.WAITING, None)
    books.advance(300.0)
    assert entry.phase is Phase.LAPSED
    assert isinstance(entry.outcome, ResultWindowLapsedError)
    assert "within 300 s" in str(entry.outcome)
    assert books.take_all(1e6) == []
    check(books.schedule, [entry])


@pytest.mark.parametrize("answer", ["solved", "failed", "processing", "skipped"])
def test_the_window_ends_also_during_a_request(answer: str) -> None:
    """A request that hangs would hold its caller beyond the window."""
    books = Books()
    entry = books.polling()
    books.advance(300.0)
    assert isinstance(entry.outcome, ResultWindowLapsedError)
    outcome = entry.outcome
    if answer == "solved":
        books.schedule.solved(entry, {}, 301.0)
    elif answer == "failed":
        books.schedule.failed(entry, GAVE_UP)
    elif answer == "processing":
        books.schedule.processing(entry, now=301.0, sent_age=299.0, poll_at=305.0)
    else:
        books.schedule.skipped(entry, now=301.0, poll_at=305.0, trouble="502")
    assert (entry.phase, entry.outcome) == (Phase.LAPSED, outcome)
    assert not entry.request_in_flight
    assert books.take_all(1e6) == []
    check(books.schedule, [entry])


def test_the_window_ends_an_orphan() -> None:
    """Orphans would pile up, and be listed as fetchable when they no longer are."""
    books = Books()
    entry = books.orphaned()
    assert list(books.line.orphans()) == [entry]
    books.advance(300.0)
    assert entry.phase is Phase.LAPSED
    assert (list(books.line.orphans()), books.line.paid) == ([], {})
    check(books.schedule, [entry])


@pytest.mark.parametrize("retried", [False, True])
def test_a_timeout_in_the_queue(retried: bool) -> None:  # noqa: FBT001
    """A caller would wait longer than they asked to, or be told of a charge that never was."""
    books = Books()
    books.gate.creates_from = 0.0
    entry = books.creating(deadline=20.0) if retried else books.queued(deadline=20.0)
    if retried:
        books.schedule.retry_create(entry, 30.0)
    books.advance(20.0)
    assert entry.phase is Phase.CANCELLED
    assert isinstance(entry.outcome, SolveTimeoutError)
    assert not entry.outcome.may_be_charged
    assert "before the task was created" in str(entry.outcome)
    assert books.take_all(1e6) == []
    check(books.schedule, [entry])


@pytest.mark.parametrize("end", ["created", "lost", "refused", "retry"])
def test_a_timeout_during_creation(end: str) -> None:
    """A task that is paid for after its caller timed out would be lost, or polled for nobody."""
    books = Books()
    entry = books.creating(deadline=20.0)
    books.advance(20.0)
    outcome = entry.outcome
    assert isinstance(outcome, SolveTimeoutError)
    assert outcome.may_be_charged
    assert entry.phase is Phase.CREATING
    check(books.schedule, [entry])
    if end == "created":
        books.schedule.created(entry, "7", now=21.0, poll_at=31.0)
    elif end == "lost":
        books.schedule.lost(entry, SubmissionUnknownError("lost"))
    elif end == "refused":
        books.schedule.refuse(entry, GAVE_UP)
    else:
        books.schedule.retry_create(entry, 25.0)
    expected = {
        "created": Phase.ORPHANED,
        "lost": Phase.UNKNOWN,
        "refused": Phase.REFUSED,
        "retry": Phase.CANCELLED,
    }
    assert (entry.phase, entry.outcome) == (expected[end], outcome)
    assert books.take_all(100.0) == []
    check(books.schedule, [entry])


def test_a_timeout_while_waiting() -> None:
    """A paid task would be polled for nobody, or be forgotten instead of listed."""
    books = Books()
    entry = books.waiting(deadline=20.0)
    books.advance(20.0)
    assert entry.phase is Phase.ORPHANED
    assert isinstance(entry.outcome, SolveTimeoutError)
    assert entry.outcome.may_be_charged
    assert "before the task was solved" in str(entry.outcome)
    assert list(books.line.orphans()) == [entry]
    assert books.take_all(299.0) == []
    check(books.schedule, [entry])


def test_a_timeout_during_a_poll() -> None:
    """The solution that is on its way would be thrown away although it is paid for."""
    books = Books()
    entry = books.polling(deadline=20.0)
    books.advance(20.0)
    assert entry.phase is Phase.ORPHANED
    assert isinstance(entry.outcome, SolveTimeoutError)
    books.schedule.solved(entry, {"token": "t"}, 21.0)
    assert entry.phase is Phase.ORPHANED
    assert isinstance(entry.outcome, SolveTimeoutError)
    check(books.schedule, [entry])
    books.schedule.hold(entry, 30.0)
    assert standing(entry) == (Phase.SOLVED, Solved({"token": "t"}, 21.0))
    check(books.schedule, [entry])


def test_a_timeout_after_the_window_is_no_timeout() -> None:
    """A caller with much patience would be told to resume what can no longer be fetched."""
    books = Books()
    entry = books.waiting(deadline=300.0)
    books.advance(1_000.0)
    assert isinstance(entry.outcome, ResultWindowLapsedError)


# ------------------------------------------------------------------ callers come and go


def test_the_last_one_who_goes_turns_it_into_an_orphan() -> None:
    """One cancelled waiter of two would stop the task for the other."""
    books = Books()
    entry = books.waiting()
    books.schedule.hold(entry, 5.0)
    assert entry.holders == 2
    books.schedule.release(entry)
    assert (entry.phase, entry.holders) == (Phase.WAITING, 1)
    books.schedule.release(entry)
    assert (entry.phase, entry.holders) == (Phase.ORPHANED, 0)
    books.schedule.release(entry)
    assert entry.holders == 0
    assert entry.outcome is None
    check(books.schedule, [entry])


@pytest.mark.parametrize(
    ("phase", "after"),
    [
        (Phase.QUEUED, Phase.CANCELLED),
        (Phase.CREATING, Phase.CREATING),
        (Phase.WAITING, Phase.ORPHANED),
        (Phase.POLLING, Phase.ORPHANED),
        (Phase.ORPHANED, Phase.ORPHANED),
        (Phase.SOLVED, Phase.ORPHANED),
        (Phase.FAILED, Phase.FAILED),
        (Phase.LAPSED, Phase.LAPSED),
        (Phase.UNKNOWN, Phase.UNKNOWN),
        (Phase.REFUSED, Phase.REFUSED),
        (Phase.CANCELLED, Phase.CANCELLED),
    ],
    ids=phase_name,
)
def test_abandoned_in_each_phase(phase: Phase, after: Phase) -> None:
    """A queued task would be paid for all the same, or a paid one forgotten."""
    books = Books()
    entry = books.in_phase(phase)
    outcome = entry.outcome
    error = TicketCancelledError("the ticket was cancelled")
    books.schedule.abandon(entry, error)
    assert (entry.phase, entry.holders) == (after, 0)
    if phase is Phase.SOLVED:
        assert entry.kept is outcome
    else:
        assert entry.outcome is (outcome or error)
    assert books.take_all(299.0) == []
    check(books.schedule, [entry])


def test_a_solution_that_nobody_took_is_kept() -> None:
    """A caller who is cancelled in the moment of delivery would lose a paid token."""
    books = Books()
    entry = books.in_phase(Phase.SOLVED)
    books.schedule.release(entry)
    assert list(books.line.orphans()) == [entry]
    check(books.schedule, [entry])
    books.schedule.hold(entry, 5.0)
    assert (entry.phase, entry.outcome) == (Phase.SOLVED, Solved({"token": "t"}, 1.0))
    assert books.line.paid == {}
    check(books.schedule, [entry])
    entry.delivered = True
    books.schedule.release(entry)
    assert entry.phase is Phase.SOLVED
    check(books.schedule, [entry])


def test_a_kept_solution_is_given_out_through_the_books() -> None:
    """Whoever awaits such an orphan would get the solution, and it stay an orphan for ever."""
    books = Books()
    entry = books.in_phase(Phase.SOLVED)
    books.schedule.release(entry)
    # A ticket is awaited by looking at its outcome first, and by holding it without one.
    if entry.outcome is None:
        books.schedule.hold(entry, 5.0)
    assert isinstance(entry.outcome, Solved)
    assert entry.phase is Phase.SOLVED


def test_a_kept_solution_lapses_with_its_window() -> None:
    """Solutions that nobody ever fetches would pile up."""
    books = Books()
    entry = books.in_phase(Phase.SOLVED)
    books.schedule.release(entry)
    books.advance(300.0)
    assert (entry.phase, books.line.paid) == (Phase.LAPSED, {})
    check(books.schedule, [entry])


def test_an_orphan_is_taken_up_again() -> None:
    """A resumed ticket would not be polled, or its old timeout end it."""
    books = Books()
    entry = books.waiting(deadline=20.0)
    books.advance(20.0)
    books.schedule.hold(entry, 100.0)
    assert (entry.phase, entry.holders, entry.outcome) == (Phase.WAITING, 1, None)
    assert entry.deadline == inf
    check(books.schedule, [entry])
    assert books.polled(100.0) == [entry]
    books.advance(300.0)
    assert isinstance(entry.outcome, ResultWindowLapsedError)


def test_taking_up_an_orphan_keeps_the_spacing() -> None:
    """Letting go and resuming in a loop would poll without pause."""
    books = Books(spacing=3.0)
    entry = books.polling()
    books.schedule.processing(entry, now=20.0, sent_age=19.0, poll_at=25.0)
    books.schedule.release(entry)
    books.schedule.hold(entry, 20.5)
    assert books.schedule.next_time(20.5) == 23.0


def test_taking_up_an_orphan_keeps_the_spacing_after_a_fault_too() -> None:
    """The service may have seen the poll that failed: resuming in a loop would hammer it."""
    books = Books(spacing=3.0)
    entry = books.polling()
    books.schedule.skipped(entry, now=20.0, poll_at=25.0, trouble="502")
    books.schedule.release(entry)
    books.schedule.hold(entry, 20.5)
    assert books.schedule.next_time(20.5) == 23.0


@pytest.mark.parametrize("answer", ["solved", "processing", "skipped", "failed"])
def test_an_orphan_is_taken_up_during_its_request(answer: str) -> None:
    """Its answer would be passed over, or it be polled twice at a time."""
    books = Books()
    entry = books.polling()
    books.schedule.release(entry)
    assert standing(entry) == (Phase.ORPHANED, None)
    books.schedule.hold(entry, 5.0)
    assert standing(entry) == (Phase.POLLING, None)
    assert books.take_all(100.0) == []
    check(books.schedule, [entry])
    if answer == "solved":
        books.schedule.solved(entry, {}, 101.0)
        assert entry.outcome == Solved({}, 101.0)
    elif answer == "failed":
        books.schedule.failed(entry, GAVE_UP)
        assert entry.outcome is GAVE_UP
    elif answer == "processing":
        books.schedule.processing(entry, now=101.0, sent_age=100.0, poll_at=107.0)
        assert books.polled(107.0) == [entry]
    else:
        books.schedule.skipped(entry, now=101.0, poll_at=107.0, trouble="502")
        assert books.polled(107.0) == [entry]
    check(books.schedule, [entry])


@pytest.mark.parametrize("answer", ["processing", "skipped", "failed"])
def test_an_answer_for_an_orphan(answer: str) -> None:
    """An orphan would be polled on for nobody, or a failed one be listed as fetchable."""
    books = Books()
    entry = books.polling()
    books.schedule.release(entry)
    if answer == "processing":
        books.schedule.processing(entry, now=20.0, sent_age=19.0, poll_at=25.0)
    elif answer == "skipped":
        books.schedule.skipped(entry, now=20.0, poll_at=25.0, trouble="502")
    else:
        books.schedule.failed(entry, GAVE_UP)
    assert entry.phase is (Phase.FAILED if answer == "failed" else Phase.ORPHANED)
    assert not entry.request_in_flight
    assert books.take_all(299.0) == []
    check(books.schedule, [entry])


def test_holding_what_is_finished_changes_nothing() -> None:
    """A second waiter would bring a finished ticket back to life."""
    books = Books()
    entry = books.in_phase(Phase.FAILED)
    outcome = entry.outcome
    books.schedule.hold(entry, 5.0)
    assert entry.phase is Phase.FAILED
    assert entry.outcome is outcome
    check(books.schedule, [entry])


def adopted(books: Books, **settings: Any) -> Entry:
    """Take over a task that was created elsewhere at time 0."""
    entry = new_entry(books.line, task_id="7", created_at=0.0, lapses_at=300.0, **settings)
    books.schedule.adopt(entry, poll_at=10.0)
    return entry


def test_a_task_from_elsewhere() -> None:
    """A ticket that another process paid for would not be polled, or be counted as created."""
    books = Books()
    entry = adopted(books)
    assert (books.line.created, books.line.resumed) == (0, 1)
    assert (entry.phase, books.line.paid) == (Phase.WAITING, {"7": entry})
    check(books.schedule, [entry])
    assert books.polled(50.0) == [entry]
    books.advance(300.0)
    assert isinstance(entry.outcome, ResultWindowLapsedError)
    check(books.schedule, [entry])


def test_a_task_from_elsewhere_keeps_the_spacing() -> None:
    """The process before has just polled it; doing so again at once undercuts the service."""
    books = Books(spacing=3.0)
    adopted(books, processing_at=48.0)
    assert books.schedule.next_time(50.0) == 51.0


# ----------------------------------------------------------------- one account's troubles


def test_who_has_been_in_line_for_long() -> None:
    """Whoever came a moment ago would be sent away with those who lost their patience."""
    books = Books()
    early, late = books.queued(queued_at=10.0), books.queued(queued_at=20.0)
    assert books.schedule.queued(books.line, since=10.0) == (early,)
    assert books.schedule.queued(books.line) == (early, late)


def test_who_is_in_line() -> None:
    """Thousands of callers would wait for an account that takes no tasks, or be paid for."""
    books = Books(lines=2)
    retried = books.creating()
    books.schedule.retry_create(retried, 50.0)
    creating, waiting = books.creating(), books.waiting()
    retried_elsewhere = books.creating(line=1)
    books.schedule.retry_create(retried_elsewhere, 50.0)
    queued, elsewhere = books.queued(), books.queued(line=1)
    error = InsufficientBalanceError("EMPTY")
    for entry in books.schedule.queued(books.line):
        books.schedule.refuse(entry, error)
    for entry in (queued, retried):
        assert (entry.phase, entry.outcome) == (Phase.REFUSED, error)
    for entry in (creating, waiting, elsewhere, retried_elsewhere):
        assert entry.outcome is None
    check(books.schedule, [retried, creating, waiting, retried_elsewhere, queued, elsewhere])
    assert {command.entry for command in books.take_all(50.0)} == {
        waiting,
        elsewhere,
        retried_elsewhere,
    }


def test_another_account_takes_over() -> None:
    """A task would stand in two lines and be paid twice, or in none and wait for ever."""
    books = Books(lines=2)
    kind = KIND._replace(service="1captcha")
    retried = books.creating()
    books.schedule.retry_create(retried, 50.0)
    refused = books.creating()
    first, queued = books.queued(line=1), books.queued(deadline=70.0)
    other = books.lines[1]
    for entry in (retried, queued, refused):
        books.schedule.hand_over(entry, other, kind, 5.0)
        assert (entry.line, entry.kind, entry.points) == (other, kind, 5.0)
    check(books.schedule, [retried, first, queued, refused])
    assert (books.line.load, books.line.pending_points, other.pending_points) == (0, 0.0, 17.0)
    commands = books.take_all(0.0)
    assert [command.entry for command in commands] == [first, retried, queued, refused]
    assert all(isinstance(command, Create) for command in commands)
    books.advance(80.0)
    assert isinstance(queued.outcome, SolveTimeoutError), "its caller's patience moves along"


@pytest.mark.parametrize("phase", sorted(PAID | FINISHED))
def test_what_is_paid_or_over_is_not_handed_over(phase: Phase) -> None:
    """A task that is paid for here would be paid for elsewhere as well."""
    books = Books(lines=2)
    entry = books.in_phase(phase)
    before = snapshot(books.schedule, entry)
    with pytest.raises(IllegalMoveError):
        books.schedule.hand_over(entry, books.lines[1], KIND, 5.0)
    assert snapshot(books.schedule, entry) == before


def test_fail_lapsing() -> None:
    """A ban of ten minutes would be waited for in vain by those whose window ends before."""
    books = Books()
    polling = books.polling(now=0.0)
    early, late = books.waiting(now=0.0), books.waiting(now=1.0)
    error = BannedError("BAN")
    books.schedule.fail_lapsing(books.line, error, until=300.0)
    assert (early.phase, early.outcome) == (Phase.FAILED, error)
    assert polling.outcome is None
    assert late.outcome is None
    check(books.schedule, [polling, early, late])


def test_a_solution_in_hand_needs_no_fetching() -> None:
    """A solution that is paid for and here would be thrown away because of a ban."""
    books = Books()
    entry = books.polling()
    books.schedule.release(entry)
    books.schedule.solved(entry, {"token": "t"}, 5.0)
    books.schedule.fail_lapsing(books.line, BannedError("BAN"), until=600.0)
    books.schedule.hold(entry, 10.0)
    assert entry.outcome == Solved({"token": "t"}, 5.0)


# ------------------------------------------------------------------------------ the end


def test_close_answers_all_who_need_no_answer_from_outside() -> None:
    """Leaving the pool would hang, or lose what is on its way."""
    books = Books()
    polling = books.polling()
    retried = books.creating()
    books.schedule.retry_create(retried, 50.0)
    creating = books.creating()
    waiting, orphan, queued = books.waiting(), books.orphaned(), books.queued()
    entries = [polling, retried, creating, waiting, orphan, queued]
    books.schedule.close(CLOSED)
    assert [entry.phase for entry in entries] == [
        Phase.POLLING,
        Phase.CANCELLED,
        Phase.CREATING,
        Phase.ORPHANED,
        Phase.ORPHANED,
        Phase.CANCELLED,
    ]
    assert [entry.outcome for entry in entries] == [None, CLOSED, None, CLOSED, CLOSED, CLOSED]
    assert books.take_all(100.0) == []
    check(books.schedule, entries)


@pytest.mark.parametrize(
    ("answer", "phase"),
    [
        ("solved", Phase.SOLVED),
        ("failed", Phase.FAILED),
        ("processing", Phase.ORPHANED),
        ("skipped", Phase.ORPHANED),
    ],
)
def test_a_poll_that_is_answered_after_closing(answer: str, phase: Phase) -> None:
    """A solution that arrives during the grace would be dropped, or a waiter be forgotten."""
    books = Books()
    entry = books.polling()
    books.schedule.close(CLOSED)
    outcomes = {"solved": Solved({}, 20.0), "failed": GAVE_UP}
    if answer == "solved":
        books.schedule.solved(entry, {}, 20.0)
    elif answer == "failed":
        books.schedule.failed(entry, GAVE_UP)
    elif answer == "processing":
        books.schedule.processing(entry, now=20.0, sent_age=19.0, poll_at=25.0)
    else:
        books.schedule.skipped(entry, now=20.0, poll_at=25.0, trouble="502")
    assert (entry.phase, entry.outcome) == (phase, outcomes.get(answer, CLOSED))
    check(books.schedule, [entry])


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize(
    ("answer", "phase"),
    [
        ("created", Phase.ORPHANED),
        ("retry", Phase.CANCELLED),
        ("refused", Phase.REFUSED),
        ("lost", Phase.UNKNOWN),
    ],
)
def test_a_create_that_is_answered_after_closing(answer: str, phase: Phase, left: bool) -> None:  # noqa: FBT001
    """A task that is paid for during the grace would be lost, or its caller wait for ever."""
    books = Books()
    entry = books.creating()
    if left:
        books.schedule.release(entry)
    books.schedule.close(CLOSED)
    outcomes: dict[str, EzCaptchaError] = {"refused": GAVE_UP, "lost": SubmissionUnknownError("?")}
    if answer == "created":
        books.schedule.created(entry, "7", now=20.0, poll_at=30.0)
        assert list(books.line.orphans()) == [entry]
    elif answer == "retry":
        books.schedule.retry_create(entry, 25.0)
    elif answer == "refused":
        books.schedule.refuse(entry, outcomes["refused"])
    else:
        books.schedule.lost(entry, outcomes["lost"])
    assert (entry.phase, entry.outcome) == (phase, outcomes.get(answer, CLOSED))
    assert books.take_all(1e6) == []
    check(books.schedule, [entry])


def test_abort_answers_everybody() -> None:
    """Whatever dies, somebody would wait for ever."""
    books = Books(lines=2)
    polling, orphan_in_flight = books.polling(), books.polling()
    creating, waiting = books.creating(), books.waiting(line=1)
    queued = books.queued()
    books.schedule.release(orphan_in_flight)
    entries = [polling, creating, waiting, queued, orphan_in_flight]
    books.schedule.abort(CLOSED)
    assert polling.outcome is waiting.outcome is queued.outcome is CLOSED
    assert orphan_in_flight.outcome is CLOSED
    assert creating.phase is Phase.UNKNOWN
    assert isinstance(creating.outcome, SubmissionUnknownError)
    assert "createTask was in flight: the pool was closed" in str(creating.outcome)
    assert set(books.line.orphans()) == {polling, orphan_in_flight}
    assert not any(entry.request_in_flight for entry in entries)
    check(books.schedule, entries)
    books.schedule.abort(PoolClosedError("again"))
    assert polling.outcome is CLOSED


# ------------------------------------------------------------------------------ looking


def test_reprs_show_counts_and_no_tasks() -> None:
    """A log line of a busy pool would hold ten thousand entries, or the tasks' secrets."""
    books = Books()
    entry = books.waiting()
    books.queued()
    assert repr(books.schedule) == "<Schedule of 1 accounts, 2 tickets>"
    assert "website" not in repr(books.line)
    assert "website" not in repr(entry)
    assert "Entry" not in repr(books.line)


def test_entries_are_identities() -> None:
    """Two callers with the same task would share one ticket."""
    books = Books()
    one, other = books.queued(), books.queued()
    assert one != other
    assert len({one, other}) == 2
    assert isinstance(books.gate, PlainGate)

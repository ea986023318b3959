"""What a journal says: every event survives the way to the file and back, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from typing import Any

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ezcaptcha_async._journal.records import (
    MAX_LINE,
    MOST_LAPSED,
    Banned,
    Contents,
    Delivered,
    Done,
    NotPaid,
    Paid,
    Record,
    Unknown,
    decoded,
    encoded,
    replay,
)
from ezcaptcha_async._journal.saved import SavedTask, key_of
from ezcaptcha_async._journal.submissions import DAY, MOST_UNKNOWN, Intent, Submission

NOW = 1_800_000_000.0
SUBMISSION = Submission(
    service="ezcaptcha",
    account="0123abcd",
    type="FuncaptchaTaskProxyless",
    host="example.com",
    points=18.0,
    sent_at=NOW,
    reference="job 17",
)
TASK = SavedTask(
    task_id="77",
    service="ezcaptcha",
    account="0123abcd",
    type="FuncaptchaTaskProxyless",
    created_at=NOW,
)

# Few values, so that records meet each other.
few = st.sampled_from(["a", "b", "c"])
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**9), 10**12)
times = st.floats(NOW - 2 * DAY, NOW + 2 * DAY)
submissions = st.builds(
    Submission,
    service=few,
    account=few,
    type=st.text(min_size=1),
    host=st.text(),
    points=st.none() | numbers,
    sent_at=times,
    reference=st.none() | few,
)
tasks = st.builds(
    SavedTask,
    task_id=few,
    service=few,
    account=st.none() | few,
    type=st.text(min_size=1),
    host=st.text(),
    created_at=times,
    points=st.none() | numbers,
    reference=st.none() | few,
)
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(Intent, few, submissions),
    st.builds(Paid, st.none() | few, tasks, st.just(300.0)),
    st.builds(NotPaid, few),
    st.builds(Unknown, few, submissions),
    st.builds(Done, few, st.none() | few, few),
    st.builds(Delivered, tasks, times),
    st.builds(Banned, few, few, times),
)
journals = st.lists(records, max_size=30)


def contents_after(*journal: Record) -> Contents:
    """Return what stands after these records, while their writer lives."""
    contents = Contents()
    for record in journal:
        contents.apply(record)
    return contents


def content(contents: Contents) -> Any:
    """Return all of it, to compare."""
    unfinished = [attrs.evolve(item, attempt=None) for item in contents.unfinished.values()]
    told = contents.delivered, contents.bans
    return contents.unanswered, contents.unknown, unfinished, *told


def tidied(contents: Contents, now: float = NOW) -> list[bytes]:
    """Return the fewest lines that come to the same."""
    return [line for line in contents.tidied(now) if line]


def lines_of(journal: Sequence[Record]) -> list[bytes]:
    """Return the lines that were written for these records."""
    return [encoded(record) for record in journal]


# --------------------------------------------------------------------------------- lines


@given(records)
def test_a_record_is_one_line_and_comes_back_as_it_was(record: Record) -> None:
    """A task type with a line end in it would tear its record apart, and lose a paid task."""
    line = encoded(record)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert line.isascii()
    assert decoded(line) == record


def test_what_was_paid_after_a_lost_answer_counts() -> None:
    """Whoever risked a second payment for a reference could never buy a third one."""
    lost = Unknown("r.1", SUBMISSION)
    again = attrs.evolve(TASK, reference="job 17", created_at=NOW + 5)
    assert contents_after(lost).lost == {"job 17": "r.1"}
    assert not contents_after(lost, Paid("r.2", again, 300.0)).lost
    assert not contents_after(lost, Delivered(again, NOW + 120)).lost
    before = attrs.evolve(again, created_at=NOW - 5)
    assert contents_after(lost, Paid("r.0", before, 300.0)).lost, "as in a file rewritten since"
    assert contents_after(lost, Paid("r.2", TASK, 300.0)).lost, "of no reference"
    expired = contents_after(lost)
    expired.expire(NOW + DAY + 1)
    assert not expired.lost


def test_what_is_unknown_does_not_fill_the_memory() -> None:
    """A service whose answers are lost all day would."""
    contents = Contents()
    for number in range(MOST_UNKNOWN + 5):
        contents.apply(Unknown(f"r.{number}", SUBMISSION))
    for number in range(3):
        contents.apply(Intent(f"s.{number}", SUBMISSION))
    contents.settle()
    assert len(contents.unknown) == MOST_UNKNOWN
    assert next(iter(contents.unknown)) == "r.8", "the oldest ones were let go of"
    assert contents.lost == {"job 17": "s.2"}
    for number in range(MOST_UNKNOWN):
        contents.apply(Unknown(f"t.{number}", attrs.evolve(SUBMISSION, reference=None)))
    assert not contents.lost
    contents.apply(Intent("s.2", SUBMISSION))
    contents.settle()
    assert list(contents.unknown)[-1] == "s.2"


def test_what_is_written() -> None:
    """A release that names an event differently could not read the journal of the one before."""
    journal: list[Record] = [
        Intent("r.1", SUBMISSION),
        Paid("r.1", TASK, 300.0),
        NotPaid("r.2"),
        Unknown("r.3", SUBMISSION),
        Done("ezcaptcha", "0123abcd", "77"),
        Delivered(TASK, NOW + 120),
        Banned("ezcaptcha", "0123abcd", NOW),
    ]
    submission = {
        "service": "ezcaptcha",
        "account": "0123abcd",
        "type": "FuncaptchaTaskProxyless",
        "host": "example.com",
        "points": 18.0,
        "sent_at": NOW,
        "reference": "job 17",
    }
    task = {
        "task_id": "77",
        "service": "ezcaptcha",
        "account": "0123abcd",
        "type": "FuncaptchaTaskProxyless",
        "host": "",
        "created_at": NOW,
        "processing_at": None,
        "polls": 0,
        "points": None,
        "reference": None,
    }
    account = {"service": "ezcaptcha", "account": "0123abcd"}
    assert [json.loads(line) for line in lines_of(journal)] == [
        {"v": 1, "event": "intent", "attempt": "r.1", "submission": submission},
        {"v": 1, "event": "created", "attempt": "r.1", "task": task, "window": 300.0},
        {"v": 1, "event": "not_paid", "attempt": "r.2"},
        {"v": 1, "event": "unknown", "attempt": "r.3", "submission": submission},
        {"v": 1, "event": "done", **account, "task_id": "77"},
        {"v": 1, "event": "delivered", "task": task, "until": NOW + 120},
        {"v": 1, "event": "banned", **account, "until": NOW, "polls_until": NOW},
    ]


@given(st.binary())
def test_no_bytes_stop_a_start(line: bytes) -> None:
    """A journal with one damaged line would keep a whole program from starting."""
    assert decoded(line) is None
    assert replay([line]).skipped <= 1


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | few,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(few, inner, max_size=3),
    max_leaves=5,
)


@given(records, st.data())
def test_no_value_in_a_record_stops_a_start(record: Record, data: st.DataObject) -> None:
    """Another program's JSON, or a disk that flips bits, gives any value anywhere."""
    fields = json.loads(encoded(record))
    name = data.draw(st.sampled_from(sorted(fields)))
    if isinstance(fields[name], dict):
        fields[name] |= {data.draw(st.sampled_from(sorted(fields[name]))): data.draw(json_values)}
    else:
        fields[name] = data.draw(json_values)
    found = decoded(json.dumps(fields).encode())
    assert found is None or isinstance(found, Record)
    replay([json.dumps(fields).encode()])


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b"9" * 5_000,
        b'{"v": 1, "event": ["intent"]}',
        b'{"v": 1, "event": "intent", "attempt": "a", "submission": "b"}',
        b'{"v": 1, "event": "banned", "service": "a", "account": "b", "until": NaN}',
        b'{"v": 1, "event": "banned", "service": "a", "account": "b", "until": true}',
        b'{"v": 1, "event": "banned", "service": "a", "account": "", "until": 1}',
        b'{"v": 1, "event": "not_paid"}',
        encoded(Intent("a", SUBMISSION)).replace(b'"example.com"', b"null"),
        b'{"v": 1, "event": "sold", "attempt": "a"}',
        b'{"v": 2, "event": "not_paid", "attempt": "a"}',
        b'{"event": "not_paid", "attempt": "a"}',
        b'{"v": 1, "event": "not_paid", "attempt": "a"}' + b" " * MAX_LINE,
        b"null",
        b"\xff\xfe",
    ],
)
def test_what_is_no_record(line: bytes) -> None:
    """Each of these would end in a traceback, or in a record that is not one."""
    assert decoded(line) is None


def test_fields_of_a_later_release_are_passed_over() -> None:
    """After a step back to an older release nothing paid could be fetched."""
    line = json.loads(encoded(Paid("r.1", TASK, 300.0)))
    line |= {"new": 1, "task": {**line["task"], "new": 2}}
    assert decoded(json.dumps(line).encode()) == Paid("r.1", TASK, 300.0)


# ---------------------------------------------------------------------------- whole files


@given(journals, st.data())
def test_a_file_that_is_cut_off_anywhere_keeps_what_was_whole(
    journal: list[Record], data: st.DataObject
) -> None:
    """A power loss in the middle of a line would take the lines before it along."""
    whole = b"".join(lines_of(journal))
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    complete = journal[: cut.count(b"\n")]
    reading = replay(cut.splitlines(keepends=True))
    if reading.skipped or cut.endswith(b"\n") or not cut:
        expected = contents_after(*complete)
    else:  # only the line end is missing
        expected = contents_after(*journal[: len(complete) + 1])
    expected.settle()
    assert content(reading.contents) == content(expected)


@given(journals, st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line)), st.data())
def test_foreign_lines_change_nothing(
    journal: list[Record], foreign: list[bytes], data: st.DataObject
) -> None:
    """Whatever got in between, what is paid must still be found."""
    lines = lines_of(journal)
    for line in foreign:
        lines.insert(data.draw(st.integers(0, len(lines))), line + b"\n")
    reading = replay(lines)
    assert content(reading.contents) == content(replay(lines_of(journal)).contents)
    assert reading.skipped == sum(bool(line.strip()) for line in foreign)


NEWER = b'{"v":2,"event":"sold","attempt":"a"}\n'
RECORD = encoded(NotPaid("r.1"))


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([], None),
        ([RECORD], None),
        ([b"notes\n", RECORD[:-5] + b"\n", RECORD], None),
        ([b"\n"], "no line of a journal"),
        ([b"notes\n", b"\xff\x00\n", b'{"row":1}\n'], "no line of a journal"),
        ([RECORD[:-5]], "every line of it is damaged"),
        ([b"notes\n", RECORD[:-5]], "every line of it is damaged"),
        ([NEWER], "update ezcaptcha-async"),
        ([RECORD, NEWER], "update ezcaptcha-async"),
        ([RECORD, NEWER[:-5], RECORD], None),
    ],
)
def test_whether_a_file_is_a_journal(lines: list[bytes], problem: str | None) -> None:
    """A file that is none, or that this version cannot read, would be written over."""
    found = replay(lines).problem
    assert found is problem is None or problem in str(found)


@given(journals, st.data())
def test_lines_that_are_written_again_change_nothing(
    journal: list[Record], data: st.DataObject
) -> None:
    """A write that a full disk cut short is done again as a whole."""
    part = journal[: data.draw(st.integers(0, len(journal)))]
    first = contents_after(*journal)
    # Each attempt and each task begins once, as it does in a process.
    if len({_begins(item) for item in journal}) == len(journal):
        assert content(contents_after(*part, *journal)) == content(first)


def _begins(record: Record) -> Any:
    if isinstance(record, Paid):
        return key_of(record.task)
    return (type(record), attrs.astuple(record)[0])


@given(journals)
def test_a_compacted_journal_says_the_same(journal: list[Record]) -> None:
    """What is paid would be lost by the very thing that keeps the file short."""
    contents = contents_after(*journal)
    again = replay(tidied(contents))
    assert again.skipped == 0
    contents.settle()
    assert content(again.contents) == content(contents)
    assert len(tidied(contents)) <= len(journal)


@given(journals, st.integers(0, 12))
def test_a_journal_that_is_compacted_while_it_is_written_says_the_same(
    journal: list[Record], split: int
) -> None:
    """What is paid meanwhile would be lost, or what is done be fetched again."""
    # Each attempt and each task begins once, as it does in a process.
    assume(len({_begins(item) for item in journal}) == len(journal))
    contents = contents_after(*journal[:split])
    new: list[bytes] = []
    behind: list[bytes] = []
    later = iter(journal[split:])
    for line in contents.tidied(NOW):
        new.append(line)
        for record in islice(later, 1):
            contents.apply(record)
            behind.append(encoded(record))
    again = replay(line for line in new + behind if line)
    contents.settle()
    for either in (again.contents, contents):
        either.expire(NOW)
    assert content(again.contents) == content(contents)


# ------------------------------------------------------------------------- what it comes to


def test_the_way_of_one_task() -> None:
    """A paid task would be fetched twice, or never."""
    intent, created = Intent("r.1", SUBMISSION), Paid("r.1", TASK, 300.0)
    assert contents_after(intent).unanswered == {"r.1": SUBMISSION}
    assert replay([encoded(intent)]).contents.unknown == {"r.1": SUBMISSION}, "after a crash"
    paid = contents_after(intent, created)
    assert not paid.unanswered
    assert paid.unfinished == {("ezcaptcha", "0123abcd", "77"): created}
    assert "1 unfinished" in repr(paid)
    again = Paid("r.2", attrs.evolve(TASK, created_at=NOW + 9), 300.0)
    assert contents_after(created, again).unfinished == paid.unfinished, "sold once, under one id"
    assert not contents_after(intent, created, Done(*key_of(TASK))).unfinished
    assert not contents_after(intent, NotPaid("r.1")).unanswered
    assert contents_after(intent, Unknown("r.1", SUBMISSION)).unknown == {"r.1": SUBMISSION}


def test_of_two_bans_the_later_end_counts() -> None:
    """A short ban after a long one would have requests sent into the long one."""
    creates = Banned("ezcaptcha", "0123abcd", NOW + 600, NOW + 10)
    polls = Banned("ezcaptcha", "0123abcd", NOW + 20, NOW + 20)
    for journal in ([creates, polls], [polls, creates]):
        (ban,) = contents_after(*journal).bans.values()
        assert (ban.until, ban.polls_until) == (NOW + 600, NOW + 20)


def test_a_ban_of_an_older_version_holds_for_polls_too() -> None:
    """An update in the middle of a ban would send polls into it."""
    line = b'{"v":1,"event":"banned","service":"ezcaptcha","account":"a","until":1800000000}'
    assert decoded(line) == Banned("ezcaptcha", "a", 1_800_000_000, 1_800_000_000)


@pytest.mark.parametrize(
    ("record", "age", "stays"),
    [
        (Paid(None, TASK, 300.0), 299, True),
        (Paid(None, TASK, 300.0), 301, True),
        (Paid(None, TASK, 300.0), DAY + 299, True),
        (Paid(None, TASK, 300.0), DAY + 301, False),
        (Paid(None, TASK, 300.0), -3_600, True),  # another machine's clock
        (Paid(None, TASK, 300.0), -2 * DAY, False),
        (Unknown("r.1", SUBMISSION), DAY - 1, True),
        (Unknown("r.1", SUBMISSION), DAY + 1, False),
        (Unknown("r.1", SUBMISSION), -2 * DAY, False),
        (Banned("ezcaptcha", "0123abcd", NOW), -1, True),
        (Banned("ezcaptcha", "0123abcd", NOW), 1, False),
        (Banned("ezcaptcha", "0123abcd", NOW), -2 * DAY, False),
    ],
)
def test_what_is_of_no_more_use_drops_out(record: Record, age: float, stays: bool) -> None:  # noqa: FBT001
    """The file would grow for ever, or forget what can still be fetched."""
    contents = contents_after(record)
    assert bool(tidied(contents, NOW + age)) is stays
    assert bool(tidied(contents, NOW + age)) is stays, "once more"


def test_what_comes_anew_while_the_old_drops_out_stays() -> None:
    """A reference whose token was just given out would be paid for again."""
    first, second = (attrs.evolve(TASK, task_id=name) for name in "ab")
    contents = contents_after(Delivered(first, NOW - 1), Delivered(second, NOW - 1))
    lines = contents.tidied(NOW)
    assert next(lines) == b"", "the first was looked at"
    contents.apply(Delivered(second, NOW + 60))
    assert any(lines)
    assert [item.until for item in contents.delivered.values()] == [NOW + 60]


def test_of_many_paid_tasks_that_can_no_more_be_fetched_the_newest_stay() -> None:
    """A month of abandoned tasks would fill the memory; those that can be fetched must stay."""
    tasks = [attrs.evolve(TASK, task_id=str(number)) for number in range(MOST_LAPSED + 5)]
    contents = contents_after(*(Paid(None, task, 300.0) for task in tasks))
    contents.expire(NOW + 299)
    assert len(contents.unfinished) == MOST_LAPSED + 5
    contents.expire(NOW + 301)
    assert [key[2] for key in contents.unfinished] == [task.task_id for task in tasks[5:]]

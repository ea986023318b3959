"""What a pool writes down: before it pays, after it has paid, and when the disk refuses."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio
import attrs
import pytest
from anyio.lowlevel import checkpoint

from ezcaptcha_async import ConfigurationError, JournalError
from ezcaptcha_async._journal.file import JournalFile
from ezcaptcha_async._journal.file_ledger import GROWTH, LEAST_SIZE, FileLedger, ledger_in
from ezcaptcha_async._journal.memory_ledger import MemoryLedger
from ezcaptcha_async._journal.protocols import Ledger
from ezcaptcha_async._journal.records import (
    MAX_LINE,
    Banned,
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
from ezcaptcha_async._journal.submissions import DAY, Intent

from .test_records import NOW, SUBMISSION, TASK

WINDOW = 300.0
KEY = ("ezcaptcha", "0123abcd", "77")


class Disk:
    """A file in memory that fails when it is told to."""

    path = "/somewhere/paid.jsonl"

    def __init__(self, *records: Record | None, damaged: bytes = b"") -> None:
        self.content = b"".join(encoded(item) for item in records if item) + damaged
        self.problem: OSError | None = None
        self.flush_problem: OSError | None = None
        self.flushes = 0
        self.kept: list[bytes] = []
        self.rewritten = 0
        self.closed = 0
        self.last: list[Record | None] = []

    @property
    def size(self) -> int:
        """Bytes in it."""
        return len(self.content)

    @property
    def records(self) -> list[Record | None]:
        """What is written in it."""
        return [decoded(line) for line in self.content.splitlines()]

    def _work(self) -> None:
        if self.problem is not None:
            raise self.problem

    def lines(self, most: int) -> Iterator[bytes]:
        """Yield the lines."""
        assert most > 10_000
        self._work()
        yield from self.content.splitlines(keepends=True)

    def append(self, lines: bytes) -> None:
        """Write at the end."""
        self._work()
        self.content += lines
        self.last = [decoded(line) for line in lines.splitlines()]

    async def flush(self) -> None:
        """Have it on the disk."""
        self.flushes += 1
        if self.flush_problem is not None:
            raise self.flush_problem

    def keep_as_damaged(self) -> str:
        """Keep the content beside it."""
        self._work()
        self.kept.append(self.content)
        return f"{self.path}.damaged"

    async def replace(self, lines: Iterable[bytes]) -> None:
        """Have another content."""
        self._work()
        self.rewritten += 1
        self.content = b"".join(lines)

    def close(self) -> None:
        """Close it."""
        self.closed += 1


class Clock:
    """Unix time that a test sets."""

    now = NOW

    def __call__(self) -> float:
        """Return it."""
        return self.now


@pytest.fixture
def anyio_backend() -> str:
    """Run on one event loop: a ledger on a disk in memory knows of none."""
    return "asyncio"


FULL = OSError(errno.ENOSPC, "No space left on device")


async def at_rest(ledger: FileLedger) -> None:
    """Let a ledger do what nobody waits for."""
    async with anyio.create_task_group() as group:
        group.start_soon(ledger.run)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()


def new_ledger(disk: Disk, clock: Clock | None = None) -> FileLedger:
    """Return a ledger on that disk."""
    return FileLedger(cast("Any", disk), clock or Clock(), replay(disk.lines(MAX_LINE)))


async def test_each_step_is_written_when_it_is_known() -> None:
    """A process that is killed between two steps knows the first of them."""
    disk = Disk()
    ledger = new_ledger(disk)
    first = await ledger.intend(SUBMISSION)
    assert disk.records == [first]
    assert disk.flushes == 1
    await ledger.created(first, TASK, WINDOW)
    assert disk.records[1:] == [Paid(first.attempt, TASK, WINDOW)]
    assert disk.flushes == 2
    second = await ledger.intend(SUBMISSION)
    third = await ledger.intend(SUBMISSION)
    assert len({first.attempt, second.attempt, third.attempt}) == 3
    ledger.not_paid(second)
    ledger.unknown(third)
    ledger.banned("ezcaptcha", "0123abcd", NOW + 600, NOW + 80)
    ledger.done(*KEY)
    ledger.done(*KEY)
    assert disk.records[4:] == [
        NotPaid(second.attempt),
        Unknown(third.attempt, SUBMISSION),
        Banned("ezcaptcha", "0123abcd", NOW + 600, NOW + 80),
        Done(*KEY),
    ]
    assert ledger.unknown_submissions() == [SUBMISSION]
    assert "1 unknown" in repr(ledger)


async def test_two_processes_never_use_one_name_twice() -> None:
    """The intent of one would be closed by the outcome of the other."""
    names = {(await new_ledger(Disk()).intend(SUBMISSION)).attempt for _ in range(20)}
    assert len(names) == 20


async def test_without_a_file_what_is_unknown_is_remembered() -> None:
    """A pool without a journal could not say what it may have paid for."""
    ledger = MemoryLedger(Clock())
    lost = await ledger.intend(SUBMISSION)
    paid = await ledger.intend(SUBMISSION)
    refused = await ledger.intend(SUBMISSION)
    cut_off = await ledger.intend(attrs.evolve(SUBMISSION, host="cut-off.example"))
    ledger.unknown(lost)
    await ledger.created(paid, TASK, WINDOW)
    ledger.adopted(TASK, WINDOW)
    ledger.done(*KEY)
    ledger.not_paid(refused)
    assert ledger.unknown_submissions() == [SUBMISSION]
    assert "1 unknown" in repr(ledger)
    assert ledger.inherited() == [], "nothing outlives such a pool"
    assert ledger.is_over(TASK)
    await ledger.aclose()
    await ledger.aclose()
    assert ledger.unknown_submissions() == [SUBMISSION, cut_off.submission]


# ---------------------------------------------------------------------------- by reference


async def test_what_was_delivered_is_known_by_its_reference_while_it_is_of_use() -> None:
    """A job that is delivered again after a crash would be paid for again, or get an old token."""
    disk, clock, task = Disk(), Clock(), attrs.evolve(TASK, reference="job 17")
    ledger = new_ledger(disk, clock)
    await ledger.created(await ledger.intend(SUBMISSION), task, WINDOW)
    assert ledger.paid_for("job 17") is None, "what this pool has begun is in its books"
    unfinished = new_ledger(Disk(*disk.records), clock)
    heard = attrs.evolve(task, processing_at=NOW + 20)
    ledger.delivered(heard, NOW + 140)
    ledger.delivered(heard, NOW + 140)
    ledger.delivered(attrs.evolve(heard, task_id="another"), NOW + 140)
    assert disk.records[2:] == [Delivered(heard, NOW + 140)]
    delivered = new_ledger(disk, clock)
    await at_rest(delivered)
    assert disk.records == [Delivered(heard, NOW + 140)]
    assert new_ledger(disk, clock).inherited() == []
    for ledger, found, until in ((unfinished, task, NOW + 300), (delivered, heard, NOW + 140)):
        assert ledger.paid_for("job 18") is None
        clock.now = until - 1
        assert ledger.paid_for("job 17") == found
        clock.now = until
        assert ledger.paid_for("job 17") is None
    delivered.adopted(heard, WINDOW)
    assert disk.records[1:] == [Paid(None, heard, WINDOW)], "somebody asked for it again"


async def test_what_is_not_delivered_goes_before_what_is() -> None:
    """The older task of two for one reference would be given out."""
    older, newer = (
        attrs.evolve(TASK, reference="job 17", task_id=name) for name in ("older", "newer")
    )
    disk = Disk(Paid("r.1", newer, WINDOW), Delivered(older, NOW + 60))
    assert new_ledger(disk).paid_for("job 17") == newer


async def test_a_lost_create_is_known_for_a_day_also_by_its_reference() -> None:
    """Its job would be paid for again; for months, it would be listed in vain."""
    kinds: list[Callable[[Clock], Ledger]] = [MemoryLedger, partial(new_ledger, Disk())]
    for kind in kinds:
        clock = Clock()
        ledger = kind(clock)
        assert ledger.lost_for("job 17") is None
        intent = await ledger.intend(SUBMISSION)
        assert isinstance(intent, Intent)
        ledger.unknown(intent)
        clock.now += DAY - 1
        assert ledger.unknown_submissions() == [SUBMISSION]
        assert ledger.lost_for("job 17") == SUBMISSION
        assert ledger.lost_for("job 18") is None
        clock.now += 2
        assert not ledger.unknown_submissions()
        assert ledger.lost_for("job 17") is None


# -------------------------------------------------------------------------- the next process


async def test_what_an_earlier_process_left_is_inherited_once() -> None:
    """Paid tasks would be fetched twice, or an old one be taken for a new one."""
    old = attrs.evolve(TASK, task_id="old", created_at=NOW - 301)
    disk = Disk(
        Intent("a.1", SUBMISSION),
        Paid(None, old, WINDOW),
        Paid(None, attrs.evolve(old, task_id="older", created_at=NOW - DAY - 301), WINDOW),
        Paid("a.2", TASK, WINDOW),
        Paid("a.3", attrs.evolve(TASK, task_id="done"), WINDOW),
        Done("ezcaptcha", "0123abcd", "done"),
        Banned("ezcaptcha", "0123abcd", NOW + 60),
    )
    ledger = new_ledger(disk)
    assert [task.task_id for task in ledger.inherited()] == ["old", "older", "77"]
    assert [ledger.is_over(task) for task in ledger.inherited()] == [True, True, False]
    assert ledger.unknown_submissions() == [SUBMISSION]
    ban = ledger.ban("ezcaptcha", "0123abcd")
    assert ban is not None
    assert ban.until == NOW + 60
    assert ledger.ban("ezcaptcha", "another") is None
    await at_rest(ledger)
    # What is long over has left the file.
    assert disk.records == [
        Unknown("a.1", SUBMISSION),
        Paid(None, old, WINDOW),
        Paid(None, TASK, WINDOW),
        Banned("ezcaptcha", "0123abcd", NOW + 60),
    ]
    assert (disk.rewritten, disk.kept) == (1, [])
    ledger.adopted(TASK, WINDOW)
    for task in ledger.inherited() * 2:
        ledger.taken_up(task)
    assert ledger.inherited() == []
    assert len(disk.records) == 4


def test_a_ticket_from_elsewhere_is_written_down_too() -> None:
    """It is paid as well, and would be lost with this process."""
    disk = Disk()
    ledger = new_ledger(disk)
    ledger.adopted(TASK, WINDOW)
    ledger.adopted(TASK, WINDOW)
    assert disk.records == [Paid(None, TASK, WINDOW)]
    ledger.done(*KEY)
    assert disk.records[1:] == [Done(*KEY)]


async def test_damaged_lines_are_passed_over_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    """A paid task may be in them, and a person can read more than a program."""
    disk = Disk(Paid(None, TASK, WINDOW), damaged=b'{"v":1,"event":"crea')
    before = disk.content
    ledger = new_ledger(disk)
    assert [task.task_id for task in ledger.inherited()] == ["77"]
    await at_rest(ledger)
    assert disk.kept == [before]
    disk.content += b"x" * LEAST_SIZE
    ledger.adopted(attrs.evolve(TASK, task_id="78"), WINDOW)
    await at_rest(ledger)
    assert (disk.rewritten, disk.kept) == (2, [before]), "once is enough"
    assert "1 lines of the journal /somewhere/paid.jsonl are damaged" in caplog.text
    assert "kept in /somewhere/paid.jsonl.damaged" in caplog.text


@pytest.mark.parametrize("content", [b"notes\n", b'{"v":1,"event":"crea', b'{"v":9,"event":"x"}\n'])
async def test_what_is_no_journal_is_left_as_it_is(content: bytes) -> None:
    """It may have become another file since it was looked at."""
    disk = Disk(damaged=content)
    with pytest.raises(ConfigurationError, match=r"cannot use the journal /somewhere/paid\.jsonl"):
        await ledger_in(cast("Any", disk), Clock())
    assert (disk.content, disk.kept, disk.closed) == (content, [], 1)


async def test_a_file_that_cannot_be_read_is_named() -> None:
    """To begin anew would be to forget what is paid."""
    disk = Disk()
    disk.problem = OSError(errno.EIO, "Input/output error")
    with pytest.raises(ConfigurationError, match=r"journal /somewhere/paid\.jsonl: Input/output"):
        await ledger_in(cast("Any", disk), Clock())
    assert disk.closed == 1


async def test_a_long_file_is_read_between_other_coroutines() -> None:
    """A program would stand still for seconds while its pool opens, and could not give up."""
    disk = Disk(*(Paid(None, attrs.evolve(TASK, task_id=str(i)), WINDOW) for i in range(500)))
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await checkpoint()
            turns += 1

    async with anyio.create_task_group() as group:
        group.start_soon(take_turns)
        ledger = await ledger_in(cast("Any", disk), Clock())
        assert turns > 1
        group.cancel_scope.cancel()
    assert len(ledger.inherited()) == 500
    with anyio.CancelScope() as scope:
        scope.cancel()
        await ledger_in(cast("Any", disk), Clock())
    assert scope.cancelled_caught
    assert disk.closed == 1


async def test_a_file_that_cannot_be_rewritten_is_as_good(caplog: pytest.LogCaptureFixture) -> None:
    """A full disk must not keep a program from fetching what is paid."""

    class NoRoom(Disk):
        async def replace(self, lines: Iterable[bytes]) -> None:
            raise FULL

    disk = NoRoom(Paid(None, TASK, WINDOW), Done(*KEY))
    ledger = new_ledger(disk)
    assert ledger.inherited() == []
    await at_rest(ledger)
    assert len(disk.records) == 2
    assert "stays as it is (No space left on device)" in caplog.text


# ------------------------------------------------------------------------- a disk that fails


async def test_without_a_line_nothing_is_sent(caplog: pytest.LogCaptureFixture) -> None:
    """Paid for without a trace: after a crash nobody would know of it."""
    disk = Disk()
    ledger = new_ledger(disk)
    disk.problem = TimeoutError()
    with pytest.raises(JournalError, match="TimeoutError"):
        await ledger.intend(SUBMISSION)  # without words it has a name
    disk.problem = FULL
    for _ in range(3):
        with pytest.raises(JournalError, match="No space left on device") as caught:
            await ledger.intend(SUBMISSION)
        assert caught.value.retryable
        assert not caught.value.may_be_charged
    assert len(caplog.records) == 1  # not one for each of thousands
    disk.problem = None
    intent = await ledger.intend(SUBMISSION)
    await at_rest(ledger)
    assert disk.records == [intent]
    assert (disk.rewritten, disk.kept) == (1, [])
    ledger.not_paid(intent)
    await ledger.aclose()
    assert not ledger.unknown_submissions()


async def test_what_is_paid_is_written_as_soon_as_the_disk_takes_it() -> None:
    """The disk is full for a minute: that must not cost a paid task, nor end the pool."""
    disk = Disk()
    ledger = new_ledger(disk)
    first, second = [await ledger.intend(SUBMISSION) for _ in range(2)]
    disk.problem = FULL
    await ledger.created(first, TASK, WINDOW)
    ledger.unknown(second)
    ledger.done(*KEY)
    assert len(disk.records) == 2
    disk.problem = None
    ledger.banned("ezcaptcha", "0123abcd", NOW + 60, NOW + 60)
    # All at once, and then only what still counts.
    assert disk.last == [
        Paid(first.attempt, TASK, WINDOW),
        Unknown(second.attempt, SUBMISSION),
        Done(*KEY),
        Banned("ezcaptcha", "0123abcd", NOW + 60),
    ]
    await at_rest(ledger)
    assert disk.records == [disk.last[1], disk.last[3]]


@pytest.mark.parametrize("is_closed", [False, True])
async def test_a_file_that_was_lost_is_written_anew(is_closed: bool) -> None:  # noqa: FBT001
    """Somebody tidies up while the program runs, or ends: what is in flight is still paid."""
    disk = Disk()
    ledger = new_ledger(disk)
    await ledger.created(await ledger.intend(SUBMISSION), TASK, WINDOW)
    disk.content, disk.problem = b"", OSError(errno.ENOENT, "the file was removed")
    if is_closed:
        ledger.banned("ezcaptcha", "0123abcd", NOW + 60, NOW + 60)
        disk.problem = None
        await ledger.aclose()
        assert disk.records == [Paid(None, TASK, WINDOW), Banned("ezcaptcha", "0123abcd", NOW + 60)]
    else:
        with pytest.raises(JournalError, match="the file was removed"):
            await ledger.intend(SUBMISSION)
        disk.problem = None
        intent = await ledger.intend(SUBMISSION)
        await at_rest(ledger)
        assert disk.records == [intent, Paid(None, TASK, WINDOW)]


@pytest.mark.parametrize("noticed", ["by a line", "by an intention", "at the end"])
async def test_a_file_that_was_removed_is_there_again_at_the_end(
    tmp_path: Path, noticed: str
) -> None:
    """What is paid would be with nobody when the program ends, though its tickets are known."""
    path = tmp_path / "paid.jsonl"
    ledger = await ledger_in(JournalFile(str(path)), lambda: NOW)
    await ledger.created(await ledger.intend(SUBMISSION), TASK, WINDOW)
    path.unlink()
    if noticed == "by a line":
        ledger.unknown(Intent("another", SUBMISSION))
    if noticed == "by an intention":
        with pytest.raises(JournalError, match="the file was removed"):
            await ledger.intend(SUBMISSION)
    await ledger.aclose()
    records = [decoded(line) for line in path.read_bytes().splitlines()]
    assert Paid(None, TASK, WINDOW) in records


@pytest.mark.parametrize("still_full", [False, True])
async def test_what_is_owed_is_tried_once_more_at_the_end(still_full: bool) -> None:  # noqa: FBT001
    """The last event of a process would be missing for no reason."""
    disk = Disk()
    ledger = new_ledger(disk)
    intent = await ledger.intend(SUBMISSION)
    disk.problem = FULL
    await ledger.created(intent, TASK, WINDOW)
    if not still_full:
        disk.problem = None
    await ledger.aclose()
    assert disk.records == [intent if still_full else Paid(None, TASK, WINDOW)]
    assert disk.closed == 1
    ledger.not_paid(intent)
    await ledger.aclose()
    assert disk.closed == 1


async def test_what_may_not_be_on_the_disk_is_not_sent_either(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Safety from power losses was asked for; it must not be given up in silence."""
    disk = Disk()
    ledger = new_ledger(disk)
    paid = await ledger.intend(SUBMISSION)
    disk.flush_problem = OSError(errno.EIO, "Input/output error")
    with pytest.raises(JournalError, match="Input/output error"):
        await ledger.intend(SUBMISSION)
    assert isinstance(disk.records[-1], NotPaid)
    # What is paid goes on, whatever the disk says.
    await ledger.created(paid, TASK, WINDOW)
    assert isinstance(disk.records[-1], Paid)
    assert all(record.levelno == logging.ERROR for record in caplog.records)
    assert "may not be on the disk (Input/output error)" in caplog.text


# ------------------------------------------------------------------------------ its length


@pytest.fixture
def least_size(monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes from which a file is rewritten: fewer than in earnest, so that it takes less time."""
    monkeypatch.setattr("ezcaptcha_async._journal.file_ledger.LEAST_SIZE", 64 * 1024)
    return 64 * 1024


async def test_the_file_stays_short_however_long_the_pool_runs(least_size: int) -> None:
    """A service that solves all year would fill the disk with what is long done."""
    disk = Disk()
    clock = Clock()
    ledger = new_ledger(disk, clock)
    kept = attrs.evolve(TASK, task_id="kept")
    ledger.adopted(attrs.evolve(kept, task_id="lapsed", created_at=NOW - DAY - 200), WINDOW)
    ledger.adopted(kept, WINDOW)
    longest = 0
    for number in range(400):
        if number == 200:
            clock.now += 150
        task = attrs.evolve(TASK, task_id=f"{number}")
        await ledger.created(await ledger.intend(SUBMISSION), task, WINDOW)
        ledger.done("ezcaptcha", "0123abcd", task.task_id)
        longest = max(longest, disk.size)
        await at_rest(ledger)
    assert longest < least_size + 1_000
    assert disk.rewritten >= 2
    assert [task.task_id for task in new_ledger(disk, clock).inherited()] == ["kept"]


async def test_a_file_that_is_long_by_right_is_not_rewritten_all_the_time(least_size: int) -> None:
    """With tens of thousands in flight each event would write megabytes."""
    disk = Disk()
    ledger = new_ledger(disk)
    for number in range(250):
        ledger.adopted(attrs.evolve(TASK, task_id=f"{number:0200}"), WINDOW)
        await at_rest(ledger)
    assert least_size < disk.size < GROWTH * least_size
    assert disk.rewritten == 1

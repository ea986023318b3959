"""The file of a journal: private, locked, whole lines, whatever the disk does."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from ezcaptcha_async import ConfigurationError, Journal, SessionPool
from ezcaptcha_async._journal import file as _journal_file
from ezcaptcha_async._journal.file import JournalFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "paid.jsonl"


@contextmanager
def opened(path: Path, **settings: Any) -> Iterator[JournalFile]:
    """Open a journal for a while."""
    file = JournalFile(str(path), **settings)
    try:
        yield file
    finally:
        file.close()


def mode_of(path: Path) -> int:
    """Return the permissions."""
    return stat.S_IMODE(path.stat().st_mode)


# ----------------------------------------------------------------------------- who may


async def test_only_the_owner_can_read_it(path: Path) -> None:
    """Other users of the machine would see which sites are visited, and ids worth money."""
    old = os.umask(0)
    try:
        with opened(path) as file:
            file.append(b"a\n")
            file.keep_as_damaged()
            await file.replace([b"b\n"])
            assert mode_of(path) == 0o600
    finally:
        os.umask(old)
    assert {mode_of(item) for item in path.parent.iterdir()} == {0o600}
    assert {item.name for item in path.parent.iterdir()} == {
        "paid.jsonl",
        "paid.jsonl.damaged",
        "paid.jsonl.lock",
    }


@pytest.mark.parametrize("refused", ["os.fchmod", "ezcaptcha_async._journal.file._lock"])
def test_a_file_that_cannot_be_made_private_or_locked_is_refused(
    refused: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user may read it; or another pool spoil it, in a folder that knows no locks."""

    def refuse(*_args: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    path.write_bytes(b"")
    path.chmod(0o644)
    monkeypatch.setattr(refused, refuse)
    with pytest.raises(ConfigurationError, match=r"paid\.jsonl: Operation not permitted"):
        JournalFile(str(path))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
async def test_a_forked_child_gives_the_lock_back_and_writes_nothing(path: Path) -> None:
    """It would keep the journal from whoever comes after its parent, or spoil it."""
    with opened(path, power_loss_safe=True) as file:
        file.append(b"a\n")
        _journal_file._let_go()  # what the child does first of all
        with pytest.raises(OSError, match="another process has it"):
            file.append(b"b\n")
        for write in (file.flush, lambda: file.replace([b"b\n"])):
            with pytest.raises(OSError, match="another process has it"):
                await write()
        with opened(path) as another:
            assert list(another.lines(10)) == [b"a\n"]


def test_a_second_pool_is_refused_until_the_first_is_done(path: Path) -> None:
    """Both would fetch the same tasks, and one would compact away what the other writes."""
    path.write_bytes(b"a\n")
    path.chmod(0o644)
    with opened(path) as file, pytest.raises(ConfigurationError, match="another pool or process"):
        JournalFile(str(path))
    file.close()
    with opened(path) as file:
        assert list(file.lines(10)) == [b"a\n"]
    assert mode_of(path) == 0o600, "a file that was made by hand is open to everybody"


async def test_the_lock_outlives_the_replacing_of_the_file(path: Path) -> None:
    """A lock belongs to a file and not to its name."""
    with opened(path) as file:
        await file.replace([b"new\n"])
        with pytest.raises(ConfigurationError, match="another pool or process"):
            JournalFile(str(path))


async def test_a_link_leads_to_the_same_lock(path: Path) -> None:
    """Two names of one file would let two pools in, and replacing would cut the link."""
    link = path.parent / "link.jsonl"
    with opened(path):
        link.symlink_to(path)
        with pytest.raises(ConfigurationError, match="another pool or process"):
            JournalFile(str(link))
    with opened(link) as file:
        await file.replace([b"new\n"])
    assert link.is_symlink()
    assert path.read_bytes() == b"new\n"


@pytest.mark.parametrize("where", ["folder", "missing/paid.jsonl", "\ud800.jsonl", "pipe"])
def test_what_cannot_be_a_journal_is_named(tmp_path: Path, where: str) -> None:
    """A wrong path in a deployment must be found by its message."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    if where == "\ud800.jsonl":
        with pytest.raises(ConfigurationError, match="path of a file"):
            Journal(tmp_path / where)
        return
    with pytest.raises(ConfigurationError, match=f"cannot use the journal .*{where}: "):
        JournalFile(str(tmp_path / where))


@pytest.mark.parametrize("journal", ["", b"paid.jsonl", 7, "a\0b"])
def test_a_path_must_be_one(journal: Any, path: Path) -> None:
    """A wrong type would surface deep inside, or as a file of a strange name."""
    with pytest.raises(ConfigurationError, match="journal must be the path"):
        SessionPool("key", journal=journal)
    with pytest.raises(ConfigurationError, match="power_loss_safe"):
        Journal(path, power_loss_safe=journal)


# ------------------------------------------------------------------------------- lines


def test_lines_are_there_at_once_and_in_order(path: Path) -> None:
    """A process that is killed in the next moment has written them."""
    with opened(path) as file:
        file.append(b"one\n")
        file.append(b"two\nthree\n")
        assert path.read_bytes() == b"one\ntwo\nthree\n"
        assert file.size == 14
        assert repr(file) == f"<JournalFile {path}, 14 bytes>"
        assert list(file.lines(100)) == [b"one\n", b"two\n", b"three\n"]


def test_a_line_that_was_cut_off_does_not_spoil_the_next(path: Path) -> None:
    """After a power loss the first new event would be glued to half an old one."""
    path.write_bytes(b"whole\nhal")
    with opened(path) as file:
        file.append(b"new\n")
        file.append(b"newer\n")
    assert path.read_bytes() == b"whole\nhal\nnew\nnewer\n"


def test_a_line_without_end_does_not_fill_the_memory(path: Path) -> None:
    """Somebody names a file of gigabytes without a line end."""
    path.write_bytes(b"x" * 1_000 + b"\nshort\n" + b"y" * 11 + b"\n" + b"z" * 50)
    with opened(path) as file:
        lines = list(file.lines(10))
    assert lines == [b"x" * 11, b"short\n", b"y" * 11, b"z" * 11]


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Have each write cut short while the block runs."""
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:-1]))
        yield patch


@pytest.mark.parametrize(
    ("truncates", "left"), [(True, b"again\n"), (False, b'{"event":"done"}~\nagain\n')]
)
def test_a_write_that_is_cut_short_says_so(
    path: Path,
    full_disk: pytest.MonkeyPatch,
    truncates: bool,  # noqa: FBT001
    left: bytes,
) -> None:
    """Half a line would be damage for ever, or become a record by the next line end."""

    def fail(_descriptor: int, _size: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with opened(path) as file:
        if not truncates:
            full_disk.setattr(os, "ftruncate", fail)
        with pytest.raises(OSError, match="No space left"):
            file.append(b'{"event":"done"}\n')
        full_disk.undo()
        file.append(b"again\n")
        assert file.size == path.stat().st_size
    assert path.read_bytes() == left


def test_a_file_that_was_removed_is_noticed(path: Path) -> None:
    """Everything would be written to where nobody can ever read it."""
    with opened(path) as file:
        file.append(b"old\n")
        path.unlink()
        with pytest.raises(OSError, match="the file was removed"):
            file.append(b"lost\n")
        file.append(b"new\n")
        assert file.size == 4
    assert path.read_bytes() == b"new\n"
    assert mode_of(path) == 0o600


# ----------------------------------------------------------------------------- replacing


async def test_a_replaced_file_is_whole_and_goes_on(path: Path) -> None:
    """Events after the compaction would be written into a file that nobody reads."""
    with opened(path) as file:
        file.append(b"old\nold\n")
        (path.parent / ".paid.jsonl.ezcaptcha-new").write_bytes(b"left by a crash")
        (path.parent / "paid.jsonl.new").write_bytes(b"the user's own")
        await file.replace([b"new\n"])
        file.append(b"newer\n")
        assert file.size == 10
    assert path.read_bytes() == b"new\nnewer\n"
    assert {item.name for item in path.parent.iterdir()} == {
        "paid.jsonl",
        "paid.jsonl.lock",
        "paid.jsonl.new",
    }
    assert (path.parent / "paid.jsonl.new").read_bytes() == b"the user's own"


async def test_what_is_kept_is_never_written_over(path: Path) -> None:
    """The second damage would take away what a person could still read of the first."""
    with opened(path) as file:
        for content, name in ((b"one\n", ""), (b"two\n", ".1"), (b"three\n", ".2")):
            await file.replace([content])
            kept = file.keep_as_damaged()
            assert kept == f"{path}.damaged{name}"
            assert file.keep_as_damaged() == kept, "it has not changed since"
        await file.replace([])
    damaged = sorted(path.parent.glob("*.damaged*"))
    assert [item.read_bytes() for item in damaged] == [b"one\n", b"two\n", b"three\n"]


async def test_what_is_appended_while_a_file_is_replaced_is_behind_it(path: Path) -> None:
    """A task that is paid while the journal is made shorter would be lost with it."""
    with opened(path, power_loss_safe=True) as file:

        def lines() -> Iterator[bytes]:
            for number in range(250):
                if number % 60 == 30:
                    file.append(b"meanwhile %d\n" % number)
                yield b"%d\n" % number

        async def pay() -> None:
            while not path.read_bytes().startswith(b"0\n"):
                # Whoever dies here has the old content, with all that was appended.
                assert path.read_bytes().count(b"old\n") == 1
                await anyio.lowlevel.checkpoint()

        file.append(b"old\n")
        async with anyio.create_task_group() as group:
            group.start_soon(pay)
            await file.replace(lines())
        file.append(b"later\n")
        assert file.size == path.stat().st_size
    appended = [b"meanwhile %d" % number for number in (30, 90, 150, 210)]
    assert path.read_bytes().split() == [
        *(b"%d" % number for number in range(250)),
        *b" ".join(appended).split(),
        b"later",
    ]


async def test_whoever_appends_has_a_turn_while_a_long_file_is_replaced(path: Path) -> None:
    """With tens of thousands in flight, all of them would stand still for most of a second."""
    with opened(path) as file:
        taken: list[int] = []

        def lines() -> Iterator[bytes]:
            for number in range(1_000):
                taken.append(number)
                yield b"x\n"

        async def append() -> None:
            while len(taken) < 1_000:
                file.append(b"y %d\n" % len(taken))
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as group:
            group.start_soon(append)
            await file.replace(lines())
    assert path.read_bytes().startswith(b"x\n" * 1_000)
    assert path.read_bytes().count(b"y") >= 5


async def test_a_replacing_that_is_given_up_leaves_what_was(path: Path) -> None:
    """The pool is closed meanwhile: the longer file is whole, and nothing lies beside it."""
    with opened(path) as file:
        file.append(b"old\n")
        with anyio.CancelScope() as scope:

            def lines() -> Iterator[bytes]:
                yield b"new\n"
                scope.cancel()

            await file.replace(lines())
        assert scope.cancelled_caught
        file.append(b"newer\n")
        assert path.read_bytes() == b"old\nnewer\n"
        assert {item.name for item in path.parent.iterdir()} == {"paid.jsonl", "paid.jsonl.lock"}


async def test_a_child_that_is_forked_meanwhile_leaves_the_new_file_to_its_parent(
    path: Path,
) -> None:
    """The parent would find no file to put in place, or one with the child's lines in it."""
    with opened(path) as file:

        def lines() -> Iterator[bytes]:
            yield b"new\n"
            _journal_file._let_go()

        with pytest.raises(OSError, match="another process has it"):
            await file.replace(lines())
    assert (path.parent / ".paid.jsonl.ezcaptcha-new").exists()


@pytest.mark.parametrize("broken", ["os.fsync", "os.open", "os.write", "pathlib.Path.replace"])
async def test_a_replacing_that_fails_changes_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """The disk is full: the longer file is as good as the shorter one."""
    write = os.write

    def fail(*arguments: Any) -> int:
        if broken == "os.write":  # half a journal would stand for the whole
            return write(arguments[0], arguments[1][:-1])
        raise OSError(errno.ENOSPC, "No space left on device")

    with opened(path) as file:
        file.append(b"old\n")
        with monkeypatch.context() as patch:
            patch.setattr(broken, fail)
            with pytest.raises(OSError, match="No space left"):
                await file.replace([b"new\n"])
        file.append(b"newer\n")
        assert file.size == 10
    assert path.read_bytes() == b"old\nnewer\n"
    assert not (path.parent / "paid.jsonl.new").exists()


def test_closing_twice_is_fine(path: Path) -> None:
    """The second close would hit whatever has got the descriptor since."""
    file = JournalFile(str(path))
    file.close()
    with path.parent.joinpath("another").open("wb") as another:
        file.close()
        another.write(b"still open")


# --------------------------------------------------------------------------- power losses


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count what is sent to the disk, by its size at that time; folders count as -1."""
    seen: list[int] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        status = os.fstat(descriptor)
        seen.append(-1 if stat.S_ISDIR(status.st_mode) else status.st_size)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return seen


async def test_nothing_waits_for_the_disk_unless_that_was_asked_for(
    path: Path, synced: list[int]
) -> None:
    """Each createTask would wait for tens of milliseconds on a slow disk."""
    with opened(path) as file:
        file.append(b"one\n")
        await file.flush()
    assert synced == []


async def test_what_was_flushed_survives_a_power_loss(path: Path, synced: list[int]) -> None:
    """A paid task would be gone with the power, though its caller was told."""
    with opened(path, power_loss_safe=True) as file:
        assert synced == [-1]  # the name of the file
        file.append(b"one\n")
        await file.flush()
        assert synced == [-1, 4]
        await file.flush()
        assert synced == [-1, 4]
        await file.replace([b"n\n"])
        assert synced == [-1, 4, 2, -1]


async def test_many_who_wait_for_the_disk_share_a_run(path: Path, synced: list[int]) -> None:
    """A burst of a thousand tasks would wait for the disk a thousand times."""
    with opened(path, power_loss_safe=True) as file:

        async def write() -> None:
            file.append(b"line\n")
            await file.flush()

        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(write)
        assert len(synced) <= 1 + 3
        assert synced[-1] == 250


async def test_whoever_is_cancelled_waits_for_the_disk_all_the_same(
    path: Path, synced: list[int]
) -> None:
    """What the line guards would be in doubt: is it written or not?"""
    with opened(path, power_loss_safe=True) as file:
        file.append(b"one\n")
        with anyio.CancelScope() as scope:
            scope.cancel()
            await file.flush()
        assert synced[-1] == 4


async def test_a_disk_that_fails_is_heard_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next try must be made, and must not be taken for done."""

    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with opened(path, power_loss_safe=True) as file:
        file.append(b"one\n")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            for _ in range(2):
                with pytest.raises(OSError, match="Input/output"):
                    await file.flush()
        await file.flush()


async def test_no_descriptor_is_left_open(path: Path) -> None:
    """A service that opens a pool for each request would run out of them."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(3):
        with opened(path, power_loss_safe=True) as file, ExitStack():
            file.append(b"a\n")
            await file.replace([])
        with pytest.raises(ConfigurationError):
            JournalFile(str(path.parent))
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208

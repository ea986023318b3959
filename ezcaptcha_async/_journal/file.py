"""The file of a journal: locked, appended to line by line, replaced as a whole.

What the lines say is not its business; whoever opens one has looked first whether it is a
journal at all. It promises three things. A line that `append` took
survives the process, however that ends, because each is handed to the operating system in
one write. After `flush` it survives a power loss. And no other pool writes to the file.

The lock is on a file of its own beside the journal, because the journal is replaced from
time to time, and a lock belongs to a file and not to its name. It is taken with ``flock``,
on Windows with ``msvcrt.locking``; the operating system gives it back when the process
ends in any way. The empty lock file stays, because removing it would let two in.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Final
from weakref import WeakSet

import anyio
import anyio.to_thread
from anyio.lowlevel import checkpoint

from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.private_files import check_way, open_private

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _let_go() -> None:
        """Close what a forked child has of its parent; the parent's own lock is not touched."""
        for file in tuple(_open_files):
            file.close()

    os.register_at_fork(after_in_child=_let_go)


_open_files: Final[WeakSet[JournalFile]] = WeakSet()
_OWNER_ONLY: Final = 0o600
_OTHERS: Final = 0o077
_APPEND: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_SLICE: Final = 100
"""Most lines of a new content that are made before other coroutines get their turn: 1 ms."""


class JournalFile:
    """A journal that is open.

    Args:
        path: Where it is; it is made when it is not there.
        power_loss_safe: Whether `flush` waits for the disk.

    Raises:
        ConfigurationError: Another pool has it open, or it cannot be used; the message
            names the path.
    """

    def __init__(self, path: str, *, power_loss_safe: bool = False) -> None:
        # A link must not be replaced by a file, nor lead around the lock.
        self.path = os.path.realpath(path)
        self.size = 0
        self._durable = power_loss_safe
        self._descriptor = -1
        self._mend = b""
        self._appended = 0
        self._flushed = 0
        self._flushing = anyio.Lock()
        self._behind: list[bytes] | None = None  # appended while the file is replaced
        self._lock_descriptor = self._locked()
        _open_files.add(self)
        problem = None
        try:
            self.size = os.fstat(self._opened()).st_size
            if self.size and self._last_byte() != b"\n":
                # Cut off by a crash; what comes next begins a line of its own.
                self._mend = b"\n"
        except OSError as error:
            problem = reason_of(error)
        if problem is not None:
            self.close()
            raise ConfigurationError(f"cannot use the journal {self.path}: {problem}")

    def __repr__(self) -> str:
        return f"<JournalFile {self.path}, {self.size} bytes>"

    def lines(self, most: int) -> Iterator[bytes]:
        """Yield the lines of the file; see `lines_of`."""
        return lines_of(self.path, most)

    def append(self, lines: bytes) -> None:
        """Write whole lines at the end, in one write.

        Raises:
            OSError: They are not, or not all, in the file: the disk is full, for one.
                Lines may be appended again; the readers of the file must not mind.
        """
        descriptor = self._opened()
        if not os.fstat(descriptor).st_nlink:
            # Nobody would ever read it; the next append makes a new one.
            self._close_file()
            self.size, self._mend = 0, b""
            raise OSError(errno.ENOENT, "the file was removed")
        data = self._mend + lines
        written = os.write(descriptor, data)
        if written < len(data):
            self._take_back(descriptor, written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.size += written
        self._mend = b""
        self._appended += 1
        if self._behind is not None:
            self._behind.append(lines)

    async def flush(self) -> None:
        """Wait until what was appended so far is on the disk, if that was asked for.

        A cancelled caller waits as well: what this guards must be known to be safe or not.
        Callers that come while the disk is at work share the next run.

        Raises:
            OSError: It may not be on the disk.
        """
        if not self._durable:
            return
        wanted = self._appended
        with anyio.CancelScope(shield=True):
            async with self._flushing:
                if self._flushed < wanted:
                    upto = self._appended
                    # A duplicate: the file may be replaced while the thread is at work.
                    await anyio.to_thread.run_sync(_sync_and_close, os.dup(self._opened()))
                    self._flushed = upto

    def keep_as_damaged(self) -> str:
        """Keep the content as it is now beside the file, and return the name of the copy.

        What an earlier copy holds stays too: each has a name of its own.

        Raises:
            OSError: There is no copy.
        """
        self._check_ours()
        number = 0
        while True:
            kept = Path(f"{self.path}.damaged{f'.{number}' if number else ''}")
            with suppress(FileExistsError):
                kept.hardlink_to(self.path)
            # If it is the same, and not made now, then the file could not be replaced before.
            if kept.samefile(self.path):
                return str(kept)
            number += 1

    async def replace(self, lines: Iterable[bytes]) -> None:
        """Let the file have this content instead, all or nothing, and go on behind it.

        The lines are taken a few at a time, between other coroutines. Meanwhile the old content
        stands and is appended to; what is appended goes behind the new one too.

        Raises:
            OSError: The file is what it was.
        """
        self._check_ours()
        path = Path(self.path)
        # A name that is not likely to be that of a file of the user's.
        new = path.with_name(f".{path.name}.ezcaptcha-new")
        new.unlink(missing_ok=True)
        descriptor = open_private(str(new), _NEW)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                self._behind = []
                await self._fill(file, lines)
                # Nobody is told meanwhile that a line is on the disk: it may be the old file's.
                with anyio.CancelScope(shield=True):
                    async with self._flushing:
                        self._go_on(file)
                        await self._put_in_place(file, new)
        except BaseException:
            if self._lock_descriptor >= 0:  # else it is the parent's, who goes on with it
                new.unlink(missing_ok=True)
            raise
        finally:
            self._behind = None

    def close(self) -> None:
        """Close the file and let others have it; doing so twice is fine."""
        self._close_file()
        if self._lock_descriptor >= 0:
            os.close(self._lock_descriptor)
            self._lock_descriptor = -1

    # ---------------------------------------------------------------------- details

    async def _fill(self, file: FileIO, lines: Iterable[bytes]) -> None:
        """Write all lines into what is to be the file, a slice of them at a time."""
        left = iter(lines)
        while some := list(islice(left, _SLICE)):
            self._check_ours()
            _write(file.fileno(), b"".join(some))
            await checkpoint()

    async def _put_in_place(self, file: FileIO, new: Path) -> None:
        """Let what is written, and has all that was appended so far, take the name of the file."""
        upto = self._appended
        await anyio.to_thread.run_sync(os.fsync, file.fileno())
        self._go_on(file)
        size = file.tell()
        # Windows replaces no file that is open; the next append opens it again.
        file.close()
        self._close_file()
        new.replace(self.path)  # noqa: ASYNC240 - nothing must be appended in between
        self.size, self._mend, self._flushed = size, b"", upto
        await anyio.to_thread.run_sync(self._sync_folder)

    def _go_on(self, file: FileIO) -> None:
        """Write into what is to be the file what was appended to the old one meanwhile."""
        self._check_ours()
        behind, self._behind = self._behind, []
        _write(file.fileno(), b"".join(behind or ()))

    def _locked(self) -> int:
        """Take the lock, until it is closed, and return the descriptor that holds it."""
        path, descriptor = f"{self.path}.lock", -1
        try:
            check_way(path)
            descriptor = open_private(path, _APPEND)
            _lock(descriptor)
        except OSError as error:
            problem = reason_of(error)
            if descriptor >= 0:
                os.close(descriptor)
                if error.errno in {errno.EAGAIN, errno.EACCES, errno.EDEADLK}:
                    problem = "another pool or process uses it; give each one a journal of its own"
        else:
            return descriptor
        raise ConfigurationError(f"cannot use the journal {self.path}: {problem}")

    def _opened(self) -> int:
        """Return the descriptor of the file, which is opened when it is not."""
        self._check_ours()
        if self._descriptor < 0:
            descriptor = open_private(self.path, _APPEND)
            try:
                _make_private(descriptor)
            except OSError:
                os.close(descriptor)
                raise
            self._descriptor = descriptor
            self._sync_folder()
        return self._descriptor

    def _take_back(self, descriptor: int, written: int) -> None:
        """Undo a write that was cut short: half a line would be a damaged one for ever."""
        try:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size - written)
        except OSError:
            # It must at least not become a record by the next line end.
            self.size += written
            self._mend = b"~\n"

    def _check_ours(self) -> None:
        if self._lock_descriptor < 0:
            raise OSError(errno.EBADF, "another process has it")

    def _close_file(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _last_byte(self) -> bytes:
        os.lseek(self._opened(), -1, os.SEEK_END)
        return os.read(self._opened(), 1)

    def _sync_folder(self) -> None:
        """Have the name of the file on the disk too, where a folder can be synchronized."""
        if self._durable:
            with suppress(OSError):
                _sync_and_close(os.open(str(Path(self.path).parent), os.O_RDONLY))


def lines_of(path: str, most: int) -> Iterator[bytes]:
    """Yield the lines of a file as they are.

    Args:
        path: Where it is.
        most: A longer line comes as its first so many bytes and one more.

    Raises:
        OSError: It cannot be read.
    """
    with Path(path).open("rb") as file:
        while line := file.readline(most + 1):
            yield line
            while len(line) > most and not line.endswith(b"\n"):
                line = file.readline(most + 1)


def _write(descriptor: int, lines: bytes) -> None:
    if os.write(descriptor, lines) < len(lines):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _make_private(descriptor: int) -> None:
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    # Windows keeps no such mode; there the rights of the folder count.
    if sys.platform != "win32" and mode & _OTHERS:
        os.fchmod(descriptor, _OWNER_ONLY)


def reason_of(error: OSError) -> str:
    # Not the whole error: it would name the path of the lock file.
    return error.strerror or type(error).__name__


def _sync_and_close(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

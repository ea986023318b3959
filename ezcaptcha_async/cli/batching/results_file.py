"""What a batch has come to so far: a file of JSON lines, one for each row, only ever added to.

A later line of a row stands instead of an earlier one. A line that was cut off, by a full disk
or a killed process, is taken off the end before the next is written; to one that lacks but its
newline, that is added. While a run has the file, a lock file beside it keeps another run out:
what that one read would be old by the time it buys.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import sys
import time
from array import array
from math import isnan
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, TypeAlias, cast

from filelock import FileLock, Timeout

from ezcaptcha_async import ConfigurationError, SubmissionUnknownError
from ezcaptcha_async.cli import streams
from ezcaptcha_async.cli.batching.reading import LONGEST
from ezcaptcha_async.cli.batching.rows import Row
from ezcaptcha_async.cli.failures import reason
from ezcaptcha_async.cli.options import STDOUT
from ezcaptcha_async.cli.output import PROGRAM
from ezcaptcha_async.cli.reporting.collecting import a_number, an_object, document_in
from ezcaptcha_async.private_files import check_owner, check_way, open_private

RowState: TypeAlias = Literal["open", "finished", "changed"]

_DAY: Final = 86_400.0  # for which the journal knows of a createTask that had no answer
_LOST: Final = SubmissionUnknownError.__name__
_BEGINNING: Final = b'{"row":'  # how each line that is written begins
_OWNER_ONLY: Final = 0o600
_MOST_ROWS: Final = 100_000_000
# As much of a row's key as is kept; the bits above say how it stands.
_KEY: Final = (1 << 60) - 1
_FAILED: Final = 1 << 60
_PAID: Final = 1 << 61
_FINISHED: Final = 1 << 62
_COUNTED: Final = 1 << 63


class ResultsFile:
    """The results of one batch; keeps eight bytes in memory for each row.

    Of rows whose createTask had no answer in the last day it keeps when that was, too.

    Args:
        path: Where they are; ``-`` for stdout, which nothing is read back from.
        retry_failed: Whether rows that ended in an error are open again.
        read_only: Whether only to look: nothing is locked, cut off or made.

    Refused is a file that cannot be read or written, that others may write or have laid a link
    to, or that another run has.
    """

    def __init__(self, path: Path, *, retry_failed: bool = False, read_only: bool = False) -> None:
        self.points: float = 0.0
        """What the rows have cost, or may have, in earlier runs and in this one."""
        self.solved: int = 0
        self.failed: int = 0
        """Rows that ended in an error for good."""
        self._retry_failed = retry_failed
        self._rows = array("Q")
        self._lost = dict[int, float]()
        self._path = path
        self._file: BinaryIO | None = None
        self._end = 0
        self._lock: FileLock | None = None
        if path == STDOUT:
            return
        problem = ""
        try:
            if read_only:
                _check_beginning(path)
                self._read(path)
            else:
                self._take_over(path)
        except Timeout:
            problem = "another run of the same batch is writing it"
        except (OSError, ValueError) as error:
            problem = reason(error, str(error))
        if problem:
            self.close()
            raise ConfigurationError(f"cannot use {path} for results: {problem}")

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
        if self._lock is not None:
            self._lock.release()

    def state_of(self, row: Row) -> RowState:
        """Return how far a row is: ``changed`` when it was paid for and said something else."""
        known = self._known(row.number)
        same = known & _KEY == _bits(row.key)
        if known & _PAID and known & _FINISHED and not same:
            return "changed"
        return "finished" if known & _FINISHED and same else "open"

    def is_finished(self, number: int) -> bool:
        """Return whether nothing is left to do for a row."""
        return bool(self._known(number) & _FINISHED)

    def is_solved(self, number: int) -> bool:
        """Return whether a row has its solution."""
        return self._known(number) & (_FINISHED | _FAILED) == _FINISHED

    def is_counted(self, number: int) -> bool:
        """Return whether the cost of a row's last task, which had no end yet, was added."""
        return bool(self._known(number) & _COUNTED)

    def is_lost(self, number: int, sent_at: float) -> bool:
        """Return whether it is written down that a row's createTask had no answer."""
        return self._lost.get(number, 0.0) >= sent_at

    def write(self, document: dict[str, Any]) -> None:
        """Add what became of a row; an OSError is that the disk does not take it."""
        line = json.dumps(document, separators=(",", ":")).encode("ascii") + b"\n"
        if self._file is None:
            sys.stdout.write(line.decode("ascii"))
            sys.stdout.flush()
        else:
            write_whole(self._file, line)
            self._check_kept(self._file, len(line))
        self._note(document)

    async def write_on(self, document: dict[str, Any]) -> None:
        """Write the same while the event loop goes on, although a pipe's reader may stall.

        One after the other; what was cancelled counts as not written.
        """
        number = streams.stalling(self._file or sys.stdout)
        if number is None:
            self.write(document)
            return
        line = json.dumps(document, separators=(",", ":")).encode("ascii") + b"\n"
        await streams.pour(number, line)
        self._note(document)

    def _take_over(self, path: Path) -> None:
        """Lock it, read what earlier runs have left, and cut off a line that is not whole."""
        # Before anything is made: what is refused stays as it is.
        lock = f"{os.path.realpath(path)}.lock"
        check_way(str(path))
        check_way(lock)
        if path.is_file():
            _check_beginning(path)
        descriptor = open_private(str(path), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._file = file = cast("BinaryIO", os.fdopen(descriptor, "ab", buffering=0))
        if not _is_regular(file):
            os.write(descriptor, b"")  # where it takes nothing, before anything is paid
            return  # a pipe or a device has no past
        warning = check_owner(file.fileno(), str(path))
        if warning is not None:
            sys.stderr.write(f"{PROGRAM}: {path}: {warning}\n")
        # Before it is read: a link must not lead around the lock.
        self._lock = FileLock(lock, timeout=0, mode=_OWNER_ONLY)
        self._lock.acquire()
        end, last = self._read(path)
        if end < os.fstat(file.fileno()).st_size:
            file.truncate(end)
        if not last.endswith(b"\n"):
            write_whole(file, b"\n")
        self._end = os.fstat(file.fileno()).st_size

    def _check_kept(self, file: BinaryIO, length: int) -> None:
        """Check that what was just written is where the next run looks for it.

        An editor lays another file in its place, or empties it: what goes on into the old one
        nobody ever sees.
        """
        if not _is_regular(file):
            return
        self._end += length
        ours = os.fstat(file.fileno())
        try:
            # Windows lets nobody replace a file that is open.
            is_there = sys.platform == "win32" or os.path.samestat(ours, self._path.stat())
        except FileNotFoundError:
            is_there = False
        if not is_there or ours.st_size < self._end:
            raise OSError(errno.ESTALE, "somebody has removed, replaced or cut it meanwhile")
        self._end = ours.st_size

    def _read(self, path: Path) -> tuple[int, bytes]:
        """Read what earlier runs have left; return where its last whole line ends, and that line.

        A whole one may lack its newline, which editors and shells take away.
        """
        end, last = 0, b"\n"
        with path.open("rb") as earlier:
            for line in earlier:
                document = document_in(line)
                if not line.endswith(b"\n"):
                    _check_cut_off(line)
                    if document is None:
                        break
                end += len(line)
                last = line
                if document is not None:
                    self._note(document)
        return end, last

    def _known(self, number: int) -> int:
        return self._rows[number] if number < len(self._rows) else 0

    def _note(self, document: dict[str, Any]) -> None:
        cost = a_number(document.get("points"))
        cost = 0.0 if isnan(cost) else cost  # none, or the line is damaged
        self.points += cost
        is_solved = document.get("status") == "solved"
        number = document.get("row")
        if type(number) is not int or not 0 < number < _MOST_ROWS:
            return
        now = time.time()
        at = a_number(document.get("finished_at"), most=now + _DAY)
        if an_object(document.get("error")).get("kind") == _LOST and at > now - _DAY:
            self._lost[number] = at
        is_final = is_solved or document.get("final") is True
        if not is_final and not cost:
            return
        if number >= len(self._rows):
            self._rows.extend([0] * (number + 1 - len(self._rows)))
        before = self._rows[number]
        if not is_final:
            self._rows[number] |= _COUNTED
            return
        self.failed += (not is_solved) - bool(before & _FAILED)
        self.solved += is_solved - (before & (_FINISHED | _FAILED) == _FINISHED)
        state = _bits(document.get("key"))
        if is_solved or cost or before & _COUNTED:
            state |= _PAID
        if not is_solved:
            state |= _FAILED
        if is_solved or not self._retry_failed:
            state |= _FINISHED
        self._rows[number] = state


def _check_beginning(path: Path) -> None:
    """Check that a file is empty, or that its first line is one of a batch, be it cut off."""
    with path.open("rb") as file:
        line = file.readline(LONGEST)
    if line.endswith(b"\n"):
        document = document_in(line)
        if document is None or "status" not in document:
            raise ValueError("its first line is not one of a batch")
    else:
        _check_cut_off(line)


def _check_cut_off(line: bytes) -> None:
    if line[: len(_BEGINNING)] != _BEGINNING[: len(line)]:
        raise ValueError("its last line is not one of a batch")


def write_whole(file: BinaryIO, line: bytes) -> None:
    """Write a line, whole or not at all; on a disk that is nearly full a write may be short."""
    rest = memoryview(line)
    while rest:
        written = file.write(rest)
        rest = rest[written:]
        if rest and _is_regular(file):
            file.truncate(os.fstat(file.fileno()).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _is_regular(file: BinaryIO) -> bool:
    return stat.S_ISREG(os.fstat(file.fileno()).st_mode)


def _bits(key: object) -> int:
    try:
        return int(str(key), 16) & _KEY
    except ValueError:
        return 0

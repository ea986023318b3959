"""Files that are named as journals: is one a journal, what stands in it, and opening it.

A pool that opens a journal rewrites it, so a file that was named by mistake would be emptied.
Therefore it is looked at first, and nothing of what is refused is touched: neither its content
nor its mode, and no lock file is made beside it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from difflib import SequenceMatcher
from itertools import islice
from pathlib import Path
from typing import Final

from ezcaptcha_async._journal.file import JournalFile, lines_of, reason_of
from ezcaptcha_async._journal.journal import Journal
from ezcaptcha_async._journal.records import MAX_LINE, Contents, Reading, replay
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.private_files import check_way

_MOST_NAMES: Final = 1_000
"""Most files of a folder among which the journal that was meant is looked for."""


def contents_of(journal: Journal) -> Contents:
    """Read what stands in a journal.

    Raises:
        ConfigurationError: It is not there, cannot be read, or is none.
    """
    path = os.path.realpath(journal.path)
    problem = None
    try:
        _check_regular(path)
        reading = replay(lines_of(path, MAX_LINE))
    except OSError as error:
        problem = reason_of(error)
    else:
        problem = _problem_of(reading, path)
        if problem is None:
            return reading.contents
    raise ConfigurationError(f"cannot read the journal {path}: {problem}")


def open_journal(journal: Journal) -> JournalFile:
    """Open a journal for the one pool that may use it, unless it is none.

    Raises:
        ConfigurationError: It is no journal, in use, or cannot be used. The message names
            the path, the reason and the remedy.
    """
    path = os.path.realpath(journal.path)
    problem = None
    try:
        check_way(str(journal.path))
        _check_regular(path)
        problem = _problem_of(_beginning(lines_of(path, MAX_LINE)), path)
    except FileNotFoundError:
        pass  # it will be made
    except OSError as error:
        problem = reason_of(error)
    if problem is not None:
        raise ConfigurationError(f"cannot use the journal {path}: {problem}")
    return JournalFile(path, power_loss_safe=journal.power_loss_safe)


def _check_regular(path: str) -> None:
    """Check that it is a file; a pipe would be waited for, and what it says be gone."""
    mode = Path(path).stat().st_mode
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file")


def _beginning(lines: Iterable[bytes]) -> Reading:
    """Read as far as it takes to know a journal: to the first record."""
    reading = Reading()
    for line in lines:
        reading.take(line)
        if reading.records:
            break
    return reading


def _problem_of(reading: Reading, path: str) -> str | None:
    if reading.problem is None or not reading.is_foreign:
        return reading.problem
    meant = _meant(Path(path))
    remedy = "name the one that a pool has written, or a new file" if meant is None else meant
    return f"{reading.problem}; {remedy}"


def _meant(path: Path) -> str | None:
    """Name the journal that is beside another file, by its name or by its lock."""
    beside = f"{path.name}.journal"
    try:
        names = {entry.name for entry in islice(os.scandir(path.parent), _MOST_NAMES)}
    except OSError:
        return None
    likely = [
        name
        for name in names
        if name != path.name
        and (name.endswith(".journal") or f"{name}.lock" in names)
        and _is_journal(path.with_name(name))
    ]
    if not likely:
        return None
    best = max(
        likely, key=lambda name: (name == beside, SequenceMatcher(None, path.name, name).ratio())
    )
    return f"did you mean {path.with_name(best)}?"


def _is_journal(path: Path) -> bool:
    try:
        _check_regular(str(path))
        return _beginning(lines_of(str(path), MAX_LINE)).problem is None
    except OSError:
        return False

"""Writing to pipes and terminals whose reader may stall, and which nothing here waits for.

A write that waits for its reader would hold the event loop: no paid task would be polled, and no
signal heeded. A thread for it could not be ended. So what is written is what fits at the moment.
"""

from __future__ import annotations

import os
import select
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from pathlib import Path

NAMES: Final = {1: "stdout", 2: "stderr"}

_TICK: Final = 0.05
"""Seconds after which a stream that was full is looked at again."""
_AT_ONCE: Final = getattr(select, "PIPE_BUF", 512)
"""Bytes that are written whole or not at all, and for which there is room where there is any."""


class Numbered(Protocol):
    """A stream of the operating system, or one that says that it is none."""

    def fileno(self) -> int:
        """Return its number."""
        ...


def stalling(stream: Numbered) -> int | None:
    """Return the number of a stream whose reader may stall; None of a file or a mere object."""
    try:
        number = stream.fileno()
        is_file = stat.S_ISREG(os.fstat(number).st_mode)
    except (OSError, ValueError):
        return None  # whatever is wrong with it, writing says
    # Windows can neither look at a pipe nor at a console beforehand.
    return None if is_file or os.name == "nt" else number


def leads_to(number: int, path: Path) -> bool:
    """Tell whether a stream of this number is written into a regular file; also through links."""
    # OSError: the stream is closed. ValueError: a name that no file can have.
    with suppress(OSError, ValueError):
        return path.is_file() and os.path.samestat(os.fstat(number), path.stat())
    return False


def is_full(stream: Numbered) -> bool:
    """Tell whether writing to a stream would wait for its reader."""
    number = stalling(stream)
    return number is not None and not _has_room(number)


def put(number: int, data: bytes) -> int:
    """Write what fits at the moment; return how many bytes that was."""
    done = 0
    # There may be less room than for all of it, or another was quicker.
    with _unwaiting(number) as own, suppress(BlockingIOError):
        while done < len(data) and _has_room(own):
            done += os.write(own, data[done : done + _AT_ONCE])
    return done


async def pour(number: int, data: bytes) -> None:
    """Write all of it while all else goes on; when cancelled, it may be written in part."""
    import anyio  # noqa: PLC0415 - most commands run no event loop

    while data:
        data = data[put(number, data) :]
        if data:
            await anyio.sleep(_TICK)


def press(number: int, data: bytes, *, patience: float) -> None:
    """Write all of it, unless nothing of it is taken for so many seconds."""
    until = time.monotonic() + patience
    while data:
        if done := put(number, data):
            data, until = data[done:], time.monotonic() + patience
        elif time.monotonic() < until:
            time.sleep(_TICK)
        else:
            return


@contextmanager
def _unwaiting(number: int) -> Generator[int]:
    """Open a stream once more, so that writing never waits; or give the same, where that fails.

    Its own flag would be that of all who have it, such as the shell that started us. A socket
    and another user's terminal cannot be opened, but they say whether there is room.
    """
    try:
        own = os.open(f"/dev/fd/{number}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        yield number
        return
    try:
        yield own
    finally:
        os.close(own)


def _has_room(number: int) -> bool:
    """Tell whether there is room, or nobody to read, which writing says."""
    looking = select.poll()
    looking.register(number, select.POLLOUT)
    return bool(looking.poll(0))

"""Where a policy keeps what it learned while no pool is open: one small JSON file.

It is a convenience, so nothing that goes wrong with it fails a pool: a warning says what
to do. A file that was named by mistake is left as it is, and so is what is no file. Reading
and writing take a few milliseconds at the pool's begin and end, when nobody waits yet or any
more.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
import warnings
from pathlib import Path
from typing import Final

from ezcaptcha_async._log import log
from ezcaptcha_async._timing.learned import LearnedPolling
from ezcaptcha_async._timing.policy import PollTiming
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.private_files import check_way

_MOST_BYTES: Final = 4_000_000
_BEGINNING: Final = b'{"version":1,"services"'
"""How a file of ours begins, but for blanks; ``{"version"`` alone is also how tickets do."""
_MOST_BEGINNING: Final = 64  # bytes, with the blanks of whoever writes it anew by hand
_LEFT: Final = "it is left as it is; set state_path to a new file"


def load_timing(timing: PollTiming) -> None:
    """Let a policy that has learned nothing yet start from its file, where it has one."""
    if not isinstance(timing, LearnedPolling) or timing.state_path is None or timing.kinds():
        return
    path = timing.state_path
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            _warn(f"the poll timing in {path} is ignored: it is no regular file; {_LEFT}")
            return
        with Path(path).open("rb") as file:
            # What is cut off is no JSON any more.
            text = file.read(_MOST_BYTES)
        timing.restore(json.loads(text))
    except FileNotFoundError:
        pass  # the first run
    except OSError as error:
        _warn(f"the poll timing in {path} cannot be read ({error.strerror}); starting afresh")
    except ConfigurationError as error:
        _warn(f"the poll timing in {path} is ignored: {error.message}; {_fate(path)}")
    except (ValueError, RecursionError):
        _warn(f"the poll timing in {path} is ignored: it is not JSON; {_fate(path)}")


def save_timing(timing: PollTiming) -> None:
    """Replace a policy's file by what it knows now; only its owner may read it."""
    if not isinstance(timing, LearnedPolling) or timing.state_path is None or not timing.kinds():
        return
    path = timing.state_path
    try:
        check_way(path)
        target = os.path.realpath(path)  # a link stays one
        if not _is_ours(target):
            _warn(
                f"the poll timing was not saved: {path} is another file; "
                "set state_path to a new one"
            )
            return
        _replace(target, json.dumps(timing.to_dict(), separators=(",", ":")))
    except OSError as error:
        _warn(
            f"the poll timing could not be saved to {path} ({error.strerror}); "
            f"set state_path to a file in a directory that can be written to"
        )


def _is_ours(path: str) -> bool:
    """Tell whether a file may be replaced: it is of poll timing, be it cut off, or empty.

    Raises:
        OSError: It cannot be read, so that nobody knows what would be lost.
    """
    try:
        # Not opened: a FIFO would keep us waiting, and a device may do anything.
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return False
        with Path(path).open("rb") as file:
            beginning = file.read(_MOST_BEGINNING)
    except FileNotFoundError:
        return True
    text = b"".join(beginning.split())
    is_cut = _BEGINNING.startswith(text) and len(beginning) < _MOST_BEGINNING
    return text.startswith(_BEGINNING) or (is_cut and (bool(text) or not beginning))


def _fate(path: str) -> str:
    with contextlib.suppress(OSError):
        if _is_ours(path):
            return "it will be replaced"
    return _LEFT


def _replace(path: str, text: str) -> None:
    """Write a file as a whole or not at all: a crash leaves the old one."""
    # Only its owner may read what mkstemp makes.
    descriptor, name = tempfile.mkstemp(dir=Path(path).parent, prefix=".ezcaptcha-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _warn(message: str) -> None:
    try:
        warnings.warn(message, RuntimeWarning, stacklevel=4)
    except RuntimeWarning:  # where warnings are errors; a pool that closes is to end all the same
        log.warning("%s", message)

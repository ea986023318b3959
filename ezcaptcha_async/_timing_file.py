"""Where a policy keeps what it learned while no pool is open: one small JSON file.

It is a convenience, so nothing that goes wrong with it fails a pool: a warning says what
to do. Reading and writing take a few milliseconds at the pool's begin and end, when nobody
waits yet or any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Final

from ezcaptcha_async._learned import LearnedPolling
from ezcaptcha_async._timing import PollTiming
from ezcaptcha_async.errors import ConfigurationError

_MOST_BYTES: Final = 4_000_000


def load_timing(timing: PollTiming) -> None:
    """Let a policy that has learned nothing yet start from its file, where it has one."""
    if not isinstance(timing, LearnedPolling) or timing.state_path is None or timing.kinds():
        return
    path = timing.state_path
    try:
        with Path(path).open("rb") as file:
            # What is cut off is no JSON any more.
            text = file.read(_MOST_BYTES)
        timing.restore(json.loads(text))
    except FileNotFoundError:
        pass  # the first run
    except OSError as error:
        _warn(f"the poll timing in {path} cannot be read ({error.strerror}); starting afresh")
    except ConfigurationError as error:
        _warn(f"the poll timing in {path} is ignored: {error.message}; it will be replaced")
    except (ValueError, RecursionError):
        _warn(f"the poll timing in {path} is ignored: it is not JSON; it will be replaced")


def save_timing(timing: PollTiming) -> None:
    """Replace a policy's file by what it knows now; only its owner may read it."""
    if not isinstance(timing, LearnedPolling) or timing.state_path is None or not timing.kinds():
        return
    path = timing.state_path
    try:
        _replace(path, json.dumps(timing.to_dict(), separators=(",", ":")))
    except OSError as error:
        _warn(
            f"the poll timing could not be saved to {path} ({error.strerror}); "
            f"set state_path to a file in a directory that can be written to"
        )


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
    warnings.warn(message, RuntimeWarning, stacklevel=4)

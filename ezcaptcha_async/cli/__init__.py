"""The command line; it comes with the extra ``cli``.

Nothing here imports what comes with it at the top, so that a plain installation can say
what is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

_FROM_THE_EXTRA: Final = frozenset({"cyclopts", "filelock", "rich"})
_USAGE: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        arguments: What follows the program's name; taken from ``sys.argv`` when left out.
    """
    try:
        from ezcaptcha_async.cli.app import run  # noqa: PLC0415 - only here is the extra needed
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _FROM_THE_EXTRA:
            raise
        sys.stderr.write(
            "ezcaptcha: the command line is an extra: pip install 'ezcaptcha-async[cli]'\n"
        )
        return _USAGE
    return run(sys.argv[1:] if arguments is None else list(arguments))

"""What options may be. The commands are declared with it, so it imports nothing that takes time."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, TypeAlias

Backend: TypeAlias = Literal["asyncio", "trio"]
"""The event loop."""

Format: TypeAlias = Literal["jsonl", "csv"]
"""Of rows."""

STDIN: Final = Path("-")
STDOUT: Final = Path("-")
STDOUT_NAMES: Final = frozenset({"-", "/dev/stdout", "/dev/fd/1"})

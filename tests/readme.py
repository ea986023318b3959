"""The README and its Python blocks, for the tests that run them as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

README: Final = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS: Final[list[str]] = re.findall(
    r"^```python\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL
)


def block_with(marker: str) -> str:
    """Return the one Python block of the README that has `marker` in it."""
    (block,) = (block for block in BLOCKS if marker in block)
    return block

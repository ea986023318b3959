"""The checks that need no running: style and types of the whole tree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "--no-cache", "."],
        ["ruff", "format", "--no-cache", "--check", "."],
        ["mypy", "--cache-dir", "{tmp}", "ezcaptcha_async"],
        ["pyright", "ezcaptcha_async"],
    ],
    ids=["style", "format", "mypy", "pyright"],
)
def test_the_tree_is_clean(command: list[str], tmp_path: Path) -> None:
    """A user's type checker would complain of our code, or a reader stumble over it."""
    module, *arguments = (word.replace("{tmp}", str(tmp_path)) for word in command)
    if module == "pyright":
        arguments += ["--pythonpath", sys.executable]
    done = subprocess.run(  # noqa: S603  # our own tools on our own tree
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

"""The checks of style that need no running, on the whole tree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=["style", "format"])
def test_the_tree_is_clean(command: list[str]) -> None:
    """A reader would stumble over it."""
    done = subprocess.run(  # noqa: S603 - our own tool on our own tree
        [sys.executable, "-m", "ruff", *command, "--no-cache", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

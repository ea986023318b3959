"""A service in a process of its own, so that what is measured here is the client alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def served_by(*program: str) -> Iterator[str]:
    """Run a Python program that serves, and yield the URL that it prints."""
    command = [sys.executable, *program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()

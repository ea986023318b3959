"""Virtual environments, one for each library: some pin versions that others cannot live with."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from .libraries import REPOSITORY

_STAMP = "installed.txt"


def python_with(folder: Path, requirements: Sequence[str]) -> Path:
    """Return the interpreter of an environment that has these; make one where there is none.

    Args:
        folder: Where environments are.
        requirements: What pip installs. This checkout is installed anew every time.

    Raises:
        RuntimeError: pip failed; the message ends with what it said.
    """
    wanted = "\n".join((sys.version, *requirements))
    home = folder / hashlib.blake2b(wanted.encode(), digest_size=6).hexdigest()
    python, stamp = home / "bin" / "python", home / _STAMP
    local = [item for item in requirements if item.startswith(str(REPOSITORY))]
    if not stamp.exists():
        venv.create(home, with_pip=True, clear=True)
        _install(python, *requirements)
        stamp.write_text(wanted, "utf-8")
    elif local:
        # First whatever its new version needs, then the checkout itself, as it is now.
        _install(python, *local)
        _install(python, "--force-reinstall", "--no-deps", *local)
    return python


def _install(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"pip cannot install {arguments}:\n{done.stderr[-2000:]}")

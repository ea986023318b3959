"""Virtual environments, one for each library: some pin versions that others cannot live with."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .libraries import REPOSITORY, Library

_STAMP = "installed.txt"


def tell(text: str) -> None:
    """Say on standard error how far it is."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def environments(*, keep: bool) -> Generator[Path]:
    """Give the folder of the environments; outside the repository, and for once or to keep."""
    if keep:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        yield cache / "ezcaptcha-async" / "peers"
    else:
        with tempfile.TemporaryDirectory(prefix="peers-") as folder:
            yield Path(folder)


def installed(
    folder: Path, wanted: Sequence[Library]
) -> tuple[list[tuple[Library, Path]], dict[str, str]]:
    """Return each library with the interpreter that has it, and why others are left out."""
    chosen, left_out = [], {}
    for library in wanted:
        if sys.version_info < library.lowest_python:
            left_out[library.name] = "needs Python {}.{}".format(*library.lowest_python)
            continue
        try:
            chosen.append((library, python_with(folder, [library.requirement])))
        except RuntimeError as error:
            left_out[library.name] = str(error)
    return chosen, left_out


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

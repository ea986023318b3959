"""Files that hold what is worth money: nobody else may write them, or lead us to another one.

For the journal, for the results of a batch, and for whoever keeps tokens in files of their own.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path
from typing import Final

__all__ = ["check_owner", "check_way", "open_private"]

_OWNER_ONLY: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS: Final = 40
_BINARY: Final = getattr(os, "O_BINARY", 0)


def open_private(path: str, flags: int) -> int:
    """Open a file, which is made for its owner alone where it is not there; an ``opener``.

    Example:
        >>> with open("tokens.txt", "ab", opener=open_private) as file:
        ...     warning = check_owner(file.fileno(), "tokens.txt")
    """
    return os.open(path, flags | _BINARY, _OWNER_ONLY)


def check_way(path: str) -> None:
    """Check that nobody else can have laid a link on the way to a file.

    Raises:
        OSError: A part of the path is a link in a folder that everybody can write, or the links
            go in circles.

    Example:
        >>> check_way("results.jsonl")
    """
    _check_way(Path(path).absolute(), _MOST_LINKS)


def _check_way(path: Path, most: int) -> None:
    if most == 0:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    for place in (*reversed(path.parents), path):
        if not place.is_symlink():
            continue
        if sys.platform != "win32" and place.parent.stat().st_mode & stat.S_IWOTH:
            raise OSError(
                errno.ELOOP,
                f"{place} is a link in a folder that everybody can write: name what it leads to",
            )
        _check_way(place.parent / place.readlink(), most - 1)


def check_owner(descriptor: int, path: str) -> str | None:
    """Check that nobody but its owner can write a file, and let nobody else read it.

    Args:
        descriptor: The file, open.
        path: Where it is.

    Returns:
        What to warn of: it belongs to another user, or the file system keeps no such rights,
        as on a volume that is mounted.

    Raises:
        OSError: The group or others may write it; or another user has put it into a folder
            that everybody can write.

    Example:
        >>> with open("tokens.txt", "ab", opener=open_private) as file:
        ...     print(check_owner(file.fileno(), "tokens.txt"))
        None
    """
    if sys.platform == "win32":  # there the rights of the folder count
        return None
    status = os.fstat(descriptor)
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid != os.geteuid():
        if Path(path).absolute().parent.stat().st_mode & stat.S_IWOTH:
            raise PermissionError(
                errno.EPERM, "another user has put it into a folder that everybody can write"
            )
        return "it belongs to another user, who may read and change it"
    if not mode & _OTHERS:
        return None
    if not _made_private(descriptor):
        return "its file system keeps no rights, so others may read and change it"
    if mode & _OTHERS_WRITE:
        os.fchmod(descriptor, mode)  # what is refused stays as it is
        raise PermissionError(
            errno.EPERM, "others may write it: look at what it holds, then chmod 600"
        )
    return None


def _made_private(descriptor: int) -> bool:
    try:
        os.fchmod(descriptor, _OWNER_ONLY)
    except PermissionError:
        return False
    return not os.fstat(descriptor).st_mode & _OTHERS

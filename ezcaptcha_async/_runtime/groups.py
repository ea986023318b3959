"""Exceptions out of a task group of ours."""

from __future__ import annotations

from typing import cast


def unwrapped(error: BaseException) -> BaseException:
    """Return the only exception of a group, else `error` itself.

    Exactly one level is taken off, that of our own task group; a group that a user's code
    raised stays a group.
    """
    if isinstance(error, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", error)
        return group.exceptions[0] if len(group.exceptions) == 1 else group
    return error

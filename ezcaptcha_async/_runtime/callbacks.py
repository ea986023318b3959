"""Calls what the user gave to be called."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ezcaptcha_async._log import log

T = TypeVar("T")


def call_back(name: str, function: Callable[[T], object], value: T) -> None:
    """Call a function of the user's, and log what it raises: no paid task may suffer from it.

    Args:
        name: What the user knows it by.
        function: The function.
        value: What to tell it.
    """
    ask(name, partial(function, value), None)


def ask(name: str, function: Callable[[], T], default: T) -> T:
    """Ask a function of the user's; where it raises, that is logged and the default holds.

    Args:
        name: What the user knows it by.
        function: The function.
        default: What to take instead of an answer.
    """
    try:
        return function()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - such as the CancelledError of a future
        problem = "".join(traceback.format_exception(error))
    # As text, and where no exception is handled: what shows locals would show the pool's.
    log.error("%s failed\n%s", name, problem)
    return default


def is_stray(error: BaseException) -> bool:
    """Return whether an exception is a cancellation, and nobody has cancelled the caller.

    What a user's code awaits may have been cancelled by others: a session that is closed, a
    future of theirs. Let through, it would end the task group of the whole pool.
    """
    if not isinstance(error, asyncio.CancelledError):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:  # trio, which has a class of its own
        return True
    return task is None or not task.cancelling()

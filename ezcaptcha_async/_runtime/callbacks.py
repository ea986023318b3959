"""Calls what the user gave to be called."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")

_logger: Final = logging.getLogger("ezcaptcha_async")


def call_back(name: str, function: Callable[[T], object], value: T) -> None:
    """Call a function of the user's, and log what it raises: no paid task may suffer from it.

    Args:
        name: What the user knows it by.
        function: The function.
        value: What to tell it.
    """
    try:
        function(value)
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        problem = "".join(traceback.format_exception(error))
    else:
        return
    # As text, and where no exception is handled: what shows locals would show the pool's.
    _logger.error("%s failed\n%s", name, problem)

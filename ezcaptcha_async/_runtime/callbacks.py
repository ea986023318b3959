"""Calls what the user gave to be called."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from inspect import (
    isasyncgen,
    isawaitable,
    iscoroutine,
    isgenerator,
)
from typing import Any, Final, Generic, TypeVar

from ezcaptcha_async._log import log

T = TypeVar("T")

_PLAIN: Final = frozenset({type(None), bool, int, float, tuple})


class WrongAnswerError(Exception):
    """A function of the user's returned what is no answer."""


class Callback(Generic[T]):
    """A function of the user's, from which no paid task may suffer.

    What it raises is logged. So is, once, a wrong answer, and an answer that would have to be
    awaited: that is nobody's to do, for what a pool tells or asks must not wait.

    Args:
        name: What the user knows it by.
        function: The function.
        read: Takes its answer, and raises `WrongAnswerError` where it is none.
        default: What holds instead of an answer.
    """

    def __init__(
        self, name: str, function: Callable[..., Any], read: Callable[[Any], T], default: T
    ) -> None:
        self._name = name
        self._function = function
        self._read = read
        self._default = default
        self._is_known = False

    def __repr__(self) -> str:
        return f"<Callback {self._name}>"

    def __call__(self, *arguments: Any, **options: Any) -> T:
        """Call it; where it fails, the default holds."""
        try:
            answer = self._function(*arguments, **options)
            if type(answer) not in _PLAIN:
                _refuse_deferred(answer)
            return self._read(answer)
        except (KeyboardInterrupt, SystemExit):
            raise
        except WrongAnswerError as error:
            problem = f": {error} (this is said once)"
            is_known, self._is_known = self._is_known, True
        except BaseException as error:  # noqa: BLE001 - such as the CancelledError of a future
            problem = "\n" + "".join(traceback.format_exception(error))
            is_known = False
        # As text, and where no exception is handled: what shows locals would show the pool's.
        if not is_known:
            log.error("%s failed%s", self._name, problem)
        return self._default


def _refuse_deferred(answer: object) -> None:
    """Refuse, and close, what would run only if somebody awaited it or asked it for more.

    What runs by itself, such as a task that was started, is left alone.

    Raises:
        WrongAnswerError: It is such a thing.
    """
    if isgenerator(answer) or iscoroutine(answer):
        answer.close()  # else Python warns that it was never awaited
    elif not (isasyncgen(answer) or (isawaitable(answer) and not _is_future(answer))):
        return
    raise WrongAnswerError(
        f"it must be a plain function, and returned a {type(answer).__name__}, which nobody "
        "awaits: let it put what it is told into a queue, or start a task of its own"
    )


def _is_future(answer: object) -> bool:
    asyncio = sys.modules.get("asyncio")  # on trio it may be missing, and it takes 15 ms
    return asyncio is not None and bool(asyncio.isfuture(answer))


def is_stray(error: BaseException) -> bool:
    """Return whether an exception is a cancellation, and nobody has cancelled the caller.

    What a user's code awaits may have been cancelled by others: a session that is closed, a
    future of theirs. Let through, it would end the task group of the whole pool.
    """
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or not isinstance(error, asyncio.CancelledError):
        return False
    try:
        task = asyncio.current_task()
    except RuntimeError:  # trio, which has a class of its own
        return True
    return task is None or not task.cancelling()

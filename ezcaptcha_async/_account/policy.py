"""When to poll, as asked of a policy that may be the user's: no paid task may suffer from it."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from random import Random
from typing import Any, TypeVar

from ezcaptcha_async._books import Entry
from ezcaptcha_async._runtime import Callback, WrongAnswerError
from ezcaptcha_async._timing import PollTiming, Scouting

T = TypeVar("T")


class Policy:
    """A `PollTiming`, or where that fails, polls at the service's spacing.

    Args:
        timing: The policy.
        rng: The source of jitter.
    """

    def __init__(self, timing: PollTiming, rng: Random) -> None:
        def asked(name: str, read: Callable[[Any], T], default: T) -> Callback[T]:
            return Callback(f"polling.{name}", getattr(timing, name), read, default)

        self._rng = rng
        self._first_poll = asked("first_poll", _seconds, None)
        self._next_poll = asked("next_poll", _seconds, None)
        self._scouts = None
        if isinstance(timing, Scouting):
            self._scouts = asked("scouts", bool, default=False)
        self.remaining = asked("remaining", _seconds_if_known, None)
        self.learn = asked("learn", bool, default=False)
        self.paced = asked("paced", bool, default=False)
        self.kinds = asked("kinds", tuple, ())

    def __repr__(self) -> str:
        return f"<Policy, {'with' if self._scouts else 'without'} scouts>"

    def first_poll(self, entry: Entry) -> float:
        """Return the age, in seconds, at which to poll a task for the first time."""
        spacing = entry.line.spacing
        if self._scouts is not None and self._scouts(entry.kind, entry.place):
            return spacing
        age = self._first_poll(entry.kind, spacing, self._rng)
        return spacing if age is None else age

    def next_poll(self, entry: Entry, age: float, polls: int) -> float:
        """Return the seconds to wait after a poll at an age that said ``processing``."""
        spacing = entry.line.spacing
        if self._scouts is not None and self._scouts(entry.kind, entry.place):
            return spacing
        wait = self._next_poll(entry.kind, spacing, age, polls, self._rng)
        return spacing if wait is None else wait


def _seconds(answer: Any) -> float | None:
    """Return the seconds of a policy's answer; infinitely many are as late as is of use.

    Raises:
        WrongAnswerError: It is no number.
    """
    if type(answer) is float and answer >= 0:
        return answer
    if not isinstance(answer, int | float) or isinstance(answer, bool) or isnan(answer):
        raise WrongAnswerError(f"it must return seconds, not {answer!r}")
    return max(0.0, float(answer))


def _seconds_if_known(answer: Any) -> float | None:
    return None if answer is None else _seconds(answer)

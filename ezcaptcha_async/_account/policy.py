"""When to poll, as asked of a policy that may be the user's: no paid task may suffer from it."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from random import Random
from typing import Any, TypeVar

from ezcaptcha_async._runtime import Callback, WrongAnswerError
from ezcaptcha_async._timing import KindStatistics, PollTiming, Scouting
from ezcaptcha_async.tasks import Kind

T = TypeVar("T")


class Policy:
    """A `PollTiming`, or where that fails, polls at the service's spacing.

    Args:
        timing: The policy.
    """

    def __init__(self, timing: PollTiming) -> None:
        def asked(name: str, read: Callable[[Any], T], default: T) -> Callback[T]:
            return Callback(f"polling.{name}", getattr(timing, name), read, default)

        self._first_poll = asked("first_poll", _seconds, None)
        self._next_poll = asked("next_poll", _seconds, None)
        self._remaining = asked("remaining", _seconds_if_known, None)
        self.learn = asked("learn", bool, default=False)
        self.paced = asked("paced", bool, default=False)
        self._kinds = asked("kinds", tuple, ())
        self._scouts = None
        if isinstance(timing, Scouting):
            self._scouts = asked("scouts", bool, default=False)

    def __repr__(self) -> str:
        return f"<Policy, {'with' if self._scouts else 'without'} scouts>"

    def first_poll(self, kind: Kind, spacing: float, rng: Random) -> float:
        """Return the age, in seconds, at which to poll a task for the first time."""
        answer = self._first_poll(kind, spacing, rng)
        return spacing if answer is None else answer

    def next_poll(self, kind: Kind, spacing: float, age: float, polls: int, rng: Random) -> float:
        """Return the seconds to wait after a poll at an age that said ``processing``."""
        answer = self._next_poll(kind, spacing, age, polls, rng)
        return spacing if answer is None else answer

    def remaining(self, kind: Kind, age: float) -> float | None:
        """Return the seconds until a task is ready, as expected; None when nobody knows."""
        return self._remaining(kind, age)

    def scouts(self, kind: Kind, place: int) -> bool:
        """Return whether a task is polled as soon as the spacing allows."""
        return self._scouts is not None and self._scouts(kind, place)

    def kinds(self) -> tuple[KindStatistics, ...]:
        """Return what is known of each kind."""
        return self._kinds()


def _seconds(answer: Any) -> float | None:
    """Return the seconds of a policy's answer; infinitely many are as late as is of use.

    Raises:
        WrongAnswerError: It is no number.
    """
    if not isinstance(answer, int | float) or isinstance(answer, bool) or isnan(answer):
        raise WrongAnswerError(f"it must return seconds, not {answer!r}")
    return max(0.0, float(answer))


def _seconds_if_known(answer: Any) -> float | None:
    return None if answer is None else _seconds(answer)

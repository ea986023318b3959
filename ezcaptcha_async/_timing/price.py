"""What one poll is worth while requests are scarce. Pure: the time comes in.

Where more polls are due than may be sent, they go out late, and each one that does no good
delays others that would. Polls that are late on average are a sign of it, whatever the
limit is and whoever set it; they raise the price slowly, and it falls back when they are
on time. Taking the likeliest polls first instead would starve the slow kinds.
"""

from __future__ import annotations

from math import exp, floor, inf, log
from typing import Final

_LATE: Final = 1.0
_TICK: Final = 1.0
_RISE: Final = log(1.0175)
_FALL: Final = log(1.0087)
_MOST_FALLS: Final = 1_000.0
_HIGHEST: Final = log(20.0)
_STEPS: Final = 10


class PollPrice:
    """The price of one poll, in seconds of delay.

    Args:
        base: The price while polls go out on time.

    Attributes:
        now: The price, in steps of a tenth, so that plans can be kept for each.
    """

    __slots__ = ("_base", "_late", "_paced", "_rise", "_since", "now")

    def __init__(self, base: float) -> None:
        self.now = self._base = base
        self._rise = 0.0
        self._since = -inf
        self._late = 0.0
        self._paced = 0

    def paced(self, late: float, now: float) -> None:
        """Take notice of how many seconds late a poll went out, on any clock that runs steadily."""
        passed = now - self._since
        if passed >= _TICK:
            # A second without polls is one in which none was late.
            falls = min(passed / _TICK, _MOST_FALLS)
            if self._late > _LATE * self._paced:
                self._rise += _RISE
                falls -= 1
            self._rise = min(_HIGHEST, max(0.0, self._rise - _FALL * max(0.0, falls)))
            self.now = self._base * exp(floor(self._rise * _STEPS) / _STEPS)
            self._since, self._late, self._paced = now, 0.0, 0
        if late > 0:
            self._late += late
        self._paced += 1

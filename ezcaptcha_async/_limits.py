"""Limits on what is sent: small, pure, and each with one job. Time comes in as an argument.

`Pause` holds back for a while, `Pacer` keeps to a rate that the user sets, `AdaptiveRate`
to one that a service's throttling teaches, `RetryQuota` tells an outage from bad luck, and
`RecentErrors` counts what a service counts before it bans.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0

_SLACK_SECONDS: Final = 0.05
"""How far a pacer lets requests run ahead, so that a late event loop does not lose its turns."""

_LEAST_RATE: Final = 0.5
_LEAST_SHARE: Final = 1 / 20
"""Share of what was sent when throttling began that is sent at least: less would let paid
tasks lapse, and a service that throttles even that does not do so because of the rate."""
_ONE_EVENT: Final = 1.0
"""Seconds for which further throttling tells of the load before the rate was halved."""
_GROWTH: Final = 0.1
"""Share of the halved rate that comes back each second, so that ten seconds restore it."""
_LIFTED_AT: Final = 4.0
"""At so many times the halved rate, twice of what was throttled, the limit is forgotten."""

_QUOTA: Final = 100


class Pause:
    """A pause that doubles from one refusal to the next and forgets on success.

    Args:
        longest: Most seconds that it takes, unless the service asks for more.
    """

    def __init__(self, longest: float = _LONGEST_PAUSE) -> None:
        self.until = -inf
        self._longest = longest
        self._next = _FIRST_PAUSE

    def extend(self, now: float, asked: float | None, stretch: float) -> None:
        """Pause for the seconds that the service asked for, else for our own count.

        Answers to requests that left before the pause began belong to one event, so they
        do not double it again.
        """
        if asked:  # 0 is no statement
            self.until = max(self.until, now + asked * stretch)
        elif now >= self.until:
            self.until = now + self._next * stretch
            self._next = min(2 * self._next, self._longest)

    def forget(self) -> None:
        """Begin with a short pause the next time."""
        self._next = _FIRST_PAUSE


class Pacer:
    """Evenly spaced: the generic cell rate algorithm (GCRA).

    In any `t` seconds at most ``per_second * (t + 0.05) + 1`` pass.

    Args:
        per_second: How many may pass in one second; infinity for no limit.
    """

    def __init__(self, per_second: float) -> None:
        self._gap = 1.0 / per_second
        self._due = -inf

    def next_at(self, now: float) -> float:
        """Return when the next one may pass."""
        return max(now, self._due - _SLACK_SECONDS)

    def take(self, now: float) -> None:
        """Note that one passes."""
        self._due = max(now, self._due) + self._gap


class AdaptiveRate:
    """A rate that throttling teaches: halved at once, growing back steadily (AIMD).

    Without throttling there is no limit. The first throttled request sets one, at half of
    what was sent in the last second; it grows by a tenth of that in each further second,
    and is forgotten at twice the rate that was throttled.
    """

    def __init__(self) -> None:
        self._halved = inf  # per second, when it was throttled last
        self._least = _LEAST_RATE
        self._since = -inf
        self._due = -inf
        self._second = -inf  # begin of the second that is being counted
        self._count = 0
        self._count_before = 0

    def rate(self, now: float) -> float:
        """Return the present limit per second; infinity when there is none."""
        grown = self._halved * (1 + _GROWTH * (now - self._since))
        return grown if grown < _LIFTED_AT * self._halved else inf

    def next_at(self, now: float) -> float:
        """Return when the next request may go."""
        return now if self.rate(now) == inf else max(now, self._due - _SLACK_SECONDS)

    def take(self, now: float) -> None:
        """Note that a request goes out."""
        self._roll(now)
        self._count += 1
        self._due = max(now, self._due) + 1.0 / self.rate(now)

    def throttled(self, now: float) -> None:
        """Note that the service throttled a request."""
        if now < self._since + _ONE_EVENT:
            return
        self._roll(now)
        sent = max(self._count, self._count_before)
        if self.rate(now) == inf:
            self._least = max(_LEAST_RATE, _LEAST_SHARE * sent)
        self._halved = max(self._least, min(self.rate(now), sent) / 2)
        self._since = now
        self._due = now

    def _roll(self, now: float) -> None:
        if now >= self._second + 1.0:
            recent = now < self._second + 2.0
            self._count_before = self._count if recent else 0
            self._count = 0
            self._second = now


class RetryQuota:
    """Tells an outage from bad luck: each failure takes one away, each success gives one back.

    While requests succeed as often as they fail, the quota lasts. When everything fails it
    is used up after 100 requests, and trying on is only a burden to a service in trouble.
    """

    def __init__(self) -> None:
        self._left = _QUOTA

    @property
    def used_up(self) -> bool:
        """True when failures have outnumbered successes by the whole quota."""
        return self._left <= 0

    def failed(self) -> None:
        """Note a failure."""
        self._left = max(0, self._left - 1)

    def succeeded(self) -> None:
        """Note a success; the first one after an outage gives half of the quota back."""
        self._left = min(_QUOTA, self._left + 1 if self._left else _QUOTA // 2)


class RecentErrors:
    """Errors of the last `seconds`, and when there is room for one more.

    Args:
        most: How many there may be.
        seconds: Length of the window.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._times: deque[float] = deque(maxlen=most)

    def note(self, now: float) -> None:
        """Count an error."""
        self._times.append(now)

    def room_at(self, now: float, pending: int) -> float:
        """Return from when on one more request may fail.

        Args:
            now: The present time.
            pending: Requests in flight that may all fail.

        Returns:
            `now`; or when enough errors leave the window; infinity when even then requests
            in flight fill it.
        """
        # A mere look, also at a later time: what has left the window by then stays noted.
        gone = sum(time + self._seconds <= now for time in self._times)
        excess = len(self._times) - gone + pending + 1 - self._most
        if excess <= 0:
            return now
        if gone + excess > len(self._times):
            return inf
        return self._times[gone + excess - 1] + self._seconds

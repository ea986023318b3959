"""What keeps requests out: the ban after too many errors, the rate limit, the slots."""

from __future__ import annotations

import heapq
from collections import deque
from math import inf

from ezcaptcha_async.testing._checks import number, positive
from ezcaptcha_async.testing._record import SimulatedTask


class Ban:
    """So many offences within a time earn a ban, and each request during it begins it anew.

    Args:
        after: How many offences earn a ban; None for never.
        within: In how many seconds.
        seconds: How long a ban lasts after the last request.

    Raises:
        ConfigurationError: A value is out of range.
    """

    def __init__(self, *, after: int | None, within: float, seconds: float) -> None:
        self._after = None if after is None else int(number("ban_after", after, low=1))
        self._within = positive("ban_window", within)
        self._default_seconds = positive("ban_seconds", seconds)
        self._seconds = self._default_seconds
        self._until = -inf
        self._from_next_request = False
        self._offences: deque[float] = deque(maxlen=self._after)

    def impose(self, seconds: float | None, now: float | None) -> None:
        """Begin a ban at `now`, or with the next request when that is None."""
        chosen = self._default_seconds if seconds is None else seconds
        self._seconds = positive("seconds", chosen)
        self._from_next_request = now is None
        if now is not None:
            self._until = now + self._seconds

    def lift(self) -> None:
        """End the ban, and forget the offences."""
        self._until = -inf
        self._from_next_request = False
        self._offences.clear()

    def blocks(self, now: float) -> bool:
        """Return whether a request is turned away; if so, the ban begins anew."""
        if not self._from_next_request and now >= self._until:
            return False
        self._from_next_request = False
        self._until = now + self._seconds
        return True

    def count_offence(self, now: float) -> None:
        """Count one error of the kind that earns a ban."""
        if self._after is None:
            return
        self._offences.append(now)
        if len(self._offences) == self._after and now - self._offences[0] <= self._within:
            self._offences.clear()
            self.impose(None, now)


class RateLimit:
    """So many requests per second, with a burst of one second's worth (a GCRA).

    Args:
        rate: Requests per second above 0; None for no limit.

    Raises:
        ConfigurationError: `rate` is out of range.
    """

    def __init__(self, rate: float | None) -> None:
        self._spacing = 0.0 if rate is None else 1 / positive("max_requests_per_second", rate)
        # A whole request must fit even where the limit is below one per second; a little
        # more than that, so that rounding does not turn away the last one of a burst.
        self._depth = max(1.0, self._spacing) + 1e-9
        self._next = -inf

    def admits(self, now: float) -> bool:
        """Return whether a request is let through, and count it when it is."""
        following = max(self._next, now) + self._spacing
        if following > now + self._depth:
            return False
        self._next = following
        return True


class Slots:
    """How many tasks the service works on at once.

    Args:
        capacity: At least 0; None for no limit.

    Raises:
        ConfigurationError: `capacity` is out of range.
    """

    def __init__(self, capacity: int | None) -> None:
        self._capacity = None if capacity is None else number("capacity", capacity)
        self._taken = 0
        self._ends: list[tuple[float, int, SimulatedTask]] = []

    def has_room(self, now: float) -> bool:
        """Return whether one more task can be worked on."""
        if self._capacity is None:
            return True
        while self._ends and self._ends[0][0] <= now:
            end, _, task = heapq.heappop(self._ends)
            if end == task.busy_until:
                self._taken -= 1
        return self._taken < self._capacity

    def take(self, task: SimulatedTask) -> None:
        """Work on a task."""
        if self._capacity is not None:
            self._taken += 1
            self.moved(task)

    def moved(self, task: SimulatedTask) -> None:
        """Take note that a task is finished at another time; its old entry grows stale."""
        if self._capacity is not None:
            heapq.heappush(self._ends, (task.busy_until, task.number, task))

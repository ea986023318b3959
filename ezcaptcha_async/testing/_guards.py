"""What keeps requests out: the bans after too many errors, the rate limit, the slots."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from math import inf
from typing import Final

import attrs

from ezcaptcha_async.testing._checks import positive, whole
from ezcaptcha_async.testing._record import SimulatedTask

EVERYBODY: Final = None
"""Who is kept out when no single key is."""
DEFAULT_BAN: Final = 600.0
"""Seconds that a ban of everybody lasts, as the pages state it."""


@attrs.frozen
class BanRule:
    """What earns a ban at some endpoints.

    Args:
        codes: The error codes that count.
        seconds: How long the ban lasts.
    """

    codes: frozenset[str]
    seconds: float


@attrs.define
class _Ban:
    """Keeps out everybody, or one key; its end is still open before its first request."""

    seconds: float
    until: float | None

    def blocks(self, now: float, *, prolonged: bool) -> bool:
        if self.until is not None and now >= self.until:
            return False
        if self.until is None or prolonged:
            self.until = now + self.seconds
        return True


class Bans:
    """So many errors within a time earn a ban.

    Args:
        rules: Path → what earns a ban there. Paths with the same rule are counted together.
        per_key: Whether errors are counted, and requests kept out, for each key by itself.
        after: How many errors earn a ban; None for never.
        within: In how many seconds.
        seconds: How long every ban lasts; as the rules say when None.
        prolonged: Whether each request during a ban begins it anew.

    Raises:
        ConfigurationError: A value is out of range.
    """

    def __init__(
        self,
        rules: Mapping[str, BanRule],
        *,
        per_key: bool,
        after: int | None,
        within: float,
        seconds: float | None,
        prolonged: bool,
    ) -> None:
        self._rules = rules
        self._per_key = per_key
        self._after = None if after is None else whole("ban_after", after, low=1)
        self._within = positive("ban_window", within)
        self._seconds = None if seconds is None else positive("ban_seconds", seconds)
        self._prolonged = prolonged
        self._bans: dict[str | None, _Ban] = {}
        self._offences: defaultdict[tuple[str | None, BanRule], deque[float]] = defaultdict(
            lambda: deque(maxlen=self._after)
        )

    def impose(self, subject: str | None, seconds: float | None, now: float | None) -> None:
        """Keep `EVERYBODY` or one key out from `now` on, or from the next request on if None."""
        longest = max(rule.seconds for rule in self._rules.values())
        usual = DEFAULT_BAN if subject is EVERYBODY else longest
        lasts = positive("seconds", self._seconds or usual if seconds is None else seconds)
        self._bans[subject] = _Ban(lasts, None if now is None else now + lasts)

    def lift(self) -> None:
        """End all bans, and forget the errors."""
        self._bans.clear()
        self._offences.clear()

    def blocks(self, subject: str | None, now: float) -> bool:
        """Return whether `EVERYBODY`, or one key, is kept out."""
        ban = self._bans.get(subject)
        return ban is not None and ban.blocks(now, prolonged=self._prolonged)

    def count(self, code: str, path: str, owner: str, now: float) -> None:
        """Count one answer."""
        rule = self._rules.get(path)
        if self._after is None or rule is None or code not in rule.codes:
            return
        subject = owner if self._per_key else EVERYBODY
        offences = self._offences[subject, rule]
        offences.append(now)
        if len(offences) == self._after and now - offences[0] <= self._within:
            offences.clear()
            self.impose(subject, self._seconds or rule.seconds, now)


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
        self._capacity = inf if capacity is None else whole("capacity", capacity)
        self._taken: list[SimulatedTask] = []  # and some that were finished since

    def has_room(self, now: float) -> bool:
        """Return whether one more task can be worked on."""
        if len(self._taken) >= self._capacity:
            self._taken = [task for task in self._taken if task.busy_until > now]
        return len(self._taken) < self._capacity

    def take(self, task: SimulatedTask) -> None:
        """Work on a task."""
        if self._capacity < inf:
            self._taken.append(task)

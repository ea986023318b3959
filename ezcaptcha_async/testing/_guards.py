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
    """Which error codes earn a ban at some endpoints, and how long it lasts."""

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


@attrs.define(kw_only=True, eq=False, repr=False)
class Bans:
    """So many errors within a time earn a ban.

    Args:
        rules: Path → what earns a ban there. Paths with the same rule are counted together.
        per_key: Whether errors are counted, and requests kept out, for each key by itself.
        after: How many errors earn a ban; None for never.
        within: In how many seconds.
        seconds: How long every ban lasts; as the rules say when None.
        prolonged: Whether each request during a ban begins it anew.
    """

    rules: Mapping[str, BanRule]
    per_key: bool
    after: int | None
    within: float
    seconds: float | None
    prolonged: bool
    _bans: dict[str | None, _Ban] = attrs.field(init=False, factory=dict[str | None, _Ban])
    _offences: dict[tuple[str | None, BanRule], deque[float]] = attrs.field(
        init=False, factory=lambda: defaultdict[tuple[str | None, BanRule], deque[float]](deque)
    )

    def impose(self, subject: str | None, seconds: float | None, now: float | None) -> None:
        """Keep `EVERYBODY` or one key out from `now` on, or from the next request on if None."""
        longest = max(rule.seconds for rule in self.rules.values())
        usual = DEFAULT_BAN if subject is EVERYBODY else longest
        lasts = positive("seconds", self.seconds or usual if seconds is None else seconds)
        self._bans[subject] = _Ban(lasts, None if now is None else now + lasts)

    def lift(self) -> None:
        """End all bans, and forget the errors."""
        self._bans.clear()
        self._offences.clear()

    def blocks(self, subject: str | None, now: float) -> bool:
        """Return whether `EVERYBODY`, or one key, is kept out."""
        ban = self._bans.get(subject)
        return ban is not None and ban.blocks(now, prolonged=self.prolonged)

    def count(self, code: str, path: str, owner: str, now: float) -> None:
        """Count one answer."""
        rule = self.rules.get(path)
        if self.after is None or rule is None or code not in rule.codes:
            return
        subject = owner if self.per_key else EVERYBODY
        offences = self._offences[subject, rule]
        offences.append(now)
        while now - offences[0] > self.within:
            offences.popleft()
        if len(offences) >= self.after:
            offences.clear()
            self.impose(subject, self.seconds or rule.seconds, now)


class RateLimit:
    """So many requests per second or None, with a burst of one second's worth (a GCRA)."""

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
    """How many tasks the service works on at once; None for any number."""

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

"""A rate that throttling teaches, and what tells a limit from chance. Pure."""

from __future__ import annotations

from math import inf, sqrt
from typing import Final

from ezcaptcha_async._books.limits import SLACK_SECONDS

_LEAST_SHARE: Final = 1 / 20
"""Share of what was sent when throttling began that is sent at least: less would let paid
tasks lapse, and a service that throttles even that does not do so because of the rate."""

_LIFTED_AT: Final = 4.0
"""At so many times the halved rate, twice of what was throttled, the limit is forgotten."""

_SOME: Final = 3
_MANY: Final = 40
"""What a rate does shows in so many accepted and throttled ones each, or so many answers in all."""

_NEARLY_ALL: Final = 0.92
"""Share of the answers: if more are accepted, the rate is good."""

_LOOKS_FOR: Final = 10.0
"""Seconds after which less will do."""
_RESTS_FOR: Final = 3.0
"""Seconds after which a rate grows again at the latest."""

_PEAK_STAYS: Final = 0.95
"""What stays each second of the most that was sent in one: a limit that let it pass is not far
below."""

_LESS: Final = 1.4
"""By so many times less must be sent than before, to tell what that has brought."""

_SURE: Final = 2
"""So many times in a row it must look like chance: others may share a limit."""

_AS_GREAT: Final = 0.5
"""Of more, at least so many times the share is to be accepted: else it was not chance after all."""


class AdaptiveRate:
    """A rate that throttling teaches: halved at once, growing back steadily (AIMD).

    Without throttling there is no limit. The third throttled answer of forty sets one, at half
    of the most that was sent in a second; as long as more than one in twelve is throttled it
    is halved on. It grows by a tenth in each further second, and is forgotten at four times
    what it was, twice the rate that was throttled.

    Where as great a share is throttled of less, it is not because of the rate: one of several
    servers may be overloaded. Then the rate is doubled, and doubled again as long as no
    greater share is throttled: slowness would cost paid tasks, and spare nobody anything.

    Args:
        second: What is taken for a second.
    """

    def __init__(self, second: float = 1.0) -> None:
        self._second = second
        self._least = 0.5 / second
        self._growth = 0.1 / second
        """Share of the rate that comes back each second, once it is seen to be good."""
        self._base = inf  # per second, when it was set last
        self._since = -inf
        self._grows_from = -inf
        self._due = -inf
        self._counting_from = -inf
        self._count = 0
        self._peak = 0.0  # most in one second of late
        self._looking_from = -inf
        self._answers = 0
        self._throttled = 0
        self._seen: tuple[float, float] | None = None  # answers per second, and share accepted
        self._hints = 0  # of chance, one after the other

    def rate(self, now: float) -> float:
        """Return the present limit per second; infinity when there is none."""
        grown = self._base * (1 + self._growth * max(0.0, now - self._grows_from))
        return grown if grown < _LIFTED_AT * self._base else inf

    def next_at(self, now: float) -> float:
        """Return when the next request may go."""
        is_free = self._base == inf or self.rate(now) == inf
        return now if is_free else max(now, self._due - SLACK_SECONDS)

    def take(self, now: float) -> None:
        """Note that a request goes out."""
        if now - self._counting_from >= self._second:
            self._roll(now)
        if now > self._due + self._second:  # a silence is no load
            self._look(now)
        self._count += 1
        self._due = max(now, self._due)
        if self._base < inf:
            self._due += 1.0 / self.rate(now)

    def heard(self, now: float, sent_at: float, *, throttled: bool) -> None:
        """Note an answer; one asked for before the rate was set tells of the load before."""
        if sent_at < self._since:
            return
        is_free = self._hints < _SURE and (self._base == inf or self.rate(now) == inf)
        seconds = (now - self._looking_from) / self._second
        if is_free and (seconds >= _LOOKS_FOR or self._answers >= _MANY):
            self._look(now)
        self._answers += 1
        self._throttled += throttled
        if is_free:
            if self._throttled >= _SOME:
                self._seen = None
                self._halve(now)
            return
        accepted = self._answers - self._throttled
        enough = min(accepted, self._throttled) >= _SOME or self._answers >= _MANY
        if seconds >= 1 and (enough or seconds >= _LOOKS_FOR):
            self._judge(now, self._answers / seconds, accepted / self._answers)

    def _judge(self, now: float, load: float, share: float) -> None:
        """Go on with another rate, or with this one, by what share of the load was accepted."""
        if self._throttled < _SOME or share > _NEARLY_ALL:
            self._grows_from = min(self._grows_from, now)
            self._look(now)
            return
        is_hint = share > 0 and self._looks_like_chance(load, share)
        self._hints = self._hints + 1 if is_hint else 0
        if self._hints >= _SURE:
            doubled = 2 * self.rate(now)
            self._set(now, doubled if doubled < _LIFTED_AT * self._sent(now) else inf)
        else:
            self._halve(now)

    def _looks_like_chance(self, load: float, share: float) -> bool:
        """Return whether the share that is accepted has nothing to do with the load.

        A limit accepts as many as ever: of half the load, twice the share.
        """
        before = self._seen
        if before is not None and self._hints >= _SURE and share > _AS_GREAT * before[1]:
            self._seen = load, before[1] + (share - before[1]) / 4
            return True
        self._seen = load, share
        if before is None or self._hints >= _SURE:
            return False
        less = before[0] / load
        if less > _LESS:
            return share < before[1] * sqrt(less)
        return self._base <= 2 * self._least  # hardly any limit is as low

    def _halve(self, now: float) -> None:
        sent = self._sent(now)
        if self.rate(now) == inf:
            self._least = max(0.5 / self._second, _LEAST_SHARE * sent)
        self._set(now, max(self._least, min(self.rate(now), sent) / 2))

    def _sent(self, now: float) -> float:
        if now - self._counting_from >= self._second:
            self._roll(now)
        return max(self._count, self._peak) / self._second

    def _set(self, now: float, base: float) -> None:
        self._base = base
        self._since = self._due = now
        self._grows_from = now + _RESTS_FOR * self._second
        self._look(now)

    def _look(self, now: float) -> None:
        self._looking_from = now
        self._answers = self._throttled = 0

    def _roll(self, now: float) -> None:
        seconds = (now - self._counting_from) / self._second
        stays = _PEAK_STAYS ** (min(seconds, 1_000) - 1)
        self._peak = stays * max(_PEAK_STAYS * self._peak, self._count)
        self._count = 0
        self._counting_from = now

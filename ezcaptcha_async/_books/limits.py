"""Limits on what is sent: small, pure, and each with one job. Time comes in as an argument.

`Pause` holds back for a while, `Pacer` keeps to a rate that the user sets, `RetryQuota` tells an
outage from bad luck and `RefusedInARow` bad tasks from an account that is turned away,
`InquiryHold` keeps questions for the balance from being a herd, `RecentErrors` counts what a
service counts before it bans, and `Backoff` says how long to wait after a failure. All that they
and the gate measure in seconds is one value, `Terms`, made for the speed at which a service runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from random import Random
from typing import Final

import attrs

from ezcaptcha_async.errors import EzCaptchaError, ServiceError
from ezcaptcha_async.services import Service

_POLLED_IN_LIFE: Final = 6
"""Polls of each task in flight that are to be possible within the life of a token."""

SLACK_SECONDS: Final = 0.05
"""How far a pacer lets requests run ahead, so that a late event loop does not lose its turns."""

_QUOTA: Final = 100

_SAME_IN_A_ROW: Final = 5
_BY_CHANCE: Final = 1e-6
"""How likely a row may be, by the share that is refused, and still be taken for no chance."""
_STAYS: Final = 31 / 32
"""Share of what was counted before that still counts after one more."""

_TIMES_AS_LONG: Final = 3.0
"""How many times as long as answers usually take one is waited for."""
_WEIGHT: Final = 1 / 16
_IN_A_ROW: Final = 20
"""So many requests in a row without an answer double their deadline."""
_MOST_DOUBLINGS: Final = 30
"""No deadline is as long, and after hours without an answer no number would be."""
_SOME: Final = 5
"""The last of so many in a row is let take its time where there is but one thing to ask for: its
window is over before there are more. It costs little where a share of all hangs for good."""


@attrs.frozen(kw_only=True)
class Terms:
    """What is counted in seconds, for a service at its speed. See `Service` for bans.

    Args:
        create_ban: Length of a ban that createTask meets, unless an answer says it.
        poll_ban: The same of getTaskResult.
        address_ban: The same of one for all requests.
        ban_window: Within how many seconds errors are counted.
        bans_together: Whether those of createTask and getTaskResult are counted together.
        after_a_ban: How long to wait beyond its end: a request under way may have prolonged
            the ban after the one whose answer told us, and may never have been answered.
        first_wait: How long to wait after a first refusal or failure; twice as long after the
            next.
        longest_wait: Most seconds of that where something is to be found out.
        longest_pause: The same where the service says that it has no capacity.
        second: What rates are counted in.
        polls_dead_after: After so many seconds without an answered poll they back off.
        retry_spread: Within how many seconds after the next answer all of them try again.
        least_deadline: Least total deadline of a poll; at any speed, for answers do not come faster
            because the service's clock does.
        in_flight_for: For so many seconds of polls as can be sent tasks are in flight at most:
            about as long as one takes, so that each is asked for when it is ready.
        tick: What falls due within so many seconds is polled at the same moment: what goes out
            together costs half of what goes out alone (one wake-up, one turn of the event loop).
        most_late: No more is created while the poll that is most overdue is so many seconds late.
        passes_on_after: Seconds of nothing but failures after which what is in line goes to
            other accounts: not at the first failure, for that may have been chance, and there
            is work enough for all of them.
    """

    create_ban: float = 180.0
    poll_ban: float = 60.0
    address_ban: float = 600.0
    ban_window: float = 60.0
    bans_together: bool = False
    after_a_ban: float = 20.0
    first_wait: float = 1.0
    longest_wait: float = 15.0
    longest_pause: float = 60.0
    second: float = 1.0
    polls_dead_after: float = 30.0
    retry_spread: float = 2.0
    least_deadline: float = 3.0
    in_flight_for: float = 20.0
    tick: float = 0.1
    most_late: float = 3.0
    passes_on_after: float = 10.0

    @classmethod
    def of(cls, service: Service) -> Terms:
        """Return those of a service, at the speed at which it runs."""
        real, speed = DEFAULT_TERMS, service.speed
        return cls(
            create_ban=service.create_ban,
            poll_ban=service.poll_ban,
            address_ban=service.address_ban,
            ban_window=service.ban_window,
            bans_together=service.bans_together,
            after_a_ban=real.after_a_ban / speed,
            first_wait=real.first_wait / speed,
            longest_wait=real.longest_wait / speed,
            longest_pause=real.longest_pause / speed,
            second=real.second / speed,
            polls_dead_after=real.polls_dead_after / speed,
            retry_spread=real.retry_spread / speed,
            # A token's age is counted from the last poll before it was ready.
            in_flight_for=min(real.in_flight_for / speed, service.token_validity / _POLLED_IN_LIFE),
            tick=real.tick / speed,
            most_late=real.most_late / speed,
            passes_on_after=real.passes_on_after / speed,
        )


DEFAULT_TERMS: Final = Terms()


class Pause:
    """A pause that doubles from one refusal to the next and forgets on success.

    Args:
        first: Seconds of the first one.
        longest: Most seconds that it takes, unless the service asks for more.
    """

    def __init__(self, first: float, longest: float) -> None:
        self.until = -inf
        self._first = first
        self._longest = longest
        self._next = first

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
        self._next = self._first


class Pacer:
    """Evenly spaced: the generic cell rate algorithm (GCRA).

    In any `t` seconds at most ``per_second * (t + 0.05) + 1`` pass.

    Args:
        per_second: How many may pass in one second; infinity for no limit.
    """

    def __init__(self, per_second: float) -> None:
        self._gap = 1.0 / per_second
        self._due = -inf
        self.next_at: float = -inf
        """When the next one may pass; what is past means at once."""

    def take(self, now: float) -> None:
        """Note that one passes."""
        if self._gap:
            self._due = max(now, self._due) + self._gap
            self.next_at = self._due - SLACK_SECONDS


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
        if self._left < _QUOTA:
            self._left = self._left + 1 if self._left else _QUOTA // 2


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
        """Return from when on one more request may fail, beside so many that are pending.

        That is `now`, or when enough errors leave the window; infinity when even then requests
        in flight fill it.
        """
        if len(self._times) + pending < self._most:
            return now
        # A mere look, also at a later time: what has left the window by then stays noted.
        gone = sum(time + self._seconds <= now for time in self._times)
        excess = len(self._times) - gone + pending + 1 - self._most
        if excess <= 0:
            return now
        if gone + excess > len(self._times):
            return inf
        return self._times[gone + excess - 1] + self._seconds


class RefusedInARow:
    """Tells tasks that deserve to be refused from an account whose tasks all are.

    The services ban for the same error over and over, whatever it means. Five in a row are too
    many, or ten where their codes differ, unless so many are refused anyway that as long a row
    comes about by chance: then what others have succeeded with is not held back.
    """

    def __init__(self) -> None:
        self._codes = set[str]()
        self.row = 0
        """How many were refused, one after the other."""
        self._refused = 0.0
        self._all = 0.0
        self._usual = 0.0

    def note(self, code: str) -> bool:
        """Note a refusal, and return whether there are too many in a row."""
        self._count(refused=True)
        self._codes.add(code)
        self.row += 1
        return self.too_many

    @property
    def too_many(self) -> bool:
        """Whether there are too many in a row."""
        enough = _SAME_IN_A_ROW if len(self._codes) <= 1 else 2 * _SAME_IN_A_ROW
        return self.row >= enough and self._usual**self.row < _BY_CHANCE

    def end(self) -> None:
        """Note that one was not refused."""
        self._count(refused=False)
        self._usual = self._refused / self._all
        self._codes.clear()
        self.row = 0

    def _count(self, *, refused: bool) -> None:
        self._refused = _STAYS * self._refused + refused
        self._all = _STAYS * self._all + 1


class InquiryHold:
    """Holds back questions for the balance that would only be refused again.

    The services ban for the same refusal over and over, and a program may well ask each second.
    Where the service asks for patience it gets it at once; what else it refuses with is asked
    again at first, because this is how an account is found to be well again, and after too many
    in a row only now and then.

    Args:
        terms: How long that is.
    """

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._row = RefusedInARow()
        self.end()

    def end(self) -> None:
        """Hold nothing back: one was answered, or the user says that all is well."""
        self._row.end()
        self._pause = Pause(self._terms.first_wait, self._terms.longest_wait)
        self._by: EzCaptchaError | None = None

    def refused(self, error: EzCaptchaError, code: str, now: float, luck: float) -> None:
        """Note that one was refused, with what `code` tells from others.

        `luck` is a random number from 0 to 1, against asking again all at once.
        """
        asks_for_patience = isinstance(error, ServiceError) and error.is_passing
        if self._row.note(code) or asks_for_patience or error.retry_after:
            self._by = error
            self._pause.extend(now, error.retry_after, 1 + luck / 10)

    def refusal(self, now: float) -> EzCaptchaError | None:
        """Return what another one would be refused with now; None when it may go."""
        left = self._pause.until - now
        if self._by is None or left <= 0:
            return None
        error = self._by.for_ticket(None, None)
        error.retry_after = left
        return error


_OUT_OF_STEP: Final = 1 / 4
"""Share by which a deadline that has grown is shortened by chance, so that places are not free
again at the same moment of each turn of a service that is away by turns."""


class AnswerTimes:
    """Learns from how long answers take when to stop waiting for one.

    For requests that are free to repeat: one that hangs holds a place that others need. Those
    that are cut off tell nothing of how long they would have taken, so when none is answered
    any more, now and then one is let take its time, and the deadline grows again. Until the first
    one is, what else the service was asked for tells how quick it is.

    Args:
        least: Least deadline in seconds.
    """

    def __init__(self, least: float) -> None:
        self._least = least
        self._guess: float | None = None
        self._mean: float | None = None
        self._deviation = least / (4 * _TIMES_AS_LONG)
        self._unanswered = 0
        self._sent = 0  # since the last answer
        self.usual: float | None = None
        """Seconds that an answer usually takes, those that never came included; None at first."""

    def guess(self, seconds: float) -> None:
        """Note how long the answer to another request took."""
        self._guess = _nearer(self._guess, seconds)

    def took(self, seconds: float) -> None:
        """Note how long a place was held, whatever came of it."""
        self.usual = _nearer(self.usual, seconds)

    def answered(self, seconds: float) -> None:
        """Note how long an answer took."""
        self._unanswered = self._sent = 0
        if self._mean is None:
            self._mean = seconds
        off = seconds - self._mean
        self._mean += _WEIGHT * off
        self._deviation += _WEIGHT * (abs(off) - self._deviation)

    def unanswered(self) -> None:
        """Note that one did not come in time."""
        self._unanswered += 1

    def next_deadline(
        self, most: float, *, at_a_time: int, luck: Callable[[], float] = lambda: 0.0
    ) -> float:
        """Return the seconds to wait for one that goes out, `most` at most.

        There is something to ask for so many `at_a_time`: of a few, one takes its time sooner
        while none was ever answered. `luck` returns random numbers from 0 to 1, against going in
        step with a service that is away by turns.
        """
        self._sent += 1
        mean = self._guess if self._mean is None else self._mean
        seconds = max(self._least, _TIMES_AS_LONG * ((mean or 0.0) + 4 * self._deviation))
        if not self._unanswered:
            return min(most, seconds)
        row = _IN_A_ROW if self._mean is not None else max(_SOME, min(at_a_time, _IN_A_ROW))
        if self._sent % row == 0:
            return most
        doublings = min(self._unanswered // _IN_A_ROW, _MOST_DOUBLINGS)
        seconds = min(most, seconds * 2.0**doublings)
        return seconds * (1 - _OUT_OF_STEP * luck()) if doublings else seconds


def _nearer(mean: float | None, seconds: float) -> float:
    """Return a mean that follows what is seen; what is seen first is all that is known."""
    return seconds if mean is None else mean + _WEIGHT * (seconds - mean)


@attrs.frozen(kw_only=True)
class Backoff:
    """Exponential backoff with equal jitter, for what failed and may be tried again.

    Args:
        base: Seconds before the first retry.
        cap: Most seconds between two tries.
    """

    base: float = 1.0
    cap: float = 15.0

    def delay(self, failures: int, rng: Random) -> float:
        """Return the seconds to wait after so many failures in a row (1 or more).

        Between one half and the whole of ``base * 2 ** (failures - 1)``, never above the cap.
        """
        whole = min(self.cap, self.base * 2.0 ** min(failures - 1, _MOST_DOUBLINGS))
        return whole * (0.5 + rng.random() / 2)

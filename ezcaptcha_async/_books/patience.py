"""The service asks to wait (``Retry-After``): whether all are meant, and until when. Pure."""

from __future__ import annotations

from math import inf
from typing import Final

from ezcaptcha_async._books.limits import Pause, Terms

_PASSED_IT: Final = 3
"""So many requests accepted that were sent after a throttled one say that what it asks for is
asked of it alone: where a limit is reached, hardly one is accepted before the pause begins."""

_ASKS: Final = 3
"""So many polls ask at a time whether a pause is meant for all."""

_THROTTLED_IN_A_ROW: Final = 20
"""After so many without another answer a pause is meant for all, whatever was thought before."""


class Patience:
    """What the service asks of all requests of an account, as far as it asks all.

    One of several servers may mean only what comes to it. So a pause ends where others are
    answered, and a few polls find out.

    Args:
        terms: What is counted in seconds.
    """

    def __init__(self, terms: Terms) -> None:
        self._pause = Pause(terms.first_wait, terms.longest_pause)
        # Longer and longer: there may be services where each request prolongs the pause.
        self._asking = Pause(terms.longest_wait, 2 * terms.longest_pause)
        self._asked = 0
        self._begun_by = self._sent_before = self._passed_it = 0
        self._throttled_in_a_row = 0
        self._of_one_until = -inf
        self._of_one_for = terms.polls_dead_after

    def __repr__(self) -> str:
        return f"<Patience until {self.until}>"

    @property
    def until(self) -> float:
        """When all may go again."""
        return self._pause.until

    @property
    def polls_until(self) -> float:
        """When the next poll may: also in a pause a few ask whether all are meant."""
        return min(self._pause.until, self._asking.until)

    def extend(self, until: float) -> None:
        """Wait until then: another pool was asked to."""
        self._pause.until = max(self._pause.until, until)
        self._asking.until = max(self._asking.until, until)

    def poll_sent(self, now: float) -> None:
        """Note that a poll goes out."""
        if now < self._pause.until:
            self._asked += 1
            if self._asked % _ASKS == 0:
                self._asking.extend(now, None, 1.0)

    def passed(self, number: int, now: float, *, is_poll: bool) -> None:
        """Note that the request of this number was not throttled."""
        if now < self._pause.until and number > self._begun_by:
            self._passed_it += 1
            if self._passed_it >= _PASSED_IT or number > self._sent_before:
                self._pause.until = self._of_one_until = now
        if now <= self._of_one_until:  # as long as others are answered
            self._of_one_until = now + self._of_one_for
        self._throttled_in_a_row = 0
        if is_poll:
            self._asking.forget()

    def throttled(
        self, number: int, asked: float | None, now: float, stretch: float, *, sent: int
    ) -> bool:
        """Note that a request was throttled, the last one sent so far being number `sent`.

        Return False where it was asked to wait for some seconds and it alone is meant.
        """
        self._throttled_in_a_row += 1
        if not asked:
            return True
        if self._throttled_in_a_row >= _THROTTLED_IN_A_ROW:
            self._of_one_until = -inf
        if now < self._of_one_until:
            return False
        if now >= self._pause.until:
            self._begun_by, self._sent_before = number, sent
            self._passed_it = self._asked = 0
            self._asking.extend(now, None, stretch)
        self._pause.extend(now, asked, stretch)
        return True

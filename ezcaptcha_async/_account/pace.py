"""How long the answers of an account take, and how it is paced because of that."""

from __future__ import annotations

from random import Random
from typing import Final

from ezcaptcha_async._books import AnswerTimes, Backoff, Line, Terms
from ezcaptcha_async.accounts import Account

_JITTER: Final = 0.1

_AT_FIRST: Final = 5
"""Tasks in flight for each request at a time while nothing is known: even where a poll takes 20 s,
each can be polled twice within 120 s, the life of a token. Where it takes no time, a burst of more
waits for what the scout says, three seconds at most."""

_NEARLY: Final = 0.8
"""Share of a deadline after which a request that failed did so because of it: HTTP clients have
timeouts of their own, a little shorter."""


class Pace:
    """Learns how long polls take: so long they may take, and so many tasks can be polled in time.

    Args:
        account: The account.
        line: Its tasks; told how many may be in flight.
        slots: How many requests at a time it may count on.
        rng: The source of jitter.
    """

    def __init__(self, account: Account, line: Line, *, slots: float, rng: Random) -> None:
        self.rng = rng
        self._line = line
        self._slots = slots
        self._rate = account.polls_per_second
        self._terms = terms = Terms.of(account.service)
        self._answer_times = AnswerTimes(terms.least_deadline)
        self._backoff = Backoff(base=terms.first_wait, cap=terms.longest_wait)
        self._has_scout = False
        line.most_in_flight = self._most_in_flight()

    def __repr__(self) -> str:
        return f"<Pace of {self._line.account}, polls of {self._answer_times.usual} s>"

    def next_deadline(self, most: float) -> float:
        """Return how many seconds the poll that goes out may take.

        It is free to repeat, and must not hold a place that others need.
        """
        if self._has_scout and self._answer_times.usual is None:
            return most  # one that is cut off would not tell how long a poll takes
        return self._answer_times.next_deadline(
            most, at_a_time=self._line.in_flight, luck=self.rng.random
        )

    def answer_took(self, seconds: float) -> None:
        """Learn from an answer to another request, until polls have been answered."""
        self._answer_times.guess(seconds)

    def poll_took(self, seconds: float, deadline: float, *, is_answered: bool) -> None:
        """Learn from a poll, which took so many seconds, of those up to its deadline.

        How soon one is refused, or a gateway says that nobody is there, tells nothing of how long
        an answer takes.
        """
        if is_answered:
            self._answer_times.answered(seconds)
        elif seconds > _NEARLY * deadline:
            self._answer_times.unanswered()
        self._answer_times.took(seconds)
        self._line.most_in_flight = self._most_in_flight()

    def backoff(self, failures: int) -> float:
        """Return the seconds to wait after so many failures in a row."""
        return self._backoff.delay(failures, self.rng)

    def asked_of_one(self, seconds: float) -> float:
        """Return how long a paid task waits by itself where the service asks to wait so long.

        What it asks of the whole account, the gate obeys; a longer wait here is a token expired.
        """
        return min(seconds, self._terms.longest_wait)

    def spaced(self) -> float:
        """Return the seconds to wait with a poll after one that said nothing of its task."""
        return self._line.spacing * (1 + _JITTER * self.rng.random())

    def sends_scout(self) -> bool:
        """Say once that a poll is to go early, where that lets more be created.

        It tells how long a poll takes, and so how many tasks can be polled.
        """
        if self._has_scout or self._answer_times.usual is not None:
            return False
        self._has_scout = self._line.load >= self._line.most_in_flight
        return self._has_scout

    def _most_in_flight(self) -> float:
        """Return how many tasks can be polled in time.

        While nobody knows how long a poll takes, as many as would be if it took long.
        """
        usual = self._answer_times.usual
        most = _AT_FIRST * self._slots
        if usual is not None:
            most = max(self._slots, self._slots / max(usual, 1e-6) * self._terms.in_flight_for)
        if self._rate is None:
            return most
        return min(most, max(1.0, self._rate * self._terms.in_flight_for))

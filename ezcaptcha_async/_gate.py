"""May this account send now? One gate per account, pure: time comes in as an argument.

A gate answers with a time: now, a later moment, or infinity for "not before something
happens". It holds back

* every request, while the service throttles or bans the account;
* creates, while the service has no capacity, while the limits on creates or on tasks in
  flight are reached, and while nothing is known of the account: then one create goes first
  as a **canary**, so that thousands of callers on a bad key cost one refused request;
* new tasks altogether, once the key or the balance was refused, until a balance check says
  that all is well again.
"""

from __future__ import annotations

from math import inf
from typing import Final

from ezcaptcha_async.errors import (
    BannedError,
    CapacityError,
    CredentialError,
    InsufficientBalanceError,
    ServiceError,
    ThrottledError,
)

BAN_SECONDS: Final = 600.0
"""How long a ban lasts, as the services state it (10 minutes); going on prolongs it."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0


class _Pause:
    """A pause that doubles from one refusal to the next and forgets on success."""

    def __init__(self) -> None:
        self.until = -inf
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
            self._next = min(2 * self._next, _LONGEST_PAUSE)

    def forget(self) -> None:
        self._next = _FIRST_PAUSE


class Gate:
    """Decides for one account.

    Args:
        max_creates: Most createTask requests in flight.
        max_in_flight: Most paid tasks in flight; None for no limit.
    """

    def __init__(self, *, max_creates: int, max_in_flight: int | None) -> None:
        self._max_creates = max_creates
        self._max_in_flight = inf if max_in_flight is None else max_in_flight
        self._all = _Pause()
        self._creates = _Pause()
        self._banned_until = -inf
        self._shut_by: ServiceError | None = None
        self._proven = False

    def __repr__(self) -> str:
        shut = f"shut by {self._shut_by.code}" if self._shut_by else "open"
        return f"<Gate {shut}, {'proven' if self._proven else 'not proven'}>"

    def create_at(self, now: float, *, creating: int, in_flight: int) -> float:
        """Return when the next create may go.

        Args:
            now: Seconds on the event loop's clock.
            creating: createTask requests in flight.
            in_flight: Paid tasks in flight.
        """
        if self._shut_by is not None:
            return inf
        if creating >= (self._max_creates if self._proven else 1):
            return inf
        if creating + in_flight >= self._max_in_flight:
            return inf
        return max(now, self._banned_until, self._all.until, self._creates.until)

    def poll_at(self, now: float) -> float:
        """Return when the next poll may go."""
        return max(now, self._banned_until, self._all.until)

    def refusal(self, now: float) -> ServiceError | None:
        """Return why a new task cannot be taken now; None when it can."""
        if self._shut_by is not None:
            return self._shut_by
        if now < self._banned_until:
            return BannedError(
                "ERROR_IP_BANNED",
                "the service bans this account for now",
                retry_after=self._banned_until - now,
            )
        return None

    def succeeded(self) -> None:
        """Note a request that the service answered as asked."""
        self._all.forget()

    def create_answered(self) -> None:
        """Note an answer to createTask that shows that the key is good."""
        self._proven = True
        self._creates.forget()

    def refused(self, error: ServiceError, now: float, luck: float) -> None:
        """Note a refusal.

        Args:
            error: What the service said.
            now: Seconds on the event loop's clock.
            luck: A random number from 0 to 1 that spreads the accounts' return.
        """
        stretch = 1 + luck / 10
        if isinstance(error, CredentialError | InsufficientBalanceError):
            self._shut_by = error
            self._proven = False
        elif isinstance(error, BannedError):
            wait = error.retry_after or BAN_SECONDS
            self._banned_until = max(self._banned_until, now + wait * stretch)
            self._proven = False
        elif isinstance(error, ThrottledError):
            self._all.extend(now, error.retry_after, stretch)
        elif isinstance(error, CapacityError):
            self._creates.extend(now, error.retry_after, stretch)

    def reopen(self) -> None:
        """Take new tasks again, after the key and the balance were found good."""
        self._shut_by = None

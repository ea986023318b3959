"""May this account send now? One gate per account, pure: time comes in as an argument.

A gate answers with a time: now, a later moment, or infinity for "not before something
happens". It holds back

* every request, while the service bans or throttles the account, above the rate that
  throttling has taught, and above the rates that the user has set;
* all but one, while the account is **on trial**: nothing is known of it yet, a ban has just
  ended, or nothing but failures came back. One request goes first; the first good answer
  lets the others follow, and after a failure the next one waits a while;
* creates, while the service has no capacity and while a limit on them is reached; all but
  one as a **canary** until the first is accepted, so that thousands of callers on a bad
  key or an empty balance cost one refused request; the same, after a while, when the
  answers to several in a row were lost, for each of them may have been paid for;
* new tasks altogether, once the key or the balance was refused, until a balance check or
  the user says that all is well again.
"""

from __future__ import annotations

from math import inf
from typing import Final

from ezcaptcha_async._limits import AdaptiveRate, Pacer, Pause, RecentErrors, RetryQuota
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
_AFTER_A_BAN: Final = 20.0
"""Seconds to wait beyond its end: a request under way may have prolonged the ban after the
one whose answer told us, and may never have been answered."""

MOST_ERRORS: Final = 25
"""Most credential or balance errors in a minute; at about 30 the services ban."""
_ERROR_SECONDS: Final = 60.0

CONCERNS_ACCOUNT: Final = (
    CredentialError,
    InsufficientBalanceError,
    BannedError,
    ThrottledError,
    CapacityError,
)
"""What a service refuses for reasons that are not the single task's."""

_LOST_IN_A_ROW: Final = 3
"""Creates whose answers are lost one after the other before the next go one at a time: one in
twenty lost by chance comes to that once in 8,000."""
_LONGEST_DOUBT: Final = 15.0

_FIRST_TRIAL: Final = 1.0
_LONGEST_TRIAL: Final = 15.0


class Gate:
    """Decides for one account.

    Args:
        max_creates: Most createTask requests in flight.
        max_in_flight: Most paid tasks in flight; None for no limit.
        creates_per_second: Most createTask requests per second; None for no limit.
        polls_per_second: Most getTaskResult requests per second; None for no limit.
    """

    def __init__(
        self,
        *,
        max_creates: int,
        max_in_flight: int | None,
        creates_per_second: float | None = None,
        polls_per_second: float | None = None,
    ) -> None:
        self._max_creates = max_creates
        self._max_in_flight = inf if max_in_flight is None else max_in_flight
        self._create_pacer = Pacer(creates_per_second or inf)
        self._poll_pacer = Pacer(polls_per_second or inf)
        self._rate = AdaptiveRate()
        self._all = Pause()
        self._creates = Pause()
        self._doubt = Pause(_LONGEST_DOUBT)
        self._lost_in_a_row = 0
        self._quota = RetryQuota()
        self._errors = RecentErrors(MOST_ERRORS, _ERROR_SECONDS)
        self._polls_count_until = -inf
        self._banned_until = -inf
        self._shut_by: ServiceError | None = None
        self._in_flight = 0
        self._on_trial = True
        self._trial_at = -inf
        self._trial_wait = _FIRST_TRIAL
        self._creates_proven = False
        self._failing_since = inf
        self._creates_lost_since = inf
        self._creates_refused_since = inf

    def __repr__(self) -> str:
        return f"<Gate {self.state}>"

    @property
    def failing_since(self) -> float | None:
        """Since when nothing but failures has come back, of creates at least; else None."""
        since = min(self._failing_since, self._creates_lost_since)
        return None if since == inf else since

    @property
    def creates_refused_since(self) -> float | None:
        """Since when creates have only been refused for now: no capacity, or throttled."""
        since = self._creates_refused_since
        return None if since == inf else since

    @property
    def is_shut(self) -> bool:
        """Whether the key or the balance was refused, and nothing has changed since."""
        return self._shut_by is not None

    @property
    def state(self) -> str:
        """One word: open, on trial, or shut."""
        if self._shut_by is not None:
            return f"shut by {self._shut_by.code}"
        return "on trial" if self._on_trial else "open"

    # ------------------------------------------------------------------ what may go

    def create_at(self, now: float, *, creating: int, in_flight: int) -> float:
        """Return when the next create may go.

        Args:
            now: Seconds on the event loop's clock.
            creating: createTask requests in flight.
            in_flight: Paid tasks in flight.
        """
        if (
            self._shut_by is not None
            or creating >= (self._max_creates if self._creates_proven else 1)
            or creating + in_flight >= self._max_in_flight
        ):
            return inf
        return max(
            self._request_at(now),
            self._creates.until,
            self._doubt.until,
            self._create_pacer.next_at(now),
            self._errors.room_at(now, self._may_err(now, creating)),
        )

    def poll_at(self, now: float) -> float:
        """Return when the next poll may go."""
        at = max(self._request_at(now), self._poll_pacer.next_at(now))
        if now < self._polls_count_until:
            at = max(at, self._errors.room_at(now, self._may_err(now, 0)))
        return at

    def held_until(self, now: float) -> float:
        """Return until when the service wants no request at all."""
        return max(now, self._banned_until, self._all.until)

    @property
    def banned_until(self) -> float:
        """When the ban ends, or has ended."""
        return self._banned_until

    def restore_ban(self, until: float) -> None:
        """Keep silent until then: the service said so to an earlier process."""
        self._banned_until = max(self._banned_until, until)

    def inquiry_refusal(self, now: float) -> ServiceError | None:
        """Return why the balance cannot be asked for now; None when it can."""
        refusal = self.refusal(now)
        if isinstance(refusal, BannedError):
            return refusal
        room_at = self._errors.room_at(now, self._may_err(now, 0))
        if isinstance(refusal, CredentialError) and room_at > now:
            return refusal
        pause = self.held_until(now) - now
        if pause > 0:
            return ThrottledError(
                "ERROR_REQUEST_LIMIT", "the account is throttled for now", retry_after=pause
            )
        return None

    def refusal(self, now: float) -> ServiceError | None:
        """Return why a new task cannot be taken now; None when it can.

        A ban goes before a shut account: it concerns paid tasks as well.
        """
        if now < self._banned_until:
            return BannedError(
                "ERROR_IP_BANNED",
                "the service bans this account for now",
                retry_after=self._banned_until - now,
            )
        return self._shut_by

    def troubled(self, now: float) -> bool:
        """Tell whether creates are held back by what came back: another account may be quicker."""
        until = max(self._creates.until, self._doubt.until, self._trial_at)
        return max(self.held_until(now), until) > now

    def _may_err(self, now: float, creating: int) -> int:
        """Return how many requests in flight may meet a credential or balance error."""
        return self._in_flight if now < self._polls_count_until else creating

    def _request_at(self, now: float) -> float:
        if self._on_trial and self._in_flight:
            return inf
        return max(self.held_until(now), self._rate.next_at(now), self._trial_at)

    # ------------------------------------------------------- what went, and came back

    def sent(self, now: float) -> None:
        """Note that a request goes out; what comes of it is told below, once."""
        self._in_flight += 1
        self._rate.take(now)

    def sent_create(self, now: float) -> None:
        """Note that a create goes out."""
        self._create_pacer.take(now)
        self.sent(now)

    def sent_poll(self, now: float) -> None:
        """Note that a poll goes out."""
        self._poll_pacer.take(now)
        self.sent(now)

    def called_off(self) -> None:
        """Note that a request which was to go out did not."""
        self._in_flight -= 1

    def succeeded(self, now: float, *, create: bool = False) -> None:
        """Note a request that the service answered as asked, or as the task deserves."""
        self._in_flight -= 1
        self._all.forget()
        self._pass_trial(now)
        if create:
            self._creates_proven = True
            self._creates.forget()
            self._doubt.forget()
            self._lost_in_a_row = 0
            self._creates_lost_since = inf
            self._creates_refused_since = inf

    def failed(self, now: float, luck: float, *, lost_create: bool = False) -> None:
        """Note a request that got no valid answer.

        Args:
            now: Seconds on the event loop's clock.
            luck: A random number from 0 to 1, against trying again all at once.
            lost_create: Whether it was a createTask that may have been carried out.
        """
        self._in_flight -= 1
        if lost_create:
            self._lost_in_a_row += 1
            if self._lost_in_a_row >= _LOST_IN_A_ROW:
                self._creates_proven = False
                self._doubt.extend(now, None, 1 + luck / 10)
                self._creates_lost_since = min(self._creates_lost_since, now)
        self._quota.failed()
        if self._quota.used_up:
            self._on_trial = True
        if self._on_trial:
            self._failing_since = min(self._failing_since, now)
            self._trial_at = now + self._trial_wait * (0.5 + luck / 2)
            self._trial_wait = min(2 * self._trial_wait, _LONGEST_TRIAL)

    def refused(
        self, error: ServiceError, now: float, luck: float, *, create: bool = False
    ) -> None:
        """Note a refusal that concerns more than one task.

        Args:
            error: What the service said; one of `CONCERNS_ACCOUNT`.
            now: Seconds on the event loop's clock.
            luck: A random number from 0 to 1 that spreads the accounts' return.
            create: Whether it was a createTask.
        """
        self._in_flight -= 1
        stretch = 1 + luck / 10
        if create and isinstance(error, ThrottledError | CapacityError):
            self._creates_refused_since = min(self._creates_refused_since, now)
        if isinstance(error, CredentialError | InsufficientBalanceError):
            self._errors.note(now)
            if not create:
                # Polls of paid tasks go on beside refused creates, but not if they are refused.
                self._polls_count_until = now + _ERROR_SECONDS
            self._shut_by = error
            self._creates_proven = False
        elif isinstance(error, BannedError):
            wait = _AFTER_A_BAN + (error.retry_after or BAN_SECONDS)
            self._banned_until = max(self._banned_until, now + wait * stretch)
            self._creates_proven = False
            self._on_trial = True
        elif isinstance(error, ThrottledError):
            self._rate.throttled(now)
            if error.retry_after:
                self._all.extend(now, error.retry_after, stretch)
        else:
            self._creates.extend(now, error.retry_after, stretch)
            self._pass_trial(now)

    def reopen(self) -> None:
        """Take new tasks again: the key and the balance were found good, or the user says so."""
        self._shut_by = None

    def _pass_trial(self, now: float) -> None:
        self._quota.succeeded()
        if now < self._banned_until:
            return  # sent before the ban, it tells nothing of what comes after
        self._on_trial = False
        self._trial_at = -inf
        self._trial_wait = _FIRST_TRIAL
        self._failing_since = inf

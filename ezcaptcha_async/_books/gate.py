"""May this account send now? One gate per account, pure: time comes in as an argument.

A gate answers with a time: now, a later moment, or infinity for "not before something
happens". It holds back

* every request, while the service throttles the account, above the rate that throttling has
  taught, and above the rates that the user has set; creates or polls or both, while a ban lasts;
  while the service asks for patience, a few polls ask now and then whether all are meant;
* all creates but one, while the account is **on trial**: nothing is known of it yet, or nothing
  but failures came back. One goes first; the first good answer lets the others follow, and
  after a failure the next one waits a while. A create costs money when its answer is lost;
  polls are free, and not asking is what costs, so no failure holds them back here: each of them
  waits by itself (see `polls_fail_since`);
* all polls but one, while nothing is known of the client key, after a ban, and while they are
  refused for the key: a **probe**, for what is paid is not given up as long as it can still be
  fetched. A probe that is not answered lets one more go beside it;
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

import attrs

from ezcaptcha_async._books.adaptive_rate import AdaptiveRate
from ezcaptcha_async._books.limits import (
    DEFAULT_TERMS,
    Pacer,
    Pause,
    RecentErrors,
    RefusedInARow,
    RetryQuota,
    Terms,
)
from ezcaptcha_async._books.patience import Patience
from ezcaptcha_async.errors import (
    BannedError,
    CredentialError,
    InsufficientBalanceError,
    ServiceError,
    SubscriptionError,
    ThrottledError,
)
from ezcaptcha_async.events import Endpoint

MOST_ERRORS: Final = 25
"""Most errors that count in a `Terms.ban_window`; at about 30 the services ban."""

_OF_ALL: Final = "ERROR_IP_BANNED"
"""The code of a ban that concerns all requests of an address."""

_LOST_IN_A_ROW: Final = 3
"""Creates whose answers are lost one after the other before the next go one at a time: one in
twenty lost by chance comes to that once in 8,000."""

_FAILED_IN_A_ROW: Final = 10
"""The same of those that fail in whatever way, and may cost nothing."""


@attrs.define(eq=False)
class Permit:
    """Leave to send one request; what came of it is told to the gate with it, once.

    Args:
        endpoint: What may be asked.
        at: When it was given.
        number: How many had been given before.
        name: What it is known by, where leave is given to many pools together.
    """

    endpoint: Endpoint
    at: float
    number: int = 0
    name: str | None = None
    is_used: bool = False


class Gate:
    """Decides for one account.

    Args:
        max_creates: Most createTask requests in flight.
        max_in_flight: Most paid tasks in flight; None for no limit.
        creates_per_second: Most createTask requests per second; None for no limit.
        polls_per_second: Most getTaskResult requests per second; None for no limit.
        terms: What is counted in seconds.
    """

    def __init__(
        self,
        *,
        max_creates: int,
        max_in_flight: int | None,
        creates_per_second: float | None = None,
        polls_per_second: float | None = None,
        terms: Terms = DEFAULT_TERMS,
    ) -> None:
        self._max_creates = max_creates
        self._max_in_flight = inf if max_in_flight is None else max_in_flight
        self._terms = terms
        self._create_pacer = Pacer(creates_per_second or inf)
        self._poll_pacer = Pacer(polls_per_second or inf)
        self._rate = AdaptiveRate(terms.second)
        self._patience = Patience(terms)
        self._creates = Pause(terms.first_wait, terms.longest_pause)
        self._doubt = Pause(terms.first_wait, terms.longest_wait)
        self._failed_in_a_row = self._lost_in_a_row = 0
        self._refusals = RefusedInARow()
        self._quota = RetryQuota()
        self._create_errors = RecentErrors(MOST_ERRORS, terms.ban_window)
        self._poll_errors = self._create_errors
        if not terms.bans_together:
            self._poll_errors = RecentErrors(MOST_ERRORS, terms.ban_window)
        self._banned_by: BannedError | None = None
        self._creates_banned_until = -inf
        self._polls_banned_until = -inf
        self._last_ban_until = -inf  # whomever it concerns
        self._shut_by: ServiceError | None = None
        self._was_shut_by_poll = False
        self._sent = 0
        self._in_flight = 0
        self._polls_in_flight = 0
        self._polls_known = False
        self._polls_on_probe = True
        self._most_probes = 1
        self._probes = Pause(terms.first_wait, terms.longest_wait)
        self.polls_fail_since = inf
        """Since when no poll has been answered of those that were sent; infinity for none."""
        self._on_trial = True
        self._trial_at = -inf
        self._trial_wait = self._terms.first_wait
        self._creates_proven = False
        self._failing_since = inf
        self._creates_fail_since = inf
        self.creates_refused_since = inf
        """Since when creates have only been refused for now, as full or throttled; likewise."""

    def __repr__(self) -> str:
        return f"<Gate {self.state}>"

    @property
    def failing_since(self) -> float:
        """Since when nothing but failures has come back, of creates at least; else infinity."""
        return min(self._failing_since, self._creates_fail_since)

    @property
    def most_creates(self) -> int:
        """Most createTask requests at a time, at this moment."""
        return self._max_creates if self._creates_proven and not self._on_trial else 1

    @property
    def is_shut(self) -> bool:
        """Whether the key or the balance was refused, and nothing has changed since."""
        return self._shut_by is not None

    @property
    def is_shut_for_more_than_points(self) -> bool:
        """Whether it is shut, and a balance above zero says nothing of the reason."""
        return isinstance(self._shut_by, SubscriptionError)

    @property
    def refuses_tasks(self) -> bool:
        """Whether it has refused one task after the other, for what they are, and accepted none."""
        return self._refusals.too_many

    @property
    def state(self) -> str:
        """A word or two: open, on trial, polls on probe, or shut."""
        if self._shut_by is not None:
            return f"shut by {self._shut_by.code}"
        if self._on_trial:
            return "on trial"
        return "open, polls on probe" if self._polls_on_probe else "open"

    # ------------------------------------------------------------------ what may go

    def create_at(self, now: float, *, creating: int, in_flight: int) -> float:
        """Return when the next create may go, beside so many of them and so many paid tasks."""
        if (
            self._shut_by is not None
            or creating >= self.most_creates
            or creating + in_flight >= self._max_in_flight
        ):
            return inf
        # Where polls count as well and are refused, each request in flight may be an error.
        counting = (
            self._in_flight if self._terms.bans_together and self._polls_on_probe else creating
        )
        if self._on_trial and self._in_flight > self._polls_in_flight:
            return inf
        return max(
            now,
            self._patience.until,
            self._rate.next_at(now),
            self._trial_at,
            self._creates_banned_until,
            self._creates.until,
            self._doubt.until,
            self._create_pacer.next_at,
            self._create_errors.room_at(now, counting),
        )

    def poll_at(self, now: float) -> float:
        """Return when the next poll may go."""
        at = max(
            self._rate.next_at(now),
            self._patience.polls_until,
            self._polls_banned_until,
            self._poll_pacer.next_at,
        )
        if not self._polls_on_probe:
            return at
        if self._polls_in_flight >= self._most_probes:
            return inf
        counting = self._in_flight if self._terms.bans_together else 0
        return max(at, self._probes.until, self._poll_errors.room_at(now, counting))

    def ban(self, now: float, endpoint: Endpoint) -> BannedError | None:
        """Return the ban that such a request would meet now, with what is left of it."""
        if now >= self._last_ban_until or now >= (until := self.banned_until(endpoint)):
            return None
        by = self._banned_by or BannedError(_OF_ALL, "the service bans this account for now")
        return BannedError(
            by.code, by.description, request_id=by.request_id, retry_after=until - now
        )

    def banned_until(self, endpoint: Endpoint) -> float:
        """Return when a ban of such requests ends, or has ended."""
        match endpoint:
            case "createTask":
                return self._creates_banned_until
            case "getTaskResult":
                return self._polls_banned_until
            case _:  # neither says anything of it: the careful reading
                return self._last_ban_until

    def restore_ban(self, *, creates_until: float = -inf, polls_until: float = -inf) -> None:
        """Keep silent until then: the service said so here, to an earlier process or pool."""
        self._creates_banned_until = max(self._creates_banned_until, creates_until)
        if polls_until > self._polls_banned_until:
            self._polls_banned_until = polls_until
            self._probe_polls()
        self._last_ban_until = max(self._creates_banned_until, self._polls_banned_until)

    def inquiry_refusal(self, now: float) -> ServiceError | None:
        """Return why the balance cannot be asked for now; None when it can."""
        ban = self.ban(now, "getBalance")
        if ban is not None:
            return ban
        if isinstance(self._shut_by, CredentialError):
            room_at = max(
                errors.room_at(now, self._in_flight)
                for errors in (self._create_errors, self._poll_errors)
            )
            if room_at > now:
                return self._shut_by
        pause = self._patience.until - now
        if pause > 0:
            return ThrottledError(
                "ERROR_REQUEST_LIMIT", "the account is throttled for now", retry_after=pause
            )
        return None

    def refusal(self, now: float) -> ServiceError | None:
        """Return why a new task cannot be taken now; None when it can.

        A ban goes before a shut account: it concerns paid tasks as well.
        """
        return self.ban(now, "createTask") or self._shut_by

    def troubled(self, now: float) -> bool:
        """Tell whether creates are held back by what came back: another account may be quicker."""
        until = max(self._patience.until, self._creates.until, self._doubt.until, self._trial_at)
        return max(self._creates_banned_until, until) > now

    # ------------------------------------------------------- what went, and came back

    def send(self, endpoint: Endpoint, now: float) -> Permit:
        """Give leave for a request to go out now."""
        self._in_flight += 1
        self._rate.take(now)
        if endpoint == "createTask":
            self._create_pacer.take(now)
        elif endpoint == "getTaskResult":
            self._poll_pacer.take(now)
            self._polls_in_flight += 1
            self._patience.poll_sent(now)
        self._sent += 1
        return Permit(endpoint, now, self._sent)

    def take_back(self, permit: Permit) -> None:
        """Note that a request did not go out, or that nothing is known of it; twice is fine."""
        if not permit.is_used:
            self._use(permit)

    def succeeded(self, permit: Permit, now: float) -> None:
        """Note a request that the service answered as asked, or as the task deserves."""
        endpoint = self._pass(permit, now)
        if endpoint == "createTask":
            self._creates_proven = True
            self._refusals.end()

    def refused_task(self, permit: Permit, code: str, now: float) -> bool:
        """Note a createTask that was refused for what its task is, so that nothing was paid.

        Return whether that is the account's trouble: so many were refused, and none accepted
        since. From then on creates go one at a time, and no more than would earn a ban.
        """
        self._pass(permit, now)
        were_too_many = self._refusals.too_many
        if not self._refusals.note(code):
            return False
        for _ in range(1 if were_too_many else self._refusals.row):
            self._create_errors.note(now)
        self._creates_proven = False
        return True

    def _pass(self, permit: Permit, now: float) -> Endpoint:
        """Note that the service is there and knows the key."""
        endpoint = self._use(permit)
        is_poll = endpoint == "getTaskResult"
        self._rate.heard(now, permit.at, throttled=False)
        self._patience.passed(permit.number, now, is_poll=is_poll)
        self._quota.succeeded()
        if is_poll:
            self.polls_fail_since = inf
        # What was sent before a ban tells nothing of what comes after.
        if now >= self._last_ban_until or now >= self.banned_until(endpoint):
            if self._on_trial:
                self._pass_trial()
            # At first, any good answer tells that the key is good.
            if (self._polls_on_probe or self._was_shut_by_poll) and (
                is_poll or not self._polls_known
            ):
                self._pass_probe()
        if endpoint == "createTask":
            self._creates.forget()
            self._doubt.forget()
            self._failed_in_a_row = self._lost_in_a_row = 0
            self._creates_fail_since = inf
            self.creates_refused_since = inf
        return endpoint

    def failed(
        self, permit: Permit, now: float, luck: float, *, maybe_created: bool = False
    ) -> None:
        """Note a request that got no valid answer; `maybe_created` where it may have been paid for.

        `luck` is a random number from 0 to 1, against trying again all at once.
        """
        endpoint = self._use(permit)
        if endpoint == "getTaskResult":
            self.polls_fail_since = min(self.polls_fail_since, now)
            self._most_probes += 1
        elif endpoint == "createTask":
            self._failed_in_a_row += 1
            self._lost_in_a_row += maybe_created
            if self._lost_in_a_row >= _LOST_IN_A_ROW or self._failed_in_a_row >= _FAILED_IN_A_ROW:
                self._creates_proven = False
                self._doubt.extend(now, None, 1 + luck / 10)
                self._creates_fail_since = min(self._creates_fail_since, now)
        self._quota.failed()
        if self._quota.used_up:
            self._on_trial = True
        if self._on_trial:
            self._failing_since = min(self._failing_since, now)
            self._trial_at = now + self._trial_wait * (0.5 + luck / 2)
            self._trial_wait = min(2 * self._trial_wait, self._terms.longest_wait)

    def refused(self, permit: Permit, error: ServiceError, now: float, luck: float) -> None:
        """Note a refusal that concerns the account.

        `luck` is a random number from 0 to 1 that spreads the accounts' return.
        """
        endpoint = self._use(permit)
        stretch = 1 + luck / 10
        if endpoint == "createTask" and error.is_passing:
            self.creates_refused_since = min(self.creates_refused_since, now)
        match error:
            case CredentialError() | InsufficientBalanceError():
                self._refused_for_good(error, now, stretch, endpoint)
            case BannedError():
                self._banned(error, now, stretch, endpoint)
            case ThrottledError():
                self._rate.heard(now, permit.at, throttled=True)
                for_all = self._patience.throttled(
                    permit.number, error.retry_after, now, stretch, sent=self._sent
                )
                if not for_all and endpoint == "createTask":
                    self._creates.extend(now, error.retry_after, stretch)
            case _:
                if endpoint == "getTaskResult":
                    self.polls_fail_since = min(self.polls_fail_since, now)
                self._creates.extend(now, error.retry_after, stretch)
                self._quota.succeeded()
                if now >= self.banned_until(endpoint):
                    self._pass_trial()

    def shut(self, error: ServiceError) -> None:
        """Take no new tasks: another pool was refused for the key or the balance."""
        self._shut_by = error
        self._creates_proven = False

    def pause(self, until: float) -> None:
        """Send nothing until then: another pool was asked to wait."""
        self._patience.extend(until)

    def reopen(self) -> None:
        """Take new tasks again: the key and the balance were found good, or the user says so."""
        self._shut_by = None
        self._was_shut_by_poll = False

    def _refused_for_good(
        self, error: ServiceError, now: float, stretch: float, endpoint: Endpoint
    ) -> None:
        is_poll = endpoint == "getTaskResult"
        # An empty balance that a poll meets is counted by nobody, unless all is counted.
        if is_poll and (isinstance(error, CredentialError) or self._terms.bans_together):
            self._poll_errors.note(now)
            self._probe_polls()
            self._probes.extend(now, None, stretch)
        elif not is_poll:
            self._create_errors.note(now)
        # By polls alone: a create that is refused as well decides.
        self._was_shut_by_poll = is_poll and (self._was_shut_by_poll or not self.is_shut)
        self._shut_by = error
        self._creates_proven = False

    def _banned(self, error: BannedError, now: float, stretch: float, endpoint: Endpoint) -> None:
        """Keep silent as long as the ban lasts.

        An answer that says nothing of its length does not tell, either, whose errors earned
        the ban. So what did not meet it waits for the shorter time only, and then sends one
        request to find out.
        """
        terms = self._terms
        if error.retry_after or error.code == _OF_ALL:
            creates = polls = error.retry_after or terms.address_ban
        else:
            creates = polls = min(terms.create_ban, terms.poll_ban)
            if endpoint == "createTask":
                creates = terms.create_ban
            elif endpoint == "getTaskResult":
                polls = terms.poll_ban
        self._banned_by = error
        self._creates_proven = False
        self.restore_ban(
            creates_until=now + (creates + terms.after_a_ban) * stretch,
            polls_until=now + (polls + terms.after_a_ban) * stretch,
        )

    def _use(self, permit: Permit) -> Endpoint:
        permit.is_used = True
        self._in_flight -= 1
        if permit.endpoint == "getTaskResult":
            self._polls_in_flight -= 1
        return permit.endpoint

    def _probe_polls(self) -> None:
        self._polls_on_probe = True
        self._most_probes = 1

    def _pass_trial(self) -> None:
        self._on_trial = False
        self._trial_at = -inf
        self._trial_wait = self._terms.first_wait
        self._failing_since = inf

    def _pass_probe(self) -> None:
        self._polls_known = True
        self._polls_on_probe = False
        self._probes.forget()
        if self._was_shut_by_poll:
            # What shut the account is the very thing that was answered now.
            self.reopen()

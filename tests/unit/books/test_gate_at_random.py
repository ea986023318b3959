"""The gate under random requests and answers with advancing time: what must hold always.

Beside the gate stands a model that only writes down what the service has said. Whatever
the gate lets through is held against that.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import Final

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ezcaptcha_async._books.gate import Gate, Permit
from ezcaptcha_async._books.limits import Terms
from ezcaptcha_async.errors import (
    BannedError,
    CapacityError,
    CredentialError,
    InsufficientBalanceError,
    ServiceError,
    ThrottledError,
)
from ezcaptcha_async.events import Endpoint

MOST_ERRORS: Final = 25
WINDOW: Final = 60.0
LONGEST_BAN: Final = 3_600.0
LONGEST_WAIT: Final = 1.1 * (LONGEST_BAN + 20.0)
PASSED_BY: Final = 3
TOO_MANY_THROTTLED = 20
"""So many accepted ones end a pause that one was asked for."""
UNSAID: Final = {True: 180.0, False: 60.0}
"""How long a ban silences what met it, creates or polls; everything else for the shorter time."""
REFUSALS: Final[dict[str, type[ServiceError]]] = {
    "credential": CredentialError,
    "balance": InsufficientBalanceError,
    "banned": BannedError,
    "throttled": ThrottledError,
    "capacity": CapacityError,
}

many = st.integers(1, 30)
long = st.sampled_from([1, 5, 30, 110])
luck = st.floats(0, 1)
paces = st.sampled_from([None, None, None, 0.5, 7.0])
answers = st.sampled_from(["good", "good", "failed", "lost", *REFUSALS])
bad_answers = st.sampled_from(["failed", "lost", *REFUSALS])
stated = st.none() | st.floats(0, 120) | st.just(LONGEST_BAN)


@attrs.frozen(eq=False)
class Request:
    """What is in flight."""

    number: int
    create: bool
    permit: Permit


class _World(RuleBasedStateMachine):
    """One account, and a service that answers when and as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.in_flight: list[Request] = []
        self.paid = 0
        self.sent = 0
        # What the service has said.
        self.silent_until = -inf
        self.silenced_by: Request | None = None
        self.passed_by = 0  # accepted of what was sent after what silenced it
        self.sent_before = 0  # it was silenced
        self.throttled = 0  # in a row
        self.asked = 0  # in this pause
        self.loud_until = -inf  # it was not meant for all
        self.asks_at, self.asks_after = -inf, 15.0  # whether that is meant for all
        self.no_creates_until = -inf
        self.banned_until = {True: -inf, False: -inf}  # creates, and polls
        self.errors = {True: deque[float](), False: deque[float]()}  # that count, likewise
        self.shut = False
        self.shut_by_poll = False
        self.trusted = False  # something good came back
        self.creates_proven = False  # a create was accepted, and no refusal since
        self.polls_probe = True  # nothing good is known since a ban or a refused key
        self.unanswered_probes = 0
        self.polls_known = False

    @initialize(
        max_creates=st.sampled_from([1, 3, 20, 40]),
        max_in_flight=st.none() | st.integers(1, 30),
        creates_per_second=paces,
        polls_per_second=paces,
        together=st.booleans(),
    )
    def open(
        self,
        max_creates: int,
        max_in_flight: int | None,
        creates_per_second: float | None,
        polls_per_second: float | None,
        together: bool,  # noqa: FBT001 - hypothesis names it
    ) -> None:
        self.together = together
        self.max_creates = max_creates
        self.max_in_flight = inf if max_in_flight is None else max_in_flight
        self.gate = Gate(
            max_creates=max_creates,
            max_in_flight=max_in_flight,
            creates_per_second=creates_per_second,
            polls_per_second=polls_per_second,
            terms=Terms(bans_together=together),
        )
        if together:
            self.errors[False] = self.errors[True]
        self.paces = {True: creates_per_second or inf, False: polls_per_second or inf}
        self.times = {True: deque[float](maxlen=40), False: deque[float](maxlen=40)}

    @property
    def creating(self) -> int:
        """Creates in flight."""
        return sum(request.create for request in self.in_flight)

    def at(self, now: float, *, create: bool) -> float:
        """Return when the gate lets the next one through."""
        if create:
            return self.gate.create_at(now, creating=self.creating, in_flight=self.paid)
        return self.gate.poll_at(now)

    # -------------------------------------------------------------------- what is sent

    @rule(create=st.booleans(), most=many, patiently=st.booleans())
    def send(self, create: bool, most: int, *, patiently: bool = True) -> None:  # noqa: FBT001
        at = self.at(self.now, create=create)
        if patiently and at < inf:
            self.now = at
        for _ in range(most):
            if self.at(self.now, create=create) > self.now:
                return
            self._check_may_go(create=create)
            endpoint: Endpoint = "createTask" if create else "getTaskResult"
            self.sent += 1
            permit = self.gate.send(endpoint, self.now)
            self.in_flight.append(Request(self.sent, create, permit))
            self.times[create].append(self.now)
            self._check_pace(create=create)

    def _check_may_go(self, *, create: bool) -> None:
        if self.now < self.silent_until:
            assert not create, "paid in a pause"
            assert self.now >= self.asks_at, "sent in a pause"
            self.asked += 1
            if self.asked % 3 == 0:
                self._ask_again(1.0)
        assert self.now >= self.banned_until[create], "sent into a ban"
        if create:
            if not self.trusted or self.gate.state == "on trial":
                assert not self.creating, "a second create on trial"
            assert not self.shut
            assert self.now >= self.no_creates_until
            assert self.creating < (self.max_creates if self.creates_proven else 1)
            assert self.creating + self.paid < self.max_in_flight
        elif self.polls_probe:
            most = 1 + self.unanswered_probes
            assert len(self.in_flight) - self.creating < most, "one poll too many on probe"
            recent = sum(time + WINDOW > self.now for time in self.errors[False])
            assert recent < MOST_ERRORS

    def _ask_again(self, stretch: float) -> None:
        if self.now >= self.asks_at:
            self.asks_at = self.now + self.asks_after * stretch
            self.asks_after = min(2 * self.asks_after, 120.0)

    def _check_pace(self, *, create: bool) -> None:
        """Check that so many were not too many, from each of the last ones on."""
        times, pace = self.times[create], self.paces[create]
        for passed, before in enumerate(reversed(times), 1):
            assert passed <= pace * (self.now - before + 0.05) + 1 + 1e-6

    @precondition(lambda self: any(request.create for request in self.in_flight))
    @rule()
    def call_off(self) -> None:
        """The journal cannot be written, so a create does not go out."""
        request = next(request for request in self.in_flight if request.create)
        self.in_flight.remove(request)
        self.gate.take_back(request.permit)

    # ------------------------------------------------------------------ what comes back

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data(), most=many, answer=answers, stated=stated, luck=luck)
    def answer(
        self, data: st.DataObject, most: int, answer: str, stated: float | None, luck: float
    ) -> None:
        for _ in range(min(most, len(self.in_flight))):
            index = data.draw(st.integers(0, len(self.in_flight) - 1))
            self._answer(index, answer, stated, luck)

    def _answer(self, index: int, answer: str, stated: float | None, luck: float) -> None:
        request = self.in_flight.pop(index)
        if answer == "good":
            self._good(request)
        elif answer in {"failed", "lost"}:
            lost = request.create and answer == "lost"
            self.gate.failed(request.permit, self.now, luck, maybe_created=lost)
            self.unanswered_probes += not request.create
        else:
            self._refuse(request, REFUSALS[answer]("NO", retry_after=stated), luck)

    def _good(self, request: Request) -> None:
        self.gate.succeeded(request.permit, self.now)
        if self.now < self.silent_until and self.silenced_by is not None:
            self.passed_by += request.number > self.silenced_by.number
            if self.passed_by == PASSED_BY or request.number > self.sent_before:
                self.silent_until = self.loud_until = self.now
        self.throttled = 0
        if self.now <= self.loud_until:
            self.loud_until = self.now + 30
        if not request.create:
            self.asks_after = 15.0
        is_news = self.now >= self.banned_until[request.create]
        self.trusted |= is_news
        if request.create:
            self.creates_proven = True
            self.paid += 1
        if is_news and (not request.create or not self.polls_known):
            self.polls_known = True
            self.polls_probe = False
            if self.shut_by_poll:
                self.shut = self.shut_by_poll = False

    def _refuse(self, request: Request, error: ServiceError, luck: float) -> None:
        self.gate.refused(request.permit, error, self.now, luck)
        wait = error.retry_after or 0.0
        match error:
            case CredentialError() | InsufficientBalanceError():
                self.shut_by_poll = not request.create and (self.shut_by_poll or not self.shut)
                self.shut, self.creates_proven = True, False
                if request.create:
                    self.errors[True].append(self.now)
                elif self.together or isinstance(error, CredentialError):
                    self.errors[False].append(self.now)
                    self.polls_probe, self.unanswered_probes = True, 0
            case BannedError():
                for create, until in self.banned_until.items():
                    least = UNSAID[create] if create is request.create else min(UNSAID.values())
                    self.banned_until[create] = max(until, self.now + (wait or least))
                self.creates_proven = False
                self.polls_probe, self.unanswered_probes = True, 0
            case ThrottledError():
                self.throttled += 1
                if self.throttled >= TOO_MANY_THROTTLED:
                    self.loud_until = -inf
                if wait:
                    self._told_to_wait(request, wait, 1 + luck / 10)
            case _:
                self.no_creates_until = max(self.no_creates_until, self.now + wait)
                self.trusted |= self.now >= self.banned_until[request.create]

    def _told_to_wait(self, request: Request, wait: float, stretch: float) -> None:
        if self.now >= self.loud_until:
            if self.now >= self.silent_until:
                self.silenced_by, self.passed_by = request, 0
                self.sent_before, self.asked = self.sent, 0
                self._ask_again(stretch)
            self.silent_until = max(self.silent_until, self.now + wait)
        elif request.create:
            self.no_creates_until = max(self.no_creates_until, self.now + wait)

    @rule(seconds=st.floats(0, 2) | st.floats(0, 100), solved=many)
    def let_time_pass(self, seconds: float, solved: int) -> None:
        self.now += seconds
        self.paid = max(0, self.paid - solved)

    @rule()
    def reopen(self) -> None:
        """The user says that all is well, or the balance does."""
        self.gate.reopen()
        self.shut = self.shut_by_poll = False

    # ---------------------------------------------------- what random steps seldom come to

    @rule(
        most=st.integers(2, 30),
        answer=bad_answers,
        stated=stated,
        luck=luck,
        late=st.integers(0, 3),
        recovers=st.booleans(),
    )
    def crowd(  # noqa: PLR0917 - as many as there are things to vary
        self,
        most: int,
        answer: str,
        stated: float | None,
        luck: float,
        late: int,
        recovers: bool,  # noqa: FBT001
    ) -> None:
        """A good account turns bad while many creates are in flight; some are answered late."""
        self.reopen()
        self.paid = 0
        self._all_good()
        self.send(create=True, most=1)
        self._all_good()
        self.send(create=True, most=most)
        for place in range(len(self.in_flight) - late):
            # What the first one was told does not become less by what the others are told.
            self._answer(0, answer, None if place else stated, luck)
        if recovers:
            self._all_good()
            self.reopen()
            self.send(create=False, most=2)
            self._all_good()
            self.send(create=True, most=most)

    def _all_good(self) -> None:
        while self.in_flight:
            self._answer(0, "good", None, 0.0)

    @rule(most=long, create=st.booleans(), answer=bad_answers, luck=luck)
    def hard_times(self, most: int, create: bool, answer: str, luck: float) -> None:  # noqa: FBT001
        """Nothing but one bad answer for a while, however often the user says that all is well."""
        for _ in range(most):
            self.reopen()
            self.send(create=create, most=1)
            while self.in_flight:
                self._answer(0, answer, None, luck)

    # --------------------------------------------------------------------- invariants

    @invariant()
    def no_more_errors_than_a_ban_takes(self) -> None:
        for errors in self.errors.values():
            while errors and errors[0] + WINDOW <= self.now:
                errors.popleft()
        if not self.together:  # else polls that were under way come on top
            assert len(self.errors[True]) + self.creating <= MOST_ERRORS

    @invariant()
    def the_books_are_right(self) -> None:
        assert self.gate._in_flight == len(self.in_flight)
        shut = self.gate.state.startswith("shut")
        assert shut is self.shut
        refused = self.shut or self.now < self.banned_until[True]
        assert (self.gate.refusal(self.now) is not None) >= refused

    @invariant()
    def it_opens_again(self) -> None:
        """Whoever waits has his turn some day, and at the time that was named."""
        if self.in_flight:
            return
        self._check_opens(create=False)
        if not self.shut and self.paid < self.max_in_flight:
            self._check_opens(create=True)

    def _check_opens(self, *, create: bool) -> None:
        at = self.at(self.now, create=create)
        assert self.now <= at <= self.now + LONGEST_WAIT
        assert self.at(at, create=create) == at


def test_whatever_comes_back_the_gate_keeps_its_word() -> None:
    """A ban is earned or prolonged, a dead account is beaten upon, or one never opens again."""
    run_state_machine_as_test(_World, settings=settings(stateful_step_count=60))

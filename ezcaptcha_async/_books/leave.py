"""Leave to send that many pools share, as one of them has it in hand. Pure.

The account's own gate decides as ever; what this adds is that a request also needs leave, which
is fetched ahead. Where there is none in hand, somebody is told that it is wanted, and the books
hear "not before something happens".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from math import inf
from typing import Final

import attrs

from ezcaptcha_async._books.gate import Gate, Permit
from ezcaptcha_async.events import Endpoint

_MOST_IN_HAND: Final = 50
"""Most leave for createTask that one pool has in hand: others want some as well."""

_KEPT_FOR: Final = 1.0
"""Seconds for which leave for a poll is good after its time: it costs others nothing."""


@attrs.frozen
class _Held:
    name: str
    since: float
    until: float


class LeaveKeeper:
    """Lets a request of one account go when the gate would, and there is leave in hand.

    Args:
        gate: The account's own gate.
        rated_polls: Whether polls need leave too.
        want_creates: Called when leave for createTask is wanted.
        want_polls: The same for getTaskResult.
    """

    def __init__(
        self,
        gate: Gate,
        *,
        rated_polls: bool,
        want_creates: Callable[[], None],
        want_polls: Callable[[], None],
    ) -> None:
        self._gate = gate
        self._rated_polls = rated_polls
        self._want_creates = want_creates
        self._want_polls = want_polls
        self._creates = deque[_Held]()
        self._polls = deque[float]()

    def __repr__(self) -> str:
        return f"<LeaveKeeper with leave for {len(self._creates)} creates>"

    # -------------------------------------------------------------- what the books ask

    def create_at(self, now: float, *, creating: int, in_flight: int) -> float:
        """Return when the next create may go; see `Gate.create_at`."""
        at = self._gate.create_at(now, creating=creating, in_flight=in_flight)
        if at > now:
            return at
        while self._creates and self._creates[0].until <= now:
            self._creates.popleft()  # it is void by now
        if not self._creates:
            self._want_creates()
            return inf
        return max(at, self._creates[0].since)

    def poll_at(self, now: float) -> float:
        """Return when the next poll may go; see `Gate.poll_at`."""
        at = self._gate.poll_at(now)
        if not self._rated_polls or at > now:
            return at
        while self._polls and self._polls[0] + _KEPT_FOR <= now:
            self._polls.popleft()
        if not self._polls:
            self._want_polls()
            return inf
        return max(at, self._polls[0])

    def send(self, endpoint: Endpoint, now: float) -> Permit:
        """Give leave for a request to go out now, and use what there is in hand."""
        permit = self._gate.send(endpoint, now)
        if endpoint == "createTask":
            permit.name = self._creates.popleft().name
        elif endpoint == "getTaskResult" and self._rated_polls:
            self._polls.popleft()
        return permit

    # ------------------------------------------------------------- what is fetched ahead

    def short_of(self, queued: int, creating: int) -> int:
        """Return for how many more createTask requests leave is wanted."""
        most = min(queued, self._gate.most_creates - creating, _MOST_IN_HAND)
        return most - len(self._creates)

    def got_creates(self, names: Sequence[str], *, since: float, gap: float, hold: float) -> None:
        """Take leave for createTask in hand.

        The first is good `since` then, each further one `gap` seconds later, for `hold` seconds.
        """
        for number, name in enumerate(names):
            at = since + number * gap
            self._creates.append(_Held(name, at, at + hold))

    def got_polls(self, number: int, *, since: float, gap: float) -> None:
        """Take leave for so many polls in hand."""
        self._polls.extend(since + index * gap for index in range(number))

    def given_back(self) -> list[str]:
        """Let go of what is in hand for createTask, and return its names."""
        names = [held.name for held in self._creates]
        self._creates.clear()
        return names

"""What a fleet shares, in memory and in plain Python: for pools under virtual time.

The scripts that run inside Redis must come to the same: ``tests/fleet/test_scripts.py`` asks both.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from itertools import count

import attrs

from ezcaptcha_async.fleets import (
    AccountStatus,
    Beat,
    Created,
    Delivered,
    Ended,
    Fact,
    FleetStatus,
    Funds,
    Gates,
    Intention,
    Known,
    Leave,
    Legacy,
    Lost,
    Member,
    NotPaid,
    Overspent,
    Settled,
    Trouble,
)

DAY = 86_400.0


@attrs.define
class Gate:
    """How the gate of one account stands."""

    shut_by: str = ""
    reopened: int = 0
    banned: float = 0.0
    polls_banned: float = 0.0
    paused: float = 0.0
    proven: bool = False
    errors: list[float] = attrs.field(factory=list[float])
    going: dict[str, float] = attrs.field(factory=dict[str, float])
    ends: dict[str, float] = attrs.field(factory=dict[str, float])
    due: float = 0.0
    polls_due: float = 0.0


async def _nothing() -> None:
    """Do nothing."""


class ModelFleet:
    """All that the pools of one fleet share; give it to each as ``fleet``.

    Args:
        clock: Its own clock.
        lease: Seconds after its last sign of life for which a pool is taken to be alive.
        remember: Seconds for which it is known what was delivered.
    """

    def __init__(
        self, clock: Callable[[], float], lease: float = 10.0, remember: float = 0.0
    ) -> None:
        self.clock = clock
        self.lease = lease
        self.remember = remember
        self.away = False
        self.on_look: Callable[[], Awaitable[None]] = _nothing
        self.on_beat: Callable[[], Awaitable[None]] = _nothing
        self.calls = 0
        self.runs = count(1)
        self.attempts = count(1)
        self.pools: dict[str, float] = {}
        self.last_beat: float | None = None
        self.gates: dict[str, Gate] = {}
        self.intents: dict[str, Intention] = {}
        self.paid: dict[tuple[str, str], str] = {}
        self.owned: dict[str, dict[tuple[str, ...], float]] = {}
        self.handed: set[tuple[str, str]] = set()
        self.references: dict[str, tuple[str, str, float]] = {}
        self.delivered: dict[str, float] = {}
        self.unknown: dict[str, str] = {}
        self.spent = 0.0
        self.risked = 0.0
        self.sums = {"created": 0, "done": 0, "adopted": 0}

    async def join(self, members: Sequence[Member], funds: Funds) -> ModelBooks:
        """Join."""
        books = ModelBooks(self, f"run{next(self.runs)}", tuple(members), funds)
        for member in members:
            self.gates.setdefault(member.account, Gate())
        self.pools[books.run] = self.clock() + self.lease
        return books

    def known(self, reference: str | None) -> Known | None:
        """Return what a reference stands for, or what is remembered of it."""
        left = self.delivered.get(reference or "", 0.0) - self.clock()
        remembered = Known("delivered", "", left) if self.remember and left > 0 else None
        return self.standing(reference) or remembered

    def standing(self, reference: str | None) -> Known | None:
        """Return what a reference stands for."""
        state, text, ends = self.references.get(reference or "", ("", "", 0.0))
        left = ends - self.clock()
        if not state or left <= 0:
            return None
        return Known(state, text if state == "ended" else "", left)  # type: ignore[arg-type]  # one of four


class ModelBooks:
    """What a fleet shares, as one pool has it."""

    def __init__(
        self, fleet: ModelFleet, run: str, members: tuple[Member, ...], funds: Funds
    ) -> None:
        self.run = run
        self.fleet = fleet
        self.lease = fleet.lease
        self.remember = fleet.remember
        self._members = members
        self._funds = funds

    def _now(self) -> float:
        self.fleet.calls += 1
        if self.fleet.away:
            raise ConnectionError("the server cannot be reached (as told)")
        return self.fleet.clock()

    def _refer(self, reference: str | None, state: str, text: str, seconds: float) -> None:
        if reference:
            self.fleet.references[reference] = (state, text, self.fleet.clock() + seconds)

    def _forget(self, reference: str | None, *values: tuple[str, str]) -> None:
        known = self.fleet.references.get(reference or "")
        if known is not None and known[:2] in values:
            del self.fleet.references[reference or ""]

    async def acquire(self, member: Member, most: int) -> Leave:
        """Give leave."""
        now, gate = self._now(), self.fleet.gates[member.account]
        if gate.shut_by or max(gate.banned, gate.paused) > now:
            return Leave((), 0.02)
        gate.going = {name: end for name, end in gate.going.items() if end > now}
        gate.ends = {name: end for name, end in gate.ends.items() if end > now}
        gate.errors = [at for at in gate.errors if at > now - member.error_window]
        going = len(gate.going)
        room = (member.max_creates if gate.proven else 1) - going
        room = min(room, member.most_errors - len(gate.errors) - going)
        if member.max_in_flight is not None:
            room = min(room, member.max_in_flight - len(gate.ends) - going)
        names = tuple(f"{self.run}.{next(self.fleet.attempts)}" for _ in range(min(most, room)))
        gate.going |= dict.fromkeys(names, now + member.hold)
        return Leave(names, 0.0 if names else 0.02)

    async def release(self, member: Member, names: Sequence[str]) -> None:
        """Take leave back."""
        self._now()
        for name in names:
            self.fleet.gates[member.account].going.pop(name, None)

    async def slots(self, member: Member, most: int) -> Leave:
        """Give leave for polls, evenly spaced."""
        now, gate = self._now(), self.fleet.gates[member.account]
        gap = 1 / (member.polls_per_second or 1e9)
        gate.polls_due = max(now, gate.polls_due) + gap
        if gate.polls_due > now + 1:
            gate.polls_due -= gap
            return Leave((), gap)
        return Leave(("",) * min(most, 1), gate.polls_due - gap - now, gap)

    async def intend(self, intention: Intention) -> Known | Overspent | None:
        """Write down that a createTask is about to be sent."""
        self._now()
        fleet, points, again = self.fleet, intention.points, intention.again
        if intention.attempt in fleet.intents:
            return None
        if intention.attempt not in fleet.gates[intention.account].going:
            raise ConnectionError("leave to send it is void")
        known, risk = fleet.known(intention.reference), self._funds.unknown_budget
        may_risk = risk is not None and fleet.risked + points <= risk
        if known is not None and known.state == "unknown" and may_risk:
            known, again = None, True
        if known is not None:
            fleet.gates[intention.account].going.pop(intention.attempt, None)
            return known
        budget = self._funds.budget
        if budget is not None and fleet.spent + points > budget:
            fleet.gates[intention.account].going.pop(intention.attempt, None)
            return Overspent(budget - fleet.spent)
        fleet.spent += points
        fleet.risked += points if again else 0
        self._intend(intention, anew=True)
        return None

    async def tell(self, facts: Sequence[Fact]) -> None:
        """Write down what has happened."""
        self._now()
        for fact in facts:
            getattr(self, f"_told_{type(fact).__name__.lower()}")(fact)

    def _told_delivered(self, fact: Delivered) -> None:
        self.fleet.delivered[fact.reference] = self.fleet.clock() + self.remember

    def _told_lost(self, fact: Lost) -> None:
        self._lose(fact.account, fact.attempt, fact.text, fact.reference)

    def _told_intention(self, fact: Intention) -> None:
        fleet = self.fleet
        if fact.attempt not in fleet.unknown and fact.attempt not in fleet.intents:
            fleet.gates[fact.account].going[fact.attempt] = fleet.clock() + self._members[0].hold
            fleet.spent += fact.points
            self._intend(fact, anew=fleet.standing(fact.reference) is None)

    def _intend(self, fact: Intention, *, anew: bool) -> None:
        self.fleet.intents[fact.attempt] = fact
        self.fleet.owned.setdefault(self.run, {})["intent", fact.attempt] = 0.0
        if anew:
            self._refer(fact.reference, "intended", fact.attempt, DAY)

    def _told_created(self, fact: Created) -> None:
        fleet, gate = self.fleet, self.fleet.gates[fact.account]
        owned, task = fleet.owned.setdefault(self.run, {}), (fact.account, fact.task_id)
        is_new = fleet.intents.pop(fact.attempt, None) is not None
        if fact.attempt:
            gate.going.pop(fact.attempt, None)
            fleet.unknown.pop(fact.attempt, None)
            owned.pop(("intent", fact.attempt), None)
            gate.proven = True
        if task not in fleet.paid and (is_new or task not in fleet.handed):
            ends = fleet.clock() + fact.window
            fleet.paid[task] = fact.text
            gate.ends[fact.task_id] = owned["paid", *task] = ends
            if fact.attempt or fact.reference not in fleet.references:
                self._refer(fact.reference, "paid", " ".join(task), fact.window)
            fleet.sums["created"] += bool(fact.attempt)

    def _told_notpaid(self, fact: NotPaid) -> None:
        fleet = self.fleet
        fleet.gates[fact.account].going.pop(fact.attempt, None)
        fleet.owned.setdefault(self.run, {}).pop(("intent", fact.attempt), None)
        known = fleet.intents.pop(fact.attempt, None) or fleet.unknown.pop(fact.attempt, None)
        if known is not None:
            fleet.spent -= fact.points
            self._forget(fact.reference, ("intended", fact.attempt), ("unknown", fact.attempt))

    def _lose(self, account: str, attempt: str, text: str, reference: str | None) -> None:
        if attempt in self.fleet.unknown:
            return
        self.fleet.owned.setdefault(self.run, {}).pop(("intent", attempt), None)
        self.fleet.gates[account].going.pop(attempt, None)
        self.fleet.intents.pop(attempt, None)
        self.fleet.unknown[attempt] = text
        if self.fleet.references.get(reference or "", ("intended", attempt, 0.0))[:2] == (
            "intended",
            attempt,
        ):
            self._refer(reference, "unknown", attempt, DAY)

    def _told_settled(self, fact: Settled | Ended) -> None:
        known = self.fleet.standing(fact.reference)
        stands = self.fleet.references.get(fact.reference or "")
        mine = ("paid", f"{fact.account} {fact.task_id}")
        if known is None or (stands is not None and stands[:2] == mine):
            self._refer(fact.reference, "ended", fact.text, fact.seconds)

    def _told_ended(self, fact: Ended) -> None:
        if fact.text:
            self._told_settled(fact)
        fleet, task = self.fleet, (fact.account, fact.task_id)
        fleet.owned.setdefault(self.run, {}).pop(("paid", *task), None)
        fleet.gates[fact.account].ends.pop(fact.task_id, None)
        fleet.sums["done"] += fleet.paid.pop(task, None) is not None
        self._forget(fact.reference, ("paid", " ".join(task)))

    def _told_trouble(self, fact: Trouble) -> None:
        gate, now = self.fleet.gates[fact.account], self.fleet.clock()
        match fact.kind:
            case "refused":
                gate.errors.append(now)
                gate.shut_by, gate.proven = fact.code, False
            case "banned":
                gate.banned = max(gate.banned, now + fact.seconds)
                gate.polls_banned = max(gate.polls_banned, now + fact.polls)
                gate.proven = False
            case "paused":
                gate.paused = max(gate.paused, now + fact.seconds)
            case "reopened":
                gate.shut_by = ""
                gate.reopened += 1

    async def look(self, references: Sequence[str]) -> list[Known | None]:
        """Say what references stand for."""
        self._now()
        await self.fleet.on_look()
        return [self.fleet.known(reference) for reference in references]

    async def beat(self) -> Beat:
        """Note a sign of life, and hand over what the dead have left."""
        await self.fleet.on_beat()
        now, fleet = self._now(), self.fleet
        was_alive = fleet.pools.get(self.run, 0.0) > now
        fleet.pools[self.run] = now + self.lease
        if fleet.last_beat is not None and now - fleet.last_beat > self.lease / 2:
            fleet.pools = {
                run: max(end, now + self.lease) if end else end for run, end in fleet.pools.items()
            }
        fleet.last_beat = now
        legacies: list[Legacy] = []
        for dead in [run for run, end in fleet.pools.items() if end <= now]:
            for item, ends in list(fleet.owned.get(dead, {}).items()):
                legacies += self._inherit(dead, item, ends)
            if not fleet.owned.get(dead):
                del fleet.pools[dead]
        return Beat(
            was_alive=was_alive,
            pools=sum(end > now for end in fleet.pools.values()),
            unknown=len(fleet.unknown),
            gates=tuple(
                Gates(
                    account=member.account,
                    shut_by=(gate := fleet.gates[member.account]).shut_by,
                    reopened=gate.reopened,
                    banned=max(0.0, gate.banned - now),
                    polls_banned=max(0.0, gate.polls_banned - now),
                    paused=max(0.0, gate.paused - now),
                )
                for member in self._members
            ),
            legacies=tuple(legacies),
        )

    def _inherit(self, dead: str, item: tuple[str, ...], ends: float) -> list[Legacy]:
        fleet, now = self.fleet, self.fleet.clock()
        left = fleet.owned[dead]
        if item[0] == "intent":
            del left[item]
            intention = fleet.intents.get(item[1])
            if intention is not None:
                sent = intention.account, intention.attempt, intention.text
                self._lose(*sent, intention.reference)
            return []
        task = item[1], item[2]
        text = fleet.paid.get(task)
        if text is None or ends <= now:
            del left[item]
            fleet.handed.add(task)
            fleet.paid.pop(task, None)
            return []
        if task[0] not in {member.account for member in self._members}:
            return []
        del left[item]
        fleet.handed.add(task)
        fleet.owned.setdefault(self.run, {})[item] = ends
        fleet.sums["adopted"] += 1
        return [Legacy(account=task[0], text=text, left=ends - now)]

    async def unknowns(self) -> list[str]:
        """Return what was lost."""
        self._now()
        return list(self.fleet.unknown.values())

    async def status(self) -> FleetStatus:
        """Return how the fleet stands."""
        now, fleet = self._now(), self.fleet
        return FleetStatus(
            name="model",
            pools=sum(end > now for end in fleet.pools.values()),
            accounts=tuple(
                AccountStatus(
                    account=member.account,
                    state="open",
                    retry_after=None,
                    creating=sum(end > now for end in fleet.gates[member.account].going.values()),
                    in_flight=sum(end > now for end in fleet.gates[member.account].ends.values()),
                    errors=len(fleet.gates[member.account].errors),
                )
                for member in self._members
            ),
            budget=self._funds.budget,
            spent=fleet.spent,
            unknown=len(fleet.unknown),
            **fleet.sums,
        )

    async def aclose(self) -> None:
        """Leave."""
        if self.fleet.away:
            return
        if self.fleet.owned.get(self.run):
            self.fleet.pools[self.run] = 0.0
        else:
            self.fleet.pools.pop(self.run, None)

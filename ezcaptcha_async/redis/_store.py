"""What a fleet shares, as one pool has it: calls of scripts, and what they answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import count, islice
from typing import Any, Final, assert_never, cast

import attrs

from ezcaptcha_async.errors import ConfigurationError
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
from ezcaptcha_async.redis._server import Server

_AHEAD: Final = 0.25
"""For so many seconds ahead leave is given, so that one question is enough for many requests."""

_SLACK: Final = 0.05
"""Seconds' worth of requests that may go at once, so that a late event loop loses no turns."""

_MOST_LEGACIES: Final = 100
"""Most paid tasks that one pool takes over at a time."""

_MOST_AT_ONCE: Final = 200
"""Most createTask requests that are written down in one call."""

_MILLION: Final = 1_000_000

_STATES: Final = {
    "i": "intended",
    "p": "paid",
    "e": "ended",
    "u": "unknown",
    "d": "delivered",
}


@attrs.define(eq=False)
class _Intended:
    """A createTask that is to be written down, and what was answered."""

    intention: Intention
    answer: Known | Overspent | None = None
    problem: str = ""


class Store:
    """What a fleet shares, in Redis or Valkey.

    Args:
        url: Of the server.
        base: What all keys of the fleet begin with: its tag.
        run: The name of this pool.
        lease: Seconds after its last sign of life for which it is taken to be alive.
        remember: Seconds for which a reference is remembered whose outcome was given to a caller.
        funds: The limits on money.
    """

    def __init__(
        self, url: str, base: str, run: str, *, lease: float, remember: float, funds: Funds
    ) -> None:
        self.run = run
        self.lease = lease
        self.remember = remember
        self._base = base
        self._funds = funds
        self._numbers = count(1)
        self._next_attempt = 1
        self._accounts: tuple[str, ...] = ()
        self._limits: list[str] = []
        self._holds: dict[str, float] = {}
        self._life = ""  # of the server's memory
        self._come: tuple[str, ...] = ()  # legacies, as the server is to be told
        self._intended: dict[_Intended, None] = {}  # yet to be written down, in their order
        self._intending = asyncio.Lock()
        self._server = Server(url, base, lease=lease)

    def __repr__(self) -> str:
        return f"<Store of {self._base}, run {self.run}>"

    # ------------------------------------------------------------------------- joining

    async def join(self, members: Sequence[Member]) -> None:
        """Join, unless other pools of the fleet have other limits.

        Raises:
            ConfigurationError: They have, or the server forgets when its memory is full.
            ConnectionError: The server cannot be reached.
        """
        await self._server.check()
        self._accounts = tuple(member.account for member in members)
        self._limits = _limits(members, self._funds)
        self._holds = {member.account: member.hold for member in members}
        if problem := await self._enter():
            raise ConfigurationError(problem)

    async def _enter(self) -> str:
        """Enter; or return why others would not agree."""
        differs = await self._server.run("join", self.run, self.lease, *self._limits)
        if not differs:
            return ""
        name, theirs, ours = differs
        return (
            f"{name} is {theirs} in the fleet's pools that are open, and {ours} here; "
            "give all of them the same"
        )

    async def look_around(self) -> None:
        """Find out which accounts and what limits the fleet's pools have, without joining.

        Raises:
            ConnectionError: The server cannot be reached.
        """
        limits: dict[str, str] = await self._server.asked(
            lambda: self._server.client.hgetall(f"{self._base}:limits")
        )
        first = "max_creates of "
        self._accounts = tuple(
            sorted(field.removeprefix(first) for field in limits if field.startswith(first))
        )
        budget = limits.get("budget", "none")
        self._funds = Funds(budget=None if budget == "none" else float(budget))

    async def reopen(self) -> None:
        """Let all accounts take new tasks again.

        Raises:
            ConnectionError: The server cannot be reached.
        """
        await self.tell([Trouble(account=name, kind="reopened") for name in self._accounts])
        await self._server.run("leave", self.run)  # who looks in from outside leaves nothing

    # ----------------------------------------------------------------------- asking leave

    async def acquire(self, member: Member, most: int) -> Leave:
        rate = member.creates_per_second
        gap = 0.0 if rate is None else 1 / rate
        # Nobody uses the names of an answer that was lost.
        first, self._next_attempt = self._next_attempt, self._next_attempt + most
        wait, number = await self._server.run(
            "acquire",
            *(self.run, member.account, most, gap, 1 + _SLACK / gap if gap else 0, _AHEAD),
            *(member.max_creates, member.max_in_flight or 0, member.hold),
            *(member.most_errors, member.error_window, first),
        )
        names = tuple(f"{self.run}.{index}" for index in range(first, first + int(number)))
        return Leave(names, float(wait), gap)

    async def release(self, member: Member, names: Sequence[str]) -> None:
        going = f"{self._base}:at:{member.account}:going"
        await self._server.asked(lambda: self._server.client.zrem(going, *names))

    async def slots(self, member: Member, most: int) -> Leave:
        gap = 1 / (member.polls_per_second or 1e9)
        number, wait = await self._server.run(
            "slots", member.account, most, gap, 1 + _SLACK / gap, _AHEAD
        )
        return Leave(("",) * int(number), float(wait), gap)

    async def intend(self, intention: Intention) -> Known | Overspent | None:
        # All that come while others are on their way go together, as the next.
        mine = _Intended(intention)
        self._intended[mine] = None
        try:
            async with self._intending:
                if mine in self._intended:
                    await self._intend(tuple(islice(self._intended, _MOST_AT_ONCE)))
        finally:
            self._intended.pop(mine, None)
        if mine.problem:
            raise ConnectionError(mine.problem)
        return mine.answer

    async def _intend(self, together: Sequence[_Intended]) -> None:
        funds, problem = self._funds, ""
        arguments: list[Any] = [
            self.run,
            _millionths(funds.budget),
            _millionths(funds.unknown_budget),
            int(self.remember > 0),
        ]
        for sent in together:
            item = sent.intention
            arguments += [item.account, item.attempt, item.text, _millionths(item.points)]
            arguments += [item.reference or "", int(item.again)]
        answers: list[Any] = [["void"]] * len(together)
        try:
            answers = await self._server.run("intend", *arguments)
        except ConnectionError as error:
            problem = str(error)
        for sent, answer in zip(together, answers, strict=True):
            self._intended.pop(sent, None)
            match answer:
                case ["void"]:
                    sent.problem = problem or "leave to send it is void"
                case ["known", value, left]:
                    sent.answer = _known(value, int(left))
                case ["budget", left]:
                    sent.answer = Overspent(int(left) / _MILLION)
                case _:
                    pass

    # --------------------------------------------------------------------------- telling

    async def tell(self, facts: Sequence[Fact]) -> None:
        arguments: list[Any] = []
        for fact in facts:
            name, *told = self._told(fact)
            arguments += [name, len(told), *told]
        await self._server.run("tell", self.run, self.lease, next(self._numbers), *arguments)

    def _told(self, fact: Fact) -> tuple[Any, ...]:
        """Return what the script calls it, and what it is to know of it."""
        told: tuple[Any, ...]
        match fact:
            case Intention(account=account, attempt=attempt, text=text):
                sent = text, _millionths(fact.points), fact.reference or ""
                told = "intended", account, attempt, *sent, self._holds[account]
            case Created(account=account, attempt=attempt, task_id=task_id, text=text):
                of_task = task_id, text, fact.window, fact.reference or ""
                told = "created", account, attempt, *of_task
            case NotPaid(account=account, attempt=attempt, points=points):
                told = "not_paid", account, attempt, _millionths(points), fact.reference or ""
            case Lost(account=account, attempt=attempt, text=text):
                told = "lost", account, attempt, text, fact.reference or ""
            case Settled(account=account, task_id=task_id, reference=reference, text=text):
                told = "settled", account, task_id, reference, text, fact.seconds
            case Ended(account=account, task_id=task_id, text=text):
                told = "ended", account, task_id, fact.reference or "", text, fact.seconds
            case Delivered(reference=reference):
                told = "delivered", reference, self.remember
            case Trouble(account=account, kind="refused", code=code):
                told = "refused", account, code, f"{self.run}.{next(self._numbers)}"
            case Trouble(account=account, kind=kind, seconds=seconds, polls=polls):
                told = kind, account, seconds, polls
            case _:
                assert_never(fact)
        return told

    # --------------------------------------------------------------------------- looking

    async def look(self, references: Sequence[str]) -> list[Known | None]:
        found = await self._server.run("look", int(self.remember > 0), *references)
        pairs = zip(found[::2], found[1::2], strict=True)
        return [_known(value, int(left)) if value else None for value, left in pairs]

    async def beat(self) -> Beat:
        was_alive, pools, unknown, gates, life, legacies = await self._server.run(
            "beat",
            *(self.run, self.lease, self._life, _MOST_LEGACIES),
            *(len(self._accounts), *self._accounts, *self._come),
        )
        # The limits may be forgotten, too, or others' by now: the first to come sets them.
        if not was_alive and (problem := await self._enter()):
            raise ConnectionError(problem)
        self._life = life
        self._come = tuple(name for *_, name in legacies)
        return Beat(
            was_alive=bool(was_alive),
            pools=int(pools),
            unknown=int(unknown),
            gates=tuple(
                Gates(
                    account=account,
                    shut_by=shut,
                    reopened=int(reopened),
                    banned=float(banned),
                    polls_banned=float(polls),
                    paused=float(paused),
                )
                for account, (shut, reopened, banned, polls, paused) in zip(
                    self._accounts, _grouped(gates, 5), strict=True
                )
            ),
            legacies=tuple(
                Legacy(account=account, text=text, left=float(left))
                for account, text, left, _ in legacies
            ),
        )

    async def unknowns(self) -> list[str]:
        texts: list[str] = await self._server.asked(
            lambda: self._server.client.hvals(f"{self._base}:unknown")
        )
        return texts

    async def status(self) -> FleetStatus:
        base = self._base

        async def ask() -> list[Any]:
            async with self._server.client.pipeline(transaction=False) as pipeline:
                pipeline.time()
                pipeline.zrange(f"{base}:pools", 0, -1, withscores=True)
                pipeline.hgetall(f"{base}:sums")
                pipeline.hlen(f"{base}:unknown")
                for account in self._accounts:
                    pipeline.hgetall(f"{base}:at:{account}:gate")
                    for name in ("going", "ends", "errors"):
                        pipeline.zrange(f"{base}:at:{account}:{name}", 0, -1, withscores=True)
                return list(await pipeline.execute())

        (seconds, micros), pools, sums, unknown, *rest = await self._server.asked(ask)
        now = seconds + micros / 1e6
        return FleetStatus(
            name=base[len("{ez:") : -1],
            pools=_later(pools, now),
            accounts=tuple(
                _account_status(
                    account,
                    gate,
                    [_later(going, now), _later(ends, now), _later(errors, now - 60)],
                    now,
                )
                for account, (gate, going, ends, errors) in zip(
                    self._accounts, _grouped(rest, 4), strict=True
                )
            ),
            budget=self._funds.budget,
            spent=int(sums.get("spent", 0)) / _MILLION,
            created=int(sums.get("created", 0)),
            done=int(sums.get("done", 0)),
            adopted=int(sums.get("adopted", 0)),
            unknown=int(unknown),
        )

    async def aclose(self) -> None:
        try:
            await self._server.run("leave", self.run)
        except ConnectionError:
            pass  # its lease will end
        finally:
            await self.close()

    async def close(self) -> None:
        """Close the connections without leaving."""
        await self._server.close()


def _limits(members: Sequence[Member], funds: Funds) -> list[str]:
    """Return name and value of each limit."""
    limits: list[str] = []
    for member in members:
        for field in ("creates_per_second", "polls_per_second", "max_creates", "max_in_flight"):
            limits += [f"{field} of {member.account}", _limit(getattr(member, field))]
    limits += ["budget", _limit(funds.budget)]
    return [*limits, "unknown_budget", _limit(funds.unknown_budget)]


def _limit(value: float | None) -> str:
    return "none" if value is None else repr(float(value)).removesuffix(".0")


def _millionths(points: float | None) -> int:
    """Return points as the server counts them, which is to be exact; -1 for None."""
    return -1 if points is None else round(points * _MILLION)


def _known(value: str, milliseconds: int) -> Known:
    text = value[1:] if value[0] == "e" else ""
    return Known(cast("Any", _STATES[value[0]]), text, max(0, milliseconds) / 1000)


def _grouped(values: list[Any], size: int) -> list[tuple[Any, ...]]:
    return list(zip(*[iter(values)] * size, strict=True))


def _later(scored: list[tuple[str, float]], than: float) -> int:
    return sum(score > than for _, score in scored)


def _account_status(
    account: str, gate: dict[str, str], counts: list[int], now: float
) -> AccountStatus:
    state, until = "open", now
    for word in ("paused", "banned"):
        if float(gate.get(word, 0)) > now:
            state, until = word, float(gate[word])
    if "shut" in gate:
        state = f"shut by {gate['shut']}"
    creating, in_flight, errors = counts
    return AccountStatus(
        account=account,
        state=state,
        retry_after=until - now if until > now else None,
        creating=creating,
        in_flight=in_flight,
        errors=errors,
    )

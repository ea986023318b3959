"""What a pool does as one of a fleet: it fetches leave, writes, beats, and looks things up.

All of this is beside the runner, and nothing of it is in the way of a poll. Where what the fleet
shares cannot be reached, paid tasks are polled on, nothing new is created, and what has happened
is owed until it can be told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Final

import anyio
from anyio.abc import TaskGroup

from ezcaptcha_async._account import Session
from ezcaptcha_async._books import MOST_ERRORS, Books, Budget, Entry, Gate, LeaveKeeper, Phase
from ezcaptcha_async._journal import SharedLedger, result_of
from ezcaptcha_async._log import log
from ezcaptcha_async._pool.callers import Callers
from ezcaptcha_async._pool.settings import Settings
from ezcaptcha_async._runtime import EventLoop, Runner
from ezcaptcha_async.accounts import Account
from ezcaptcha_async.errors import (
    ConfigurationError,
    JournalError,
    SubmissionUnknownError,
)
from ezcaptcha_async.fleets import (
    Beat,
    DeliveredBeforeError,
    FleetStatus,
    Funds,
    Known,
    Legacy,
    Member,
    SharedBooks,
    Sharing,
)

_PATIENCE: Final = 10.0
"""Seconds for which tasks in line wait for what cannot be reached."""

_SHORTEST: Final = 0.02
_LONGEST: Final = 0.25
"""Seconds between two questions of the same kind; at first, and at last."""

_LOOKS_AT_ONCE: Final = 500
_LOOKS_PER_SECOND: Final = 10_000
"""References that are looked up in one call, and about so many in a second: nothing else is
answered meanwhile."""

_LINGER: Final = 0.01
"""Seconds for which the first question waits for others that are looked up with it."""

_HOLD: Final = 10.0
"""Seconds beyond the deadline of a request for which leave to send it counts as used."""


class Post:
    """One account of the pool in its fleet.

    Args:
        member: What it is to the fleet.
        gate: Its own gate.
    """

    def __init__(self, member: Member, gate: Gate) -> None:
        self.member = member
        self.creates_wanted = anyio.Event()
        self.polls_wanted = anyio.Event()
        self.was_shut = False
        self.reopened: int | None = None  # how often, as far as this pool has heard
        self.keeper = LeaveKeeper(
            gate,
            rated_polls=member.polls_per_second is not None,
            want_creates=self._want_creates,
            want_polls=self._want_polls,
        )

    def _want_creates(self) -> None:
        self.creates_wanted.set()

    def _want_polls(self) -> None:
        self.polls_wanted.set()


class Membership:
    """A pool's part in its fleet.

    Args:
        fleet: What its pools share.
        ledger: The books that are among that.
        posts: The accounts, and who works for each.
        books: The books of this pool.
        budget: The limits on money.
        runner: Decides when requests go out.
        loop: The event loop.
    """

    def __init__(
        self,
        fleet: SharedBooks,
        ledger: SharedLedger,
        posts: Mapping[Post, Session],
        *,
        books: Books,
        budget: Budget,
        runner: Runner,
        loop: EventLoop,
    ) -> None:
        self._fleet = fleet
        self._ledger = ledger
        self._posts = posts
        self._session_of = {post.member.account: session for post, session in posts.items()}
        self._books = books
        self._budget = budget
        self._sessions = {session.line: session for session in posts.values()}
        self._callers = Callers(self._sessions)
        self._runner = runner
        self._clock = loop.clock
        self._unknown = 0
        self._away_since = inf
        self._legacies: list[Legacy] = []

    async def run(self) -> None:
        """Do all of it until cancelled."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._look_up)
            for post, session in self._posts.items():
                group.start_soon(self._fetch_creates, post, session)
                group.start_soon(self._fetch_polls, post)
            while True:
                while self._legacies:
                    self._take_over(self._legacies.pop(), group)
                await anyio.sleep(min(1.0, self._fleet.lease / 5))
                await self.beat()
                for entry in self._left_behind():
                    group.start_soon(self._see_to, entry, self._sessions[entry.line])

    async def status(self) -> FleetStatus:
        """Ask how the fleet stands.

        Raises:
            JournalError: It cannot be reached.
        """
        try:
            await self._ledger.flush()
            return await self._fleet.status()
        except ConnectionError as error:
            problem = str(error)
        raise JournalError(f"what the fleet shares cannot be reached ({problem})")

    # --------------------------------------------------------------------- signs of life

    async def beat(self) -> None:
        """Give a sign of life, and do as the answer says; once before `run` as well."""
        try:
            beat = await self._fleet.beat()
            if beat.unknown != self._unknown:
                self._ledger.take_unknown(await self._fleet.unknowns())
                self._unknown = beat.unknown
            await self._give_back()
        except ConnectionError as error:
            self._note_away(str(error))
            return
        self._away_since = inf
        self._heed(beat)
        self._legacies += beat.legacies

    def _heed(self, beat: Beat) -> None:
        if not beat.was_alive:
            self._ledger.tell_again()
        for post, gates in zip(self._posts, beat.gates, strict=True):
            reopened = post.reopened not in {None, gates.reopened}
            self._posts[post].standing.heed(gates, was_shut=post.was_shut, reopened=reopened)
            post.was_shut, post.reopened = bool(gates.shut_by), gates.reopened
        self._runner.wake()

    async def _give_back(self) -> None:
        """Let others have the leave that is not used here."""
        for post, session in self._posts.items():
            if not session.line.queue and (names := post.keeper.given_back()):
                await self._fleet.release(post.member, names)

    def _take_over(self, legacy: Legacy, group: TaskGroup) -> None:
        session = self._session_of[legacy.account]
        window = session.service.result_window
        age = max(0.0, window - legacy.left)
        try:
            task = self._ledger.inherit(legacy.text, account=legacy.account, age=age, window=window)
        except ConfigurationError as error:  # this pool's own are not to end with it
            log.error("what another pool has paid for is left to others: %s", error.message)
            return
        if task.task_id in session.line.paid:  # its own: it was taken for dead too soon
            self._ledger.taken_up(task)
            return
        entry = session.entry_of(task)
        entry.once = self._ledger.is_once(task)
        session.adopt(entry)
        group.start_soon(self._see_to, entry, session)

    def _left_behind(self) -> list[Entry]:
        """Return what was paid for once, and has lost its caller here: others may wait for it."""
        return [
            entry
            for line in self._sessions
            if line.phases[Phase.ORPHANED]
            for entry in line.orphans()
            if entry.once and entry.kept is None
        ]

    async def _see_to(self, entry: Entry, session: Session) -> None:
        """Have fetched what is paid for, and nobody here waits for."""
        await self._callers.shared(entry, inf)
        if entry.once and entry.phase in {Phase.SOLVED, Phase.FAILED}:
            # To whoever asks for its reference, in any pool.
            self._ledger.passed_on(session.saved(entry))
        self._books.release(entry)

    def _note_away(self, problem: str) -> None:
        now = self._clock()
        if self._away_since == inf:
            self._away_since = now
            log.error(
                "what the fleet shares cannot be reached (%s); no task is created meanwhile",
                problem,
            )
        if now - self._away_since >= _PATIENCE:
            error = JournalError(
                f"what the fleet shares cannot be reached for {now - self._away_since:.0f} s "
                f"({problem}), so createTask was not sent"
            )
            for session in self._posts.values():
                session.standing.turn_away_queued(error)
            for entry in self._books.aside():
                self._books.refuse(entry, error)

    # ------------------------------------------------------------------- leave, and places

    async def _fetch_creates(self, post: Post, session: Session) -> None:
        pause = _SHORTEST
        while True:
            await post.creates_wanted.wait()
            post.creates_wanted = anyio.Event()
            line = session.line
            most = post.keeper.short_of(len(line.queue), len(line.creating))
            if most < 1:
                continue
            try:
                leave = await self._fleet.acquire(post.member, most)
            except ConnectionError as error:
                self._note_away(str(error))
                await anyio.sleep(_LONGEST)
                post.creates_wanted.set()
                continue
            if leave.names:
                post.keeper.got_creates(
                    leave.names,
                    since=self._clock() + leave.wait,
                    gap=leave.gap,
                    hold=post.member.hold,
                )
                self._runner.wake()
                pause = _SHORTEST
            else:
                await anyio.sleep(max(leave.wait, pause))
                pause = min(2 * pause, _LONGEST)
                post.creates_wanted.set()

    async def _fetch_polls(self, post: Post) -> None:
        rate = post.member.polls_per_second or inf
        while True:
            await post.polls_wanted.wait()
            post.polls_wanted = anyio.Event()
            try:
                leave = await self._fleet.slots(post.member, max(1, int(rate * _LONGEST)))
            except ConnectionError as error:
                self._note_away(str(error))
                # What is paid is polled on all the same, as if nobody else were there.
                post.keeper.got_polls(1, since=self._clock() + 1 / rate, gap=0.0)
                self._runner.wake()
                continue
            if leave.names:
                post.keeper.got_polls(
                    len(leave.names), since=self._clock() + leave.wait, gap=leave.gap
                )
                self._runner.wake()
            else:
                await anyio.sleep(leave.wait)
                post.polls_wanted.set()

    # ------------------------------------------------------------------------- references

    async def _look_up(self) -> None:
        """Find out for what others have asked as well, and what became of it."""
        pause = _SHORTEST
        while True:
            entries = self._books.aside()
            if not entries:
                pause = _SHORTEST
                await self._ledger.questions.wait()
                await anyio.sleep(_LINGER)
                self._ledger.questions = anyio.Event()
                continue
            try:
                found = await self._looked_up([entry.reference or "" for entry in entries])
            except ConnectionError as error:
                self._note_away(str(error))
                await anyio.sleep(_LONGEST)
                continue
            aside = set(self._books.aside())
            for entry, known in zip(entries, found, strict=True):
                if entry in aside:  # nobody has let go of it meanwhile
                    self._answer(entry, known)
            if not self._books.aside():
                continue
            with anyio.move_on_after(pause):
                await self._ledger.questions.wait()
            self._ledger.questions = anyio.Event()
            pause = min(2 * pause, max(_LONGEST, len(entries) / _LOOKS_PER_SECOND))

    async def _looked_up(self, references: Sequence[str]) -> list[Known | None]:
        found: list[Known | None] = []
        for first in range(0, len(references), _LOOKS_AT_ONCE):
            found += await self._fleet.look(references[first : first + _LOOKS_AT_ONCE])
        return found

    def _answer(self, entry: Entry, known: Known | None) -> None:
        session, reference = self._sessions[entry.line], repr(entry.reference)
        match known:
            case None:
                self._books.line_up(entry)
            case Known("ended", text, seconds):
                try:
                    task, result = result_of(text)
                except ConfigurationError as error:  # a newer version has written it
                    self._books.refuse(entry, error.for_ticket(None, None))
                    return
                if (task.type, task.host) == (entry.kind.task_type, entry.kind.host):
                    session.found(entry, task, result, seconds)
                    return
                problem = (
                    f"reference {reference} stands for another task in the fleet, a "
                    f"{task.type} for {task.host or 'no page'}; give each task one of its own"
                )
                self._books.refuse(entry, ConfigurationError(problem))
            case Known("delivered", seconds=seconds):
                problem = (
                    f"what the reference {reference} came to was given out before, and the "
                    f"fleet remembers that for another {seconds:,.0f} s"
                )
                self._books.refuse(entry, DeliveredBeforeError(problem))
            case Known("unknown") if self._budget.may_repeat(entry.points):
                entry.repeated = True
                self._books.line_up(entry)
            case Known("unknown"):
                problem = (
                    f"the answer to createTask for the reference {reference} was "
                    "lost; it may have been paid for"
                )
                self._books.refuse(entry, SubmissionUnknownError(problem))
            case _:
                pass  # another pool sees to it


class Joined:
    """A fleet that a pool has joined, before it works.

    Args:
        fleet: What its pools share.
        members: What the accounts are to it.
        unix_time: Returns Unix time in seconds.
    """

    def __init__(
        self, fleet: SharedBooks, members: Sequence[Member], unix_time: Callable[[], float]
    ) -> None:
        self.fleet = fleet
        self.ledger = SharedLedger(fleet, unix_time)
        self._members = members

    def posts(self, gates: Sequence[Gate]) -> list[Post]:
        """Return the accounts, each with its own gate."""
        return list(map(Post, self._members, gates))

    def membership(
        self,
        posts: Mapping[Post, Session],
        *,
        books: Books,
        budget: Budget,
        runner: Runner,
        loop: EventLoop,
    ) -> Membership:
        """Return the pool's part in it; see `Membership`."""
        return Membership(
            self.fleet, self.ledger, posts, books=books, budget=budget, runner=runner, loop=loop
        )


async def join(
    fleet: Sharing, accounts: Sequence[Account], settings: Settings, unix_time: Callable[[], float]
) -> Joined:
    """Join a fleet.

    Raises:
        ConfigurationError: It cannot be used, or its pools have other limits.
    """
    members = [_member_of(account, settings.request_timeout) for account in accounts]
    funds = Funds(budget=settings.budget, unknown_budget=settings.unknown_budget)
    return Joined(await fleet.join(members, funds), members, unix_time)


def _member_of(account: Account, request_timeout: float) -> Member:
    return Member(
        account=account.name,
        creates_per_second=account.creates_per_second,
        polls_per_second=account.polls_per_second,
        max_creates=account.max_creates,
        max_in_flight=account.max_in_flight,
        most_errors=MOST_ERRORS,
        error_window=account.service.ban_window,
        hold=request_timeout + _HOLD,
    )

"""The one coroutine that decides when requests go out.

It sleeps until the earliest due time, lets the books turn everything that is due into
commands, and runs them under one limit on requests, outside the HTTP client's own pool.
Each request runs in a **lane**: a child coroutine that performs one command, then takes
the next one that is due, and rests when there is none. So no caller's cancellation ever
reaches a request, and starting one costs no coroutine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from math import inf
from typing import TYPE_CHECKING, Final

import anyio
from anyio.lowlevel import checkpoint

from ezcaptcha_async._books import Books, Command, Entry, answer
from ezcaptcha_async._runtime.event_loop import EventLoop, Waiter

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

_TICK: Final = 0.01
"""Least seconds between two alarms: what falls due within one tick goes out as one batch."""

_BATCH: Final = 200
"""Most entries looked at before other coroutines get their turn."""

_STARTS: Final = 100
"""Most tasks that begin before other coroutines get their turn: thousands of callers may come
in one turn of the event loop, and each of them would be served in it."""

_TURN: Final = 20
"""Commands after which a lane lets other coroutines have their turn."""

Errand = Callable[[], Awaitable[None]]
_Command = Command | Errand


class Runner:
    """Runs the commands that the books give out.

    Args:
        books: Gives out the commands.
        perform: Performs one of them; must not raise for what a service or a network does.
        begin: Begins with a task that stood in line for it; must not raise.
        max_requests: Most requests at a time.
        loop: The event loop.
    """

    def __init__(
        self,
        books: Books,
        perform: Callable[[Command], Awaitable[None]],
        *,
        begin: Callable[[Entry], None],
        max_requests: int,
        loop: EventLoop,
    ) -> None:
        self._loop = loop
        self._clock = loop.clock
        self._books = books
        self._perform = perform
        self._begin = begin
        self._max_requests = max_requests
        self._errands: deque[Errand] = deque()
        self._starts = 0  # since other coroutines had their turn
        self._starters: deque[Entry | Waiter] = deque()
        self._is_crowded = False
        self._at_work = 0
        self._resting: list[Waiter] = []  # the lanes that are not
        self._alarm = anyio.Event()
        self._alarm_at = -inf
        self._quiet = anyio.Event()
        self._has_ended = False
        books.wake = books.rounds.on_begin = self.wake

    def __repr__(self) -> str:
        return f"<Runner with {self._at_work} of {self._max_requests} requests in flight>"

    @property
    def requests_in_flight(self) -> int:
        """Lanes at work."""
        return self._at_work

    def wake(self) -> None:
        """Look at the books again at once: something was added to it."""
        self._alarm.set()

    def send(self, errand: Errand) -> None:
        """Run a request that is not in the books, before those that are."""
        self._errands.append(errand)
        self.wake()

    def may_begin(self) -> bool:
        """Say whether a task may be put into the books now; else it has to stand in line for it."""
        if self._starts >= _STARTS and not self._has_ended:
            return False
        self._starts += 1
        return True

    def stand_in_line(self, starter: Entry | Waiter) -> None:
        """Begin with a task, or answer who waits for a turn, when those before had theirs."""
        if not self._starters:
            self.wake()
        self._starters.append(starter)

    async def wait_quiet(self) -> None:
        """Wait until no request is in flight, and the books have seen to everybody."""
        while self._at_work or self._books.rounds.current:
            self._quiet = anyio.Event()
            await self._quiet.wait()

    async def run(self) -> None:
        """Run until cancelled.

        Raises:
            BaseException: Whatever `perform` or the books let escape: a mistake in
                this library. Everybody who waits must then be answered by the caller.
        """
        try:
            async with anyio.create_task_group() as lanes:
                while True:
                    now = self._clock()
                    # Set first: whoever adds something from here on rings the alarm again.
                    self._alarm = anyio.Event()
                    more = self._admit() | self._books.advance(now, _BATCH)
                    self._start_lanes(lanes, now)
                    if more:
                        await checkpoint()
                        if self._is_crowded:
                            await checkpoint()  # trio may have let us go before them
                        continue
                    if not self._at_work:
                        self._quiet.set()
                    self._alarm_at = max(self._books.next_time(now), now + _TICK)
                    with anyio.CancelScope(deadline=self._alarm_at):
                        await self._alarm.wait()
        finally:
            self._has_ended = True
            while self._admit():
                pass  # they find that the pool is closed, or are answered with all others
            self._at_work = 0  # also the lanes that were cancelled before they began
            self._quiet.set()

    def _admit(self) -> bool:
        """Let the next ones begin with their tasks; return whether there were any.

        Nothing is created meanwhile: what the first answer says of the account, all of them
        are to be told at once, instead of a request for each hundred.
        """
        first = min(_STARTS, len(self._starters))
        for _ in range(first):
            starter = self._starters.popleft()
            if isinstance(starter, Entry):
                self._begin(starter)
            else:
                answer(starter, None)
        # Whoever comes before they had their turn comes after those who wait.
        self._starts = _STARTS if self._starters else first
        self._is_crowded = bool(first)
        return self._is_crowded

    def _start_lanes(self, lanes: TaskGroup, now: float) -> None:
        while self._at_work < self._max_requests:
            command = self._next(now)
            if command is None:
                break
            if self._resting:
                answer(self._resting.pop(), command)
            else:
                lanes.start_soon(self._lane, command)

    def _next(self, now: float) -> _Command | None:
        if self._loop.is_inherited:
            return None  # trio goes on in a forked child, where it would pay on its own account
        if self._errands:
            command: _Command | None = self._errands.popleft()
        else:
            crowd = self._is_crowded or self._starters
            command = self._books.take(now, creates=not crowd)
        self._at_work += command is not None
        return command

    async def _lane(self, command: _Command) -> None:
        performed = 0
        while True:
            performed += 1
            if performed % _TURN == 0:
                # A transport that answers without waiting would starve the event loop.
                await checkpoint()
            try:
                await (command() if callable(command) else self._perform(command))
            finally:
                self._at_work -= 1
                if not self._at_work:
                    self._quiet.set()
            command = self._following() or await self._rest()

    def _following(self) -> _Command | None:
        """Take the next command that is due, and ring for others that may be."""
        now = self._clock()
        command = self._next(now)
        if self._books.next_time(now) < self._alarm_at or (
            # What let this lane go on may let another one start.
            command is not None and self._at_work < self._max_requests
        ):
            self.wake()
        return command

    async def _rest(self) -> _Command:
        waiter = self._loop.waiter()
        self._resting.append(waiter)
        command: _Command = await waiter
        return command

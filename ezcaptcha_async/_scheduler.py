"""The one coroutine that decides when requests go out.

It sleeps until the earliest due time, lets the schedule turn everything that is due into
commands, and runs them under one limit on requests, outside the HTTP client's own pool.
Each request runs in a **lane**: a child coroutine that performs one command, then takes
the next one that is due, and ends when there is none. So no caller's cancellation ever
reaches a request, a busy pool starts no coroutine per request, and an idle pool has none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from math import inf
from typing import Final

import anyio
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from ezcaptcha_async._schedule import Create, Poll, Schedule

_TICK: Final = 0.01
"""Least seconds between two alarms: what falls due within one tick goes out as one batch."""

_BATCH: Final = 500
"""Most entries looked at before other coroutines get their turn."""

_TURN: Final = 20
"""Commands after which a lane lets other coroutines have their turn."""

Errand = Callable[[], Awaitable[None]]


class Scheduler:
    """Runs the commands of a schedule.

    Args:
        schedule: Gives out the commands.
        perform: Performs one of them; must not raise for what a service or a network does.
        max_requests: Most requests at a time.
        clock: The event loop's clock.
    """

    def __init__(
        self,
        schedule: Schedule,
        perform: Callable[[Create | Poll], Awaitable[None]],
        *,
        max_requests: int,
        clock: Callable[[], float],
    ) -> None:
        self._clock = clock
        self._schedule = schedule
        self._perform = perform
        self._max_requests = max_requests
        self._errands: deque[Errand] = deque()
        self._lanes = 0
        self._alarm = anyio.Event()
        self._alarm_at = -inf
        self._quiet = anyio.Event()

    def __repr__(self) -> str:
        return f"<Scheduler with {self._lanes} of {self._max_requests} requests in flight>"

    @property
    def requests_in_flight(self) -> int:
        """Lanes at work."""
        return self._lanes

    def wake(self) -> None:
        """Look at the schedule again at once: something was added to it."""
        self._alarm.set()

    def send(self, errand: Errand) -> None:
        """Run a request that is not in the schedule, before those that are."""
        self._errands.append(errand)
        self.wake()

    async def wait_quiet(self) -> None:
        """Wait until no request is in flight."""
        while self._lanes:
            self._quiet = anyio.Event()
            await self._quiet.wait()

    async def run(self) -> None:
        """Run until cancelled.

        Raises:
            BaseException: Whatever `perform` or the schedule let escape: a mistake in
                this library. Everybody who waits must then be answered by the caller.
        """
        async with anyio.create_task_group() as lanes:
            while True:
                now = self._clock()
                # Set first: whoever adds something from here on rings the alarm again.
                self._alarm = anyio.Event()
                more = self._schedule.advance(now, _BATCH)
                self._start_lanes(lanes, now)
                if more:
                    await checkpoint()
                    continue
                self._alarm_at = max(self._schedule.next_time(now), now + _TICK)
                with anyio.CancelScope(deadline=self._alarm_at):
                    await self._alarm.wait()

    def _start_lanes(self, lanes: TaskGroup, now: float) -> None:
        while self._lanes < self._max_requests:
            command = self._next(now)
            if command is None:
                break
            self._lanes += 1
            lanes.start_soon(self._lane, command)

    def _next(self, now: float) -> Create | Poll | Errand | None:
        return self._errands.popleft() if self._errands else self._schedule.take(now)

    async def _lane(self, command: Create | Poll | Errand | None) -> None:
        try:
            performed = 0
            while command is not None:
                performed += 1
                if performed % _TURN == 0:
                    # A transport that answers without waiting would starve the event loop.
                    await checkpoint()
                if isinstance(command, Create | Poll):
                    await self._perform(command)
                else:
                    await command()
                now = self._clock()
                command = self._next(now)
                if self._schedule.next_time(now) < self._alarm_at or (
                    # What let this lane go on may let another one start.
                    command is not None and self._lanes < self._max_requests
                ):
                    self.wake()
        finally:
            self._lanes -= 1
            if not self._lanes:
                self._quiet.set()

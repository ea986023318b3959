"""Everything that goes wrong in the chaos benchmarks, and what the service saw of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from math import ceil
from typing import Any

import attrs

from ezcaptcha_async.testing import Fault, SimulatedReply, SimulatedService

RATES = {
    Fault.RESET_BEFORE: 0.025,
    Fault.RESET_AFTER: 0.025,
    Fault.HTML: 0.025,
    Fault.UNAVAILABLE: 0.025,
    Fault.MALFORMED: 0.02,
    Fault.HANG: 0.02,
}
"""What strikes all through a run; a fault that hangs does so for `HANG_SECONDS`."""

HANG_SECONDS = 10.0
TASKS_LEFT = 30
"""For how many tasks there are points once the balance runs out."""
_POINTS_OF_A_TASK = 6

OFFENCES = ("ERROR_ZERO_BALANCE", "ERROR_KEY_DOES_NOT_EXIST", "ERROR_KEY_BANNED")
BAN_AFTER = 30
"""So many of these errors within a minute earn a ban."""
BANNED = ("ERROR_IP_BANNED", "ERROR_REQUEST_BANNED")


@attrs.frozen(kw_only=True)
class Plan:
    """When the large faults strike; seconds from the beginning, or from one to another.

    Args:
        throttled: Every second request is answered 429.
        blackout: No connection.
        ban: Every request is turned away.
        ban_is_lifted: The ban ends in any case; otherwise whatever comes during it begins
            it anew.
        empty_at: The balance runs out; a few tasks can still be paid.
        last_caller_at: Callers come until then.
    """

    throttled: tuple[float, float]
    blackout: tuple[float, float]
    ban: tuple[float, float]
    ban_is_lifted: bool = False
    empty_at: float
    last_caller_at: float


async def trouble(service: SimulatedService, plan: Plan, client_key: str) -> None:
    """Let the large faults strike, each at its time."""
    clock = asyncio.get_running_loop().time
    begin = clock()

    async def until(moment: float) -> None:
        await asyncio.sleep(begin + moment - clock())

    await until(plan.throttled[0])
    service.set_fault_rates({**RATES, Fault.THROTTLED: 0.5})
    await until(plan.throttled[1])
    service.set_fault_rates(RATES)
    await until(plan.blackout[0])
    service.set_fault_rates({Fault.REFUSED: 1.0})
    await until(plan.blackout[1])
    service.set_fault_rates(RATES)
    await until(plan.ban[0])
    service.ban(seconds=plan.ban[1] - plan.ban[0])
    if plan.ban_is_lifted:
        await until(plan.ban[1])
        service.lift_ban()
    await until(plan.empty_at)
    service.set_balance(client_key, TASKS_LEFT * _POINTS_OF_A_TASK)


class WatchedService(SimulatedService):
    """Notes for which page each task was charged, and when it refused what.

    A ban that `ban` imposes is stated in ``Retry-After``, because it is shorter than those
    that a client may take for granted; one that errors earn is not.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.begun = asyncio.Event()
        """Set with the first request."""
        self._pages: list[str] = []
        self._offences: list[float] = []
        self._met_ban: list[float] = []
        self._met_earned_ban = 0
        self._refused: Counter[str] = Counter()
        self._ban_began = self._ban_ends = 0.0

    def ban(self, now: float | None = None, seconds: float | None = None) -> None:
        """Impose a ban that says how long it lasts."""
        super().ban(now, seconds)
        self._ban_began = time.monotonic()
        self._ban_ends = self._ban_began + (seconds or 0.0)

    def handle(self, path: str, body: bytes, now: float, **how: Any) -> SimulatedReply:
        """Answer, and note."""
        self.begun.set()
        reply = super().handle(path, body, now, **how)
        if len(self.record) > len(self._pages):
            self._pages.append(json.loads(body)["task"]["websiteURL"])
        # Not from the reply: its JSON may be broken on purpose.
        refused = Counter(self.summary().refused)
        new, self._refused = refused - self._refused, refused
        self._offences += [now] * sum(new[code] for code in OFFENCES)
        if any(new[code] for code in BANNED):
            left = self._ban_ends - time.monotonic()
            if left > 0:
                self._met_ban.append(time.monotonic() - self._ban_began)
                header = ("retry-after", str(ceil(left)))
                reply = attrs.evolve(reply, headers=(*reply.headers, header))
            else:
                self._met_earned_ban += 1
        return reply

    def seen(self) -> dict[str, Any]:
        """Return what was noted, for `json.dumps`."""
        ids = [task.task_id for task in self.record.tasks]
        return {
            "charges": list(zip(ids, self._pages, strict=True)),
            "offences": self._offences,
            "met_ban": self._met_ban,
            "met_earned_ban": self._met_earned_ban,
        }

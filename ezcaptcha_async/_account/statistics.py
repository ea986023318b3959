"""What a pool has done and is doing, as one frozen snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import attrs

from ezcaptcha_async._timing import KindStatistics

_SAID: Final = (
    *("queued", "creating", "resumed", "waiting", "solved", "failed", "lapsed", "orphaned"),
    *("expired", "unknown", "refused", "cancelled", "unaccounted"),
)
"""What is told to people where it is not 0."""


@attrs.frozen(kw_only=True, repr=False)
class Statistics:
    """Counts of one account, or of a whole pool; as `str` they are said for people.

    At every moment ``created + resumed`` is the sum of ``waiting``, ``solved``,
    ``failed``, ``lapsed`` and ``orphaned``.

    Args:
        account: Name of the account; empty for the sum over a pool.
        queued: Tickets that wait for their turn to be created; nothing paid.
        creating: createTask requests in flight.
        waiting: Paid tickets that are being polled.
        created: Tasks that the service accepted.
        resumed: Paid tasks that were taken over from a saved ticket.
        solved: Solutions delivered.
        failed: Paid tasks that the service gave up on or would not give out.
        lapsed: Paid tasks whose result window ended.
        expired: Solutions among the delivered ones that had expired by then.
        orphaned: Paid tasks that nobody waits for; see ``SessionPool.orphans``.
        unknown: createTask requests whose answer was lost; see ``SessionPool.unknowns``.
        refused: Tasks that the service did not accept; nothing paid.
        cancelled: Tickets that were given up before anything was paid.
        requests: HTTP requests sent.
        polls: getTaskResult requests among them.
        points: Points paid, by the listed prices.

    Example:
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(TASK)
        >>> for account in pool.statistics().accounts:
        ...     print(account.account, account.solved, account.points)
        ezcaptcha:f8a8a060 1 6.0
    """

    account: str = ""
    queued: int = 0
    creating: int = 0
    waiting: int = 0
    created: int = 0
    resumed: int = 0
    solved: int = 0
    failed: int = 0
    lapsed: int = 0
    expired: int = 0
    orphaned: int = 0
    unknown: int = 0
    refused: int = 0
    cancelled: int = 0
    requests: int = 0
    polls: int = 0
    points: float = 0.0

    def __repr__(self) -> str:
        of = f" of {self.account}" if self.account else ""
        return (
            f"<{type(self).__name__}{of}: {self.queued} queued, {self.waiting} waiting, "
            f"{self.solved} solved, {self.points:.10g} points>"
        )

    def __str__(self) -> str:
        """Say what there is to say: counts of nothing are left out."""
        counts = [f"{number:,} {name}" for name in _SAID if (number := getattr(self, name))]
        paid = f"{self.created:,} tasks paid for {self.points:,.10g} points"
        sent = f"{self.requests:,} requests, {self.polls:,} of them polls"
        return f"{paid}: {', '.join(counts) or 'nothing yet'}; {sent}"

    @property
    def unaccounted(self) -> int:
        """Paid tasks that are in none of the counts; anything but 0 is a mistake of ours."""
        ended = self.solved + self.failed + self.lapsed
        return self.created + self.resumed - self.waiting - self.orphaned - ended


@attrs.frozen(kw_only=True, repr=False)
class PoolStatistics(Statistics):
    """Counts of a whole pool; as `str` they are said for people.

    Args:
        accounts: The same for each account, in the order in which they were given.
        requests_in_flight: HTTP requests under way at this moment.
        kinds: What the poll timing has learned of each kind of task.

    Example:
        >>> async with SessionPool() as pool:
        ...     solutions = await asyncio.gather(*(pool.solve(TASK) for _ in range(10)))
        >>> counts = pool.statistics()
        >>> counts.solved, counts.points, counts.unaccounted
        (10, 60.0, 0)
        >>> print(counts)
        10 tasks paid for 60 points: 10 solved; ... requests, ... of them polls
    """

    accounts: tuple[Statistics, ...] = ()
    requests_in_flight: int = 0
    kinds: tuple[KindStatistics, ...] = ()


_COUNTS: Final = [field.name for field in attrs.fields(Statistics) if field.name != "account"]


def sum_up(
    accounts: Iterable[Statistics],
    *,
    requests_in_flight: int,
    kinds: tuple[KindStatistics, ...] = (),
) -> PoolStatistics:
    """Add up the accounts of a pool."""
    snapshots = tuple(accounts)
    totals: dict[str, Any] = {
        name: sum([getattr(item, name) for item in snapshots]) for name in _COUNTS
    }
    return PoolStatistics(
        **totals, accounts=snapshots, requests_in_flight=requests_in_flight, kinds=kinds
    )

"""What pools on many machines share, and what they say to it: for whoever keeps it.

``ezcaptcha_async.redis.Fleet`` keeps it in Redis or Valkey. What is shared are the leave to send,
the limits on money, and the books. It is told what happens as text (JSON without any secret),
and needs to understand none of that but what stands beside it here.

Times are seconds from now, never a time of day: machines disagree on that, and what they share
has a clock of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias

import attrs

from ezcaptcha_async.errors import EzCaptchaError


@attrs.frozen(kw_only=True)
class Member:
    """One account of a pool, as it joins a fleet. All pools of it must agree on its limits.

    Args:
        account: Its name.
        creates_per_second: As of `Account`, for all pools together; so are the next three.
        polls_per_second: Likewise.
        max_creates: Likewise.
        max_in_flight: Likewise.
        most_errors: Most errors for a key or a balance within `error_window` seconds, those that
            requests in flight may still meet included.
        error_window: Seconds.
        hold: Seconds after which leave that was given, and not used, is void.
    """

    account: str
    creates_per_second: float | None = None
    polls_per_second: float | None = None
    max_creates: int
    max_in_flight: int | None = None
    most_errors: int
    error_window: float
    hold: float


@attrs.frozen(kw_only=True)
class Funds:
    """The limits on money of all pools together, in points; None for none."""

    budget: float | None = None
    unknown_budget: float | None = None


@attrs.frozen
class Leave:
    """Leave to send requests.

    Args:
        names: One for each createTask that may be sent; empty when none may.
        wait: Seconds until the first may be sent; or until it is worth asking again.
        gap: Seconds from one to the next.
    """

    names: tuple[str, ...] = ()
    wait: float = 0.0
    gap: float = 0.0


@attrs.frozen
class Known:
    """What is known of a reference.

    Args:
        state: ``intended``: its createTask is under way; ``paid``: it is being solved;
            ``ended``: what it came to is known; ``unknown``: the answer was lost;
            ``delivered``: a caller was given what it came to, which is of no more use.
        text: For ``ended``, what it came to, as it was told.
        seconds: For so long that stands.
    """

    state: Literal["intended", "paid", "ended", "unknown", "delivered"]
    text: str = ""
    seconds: float = 0.0


@attrs.frozen
class Overspent:
    """A createTask would cost more than is left of the budget, which is so many points."""

    left: float


@attrs.frozen(kw_only=True)
class Intention:
    """A createTask is about to be sent.

    Args:
        account: Name of the account.
        attempt: The name of the leave to send it.
        text: What is sent.
        points: What it costs.
        reference: What it is sent for; None where it may be paid for more than once.
        again: Whether one for the same may have been paid for already, so that it counts
            against the limit on that.
    """

    account: str
    attempt: str
    text: str
    points: float
    reference: str | None = None
    again: bool = False


@attrs.frozen(kw_only=True)
class Created:
    """A task is paid. `attempt` is empty where it was created elsewhere."""

    account: str
    attempt: str
    task_id: str
    text: str
    window: float
    reference: str | None = None


@attrs.frozen(kw_only=True)
class NotPaid:
    """A createTask was certainly not carried out."""

    account: str
    attempt: str
    points: float
    reference: str | None = None


@attrs.frozen(kw_only=True)
class Lost:
    """The answer to a createTask was lost; `text` is what was sent."""

    account: str
    attempt: str
    text: str
    reference: str | None = None


@attrs.frozen(kw_only=True)
class Settled:
    """What a paid task came to, for whoever asks for its reference in the next so many seconds."""

    account: str
    task_id: str
    reference: str
    text: str
    seconds: float


@attrs.frozen(kw_only=True)
class Ended:
    """A caller was told what a paid task came to, or nobody ever can be.

    `text` and `seconds` are those of `Settled`, where that was not told before.
    """

    account: str
    task_id: str
    reference: str | None = None
    text: str = ""
    seconds: float = 0.0


@attrs.frozen(kw_only=True)
class Delivered:
    """A caller was given what a reference came to: it is remembered as long as the fleet does."""

    reference: str


@attrs.frozen(kw_only=True)
class Trouble:
    """What an account has met, or that it takes tasks again.

    Args:
        account: Name of the account.
        kind: ``refused``: for its key or its balance, by `code`; ``banned``; ``paused``, as the
            service asked; ``reopened``.
        code: The service's error code.
        seconds: How long it wants no createTask.
        polls: How long it wants no getTaskResult.
    """

    account: str
    kind: Literal["refused", "banned", "paused", "reopened"]
    code: str = ""
    seconds: float = 0.0
    polls: float = 0.0


Fact: TypeAlias = Intention | Created | NotPaid | Lost | Settled | Ended | Delivered | Trouble
"""What is told after it has happened. To tell it twice changes nothing.

An `Intention` is told where what it came to is not known yet, and may have been forgotten.
"""


@attrs.frozen(kw_only=True)
class Gates:
    """How the gate of an account stands; what does not hold is empty or 0.

    Args:
        account: Name of the account.
        shut_by: The code by which its key or its balance was refused.
        reopened: How often it was reopened: one more, and it is so for all.
        banned: Seconds until a createTask may be sent.
        polls_banned: Seconds until a getTaskResult may be.
        paused: Seconds until either may be.
    """

    account: str
    shut_by: str = ""
    reopened: int = 0
    banned: float = 0.0
    polls_banned: float = 0.0
    paused: float = 0.0


@attrs.frozen(kw_only=True)
class Legacy:
    """A paid task of a pool that is gone: its text, and for how many seconds it can be fetched."""

    account: str
    text: str
    left: float


@attrs.frozen(kw_only=True)
class Beat:
    """What a sign of life is answered with.

    Args:
        was_alive: Whether the fleet knew this pool, and all that it has told: if not, it was
            taken for dead, or something was forgotten.
        pools: How many pools are alive.
        unknown: How many createTask requests are listed whose answer was lost.
        gates: How the gates stand.
        legacies: What this pool is to fetch from now on.
    """

    was_alive: bool
    pools: int
    unknown: int
    gates: tuple[Gates, ...] = ()
    legacies: tuple[Legacy, ...] = ()


@attrs.frozen(kw_only=True)
class AccountStatus:
    """One account of a fleet.

    Args:
        account: Its name.
        state: ``open``, ``shut by`` an error code, ``banned``, or ``paused``.
        retry_after: Seconds until a ban or a pause ends.
        creating: createTask requests that may be under way.
        in_flight: Paid tasks that can be fetched and were not.
        errors: Errors for its key or its balance of the last minute; at about 30 it is banned.
    """

    account: str
    state: str
    retry_after: float | None
    creating: int
    in_flight: int
    errors: int


@attrs.frozen(kw_only=True)
class FleetStatus:
    """How a fleet stands; see ``SessionPool.fleet_status``.

    Args:
        name: Its name.
        pools: How many pools are alive.
        accounts: Their accounts.
        budget: Most points that may be spent; None for no limit.
        spent: Points that were, or may have been, spent, and those of createTasks under way.
        created: Tasks created.
        done: Tasks whose outcome was given to a caller.
        adopted: Tasks that were taken over from pools that were gone.
        unknown: createTask requests of the last day whose answer was lost.
    """

    name: str
    pools: int
    accounts: tuple[AccountStatus, ...]
    budget: float | None
    spent: float
    created: int
    done: int
    adopted: int
    unknown: int


class DeliveredBeforeError(EzCaptchaError):
    """What a reference came to was given to another caller, who may be on another machine.

    Its token is of no more use, and where the fleet is told to ``remember``, no other one is
    bought. Use what that caller has made of it, or another reference.
    """


class SharedBooks(Protocol):
    """What the pools of one fleet share, as one of them has it.

    Every method but `aclose` raises ConnectionError, without any secret in it, where it cannot
    be reached; then nobody knows whether it has done what it was asked for, and it is asked
    again: to be asked twice for the same must change nothing.
    """

    @property
    def run(self) -> str:
        """A name of this pool that no other one has."""
        ...

    @property
    def lease(self) -> float:
        """Seconds without a `beat` after which a pool is taken for dead."""
        ...

    @property
    def remember(self) -> float:
        """Seconds for which it knows what was `Delivered`; 0 where it is not to be told."""
        ...

    async def acquire(self, member: Member, most: int) -> Leave:
        """Ask for leave to send up to so many createTask requests."""
        ...

    async def release(self, member: Member, names: Sequence[str]) -> None:
        """Give leave back that will not be used."""
        ...

    async def slots(self, member: Member, most: int) -> Leave:
        """Ask for leave to send up to so many getTaskResult requests; their names mean nothing."""
        ...

    async def intend(self, intention: Intention) -> Known | Overspent | None:
        """Write down that a createTask is about to be sent; else say why it must not be.

        ConnectionError also where the leave that it names is void, or given back.
        """
        ...

    async def tell(self, facts: Sequence[Fact]) -> None:
        """Write down what has happened, in this order."""
        ...

    async def look(self, references: Sequence[str]) -> list[Known | None]:
        """Say what is known of references."""
        ...

    async def beat(self) -> Beat:
        """Give a sign of life."""
        ...

    async def unknowns(self) -> list[str]:
        """Return the texts of the createTask requests whose answer was lost."""
        ...

    async def status(self) -> FleetStatus:
        """Return how the fleet stands."""
        ...

    async def aclose(self) -> None:
        """Leave: what is paid and not done is for others to fetch."""
        ...


class Sharing(Protocol):
    """What a pool is given as ``fleet``."""

    async def join(self, members: Sequence[Member], funds: Funds) -> SharedBooks:
        """Join.

        Raises:
            ConfigurationError: It cannot be used, or its pools have other limits.
        """
        ...


__all__ = [
    "AccountStatus",
    "Beat",
    "Created",
    "Delivered",
    "DeliveredBeforeError",
    "Ended",
    "Fact",
    "FleetStatus",
    "Funds",
    "Gates",
    "Intention",
    "Known",
    "Leave",
    "Legacy",
    "Lost",
    "Member",
    "NotPaid",
    "Overspent",
    "Settled",
    "SharedBooks",
    "Sharing",
    "Trouble",
]

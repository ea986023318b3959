"""When to poll, and how long to back off: plain policies, no clock and no IO.

`PollTiming` is the whole interface between a policy and the rest. A policy only proposes;
the books see to it that the service's spacing is never undercut, and that a last poll
comes before the result window ends.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final, Protocol, runtime_checkable

import attrs

from ezcaptcha_async._checks import is_number
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.services import check_speed
from ezcaptcha_async.tasks import Kind


@attrs.frozen(kw_only=True)
class KindStatistics:
    """What a policy knows of one kind of task. Times in seconds.

    Args:
        kind: Service, task type and host of the page.
        tasks: How many were seen ready.
        polls_per_task: Answered polls for each of them, those of failed tasks included;
            None when there was none yet, and what is known is known from the type.
        median: Half of the tasks are ready within this, by the present estimate.
        p95: 95 % of them are.
        overshoot: Estimated mean from ready to the poll that saw it; None when none was seen.

    Example:
        >>> async with SessionPool() as pool:
        ...     solutions = await asyncio.gather(*(pool.solve(TASK) for _ in range(100)))
        >>> for known in pool.statistics().kinds:
        ...     print(known.kind.host, known.tasks, f"{known.median:.0f} s")
        example.com 100 1... s
    """

    kind: Kind
    tasks: int
    polls_per_task: float | None
    median: float
    p95: float
    overshoot: float | None


class PollTiming(Protocol):
    """Decides when to poll. Ages are seconds since the task was created.

    A poll's age is that of its sending, and a wait counts from the receipt of its answer.

    Example:
        >>> class SlowHost(PollPolicy):  # a fixed plan, which has all six methods; one is replaced
        ...     def first_poll(self, kind, spacing, rng):
        ...         return 40.0 if kind.host == "example.com" else self.first_delay
        >>> async with SessionPool(polling=SlowHost()) as pool:
        ...     solution = await pool.solve(TASK)
        >>> solution.receipt.polls
        1
    """

    def first_poll(self, kind: Kind, spacing: float, rng: Random) -> float:
        """Return the age at which to poll for the first time.

        Args:
            kind: The kind of task.
            spacing: Least seconds between two polls of one task.
            rng: The source of jitter.
        """
        ...

    def next_poll(self, kind: Kind, spacing: float, age: float, polls: int, rng: Random) -> float:
        """Return the seconds to wait after a ``processing`` answer.

        Args:
            kind: The kind of task.
            spacing: Least seconds between two polls of one task; a shorter wait becomes it.
            age: When that poll was sent.
            polls: How many polls were answered so far.
            rng: The source of jitter.
        """
        ...

    def learn(self, kind: Kind, after: float, age: float, *, ready: bool) -> bool | None:
        """Take notice of one answered poll.

        Args:
            kind: The kind of task.
            after: When the poll before it was sent; 0 when it was the first.
            age: When the poll was sent.
            ready: What it said.

        Returns:
            Whether so much more is known that the tasks of this type that wait are to be
            planned anew, each by another `first_poll` or `next_poll`. None is no.
        """
        ...

    def paced(self, late: float, now: float) -> None:
        """Take notice of how late a poll goes out: a limit holds it back.

        Args:
            late: Seconds after it was due.
            now: Seconds on the event loop's clock.
        """
        ...

    def remaining(self, kind: Kind, age: float) -> float | None:
        """Return the seconds until a task is ready, as expected; None when unknown.

        Args:
            kind: The kind of task.
            age: How old it is, still unsolved.
        """
        ...

    def kinds(self) -> tuple[KindStatistics, ...]:
        """Return what is known of each kind; nothing where nothing is learned."""
        ...


@runtime_checkable
class Scouting(Protocol):
    """What a `PollTiming` may have besides: tasks that others learn from.

    Example:
        >>> class Eager(PollPolicy):  # of each type, the first three that are in flight
        ...     def scouts(self, kind, place):
        ...         return place < 3
        >>> async with SessionPool(polling=Eager()) as pool:
        ...     solution = await pool.solve(TASK)
        >>> solution.receipt.polls
        5
    """

    def scouts(self, kind: Kind, place: int) -> bool:
        """Return whether a task is polled as soon as the spacing allows.

        It is asked before each of the task's polls is planned.

        Args:
            kind: The kind of task.
            place: The lowest number, from 0, that no other task of its type had that its
                account had in flight.
        """
        ...


def _between(low: float, high: float, unit: str = "") -> Callable[..., None]:
    def check(_policy: object, field: attrs.Attribute[Any], value: object) -> None:
        if not is_number(value, low, high):
            raise ConfigurationError(
                f"{field.name} must be between {low} and {high}{unit}, not {value!r}"
            )

    return check


_check_seconds: Final = _between(0, 300, " seconds")


def _check_max_interval(policy: PollPolicy, _field: attrs.Attribute[Any], value: float) -> None:
    if value < policy.interval:
        raise ConfigurationError("max_interval must not be shorter than interval; set it as well")


@attrs.frozen(kw_only=True)
class PollPolicy:
    """A fixed plan: one first delay, then intervals that grow.

    The defaults come from the services' pages: tasks take 10 to 80 s, and a ``processing``
    answer asks for 3 s of patience. Growing by 10 % costs about a tenth more delay on a
    slow task and saves about half of its polls.

    Args:
        first_delay: Seconds from creation to the first poll.
        interval: Seconds from the first ``processing`` to the next poll.
        growth: Factor on the interval after each further ``processing``; 1 keeps it.
        max_interval: Most seconds between two polls.
        jitter: Share by which a delay is stretched at random (0 to 1), so that tasks that
            were created together do not poll together for ever.

    Raises:
        ConfigurationError: A value is out of range; the message names it.

    Example:
        >>> polling = PollPolicy(first_delay=12, interval=4, growth=1)
        >>> async with SessionPool(polling=polling) as pool:
        ...     solution = await pool.solve(TASK)
        >>> solution.receipt.polls
        2
    """

    first_delay: float = attrs.field(default=10.0, validator=_check_seconds)
    interval: float = attrs.field(default=3.0, validator=_check_seconds)
    growth: float = attrs.field(default=1.1, validator=_between(1, 10))
    max_interval: float = attrs.field(default=8.0, validator=[_check_seconds, _check_max_interval])
    jitter: float = attrs.field(default=0.1, validator=_between(0, 1))

    def first_poll(self, kind: Kind, spacing: float, rng: Random) -> float:
        """Return `first_delay`, stretched by jitter."""
        return self.first_delay * (1 + self.jitter * rng.random())

    def next_poll(self, kind: Kind, spacing: float, age: float, polls: int, rng: Random) -> float:
        """Return the interval after this many polls, stretched by jitter."""
        grown = self.interval * self.growth ** min(polls - 1, 100)
        return min(grown, self.max_interval) * (1 + self.jitter * rng.random())

    def learn(self, kind: Kind, after: float, age: float, *, ready: bool) -> bool | None:
        """Learn nothing: the plan is fixed."""
        return False

    def paced(self, late: float, now: float) -> None:
        """Take no notice, likewise."""

    def remaining(self, kind: Kind, age: float) -> float | None:
        """Return None: nothing was learned."""
        return None

    def kinds(self) -> tuple[KindStatistics, ...]:
        """Return nothing, likewise."""
        return ()

    def at_speed(self, speed: float) -> PollPolicy:
        """Return the same plan for a service that runs faster.

        Args:
            speed: How many times as fast; 10 for a simulated service in a demonstration.

        Raises:
            ConfigurationError: `speed` is not a positive number.
        """
        check_speed(speed)
        return attrs.evolve(
            self,
            first_delay=self.first_delay / speed,
            interval=self.interval / speed,
            max_interval=self.max_interval / speed,
        )

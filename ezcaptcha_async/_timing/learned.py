"""The default policy: learns how long tasks take, and polls by the best plan for that. Pure.

`kinds` keeps what was learned, `plan` finds the best ages to poll at, `price` says what a poll
is worth at present; here they become a `PollTiming`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from math import exp
from random import Random
from typing import Any, Final

from ezcaptcha_async._checks import is_number, path_in
from ezcaptcha_async._timing.ages import AGES, age_near
from ezcaptcha_async._timing.kinds import Kinds, TypeModel
from ezcaptcha_async._timing.plan import Plan
from ezcaptcha_async._timing.policy import KindStatistics
from ezcaptcha_async._timing.price import PollPrice
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.services import check_speed
from ezcaptcha_async.tasks import Kind

_LOWEST_PRICE: Final = 0.01
_HIGHEST_PRICE: Final = 60.0

_MORE: Final = 1 / 8
"""How much older a task is when it is asked again that takes longer than any that is known. In a
large burst the scale may be far off for a while, and that be all of them."""

_JITTER: Final = 0.05
"""By how much a first poll comes sooner or later than planned: all the exploration that is
needed to see when tasks become ready, and enough to spread those created together."""

_LONGEST_AGE: Final = 1e6


class LearnedPolling:
    """Learns from the answers to polls when the next ones are worth their price.

    Each type's solve times, how each site differs from its type, and how the service does
    at present are estimated from polls alone; the plan is the one with the least expected
    sum of polls times `poll_price` and seconds from ready to fetched. It follows drift
    both ways. Memory is bounded: 64 types and 4,096 sites, the least recently used go
    first. Pools of one event loop may share one.

    Args:
        poll_price: Seconds of delay that one poll is worth, 0.01 to 60. Less polls more
            often and fetches sooner.
        state_path: Where to keep what was learned while no pool is open: a JSON file, read
            when a pool is opened and replaced when it is closed. It names the hosts of the
            pages that tasks were for, and holds no key; only its owner may read it. A file
            that cannot be used is left as it is, and warned of. A relative path counts from the
            folder that is the current one now. None keeps nothing.

    Raises:
        ConfigurationError: `poll_price` is out of range, or `state_path` is no path.

    Example:
        >>> polling = LearnedPolling(poll_price=0.2, state_path="timing.json")
        >>> async with SessionPool(polling=polling) as pool:
        ...     solution = await pool.solve(TASK)
        >>> polling
        <LearnedPolling at 0.2 s a poll, 1 kinds>
    """

    def __init__(
        self,
        *,
        poll_price: float = 0.5,
        state_path: str | os.PathLike[str] | None = None,
    ) -> None:
        if not is_number(poll_price, _LOWEST_PRICE, _HIGHEST_PRICE):
            raise ConfigurationError(
                f"poll_price must be between 0.01 and 60 seconds, not {poll_price!r}; "
                "0.5 is the default"
            )
        self._poll_price = float(poll_price)
        self._state_path = None if state_path is None else _path_of(state_path)
        self._speed = 1.0
        self._price = PollPrice(self._poll_price)
        self._kinds = Kinds()

    def __repr__(self) -> str:
        return f"<LearnedPolling at {self._poll_price:g} s a poll, {len(self._kinds.sites)} kinds>"

    @property
    def poll_price(self) -> float:
        """Seconds of delay that one poll is worth while polls go out on time."""
        return self._poll_price

    @property
    def state_path(self) -> str | None:
        """Where what was learned is kept; None keeps nothing."""
        return self._state_path

    def first_poll(self, kind: Kind, spacing: float, rng: Random) -> float:
        """Return the age at which the first poll is worth its price, about."""
        plan, scale = self._plan(kind, spacing)
        return AGES[plan.first] * scale * (1 + _JITTER * (2 * rng.random() - 1))

    def next_poll(self, kind: Kind, spacing: float, age: float, polls: int, rng: Random) -> float:
        """Return the seconds until the next poll is worth its price; never below `spacing`."""
        plan, scale = self._plan(kind, spacing)
        index = age_near(age / scale)
        if index == len(AGES) - 1:
            return max(spacing, _MORE * age)
        return max(spacing, AGES[plan.following[index]] * scale - age)

    def scouts(self, kind: Kind, place: int) -> bool:
        """Let a few of many go first while little is known of their type."""
        return self._kinds.type_of(kind).scouts(place)

    def learn(self, kind: Kind, after: float, age: float, *, ready: bool) -> bool:
        """Learn from one answered poll, and say when that changes much."""
        after, age = after * self._speed, age * self._speed
        if not 0 <= after <= age <= _LONGEST_AGE:
            after, age = (min(max(0.0, item), _LONGEST_AGE) for item in (after, age))
        return self._kinds.learn(kind, after, age, ready=ready)

    def paced(self, late: float, now: float) -> None:
        """Raise the price while polls go out late, and lower it again to `poll_price`."""
        self._price.paced(late * self._speed, now * self._speed)

    def remaining(self, kind: Kind, age: float) -> float | None:
        """Return the seconds within which half of such tasks become ready."""
        model = self._kinds.known_type_of(kind)
        if model is None:
            return None
        scale = self._scale(kind)
        median = model.times.age_at(model.times.survival_at(age / scale) / 2) * scale
        return max(0.0, median - age)

    def kinds(self) -> tuple[KindStatistics, ...]:
        """Return what was learned of each kind, the least recently used first."""
        known = ((kind, self._kinds.known_type_of(kind)) for kind in self._kinds.sites)
        return tuple(self._statistics(kind, model) for kind, model in known if model is not None)

    def at_speed(self, speed: float) -> LearnedPolling:
        """Return a policy of the same price for a service that runs faster.

        It has learned nothing yet and keeps nothing: what a simulated service teaches is
        of no use with a real one.

        Args:
            speed: How many times as fast; 10 for a simulated service in a demonstration.

        Raises:
            ConfigurationError: `speed` is not a positive number.
        """
        check_speed(speed)
        faster = LearnedPolling(poll_price=self.poll_price)
        faster._speed = self._speed * speed
        return faster

    def to_dict(self) -> dict[str, Any]:
        """Write down what was learned as a JSON-able dict; see `state_path` for its use."""
        return self._kinds.to_dict()

    def restore(self, saved: object) -> None:
        """Take over what `to_dict` wrote down, instead of what was learned so far.

        Raises:
            ConfigurationError: It is damaged or of another version; nothing has changed.
        """
        self._kinds = Kinds.from_dict(saved)

    def _scale(self, kind: Kind) -> float:
        """Return the factor from the type's ages at scale 1 to this kind's, at present."""
        return exp(self._kinds.log_scale(kind)) / self._speed

    def _plan(self, kind: Kind, spacing: float) -> tuple[Plan, float]:
        """Return the plan for a kind, and the factor from its ages to those of the kind."""
        site, health = self._kinds.site_and_health_of(kind)
        log_scale, speed = health + site.drift, self._speed
        plan = self._kinds.type_of(kind).plan(log_scale, spacing * speed, self._price.now)
        return plan, exp(log_scale) / speed

    def _statistics(self, kind: Kind, model: TypeModel) -> KindStatistics:
        site, scale = self._kinds.sites[kind], self._scale(kind)
        return KindStatistics(
            kind=kind,
            tasks=site.tasks,
            polls_per_task=site.polls / site.tasks if site.tasks else None,
            median=model.times.age_at(0.5) * scale,
            p95=model.times.age_at(0.05) * scale,
            overshoot=site.overshoot / site.tasks / self._speed if site.tasks else None,
        )


def _path_of(given: str | os.PathLike[str]) -> str:
    path = path_in(given)
    if path is None:
        raise ConfigurationError(f"state_path must be the path of a file, not {given!r}")
    # The program may change its folder between reading the file and saving it.
    with suppress(OSError):  # its folder was removed
        return os.path.join(os.getcwd(), path)  # noqa: PTH109, PTH118 - pathlib is not for the pure
    return path

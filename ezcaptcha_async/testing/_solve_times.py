"""How long a simulated task takes: values that draw seconds from a random generator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from math import inf
from random import Random
from typing import Any, TypeAlias

import attrs

from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.testing._checks import number, positive

SolveTime: TypeAlias = Callable[[Random], float]
"""Draws one solve time in seconds, 0 or more; ``inf`` means that it is never solved."""

SolveTimes: TypeAlias = Mapping[str, SolveTime | float] | SolveTime | float


def _check_seconds(_owner: object, field: attrs.Attribute[Any], value: float) -> None:
    number(field.name, value)


def _check_positive(_owner: object, field: attrs.Attribute[Any], value: float) -> None:
    positive(field.name, value)


def _check_not_below_low(
    owner: LogNormal | Uniform, field: attrs.Attribute[Any], value: float
) -> None:
    number(field.name, value, low=owner.low)


@attrs.frozen
class Fixed:
    """Every task takes the same time.

    Args:
        seconds: 0 or more; ``inf`` means that it is never solved.

    Raises:
        ConfigurationError: `seconds` is negative or not a number.

    Example:
        >>> service = SimulatedService(solve_times={"ReCaptchaV2TaskProxyless": Fixed(15)})
        >>> async with SessionPool("any-key", http_client=service.client()) as pool:
        ...     solution = await pool.solve(TASK)
        >>> 15 <= solution.receipt.waited < 30
        True
    """

    seconds: float = attrs.field(validator=_check_seconds)

    def __call__(self, _random: Random) -> float:
        """Return the seconds."""
        return self.seconds


@attrs.frozen
class Uniform:
    """Any time between two bounds is as likely as any other.

    Args:
        low: Least seconds, 0 or more.
        high: Most seconds, not below `low`.

    Raises:
        ConfigurationError: A bound is out of range.

    Example:
        >>> from random import Random
        >>> solve_time = Uniform(10, 80)  # for SimulatedService(solve_times=solve_time)
        >>> 10 <= solve_time(Random()) <= 80
        True
    """

    low: float = attrs.field(validator=_check_seconds)
    high: float = attrs.field(validator=_check_not_below_low)

    def __call__(self, random: Random) -> float:
        """Draw the seconds."""
        return random.uniform(self.low, self.high)


@attrs.frozen
class LogNormal:
    """Most tasks near the median and a tail of slow ones, as solve times are in the field.

    Args:
        median: Half of the tasks take less; seconds above 0.
        sigma: Width, 0 or more: about two thirds lie between ``median / e**sigma`` and
            ``median * e**sigma``.
        low: What is drawn below this becomes this; seconds.
        high: What is drawn above this becomes this; seconds.

    Raises:
        ConfigurationError: A value is out of range.

    Example:
        >>> from random import Random
        >>> from statistics import median
        >>> solve_time = LogNormal(18, 0.3, high=120)
        >>> 16 < median(solve_time(Random(number)) for number in range(1_000)) < 20
        True
    """

    median: float = attrs.field(validator=_check_positive)
    sigma: float = attrs.field(validator=_check_seconds)
    low: float = attrs.field(default=0.0, kw_only=True, validator=_check_seconds)
    high: float = attrs.field(default=inf, kw_only=True, validator=_check_not_below_low)

    def __call__(self, random: Random) -> float:
        """Draw the seconds."""
        drawn = random.lognormvariate(math.log(self.median), self.sigma)
        return min(max(drawn, self.low), self.high)


def _check_parts(
    _owner: object, _field: attrs.Attribute[Any], parts: tuple[tuple[float, SolveTime], ...]
) -> None:
    if not parts:
        raise ConfigurationError("parts must hold at least one (weight, solve time)")
    for weight, _ in parts:
        positive("weight", weight)


@attrs.frozen
class Mixture:
    """Several kinds of tasks under one name: a part is picked by weight, then it draws.

    Args:
        parts: Pairs of (weight, solve time). Weights are above 0 and need not add up to 1.

    Raises:
        ConfigurationError: There are no parts, or a weight is not positive.

    Example:
        >>> from random import Random
        >>> solve_time = Mixture([(7, Fixed(12)), (3, Fixed(45))])  # 70 % fast, 30 % slow
        >>> sorted({solve_time(Random(number)) for number in range(100)})
        [12, 45]
    """

    parts: tuple[tuple[float, SolveTime], ...] = attrs.field(
        converter=tuple[tuple[float, SolveTime], ...], validator=_check_parts
    )

    def __call__(self, random: Random) -> float:
        """Draw the seconds."""
        weights = [weight for weight, _ in self.parts]
        _, solve_time = random.choices(self.parts, weights)[0]
        return solve_time(random)


def as_solve_time(value: SolveTime | float) -> SolveTime:
    """Take a plain number as `Fixed`."""
    return value if callable(value) else Fixed(value)

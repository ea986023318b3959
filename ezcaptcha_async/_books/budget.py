"""The limits on money: what may be spent, and what may be risked. Pure.

Nothing is kept here that could get out of step with the books: what is spent, reserved and
perhaps spent are sums over the accounts' own lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ezcaptcha_async._books.entries import Line
from ezcaptcha_async.errors import BudgetExceededError, ConfigurationError
from ezcaptcha_async.services import Offer

_ROUNDING: Final = 1e-9
"""Share of a limit that sums of decimal prices may come out too high by: 0.1 + 0.2 is above 0.3."""


class Budget:
    """What one pool may spend, in points.

    Args:
        budget: Most points for all tasks; None for no limit.
        unknown_budget: Most points for creates that are sent once more after their answer
            was lost; None for no such creates.
        lines: The accounts, more of which may come.
    """

    def __init__(
        self, budget: float | None, unknown_budget: float | None, lines: Sequence[Line]
    ) -> None:
        self._limit = budget
        self._unknown_budget = unknown_budget
        self._risked = 0.0
        self._lines = lines

    def __repr__(self) -> str:
        return f"<Budget, {self.committed:g} points of {self._limit} committed>"

    @property
    def committed(self) -> float:
        """What was paid, may have been paid, and will be paid if all goes well."""
        return sum(line.committed_points for line in self._lines)

    def check(self, task_type: str, offer: Offer | None, *, freed: float = 0.0) -> None:
        """Check that one more task may be created, when `freed` points are committed no more.

        Raises:
            BudgetExceededError: It costs more than is left.
            ConfigurationError: Nobody knows what it costs.
        """
        if self._limit is None:
            return
        if offer is None or offer.points is None:
            raise ConfigurationError(
                f"{task_type} has no listed price, which a budget needs; say what you pay for it: "
                f"attrs.evolve(service, offers=[Offer(type={task_type!r}, points=...), "
                "*service.offers])"
            )
        left = self._limit - self.committed + freed
        if offer.points > left + _ROUNDING * self._limit:
            raise BudgetExceededError(
                f"{task_type} costs {offer.points:g} points, and of the budget of "
                f"{self._limit:g} there are {max(0.0, left):g} left"
            )

    def may_repeat(self, price: float | None) -> bool:
        """Say whether a create whose answer was lost is sent again, and count what it risks."""
        limit = self._unknown_budget
        if limit is None or price is None or self._risked + price > limit * (1 + _ROUNDING):
            return False
        if self._limit is not None and self.committed + price > self._limit * (1 + _ROUNDING):
            return False
        self._risked += price
        return True

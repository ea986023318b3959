"""Knows about when a balance runs low, without asking for it after each task. Pure.

The balance is asked for when the first task is paid, and then only when what was paid since
may have brought it below the threshold; another process may spend from it as well, so it is
the service's word that counts. What is paid while a question is under way may or may not be
in the answer: it is taken as not, for asking once too often is better than telling too late.
"""

from __future__ import annotations

from math import inf
from typing import Final

_STEP: Final = 0.1
"""Share of the threshold that is spent between two questions while the balance is low."""


class BalanceWatch:
    """Watches the balance of one account.

    Args:
        low: Points below which its owner wants to be told.
    """

    def __init__(self, low: float) -> None:
        self._low = low
        self._expected = -inf
        self._ask_below = inf
        self._spent_meanwhile = 0.0
        self._told = False

    def __repr__(self) -> str:
        return f"<BalanceWatch, {self._expected:g} points expected>"

    def spent(self, points: float) -> None:
        """Note that a task was paid."""
        self._expected -= points
        self._spent_meanwhile += points

    def asks(self) -> bool:
        """Return whether to ask for the balance now, and note that it is done."""
        if self._expected >= self._ask_below:
            return False
        self._ask_below = -inf  # until the answer is in
        self._spent_meanwhile = 0.0
        return True

    def known(self, points: float) -> bool:
        """Note the balance; return whether its owner is to be told.

        Once, until it has been above the threshold again.
        """
        is_low = points < self._low
        tell = is_low and not self._told
        self._told = is_low
        self._expected = points - self._spent_meanwhile
        self._spent_meanwhile = 0.0
        self._ask_below = points - _STEP * self._low if is_low else self._low
        return tell

    def unknown(self) -> None:
        """Note that the question was not answered; the next task asks again."""
        self._ask_below = inf

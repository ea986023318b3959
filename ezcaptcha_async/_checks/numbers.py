"""What counts as a number where users, files and services write one."""

from __future__ import annotations

import sys
from typing import Final, TypeGuard

_LARGEST: Final = sys.float_info.max


def is_number(
    value: object, low: float = -_LARGEST, high: float = _LARGEST
) -> TypeGuard[int | float]:
    """Tell whether a value is a number in these bounds; a bool, infinity and NaN are none.

    Compared and not converted: JSON knows whole numbers that no float can hold.
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def is_positive(value: object) -> TypeGuard[int | float]:
    """Tell whether a value is such a number, and above 0."""
    return is_number(value) and value > 0


def is_count(value: object) -> TypeGuard[int]:
    """Tell whether a value is a whole number of at least 1."""
    return isinstance(value, int) and is_positive(value)

"""Checks of settings: what is wrong raises a ConfigurationError that names the setting."""

from __future__ import annotations

import ipaddress
from math import inf

from ezcaptcha_async.errors import ConfigurationError


def number(
    name: str, value: float, *, low: float = 0.0, high: float = inf, above: bool = False
) -> float:
    """Return a number that is `low` to `high`; `above` leaves `low` itself out."""
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    if not fits or not low <= value <= high or (above and value == low):
        least = f"more than {low:g}" if above else f"at least {low:g}"
        most = "" if high == inf else f" and at most {high:g}"
        raise ConfigurationError(f"{name} must be a number, {least}{most}, not {value!r}")
    return value


def whole(name: str, value: int, *, low: int = 0, high: float = inf) -> int:
    """Return a whole number that is `low` to `high`."""
    number(name, value, low=low, high=high)
    if not isinstance(value, int):
        raise ConfigurationError(f"{name} must be a whole number, not {value!r}")
    return value


def positive(name: str, value: float) -> float:
    """Return a number that is above 0 and finite."""
    if number(name, value, above=True) == inf:
        raise ConfigurationError(f"{name} must be finite")
    return value


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, by its name or address."""
    try:
        return host.lower() == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

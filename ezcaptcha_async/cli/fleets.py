"""Fleets as the command line names them, and how their pools stand."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING, Final

import anyio
import attrs

from ezcaptcha_async import ConfigurationError
from ezcaptcha_async.cli.output import Output, counted, points, printable
from ezcaptcha_async.fleets import FleetStatus

if TYPE_CHECKING:
    from ezcaptcha_async.redis import Fleet

_DAY: Final = 86_400.0

_VARIABLE: Final = "EZCAPTCHA_FLEET"
"""Holds the URL where no option names it: what options say, all users of a machine can read."""


def chosen(url: str | None, name: str | None) -> Fleet | None:
    """Return the fleet of a batch that was chosen by its name; None for none.

    It remembers for a day which rows are done: a machine that begins later, when their tokens have
    expired, buys none of them.
    """
    if name is not None:
        return named(url, name, remember=_DAY)
    if url is not None:
        raise ConfigurationError("--fleet needs --fleet-name: what all machines name their fleet")
    return None


def named(url: str | None, name: str, *, remember: float = 0.0) -> Fleet:
    """Return the fleet of a name, at a URL or at that of the environment."""
    if importlib.util.find_spec("redis") is None:
        raise ConfigurationError(
            "a fleet needs the extra: in the checkout of ezcaptcha_async, pip install '.[redis]'"
        )
    from ezcaptcha_async.redis import Fleet  # noqa: PLC0415 - an extra

    url = url or os.environ.get(_VARIABLE)
    if url is None:
        raise ConfigurationError(f"no URL of Redis or Valkey: give it, or set {_VARIABLE}")
    return Fleet(url, name=name, remember=remember)


def show(output: Output, fleet: Fleet, *, reopen: bool) -> None:
    """Show one fleet; first let its accounts take tasks again, if that is wanted."""

    async def ask() -> FleetStatus:
        if reopen:
            await fleet.reopen()
        return await fleet.status()

    status = anyio.run(ask)
    if output.as_json:
        output.document(attrs.asdict(status))
        return
    limit = "" if status.budget is None else f" of {points(status.budget)}"
    done, adopted = f"{status.done:,} delivered", f"{status.adopted:,} taken over from the dead"
    output.result(f"{status.name}: {counted(status.pools, 'pool')} alive")
    output.result(f"points: {points(status.spent)}{limit} spent, or meant to be")
    output.result(f"tasks: {status.created:,} created, {done}, {adopted}")
    output.result(f"unknown: {counted(status.unknown, 'createTask request')} of the last day")
    for item in status.accounts:
        wait = "" if item.retry_after is None else f" for {item.retry_after:.0f} s"
        tasks = f"{item.creating:,} being created, {item.in_flight:,} in flight"
        errors = f"{counted(item.errors, 'error')} in the last minute"
        output.result(printable(f"{item.account}: {item.state}{wait}; {tasks}, {errors}"))

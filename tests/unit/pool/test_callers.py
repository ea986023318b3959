"""Waiting for a task together with others."""

from __future__ import annotations

from math import inf
from types import SimpleNamespace
from typing import Any, cast

import anyio

from ezcaptcha_async import TicketCancelledError
from ezcaptcha_async._pool.callers import Callers, _with, _without
from ezcaptcha_async._runtime import Waiter
from tests.unit.books.keeper import Keeper


async def test_what_has_ended_for_everybody_ends_the_wait() -> None:
    """One who waits on when others give up would turn round and round for ever."""
    keeper = Keeper()
    entry = keeper.queued()
    error = TicketCancelledError("the ticket was cancelled")
    keeper.books.abandon(entry, error)
    session = SimpleNamespace(
        loop=SimpleNamespace(is_running=True),
        hold=lambda entry: keeper.books.hold(entry, 0.0),
    )
    sessions: Any = {keeper.line: session}
    with anyio.fail_after(5):
        assert await Callers(sessions).shared(entry, inf) is error


def test_many_who_wait_are_not_copied_for_each_that_comes_or_goes() -> None:
    """Eight thousand callers of one ticket would stop the event loop for two seconds."""
    one, *others = waiters = [cast("Waiter", object()) for _ in range(4)]
    assert _with(None, one) is one
    assert _without(one, one) is None
    known = _with(one, others[0])
    assert isinstance(known, dict)
    assert all(_with(known, waiter) is known for waiter in others)
    assert list(known) == waiters, "in the order in which they came"
    assert all(_without(known, waiter) is known for waiter in waiters)
    assert not known

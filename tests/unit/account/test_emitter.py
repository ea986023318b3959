"""Whoever watches a pool: the user's function, and the log."""

from __future__ import annotations

from ezcaptcha_async._account.emitter import Emitter


def test_repr_says_whether_anybody_watches() -> None:
    """The user's function, with whatever it is bound to, would be in our logs."""
    clock = lambda: 0.0  # noqa: E731
    assert repr(Emitter(None, clock)) == "<Emitter, unwatched>"
    assert repr(Emitter(print, clock)) == "<Emitter, watched>"

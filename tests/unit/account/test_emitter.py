"""Who tells of what happens, and what it says of itself."""

from __future__ import annotations

from ezcaptcha_async._account.emitter import Emitter


def test_repr_says_whether_anybody_watches() -> None:
    """The user's function, with whatever it is bound to, would be in our logs."""
    clock = lambda: 0.0  # noqa: E731
    assert repr(Emitter(None, clock)) == "<Emitter, unwatched>"
    assert repr(Emitter(print, clock)) == "<Emitter, watched>"

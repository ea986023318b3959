"""Exactly one level of our own exception group is taken off."""

from __future__ import annotations

from ezcaptcha_async._runtime.groups import unwrapped


def test_one_level_of_a_group_of_one_is_taken_off() -> None:
    """`except ValueError` around our `async with` would miss the user's, or `except*` theirs."""
    error, interrupt = ValueError("x"), KeyboardInterrupt()
    assert unwrapped(error) is error
    assert unwrapped(ExceptionGroup("ours", [error])) is error
    assert unwrapped(BaseExceptionGroup("ours", [interrupt])) is interrupt
    theirs = ExceptionGroup("theirs", [error])
    assert unwrapped(ExceptionGroup("ours", [theirs])) is theirs
    several = ExceptionGroup("ours", [error, OSError("y")])
    assert unwrapped(several) is several, "all but one of them would be lost"

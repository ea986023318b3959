"""Exactly one level of our own exception group is taken off."""

from __future__ import annotations

import pytest

from ezcaptcha_async._runtime.groups import unwrapped


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_a_plain_exception_stays(error: BaseException) -> None:
    """The user's own exception would come out changed."""
    assert unwrapped(error) is error


def test_the_only_exception_of_a_group_comes_out() -> None:
    """`except ValueError` around our `async with` would miss the user's ValueError."""
    error, interrupt = ValueError("x"), KeyboardInterrupt()
    assert unwrapped(ExceptionGroup("ours", [error])) is error
    assert unwrapped(BaseExceptionGroup("ours", [interrupt])) is interrupt


def test_a_group_that_the_user_raised_stays_a_group() -> None:
    """`except*` in the user's code would not see the group that was raised there."""
    theirs = ExceptionGroup("theirs", [ValueError("x")])
    assert unwrapped(ExceptionGroup("ours", [theirs])) is theirs


def test_several_exceptions_stay_together() -> None:
    """All but one of them would be lost."""
    group = ExceptionGroup("ours", [ValueError("x"), OSError("y")])
    assert unwrapped(group) is group

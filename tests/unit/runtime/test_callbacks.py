"""What a user's function raises ends nothing of ours, but for the end of the program itself."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import anyio
import pytest

from ezcaptcha_async._runtime import Callback, is_stray


def fails_with(mistake: type[BaseException]) -> Callable[[int], bool]:
    """Return a user's function that raises."""

    def fail(_value: int) -> bool:
        raise mistake

    return fail


def test_what_a_function_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The pool would be closed for everybody; or Ctrl-C be logged, and the program go on."""
    mistake: type[BaseException]
    for mistake in (ValueError, asyncio.CancelledError, GeneratorExit):
        Callback("on_event", fails_with(mistake), bool, default=False)(1)
        (record,) = caplog.records
        assert (record.levelno, record.exc_info) == (logging.ERROR, None)
        assert record.getMessage().startswith("on_event failed")
        caplog.clear()
    for mistake in (KeyboardInterrupt, SystemExit):
        with pytest.raises(mistake):
            Callback("on_event", fails_with(mistake), bool, default=False)(1)


async def test_whose_cancellation_it_is() -> None:
    """A pool that is closed would go on, or one whose HTTP client was closed would not."""
    assert is_stray(asyncio.CancelledError())
    assert not is_stray(ValueError())
    told: list[bool] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep(1)
        except anyio.get_cancelled_exc_class() as error:
            told.append(is_stray(error))
            raise
    assert told == [False]

"""What a user's function raises ends nothing of ours, but for the end of the program itself."""

from __future__ import annotations

import asyncio
import logging

import anyio
import pytest

from ezcaptcha_async._runtime import Callback, is_stray


@pytest.mark.parametrize("mistake", [ValueError, asyncio.CancelledError, GeneratorExit])
def test_what_a_function_raises_is_logged(
    mistake: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """The pool would be closed for everybody."""

    def fail(_value: int) -> None:
        raise mistake("a mistake")

    Callback("on_event", fail, bool, default=False)(1)
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.ERROR, None)
    assert record.getMessage().startswith("on_event failed")


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_a_program_that_is_to_end_ends(end: type[BaseException]) -> None:
    """Ctrl-C would be logged, and the program go on."""

    def fail(_value: int) -> None:
        raise end

    with pytest.raises(end):
        Callback("on_event", fail, bool, default=False)(1)


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

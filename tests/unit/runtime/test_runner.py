"""The runner after its end."""

from __future__ import annotations

import asyncio

import pytest

from ezcaptcha_async._books import Books
from ezcaptcha_async._runtime import Runner, current_event_loop


def test_nobody_waits_for_a_turn_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds who come in the moment in which a pool fails would wait for ever."""

    def broken(*_arguments: object) -> bool:
        raise ZeroDivisionError

    async def perform(_command: object) -> None: ...

    def begin(_entry: object) -> None: ...

    async def main() -> None:
        loop = current_event_loop()
        runner = Runner(books, perform, begin=begin, max_requests=1, loop=loop)
        with pytest.raises(ExceptionGroup):
            await runner.run()
        assert all(runner.may_begin() for _ in range(300))

    monkeypatch.setattr(books := Books(), "advance", broken)
    asyncio.run(main())

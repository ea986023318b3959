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

    async def main() -> None:
        runner = Runner(books, perform, max_requests=1, loop=current_event_loop())
        with pytest.raises(ExceptionGroup):
            await runner.run()
        assert all(runner.turn() is None for _ in range(300))

    monkeypatch.setattr(books := Books(), "advance", broken)
    asyncio.run(main())

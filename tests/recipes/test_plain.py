"""The README's plain programs for asyncio and trio, on real sockets."""

from __future__ import annotations

import pytest

from ezcaptcha_async.testing import SimulatedService
from tests.readme import BLOCKS, block_with

from .conftest import run_block


@pytest.mark.parametrize(
    "block", [BLOCKS[0], block_with("trio.run(")], ids=["asyncio.gather", "trio"]
)
def test_a_hundred_tasks_at_once(
    block: str, service: SimulatedService, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first program that a newcomer copies would lose tasks, or leave sockets open."""
    run_block(block)
    assert len(capsys.readouterr().out.splitlines()) == 100
    service.assert_charged(100)
    service.assert_all_fetched()
    service.assert_spacing_kept()

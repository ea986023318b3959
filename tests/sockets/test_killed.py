"""Processes that are killed: what the service has charged is delivered, fetched, or listed.

The kills are those of ``benchmarks/killed.py``; here they are a few, there they are 200.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "killed.py"


@pytest.fixture
def killed() -> ModuleType:
    """The benchmark, as a module."""
    spec = importlib.util.spec_from_file_location("killed", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["killed"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_process_loses_nothing_that_is_paid(killed: ModuleType) -> None:
    """A machine that runs out of memory ends processes so, in the middle of anything."""
    moments = killed.kill_often(2, 8, power_loss_safe=True)
    assert not [moment for moment in moments if moment.is_lost]
    figures = killed.totals(moments)
    assert figures["charged"] == sum(figures[name] for name in ("delivered", "resumed", "missing"))
    assert figures["missing"] <= figures["unknown"]
    assert figures["charged"] > 0

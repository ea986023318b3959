"""The notebook among the examples, run by a real Jupyter kernel."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ezcaptcha_async.testing import SimulatedService


def test_a_notebook(
    service: SimulatedService,
    run_file: Callable[..., subprocess.CompletedProcess[str]],
    example: Callable[[str], Path],
) -> None:
    """Each cell is an asyncio task of its own; a pool opened in one would die with it."""
    pytest.importorskip("ipykernel")
    pytest.importorskip("nbclient")
    path = example("notebook")
    run_file("-m", "jupyter", "execute", "--inplace", path.name)
    cells = json.loads(path.read_text("utf-8"))["cells"]
    shown = [output["data"]["text/plain"] for cell in cells for output in cell.get("outputs", ())]
    assert shown == [["'simulated.recapt'"], ["6.0"]]
    service.assert_charged(1)
    service.assert_all_fetched()

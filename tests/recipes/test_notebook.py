"""The README's notebook, run by a real Jupyter kernel."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ezcaptcha_async.testing import SimulatedService
from tests.readme import block_with


def notebook(block: str) -> str:
    """Return a notebook whose cells are the parts of a block that begin with ``# %%``."""
    parts = re.split(r"^(?=# %%)", block, flags=re.MULTILINE)[1:]
    cells = [
        {"cell_type": "code", "id": f"cell-{number}", "source": part}
        | {"metadata": {}, "outputs": [], "execution_count": None}
        for number, part in enumerate(parts)
    ]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})


def test_a_notebook(
    service: SimulatedService,
    run_file: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    """Each cell is an asyncio task of its own; a pool opened in one would die with it."""
    pytest.importorskip("ipykernel")
    pytest.importorskip("nbclient")
    path = tmp_path / "recipe.ipynb"
    path.write_text(notebook(block_with("# %%")), "utf-8")
    run_file("-m", "jupyter", "execute", "--inplace", path.name)
    cells = json.loads(path.read_text("utf-8"))["cells"]
    shown = [output["data"]["text/plain"] for cell in cells for output in cell["outputs"]]
    assert shown == [["'simulated.recapt'"], ["6.0"]]
    service.assert_charged(1)
    service.assert_all_fetched()

"""The client that EzCaptcha's maker publishes, against the simulated service."""

from __future__ import annotations

import pytest

pytest.importorskip("ezcapsolver", reason="ezcapsolver-py is not installed: it needs Python 3.12")

from benchmarks.side_by_side.makers_client import CASES, Case, ended


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_ends_as_its_documentation_says(case: Case) -> None:
    """The simulator would speak another dialect than the live service."""
    assert ended(case) == case.documented

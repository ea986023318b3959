"""``ezcaptcha example``: programs to copy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ezcaptcha_async
from tests.cli.commands import Cli

FOLDER = Path(ezcaptcha_async.__file__).parent / "examples"
FILES = {
    path.name.partition("_")[0]: path
    for path in sorted(FOLDER.iterdir())
    if path.suffix in {".py", ".ipynb"} and not path.name.startswith("_")
}


def test_they_are_listed_with_what_they_are(cli: Cli) -> None:
    """Nobody would know their names."""
    result = cli("example")
    assert result.code == 0
    lines = result.out.splitlines()
    assert [line.split()[0] for line in lines] == list(FILES)
    assert all(line.endswith(".") and len(line) <= 80 for line in lines)
    assert "ezcaptcha example fastapi > fastapi_app.py" in result.err


@pytest.mark.parametrize("name", FILES)
def test_one_is_printed_as_it_is(name: str, cli: Cli) -> None:
    """What is written into a file would be another program than the one that is tested."""
    result = cli("example", name)
    assert (result.code, result.err) == (0, "")
    assert result.out == FILES[name].read_text("utf-8")


def test_a_notebook_can_be_opened(cli: Cli) -> None:
    """Jupyter would refuse it."""
    assert json.loads(cli("example", "notebook").out)["nbformat"] == 4


def test_an_example_that_is_not_there(cli: Cli) -> None:
    """The user would see a traceback instead of the names."""
    result = cli("example", "django")
    assert result.code == 2
    assert all(f'"{name}"' in result.line for name in FILES)


@pytest.mark.parametrize("name", FILES)
def test_no_file_hides_the_framework_it_is_for(name: str) -> None:
    """A program in ``fastapi.py`` would import itself."""
    assert FILES[name].stem.startswith(f"{name}_")

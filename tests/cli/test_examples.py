"""``ezcaptcha example``: programs to copy."""

from __future__ import annotations

import json
from pathlib import Path

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


def test_one_is_printed_as_it_is(cli: Cli) -> None:
    """What is written into a file would be another program than the one that is tested."""
    for name, path in FILES.items():
        result = cli("example", name)
        assert (result.code, result.err) == (0, "")
        assert result.out == path.read_text("utf-8")
        assert path.stem.startswith(f"{name}_"), "a program in fastapi.py would import itself"
    assert json.loads(cli("example", "notebook").out)["nbformat"] == 4


def test_an_example_that_is_not_there(cli: Cli) -> None:
    """The user would see a traceback instead of the names."""
    result = cli("example", "django")
    assert result.code == 2
    assert all(f'"{name}"' in result.line for name in FILES)

"""The public surface of ``ezcaptcha_async.testing``."""

from __future__ import annotations

import ast
from pathlib import Path

import ezcaptcha_async.testing as package

FOLDER = Path(package.__file__).parent
OURS = {"ezcaptcha_async.errors", "ezcaptcha_async.services"}


def test_all_is_sorted_and_whole() -> None:
    """A name that the documentation promises would be missing, or private ones would show."""
    # pytest adds names of its own to what comes with a plugin; they are no identifiers.
    public = [name for name in vars(package) if name.isidentifier() and name[0] != "_"]
    assert package.__all__ == sorted(package.__all__)
    assert sorted(public) == package.__all__


def test_it_imports_nothing_of_the_library_but_errors_and_profiles() -> None:
    """The simulator would share the library's mistakes and so confirm them."""
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                name = node.module
                assert not name.startswith("ezcaptcha_async.") or (
                    name in OURS or name.startswith("ezcaptcha_async.testing")
                ), f"{path.name} imports {name}"

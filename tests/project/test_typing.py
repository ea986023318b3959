"""What mypy and pyright must accept, and what both must reject."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parent / "typing_cases"
FILES = [CASES / "accepted.py", CASES / "rejected.py"]

Errors = dict[str, dict[int, str]]
"""File name → line → message."""


def _run(arguments: list[str], cache: Path) -> str:
    # A coverage run would otherwise trace the type checker too.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    environment |= {"MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(  # noqa: S603
        command, check=False, capture_output=True, text=True, cwd=ROOT, env=environment
    ).stdout


def _mypy(cache: Path) -> Errors:
    options = ["--strict", "--config-file=", f"--cache-dir={cache}", "--no-pretty"]
    options += ["--show-absolute-path", "--no-error-summary", "--no-color-output"]
    output = _run(["mypy", *options, *map(str, FILES)], cache)
    errors: Errors = {path.name: {} for path in FILES}
    for path, line, message in re.findall(r"^(.+?):(\d+): error: (.*)$", output, re.MULTILINE):
        errors.setdefault(Path(path).name, {})[int(line)] = message
    assert errors["rejected.py"], output
    return errors


def _pyright(cache: Path) -> Errors:
    # On copies, because a file outside of the folder of its settings is passed over.
    for path in FILES:
        shutil.copy(path, cache)
    settings = {"include": ["*.py"], "strict": ["accepted.py"], "extraPaths": [str(ROOT)]}
    (cache / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    arguments = ["pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(cache)]
    report = json.loads(_run(arguments, cache))
    errors: Errors = {path.name: {} for path in FILES}
    for item in report["generalDiagnostics"]:
        if item["severity"] == "error":
            line = item["range"]["start"]["line"] + 1
            errors.setdefault(Path(item["file"]).name, {})[line] = item["message"]
    assert report["summary"]["filesAnalyzed"] == len(FILES), report
    return errors


@pytest.fixture(scope="module", params=[_mypy, _pyright], ids=["mypy", "pyright"])
def errors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Errors:
    """Run one type checker over both files."""
    found: Errors = request.param(tmp_path_factory.mktemp("types"))
    return found


def test_accepted(errors: Errors) -> None:
    """A user's correct program would be reported, or lose its types to Any."""
    assert errors["accepted.py"] == {}


def test_rejected(errors: Errors) -> None:
    """A task without its required fields, or a misspelt one, would be found out only when paid."""
    lines = FILES[1].read_text("utf-8").splitlines()
    expected = {number for number, line in enumerate(lines, start=1) if line.endswith("# E")}
    assert len(expected) > 50
    found = errors["rejected.py"]
    accepted = {number: lines[number - 1].strip() for number in sorted(expected - set(found))}
    assert not accepted, f"these lines must be rejected: {accepted}"
    surprising = {number: found[number] for number in sorted(set(found) - expected)}
    assert not surprising, f"these lines must be accepted: {surprising}"


def test_nothing_else_is_wrong(errors: Errors) -> None:
    """An error inside the package would surface in every user's own type check."""
    assert set(errors) == {"accepted.py", "rejected.py"}

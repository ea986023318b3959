"""What mypy and pyright must accept, and what both must reject."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parent / "typing_cases"
FILES = [CASES / "accepted.py", CASES / "rejected.py"]

Errors = dict[str, dict[int, str]]
"""File name → line → message."""


def _run(arguments: list[str], cache: Path, **more: str) -> str:
    # A coverage run would otherwise trace the type checker too.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    environment |= {"MYPYPATH": str(ROOT), "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(cache)}
    environment |= more
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


# One test for each type checker: several would run it once in each process of the suite.
@pytest.mark.parametrize("check", [_mypy, _pyright], ids=["mypy", "pyright"])
def test_what_type_checkers_say(check: Callable[[Path], Errors], tmp_path: Path) -> None:
    """A user's correct program would be reported, or a wrong task be found out only when paid."""
    errors = check(tmp_path)
    assert errors["accepted.py"] == {}, "these lines must be accepted"
    lines = FILES[1].read_text("utf-8").splitlines()
    expected = {number for number, line in enumerate(lines, start=1) if line.endswith("# E")}
    assert len(expected) > 50
    found = errors["rejected.py"]
    accepted = {number: lines[number - 1].strip() for number in sorted(expected - set(found))}
    assert not accepted, f"these lines must be rejected: {accepted}"
    surprising = {number: found[number] for number in sorted(set(found) - expected)}
    assert not surprising, f"these lines must be accepted: {surprising}"
    assert set(errors) == {"accepted.py", "rejected.py"}, "the package itself is wrong"


def test_all_that_is_public_has_a_type_of_its_own(tmp_path: Path) -> None:
    """What one type checker infers another may not: a user's code would have Any in it."""
    # It looks for the package where the first python on the path has it.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    arguments = ["pyright", "--verifytypes", "ezcaptcha_async", "--ignoreexternal", "--outputjson"]
    report = json.loads(_run(arguments, tmp_path, PATH=path))["typeCompleteness"]
    unknown = [item["name"] for item in report["symbols"] if not item["isTypeKnown"]]
    assert report["exportedSymbolCounts"]["withKnownType"] > 400
    assert not unknown
    assert report["completenessScore"] == 1

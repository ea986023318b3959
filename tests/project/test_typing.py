"""What mypy and pyright must accept, the package before all, and what both must reject."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.readme import BLOCKS

pytestmark = pytest.mark.types

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parent / "typing_cases"
REJECTED = CASES / "rejected.py"
CHECKED = ["ezcaptcha_async", str(CASES / "accepted.py"), str(REJECTED)]
PROGRAMS = [block for block in BLOCKS if "async def main" in block]

Errors = dict[str, dict[int, str]]
"""File name → line → message."""


def _run(*command: str, **more: str) -> str:
    # A coverage run would otherwise trace the type checker too.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    return subprocess.run(  # noqa: S603 - our own tools on our own tree
        [sys.executable, "-m", *command],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment | more,
    ).stdout


def _mypy(cache: Path, *more: str) -> Errors:
    # Of the frameworks that the examples use, reading the types takes as long as all the rest.
    options = ["--exclude", "/examples/", "--cache-dir", str(cache)]
    options += ["--no-pretty", "--no-error-summary", "--no-color-output"]
    output = _run("mypy", *options, *CHECKED, *more)
    errors: Errors = {}
    for path, line, message in re.findall(r"^(.+?):(\d+): error: (.*)$", output, re.MULTILINE):
        errors.setdefault(Path(path).name, {})[int(line)] = message
    assert errors, output
    return errors


def _pyright(_cache: Path, *more: str) -> Errors:
    options = ["--outputjson", "--pythonpath", sys.executable]
    report = json.loads(_run("pyright", *options, *CHECKED, *more))
    errors: Errors = {}
    for item in report["generalDiagnostics"]:
        if item["severity"] == "error":
            line = item["range"]["start"]["line"] + 1
            errors.setdefault(Path(item["file"]).name, {})[line] = item["message"]
    assert report["summary"]["filesAnalyzed"] > 100, report["summary"]
    return errors


# One run of each type checker, on the package, the cases and what the README shows: it takes ten
# seconds.
@pytest.mark.parametrize("check", [_mypy, _pyright], ids=["mypy", "pyright"])
def test_what_type_checkers_say(check: Callable[..., Errors], tmp_path: Path) -> None:
    """A user's correct program would be reported, or a wrong task be found out only when paid."""
    programs = [tmp_path / f"readme_{number}.py" for number in range(len(PROGRAMS))]
    for path, program in zip(programs, PROGRAMS, strict=True):
        path.write_text(program, "utf-8")
    errors = check(tmp_path / "cache", *map(str, programs))
    found = errors.pop(REJECTED.name)
    assert not errors, "these lines must be accepted"
    lines = REJECTED.read_text("utf-8").splitlines()
    expected = {number for number, line in enumerate(lines, start=1) if line.endswith("# E")}
    assert len(expected) > 50
    accepted = {number: lines[number - 1].strip() for number in sorted(expected - set(found))}
    assert not accepted, f"these lines must be rejected: {accepted}"
    surprising = {number: found[number] for number in sorted(set(found) - expected)}
    assert not surprising, f"these lines must be accepted: {surprising}"


def test_all_that_is_public_has_a_type_of_its_own() -> None:
    """What one type checker infers another may not: a user's code would have Any in it."""
    # It looks for the package where the first python on the path has it.
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    options = ["--verifytypes", "ezcaptcha_async", "--ignoreexternal", "--outputjson"]
    report = json.loads(_run("pyright", *options, PATH=path))["typeCompleteness"]
    # Examples are programs, which frameworks type as far as they do.
    symbols = [item for item in report["symbols"] if ".examples." not in item["name"]]
    unknown = [item["name"] for item in symbols if not item["isTypeKnown"]]
    assert report["exportedSymbolCounts"]["withKnownType"] > 400
    assert not unknown

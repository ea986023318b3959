"""What the package promises to installers agrees with what it is."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

import ezcaptcha_async
from ezcaptcha_async import transports
from ezcaptcha_async._wire.clients import _LOWEST_AIOHTTP

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """Return the [project] table."""
    return dict(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"])


def name_of(requirement: str) -> str:
    """Return the name of the package that a requirement asks for."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower()


def test_core_dependencies(project: dict[str, Any]) -> None:
    """A user would have to install a command line or a web server for a client library."""
    requirements = project["dependencies"]
    assert {name_of(item) for item in requirements} == {"anyio", "attrs", "httpx"}
    assert all(">=" in item for item in requirements), "no lowest version is stated"
    assert not any("<" in item or "==" in item for item in requirements), "an upper bound"
    # Two places would state the lowest version of one dependency.
    core = {name_of(item) for item in project["dependencies"]}
    for extra, requirements in project["optional-dependencies"].items():
        assert not core & {name_of(item) for item in requirements}, extra
    # The tests would ask pip for other versions than a user does.
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    fast = project["optional-dependencies"]["fast"]
    assert set(fast) <= set(groups["test"])


def lowest_versions() -> dict[str, str]:
    """Return what the tests are run with from time to time: name → lowest version."""
    command = [sys.executable, str(ROOT / ".ci" / "lowest")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603
    return dict(line.partition(";")[0].split("==") for line in printed.splitlines())


@pytest.mark.skipif(not (ROOT / ".ci").is_dir(), reason="only a checkout has it")
def test_every_lowest_version_can_be_tested(project: dict[str, Any]) -> None:
    """A bound would be promised that nobody has ever run."""
    everything = chain(project["dependencies"], *project["optional-dependencies"].values())
    names = {name_of(item) for item in everything} - {"ezcaptcha-async"}
    assert set(lowest_versions()) == names


def test_the_lowest_aiohttp_is_the_one_that_is_looked_for(project: dict[str, Any]) -> None:
    """A version would be installed by the extra and then not be used, or the other way round."""
    lowest = ".".join(map(str, _LOWEST_AIOHTTP))
    assert f"aiohttp>={lowest}" in project["optional-dependencies"]["fast"]
    assert f"aiohttp {lowest} or newer" in (transports.__doc__ or "")


def test_lowest_python(project: dict[str, Any]) -> None:
    """Pip would install it where it cannot run, or not where it can."""
    assert project["requires-python"] == ">=3.11"
    stated = {
        item.rpartition(" ")[2]
        for item in project["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", item)
    }
    assert {"3.11", "3.12", "3.13", "3.14"} <= stated
    assert "Typing :: Typed" in project["classifiers"]
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", ezcaptcha_async.__version__)


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    """A release would go out without saying what changed."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = re.findall(r"^## \[?v?(\d[^\]\s]*)", text, flags=re.MULTILINE)
    if not versions:
        pytest.skip("the changelog has no entry yet")
    assert versions[0] == ezcaptcha_async.__version__


def test_entry_points_exist(project: dict[str, Any]) -> None:
    """The `ezcaptcha` command or the pytest fixtures would end in an ImportError."""
    targets = [
        *project["scripts"].values(),
        *(item for group in project["entry-points"].values() for item in group.values()),
    ]
    assert targets
    for target in targets:
        path = ROOT / Path(*target.partition(":")[0].split("."))
        assert path.with_suffix(".py").is_file() or (path / "__init__.py").is_file(), target


def test_the_licence_goes_with_the_package(project: dict[str, Any]) -> None:
    """Whoever installs it would have a name of a licence, and not its text."""
    (path,) = project["license-files"]
    text = (ROOT / path).read_text("utf-8")
    assert text.startswith(f"{project['license']} License\n")
    assert path.startswith("ezcaptcha_async/"), "the top level would grow"
    for author in project["authors"]:
        assert author["name"] in text


ADVICE = re.compile(r"pip install ([^\n`]*)")


def advice() -> dict[str, list[str]]:
    """Return what the package and the pages around it tell people to install: file → words."""
    files = [*ROOT.glob("*.md"), *ROOT.glob(".github/**/*.md"), *ROOT.glob("benchmarks/*.md")]
    files += [path for path in (ROOT / "ezcaptcha_async").rglob("*") if path.is_file()]
    return {
        str(path.relative_to(ROOT)): found
        for path in files
        if path.suffix in {".py", ".md", ".ipynb"}
        and (found := ADVICE.findall(path.read_text("utf-8")))
    }


def test_nobody_is_sent_to_an_index_that_does_not_have_it(project: dict[str, Any]) -> None:
    """`pip install` of a name that nobody has registered fails, or fetches somebody else's code."""
    found = advice()
    assert "README.md" in found
    assert "ezcaptcha_async/cli/__init__.py" in found
    wrong = {
        path: words
        for path, all_words in found.items()
        for words in all_words
        if re.search("ezcaptcha[-_.]?async", words, re.IGNORECASE)
    }
    assert not wrong
    needed = set(chain(*project["optional-dependencies"].values()))
    for path, all_words in advice().items():
        for requirement in re.findall(r"'([\w-]+>=[\d.]+)'", " ".join(all_words)):
            assert requirement in needed, path

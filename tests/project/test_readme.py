"""What the README shows is what works: every Python block in it is run."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import tomllib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

import ezcaptcha_async
from ezcaptcha_async import SessionPool, services
from ezcaptcha_async.testing import Fixed, SimulatedService, VirtualTimeLoop
from tests.readme import BLOCKS, README, block_with

ROOT = Path(__file__).parents[2]
LINES = README.splitlines()
EXCERPT = block_with("@asynccontextmanager")
TESTS = block_with("async def test_")
"""Run by tests/testing/test_pytest_plugin.py, with what runs users' tests."""

ELSEWHERE = [EXCERPT, TESTS]
SCRIPTS = [block for block in BLOCKS if "async def main" in block and block not in ELSEWHERE]
FRAGMENTS = [block for block in BLOCKS if block not in SCRIPTS + ELSEWHERE]


@pytest.mark.parametrize("script", SCRIPTS, ids=[f"script-{n}" for n in range(len(SCRIPTS))])
def test_a_script_in_the_readme_runs(
    script: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A newcomer copies it; it must work as it stands, given a key."""
    ours = SimulatedService(solve_times=Fixed(15))
    other = SimulatedService(dialect="1captcha", solve_times=Fixed(15))

    class PoolOnSimulatedServices(SessionPool):
        """The pool of the script, with the two services in this process."""

        def __init__(self, *accounts: Any, **settings: Any) -> None:
            import httpx

            mounts = {
                services.EZCAPTCHA.base_url: ours.transport(),
                services.ONECAPTCHA.base_url: other.transport(),
            }
            settings.setdefault("http_client", httpx.AsyncClient(mounts=mounts))
            super().__init__(*accounts, **settings)

    def run_under_virtual_time(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(main)

    monkeypatch.chdir(tmp_path)  # journals are written here
    monkeypatch.setenv("EZCAPTCHA_CLIENT_KEY", "a-key")
    monkeypatch.setattr(ezcaptcha_async, "SessionPool", PoolOnSimulatedServices)
    monkeypatch.setattr(asyncio, "run", run_under_virtual_time)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(script, "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102
    assert printed.getvalue() or "assert" in script


@pytest.mark.parametrize("fragment", FRAGMENTS, ids=range(len(FRAGMENTS)))
def test_a_fragment_in_the_readme_is_right(
    fragment: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A setting that the README shows would be refused."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EZCAPTCHA_CLIENT_KEY", "a-key")
    exec(compile(fragment, "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102


def test_what_a_newcomer_reads() -> None:
    """A newcomer would read another program than the one that is tested, or too many screens."""
    example = ROOT / "ezcaptcha_async" / "examples" / "fastapi_app.py"
    assert EXCERPT in example.read_text("utf-8")
    assert len(LINES) <= 400
    assert "It is a neutral client" in README


def test_the_first_screen_has_versions_links_and_a_whole_program() -> None:
    """A newcomer would have to search for whether it is for him at all."""
    screen = "\n".join(LINES[:40])
    assert BLOCKS[0] in screen
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    versions = re.findall(r":: (3\.\d+)$", "\n".join(project["classifiers"]), re.MULTILINE)
    assert f"Python {versions[0]} to {versions[-1]}" in screen
    sections = [line[3:] for line in LINES if line.startswith("## ")]
    linked = set(re.findall(r"\]\(#([\w-]+)\)", screen))
    missing = {anchor(section) for section in sections} - linked
    assert missing <= {"install", "licence-and-what-stays"}, "the page has no way to these"


def anchor(heading: str) -> str:
    """Return what a heading is linked by, as GitHub and the package index make it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_link_works_on_another_site() -> None:
    """A package index shows the page without the files around it."""
    anchors = {f"#{anchor(line.lstrip('# '))}" for line in LINES if re.match("#+ ", line)}
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)", README)
    targets = {target for pair in links for target in pair if target}
    assert len(targets) > 5
    broken = {target for target in targets if not target.startswith("https://")} - anchors
    assert not broken


def test_every_file_that_it_names_is_there() -> None:
    """What is left out of the page would not be found."""
    named = set(re.findall(r"`((?:\.?\w+/)*\.?\w+\.md)`", README))
    assert {"benchmarks/README.md", "CHANGELOG.md", ".github/CONTRIBUTING.md"} <= named
    in_checkout_only = () if (ROOT / ".github").is_dir() else (".github",)
    for name in named:
        assert (ROOT / name).is_file() or name.startswith(in_checkout_only), name


@pytest.mark.parametrize("end", ["ezcaptcha demo", "pytest -n 6"])
def test_each_of_the_two_commands_is_one_line(end: str) -> None:
    """.ci/run would test another command than the one that a newcomer copies."""
    (line,) = re.findall(rf"^python3 -m venv .*{end}$", README, flags=re.MULTILINE)
    assert f"```console\n{line}\n```" in README


def test_the_picture_shows_what_the_table_says() -> None:
    """One of the two would have been forgotten when the figures were taken anew."""
    table = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in LINES
        if re.match(r"\| [\w-]+(\[fast\])?[ \d.]* \(", line)
    ]
    assert len(table) == 8
    for name, *cells in table:
        short = re.sub(r" [\d.]+ \(", " (", name)
        (row,) = (line for line in LINES if line.startswith(f"{short} "))
        cpu, stall = cells[2], cells[6]
        shown = re.findall(r"[█▏▎▍▌▋▊▉]+ ([\d.,]+)", row)
        assert shown == ([stall] if cpu == "–" else [cpu, stall])  # noqa: RUF001 - as it is there

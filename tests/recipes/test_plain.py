"""The plain programs for asyncio and trio, on real sockets; and what holds for all examples."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ezcaptcha_async.testing import SimulatedService
from tests.readme import BLOCKS

from .conftest import PACKAGE


def check(printed: str, service: SimulatedService) -> None:
    """See that a hundred tasks were paid for and fetched, each once."""
    assert printed.count("simulated.recapt") == 100
    assert len(printed.splitlines()) == 100
    service.assert_charged(100)
    service.assert_all_fetched()
    service.assert_spacing_kept()


def test_the_first_program_of_the_readme(
    service: SimulatedService, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first program that a newcomer copies would lose tasks, or leave sockets open."""
    exec(compile(BLOCKS[0], "README.md", "exec"), {"__name__": "__main__"})  # noqa: S102
    check(capsys.readouterr().out, service)


def test_trio(
    service: SimulatedService, run_here: Callable[..., str], example: Callable[[str], Path]
) -> None:
    """It would lose tasks, or end with an exception group."""
    check(run_here(example("trio")), service)


EXAMPLES = {
    path.name.partition("_")[0]: path.read_text("utf-8")
    for path in (PACKAGE / "examples").iterdir()
    if path.suffix in {".py", ".ipynb"} and not path.name.startswith("_")
}


def test_every_example_is_run() -> None:
    """One whose test was dropped would rot unseen."""
    tests = "".join(path.read_text("utf-8") for path in PACKAGE.parent.glob("tests/**/test_*.py"))
    run = set(re.findall(r'example\("(\w+)"\)', tests))
    elsewhere = {"site", "pytest"}  # the pages that the others visit, and tests of the plugin
    assert set(EXAMPLES) == run | elsewhere


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_is_safe_with_money(name: str) -> None:
    """Whoever tries one with his own key would find out afterwards what it may cost."""
    pools = re.findall(r"SessionPool\((.*?)\)(?! ->)", EXAMPLES[name])
    assert all("budget=" in settings for settings in pools)
    assert pools or name in {"pytest", "site"}

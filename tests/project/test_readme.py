"""What the README shows is what works: every Python block in it is run."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import json
import re
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import attrs
import pytest

import ezcaptcha_async
from ezcaptcha_async import SessionPool, services
from ezcaptcha_async.cli.catalogue import fields_of
from ezcaptcha_async.tasks import TASK_TYPES
from ezcaptcha_async.testing import Fixed, SimulatedService, VirtualTimeLoop
from tests.readme import BLOCKS, README, RUN_ELSEWHERE, block_with

from .test_layers import ROOMS, SATELLITES, VALUES

ELSEWHERE = [block_with(marker) for marker in RUN_ELSEWHERE]
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


def test_every_block_that_is_run_elsewhere_is_run_there() -> None:
    """A recipe whose test was dropped would rot unseen."""
    tests = (Path(__file__).parents[1]).rglob("test_*.py")
    named = Counter(
        marker
        for path in tests
        for marker in re.findall(r'block_with\(\s*"([^"]*)"', path.read_text("utf-8"))
    )
    assert [marker for marker in RUN_ELSEWHERE if not named[marker]] == []


def test_every_room_is_on_the_map() -> None:
    """Whoever comes to change something would look for it in the wrong room."""
    rows = README.partition("Which room holds what")[2].splitlines()
    named = re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in rows if "|" in row))
    there = {path.stem for path in Path(ezcaptcha_async.__file__).parent.iterdir()}
    rooms = {*VALUES, *ROOMS, *SATELLITES, "testing"} & there
    assert sorted(named) == sorted(rooms)


def test_every_field_of_every_type_is_listed() -> None:
    """A field that is not in the README is not found, and the task paid for without it."""
    section = README[README.index("## Tasks\n") : README.index("## After a crash")]
    rows = [row.split(" | ") for row in section.splitlines() if row.startswith("| `")]
    listed = {name: row for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert listed.keys() == {"CustomTask"} | {item.__name__ for item in TASK_TYPES}
    for task_class in TASK_TYPES:
        _, solution, fields = listed[task_class.__name__]
        assert solution == f"`{task_class.solution_type.__name__}`"
        found = [field for field in fields_of(task_class) if field.wire]
        assert set(re.findall(r"`(\w+)`", fields)) == {field.name for field in found}
        required = {field.name for field in found if field.required}
        assert set(re.findall(r"\*\*`(\w+)`\*\*", fields)) == required


def test_the_first_example_is_complete_and_early() -> None:
    """Whoever reads thirty lines must have seen a whole program."""
    early = "\n".join(README.splitlines()[:30])
    assert BLOCKS[0] in early


def test_the_readme_says_what_the_library_is_not_for() -> None:
    """It is a neutral client of a service's API."""
    assert "It is a neutral client" in README


def test_every_error_has_its_remedy() -> None:
    """An error that a user meets must be found in the table."""
    table = README[README.index("## Errors") : README.index("## Settings")]
    names = {name for name in ezcaptcha_async.__all__ if name.endswith("Error")}
    assert [name for name in sorted(names) if f"`{name}`" not in table] == []


def test_every_setting_of_the_pool_is_there_with_its_default() -> None:
    """A setting that is not in the README is not found, and a wrong default is believed."""
    settings = README[README.index("## Settings") : README.index("Three HTTP clients")]
    rows = [row for row in settings.splitlines() if row.startswith("| `")]
    defaults = {
        name: default
        for row in rows
        for names, default in [row.split(" | ")[:2]]
        for name in re.findall(r"`(\w+)`", names)
    }
    parameters = inspect.signature(ezcaptcha_async.SessionPool).parameters
    assert list(defaults) == list(parameters)
    for name, parameter in parameters.items():
        if isinstance(parameter.default, float | str):
            assert json.dumps(parameter.default) in defaults[name], name
    for field in attrs.fields(ezcaptcha_async.Account)[1:]:
        assert f"`{field.name}`" in settings

"""The pytest plugin for users of the library."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import ezcaptcha_async
from ezcaptcha_async import testing
from tests.readme import block_with

pytest_plugins = ["pytester"]

USER_TESTS = """
import asyncio
import os

import httpx
import pytest

from ezcaptcha_async import BudgetExceededError, ReCaptchaV2TaskProxyless
from ezcaptcha_async.accounts import default_key, default_service
from ezcaptcha_async.testing import SimulatedService

pytestmark = pytest.mark.simulated_service(balance=5, seed=3)
TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")


def test_module_marker(simulated_service):
    assert isinstance(simulated_service, SimulatedService)
    assert simulated_service.balance_of("key") == 5


@pytest.mark.simulated_service(balance=7)
def test_nearest_marker_wins(simulated_service):
    assert simulated_service.balance_of("key") == 7


@pytest.mark.simulated_pool(budget=1)
def test_pool_marker(simulated_service, simulated_pool):
    async def solve():
        async with simulated_pool as pool:
            with pytest.raises(BudgetExceededError):
                await pool.solve(TASK)

    asyncio.run(solve())
    simulated_service.assert_charged(0)


@pytest.mark.simulated_server(time_scale=10)
def test_on_a_real_port(simulated_server, simulated_service):
    assert simulated_server.service is simulated_service
    assert simulated_server.profile.min_poll_interval == 0.3
    url = simulated_server.url + "/getBalance"
    assert httpx.post(url, json={"clientKey": "key"}).json()["balance"] == 5


def variables():
    ours = {name for name in os.environ if name.startswith("EZCAPTCHA")}
    return {name: os.environ[name] for name in ours - {"EZCAPTCHA_TEST_BROWSER"}}


@pytest.mark.simulated_server(time_scale=10)
def test_environment(simulated_environment, simulated_server):
    assert variables() == simulated_environment == simulated_server.environment
    assert default_service().base_url == simulated_server.url
    assert default_service().min_poll_interval == 0.3
    assert default_key() == "simulated"


def test_the_environment_ends_with_its_test():
    assert variables() == {}
"""

WRONG_TESTS = """
import pytest


@pytest.mark.simulated_service(5)
def test_without_a_name(simulated_service):
    pass


def test_paid_for_nothing(simulated_service):
    simulated_service.assert_charged(2)
"""

RUNNERS = {
    "pytest-asyncio": (
        *("-p", "pytest_asyncio.plugin", "-o", "asyncio_mode=auto"),
        *("-o", "asyncio_default_fixture_loop_scope=function"),
    ),
    "anyio": ("-p", "anyio.pytest_plugin"),
    "pytest-trio": ("-p", "pytest_trio.plugin", "-o", "trio_mode=true"),
}
"""What runs asynchronous tests → how to have it run them."""


@pytest.fixture(autouse=True)
def _on_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let other processes find the package under test, and no plugin that they do not name."""
    monkeypatch.setenv("PYTHONPATH", str(Path(ezcaptcha_async.__file__).parent.parent))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


EXAMPLES = Path(ezcaptcha_async.__file__).parent / "examples"
SUITE = (EXAMPLES / "pytest_suite.py").read_text("utf-8")
HELP = inspect.cleandoc(testing.__doc__ or "")


def shown(beginning: str) -> str:
    """Return the block of the help that begins so, without its indentation."""
    (block,) = (block for block in HELP.split("\n\n") if block.lstrip().startswith(beginning))
    return textwrap.dedent(block) + "\n"


def suites_for(runner: str) -> dict[str, str]:
    """Return the example's tests for another runner, and its conftest: as the help says."""
    on_asyncio = '"asyncio", {"loop_factory": VirtualTimeLoop}'
    on_trio = '"trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}'
    assert on_asyncio in shown("@pytest.fixture")
    assert on_asyncio in SUITE
    assert f"on trio ``{on_trio}``" in " ".join(HELP.split())
    if runner == "anyio":
        application = "import pytest\nfrom application import app\n"
        application += "from fastapi.testclient import TestClient\n"
        return {
            "test_on_asyncio": SUITE,
            "test_on_trio": "import trio.testing\n" + SUITE.replace(on_asyncio, on_trio),
            "test_of_the_readme": block_with("async def test_"),
            "application": (EXAMPLES / "fastapi_app.py").read_text("utf-8"),
            "test_application": application + shown("@pytest.mark.simulated_server"),
            "test_fixtures": USER_TESTS,
            "test_wrong": WRONG_TESTS,
        }
    begin, end = SUITE.index("pytestmark"), SUITE.index("@pytest.mark.simulated")
    tests = SUITE[:begin] + SUITE[end:]
    if runner == "pytest-asyncio":
        conftest = "from ezcaptcha_async.testing import VirtualTimeLoop\n"
        conftest += shown("def pytest_asyncio_loop_factories")
        return {"test_suite": tests, "conftest": conftest}
    assert "add ``autojump_clock`` to the arguments of a test" in HELP
    return {"test_suite": re.sub(r"(simulated_pool: SessionPool)", r"\1, autojump_clock", tests)}


@pytest.mark.parametrize("runner", RUNNERS)
def test_the_examples(pytester: pytest.Pytester, runner: str) -> None:
    """A user would copy what does not work with that which runs their asynchronous tests."""
    pytester.makepyfile(**suites_for(runner))
    ours = ("-p", "ezcaptcha_async.pytest_plugin")  # by its module: it need not be installed
    options = ("--strict-markers", "-W", "error", *ours, *RUNNERS[runner])
    result = pytester.runpytest_subprocess(*options, timeout=120)
    # The slowest of them waits for 40 s and more of virtual time.
    assert result.duration < 60
    if runner != "anyio":
        result.assert_outcomes(passed=3)
        return
    # Those of the fixtures and markers, the first of the README, that of a whole application.
    result.assert_outcomes(passed=3 + 3 + 6 + 1 + 1, errors=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*takes keyword arguments only*",
            ">   *simulated_service.assert_charged(2)",
            "E   *AssertionError: 0 tasks were charged for 0 points, not 2",
        ]
    )
    result.stdout.no_fnmatch_line("*testing?_service.py*")


def test_the_plugin_imports_nothing_by_itself() -> None:
    """Every test run on the user's machine would pay for this library."""
    program = (
        "import sys, pytest, ezcaptcha_async\n"
        "before = set(sys.modules)\n"
        "import ezcaptcha_async.pytest_plugin\n"
        "print(set(sys.modules) - before)\n"
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stderr, done.stdout) == ("", "{'ezcaptcha_async.pytest_plugin'}\n")

"""The pytest plugin for users of the library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ezcaptcha_async

pytest_plugins = ["pytester"]

USER_TESTS = """
import pytest
import httpx

from ezcaptcha_async.testing import SimulatedService

pytestmark = pytest.mark.simulated_service(balance=5, seed=3)
BODY = b'{"clientKey": "key"}'


def test_module_marker(simulated_service):
    assert isinstance(simulated_service, SimulatedService)
    assert simulated_service.balance_of("key") == 5


@pytest.mark.simulated_service(balance=7)
def test_nearest_marker_wins(simulated_service):
    assert simulated_service.balance_of("key") == 7


@pytest.mark.simulated_server(time_scale=10)
def test_on_a_real_port(simulated_server, simulated_service):
    assert simulated_server.service is simulated_service
    assert simulated_server.profile.min_poll_interval == 0.3
    assert httpx.post(simulated_server.url + "/getBalance", content=BODY).json()["balance"] == 5
"""


def run_user_tests(pytester: pytest.Pytester, source: str) -> pytest.RunResult:
    """Run a user's tests with the plugin, as if it were installed."""
    pytester.makepyfile(source)
    # By its module, because the package need not be installed; and not by its entry point as
    # well where it is.
    return pytester.runpytest_subprocess(
        "--strict-markers", "-p", "no:ezcaptcha", "-p", "ezcaptcha_async.pytest_plugin"
    )


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let other processes find the package under test, wherever they run."""
    monkeypatch.setenv("PYTHONPATH", str(Path(ezcaptcha_async.__file__).parent.parent))


def test_fixtures_and_markers(pytester: pytest.Pytester) -> None:
    """A user's fixtures would not take the settings of the markers."""
    run_user_tests(pytester, USER_TESTS).assert_outcomes(passed=3)


def test_a_marker_with_positional_arguments_is_refused(pytester: pytest.Pytester) -> None:
    """A setting that is given without its name would be ignored silently."""
    source = """
import pytest

@pytest.mark.simulated_service(5)
def test_it(simulated_service):
    pass
"""
    result = run_user_tests(pytester, source)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*takes keyword arguments only*"])


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
    assert done.stderr == ""
    assert done.stdout == "{'ezcaptcha_async.pytest_plugin'}\n"

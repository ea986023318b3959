"""Every public name shows how it is used, and what it shows is run.

Examples are written as at the prompt of ``python -m asyncio`` or in a notebook, where ``await``
needs no function around it. Here they run on virtual time and on a simulated service in this
process. What they leave out is in `_names`, the imports and `TASK`, and in the environment, the
key.
"""

from __future__ import annotations

import ast
import asyncio
import doctest
import inspect
import sys
import types
from collections.abc import Callable, Iterator
from doctest import DocTest
from pathlib import Path
from typing import Any, Final

import pytest

import ezcaptcha_async
from ezcaptcha_async import (
    ReCaptchaV2TaskProxyless,
    SessionPool,
    environment,
    otel,
    polling,
    private_files,
    testing,
    transports,
)
from ezcaptcha_async.testing import Fixed, SimulatedService, VirtualTimeLoop

MODULES: Final = (ezcaptcha_async, environment, polling, private_files, transports, testing, otel)
PUBLIC: Final[dict[str, Any]] = {
    name: getattr(module, name) for module in MODULES for name in module.__all__
}

EXEMPT: Final = {
    "EZCAPTCHA": "a value; the docstring of its class, Service, has the example",
    "ONECAPTCHA": "likewise",
    "__version__": "a str",
    "Dialect": "an alias of a type, which can hold no docstring of its own",
    "Event": "likewise",
    "FaultPredicate": "likewise",
    "Rewrite": "likewise",
    "SolveTime": "likewise",
    "SolveTimes": "likewise",
}
"""What has no docstring that `help` shows, and why."""

DOCUMENTED: Final = {name: value for name, value in PUBLIC.items() if name not in EXEMPT} | {
    f"SessionPool.{name}": member
    for name, member in vars(SessionPool).items()
    if inspect.isfunction(member) and not name.startswith("_")
}
"""What must have an example; of methods, those of the class that everybody uses."""


def _found() -> Iterator[DocTest]:
    finder = doctest.DocTestFinder()
    for name in PUBLIC.keys() - EXEMPT.keys():
        value = PUBLIC[name]
        found = finder.find(value, name, module=sys.modules[value.__module__], globs={})
        yield from (test for test in found if test.examples)


DOCTESTS: Final = sorted(_found(), key=lambda test: test.name)


def test_only_what_can_hold_no_docstring_is_exempt() -> None:
    """A class without an example would be let through."""
    without = {
        name
        for name, value in PUBLIC.items()
        if not inspect.isclass(value) and not inspect.isfunction(value)
    }
    assert without == EXEMPT.keys()


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_every_public_name_has_an_example(name: str) -> None:
    """`help()` would say what a thing is, and not how it is used."""
    text = inspect.cleandoc(DOCUMENTED[name].__doc__ or "")
    described, _, example = text.partition("\nExample:\n")
    assert example, f"{name} has no section Example in its docstring"
    assert ">>>" not in described
    assert name in {test.name for test in DOCTESTS}, f"the example of {name} is not run"


def _pool_on(simulated: SimulatedService) -> type[SessionPool]:
    class PoolOnSimulatedService(SessionPool):
        def __init__(self, *accounts: Any, **settings: Any) -> None:
            if "transport" not in settings:
                settings.setdefault("http_client", simulated.client())
            super().__init__(*accounts, **settings)

    return PoolOnSimulatedService


def _names() -> dict[str, Any]:
    """Return what the examples may name."""
    simulated = SimulatedService(
        solve_times=Fixed(15),
        balance=20_000,
        client_keys=["a-key", "empty-key"],
        extra_types={"TurnstileTask": {"token": "0.simulated"}},
    )
    simulated.set_balance("empty-key", 0)
    task = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")
    return PUBLIC | {"asyncio": asyncio, "SessionPool": _pool_on(simulated), "TASK": task}


def _exec_in(runner: asyncio.Runner) -> Callable[[types.CodeType, dict[str, Any]], None]:
    """Return an `exec` that also awaits, as the prompt of ``python -m asyncio`` does."""

    def exec_or_await(code: types.CodeType, names: dict[str, Any]) -> None:
        called = types.FunctionType(code, names)()
        if inspect.iscoroutine(called):
            runner.run(called)

    return exec_or_await


@pytest.mark.parametrize("example", DOCTESTS, ids=lambda test: test.name)
def test_an_example_is_right(
    example: DocTest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever copies it would get something else than it shows."""
    monkeypatch.chdir(tmp_path)  # journals are written here
    monkeypatch.setenv("EZCAPTCHA_CLIENT_KEY", "a-key")
    report: list[str] = []
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        monkeypatch.setattr(doctest, "exec", _exec_in(runner), raising=False)
        example.globs.update(_names())
        done = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(
            example, compileflags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, out=report.append
        )
    assert not done.failed, "".join(report)

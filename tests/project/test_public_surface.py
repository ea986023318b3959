"""What users can import: complete, sorted, documented, typed, and light."""

from __future__ import annotations

import ast
import importlib
import inspect
import pydoc
import re
import subprocess
import sys
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ezcaptcha_async
from ezcaptcha_async import (
    environment,
    errors,
    fleets,
    polling,
    services,
    solutions,
    tasks,
    transports,
)

PUBLIC = [name for name in ezcaptcha_async.__all__ if name != "__version__"]
LISTED = [
    getattr(module, name)
    for module in (ezcaptcha_async, environment, fleets, polling, transports)
    for name in module.__all__
]
CLASSES = list(dict.fromkeys(value for value in LISTED if inspect.isclass(value)))


def sort_key(name: str) -> tuple[int, list[Any]]:
    """Return ruff's key (RUF022): constants, classes, the rest; digits by their value."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    parts = re.split(r"(\d+)", name)
    return kind, [(0, int(part)) if part.isdigit() else (1, part) for part in parts]


def test_all_is_sorted_and_holds_no_name_twice() -> None:
    """Nobody could see at a glance whether a name is public."""
    assert list(ezcaptcha_async.__all__) == sorted(ezcaptcha_async.__all__, key=sort_key)
    assert len(set(ezcaptcha_async.__all__)) == len(ezcaptcha_async.__all__)
    missing = [name for name in ezcaptcha_async.__all__ if not hasattr(ezcaptcha_async, name)]
    assert not missing


def imported_for_type_checkers() -> dict[str, str]:
    """Return name → module, of what the package imports for type checkers."""
    source = Path(ezcaptcha_async.__file__).read_text("utf-8")
    return {
        alias.name: str(node.module).partition(".")[2]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("ezcaptcha_async")
        for alias in node.names
    }


def test_every_public_name_of_the_package_is_in_all() -> None:
    """A name that can be imported and is not declared: type checkers call it private."""
    assert set(imported_for_type_checkers()) == set(PUBLIC)
    assert set(PUBLIC) <= set(dir(ezcaptcha_async))
    for name, module in imported_for_type_checkers().items():
        assert getattr(ezcaptcha_async, name) is getattr(
            importlib.import_module(f"ezcaptcha_async.{module}"), name
        )


def test_what_moved_is_still_found_at_the_root() -> None:
    """A transport that somebody has written would break with an update."""
    for name in ("Evidence", "NoAnswer", "Reply", "RequestBody", "Transport"):
        assert getattr(ezcaptcha_async, name) is getattr(transports, name)
    assert ezcaptcha_async.PollTiming is polling.PollTiming
    with pytest.raises(AttributeError, match="has no attribute 'Fleets'"):
        _ = ezcaptcha_async.Fleets


@pytest.mark.parametrize("module", [errors, solutions, tasks, services])
def test_every_public_class_of_the_public_modules_is_in_all(module: types.ModuleType) -> None:
    """An error that is raised could not be caught by its name, a task not be made."""
    own = {
        name
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    }
    assert own <= set(PUBLIC), f"missing: {own - set(PUBLIC)}"


def test_every_task_type_and_every_profile_is_in_all() -> None:
    """A type or a service that is sold could not be used."""
    assert {item.__name__ for item in tasks.TASK_TYPES} <= set(PUBLIC)
    profiles = {k for k, value in vars(services).items() if isinstance(value, services.Service)}
    assert profiles <= set(PUBLIC)


def _mentioned(annotation: Any) -> Iterator[type]:
    """Yield the classes that an annotation mentions."""
    for part in typing.get_args(annotation):
        yield from _mentioned(part)
    found = typing.get_origin(annotation) or annotation
    if inspect.isclass(found):
        yield found


HANDED_OUT = {ezcaptcha_async.Ticket}
"""What only the library makes, so that its constructor is not for users."""


def _public_callables(owner: type) -> Iterator[Callable[..., Any]]:
    for name, member in vars(owner).items():
        if (name == "__init__" and owner not in HANDED_OUT) or not name.startswith("_"):
            function = member.fget if isinstance(member, property) else member
            function = getattr(function, "__func__", function)
            if inspect.isfunction(function):
                yield function


@pytest.mark.parametrize("owner", CLASSES, ids=lambda item: item.__name__)
def test_every_class_of_a_public_signature_is_in_all(owner: type) -> None:
    """A value that a public call takes or gives could not be named in a user's own code."""
    annotations = list(typing.get_type_hints(owner).values())
    for function in _public_callables(owner):
        annotations += typing.get_type_hints(function).values()
    ours = {
        found
        for annotation in annotations
        for found in _mentioned(annotation)
        if found.__module__.startswith("ezcaptcha_async")
    }
    missing = {f"{item.__module__}.{item.__qualname__}" for item in ours - set(CLASSES)}
    assert not missing


@pytest.mark.parametrize("owner", CLASSES, ids=lambda item: item.__name__)
def test_everything_public_is_documented(owner: type) -> None:
    """`help()` would have nothing to say."""
    if owner.__module__.startswith("ezcaptcha_async"):
        assert owner.__doc__, f"{owner.__name__} has no docstring"
        assert not owner.__doc__.startswith("Method generated"), owner.__name__
    for name, member in vars(owner).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property) or callable(getattr(member, "__func__", member)):
            if inspect.isclass(member):
                continue
            assert inspect.getdoc(getattr(owner, name)), f"{owner.__name__}.{name}"


def test_help_works() -> None:
    """`help(SessionPool)` is where a newcomer looks first."""
    for name in PUBLIC:
        text = pydoc.plain(pydoc.render_doc(getattr(ezcaptcha_async, name)))
        assert len(text.splitlines()) > 2, name
        assert "ezcaptcha_async" in text or name == "Event"
    assert "SessionPool" in (ezcaptcha_async.__doc__ or "")


def test_the_package_is_typed() -> None:
    """Type checkers would treat everything as Any."""
    assert (Path(ezcaptcha_async.__file__).parent / "py.typed").is_file()


def _documented(owner: type) -> set[str]:
    """Return the arguments that a class's docstring describes, by itself or by a reference."""
    text = inspect.cleandoc(owner.__doc__ or "")
    arguments = text.partition("\nArgs:\n")[2].partition("\n\n")[0]
    names = set(re.findall(r"^    \*?(\w+):", arguments, re.MULTILINE))
    for referred in re.findall(r"Fields as `(\w+)`", text):
        names |= _documented(getattr(ezcaptcha_async, referred))
    if issubclass(owner, tasks.Task) and owner is not tasks.Task:
        names |= _documented(tasks.Task)
    return names


@pytest.mark.parametrize(
    "owner",
    [ezcaptcha_async.SessionPool, ezcaptcha_async.Account, tasks.CustomTask, *tasks.TASK_TYPES],
    ids=lambda owner: owner.__name__,
)
def test_every_argument_is_described(owner: type) -> None:
    """A setting would not be found; a task be paid for without the field that it needs."""
    assert set(inspect.signature(owner).parameters) <= _documented(owner)


def test_every_error_has_its_remedy() -> None:
    """Whoever meets an error would find it, and not what to do about it."""
    tree = (errors.__doc__ or "").splitlines()
    for name in (name for name in PUBLIC if name.endswith("Error") and name != "EzCaptchaError"):
        (line,) = (line for line in tree if re.search(rf"── {name} ", line))
        remedy = re.sub(r"\(also \w+\)", "", line.partition(name)[2]).strip()
        assert len(remedy.split()) > 2, line


HEAVY = (
    "trio",
    "rich",
    "cyclopts",
    "uvicorn",
    "pytest",
    "hypothesis",
    "aiohttp",
    "httpx2",
    "opentelemetry",
    "redis",
    "ezcaptcha_async.cli",
    "ezcaptcha_async.otel",
    "ezcaptcha_async.redis",
    "ezcaptcha_async.testing",
    "ezcaptcha_async.pytest_plugin",
)


def _python(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=root)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_works_without_the_extras() -> None:
    """An installation without extras would end in an ImportError."""
    code = f"""
import sys
for name in {HEAVY!r}:
    sys.modules[name] = None
import ezcaptcha_async
print(ezcaptcha_async.__version__)
"""
    assert _python(code).strip() == ezcaptcha_async.__version__


ROOMS = ("_account", "_books", "_journal", "_runtime", "_timing", "_wire", "_pool.engine")
BELOW = tuple(f"ezcaptcha_async.{name}" for name in ROOMS)
"""What works for a pool that is open."""
ENGINE = ("ezcaptcha_async._pool", *BELOW)
VALUES = tuple(f"ezcaptcha_async.{name}" for name in ("solutions", "tasks", "transports"))
STEPS = {
    "import ezcaptcha_async": ("attrs", "anyio", "asyncio", "httpx", "cyclopts", "rich", *ENGINE),
    "ezcaptcha_async.errors.BannedError": ("attrs", "anyio", "httpx", *ENGINE),
    "from ezcaptcha_async import EzCaptchaError": ("attrs", "anyio", "httpx", *ENGINE),
    "from ezcaptcha_async.cli import main; main(['--version'])": (
        *("cyclopts", "rich", "attrs", "anyio", "httpx"),
        *ENGINE,
    ),
    "main(['completion', 'bash'])": ("rich", "asyncio", "anyio", "httpx", *ENGINE),
}
"""What a program does, one after the other → what it has not loaded by then."""


@pytest.mark.parametrize(
    "steps",
    [
        STEPS,
        {
            "from ezcaptcha_async import SessionPool": (
                "anyio",
                "asyncio",
                "httpx",
                *BELOW,
                *VALUES,
            ),
            "SessionPool('a-key')": ("anyio", "asyncio", "httpx", *BELOW, *VALUES),
        },
    ],
    ids=len,
)
def test_nobody_pays_for_what_he_does_not_use(steps: dict[str, tuple[str, ...]]) -> None:
    """Each program and each shell would start a second later."""
    code = "".join(f"{step}\nprint('\\nloaded', *sys.modules)\n" for step in steps)
    printed = _python(f"import sys\n{code}").splitlines()
    loaded = [line.split()[1:] for line in printed if line.startswith("loaded ")]
    for names, (step, spared) in zip(loaded, steps.items(), strict=True):
        heavy = [name for name in names if any(f"{name}.".startswith(f"{x}.") for x in spared)]
        assert not heavy, step


@pytest.mark.parametrize("transport", ["aiohttp", "httpx"])
def test_opening_imports_beside_the_event_loop(transport: str) -> None:
    """The first pool would stop the event loop for up to half a second."""
    code = f"""
import asyncio, sys, threading
from ezcaptcha_async import SessionPool
loops_thread, imported = threading.get_ident(), []
def note(event, arguments):
    if event == "import" and threading.get_ident() == loops_thread:
        imported.append(arguments[0])
async def main():
    sys.addaudithook(note)
    async with SessionPool("a-key", transport={transport!r}):
        pass
asyncio.run(main())
print(*imported)
"""
    imported = _python(code).split()
    foreign = {name.partition(".")[0] for name in imported}
    assert not foreign & {"anyio", "httpx", "httpcore", "aiohttp", "yarl", "trio", "ssl"}
    assert not {name for name in imported if name.startswith((*BELOW, *VALUES))}


def test_opening_with_a_client_of_the_users_imports_in_turns(tmp_path: Path) -> None:
    """All else in the event loop would stand still for all of it, and that is twice as long."""
    code = f"""
import asyncio, httpx, sys
from ezcaptcha_async import SessionPool
turns = []
async def watch():
    while True:
        before = set(sys.modules)
        await asyncio.sleep(0)
        turns.append({{name for name in sys.modules if name not in before}})
async def main():
    client, watcher = httpx.AsyncClient(), asyncio.create_task(watch())
    await asyncio.sleep(0)
    async with client, SessionPool("a-key", http_client=client, journal={str(tmp_path / "j")!r}):
        pass
    watcher.cancel()
asyncio.run(main())
for turn in filter(None, turns):
    print(*turn)
"""
    turns = [line.split() for line in _python(code).splitlines()]
    ours = [turn for turn in turns if any("ezcaptcha_async" in name for name in turn)]
    assert len(ours) >= 8
    assert not [turn for turn in ours if "anyio._backends._asyncio" in turn]

"""The house keeps its order: who may see whom, and that the pure rooms stay pure."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "ezcaptcha_async"

VALUES: Final = (
    "_log",
    "_importing",
    "errors",
    "events",
    "solutions",
    "transports",
    "fleets",
    "_checks",
    "environment",
    "private_files",
    "services",
    "tasks",
    "accounts",
)
"""What users write down and are told; each may see those before it."""

ROOMS: Final[dict[str, tuple[str, ...]]] = {
    "_wire": (),
    "_books": (),
    "_timing": (),
    "_journal": (),
    "_runtime": ("_books",),
    "_account": ("_wire", "_books", "_timing", "_journal", "_runtime"),
    "_pool": ("_wire", "_books", "_timing", "_journal", "_runtime", "_account", "polling"),
    "polling": ("_timing",),
}
"""Room → the rooms that it may see, beside the values."""

SATELLITES: Final = ("cli", "otel", "pytest_plugin", "examples", "redis")
"""What stands outside: it may see all that is public, and `testing`; nothing sees it, but the
command line and an example see `redis`, which users import too."""

TESTING_SEES: Final = ("errors", "services")
"""The simulator must not confirm our own mistakes, so it shares almost nothing with us."""

PURE: Final = (
    *VALUES,
    "_books",
    "_timing",
    "_wire.decoding",
    "_wire.encoding",
    "_wire.parsing",
    "_wire.said",
    "_wire.scrubbing",
    "_wire.secrets",
    "_wire.solution",
    "_wire.words",
    "_journal.records",
    "_journal.saved",
    "_journal.submissions",
)
IMPURE_PARTS: Final = ("_timing.state_file",)
IMPURE: Final = (
    *("asyncio", "concurrent", "datetime", "http", "io", "logging", "multiprocessing", "pathlib"),
    *("queue", "random", "sched", "secrets", "select", "selectors", "signal", "socket", "ssl"),
    *("subprocess", "threading", "time", "urllib.request", "uuid"),
)
"""Clocks, randomness and IO of the standard library: arguments to what is pure."""

PERMITTED: Final = (
    ("_log", "logging"),  # what it is about
    ("_importing", "asyncio"),  # whose event loop is not to stand still
    ("_importing", "concurrent.futures"),  # where it does not
    ("private_files", "pathlib.Path"),  # what it is about
    ("environment", "urllib.request"),  # what Windows and macOS have for an environment
    ("solutions", "time"),  # the default of `remaining()`
    ("_timing", "random.Random"),  # the type of an argument
    ("_books", "random.Random"),  # likewise
)

OUTSIDE: Final = (
    "benchmarks",
    *(f"tests/{name}" for name in ("behaviour", "benchmarks", "cli", "fleet", "recipes")),
    "tests/sockets",
    "tests/testing",
)
"""Folders that use the package as its users do, and no private module of it."""
INSIDE: Final = "benchmarks/fuzz.py"
"""Looks inside all the same: it reads a million answers. Through a pool, each would be a task with
its polls, and the pool would go on after most of what the decoder could do wrong."""

HTTP_CLIENTS: Final = ("httpx", "httpcore", "httpx2", "aiohttp", "yarl", "multidict")
CORE_USES: Final = ("attrs", "anyio", *HTTP_CLIENTS)
"""Packages that the core may import; the satellites may use their extras."""


def imports(source: str, package: list[str]) -> Iterator[tuple[int, str, str]]:
    """Yield (line, module, imported name or "") for every import, wherever it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, ""
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, module, alias.name


def _sees(room: str, seen: str) -> bool:
    """Return whether a room may see another one, or a value."""
    if room in VALUES:
        return seen in VALUES[: VALUES.index(room)]
    if room in ROOMS:
        return seen in VALUES or seen in ROOMS[room]
    if room == "testing":
        return seen in TESTING_SEES
    if room in SATELLITES:
        public = not seen.startswith("_") and seen not in SATELLITES
        if (room, seen) == ("redis", "_checks"):  # its URL is refused as a key is, and unseen
            return True
        return public or seen == "testing" or (room in {"cli", "examples"} and seen == "redis")
    return False


def complaint(place: str, module: str, name: str) -> str | None:
    """Return what is wrong with one import; `place` is the importer's name below the package."""
    room = place.partition(".")[0]
    top, _, rest = module.partition(".")
    if top != PACKAGE:
        return _foreign_complaint(place, room, top, module, name)
    seen, _, inside = rest.partition(".")
    seen = seen or name
    if not rest and seen not in {*VALUES, *ROOMS, "testing", *SATELLITES}:
        # A name that the package itself gives out.
        # The pool's annotations do, so that its class does not import what it gives out.
        by_name = room in SATELLITES or (place, name) == ("_pool.pool", "")
        return None if by_name else "only a satellite may use the package's own names"
    if seen == room:
        return None
    if not _sees(room, seen):
        return f"{room} may not see {seen}"
    if inside and seen != "testing":
        return f"from outside, only what {seen} itself gives out"
    return None


def _foreign_complaint(place: str, room: str, top: str, module: str, name: str) -> str | None:
    if top not in sys.stdlib_module_names:
        used = top in CORE_USES or room in (*SATELLITES, "testing")
        adapter = top not in HTTP_CLIENTS or room not in ROOMS or room == "_wire"
        lazy = top == "trio" and place in {"_importing", "_runtime.event_loop"}  # where it runs
        return None if (used and adapter) or lazy else f"{room} may not use {top}"
    pure = place.startswith(PURE) and not place.startswith(IMPURE_PARTS)
    if not pure or {(room, module), (room, f"{module}.{name}")} & set(PERMITTED):
        return None
    for impure in IMPURE:
        if impure in {module, f"{module}.{name}"} or module.startswith(f"{impure}."):
            return f"{place} is pure and may not use {impure}"
    return None


def complaints(path: Path, root: Path) -> list[str]:
    """Return what is wrong with the imports of one file, each with its place."""
    parts = list(path.relative_to(root).with_suffix("").parts)
    # ``python -m`` only hands over to `cli`.
    if parts in ([PACKAGE, "__init__"], [PACKAGE, "__main__"]):
        return []
    place = ".".join(part for part in parts[1:] if part != "__init__")
    if place.partition(".")[0] not in {*VALUES, *ROOMS, "testing", *SATELLITES}:
        return [f"{path}: {place} is in no room"]
    return [
        f"{path}:{line}: import of {module}{name and f' ({name})'}: {problem}"
        for line, module, name in imports(path.read_text("utf-8"), parts[:-1])
        if (problem := complaint(place, module, name))
    ]


def test_nobody_looks_where_he_must_not() -> None:
    """A cycle or a shortcut would make the pure parts untestable without an event loop."""
    files = sorted((ROOT / PACKAGE).rglob("*.py"))
    assert len(files) > 80
    found = [item for path in files for item in complaints(path, ROOT)]
    assert not found, "\n" + "\n".join(found)


def test_every_room_says_what_it_is_for() -> None:
    """A stranger who lists the package would have to read all of it."""
    for room in ROOMS:
        path = ROOT / PACKAGE / room / "__init__.py"
        source = (path if path.exists() else path.parent.with_suffix(".py")).read_text("utf-8")
        text = ast.get_docstring(ast.parse(source))
        assert text, room
        assert "__all__" in source, room


@pytest.mark.skipif(not (ROOT / ".github").is_dir(), reason="only a checkout has it")
def test_every_room_is_on_the_map() -> None:
    """Whoever comes to change something would look for it in the wrong room."""
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text("utf-8")
    rows = text.partition("Which room holds what")[2].partition("\n## ")[0].splitlines()
    named = re.findall(r"`(\w+)`", " ".join(row.split("|")[1] for row in rows if "|" in row))
    there = {path.stem for path in (ROOT / PACKAGE).iterdir()}
    assert sorted(named) == sorted({*VALUES, *ROOMS, *SATELLITES, "testing"} & there)


def private_names(source: str) -> list[str]:
    """Return the private modules that a test imports or patches."""
    imported = (f"{module}.{name}" for _, module, name in imports(source, []))
    patched = re.findall(r'"(ezcaptcha_async(?:\.\w+)+)"', source)
    private = re.compile(r"ezcaptcha_async(\.testing)?\._[a-z]")
    return [name for name in (*imported, *patched) if private.match(name)]


def test_tests_from_outside_use_public_names() -> None:
    """They would fail with each change that no user notices, and hold back good ones."""
    files = {path for folder in OUTSIDE for path in (ROOT / folder).rglob("*.py")}
    assert len(files) > 80
    files.discard(ROOT / INSIDE)
    found = {str(path): private_names(path.read_text("utf-8")) for path in files}
    assert not {path: names for path, names in found.items() if names}


@pytest.mark.parametrize(
    "line",
    [
        "from ezcaptcha_async._wire import Decoder",
        "from ezcaptcha_async import _wire",
        "import ezcaptcha_async._wire.decoding",
        "from ezcaptcha_async.testing._record import Record",
        'monkeypatch.setattr("ezcaptcha_async._wire.decoding.MAX_BAN", 1)',
    ],
)
def test_a_private_name_is_seen(line: str) -> None:
    """A rule that sees nothing would permit everything."""
    assert private_names(line)
    assert not private_names(re.sub(r"\b_", "", line))


@pytest.mark.parametrize(
    ("importer", "line", "permitted"),
    [
        ("tasks", "from ezcaptcha_async.errors import ConfigurationError", True),
        ("tasks", "from ezcaptcha_async import errors", True),
        ("tasks", "from . import errors", True),
        ("tasks", "from ezcaptcha_async._checks import check_url", True),
        ("tasks", "from ezcaptcha_async._checks.fields import check_url", False),
        ("tasks", "from ezcaptcha_async.accounts import Account", False),
        ("tasks", "import ezcaptcha_async", False),
        ("tasks", "def f():\n    from ezcaptcha_async._pool import SessionPool", False),
        ("tasks", "import httpx", True),
        ("errors", "from ezcaptcha_async.tasks import Task", False),
        ("_books/gate", "import time", False),
        ("_books/gate", "from urllib.request import urlopen", False),
        ("_books/gate", "from urllib.parse import urlsplit", True),
        ("_books/gate", "from .limits import Pause", True),
        ("_books/gate", "from ezcaptcha_async._timing import PollTiming", False),
        ("_timing/policy", "from random import Random", True),
        ("_timing/policy", "from random import random", False),
        ("_timing/state_file", "import pathlib", True),
        ("_wire/decoding", "import time", False),
        ("_wire/httpx", "import httpx, time", True),
        ("_journal/file_ledger", "import logging", True),
        ("_journal/records", "import logging", False),
        ("_account/session", "import rich", False),
        ("_account/session", "import httpx", False),
        ("_account/session", "from ezcaptcha_async._wire import Encoder", True),
        ("_account/session", "from ezcaptcha_async._wire.encoding import Encoder", False),
        ("_account/session", "from ezcaptcha_async.testing import SimulatedService", False),
        ("_pool/pool", "from ezcaptcha_async.redis import Fleet", False),
        ("_pool/pool", "import ezcaptcha_async", True),
        ("_pool/engine", "import ezcaptcha_async", False),
        ("polling", "from ezcaptcha_async._timing import PollTiming", True),
        ("pytest_plugin", "from ezcaptcha_async.testing import serve", True),
        ("otel", "from opentelemetry.metrics import Meter", True),
        ("redis/_store", "import redis.asyncio", True),
        ("redis/_store", "from ezcaptcha_async._journal import SharedLedger", False),
        ("_journal/shared_ledger", "import redis.asyncio", False),
        ("_account/emitter", "from opentelemetry.metrics import Meter", False),
        ("testing/_x", "from ezcaptcha_async.testing._y import Z", True),
        ("testing/_x", "from ..errors import ConfigurationError", True),
        ("testing/_x", "from ezcaptcha_async import EZCAPTCHA", False),
        ("testing/_x", "from ezcaptcha_async._wire import Encoder", False),
        ("testing/_x", "import time, httpx, uvicorn", True),
        ("cli/_x", "from ezcaptcha_async.cli._y import Z", True),
        ("cli/_x", "from ezcaptcha_async import SessionPool", True),
        ("cli/_x", "from ezcaptcha_async._wire import Encoder", False),
        ("cli/_x", "from ezcaptcha_async.pytest_plugin import fixture", False),
        ("cli/_x", "from ezcaptcha_async.redis import Fleet", True),
        ("_new", "import json", False),
    ],
)
def test_the_rule_itself(tmp_path: Path, importer: str, line: str, permitted: bool) -> None:  # noqa: FBT001
    """A rule that permits everything would keep nothing."""
    path = tmp_path / PACKAGE / f"{importer}.py"
    path.parent.mkdir(parents=True)
    path.write_text(f'"""Text."""\n\n{line}\n', "utf-8")
    found = complaints(path, tmp_path)
    assert (not found) is permitted, found
    assert all(str(path) in item for item in found)

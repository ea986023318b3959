"""Imports run strictly downward, and the pure layers stay pure: read from the source itself."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "ezcaptcha_async"

LAYERS = {
    "errors": 0,
    "_unwrap": 0,
    "_timeline": 0,
    "_solve_times": 0,
    "_plan": 0,
    "_price": 0,
    "_secrets": 0,
    "_fields": 1,
    "events": 1,
    "services": 1,
    "solutions": 1,
    "tasks": 2,
    "accounts": 2,
    "_limits": 2,
    "_balance_watch": 2,
    "_wire": 3,
    "_timing": 3,
    "_kinds": 3,
    "_gate": 3,
    "_entries": 3,
    "_saved": 3,
    "_statistics": 4,
    "_learned": 4,
    "_schedule": 4,
    "_purse": 4,
    "_journal_lines": 4,
    "_timing_file": 5,
    "_transport": 5,
    "_callbacks": 5,
    "_emitter": 6,
    "_scheduler": 6,
    "_event_loop": 5,
    "_journal_file": 5,
    "_journal": 6,
    "_ledger": 5,
    "_host": 6,
    "_httpx": 6,
    "_aiohttp": 7,
    "_transports": 8,
    "_exchange": 8,
    "_creating": 9,
    "_polling": 9,
    "_inquiring": 9,
    "_session": 10,
    "_settings": 7,
    "_claim": 11,
    "_ticket": 12,
    "_dispatch": 12,
    "_batch": 12,
    "_engine": 13,
    "_inheritance": 13,
    "_pool": 14,
    "cli": 15,
    "otel": 15,
    "pytest_plugin": 15,
}
"""Module → layer. A module imports from lower layers only, never from its own."""

TOP = 15
PURE = 4
FACE = 14
"""The layer of the package itself: it gives out what the layers up to the pool have."""

TESTING = "testing"
TESTING_MAY_IMPORT = {"errors", "services"}
"""The simulator must not confirm our own mistakes, so it shares almost nothing with us."""

HTTP_CLIENTS = {"httpx", "httpcore", "httpx2", "aiohttp", "yarl", "multidict"}

THIRD_PARTY = {0: set[str](), PURE: {"attrs"}, FACE: {"attrs", "anyio", *HTTP_CLIENTS}}
"""Up to which layer → which packages. Above, the extras may be used."""

IMPURE = {
    "asyncio",
    "concurrent",
    "datetime",
    "http",
    "io",
    "logging",
    "multiprocessing",
    "pathlib",
    "queue",
    "random",
    "sched",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "time",
    "urllib.request",
    "uuid",
}
"""Clocks, randomness and IO of the standard library: arguments to the pure layers."""

PERMITTED = {
    ("solutions", "time"),  # the default of `remaining()`
    ("_timing", "random.Random"),  # the type of an argument
    ("_learned", "random.Random"),  # likewise
    ("_event_loop", "trio"),  # where trio is what runs; `test_import_is_light` sees that it waits
}


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


def complaint(importer: str, module: str, name: str) -> str | None:  # noqa: PLR0911 - one rule each
    """Return what is wrong with one import of `importer`, a module right below the package."""
    layer = LAYERS.get(importer, TOP)
    top, _, rest = module.partition(".")
    if top != PACKAGE:
        if top in sys.stdlib_module_names:
            return None if importer == TESTING else _impure(importer, layer, module, name)
        if (importer, module) in PERMITTED:
            return None
        permitted = next((names for most, names in THIRD_PARTY.items() if layer <= most), None)
        if permitted is not None and importer != TESTING and top not in permitted:
            return f"layer {layer} may not use {top}"
        return None
    imported = rest.partition(".")[0] or name
    if importer == TESTING:
        allowed = imported == TESTING or imported in TESTING_MAY_IMPORT
        return None if allowed else f"testing may import only {sorted(TESTING_MAY_IMPORT)}"
    if imported == TESTING:
        return None if layer == TOP else "only the top layer may import testing"
    if imported == importer:
        return None if layer == TOP else "a module imports itself"
    below = LAYERS.get(imported, FACE)  # else it is a name that the package itself gives out
    return None if below < layer else f"layer {layer} may not import layer {below}"


def _impure(importer: str, layer: int, module: str, name: str) -> str | None:
    if (
        layer > PURE
        or (importer, module) in PERMITTED
        or (importer, f"{module}.{name}") in PERMITTED
    ):
        return None
    for impure in IMPURE:
        if impure in {module, f"{module}.{name}"} or module.startswith(f"{impure}."):
            return f"layer {layer} is pure and may not use {impure}"
    return None


def complaints(path: Path, root: Path) -> list[str]:
    """Return what is wrong with the imports of one file, each with its place."""
    parts = list(path.relative_to(root).with_suffix("").parts)
    if parts == [PACKAGE, "__init__"]:
        return []
    importer = parts[1]
    if importer not in LAYERS and importer != TESTING:
        return [f"{path}: {importer} has no place in the table of layers"]
    return [
        f"{path}:{line}: import of {module}{name and f' ({name})'}: {problem}"
        for line, module, name in imports(path.read_text("utf-8"), parts[:-1])
        if (problem := complaint(importer, module, name))
    ]


def test_imports_run_strictly_downward() -> None:
    """A cycle or a shortcut would make the pure parts untestable without an event loop."""
    files = sorted((ROOT / PACKAGE).rglob("*.py"))
    assert len(files) > 20
    found = [item for path in files for item in complaints(path, ROOT)]
    assert not found, "\n" + "\n".join(found)


def test_every_module_of_the_table_is_there() -> None:
    """A module that was renamed would leave a hole in the table, and one untested."""
    there = {path.stem for path in (ROOT / PACKAGE).glob("*.py")}
    there |= {path.parent.name for path in (ROOT / PACKAGE).glob("*/__init__.py")}
    missing = set(LAYERS) - there
    assert missing <= {"cli"}, f"not there: {missing}"


def test_only_an_adapter_knows_an_http_client() -> None:
    """Another HTTP client could not take its place behind the one small interface."""
    knowing = {
        path.stem
        for path in (ROOT / PACKAGE).glob("*.py")
        for _, module, _ in imports(path.read_text("utf-8"), [PACKAGE])
        if module.partition(".")[0] in HTTP_CLIENTS
    }
    assert knowing <= {"_httpx", "_aiohttp", "_transports"}


@pytest.mark.parametrize(
    ("importer", "line", "permitted"),
    [
        ("tasks", "from ezcaptcha_async.errors import ConfigurationError", True),
        ("tasks", "from ezcaptcha_async import errors", True),
        ("tasks", "from . import errors", True),
        ("tasks", "from .errors import ConfigurationError", True),
        ("tasks", "from ezcaptcha_async.accounts import Account", False),
        ("tasks", "from ezcaptcha_async import Account", False),
        ("tasks", "import ezcaptcha_async", False),
        ("tasks", "def f():\n    from ezcaptcha_async._pool import SessionPool", False),
        ("tasks", "import ezcaptcha_async._wire", False),
        ("tasks", "from ezcaptcha_async.tasks import Task", False),
        ("tasks", "import attrs, json", True),
        ("tasks", "import anyio", False),
        ("errors", "import attrs", False),
        ("_gate", "import time", False),
        ("_gate", "from time import monotonic", False),
        ("_gate", "from urllib.request import urlopen", False),
        ("_gate", "from urllib.parse import urlsplit", True),
        ("_gate", "import asyncio.events", False),
        ("_timing", "from random import Random", True),
        ("_timing", "from random import random", False),
        ("_timing", "import random", False),
        ("solutions", "import time", True),
        ("_session", "import time", True),
        ("_session", "import anyio", True),
        ("_session", "import rich", False),
        ("_session", "from ezcaptcha_async.testing import SimulatedService", False),
        ("_pool", "from ezcaptcha_async._ticket import Ticket", True),
        ("_ticket", "from ezcaptcha_async._batch import Outcome", False),
        ("pytest_plugin", "from ezcaptcha_async.testing import serve", True),
        ("pytest_plugin", "from ezcaptcha_async import SessionPool", True),
        ("pytest_plugin", "import pytest", True),
        ("otel", "from opentelemetry.metrics import Meter", True),
        ("_emitter", "from opentelemetry.metrics import Meter", False),
        ("testing/_x", "from ezcaptcha_async.testing._y import Z", True),
        ("testing/_x", "from ._y import Z", True),
        ("testing/_x", "from ..errors import ConfigurationError", True),
        ("testing/_x", "from ezcaptcha_async.services import EZCAPTCHA", True),
        ("testing/_x", "from ezcaptcha_async import EZCAPTCHA", False),
        ("testing/_x", "from ezcaptcha_async._wire import Encoder", False),
        ("testing/_x", "from .._wire import Encoder", False),
        ("testing/_x", "import time, httpx, uvicorn", True),
        ("cli/_x", "from ezcaptcha_async.cli._y import Z", True),
        ("cli/_x", "from ezcaptcha_async.pytest_plugin import fixture", False),
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

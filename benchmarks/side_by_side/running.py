"""Runs one library against a service of its own, and says what both sides saw."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .libraries import Library

LATENCY = 0.08
"""Seconds that the service takes for each answer."""

LIMIT = 330.0
"""Seconds after which a run ends: a result is there for 300 s after its task was created."""

_GRACE = 30.0
_SERVICE = Path(__file__).with_name("service.py")


@dataclass(frozen=True, order=True)
class Load:
    """So many tasks at once, each solved within these bounds.

    Args:
        tls: Whether the service speaks TLS.
        low: Least seconds that the service takes for a task.
        high: Most.
        tasks: How many.
    """

    tls: bool
    low: float
    high: float
    tasks: int

    def __str__(self) -> str:
        when = f"{self.low:g}" if self.low == self.high else f"{self.low:g}-{self.high:g}"
        protocol = "TLS" if self.tls else "plain HTTP"
        return f"{self.tasks:,} tasks at once, solved after {when} s, {protocol}"


@dataclass(frozen=True)
class _Service:
    url: str
    authorities: str | None
    figures: Callable[[], dict[str, Any]]


def _environment(authorities: str | None) -> dict[str, str]:
    """Return the bare environment of a client: no proxy, no setting of this machine."""
    environment = {"PATH": os.defpath, "LANG": "C.UTF-8"}
    if authorities is not None:
        environment["SSL_CERT_FILE"] = authorities
    return environment


@contextmanager
def _service(python: Path, settings: dict[str, Any]) -> Iterator[_Service]:
    with tempfile.TemporaryDirectory() as folder:
        common = {"latency": LATENCY, "folder": folder}
        with subprocess.Popen(
            [python, _SERVICE, json.dumps(common | settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            stdin, stdout = process.stdin, process.stdout

            def figures() -> dict[str, Any]:
                print(file=stdin, flush=True)
                return dict(json.loads(stdout.readline()))

            try:
                yield _Service(**json.loads(stdout.readline()), figures=figures)
            finally:
                process.terminate()


def _client(
    python: Path, library: Library, settings: dict[str, Any], service: _Service
) -> dict[str, Any]:
    """Drive the library and return its figures; without them, why there are none."""
    with subprocess.Popen(
        [python, library.driver_path, json.dumps({"url": service.url} | settings)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(service.authorities),
    ) as process:
        limit = settings["limit"] + _GRACE
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            process.kill()
            return {"solved": 0, "broken": f"it hung for {limit:g} s"}
    if not out:
        return {"solved": 0, "broken": err[-2000:].strip() or "it said nothing"}
    return dict(json.loads(out))


def both_sides(
    service_python: Path,
    library_python: Path,
    library: Library,
    *,
    service: dict[str, Any],
    client: dict[str, Any],
) -> dict[str, Any]:
    """Run one library against a service of its own.

    Args:
        service_python: Interpreter of the environment of the service.
        library_python: Interpreter of the environment of the library.
        library: What to drive.
        service: Settings of the service, as its script reads them.
        client: Settings of the driver, without the URL; among them ``limit`` in seconds.

    Returns:
        ``client`` and ``service``: what each side saw.
    """
    before = os.getloadavg()[0]
    with _service(service_python, service) as running:
        saw = _client(library_python, library, client, running)
        return {"client": saw, "service": running.figures(), "machine_load_before": before}


def run(
    service_python: Path, library_python: Path, library: Library, load: Load, *, seed: int
) -> dict[str, Any]:
    """Run one library under one load, whose solve times come from a seed; as `both_sides`."""
    return both_sides(
        service_python,
        library_python,
        library,
        service={"low": load.low, "high": load.high, "tls": load.tls, "seed": seed},
        client={"tasks": load.tasks, "longest": load.high, "limit": LIMIT},
    )

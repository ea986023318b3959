"""From what both sides of each run saw to one row for each library, over all rounds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True)
class Spread:
    """One figure over all rounds."""

    median: float
    least: float
    most: float
    rounds: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One library under one load.

    Args:
        library: Its name.
        ours: Whether it is this library.
        stack: The HTTP client under it, with its version.
        tasks: How many tasks there were to solve in each round.
        figures: Name of a figure → the figure; one that no round has is left out.
        troubles: Name of an exception, or of another way to fail → how many tasks in all rounds.
    """

    library: str
    ours: bool
    stack: str
    tasks: int
    figures: dict[str, Spread]
    troubles: dict[str, int]


def of_run(run: dict[str, Any]) -> dict[str, float]:
    """Return the figures of one run.

    What is counted per task is counted per *solved* task: a client that gives half of its
    tasks up does not get cheaper by it.
    """
    client, service = run["client"], run["service"]
    record, solved = service["record"], client["solved"]
    figures: dict[str, float] = {
        "solved": solved,
        "lost": record["charges"] - solved,
        "requests": record["requests"],
        "connections": service["peak_connections"],
        "connections_made": service["connections"],
        "service_cpu_s": service["cpu"],
        "spacing_violations": record["spacing_violations"],
    }
    if record["fetched"]:
        figures["lag_mean_s"] = record["lag_mean"]
        figures["lag_p95_s"] = record["lag_p95"]
    if "broken" not in client:
        figures["wall_s"] = client["wall"]
        figures["cpu_s"] = client["cpu"]
        figures["stall_ms"] = 1_000 * client["stall"]
        figures["memory_mib"] = client["peak_memory"] / MEBIBYTE
        figures["memory_before_mib"] = client["memory_before"] / MEBIBYTE
    if solved:
        figures["requests_per_solved"] = record["requests"] / solved
    if solved and "broken" not in client:
        figures["cpu_ms_per_solved"] = 1_000 * client["cpu"] / solved
    return figures


def _spreads(rounds: Sequence[dict[str, float]]) -> dict[str, Spread]:
    names = dict.fromkeys(name for figures in rounds for name in figures)
    spreads = {}
    for name in names:
        values = [figures[name] for figures in rounds if name in figures]
        spreads[name] = Spread(median(values), min(values), max(values), values)
    return spreads


def _troubles(runs: Iterable[dict[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for run in runs:
        client, tasks = run["client"], run["load"]["tasks"]
        found = dict(client.get("failures", {}))
        if client.get("unfinished"):
            found["not finished"] = client["unfinished"]
        if "broken" in client:
            found["no figures"] = tasks
        for name, count in found.items():
            counts[name] = counts.get(name, 0) + count
    return counts


def merged(runs: Sequence[dict[str, Any]]) -> list[Row]:
    """Return one row for each library, in the order in which they first come.

    Args:
        runs: All runs under one load, of all libraries and rounds.
    """
    by_library: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        by_library.setdefault(run["library"], []).append(run)
    return [
        Row(
            library=name,
            ours=own[0]["ours"],
            stack=_stack(own[0]),
            tasks=own[0]["load"]["tasks"],
            figures=_spreads([of_run(run) for run in own]),
            troubles=_troubles(own),
        )
        for name, own in by_library.items()
    ]


def _stack(run: dict[str, Any]) -> str:
    """Return the HTTP client that a library uses: aiohttp where it is there, else httpx."""
    versions = run["client"].get("stack", {})
    return " ".join(next(iter(versions.items()), ("",)))

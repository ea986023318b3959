"""Side by side: other libraries and ours against the same simulated service, in turn.

    python3.12 benchmarks/peers.py

Every library gets a virtual environment of its own, and each run a fresh client process and
a fresh service process on a loopback port. The service takes 0.08 s for each answer and
solves the same tasks after the same times for everybody, each round after others. Rounds go
through the libraries forwards and backwards in turn; medians are printed. The scripts in
``side_by_side/drivers`` say how each library is driven and with which settings.

With its defaults this takes some 12 minutes a round. It needs Linux, and Python 3.12 for
ezcapsolver-py.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from side_by_side.environments import environments, installed, python_with, tell
from side_by_side.figures import Row, merged
from side_by_side.libraries import PEERS, REPOSITORY, SERVICE, Library, ours
from side_by_side.picture import picture
from side_by_side.running import LATENCY, Load, run
from side_by_side.table import aims, table, troubles

TASKS = (200, 1_000)
SOLVE_TIMES = ((8.0, 28.0),)
ALL_TASKS = (50, 200, 1_000, 5_000)
ALL_SOLVE_TIMES = ((10.0, 10.0), (8.0, 28.0), (10.0, 80.0))

SHOWN = Load(tls=True, low=8.0, high=28.0, tasks=1_000)
"""The load that the picture shows."""

SERVICE_NOTE = "The service runs in another process and answers after {latency:g} s."
SETTINGS_NOTE = (
    "Polls every 3 s, as the service asks, wherever a library can be told so. "
    "Lost: paid for, and its solution never came."
)

PICTURE = REPOSITORY / "benchmarks" / "results" / "peers.svg"


def solve_times(text: str) -> tuple[float, float]:
    """Read ``8-28`` or, for tasks that all take the same time, ``10``."""
    low, _, high = text.partition("-")
    return float(low), float(high or low)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tasks", type=int, nargs="+", default=TASKS)
    parser.add_argument(
        "--solve-times",
        type=solve_times,
        nargs="+",
        default=SOLVE_TIMES,
        help="seconds: 8-28, or 10 for all the same",
    )
    parser.add_argument(
        "--plain", action="store_true", help="plain HTTP instead of TLS, which the services speak"
    )
    parser.add_argument(
        "--full", action="store_true", help="all sizes and solve times, plain and TLS: many hours"
    )
    parser.add_argument("--only", nargs="+", help="libraries whose names contain one of these")
    parser.add_argument("--keep", action="store_true", help="keep the environments for next time")
    parser.add_argument("--json", type=Path, help="write what was measured to this file")
    parser.add_argument("--read", type=Path, help="measure nothing: read such a file instead")
    parser.add_argument("--picture", type=Path, help=f"by default {PICTURE.name}, for a whole run")
    return parser.parse_args()


def loads(options: argparse.Namespace) -> list[Load]:
    """Return the loads that are asked for, smallest first."""
    sizes = ALL_TASKS if options.full else options.tasks
    times = ALL_SOLVE_TIMES if options.full else options.solve_times
    protocols = (False, True) if options.full else (not options.plain,)
    return sorted(
        Load(tls=tls, low=low, high=high, tasks=tasks)
        for tls in protocols
        for low, high in times
        for tasks in sizes
    )


def libraries(only: Sequence[str] | None) -> list[Library]:
    """Return the libraries that are asked for."""
    everybody = (*ours(), *PEERS)
    return [
        library for library in everybody if not only or any(part in library.name for part in only)
    ]


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Run everything and return what was measured, for `json.dumps`."""
    runs = []
    with environments(keep=options.keep) as folder:
        tell(f"environments in {folder}")
        service = python_with(folder, SERVICE)
        chosen, left_out = installed(folder, libraries(options.only))
        for number in range(options.rounds):
            for load in loads(options):
                for library, python in chosen if number % 2 == 0 else reversed(chosen):
                    result = run(service, python, library, load, seed=number)
                    runs.append(
                        {"library": library.name, "ours": library.ours, "round": number}
                        | {"load": vars(load)}
                        | result
                    )
                    client = result["client"]
                    tell(f"{number + 1}: {load}: {library.name} solved {client['solved']:,}")
                    if "broken" in client:
                        tell(client["broken"])
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "latency": LATENCY,
        "rounds": options.rounds,
        "left_out": left_out,
        "summary": {str(load): list(map(asdict, rows)) for load, rows in by_load(runs).items()},
        "runs": runs,
    }


def by_load(runs: Sequence[dict[str, Any]]) -> dict[Load, list[Row]]:
    """Return the rows of each load."""
    grouped: dict[Load, list[dict[str, Any]]] = {}
    for one in runs:
        grouped.setdefault(Load(**one["load"]), []).append(one)
    return {load: merged(group) for load, group in grouped.items()}


def show(results: dict[str, Any], path: Path | None) -> None:
    """Print one table for each load, and draw the one that is shown."""
    rounds = "1 round" if results["rounds"] == 1 else f"{results['rounds']} rounds"
    where = f"{results['date']}, {results['machine']}, {results['python']}, {rounds}"
    print(where)
    tables = by_load(results["runs"])
    for load, rows in tables.items():
        print(f"\n{load}\n\n{table(rows)}\n")
        for line in (*troubles(rows), *(aims(rows) if load.tasks == SHOWN.tasks else ())):
            print(line)
    for name, reason in results["left_out"].items():
        print(f"left out: {name}: {reason}")
    if path is not None and SHOWN in tables:
        notes = [f"{where}. {SERVICE_NOTE.format(**results)}", SETTINGS_NOTE]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(picture(tables[SHOWN], str(SHOWN), notes), "utf-8")
        tell(f"drawn: {path}")


def main() -> None:
    """Measure or read, print, draw."""
    options = arguments()
    results = json.loads(options.read.read_text("utf-8")) if options.read else measured(options)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    show(results, options.picture or (None if options.only else PICTURE))


if __name__ == "__main__":
    main()

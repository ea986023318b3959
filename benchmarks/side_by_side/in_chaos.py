"""Everything goes wrong at once, on real sockets: two peers beside this library, in turn."""

from __future__ import annotations

import datetime as dt
import os
import platform
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs

from .drivers.harness import CLIENT_KEY
from .environments import environments, installed, python_with, tell
from .judging import most_in_a_minute, verdict
from .libraries import PEERS, REPOSITORY, SERVICE, Library, ours
from .running import LATENCY, both_sides
from .table import ABSENT, aligned
from .trouble import BAN_AFTER, HANG_SECONDS, TASKS_LEFT, Plan

TASKS = 1_000
LOW, HIGH = 8.0, 28.0
PLAN = Plan(
    throttled=(15.0, 35.0),
    blackout=(50.0, 110.0),
    ban=(130.0, 165.0),
    ban_is_lifted=True,
    empty_at=205.0,
    last_caller_at=240.0,
)
LIMIT = PLAN.last_caller_at + 300.0
"""Seconds after which a run ends: nobody can fetch a result 300 s after its task was created."""

COMPARED = ("ezcapsolver-py", "python-rucaptcha")
RESULT = REPOSITORY / "benchmarks" / "results" / "chaos.md"

NOTE = f"""\
    Real sockets, real time, an answer after {LATENCY:g} s, tasks solved after {LOW:g} to
    {HIGH:g} s. What goes wrong, and at what rates, is as in virtual time, but shorter: callers
    come at random over {PLAN.last_caller_at:g} s. Every second request is throttled from
    {PLAN.throttled[0]:g} to {PLAN.throttled[1]:g} s; from {PLAN.blackout[0]:g} to
    {PLAN.blackout[1]:g} s every connection is reset with its request unread; from
    {PLAN.ban[0]:g} to {PLAN.ban[1]:g} s there is a ban (ERROR_IP_BANNED); from
    {PLAN.empty_at:g} s on there are points for {TASKS_LEFT} tasks. Hung requests hang for
    {HANG_SECONDS:g} s. The ban says in Retry-After how long it lasts, and ends
    then whatever came during it; {BAN_AFTER} balance errors within a minute earn another one,
    of 180 s (ERROR_REQUEST_BANNED). The same seed gives everybody the same starts and rates,
    not the same victims: those depend on who asks when. A library that is not done after
    {LIMIT:g} s is ended. A paid task is solved; or told of, by its id, or without it where the
    answer to createTask was lost; or lost; or it is one more for a call that had paid
    already."""


def libraries(only: Sequence[str] | None) -> list[Library]:
    """Return this library on its fastest HTTP client, and the two peers."""
    everybody = [*ours()[:1], *(peer for peer in PEERS if peer.name.startswith(COMPARED))]
    return [
        library for library in everybody if not only or any(part in library.name for part in only)
    ]


def measured(*, tasks: int, seed: int, only: Sequence[str] | None, keep: bool) -> dict[str, Any]:
    """Run one library after the other and return what was measured, for `json.dumps`."""
    runs = []
    with environments(keep=keep) as folder:
        tell(f"environments in {folder}")
        service = python_with(folder, SERVICE)
        chosen, left_out = installed(folder, libraries(only))
        for library, python in chosen:
            tell(f"{library.name}: {PLAN.last_caller_at:g} s, and {LIMIT:g} s at the most")
            both = both_sides(
                service,
                python,
                library,
                service={
                    "low": LOW,
                    "high": HIGH,
                    "tls": False,
                    "seed": seed,
                    "plan": attrs.asdict(PLAN),
                    "client_key": CLIENT_KEY,
                },
                client={
                    "tasks": tasks,
                    "longest": HIGH,
                    "limit": LIMIT,
                    "over": PLAN.last_caller_at,
                    "seed": seed,
                },
            )
            runs.append({"library": library.name, "ours": library.ours} | both)
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores ({platform.machine()}), {platform.system()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "tasks": tasks,
        "seed": seed,
        "left_out": left_out,
        "runs": runs,
    }


def figures(run: dict[str, Any], tasks: int) -> dict[str, float | None]:
    """Return the figures of one run; None for what nobody can say of a client that hung."""
    client, record, seen = run["client"], run["service"]["record"], run["service"]["seen"]
    judged = None if "broken" in client else verdict(client["calls"], seen["charges"])
    faults = record["faults"]
    unseen = faults.get("refused", 0) + faults.get("reset_before", 0)
    return {
        "tasks offered": tasks,
        "paid tasks, by the service's record": record["charges"],
        "solved": judged and judged.solved,
        "not solved, told with the task's id": judged and judged.told,
        "not solved, told that it may be paid": judged and judged.warned,
        "the same, though nothing was paid": judged and judged.warned_for_nothing,
        "**lost**: paid, and not a word of it": judged and judged.lost,
        "**paid twice** in silence": judged and judged.twice,
        "balance errors, most in a minute": most_in_a_minute(seen["offences"]),
        "requests during the ban": len(seen["met_ban"]),
        "of them later than its first second": sum(after > 1 for after in seen["met_ban"]),
        "requests during a ban for these errors": seen["met_earned_ban"],
        "requests during the blackout": faults.get("refused", 0),
        "requests, all": record["requests"] + unseen,
        "polls too soon": record["spacing_violations"],
        "calls not finished": client.get("unfinished"),
        "seconds": client.get("wall"),
    }


def keeps_its_promises(run: dict[str, Any], *, most_offences: int, most_in_ban: int) -> bool:
    """Return whether nothing was lost or paid twice, and no ban earned or met."""
    found = figures(run, 0)
    return (
        found["**lost**: paid, and not a word of it"] == 0
        and found["**paid twice** in silence"] == 0
        and most_in_a_minute(run["service"]["seen"]["offences"]) <= most_offences
        and len(run["service"]["seen"]["met_ban"]) <= most_in_ban
    )


def text(results: dict[str, Any]) -> str:
    """Return the table, how it came about, and how the calls failed."""
    runs, tasks = results["runs"], results["tasks"]
    columns = [figures(run, tasks) for run in runs]
    lines = [["", *(run["library"] for run in runs)]]
    for name in columns[0] if columns else ():
        cells = (column[name] for column in columns)
        lines.append([name, *(ABSENT if cell is None else f"{cell:,.0f}" for cell in cells)])
    where = f"{results['date']}, {results['machine']}, {results['python']}"
    parts = [
        f"`python benchmarks/chaos.py --peers`, {where}, seed {results['seed']}",
        textwrap.fill(" ".join(NOTE.split()), width=96),
        aligned(lines),
        *(f"{run['library']}: {_failures(run['client'])}" for run in runs),
        *(f"left out: {name}: {reason}" for name, reason in results["left_out"].items()),
    ]
    return "\n\n".join(parts) + "\n"


def _failures(client: dict[str, Any]) -> str:
    if "broken" in client:
        return str(client["broken"])
    counts = Counter(client["failures"])
    if client["unfinished"]:
        counts["not finished"] = client["unfinished"]
    return ", ".join(f"{count:,} x {name}" for name, count in counts.most_common()) or "no failure"

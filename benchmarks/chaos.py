"""Everything goes wrong at once: is any paid task lost, paid for twice, or anybody banned?

    python benchmarks/chaos.py
    python benchmarks/chaos.py --peers

Ten thousand tasks on the simulated service, in virtual time, with the same seed the same
each time. All through the run 2.5 % of the requests are reset before and 2.5 % after the
service acted on them, 2.5 % are answered 502 with HTML and 2.5 % 503, 2 % with broken JSON,
and 2 % ten seconds late. On top come a minute in which every second request is throttled,
a minute without any connection, a ban of ten minutes, and at last an empty balance.

A task is **lost** when the service charged it and had a solution, and the caller neither
got it nor was told of the payment. It is paid for **twice in silence** when more was
charged than the pool says was or may have been charged. The exit code is 0 when neither
happened, the service met at most 25 balance or credential errors in any minute, and the
ban met no more than what was under way when it began, and one probe.

``--peers`` sets two other libraries beside this one, each against a service of its own on
a loopback port. They cannot live in virtual time, so it is a tenth of the tasks, in some
five minutes for each; `side_by_side.in_chaos` says with which phases. The exit code speaks
of this library alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import sys
import time
from collections import Counter
from random import Random

import attrs
from side_by_side import in_chaos
from side_by_side.trouble import BANNED, HANG_SECONDS, OFFENCES, RATES, Plan, trouble

from ezcaptcha_async import EzCaptchaError, PoolStatistics, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.testing import RecordSummary, SimulatedService, Uniform, VirtualTimeLoop

KEY = "key"
TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")
PLAN = Plan(
    throttled=(60.0, 120.0),
    blackout=(180.0, 240.0),
    ban=(300.0, 900.0),
    empty_at=1_100.0,
    last_caller_at=1_200.0,
)

TASKS = 10_000
MOST_OFFENCES = 25
MOST_AT_A_TIME = 32


@attrs.define
class Toll:
    """What the callers met.

    Args:
        solved: Ids of the tasks whose solutions they got.
        told: Ids of those of which they were told by an error.
        errors: Names of the errors.
    """

    solved: set[str] = attrs.field(factory=set)
    told: set[str] = attrs.field(factory=set)
    errors: Counter[str] = attrs.field(factory=Counter)


async def caller(pool: SessionPool, toll: Toll) -> None:
    """Solve one task and note what came of it."""
    try:
        solution = await pool.solve(TASK)
    except EzCaptchaError as error:
        toll.errors[type(error).__name__] += 1
        if error.ticket is not None:
            toll.told.add(error.ticket["task_id"])
    else:
        toll.solved.add(solution.receipt.task_id)


async def most_refusals_in_a_minute(service: SimulatedService, most: Counter[str]) -> None:
    """Watch, second by second, how many refusals of each code came in the last minute."""
    history: list[Counter[str]] = []
    while True:
        history = [*history[-60:], Counter(service.summary().refused)]
        for code, count in history[-1].items():
            most[code] = max(most[code], count - history[0][code])
        await asyncio.sleep(1)


async def run(tasks: int, seed: int) -> dict[str, float]:
    """Run it all and return the figures."""
    service = SimulatedService(
        seed=seed, solve_times=Uniform(8, 40), fault_rates=RATES, hang_seconds=HANG_SECONDS
    )
    toll, most, rng = Toll(), Counter[str](), Random(seed)
    starts = sorted(rng.uniform(0, PLAN.last_caller_at) for _ in range(tasks))
    watchers = [
        asyncio.create_task(trouble(service, PLAN, KEY)),
        asyncio.create_task(most_refusals_in_a_minute(service, most)),
    ]
    async with (
        service.client(latency=0.1) as client,
        SessionPool(KEY, service=service.profile(), http_client=client, rng=rng) as pool,
    ):
        callers = []
        begin = asyncio.get_running_loop().time()
        for start in starts:
            await asyncio.sleep(begin + start - asyncio.get_running_loop().time())
            callers.append(asyncio.create_task(caller(pool, toll)))
        await asyncio.gather(*callers)
        counts = pool.statistics()
    for watcher in watchers:
        watcher.cancel()
    return {
        "tasks": tasks,
        **_money(service.summary(), counts, toll),
        **{f"callers told {name}": count for name, count in sorted(toll.errors.items())},
        "requests": service.summary().requests,
        "polls too soon": service.summary().spacing_violations,
        "balance or key errors, most in a minute": max(most[code] for code in OFFENCES),
        "requests that met the ban": sum(service.summary().refused.get(code, 0) for code in BANNED),
        "virtual minutes": (asyncio.get_running_loop().time() - begin) / 60,
    }


def _money(summary: RecordSummary, counts: PoolStatistics, toll: Toll) -> dict[str, float]:
    heard_of = len(toll.solved | toll.told)
    return {
        "charged by the service": summary.charges,
        "solved": len(toll.solved),
        "not solved, and told with the ticket": len(toll.told),
        "answer to createTask lost": counts.unknown,
        "of these charged": summary.charges - counts.created,
        "lapsed": counts.lapsed,
        "lost": counts.created - heard_of,
        "paid twice in silence": max(0, summary.charges - counts.created - counts.unknown),
    }


def main() -> int:
    """Run, print, and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tasks", type=int, help="10,000 by default, or 1,000 beside peers")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--peers", action="store_true", help="beside two peers, in real time")
    parser.add_argument("--only", nargs="+", help="of these, whose names contain one of these")
    parser.add_argument("--keep", action="store_true", help="keep their environments")
    options = parser.parse_args()
    return beside_peers(options) if options.peers else alone(options)


def beside_peers(options: argparse.Namespace) -> int:
    """Run this library and two peers in turn, print, and judge ours."""
    results = in_chaos.measured(
        tasks=options.tasks or in_chaos.TASKS,
        seed=options.seed,
        only=options.only,
        keep=options.keep,
    )
    text = in_chaos.text(results)
    print(json.dumps(results) if options.json else text)
    if not (options.only or options.tasks):
        in_chaos.RESULT.write_text(text, "utf-8")
    kept = all(
        in_chaos.keeps_its_promises(
            run, most_offences=MOST_OFFENCES, most_in_ban=MOST_AT_A_TIME + 1
        )
        for run in results["runs"]
        if run["ours"]
    )
    return 0 if kept else 1


def alone(options: argparse.Namespace) -> int:
    """Run this library in virtual time, print, and judge."""
    tasks = options.tasks or TASKS
    started = time.perf_counter()
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        figures = runner.run(run(tasks, options.seed))
    if options.json:
        print(json.dumps(figures))
    else:
        spent = time.perf_counter() - started
        print(f"CPython {platform.python_version()}, seed {options.seed}, {spent:.0f} s")
        for name, figure in figures.items():
            print(f"{name:>48}  {figure:>10,.0f}")
    kept = (
        figures["lost"] == figures["paid twice in silence"] == figures["polls too soon"] == 0
        and figures["balance or key errors, most in a minute"] <= MOST_OFFENCES
        and figures["requests that met the ban"] <= MOST_AT_A_TIME + 1
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

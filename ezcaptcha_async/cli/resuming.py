"""``resume``: fetch what a journal says is paid, one line for each task as it comes."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import attrs

from ezcaptcha_async import (
    Account,
    ConfigurationError,
    Resumed,
    SessionPool,
    Solution,
    Submission,
)
from ezcaptcha_async.cli import failures
from ezcaptcha_async.cli.failures import ExitCode, Interrupted
from ezcaptcha_async.cli.interrupts import run_async
from ezcaptcha_async.cli.output import Output, counted, points, printable
from ezcaptcha_async.cli.solving import answer, described, token


def resume(output: Output, account: Account, journal: str) -> ExitCode:
    """Fetch the paid, unfinished tasks of a journal, and print each as it comes.

    Args:
        output: Where to: solutions to stdout, to stderr why there is none.
        account: Who has paid.
        journal: Path of the journal.

    Returns:
        The code of the errors, or FAILED where they are of several kinds; without any,
        whether something is unknown.

    Raises:
        ConfigurationError: The journal is not there, or another pool uses it.
        Interrupted: By a signal.
    """
    if not Path(journal).is_file():
        raise ConfigurationError(f"there is no journal {journal!r}")
    pool = SessionPool(account, journal=journal)
    codes: list[ExitCode] = []

    async def work() -> None:
        async with pool, pool.resume_all() as outcomes:
            # Each is shown at once: the journal counts on its having been seen.
            codes.extend([_show(output, outcome) async for outcome in outcomes])

    try:
        with output.waiting(f"paid tasks at {account.service.name}"):
            run_async(work)
    except Interrupted as interruption:
        signum = interruption.signum
    else:
        unknowns = pool.unknowns()
        _conclude(output, codes, unknowns)
        return _code(codes, unknowns)
    note = "what was not shown is still in the journal: run the same again"
    raise Interrupted(signum, note=note)


def _show(output: Output, outcome: Resumed) -> ExitCode:
    """Show what became of one task, and return what that means."""
    if (error := outcome.error) is not None:
        if output.as_json:
            output.document({"ticket": outcome.ticket, **failures.description(error)})
        else:
            output.remark(f"task {outcome.task_id}: {failures.line(error)}")
        return failures.exit_code(error)
    solution = cast("Solution", outcome.solution)
    if output.as_json:
        output.document({"ticket": outcome.ticket, **described(solution)})
    else:
        text = token(solution) or json.dumps(answer(solution))
        output.result(f"{printable(outcome.task_id)} {printable(text)}")
    return ExitCode.DONE


def _conclude(output: Output, codes: Sequence[ExitCode], unknowns: Sequence[Submission]) -> None:
    for item in unknowns:
        if output.as_json:
            output.document({"unknown": attrs.asdict(item)})
            continue
        sent = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(item.sent_at))
        price = "" if item.points is None else f" for {points(item.points)} points"
        where = f"{item.type} for {item.host}" if item.host else item.type
        output.remark(f"unknown: {where}, sent {sent}, may have been charged{price}")
    fetched = sum(code is ExitCode.DONE for code in codes)
    output.remark(f"{counted(fetched, 'task')} of {len(codes)} fetched, {len(unknowns)} unknown")


def _code(codes: Sequence[ExitCode], unknowns: Sequence[Submission]) -> ExitCode:
    kinds = set(codes) - {ExitCode.DONE}
    if kinds:
        return kinds.pop() if len(kinds) == 1 else ExitCode.FAILED
    return ExitCode.UNKNOWN if unknowns else ExitCode.DONE

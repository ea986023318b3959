"""``resume``: fetch what is paid already, one line for each task as it comes."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

import anyio
import attrs

from ezcaptcha_async import Account, Journal, Resumed, SavedTicket, SessionPool, Solution, errors
from ezcaptcha_async.cli import failures, streams
from ezcaptcha_async.cli.batching.rows import row_of
from ezcaptcha_async.cli.connection import read_text
from ezcaptcha_async.cli.failures import BrokenOffError, ExitCode, Interrupted
from ezcaptcha_async.cli.interrupts import run_async
from ezcaptcha_async.cli.options import STDIN
from ezcaptcha_async.cli.output import Output, counted, money, printable
from ezcaptcha_async.cli.solving import answer, described
from ezcaptcha_async.cli.tickets import tickets_in

_LONGEST: Final = 64 * 1024 * 1024
"""What is longer is not read for saved tickets, of which each takes less than a kilobyte."""

_REST: Final = "what was not shown is still in the journal: run the same again"


def resume(output: Output, account: Account, source: Path) -> ExitCode:
    """Fetch the paid, unfinished tasks of a journal or of saved tickets; print each as it comes.

    Returns:
        The code of the errors, or FAILED where they are of several kinds or something was
        fetched beside what this account cannot; without any, whether something is unknown.

    Raises:
        ConfigurationError: It is not there or neither of them, another pool uses the journal,
            or it is that of a batch, which alone can keep what it has paid for; or what is
            printed would go into it.
    """
    _check_streams(source)
    tickets = _tickets(source)
    pool = SessionPool(account, journal=source if tickets is None else None)
    left = {ticket["task_id"]: ticket for ticket in tickets or ()}
    codes: list[ExitCode] = []
    broken: list[BrokenOffError] = []

    async def fetch(ticket: SavedTicket, scope: anyio.CancelScope) -> None:
        try:
            outcome = Resumed(ticket=ticket, solution=await pool.resume(ticket))
        except errors.EzCaptchaError as error:
            outcome = Resumed(ticket=ticket, error=error)
        try:
            codes.append(await _show(output, outcome))
        except BrokenOffError as error:
            broken.append(error)
            scope.cancel()
        del left[ticket["task_id"]]  # not before: the reader may have stalled until a signal came

    async def fetch_tickets() -> None:
        async with pool, anyio.create_task_group() as group:
            for ticket in list(left.values()):
                group.start_soon(fetch, ticket, group.cancel_scope)
        if broken:
            raise broken[0]

    async def fetch_journal() -> None:
        async with pool, pool.resume_all() as outcomes:
            # Each is shown at once: the journal counts on its having been seen.
            codes.extend([await _show(output, outcome) async for outcome in outcomes])

    try:
        with output.waiting(f"paid tasks at {account.service.name}"):
            run_async(fetch_journal if tickets is None else fetch_tickets)
    except Interrupted as interruption:
        note = _REST if tickets is None else None
        raise Interrupted(interruption.signum, list(left.values()), note=note) from None
    except BrokenOffError as error:
        problem = f"{error}; {_REST}" if tickets is None else str(error)
        raise BrokenOffError(problem, error.results, list(left.values())) from None
    return _conclude(output, account, pool, codes)


def _check_streams(source: Path) -> None:
    """Refuse ``>>`` into the journal: it is replaced by one without the lines printed so far."""
    for number, name in streams.NAMES.items():
        if streams.leads_to(number, source):
            raise errors.ConfigurationError(f"JOURNAL and {name} cannot both be {source}")


def _tickets(source: Path) -> list[SavedTicket] | None:
    """Return the saved tickets that a file holds; None where it is a journal, but no batch's."""
    if source == STDIN:
        tickets = tickets_in(read_text(source, option="JOURNAL", most=_LONGEST))
        if not tickets:
            raise errors.ConfigurationError("stdin holds no saved ticket")
        return tickets
    if not source.exists():
        raise errors.ConfigurationError(f"there is no journal {str(source)!r}")
    try:
        unfinished = Journal(source).unfinished()
    except errors.ConfigurationError:
        if source.stat().st_size <= _LONGEST:
            # No text, or a device without end: the journal's problem says more.
            with suppress(errors.ConfigurationError):
                if tickets := tickets_in(read_text(source, option="JOURNAL", most=_LONGEST)):
                    return tickets
        raise
    rows = sum(row_of(ticket["reference"]) is not None for ticket in unfinished)
    if rows:  # shown here, they would be bought again there
        raise errors.ConfigurationError(
            f"{source} is the journal of a batch, which has paid for {counted(rows, 'row')} "
            f"that it has not written down: run the same 'ezcaptcha batch' again, it fetches them"
        )
    return None


async def _show(output: Output, outcome: Resumed) -> ExitCode:
    """Show what became of one task, and return what that means."""
    if (error := outcome.error) is not None:
        if output.as_json:
            described_error = {"ticket": outcome.ticket, **failures.description(error)}
            await output.paid_result(json.dumps(described_error))
        else:
            named = "" if outcome.reference is None else f" ({outcome.reference})"
            output.remark(f"task {outcome.task_id}{named}: {failures.line(error)}")
        return failures.exit_code(error)
    solution = cast("Solution", outcome.solution)
    if output.as_json:
        await output.paid_result(json.dumps({"ticket": outcome.ticket, **described(solution)}))
    else:
        text = getattr(solution, "token", None) or json.dumps(answer(solution))
        # The reference last: it alone may hold blanks beside a token.
        parts = (outcome.task_id, text, outcome.reference)
        shown = " ".join(printable(part) for part in parts if part is not None)
        await output.paid_result(shown)
    return ExitCode.DONE


def _conclude(
    output: Output, account: Account, pool: SessionPool, codes: Sequence[ExitCode]
) -> ExitCode:
    unknowns = pool.unknowns()
    for item in unknowns:
        if output.as_json:
            output.document({"unknown": attrs.asdict(item)})
            continue
        sent = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(item.sent_at))
        price = "" if item.points is None else f" for {money(item.points, account.service)}"
        where = f"{item.type} for {item.host}" if item.host else item.type
        named = "" if item.reference is None else f" ({item.reference})"
        output.remark(f"unknown: {where}{named}, sent {sent}, may have been charged{price}")
    fetched = sum(code is ExitCode.DONE for code in codes)
    output.remark(f"{counted(fetched, 'task')} of {len(codes)} fetched, {len(unknowns)} unknown")
    kinds = set(codes) - {ExitCode.DONE}
    if kinds == {ExitCode.USAGE} and fetched:
        return ExitCode.FAILED  # for a script, USAGE is that nothing was sent
    if kinds:
        return kinds.pop() if len(kinds) == 1 else ExitCode.FAILED
    return ExitCode.UNKNOWN if unknowns else ExitCode.DONE

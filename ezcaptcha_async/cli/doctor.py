"""``doctor``: what is between this machine and a solved task, one line each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlsplit

import attrs
from rich.table import Column, Table
from rich.text import Text

from ezcaptcha_async import ConfigurationError, Service
from ezcaptcha_async.cli import packages
from ezcaptcha_async.cli.asking import answers, unanswered
from ezcaptcha_async.cli.connection import Connection
from ezcaptcha_async.cli.failures import ExitCode
from ezcaptcha_async.cli.findings import Finding, State, skipped
from ezcaptcha_async.cli.interrupts import run_async
from ezcaptcha_async.cli.output import BAD, FAINT, GOOD, WARNING, Output, counted, printable
from ezcaptcha_async.cli.probes import look_up, shake_hands

_NAME_WIDTH: Final = 8
_STATE_WIDTH: Final = 7
_COLOURS: Final[dict[State, str]] = {
    "ok": GOOD,
    "warning": WARNING,
    "problem": f"bold {BAD}",
    "skipped": FAINT,
}


def examine(output: Output, connection: Connection, *, timeout: float) -> ExitCode:
    """Check everything, say of each thing how it is, and return the code of the first problem."""
    service = connection.profile()
    checks: list[Finding] = []

    async def work() -> None:
        found = _findings(service, connection, timeout)
        while True:
            # Not around all of them: two streams cannot share the last line of a terminal.
            with output.waiting("checking"):
                finding = await anext(found, None)
            if finding is None:
                return
            checks.append(finding)
            if not output.as_json:
                output.show(_row(finding, output))

    if not output.as_json:
        title = Text.assemble((service.name, "bold"), (f" at {service.base_url}", FAINT))
        output.show("", title, "")
    run_async(work)
    problems = (finding.exit_code for finding in checks if finding.state == "problem")
    code = next(problems, ExitCode.DONE)  # what comes after the first may follow from it
    if output.as_json:
        is_shown = attrs.filters.exclude("exit_code")
        found = [attrs.asdict(finding, filter=is_shown) for finding in checks]
        where = {"service": service.name, "base_url": service.base_url}
        output.document({**where, "checks": found, "exit_code": int(code)})
    else:
        output.show("", _conclusion(checks))
    return code


async def _findings(
    service: Service, connection: Connection, timeout: float
) -> AsyncIterator[Finding]:
    url = urlsplit(service.base_url)
    name = await look_up(url, timeout=timeout)
    yield name
    is_found = name.state != "problem"
    handshake = await shake_hands(url, timeout=timeout) if is_found else skipped("TLS")
    yield handshake
    account = no_key = None
    try:
        account = connection.account()
    except ConfigurationError as error:
        no_key = Finding("key", "problem", error.message, exit_code=ExitCode.USAGE)
    if is_found and handshake.state != "problem":
        answered = await answers(service, account, timeout=timeout)
    else:
        answered = unanswered(skipped("HTTP"))
    for finding in answered:
        if finding.name == "key":
            yield no_key or _sourced(finding, connection.key_source)
        else:
            yield finding
    yield packages.versions()
    yield await packages.fast()


def _sourced(finding: Finding, source: str) -> Finding:
    """Return a finding that says where the key comes from: several variables may hold one."""
    text, details = f"{finding.text}; from {source}", {**finding.details, "source": source}
    return attrs.evolve(finding, text=text, details=details)


def _row(finding: Finding, output: Output) -> Table:
    columns = Column(width=_NAME_WIDTH), Column(width=_STATE_WIDTH), Column(overflow="fold")
    table = Table.grid(*columns, padding=(0, 2, 0, 0))
    faint = FAINT if finding.state == "skipped" else ""
    state = Text(finding.state, style=_COLOURS[finding.state])
    table.add_row(finding.name, state, Text(printable(finding.text), style=faint))
    if finding.remedy is not None:
        arrow = "->" if output.console.options.ascii_only else "→"
        weight = FAINT if finding.state == "ok" else "bold"
        table.add_row("", "", Text(f"{arrow} {printable(finding.remedy)}", style=weight))
    return table


def _conclusion(checks: list[Finding]) -> Text:
    states = [finding.state for finding in checks]
    problems, warnings = states.count("problem"), states.count("warning")
    if problems:
        first = "; begin with the first" if problems > 1 else ""
        return Text(f"{counted(problems, 'problem')}{first}.", f"bold {BAD}")
    if warnings:
        return Text(f"It works, with {counted(warnings, 'warning')}.", WARNING)
    return Text("It works.", GOOD)

"""The commands and their arguments."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import attrs
from cyclopts import App, CycloptsError, Parameter
from cyclopts.validators import Number

from ezcaptcha_async import ConfigurationError, EzCaptchaError, __version__
from ezcaptcha_async.accounts import KEY_VARIABLE
from ezcaptcha_async.cli import (
    catalogue,
    display,
    doctor,
    live,
    resuming,
    simulating,
    solving,
)
from ezcaptcha_async.cli.batching import display as batch_display
from ezcaptcha_async.cli.batching import running as batch_running
from ezcaptcha_async.cli.batching.results_file import STDOUT
from ezcaptcha_async.cli.batching.rows import Format, RowReader, format_of
from ezcaptcha_async.cli.connection import DEFAULT, STDIN, Connection, FromFile, read_text
from ezcaptcha_async.cli.demo import Plan, run_demo
from ezcaptcha_async.cli.failures import ExitCode, Interrupted, UsageError, exit_code, help_table
from ezcaptcha_async.cli.fields import task_from
from ezcaptcha_async.cli.interrupts import Backend
from ezcaptcha_async.cli.output import PROGRAM, Output
from ezcaptcha_async.cli.reporting import report as reporting
from ezcaptcha_async.tasks import TASK_TYPES
from ezcaptcha_async.testing import SimulatedService

Json: TypeAlias = Annotated[bool, Parameter(name="--json", negative=(), show_default=False)]
Shell: TypeAlias = Literal["bash", "zsh", "fish"]
ResultsOption: Final = Parameter(name=("--results", "-o"), allow_leading_hyphen=True)
_SPEEDS: Final = Number(gte=1, lte=100)
Speed: Final = Parameter(validator=_SPEEDS)
TimeScale: TypeAlias = Annotated[float | None, Parameter(validator=_SPEEDS, show_default=False)]
if TYPE_CHECKING:
    TaskType: TypeAlias = str
else:
    # What the shell offers for it; anything else is taken as well, and looked at later.
    TaskType = Literal[tuple(item.__name__ for item in TASK_TYPES)] | str

_VALUE_OF_OPTION: Final = re.compile(r"(--?[\w-]+)=\S*")
_KEY_OPTION: Final = re.compile(r"--?(\w+-)?key(?![\w-])")

app: Final = App(
    name=PROGRAM,
    help="Client for the EzCaptcha and 1captcha APIs.",
    help_format="markdown",
    help_epilogue=help_table(),
    version=__version__,
)


def run(tokens: Sequence[str]) -> int:
    """Run the command that the tokens name, and return its exit code."""
    output = Output(as_json="--json" in tokens)
    try:
        command, bound, _ = app.parse_args(tokens, print_error=False, exit_on_error=False)
        return command(*bound.args, **bound.kwargs) or ExitCode.DONE
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain of it once more on exit.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except CycloptsError as error:
        failure: Exception = UsageError(_usage(error, tokens))
    except KeyboardInterrupt:
        failure = Interrupted(signal.SIGINT)
    except (EzCaptchaError, Interrupted) as error:
        failure = error
    output.failure(failure)
    return exit_code(failure)


def _usage(error: CycloptsError, tokens: Sequence[str]) -> str:
    # The value of an option that does not exist may be a secret.
    message = _VALUE_OF_OPTION.sub(r"\1", str(error))
    command = next((token for token in tokens if token in app), None)
    if _KEY_OPTION.search(message):
        return f"{message} The client key comes from {KEY_VARIABLE} or --key-file."
    where = " ".join(filter(None, (PROGRAM, command, "--help")))
    return f"{message.removesuffix('.')}; see {where}"


@app.command(help_epilogue="")
def demo(
    *,
    tasks: Annotated[int, Parameter(validator=Number(gte=1, lte=100_000))] = 300,
    speed: Annotated[float, Speed] = 10.0,
    seed: int = 1,
    backend: Backend = "asyncio",
    as_json: Json = False,
) -> int:
    """Solve many tasks at once against a simulated service on this machine.

    Needs no account and costs nothing. Exits with 1 if anything was lost or charged wrongly.

    Args:
        tasks: How many tasks, of all types.
        speed: How many times faster than real the service runs.
        seed: Where everything random comes from.
        backend: The event loop.
        as_json: Print the summary as JSON.
    """
    if importlib.util.find_spec(backend) is None:
        raise ConfigurationError(
            f"--backend {backend} needs another package: pip install {backend}"
        )
    output = Output(as_json=as_json)
    plan = Plan(tasks=tasks, speed=speed, seed=seed, backend=backend)
    with live.shown(output, plan) as show:
        found = run_demo(plan, show)
    if as_json:
        output.document({"plan": attrs.asdict(plan), **attrs.asdict(found)})
    else:
        display.show_tally(output, found)
    return ExitCode.FAILED if found.problems else ExitCode.DONE


@app.command(usage="Usage: ezcaptcha solve [OPTIONS] TYPE NAME=VALUE...")
def solve(
    task_type: Annotated[TaskType, Parameter(name="TYPE", show_choices=False)],
    /,
    *arguments: Annotated[str, Parameter(name="FIELD")],
    fields: Annotated[Path | None, FromFile] = None,
    custom: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    timeout: Annotated[float | None, Parameter(show_default=False)] = None,
    time_scale: TimeScale = None,
    connection: Connection = DEFAULT,
    as_json: Json = False,
) -> None:
    """Solve one task: the solution goes to stdout, remarks to stderr.

    For example: ezcaptcha solve ReCaptchaV2TaskProxyless website_url=https://example.com
    website_key=KEY

    Args:
        task_type: A type that 'ezcaptcha types' lists, in any case.
        arguments: NAME=TEXT, or NAME:=JSON for anything but text.
        fields: File with more fields as one JSON object; - for stdin. For what must not
            be seen among the arguments of a process, such as a proxy's password.
        connection: Where to, and who pays.
        custom: Send any other type, with its fields as they are on the wire.
        timeout: Most seconds to wait; the result window of 300 s ends it in any case.
        time_scale: How many times faster than real a simulated service runs.
            EZCAPTCHA_TIME_SCALE does the same.
        as_json: Print the solution as JSON, errors too.
    """
    if fields == connection.key_file == STDIN:
        raise ConfigurationError("--fields and --key-file cannot both be read from stdin")
    more = None if fields is None else read_text(fields, option="--fields")
    task = task_from(task_type, arguments, more, custom=custom)
    output = Output(as_json=as_json)
    solving.solve(output, connection.account(time_scale), task, timeout=timeout)


@app.command(usage="Usage: ezcaptcha resume [OPTIONS] JOURNAL")
def resume(
    journal: Annotated[Path, Parameter(name="JOURNAL")],
    /,
    *,
    time_scale: TimeScale = None,
    connection: Connection = DEFAULT,
    as_json: Json = False,
) -> int:
    """Fetch what a program that has ended left unfinished: it is paid for.

    Prints one line for each task as it comes: its id and its solution on stdout, or why there
    is none on stderr. Creates nothing. Ctrl-C leaves the rest in the journal.

    Args:
        journal: The file that the program gave to SessionPool(journal=...).
        time_scale: How many times faster than real a simulated service runs.
            EZCAPTCHA_TIME_SCALE does the same.
        connection: Where to, and who has paid.
        as_json: Print each line as JSON: a solution, an error, or what is unknown.
    """
    output = Output(as_json=as_json)
    return resuming.resume(output, connection.account(time_scale), str(journal))


@app.command(usage="Usage: ezcaptcha batch [OPTIONS] ROWS")
def batch(
    rows: Annotated[Path, Parameter(name="ROWS", allow_leading_hyphen=True)],
    /,
    *,
    results: Annotated[Path, ResultsOption] = STDOUT,
    row_format: Annotated[Format | None, Parameter(name="--format", show_default=False)] = None,
    task_type: Annotated[str | None, Parameter(name="--type", show_default=False)] = None,
    custom: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    max_in_flight: Annotated[int, Parameter(validator=Number(gte=1, lte=100_000))] = 500,
    budget: Annotated[float | None, Parameter(show_default=False)] = None,
    timeout: Annotated[float | None, Parameter(show_default=False)] = None,
    retry_failed: Annotated[bool, Parameter(negative=(), show_default=False)] = False,
    journal: Annotated[Path | None, Parameter(show_default=False)] = None,
    time_scale: TimeScale = None,
    connection: Connection = DEFAULT,
    as_json: Json = False,
) -> int:
    """Solve many tasks: JSON lines or CSV in, JSON lines out.

    A row is {"type": "ReCaptchaV2TaskProxyless", "website_url": "...", "website_key": "..."},
    or a line of CSV below a header with these names; "id" may name it. Run the same command
    again and it goes on: finished rows are skipped, paid ones fetched, none is bought twice.

    Args:
        rows: File with the rows; - for stdin.
        results: File for the results, which is only added to; - for stdout. Only with a file
            can a batch be gone on with.
        row_format: Of the rows; known by the file's name when left out.
        task_type: The type of rows that have none.
        custom: Send types that this program does not know, fields as they are on the wire.
        max_in_flight: Most rows begun and not finished.
        budget: Most points for all rows, earlier runs included.
        timeout: Most seconds for each row; the result window of 300 s ends it in any case.
        retry_failed: Try rows again that ended in an error, also where that may pay twice.
        journal: File for what is paid; the results' name with .journal when left out.
        time_scale: How many times faster than real a simulated service runs.
            EZCAPTCHA_TIME_SCALE does the same.
        connection: Where to, and who pays: a key file may hold several keys, one a line.
        as_json: Print a summary as JSON; it needs --results.
    """
    output = Output(as_json=as_json)
    to_stdout = results == STDOUT
    if as_json and to_stdout:
        raise ConfigurationError("--json needs --results: stdout has the results already")
    if rows == connection.key_file == STDIN:
        raise ConfigurationError("ROWS and --key-file cannot both be read from stdin")
    plan = batch_running.Plan(
        source=rows,
        results=results,
        journal=journal or (None if to_stdout else Path(f"{results}.journal")),
        reader=RowReader(format=row_format or format_of(rows), task_type=task_type, custom=custom),
        max_in_flight=max_in_flight,
        budget=budget,
        timeout=timeout,
        retry_failed=retry_failed,
    )
    with batch_display.shown(output, f"{rows} to {results}", in_the_way=to_stdout) as show:
        progress = batch_running.run_batch(plan, connection.accounts(time_scale), show)
    if as_json:
        output.document(batch_display.summary(progress))
    else:
        batch_display.show_end(output, progress, results)
    if progress.halted_by is not None:
        return exit_code(progress.halted_by)
    return ExitCode.FAILED if progress.failed or progress.failed_before else ExitCode.DONE


@app.command(usage="Usage: ezcaptcha report [OPTIONS] RESULTS", help_epilogue="")
def report(
    results: Annotated[Path, Parameter(name="RESULTS", allow_leading_hyphen=True)],
    /,
    *,
    html: Annotated[Path | None, Parameter(show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Show solve times, freshness, spend and errors of a batch, also while it runs.

    Args:
        results: The file that 'ezcaptcha batch' writes; - for stdin.
        html: Write a page with plots to this file as well; it needs no network.
        as_json: Print the figures as JSON.
    """
    reporting.report(Output(as_json=as_json), results, html)


@app.command
def balance(*, connection: Connection = DEFAULT, as_json: Json = False) -> None:
    """Show how many points the account has.

    Args:
        connection: Where to, and who pays.
        as_json: Print it as JSON, errors too.
    """
    solving.balance(Output(as_json=as_json), connection.account())


@app.command(name="doctor")
def examine(
    *,
    timeout: Annotated[float, Parameter(validator=Number(gt=0, lte=120))] = 10.0,
    connection: Connection = DEFAULT,
    as_json: Json = False,
) -> int:
    """Check what a solved task depends on: network, certificate, key, points, clock, versions.

    Sends one getBalance; it costs nothing. Exits with the code of the first problem.

    Args:
        timeout: Most seconds for each check.
        connection: Where to, and who pays.
        as_json: Print the findings as JSON, errors too.
    """
    return doctor.examine(Output(as_json=as_json), connection, timeout=timeout)


@app.command(help_epilogue="")
def types(*, as_json: Json = False) -> None:
    """List the task types with their fields, and their prices at each service.

    Args:
        as_json: Print them as JSON.
    """
    output = Output(as_json=as_json)
    if as_json:
        output.document(catalogue.as_document())
    else:
        display.show_types(output)


@app.command(help_epilogue="")
def simulate(
    *,
    port: Annotated[int, Parameter(validator=Number(gte=0, lte=65_535))] = 0,
    latency: float = 0.0,
    time_scale: Annotated[float, Speed] = 1.0,
    seed: int = 0,
    solve_time: Annotated[float | None, Parameter(show_default=False)] = None,
    failure_rate: float = 0.0,
    points: float = 1_000_000.0,
    as_json: Json = False,
) -> None:
    """Serve a simulated service on this machine until Ctrl-C.

    Any client key is good. GET /record answers with what it saw.

    Args:
        port: Where to listen; 0 for any free port.
        latency: Seconds that each request takes.
        time_scale: How many times faster than real it runs.
        seed: Where everything random comes from.
        solve_time: Seconds that each task takes; 10 to 80 when left out.
        failure_rate: Share of the tasks that fail, from 0 to 1.
        points: Points that each client key has at first.
        as_json: Print where it is as JSON.
    """
    service = SimulatedService(
        seed=seed, balance=points, solve_times=solve_time, failure_rate=failure_rate
    )
    output = Output(as_json=as_json)
    simulating.simulate(output, service, port=port, latency=latency, time_scale=time_scale)


@app.command(help_epilogue="")
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(name="SHELL")], /
) -> None:
    """Print the script with which a shell completes commands, options, task types and files.

    Each of them reads it from its own place:

        bash  ~/.local/share/bash-completion/completions/ezcaptcha
        zsh   _cyclopts_ezcaptcha, in a folder of $fpath
        fish  ~/.config/fish/completions/ezcaptcha.fish

    Args:
        shell: The shell.
    """
    Output(as_json=False).result(app.generate_completion(shell=shell))

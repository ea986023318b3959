"""The commands and their arguments.

Each of them imports what it needs when it is called: a shell that asks for the completion at
every start must not wait for HTTP clients, plots and simulated services.
"""

from __future__ import annotations

import importlib.util
import re
import signal
from collections.abc import Sequence
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import attrs
from cyclopts import App, CycloptsError, Parameter, Token
from cyclopts.validators import Number

from ezcaptcha_async import EZCAPTCHA, ConfigurationError, EzCaptchaError, __version__
from ezcaptcha_async.accounts import KEY_VARIABLE
from ezcaptcha_async.cli import catalogue, examples, failures
from ezcaptcha_async.cli.connection import DEFAULT, Connection, FromFile, may_be_key, read_text
from ezcaptcha_async.cli.failures import BrokenOffError, ExitCode, Interrupted, UsageError
from ezcaptcha_async.cli.options import STDIN, STDOUT, STDOUT_NAMES, Backend, Format
from ezcaptcha_async.cli.output import PROGRAM, Output


def _whole(_type: type[int], tokens: Sequence[Token]) -> int:
    try:
        return int(tokens[0].value)
    except ValueError:  # cyclopts would round a fraction
        raise ValueError("it must be a whole number") from None


Flag: TypeAlias = Annotated[bool, Parameter(negative=(), show_default=False)]
Json: TypeAlias = Annotated[Flag, Parameter(name="--json")]
ResultsOption: Final = Parameter(name=("--results", "-o"), allow_leading_hyphen=True)
Speed: Final = Parameter(validator=Number(gte=1, lte=100))
TimeScale: TypeAlias = Annotated[float | None, Speed]
# The upper bounds are there for what is no number, which is below no bound and above none.
NotNegative: Final = Parameter(validator=Number(gte=0, lt=inf))
Positive: Final = Parameter(validator=Number(gt=0, lt=inf))
Whole: TypeAlias = Annotated[int, Parameter(converter=_whole)]
if TYPE_CHECKING:
    TaskType: TypeAlias = str
    FieldArgument: TypeAlias = str
else:
    # What the shell offers for it; anything else is taken as well, and looked at later.
    TaskType = Literal[tuple(offer.type for offer in EZCAPTCHA.offers)] | str
    FieldArgument = Literal[tuple(f"{name}=" for name in catalogue.FIELD_NAMES)] | str

_LONGEST_FIELDS: Final = 16 * 1024 * 1024  # characters
_HELP: Final = frozenset({"--help", "-h"})
_VERBOSE: Final = frozenset({"--verbose", "-v"})
_VALUE_OF_OPTION: Final = re.compile(r"(--?[\w-]+)=\S*")
_OPTION: Final = re.compile(r"--?[a-z]+(-[a-z]+)*")
_KEY_OPTION: Final = re.compile(r"--?(\w+-)?key(?![\w-])")


def _example(command: str) -> str:
    return f"For example: `{PROGRAM} {command}`"


app: Final = App(
    name=PROGRAM,
    help="Client for the EzCaptcha and 1captcha APIs. Begin with: ezcaptcha demo",
    help_format="markdown",
    help_epilogue=failures.help_on_codes()
    + " With -v anywhere, the library's log is shown on stderr.",
    version=__version__,
    version_flags=("--version", "-V"),
)


def run(tokens: Sequence[str]) -> int:
    """Run the command that the tokens name, and return its exit code."""
    output = Output(as_json="--json" in tokens, needs_stdout=False)
    words = [token for token in tokens if token not in _VERBOSE]
    try:
        # Nothing but the help is shown here, and making a console takes a tenth of a second.
        console = output.console if _HELP.intersection(words) or not words else None
        command, bound, _ = app.parse_args(
            words, console=console, print_error=False, exit_on_error=False
        )
        if len(words) < len(tokens):
            output.show_log()
        return command(*bound.args, **bound.kwargs) or ExitCode.DONE
    except (BrokenPipeError, SystemExit):  # the latter by rich
        return ExitCode.FAILED  # whoever read our output has gone
    except CycloptsError as error:
        failure: Exception = UsageError(_usage(error, tokens))
    except KeyboardInterrupt:
        failure = Interrupted(signal.SIGINT)
    except (EzCaptchaError, Interrupted, BrokenOffError) as error:
        failure = error
    except OSError as error:
        failure = BrokenOffError(f"cannot go on: {failures.reason(error)}")
    output.failure(failure)
    return failures.exit_code(failure)


def _usage(error: CycloptsError, tokens: Sequence[str]) -> str:
    # The value of an option that does not exist may be a secret.
    shown = _VALUE_OF_OPTION.sub(r"\1", str(error))
    message = _without_keys(shown, tokens)
    command = next((token for token in tokens if token in app), None)
    if message != shown or _KEY_OPTION.search(message):
        ended = message if message.endswith(".") else f"{message}."
        return f"{ended} The client key comes from {KEY_VARIABLE} or --key-file."
    where = " ".join(filter(None, (PROGRAM, command, "--help")))
    return f"{message.removesuffix('.')}; see {where}"


def _without_keys(message: str, tokens: Sequence[str]) -> str:
    """Take out of a message whatever in it was given and may be a client key."""
    words: set[str] = set()
    for token in tokens:
        name, _, value = token.partition("=")
        words |= {value} if _OPTION.fullmatch(name) else {token, value}
    # As they are, and as Python writes them; the longest first, of which others may be a part.
    forms = {form for word in words if may_be_key(word) for form in (word, repr(word)[1:-1])}
    for form in sorted(forms, key=len, reverse=True):
        message = message.replace(form, "(not shown)")
    return message


@app.command(help_epilogue=_example("demo --tasks 1000"))
def demo(
    *,
    tasks: Annotated[Whole, Parameter(validator=Number(gte=1, lte=100_000))] = 300,
    speed: Annotated[float, Speed] = 10.0,
    seed: Whole = 1,
    backend: Backend = "asyncio",
    as_json: Json = False,
) -> int:
    """Solve many tasks at once against a simulated service.

    It runs on this machine, needs no account and costs nothing. Exits with 1 if anything was
    lost or charged wrongly.

    Args:
        tasks: How many tasks, of all types.
        speed: How many times faster than real the service runs.
        seed: Where everything random comes from.
        backend: The event loop.
        as_json: Print the summary as JSON.
    """
    from ezcaptcha_async.cli import display
    from ezcaptcha_async.cli.demo import Demo, run_demo

    if importlib.util.find_spec(backend) is None:
        raise ConfigurationError(
            f"--backend {backend} needs another package: pip install {backend}"
        )
    output = Output(as_json=as_json)
    wanted = Demo(tasks=tasks, speed=speed, seed=seed, backend=backend)
    found = run_demo(wanted, output)
    if as_json:
        output.document({"plan": attrs.asdict(wanted), **attrs.asdict(found)})
    else:
        display.show_tally(output, found)
    return ExitCode.FAILED if found.problems else ExitCode.DONE


@app.command(
    usage="Usage: ezcaptcha solve [OPTIONS] TYPE NAME=VALUE...",
    help_epilogue=_example(
        "solve ReCaptchaV2TaskProxyless website_url=https://example.com website_key=KEY"
    ),
)
def solve(
    task_type: Annotated[TaskType, Parameter(name="TYPE", show_choices=False)],
    /,
    *arguments: Annotated[FieldArgument, Parameter(name="FIELD", show_choices=False)],
    fields: Annotated[Path | None, FromFile] = None,
    custom: Flag = False,
    timeout: Annotated[float | None, Positive] = None,
    time_scale: TimeScale = None,
    connection: Connection = DEFAULT,
    as_json: Json = False,
) -> None:
    """Solve one task: the solution goes to stdout, remarks to stderr.

    Args:
        task_type: A type that 'ezcaptcha types' lists, in any case.
        arguments: NAME=TEXT, or NAME:=JSON for anything but text.
        fields: File with more fields as one JSON object; - for stdin. For what must not
            be seen among the arguments of a process, such as a proxy's password.
        connection: Where to, and who pays.
        custom: Send any other type, with its fields as they are on the wire.
        timeout: Most seconds to wait, up to the result window of 300 s.
        time_scale: Speed of a simulated service; or EZCAPTCHA_TIME_SCALE.
        as_json: Print the solution as JSON, errors too.
    """
    from ezcaptcha_async.cli import solving
    from ezcaptcha_async.cli.fields import task_from

    if fields == connection.key_file == STDIN:
        raise ConfigurationError("--fields and --key-file cannot both be read from stdin")
    more = None
    if fields is not None:
        more = read_text(fields, option="--fields", most=_LONGEST_FIELDS)
    task = task_from(task_type, arguments, more, custom=custom)
    output = Output(as_json=as_json)
    solving.solve(output, connection.account(time_scale), task, timeout=timeout)


@app.command(help_epilogue=_example("resume paid.jsonl"))
def resume(
    journal: Annotated[Path, Parameter(name="JOURNAL", allow_leading_hyphen=True)],
    /,
    *,
    time_scale: TimeScale = None,
    connection: Connection = DEFAULT,
    as_json: Json = False,
) -> int:
    """Fetch what a program has paid for and left unfinished.

    Prints one line for each task as it comes: its id, its solution and its reference on stdout,
    or why there is none on stderr. Creates nothing. Ctrl-C leaves the rest in the journal.

    Args:
        journal: The file that the program gave to SessionPool(journal=...), or one with the
            tickets that 'ezcaptcha solve' prints when it is interrupted; - for tickets on stdin.
            What a batch has paid for, the same batch fetches when it is run again.
        time_scale: Speed of a simulated service; or EZCAPTCHA_TIME_SCALE.
        connection: Where to, and who has paid.
        as_json: Print each line as JSON: a solution, an error, or what is unknown.
    """
    from ezcaptcha_async.cli import resuming

    output = Output(as_json=as_json)
    if journal == connection.key_file == STDIN:
        raise ConfigurationError("JOURNAL and --key-file cannot both be read from stdin")
    return resuming.resume(output, connection.account(time_scale), journal)


@app.command(help_epilogue=_example("batch rows.csv -o results.jsonl --dry-run"))
def batch(
    rows: Annotated[Path, Parameter(name="ROWS", allow_leading_hyphen=True)],
    /,
    *,
    results: Annotated[Path, ResultsOption] = STDOUT,
    row_format: Annotated[Format | None, Parameter(name="--format")] = None,
    task_type: Annotated[str | None, Parameter(name="--type")] = None,
    custom: Flag = False,
    max_in_flight: Annotated[Whole | None, Parameter(validator=Number(gte=1, lte=100_000))] = None,
    budget: Annotated[float | None, NotNegative] = None,
    timeout: Annotated[float | None, Positive] = None,
    retry_failed: Flag = False,
    dry_run: Flag = False,
    journal: Path | None = None,
    fleet_url: Annotated[str | None, Parameter(name="--fleet")] = None,
    fleet_name: str | None = None,
    time_scale: TimeScale = None,
    connection: Connection = DEFAULT,
    as_json: Json = False,
) -> int:
    """Solve many tasks: JSON lines or CSV in, JSON lines out.

    A row is {"type": "ReCaptchaV2TaskProxyless", "website_url": "...", "website_key": "..."},
    or a line of CSV below a header with these names. "id" may name it, and any other columns
    come out with its result. The same command goes on: no row is bought twice.

    Args:
        rows: File with the rows; - for stdin.
        results: File to add results to; - for stdout, with which nothing goes on.
        row_format: Of the rows; known by the file's name when left out.
        task_type: The type of rows that have none.
        custom: Send types as they are, with fields as on the wire.
        max_in_flight: Most rows under way; 500, or fewer for a slow reader.
        budget: Most points for all rows, earlier runs included.
        timeout: Most seconds for each row, up to the result window of 300 s.
        retry_failed: Try failed rows again, also where that may pay twice.
        dry_run: Send nothing: show bad rows and what the others cost.
        journal: File for what is paid; RESULTS.journal when left out.
        fleet_url: Redis or Valkey in its place; or EZCAPTCHA_FLEET.
        fleet_name: What all call it; rows go by "id", or by file and line.
        time_scale: Speed of a simulated service; or EZCAPTCHA_TIME_SCALE.
        connection: Where to, and who pays: a key file may hold several keys, one a line.
        as_json: Print a summary as JSON; it needs --results.
    """
    from ezcaptcha_async.cli import fleets
    from ezcaptcha_async.cli.batching import rehearsal
    from ezcaptcha_async.cli.batching.batch import (
        Batch,
        is_stream,
        journal_of,
        most_in_flight,
    )
    from ezcaptcha_async.cli.batching.rows import RowReader, format_of
    from ezcaptcha_async.cli.batching.running import run_batch

    to_stdout = str(results) in STDOUT_NAMES
    results = STDOUT if to_stdout else results
    output = Output(as_json=as_json, needs_stdout=to_stdout or as_json or dry_run)
    if as_json and to_stdout and not dry_run:
        raise ConfigurationError("--json needs --results: stdout has the results already")
    if rows == connection.key_file == STDIN:
        raise ConfigurationError("ROWS and --key-file cannot both be read from stdin")
    shared = fleets.chosen(fleet_url, fleet_name)
    if shared is not None and (journal is not None or retry_failed):
        other = "--journal" if journal is not None else "--retry-failed"
        raise ConfigurationError(
            f"--fleet-name and {other} do not go together: a fleet keeps the books, and pays for "
            "no row twice"
        )
    if journal is not None and to_stdout:
        raise ConfigurationError(
            "--journal needs --results: with stdout the same command buys finished rows again"
        )
    reader = RowReader(format=row_format or format_of(rows), task_type=task_type, custom=custom)
    wanted = Batch(
        source=rows,
        results=results,
        journal=journal or (None if shared or is_stream(results) else journal_of(results)),
        fleet=shared,
        reader=reader,
        max_in_flight=max_in_flight or most_in_flight(results),
        budget=budget,
        timeout=timeout,
        retry_failed=retry_failed,
    )
    if dry_run:
        plan = rehearsal.rehearse(wanted, connection.profile(time_scale))
        if as_json:
            output.document(rehearsal.as_document(plan))
        else:
            rehearsal.show(output, plan)
        return ExitCode.FAILED if plan.bad else ExitCode.DONE
    counts = run_batch(wanted, connection.accounts(time_scale), output)
    if as_json:
        output.document(counts.as_document())
    else:
        counts.show_end(output, results)
    if counts.halted_by is not None:
        code = failures.exit_code(counts.halted_by)
        # For a script, USAGE is that nothing was sent.
        return ExitCode.FAILED if code is ExitCode.USAGE and counts.has_sent else code
    return ExitCode.FAILED if counts.failed or counts.failed_before else ExitCode.DONE


@app.command(help_epilogue=_example("report results.jsonl --html report.html"))
def report(
    results: Annotated[Path, Parameter(name="RESULTS", allow_leading_hyphen=True)],
    /,
    *,
    html: Path | None = None,
    as_json: Json = False,
) -> None:
    """Show solve times, freshness, spend and errors of a batch.

    Also while it runs.

    Args:
        results: The file that 'ezcaptcha batch' writes; - for stdin.
        html: Write a page with plots to this file as well; it needs no network.
        as_json: Print the figures as JSON.
    """
    from ezcaptcha_async.cli.reporting import report as reporting

    reporting.report(Output(as_json=as_json), results, html)


@app.command(help_epilogue=_example("balance --key-file key.txt"))
def balance(*, connection: Connection = DEFAULT, as_json: Json = False) -> None:
    """Show how many points the account has.

    Args:
        connection: Where to, and who pays.
        as_json: Print it as JSON, errors too.
    """
    from ezcaptcha_async.cli import solving

    solving.balance(Output(as_json=as_json), connection.account())


@app.command(name="doctor", help_epilogue=_example("doctor --timeout 3"))
def examine(
    *,
    timeout: Annotated[float, Parameter(validator=Number(gt=0, lte=120))] = 10.0,
    connection: Connection = DEFAULT,
    as_json: Json = False,
) -> int:
    """Check the network, certificate, key, points, clock and versions.

    Sends one getBalance; it costs nothing. Exits with the code of the first problem.

    Args:
        timeout: Most seconds for each check.
        connection: Where to, and who pays.
        as_json: Print the findings as JSON, errors too.
    """
    from ezcaptcha_async.cli import doctor

    return doctor.examine(Output(as_json=as_json), connection, timeout=timeout)


@app.command(help_epilogue=_example("fleet redis://10.0.0.5:6379/0 --name crawl"))
def fleet(
    url: Annotated[str | None, Parameter(name="URL")] = None,
    /,
    *,
    name: str,
    reopen: Flag = False,
    as_json: Json = False,
) -> None:
    """Show how the pools stand that share their limits and books in Redis or Valkey.

    Args:
        url: The server, such as redis://10.0.0.5:6379/0; or EZCAPTCHA_FLEET.
        name: The name of the fleet.
        reopen: First let accounts take tasks again that were shut for their key or balance.
        as_json: Print it as JSON.
    """
    from ezcaptcha_async.cli import fleets

    fleets.show(Output(as_json=as_json), fleets.named(url, name), reopen=reopen)


@app.command(help_epilogue=_example("types --json"))
def types(*, as_json: Json = False) -> None:
    """List the task types with their fields and prices.

    Args:
        as_json: Print them as JSON.
    """
    from ezcaptcha_async.cli import display

    output = Output(as_json=as_json)
    if as_json:
        output.document(catalogue.as_document())
    else:
        display.show_types(output)


@app.command(help_epilogue=_example("simulate --time-scale 10 --failure-rate 0.1"))
def simulate(
    *,
    port: Annotated[Whole, Parameter(validator=Number(gte=0, lte=65_535))] = 0,
    latency: Annotated[float, NotNegative] = 0.0,
    time_scale: Annotated[float, Speed] = 1.0,
    seed: Whole = 0,
    solve_time: Annotated[float | None, NotNegative] = None,
    failure_rate: Annotated[float, Parameter(validator=Number(gte=0, lte=1))] = 0.0,
    points: Annotated[float, NotNegative] = 1_000_000.0,
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
    from ezcaptcha_async.cli import simulating
    from ezcaptcha_async.testing import SimulatedService

    service = SimulatedService(
        seed=seed, balance=points, solve_times=solve_time, failure_rate=failure_rate
    )
    output = Output(as_json=as_json)
    simulating.simulate(output, service, port=port, latency=latency, time_scale=time_scale)


app.command(examples.example, help_epilogue=_example("example fastapi > fastapi_app.py"))


@app.command(help_epilogue=_example("completion fish"))
def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], Parameter(name="SHELL")], /
) -> None:
    """Print the script with which a shell completes words.

    It knows commands, options, task types, their fields and files. Each shell reads it from its
    own place:

        bash  ~/.local/share/bash-completion/completions/ezcaptcha
        zsh   _cyclopts_ezcaptcha, in a folder of $fpath
        fish  ~/.config/fish/completions/ezcaptcha.fish

    Args:
        shell: The shell.
    """
    Output(as_json=False).result(app.generate_completion(shell=shell))

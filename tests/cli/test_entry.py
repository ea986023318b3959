"""The way in: arguments, help, version, and what happens without the extra."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.color import Color
from rich.color_triplet import ColorTriplet

from ezcaptcha_async import __version__
from ezcaptcha_async.cli import display, main
from ezcaptcha_async.cli.app import app
from ezcaptcha_async.cli.failures import ExitCode
from tests.cli.commands import FAST, SECRET, V2, Cli, environment, run
from tests.cli.conftest import Serve

QUICK = ("--tasks", "13", "--speed", "100")


@pytest.mark.parametrize(
    ("missing", "command"),
    [("cyclopts", ["types"]), ("filelock", ["batch", "rows.jsonl"]), ("rich", ["types"])],
)
def test_without_the_extra_one_line_names_the_remedy(missing: str, command: list[str]) -> None:
    """A plain installation would greet its user with a traceback."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None; "
        "from ezcaptcha_async.cli import main; sys.exit(main())"
    )
    result = run(*command, program=[sys.executable, "-c", code])
    assert result.code == 2
    assert f"needs {missing}:" in result.line
    assert result.line.endswith("in the checkout of ezcaptcha_async, pip install '.[cli]'")


def test_another_module_that_is_missing_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation would be told to install what it has."""
    monkeypatch.setitem(sys.modules, "ezcaptcha_async.cli.demo", None)
    with pytest.raises(ModuleNotFoundError, match="demo"):
        main(["demo"])


def test_arguments_come_from_the_process(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    """The installed script, which passes nothing, would do nothing."""
    monkeypatch.setattr(sys, "argv", ["ezcaptcha", "--version"])
    del cli
    assert main() == 0


@pytest.mark.parametrize("module", ["ezcaptcha_async", "ezcaptcha_async.cli"])
def test_the_module_can_be_run(module: str) -> None:
    """Where scripts are not on the path, there would be no way in."""
    result = run("-V", program=[sys.executable, "-m", module])
    assert (result.code, result.out, result.err) == (0, f"{__version__}\n", "")


def test_the_log_can_be_seen(
    cli: Cli, serving: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever wonders what happens would have to write a program."""
    server = serving()
    monkeypatch.setattr(logging.getLogger("ezcaptcha_async"), "handlers", [])
    server.service.ban()
    for option in ("-v", "--verbose"):
        result = cli("solve", option, *V2, *FAST)
        assert result.code == 5
        assert re.search(r"^\S+ \S+ WARNING .*banned", result.err, re.MULTILINE)
        logging.getLogger("ezcaptcha_async").handlers.clear()
    assert "-v" in cli("--help").out


def test_help_lists_the_commands_and_the_exit_codes(cli: Cli) -> None:
    """A user would have to read the source to write a script."""
    result = cli("--help")
    assert result.code == 0
    for command in ("balance", "demo", "simulate", "solve", "types"):
        assert f" {command} " in result.out
    words = " ".join(result.out.split())
    for code in ExitCode:
        assert f"{int(code)} {code.meaning}" in words
    assert all(len(line) <= 80 for line in result.out.splitlines())


COMMANDS = (
    "balance",
    "batch",
    "completion",
    "demo",
    "doctor",
    "fleet",
    "report",
    "resume",
    "simulate",
    "solve",
    "types",
)


@pytest.mark.parametrize("command", ["", *COMMANDS])
@pytest.mark.parametrize("width", [45, 60, 80, 120])
def test_help_fits_a_screen(
    command: str, width: int, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a user looks for would have scrolled away."""
    monkeypatch.setenv("COLUMNS", str(width))
    words = cli(*filter(None, (command, "--help"))).out
    lines = words.splitlines()
    assert max(map(len, lines)) <= width
    assert not [line for line in lines if line.endswith(" ")], "blanks in a pipe"
    if width >= 80:
        assert len(lines) <= 42
    assert ("Exit codes" in words) == (command == "")
    assert ("For example:" in " ".join(words.split())) == (command != "")


@pytest.mark.parametrize("columns", ["0", "1", "19", "-1", "many"])
def test_a_width_that_is_none(cli: Cli, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    """Where a machine sets COLUMNS=0 the help would be a traceback."""
    monkeypatch.setenv("COLUMNS", columns)
    for command in (["--help"], ["solve", "--help"], ["types"]):
        assert cli(*command).code == 0


@pytest.mark.parametrize("command", [["--help"], ["batch", "--help"], ["types"], ["demo", *QUICK]])
@pytest.mark.parametrize("system", ["xterm-256color", "xterm-16color"])
def test_colours_are_readable_on_white_and_on_black(
    command: list[str], system: str, cli: Cli, terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Yellow and cyan are as good as invisible on the light themes that many use."""
    monkeypatch.setenv("TERM", system)
    result = cli(*command)
    codes = re.findall(r"\x1b\[([0-9;]*)m", result.out + result.err)
    colours = {code for item in codes for code in re.findall(r"38;5;\d+|\b[39]\d\b", item)}
    for colour in colours - {"30", "37", "90", "97"}:
        if ";" not in colour:
            assert colour not in {"33", "36", "93", "96"}
            continue
        light = _luminance(Color.parse(f"color({colour.rpartition(';')[2]})").get_truecolor())
        assert min(1.05 / (light + 0.05), (light + 0.05) / 0.05) >= 3.5, colour


def _luminance(colour: ColorTriplet) -> float:
    """Return it as WCAG 2 defines it."""
    red, green, blue = (
        part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4
        for part in colour.normalized
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], 'Unknown command "nonsense"'),
        (["demo", "--tasks", "0"], "see ezcaptcha demo --help"),
        (["demo", "--tasks", "many"], "--tasks"),
        (["simulate", "--port", "70000"], "--port"),
        (["solve"], "TYPE"),
        (["balance", "--service", "other"], "1captcha"),
        (["solve", "--custom", "X", "--timeout"], "--timeout"),
    ],
)
def test_wrong_arguments_give_one_line(arguments: list[str], message: str, cli: Cli) -> None:
    """The user would see a panel of boxes, or a traceback, instead of what to correct."""
    result = cli(*arguments)
    assert result.code == 2
    assert message in result.line
    error = cli(*arguments, "--json").error
    assert (error["kind"], error["exit_code"]) == ("UsageError", 2)


def test_a_number_that_is_none_is_refused(cli: Cli) -> None:
    """1.5 rows at a time would be rounded, and a budget that is no number hold nothing back."""
    needed = {"solve": V2, "batch": ("rows",), "resume": ("journal",)}
    for command in (name for name in app if not name.startswith("-")):
        for argument in app[command].assemble_argument_collection():
            if argument.hint not in {int, float, float | None}:
                continue
            wrong = ["nan", "inf", "-1e309", "", "1,5", "0x1"]
            wrong += ["1.5", "1e1", "-0.5"] if argument.hint is int else ["-0.001"]
            for value in wrong:
                result = cli(command, *needed.get(command, ()), f"{argument.name}={value}")
                assert (result.code, argument.name in result.line) == (2, True), value


@pytest.mark.parametrize(
    "arguments",
    [
        ["balance", "--key", SECRET],
        ["balance", f"--client-key={SECRET}"],
        ["solve", "CloudFlare5STask", f"--proxy=http://user:{SECRET}@example.net:80"],
    ],
)
def test_a_secret_in_an_unknown_option_is_not_repeated(arguments: list[str], cli: Cli) -> None:
    """A key would end in the logs of whoever mistyped the option."""
    result = cli(*arguments)  # looks for the secret in what is printed
    assert result.code == 2
    if "key" in arguments[1]:
        assert result.line.endswith("comes from EZCAPTCHA_CLIENT_KEY or --key-file.")


def test_ctrl_c_outside_of_any_loop_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a file is read or a table printed would show a traceback."""

    def interrupted(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(display, "show_types", interrupted)
    result = cli("types")
    assert result.code == 130
    assert result.line == "ezcaptcha: interrupted; no paid task is left to fetch"


def test_an_ascii_terminal_is_enough() -> None:
    """Where the locale is C, tables would end in an encoding error."""
    ascii_only = environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    result = run("demo", "--tasks", "3", "--speed", "100", env=ascii_only)
    assert result.code == 0
    assert "all types" in result.out
    assert result.out.isascii()

"""The way in: arguments, help, version, and what happens without the extra."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.color import Color

from ezcaptcha_async import __version__
from ezcaptcha_async.cli import display, main
from ezcaptcha_async.cli.app import app
from ezcaptcha_async.cli.failures import ExitCode
from tests.cli.commands import FAST, SECRET, V2, Cli, contrast, run
from tests.cli.conftest import Serve

QUICK = ("--tasks", "13", "--speed", "100")


def test_without_the_extra_one_line_names_the_remedy() -> None:
    """A plain installation would greet its user with a traceback."""
    program = """
import sys
from ezcaptcha_async.cli import main
for missing, *command in ["cyclopts", "types"], ["rich", "types"], ["filelock", "batch", "rows"]:
    sys.modules[missing] = None
    assert main(command) == 2
    del sys.modules[missing]
"""
    result = run(program=[sys.executable, "-c", program])
    assert (result.code, result.out) == (0, "")
    lines = result.err.splitlines()
    for missing, line in zip(("cyclopts", "rich", "filelock"), lines, strict=True):
        assert f"needs {missing}:" in line
        assert line.endswith("in the checkout of ezcaptcha_async, pip install '.[cli]'")


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


@pytest.mark.parametrize("command", ["", *(name for name in app if not name.startswith("-"))])
def test_help_fits_a_screen(command: str, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a user looks for would have scrolled away."""
    for width in (45, 80):
        monkeypatch.setenv("COLUMNS", str(width))
        words = cli(*filter(None, (command, "--help"))).out
        lines = words.splitlines()
        assert max(map(len, lines)) <= width
        assert not [line for line in lines if line.endswith(" ")], "blanks in a pipe"
        assert len(lines) <= 42 or width < 80
        assert ("Exit codes" in words) == (command == "")
        assert ("For example:" in " ".join(words.split())) == (command != "")


def test_a_width_that_is_none(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a machine sets COLUMNS=0 the help would be a traceback."""
    for columns in ("1", "19", "-1", "many", "0"):
        monkeypatch.setenv("COLUMNS", columns)
        assert cli("types").code == 0
    for command in (["--help"], ["solve", "--help"]):
        assert cli(*command).code == 0


@pytest.mark.parametrize("system", ["xterm-256color", "xterm-16color"])
def test_colours_are_readable_on_white_and_on_black(
    system: str, cli: Cli, terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Yellow and cyan are as good as invisible on the light themes that many use."""
    monkeypatch.setenv("TERM", system)
    commands = (["--help"], ["batch", "--help"], ["types"], ["demo", *QUICK])
    shown = "".join(result.out + result.err for result in (cli(*command) for command in commands))
    codes = re.findall(r"\x1b\[([0-9;]*)m", shown)
    colours = {code for item in codes for code in re.findall(r"38;5;\d+|\b[39]\d\b", item)}
    for colour in colours - {"30", "37", "90", "97"}:
        if ";" not in colour:
            assert colour not in {"33", "36", "93", "96"}
            continue
        code = Color.parse(f"color({colour.rpartition(';')[2]})").get_truecolor().hex
        assert min(contrast(code, ground) for ground in ("#000000", "#ffffff")) >= 3.5, colour


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
    others: dict[object, list[str]] = {
        int: ["inf", "-1e309", "", "1,5", "0x1", "1e1", "-0.5"],
        float: ["inf", "-1e309", "", "1,5", "0x1"],
        float | None: ["inf"],
    }
    for command in (name for name in app if not name.startswith("-")):
        for argument in app[command].assemble_argument_collection():
            if argument.hint not in {int, float, float | None}:
                continue
            # Those of one type are read in one way, but each has a limit of its own.
            more = others.pop(argument.hint, [])
            for value in ("nan", "1.5" if argument.hint is int else "-0.001", *more):
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


KEY = "c0ffee5ecre7" * 3


@pytest.mark.parametrize(
    ("arguments", "place"),
    [
        ([KEY], "Unknown command"),
        (["-v", KEY], "Unknown command"),
        ([f"-{KEY}"], "Unknown command"),
        (["balance", KEY], "Unused Tokens"),
        (["balance", f"{KEY}=="], "Unused Tokens"),
        (["balance", f"{KEY}\\"], "Unused Tokens"),
        (["balance", f"--{KEY}"], "Unknown option"),
        (["balance", "--service", KEY], "for --service"),
        (["balance", f"--service={KEY}"], "for --service"),
        (["batch", "rows", "--budget", KEY], "for --budget"),
        (["types", f"--json={KEY}"], "for --json"),
        (["example", KEY], "for NAME"),
        (["solve", KEY], "the type comes first"),
        (["batch", "rows", "--type", KEY], "the type comes first"),
        (["solve", V2[0], KEY], "field 1 must"),
        (["solve", V2[0], f"{KEY}=1"], "has no field of a name that was given"),
        (["solve", V2[0], f"{KEY}==", f"{KEY}="], "field 2 was given twice"),
    ],
)
def test_a_key_in_the_wrong_place_is_not_repeated(
    arguments: list[str], place: str, cli: Cli
) -> None:
    """A key that was pasted without an option would end in a log that others read."""
    for options in ((), ("--verbose",)):
        result = cli(*arguments, *options)
        assert result.code == 2
        assert place in result.line
        assert KEY not in result.line
    if "not shown" in result.line:
        assert result.line.endswith("comes from EZCAPTCHA_CLIENT_KEY or --key-file.")


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["balanse"], '"balanse"'),
        (["balance", "--no-such-option-of-the-tool"], "--no-such-option-of-the-tool"),
        (["balance", "--service", "2captcha"], '"2captcha"'),
        (["ReCaptchaV2TaskProxyless"], '"ReCaptchaV2TaskProxyless"'),
        (["solve", "ReCaptchaV2TaskProxiless"], "type ReCaptchaV2TaskProxiless is not known"),
        (["solve", "CloudflareTurnstileInvisible"], "type CloudflareTurnstileInvisible is not"),
        (["solve", V2[0], "theCaptchaImageInBase=1"], "no field theCaptchaImageInBase;"),
        (["solve", V2[0], "a=1", "a=2"], "field a was given twice"),
    ],
)
def test_a_slip_of_the_hand_is_shown(arguments: list[str], shown: str, cli: Cli) -> None:
    """The user would have to look for a typo that the program has found already."""
    result = cli(*arguments)
    assert result.code == 2
    assert shown in result.line


def test_ctrl_c_outside_of_any_loop_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a file is read or a table printed would show a traceback."""

    def interrupted(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(display, "show_types", interrupted)
    result = cli("types")
    assert result.code == 130
    assert result.line == "ezcaptcha: interrupted; no paid task is left to fetch"


def test_ctrl_c_while_it_starts(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who thinks better of it within half a second would be shown a traceback."""

    class Interrupting:
        @staticmethod
        def find_spec(name: str, *_more: Any) -> None:
            assert name == "ezcaptcha_async.cli.app"
            raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "ezcaptcha_async.cli.app")
    monkeypatch.setattr(sys, "meta_path", [Interrupting])
    result = cli("types")
    assert (result.code, result.out, result.err) == (130, "", "")

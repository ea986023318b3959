"""The way in: arguments, help, version, and what happens without the extra."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from ezcaptcha_async import __version__
from ezcaptcha_async.cli import display, main
from ezcaptcha_async.cli.failures import MEANINGS
from tests.cli.commands import SECRET, Cli, environment, run, start


@pytest.mark.parametrize("missing", ["cyclopts", "filelock", "rich"])
def test_without_the_extra_one_line_names_the_remedy(missing: str) -> None:
    """A plain installation would greet its user with a traceback."""
    code = (
        f"import sys; sys.modules[{missing!r}] = None; "
        "from ezcaptcha_async.cli import main; sys.exit(main())"
    )
    result = run("demo", program=[sys.executable, "-c", code])
    assert result.code == 2
    assert result.line.endswith("pip install 'ezcaptcha-async[cli]'")


def test_another_module_that_is_missing_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation would be told to install what it has."""
    monkeypatch.delitem(sys.modules, "ezcaptcha_async.cli.app", raising=False)
    monkeypatch.setitem(sys.modules, "ezcaptcha_async.cli.demo", None)
    with pytest.raises(ModuleNotFoundError, match="demo"):
        main([])


def test_arguments_come_from_the_process(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    """The installed script, which passes nothing, would do nothing."""
    monkeypatch.setattr(sys, "argv", ["ezcaptcha", "--version"])
    del cli
    assert main() == 0


def test_the_module_can_be_run() -> None:
    """Where scripts are not on the path, there would be no way in."""
    result = run("--version")
    assert (result.code, result.out, result.err) == (0, f"{__version__}\n", "")


def test_help_lists_the_commands_and_the_exit_codes(cli: Cli) -> None:
    """A user would have to read the source to write a script."""
    result = cli("--help")
    assert result.code == 0
    for command in ("balance", "demo", "simulate", "solve", "types"):
        assert f" {command} " in result.out
    words = " ".join(result.out.split())
    for code, meaning in MEANINGS.items():
        assert f"{int(code)} {meaning}" in words
    assert all(len(line) <= 80 for line in result.out.splitlines())


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


@pytest.mark.parametrize("arguments", [["types"], ["types", "--json"]])
def test_a_reader_who_leaves_gets_no_complaint(arguments: list[str]) -> None:
    """``ezcaptcha types | head -1`` would end with a traceback."""
    with start(*arguments) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        code = process.wait(20)
    assert (code, err) == (1, "")


def test_a_stdout_without_a_number_may_break_as_well(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code that runs a command with a stdout of its own would see an error of ours."""

    def broken(*_arguments: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(display, "show_types", broken)
    assert cli("types").code == 1


def test_an_ascii_terminal_is_enough() -> None:
    """Where the locale is C, tables would end in an encoding error."""
    ascii_only = environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    result = run("demo", "--tasks", "3", "--speed", "100", env=ascii_only)
    assert result.code == 0
    assert "all types" in result.out
    assert result.out.isascii()

"""How the tests run commands: in this process, or as a process of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

import ezcaptcha_async
from ezcaptcha_async.cli import main

V2 = ("ReCaptchaV2TaskProxyless", "website_url=https://example.com/", "website_key=a-site-key")
SCALE = 50.0
FAST = ("--time-scale", f"{SCALE:g}")
PROGRAM = (sys.executable, "-m", "ezcaptcha_async.cli")
SECRET = "do-not-show-this"


@attrs.frozen
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        assert self.err == ""
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, Any]:
        """The error that was written to stderr as JSON; nothing else may be anywhere."""
        assert self.out == ""
        error: dict[str, Any] = json.loads(self.err)["error"]
        return error

    @property
    def line(self) -> str:
        """The one line on stderr that says what went wrong."""
        assert self.out == ""
        assert self.err.count("\n") == 1
        return self.err.removesuffix("\n")


class Cli:
    """Runs commands in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Result:
        """Run one command; whatever it prints, it must not print a secret."""
        self._capsys.readouterr()
        code = main(arguments)
        out, err = self._capsys.readouterr()
        assert SECRET not in out + err
        return Result(code, out, err)


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a process that finds the package."""
    root = str(Path(ezcaptcha_async.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": root, **more}


def start(
    *arguments: str, program: Sequence[str] = PROGRAM, **options: Any
) -> subprocess.Popen[str]:
    """Start a command as a process of its own."""
    return subprocess.Popen(  # noqa: S603 - our own program
        [*program, *arguments],
        env=options.pop("env", environment()),
        stdout=options.pop("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        encoding="utf-8",
        **options,
    )


def finish(process: subprocess.Popen[str]) -> Result:
    """Wait until the process has ended."""
    try:
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in err
    return Result(process.returncode, out or "", err)


def run(*arguments: str, **options: Any) -> Result:
    """Run a command as a process of its own."""
    return finish(start(*arguments, **options))


def json_lines(lines: Sequence[str]) -> list[dict[str, Any]]:
    """Read one JSON object from each line."""
    return [json.loads(line) for line in lines]

"""How the tests run commands: in this process, or as a process of their own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

import ezcaptcha_async
from ezcaptcha_async.cli import main

V2 = ("ReCaptchaV2TaskProxyless", "website_url=https://example.com/", "website_key=a-site-key")
SCALE = 50.0
FAST = ("--time-scale", f"{SCALE:g}")
LONG: dict[str, Any] = {"time_scale": 10.0, "solve_times": 250.0}
"""Settings of a service at which tasks take 25 s, unless a test has them finished."""
STEADY = ("--time-scale", "10")
BRIEF = ("--timeout", "2")
"""Gives such a task up, though not before createTask is answered on a busy machine."""
PROGRAM = (sys.executable, "-m", "ezcaptcha_async.cli")
SECRET = "do-not-show-this"
PATIENCE = 120
"""Seconds for what takes one or two, unless the machine is busy."""


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

    def in_ascii(self, *arguments: str) -> str:
        """Run one command, and return what it prints where the locale is C."""
        stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        with contextlib.redirect_stdout(stream):
            assert main(arguments) == 0
        stream.seek(0)
        return stream.read()

    def interrupted(
        self, when: Callable[[], object], *arguments: str, signum: int = signal.SIGINT
    ) -> Result:
        """Run one command, and send this process a signal as soon as something is the case."""
        ended = threading.Event()

        def send() -> None:
            while not when():
                if ended.wait(0.01):
                    return
            os.kill(os.getpid(), signum)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            return self(*arguments)
        finally:
            ended.set()
            thread.join()


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
        stderr=options.pop("stderr", subprocess.PIPE),
        encoding="utf-8",
        **options,
    )


def finish(process: subprocess.Popen[str]) -> Result:
    """Wait until the process has ended, and close its pipes."""
    with process:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert "Traceback" not in (err or "")
    return Result(process.returncode, out or "", err or "")


def run(*arguments: str, **options: Any) -> Result:
    """Run a command as a process of its own."""
    return finish(start(*arguments, **options))


def plain(text: str) -> str:
    """Return a text without the control sequences of a terminal."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def json_lines(lines: Sequence[str]) -> list[dict[str, Any]]:
    """Read one JSON object from each line."""
    return [json.loads(line) for line in lines]


def contrast(first: str, second: str) -> float:
    """Return the contrast of two colours such as "#00a0ff", as WCAG 2 defines it."""
    darker, lighter = sorted(map(_luminance, (first, second)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    channels = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue

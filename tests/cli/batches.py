"""A batch as the tests run it: its rows, its results, and what the service was paid for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ezcaptcha_async.testing import SimulatedServer
from tests.cli.commands import FAST, Cli, Result

PAGE = {"type": "ReCaptchaV2TaskProxyless", "website_key": "a-site-key"}


def with_rows(path: Path, count: int, **columns: str) -> Path:
    """Write a file of so many rows."""
    pages = (f"https://example.com/{number}" for number in range(count))
    rows = ({**PAGE, "website_url": page, "id": f"job {page}", **columns} for page in pages)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def read(results: Path) -> list[dict[str, Any]]:
    """Read what became of the rows."""
    return [json.loads(line) for line in results.read_text().splitlines()]


def charged(server: SimulatedServer) -> int:
    """Return how many tasks were charged."""
    return server.service.summary().charges


def finish_all(server: SimulatedServer) -> None:
    """Have all tasks solved by now."""
    for task in server.service.record.tasks:
        server.service.finish(task.task_id)


class Batch:
    """Thirty rows, and the command that buys their solutions."""

    def __init__(self, cli: Cli, folder: Path) -> None:
        self.cli = cli
        self.rows = with_rows(folder / "rows.jsonl", 30)
        self.results = folder / "results.jsonl"
        self.journal = folder / "results.jsonl.journal"

    @property
    def command(self) -> tuple[str, ...]:
        """The command, at the real speed."""
        return "batch", str(self.rows), "-o", str(self.results)

    def write(self, count: int, **columns: str) -> None:
        """Have so many rows, with columns of the user's own."""
        with_rows(self.rows, count, **columns)

    def __call__(self, *options: str) -> Result:
        """Run it; quickly, unless the options say how fast, or only to look."""
        speed = () if {"--time-scale", "--dry-run"} & {*options} else FAST
        return self.cli(*self.command, *speed, *options)

    def found(self) -> list[dict[str, Any]]:
        """Read what became of the rows."""
        return read(self.results)

"""The README's crawlers, run by the real frameworks on pages that this test serves."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from ezcaptcha_async.testing import SimulatedService
from tests.readme import block_with

Run = Callable[..., subprocess.CompletedProcess[str]]

EXAMPLE: Final = "https://example.com"
PAGES: Final = 10


def check(items: list[dict[str, Any]], site: str, service: SimulatedService) -> None:
    """See that each page was paid for once, and has a token of its own."""
    assert {item["url"] for item in items} == {f"{site}/page/{number}" for number in range(PAGES)}
    assert len({item["token"] for item in items}) == PAGES
    service.assert_charged(PAGES, points=6 * PAGES)
    service.assert_all_fetched()
    service.assert_spacing_kept()


def test_scrapy(service: SimulatedService, site: str, run_file: Run, tmp_path: Path) -> None:
    """Items would come without tokens, one after the other, or the crawl would not end."""
    pytest.importorskip("scrapy", minversion="2.14")
    recipe = tmp_path / "recipe.py"
    recipe.write_text(block_with("scrapy.Spider").replace(EXAMPLE, site), "utf-8")
    quiet = ["-s", "TELNETCONSOLE_ENABLED=0", "-s", "REMOTE_CONTROL_ENABLED=0"]
    done = run_file("-m", "scrapy", "runspider", recipe.name, "-O", "items.jsonl", *quiet)
    assert "ERROR" not in done.stderr
    assert "Deprecat" not in done.stderr
    items = (tmp_path / "items.jsonl").read_text("utf-8").splitlines()
    check([json.loads(item) for item in items], site, service)
    # One after the other, each would be paid for when the one before it is solved.
    tasks = service.record.tasks
    first_solved = min(task.ready_at for task in tasks)
    assert sum(task.created_at < first_solved for task in tasks) > 1


def test_crawlee(service: SimulatedService, site: str, run_file: Run, tmp_path: Path) -> None:
    """Handlers would be cancelled while they wait, or pages paid for twice."""
    pytest.importorskip("crawlee", minversion="1.0")
    recipe = tmp_path / "recipe.py"
    recipe.write_text(block_with("ParselCrawler(").replace(EXAMPLE, site), "utf-8")
    run_file(recipe.name)
    folder = tmp_path / "storage" / "datasets" / "default"
    files = [path for path in folder.glob("*.json") if path.stem.isdigit()]
    check([json.loads(path.read_text("utf-8")) for path in files], site, service)

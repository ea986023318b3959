"""The crawlers among the examples, run by the real frameworks on pages that this test serves."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import Any, Final

import pytest

from ezcaptcha_async.testing import SimulatedService, serve

from .conftest import environment

Run = Callable[..., subprocess.CompletedProcess[str]]
Example = Callable[[str], Path]

PAGES: Final = 10


def pages_of(site: str) -> list[str]:
    """Return the URLs of a site's pages."""
    return [f"{site}/page/{number}" for number in range(PAGES)]


def check(items: list[dict[str, Any]], site: str, service: SimulatedService) -> None:
    """See that each page was paid for once, and has a token of its own."""
    assert {item["url"] for item in items} == set(pages_of(site))
    assert len({item["token"] for item in items}) == PAGES
    service.assert_charged(PAGES, points=6 * PAGES)
    service.assert_all_fetched()
    service.assert_spacing_kept()


def test_scrapy(
    service: SimulatedService, site: str, run_file: Run, example: Example, tmp_path: Path
) -> None:
    """Items would come without tokens, one after the other, or the crawl would not end."""
    pytest.importorskip("scrapy", minversion="2.14")
    spider = [example("scrapy").name, "-a", f"site={site}", "-O", "items.jsonl"]
    quiet = ["-s", "TELNETCONSOLE_ENABLED=0", "-s", "REMOTE_CONTROL_ENABLED=0"]
    done = run_file("-m", "scrapy", "runspider", *spider, *quiet)
    assert "ERROR" not in done.stderr
    assert "Deprecat" not in done.stderr
    items = (tmp_path / "items.jsonl").read_text("utf-8").splitlines()
    check([json.loads(item) for item in items], site, service)
    # One after the other, each would be paid for when the one before it is fetched.
    tasks = service.record.tasks
    first_fetched = min(task.fetched_at or inf for task in tasks)
    assert sum(task.created_at < first_fetched for task in tasks) > 1


def test_crawlee(
    service: SimulatedService, site: str, run_file: Run, example: Example, tmp_path: Path
) -> None:
    """Handlers would be cancelled while they wait, or pages paid for twice."""
    pytest.importorskip("crawlee", minversion="1.0")
    run_file(example("crawlee").name, *pages_of(site))
    folder = tmp_path / "storage" / "datasets" / "default"
    files = [path for path in folder.glob("*.json") if path.stem.isdigit()]
    check([json.loads(path.read_text("utf-8")) for path in files], site, service)


def pages_done(folder: Path) -> list[str]:
    """Return the pages whose form was sent, as the scraper wrote them down."""
    lines = [json.loads(line) for line in (folder / "done.jsonl").read_text().splitlines()]
    assert all(line["status"] == 200 for line in lines)
    return [line["page"] for line in lines]


@pytest.fixture
def patient_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedService]:
    """Serve tasks that are solved at once, and can be fetched for longer than a process starts."""
    service = SimulatedService(solve_times=1)
    with serve(service, time_scale=3) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield service


def test_the_scraper_goes_on_after_a_kill(
    patient_service: SimulatedService,
    site: str,
    run_here: Callable[..., str],
    example: Example,
    tmp_path: Path,
) -> None:
    """What was paid before it was killed would be paid again, or a page be left out unseen."""
    service = patient_service
    program, *arguments = example("scraper"), "done.jsonl", f"{site}/none", *pages_of(site)
    command = [sys.executable, program.name, *arguments]
    process = subprocess.Popen(  # noqa: S603 - our own program
        command, cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE
    )
    with process:
        give_up_at = time.monotonic() + 60
        while service.summary().charges < 3:
            assert time.monotonic() < give_up_at
            time.sleep(0.005)
        process.kill()
    said = run_here(program, *arguments)
    left_out = {
        page
        for line in said.splitlines()
        if line.startswith("left out until tomorrow")
        for page in line.split()
        if page.startswith(site)
    }
    assert sorted([*pages_done(tmp_path), *left_out]) == pages_of(site)
    assert f"{PAGES - len(left_out)} pages are done" in said
    assert PAGES - len(left_out) <= service.summary().charges <= PAGES


def test_a_site_asks_for_a_token(site: str) -> None:
    """The crawlers would be shown a site that takes any form, or none."""
    import httpx

    page = f"{site}/page/3"
    assert 'data-sitekey="site-key"' in httpx.get(page).text
    assert httpx.post(page, data={"g-recaptcha-response": ""}).status_code == 403
    assert httpx.post(page, data={"g-recaptcha-response": "token"}).status_code == 200
    assert httpx.get(f"{site}/page/10").status_code == 404

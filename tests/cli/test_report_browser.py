"""The page of ``ezcaptcha report`` in a real browser."""

from __future__ import annotations

import pytest

from ezcaptcha_async.cli.reporting.collecting import collected
from ezcaptcha_async.cli.reporting.figures import figures
from ezcaptcha_async.cli.reporting.page import page
from tests.cli import browser
from tests.cli.browser import Seen, View
from tests.cli.results_files import HOSTILE, lines, many

PROGRAM = browser.find()
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason=f"no Chromium on this machine; {browser.VARIABLE} names one"
)

WIDE, DARK, PHONE = (
    View(width=1200, scheme="light"),
    View(width=1200, scheme="dark"),
    View(width=360, scheme="light"),
)

SCRIPT = """(() => {
  document.querySelectorAll("details").forEach(item => item.open = true);
  const box = item => item.getBoundingClientRect();
  const plots = [...document.querySelectorAll(".plot svg")];
  const rows = [...document.querySelectorAll(".xs")].map(
    row => [...row.children].map(box).filter(item => item.width));
  return {
    title: document.title,
    text: document.body.textContent,
    scripts: document.scripts.length,
    bold: document.querySelectorAll("b").length,
    ground: getComputedStyle(document.body).backgroundColor,
    beyond: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    sizes: plots.map(item => [box(item).width, box(item).height]),
    drawn: plots.map(plot => [...plot.querySelectorAll(".solved rect, .line, .dots, .area")]
      .filter(item => item.getBBox().width + item.getBBox().height > 0).length),
    outside: [...document.querySelectorAll("td, th, h1, h2, h3, p, .xs span")].map(box)
      .filter(item => item.right > document.documentElement.clientWidth || item.left < 0).length,
    overlaps: rows.filter(row => row.some(
      (item, place) => place && item.left < row[place - 1].right)).length,
  };
})()"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[View, Seen]:
    """Return what the browser saw of a page with everything in it, in each view."""
    folder = tmp_path_factory.mktemp("browser")
    path = folder / "page.html"
    path.write_text(page("results.jsonl", figures(collected([*_lines()]))), "utf-8")
    views = (WIDE, DARK, PHONE)
    assert PROGRAM is not None
    found = browser.look(PROGRAM, path, views, SCRIPT, folder / "profile")
    return dict(zip(views, found, strict=True))


def _lines() -> list[bytes]:
    return lines(many(hours=30)).splitlines()


@pytest.mark.parametrize("view", [WIDE, DARK, PHONE], ids=["wide", "dark", "phone"])
def test_nothing_is_asked_for_and_nothing_complained_of(view: View, seen: dict[View, Seen]) -> None:
    """The page would be incomplete without a network, or tell somebody that it is read."""
    found = seen[view]
    assert found.complaints == []
    assert [url.partition(":")[0] for url in found.requests] == ["file"]


@pytest.mark.parametrize("view", [WIDE, DARK, PHONE], ids=["wide", "dark", "phone"])
def test_every_plot_is_seen(view: View, seen: dict[View, Seen]) -> None:
    """A plot would be an empty space."""
    value = seen[view].value
    assert len(value["sizes"]) == 8  # three types, all together, freshness, spend, two over time
    assert all(width > 200 and height > 40 for width, height in value["sizes"])
    assert all(value["drawn"])


@pytest.mark.parametrize("view", [WIDE, PHONE], ids=["wide", "phone"])
def test_it_fits_its_screen(view: View, seen: dict[View, Seen]) -> None:
    """A reader on a phone would have to scroll to the side, or guess at labels."""
    value = seen[view].value
    assert value["beyond"] == 0
    assert value["outside"] == 0
    assert value["overlaps"] == 0


def test_it_is_dark_where_all_is_dark(seen: dict[View, Seen]) -> None:
    """It would be the one glaring page at night."""
    light, dark = (seen[view].value["ground"] for view in (WIDE, DARK))
    assert light == "rgb(255, 255, 255)"
    assert max(map(int, dark.removeprefix("rgb(").removesuffix(")").split(","))) < 48


def test_what_a_service_says_is_only_text(seen: dict[View, Seen]) -> None:
    """A type or an error could run a script on the machine of whoever reads the report."""
    value = seen[WIDE].value
    assert HOSTILE in value["text"]
    assert "ERROR_<b>BOLD</b>" in value["text"]
    assert value["title"] == "results.jsonl - ezcaptcha report"
    assert value["scripts"] == value["bold"] == 0

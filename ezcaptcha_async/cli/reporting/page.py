"""The report as one HTML page that needs nothing else: no network, no script, no font. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Final

from ezcaptcha_async import __version__
from ezcaptcha_async.cli.output import points
from ezcaptcha_async.cli.reporting import panels, wording
from ezcaptcha_async.cli.reporting.figures import ErrorFigures, Figures
from ezcaptcha_async.cli.reporting.parts import Markup, breakable, element, joined, section, table

_DOCTYPE: Final = "<!doctype html>"
_MARK: Final = f"{_DOCTYPE}<!-- ezcaptcha report -->"
"""How each page begins, and none of anybody else's."""
_TITLE_END: Final = " - ezcaptcha report"
LONGEST_HEAD: Final = 2048
"""Bytes of a page within which one of ours is known."""

_STYLE: Final = files("ezcaptcha_async.cli.reporting").joinpath("page.css")
# The browser itself refuses whatever is not in the page.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def page(source: str, found: Figures) -> str:
    """Return the page about what was read."""
    title = f"{source}{_TITLE_END}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(_STYLE.read_text(encoding="utf-8"))),
    )
    body = element("body", _header(source, found), element("main", *_sections(found)), _foot(found))
    document = element("html", head, "\n", body, lang="en")
    return f"{_MARK}\n{document}\n"


def is_page(head: str) -> bool:
    """Tell by the first `LONGEST_HEAD` bytes whether a file is a page that was made here."""
    # Those of earlier versions have no mark.
    is_earlier = head.startswith(_DOCTYPE) and f"{_TITLE_END}</title>" in head
    return is_earlier or head.startswith(_MARK)


def _header(source: str, found: Figures) -> Markup:
    period = wording.period(found)
    lead = [element("strong", wording.title(found)), *([f" · {period}"] if period else [])]
    return element(
        "header",
        element("p", "ezcaptcha report", class_="over"),
        element("h1", source),
        element("p", *lead, class_="lead"),
        *_outcome(found),
    )


def _outcome(found: Figures) -> Iterator[Markup]:
    if not found.rows:
        return
    shares = [("solved", found.solved), ("failed", found.failed)]
    bar = (element("span", class_=kind, style=f"flex:{rows}") for kind, rows in shares if rows)
    yield element("div", *bar, class_="outcome", aria_hidden="true")
    tiles = (
        element(
            "div", element("dt", name), element("dd", value), element("dd", more, class_="more")
        )
        for name, value, more in _tiles(found)
    )
    yield element("dl", *tiles, class_="tiles")


def _tiles(found: Figures) -> Iterator[tuple[str, str, str]]:
    total = found.total
    share = wording.share(found.solved, found.rows)
    yield "Solved", share, f"{found.solved:,} of {found.rows:,}"
    yield "Failed", f"{found.failed:,}", f"{found.may_be_charged.tasks:,} may be charged"
    if (waited := total.waited) is not None:
        yield "Median solve time", wording.seconds(waited.median), f"p95 {waited.p95:,.1f} s"
    if (left := total.left) is not None:
        yield "Median freshness", wording.seconds(left.median), f"p5 {left.p5:,.1f} s"
    if total.priced:
        paid = total.points + found.may_be_charged.points
        each = wording.price(found.points_per_token)
        more = filter(None, (wording.value(paid, found), f"{each} per token"))
        yield "Points paid", points(paid), "; ".join(more)


def _sections(found: Figures) -> Iterator[Markup]:
    if not found.rows:
        yield section("Nothing yet", "No row is finished.")
    if found.solved:
        yield from _of_solved_rows(found)
    if found.timeline is not None:
        yield section(
            "Over time",
            "When rows were finished, and how long solutions took then.",
            *panels.over_time(found.timeline, found.total.waited),
        )
    if found.errors:
        yield _errors(found)


def _of_solved_rows(found: Figures) -> Iterator[Markup]:
    yield section(
        "Solve times",
        "From the creation of a task until its solution was here.",
        panels.solve_times(found),
        _by_type(found, "Solve times by type", wording.solve_times(" s")),
    )
    hint = (
        "Delay: median of the most that a solution lay ready before it was fetched. "
        "Polls: mean per task."
    )
    yield section(
        "Freshness",
        "What was left of a token's validity when it was delivered, and how it was fetched.",
        panels.freshness(found),
        _by_type(found, "Freshness by type", wording.freshness(" s"), hint),
    )
    yield section(
        "Spend",
        " ".join(filter(None, (wording.spend(found), wording.risk(found)))),
        panels.spend(found.timeline, wording.unit(found)),
        _by_type(found, "Spend by type", wording.SPEND),
    )


def _by_type(
    found: Figures, caption: str, columns: Sequence[wording.Column], hint: str = ""
) -> Markup:
    names, values = zip(*columns, strict=True)
    *rows, total = (
        (breakable(wording.name(item)), *(value(item) for value in values))
        for item in (*found.types, found.total)
    )
    is_one = len(rows) == 1
    return table(caption, ("type", *names), rows, total=None if is_one else total, hint=hint)


def _errors(found: Figures) -> Markup:
    bars = panels.amounts([item.rows for item in found.errors])
    rows = [
        (_way(item), bar, f"{item.rows:,}", f"{item.may_be_charged:,}")
        for item, bar in zip(found.errors, bars, strict=True)
    ]
    columns = ("error", "share", "rows", "may be charged")
    return section("Errors", "", table("Errors by kind and code", columns, rows, words=2))


def _way(item: ErrorFigures) -> Markup:
    lines = [element("div", breakable(item.kind))]
    if item.code:
        lines.append(element("div", breakable(item.code)))
    if item.example:
        lines.append(element("div", f"for example: {item.example}", class_="hint"))
    return joined(lines)


def _foot(found: Figures) -> Markup:
    notes = [
        *wording.notes(found),
        "Percentiles are exact, by nearest rank: p95 is what 95 % do not exceed.",
        f"Times are those of the machine that wrote this page, with ezcaptcha-async {__version__}.",
    ]
    return element("footer", element("ul", *(element("li", note) for note in notes)))

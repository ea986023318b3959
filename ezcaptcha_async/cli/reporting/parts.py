"""HTML from values, and what the page is put together from. Pure.

All text is escaped, but for what was made here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final, Literal, TypeAlias

_VOID: Final = frozenset({"meta", "wbr"})
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=_)")
_WIDE: Final = 4  # from so many columns on a table is arranged anew on a phone

Sample: TypeAlias = Literal["solved", "failed", "dots", "line median", "line p95"]


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def joined(parts: Iterable[str]) -> Markup:
    """Return all parts in a row; those that are no markup are escaped."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


def element(name: str, /, *parts: str, **attributes: str | float | None) -> Markup:
    """Return one element.

    Its attributes have ``_`` for ``-``, and one more at the end of a Python keyword; those that
    are None are left out.
    """
    written = "".join(
        f' {key.removesuffix("_").replace("_", "-")}="{escape(_value(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    end = "" if name in _VOID else f"</{name}>"
    return Markup(f"<{name}{written}>{joined(parts)}{end}")


def breakable(name: str) -> Markup:
    """Return a long name that may be broken between its words."""
    return Markup(element("wbr").join(escape(part) for part in _HUMP.split(name)))


def hinted(name: str, hint: str) -> Markup:
    """Return an element with a hint; nothing without one."""
    return element(name, hint, class_="hint") if hint else Markup()


def section(heading: str, hint: str, *parts: Markup) -> Markup:
    """Return a section; on a wide screen two parts stand side by side."""
    return element(
        "section",
        element("h2", heading),
        hinted("p", hint),
        element("div", *parts, class_="beside" if len(parts) > 1 else "alone"),
    )


def table(
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    total: Sequence[str] | None = None,
    hint: str = "",
    words: int = 1,
) -> Markup:
    """Return a table; its first `words` columns are no numbers, the first of all names the row."""
    # Roles are said, because a browser forgets them where the style arranges rows anew.
    wide = len(columns) >= _WIDE
    kinds = ["words" if place < words else None for place in range(len(columns))]
    head = [
        element("th", column, scope="col", role="columnheader", class_=kind)
        for column, kind in zip(columns, kinds, strict=True)
    ]
    body = [_row(row, kinds) for row in rows]
    foot = [] if total is None else [element("tfoot", _row(total, kinds), role="rowgroup")]
    return element(
        "table",
        element("caption", caption, hinted("span", hint)),
        element("thead", element("tr", *head, role="row"), role="rowgroup"),
        element("tbody", *body, role="rowgroup"),
        *foot,
        role="table",
        class_="wide" if wide else None,
        style=f"--columns:{len(columns) - 1}" if wide else None,
    )


def _row(cells: Sequence[str], kinds: Sequence[str | None]) -> Markup:
    first = element("th", cells[0], scope="row", role="rowheader", class_="words")
    pairs = zip(cells[1:], kinds[1:], strict=True)
    rest = (element("td", cell, role="cell", class_=kind) for cell, kind in pairs)
    return element("tr", first, *rest, role="row")


def figure(heading: str, hint: str, *parts: Markup) -> Markup:
    """Return a plot with its heading."""
    caption = element("figcaption", element("h3", heading), hinted("span", hint))
    return element("figure", caption, *parts)


def details(summary: str, *parts: Markup) -> Markup:
    """Return what is shown only to whoever asks for it."""
    return element("details", element("summary", summary), *parts)


def legend(*entries: tuple[Sample, str]) -> Markup:
    """Return what the colours and lines of a plot mean."""
    return element("ul", *(_entry(*entry) for entry in entries), class_="legend")


def _entry(sample: Sample, words: str) -> Markup:
    if sample in {"solved", "failed"}:
        shape = element("g", element("rect", width="100%", height="100%"), class_=sample)
    else:
        shape = element("path", d="M10 5h0" if sample == "dots" else "M0 5H20", class_=sample)
    drawing = element("svg", shape, viewBox="0 0 20 10", aria_hidden="true")
    return element("li", drawing, words)


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")

"""HTML from values: all text is escaped, but for what was made here. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape
from typing import Final

_VOID: Final = frozenset({"meta", "wbr"})
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=_)")


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def joined(parts: Iterable[str]) -> Markup:
    """Return all parts in a row; those that are no markup are escaped."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


def element(name: str, /, *parts: str, **attributes: str | float | None) -> Markup:
    """Return one element.

    Args:
        name: Its tag.
        parts: What is in it.
        attributes: With ``_`` for ``-``, and one more at the end of a Python keyword; those
            that are None are left out.
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


def _value(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")

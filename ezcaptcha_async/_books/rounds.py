"""Ways past many entries, made in parts: tens of thousands at once would hold up all others."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from math import inf
from typing import TypeAlias

from ezcaptcha_async._books.entries import Entry, Line

_Round: TypeAlias = tuple[Iterator[Entry], Callable[[Entry], None], Line | None]
"""Those that were not seen to yet, what to do with each, and of which line nothing is created."""


class Rounds:
    """The rounds that are being made, one after the other."""

    def __init__(self) -> None:
        self.current: dict[Hashable, _Round] = {}
        """What is being seen to, and how; empty while nothing is."""
        self._following: dict[Hashable, Callable[[], None]] = {}
        self.on_begin: Callable[[], None] = lambda: None
        """Called when there are many to be seen to, for which time must be let pass."""

    def begin(
        self,
        what: Hashable,
        entries: Iterable[Entry],
        look: Callable[[Entry], None],
        *,
        holds: Line | None = None,
    ) -> None:
        """Begin a round over entries as they are now, in place of one for the same.

        Each may have moved on when it is looked at. Of the line that it `holds` nothing is
        created meanwhile.
        """
        self.current[what] = (iter(tuple(entries)), look, holds)
        self.on_begin()

    def renew(
        self,
        what: Hashable,
        entries: Callable[[], Iterable[Entry]],
        look: Callable[[Entry], None],
    ) -> None:
        """Begin a round; where one for the same is being made, let that come to its end first.

        Begun again and again, it would never come to those at its end.
        """
        if what in self.current:
            self._following[what] = lambda: self.begin(what, entries(), look)
        else:
            self.begin(what, entries(), look)

    def go(self) -> None:
        """See to one entry, or note that all were seen to."""
        what = next(iter(self.current))
        entries, look, holds = self.current[what]
        for entry in entries:
            look(entry)
            break
        else:
            del self.current[what]
            if holds is not None:
                holds.held_since = -inf
            if what in self._following:
                self._following.pop(what)()

    def clear(self) -> None:
        """Leave all of them unfinished."""
        self.current.clear()
        self._following.clear()

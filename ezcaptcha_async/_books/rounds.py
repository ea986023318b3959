"""Ways past many entries, made in parts: tens of thousands at once would hold up all others."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from math import inf

import attrs

from ezcaptcha_async._books.entries import Entry, Line


def _nothing() -> None:
    pass


class Rounds:
    """The rounds that are being made, one after the other; true while there is one."""

    def __init__(self) -> None:
        self._current: dict[Hashable, _Round] = {}  # by what they are for
        self.on_begin: Callable[[], None] = _nothing
        """Called when there are many to be seen to, for which time must be let pass."""

    def __bool__(self) -> bool:
        return bool(self._current)

    def begin(
        self,
        what: Hashable,
        entries: Iterable[Entry],
        look: Callable[[Entry], None],
        *,
        holds: Line | None = None,
    ) -> None:
        """Begin a round, in place of one for the same.

        Args:
            what: It is for.
            entries: Whom to see to, as they are now. Each may have moved on when it is looked at.
            look: What to do with each.
            holds: Of which line nothing is created meanwhile.
        """
        self._current[what] = _Round(iter(tuple(entries)), look, holds)
        self.on_begin()

    def go(self) -> None:
        """See to one entry, or note that all were seen to."""
        what, current = next(iter(self._current.items()))
        entry = next(current.entries, None)
        if entry is not None:
            current.look(entry)
        else:
            del self._current[what]
            if current.holds is not None:
                current.holds.held_since = -inf

    def clear(self) -> None:
        """Leave all of them unfinished."""
        self._current.clear()


@attrs.frozen
class _Round:
    """One of them: those that were not seen to yet, what to do with each, and what it holds."""

    entries: Iterator[Entry]
    look: Callable[[Entry], None]
    holds: Line | None

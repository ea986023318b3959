"""What stands for a reference: a task that is created once for it, or is paid and not delivered."""

from __future__ import annotations

from ezcaptcha_async._books.entries import Entry
from ezcaptcha_async._books.time_queue import TimeQueue


class References:
    """Entries by reference, until what they came to is of no more use."""

    def __init__(self) -> None:
        self._known: dict[str, Entry] = {}
        self.finished: TimeQueue[Entry] = TimeQueue()
        """Those of which it is known what they came to, by when that is of no more use."""

    def list(self, entry: Entry) -> None:
        """Let an entry be found by its reference, unless there is one that is not finished."""
        if entry.reference is None:
            return
        known = self._known.get(entry.reference)
        # What was bought once stands, as long as it does, whatever is bought beside it.
        if known is not None and known in self.finished and (entry.once or not known.once):
            self.unlist(known)
        self._known.setdefault(entry.reference, entry)

    def unlist(self, entry: Entry) -> None:
        """Let it be found no more."""
        if entry.reference is not None:
            self.finished.discard(entry)
            if self._known.get(entry.reference) is entry:
                del self._known[entry.reference]

    def finish(self, entry: Entry) -> None:
        """Keep what an entry came to for as long as it is of use, if it stands for a reference."""
        if entry.reference is not None and self._known.get(entry.reference) is entry:
            self.finished.set(entry, entry.stands_until)

    def forget_one(self) -> None:
        """Unlist the one whose outcome is of no more use first."""
        self.unlist(self.finished.pop())

    def standing_for(self, reference: str, now: float) -> Entry | None:
        """Return what was begun for a reference, until what it came to is of no more use."""
        while self.finished.next_time <= now:
            self.forget_one()
        entry = self._known.get(reference)
        if entry is None or entry.kept is None:
            return entry
        if now < entry.unsolved_at + entry.line.token_validity:
            return entry
        self.unlist(entry)
        return None

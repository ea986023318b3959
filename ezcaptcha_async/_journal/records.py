"""What a journal says: records ↔ lines of JSON, and what many of them come to. Pure.

A journal is read after the worst: a killed process, a full disk, a power loss. So whatever
is not a record is passed over and counted, and each record says all that it takes to act on
it, even where the lines before it are gone. All times are Unix time in seconds.

A createTask writes an `Intent` before it is sent, and one of `Paid`, `NotPaid` and
`Unknown` after it. An intent that nothing follows was in flight when its process died, so
its outcome is unknown. `Paid` stands until `Done`: after its result window ended for a day,
so that somebody hears of the money. `Delivered` is a `Done` that somebody may ask for again.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias, TypeVar, assert_never

import attrs

from ezcaptcha_async._journal.saved import Key, SavedTask, key_of, made
from ezcaptcha_async._journal.submissions import (
    DAY,
    NUMBER,
    TEXT,
    TEXT_OR_NONE,
    Creates,
    Intent,
    Submission,
    submission_of,
)

VERSION: Final = 1

MAX_LINE: Final = 1024 * 1024
"""Most bytes of a line that is read; no record comes near it."""

MOST_LAPSED: Final = 1_000
"""Most paid tasks whose window is over that are kept, the newest ones: a service that fails for
hours must not fill the memory."""


P = TypeVar("P", bound="Paid | Delivered")


# ------------------------------------------------------------------------------- records


def _as_task(value: SavedTask | Mapping[str, Any]) -> SavedTask:
    return value if isinstance(value, SavedTask) else SavedTask.from_dict(value)


@attrs.frozen
class Paid:
    """A task is paid; its result can be fetched for `window` seconds after its creation.

    `attempt` is None when it was created without this journal.
    """

    attempt: str | None = attrs.field(metadata=TEXT_OR_NONE)
    task: SavedTask = attrs.field(converter=_as_task)
    window: float = attrs.field(metadata=NUMBER)

    @property
    def ends_at(self) -> float:
        """Unix time in seconds from which its result cannot be fetched."""
        return self.task.created_at + self.window


@attrs.frozen
class NotPaid:
    """A createTask was refused, or certainly never sent."""

    attempt: str = attrs.field(metadata=TEXT)


@attrs.frozen
class Unknown:
    """The answer to a createTask was lost."""

    attempt: str = attrs.field(metadata=TEXT)
    submission: Submission = attrs.field(converter=submission_of)


@attrs.frozen
class Done:
    """A paid task's solution, or its final error, was given to the caller."""

    service: str = attrs.field(metadata=TEXT)
    account: str | None = attrs.field(metadata=TEXT_OR_NONE)
    task_id: str = attrs.field(metadata=TEXT)


@attrs.frozen
class Delivered:
    """The same of a task that was created once for its reference.

    Until then in Unix time, whoever asks for that reference gets what it came to again.
    """

    task: SavedTask = attrs.field(converter=_as_task)
    until: float = attrs.field(metadata=NUMBER)


@attrs.frozen
class Banned:
    """The service wants no createTask of this account until then, nor a poll until `polls_until`.

    Versions that knew no difference have written the first only, for both.
    """

    service: str = attrs.field(metadata=TEXT)
    account: str = attrs.field(metadata=TEXT)
    until: float = attrs.field(metadata=NUMBER)
    polls_until: float = attrs.field(
        default=attrs.Factory(lambda ban: ban.until, takes_self=True), metadata=NUMBER
    )

    def joined(self, other: Banned) -> Banned:
        """Return a ban that lasts as long as both."""
        return attrs.evolve(
            self,
            until=max(self.until, other.until),
            polls_until=max(self.polls_until, other.polls_until),
        )


Record: TypeAlias = Intent | Paid | NotPaid | Unknown | Done | Delivered | Banned

_EVENTS: Final[Mapping[str, type[Record]]] = {
    "intent": Intent,
    "created": Paid,
    "not_paid": NotPaid,
    "unknown": Unknown,
    "done": Done,
    "delivered": Delivered,
    "banned": Banned,
}
_BEGINNING: Final = b'{"v":'
"""How each line begins, in every version."""
_NAMES: Final = {record: event for event, record in _EVENTS.items()}
_as_text: Final = json.JSONEncoder(separators=(",", ":")).encode


def encoded(record: Record) -> bytes:
    """Write a record as one line, with its line end."""
    fields = attrs.asdict(record)
    line = {"v": VERSION, "event": _NAMES[type(record)], **fields}
    # ASCII alone, so that no text in it can be cut in the middle of a character.
    return _as_text(line).encode("ascii") + b"\n"


def decoded(line: bytes) -> Record | None:
    """Read one line; None when it is no record, or one of a newer version."""
    if len(line) > MAX_LINE:
        return None
    try:
        value = json.loads(line)
        return made(_EVENTS[value["event"]], value) if value["v"] == VERSION else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


# -------------------------------------------------------------------- what they come to


class Contents(Creates):
    """What stands in a journal after its records so far."""

    def __init__(self) -> None:
        super().__init__()
        self.unfinished: dict[Key, Paid] = {}
        """The paid tasks whose outcome nobody has been given."""
        self.delivered: dict[Key, Delivered] = {}
        """Those whose outcome may be asked for again."""
        self.bans: dict[tuple[str, str], Banned] = {}
        """Service and account → the ban that ends last."""

    def __repr__(self) -> str:
        return f"<Contents: {len(self.unfinished)} unfinished, {len(self.unknown)} unknown>"

    def apply(self, record: Record) -> None:
        """Take in one more record; doing so twice changes nothing."""
        match record:
            case Intent(attempt, submission):
                self.unanswered[attempt] = submission
            case Paid(attempt, task):
                self.unanswered.pop(attempt or "", None)
                # A service that repeats an id has sold one task, the first.
                self.unfinished.setdefault(key_of(task), record)
                self.delivered.pop(key_of(task), None)
                self._note_paid(task)
            case NotPaid(attempt):
                self.unanswered.pop(attempt, None)
            case Unknown(attempt, submission):
                self.note_lost(attempt, submission)
            case Done(service, account, task_id):
                self.unfinished.pop((service, account, task_id), None)
            case Delivered(task):
                self.unfinished.pop(key_of(task), None)
                self.delivered[key_of(task)] = record
                self._note_paid(task)
            case Banned(service, account):
                known = self.bans.get((service, account))
                self.bans[service, account] = record if known is None else known.joined(record)
            case _:
                assert_never(record)

    def expire(self, now: float) -> None:
        """Drop what is of no more use: paid tasks whose window is long over, for one.

        Args:
            now: Unix time in seconds.
        """
        for _ in self._expiring(now):
            pass

    def tidied(self, now: float) -> Iterator[bytes]:
        """Drop what is of no more use, and yield the fewest lines that come to what is left.

        They may be taken slowly, while more records are applied: with the lines of those behind
        them, they come to the same as all. For some of the work there is an empty one.

        Args:
            now: Unix time in seconds.
        """
        yield from self._expiring(now)
        yield from (encoded(Unknown(*item)) for item in list(self.unknown.items()))
        yield from (encoded(Intent(*item)) for item in list(self.unanswered.items()))
        for paid in list(self.unfinished.values()):
            yield encoded(Paid(None, paid.task, paid.window))
        yield from (encoded(item) for item in list(self.delivered.values()))
        yield from (encoded(ban) for ban in list(self.bans.values()))

    def _expiring(self, now: float) -> Iterator[bytes]:
        """Drop what is of no more use, and yield something after each look."""
        lapsed = deque[Paid]()
        for paid in list(self.unfinished.values()):
            if not (now - DAY < paid.ends_at and paid.task.created_at < now + DAY):
                _drop(self.unfinished, paid)
            elif paid.ends_at <= now:
                lapsed.append(paid)
            if len(lapsed) > MOST_LAPSED:
                _drop(self.unfinished, lapsed.popleft())
            yield b""
        for delivered in list(self.delivered.values()):
            if not now < delivered.until < now + DAY:
                _drop(self.delivered, delivered)
            yield b""
        self.unknown = {
            attempt: item
            for attempt, item in self.unknown.items()
            if now - DAY < item.sent_at < now + DAY
        }
        self.lost = {name: last for name, last in self.lost.items() if last in self.unknown}
        self.bans = {key: ban for key, ban in self.bans.items() if now < ban.until < now + DAY}

    def _note_paid(self, task: SavedTask) -> None:
        # By time and not by order, which is another one in a file that was rewritten.
        attempt = self.lost.get(task.reference)
        if attempt is not None and self.unknown[attempt].sent_at <= task.created_at:
            del self.lost[task.reference]


def _drop(items: dict[Key, P], item: P) -> None:
    key = key_of(item.task)
    if items.get(key) is item:  # else another one has come under its name
        del items[key]


@attrs.define
class Reading:
    """What has been read of a file so far, and whether it is a journal."""

    contents: Contents = attrs.field(factory=Contents)
    lines: int = 0
    records: int = 0
    skipped: int = 0
    """Lines that are no records. Empty ones do not count."""
    is_foreign: bool = True
    """Whether nothing so far looks like a journal, be it a damaged or a newer one."""
    _is_newer: bool = False

    def take(self, line: bytes) -> None:
        """Read one more line."""
        self.lines += 1
        record = decoded(line)
        if record is not None:
            self.records += 1
            self.is_foreign = False
            self.contents.apply(record)
        elif line.strip():
            self.skipped += 1
            if line.startswith(_BEGINNING):
                self.is_foreign = False
                self._is_newer |= _is_newer(line)

    @property
    def problem(self) -> str | None:
        """Why a pool must not take the file over; None when it may."""
        if self._is_newer:
            return "a newer version has written it; update ezcaptcha-async"
        if self.records or not self.lines:
            return None
        if self.is_foreign:
            return "it holds no line of a journal, and is left as it is"
        return (
            "every line of it is damaged; move it away to begin a new one, and keep it: "
            "it may name what is paid"
        )


def replay(lines: Iterable[bytes]) -> Reading:
    """Read a journal that nobody writes any more.

    Args:
        lines: Its lines, as they are.
    """
    reading = Reading()
    for line in lines:
        reading.take(line)
    reading.contents.settle()
    return reading


def _is_newer(line: bytes) -> bool:
    try:
        version = json.loads(line)["v"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    return isinstance(version, int) and version > VERSION

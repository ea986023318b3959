"""Words that stand where something else belongs: for nothing, for not yet, done, and failed."""

from __future__ import annotations

import re
from typing import Final, cast

_BETWEEN_WORDS: Final = dict.fromkeys(map(ord, "_- \t\r\n"))
_NOTHING_WORDS: Final = frozenset(
    {"", "null", "none", "nil", "undefined", "nan", "na", "false", "error", "failed", "empty"}
)
PROCESSING_WORDS: Final = frozenset(
    {"processing", "pending", "queued", "inqueue", "waiting", "running", "working", "solving"}
    | {"inprogress", "notready", "accepted", "created", "started"}
)
DONE_WORDS: Final = frozenset(
    {"done", "success", "successful", "succeeded", "complete", "completed", "finish", "finished"}
    | {"solved", "ok", "完成", "已完成", "成功"}
)
DONE_SIGNS: Final = frozenset({"1", "1.0", "true", "200"})
"""The same where they stand for a status; an id may be one of them."""
FAILED_WORDS: Final = re.compile(
    r"(task|captcha|solv(e|ing))?(error(ed)?|fail(ed|ure)?|unsolv(able|ed)|not?solved|abort(ed)?"
    r"|cancel(l?ed)?|reject(ed)?|refused|denied|expired|timed?out|invalid|crashed|dead|lost"
    r"|terminated|killed)|失败|错误"
)
"""What a status says that it failed, in the services' words and in others."""

_CODE: Final = re.compile(r"error(_[a-z0-9]+)+|([a-z]+_)*capt?cha(_[a-z]+)*", re.IGNORECASE)
"""A code, also of a service that is like these: CAPCHA_NOT_READY."""
_LONGEST: Final = 100
_MOST_PLACES: Final = 100
"""Most places that a template has to be filled in."""


def plain(name: str) -> str:
    """Return a name or word as such are compared: without case and what stands between words."""
    return (name if name.isalnum() else name.translate(_BETWEEN_WORDS)).casefold()


def is_nothing(text: str) -> bool:
    """Return whether a text, however it is put in brackets, says that there is none."""
    if len(text) > _LONGEST:
        return False
    return text == "-1" or "".join(filter(str.isalnum, text)).casefold() in _NOTHING_WORDS


def holds_nothing(value: object, *, may_be_words: bool = False) -> bool:
    """Return whether a value of JSON is empty, or holds nothing but placeholders.

    Args:
        value: The value.
        may_be_words: Whether no word is a placeholder, and no number and no truth value.
    """
    if isinstance(value, str):
        return not value.strip() if may_be_words else is_placeholder(value)
    if isinstance(value, dict):
        value = list(cast("dict[str, object]", value).values())
    if isinstance(value, list):
        items = cast("list[object]", value)
        return len(items) <= _MOST_PLACES and all(
            holds_nothing(item, may_be_words=may_be_words) for item in items
        )
    return value is None if may_be_words else not value


def is_placeholder(text: str) -> bool:
    """Return whether a text in the place of a token says what became of it, and is none."""
    if len(text) > _LONGEST:
        return False
    word = plain(text)
    return (
        is_nothing(text)
        or word in PROCESSING_WORDS | DONE_WORDS | {"ready"}
        or FAILED_WORDS.fullmatch(word) is not None
        or _CODE.fullmatch(text.strip()) is not None
    )

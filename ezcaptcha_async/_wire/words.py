"""Words that stand where something else belongs: for nothing, for not yet, done, and failed."""

from __future__ import annotations

import re
from typing import Final, cast

_BETWEEN_WORDS: Final = dict.fromkeys(map(ord, "_- \t\r\n"))
NO_WORDS: Final = frozenset({"", "null", "none", "nil", "undefined", "nan", "na", "false"})
"""What stands for nothing, with whatever is around it."""
_NOTHING_WORDS: Final = NO_WORDS | {"error", "failed", "empty"}
PROCESSING_WORDS: Final = frozenset(
    {"processing", "pending", "queued", "inqueue", "waiting", "running", "working", "solving"}
    | {"inprogress", "notready", "accepted", "created", "started"}
    | {"处理中", "识别中", "等待中", "排队中"}
)
DONE_WORDS: Final = frozenset(
    {"done", "success", "successful", "succeeded", "complete", "completed", "finish", "finished"}
    | {"solved", "resolved", "ok", "完成", "已完成", "成功", "识别成功", "就绪"}
)
DONE_SIGNS: Final = frozenset({"1", "1.0", "true", "200"})
"""The same where they stand for a status; an id may be one of them."""
FAILED_WORDS: Final = re.compile(
    r"((\w*status\.|task|captcha|solv(e|ing))?(error(ed)?|fail(ed|ure)?|unsolv(able|ed)|not?solved"
    r"|abort(ed)?|cancel(l?ed)?|reject(ed)?|refused|denied|expired|timed?out|invalid|crashed|dead"
    r"|lost|terminated|killed|exception|unsuccessful)"
    r"|(任务|识别|处理|求解|验证|已)?(失败|错误|超时|取消|过期))([.!\u3002\uff01]*|[:(\uff1a\uff08].*)"
)
"""What a status says that it failed, in the services' words and in others, and why."""

_CODE: Final = re.compile(
    r"error(_[a-z0-9]+)+|([a-z]+_)*capt?cha(_[a-z]+)*|(?-i:[A-Z]+(_[A-Z]+)+)", re.IGNORECASE
)
"""A code, also of a service that is like these, or of a browser: CAPCHA_NOT_READY."""
_DIGIT: Final = re.compile(r"\d")
_LONGEST: Final = 100
_MOST_PLACES: Final = 1_000
"""Most values in a template that has to be filled in."""


def plain(name: str) -> str:
    """Return a name or word as such are compared: without case and what stands between words."""
    return (name if name.isalnum() else name.translate(_BETWEEN_WORDS)).casefold()


def is_nothing(text: str) -> bool:
    """Return whether a text, however it is put in brackets, says that there is none."""
    if len(text) > _LONGEST or _DIGIT.search(text):  # none of these words has one
        return text == "-1"
    return "".join(filter(str.isalnum, text)).casefold() in _NOTHING_WORDS


def holds_nothing(value: object, *, may_be_words: bool = False) -> bool:
    """Return whether a value of JSON is empty, or holds nothing but placeholders.

    Where there `may_be_words`, none is a placeholder, and no number and no truth value.
    """
    items = [value]
    for item in items:  # to which what is in them is added
        if isinstance(item, dict):
            items += cast("dict[str, object]", item).values()
        elif isinstance(item, list):
            items += cast("list[object]", item)
        elif isinstance(item, str):
            if not (not item.strip() if may_be_words else is_placeholder(item)):
                return False
        elif item if not may_be_words else item is not None:
            return False
        if len(items) > _MOST_PLACES:
            return False
    return True


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

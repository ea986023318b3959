"""Bytes → what an answer says, however it is dressed. Pure, and it never raises.

What was paid for is read generously: another charset, control characters in a text, something
before or after the JSON value, a value within a text, a list or a wrapper, names in another case,
an end that is missing. Only what stands there is read; nothing is guessed.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from encodings.aliases import aliases
from functools import lru_cache
from itertools import islice
from typing import Any, Final, TypeAlias, cast
from urllib.parse import unquote

import attrs

from ezcaptcha_async._wire.words import holds_nothing, plain
from ezcaptcha_async.transports import Reply

Json: TypeAlias = dict[str, Any]

MOST_LEVELS: Final = 100
"""How deep an answer may be nested; what lies deeper is left out. Reading, copying, writing and
showing have limits of their own, of hundreds or, from Python 3.14, of ten thousands of levels: what
can be read is not always what can be shown, and there showing it takes seconds.
"""

_MOST_DIGITS: Final = 640
"""Digits of a whole number, above which it stays a text: the least that Python can be set to."""

_MOST_BRACKETS: Final = 5_000
"""Brackets and texts of what is broken, or nested too deep, that are looked through: 5 ms."""

_MOST_WRAPPINGS: Final = 5
_MOST_WRAPPED: Final = 50
"""In how many members of all wrappers on a level an answer is looked for: it has hardly three."""
MOST_NAMES: Final = 1_000
"""Most members of an object whose names are compared with those that are documented."""
_MOST_STARTS: Final = 8
"""At how many braces of a text an object is looked for."""
_MOST_IN_A_LIST: Final = 10
"""Most items of a list of which all but one may say nothing, or all the same."""
_MOST_UNDRESSED: Final = 20_000
"""Most characters of what is no JSON that are read in other ways: 10 ms."""

_DOCUMENTED: Final = frozenset(
    {"errorId", "errorCode", "errorDescription", "errors", "requestId"}
    | {"taskId", "status", "solution", "balance"}
)
KNOWN_MEMBERS: Final = {plain(name): name for name in _DOCUMENTED}
"""Name of a documented member as names are compared → as it is documented."""
_TELLING: Final = frozenset({"errorId", "errorCode", "taskId", "solution"})
"""Members by which an answer is known where it stands in something else; any page has a status."""

_PAID: Final = frozenset({"taskId", "solution"})
"""Members that are paid for."""

WRAPPERS: Final = frozenset(
    {"data", "result", "results", "response", "payload", "body", "content", "output", "task", "d"}
)
"""What a wrapper is called. Whatever one by another name holds, it counts only if an answer is
known by it: a paid ticket must not end because of the status of something else."""

BLANK: Final = " \t\r\n\v\f\x00\xa0\u200b\ufeff"
"""What is seen by nobody, before and behind a value."""
_TEXT: Final = r'"([^"\\]*+(?:\\.[^"\\]*+)*+)'
_OPENING_OF_A_MEMBER: Final = re.compile(rf'\s*[,{{][\s,]*{_TEXT}"\s*:\s*', re.DOTALL)
_END_OF_A_MEMBER: Final = re.compile(r"\s*[,}]")
_END_OF_WHAT_IS_CLOSED: Final = re.compile(r"\s*([,}]|\Z)")
_BRACKETS: Final = re.compile(rf'{_TEXT}"?|[\[{{]+|[\]}}]+', re.DOTALL)
_MARK_OF_AN_EVENT: Final = re.compile(r"^data: ?", re.MULTILINE)
_LOOSE: Final = re.compile(
    rf"(?P<kept>{_TEXT}\"?|(?<![-+.])[-+.]*\d[\w.+-]*)|'(?P<text>[^'\\]*+(?:\\.[^'\\]*+)*+)'?"
    r"|(?P<word>-?[^\W\d][\w$]*)(?P<colon>\s*:)?|/\*.*?(?:\*/|\Z)|//[^\n]*|,(?=\s*[,}\]])",
    re.DOTALL,
)
"""What JSON has, or stands in its place in JavaScript and Python, with comments."""

_CHARSETS: Final = {
    plain(name): codec for alias, codec in aliases.items() for name in (alias, codec)
}
_LAST_CHARSETS: Final = ("utf-8", "gb18030")
"""What a body is read in, with replacement, where neither the charset that it names nor that of
JSON will do. The second byte of a Chinese character may look like a backslash.
"""


@attrs.frozen(repr=False)
class Answer:
    """What an answer says.

    Args:
        members: Its members; those that are documented under their documented names.
        is_whole: Whether that is all of it; else it is cut off or broken, so that what is not
            there may have been.
    """

    members: Json
    is_whole: bool = True


def answer_in(reply: Reply) -> Answer | None:
    """Return what an answer says; None when it is no JSON object."""
    for text in _readings(reply):
        answer = _whole_answer(text.strip(BLANK))
        if answer is not None:
            return answer
    text = text_of(reply)
    for undressed in _undressed(text[:_MOST_UNDRESSED]):
        answer = _whole_answer(undressed)
        if answer is not None:
            return answer
    start = text.find("{")
    if start < 0:
        return None
    answer = _answer_within(_whole_members(_levelled(text[start:]), 0))
    return attrs.evolve(answer, is_whole=False) if answer and answer.members else None


def text_of(reply: Reply) -> str:
    """Return an answer as a text, whatever it is."""
    return next(_readings(reply)).strip(BLANK)


def unwrapped(value: object, levels: int = _MOST_WRAPPINGS) -> object:
    """Return what is in a list of one, or in a text that holds JSON; else the value itself."""
    inner, outer = None, value
    if isinstance(value, list):
        items = cast("list[object]", value)
        if len(items) > 1:
            is_short = len(items) <= _MOST_IN_A_LIST
            items = [item for item in items if not holds_nothing(item)] if is_short else []
        inner = items[0] if items and all(item == items[0] for item in items) else None
    elif isinstance(value, str):
        text = value.strip(BLANK)
        inner = _value_at(text)[0] if text.startswith(("{", "[", '"')) else None
    return outer if inner is None or not levels else unwrapped(inner, levels - 1)


def id_in(value: object) -> object:
    """Return what is the id in what stands in its place, such as ``{"id": 7}``."""
    for _ in range(_MOST_WRAPPINGS):
        value = unwrapped(value)
        if not isinstance(value, dict):
            break
        members = cast("Json", value)
        only = next(iter(members.values())) if len(members) == 1 else None
        named = {plain(name): item for name, item in members.items()}
        value = named.get("taskid", named.get("id", only))
    return value


@lru_cache(maxsize=16)
def charset_named(content_type: str) -> str | None:
    """Return the charset that a ``Content-Type`` names, if this Python knows it.

    Example:
        >>> charset_named('application/json; charset="GBK"')
        'gbk'
    """
    _, _, rest = content_type.lower().replace(" ", "").partition("charset=")
    return _codec(rest.partition(";")[0].strip("\"'"))


@lru_cache(maxsize=64)
def _codec(charset: str) -> str | None:
    # Only codecs of charsets: others take a second for a megabyte, or warn of what is in it.
    return _CHARSETS.get(plain(charset))


def _readings(reply: Reply) -> Iterator[str]:
    """Yield the body as a text, in the charset that is likeliest first."""
    detected = "utf-8" if reply.body.startswith(b'{"') else json.detect_encoding(reply.body)
    named = _codec(reply.charset or "") or detected
    for charset in dict.fromkeys((named, detected)):
        try:
            yield reply.body.decode(charset)
        except (UnicodeError, LookupError):  # LookupError: a codec from bytes to bytes
            continue
        if charset == _LAST_CHARSETS[0]:
            return
    for charset in _LAST_CHARSETS:
        yield reply.body.decode(charset, "replace")


def _whole_answer(text: str) -> Answer | None:
    """Return the first answer in a text, and of what follows it what was paid for."""
    value, end = _value_at(text)
    answer = _answer_within(value)
    if answer is None and text.startswith("{"):
        return None
    start = text.find("{", end)
    for _ in range(_MOST_STARTS):
        if start < 0 or (answer is not None and _paid_in(answer)):
            break
        value, end = _value_at(text, start)
        other = _answer_within(value)
        if other is not None and _TELLING & other.members.keys():
            paid = _paid_in(other)
            if answer is None or "solution" in paid or not _DOCUMENTED & answer.members.keys():
                return other
            answer = Answer(answer.members | paid)
        start = text.find("{", max(end, start + 1))
    return answer


def _paid_in(answer: Answer) -> Json:
    members = answer.members
    return {
        name: members[name] for name in _PAID & members.keys() if not _is_blank(name, members[name])
    }


def _undressed(text: str) -> Iterator[str]:
    """Yield what is no JSON as it may have been before it was written into something else."""
    for undressed in (
        html.unescape(text),
        unquote(text),
        text.replace('\\"', '"'),
        _MARK_OF_AN_EVENT.sub("", text),
        _LOOSE.sub(_in_json, text[text.find("{") :]),
    ):
        if undressed != text:
            yield undressed


def _in_json(loose: re.Match[str]) -> str:
    """Return as JSON what may stand for it; nothing for a comment or a comma too many."""
    kept, text, word, colon = loose.group("kept", "text", "word", "colon")
    if text is not None:
        return json.dumps(text.replace("\\'", "'"))
    if colon:
        return f'"{word}":'
    if word is not None:
        return word.lower() if word.lower() in {"true", "false"} else "null"
    is_value = kept is None or _value_at(kept)[1] == len(kept)
    return (kept or "") if is_value else "null"


def _answer_within(value: object) -> Answer | None:
    """Return the object in a value, with what the wrappers in it hold: lists, texts, objects."""
    if isinstance(value, dict) and value.keys() <= _DOCUMENTED:
        return Answer(cast("Json", value))  # as nearly every answer is
    found: Json | None = None
    level: list[tuple[str, object]] = [("", value)]
    for _ in range(_MOST_WRAPPINGS):
        inner: list[tuple[str, object]] = []
        for name, item in level:
            value = unwrapped(item)
            if isinstance(value, dict):
                members = _known_names(cast("Json", value))
                found = members if found is None else _merged(found, members, name)
                # What is documented is no wrapper: `errors` has names of fields.
                wrappers = (pair for pair in members.items() if pair[0] not in _DOCUMENTED)
                inner += islice(wrappers, _MOST_WRAPPED)
        level = inner[:_MOST_WRAPPED]
    return None if found is None else Answer(found)


def _merged(outer: Json, inner: Json, wrapper: str) -> Json:
    """Return the members of an answer with those of a wrapper in it, called so."""
    if plain(wrapper) not in WRAPPERS:
        if not _TELLING & inner.keys():
            return outer
        if _TELLING & outer.keys():
            inner = {name: inner[name] for name in _PAID & inner.keys()}
    merged = outer.copy()
    for name, item in inner.items():
        # What is outside may be the status of the answer, and not of the task.
        is_nearer = name == "status" or name not in _DOCUMENTED
        if _is_blank(name, merged.get(name)) or (is_nearer and not _is_blank(name, item)):
            merged[name] = item
    return merged


def _known_names(value: Json) -> Json:
    members = value.copy()
    for name, item in islice(value.items(), MOST_NAMES):
        known = KNOWN_MEMBERS.get(plain(name), name)
        if known != name and _is_blank(known, members.get(known)):
            members[known] = item
    return members


def _is_blank(name: str, value: object) -> bool:
    """Return whether a member has nothing to say where there is another by the same name."""
    if name == "taskId":
        value = id_in(value)
        if isinstance(value, str) and not value.strip("-0"):
            return True
    if name in _PAID:
        return holds_nothing(value)
    return not value and (name != "balance" or value != 0)


def _object(pairs: list[tuple[str, Any]]) -> Json:
    """Return an object; of members by the same name the last that has something to say counts."""
    value = dict(pairs)
    if len(value) < len(pairs) <= MOST_NAMES:
        value |= {name: item for name, item in pairs if not _is_blank(name, item)}
    return value


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MOST_DIGITS else digits


_JSON: Final = json.JSONDecoder(strict=False, parse_int=_whole, object_pairs_hook=_object)


def _value_at(text: str, start: int = 0) -> tuple[object, int]:
    """Return the JSON value that begins there, and where it ends; None when none does."""
    try:
        value, end = _JSON.raw_decode(text, start)
        if text.count("[") + text.count("{") <= MOST_LEVELS or not _is_too_deep(value):
            return value, end
    except ValueError:
        return None, start
    except RecursionError:
        end = len(text)
    try:
        return _JSON.raw_decode(_levelled(text[start:]))[0], end
    except ValueError:
        return None, start


def _is_too_deep(value: object) -> bool:
    items: list[object] = [value]
    for _ in range(MOST_LEVELS + 1):
        items = [part for item in items for part in _parts(item)]
        if not items:
            return False
    return True


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return cast("Json", value).values()
    return cast("list[object]", value) if isinstance(value, list) else ()


def _levelled(text: str) -> str:
    """Return JSON with ``null`` in the place of what is nested too deep, as far as one looks."""
    kept: list[str] = []
    depth, start, end = 0, 0, len(text)
    for number, match in enumerate(_BRACKETS.finditer(text)):
        if number == _MOST_BRACKETS:
            end = match.start()
            break
        first, length = match[0][0], match.end() - match.start()
        if first in "[{":
            if depth <= MOST_LEVELS < depth + length:
                kept += (text[start : match.start() + MOST_LEVELS - depth], "null")
                start = end
            depth += length
        elif first in "]}":
            depth -= length
            if depth <= MOST_LEVELS < depth + length:
                start = match.end() - (MOST_LEVELS - depth)
    return "".join((*kept, text[start:end]))


def _whole_members(text: str, at: int, levels: int = _MOST_WRAPPINGS) -> Json:
    """Return the members of an object that is cut off or broken, up to where it is."""
    found: Json = {}
    while True:
        match = _OPENING_OF_A_MEMBER.match(text, at)
        if match is None:
            return found
        try:
            value, at = _JSON.raw_decode(text, match.end())
        except ValueError:
            if levels and text.startswith("{", match.end()):
                found[match[1]] = _whole_members(text, match.end(), levels - 1)
            return found
        # A number may go on behind the end, and a text behind a quote that should be escaped.
        is_closed = text[at - 1] in '"]}'
        end = _END_OF_WHAT_IS_CLOSED if is_closed else _END_OF_A_MEMBER
        if end.match(text, at) is None:
            return found
        found[match[1]] = value

"""What is secret is taken out of what the services say, however they spell it."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from html import escape, unescape
from typing import Any, Final, TypeAlias, cast
from urllib.parse import quote, unquote

import attrs

from ezcaptcha_async._wire.secrets import CREDENTIALS, has_many, secrets_of, spellings
from ezcaptcha_async.tasks import Task
from ezcaptcha_async.transports import Reply, RequestBody

_USER_INFO: Final = re.compile(r"(?<=://)[^/\s]*@|[^/\s:@]{1,100}:[^/\s@]{1,100}@")
"""Credentials before a host, in a URL or by themselves."""
MAX_TEXT: Final = 300
MAX_SCRUBBED: Final = 600
"""Most characters that are looked through for secrets, however much a service writes: where all
of them are escapes, that takes 15 microseconds for each, for which the event loop stands still."""
_MOST_SCRUBBED: Final = 10_000
"""The same where secrets are long, of which the one at the end may be cut in two."""
_LONGEST_ESCAPE: Final = 12
"""Most characters that one of a secret is written with, such as two times \\u0000."""

_NOT_SHOWN: Final = "not shown, for the task holds too many secrets to look for them"

_ESCAPED: Final = re.compile(
    r"(?:%[0-9a-f]{2})+|(?:[\\%]u[0-9a-f]{4}|\\x[0-9a-f]{2})+|\\."
    r"|&(?:#\d{1,7};?|#x[0-9a-f]{1,6};?|[a-z]{2,6};)",
    re.IGNORECASE,
)
"""Escapes of URLs, of JSON and of programs, and of HTML."""
_BETWEEN: Final = dict.fromkeys(map(ord, " +"))
"""What may stand for a space where a form is sent, or in a text that is broken into lines."""
_LEAST_ENCODED: Final = 6
"""Least bytes of a secret that is looked for in hex and base64: a shorter one is in any word."""
_MOST_ENCODED: Final = 100
"""Most secrets that are looked for so; but for a browser's cookies, a task has a few."""
_MOST_LAYERS: Final = 4
"""How often a text is looked through that was escaped several times."""

_NO_CHANCE: Final = 8
"""Least characters of a secret that stands in an id of a service by no chance."""
_PLAIN_ID: Final = re.compile(r"[\w.:/=-]*", re.ASCII)
"""An id without escapes, and without what secrets are compared without."""

_LONG: Final = 20_000
"""Characters from which a text is not looked through with its escapes undone: that takes a
microsecond for each of them, and more."""

_HEAD: Final = 8
"""By how many of their first characters secrets are looked up."""


class Scrubber:
    """Takes the secrets of one account, and of the task that a text is about, out of that text."""

    __slots__ = ("_many_of", "_secrets", "_secrets_of")

    def __init__(self, secrets: Iterable[str]) -> None:
        self._secrets = Secrets(secrets)
        self._secrets_of: tuple[Task[Any] | None, Secrets] = None, Secrets()
        self._many_of: tuple[Task[Any] | None, bool] = None, False

    def scrub(self, text: object, task: Task[Any] | None = None) -> str:
        """Return one bounded line for people, with every secret taken out of it."""
        if self._has_many(task):
            return _NOT_SHOWN if str(text) else ""
        whole = str(text)
        known = self._known(task)
        # First what is known: what only looks like credentials may end within one of them.
        longest = _LONGEST_ESCAPE * max(1, *(secrets.longest for secrets in known))
        most = min(MAX_SCRUBBED + longest, _MOST_SCRUBBED)
        # What is cut off may be the other half of a secret.
        end = None if len(whole) <= most else max(0, most - longest)
        clean = _USER_INFO.sub("***@", without(whole[:most], *known, end=end))
        clean = "".join(char if char.isprintable() else " " for char in clean)
        return clean if len(clean) <= MAX_TEXT else f"{clean[:MAX_TEXT]}…"

    def without_secrets(self, payload: object, task: Task[Any] | None) -> object:
        """Return what was paid for and has no known form, without what was sent to get it."""
        return cleaned(payload, *self._known(task))

    def for_others(self, kept: Reply, task: Task[Any] | None) -> Reply:
        """Return what is kept of a ready answer without what was sent to get it.

        Only as it is usually written, and where it stands by no chance: this is done for each
        task that others hear of.
        """
        known = (secret for secrets in self._known(task) for secret in secrets)
        text = kept.body.decode("latin-1")  # which has a character for each byte
        clean = _without_usual(text, (item for item in known if len(item) >= _NO_CHANCE))
        return kept if clean == text else attrs.evolve(kept, body=clean.encode("latin-1"))

    def repeats_secret(self, text: str, task: Task[Any] | None, sent: RequestBody) -> bool:
        """Return whether an id holds a secret of what was sent, and not by chance."""
        # Finding the secrets takes far longer than seeing that there is nothing of what was sent,
        # or of the account's secrets however encoded.
        secret = sent.content.decode("latin-1").lower() + self._secrets.beginnings
        bare, half = text.lower(), _NO_CHANCE // 2
        # Of whatever is there by no chance, one of these halves is a part.
        halves = [at for at in range(0, len(bare), half) if bare[at : at + half] in secret]
        near = (start for at in halves for start in range(at - half + 1, at + 1))
        starts = (start for start in near if 0 <= start <= len(bare) - _NO_CHANCE)
        is_sent = any(bare[start : start + _NO_CHANCE] in secret for start in starts)
        if not is_sent and _PLAIN_ID.fullmatch(text):
            return False
        return any(length >= _NO_CHANCE for _, _, length in _spans(text, self._known(task)))

    def _known(self, task: Task[Any] | None) -> tuple[Secrets, Secrets]:
        """Return what is secret; of a task it is found once, for an answer has many texts."""
        if task is not self._secrets_of[0]:
            self._secrets_of = task, Secrets(secrets_of(task))
        return self._secrets, self._secrets_of[1]

    def _has_many(self, task: Task[Any] | None) -> bool:
        """Return whether to find all secrets of a task would hold the event loop for long."""
        if task is not self._many_of[0]:
            self._many_of = task, has_many(task)
        return self._many_of[1]


class Secrets:
    """What is to be taken out of texts: also ten thousand secrets, without looking for each."""

    __slots__ = ("_by_head", "_heads", "_secrets", "beginnings", "longest")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets = spellings(secrets)
        self._by_head: dict[str, list[str]] = {}
        encoded = (code for secret in self._secrets[:_MOST_ENCODED] for code in _encoded(secret))
        for secret in filter(None, dict.fromkeys(map(_bare, (*self._secrets, *encoded)))):
            self._by_head.setdefault(secret[:_HEAD], []).append(secret)
        self._heads = sorted(set(map(len, self._by_head)))
        self.beginnings = "\n".join(self._by_head)
        self.longest = max(map(len, self._secrets), default=0)

    def __repr__(self) -> str:
        return "<Secrets>"

    def __iter__(self) -> Iterator[str]:
        yield from self._secrets

    def spans(self, view: str) -> Iterator[tuple[int, int]]:
        """Yield where each secret stands in a text as they are compared, and its length."""
        for at in range(len(view)) if self._heads else ():
            for head in self._heads:
                for secret in self._by_head.get(view[at : at + head], ()):
                    if view.startswith(secret, at):
                        yield at, len(secret)


def _spans(text: str, known: Iterable[Secrets]) -> Iterator[tuple[int, int, int]]:
    """Yield from where to where each secret stands, however written, and its length."""
    for view, places in _views(text):
        for at, length in (span for secrets in known for span in secrets.spans(view)):
            yield places[at][0], places[at + length - 1][1], length


def without(text: str, *known: Secrets, end: int | None = None) -> str:
    """Return a text with three stars for each secret in it.

    Where two overlap, both go: taking out one first would leave a piece of the other. What stands
    behind the `end` is left out, and only read for the rest of a secret that begins before it.
    """
    if len(text) > _LONG:
        return _without_usual(text, (secret for secrets in known for secret in secrets))
    spans = sorted(_spans(text, known))
    pieces: list[str] = []
    done = 0
    for start, stop, _ in spans:
        if end is not None and start >= end:
            break
        if start >= done:
            pieces += [text[done:start], "***"]
        done = max(done, stop)
    return "".join([*pieces, text[done:end]])


def _without_usual(text: str, secrets: Iterable[str]) -> str:
    for secret in secrets:
        for spelling in _written(secret):
            text = text.replace(spelling, "***")
    return text


def _written(secret: str) -> set[str]:
    """Return how a secret is usually written in JSON, in URLs and in HTML."""
    texts = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return texts | {item.replace("/", "\\/") for item in texts} | {quote(secret), escape(secret)}


def cleaned(value: Any, *known: Secrets) -> Any:
    """Return a value of JSON, no deeper than what is parsed here, `without` any secret.

    Nor with the credentials in a URL, for those of another task are not known here.
    """
    if isinstance(value, str):
        return CREDENTIALS.sub("://***@", without(value, *known))
    if isinstance(value, list):
        return [cleaned(item, *known) for item in cast("Iterable[Any]", value)]
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {without(name, *known): cleaned(item, *known) for name, item in items}
    return value


def _encoded(secret: str) -> Iterator[str]:
    """Yield a secret in hex, and in base64 as far as what stands around it does not matter."""
    data = secret.encode(errors="surrogatepass")
    if len(data) < _LEAST_ENCODED:
        return
    yield data.hex()
    for before in range(3):
        first, last = -(-8 * before // 6), 8 * (before + len(data)) // 6
        code = b64encode(bytes(before) + data).decode()[first:last]
        yield code
        yield code.replace("+", "-").replace("/", "_")


def _bare(text: str) -> str:
    """Return a text as secrets are compared: in small letters, without what is between them."""
    shown = text if text.isprintable() else "".join(filter(str.isprintable, text))
    bare = shown.translate(_BETWEEN)
    return bare.lower() if bare.isascii() else "".join(char.lower()[:1] for char in bare)


_View: TypeAlias = tuple[str, list[tuple[int, int]]]
"""A text as secrets are compared, and for each character where it stands in the original."""


def _views(text: str) -> Iterator[_View]:
    """Yield the text as secrets are compared, then with its escapes undone once, twice, ..."""
    view: _View = text, [(at, at + 1) for at in range(len(text))]
    for _ in range(_MOST_LAYERS):
        yield _bare_view(*view)
        undone = _undone(*view)
        if undone[0] == view[0]:
            break
        view = undone


def _bare_view(text: str, places: list[tuple[int, int]]) -> _View:
    bare = _bare(text)
    if len(bare) < len(text):
        places = [place for char, place in zip(text, places, strict=True) if _bare(char)]
    return bare, places


def _undone(text: str, places: list[tuple[int, int]]) -> _View:
    pieces: list[str] = []
    undone: list[tuple[int, int]] = []
    end = 0
    for found in _ESCAPED.finditer(text):
        start, stop = found.span()
        plain = _plain(found[0])
        pieces += [text[end:start], plain]
        undone += places[end:start]
        # What several escapes are together is not told apart: all of them go, or none.
        undone += [(places[start][0], places[stop - 1][1])] * len(plain)
        end = stop
    return "".join([*pieces, text[end:]]), undone + places[end:]


def _plain(escaped: str) -> str:
    if escaped[0] == "%" and escaped[1] != "u":
        return unquote(escaped)
    if escaped[0] == "&":
        return unescape(escaped)
    in_json = escaped.replace("%u", "\\u").replace("\\x", "\\u00")
    try:
        return str(json.loads(f'"{in_json}"'))
    except ValueError:
        return escaped

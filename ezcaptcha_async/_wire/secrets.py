"""What is secret of a task: found by how a value looks, and by what its field is called.

A service may repeat anything that it was sent in the text of an error, and such texts end
up in logs. So what is found here is taken out of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, cast
from urllib.parse import unquote

from ezcaptcha_async._checks import names_secret, read_proxy
from ezcaptcha_async._wire.encoding import task_fields
from ezcaptcha_async.tasks import Task

CREDENTIALS: Final = re.compile(r"://([^/?#\s]*)@")
_PROXY_PARTS: Final = 4
"""Least parts of a proxy with credentials: host:port:user:password, or a scheme before them."""

_LEAST_PART: Final = 4
"""Least characters for which a part of a secret is looked for by itself: a shorter one
tells nothing, and would be found in every other word."""


_MANY: Final = 2_000
"""Most secrets of a task; one has a few, and a browser's cookies are some hundred."""


def secrets_of(task: Task[Any] | None) -> tuple[str, ...]:
    """Return what is secret of a task, longest first."""
    return () if task is None else spellings(secrets_in(task_fields(task, None)))


def has_many(task: Task[Any] | None) -> bool:
    """Return whether a task holds so many secrets that it takes long to look for them.

    In all their spellings, 20 microseconds for each.
    """
    found = iter(()) if task is None else secrets_in(task_fields(task, None))
    return next(islice(found, _MANY, None), None) is not None


def secrets_in(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is secret among a task's fields, and nothing or something twice at times."""
    waiting: list[tuple[str, Any, bool]] = [("", fields, False)]
    while waiting:  # not by recursion: the fields of a custom task may be nested deeply
        name, value, is_part = waiting.pop()
        is_named = name != "" and names_secret(name)
        if isinstance(value, dict):
            items = cast("dict[str, Any]", value).items()
            waiting += [(inner, item, is_part or is_named) for inner, item in items]
        elif isinstance(value, list):
            waiting += [("", item, is_part or is_named) for item in cast("list[object]", value)]
        elif isinstance(value, str | int) and not isinstance(value, bool):
            text = str(value)
            yield from _credentials(text, is_proxy="proxy" in name.lower())
            if is_named or (is_part and len(text) >= _LEAST_PART):
                yield text
                yield from _parts(text)


def spellings(secrets: Iterable[str]) -> tuple[str, ...]:
    """Return each secret as it is and with its percent escapes undone, longest first."""
    spelled = {spelling for secret in secrets for spelling in (secret, unquote(secret))}
    return tuple(sorted(spelled - {""}, key=len, reverse=True))


def _credentials(text: str, *, is_proxy: bool) -> Iterator[str]:
    """Yield the credentials of a URL, or of a proxy in one of its other forms."""
    whole = CREDENTIALS.findall(text)
    if is_proxy and not whole:
        parts = text.split(":")
        if "@" in text:
            whole.append(text.rpartition("@")[0])
        elif len(parts) >= _PROXY_PARTS:
            whole.append(":".join(parts[-2:]))
            if len(parts) == _PROXY_PARTS and parts[-1].isdecimal():
                # user:password:host:port is in use as well; which one it is cannot be told.
                whole.append(":".join(parts[:2]))
    if is_proxy:
        # What a URL cannot hold is escaped here, and so found in both spellings.
        whole.append(read_proxy(text)[0].partition("://")[2].rpartition("@")[0])
    for credentials in whole:
        yield credentials
        yield credentials.partition(":")[2]


def _parts(text: str) -> Iterator[str]:
    """Yield the values of ``name=value; name=value``, as cookies are written."""
    for pair in text.split(";"):
        part = pair.partition("=")[2].strip()
        if len(part) >= _LEAST_PART:
            yield part

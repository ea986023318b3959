"""The scripts that run inside the server, each of them all or nothing; see ``lua/``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Final, Literal, TypeAlias, get_args

import attrs

Name: TypeAlias = Literal[
    "join", "acquire", "slots", "intend", "tell", "beat", "look", "leave", "arrive"
]

_FOLDER: Final = files("ezcaptcha_async.redis") / "lua"
_HEAD: Final = (_FOLDER / "head.lua").read_text("utf-8")
_TEXTS: Final[Mapping[Name, str]] = {
    name: _HEAD + (_FOLDER / f"{name}.lua").read_text("utf-8") for name in get_args(Name)
}
_OWN: Final = {"join", "intend", "beat"}
"""Each fleet has its own: a server that does not know them was started again, or is another one,
and other fleets would hide that."""


@attrs.frozen
class Script:
    """A script and what the server knows it by."""

    text: str = attrs.field(repr=False)
    digest: str


def scripts_of(base: str) -> dict[Name, Script]:
    """Return the scripts of a fleet.

    Args:
        base: What all of its keys begin with.
    """
    found: dict[Name, Script] = {}
    for name, shared in _TEXTS.items():
        text = f"-- {base}\n{shared}" if name in _OWN else shared
        # The server's name for it; nothing is kept secret or safe with that.
        found[name] = Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())
    return found

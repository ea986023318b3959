"""Which service, and with which key: the arguments that several commands share."""

from __future__ import annotations

import re
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

import attrs
from cyclopts import Parameter

from ezcaptcha_async import EZCAPTCHA, ONECAPTCHA, Account, ConfigurationError, Service
from ezcaptcha_async.accounts import (
    KEY_VARIABLE,
    OTHER_KEY_VARIABLES,
    default_key,
    default_service,
    key_variable,
)
from ezcaptcha_async.cli.failures import reason
from ezcaptcha_async.cli.options import STDIN
from ezcaptcha_async.services import LOOPBACK_HOSTS

_LONGEST_KEY_FILE: Final = 64 * 1024  # characters
_MARK: Final = "\ufeff"
_COMMENT: Final = re.compile(r"(^|\s)#.*")
# The "=" signs at the end of a key make no variable of what is before them.
_ASSIGNED: Final = re.compile(r"(?:export\s+|set\s+|\$env:)?([A-Za-z_]\w*)\s*=\s*(?!=*$)(.*)")
_QUOTES: Final = frozenset("\"'")
_VARIABLES: Final = frozenset({KEY_VARIABLE, *OTHER_KEY_VARIABLES})
# A variable that is set to nothing; no key is written so.
_EMPTY: Final = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+=+")
# Nothing in it that stands around words, between them, or before a comment.
_KEY: Final = re.compile(r"(?!//)[\w+/][^\s\"'`,:;<>()\[\]{}=]*=*", re.ASCII)
_SHORTEST_KEY: Final = 20
# A lone hyphen is stdin, not the beginning of an option.
FromFile: Final = Parameter(allow_leading_hyphen=True)


def read_text(source: Path, *, option: str, most: int) -> str:
    """Return what a file holds, or stdin for ``-``; or refuse what cannot be read.

    So is what has more than `most` characters: a device may never end.
    """
    problem = f"it is longer than {most:,} characters; is it the right file?"
    try:
        with nullcontext(sys.stdin) if source == STDIN else source.open(encoding="utf-8") as file:
            text = file.read(most + 1)
        if len(text) <= most:
            return text
    except (OSError, ValueError) as error:
        problem = reason(error, "it is not text in UTF-8; save it as that")
    # Not from the error, which has what could not be decoded: that may be a secret.
    raise ConfigurationError(f"cannot read {option}: {problem}")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where requests go, and who pays.

    Args:
        service: The service.
        base_url: Another URL of it, such as a gateway's; or EZCAPTCHA_BASE_URL.
        key_file: File with the client key on a line; - for stdin. Without it the key comes from
            EZCAPTCHA_CLIENT_KEY (EZCAPTCHA_API_KEY or EZCAPSOLVER_API_KEY will do). No option
            takes the key itself, which all users of a machine could read.
    """

    service: Literal["ezcaptcha", "1captcha"] = "ezcaptcha"
    base_url: str | None = None
    key_file: Annotated[Path | None, FromFile] = None

    def profile(self, time_scale: float | None = None) -> Service:
        """Return the profile of the service, at some speed or at that of the environment."""
        profile = ONECAPTCHA
        if self.service == "ezcaptcha":
            profile = default_service() if self.base_url is None else EZCAPTCHA
        if self.base_url is not None:
            profile = attrs.evolve(profile, base_url=self.base_url)
        if time_scale is None:
            return profile
        if time_scale != 1 and urlsplit(profile.base_url).hostname not in LOOPBACK_HOSTS:
            raise ConfigurationError("--time-scale is for a simulated service on loopback")
        return profile.at_speed(time_scale / profile.speed)

    def account(self, time_scale: float | None = None) -> Account:
        """Return the account, with the key from the file or the environment."""
        account, *others = self.accounts(time_scale)
        if others:
            raise ConfigurationError(
                f"--key-file holds {1 + len(others)} keys; this needs one, only batch takes several"
            )
        return account

    def accounts(self, time_scale: float | None = None) -> tuple[Account, ...]:
        """Return an account for each line of the key file, or the one of the environment."""
        profile = self.profile(time_scale)
        if self.key_file is not None:
            keys = keys_in(read_text(self.key_file, option="--key-file", most=_LONGEST_KEY_FILE))
        elif key_variable() is None:
            raise ConfigurationError(f"no client key: set {KEY_VARIABLE}, or give --key-file")
        elif not _KEY.fullmatch(default_key()):
            raise ConfigurationError(
                f"{self.key_source} holds no client key: write it without quotes and blanks"
            )
        else:
            keys = (default_key(),)
        return tuple(Account(key, service=profile) for key in keys)

    @property
    def key_source(self) -> str:
        """Where the key comes from: an environment variable, or ``--key-file``."""
        return "--key-file" if self.key_file is not None else key_variable() or KEY_VARIABLE


def may_be_key(word: str) -> bool:
    """Tell whether a word in the wrong place may be a client key, and must not be repeated.

    Shorter ones are slips of the hand, and so are types, of which each has "task" in it.
    """
    is_long = len(word) >= _SHORTEST_KEY and not any(map(str.isspace, word))
    return is_long and "task" not in word.casefold()


def keys_in(text: str) -> tuple[str, ...]:
    """Return the client keys of a key file: one a line, also as variables that hold one.

    Blank lines and comments behind ``#`` are left out, and so are quotes around a key.

    Raises:
        ConfigurationError: A line holds anything else, which is named by its number only;
            a word of it that went out as a key would count towards a ban.
    """
    keys: list[str] = []
    for number, line in enumerate(text.removeprefix(_MARK).splitlines(), 1):
        written = _COMMENT.sub("", line).strip()
        if not written:
            continue
        if _EMPTY.fullmatch(written) or written in _VARIABLES:
            raise ConfigurationError(f"line {number} of --key-file sets no key: write it behind =")
        assigned = _ASSIGNED.fullmatch(written)
        key = written if assigned is None else assigned[2]
        if assigned is not None and assigned[1] not in _VARIABLES:
            raise ConfigurationError(
                f"line {number} of --key-file sets another variable than {KEY_VARIABLE}"
            )
        if len(key) > 1 and key[0] == key[-1] and key[0] in _QUOTES:
            key = key[1:-1]
        if not (_KEY.fullmatch(key) and key.isascii() and key.isprintable()):
            raise ConfigurationError(
                f"line {number} of --key-file is no client key: write one a line, without blanks, "
                f"and # before a comment"
            )
        keys.append(key)
    if not keys:
        raise ConfigurationError("--key-file holds no client key")
    return tuple(dict.fromkeys(keys))


DEFAULT: Final = Connection()

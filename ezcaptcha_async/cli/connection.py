"""Which service, and with which key: the arguments that several commands share."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import attrs
from cyclopts import Parameter

from ezcaptcha_async import ONECAPTCHA, Account, ConfigurationError, Service
from ezcaptcha_async.accounts import KEY_VARIABLE, default_key, default_service

ServiceName: TypeAlias = Literal["ezcaptcha", "1captcha"]

STDIN: Final = Path("-")

# A lone hyphen is stdin, not the beginning of an option.
FromFile: Final = Parameter(show_default=False, allow_leading_hyphen=True)


def read_text(source: Path, *, option: str) -> str:
    """Return what a file holds, or stdin for ``-``.

    Raises:
        ConfigurationError: It cannot be read.
    """
    try:
        return sys.stdin.read() if source == STDIN else source.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        # Only the reason: what could not be decoded may be a secret.
        reason = getattr(error, "strerror", None) or "it is not a text file"
    raise ConfigurationError(f"cannot read {option}: {reason}")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Connection:
    """Where requests go, and who pays.

    Args:
        service: The service.
        base_url: Another URL of it: a gateway, or a simulated service. For ezcaptcha,
            EZCAPTCHA_BASE_URL does the same.
        key_file: File that holds the client key; - for stdin. Without it the key comes
            from EZCAPTCHA_CLIENT_KEY. There is no option for the key itself: every user
            of a machine can read the arguments of all processes.
    """

    service: ServiceName = "ezcaptcha"
    base_url: Annotated[str | None, Parameter(show_default=False)] = None
    key_file: Annotated[Path | None, FromFile] = None

    def profile(self) -> Service:
        """Return the profile of the service.

        Raises:
            ConfigurationError: The URL is not safe.
        """
        profile = default_service() if self.service == "ezcaptcha" else ONECAPTCHA
        return profile if self.base_url is None else attrs.evolve(profile, base_url=self.base_url)

    def account(self) -> Account:
        """Return the account, with the key from the file or the environment.

        Raises:
            ConfigurationError: There is no key, or it cannot be one.
        """
        return Account(self._key(), service=self.profile())

    def accounts(self) -> tuple[Account, ...]:
        """Return an account for each line of the key file, or the one of the environment.

        Raises:
            ConfigurationError: There is no key, or one cannot be one.
        """
        profile = self.profile()
        return tuple(Account(key, service=profile) for key in self._key().split())

    def _key(self) -> str:
        if self.key_file is not None:
            return read_text(self.key_file, option="--key-file").strip()
        with suppress(ConfigurationError):
            return default_key()
        raise ConfigurationError(f"no client key: set {KEY_VARIABLE}, or give --key-file")


DEFAULT: Final = Connection()

"""Which service, and with which key: the arguments that several commands share."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import urlsplit

import attrs
from cyclopts import Parameter

from ezcaptcha_async import EZCAPTCHA, ONECAPTCHA, Account, ConfigurationError, Service
from ezcaptcha_async.accounts import KEY_VARIABLE, default_key, default_service, key_variable
from ezcaptcha_async.services import LOOPBACK_HOSTS

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
            from EZCAPTCHA_CLIENT_KEY, else EZCAPTCHA_API_KEY or EZCAPSOLVER_API_KEY. There
            is no option for the key itself: every user of a machine can read the
            arguments of all processes.
    """

    service: ServiceName = "ezcaptcha"
    base_url: Annotated[str | None, Parameter(show_default=False)] = None
    key_file: Annotated[Path | None, FromFile] = None

    def profile(self, time_scale: float | None = None) -> Service:
        """Return the profile of the service.

        Args:
            time_scale: How many times as fast it runs; None for what the environment says
                of the service that it names.

        Raises:
            ConfigurationError: The URL is not safe, or the service is not a simulated one.
        """
        if self.base_url is not None:
            named = EZCAPTCHA if self.service == "ezcaptcha" else ONECAPTCHA
            profile = attrs.evolve(named, base_url=self.base_url)
        else:
            profile = default_service() if self.service == "ezcaptcha" else ONECAPTCHA
        if time_scale is None:
            return profile
        if time_scale != 1 and urlsplit(profile.base_url).hostname not in LOOPBACK_HOSTS:
            raise ConfigurationError("--time-scale is for a simulated service on loopback")
        return profile.at_speed(time_scale / profile.speed)

    def account(self, time_scale: float | None = None) -> Account:
        """Return the account, with the key from the file or the environment.

        Raises:
            ConfigurationError: There is no key, or it cannot be one.
        """
        return Account(self._key(), service=self.profile(time_scale))

    def accounts(self, time_scale: float | None = None) -> tuple[Account, ...]:
        """Return an account for each line of the key file, or the one of the environment.

        Raises:
            ConfigurationError: There is no key, or one cannot be one.
        """
        profile = self.profile(time_scale)
        # Of an empty file, the empty key, which is refused: not the one of the environment.
        keys = self._key().split() or [""]
        return tuple(Account(key, service=profile) for key in keys)

    @property
    def key_source(self) -> str:
        """Where the key comes from: an environment variable, or ``--key-file``."""
        return "--key-file" if self.key_file is not None else key_variable() or KEY_VARIABLE

    def _key(self) -> str:
        if self.key_file is not None:
            return read_text(self.key_file, option="--key-file").strip()
        with suppress(ConfigurationError):
            return default_key()
        raise ConfigurationError(f"no client key: set {KEY_VARIABLE}, or give --key-file")


DEFAULT: Final = Connection()

"""Which packages are at work, and whether they are new enough."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from importlib import metadata
from typing import Final

from ezcaptcha_async import EZCAPTCHA, ConfigurationError, SessionPool, __version__
from ezcaptcha_async.cli.findings import Finding

_DISTRIBUTION: Final = "ezcaptcha-async"
_CORE: Final = ("httpx", "anyio", "attrs")
_SHOWN: Final = ("httpx", "anyio")
_REQUIREMENT: Final = re.compile(r"^([\w.-]+)(?:\[[^]]*\])?(?:>=([\d.]+))?")


def versions() -> Finding:
    """Compare what is installed with what this package asks for."""
    requirements = _requirements()
    requirements.pop(_DISTRIBUTION, None)  # an extra of it asks for another one
    names = dict.fromkeys([*_CORE, *requirements])
    installed = {name: version for name in names if (version := _version(name)) is not None}
    return judged(installed, requirements)


def judged(installed: Mapping[str, str], requirements: Mapping[str, str]) -> Finding:
    """Judge what is installed, by name, with the lowest version of each, or "" for any."""
    details = {_DISTRIBUTION: __version__, "Python": platform.python_version(), **installed}
    old = {
        name: f"{name} {installed[name]} is older than {lowest}"
        for name, lowest in requirements.items()
        if name in installed and _parts(installed[name]) < _parts(lowest)
    }
    if old:
        text, remedy = ", ".join(old.values()), f"pip install -U {' '.join(old)}"
        return Finding("versions", "warning", text, remedy, details=details)
    others = ", ".join(f"{name} {installed[name]}" for name in _SHOWN)
    text = f"{__version__} on Python {details['Python']}, {others}"
    return Finding("versions", "ok", text, details=details)


async def fast() -> Finding:
    """Tell whether the extra is at work: what of it is there may be too old, or in the way."""
    details = {name: _version(name) for name in ("aiohttp", "uvloop")}
    try:
        async with SessionPool("any-key", service=EZCAPTCHA, transport="aiohttp"):
            pass  # opened, it has all that it needs
    except ConfigurationError as error:
        reason = error.message
    else:
        found = ", ".join(f"{name} {version}" for name, version in details.items() if version)
        return Finding("fast", "ok", f"active: {found}", details=details)
    if details["aiohttp"] is None:
        text = "not installed; httpx sends the requests"
        remedy = "for thousands of tasks: pip install 'aiohttp>=3.14' uvloop"
        return Finding("fast", "ok", text, remedy, details=details)
    text = "not active; httpx sends the requests"
    return Finding("fast", "warning", text, reason, details=details)


def _requirements() -> dict[str, str]:
    try:
        found = metadata.requires(_DISTRIBUTION) or ()
    except metadata.PackageNotFoundError:  # not installed, but run from its source
        return {}
    return dict(_REQUIREMENT.findall(requirement)[0] for requirement in found)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _parts(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, as far as two of them can differ in what they offer."""
    return tuple(int(part) for part in [*re.findall(r"\d+", version), 0, 0][:3])

"""What the doctor finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import attrs

from ezcaptcha_async.cli.failures import ExitCode

State: TypeAlias = Literal["ok", "warning", "problem", "skipped"]


@attrs.frozen
class Finding:
    """What one check found."""

    name: str  # what was checked
    state: State
    text: str  # what was found, for a person
    remedy: str | None = None  # what to do about it
    exit_code: ExitCode = attrs.field(default=ExitCode.DONE, kw_only=True)
    details: Mapping[str, Any] = attrs.field(factory=dict[str, Any], kw_only=True)


def skipped(name: str, why: str = "not checked") -> Finding:
    """Return that a check was left out, for one before if there is no other reason."""
    return Finding(name, "skipped", why)

"""What the tests of ``ezcaptcha doctor`` share."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from tests.cli.commands import Result
from tests.sockets.raw_server import End, RawServer, Script, answer

NAMES = ["DNS", "TLS", "HTTP", "key", "balance", "clock", "versions", "fast"]
POINTS = b'{"errorId":0,"balance":50000}'


@attrs.frozen
class Findings:
    """What an examination has found, by name; all must be there, whatever went wrong."""

    code: int
    checks: Mapping[str, dict[str, Any]]

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self.checks[name]

    @property
    def bad(self) -> dict[str, str]:
        """What is not well."""
        states = {name: check["state"] for name, check in self.checks.items()}
        return {name: state for name, state in states.items() if state not in {"ok", "skipped"}}


Examine = Callable[..., Findings]


def findings(result: Result) -> Findings:
    """Read what ``ezcaptcha doctor --json`` has printed."""
    document = result.document
    assert [check["name"] for check in document["checks"]] == NAMES
    assert document["exit_code"] == result.code
    return Findings(result.code, {check["name"]: check for check in document["checks"]})


def scripted(
    body: bytes = POINTS, *, tls: ssl.SSLContext | None = None, **headers: str
) -> RawServer:
    """Serve one answer again and again."""
    return RawServer(Script(send=answer(body, headers=headers), end=End.KEEP), tls=tls)

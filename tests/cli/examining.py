"""What the tests of ``ezcaptcha doctor`` share."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from tests.cli.commands import Result
from tests.sockets.raw_server import End, RawServer, Script, answer

NAMES = ["DNS", "TLS", "HTTP", "key", "balance", "clock", "versions", "fast"]
POINTS = b'{"errorId":0,"balance":50000}'


def checks(result: Result) -> Mapping[str, dict[str, Any]]:
    """Return the findings by name; all must be there, whatever went wrong."""
    document = result.document
    assert [check["name"] for check in document["checks"]] == NAMES
    assert document["exit_code"] == result.code
    return {check["name"]: check for check in document["checks"]}


def states(result: Result) -> dict[str, str]:
    """Return what is not well."""
    found = {name: check["state"] for name, check in checks(result).items()}
    return {name: state for name, state in found.items() if state not in {"ok", "skipped"}}


def scripted(
    body: bytes = POINTS, *, tls: ssl.SSLContext | None = None, **headers: str
) -> RawServer:
    """Serve one answer again and again."""
    return RawServer(Script(send=answer(body, headers=headers), end=End.KEEP), tls=tls)

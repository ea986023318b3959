"""How far a request got, as httpcore and what imitates it tell.

The type of an exception does not tell whether the request was sent; these events do.
A transport that emits none leaves ``observed`` False, and nothing is concluded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ezcaptcha_async.transports import Evidence


def tracer(evidence: Evidence, connected: Callable[[Any], object] | None = None) -> Any:
    """Return an httpcore ``trace`` callback that writes down how far a request got.

    As soon as a socket is `connected`, that is called with it.
    """

    async def trace(event: str, info: Mapping[str, Any]) -> None:
        evidence.observed = True
        if connected is not None and event.endswith("connect_tcp.complete"):
            connected(info["return_value"])
        if event.endswith("send_request_body.started"):
            # What is said to a proxy in order to get a tunnel is no request of ours yet.
            is_ours = getattr(info.get("request"), "method", b"POST") != b"CONNECT"
            if is_ours and evidence.body_begun:
                # A transport that tries again. What was sent may be paid for.
                raise RuntimeError("this request is sent once")
            evidence.body_begun = evidence.body_begun or is_ours

    return trace

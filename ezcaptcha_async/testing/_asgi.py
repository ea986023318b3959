"""The simulated service as an ASGI application."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio
import attrs

from ezcaptcha_async.testing import _replies
from ezcaptcha_async.testing._checks import is_loopback, number
from ezcaptcha_async.testing._exchange import ServiceClock, sleep
from ezcaptcha_async.testing._faults import UNSEEN, Fault
from ezcaptcha_async.testing._replies import SimulatedReply

if TYPE_CHECKING:
    from ezcaptcha_async.testing._service import SimulatedService

_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]
ASGIApplication: TypeAlias = Callable[[_Message, _Receive, _Send], Awaitable[None]]
"""An ASGI application: takes the scope, receive and send."""

_MAX_BODY_BYTES: Final = 1024 * 1024
_HOST: Final = re.compile(r"\[?([^\[\]]*?)\]?(?::\d*)?")
# On closing, throw away what was not sent and tell the peer with a reset.
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


async def _whole_body(receive: _Receive) -> bytes | None:
    """Return the body of a request, or as much of it as shows that it is too large.

    None when the client went away before it was whole.
    """
    body = b""
    while len(body) <= _MAX_BODY_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


async def _client_gone(receive: _Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _reply(send: _Send, reply: SimulatedReply) -> None:
    headers = [(name.encode(), value.encode()) for name, value in reply.headers]
    headers.append((b"content-length", b"%d" % len(reply.body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


async def _reset(receive: _Receive, send: _Send) -> None:
    """Break the connection off.

    ASGI has no word for it. Under uvicorn the connection is behind `send`; elsewhere an
    answer that breaks off does, which makes a server close the connection.
    """
    connection = getattr(getattr(send, "__self__", None), "transport", None)
    if connection is None:
        headers = [(b"content-length", b"1000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        raise ConnectionResetError("simulated: the connection is reset")
    connection.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
    )
    connection.abort()
    await _client_gone(receive)


async def _lifespan(receive: _Receive, send: _Send) -> None:
    while True:
        event = (await receive())["type"]
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


class Application:
    """The application; see ``SimulatedService.asgi``."""

    def __init__(self, service: SimulatedService, clock: ServiceClock, latency: float) -> None:
        self._service = service
        self._clock = clock
        self._half_latency = number("latency", latency) / 2

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            if scope["path"] != "/record":
                self._service.note_peer(scope.get("client"))
            await self._request(scope, receive, send)
        else:
            raise RuntimeError(f"the simulated service does not speak {scope['type']}")

    async def _request(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        body = await _whole_body(receive)
        if body is None:
            return
        if len(body) > _MAX_BODY_BYTES:
            await _reply(send, _replies.TOO_LARGE)
        elif (scope["method"], scope["path"]) == ("GET", "/record"):
            summary = self._service.record.summary(self._clock.now())
            await _reply(send, _replies.data(attrs.asdict(summary)))
        else:
            await self._exchange(scope, body, receive, send)

    async def _exchange(self, scope: _Message, body: bytes, receive: _Receive, send: _Send) -> None:
        path: str = scope["path"]
        drawn = self._service.draw_fault(path, body)
        fault = None if drawn is None else drawn.fault
        if fault in UNSEEN:
            await _reset(receive, send)
            return
        hang = drawn.seconds if drawn is not None and fault is Fault.HANG else 0.0
        await sleep(self._half_latency)
        # Whether the client waits for a late answer is not known: it counts as one that arrives.
        told = None if fault is Fault.HANG and hang < inf else fault
        reply = self._service.handle(
            path,
            body,
            self._clock.now(),
            fault=told,
            method=scope["method"],
            content_type=dict(scope["headers"]).get(b"content-type", b"").decode("latin-1"),
        )
        await sleep(self._half_latency)
        if fault is Fault.RESET_AFTER:
            await _reset(receive, send)
            return
        if hang:
            with anyio.move_on_after(hang):
                await _client_gone(receive)
                return
        await _reply(send, reply)


def for_this_machine(application: ASGIApplication) -> ASGIApplication:
    """Return an application that answers those who ask for this machine, and nobody else.

    A page in a browser on this machine could ask under a name of its own that leads here: the
    browser would take it for the page's own server, and let it read the answers.
    """

    async def checked(scope: _Message, receive: _Receive, send: _Send) -> None:
        named = dict(scope["headers"]).get(b"host", b"localhost").decode("latin-1")
        found = _HOST.fullmatch(named)
        if found is not None and is_loopback(found[1]):
            await application(scope, receive, send)
        else:
            await _reply(send, _replies.WRONG_HOST)

    return checked

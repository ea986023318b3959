"""The simulated service as a transport inside the process: no socket, any clock.

What it reports to the ``trace`` extension follows httpcore 1.0 event by event, failures
included, because that is how a client tells whether a request was sent.
"""

from __future__ import annotations

import functools
from math import inf
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from ezcaptcha_async.testing._checks import number
from ezcaptcha_async.testing._exchange import ServiceClock, sleep
from ezcaptcha_async.testing._faults import AnyFault, DrawnFault, Fault, is_an_answer
from ezcaptcha_async.testing._replies import SimulatedReply

if TYPE_CHECKING:
    from ezcaptcha_async.testing._service import SimulatedService

_CONNECT = "connection.connect_tcp"
_SEND_HEADERS = "http11.send_request_headers"
_SEND_BODY = "http11.send_request_body"
_RECEIVE_HEADERS = "http11.receive_response_headers"


class _Trace:
    """Reports to the ``trace`` extension of a request, where it has one."""

    def __init__(self, request: Any) -> None:
        self._callback = request.extensions.get("trace")
        self._request = request

    async def _report(self, event: str, info: dict[str, Any]) -> None:
        if self._callback is not None:
            await self._callback(event, info)

    async def started(self, name: str) -> None:
        await self._report(f"{name}.started", {"request": self._request})

    async def complete(self, name: str) -> None:
        await self._report(f"{name}.complete", {"return_value": None})

    async def failed(self, name: str, error: Exception) -> None:
        await self._report(f"{name}.failed", {"exception": error})

    async def done(self, *names: str) -> None:
        for name in names:
            await self.started(name)
            await self.complete(name)


class _SimulatedTransport:
    """The work of the transport; `transport_class` adds the base class of a package."""

    def __init__(
        self, service: SimulatedService, clock: ServiceClock, latency: float, package: Any
    ) -> None:
        self._service = service
        self._clock = clock
        self._latency = number("latency", latency)
        self._package = package

    async def handle_async_request(self, request: Any) -> Any:
        """Answer one request, or raise what the package raises for the fault that strikes."""
        body: bytes = await request.aread()
        drawn = self._service.draw_fault(request.url.path, body)
        trace = _Trace(request)
        await self._connect(request, trace, drawn)
        if drawn is not None and drawn.fault is Fault.RESET_BEFORE:
            await self._fail_to_send(trace)
        await trace.done(_SEND_HEADERS, _SEND_BODY)
        await trace.started(_RECEIVE_HEADERS)
        reply = await self._exchange(request, body, trace, drawn)
        await trace.complete(_RECEIVE_HEADERS)
        await trace.done("http11.receive_response_body", "http11.response_closed")
        return self._package.Response(
            reply.status,
            headers=[*reply.headers, ("content-length", str(len(reply.body)))],
            stream=self._package.ByteStream(reply.body),  # not read yet, as from a socket
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def _connect(self, request: Any, trace: _Trace, drawn: DrawnFault | None) -> None:
        await trace.started(_CONNECT)
        if drawn is not None and drawn.fault is Fault.REFUSED:
            error = self._package.ConnectError("All connection attempts failed")
            await trace.failed(_CONNECT, error)
            raise error
        await trace.complete(_CONNECT)
        if request.url.scheme == "https":
            await trace.done("connection.start_tls")

    async def _fail_to_send(self, trace: _Trace) -> NoReturn:
        # httpcore swallows the error of writing and looks whether an answer came before it.
        await trace.started(_SEND_HEADERS)
        await trace.failed(_SEND_HEADERS, self._package.WriteError("Connection reset by peer"))
        await trace.started(_RECEIVE_HEADERS)
        await self._fail_to_receive(trace, self._package.ReadError("Connection reset by peer"))

    async def _fail_to_receive(self, trace: _Trace, error: Exception) -> NoReturn:
        await trace.failed(_RECEIVE_HEADERS, error)
        await trace.done("http11.response_closed")
        raise error

    async def _exchange(
        self, request: Any, body: bytes, trace: _Trace, drawn: DrawnFault | None
    ) -> SimulatedReply:
        fault = None if drawn is None else drawn.fault
        hang = drawn.seconds if drawn is not None and fault is Fault.HANG else 0.0
        patience = request.extensions.get("timeout", {}).get("read")
        patience = inf if patience is None else patience
        too_late = hang == inf or self._latency + hang > patience
        told_if_lost = fault if is_an_answer(fault) else Fault.RESET_AFTER
        told_if_not = None if fault is Fault.HANG else fault
        until_handled = min(self._latency / 2, patience)
        try:
            await sleep(until_handled)
        except BaseException:
            # The request is on its way: the service gets it, even when the client has gone.
            self._answer(request, body, told_if_lost)
            raise
        reply = self._answer(request, body, told_if_lost if too_late else told_if_not)
        await sleep(min(self._latency + hang, patience) - until_handled)
        if too_late:
            await self._fail_to_receive(trace, self._package.ReadTimeout("timed out"))
        if fault is Fault.RESET_AFTER:
            error = self._package.RemoteProtocolError(
                "Server disconnected without sending a response."
            )
            await self._fail_to_receive(trace, error)
        return reply

    def _answer(self, request: Any, body: bytes, fault: AnyFault | None) -> SimulatedReply:
        return self._service.handle(
            request.url.path,
            body,
            self._clock.now(),
            fault=fault,
            method=request.method,
            content_type=request.headers.get("content-type", ""),
        )


@functools.cache
def transport_class(package: ModuleType) -> Any:
    """Return the class of transports for the clients of a package."""
    return type("SimulatedTransport", (_SimulatedTransport, package.AsyncBaseTransport), {})

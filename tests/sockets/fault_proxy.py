"""A TCP proxy on loopback that does to each direction what networks do.

It stands between a client and a real server and knows nothing of HTTP. Plain sockets in
threads, as `raw_server`, so that it is the same for asyncio and trio clients. One thread
owns both sockets of a connection, so a fault strikes exactly where a test wants it to.
"""

from __future__ import annotations

import enum
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Final, Self

import attrs

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_STOP_SECONDS: Final = 5.0


class Stop(enum.Enum):
    """What happens where bytes stop passing."""

    FIN = "fin"  # both sides see the other one close
    RESET = "reset"  # both sides see the connection reset
    BLACKHOLE = "blackhole"  # the connection stays, and nothing passes this way any more
    HALF_CLOSE = "half-close"  # this way is closed, the other one goes on


@attrs.frozen(kw_only=True)
class Way:
    """What happens to the bytes that go one way.

    Args:
        delay: Seconds before each chunk.
        drip: Whether each byte is a chunk of its own.
        after: How many bytes pass until it stops.
        stop: How it stops.
    """

    delay: float = 0.0
    drip: bool = False
    after: float = inf
    stop: Stop = Stop.BLACKHOLE


@attrs.frozen(kw_only=True)
class Route:
    """What happens to one connection."""

    to_service: Way = Way()
    to_client: Way = Way()


CLEAN: Final = Route()
"""Everything passes at once."""


@attrs.define(eq=False)
class _Direction:
    source: socket.socket
    target: socket.socket
    way: Way
    passed: bytearray
    waiting: bytearray = attrs.field(factory=bytearray)
    due: float = -inf
    reading: bool = True
    stopped: bool = False

    @property
    def over(self) -> bool:
        """Whether nothing more comes this way."""
        return not self.reading and not self.waiting

    @property
    def strikes(self) -> bool:
        """Whether it is to stop now."""
        return not self.stopped and len(self.passed) >= self.way.after

    def read(self) -> None:
        """Take what has come; a reset is the end as well."""
        try:
            data = self.source.recv(65_536)
        except OSError:
            data = b""
        self.reading = bool(data)
        if not self.stopped:
            if not self.waiting:
                self.due = time.monotonic() + self.way.delay
            self.waiting += data

    def pass_on(self, now: float) -> None:
        """Pass on what is due, and the end after all else."""
        while self.waiting and self.due <= now and not self.strikes and not self.stopped:
            size = min(1 if self.way.drip else inf, len(self.waiting))
            chunk = self.waiting[: int(min(size, self.way.after - len(self.passed)))]
            del self.waiting[: len(chunk)]
            # First the record: whoever has the answer may ask for it at once.
            self.passed += chunk
            with suppress(OSError):  # gone, as is its right
                self.target.sendall(chunk)
            self.due = now + self.way.delay
        if self.over and not self.stopped:
            self.end()

    def stop(self) -> None:
        """Let nothing more pass, not even the end."""
        self.stopped = True
        self.waiting.clear()

    def end(self) -> None:
        """Let the target see that nothing more comes."""
        self.stop()
        with suppress(OSError):
            self.target.shutdown(socket.SHUT_WR)


@attrs.define(eq=False)
class Link:
    """The record of one connection.

    Args:
        route: What was to happen to it.
        to_service: What has passed to the service.
        to_client: What has passed to the client.
    """

    route: Route
    to_service: bytearray = attrs.field(factory=bytearray)
    to_client: bytearray = attrs.field(factory=bytearray)


def _strike(struck: _Direction, other: _Direction) -> None:
    """Stop a direction in its way."""
    match struck.way.stop:
        case Stop.FIN:
            struck.end()
            other.end()
        case Stop.RESET:
            for side in (struck.source, struck.target):
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        case Stop.BLACKHOLE:
            struck.stop()
        case Stop.HALF_CLOSE:
            struck.end()


def _carry(link: Link, client: socket.socket, service: socket.socket, wake: socket.socket) -> None:
    """Carry bytes both ways until both are over, or one is reset, or `wake` can be read."""
    there = _Direction(client, service, link.route.to_service, link.to_service)
    back = _Direction(service, client, link.route.to_client, link.to_client)
    both = {there: back, back: there}
    while True:
        for direction, other in both.items():
            direction.pass_on(time.monotonic())
            if direction.strikes:
                _strike(direction, other)
                if direction.way.stop is Stop.RESET:
                    return
        if there.over and back.over:
            return
        sources = {direction.source: direction for direction in both if direction.reading}
        due = min((direction.due for direction in both if direction.waiting), default=None)
        patience = None if due is None else max(0.0, due - time.monotonic())
        readable = select.select([*sources, wake], [], [], patience)[0]
        if wake in readable:
            return
        for source in readable:
            sources[source].read()


class FaultProxy:
    """Takes one route per connection; the last one also for all further connections.

    Args:
        port: Where the server listens, on loopback.
        *routes: What happens to the first connection, the second one, and so on.
    """

    def __init__(self, port: int, *routes: Route) -> None:
        self.links: list[Link] = []
        self._routes = routes
        self._server_port = port
        self._threads: list[threading.Thread] = []
        self._wake, self._waker = socket.socketpair()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def to_service(self) -> bytes:
        """All that has passed to the service, one connection after the other."""
        return b"".join(link.to_service for link in self.links)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._waker.close()  # what is closed can be read
        for thread in self._threads:
            thread.join(_STOP_SECONDS)
        self._listener.close()
        self._wake.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while self._wake not in select.select([self._listener, self._wake], [], [])[0]:
            client, _ = self._listener.accept()
            link = Link(self._routes[min(len(self.links), len(self._routes) - 1)])
            self.links.append(link)
            self._start(self._serve, link, client)

    def _serve(self, link: Link, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server_port)) as service:
            for side in (client, service):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _carry(link, client, service, self._wake)

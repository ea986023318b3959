"""A scripted TCP server on loopback: it breaks off exactly where a test wants it to.

Plain sockets in threads, so that it is the same for asyncio and trio clients. What it has
read is written down before it ends a connection, so a test that has its answer, or its
fault, can ask at once what the server got.
"""

from __future__ import annotations

import enum
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf
from typing import Final, Self

import attrs

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_END_OF_HEAD: Final = b"\r\n\r\n"
_STOP_SECONDS: Final = 5.0

EVERYTHING: Final = inf
"""Read the whole request."""
HEAD_ONLY: Final = -1
"""Read byte by byte to the end of the headers, and nothing of the body."""


class End(enum.Enum):
    """What becomes of the connection after the answer."""

    CLOSE = "close"  # FIN
    RESET = "reset"  # RST
    HANG = "hang"  # stays open and silent until the server stops
    KEEP = "keep"  # the same script again, for the next request


@attrs.frozen(kw_only=True)
class Script:
    """What to do with one connection.

    Args:
        read: How many bytes of the request to read, or `EVERYTHING`, or `HEAD_ONLY`.
        send: The bytes of the answer.
        pause: Seconds before each byte of the answer; 0 sends it as one.
        endless: Whether to send the answer again and again until the client goes away.
        end: What becomes of the connection.
        then: What to do with the next request of a connection that is kept; None for the same.
    """

    read: float = EVERYTHING
    send: bytes = b""
    pause: float = 0.0
    endless: bool = False
    end: End = End.CLOSE
    then: Script | None = None


@attrs.frozen
class ReceivedRequest:
    """A request as it was read.

    Args:
        head: Request line and headers, with the empty line after them.
        body: What was read of the body.
        complete: Whether all of the body was read.
    """

    head: bytes
    body: bytes
    complete: bool

    @property
    def headers(self) -> dict[str, str]:
        """Header names in lower case → values."""
        lines = self.head.decode("latin-1").splitlines()[1:-1]
        pairs = (line.split(": ", 1) for line in lines)
        return {name.lower(): value for name, value in pairs}


def answer(
    body: bytes = b'{"errorId":0}',
    status: str = "200 OK",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Return an HTTP answer as bytes."""
    fields = {"content-type": "application/json", "content-length": str(len(body))}
    fields.update(headers or {})
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + _END_OF_HEAD + body


def chunked(*chunks: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """Return an HTTP answer in chunks, without the last empty one."""
    fields = {"transfer-encoding": "chunked", **(headers or {})}
    lines = ["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in fields.items())]
    head = "\r\n".join(lines).encode() + _END_OF_HEAD
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)


GOOD: Final = Script(send=answer(), end=End.KEEP)
"""Answers properly, and keeps the connection alive."""


class RawServer:
    """Plays one script per connection; the last one also for all further connections.

    Args:
        *scripts: What to do with the first connection, the second one, and so on.
        tls: Speak TLS with this context.
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self.scripts = list(scripts)
        self.received: list[ReceivedRequest] = []
        self.connections = 0
        self.ended = 0  # connections that the script has ended, whatever the client does
        self._tls = tls
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        # Connections inherit it. Small, so that what is not read stays with the client.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def complete(self) -> list[ReceivedRequest]:
        """The requests that were read to the end."""
        return [request for request in self.received if request.complete]

    @property
    def open_connections(self) -> int:
        """Connections that neither side has ended."""
        return len(self._open)

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stopping.set()
        # The one way of waking `accept` that works everywhere.
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        with self._lock:
            still_open = list(self._open)
        for connection in still_open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_STOP_SECONDS)
        self._listener.close()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._stopping.is_set():
                connection.close()
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                script = self.scripts[min(self.connections, len(self.scripts) - 1)]
                self.connections += 1
                self._open.add(connection)
            if script == Script(read=0, end=End.RESET):
                self._end(connection, End.RESET)  # at once, before any thread can start
            else:
                self._start(self._serve, connection, script)

    def _serve(self, connection: socket.socket, script: Script) -> None:
        stream = connection
        try:
            if self._tls is not None and script.read:
                # The new object takes the socket over, so it is the one to close.
                stream = self._tls.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._open.discard(connection)
                    self._open.add(stream)
            end = self._play(stream, script)
        except OSError:
            end = End.CLOSE  # the client went away; that is its right
        self._end(stream, end)

    def _play(self, connection: socket.socket, script: Script) -> End:
        while self._read(connection, script.read):
            self._answer(connection, script)
            if script.end is End.HANG and script.read == EVERYTHING:
                while connection.recv(65_536):
                    pass
            elif script.end is End.HANG:
                self._stopping.wait()  # what was not to be read stays unread
            if script.end is not End.KEEP:
                break
            script = script.then or script
        return script.end

    def _read(self, connection: socket.socket, limit: float) -> bool:
        """Read a request as far as wanted; False when the client ended the connection."""
        data, wanted = b"", inf if limit == HEAD_ONLY else limit
        while len(data) < wanted:
            # Never more than wanted: what is left unread must stay in the socket.
            size = 1 if limit == HEAD_ONLY else int(min(wanted - len(data), 65_536))
            more = connection.recv(size)
            if not more:
                break
            data += more
            head, separator, body = data.partition(_END_OF_HEAD)
            if separator and limit == EVERYTHING:
                wanted = len(head) + len(separator) + _content_length(head)
            if separator and limit == HEAD_ONLY:
                break
        if data:
            head, separator, body = data.partition(_END_OF_HEAD)
            complete = bool(separator) and len(body) == _content_length(head)
            self.received.append(ReceivedRequest(head + separator, body, complete))
        return bool(data) or not limit

    def _answer(self, connection: socket.socket, script: Script) -> None:
        while True:
            if script.pause:
                for index in range(len(script.send)):
                    if self._stopping.wait(script.pause):
                        return
                    connection.sendall(script.send[index : index + 1])
            else:
                connection.sendall(script.send)
            if not script.endless:
                return

    def _end(self, connection: socket.socket, end: End) -> None:
        with suppress(OSError):
            if end is End.RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            else:
                connection.shutdown(socket.SHUT_WR)
                self.ended += 1
                self._drain(connection)
        with self._lock:
            self._open.discard(connection)
            connection.close()

    def _drain(self, connection: socket.socket) -> None:
        """Read what the client still sends: closing over unread bytes would be a reset."""
        connection.settimeout(1.0)
        while connection.recv(65_536):
            pass


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0

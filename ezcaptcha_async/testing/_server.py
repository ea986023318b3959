"""The simulated service on a real port, served by uvicorn in a thread of its own."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import attrs

from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.services import Service
from ezcaptcha_async.testing._asgi import ASGIApplication, for_this_machine
from ezcaptcha_async.testing._checks import is_loopback, whole
from ezcaptcha_async.testing._service import SimulatedService

if TYPE_CHECKING:
    import uvicorn

_START_SECONDS: Final = 10.0
_GRACE_SECONDS: Final = 1
_STOP_SECONDS: Final = 10.0
_TICK_SECONDS: Final = 0.005
_WAIT_SECONDS: Final = 0.2
_BACKLOG: Final = 2048
_LAST_PORT: Final = 65_535
_KEY: Final = "simulated"
_LOGGERS: Final = ("uvicorn.error", "uvicorn.access", "uvicorn.asgi")


@attrs.frozen(kw_only=True, eq=False)
class SimulatedServer:
    """A simulated service that is being served.

    Args:
        service: What is served: its record, its faults, its controls.
        host: Where it listens.
        port: Its port.
        url: Its base URL.
        profile: The profile that a pool needs in order to use it.

    Example:
        >>> with serve(SimulatedService(), time_scale=10) as server:
        ...     for name, value in server.environment.items():
        ...         print(f"export {name}={value}")
        export EZCAPTCHA_CLIENT_KEY=simulated
        export EZCAPTCHA_BASE_URL=http://127.0.0.1:...
        export EZCAPTCHA_TIME_SCALE=10.0
    """

    service: SimulatedService
    host: str
    port: int
    url: str
    profile: Service

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make a program's own ``SessionPool()`` use it.

        For a process of its own: ``subprocess.run(..., env=os.environ | server.environment)``.
        The key is one that a service without ``client_keys`` takes.
        """
        return {
            "EZCAPTCHA_CLIENT_KEY": _KEY,
            "EZCAPTCHA_BASE_URL": self.url,
            "EZCAPTCHA_TIME_SCALE": repr(self.profile.speed),
        }


def _url(host: str, port: int) -> str:
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - what to replace
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host} port {port} ({error}); "
            "choose another, or port 0 for a free one"
        ) from None
    # Connections inherit it. Without it, the second write of an answer waits some 40 ms
    # for an acknowledgement; asyncio sets it only where a socket names its protocol.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _uvicorn_server(application: ASGIApplication) -> uvicorn.Server:
    if importlib.util.find_spec("uvicorn") is None:
        raise ConfigurationError("serving on a port needs uvicorn: pip install uvicorn httptools")
    import uvicorn  # noqa: PLC0415 - an extra; only who serves needs it

    config = uvicorn.Config(
        application,
        http="auto",  # httptools when it is there
        ws="none",
        lifespan="off",
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    return uvicorn.Server(config)


@contextmanager
def _silent(thread: threading.Thread) -> Generator[None]:
    """Drop what uvicorn logs in this thread, and nothing of another server in the process."""

    def from_elsewhere(record: logging.LogRecord) -> bool:
        return record.thread != thread.ident

    for name in _LOGGERS:
        logging.getLogger(name).addFilter(from_elsewhere)
    try:
        yield
    finally:
        for name in _LOGGERS:
            logging.getLogger(name).removeFilter(from_elsewhere)


@contextmanager
def _running(server: uvicorn.Server, listener: socket.socket) -> Generator[None]:
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[listener])),
        name="ezcaptcha-simulated-server",
        daemon=True,
    )
    with _silent(thread):
        thread.start()
        try:
            give_up_at = time.monotonic() + _START_SECONDS
            while not server.started:
                if not thread.is_alive() or time.monotonic() > give_up_at:
                    raise RuntimeError("the simulated service did not start")
                time.sleep(_TICK_SECONDS)
            yield
        finally:
            server.should_exit = True
            thread.join(_STOP_SECONDS)


@contextmanager
def serve(
    service: SimulatedService,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    latency: float = 0.0,
    time_scale: float = 1.0,
    allow_remote: bool = False,
) -> Generator[SimulatedServer]:
    """Serve a simulated service on a real port, in a thread, until the block ends.

    It accepts connections when the block begins. At the end it stops within about a
    second, whatever clients do. ``GET /record`` answers with the summary as JSON.

    Args:
        service: What to serve.
        host: Where to listen.
        port: 0 for any free one.
        latency: Seconds that each request takes.
        time_scale: How many simulated seconds pass in one second.
        allow_remote: Permit a host that is not loopback, and requests for any ``Host``. Without
            it a page in a browser, whose name leads to this machine, gets no answer.

    Yields:
        The server, with its URL and the profile that a pool needs.

    Raises:
        ConfigurationError: uvicorn is missing, the port is taken, the host is not
            loopback, or a setting is out of range.

    Example:
        >>> import httpx
        >>> with serve(SimulatedService(balance=500)) as server:
        ...     reply = httpx.post(f"{server.url}/getBalance", json={"clientKey": "any-key"})
        >>> reply.json()["balance"]
        500
    """
    if not allow_remote and not is_loopback(host):
        raise ConfigurationError(
            f"host {host!r} is not a loopback address; set allow_remote=True to serve others"
        )
    whole("port", port, high=_LAST_PORT)
    application = service.asgi(latency=latency, time_scale=time_scale)
    server = _uvicorn_server(application if allow_remote else for_this_machine(application))
    profile = service.profile(time_scale=time_scale)
    with _listen(host, port) as listener:
        port = listener.getsockname()[1]
        url = _url(host, port)
        # The key that is sent here is not worth encrypting.
        profile = attrs.evolve(profile, base_url=url, allow_plain_http=True)
        with _running(server, listener):
            yield SimulatedServer(service=service, host=host, port=port, url=url, profile=profile)


def run(
    service: SimulatedService,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    latency: float = 0.0,
    time_scale: float = 1.0,
    allow_remote: bool = False,
    on_ready: Callable[[SimulatedServer], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Serve a simulated service until Ctrl-C, which ends it in good order.

    Args:
        service: What to serve.
        host: Where to listen.
        port: 0 for any free one.
        latency: Seconds that each request takes.
        time_scale: How many simulated seconds pass in one second.
        allow_remote: Permit a host that is not loopback.
        on_ready: Called once with the server when it accepts connections.
        stop: Ends it as well, when it is set.

    Raises:
        ConfigurationError: As for `serve`.

    Example:
        >>> import threading
        >>> stop = threading.Event()
        >>> def ready(server: SimulatedServer) -> None:
        ...     print(server.url)
        ...     stop.set()  # or Ctrl-C, some day
        >>> run(SimulatedService(), on_ready=ready, stop=stop)
        http://127.0.0.1:...
    """
    stopped = threading.Event() if stop is None else stop
    with (
        suppress(KeyboardInterrupt),
        serve(
            service,
            host=host,
            port=port,
            latency=latency,
            time_scale=time_scale,
            allow_remote=allow_remote,
        ) as server,
    ):
        if on_ready is not None:
            on_ready(server)
        # Not one long wait: on Windows a lock cannot be interrupted.
        while not stopped.wait(_WAIT_SECONDS):
            pass

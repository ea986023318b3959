"""The simulated service for the benchmark: a process of its own, run as a script.

It tells on its standard output where it listens. When a line comes on its standard input, it
answers with its figures and ends; asking over HTTP would count as one more connection. With a
``plan`` among its settings, everything goes wrong that `trouble` knows of.
"""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import attrs
import certifi
import trustme
import uvicorn
import uvloop
from trouble import BAN_AFTER, HANG_SECONDS, RATES, Plan, WatchedService, trouble
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ezcaptcha_async.testing import SimulatedService, Uniform

HOST = "127.0.0.1"
BACKLOG = 4096
REQUEST_IDS = False
"""Two of the peers read no answer with a field that the services they are made for have not."""

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class Connections:
    """Counts the connections that clients make."""

    def __init__(self) -> None:
        self.total = 0
        self.open = 0
        self.peak = 0

    def protocol(self) -> type[asyncio.Protocol]:
        """Return uvicorn's HTTP protocol, counted."""
        counts = self

        class Counted(HttpToolsProtocol):
            def connection_made(self, transport: Any) -> None:
                counts.total += 1
                counts.open += 1
                counts.peak = max(counts.peak, counts.open)
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                counts.open -= 1
                super().connection_lost(exc)

        return Counted


class Front:
    """The service, and beside it the old API that 2captcha-python speaks.

    ``POST /in.php`` is createTask and ``GET /res.php`` is getTaskResult, both answered with
    plain text. Everything else goes through as it is.
    """

    def __init__(self, service: Application) -> None:
        self._service = service

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["path"] == "/in.php":
            form = await _form(receive)
            task = {
                "type": "ReCaptchaV2TaskProxyless",
                "websiteURL": form["pageurl"],
                "websiteKey": form["googlekey"],
            }
            request = {"clientKey": form["key"], "task": task}
            answer = await self._ask(scope, "/createTask", request)
            await _say(send, f"OK|{answer['taskId']}" if answer["errorId"] == 0 else _code(answer))
        elif scope["path"] == "/res.php":
            form = _fields(scope["query_string"])
            request = {"clientKey": form["key"], "taskId": form["id"]}
            answer = await self._ask(scope, "/getTaskResult", request)
            await _say(send, _old_state(answer))
        else:
            await self._service(scope, receive, send)

    async def _ask(self, scope: Message, path: str, request: Message) -> Message:
        """Send a request of the new API to the service."""
        sent: list[bytes] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": json.dumps(request).encode()}

        async def send(message: Message) -> None:
            sent.append(message.get("body", b""))

        headers = [(b"content-type", b"application/json")]
        as_json = {**scope, "method": "POST", "path": path, "headers": headers}
        await self._service(as_json, receive, send)
        return dict(json.loads(b"".join(sent)))


def _code(answer: Message) -> str:
    return str(answer["errorCode"])


def _old_state(answer: Message) -> str:
    if answer["errorId"]:
        return _code(answer)
    if answer["status"] == "ready":
        return f"OK|{answer['solution']['gRecaptchaResponse']}"
    return "CAPCHA_NOT_READY"


def _fields(text: bytes) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text.decode()).items()}


async def _form(receive: Receive) -> dict[str, str]:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return _fields(body)


async def _say(send: Send, text: str) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def certificate(folder: Path) -> dict[str, str]:
    """Make a certificate for this address, and say where its authority is, among the usual ones.

    A client that was given our authority alone would load its certificates faster than any
    client in the field does.
    """
    authority = trustme.CA()
    own, key, authorities = folder / "own.pem", folder / "key.pem", folder / "authorities.pem"
    issued = authority.issue_cert(HOST)
    issued.cert_chain_pems[0].write_to_path(own)
    issued.private_key_pem.write_to_path(key)
    usual = Path(certifi.where()).read_bytes()
    authorities.write_bytes(usual + authority.cert_pem.bytes())
    return {"certificate": str(own), "key": str(key), "authorities": str(authorities)}


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _service(settings: Message) -> SimulatedService:
    seed, solve_times = settings["seed"], Uniform(settings["low"], settings["high"])
    if "plan" not in settings:
        return SimulatedService(seed=seed, solve_times=solve_times, request_ids=REQUEST_IDS)
    return WatchedService(
        seed=seed,
        solve_times=solve_times,
        request_ids=REQUEST_IDS,
        fault_rates=RATES,
        hang_seconds=HANG_SECONDS,
        ban_after=BAN_AFTER,
    )


@asynccontextmanager
async def _troubled(service: SimulatedService, settings: Message) -> AsyncGenerator[None]:
    """Let the plan run from the first request on, as long as the block lasts."""
    if not isinstance(service, WatchedService):
        yield
        return

    async def strike() -> None:
        await service.begun.wait()
        await trouble(service, Plan(**settings["plan"]), settings["client_key"])

    striking = asyncio.create_task(strike())
    try:
        yield
    finally:
        striking.cancel()
        with suppress(asyncio.CancelledError):
            await striking  # raises when it failed: then not everything went wrong as it should


async def main() -> None:
    """Serve until a line comes in."""
    settings = json.loads(sys.argv[1])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    service = _service(settings)
    connections = Connections()
    tls = certificate(Path(settings["folder"])) if settings["tls"] else {}
    config = uvicorn.Config(
        Front(service.asgi(latency=settings["latency"])),
        http=connections.protocol(),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=1,
        ssl_certfile=tls.get("certificate"),
        ssl_keyfile=tls.get("key"),
    )
    server = uvicorn.Server(config)
    with socket.create_server((HOST, 0), backlog=BACKLOG) as listener:
        # Connections inherit it: without it, some answers wait 40 ms for an acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:
            await asyncio.sleep(0.01)
        port = listener.getsockname()[1]
        url = f"{'https' if tls else 'http'}://{HOST}:{port}"
        print(json.dumps({"url": url, "authorities": tls.get("authorities")}), flush=True)
        cpu = _cpu_seconds()
        async with _troubled(service, settings):
            await asyncio.to_thread(sys.stdin.readline)
        figures = {
            "record": attrs.asdict(service.summary()),
            "connections": connections.total,
            "peak_connections": connections.peak,
            "cpu": _cpu_seconds() - cpu,
        }
        if isinstance(service, WatchedService):
            figures["seen"] = service.seen()
        print(json.dumps(figures), flush=True)
        server.should_exit = True
        await serving


if __name__ == "__main__":
    uvloop.run(main())  # half the CPU of asyncio's own loop: clients are measured, not this

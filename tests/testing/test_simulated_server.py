"""The simulated service on a real loopback port."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import signal
import socket
import sys
import threading
import time
from typing import Any

import httpx
import pytest
import uvicorn

from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.testing import Fault, SimulatedServer, SimulatedService, run, serve
from tests.testing.simulated_calls import CREATE, CREATE_V2, JSON


def test_faults_strike_on_a_real_port() -> None:
    """A client's handling of resets could be tested in virtual time alone."""
    service = SimulatedService()
    with (
        serve(service) as server,
        httpx.Client(base_url=server.url, headers=JSON, timeout=30.0) as client,
    ):
        for fault, error, charges in (
            (Fault.REFUSED, httpx.TransportError, 0),
            (Fault.RESET_BEFORE, httpx.TransportError, 0),
            (Fault.RESET_AFTER, httpx.TransportError, 1),
            (Fault.HANG, httpx.ReadTimeout, 2),
        ):
            service.inject(fault)
            patience = httpx.Timeout(30.0, read=0.3 if fault is Fault.HANG else 30.0)
            with pytest.raises(error):
                client.post(CREATE, content=CREATE_V2, timeout=patience)
            while service.summary().charges < charges:
                time.sleep(0.01)
            assert service.summary().charges == charges
        assert client.post(CREATE, content=CREATE_V2).status_code == 200


def test_it_stops_although_requests_hang(caplog: pytest.LogCaptureFixture) -> None:
    """A test run would never end, or end with lines of a server that nobody asked for."""
    service = SimulatedService()
    service.inject(Fault.HANG)
    caplog.set_level(logging.INFO)
    lines = [f"POST {CREATE} HTTP/1.1", "host: localhost", "content-type: application/json"]
    head = "\r\n".join([*lines, f"content-length: {len(CREATE_V2)}", "", ""])
    with socket.socket() as connection:
        with serve(service) as server:
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(head.encode() + CREATE_V2)
            while not service.summary().charges:
                time.sleep(0.01)
            logging.getLogger("uvicorn.error").info("from another server")
            before = time.monotonic()
        assert time.monotonic() - before < 30, "for as long as it hangs"
    assert "ezcaptcha-simulated-server" not in {thread.name for thread in threading.enumerate()}
    assert caplog.messages == ["from another server"]


def test_keys_and_faults_can_be_changed_while_it_serves() -> None:
    """A test could not take a service through bad times while a pool is at work."""
    service = SimulatedService(seed=1)
    errors: list[BaseException] = []

    def ask(url: str) -> None:
        try:
            with httpx.Client(base_url=url, headers=JSON) as client:
                for _ in range(10):
                    client.post(CREATE, content=CREATE_V2)
        except BaseException as error:  # noqa: BLE001 - shown below
            errors.append(error)

    service.inject(Fault.HTML)
    with serve(service, latency=0.001) as server:
        threads = [threading.Thread(target=ask, args=[server.url]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            service.inject(Fault.HTML)
            service.set_balance("other", 1)
            assert service.summary().charges == len(service.record)
            time.sleep(0.002)
        for thread in threads:
            thread.join()
    assert not errors
    summary = service.summary()
    assert summary.requests == 40
    assert summary.charges + summary.faults["html"] == 40
    assert 1 <= summary.faults["html"] <= 21


def test_what_keeps_it_from_starting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user would get a traceback of another library, or not know what to install."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        named = f"port {port}.*choose another"
        with pytest.raises(ConfigurationError, match=named), serve(SimulatedService(), port=port):
            raise AssertionError
    with pytest.raises(ConfigurationError, match="99999"), serve(SimulatedService(), port=99999):
        raise AssertionError
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with (
        pytest.raises(ConfigurationError, match="pip install uvicorn httptools"),
        serve(SimulatedService()),
    ):
        raise AssertionError


@pytest.mark.parametrize("host", ["0.0.0.0", "example.com", "::", "192.0.2.1"])  # noqa: S104
def test_hosts_that_others_can_reach_need_a_word(host: str) -> None:
    """A simulator without any protection would be open to a network by mistake."""
    with (
        pytest.raises(ConfigurationError, match="allow_remote"),
        serve(SimulatedService(), host=host),
    ):
        raise AssertionError


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "0.0.0.0", "::1"])  # noqa: S104
def test_other_hosts(host: str) -> None:
    """A user could not choose where it listens."""
    try:
        with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else -1):
            pass
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with serve(SimulatedService(), host=host, allow_remote=True) as server:
        assert httpx.get(server.profile.base_url + "/record").status_code == 200
        assert server.host == host


def test_a_server_that_does_not_start_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test would wait for a server that is not there."""

    async def ends_at_once(_server: uvicorn.Server, sockets: Any = None) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(uvicorn.Server, "serve", ends_at_once)
    with pytest.raises(RuntimeError, match="did not start"), serve(SimulatedService()):
        raise AssertionError


def test_the_blocking_form_ends_on_request() -> None:
    """A program that embeds the simulator could not end it."""
    stop = threading.Event()
    seen: list[SimulatedServer] = []

    def on_ready(server: SimulatedServer) -> None:
        seen.append(server)
        assert httpx.get(server.url + "/record").status_code == 200
        threading.Timer(0.25, stop.set).start()

    run(SimulatedService(), on_ready=on_ready, stop=stop)
    assert len(seen) == 1
    stop.set()
    run(SimulatedService(), stop=stop)


@pytest.mark.skipif(sys.platform == "win32", reason="raise_signal ends the process there")
def test_ctrl_c_ends_the_blocking_form_in_good_order() -> None:
    """Ctrl-C would end in a traceback and leave the port open."""
    seen: list[SimulatedServer] = []

    def on_ready(server: SimulatedServer) -> None:
        seen.append(server)
        signal.raise_signal(signal.SIGINT)

    run(SimulatedService(), on_ready=on_ready)
    with pytest.raises(httpx.ConnectError):
        httpx.get(seen[0].url)


HOSTS = {
    **dict.fromkeys(["127.0.0.1:80", "localhost", "LOCALHOST:8000"], 200),
    **dict.fromkeys(["[::1]:8000", "127.8.8.8"], 200),
    **dict.fromkeys(["evil.example", "evil.example:8000", "localhost.evil.example"], 421),
    **dict.fromkeys(["127.0.0.1.evil.example", "10.0.0.1", "["], 421),
}


def test_a_page_in_a_browser_gets_no_answer() -> None:
    """A name that leads to this machine would let any page read what is simulated here."""
    for settings, expected in (({}, HOSTS), ({"allow_remote": True}, dict.fromkeys(HOSTS, 200))):
        with serve(SimulatedService(), **settings) as server:  # type: ignore[arg-type]
            with httpx.Client(base_url=server.url) as client:
                found = {
                    host: client.get("/record", headers={"host": host}).status_code
                    for host in HOSTS
                }
        assert found == expected

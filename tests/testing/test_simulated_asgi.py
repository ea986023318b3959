"""The simulated service as an ASGI application, called without a server."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import anyio
import httpx
import pytest

from ezcaptcha_async.testing import Fault, SimulatedService
from tests.testing.simulated_calls import CREATE, CREATE_V2, JSON, RESULT, body_of

Message = MutableMapping[str, Any]


def client_of(service: SimulatedService, **settings: Any) -> httpx.AsyncClient:
    """Return a client that calls the application."""
    transport = httpx.ASGITransport(service.asgi(**settings))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=JSON)


async def call(
    service: SimulatedService, scope: Message, received: list[Message], **settings: Any
) -> list[Message]:
    """Call the application with messages and return what it sent."""
    sent: list[Message] = []

    async def receive() -> Message:
        return received.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await service.asgi(**settings)(scope, receive, send)
    return sent


HEADERS = [(b"content-type", b"application/json")]
POST = {"type": "http", "method": "POST", "path": CREATE, "headers": HEADERS}


async def test_a_task_is_created_and_fetched_at_any_scale() -> None:
    """A server in another process would not answer as the service does."""
    service = SimulatedService(solve_times=20.0)
    now = 0.0
    async with client_of(service, clock=lambda: now, time_scale=10.0) as client:
        task_id = (await client.post(CREATE, content=CREATE_V2)).json()["taskId"]
        poll = body_of(taskId=task_id)
        now = 1.9
        assert (await client.post(RESULT, content=poll)).json()["status"] == "processing"
        now = 2.0
        assert (await client.post(RESULT, content=poll)).json()["status"] == "ready"
        now = 40.0
        summary = (await client.get("/record")).json()
        assert (summary["charges"], summary["fetched"], summary["points"]) == (1, 1, 6)
        assert (await client.get(CREATE)).status_code == 405
        assert (await client.post("/record")).status_code == 404
        text = {"content-type": "text/plain"}
        assert (await client.post(CREATE, content=CREATE_V2, headers=text)).status_code == 415


async def test_latency_is_spent() -> None:
    """A benchmark on a real port would measure a service without latency."""
    service = SimulatedService()
    async with client_of(service, latency=0.04, clock=anyio.current_time) as client:
        before = anyio.current_time()
        await client.post(CREATE, content=CREATE_V2)
        taken = anyio.current_time() - before
    assert taken >= 0.039
    assert 0.019 <= service.record.tasks[0].created_at - before <= taken - 0.019


async def test_a_body_that_is_too_large_is_refused() -> None:
    """A client with a bug could fill the simulator's memory."""
    service = SimulatedService()
    part: Message = {"type": "http.request", "body": b" " * 1024 * 1024, "more_body": True}
    for last, more, status in ((b"", False, 400), (b" ", False, 413), (b" ", True, 413)):
        rest: Message = {"type": "http.request", "body": last, "more_body": more}
        sent = await call(service, dict(POST), [part, rest])
        assert sent[0]["status"] == status
    assert service.summary().requests == 1


async def test_a_request_that_breaks_off_is_not_handled() -> None:
    """Half a request would count as a wrong one and bring a ban nearer."""
    service = SimulatedService()
    received: list[Message] = [
        {"type": "http.request", "body": CREATE_V2[:9], "more_body": True},
        {"type": "http.disconnect"},
    ]
    assert await call(service, dict(POST), received) == []
    assert service.summary().requests == 0


@pytest.mark.parametrize("fault", [Fault.REFUSED, Fault.RESET_BEFORE, Fault.RESET_AFTER])
async def test_a_reset_breaks_off_the_answer_where_the_server_allows_no_more(fault: Fault) -> None:
    """Under another server than uvicorn a lost answer would arrive after all."""
    service = SimulatedService()
    service.inject(fault)
    async with client_of(service) as client:
        with pytest.raises(ConnectionResetError):
            await client.post(CREATE, content=CREATE_V2)
    assert service.summary().charges == (fault is Fault.RESET_AFTER)


async def test_a_late_answer_comes_late_or_not_at_all() -> None:
    """A client's total deadline could not be tested on a real port."""
    service = SimulatedService()
    service.inject(Fault.HANG, seconds=0.03)
    async with client_of(service) as client:
        before = anyio.current_time()
        assert (await client.post(CREATE, content=CREATE_V2)).status_code == 200
        assert anyio.current_time() - before >= 0.029
    service.inject(Fault.HANG)
    received: list[Message] = [
        {"type": "http.request", "body": CREATE_V2},
        {"type": "http.request"},
        {"type": "http.disconnect"},
    ]
    assert await call(service, dict(POST), received) == []
    assert service.summary().charges == 2


async def test_lifespan_and_unknown_protocols() -> None:
    """A server that starts applications by the book would report an error."""
    service = SimulatedService()
    events: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent = await call(service, {"type": "lifespan"}, events)
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    with pytest.raises(RuntimeError, match="websocket"):
        await call(service, {"type": "websocket"}, [])

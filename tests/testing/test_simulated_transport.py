"""The simulated service inside the process, behind clients of httpx and of httpx2."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from types import ModuleType
from typing import Any

import anyio
import httpx
import httpx2
import pytest

from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.testing import Fault, SimulatedService, serve
from tests.testing.simulated_calls import BALANCE, CREATE, CREATE_V2, JSON, RESULT, body_of

URL = "http://localhost"


@pytest.fixture(params=[httpx, httpx2], ids=["httpx", "httpx2"])
def package(request: pytest.FixtureRequest) -> ModuleType:
    """The package of the client."""
    found: ModuleType = request.param
    return found


class Events:
    """What a client is told of its request."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.errors: list[Exception] = []

    async def take(self, name: str, info: dict[str, Any]) -> None:
        """Take note of one event, for an asynchronous client."""
        self.see(name, info)

    def see(self, name: str, info: dict[str, Any]) -> None:
        """Take note of one event."""
        self.names.append(name)
        if name.endswith(".failed"):
            self.errors.append(info["exception"])


async def test_a_task_is_created_and_fetched(package: ModuleType) -> None:
    """A user's client would not work with the simulator as it does with the service."""
    service = SimulatedService(solve_times=0.0)
    transport = service.transport(package=package)
    async with package.AsyncClient(transport=transport, base_url=URL, headers=JSON) as client:
        created = await client.post(CREATE, content=CREATE_V2)
        assert created.status_code == 200
        assert created.headers["content-type"].startswith("application/json")
        task_id = created.json()["taskId"]
        answer = await client.post(RESULT, content=body_of(taskId=task_id))
        assert answer.json()["status"] == "ready"
        assert (await client.get(BALANCE)).status_code == 405
        assert (await client.post("/nowhere")).status_code == 404
        text = {"content-type": "text/plain"}
        assert (await client.post(CREATE, content=CREATE_V2, headers=text)).status_code == 415
    assert isinstance(transport, package.AsyncBaseTransport)
    assert service.summary().fetched == 1


async def test_time_and_latency_are_those_of_the_event_loop() -> None:
    """Under virtual time no task would be ready, and a benchmark would measure other times."""
    service = SimulatedService()
    async with service.client(headers=JSON) as client:
        before = anyio.current_time()
        await client.post(URL + CREATE, content=CREATE_V2)
        assert before <= service.record.tasks[0].created_at <= anyio.current_time()
    service = SimulatedService()
    async with service.client(headers=JSON, latency=0.04) as client:
        before = anyio.current_time()
        await client.post(URL + CREATE, content=CREATE_V2)
        taken = anyio.current_time() - before
    handled_after = service.record.tasks[0].created_at - before
    assert 0.019 <= handled_after < taken
    assert taken >= 0.039
    assert taken - handled_after >= 0.019


async def test_the_clock_can_be_scaled_and_goes_on_where_the_service_was() -> None:
    """A test that uses one service in two event loops would wait for ever."""
    service = SimulatedService()
    now = 50.0
    async with service.client(headers=JSON, clock=lambda: now, time_scale=10.0) as client:
        await client.post(URL + CREATE, content=CREATE_V2)
        now = 51.0
        await client.post(URL + CREATE, content=CREATE_V2)
    now = 3.0
    async with service.client(headers=JSON, clock=lambda: now) as client:
        await client.post(URL + CREATE, content=CREATE_V2)
        now = 5.0
        await client.post(URL + CREATE, content=CREATE_V2)
    assert [task.created_at for task in service.record.tasks] == [500.0, 510.0, 510.0, 512.0]
    # At ten times the speed no ban lasts for the whole of a demonstration.
    service = SimulatedService(balance=0, ban_after=1)
    times = [50.0, 67.9, 85.8, 103.9]
    async with service.client(headers=JSON, clock=lambda: times[0], time_scale=10.0) as client:
        answers = []
        while times:
            answer = await client.post(URL + CREATE, content=CREATE_V2)
            answers.append(answer.json()["errorCode"])
            times.pop(0)
    banned = ["ERROR_REQUEST_BANNED"] * 2
    assert answers == ["ERROR_ZERO_BALANCE", *banned, "ERROR_ZERO_BALANCE"]


@pytest.mark.parametrize("fault", Fault)
async def test_each_fault_is_what_the_client_package_raises(
    fault: Fault, package: ModuleType
) -> None:
    """A transport's handling of faults would be tested against errors that never come."""
    expected = {
        Fault.REFUSED: package.ConnectError,
        Fault.RESET_BEFORE: package.ReadError,
        Fault.RESET_AFTER: package.RemoteProtocolError,
        Fault.HANG: package.ReadTimeout,
        Fault.HTML: 502,
        Fault.MALFORMED: 200,
        Fault.THROTTLED: 429,
        Fault.UNAVAILABLE: 503,
    }[fault]
    acts = fault in {Fault.RESET_AFTER, Fault.HANG, Fault.MALFORMED}
    service = SimulatedService()
    service.inject(fault)
    transport = service.transport(package=package)
    async with package.AsyncClient(
        transport=transport, base_url=URL, headers=JSON, timeout=0.02
    ) as client:
        if isinstance(expected, int):
            assert (await client.post(CREATE, content=CREATE_V2)).status_code == expected
        else:
            with pytest.raises(expected) as caught:
                await client.post(CREATE, content=CREATE_V2)
            assert caught.value.request.url.path == CREATE
        assert service.summary().charges == acts
        assert service.summary().faults == {fault.value: 1}
        assert (await client.post(CREATE, content=CREATE_V2)).status_code == 200


async def test_a_code_is_answered_and_nothing_is_charged() -> None:
    """A test's createTask would be paid for although it was refused, or would time out."""
    service = SimulatedService()
    service.inject("ERROR_SUBSCRIPTION_EXPIRED", path=CREATE, times=2)
    async with service.client(headers=JSON, latency=0.02) as client:
        refused = await client.post(URL + CREATE, content=CREATE_V2)
        assert refused.json()["errorCode"] == "ERROR_SUBSCRIPTION_EXPIRED"
        with pytest.raises(httpx.ReadTimeout):
            await client.post(URL + CREATE, content=CREATE_V2, timeout=0.001)
        assert service.summary().refused == {"ERROR_SUBSCRIPTION_EXPIRED": 2}
        assert (await client.post(URL + CREATE, content=CREATE_V2)).status_code == 200
    assert service.summary().charges == 1


SENT = [
    "connection.connect_tcp.started",
    "connection.connect_tcp.complete",
    "http11.send_request_headers.started",
    "http11.send_request_headers.complete",
    "http11.send_request_body.started",
    "http11.send_request_body.complete",
    "http11.receive_response_headers.started",
]
CLOSED = ["http11.response_closed.started", "http11.response_closed.complete"]
ANSWERED = [
    *SENT,
    "http11.receive_response_headers.complete",
    "http11.receive_response_body.started",
    "http11.receive_response_body.complete",
    *CLOSED,
]
UNANSWERED = [*SENT, "http11.receive_response_headers.failed", *CLOSED]


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (None, ANSWERED),
        (Fault.HTML, ANSWERED),
        (Fault.REFUSED, [SENT[0], "connection.connect_tcp.failed"]),
        (
            Fault.RESET_BEFORE,
            [
                *SENT[:3],
                "http11.send_request_headers.failed",
                "http11.receive_response_headers.started",
                "http11.receive_response_headers.failed",
                *CLOSED,
            ],
        ),
        (Fault.RESET_AFTER, UNANSWERED),
        (Fault.HANG, UNANSWERED),
    ],
)
async def test_events_tell_what_was_sent(fault: Fault | None, expected: list[str]) -> None:
    """A client would take a charged createTask for one that was never sent, or the reverse."""
    service = SimulatedService()
    events = Events()
    if fault is not None:
        service.inject(fault)
    raised: list[Exception] = []
    async with service.client(headers=JSON, timeout=0.02) as client:
        try:
            await client.post(URL + CREATE, content=CREATE_V2, extensions={"trace": events.take})
        except httpx.TransportError as error:
            raised.append(error)
    assert events.names == expected
    assert events.errors[-1:] == raised


async def test_events_of_a_secure_connection() -> None:
    """A client that goes by events would be confused by https."""
    events = Events()
    async with SimulatedService().client(headers=JSON) as client:
        await client.post("https://example.com" + BALANCE, extensions={"trace": events.take})
    secure = ["connection.start_tls.started", "connection.start_tls.complete"]
    assert events.names == [*ANSWERED[:2], *secure, *ANSWERED[2:]]


def test_events_are_those_of_a_real_connection() -> None:
    """The order of events here would differ from httpcore's, and no other test would know."""
    service = SimulatedService()
    named: list[list[str]] = []

    def ask() -> None:
        events = Events()
        named.append(events.names)
        with httpx.Client(base_url=server.url, headers=JSON) as client:
            client.post(CREATE, content=CREATE_V2, extensions={"trace": events.see})

    with serve(service) as server:
        ask()
        service.inject(Fault.RESET_AFTER)
        with pytest.raises(httpx.TransportError):
            ask()
    with pytest.raises(httpx.ConnectError):
        ask()
    assert named == [ANSWERED, UNANSWERED, [SENT[0], "connection.connect_tcp.failed"]]


async def test_what_comes_late_or_not_at_all() -> None:
    """A client's timeouts, or the lack of one, and what is charged then could not be tested."""
    service = SimulatedService(solve_times=0.0)
    service.inject(Fault.HANG, seconds=0.02, path=CREATE, times=2)
    async with service.client(headers=JSON) as client:
        created = await client.post(URL + CREATE, content=CREATE_V2, timeout=5.0)
        task_id = created.json()["taskId"]
        with pytest.raises(httpx.ReadTimeout):
            await client.post(URL + CREATE, content=CREATE_V2, timeout=0.001)
        service.inject(Fault.HANG, seconds=0.02, path=RESULT)
        poll = body_of(taskId=task_id)
        with pytest.raises(httpx.ReadTimeout):
            await client.post(URL + RESULT, content=poll, timeout=0.001)
    assert service.summary().charges == 2
    assert service.summary().fetched == 0
    # A createTask that timed out is charged.
    service = SimulatedService()
    async with service.client(headers=JSON, latency=0.5, timeout=0.01) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(URL + CREATE, content=CREATE_V2)
        service.inject(Fault.UNAVAILABLE)
        with pytest.raises(httpx.ReadTimeout):
            await client.post(URL + CREATE, content=CREATE_V2)
    assert service.summary().charges == 1
    # Without any deadline it hangs for ever.
    service = SimulatedService()
    service.inject(Fault.HANG, seconds=inf)
    async with service.client(headers=JSON, timeout=None) as client:
        with anyio.move_on_after(0.02) as scope:
            await client.post(URL + CREATE, content=CREATE_V2)
    assert scope.cancelled_caught
    assert service.summary().charges == 1
    # A cancelled createTask is charged.
    service = SimulatedService()
    async with service.client(headers=JSON, latency=10.0) as client:
        with anyio.move_on_after(0.01):
            await client.post(URL + CREATE, content=CREATE_V2, timeout=30.0)
    assert service.summary().charges == 1


@pytest.mark.parametrize("settings", [{"latency": -1}, {"time_scale": 0}, {"time_scale": inf}])
def test_a_setting_out_of_range_is_refused(settings: dict[str, float]) -> None:
    """A test would run at a speed that means nothing."""
    service = SimulatedService()
    ways: list[Callable[..., object]] = [service.transport, service.client, service.asgi]
    for make in ways:
        with pytest.raises(ConfigurationError):
            make(**settings)

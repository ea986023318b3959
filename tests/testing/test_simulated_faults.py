"""Scripted faults: which requests they strike, and what the service makes of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs
import pytest

from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.testing import Fault, SimulatedReply, SimulatedService
from tests.testing.simulated_calls import (
    BALANCE,
    CREATE,
    CREATE_V2,
    RESULT,
    V2,
    body_of,
    code,
    create,
    post,
)


def strikes(service: SimulatedService, path: str = CREATE, body: bytes = b"") -> Any:
    """Return the fault that the next request meets."""
    drawn = service.draw_fault(path, body)
    return None if drawn is None else drawn.fault


def test_planned_faults_strike_in_order_and_so_often() -> None:
    """A test that plans faults would meet others."""
    service = SimulatedService()
    service.inject(Fault.HTML, times=2)
    service.inject(Fault.REFUSED)
    assert [strikes(service) for _ in range(4)] == [Fault.HTML, Fault.HTML, Fault.REFUSED, None]
    assert service.summary().faults == {"html": 2, "refused": 1}
    service = SimulatedService()
    service.inject(Fault.RESET_AFTER, path=RESULT, times=None)
    service.inject(Fault.HANG, when=lambda path, body: path == CREATE and b"special" in body)
    assert strikes(service) is None
    assert strikes(service, RESULT) is Fault.RESET_AFTER
    assert strikes(service, CREATE, b"special") is Fault.HANG
    assert strikes(service, CREATE, b"special") is None
    assert {strikes(service, RESULT) for _ in range(100)} == {Fault.RESET_AFTER}
    service.clear_faults()
    assert strikes(service, RESULT) is None


def test_an_answer_can_be_rewritten_or_be_a_code() -> None:
    """An odd answer, or a code for one key only, could not be given."""

    def teapot(reply: SimulatedReply) -> SimulatedReply:
        return attrs.evolve(reply, status=418)

    service = SimulatedService()
    service.inject(teapot, path=CREATE)
    fault = strikes(service)
    assert strikes(service) is None
    reply = service.handle(CREATE, CREATE_V2, 0.0, fault=fault)
    assert (reply.status, code(reply.json())) == (418, None)
    summary = service.summary()
    assert (summary.charges, summary.faults) == (1, {"rewritten": 1})
    service = SimulatedService()
    service.inject(
        "ERROR_SUBSCRIPTION_EXPIRED",
        path=CREATE,
        times=2,
        when=lambda _path, body: b'"second-key"' in body,
    )
    second = body_of(clientKey="second-key", task=V2)
    assert strikes(service, CREATE, CREATE_V2) is None
    assert strikes(service, BALANCE, second) is None
    assert [strikes(service, CREATE, second) for _ in range(3)] == [
        "ERROR_SUBSCRIPTION_EXPIRED",
        "ERROR_SUBSCRIPTION_EXPIRED",
        None,
    ]
    assert service.summary().faults == {"ERROR_SUBSCRIPTION_EXPIRED": 2}
    service.inject("ERROR_KEY_NOT_AVAILABLE", times=None)
    service.clear_faults()
    assert strikes(service, CREATE, second) is None


def test_a_fault_can_strike_a_share_of_the_requests() -> None:
    """A partial outage, the more frequent kind, would take a condition with a die of its own."""
    service = SimulatedService(seed=1)
    service.inject(Fault.HTML, path=RESULT, times=None, share=0.6)
    struck = [strikes(service, RESULT) is Fault.HTML for _ in range(1_000)]
    assert 550 < sum(struck) < 650
    assert strikes(service, CREATE) is None
    service.clear_faults()
    service.inject(Fault.HANG, times=3, share=0.5)
    assert [strikes(service) for _ in range(40)].count(Fault.HANG) == 3, "so often, by chance"
    for share in (0.0, 1.1, -0.5):
        with pytest.raises(ConfigurationError, match="share must be a number, more than 0"):
            service.inject(Fault.HANG, share=share)


def test_rates_are_seeded_and_leave_solve_times_alone() -> None:
    """A failure that a test found at random could not be found again."""
    rates = {Fault.HTML: 0.2, Fault.HANG: 0.1}

    def play(rates: dict[Fault, float]) -> tuple[list[Fault | str | None], list[float]]:
        service = SimulatedService(fault_rates=rates, seed=3, hang_seconds=5)
        faults = []
        for _ in range(2000):
            create(service)
            faults.append(strikes(service))
        return faults, [task.ready_at for task in service.record.tasks]

    faults, solve_times = play(rates)
    assert play(rates) == (faults, solve_times)
    assert play({})[1] == solve_times
    counts = Counter(faults)
    assert counts[Fault.HTML] == pytest.approx(400, rel=0.2)
    assert counts[Fault.HANG] == pytest.approx(200, rel=0.2)

    service = SimulatedService(hang_seconds=5)
    service.set_fault_rates({Fault.HANG: 1.0})
    drawn = service.draw_fault(CREATE, b"")
    assert drawn is not None
    assert drawn.seconds == 5
    service.clear_faults()
    assert strikes(service) is None


@pytest.mark.parametrize(
    ("fault", "status", "acts"),
    [
        (Fault.HTML, 502, False),
        (Fault.THROTTLED, 429, False),
        (Fault.UNAVAILABLE, 503, False),
        (Fault.MALFORMED, 200, True),
        (Fault.RESET_AFTER, 200, True),
        (Fault.HANG, 200, True),
    ],
)
def test_the_service_acts_or_does_not(fault: Fault, *, status: int, acts: bool) -> None:
    """A client's rule on what may have been charged would be tested against fiction."""
    service = SimulatedService(retry_after=4)
    reply = service.handle(CREATE, CREATE_V2, 0.0, fault=fault)
    assert reply.status == status
    assert service.summary().charges == acts
    assert service.summary().creates == 1


def test_faulty_answers_look_as_they_do_in_the_field() -> None:
    """A decoder would be tested against faults that do not occur."""
    service = SimulatedService(retry_after=4)
    page = post(service, BALANCE, 0.0, fault=Fault.HTML)
    assert page.body.startswith(b"<html>")
    assert dict(page.headers)["content-type"] == "text/html"
    throttled = post(service, BALANCE, 0.0, fault=Fault.THROTTLED)
    assert code(throttled.json()) == "ERROR_REQUEST_LIMIT"
    assert dict(throttled.headers)["retry-after"] == "4"
    unavailable = post(service, BALANCE, 0.0, fault=Fault.UNAVAILABLE)
    assert code(unavailable.json()) == "ERROR_SERVICE_UNAVALIABLE"
    broken = post(service, BALANCE, 0.0, fault=Fault.MALFORMED)
    with pytest.raises(ValueError, match=r"char \d+"):
        broken.json()


STATUSES = {
    **dict.fromkeys(["ERROR_REQUEST_PARAMETERS", "ERROR_REQUEST_PROXY_MISSING"], 400),
    **dict.fromkeys(["ERROR_REQUIRED_FIELDS", "ERROR_RECAPTCHA_INVALID_SITEKEY"], 400),
    "INVALID_RECAPTCHA_SITEURL": 400,
    "ERROR_NOT_FOUND": 404,
    "ERROR_REQUEST_METHOD": 405,
    "ERROR_CONTENT_TYPE_ERROR": 415,
    **dict.fromkeys(["ERROR_REQUEST_LIMIT", "ERROR_REQUEST_BANNED"], 429),
    **dict.fromkeys(["ERROR_SERVICE_UNAVALIABLE", "ERROR_SERVICE_UNAVAILABLE"], 503),
    **dict.fromkeys(
        [
            *("ERROR_KEY_NOT_AVAILABLE", "ERROR_KEY_DOES_NOT_EXIST", "ERROR_KEY_BANNED"),
            *("ERROR_ZERO_BALANCE", "ERROR_SUBSCRIPTION_EXPIRED", "ERROR_PACKAGE_NOT_EXIST"),
            *("ERROR_PACKAGE_TASK_TYPE_NOT_SUPPORTED", "ERROR_TASK_TYPE_NOT_SUPPORTED"),
            *("ERROR_TASK_TYPE_NOT_AVAILABLE", "ERROR_TASK_TYPE_NOT_ALLOWED"),
            *("ERROR_TASK_NOT_SUPPORTED", "ERROR_WEBSITE_NOT_ALLOWED", "ERROR_IP_BANNED"),
            *("ERROR_TASK_NOT_EXIST", "ERROR_TASKID_INVALID", "ERROR_CAPTCHA_UNSOLVABLE"),
            *("ERROR_TASK_TIMEOUT", "ERROR_NO_SLOT_AVAILABLE", "ERROR_SERVICE_TIMEOUT"),
            *("ERROR_INTERNAL_SERVER_ERROR", "ERROR_THAT_NOBODY_KNOWS"),
        ],
        500,
    ),
}
"""Error code → HTTP status: all that the service is known to have, and one that it has not."""


@pytest.mark.parametrize("path", [CREATE, RESULT, BALANCE])
def test_every_code_can_be_had_by_name(path: str) -> None:
    """A client's handling of an error that the service rarely answers could not be tested."""
    for name, status in STATUSES.items():
        service = SimulatedService()
        reply = post(service, path, 0.0, fault=name, task=V2, taskId="x")
        assert (reply.status, code(reply.json())) == (status, name)
        assert reply.json()["errorDescription"]
        assert service.summary().refused == {name: 1}
        assert service.summary().charges == 0


def test_a_fault_before_the_service_cannot_be_handled_by_it() -> None:
    """A typing mistake in a plan would leave the test without its fault."""
    for fault in (Fault.REFUSED, Fault.RESET_BEFORE):
        with pytest.raises(ConfigurationError, match="never sees"):
            post(SimulatedService(), BALANCE, 0.0, fault=fault)
    service = SimulatedService()
    with pytest.raises(ConfigurationError, match="/createTask"):
        service.inject(Fault.HTML, path="/create")
    for times in (0, 1.5):  # the latter would never come to its end
        with pytest.raises(ConfigurationError, match="times"):
            service.inject(Fault.HTML, times=times)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="seconds"):
        service.inject(Fault.HANG, seconds=-1)
    for name in ("html", "", 7):  # a member's value is no error code
        with pytest.raises(ConfigurationError, match="member of Fault"):
            service.inject(name)  # type: ignore[arg-type]

"""The state machine of the simulated service: keys, points, windows, limits, bans, record."""

from __future__ import annotations

import json
from math import inf
from random import Random
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.testing import (
    Fault,
    Fixed,
    LogNormal,
    Mixture,
    RecordSummary,
    SimulatedReply,
    SimulatedService,
    Uniform,
)
from tests.testing.simulated_calls import (
    BALANCE,
    CREATE,
    CREATE_V2,
    KEY,
    RESULT,
    V2,
    body_of,
    code,
    create,
    poll,
    post,
)


def test_a_task_is_processing_then_ready_then_gone() -> None:
    """Whoever tests against the simulator would meet a life cycle that the service has not."""
    service = SimulatedService(solve_times=20.0)
    created = create(service, 100.0)
    assert created == {
        "errorId": 0,
        "errorCode": None,
        "errorDescription": None,
        "taskId": created["taskId"],
        "requestId": created["requestId"],
    }
    task_id = created["taskId"]
    assert poll(service, task_id, 119.9)["status"] == "processing"
    assert poll(service, task_id, 120.0)["status"] == "ready"
    assert poll(service, task_id, 400.0)["status"] == "ready"
    assert code(poll(service, task_id, 400.1)) == "ERROR_TASK_NOT_EXIST"
    record = service.record.task(task_id)
    assert record is not None
    assert attrs.asdict(record) == {
        "task_id": task_id,
        "type": "ReCaptchaV2TaskProxyless",
        "created_at": 100.0,
        "ready_at": 120.0,
        "available_until": 400.0,
        "fetched_at": 120.0,
        "polls": 3,
        "points": 6,
        "error": None,
    }
    assert service.record.task("unknown") is None
    assert len(service.record) == 1
    assert service.now == 400.1
    # Two threads may read the clock in another order than they ask.
    service = SimulatedService(solve_times=5.0)
    create(service, 100.0)
    create(service, 50.0)
    assert [task.created_at for task in service.record.tasks] == [100.0, 100.0]


@pytest.mark.parametrize("integer", [False, True])
def test_task_ids_come_as_text_or_as_numbers(*, integer: bool) -> None:
    """A client that takes only one of the two forms would pass its tests."""
    service = SimulatedService(integer_ids=integer, solve_times=1.0)
    first, second = (create(service)["taskId"] for _ in range(2))
    assert isinstance(first, int if integer else str)
    assert first != second
    assert poll(service, first, 1.0)["status"] == "ready"
    assert poll(service, str(second), 1.0)["status"] == "ready"


@pytest.mark.parametrize("task_id", ["", None, "unknown", 7, True, [1], {"x": 1}])
def test_strange_task_ids_are_refused(task_id: Any) -> None:
    """A client with a bug in its ids would bring the simulator down instead of a refusal."""
    service = SimulatedService()
    expected = "ERROR_TASK_NOT_EXIST" if task_id else "ERROR_REQUEST_PARAMETERS"
    assert code(poll(service, task_id, 0.0)) == expected
    missing = post(service, RESULT, 0.0).json()
    assert code(missing) == "ERROR_REQUEST_PARAMETERS"
    assert missing["errors"] == {"taskId": "is required"}


def test_keys_are_told_apart_and_shown_nowhere() -> None:
    """A pool that asks with the wrong account, or with any key, would pass its tests."""
    service = SimulatedService(solve_times=1.0)
    task_id = create(service)["taskId"]
    assert code(poll(service, task_id, 1.0, clientKey="other")) == "ERROR_TASK_NOT_EXIST"
    assert code(poll(service, task_id, 1.0)) is None
    assert service.summary().keys == 2
    # Only known keys are good.
    service = SimulatedService(client_keys=["good", "\ud800"])
    assert code(create(service, clientKey="good")) is None
    assert code(create(service, clientKey="\ud800")) is None
    for key in ("bad", "", None, 7):
        assert code(create(service, clientKey=key)) == "ERROR_KEY_DOES_NOT_EXIST"
    service.ban_key("good")
    assert code(create(service, clientKey="good")) == "ERROR_KEY_BANNED"
    service = SimulatedService()
    create(service)
    state = repr(vars(service)) + repr(vars(service.record)) + repr(service.record.tasks)
    assert KEY not in state
    assert KEY not in repr(service.summary())


def test_points_are_charged_until_they_are_gone() -> None:
    """A budget would be tested against an account that never empties."""
    service = SimulatedService(balance=13, solve_times=1.0)
    first = create(service)["taskId"]
    create(service)
    assert code(create(service)) == "ERROR_ZERO_BALANCE"
    assert post(service, BALANCE, 0.0).json()["balance"] == 1
    assert code(poll(service, first, 1.0)) is None
    service.set_balance(KEY, 6)
    assert code(create(service)) is None
    assert service.balance_of(KEY) == 0
    summary = service.summary()
    assert (summary.creates, summary.charges, summary.points) == (4, 3, 18)
    assert summary.balance_queries == 1


def test_some_tasks_fail() -> None:
    """A client's handling of failed tasks could not be tested."""
    service = SimulatedService(failure_rate=1.0, solve_times=1.0)
    task_id = create(service)["taskId"]
    assert poll(service, task_id, 0.5)["status"] == "processing"
    reply = post(service, RESULT, 1.0, taskId=task_id)
    assert reply.status == 200
    assert reply.json() == {
        "errorId": 1,
        "errorCode": "ERROR_CAPTCHA_UNSOLVABLE",
        "errorDescription": "the task could not be solved",
        "status": "error",
        "requestId": reply.json()["requestId"],
    }
    service.failure_rate = 0.0
    other = create(service, 1.0)["taskId"]
    assert code(poll(service, other, 2.0)) is None
    summary = service.summary()
    assert (summary.fetched, summary.failed, summary.refused) == (2, 1, {})


def test_how_a_failed_task_is_told() -> None:
    """A client that goes by errorId alone, or by the status alone, would pass its tests."""
    service = SimulatedService(solve_times=inf, failed_error_id=0)
    task_id = create(service)["taskId"]
    service.finish(task_id, error="ERROR_A_WORKER_MADE_UP")
    answer = poll(service, task_id, 1.0)
    assert (answer["errorId"], answer["status"]) == (0, "error")
    assert answer["errorCode"] == "ERROR_A_WORKER_MADE_UP"
    assert answer["errorDescription"] == "a worker made up"
    service = SimulatedService(dialect="1captcha", failure_rate=1.0, solve_times=1.0)
    task_id = create(service, task={**V2, "type": "RecaptchaV2TaskProxyless"})["taskId"]
    reply = post(service, RESULT, 1.0, taskId=task_id)
    assert reply.status == 200
    assert code(reply.json()) == "ERROR_CAPTCHA_UNSOLVABLE"
    assert reply.json().keys() == {"errorId", "errorCode", "errorDescription"}


def test_solve_times_can_change_while_it_runs() -> None:
    """A service that slows down, or a type that does, could not be played."""
    service = SimulatedService(solve_times={"ReCaptchaV2TaskProxyless": Fixed(10)})
    create(service)
    service.solve_scale = 2.5
    create(service)
    service.set_solve_times({"recaptchaV2TaskProxyless": 4})
    create(service)
    service.set_solve_times(inf)
    create(service)
    assert [task.ready_at for task in service.record.tasks] == [10, 25, 10, inf]
    service = SimulatedService(solve_times=lambda _random: -1.0)
    with pytest.raises(ConfigurationError, match="solve time"):
        create(service)


def test_finish_makes_an_outcome_ready() -> None:
    """A test that needs one task ready would have to wait for it."""
    service = SimulatedService(solve_times=inf, capacity=2)
    first, second = (create(service)["taskId"] for _ in range(2))
    assert code(create(service)) == "ERROR_NO_SLOT_AVAILABLE"
    service.finish(first)
    service.finish(first, error="ERROR_TASK_TIMEOUT")
    assert poll(service, first, 0.0)["status"] == "ready"
    service.finish(second, now=5.0, error="ERROR_TASK_TIMEOUT")
    assert poll(service, second, 4.0)["status"] == "processing"
    assert code(poll(service, second, 5.0)) == "ERROR_TASK_TIMEOUT"
    with pytest.raises(ConfigurationError, match="unknown"):
        service.finish("unknown")

    spacious = SimulatedService()
    task_id = create(spacious)["taskId"]
    spacious.finish(task_id)
    assert poll(spacious, task_id, 0.0)["status"] == "ready"


def test_slots_are_taken_until_tasks_are_solved() -> None:
    """A client's answer to a full service could not be tested."""
    service = SimulatedService(capacity=2, solve_times=10.0)
    first = create(service, 0.0)["taskId"]
    create(service, 5.0)
    assert code(create(service, 9.0)) == "ERROR_NO_SLOT_AVAILABLE"
    service.finish(first, now=9.0)
    assert code(create(service, 9.0)) is None
    assert code(create(service, 10.0)) == "ERROR_NO_SLOT_AVAILABLE"
    assert code(create(service, 15.0)) is None
    assert service.summary().charges == 4
    # One that is never solved frees its slot with its window.
    service = SimulatedService(capacity=1, solve_times=inf, result_window=50)
    lapsed = create(service, 0.0)["taskId"]
    assert code(create(service, 49.0)) == "ERROR_NO_SLOT_AVAILABLE"
    assert code(create(service, 50.0)) is None
    service.finish(lapsed)  # which has no slot to free any more
    assert code(create(service, 50.0)) == "ERROR_NO_SLOT_AVAILABLE"


def test_too_many_requests_are_throttled() -> None:
    """A client's rate limit could not be tested."""
    service = SimulatedService(max_requests_per_second=5, retry_after=2.5)
    replies = [post(service, BALANCE, 1000.0) for _ in range(7)]
    assert [reply.status for reply in replies] == [200] * 5 + [429] * 2
    assert code(replies[-1].json()) == "ERROR_REQUEST_LIMIT"
    assert dict(replies[-1].headers)["retry-after"] == "2.5"
    statuses = [post(service, BALANCE, 1001.0 + n / 5).status for n in range(50)]
    assert set(statuses) == {200}
    slow = SimulatedService(max_requests_per_second=0.5)
    assert [post(slow, BALANCE, now).status for now in (0.0, 1.0, 2.0)] == [200, 429, 200]
    assert "retry-after" not in dict(post(slow, BALANCE, 2.0).headers)


WRONG, WITHDRAWN = "ERROR_KEY_DOES_NOT_EXIST", "ERROR_KEY_NOT_AVAILABLE"
EMPTY, BANNED = "ERROR_ZERO_BALANCE", "ERROR_REQUEST_BANNED"


def refused(
    service: SimulatedService, path: str, name: str, times: int, now: float = 0.0, **fields: Any
) -> None:
    """Let the service answer with an error code so many times."""
    for _ in range(times):
        assert code(post(service, path, now, fault=name, **fields).json()) == name


@pytest.mark.parametrize(
    ("path", "names", "seconds"),
    [
        (CREATE, [WRONG], 180),
        (CREATE, [WITHDRAWN], 180),
        (CREATE, [EMPTY], 180),
        (CREATE, [WRONG, WITHDRAWN, EMPTY], 180),
        (RESULT, [WRONG], 60),
        (RESULT, [WITHDRAWN], 60),
        (RESULT, [WRONG, WITHDRAWN], 60),
    ],
)
def test_thirty_such_errors_in_a_minute_ban_the_key(
    path: str, names: list[str], seconds: float
) -> None:
    """A client that goes on with a bad key would not learn what that costs."""
    service = SimulatedService(ban_prolonged=False)
    for number in range(29):
        refused(service, path, names[number % len(names)], 1, 2.0 * number)
    assert code(post(service, BALANCE, 57.0).json()) is None
    refused(service, path, names[0], 1, 58.0)
    for asked in (CREATE, RESULT, BALANCE):
        reply = post(service, asked, 58.0)
        assert (reply.status, code(reply.json())) == (429, BANNED)
    end = 58.0 + seconds
    assert code(post(service, BALANCE, end - 0.1, clientKey="other").json()) is None
    assert code(post(service, BALANCE, end - 0.1).json()) == BANNED
    assert code(post(service, BALANCE, end).json()) is None
    assert service.summary().refused[BANNED] == 4


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (RESULT, EMPTY),
        (BALANCE, WRONG),
        (BALANCE, EMPTY),
        (CREATE, "ERROR_SUBSCRIPTION_EXPIRED"),
        (CREATE, "ERROR_KEY_BANNED"),
        (CREATE, "ERROR_REQUEST_PARAMETERS"),
        (RESULT, "ERROR_TASK_NOT_EXIST"),
    ],
)
def test_other_errors_earn_no_ban(path: str, name: str) -> None:
    """A client would be held back by errors that the service does not count."""
    service = SimulatedService()
    refused(service, path, name, 100)
    assert code(post(service, BALANCE, 0.0).json()) is None


def test_errors_are_counted_for_each_key_and_endpoint() -> None:
    """A client would seem to earn bans that the service does not give, or the reverse."""
    service = SimulatedService(client_keys=["good"])
    for number in range(29):
        create(service, number)
        poll(service, "x", number)
        create(service, number, clientKey="another bad one")
    assert code(create(service, 29, clientKey="good")) is None
    assert code(poll(service, "x", 29, clientKey="another bad one")) == WRONG
    assert code(create(service, 29)) == WRONG
    assert code(poll(service, "x", 29)) == BANNED
    assert code(create(service, 29, clientKey="good")) is None
    # Those without a key are counted like those with the same one.
    refused(service, CREATE, WRONG, 30, 30.0, clientKey=None)
    assert code(create(service, 30, clientKey="")) == BANNED
    service = SimulatedService(balance=0)
    for number in range(100):
        assert code(create(service, 2.1 * number)) == EMPTY


def test_a_task_runs_on_while_its_key_is_banned() -> None:
    """A client would give up what was paid for because of a ban."""
    service = SimulatedService(solve_times=20.0)
    task_id = create(service)["taskId"]
    service.ban(0.0, 60.0, client_key=KEY)
    assert code(poll(service, task_id, 21.0)) == BANNED
    assert code(create(service, 21.0, clientKey="other")) is None
    record = service.record.task(task_id)
    assert record is not None
    assert (record.polls, record.ready_at) == (0, 20.0)
    assert poll(service, task_id, 81.0)["status"] == "ready"
    # Bans can be imposed and lifted: a test need not earn one first.
    service = SimulatedService()
    service.ban()
    assert code(create(service, 1000.0)) == "ERROR_IP_BANNED"
    assert code(create(service, 1599.0)) == "ERROR_IP_BANNED"
    service.lift_ban()
    assert code(create(service, 1599.0)) is None
    service.ban(2000.0, 10.0)
    assert code(create(service, 2009.0)) == "ERROR_IP_BANNED"
    assert code(create(service, 2018.9)) == "ERROR_IP_BANNED"
    assert code(create(service, 2028.9)) is None
    service.ban(client_key=KEY)
    assert code(create(service, 3000.0)) == BANNED
    assert code(create(service, 3180.0)) is None
    service.ban(client_key=KEY)
    service.lift_ban()
    assert code(create(service, 3180.0)) is None
    with pytest.raises(ConfigurationError, match="seconds"):
        service.ban(seconds=inf)


def test_requests_prolong_a_ban_unless_told_otherwise() -> None:
    """A client that goes on asking would not learn what that costs by the older pages."""
    service = SimulatedService(balance=0, ban_after=1)
    assert [code(create(service, now)) for now in (0, 100, 200, 380)] == [
        EMPTY,
        BANNED,
        BANNED,
        EMPTY,
    ]
    service = SimulatedService(balance=0, ban_after=3, ban_window=10, ban_seconds=5)
    assert [code(create(service, now)) for now in (0, 6, 12, 13, 14, 19)] == [
        *(EMPTY, EMPTY, EMPTY, EMPTY),
        BANNED,
        EMPTY,
    ]
    never = SimulatedService(balance=0, ban_after=None)
    assert {code(create(never)) for _ in range(100)} == {EMPTY}


def test_onecaptcha_bans_everybody_for_ten_minutes() -> None:
    """A client would be tested against bans that this service does not have."""
    service = SimulatedService(client_keys=["good"], dialect="1captcha")
    task = {**V2, "type": "RecaptchaV2TaskProxyless"}
    for number in range(30):
        path = (CREATE, RESULT, BALANCE)[number % 3]
        assert code(post(service, path, number, clientKey=f"bad {number}").json()) == WRONG
    assert code(create(service, 30, task, clientKey="good")) == "ERROR_IP_BANNED"
    assert code(poll(service, "x", 629, clientKey="good")) == "ERROR_IP_BANNED"
    assert code(create(service, 1228, task, clientKey="good")) == "ERROR_IP_BANNED"
    assert code(create(service, 1828, task, clientKey="good")) is None
    assert service.summary().refused == {WRONG: 30, "ERROR_IP_BANNED": 3}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"7", b"[" * 100_000])
def test_a_body_that_is_no_object_is_a_bad_request(body: bytes) -> None:
    """A client with a broken encoder would bring the simulator down instead of a refusal."""
    service = SimulatedService()
    reply = service.handle(CREATE, body, 0.0)
    assert reply.status == 400
    assert code(reply.json()) == "ERROR_REQUEST_PARAMETERS"
    assert service.summary().refused == {"ERROR_REQUEST_PARAMETERS": 1}
    older = SimulatedService(dialect="1captcha").handle(CREATE, body, 0.0)
    assert code(older.json()) == "ERROR_REQUIRED_FIELDS"


@pytest.mark.parametrize(
    ("path", "how", "status", "expected"),
    [
        ("/createtask", {}, 404, "ERROR_NOT_FOUND"),
        (CREATE, {"method": "GET"}, 405, "ERROR_REQUEST_METHOD"),
        (CREATE, {"content_type": "text/plain"}, 415, "ERROR_CONTENT_TYPE_ERROR"),
        (CREATE, {"content_type": ""}, 415, "ERROR_CONTENT_TYPE_ERROR"),
        (CREATE, {"content_type": "application/json-seq"}, 415, "ERROR_CONTENT_TYPE_ERROR"),
    ],
)
@pytest.mark.parametrize("dialect", ["ezcaptcha", "1captcha"])
def test_a_request_that_is_none_of_the_services_is_refused(
    path: str, how: dict[str, str], status: int, expected: str, dialect: Any
) -> None:
    """A client with a wrong URL, method or header would get an answer in its tests."""
    service = SimulatedService(dialect=dialect, errors_as_http_status=False)
    reply = service.handle(path, CREATE_V2, 0.0, **how)
    assert reply.status == status
    assert code(reply.json()) == expected
    assert service.summary().requests == 1
    assert service.summary().refused == {expected: 1}


def test_a_content_type_may_have_parameters() -> None:
    """A client that names the character set would fail in its tests alone."""
    service = SimulatedService()
    reply = service.handle(CREATE, CREATE_V2, 0.0, content_type="Application/JSON; charset=utf-8")
    assert code(reply.json()) is None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"clientKey": ""}, 500),
        ({"task": {"type": "NoSuchTask"}}, 500),
        ({"task": {"type": "ReCaptchaV2TaskProxyless"}}, 400),
        ({"task": {**V2, "type": "ReCaptchaV2SEnterpriseTaskProxyless"}}, 500),
    ],
)
def test_errors_come_as_http_errors_or_as_200(fields: dict[str, Any], expected: int) -> None:
    """A client that goes by the HTTP status alone would pass its tests."""
    for setting, status in ((None, expected), (True, expected), (False, 200)):
        service = SimulatedService(balance=20, errors_as_http_status=setting)
        reply = post(service, CREATE, 0.0, **{"task": V2, **fields})
        assert reply.status == status
        assert reply.json()["errorId"] == 1
    # No page of 1captcha knows another status.
    for setting, status in ((None, 200), (False, 200), (True, 500)):
        service = SimulatedService(dialect="1captcha", errors_as_http_status=setting)
        assert post(service, CREATE, 0.0, task=V2).status == status


def test_polls_that_come_too_soon_are_recorded() -> None:
    """A client that polls faster than the service asks for would pass its tests."""
    service = SimulatedService(solve_times=20.0)
    task_id = create(service)["taskId"]
    for now in (0.0, 2.9995, 5.9, 8.9, 20.0, 20.0):
        poll(service, task_id, now)
    assert service.summary().spacing_violations == 1
    # The answer is lost, so the client has nothing to keep a distance from.
    other = create(service, 20.0)["taskId"]
    post(service, RESULT, 21.0, taskId=other, fault=Fault.RESET_AFTER)
    poll(service, other, 21.0)
    assert service.summary().spacing_violations == 1
    poll(service, other, 23.9)
    assert service.summary().spacing_violations == 2


def test_the_summary_tells_what_was_lost() -> None:
    """A client that pays for tasks and never fetches them would pass its tests."""
    service = SimulatedService(solve_times={"ReCaptchaV2TaskProxyless": 10})
    fetched, unfetched, late = (create(service, now)["taskId"] for now in (0.0, 0.0, 100.0))
    service.set_solve_times(inf)
    create(service, 100.0)
    poll(service, fetched, 12.5)
    poll(service, fetched, 14.0)
    assert service.summary().lost == 0
    assert service.summary().unfetched == 2
    poll(service, late, 301.0)
    summary = service.summary()
    assert (summary.fetched, summary.unfetched, summary.lost) == (2, 1, 1)
    assert service.record.summary(now=299.0).lost == 0
    record = service.record.task(unfetched)
    assert record is not None
    assert record.lag is None
    service = SimulatedService(solve_times=1.0)
    task_id = create(service)["taskId"]
    post(service, RESULT, 1.0, taskId=task_id, fault=Fault.HANG)
    assert service.summary().unfetched == 1
    post(service, RESULT, 2.5, taskId=task_id)
    record = service.record.task(task_id)
    assert record is not None
    assert record.lag == 1.5


def test_the_summary_in_numbers() -> None:
    """Figures in benchmarks and demonstrations would be wrong."""
    service = SimulatedService(solve_times=10.0)
    ids = [create(service, 0.0)["taskId"] for _ in range(20)]
    for task_id in ids:
        poll(service, task_id, 5.0)
    for number, task_id in enumerate(ids):
        poll(service, task_id, 10.0 + number)
    summary = service.summary()
    assert isinstance(summary, RecordSummary)
    assert (summary.requests, summary.creates, summary.polls, summary.charges) == (60, 20, 40, 20)
    assert summary.peak_requests_per_second == 20
    assert summary.seconds == 29.0
    assert summary.requests_per_second == pytest.approx(60 / 29)
    assert summary.mean_polls == 2.0
    assert (summary.lag_p50, summary.lag_p95, summary.lag_max) == (9.0, 18.0, 19.0)
    assert summary.lag_mean == 9.5
    assert json.loads(json.dumps(attrs.asdict(summary)))["points"] == 120
    assert "60 requests, 20 charges, 20 fetched" in repr(service.record)
    hash(summary)
    # A test that never reaches the service divides by nothing.
    summary = SimulatedService().summary()
    assert not any(attrs.asdict(summary).values())
    # A burst across the tick of a clock is one burst.
    service = SimulatedService()
    for now in (0.0, 0.9, 1.0, 1.1, 1.89, 5.0):
        post(service, BALANCE, now)
    assert service.summary().peak_requests_per_second == 4


def test_old_tasks_are_forgotten_but_their_numbers_stay() -> None:
    """A simulator that serves for days would grow without end."""
    service = SimulatedService(max_recorded_tasks=3, solve_times=1.0, result_window=10)
    first = create(service, 0.0)["taskId"]
    poll(service, first, 1.0)
    for now in (2.0, 3.0, 4.0, 5.0):
        create(service, now)
    # Results that can still be fetched are kept in any case.
    assert len(service.record) == 5
    create(service, 100.0)
    assert len(service.record) == 3
    assert code(poll(service, first, 100.0)) == "ERROR_TASK_NOT_EXIST"
    summary = service.summary()
    assert (summary.charges, summary.fetched, summary.lost, summary.unfetched) == (6, 1, 4, 5)
    service = SimulatedService()
    for port in (1, 1, 2):
        service.note_peer(("127.0.0.1", port))
    assert service.summary().connections == 2
    for port in range(100_000):
        service.note_peer(("127.0.0.1", port))
    assert service.summary().connections == 65_536


@pytest.mark.parametrize(
    "settings",
    [
        {"balance": -1},
        {"balance": "much"},
        {"client_keys": "one-key"},
        {"failure_rate": 1.1},
        {"result_window": 0},
        {"result_window": inf},
        {"min_poll_interval": 0},
        {"max_requests_per_second": 0},
        {"retry_after": -1},
        {"capacity": -1},
        {"capacity": True},
        {"capacity": 1.5},
        {"ban_after": 0},
        {"ban_window": 0},
        {"ban_seconds": 0},
        {"hang_seconds": -1},
        {"failed_error_id": 2},
        {"failed_error_id": 0, "dialect": "1captcha"},
        {"max_recorded_tasks": -1},
        {"fault_rates": {Fault.HTML: 1.1}},
        {"fault_rates": {Fault.HTML: 0.6, Fault.RESET_AFTER: 0.6}},
        {"fault_rates": {"html": 0.1}},
        {"solve_times": -1.0},
        {"solve_times": "slow"},
        {"solve_times": {"CloudFlare5STask": "slow"}},
    ],
    ids=str,
)
def test_a_setting_out_of_range_is_refused(settings: dict[str, Any]) -> None:
    """A test would run with a service that means nothing."""
    with pytest.raises(ConfigurationError):
        SimulatedService(**settings)
    with pytest.raises(ConfigurationError, match="points"):
        SimulatedService().set_balance(KEY, -1)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_gives_the_same_service(seed: int) -> None:
    """A failure that a test found could not be found again."""

    def play() -> list[SimulatedReply]:
        service = SimulatedService(seed=seed, failure_rate=0.3)
        created = [create(service, now)["taskId"] for now in range(20)]
        return [post(service, RESULT, 45.0, taskId=task_id) for task_id in created]

    replies = play()
    assert play() == replies
    assert len({reply.json()["requestId"] for reply in replies}) == len(replies)


@pytest.mark.parametrize(
    ("solve_time", "low", "high"),
    [
        (Fixed(7), 7, 7),
        (Uniform(5, 9), 5, 9),
        (Uniform(5, 5), 5, 5),
        (LogNormal(20, 0.5, low=10, high=30), 10, 30),
        (LogNormal(20, 0), 20 - 1e-9, 20 + 1e-9),
        (Mixture(((1, Fixed(1)), (3, Uniform(2, 4)))), 1, 4),
    ],
)
def test_solve_times_draw_within_their_bounds(solve_time: Any, low: float, high: float) -> None:
    """A test that relies on a bound would fail now and then."""
    random = Random(1)
    drawn = [solve_time(random) for _ in range(1000)]
    assert low <= min(drawn) <= max(drawn) <= high


def test_solve_times_are_spread_as_they_say() -> None:
    """A measured figure would rest on another distribution than the one that was named."""
    random = Random(2)
    log_normal = sorted(LogNormal(20, 0.5)(random) for _ in range(10_001))
    assert log_normal[5000] == pytest.approx(20, rel=0.03)
    mixed = [Mixture([(1, Fixed(1)), (3, Fixed(2))])(random) for _ in range(10_000)]
    assert mixed.count(2) == pytest.approx(7500, rel=0.03)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Fixed(-1),
        lambda: Uniform(5, 4),
        lambda: LogNormal(0, 1),
        lambda: LogNormal(inf, 1),
        lambda: LogNormal(10, -1),
        lambda: LogNormal(10, 1, low=5, high=4),
        lambda: Mixture(()),
        lambda: Mixture(((0, Fixed(1)),)),
    ],
)
def test_a_solve_time_out_of_range_is_refused(make: Any) -> None:
    """A distribution that means nothing would show only when it is drawn from."""
    with pytest.raises(ConfigurationError):
        make()


_REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(["create", "poll", "balance", "junk"]),
        st.floats(0, 40),
        st.integers(0, 30),
        st.sampled_from(["a", "b", "bad"]),
        st.sampled_from([None, None, Fault.RESET_AFTER, Fault.MALFORMED, Fault.HTML]),
    ),
    max_size=60,
)


@given(requests=_REQUESTS, seed=st.integers(0, 5), balance=st.integers(0, 60))
def test_points_are_conserved_and_tokens_unique(
    requests: list[tuple[str, float, int, str, Fault | None]], seed: int, balance: int
) -> None:
    """Any figure that a test draws from the record would be worth nothing."""
    service = SimulatedService(
        seed=seed, balance=balance, client_keys=["a", "b"], capacity=5, failure_rate=0.2
    )
    now = 0.0
    accepted: dict[str, str] = {}
    tokens: dict[str, str] = {}
    lost_creates = 0
    for kind, pause, pick, key, fault in requests:
        now += pause
        before = service.summary()
        ids = list(accepted)
        body = {
            "create": body_of(clientKey=key, task=V2),
            "poll": body_of(clientKey=key, taskId=ids[pick % len(ids)] if ids else "x"),
            "balance": body_of(clientKey=key),
            "junk": b"junk",
        }[kind]
        path = {"create": CREATE, "poll": RESULT, "balance": BALANCE, "junk": CREATE}[kind]
        reply = service.handle(path, body, now, fault=fault)
        if fault in (Fault.HTML, Fault.MALFORMED):
            lost_creates += service.summary().charges - before.charges
            continue
        answer = reply.json()
        if code(answer) is not None:
            continue
        if kind == "create":
            accepted[answer["taskId"]] = key
        elif kind == "poll" and answer["status"] == "ready":
            task_id = ids[pick % len(ids)]
            assert accepted[task_id] == key
            token = answer["solution"]["gRecaptchaResponse"]
            assert tokens.setdefault(token, task_id) == task_id
    summary = service.summary()
    assert summary.charges == len(accepted) + lost_creates == len(service.record)
    left = service.balance_of("a") + service.balance_of("b")
    assert left + summary.points == 2 * balance
    assert min(service.balance_of("a"), service.balance_of("b")) >= 0
    assert summary.fetched <= summary.charges
    assert summary.lost <= summary.unfetched <= summary.charges - summary.fetched
    assert summary.peak_requests_per_second <= summary.requests == len(requests)
    for task in service.record.tasks:
        assert task.fetched_at is None or task.ready_at <= task.fetched_at <= task.available_until


@given(gaps=st.lists(st.floats(0, 2), max_size=200), rate=st.floats(0.2, 20))
def test_the_rate_limit_is_kept(gaps: list[float], rate: float) -> None:
    """A rate limit that lets more through than it says would hide a client's mistake."""
    service = SimulatedService(max_requests_per_second=rate)
    now = 0.0
    admitted: list[float] = []
    for gap in gaps:
        now += gap
        if post(service, BALANCE, now).status == 200:
            admitted.append(now)
    burst = max(1.0, rate)
    for first, start in enumerate(admitted):
        for last in range(first, len(admitted)):
            assert last - first + 1 <= burst + rate * (admitted[last] - start) + 1e-6
    assert not gaps or admitted

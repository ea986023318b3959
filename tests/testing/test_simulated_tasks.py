"""The task types of the simulated service: fields, prices, solutions, both dialects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.services import EZCAPTCHA, ONECAPTCHA
from ezcaptcha_async.testing import Fixed, SimulatedService
from tests.testing.simulated_calls import BALANCE, CREATE, KEY, PAGE, V2, code, create, poll, post

CLOUDFLARE = {
    "type": "CloudFlare5STask",
    "websiteURL": "https://example.com",
    "proxy": "http://user:password@proxy.example.com:8080",
}


def task_of(name: str) -> dict[str, Any]:
    """Return a task that the service accepts."""
    if name == "CloudFlare5STask":
        return dict(CLOUDFLARE)
    single_use = {"s": "one-time"} if "V2S" in name else {}
    return {"type": name, **PAGE, **single_use}


@pytest.mark.parametrize("offer", EZCAPTCHA.offers, ids=lambda offer: offer.type)
def test_every_type_is_charged_its_highest_listed_price(offer: Any) -> None:
    """A user who compares the bill with the profile would see two price lists."""
    service = SimulatedService(solve_times=1.0, balance=100)
    assert code(create(service, task=task_of(offer.wire_type))) is None
    assert service.summary().points == (offer.points or 0)
    assert service.balance_of(KEY) == 100 - (offer.points or 0)
    assert service.summary().types == {offer.type: 1}


@pytest.mark.parametrize("offer", EZCAPTCHA.offers, ids=lambda offer: offer.type)
def test_default_solve_times_are_those_that_the_service_states(offer: Any) -> None:
    """A demonstration with default settings would run at a speed that the service never has."""
    service = SimulatedService()
    for _ in range(50):
        create(service, task=task_of(offer.wire_type))
    taken = [task.ready_at for task in service.record.tasks]
    assert min(taken) >= 10
    assert max(taken) <= 80
    assert len(set(taken)) > 10


@pytest.mark.parametrize("offer", EZCAPTCHA.offers, ids=lambda offer: offer.type)
def test_a_missing_field_is_named_and_not_charged(offer: Any) -> None:
    """A client that leaves out a required field would pass its tests and fail in the field."""
    service = SimulatedService()
    whole = task_of(offer.wire_type)
    for name in whole.keys() - {"type"}:
        for task in (
            {key: value for key, value in whole.items() if key != name},
            {**whole, name: ""},
            {**whole, name: None},
        ):
            answer = create(service, task=task)
            assert code(answer) == "ERROR_REQUIRED_FIELDS"
            assert name in answer["errorDescription"]
    assert service.summary().charges == 0
    assert service.balance_of(KEY) == 1_000_000


@pytest.mark.parametrize(
    ("name", "fields", "expected"),
    [
        ("ReCaptchaV2TaskProxyless", {"websiteURL": "example.com"}, "INVALID_RECAPTCHA_SITEURL"),
        ("ReCaptchaV2TaskProxyless", {"websiteURL": "https:///x"}, "INVALID_RECAPTCHA_SITEURL"),
        ("ReCaptchaV2TaskProxyless", {"websiteURL": 7}, "INVALID_RECAPTCHA_SITEURL"),
        ("ReCaptchaV2TaskProxyless", {"websiteKey": "a.b"}, "ERROR_RECAPTCHA_INVALID_SITEKEY"),
        ("ReCaptchaV2TaskProxyless", {"isInvisible": "true"}, "ERROR_REQUIRED_FIELDS"),
        ("ReCaptchaV3TaskProxyless", {"pageAction": 7}, "ERROR_REQUIRED_FIELDS"),
        ("FuncaptchaTaskProxyless", {"data": {"blob": "x"}}, "ERROR_REQUIRED_FIELDS"),
        ("FuncaptchaTaskProxyless", {"data": "[]"}, "ERROR_REQUIRED_FIELDS"),
        ("FuncaptchaTaskProxyless", {"data": "{"}, "ERROR_REQUIRED_FIELDS"),
        ("FuncaptchaTaskProxyless", {"data": "[" * 100_000}, "ERROR_REQUIRED_FIELDS"),
        ("CloudFlare5STask", {"proxy": "proxy.example.com"}, "ERROR_REQUIRED_FIELDS"),
        ("CloudFlare5STask", {"rqData": "{}"}, "ERROR_REQUIRED_FIELDS"),
    ],
)
def test_a_wrong_field_is_refused_with_its_code(
    name: str, fields: dict[str, Any], expected: str
) -> None:
    """A client that sends a field in a wrong form would pass its tests and fail in the field."""
    service = SimulatedService()
    assert code(create(service, task={**task_of(name), **fields})) == expected
    assert service.summary().refused == {expected: 1}
    assert service.summary().charges == 0


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("ReCaptchaV2TaskProxyless", {"isInvisible": True, "sa": "login"}),
        ("ReCaptchaV2TaskProxyless", {"isInvisible": None}),
        ("ReCaptchaV3TaskProxyless", {"isInvisible": False, "pageAction": "login"}),
        (
            "FuncaptchaTaskProxyless",
            {"data": '{"blob":"x"}', "funcaptchaApiJSSubdomain": "api.example.com"},
        ),
        ("CloudFlare5STask", {"rqData": {"mode": "x"}}),
    ],
)
def test_optional_fields_are_accepted(name: str, fields: dict[str, Any]) -> None:
    """A client that uses what the service documents would be turned away in its tests."""
    service = SimulatedService()
    assert code(create(service, task={**task_of(name), **fields})) is None
    assert service.summary().unknown_fields == {}


def test_fields_that_mean_nothing_are_recorded() -> None:
    """A misspelled wire name is ignored by the service: nobody would notice it."""
    service = SimulatedService()
    assert code(create(service, task={**V2, "pageaction": "login"})) is None
    assert code(create(service, task={**V2, "pageaction": "login"})) is None
    assert service.summary().unknown_fields == {"ReCaptchaV2TaskProxyless.pageaction": 2}
    create(service, task={**V2, **{f"field{n}": n for n in range(200)}})
    assert len(service.summary().unknown_fields) == 100


@pytest.mark.parametrize("task", [None, [], "x", {}, {"type": ""}, {"type": 7}])
def test_a_task_without_type_lacks_a_field(task: Any) -> None:
    """A client that forgets the type would not learn what is wrong."""
    assert code(post(SimulatedService(), CREATE, 0.0, task=task).json()) == "ERROR_REQUIRED_FIELDS"


def test_ezcaptcha_ignores_the_case_of_types() -> None:
    """The service's pages spell types in two ways; both must work in tests as well."""
    service = SimulatedService()
    assert code(create(service, task={**V2, "type": "recaptchaV2taskproxyless"})) is None
    assert service.record.tasks[0].type == "ReCaptchaV2TaskProxyless"
    assert code(create(service, task={**V2, "type": "NoSuchTask"})) == "ERROR_TASK_NOT_SUPPORTED"


def test_onecaptcha_is_exact_in_spelling_and_takes_flags_as_text() -> None:
    """A client that sends EzCaptcha's spelling to 1captcha would pass its tests."""
    service = SimulatedService(dialect="1captcha", balance=4)
    right = {**V2, "type": "RecaptchaV2TaskProxyless"}
    assert code(create(service)) == "ERROR_TASK_NOT_SUPPORTED"
    assert code(create(service, task={**right, "isInvisible": True})) == "ERROR_REQUIRED_FIELDS"
    assert code(create(service, task={**right, "isInvisible": "true"})) is None
    assert service.balance_of(KEY) == 0
    assert "1captcha" in repr(service)


@pytest.mark.parametrize("offer", EZCAPTCHA.offers, ids=lambda offer: offer.type)
def test_every_solution_has_the_shape_of_its_family(offer: Any) -> None:
    """A decoder would be tested against shapes that the service never sends."""
    service = SimulatedService(solve_times=1.0)
    ids = [create(service, task=task_of(offer.wire_type))["taskId"] for _ in range(2)]
    answers = [poll(service, task_id, 1.0) for task_id in ids]
    assert {answer["status"] for answer in answers} == {"ready"}
    solutions = [answer["solution"] for answer in answers]
    for solution in solutions:
        if offer.type == "CloudFlare5STask":
            assert solution.keys() == {"header", "cookies", "body"}
        elif offer.type == "FuncaptchaTaskProxyless":
            assert solution.keys() == {"token"}
        else:
            assert isinstance(solution["gRecaptchaResponse"], str)
    assert solutions[0] != solutions[1]
    assert poll(service, ids[0], 2.0)["solution"] == solutions[0]


def test_other_types_can_be_registered() -> None:
    """A user of CustomTask could not test it."""
    service = SimulatedService(
        extra_types={"MyTask": {"answer": [1, 2]}}, points={"MyTask": 3.5}, solve_times=Fixed(2)
    )
    task_id = create(service, task={"type": "mytask", "anything": {"goes": True}})["taskId"]
    assert poll(service, task_id, 2.0)["solution"] == {"answer": [1, 2]}
    assert service.balance_of(KEY) == 1_000_000 - 3.5
    assert post(service, BALANCE, 2.0).json()["balance"] == 999_996.5
    assert service.summary().unknown_fields == {}


def test_the_profile_fits_the_service() -> None:
    """A pool with the simulator's profile would poll at a wrong pace or miss types."""
    service = SimulatedService(result_window=200, min_poll_interval=4)
    profile = service.profile("http://localhost:8000", time_scale=10)
    assert profile.name == "ezcaptcha"
    assert profile.base_url == "http://localhost:8000"
    assert profile.offers == EZCAPTCHA.offers
    assert (profile.result_window, profile.min_poll_interval) == (20, 0.4)
    assert profile.token_validity == 12
    assert service.profile().result_window == 200

    other = SimulatedService(dialect="1captcha", extra_types={"MyTask": {}}, points={"MyTask": 2})
    profile = other.profile()
    assert profile.name == "1captcha"
    assert profile.currency == "CNY"
    assert profile.offers[:1] == ONECAPTCHA.offers
    extra = profile.offer_for("MyTask")
    assert extra is not None
    assert (extra.points, extra.lowest_points) == (2, 2)
    with pytest.raises(ConfigurationError, match="time_scale"):
        service.profile(time_scale=0)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"dialect": "other"}, "dialect"),
        ({"points": {"NoSuchTask": 1}}, "points names 'NoSuchTask'"),
        ({"points": {"CloudFlare5STask": -1}}, "points"),
        ({"solve_times": {"NoSuchTask": 1}}, "solve_times names 'NoSuchTask'"),
        ({"extra_types": {"MyTask": {"x": object()}}}, "MyTask"),
        ({"extra_types": {"MyTask": 7}}, "MyTask"),
    ],
)
def test_wrong_types_and_prices_are_named(settings: dict[str, Any], named: str) -> None:
    """A typing mistake in a setting would silently test something else."""
    with pytest.raises(ConfigurationError, match=named):
        SimulatedService(**settings)


def test_replies_are_json_with_a_content_type() -> None:
    """A client that looks at the content type would refuse the simulator."""
    reply = post(SimulatedService(), BALANCE, 0.0)
    assert dict(reply.headers)["content-type"].startswith("application/json")
    assert json.loads(reply.body) == reply.json()
    assert reply.json() == {
        "errorId": 0,
        "errorCode": None,
        "errorDescription": None,
        "balance": 1_000_000,
    }

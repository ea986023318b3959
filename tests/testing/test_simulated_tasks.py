"""The task types of the simulated service: fields, prices, solutions, both dialects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.services import EZCAPTCHA, ONECAPTCHA
from ezcaptcha_async.testing import Fixed, SimulatedService
from tests.testing.simulated_calls import BALANCE, CREATE, KEY, PAGE, V2, code, create, poll, post

PROXY = "http://user:password@proxy.example.com:8080"
FUNCAPTCHA_PROXY = "http://proxy.example.com:8080:user:password"
PARAMETERS, PROXY_MISSING = "ERROR_REQUEST_PARAMETERS", "ERROR_REQUEST_PROXY_MISSING"

RECAPTCHA = {"gRecaptchaResponse", "user_agent", "sec_ch_ua", "cookies"}
V2_FIELDS = {"isInvisible": True, "sa": "x", "s": "x", "proxy": PROXY, "websiteTitle": "x"}
V3_FIELDS = {
    "isInvisible": False,
    "pageAction": "login",
    "checkField": "x",
    "proxy": PROXY,
    "websiteTitle": "x",
}
FUNCAPTCHA_FIELDS = {
    "data": '{"blob": "x"}',
    "funcaptchaApiJSSubdomain": "api.example.com",
    "proxy": FUNCAPTCHA_PROXY,
    "cn": True,
}

TYPES: dict[str, tuple[float, dict[str, Any], dict[str, Any], set[str]]] = {
    "ReCaptchaV2TaskProxyless": (6, PAGE, V2_FIELDS, RECAPTCHA),
    "ReCaptchaV2TaskProxylessS9": (12, PAGE, V2_FIELDS, RECAPTCHA),
    "ReCaptchaV2STaskProxyless": (15, PAGE, V2_FIELDS, RECAPTCHA),
    "ReCaptchaV2EnterpriseTaskProxyless": (18, PAGE, V2_FIELDS, RECAPTCHA),
    "ReCaptchaV2SEnterpriseTaskProxyless": (30, PAGE, V2_FIELDS, RECAPTCHA),
    "ReCaptchaV3TaskProxyless": (8, PAGE, V3_FIELDS, RECAPTCHA),
    "ReCaptchaV3TaskProxylessS9": (15, PAGE, V3_FIELDS, RECAPTCHA),
    "ReCaptchaV3EnterpriseTaskProxyless": (18, PAGE, V3_FIELDS, RECAPTCHA),
    "ReCaptchaV3EnterpriseTaskProxylessS9": (0, PAGE, V3_FIELDS, RECAPTCHA),
    "FuncaptchaTaskProxyless": (18, PAGE, FUNCAPTCHA_FIELDS, {"token"}),
    "HCaptcha": (
        0,
        {**PAGE, "lang": "en-US", "invisible": False},
        {"rqdata": "x", "proxy": PROXY},
        {"generated_pass_UUID", "ua"},
    ),
    "CloudFlareTurnstileTask": (
        0,
        {**PAGE, "websiteKey": "0x4AAAAAAA-site_key"},
        {"rqData": {"action": "login"}, "proxy": PROXY},
        {"token", "header"},
    ),
    "CloudFlare5STask": (
        0,
        {"websiteURL": "https://example.com", "proxy": PROXY},
        {"rqData": {"mode": "x"}},
        {"header", "cookies", "tlsVersion", "sToken", "body"},
    ),
}
"""Type → price, what it requires, what it may have, and what is in its solution."""


def task_of(name: str, **fields: Any) -> dict[str, Any]:
    """Return a task that the service accepts."""
    return {"type": name, **TYPES[name][1], **fields}


@pytest.mark.parametrize("name", TYPES)
def test_every_type_is_as_the_service_documents_it(name: str) -> None:
    """A client would be tested against prices, fields, times and shapes of nobody."""
    points, _, optional, shape = TYPES[name]
    service = SimulatedService(solve_times=1.0, balance=3 * points)
    offer = service.profile().offer_for(name)
    assert offer is not None
    assert (offer.points or 0) == points, "the highest that is listed"
    ids = [
        create(service, task=task_of(name, **fields))["taskId"]
        for fields in ({}, optional, dict.fromkeys(optional))
    ]
    assert service.balance_of(KEY) == 0
    assert service.summary().points == 3 * points
    assert service.summary().types == {name: 3}
    assert service.summary().unknown_fields == {}
    answers = [poll(service, task_id, 1.0) for task_id in ids]
    assert {answer["status"] for answer in answers} == {"ready"}
    solutions = [answer["solution"] for answer in answers]
    assert all(solution.keys() == shape for solution in solutions)
    assert solutions[0] != solutions[1]
    assert poll(service, ids[0], 2.0)["solution"] == solutions[0]
    by_default = SimulatedService()
    for _ in range(50):
        create(by_default, task=task_of(name))
    taken = [task.ready_at for task in by_default.record.tasks]
    assert 10 <= min(taken) <= max(taken) <= 80
    assert len(set(taken)) > 10


@pytest.mark.parametrize("name", TYPES)
def test_a_missing_field_is_named_and_not_charged(name: str) -> None:
    """A client that leaves out a required field would pass its tests and fail in the field."""
    service = SimulatedService()
    whole = task_of(name)
    for field in whole.keys() - {"type"}:
        for task in (
            {key: value for key, value in whole.items() if key != field},
            {**whole, field: ""},
            {**whole, field: None},
        ):
            answer = create(service, task=task)
            assert code(answer) == (PROXY_MISSING if field == "proxy" else PARAMETERS)
            assert answer["errors"] == {f"task.{field}": "is required"}
    assert service.summary().charges == 0
    assert service.balance_of(KEY) == 1_000_000


@pytest.mark.parametrize(
    ("name", "field", "value", "expected"),
    [
        ("ReCaptchaV2TaskProxyless", "websiteURL", "example.com", "must be an http or https URL"),
        ("ReCaptchaV2TaskProxyless", "websiteURL", "https:///x", "must be an http or https URL"),
        ("ReCaptchaV2TaskProxyless", "websiteURL", 7, "must be an http or https URL"),
        ("ReCaptchaV2TaskProxyless", "websiteKey", "a.b", "must be a site key"),
        ("ReCaptchaV2TaskProxyless", "isInvisible", "true", "must be a boolean"),
        ("ReCaptchaV3TaskProxyless", "pageAction", 7, "must be a string"),
        ("FuncaptchaTaskProxyless", "data", {"blob": "x"}, "must be a JSON object as a string"),
        ("FuncaptchaTaskProxyless", "data", "[]", "must be a JSON object as a string"),
        ("FuncaptchaTaskProxyless", "data", "{", "must be a JSON object as a string"),
        ("FuncaptchaTaskProxyless", "data", "[" * 100_000, "must be a JSON object as a string"),
        ("FuncaptchaTaskProxyless", "cn", 1, "must be a boolean"),
        ("HCaptcha", "lang", "de-DE", "must be en-US"),
        ("HCaptcha", "invisible", "false", "must be a boolean"),
        ("HCaptcha", "rqdata", {}, "must be a string"),
        ("CloudFlareTurnstileTask", "websiteKey", "6Lc", "must be a site key that begins with 0x"),
        ("CloudFlareTurnstileTask", "rqData", "{}", "must be an object"),
        ("CloudFlare5STask", "rqData", "{}", "must be an object"),
    ],
)
def test_a_wrong_field_is_named_and_not_charged(
    name: str, field: str, value: Any, expected: str
) -> None:
    """A client that sends a field in a wrong form would pass its tests and fail in the field."""
    service = SimulatedService()
    answer = create(service, task=task_of(name, **{field: value}))
    assert code(answer) == PARAMETERS
    assert answer["errors"] == {f"task.{field}": expected}
    assert service.summary().refused == {PARAMETERS: 1}
    assert service.summary().charges == 0


def test_many_fields_that_are_wrong() -> None:
    """Whoever repairs one field after the other would need an answer for each, a typo have none."""
    answer = create(SimulatedService(), task=task_of("CloudFlare5STask", proxy="", rqData=7))
    assert code(answer) == PARAMETERS
    assert answer["errors"] == {"task.proxy": "is required", "task.rqData": "must be an object"}
    service = SimulatedService()
    assert code(create(service, task={**V2, "pageaction": "login"})) is None
    assert code(create(service, task={**V2, "pageaction": "login"})) is None
    assert service.summary().unknown_fields == {"ReCaptchaV2TaskProxyless.pageaction": 2}
    create(service, task={**V2, **{f"field{n}": n for n in range(200)}})
    assert len(service.summary().unknown_fields) == 100


MALFORMED = "must be protocol://user:password@host:port"
FUNCAPTCHA_MALFORMED = "must be protocol://host:port:user:password"
PRIVATE, NO_CREDENTIALS = "must not be in a private network", "needs a user and a password"


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [
        (PROXY, None),
        ("HTTPS://user:password@203.0.113.7:8080/", None),
        ("socks5://us@er:pass:w@rd/?#@proxy.example.com:1", None),
        ("http://user:password@[2001:db8::1]:8080", None),
        ("http://proxy.example.com:8080", NO_CREDENTIALS),
        ("http://@proxy.example.com:8080", NO_CREDENTIALS),
        ("http://user@proxy.example.com:8080", NO_CREDENTIALS),
        ("http://user:@proxy.example.com:8080", NO_CREDENTIALS),
        ("http://:password@proxy.example.com:8080", NO_CREDENTIALS),
        ("http://user:password@proxy.example.com", MALFORMED),
        ("socks4://user:password@proxy.example.com:8080", MALFORMED),
        ("user:password@proxy.example.com:8080", MALFORMED),
        ("http://user:pass word@proxy.example.com:8080", MALFORMED),
        (FUNCAPTCHA_PROXY, MALFORMED),
        (8080, MALFORMED),
        ("http://user:password@10.1.2.3:8080", PRIVATE),
        ("http://user:password@127.0.0.1:8080", PRIVATE),
        ("http://user:password@172.16.0.1:8080", PRIVATE),
        ("http://user:password@192.168.0.1:8080", PRIVATE),
        ("http://user:password@[::1]:8080", PRIVATE),
    ],
)
def test_proxies_need_credentials_and_a_public_host(proxy: object, expected: str | None) -> None:
    """A client whose proxies the service turns away would pass its tests."""
    for name in ("CloudFlare5STask", "ReCaptchaV3TaskProxyless"):
        answer = create(SimulatedService(), task=task_of(name, proxy=proxy))
        if expected is None:
            assert code(answer) is None
        else:
            assert code(answer) == (PROXY_MISSING if expected == NO_CREDENTIALS else PARAMETERS)
            assert answer["errors"] == {"task.proxy": expected}


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [
        ("", None),
        (FUNCAPTCHA_PROXY, None),
        ("socks5://[2001:db8::1]:1080:user:pass:w@rd", None),
        ("http://proxy.example.com:8080", NO_CREDENTIALS),
        ("http://proxy.example.com:8080:user", NO_CREDENTIALS),
        (PROXY, FUNCAPTCHA_MALFORMED),
        ("http://10.0.0.1:8080:user:password", PRIVATE),
    ],
)
def test_funcaptcha_alone_has_the_host_first(proxy: str, expected: str | None) -> None:
    """A client that writes all proxies in one way would pass its tests."""
    answer = create(SimulatedService(), task=task_of("FuncaptchaTaskProxyless", proxy=proxy))
    if expected is None:
        assert code(answer) is None
    else:
        assert answer["errors"] == {"task.proxy": expected}


@pytest.mark.parametrize("task", [None, [], "x", {}, {"type": ""}, {"type": 7}])
def test_a_task_without_type_lacks_a_field(task: Any) -> None:
    """A client that forgets the type would not learn what is wrong."""
    answer = post(SimulatedService(), CREATE, 0.0, task=task).json()
    assert code(answer) == PARAMETERS
    assert answer["errors"] == {"task.type": "is required"}


def test_how_the_services_spell_types_and_flags() -> None:
    """A client that sends one service's spelling to the other would pass its tests."""
    service = SimulatedService()
    assert code(create(service, task={**V2, "type": "recaptchaV2taskproxyless"})) is None
    assert service.record.tasks[0].type == "ReCaptchaV2TaskProxyless"
    unknown = {**V2, "type": "NoSuchTask"}
    assert code(create(service, task=unknown)) == "ERROR_TASK_TYPE_NOT_SUPPORTED"
    service = SimulatedService(dialect="1captcha", balance=4, solve_times=1.0)
    right = {**V2, "type": "RecaptchaV2TaskProxyless"}
    assert code(create(service)) == "ERROR_TASK_NOT_SUPPORTED"
    assert code(create(service, task={**right, "isInvisible": True})) == "ERROR_REQUIRED_FIELDS"
    created = create(service, task={**right, "isInvisible": "true"})
    assert code(created) is None
    assert service.balance_of(KEY) == 0
    answer = poll(service, created["taskId"], 1.0)
    assert answer["solution"].keys() == {"gRecaptchaResponse"}
    assert "requestId" not in answer
    assert "1captcha" in repr(service)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("websiteURL", "", "ERROR_REQUIRED_FIELDS"),
        ("websiteURL", "example.com", "INVALID_RECAPTCHA_SITEURL"),
        ("websiteKey", "a.b", "ERROR_RECAPTCHA_INVALID_SITEKEY"),
        ("isInvisible", "yes", "ERROR_REQUIRED_FIELDS"),
    ],
)
def test_onecaptcha_has_the_older_codes_of_wrong_fields(
    field: str, value: str, expected: str
) -> None:
    """A client that knows but one service's codes would pass its tests with both."""
    service = SimulatedService(dialect="1captcha")
    answer = create(service, task={**V2, "type": "RecaptchaV2TaskProxyless", field: value})
    assert code(answer) == expected
    assert answer["errorDescription"].startswith(f"{field} ")
    assert "errors" not in answer


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
    reply = post(SimulatedService(), BALANCE, 0.0)
    assert dict(reply.headers)["content-type"].startswith("application/json")
    assert json.loads(reply.body) == reply.json()
    assert reply.json() == {
        "errorId": 0,
        "errorCode": None,
        "errorDescription": None,
        "balance": 1_000_000,
        "requestId": reply.json()["requestId"],
    }


def test_the_profile_fits_the_service() -> None:
    """A pool with the simulator's profile would poll at a wrong pace or miss types."""
    service = SimulatedService(result_window=200, min_poll_interval=4)
    profile = service.profile("http://localhost:8000", time_scale=10)
    assert profile.name == "ezcaptcha"
    assert profile.base_url == "http://localhost:8000"
    assert {offer.type for offer in profile.offers} == TYPES.keys()
    assert set(EZCAPTCHA.offers) <= set(profile.offers)
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


@pytest.mark.parametrize("dialect", ["ezcaptcha", "1captcha"])
@pytest.mark.parametrize("has_one", [True, False])
def test_request_ids_can_be_had_or_left_out(dialect: Any, *, has_one: bool) -> None:
    """A client that reads no field but those that it knows could not be tested at all."""
    service = SimulatedService(dialect=dialect, request_ids=has_one)
    assert ("requestId" in post(service, BALANCE, 0.0).json()) is has_one

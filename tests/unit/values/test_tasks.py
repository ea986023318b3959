"""Tasks: exact wire fields, checked on construction, immutable, and silent about secrets."""

from __future__ import annotations

import copy
import json
import pickle
from types import MappingProxyType
from typing import Any

import attrs
import pytest

from ezcaptcha_async._wire.encoding import task_fields
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.services import EZCAPTCHA
from ezcaptcha_async.solutions import (
    CloudFlare5SSolution,
    CloudFlareTurnstileSolution,
    CustomSolution,
    FuncaptchaSolution,
    HCaptchaSolution,
    ReCaptchaSolution,
)
from ezcaptcha_async.tasks import (
    TASK_TYPES,
    CloudFlare5STask,
    CloudFlareTurnstileTask,
    CustomTask,
    FuncaptchaTaskProxyless,
    HCaptcha,
    ReCaptchaV2EnterpriseTaskProxyless,
    ReCaptchaV2SEnterpriseTaskProxyless,
    ReCaptchaV2STaskProxyless,
    ReCaptchaV2TaskProxyless,
    ReCaptchaV2TaskProxylessS9,
    ReCaptchaV3EnterpriseTaskProxyless,
    ReCaptchaV3EnterpriseTaskProxylessS9,
    ReCaptchaV3TaskProxyless,
    ReCaptchaV3TaskProxylessS9,
    Task,
    is_secret_name,
    solution_type_for,
)

URL = "https://Example.COM/login"
PROXY = "http://user:pa55word@proxy.example.com:8080"
PAGE: dict[str, Any] = {"website_url": URL, "website_key": "6Lc-key"}
WIRE_PAGE = {"websiteURL": URL, "websiteKey": "6Lc-key"}

V2 = [
    ReCaptchaV2TaskProxyless,
    ReCaptchaV2TaskProxylessS9,
    ReCaptchaV2STaskProxyless,
    ReCaptchaV2EnterpriseTaskProxyless,
    ReCaptchaV2SEnterpriseTaskProxyless,
]
V3 = [
    ReCaptchaV3TaskProxyless,
    ReCaptchaV3TaskProxylessS9,
    ReCaptchaV3EnterpriseTaskProxyless,
    ReCaptchaV3EnterpriseTaskProxylessS9,
]

# (class, least arguments, what they are on the wire without "type")
LEAST: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
    *((item, PAGE, {**WIRE_PAGE, "isInvisible": False}) for item in V2),
    *((item, PAGE, {**WIRE_PAGE, "isInvisible": True}) for item in V3),
    (FuncaptchaTaskProxyless, PAGE, WIRE_PAGE),
    (CloudFlare5STask, {"website_url": URL, "proxy": PROXY}, {"websiteURL": URL, "proxy": PROXY}),
    (CloudFlareTurnstileTask, PAGE, WIRE_PAGE),
    (HCaptcha, PAGE, {**WIRE_PAGE, "lang": "en-US", "invisible": False}),
]
ANY_RECAPTCHA = {"proxy": PROXY, "website_title": "Log in \u2013 Example"}
WIRE_ANY_RECAPTCHA = {"proxy": PROXY, "websiteTitle": "Log in \u2013 Example"}
# (class, further arguments, what they add on the wire)
FURTHER: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
    *(
        (
            item,
            {**ANY_RECAPTCHA, "is_invisible": True, "sa": "a1", "s": "s1"},
            {**WIRE_ANY_RECAPTCHA, "isInvisible": True, "sa": "a1", "s": "s1"},
        )
        for item in V2
    ),
    *(
        (
            item,
            {**ANY_RECAPTCHA, "is_invisible": False, "page_action": "go", "check_field": "c1"},
            {**WIRE_ANY_RECAPTCHA, "isInvisible": False, "pageAction": "go", "checkField": "c1"},
        )
        for item in V3
    ),
    (
        FuncaptchaTaskProxyless,
        {
            "data": {"blob": "b+/="},
            "api_js_subdomain": "client-api.example.com",
            "proxy": PROXY,
            "cn": False,
        },
        {
            "data": '{"blob":"b+/="}',
            "funcaptchaApiJSSubdomain": "client-api.example.com",
            "proxy": "http://proxy.example.com:8080:user:pa55word",
            "cn": False,
        },
    ),
    (CloudFlare5STask, {"rq_data": {"a": [1, None]}}, {"rqData": {"a": [1, None]}}),
    (
        CloudFlareTurnstileTask,
        {"rq_data": '{"a": {"b": 1}}', "proxy": PROXY},
        {"rqData": {"a": {"b": 1}}, "proxy": PROXY},
    ),
    (
        HCaptcha,
        {"lang": "en-US", "invisible": True, "rqdata": "r1", "proxy": PROXY},
        {"lang": "en-US", "invisible": True, "rqdata": "r1", "proxy": PROXY},
    ),
]


def name_of(value: object) -> str | None:
    """Name a class in a test's id."""
    return value.__name__ if isinstance(value, type) else None


def least(task_class: type[Task[Any]]) -> dict[str, Any]:
    """Return the arguments without which a task cannot be made."""
    return next(arguments for item, arguments, _ in LEAST if item is task_class)


def test_every_type_of_ezcaptcha_has_a_class_of_its_own() -> None:
    """One could be used through CustomTask only, or be taken for its dear sibling."""
    assert len({item(**PAGE) for item in V2 + V3}) == len(V2 + V3)
    assert {item.__name__ for item in TASK_TYPES} == {item.type for item in EZCAPTCHA.offers}
    assert {item for item, _, _ in LEAST} == set(TASK_TYPES)
    assert len(TASK_TYPES) == 13


@pytest.mark.parametrize(("task_class", "arguments", "wire"), LEAST, ids=name_of)
def test_wire_fields_of_the_least_task(task_class: Any, arguments: Any, wire: Any) -> None:
    """The service would miss a field, or get a null or a default that was never set."""
    task = task_class(**arguments)
    assert task_fields(task, EZCAPTCHA.offer_for(task.type)) == {"type": task.type, **wire}


@pytest.mark.parametrize(("task_class", "arguments", "wire"), FURTHER, ids=name_of)
def test_wire_fields_of_the_full_task(task_class: Any, arguments: Any, wire: Any) -> None:
    """An optional field would be sent under a name that the service passes over."""
    _, base, least_wire = next(item for item in LEAST if item[0] is task_class)
    task = task_class(**base, **arguments)
    expected = {"type": task_class.__name__, **least_wire, **wire}
    assert task_fields(task, EZCAPTCHA.offer_for(task.type)) == expected
    names = {field.metadata.get("wire", "type") for field in attrs.fields(task_class)}
    assert task_fields(task, None) == expected, "no profile has another spelling of these"
    assert names | {"type"} == set(expected), "a field is not in this table"


def test_a_reference_is_for_its_owner_alone() -> None:
    """The id of a job in a user's database would be told to the service."""
    task = ReCaptchaV2TaskProxyless(**PAGE, reference="job 17")
    assert task.reference == "job 17"
    assert "job 17" not in json.dumps(task_fields(task, EZCAPTCHA.offer_for(task.type)))
    custom = CustomTask("NewTask", {"a": 1}, reference="job 17")
    assert (custom.reference, task_fields(custom, None)) == ("job 17", {"type": "NewTask", "a": 1})


@pytest.mark.parametrize("wrong", ["", "x" * 201, "a\nb", 17, b"job"])
def test_a_reference_is_short_printable_text(wrong: Any) -> None:
    """A whole document as a reference would fill the journal, a line end would break a log."""
    with pytest.raises(ConfigurationError, match=r"reference must be printable .* 1 to 200"):
        ReCaptchaV2TaskProxyless(**PAGE, reference=wrong)


@pytest.mark.parametrize("task_class", TASK_TYPES, ids=name_of)
def test_fields_are_keyword_only_known_and_required(task_class: Any) -> None:
    """A task without them would be sent; a misspelt one be dropped, or URL and key be mixed up."""
    arguments = least(task_class)
    for name in arguments:
        rest = {key: value for key, value in arguments.items() if key != name}
        with pytest.raises(TypeError, match=name):
            task_class(**rest)

    with pytest.raises(TypeError, match=rf"^{task_class.__name__}\.__init__\(\) "):
        task_class(*arguments.values())
    with pytest.raises(TypeError, match="webSiteUrl"):
        task_class(**arguments, webSiteUrl=URL)


@pytest.mark.parametrize("task_class", TASK_TYPES, ids=name_of)
def test_tasks_are_values(task_class: Any) -> None:
    """A task could change after it was checked, or not be a key, a set member, or sent on."""
    task, twin = task_class(**least(task_class)), task_class(**least(task_class))
    assert task == twin == copy.copy(task)
    assert hash(task) == hash(twin)
    assert pickle.loads(pickle.dumps(task)) == task
    assert attrs.evolve(task, website_url="https://other.example.com") != task
    for field in attrs.fields(task_class):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(task, field.name, "other")
    with pytest.raises((AttributeError, TypeError)):
        task.note = "mine"


NEW: dict[str, Any] = {"type": "NewTask", "fields": {}}
WRONG: list[tuple[Any, str, Any]] = [
    *((ReCaptchaV2TaskProxyless, "website_url", value) for value in (None, 5, b"https://a.b", "")),
    *(
        (ReCaptchaV2TaskProxyless, "website_url", value)
        for value in (
            "example.com",
            "ftp://example.com",
            "https://",
            "https://:443/x",
            "https:///path",
            "https://a b.com",
            " https://a.com",
            "https://a.com/\n",
            "https://a.com:99999",
            "https://[::1/x",
            "javascript:alert(1)//https://a.com",
        )
    ),
    *((ReCaptchaV2TaskProxyless, "website_key", value) for value in (None, 5, "", "a b", "a\x7f")),
    *((ReCaptchaV2TaskProxyless, "is_invisible", value) for value in (None, 0, 1, "true")),
    *((ReCaptchaV2TaskProxyless, "sa", value) for value in (5, "", "a\tb")),
    *((ReCaptchaV2TaskProxyless, "s", value) for value in (5, "", "a b", "a\u2028b")),
    *((ReCaptchaV2TaskProxyless, "website_title", value) for value in (5, "", " ", b"title")),
    *((ReCaptchaV3TaskProxyless, "check_field", value) for value in (5, "", "a b")),
    *((FuncaptchaTaskProxyless, "cn", value) for value in (0, 1, "true")),
    *((HCaptcha, "lang", value) for value in (None, "", "en-us", "de-DE", ["en-US"])),
    *((HCaptcha, "invisible", value) for value in (None, 1, "true")),
    *((HCaptcha, "rqdata", value) for value in (5, "", {"a": 1})),
    *((CloudFlareTurnstileTask, "rq_data", value) for value in ("", "[]", 7)),
    *((ReCaptchaV3TaskProxyless, "page_action", value) for value in (5, "", "a b")),
    *((ReCaptchaV3TaskProxyless, "is_invisible", value) for value in (None, "false")),
    *(
        (FuncaptchaTaskProxyless, "data", value)
        for value in ("", "blob", "[1]", '"{}"', "{", '{"a":NaN}', '{"a":1e999}', 5, ["ab"])
    ),
    *((FuncaptchaTaskProxyless, "data", value) for value in ({"a": {1}}, {"a": float("nan")})),
    *((FuncaptchaTaskProxyless, "data", value) for value in ({(1, 2): 3}, "[" * 100_000)),
    *((FuncaptchaTaskProxyless, "api_js_subdomain", value) for value in (5, "", "a b")),
    *((CloudFlare5STask, "rq_data", value) for value in ("", "[]", 7, {"a": b"bytes"})),
    *((CustomTask, "type", value) for value in ("", "a b", None, 5)),
    *((CustomTask, "fields", value) for value in ("", "[]", 5, None, {"a": {1, 2}})),
    (CustomTask, "fields", {"type": "OtherTask"}),
]


def test_wrong_values_are_named_and_never_shown() -> None:
    """A mistake would be paid for, found far from its cause, or leak a proxy's password."""
    for task_class, field, value in WRONG:
        with pytest.raises(ConfigurationError, match=f"^{field} must ") as caught:
            base = NEW if task_class is CustomTask else least(task_class)
            task_class(**{**base, field: value})
        assert "pa55" not in str(caught.value)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None


def test_a_url_with_credentials_is_shown_without_them() -> None:
    """A page behind basic authentication would give its password to the log."""
    url = "https://user:pa55word@Example.com/login?next=a@b"
    task = ReCaptchaV2TaskProxyless(website_url=url, website_key="k")
    assert "website_url='https://***@Example.com/login?next=a@b'" in repr(task)
    assert task.host == "example.com"
    assert task_fields(task, None)["websiteURL"] == url


def test_what_was_not_given_is_not_shown() -> None:
    """A task of two fields would fill a log line with the names of all that it could have."""
    task = ReCaptchaV3TaskProxyless(**PAGE, reference="job 17")
    shown = f"website_url={URL!r}, website_key='6Lc-key', is_invisible=True"
    assert repr(task) == f"ReCaptchaV3TaskProxyless({shown})"
    half_made = ReCaptchaV3TaskProxyless.__new__(ReCaptchaV3TaskProxyless)
    assert repr(half_made) == "ReCaptchaV3TaskProxyless()", "as a traceback may show it"


def test_json_values_are_shown_by_their_keys() -> None:
    """A blob or a header in rq_data would be in every log line."""
    funcaptcha = FuncaptchaTaskProxyless(**PAGE, data={"blob": "5ecret", "other": "5ecret"})
    assert "data=<blob, other>" in repr(funcaptcha)
    cloudflare = CloudFlare5STask(website_url=URL, proxy=PROXY, rq_data={"a": "5ecret"})
    assert "rq_data=<a>" in repr(cloudflare)
    custom = CustomTask("NewTask", {"proxy": PROXY, "b": "5ecret"})
    assert repr(custom) == "CustomTask('NewTask', fields=<proxy, b>)"
    for task in (funcaptcha, cloudflare, custom):
        assert "5ecret" not in repr(task)


@pytest.mark.parametrize("data", [{"blob": "é", "n": 1}, '{"blob": "é",\n "n": 1}'])
def test_json_is_taken_as_a_mapping_or_as_text(data: Any) -> None:
    """The same data would be two different tasks, or be sent encoded twice."""
    task = FuncaptchaTaskProxyless(**PAGE, data=data)
    sent = task_fields(task, None)["data"]
    assert isinstance(sent, str)
    assert json.loads(sent) == {"blob": "é", "n": 1}
    assert task == FuncaptchaTaskProxyless(**PAGE, data=MappingProxyType({"blob": "é", "n": 1}))


def test_a_task_does_not_change_with_the_mapping_that_it_came_from() -> None:
    """A dict that a caller fills again for the next task would change the one in the queue."""
    data = {"blob": "one"}
    task = FuncaptchaTaskProxyless(**PAGE, data=data)
    data["blob"] = "two"
    assert task_fields(task, None)["data"] == '{"blob":"one"}'
    custom = CustomTask("NewTask", data)
    data["blob"] = "three"
    assert task_fields(custom, None) == {"type": "NewTask", "blob": "two"}
    cloudflare = CloudFlare5STask(website_url=URL, proxy=PROXY, rq_data={"a": [1]})
    task_fields(cloudflare, None)["rqData"]["a"].append(2)
    assert task_fields(cloudflare, None)["rqData"] == {"a": [1]}, "each has an object of its own"


def test_a_custom_task_is_sent_as_it_is() -> None:
    """A type that is newer than this library could not be used."""
    task = CustomTask("NewTask", {"websiteURL": URL, "deep": {"a": [True, None, 1.5]}})
    assert task_fields(task, None) == {
        "type": "NewTask",
        "websiteURL": URL,
        "deep": {"a": [True, None, 1.5]},
    }
    offer = EZCAPTCHA.offer_for("ReCaptchaV2TaskProxyless")
    assert task_fields(CustomTask("RecaptchaV2TaskProxyless", {"isInvisible": True}), offer) == {
        "type": "RecaptchaV2TaskProxyless",
        "isInvisible": True,
    }
    assert task == CustomTask(type="NewTask", fields=json.loads(task.fields))
    assert hash(task) == hash(CustomTask("NewTask", task.fields))
    assert pickle.loads(pickle.dumps(task)) == task
    assert task != CustomTask("OtherTask", task.fields)


@pytest.mark.parametrize(
    ("task", "host"),
    [
        *((item(**arguments), "example.com") for item, arguments, _ in LEAST),
        (
            ReCaptchaV2TaskProxyless(website_url="http://[2001:DB8::1]/", website_key="k"),
            "2001:db8::1",
        ),
        (CustomTask("NewTask", {"websiteURL": "https://A.example.com:8443/x"}), "a.example.com"),
        (CustomTask("NewTask", {"websiteURL": "https://[::1"}), ""),
        (CustomTask("NewTask", {"websiteURL": None}), ""),
        (CustomTask("NewTask", {"websiteURL": ["https://a.com"]}), ""),
        (CustomTask("NewTask", {}), ""),
        (Task[CustomSolution](), ""),  # one of a user's own may be without a page
    ],
    ids=repr,
)
def test_hosts(task: Task[Any], host: str) -> None:
    """Solve times are learned by host: capitals and ports would split or break them."""
    assert task.host == host


@pytest.mark.parametrize(
    ("task_types", "solution_type"),
    [
        (V2 + V3, ReCaptchaSolution),
        ([FuncaptchaTaskProxyless], FuncaptchaSolution),
        ([CloudFlare5STask], CloudFlare5SSolution),
        ([CloudFlareTurnstileTask], CloudFlareTurnstileSolution),
        ([HCaptcha], HCaptchaSolution),
        ([CustomTask], CustomSolution),
    ],
)
def test_solution_types(task_types: list[Any], solution_type: Any) -> None:
    """A resumed ticket, of which only the type's name is left, would be decoded as another."""
    for item in task_types:
        assert item.solution_type is solution_type
        assert solution_type_for(item.__name__) is solution_type


def test_names_of_secret_fields() -> None:
    """Whoever keeps tasks would keep passwords with them, or lose what tells pages apart."""
    secret = ("proxy", "proxyAddress", "password", "sessionToken", "USERNAME", "api-key", "auth")
    assert all(map(is_secret_name, secret))
    assert not any(map(is_secret_name, ("websiteURL", "websiteKey", "sa", "author", "reference")))


def test_fields_are_not_longer_than_can_be_sent_in_passing() -> None:
    """One task of a megabyte would hold up all others for a tenth of a second at each step."""
    page: dict[str, Any] = {"website_url": "https://example.com", "website_key": "k"}
    long = {"image": "5ecret" * 100_000}
    for make, field in (
        (lambda: CustomTask("NewTask", long), "fields"),
        (lambda: CustomTask("NewTask", {}, extra=long), "extra"),
        (lambda: FuncaptchaTaskProxyless(**page, data=long), "data"),
        (lambda: CloudFlareTurnstileTask(**page, rq_data=long), "rq_data"),
        (lambda: HCaptcha(**page, rqdata="5ecret" * 20_000), "rqdata"),
        (
            lambda: ReCaptchaV2TaskProxyless(**page, website_title="5ecret" * 20_000),
            "website_title",
        ),
        (lambda: HCaptcha(**page, proxy=f"http://u:{'5ecret' * 20_000}@h:1"), "proxy"),
    ):
        with pytest.raises(
            ConfigurationError, match=rf"^{field} must .* at most [\d,]+ char"
        ) as caught:
            make()
        assert "5ecret" not in str(caught.value)
    assert CustomTask("NewTask", {"image": "x" * 250_000}).fields

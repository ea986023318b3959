"""Fields that no class knows: sent as they are, and no way around those that one knows."""

from __future__ import annotations

import json
import pickle
from types import MappingProxyType
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ezcaptcha_async._wire.decoding import Decoder, Refused
from ezcaptcha_async._wire.encoding import task_fields
from ezcaptcha_async._wire.secrets import secrets_of
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.services import EZCAPTCHA, ONECAPTCHA
from ezcaptcha_async.tasks import (
    TASK_TYPES,
    CloudFlare5STask,
    CloudFlareTurnstileTask,
    CustomTask,
    FuncaptchaTaskProxyless,
    HCaptcha,
    ReCaptchaV2TaskProxyless,
    ReCaptchaV3TaskProxyless,
    Task,
)
from ezcaptcha_async.transports import Reply
from tests.unit.wire.test_codec import json_values

PAGE: dict[str, Any] = {"website_url": "https://example.com/", "website_key": "6Lc-key"}
PROXY = "http://user:pa55word@proxy.example.com:8080"


def with_extra(task_class: Any, extra: Any) -> Task[Any]:
    """Return a task with the fewest fields beside `extra`."""
    names = {field.name for field in attrs.fields(task_class) if field.default is attrs.NOTHING}
    values = {**PAGE, "proxy": PROXY}
    task: Task[Any] = task_class(**{name: values[name] for name in names}, extra=extra)
    return task


@pytest.mark.parametrize("task_class", TASK_TYPES, ids=lambda item: item.__name__)
def test_it_is_sent_as_it_is(task_class: Any) -> None:
    """A field that the service brought out yesterday would need a new release of this library."""
    extra = {"someNewField": [True, None, 1.5, {"deep": "\u00e9"}], "proxyType": "dc"}
    task = with_extra(task_class, extra)
    bare = task_fields(with_extra(task_class, None), EZCAPTCHA.offer_for(task.type))
    assert task_fields(task, EZCAPTCHA.offer_for(task.type)) == {**bare, **extra}
    assert task_fields(task, None) == {**bare, **extra}


def test_it_is_a_part_of_the_value() -> None:
    """A dict that a caller fills again would change a task in the queue, or it not be hashable."""
    extra = {"some": [1]}
    task = with_extra(ReCaptchaV2TaskProxyless, extra)
    extra["some"].append(2)
    assert task_fields(task, None)["some"] == [1]
    task_fields(task, None)["some"].append(3)
    assert task_fields(task, None)["some"] == [1]
    for same in ('{"some": [1]}', MappingProxyType({"some": [1]}), task.extra):
        twin = with_extra(ReCaptchaV2TaskProxyless, same)
        assert twin == task
        assert hash(twin) == hash(task)
    assert pickle.loads(pickle.dumps(task)) == attrs.evolve(task) == task
    bare = with_extra(ReCaptchaV2TaskProxyless, None)
    assert task != bare
    assert with_extra(ReCaptchaV2TaskProxyless, {}) == bare


def test_flags_in_it_stay_flags() -> None:
    """1captcha takes its one flag as text; what is given by hand is in the right form already."""
    task = ReCaptchaV2TaskProxyless(**PAGE, extra={"flag": True})
    fields = task_fields(task, ONECAPTCHA.offer_for(task.type))
    assert (fields["isInvisible"], fields["flag"]) == ("false", True)


@pytest.mark.parametrize("wrong", ["", "[]", "{", 5, ["a"], {"a": {1}}, {"a": float("nan")}])
def test_what_is_no_object_is_refused(wrong: Any) -> None:
    """What is no JSON object cannot be merged into the request."""
    with pytest.raises(ConfigurationError, match=r"^extra must be a JSON object"):
        with_extra(HCaptcha, wrong)


# Class → what is given, and which argument it is.
KNOWN: dict[Any, str] = {
    ReCaptchaV2TaskProxyless: """
        websiteURL website_url websiteUrl website_url website_url website_url
        WEBSITE-URL website_url isInvisible is_invisible S s proxy proxy
    """,
    ReCaptchaV3TaskProxyless: "pageaction page_action",
    FuncaptchaTaskProxyless: """
        funcaptchaApiJSSubdomain api_js_subdomain apiJsSubdomain api_js_subdomain
    """,
    CloudFlare5STask: "rqData rq_data",
    HCaptcha: "rq_data rqdata",
}
TYPOS: dict[Any, str] = {
    ReCaptchaV2TaskProxyless: """
        websiteTitel website_title websitTitle website_title webSiteTittle website_title
        isInvisble is_invisible invisible is_invisible proyx proxy proxys proxy
    """,
    ReCaptchaV3TaskProxyless: """
        page_actoin page_action pageActions page_action chekField check_field
    """,
    FuncaptchaTaskProxyless: "dta data api_subdomain api_js_subdomain",
    CloudFlare5STask: "reqData rq_data",
    CloudFlareTurnstileTask: "rqdat rq_data",
    HCaptcha: "isInvisible invisible lnag lang",
}
SEND_IT = "If there is such a field, send it in the fields of a CustomTask"


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (KNOWN, "extra must not hold {!r}: give it as {}"),
        (
            TYPOS,
            "extra holds {!r}: did you mean {}? " + SEND_IT,
        ),
    ],
)
def test_a_known_field_has_its_own_argument(table: dict[Any, str], complaint: str) -> None:
    """It would contradict what the task says itself; misspelt, a weaker token be paid for."""
    for task_class, words in table.items():
        for name, argument in zip(words.split()[::2], words.split()[1::2], strict=True):
            with pytest.raises(ConfigurationError) as caught:
                with_extra(task_class, {"new": 1, name: "pa55"})
            assert str(caught.value) == complaint.format(name, argument)


def test_the_type_is_what_the_task_says() -> None:
    """Two types in one request: the wrong one would win and be paid for."""
    for name in ("type", "Type", "TYPE"):
        for make in (
            lambda extra: ReCaptchaV2TaskProxyless(**PAGE, extra=extra),
            lambda extra: CustomTask("NewTask", {"a": 1}, extra=extra),
            lambda extra: Task[Any](extra=extra),
        ):
            with pytest.raises(ConfigurationError, match="must not hold 'type': the class says it"):
                make({name: "OtherTask"})


NEW = """
    someNewField proxyType proxyLogin proxyPassword proxyAddress proxyPort proxyIP proxies userAgent
    cookies minScore isEnterprise enterprisePayload apiDomain siteKey language metadata action
    reference sb k x websiteKind
"""


@pytest.mark.parametrize("task_class", TASK_TYPES, ids=lambda item: item.__name__)
def test_a_new_name_is_no_typo(task_class: Any) -> None:
    """What `extra` is for would be refused because it reminds of something."""
    for name in NEW.split():
        assert task_fields(with_extra(task_class, {name: 1}), None)[name] == 1
    # And one type may have tomorrow what others have today.
    task = ReCaptchaV2TaskProxyless(**PAGE, extra={"pageAction": "login", "cn": True})
    assert task_fields(task, None)["pageAction"] == "login"


def test_beside_the_fields_of_a_custom_task() -> None:
    """One of two values for a field would win, and nobody know which."""
    task = CustomTask("NewTask", {"a": 1, "websiteURL": "https://example.com"}, extra={"b": 2})
    sent = {"type": "NewTask", "a": 1, "websiteURL": "https://example.com", "b": 2}
    assert task_fields(task, None) == sent
    assert task != CustomTask("NewTask", task.fields)
    for name in ("a", "websiteurl"):
        with pytest.raises(ConfigurationError, match=f"extra must not hold '{name}', which fields"):
            CustomTask("NewTask", task.fields, extra={"c": 3, name: 4})


def test_only_names_are_shown() -> None:
    """Logins and cookies go here, and tasks are logged by whoever makes them."""
    task = ReCaptchaV2TaskProxyless(**PAGE, extra={"cookies": "5ecret", "b": PROXY}, sa="a")
    assert repr(task).endswith(", is_invisible=False, sa='a', extra=<cookies, b>)")
    custom = CustomTask("NewTask", {"a": "5ecret"}, extra={"b": "5ecret"})
    assert repr(custom) == "CustomTask('NewTask', fields=<a>, extra=<b>)"
    assert "extra" not in repr(ReCaptchaV2TaskProxyless(**PAGE))


@pytest.mark.parametrize("make", [ReCaptchaV2TaskProxyless, HCaptcha])
def test_what_is_secret_in_it_is_taken_out_of_what_a_service_says(make: Any) -> None:
    """A service that repeats the request in an error would write it into every log."""
    hidden = ["canary-login", "canary-cookie", "canary-pass"]
    extra = {
        "proxyLogin": hidden[0],
        "deep": [{"cookies": {"sid": hidden[1]}}],
        "otherProxy": f"h:1:me:{hidden[2]}",
    }
    task = make(**PAGE, extra=extra)
    assert set(hidden) <= set(secrets_of(task))
    body = {"errorId": 1, "errorCode": "E", "errorDescription": json.dumps(extra)}
    answer = Decoder(EZCAPTCHA, ["a-key"]).created(Reply(200, json.dumps(body).encode()), task)
    assert isinstance(answer, Refused)
    assert "canary" not in str(answer.error)


@given(st.dictionaries(st.text(), json_values, max_size=5))
@example({"x" * 10_000: 1, "": 2})
@example({"websiteKey\u0130": 1})
def test_whatever_is_json_is_sent_or_refused_and_never_changed(extra: dict[str, Any]) -> None:
    """A field would reach the service changed, or a strange name end in another exception."""
    try:
        task = ReCaptchaV2TaskProxyless(**PAGE, extra=extra)
    except ConfigurationError as error:
        message = str(error)
    else:
        message = ""
    if message:
        assert message.startswith("extra ")
        assert len(message) < 300
        return
    bare = task_fields(ReCaptchaV2TaskProxyless(**PAGE), None)
    assert task_fields(task, None) == {**bare, **extra}
    assert ReCaptchaV2TaskProxyless(**PAGE, extra=task.extra) == task
    assert CustomTask("NewTask", {}, extra=extra).extra == task.extra

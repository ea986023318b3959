"""From arguments to a task."""

from __future__ import annotations

import json

import pytest

from ezcaptcha_async import (
    CloudFlare5STask,
    ConfigurationError,
    CustomTask,
    FuncaptchaTaskProxyless,
    HCaptcha,
    ReCaptchaV2STaskProxyless,
    ReCaptchaV3TaskProxyless,
)
from ezcaptcha_async.cli.fields import task_from
from tests.cli.commands import SECRET

PAGE = ("website_url=https://example.com/?a=b", "website_key=a-key")


def test_a_type_in_any_case_with_text_fields() -> None:
    """A type copied from a service's page, which spells it otherwise, would be refused."""
    task = task_from("recaptchav2STASKproxyless", [*PAGE, "s=1=2"])
    expected = ReCaptchaV2STaskProxyless(
        website_url="https://example.com/?a=b", website_key="a-key", s="1=2"
    )
    assert task == expected


@pytest.mark.parametrize(
    ("text", "flag"),
    [("true", True), ("No", False), ("1", True), ("FALSE", False), ("yes", True), ("0", False)],
)
def test_flags_are_read_in_the_usual_spellings(text: str, *, flag: bool) -> None:
    """``is_invisible=false`` would be a text, and so true or an error."""
    task = task_from("ReCaptchaV3TaskProxyless", [*PAGE, f"is_invisible={text}"])
    assert isinstance(task, ReCaptchaV3TaskProxyless)
    assert task.is_invisible is flag


def test_json_in_fields() -> None:
    """Fields that hold an object, or anything but text, could not be given."""
    blob = {"blob": "x y"}
    as_text = task_from("FuncaptchaTaskProxyless", [*PAGE, f"data={json.dumps(blob)}"])
    as_json = task_from("FuncaptchaTaskProxyless", [*PAGE, f"data:={json.dumps(blob)}"])
    url, key = (field.partition("=")[2] for field in PAGE)
    task = FuncaptchaTaskProxyless(website_url=url, website_key=key, data=blob)
    assert as_text == as_json == task
    flagged = task_from("ReCaptchaV3TaskProxyless", [*PAGE, "is_invisible:=false"])
    assert flagged == task_from("ReCaptchaV3TaskProxyless", [*PAGE, "is_invisible=false"])


def test_a_file_of_fields_and_a_flag_without_a_default() -> None:
    """A proxy's password would have to stand among the arguments; `cn=false` would be a text."""
    more = '{"proxy": "http://user:password@example.net:8080"}'
    task = task_from("CloudFlare5STask", ["website_url=https://example.com"], more)
    assert isinstance(task, CloudFlare5STask)
    assert task.proxy == "http://user:password@example.net:8080"
    task = task_from("FuncaptchaTaskProxyless", [*PAGE, "cn=false", "proxy=h.example:1:u:p"])
    assert isinstance(task, FuncaptchaTaskProxyless)
    assert (task.cn, task.proxy) == (False, "http://u:p@h.example:1")


def test_fields_that_no_class_knows() -> None:
    """A field that a service brought out yesterday could not be used from a shell."""
    url, key = (field.partition("=")[2] for field in PAGE)
    task = HCaptcha(website_url=url, website_key=key, invisible=True, extra={"new": [1]})
    arguments = [*PAGE, "invisible=yes"]
    assert task_from("hcaptcha", [*arguments, 'extra:={"new": [1]}']) == task
    assert task_from("hcaptcha", [*arguments, 'extra={"new": [1]}']) == task
    assert task_from("hcaptcha", arguments, '{"extra": {"new": [1]}}') == task


def test_any_other_type_with_fields_as_on_the_wire() -> None:
    """A type that a service brought out yesterday could not be used from a shell."""
    fields = ["websiteURL=https://example.com", "isInvisible:=true", "minScore:=0.3"]
    expected = CustomTask(
        "NewTask", {"websiteURL": "https://example.com", "isInvisible": True, "minScore": 0.3}
    )
    assert task_from("NewTask", fields, custom=True) == expected


@pytest.mark.parametrize(
    ("task_type", "fields", "more", "message"),
    [
        ("RecaptchaV3Task", [], None, "did you mean ReCaptchaV3TaskProxyless?"),
        ("Something", [], None, "type Something is not known; 'ezcaptcha types' lists all"),
        (f"proxy={SECRET}", [], None, "the type comes first"),
        ("ReCaptchaV3TaskProxyless", [], None, "needs website_url and website_key"),
        ("ReCaptchaV3TaskProxyless", ["websiteURL=x"], None, "did you mean website_url?"),
        ("ReCaptchaV3TaskProxyless", ["invisible=1"], None, "did you mean is_invisible?"),
        ("ReCaptchaV3TaskProxyless", ["qqq=1"], None, "it has website_url, website_key, proxy"),
        ("ReCaptchaV3TaskProxyless", ["action=x"], None, "did you mean page_action?"),
        ("ReCaptchaV2TaskProxyless", ["isEnterprise=x"], None, "no field isEnterprise; it has"),
        ("FuncaptchaTaskProxyless", ["blob=x"], None, "did you mean data?"),
        ("HCaptcha", ["pageurl=x"], None, "did you mean website_url?"),
        ("CloudFlare5STask", ["sitekey=x"], None, "no field sitekey; it has website_url, proxy"),
        ("ReCaptchaV3TaskProxyless", [*PAGE, "is_invisible=x"], None, "must be true or false"),
        ("ReCaptchaV3TaskProxyless", [*PAGE, *PAGE], None, "website_url was given twice"),
        ("ReCaptchaV3TaskProxyless", ["a=1"], '{"a": 2}', "a was given twice"),
        ("ReCaptchaV3TaskProxyless", [PAGE[0], SECRET], None, "field 2 must have the form name="),
        ("CloudFlare5STask", [f"proxy:={SECRET}"], None, "proxy:= must be followed by JSON"),
        ("CloudFlare5STask", [PAGE[0], f"proxy={SECRET}"], None, "proxy must have the form"),
        ("CloudFlare5STask", [PAGE[0], f"proxy={SECRET}@h:1"], None, "a user and a password"),
        ("HCaptcha", [*PAGE, f'extra={{"lnag":"{SECRET}"}}'], None, "did you mean lang?"),
        ("HCaptcha", [*PAGE, f"extra={SECRET}"], None, "extra must be a JSON object"),
        ("CloudFlare5STask", [], f"[{SECRET}", "--fields must hold one JSON object"),
        ("CloudFlare5STask", [], f'["{SECRET}"]', "--fields must hold one JSON object"),
        ("CloudFlare5STask", [], f'{{"proxy": "{SECRET}", "proxy": ""}}', "with each name once"),
    ],
)
def test_what_is_wrong_is_named_and_no_value_repeated(
    task_type: str, fields: list[str], more: str | None, message: str
) -> None:
    """The user would be left guessing, or find a password in a log."""
    with pytest.raises(ConfigurationError) as caught:
        task_from(task_type, fields, more)
    assert message in str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__context__


MEANT = {
    "HCaptcha": "HCaptchaTaskProxyless HCaptchaTask hCaptcah",
    "CloudFlareTurnstileTask": "CloudflareTurnstyleTask TurnstileTask TurnstileTaskProxyless",
    "ReCaptchaV2STaskProxyless": "ReCaptchaV2STaskProxyles ReCaptchaV2S",
    "ReCaptchaV2TaskProxyless": "ReCaptchaV2TaskProxyles NoCaptchaTask NoCaptchaTaskProxyless",
    "ReCaptchaV3TaskProxyless": "recaptcha_v3 ReCapchaV3",
    "ReCaptchaV3EnterpriseTaskProxyless": "RecaptchaV3EnterpriseTask",
    "ReCaptchaV2EnterpriseTaskProxyless": "RecaptchaV2EnterpriseTask",
    "FuncaptchaTaskProxyless": "ArkoseLabs",
    "CloudFlare5STask": "AntiCloudflareTask",
}


@pytest.mark.parametrize("meant", MEANT)
def test_the_type_that_is_meant_is_named(meant: str) -> None:
    """The user would have to read the whole list for one letter, or a name of another service."""
    for typed in MEANT[meant].split():
        with pytest.raises(ConfigurationError, match=rf"did you mean {meant}\?"):
            task_from(typed, [])


@pytest.mark.parametrize(
    "typed",
    [
        *("GeeTestTaskProxyless", "GeeTestV3", "AmazonTaskProxyless", "CapyTask", "MTCaptcha"),
        *("FriendlyCaptchaTaskProxyless", "KeyCaptcha", "CutCaptchaTask", "CaptchaFoxTask"),
    ],
)
def test_what_is_not_served_is_taken_for_no_other_type(typed: str) -> None:
    """The user would pay for tokens that are of no use on his page."""
    with pytest.raises(ConfigurationError, match=f"{typed} is not known; 'ezcaptcha types'"):
        task_from(typed, [])

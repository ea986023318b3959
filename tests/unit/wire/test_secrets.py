"""What is secret of a task, by its fields' names and looks, and that no answer repeats it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async._wire.codec import Decoder, Encoder, Refused
from ezcaptcha_async._wire.secrets import secrets_in, spellings
from ezcaptcha_async.errors import ServiceError, ThrottledError
from ezcaptcha_async.services import EZCAPTCHA
from ezcaptcha_async.tasks import CloudFlare5STask, CustomTask, ReCaptchaV2TaskProxyless, Task
from ezcaptcha_async.transports import Reply

HIDDEN = "canary-93ab"
KEY = "5ecret-key-0123456789"
PAGE = "https://example.com"
DECODER = Decoder(EZCAPTCHA, [KEY])


def refused(
    code: str, text: object = "", task: Task[Any] | None = None, decoder: Decoder = DECODER
) -> ServiceError:
    """Read a refusal, as an answer to createTask and to getTaskResult; return its error."""
    body = {"errorId": 1, "errorCode": code, "errorDescription": text}
    reply = Reply(200, json.dumps(body).encode())
    answers = decoder.created(reply, task), decoder.result(reply, task)
    errors = [answer.error for answer in answers if isinstance(answer, Refused)]
    assert repr(errors[0]) == repr(errors[1])
    return errors[0]


# -------------------------------------------------------------------- what is secret


@pytest.mark.parametrize(
    "name",
    [
        "proxyPassword",
        "proxyLogin",
        "password",
        "PASSWORD",
        "passwd",
        "pass",
        "Auth",
        "pwd",
        "passphrase",
        "secret",
        "clientSecret",
        "accessToken",
        "csrf_token",
        "cookies",
        "Cookie",
        "credentials",
        "login",
        "userName",
        "proxy_username",
        "sessionId",
        "Authorization",
        "apiKey",
        "api_key",
        "X-Api-Key",
        "clientKey",
        "privateKey",
    ],
)
@pytest.mark.parametrize(
    "value",
    [HIDDEN, [HIDDEN], {"name": HIDDEN}, [{"deep": [[HIDDEN]]}], f"sid=1; id={HIDDEN}"],
    ids=["text", "list", "object", "deep", "cookies"],
)
def test_a_field_whose_name_says_so_is_secret(name: str, value: Any) -> None:
    """A service that repeats the request in an error would write it into every log."""
    assert HIDDEN in secrets_in({name: value})
    assert HIDDEN in secrets_in({"outer": [{name: value}]})


@pytest.mark.parametrize(
    "name",
    [
        "websiteURL",
        "websiteKey",
        "siteKey",
        "userAgent",
        "pageAction",
        "sa",
        "data",
        "proxyType",
        "passive",
        "author",
    ],
)
def test_other_fields_are_not(name: str) -> None:
    """The text of an error would lose what it is about."""
    assert secrets_in({name: "https://example.com/login", "other": [True, None, 5, "en"]}) == ()


@pytest.mark.parametrize(
    ("proxy", "secrets"),
    [
        ("http://user:pass@h:1", {"user:pass", "pass"}),
        ("http://user@h:1", {"user"}),
        ("user:pass@h:1", {"user:pass", "pass"}),
        ("h:1:user:pass", {"user:pass", "pass"}),
        ("user:pass:h:1", {"user:pass", "pass", "h:1", "1"}),
        ("socks5:h:1:user:pass", {"user:pass", "pass"}),
        # As it is written, as a URL has it, and what either is without escapes.
        (
            "http://h:1:user:p@ss",
            {"h:1:user:p", "1:user:p", "user:p%40ss", "p%40ss", "user:p@ss", "p@ss"},
        ),
        (
            "h:80:user:p%41ss",
            {"user:p%41ss", "p%41ss", "user:pAss", "pAss", "user:p%2541ss", "p%2541ss"},
        ),
        ("user:1234:h:80", {"user:1234", "1234", "h:80", "80"}),
        ("h:1", set[str]()),
        ("http://h:1", set[str]()),
        ("http://@h:1", set[str]()),
    ],
)
def test_the_credentials_of_a_proxy_in_every_form(proxy: str, secrets: set[str]) -> None:
    """Lists of proxies come in many forms, and all of them hold passwords."""
    assert set(secrets_in({"proxy": proxy})) == secrets


def test_only_a_field_of_a_proxy_has_those_forms() -> None:
    """Any text with colons would be taken for a password."""
    assert secrets_in({"time": "10:20:30:40", "mail": "somebody@example.com"}) == ()


def test_short_parts_of_a_secret_are_not_looked_for() -> None:
    """The path of a cookie would take every slash out of a message."""
    cookie = {"name": "id", "value": HIDDEN, "path": "/", "secure": True, "port": 80}
    assert secrets_in({"cookies": [cookie]}) == (HIDDEN,)
    assert secrets_in({"cookies": "a=1; b"}) == ("a=1; b",)
    # What is short as a whole is secret all the same.
    assert secrets_in({"password": "abc", "pin": 1, "passwordNumber": 77}) == ("abc", "77")
    assert secrets_in({"password": "", "token": None, "cookies": []}) == ()


def test_a_deep_task_is_searched_to_its_end() -> None:
    """What a user nests deeply would end the pool by an error of recursion."""
    fields: dict[str, Any] = {"password": HIDDEN}
    for _ in range(5_000):
        fields = {"deeper": [fields]}
    assert secrets_in(fields) == (HIDDEN,)


def test_spellings_begin_with_the_longest() -> None:
    """A shorter one that is taken out first would leave the rest of the longer one."""
    found = spellings(["a", "a%2Fb", 'a"'])
    assert set(found) == {"a", "a%2Fb", "a/b", 'a"', 'a\\"'}
    assert [len(spelling) for spelling in found] == sorted(map(len, found), reverse=True)


# ----------------------------------------------------------------- what is taken out


def test_what_holds_secrets_shows_none() -> None:
    """A traceback with locals, or a debug log, would give key, proxy and tokens away."""
    encoder = Encoder(KEY)
    task = CloudFlare5STask(website_url=PAGE, proxy="http://user:5ecret@proxy.example.com:8080")
    body = encoder.create_task(task, None)
    assert b"5ecret" in body.content
    answer = Reply(200, b'{"errorId":0,"status":"ready","solution":{"token":"5ecret"}}')
    assert repr(body) == f"<RequestBody of {len(body.content)} bytes>"
    assert repr(encoder) == "<Encoder>"
    assert repr(answer) == f"<Reply 200, {len(answer.body)} bytes>"
    assert repr(DECODER) == "<Decoder of ezcaptcha>"
    assert repr(DECODER.result(answer)) == "<Ready>"
    assert not hasattr(encoder, "__dict__")


def test_the_key_is_taken_out_of_what_the_service_says() -> None:
    """Some services repeat the key in their descriptions; it would land in every log."""
    error = refused(f"ERROR_{KEY}", f"key {KEY}{KEY} is not {KEY}")
    assert error.code == "ERROR_***"
    assert error.description == "key ****** is not ***"


@pytest.mark.parametrize("key", ['5ecret"5ecret', "5ecret\\5ecret", "5ecret%2F5ecret"])
@pytest.mark.parametrize("form", [str, json.dumps, unquote])
def test_the_key_is_taken_out_in_every_form(key: str, form: Callable[[str], str]) -> None:
    """A service that repeats the request as JSON or as a URL would show the key."""
    error = refused("ERROR_X", f"bad {form(key)}!", decoder=Decoder(EZCAPTCHA, [key]))
    assert "5ecret" not in str(error)
    assert "***" in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "cannot reach http://user:pa55pa55@proxy.example.com:8080.",
        "cannot reach http://us@pa55:pa55@proxy.example.com:8080.",
        "cannot reach http://user:pa55@pa55@proxy.example.com:8080.",
        "cannot reach user:pa55pa55@proxy.example.com:8080.",
    ],
)
def test_credentials_are_taken_out_without_the_task(text: str) -> None:
    """After a resume nobody knows the task; a service that names the proxy would show it."""
    description = refused("ERROR_PROXY", text).description
    assert "pa55" not in description
    assert description.endswith("***@proxy.example.com:8080.")


@pytest.mark.parametrize(
    ("password", "repeated"),
    [
        ("pa55", "pa55"),
        ("pa55%2Fpa55", "pa55%2Fpa55"),
        ("pa55%2Fpa55", "pa55/pa55"),
        ("pa55:pa55", "pa55:pa55"),
        ("pa55@pa55", "pa55@pa55"),
        ("pa55wörpa55", "pa55wörpa55"),
        ("pa55wörpa55", "pa55w\\u00f6rpa55"),
        ('pa55"pa55', 'pa55"pa55'),
        ("pa55\\pa55", "pa55\\pa55"),
    ],
)
@pytest.mark.parametrize("form", ["{}", "http://user:{}@proxy.example.com:8080", "user:{}", "<{}>"])
def test_the_password_of_a_tasks_proxy_is_taken_out_in_every_form(
    password: str, repeated: str, form: str
) -> None:
    """A service that repeats what it was sent, on its own or spelled otherwise, would show it."""
    proxy = f"http://user:{password}@proxy.example.com:8080"
    tasks: list[Task[Any]] = [
        CloudFlare5STask(website_url=PAGE, proxy=proxy),
        CustomTask("NewTask", {"deep": [{"proxy": proxy}]}),
        ReCaptchaV2TaskProxyless(website_url=PAGE, website_key="k", extra={"otherProxy": proxy}),
        ReCaptchaV2TaskProxyless(website_url=f"https://user:{password}@a.com/", website_key="k"),
    ]
    text = f"wrong: {form.format(repeated)}, {form.format(repeated)}"
    for task in tasks:
        error = refused(text, text, task)
        assert "pa55" not in str(error)
        assert "***" in error.code
        assert "***" in error.description


@pytest.mark.parametrize("proxy", ["socks5://10.0.0.1:1080", "http://@10.0.0.1:80", "h:1", ""])
def test_a_task_without_a_password_changes_nothing(proxy: str) -> None:
    """Every character of a message would be taken for an empty password."""
    error = refused("ERROR_X", "no reason", CustomTask("NewTask", {"proxy": proxy}))
    assert (error.code, error.description) == ("ERROR_X", "no reason")


@pytest.mark.parametrize("secret", ["E", "_", "ERROR", "LIMIT", "REQUEST"])
def test_what_a_code_means_does_not_depend_on_the_secrets(secret: str) -> None:
    """A password that occurs in a code would turn a throttle into the end of a paid task."""
    task = CloudFlare5STask(website_url=PAGE, proxy=f"http://user:{secret}@proxy.example.com:80")
    for decoder in (DECODER, Decoder(EZCAPTCHA, [secret])):
        error = refused("ERROR_REQUEST_LIMIT", task=task, decoder=decoder)
        assert isinstance(error, ThrottledError)


def test_long_texts_are_cut_after_the_secret_was_taken_out() -> None:
    """Half of a key at the place of the cut would be no longer recognised as one."""
    for filler in range(270, 310):
        text = DECODER.scrub("x" * filler + KEY + "y" * 100)
        assert "5ecret" not in text
        assert len(text) <= 301
        assert text.endswith("…")
    assert DECODER.scrub("x" * 300) == "x" * 300
    assert refused("", "d" * 9_999).description == "d" * 300 + "…"


def test_a_secret_that_a_long_text_is_cut_in_is_taken_out() -> None:
    """Half of a key would show at the end of a description that repeats it a thousand times."""
    key = "0123456789abcdefghij"
    decoder = Decoder(EZCAPTCHA, [key])
    for length in range(9_980, 10_020):
        said = decoder.scrub((key * 1_000)[:length] + key + "x" * 1_000_000)
        assert len(said) <= 301
        assert not any(key[start : start + 4] in said for start in range(len(key) - 3))


secrets = st.text("0123456789abcdef", min_size=8, max_size=40)


@given(secrets, st.lists(st.text(max_size=30), min_size=1, max_size=12), st.booleans())
def test_no_secret_comes_through(secret: str, pieces: list[str], doubled: bool) -> None:  # noqa: FBT001
    """Wherever and however often the key is repeated, it would be shown."""
    text = (secret * (1 + doubled)).join(pieces)
    error = refused(text, [text, {text: text}], decoder=Decoder(EZCAPTCHA, [secret]))
    assert secret not in f"{error} {error!r} {error.code} {error.description}"
    assert len(error.code) <= 301
    assert len(error.description) <= 301

"""What is secret of a task: by the names of its fields, and by how their values look."""

from __future__ import annotations

from typing import Any

import pytest

from ezcaptcha_async._wire.secrets import secrets_in, spellings

HIDDEN = "canary-93ab"


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

"""Accounts: the key is checked, told apart by a fingerprint, and shown nowhere."""

from __future__ import annotations

import pickle
from math import inf, nan
from typing import Any

import attrs
import pytest

from ezcaptcha_async.accounts import Account, default_key, default_service, key_variable
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.services import EZCAPTCHA, ONECAPTCHA

KEY = "5ecret-key-0123456789"


def test_defaults() -> None:
    """A plain key would be used at another service, or with limits that nobody set."""
    account = Account(KEY)
    assert account.client_key == KEY
    assert account.service is EZCAPTCHA
    assert (account.max_in_flight, account.max_creates) == (None, 20)
    assert account == Account(KEY)
    assert account != Account(KEY, service=ONECAPTCHA)
    assert pickle.loads(pickle.dumps(account)) == account


@pytest.mark.parametrize("arguments", [{}, {"service": ONECAPTCHA, "max_in_flight": 5}])
def test_the_key_is_shown_nowhere(arguments: dict[str, Any]) -> None:
    """A log line or a traceback with locals would give the key away."""
    account = Account(KEY, **arguments)
    for text in (repr(account), str(account), account.name, account.fingerprint):
        assert "5ecret" not in text
    assert f"service={account.service.name!r}" in repr(account)


def test_a_key_is_printable_ascii_and_bare() -> None:
    """A key from a broken file, or in quotes, would be refused, and after thirty tries banned."""
    key: Any
    for key in ("", None, 5, b"key", "kéy", "a\nb", "key\x00", "a\tb"):
        with pytest.raises(ConfigurationError, match="client_key must be a non-empty") as caught:
            Account(key)
        assert str(key or "None") not in str(caught.value)
    for key in (" 5ecret", "5ecret ", " ", "5ecret 5ecret", '"5ecret"', "'5ecret"):
        with pytest.raises(ConfigurationError, match=r"strip it|must not stand in q") as caught:
            Account(key)
        assert "5ecret" not in str(caught.value)


@pytest.mark.parametrize("service", [None, "ezcaptcha", "https://api.ez-captcha.com"])
def test_a_service_is_a_profile(service: Any) -> None:
    """A URL in place of a profile would fail with an AttributeError at the first task."""
    with pytest.raises(ConfigurationError, match="service must be a Service, not"):
        Account(KEY, service=service)


@pytest.mark.parametrize(
    ("fields", "wrong", "least", "complaint"),
    [
        (
            ("max_in_flight", "max_creates", "app_id"),
            (0, -1, 1.5, "3", True),
            1,
            "whole number of at least 1",
        ),
        (
            ("creates_per_second", "polls_per_second"),
            (0, -1.0, 1e-7, inf, nan, "3", True),
            0.1,
            "positive number",
        ),
    ],
)
def test_limits_are_numbers(
    fields: tuple[str, ...], wrong: tuple[Any, ...], least: Any, complaint: str
) -> None:
    """A limit of zero would hold every task back for ever; a wrong number be sent to a service."""
    for field in fields:
        for value in wrong:
            with pytest.raises(ConfigurationError, match=f"{field} must be a {complaint}"):
                Account(KEY, **{field: value})
        assert getattr(Account(KEY, **{field: least}), field) == least


def test_settings_are_keyword_only() -> None:
    """`Account("key", 5)` could mean either limit."""
    with pytest.raises(TypeError):
        Account(KEY, ONECAPTCHA)  # type: ignore[call-arg]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Account(KEY).max_creates = 1  # type: ignore[misc]


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    """A ticket that was saved by one release could not be resumed by the next."""
    assert Account("client-key").fingerprint == "f2ec1133"
    assert Account("client-key").name == "ezcaptcha:f2ec1133"
    assert Account("client-key", service=ONECAPTCHA).name == "1captcha:f2ec1133"
    assert len({Account(f"key-{number}").fingerprint for number in range(500)}) == 500


KEY_VARIABLES = ("EZCAPTCHA_CLIENT_KEY", "EZCAPTCHA_API_KEY", "EZCAPSOLVER_API_KEY")


@pytest.mark.parametrize("environ", [{}, *({name: " "} for name in KEY_VARIABLES)])
def test_no_key_in_the_environment(environ: dict[str, str]) -> None:
    """An empty key would be sent instead of a hint where to put it."""
    assert key_variable(environ) is None
    with pytest.raises(ConfigurationError) as caught:
        default_key(environ)
    assert str(caught.value) == (
        "no client key: pass one, or set EZCAPTCHA_CLIENT_KEY "
        "(EZCAPTCHA_API_KEY or EZCAPSOLVER_API_KEY will do too)"
    )


@pytest.mark.parametrize("name", KEY_VARIABLES)
def test_the_key_of_the_environment(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key with the line end of an `.env` file would be refused."""
    assert default_key({name: f" {KEY}\n"}) == KEY
    # Of several, it is the first that says something: as the maker's own client does.
    environ = {other: f"key of {other}" for other in KEY_VARIABLES}
    for before in KEY_VARIABLES[: KEY_VARIABLES.index(name)]:
        environ[before] = " \n"
    assert (key_variable(environ), default_key(environ)) == (name, f"key of {name}")
    monkeypatch.setenv(name, KEY)
    assert (default_key(), key_variable()) == (KEY, name)


def test_the_service_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program could not be pointed at a simulator without changing its code."""
    assert default_service({}) is EZCAPTCHA
    assert default_service({"EZCAPTCHA_BASE_URL": ""}) is EZCAPTCHA
    monkeypatch.setenv("EZCAPTCHA_BASE_URL", "http://127.0.0.1:8000/")
    service = default_service()
    assert service == attrs.evolve(EZCAPTCHA, base_url="http://127.0.0.1:8000")


def test_an_account_is_at_the_service_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test of a program that sets limits would send its key to the real service, and pay."""
    assert Account(KEY).service is EZCAPTCHA
    monkeypatch.setenv("EZCAPTCHA_BASE_URL", "http://127.0.0.1:8000")
    monkeypatch.setenv("EZCAPTCHA_TIME_SCALE", "20")
    assert Account(KEY, max_in_flight=5).service == default_service()
    assert Account(KEY, service=ONECAPTCHA).service is ONECAPTCHA


def test_the_time_scale_of_the_environment() -> None:
    """A test of an unchanged program would wait for a fast simulator as for the real service."""
    environ = {"EZCAPTCHA_BASE_URL": "http://127.0.0.1:8000", "EZCAPTCHA_TIME_SCALE": "20"}
    service = default_service(environ)
    assert service == attrs.evolve(EZCAPTCHA, base_url="http://127.0.0.1:8000").at_speed(20)
    assert default_service(environ | {"EZCAPTCHA_TIME_SCALE": ""}).speed == 1


@pytest.mark.parametrize(
    ("url", "scale", "problem"),
    [
        ("http://example.com", "", "EZCAPTCHA_BASE_URL: base_url .*unencrypted"),
        # Left over from a test, it would poll the real service until it bans the key.
        ("", "20", "EZCAPTCHA_TIME_SCALE: .*EZCAPTCHA_BASE_URL"),
        ("https://api.example.com", "20", "EZCAPTCHA_TIME_SCALE: .*EZCAPTCHA_BASE_URL"),
        *(
            ("http://127.0.0.1:8000", scale, "EZCAPTCHA_TIME_SCALE: .*positive number, not")
            for scale in ("fast", "0", "-1", "nan", "inf")
        ),
    ],
)
def test_what_is_wrong_in_the_environment_is_named(url: str, scale: str, problem: str) -> None:
    """The message would not say that it is an environment variable that is wrong."""
    with pytest.raises(ConfigurationError, match=f"^{problem}") as caught:
        default_service({"EZCAPTCHA_BASE_URL": url, "EZCAPTCHA_TIME_SCALE": scale})
    assert caught.value.__context__ is None

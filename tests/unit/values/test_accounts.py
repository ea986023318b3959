"""Accounts: the key is checked, told apart by a fingerprint, and shown nowhere."""

from __future__ import annotations

import pickle
import re
from math import inf, nan
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@pytest.mark.parametrize("arguments", [{}, {"service": ONECAPTCHA, "max_in_flight": 5}])
def test_the_key_is_shown_nowhere(arguments: dict[str, Any]) -> None:
    """A log line or a traceback with locals would give the key away."""
    account = Account(KEY, **arguments)
    for text in (repr(account), str(account), account.name, account.fingerprint):
        assert "5ecret" not in text
    assert f"service={account.service.name!r}" in repr(account)


@pytest.mark.parametrize("key", ["", None, 5, b"key", "kéy", "a\nb", "key\x00", "a\tb"])
def test_a_key_is_printable_ascii(key: Any) -> None:
    """A key from a broken file would be sent, refused, and after thirty tries banned."""
    with pytest.raises(ConfigurationError, match="client_key must be a non-empty str") as caught:
        Account(key)
    assert str(key or "None") not in str(caught.value)


@pytest.mark.parametrize("key", [" 5ecret", "5ecret ", " ", "5ecret 5ecret", '"5ecret"', "'5ecret"])
def test_a_key_is_one_and_bare(key: str) -> None:
    """What was pasted with a blank, or has kept its quotes, would look like a wrong key."""
    with pytest.raises(ConfigurationError, match=r"strip it|must not stand in quotes") as caught:
        Account(key)
    assert "5ecret" not in str(caught.value)


@pytest.mark.parametrize("service", [None, "ezcaptcha", "https://api.ez-captcha.com"])
def test_a_service_is_a_profile(service: Any) -> None:
    """A URL in place of a profile would fail with an AttributeError at the first task."""
    with pytest.raises(ConfigurationError, match="service must be a Service, not"):
        Account(KEY, service=service)


@pytest.mark.parametrize("field", ["max_in_flight", "max_creates", "app_id"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "3", True])
def test_limits_are_whole_numbers(field: str, value: Any) -> None:
    """A limit of zero would hold every task back for ever; a wrong number be sent to a service."""
    with pytest.raises(ConfigurationError, match=f"{field} must be a whole number of at least 1"):
        Account(KEY, **{field: value})
    least: Any = {field: 1}
    assert getattr(Account(KEY, **least), field) == 1


@pytest.mark.parametrize("field", ["creates_per_second", "polls_per_second"])
@pytest.mark.parametrize("value", [0, -1.0, 1e-7, inf, nan, "3", True])
def test_rates_are_positive_numbers(field: str, value: Any) -> None:
    """A rate of zero would hold every request back for ever, without a word."""
    with pytest.raises(ConfigurationError, match=f"{field} must be a positive number"):
        Account(KEY, **{field: value})
    slow: Any = {field: 0.1}
    assert getattr(Account(KEY, **slow), field) == 0.1


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


@given(st.lists(st.text("abcdef0123456789", min_size=8), min_size=2, max_size=20, unique=True))
def test_fingerprints_tell_keys_apart(keys: list[str]) -> None:
    """A ticket would be resumed with a key that did not pay for it."""
    fingerprints = [Account(key).fingerprint for key in keys]
    assert len(set(fingerprints)) == len(keys)
    assert all(re.fullmatch("[0-9a-f]{8}", item) for item in fingerprints)


def test_an_account_pickles() -> None:
    """A worker process could not be given its account."""
    account = Account(KEY, service=ONECAPTCHA, max_in_flight=5)
    assert pickle.loads(pickle.dumps(account)) == account


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
    monkeypatch.setenv(name, KEY)
    assert (default_key(), key_variable()) == (KEY, name)


@pytest.mark.parametrize("blank", [None, "", " \n"])
def test_which_of_several_keys_is_taken(blank: str | None) -> None:
    """A program that uses the maker's own client as well would pay with another account's key."""
    environ = {name: f"key of {name}" for name in KEY_VARIABLES}
    for name in KEY_VARIABLES:
        assert (key_variable(environ), default_key(environ)) == (name, f"key of {name}")
        if blank is None:
            del environ[name]
        else:
            environ[name] = blank


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


def test_an_unsafe_url_in_the_environment_is_named() -> None:
    """The message would not say that it is an environment variable that is wrong."""
    with pytest.raises(
        ConfigurationError, match=r"^EZCAPTCHA_BASE_URL: base_url .*unencrypted"
    ) as caught:
        default_service({"EZCAPTCHA_BASE_URL": "http://example.com"})
    assert caught.value.__context__ is None


def test_the_time_scale_of_the_environment() -> None:
    """A test of an unchanged program would wait for a fast simulator as for the real service."""
    environ = {"EZCAPTCHA_BASE_URL": "http://127.0.0.1:8000", "EZCAPTCHA_TIME_SCALE": "20"}
    service = default_service(environ)
    assert service == attrs.evolve(EZCAPTCHA, base_url="http://127.0.0.1:8000").at_speed(20)
    assert default_service(environ | {"EZCAPTCHA_TIME_SCALE": ""}).speed == 1


@pytest.mark.parametrize("url", ["", "https://api.example.com"])
def test_the_real_service_runs_at_no_other_speed(url: str) -> None:
    """A variable left over from a test would poll the real service until it bans the key."""
    with pytest.raises(ConfigurationError, match=r"^EZCAPTCHA_TIME_SCALE: .*EZCAPTCHA_BASE_URL"):
        default_service({"EZCAPTCHA_BASE_URL": url, "EZCAPTCHA_TIME_SCALE": "20"})


@pytest.mark.parametrize("scale", ["fast", "0", "-1", "nan", "inf"])
def test_a_time_scale_that_is_none_is_named(scale: str) -> None:
    """The message would not say that it is an environment variable that is wrong."""
    environ = {"EZCAPTCHA_BASE_URL": "http://127.0.0.1:8000", "EZCAPTCHA_TIME_SCALE": scale}
    with pytest.raises(
        ConfigurationError, match=r"^EZCAPTCHA_TIME_SCALE: .*positive number, not"
    ) as caught:
        default_service(environ)
    assert caught.value.__context__ is None

"""The profiles: what each service has, what it charges, and where a key may be sent."""

from __future__ import annotations

import pickle
from math import inf, nan
from typing import Any

import attrs
import pytest

from ezcaptcha_async.errors import (
    BannedError,
    CapacityError,
    ConfigurationError,
    CredentialError,
    InsufficientBalanceError,
    InvalidTaskError,
    RequestError,
    ServiceError,
    SubscriptionError,
    TaskFailedError,
    TaskNotFoundError,
    ThrottledError,
)
from ezcaptcha_async.services import ERROR_CODES, EZCAPTCHA, ONECAPTCHA, Offer, Service

CODES = {
    CapacityError: "SERVICE_UNAVALIABLE SERVICE_UNAVAILABLE SERVICE_TIMEOUT NO_SLOT_AVAILABLE "
    "INTERNAL_SERVER_ERROR",
    ThrottledError: "REQUEST_LIMIT",
    BannedError: "IP_BANNED REQUEST_BANNED",
    CredentialError: "KEY_DOES_NOT_EXIST KEY_NOT_AVAILABLE KEY_BANNED",
    InsufficientBalanceError: "ZERO_BALANCE",
    SubscriptionError: "SUBSCRIPTION_EXPIRED PACKAGE_NOT_EXIST PACKAGE_TASK_TYPE_NOT_SUPPORTED",
    InvalidTaskError: "REQUIRED_FIELDS REQUEST_PARAMETERS REQUEST_PROXY_MISSING TASK_NOT_SUPPORTED "
    "TASK_TYPE_NOT_SUPPORTED TASK_TYPE_NOT_AVAILABLE TASK_TYPE_NOT_ALLOWED WEBSITE_NOT_ALLOWED "
    "RECAPTCHA_INVALID_SITEKEY",
    TaskNotFoundError: "TASKID_INVALID TASK_NOT_EXIST",
    TaskFailedError: "CAPTCHA_UNSOLVABLE TASK_TIMEOUT",
    RequestError: "CONTENT_TYPE_ERROR REQUEST_METHOD NOT_FOUND",
}
"""What the services' pages say, and EzCaptcha's own clients of October 2026."""

EZCAPTCHA_OFFERS = {  # type → (highest price, lowest price)
    "ReCaptchaV2TaskProxyless": (6, 6),
    "ReCaptchaV2TaskProxylessS9": (12, 12),
    "ReCaptchaV2STaskProxyless": (15, 6),
    "ReCaptchaV2EnterpriseTaskProxyless": (18, 12),
    "ReCaptchaV2SEnterpriseTaskProxyless": (30, 12),
    "ReCaptchaV3TaskProxyless": (8, 8),
    "ReCaptchaV3TaskProxylessS9": (15, 15),
    "ReCaptchaV3EnterpriseTaskProxyless": (18, 18),
    "ReCaptchaV3EnterpriseTaskProxylessS9": (None, None),
    "FuncaptchaTaskProxyless": (18, 18),
    "CloudFlare5STask": (None, None),
    "CloudFlareTurnstileTask": (None, None),
    "HCaptcha": (None, None),
}


def test_every_code_of_the_services_has_its_remedy() -> None:
    """A code under the wrong class makes a client go on when it must stop, or stop too soon."""
    documented: dict[str, type[ServiceError]] = {
        f"ERROR_{code}": error for error, codes in CODES.items() for code in codes.split()
    }
    documented["INVALID_RECAPTCHA_SITEURL"] = InvalidTaskError
    assert documented == ERROR_CODES
    for service in (EZCAPTCHA, ONECAPTCHA):
        assert {code: service.error_class(code) for code in documented} == documented


@pytest.mark.parametrize("code", ["ERROR_ZERO_BALANCE", "ERROR_IP_BANNED", "ERROR_TASK_TIMEOUT"])
def test_a_code_in_another_spelling(code: str) -> None:
    """A clear no would be an unknown answer, and its task be said to be paid for perhaps."""
    words = code.split("_")
    spelled = [code.lower(), code.title(), " ".join(words), "-".join(words), f" {code}\r\n"]
    spelled += ["_".join(words[1:]), " ".join(words[1:]).capitalize()]
    for other in spelled:
        assert EZCAPTCHA.error_class(other) is ERROR_CODES[code], other
        own = attrs.evolve(EZCAPTCHA, error_codes={other: CredentialError})
        assert own.error_class(code) is CredentialError


NOT_YET = """
    CAPTCHA_NOT_READY CAPCHA_NOT_READY ERROR_CAPTCHA_NOT_READY TASK_NOT_READY NOT_YET_READY
    TASK_NOT_COMPLETED PROCESSING ERROR_PENDING TASK_STILL_PROCESSING TASK_IN_PROGRESS
    RESULT_NOT_READY_YET
"""
SLOW_DOWN = """
    ERROR_TOO_MUCH_REQUESTS ERROR_TOO_MANY_REQUESTS TOO_MANY_REQUESTS SLOW_DOWN ERROR_RATE_LIMIT
    RATE_LIMITED ERROR_RATE_LIMIT_EXCEEDED REQUEST_TOO_FREQUENT ERROR_LIMIT_EXCEEDED THROTTLED
    ERROR_QPS_LIMIT
"""
ELSE = "_ ERROR_ NEW ERROR_PROCESSING_FAILED TARGET_SITE_TOO_MANY_REQUESTS WEBSITE_NOT_READY"


@pytest.mark.parametrize(
    ("codes", "error_class", "not_yet"),
    [
        (["captcha not ready", *NOT_YET.split()], ServiceError, True),
        (["too many requests", *SLOW_DOWN.split()], ThrottledError, False),
        (["", "ERROR_ZERO_BALANCE" + " " * 200, *ELSE.split()], ServiceError, False),
        (["ERROR_NEW", "ERROR_ZERO_BALANCE_AND_MORE"], ServiceError, False),
    ],
)
def test_codes_that_no_table_has(
    codes: list[str],
    error_class: type[ServiceError],
    not_yet: bool,  # noqa: FBT001
) -> None:
    """A paid task would end because it takes its time, or be polled to the end for a no."""
    for code in codes:
        assert EZCAPTCHA.error_class(code) is error_class, code
        assert EZCAPTCHA.means_processing(code) is not_yet, code
    own = attrs.evolve(EZCAPTCHA, error_codes={"ERROR_NEW": CapacityError})
    assert own.error_class("ERROR_NEW") is CapacityError


def test_offers_and_prices() -> None:
    """A wrong price lets a budget be overspent; a missing type cannot be solved at all."""
    (offer,) = ONECAPTCHA.offers
    assert attrs.astuple(offer) == (
        *("ReCaptchaV2TaskProxyless", "RecaptchaV2TaskProxyless", 4, 4, True),
    )
    offers = {item.type: (item.points, item.lowest_points) for item in EZCAPTCHA.offers}
    assert offers == EZCAPTCHA_OFFERS
    assert all(item.wire_type == item.type for item in EZCAPTCHA.offers)
    assert not any(item.booleans_as_text for item in EZCAPTCHA.offers)


@pytest.mark.parametrize(
    ("service", "name", "url", "points_per_unit", "currency"),
    [
        (EZCAPTCHA, "ezcaptcha", "https://api.ez-captcha.com", 10_000, "USD"),
        (ONECAPTCHA, "1captcha", "https://api.1captcha.vip", 1_000, "CNY"),
    ],
)
def test_what_is_known_of_each_service(
    service: Service, name: str, url: str, points_per_unit: float, currency: str
) -> None:
    """Tasks would be sent elsewhere, given up too early, or polled too fast."""
    assert (service.name, service.base_url) == (name, url)
    assert (service.points_per_unit, service.currency) == (points_per_unit, currency)
    assert (service.result_window, service.min_poll_interval) == (300, 3)
    assert service.token_validity == 120
    assert service.allow_plain_http is False


@pytest.mark.parametrize("change", [str, str.lower, str.upper, str.swapcase])
def test_types_are_matched_without_case(change: Any) -> None:
    """The pages spell both ReCaptcha and Recaptcha; one of them would not be served."""
    for service in (EZCAPTCHA, ONECAPTCHA):
        for offer in service.offers:
            assert service.offer_for(change(offer.type)) is offer
            assert service.offer_for(change(offer.wire_type)) is offer
    assert EZCAPTCHA.offer_for(change("NewTask")) is None
    assert ONECAPTCHA.offer_for(change("CloudFlare5STask")) is None


def test_an_offer_needs_no_more_than_its_type() -> None:
    """Adding a type to a profile would need every field spelled out."""
    offer = Offer(type="NewTask", points=7)
    assert (offer.wire_type, offer.lowest_points) == ("NewTask", 7)
    assert Offer(type="NewTask").points is None


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://api.example.com", None),
        ("https://api.example.com/", "https://api.example.com"),
        ("https://api.example.com//", "https://api.example.com"),
        ("https://api.example.com:8443/gateway/v1/", "https://api.example.com:8443/gateway/v1"),
        ("HTTPS://API.example.com", None),
        ("https://[2001:db8::1]:8443", None),
        ("http://127.0.0.1:8000", None),
        ("http://localhost", None),
        ("http://LocalHost:1", None),
        ("http://[::1]:8000/x", None),
    ],
)
def test_safe_base_urls(url: str, kept: str | None) -> None:
    """A gateway or a simulator could not be used, or requests would go to ``//createTask``."""
    assert attrs.evolve(EZCAPTCHA, base_url=url).base_url == (kept or url)


UNSAFE = {
    "absolute URL": (
        *("", "api.example.com", "//api.example.com", "ftp://api.example.com", "https://"),
        *("https://:443", "https:/api.example.com", "https://api.example.com:99999"),
        *("https://api.example.com:port", "https://api.example.com:-1", "https://[::1"),
    ),
    "user name or password": (
        *("https://user:word@api.example.com", "https://user@api.example.com"),
        *("https://:word@api.example.com", "http://localhost@api.example.com"),
    ),
    # With an empty one, every request would go to ``/``, and ``/createTask`` be a part of it.
    "query or a fragment": (
        *("https://api.example.com?key=1", "https://api.example.com/#top"),
        *("https://api.example.com?", "https://api.example.com/#"),
    ),
    "unencrypted": (
        *("http://api.example.com", "http://localhost.example.com", "http://10.0.0.5:8000"),
        "http://127.0.0.1.example.com",
    ),
    # From an environment file, where it would fail every request.
    "": (
        *(" https://api.example.com", "https://api.example.com\n", "https://api.exa\tmple.com"),
        *("https://api example.com", "https://api.example.com/a b"),
    ),
}


@pytest.mark.parametrize("complaint", UNSAFE)
def test_unsafe_base_urls(complaint: str) -> None:
    """A client key would be sent in the clear, or to somebody else."""
    for url in UNSAFE[complaint]:
        with pytest.raises(ConfigurationError, match=f"base_url .*{complaint}") as caught:
            attrs.evolve(EZCAPTCHA, base_url=url)
        assert "word" not in str(caught.value).replace("password", "")


def test_plain_http_inside_a_trusted_network() -> None:
    """A gateway in a private network could not be used at all."""
    url = "http://gateway.internal:8000"
    service = attrs.evolve(EZCAPTCHA, base_url=url, allow_plain_http=True)
    assert service.base_url == url
    with pytest.raises(ConfigurationError, match="unencrypted"):
        attrs.evolve(service, allow_plain_http=False)
    no_text: Any
    for no_text in (None, 5, b"https://api.example.com"):
        with pytest.raises(ConfigurationError, match="base_url must be a str"):
            attrs.evolve(EZCAPTCHA, base_url=no_text)


@pytest.mark.parametrize(
    "field", ["result_window", "min_poll_interval", "token_validity", "points_per_unit", "speed"]
)
def test_numbers_of_a_profile_are_positive(field: str) -> None:
    """A spacing of zero or of NaN would poll without pause, or never."""
    wrong: Any
    for wrong in (0, -1, inf, nan, True, "3", None):
        with pytest.raises(ConfigurationError, match=f"{field} must be a positive number"):
            attrs.evolve(EZCAPTCHA, **{field: wrong})


@pytest.mark.parametrize("name", ["", None, 5, "two\nlines"])
def test_a_service_has_a_name(name: Any) -> None:
    """Saved tickets name their service; one without a name could not be written down or read."""
    with pytest.raises(ConfigurationError, match="name"):
        attrs.evolve(EZCAPTCHA, name=name)


def test_at_speed() -> None:
    """At ten times real speed, a demonstration would poll too slowly or wait too long."""
    fast = EZCAPTCHA.at_speed(10)
    assert fast.result_window == pytest.approx(30)
    assert fast.min_poll_interval == pytest.approx(0.3)
    assert fast.token_validity == pytest.approx(12)
    assert EZCAPTCHA.at_speed(1) == EZCAPTCHA
    assert (fast.speed, EZCAPTCHA.speed) == (10, 1)
    assert EZCAPTCHA.at_speed(4).at_speed(0.25) == EZCAPTCHA
    for speed in (0, -1, nan, inf):
        with pytest.raises(ConfigurationError, match="speed must be a positive number"):
            EZCAPTCHA.at_speed(speed)


def test_a_profile_is_a_value() -> None:
    """Two pools could not share one profile, nor a worker process receive it."""
    service = attrs.evolve(EZCAPTCHA, base_url="http://127.0.0.1:8000", min_poll_interval=0.3)
    assert service != EZCAPTCHA
    assert (service.name, service.offers) == (EZCAPTCHA.name, EZCAPTCHA.offers)
    assert service.min_poll_interval == 0.3
    for item in (service, EZCAPTCHA, ONECAPTCHA):
        twin = pickle.loads(pickle.dumps(item))
        assert twin == item
        assert hash(twin) == hash(item)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        service.name = "other"  # type: ignore[misc]


class _SilentError(CapacityError):
    """An error that takes nothing of what a service says."""

    def __init__(self) -> None:
        super().__init__("CODE", "text")


@pytest.mark.parametrize("kind", ["CapacityError", KeyError, _SilentError, CapacityError(), None])
def test_an_error_code_leads_to_a_class_that_can_be_made(kind: Any) -> None:
    """The pool would end, with all that is paid, when the service says that code."""
    with pytest.raises(ConfigurationError, match="error_codes must name a class of error for"):
        attrs.evolve(EZCAPTCHA, error_codes={"ERROR_NEW": kind})

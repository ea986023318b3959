"""What is known of each HTTP service: where it is, how it spells types, what it charges.

Every number here comes from the services' public pages (read 2026-11); where two pages
of one service disagree, both readings are kept and the safe one is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

import attrs

from ezcaptcha_async._checks import (
    GuardedConstructor,
    check_flag,
    check_text,
    is_at_private_address,
    is_number,
)
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

LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})

ERROR_CODES: Final[Mapping[str, type[ServiceError]]] = {
    "ERROR_SERVICE_UNAVALIABLE": CapacityError,  # the service's own spelling
    "ERROR_SERVICE_UNAVAILABLE": CapacityError,
    "ERROR_SERVICE_TIMEOUT": CapacityError,
    "ERROR_NO_SLOT_AVAILABLE": CapacityError,
    "ERROR_INTERNAL_SERVER_ERROR": CapacityError,
    "ERROR_REQUEST_LIMIT": ThrottledError,
    "ERROR_IP_BANNED": BannedError,
    "ERROR_REQUEST_BANNED": BannedError,
    "ERROR_KEY_DOES_NOT_EXIST": CredentialError,
    "ERROR_KEY_NOT_AVAILABLE": CredentialError,
    "ERROR_KEY_BANNED": CredentialError,
    "ERROR_ZERO_BALANCE": InsufficientBalanceError,
    "ERROR_SUBSCRIPTION_EXPIRED": SubscriptionError,
    "ERROR_PACKAGE_NOT_EXIST": SubscriptionError,
    "ERROR_PACKAGE_TASK_TYPE_NOT_SUPPORTED": SubscriptionError,
    "ERROR_REQUIRED_FIELDS": InvalidTaskError,
    "ERROR_REQUEST_PARAMETERS": InvalidTaskError,
    "ERROR_REQUEST_PROXY_MISSING": InvalidTaskError,
    "ERROR_TASK_NOT_SUPPORTED": InvalidTaskError,
    "ERROR_TASK_TYPE_NOT_SUPPORTED": InvalidTaskError,
    "ERROR_TASK_TYPE_NOT_AVAILABLE": InvalidTaskError,
    "ERROR_TASK_TYPE_NOT_ALLOWED": InvalidTaskError,
    "ERROR_WEBSITE_NOT_ALLOWED": InvalidTaskError,
    "ERROR_RECAPTCHA_INVALID_SITEKEY": InvalidTaskError,
    "INVALID_RECAPTCHA_SITEURL": InvalidTaskError,
    "ERROR_TASKID_INVALID": TaskNotFoundError,
    "ERROR_TASK_NOT_EXIST": TaskNotFoundError,
    "ERROR_CAPTCHA_UNSOLVABLE": TaskFailedError,
    "ERROR_TASK_TIMEOUT": TaskFailedError,
    "ERROR_CONTENT_TYPE_ERROR": RequestError,
    "ERROR_REQUEST_METHOD": RequestError,
    "ERROR_NOT_FOUND": RequestError,
}
"""Service code → error class: the one place that knows what a code means."""

_IN_OTHER_WORDS: Final[Mapping[str, type[ServiceError] | None]] = {
    r"(CAPT?CHA_|TASK_|RESULT_|SOLUTION_)?(STILL_|IS_)*"
    r"(NOT_(YET_)?(READY|SOLVED|FINISHED|COMPLETED?|DONE|AVAILABLE_YET)(_YET)?"
    r"|PROCESSING|PENDING|QUEUED|IN_PROGRESS|IN_QUEUE)": None,
    r"((API|REQUESTS?|CLIENT|QUERY|POLL)_)?(TOO_(MANY|MUCH|FREQUENT|FAST)(_\w+)?"
    r"|(RATE|FREQUENCY|QPS)_?LIMIT(_?\w+)?|LIMIT_(EXCEEDED|REACHED)|THROTTL\w+|SLOW_DOWN)": (
        ThrottledError
    ),
}
"""The same for what no table can list: other spellings of "not yet", which is no error, and of
"slow down". Neither says anything of a task, so taking it for an error would end a paid one.
"""

_MOST_OF_A_CODE: Final = 200


@lru_cache(maxsize=256)
def _words_of(code: str) -> str:
    """Return a code in the one spelling in which codes are compared; empty for what is none."""
    if len(code) > _MOST_OF_A_CODE:
        return ""
    return re.sub(r"[\W_]+", "_", code).strip("_").upper().removeprefix("ERROR_")


_LEAST: Final = 1e-9
_MOST: Final = 1e12
"""Bounds on every number: sums of any of them, and what it is divided by, stay numbers."""


def _check_price(_offer: object, field: attrs.Attribute[Any], price: object) -> None:
    if price is not None and not is_number(price, 0, _MOST):
        raise ConfigurationError(
            f"{field.name} must be a number of at least 0, or None where no page states it, "
            f"not {price!r}"
        )


@attrs.frozen(kw_only=True)
class Offer:
    """One task type as one service spells and prices it.

    Args:
        type: The type as this library's task class names it.
        wire_type: The type as the service spells it, where that differs.
        points: Price of one task in points, the highest that its pages state; None when
            they state none.
        lowest_points: The lowest price that its pages state, where they disagree.
        booleans_as_text: True when the service documents booleans as ``"true"``/``"false"``.

    Raises:
        ConfigurationError: A value has not the right form; the message names it.

    Example:
        >>> offer = EZCAPTCHA.offer_for("ReCaptchaV2STaskProxyless")
        >>> offer.lowest_points, offer.points  # the pages disagree; budgets use the higher one
        (6, 15)
    """

    type: str = attrs.field(validator=check_text)
    wire_type: str = attrs.field(
        default=attrs.Factory(lambda offer: offer.type, takes_self=True), validator=check_text
    )
    points: float | None = attrs.field(default=None, validator=_check_price)
    lowest_points: float | None = attrs.field(
        default=attrs.Factory(lambda offer: offer.points, takes_self=True), validator=_check_price
    )
    booleans_as_text: bool = attrs.field(default=False, validator=check_flag)


def _without_trailing_slash(url: str) -> str:
    if not isinstance(url, str):
        raise ConfigurationError(f"base_url must be a str, not {type(url).__name__}")
    return url.rstrip("/")


def _as_tuple(offers: Iterable[Offer]) -> tuple[Offer, ...]:
    known = tuple(offers) if isinstance(offers, Iterable) else (offers,)
    for offer in known:
        if not isinstance(offer, Offer):
            raise ConfigurationError(f"offers must hold Offers, not {type(offer).__name__}")
    return known


def _as_table(codes: Mapping[str, type[ServiceError]]) -> Mapping[str, type[ServiceError]]:
    if codes is ERROR_CODES:
        return codes
    if not isinstance(codes, Mapping):
        raise ConfigurationError(f"error_codes must be a mapping, not {type(codes).__name__}")
    for code, kind in codes.items():
        if not isinstance(code, str):
            raise ConfigurationError(f"error_codes must have codes that are str, not {code!r}")
        if not isinstance(kind, type) or not issubclass(kind, ServiceError) or not _is_made(kind):
            raise ConfigurationError(
                f"error_codes must name a class of error for {code!r}, ServiceError or one below "
                f"it that is made as they are, and not {kind!r}"
            )
    return codes


def _is_made(kind: type[ServiceError]) -> bool:
    """Return whether a class of error can be made of what a service says, and told to callers."""
    try:
        error = kind("CODE", "text", request_id="1", errors={}, retry_after=1.0)
        return isinstance(error.for_ticket("1", None), ServiceError)
    except Exception:  # noqa: BLE001 - whatever an __init__ of the user's raises
        return False


def _check_name(_service: object, field: attrs.Attribute[str], name: object) -> None:
    if not isinstance(name, str) or not name or not name.isprintable():
        raise ConfigurationError(f"{field.name} must be a non-empty str of printable characters")


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # an impossible port shows only when it is asked for
    except ValueError:
        return None
    return parts


def _check_base_url(service: Service, _field: attrs.Attribute[str], url: str) -> None:
    parts = _split(url) if url.isprintable() and " " not in url else None
    if parts is None or not parts.hostname or parts.scheme not in {"http", "https"}:
        raise ConfigurationError("base_url must be an absolute URL such as https://api.example.com")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("base_url must not hold a user name or password; remove them")
    if "?" in url or "#" in url:
        raise ConfigurationError("base_url must not hold a query or a fragment; remove them")
    if (
        parts.scheme == "http"
        and parts.hostname not in LOOPBACK_HOSTS
        and service.allow_plain_http is not True
    ):
        raise ConfigurationError(
            "base_url would send the client key unencrypted; use https, or from Python, "
            "inside a network that you trust, a Service with allow_plain_http=True"
        )


def _check_positive(_owner: object, field: attrs.Attribute[Any], value: object) -> None:
    _require_positive(field.name, value)


def _require_positive(name: str, value: object) -> None:
    if not is_number(value, _LEAST, _MOST):
        raise ConfigurationError(
            f"{name} must be a positive number, not {value!r}, of {_LEAST:g} to {_MOST:g}"
        )


def check_speed(speed: float) -> None:
    """Check how many times as fast a service is to run.

    Raises:
        ConfigurationError: It is not a positive number.
    """
    _require_positive("speed", speed)


@attrs.frozen(kw_only=True)
class Service(GuardedConstructor):
    """The profile of one HTTP service. Make a variant with ``attrs.evolve``.

    Args:
        name: Short name, used in receipts, saved tickets and logs.
        base_url: Absolute URL before ``/createTask``; https, except on loopback.
        offers: The task types that the service has.
        result_window: Seconds after creation in which a result can be fetched.
        min_poll_interval: Least seconds between a ``processing`` answer and the next poll.
        token_validity: Seconds for which a token can be used.
        points_per_unit: How many points one unit of ``currency`` buys.
        currency: ISO 4217 code.
        error_codes: Service code → error class. Neither case nor what stands between the words
            makes a difference.
        create_ban: Seconds for which createTask is to keep silent after an
            ``ERROR_REQUEST_BANNED`` that does not say how long it lasts. EzCaptcha's own
            clients of October 2026 say 3 minutes.
        poll_ban: The same for getTaskResult; they say 1 minute.
        address_ban: The same after ``ERROR_IP_BANNED``, for all requests; the older pages say
            10 minutes.
        ban_window: Seconds within which about 30 errors earn a ban: those of the client key
            and, on createTask, of an empty balance.
        bans_together: True where the errors of createTask and getTaskResult, an empty balance
            on either, are counted together, as the older pages say.
        allow_plain_http: Permit http to a host that is not loopback, such as a gateway
            in a private network.
        allow_private_proxies: Permit tasks whose proxy is at a private address, as it makes
            sense for a service in your own network. The public ones refuse them, so without
            this no such task is sent.
        speed: How many times as fast as in reality it runs, by `at_speed`: where a pool has
            no `polling` of its own, it polls so much faster.

    Raises:
        ConfigurationError: A value is out of range, or ``base_url`` is unsafe.

    Example:
        >>> import attrs
        >>> own = Offer(type="ReCaptchaV2TaskProxyless", points=5)  # a price of your own
        >>> service = attrs.evolve(EZCAPTCHA, name="cheaper", offers=[own])
        >>> SessionPool("a-key", service=service)
        <SessionPool of cheaper:..., not open>
    """

    name: str = attrs.field(validator=_check_name)
    base_url: str = attrs.field(converter=_without_trailing_slash, validator=_check_base_url)
    offers: tuple[Offer, ...] = attrs.field(repr=False, converter=_as_tuple)
    result_window: float = attrs.field(default=300.0, validator=_check_positive)
    min_poll_interval: float = attrs.field(default=3.0, validator=_check_positive)
    token_validity: float = attrs.field(default=120.0, validator=_check_positive)
    points_per_unit: float = attrs.field(default=10_000.0, validator=_check_positive)
    currency: str = attrs.field(default="USD", validator=_check_name)
    error_codes: Mapping[str, type[ServiceError]] = attrs.field(
        default=ERROR_CODES, repr=False, hash=False, converter=_as_table
    )
    create_ban: float = attrs.field(default=180.0, validator=_check_positive)
    poll_ban: float = attrs.field(default=60.0, validator=_check_positive)
    address_ban: float = attrs.field(default=600.0, validator=_check_positive)
    ban_window: float = attrs.field(default=60.0, validator=_check_positive)
    bans_together: bool = attrs.field(default=False, validator=check_flag)
    allow_plain_http: bool = attrs.field(default=False, validator=check_flag)
    allow_private_proxies: bool = attrs.field(default=False, validator=check_flag)
    speed: float = attrs.field(default=1.0, validator=_check_positive)

    @cached_property
    def _offers_by_spelling(self) -> Mapping[str, Offer]:
        # Where several have the same spelling, the first of them counts; so too below.
        known = {
            spelling.casefold(): offer
            for offer in reversed(self.offers)
            for spelling in (offer.wire_type, offer.type)
        }
        return known | {offer.type: known[offer.type.casefold()] for offer in self.offers}

    @cached_property
    def _errors_by_words(self) -> Mapping[str, type[ServiceError]]:
        return {_words_of(code): kind for code, kind in reversed([*self.error_codes.items()])}

    def offer_for(self, task_type: str) -> Offer | None:
        """Return the offer for a task type, matched as the services do: without case.

        Example:
            >>> EZCAPTCHA.offer_for("ReCaptchaV2TaskProxyless").points
            6
        """
        known = self._offers_by_spelling
        return known.get(task_type) or known.get(task_type.casefold())

    def takes_proxy(self, proxy: str | None) -> bool:
        """Return whether a task with that proxy may be sent there; no name is looked up.

        Example:
            >>> EZCAPTCHA.takes_proxy("http://me:secret@192.168.1.9:3128")
            False
        """
        return proxy is None or self.allow_private_proxies or not is_at_private_address(proxy)

    def at_speed(self, speed: float) -> Service:
        """Return the profile of the same service running faster.

        Args:
            speed: How many times as fast; 10 for a simulated service in a demonstration.

        Raises:
            ConfigurationError: `speed` is not a positive number.

        Example:
            >>> EZCAPTCHA.at_speed(10).result_window
            30.0
        """
        check_speed(speed)
        return attrs.evolve(
            self,
            result_window=self.result_window / speed,
            min_poll_interval=self.min_poll_interval / speed,
            token_validity=self.token_validity / speed,
            create_ban=self.create_ban / speed,
            poll_ban=self.poll_ban / speed,
            address_ban=self.address_ban / speed,
            ban_window=self.ban_window / speed,
            speed=self.speed * speed,
        )

    def error_class(self, code: str) -> type[ServiceError]:
        """Return the error class for a service code; `ServiceError` when it is unknown.

        Codes such as ``ERROR_TOO_MUCH_REQUESTS``, in whatever words, are a `ThrottledError`.

        Example:
            >>> EZCAPTCHA.error_class("error_zero_balance").remedy
            'top up the account'
        """
        return self._meaning_of(code) or ServiceError

    def means_processing(self, code: str) -> bool:
        """Return whether a service code says only that a task is not solved yet.

        Example:
            >>> EZCAPTCHA.means_processing("CAPTCHA_NOT_READY")
            True
        """
        return self._meaning_of(code) is None

    def lists_code(self, code: str) -> bool:
        """Return whether a code is in `error_codes`, however it is spelled, and not only like one.

        Example:
            >>> EZCAPTCHA.lists_code("zero-balance"), EZCAPTCHA.lists_code("TOO_MANY_POLLS")
            (True, False)
        """
        return _words_of(code) in self._errors_by_words

    def _meaning_of(self, code: str) -> type[ServiceError] | None:
        words = _words_of(code)
        listed = self._errors_by_words.get(words)
        if listed is not None:
            return listed
        for pattern, meaning in _IN_OTHER_WORDS.items():
            if re.fullmatch(pattern, words):
                return meaning
        return ServiceError


EZCAPTCHA: Final = Service(
    name="ezcaptcha",
    base_url="https://api.ez-captcha.com",
    offers=(
        Offer(type="ReCaptchaV2TaskProxyless", points=6),
        Offer(type="ReCaptchaV2TaskProxylessS9", points=12),
        Offer(type="ReCaptchaV2STaskProxyless", points=15, lowest_points=6),
        Offer(type="ReCaptchaV2EnterpriseTaskProxyless", points=18, lowest_points=12),
        Offer(type="ReCaptchaV2SEnterpriseTaskProxyless", points=30, lowest_points=12),
        Offer(type="ReCaptchaV3TaskProxyless", points=8),
        Offer(type="ReCaptchaV3TaskProxylessS9", points=15),
        Offer(type="ReCaptchaV3EnterpriseTaskProxyless", points=18),
        Offer(type="ReCaptchaV3EnterpriseTaskProxylessS9"),
        Offer(type="FuncaptchaTaskProxyless", points=18),
        Offer(type="CloudFlare5STask"),
        Offer(type="CloudFlareTurnstileTask"),
        Offer(type="HCaptcha"),
    ),
)
"""EzCaptcha: all types; 10,000 points = 1 USD."""

ONECAPTCHA: Final = Service(
    name="1captcha",
    base_url="https://api.1captcha.vip",
    offers=(
        Offer(
            type="ReCaptchaV2TaskProxyless",
            wire_type="RecaptchaV2TaskProxyless",
            points=4,
            booleans_as_text=True,
        ),
    ),
    points_per_unit=1_000,
    currency="CNY",
    create_ban=600.0,
    poll_ban=600.0,
    bans_together=True,
)
"""1captcha: reCAPTCHA v2; 1,000 points = 1 CNY. Of bans it says what the older pages say."""

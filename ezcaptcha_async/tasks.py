"""What to solve: one immutable class per task type, named as the service names it.

A field's ``metadata["wire"]`` is its exact name on the wire. Everything is checked on
construction, so that a task that exists can be sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeAlias, TypeVar

import attrs

from ezcaptcha_async._checks import (
    LANGUAGE,
    GuardedConstructor,
    as_custom_fields,
    as_data,
    as_extra,
    as_optional_proxy,
    as_proxy,
    as_rq_data,
    check_credentials_last,
    check_extra,
    check_flag,
    check_language,
    check_no_field_twice,
    check_optional_flag,
    check_optional_text,
    check_optional_title,
    check_reference,
    check_text,
    check_url,
    credentials_last,
    host_of,
    keys_only,
    names_secret,
    without_user_info,
)
from ezcaptcha_async.solutions import (
    CloudFlare5SSolution,
    CloudFlareTurnstileSolution,
    CustomSolution,
    FuncaptchaSolution,
    HCaptchaSolution,
    ReCaptchaSolution,
    Solution,
)

_RQ_DATA: Final = {"wire": "rqData", "form": "object", "write": json.loads}

S_co = TypeVar("S_co", bound=Solution, covariant=True)
SolutionType: TypeAlias = type[Solution]


class Kind(NamedTuple):
    """What the solve times of tasks are expected to have in common.

    Example:
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(TASK)
        >>> [known.kind for known in pool.statistics().kinds]
        [Kind(service='ezcaptcha', task_type='ReCaptchaV2TaskProxyless', host='example.com')]
    """

    service: str
    task_type: str
    host: str


@lru_cache(maxsize=4_096)
def kind_of(service: str, task_type: str, host: str) -> Kind:
    """Return a kind, the same object each time: every ticket holds one."""
    return Kind(service, task_type, host)


@attrs.frozen(kw_only=True, repr=False)
class Task(GuardedConstructor, Generic[S_co]):
    """Base of all tasks; ``S_co`` is the solution that it leads to.

    Args:
        reference: What this task is to you: the id of a job or a row. It goes to no service,
            but into tickets, the journal and events, so that after a crash you know what a
            fetched solution is for. 1 to 200 characters, and no secret.
        extra: Fields of the service that this class does not know, as a mapping or its JSON
            text: they are sent as they are, beside the others. The values are shown nowhere.

    Raises:
        ConfigurationError: A field has not the form that it needs; the message names it.

    Example:
        >>> task = ReCaptchaV2TaskProxyless(
        ...     website_url="https://example.com/login", website_key="site-key", reference="job 17"
        ... )
        >>> task.type, task.host, task.reference
        ('ReCaptchaV2TaskProxyless', 'example.com', 'job 17')
    """

    solution_type: ClassVar[SolutionType]

    reference: str | None = attrs.field(default=None, validator=check_reference, repr=False)
    extra: str | None = attrs.field(
        default=None,
        converter=as_extra,
        validator=check_extra,
        metadata={"form": "object"},
        repr=keys_only,
    )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(_shown(self))})"

    @property
    def type(self) -> str:
        """The task type, as EzCaptcha names it."""
        return self.__class__.__name__

    @property
    def host(self) -> str:
        """Host of the page, in lower case; empty when there is none."""
        return ""


def _shown(task: Task[Any]) -> Iterator[str]:
    for field in sorted(attrs.fields(type(task)), key=lambda field: field.name == "extra"):
        value = getattr(task, field.name, None)  # it may be half made, in a traceback
        if field.repr and value is not None:
            yield f"{field.name}={field.repr(value) if callable(field.repr) else repr(value)}"


@attrs.frozen(kw_only=True, repr=False)
class _PageTask(Task[S_co]):
    website_url: str = attrs.field(
        metadata={"wire": "websiteURL"}, validator=check_url, repr=without_user_info
    )

    @property
    def host(self) -> str:
        return host_of(self.website_url)


@attrs.frozen(kw_only=True, repr=False)
class _SiteKeyTask(_PageTask[S_co]):
    website_key: str = attrs.field(metadata={"wire": "websiteKey"}, validator=check_text)
    proxy: str | None = attrs.field(
        default=None,
        converter=as_optional_proxy,
        metadata={"wire": "proxy"},
        repr=without_user_info,
    )


@attrs.frozen(kw_only=True, repr=False)
class _ReCaptchaTask(_SiteKeyTask[ReCaptchaSolution]):
    solution_type: ClassVar[SolutionType] = ReCaptchaSolution

    website_title: str | None = attrs.field(
        default=None, metadata={"wire": "websiteTitle"}, validator=check_optional_title
    )


@attrs.frozen(kw_only=True, repr=False)
class _ReCaptchaV2Task(_ReCaptchaTask):
    is_invisible: bool = attrs.field(
        default=False, metadata={"wire": "isInvisible"}, validator=check_flag
    )
    sa: str | None = attrs.field(
        default=None, metadata={"wire": "sa"}, validator=check_optional_text
    )
    s: str | None = attrs.field(default=None, metadata={"wire": "s"}, validator=check_optional_text)


@attrs.frozen(kw_only=True, repr=False)
class _ReCaptchaV3Task(_ReCaptchaTask):
    page_action: str | None = attrs.field(
        default=None, metadata={"wire": "pageAction"}, validator=check_optional_text
    )
    is_invisible: bool = attrs.field(
        default=True, metadata={"wire": "isInvisible"}, validator=check_flag
    )
    check_field: str | None = attrs.field(
        default=None, metadata={"wire": "checkField"}, validator=check_optional_text
    )


class ReCaptchaV2TaskProxyless(_ReCaptchaV2Task):
    """reCAPTCHA v2, visible or invisible. At EzCaptcha and at 1captcha.

    Args:
        website_url: Whole URL of the page.
        website_key: The page's site key.
        is_invisible: True for the invisible variant.
        sa: The ``sa`` parameter, where the page has one.
        s: The ``s`` parameter, likewise; single use.
        website_title: Title of the page.
        proxy: Where the service is to solve it from: ``http://user:password@host:port``, or
            https or socks5. ``host:port:user:password`` will do too. The password is shown
            nowhere.

    Example:
        >>> task = ReCaptchaV2TaskProxyless(
        ...     website_url="https://example.com/login", website_key="site-key", is_invisible=True
        ... )
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(task)
        >>> solution.token
        'simulated.recaptcha...'
    """

    __slots__ = ()


class ReCaptchaV2TaskProxylessS9(_ReCaptchaV2Task):
    """reCAPTCHA v2 with a score of 0.9 or more. Fields as `ReCaptchaV2TaskProxyless`.

    Example:
        >>> task = ReCaptchaV2TaskProxylessS9(
        ...     website_url="https://example.com/login", website_key="site-key"
        ... )
        >>> EZCAPTCHA.offer_for(task.type).points
        12
    """

    __slots__ = ()


class ReCaptchaV2STaskProxyless(_ReCaptchaV2Task):
    """reCAPTCHA v2 on a page with an ``s`` parameter. Fields as `ReCaptchaV2TaskProxyless`.

    Example:
        >>> task = ReCaptchaV2STaskProxyless(
        ...     website_url="https://example.com/login", website_key="site-key", s="s-of-this-visit"
        ... )
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(task)
        >>> solution.token
        'simulated.recaptcha...'
    """

    __slots__ = ()


class ReCaptchaV2EnterpriseTaskProxyless(_ReCaptchaV2Task):
    """reCAPTCHA v2 Enterprise. Fields as `ReCaptchaV2TaskProxyless`.

    Example:
        >>> task = ReCaptchaV2EnterpriseTaskProxyless(
        ...     website_url="https://example.com/login", website_key="site-key", sa="login"
        ... )
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(task)
        >>> solution.receipt.points
        18
    """

    __slots__ = ()


class ReCaptchaV2SEnterpriseTaskProxyless(_ReCaptchaV2Task):
    """reCAPTCHA v2 Enterprise with ``s``. Fields as `ReCaptchaV2TaskProxyless`.

    Example:
        >>> task = ReCaptchaV2SEnterpriseTaskProxyless(
        ...     website_url="https://example.com/login", website_key="site-key", s="s-of-this-visit"
        ... )
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(task)
        >>> solution.receipt.points
        30
    """

    __slots__ = ()


class ReCaptchaV3TaskProxyless(_ReCaptchaV3Task):
    """reCAPTCHA v3.

    Args:
        website_url: Whole URL of the page.
        website_key: The page's site key.
        page_action: The action that the page names; without it the token is much weaker.
        is_invisible: v3 is invisible unless the page says otherwise.
        check_field: A check field of the site, where it has one.
        website_title: Title of the page.
        proxy: As for `ReCaptchaV2TaskProxyless`.

    Example:
        >>> task = ReCaptchaV3TaskProxyless(
        ...     website_url="https://example.com/login", website_key="site-key", page_action="login"
        ... )
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(task)
        >>> solution.token
        'simulated.recaptcha...'
    """

    __slots__ = ()


class ReCaptchaV3TaskProxylessS9(_ReCaptchaV3Task):
    """reCAPTCHA v3 with a score of 0.9 or more. Fields as `ReCaptchaV3TaskProxyless`.

    Example:
        >>> task = ReCaptchaV3TaskProxylessS9(
        ...     website_url="https://example.com/login", website_key="site-key", page_action="login"
        ... )
        >>> EZCAPTCHA.offer_for(task.type).points
        15
    """

    __slots__ = ()


class ReCaptchaV3EnterpriseTaskProxyless(_ReCaptchaV3Task):
    """reCAPTCHA v3 Enterprise. Fields as `ReCaptchaV3TaskProxyless`.

    Example:
        >>> task = ReCaptchaV3EnterpriseTaskProxyless(
        ...     website_url="https://example.com/login", website_key="site-key", page_action="login"
        ... )
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(task)
        >>> solution.receipt.points
        18
    """

    __slots__ = ()


class ReCaptchaV3EnterpriseTaskProxylessS9(_ReCaptchaV3Task):
    """reCAPTCHA v3 Enterprise with a score of 0.9 or more. Fields as `ReCaptchaV3TaskProxyless`.

    Example:
        >>> task = ReCaptchaV3EnterpriseTaskProxylessS9(
        ...     website_url="https://example.com/login", website_key="site-key", page_action="login"
        ... )
        >>> EZCAPTCHA.offer_for(task.type).points is None  # no page states a price
        True
    """

    __slots__ = ()


@attrs.frozen(kw_only=True, repr=False)
class FuncaptchaTaskProxyless(_SiteKeyTask[FuncaptchaSolution]):
    """FunCaptcha (Arkose Labs).

    Args:
        website_url: Whole URL of the page.
        website_key: The page's public key.
        data: A JSON object such as ``{"blob": "…"}``, as a mapping or as its text.
        api_js_subdomain: Host that serves the page's api.js, where it has its own.
        proxy: As for `ReCaptchaV2TaskProxyless`. This type is sent it as
            ``http://host:port:user:password``, where nothing can be escaped: user and
            password must have neither a colon nor white space.
        cn: Whether the proxy is in mainland China.

    Example:
        >>> task = FuncaptchaTaskProxyless(
        ...     website_url="https://example.com/join", website_key="public-key", data={"blob": "…"}
        ... )
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(task)
        >>> solution.token
        'simulated.funcaptcha...'
    """

    solution_type: ClassVar[SolutionType] = FuncaptchaSolution

    data: str | None = attrs.field(
        default=None,
        converter=as_data,
        metadata={"wire": "data", "form": "object"},
        repr=keys_only,
    )
    api_js_subdomain: str | None = attrs.field(
        default=None, metadata={"wire": "funcaptchaApiJSSubdomain"}, validator=check_optional_text
    )
    proxy: str | None = attrs.field(
        default=None,
        converter=as_optional_proxy,
        validator=check_credentials_last,
        metadata={"wire": "proxy", "write": credentials_last},
        repr=without_user_info,
    )
    cn: bool | None = attrs.field(
        default=None, metadata={"wire": "cn"}, validator=check_optional_flag
    )


@attrs.frozen(kw_only=True, repr=False)
class CloudFlare5STask(_PageTask[CloudFlare5SSolution]):
    """The Cloudflare 5-second check, passed through your own proxy.

    Args:
        website_url: Whole URL of the page.
        proxy: As for `ReCaptchaV2TaskProxyless`, but required.
        rq_data: A JSON object with details of the request, as a mapping or as its text.

    Example:
        >>> CloudFlare5STask(
        ...     website_url="https://example.com/", proxy="http://me:secret@1.2.3.4:8080"
        ... )
        CloudFlare5STask(website_url='https://example.com/', proxy='http://***@1.2.3.4:8080')
    """

    solution_type: ClassVar[SolutionType] = CloudFlare5SSolution

    proxy: str = attrs.field(converter=as_proxy, metadata={"wire": "proxy"}, repr=without_user_info)
    rq_data: str | None = attrs.field(
        default=None, converter=as_rq_data, metadata=_RQ_DATA, repr=keys_only
    )


@attrs.frozen(kw_only=True, repr=False)
class CloudFlareTurnstileTask(_SiteKeyTask[CloudFlareTurnstileSolution]):
    """Cloudflare Turnstile.

    Args:
        website_url: Whole URL of the page.
        website_key: The page's site key, which begins with ``0x``.
        rq_data: A JSON object with details of the request, as a mapping or as its text.
        proxy: As for `ReCaptchaV2TaskProxyless`.

    Example:
        >>> task = CloudFlareTurnstileTask(
        ...     website_url="https://example.com/login", website_key="0x4AAA", rq_data={"mode": "x"}
        ... )
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(task)
        >>> solution.token
        'simulated.turnstile...'
    """

    solution_type: ClassVar[SolutionType] = CloudFlareTurnstileSolution

    rq_data: str | None = attrs.field(
        default=None, converter=as_rq_data, metadata=_RQ_DATA, repr=keys_only
    )


@attrs.frozen(kw_only=True, repr=False)
class HCaptcha(_SiteKeyTask[HCaptchaSolution]):
    """hCaptcha.

    Args:
        website_url: Whole URL of the page.
        website_key: The page's site key.
        lang: Language of the browser; the service has only ``en-US``.
        invisible: True where the page shows no checkbox.
        rqdata: The page's ``rqdata``, where it has one.
        proxy: As for `ReCaptchaV2TaskProxyless`.

    Example:
        >>> task = HCaptcha(website_url="https://example.com/login", website_key="site-key")
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(task)
        >>> solution.token
        'simulated.hcaptcha...'
    """

    solution_type: ClassVar[SolutionType] = HCaptchaSolution

    # The maker's own client sends both at all times.
    lang: str = attrs.field(default=LANGUAGE, metadata={"wire": "lang"}, validator=check_language)
    invisible: bool = attrs.field(
        default=False, metadata={"wire": "invisible"}, validator=check_flag
    )
    rqdata: str | None = attrs.field(
        default=None, metadata={"wire": "rqdata"}, validator=check_optional_text
    )


@attrs.frozen(repr=False)
class CustomTask(Task[CustomSolution]):
    """Any other type, by its name on the wire.

    Args:
        type: The service's name of the type.
        fields: Its fields as the service spells them, without ``type``, at most 256 KiB. Kept
            as JSON text; the values are shown nowhere. Where the service repeats credentials,
            or what a field holds whose name says that it is secret (``proxyPassword``,
            ``cookies``), that is taken out of the text of its error.

    Example:
        >>> fields = {"websiteURL": "https://example.com/", "websiteKey": "site-key"}
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(CustomTask("TurnstileTask", fields))
        >>> solution.extra["token"]
        '0.simulated'
    """

    solution_type: ClassVar[SolutionType] = CustomSolution

    _type: str = attrs.field(validator=check_text)
    fields: str = attrs.field(
        converter=as_custom_fields, validator=check_no_field_twice, repr=keys_only
    )

    def __repr__(self) -> str:
        extra = "" if self.extra is None else f", extra={keys_only(self.extra)}"
        return f"CustomTask({self._type!r}, fields={keys_only(self.fields)}{extra})"

    @property
    def type(self) -> str:
        """The service's name of the type."""
        return self._type

    @property
    def host(self) -> str:
        """Host of ``websiteURL``, when the fields have one."""
        return host_of(str(json.loads(self.fields).get("websiteURL", "")))


TASK_TYPES: Final[tuple[type[Task[Any]], ...]] = (
    ReCaptchaV2TaskProxyless,
    ReCaptchaV2TaskProxylessS9,
    ReCaptchaV2STaskProxyless,
    ReCaptchaV2EnterpriseTaskProxyless,
    ReCaptchaV2SEnterpriseTaskProxyless,
    ReCaptchaV3TaskProxyless,
    ReCaptchaV3TaskProxylessS9,
    ReCaptchaV3EnterpriseTaskProxyless,
    ReCaptchaV3EnterpriseTaskProxylessS9,
    FuncaptchaTaskProxyless,
    CloudFlare5STask,
    CloudFlareTurnstileTask,
    HCaptcha,
)
"""Every type that has a class of its own."""


def is_secret_name(name: str) -> bool:
    """Return whether what a field holds may be secret, going by its name.

    For those who keep fields of tasks in files or logs of their own.

    Example:
        >>> is_secret_name("proxy"), is_secret_name("sessionToken"), is_secret_name("websiteKey")
        (True, True, False)
    """
    return "proxy" in name.lower() or names_secret(name)


def proxy_of(task: Task[Any]) -> str | None:
    """Return the proxy of a task whose class has a field for one; None when it has none."""
    proxy = getattr(task, "proxy", None)
    return proxy if isinstance(proxy, str) else None


def solution_type_for(task_type: str) -> SolutionType:
    """Return the class of solution that a task type leads to."""
    for task_class in TASK_TYPES:
        if task_class.__name__ == task_type:
            return task_class.solution_type
    return CustomSolution

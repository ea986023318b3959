"""What to solve: one immutable class per task type, named as the service names it.

A field's ``metadata["wire"]`` is its exact name on the wire. Everything is checked on
construction, so that a task that exists can be sent.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeAlias, TypeVar

import attrs

from ezcaptcha_async._fields import (
    as_custom_fields,
    as_data,
    as_rq_data,
    check_flag,
    check_optional_text,
    check_proxy,
    check_reference,
    check_text,
    check_url,
    host_of,
    keys_only,
    without_user_info,
)
from ezcaptcha_async.solutions import (
    CloudFlare5SSolution,
    CustomSolution,
    FuncaptchaSolution,
    ReCaptchaSolution,
    Solution,
)

S = TypeVar("S", bound=Solution)
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


@attrs.frozen(kw_only=True)
class Task(Generic[S]):
    """Base of all tasks; ``S`` is the solution that it leads to.

    Args:
        reference: What this task is to you: the id of a job or a row. It goes to no service,
            but into tickets, the journal and events, so that after a crash you know what a
            fetched solution is for. 1 to 200 characters, and no secret.

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

    @property
    def type(self) -> str:
        """The task type, as EzCaptcha names it."""
        return self.__class__.__name__

    @property
    def host(self) -> str:
        """Host of the page, in lower case; empty when there is none."""
        return ""


@attrs.frozen(kw_only=True)
class _PageTask(Task[S]):
    website_url: str = attrs.field(
        metadata={"wire": "websiteURL"}, validator=check_url, repr=without_user_info
    )

    @property
    def host(self) -> str:
        return host_of(self.website_url)


@attrs.frozen(kw_only=True)
class _SiteKeyTask(_PageTask[S]):
    website_key: str = attrs.field(metadata={"wire": "websiteKey"}, validator=check_text)


@attrs.frozen(kw_only=True)
class _ReCaptchaV2Task(_SiteKeyTask[ReCaptchaSolution]):
    solution_type: ClassVar[SolutionType] = ReCaptchaSolution

    is_invisible: bool = attrs.field(
        default=False, metadata={"wire": "isInvisible"}, validator=check_flag
    )
    sa: str | None = attrs.field(
        default=None, metadata={"wire": "sa"}, validator=check_optional_text
    )


@attrs.frozen(kw_only=True)
class _ReCaptchaV2STask(_ReCaptchaV2Task):
    s: str = attrs.field(metadata={"wire": "s"}, validator=check_text)


@attrs.frozen(kw_only=True)
class _ReCaptchaV3Task(_SiteKeyTask[ReCaptchaSolution]):
    solution_type: ClassVar[SolutionType] = ReCaptchaSolution

    page_action: str | None = attrs.field(
        default=None, metadata={"wire": "pageAction"}, validator=check_optional_text
    )
    is_invisible: bool = attrs.field(
        default=True, metadata={"wire": "isInvisible"}, validator=check_flag
    )


@attrs.frozen(kw_only=True)
class ReCaptchaV2TaskProxyless(_ReCaptchaV2Task):
    """reCAPTCHA v2, visible or invisible. At EzCaptcha and at 1captcha.

    Args:
        website_url: Whole URL of the page.
        website_key: The page's site key.
        is_invisible: True for the invisible variant.
        sa: The ``sa`` parameter, where the page has one.

    Example:
        >>> task = ReCaptchaV2TaskProxyless(
        ...     website_url="https://example.com/login", website_key="site-key", is_invisible=True
        ... )
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(task)
        >>> solution.token
        'simulated.recaptcha...'
    """


@attrs.frozen(kw_only=True)
class ReCaptchaV2TaskProxylessS9(_ReCaptchaV2Task):
    """reCAPTCHA v2 with a score of 0.9 or more. Fields as `ReCaptchaV2TaskProxyless`.

    Example:
        >>> task = ReCaptchaV2TaskProxylessS9(
        ...     website_url="https://example.com/login", website_key="site-key"
        ... )
        >>> EZCAPTCHA.offer_for(task.type).points
        12
    """


@attrs.frozen(kw_only=True)
class ReCaptchaV2STaskProxyless(_ReCaptchaV2STask):
    """reCAPTCHA v2 on a page with an ``s`` parameter, which is required.

    Args:
        s: The page's ``s`` parameter; single use.
        website_url: Whole URL of the page.
        website_key: The page's site key.
        is_invisible: True for the invisible variant.
        sa: The ``sa`` parameter, where the page has one.

    Example:
        >>> task = ReCaptchaV2STaskProxyless(
        ...     website_url="https://example.com/login", website_key="site-key", s="s-of-this-visit"
        ... )
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(task)
        >>> solution.token
        'simulated.recaptcha...'
    """


@attrs.frozen(kw_only=True)
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


@attrs.frozen(kw_only=True)
class ReCaptchaV2SEnterpriseTaskProxyless(_ReCaptchaV2STask):
    """reCAPTCHA v2 Enterprise with ``s``. Fields as `ReCaptchaV2STaskProxyless`.

    Example:
        >>> task = ReCaptchaV2SEnterpriseTaskProxyless(
        ...     website_url="https://example.com/login", website_key="site-key", s="s-of-this-visit"
        ... )
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(task)
        >>> solution.receipt.points
        30
    """


@attrs.frozen(kw_only=True)
class ReCaptchaV3TaskProxyless(_ReCaptchaV3Task):
    """reCAPTCHA v3.

    Args:
        website_url: Whole URL of the page.
        website_key: The page's site key.
        page_action: The action that the page names; without it the token is much weaker.
        is_invisible: v3 is invisible unless the page says otherwise.

    Example:
        >>> task = ReCaptchaV3TaskProxyless(
        ...     website_url="https://example.com/login", website_key="site-key", page_action="login"
        ... )
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(task)
        >>> solution.token
        'simulated.recaptcha...'
    """


@attrs.frozen(kw_only=True)
class ReCaptchaV3TaskProxylessS9(_ReCaptchaV3Task):
    """reCAPTCHA v3 with a score of 0.9 or more. Fields as `ReCaptchaV3TaskProxyless`.

    Example:
        >>> task = ReCaptchaV3TaskProxylessS9(
        ...     website_url="https://example.com/login", website_key="site-key", page_action="login"
        ... )
        >>> EZCAPTCHA.offer_for(task.type).points
        15
    """


@attrs.frozen(kw_only=True)
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


@attrs.frozen(kw_only=True)
class FuncaptchaTaskProxyless(_SiteKeyTask[FuncaptchaSolution]):
    """FunCaptcha (Arkose Labs).

    Args:
        website_url: Whole URL of the page.
        website_key: The page's public key.
        data: A JSON object such as ``{"blob": "…"}``, as a mapping or as its text.
        api_js_subdomain: Host that serves the page's api.js, where it has its own.

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
        default=None, converter=as_data, metadata={"wire": "data"}, repr=keys_only
    )
    api_js_subdomain: str | None = attrs.field(
        default=None, metadata={"wire": "funcaptchaApiJSSubdomain"}, validator=check_optional_text
    )


@attrs.frozen(kw_only=True)
class CloudFlare5STask(_PageTask[CloudFlare5SSolution]):
    """The Cloudflare 5-second check, passed through your own proxy.

    Args:
        website_url: Whole URL of the page.
        proxy: ``http://user:password@host:port``; the password is shown nowhere.
        rq_data: A JSON object with details of the request, as a mapping or as its text.

    Example:
        >>> CloudFlare5STask(
        ...     website_url="https://example.com/", proxy="http://me:secret@1.2.3.4:8080"
        ... )
        CloudFlare5STask(website_url='https://example.com/', proxy='http://***@1.2.3.4:8080', ...)
    """

    solution_type: ClassVar[SolutionType] = CloudFlare5SSolution

    proxy: str = attrs.field(
        metadata={"wire": "proxy"}, validator=check_proxy, repr=without_user_info
    )
    rq_data: str | None = attrs.field(
        default=None,
        converter=as_rq_data,
        metadata={"wire": "rqData", "json": True},
        repr=keys_only,
    )


@attrs.frozen(repr=False)
class CustomTask(Task[CustomSolution]):
    """Any other type, by its name on the wire.

    Args:
        type: The service's name of the type.
        fields: Its fields as the service spells them, without ``type``. Kept as JSON
            text; the values are shown nowhere. Where the service repeats credentials,
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
    fields: str = attrs.field(converter=as_custom_fields)

    def __repr__(self) -> str:
        return f"CustomTask({self._type!r}, fields={keys_only(self.fields)})"

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
    FuncaptchaTaskProxyless,
    CloudFlare5STask,
)
"""Every type that has a class of its own."""


def solution_type_for(task_type: str) -> SolutionType:
    """Return the class of solution that a task type leads to."""
    for task_class in TASK_TYPES:
        if task_class.__name__ == task_type:
            return task_class.solution_type
    return CustomSolution

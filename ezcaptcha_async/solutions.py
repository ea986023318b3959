"""What comes back: immutable values, each with the receipt of the task that was paid.

How an answer is turned into these is `_wire`'s business; nothing here checks or decodes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

import attrs

_SHOWN_CHARACTERS: Final = 16


def _shortened(text: str) -> str:
    if len(text) <= _SHOWN_CHARACTERS:
        return repr(text)
    return f"'{text[:_SHOWN_CHARACTERS]}…' ({len(text):,} characters)"


@attrs.frozen(kw_only=True)
class Receipt:
    """What is known of one paid task. Times are Unix times in seconds.

    Args:
        task_id: The service's id.
        service: Name of the service that solved it.
        task_type: The type, as this library names it.
        created_at: When the answer to createTask came.
        processing_at: When the last poll that still said ``processing`` was answered; None
            when the first poll found it ready.
        ready_at: When the answer with the solution came.
        polls: How many getTaskResult requests were sent.
        points: Price in points as listed by the service profile; None when not stated.

    Example:
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(TASK)
        >>> solution.receipt.service, solution.receipt.points
        ('ezcaptcha', 6)
        >>> 15 <= solution.receipt.waited < 30
        True
    """

    task_id: str
    service: str
    task_type: str
    created_at: float
    processing_at: float | None
    ready_at: float
    polls: int
    points: float | None

    @property
    def waited(self) -> float:
        """Seconds from creation until the solution was in our hands."""
        return self.ready_at - self.created_at


class _Ending:
    """When a solution expires on a clock that nobody sets; no field, for it is of this process."""

    __slots__ = ("_ends",)


@attrs.frozen(kw_only=True)
class Solution(_Ending):
    """Base of all solutions.

    Args:
        receipt: Where it came from and what it took.
        expires_at: Unix time in seconds until which the service promises that a token
            works: its stated validity, counted from the last moment at which the task
            was certainly not solved yet. The true end may be a little later, never sooner.
        extra: Keys of the answer that this library has no field for.

    Example:
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(TASK)
        >>> solution.remaining() > 60  # seconds: long enough to send a form
        True
    """

    receipt: Receipt
    expires_at: float
    extra: Mapping[str, Any] = attrs.field(factory=dict[str, Any], hash=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_ends", time.monotonic() + self.expires_at - time.time())

    def remaining(self, now: float | None = None) -> float:
        """Return the seconds that are left until `expires_at`, 0 when it has passed.

        Args:
            now: Unix time in seconds. When left out, the seconds since it came are counted,
                so that a system clock that is set meanwhile makes no difference.
        """
        ends: float | None = getattr(self, "_ends", None)
        if now is None and ends is not None:
            return max(0.0, ends - time.monotonic())
        return max(0.0, self.expires_at - (time.time() if now is None else now))


@attrs.frozen(kw_only=True)
class ReCaptchaSolution(Solution):
    """A reCAPTCHA token; single use, best used within 60 s.

    Args:
        token: ``gRecaptchaResponse``.
        user_agent: The user agent that it was solved with, when the service says so.
        sec_ch_ua: The ``sec-ch-ua`` header that it was solved with, likewise.
        cookies: Cookies that belong to it, likewise.

    Example:
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(TASK)
        >>> {"g-recaptcha-response": solution.token}  # to send with the form
        {'g-recaptcha-response': 'simulated.recaptcha...'}
    """

    token: str = attrs.field(repr=_shortened)
    user_agent: str | None = None
    sec_ch_ua: str | None = None
    cookies: Mapping[str, str] | None = attrs.field(default=None, hash=False, repr=False)


@attrs.frozen(kw_only=True)
class FuncaptchaSolution(Solution):
    """A FunCaptcha token.

    Example:
        >>> task = FuncaptchaTaskProxyless(
        ...     website_url="https://example.com/join", website_key="public-key"
        ... )
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(task)
        >>> {"fc-token": solution.token}  # to send with the form
        {'fc-token': 'simulated.funcaptcha...'}
    """

    token: str = attrs.field(repr=_shortened)


@attrs.frozen(kw_only=True)
class CloudFlare5SSolution(Solution):
    """What passed the Cloudflare 5-second check.

    Args:
        headers: Request headers to send along (``header`` on the wire).
        cookies: Cookies to send along.
        body: The page behind the check; empty where the service sends none.
        tls_version: The browser whose TLS it was solved with, such as ``chrome149``, when
            the service says so.
        s_token: The Turnstile token in the check, where there was one.

    Example:
        >>> import httpx
        >>> proxy = "http://me:secret@proxy.example:8080"
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(
        ...         CloudFlare5STask(website_url="https://example.com/", proxy=proxy)
        ...     )
        >>> page = httpx.Request(
        ...     "GET",
        ...     "https://example.com/",
        ...     headers=solution.headers,
        ...     cookies=dict(solution.cookies),
        ... )
        >>> page.headers["cookie"]
        'cf_clearance=simulated...'
    """

    headers: Mapping[str, str] = attrs.field(hash=False, repr=False)
    cookies: Mapping[str, str] = attrs.field(hash=False, repr=False)
    body: str = attrs.field(default="", repr=_shortened)
    tls_version: str | None = None
    s_token: str | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class CloudFlareTurnstileSolution(Solution):
    """A Cloudflare Turnstile token.

    Args:
        token: What the page sends as ``cf-turnstile-response``.
        headers: Request headers to send along (``header`` on the wire), when there are any.

    Example:
        >>> task = CloudFlareTurnstileTask(
        ...     website_url="https://example.com/login", website_key="0x4AAA"
        ... )
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(task)
        >>> {"cf-turnstile-response": solution.token}  # to send with the form
        {'cf-turnstile-response': 'simulated.turnstile...'}
    """

    token: str = attrs.field(repr=_shortened)
    headers: Mapping[str, str] | None = attrs.field(default=None, hash=False, repr=False)


@attrs.frozen(kw_only=True)
class HCaptchaSolution(Solution):
    """An hCaptcha token.

    Args:
        token: ``generated_pass_UUID``.
        user_agent: The user agent to send along (``ua`` on the wire), when the service says
            so: a token goes with the one that it was solved with.

    Example:
        >>> task = HCaptcha(website_url="https://example.com/login", website_key="site-key")
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(task)
        >>> {"h-captcha-response": solution.token}  # to send with the form
        {'h-captcha-response': 'simulated.hcaptcha...'}
        >>> {"User-Agent": solution.user_agent}  # and with the request
        {'User-Agent': 'Mozilla/5.0...'}
    """

    token: str = attrs.field(repr=_shortened)
    user_agent: str | None = None


@attrs.frozen(kw_only=True)
class CustomSolution(Solution):
    """The answer to a `CustomTask`: every key that the service sent is in ``extra``.

    Example:
        >>> async with SessionPool() as pool:
        ...     solution = await pool.solve(CustomTask("TurnstileTask", {"websiteKey": "site-key"}))
        >>> solution.extra
        {'token': '0.simulated'}
    """

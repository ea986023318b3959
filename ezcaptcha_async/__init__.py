"""Asyncio and trio client for the EzCaptcha and 1captcha APIs.

Made for thousands of tasks in flight: see `SessionPool`.

Examples are as at the prompt of ``python -m asyncio`` or in a notebook, where ``await`` needs no
function around it. They leave out imports; ``TASK`` is any task, such as a
`ReCaptchaV2TaskProxyless`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ezcaptcha_async._account import PoolStatistics, Statistics
    from ezcaptcha_async._journal import Journal, Submission
    from ezcaptcha_async._pool import SessionPool
    from ezcaptcha_async._pool.many import Outcome, Resumed
    from ezcaptcha_async._pool.ticket import Ticket
    from ezcaptcha_async._timing import KindStatistics, LearnedPolling, PollPolicy
    from ezcaptcha_async.accounts import Account, Balance
    from ezcaptcha_async.errors import (
        BannedError,
        BudgetExceededError,
        CapacityError,
        ConfigurationError,
        CredentialError,
        EzCaptchaError,
        InsufficientBalanceError,
        InvalidTaskError,
        JournalError,
        PoolClosedError,
        ProtocolError,
        RequestError,
        ResultWindowLapsedError,
        SavedTicket,
        ServiceError,
        SolveTimeoutError,
        SubmissionUnknownError,
        SubscriptionError,
        TaskFailedError,
        TaskNotFoundError,
        ThrottledError,
        TicketCancelledError,
        TransportError,
        UnknownArgumentError,
    )
    from ezcaptcha_async.events import AccountEvent, Event, RequestEvent, TaskEvent
    from ezcaptcha_async.services import EZCAPTCHA, ONECAPTCHA, Offer, Service
    from ezcaptcha_async.solutions import (
        CloudFlare5SSolution,
        CloudFlareTurnstileSolution,
        CustomSolution,
        FuncaptchaSolution,
        HCaptchaSolution,
        ReCaptchaSolution,
        Receipt,
        Solution,
    )
    from ezcaptcha_async.tasks import (
        CloudFlare5STask,
        CloudFlareTurnstileTask,
        CustomTask,
        FuncaptchaTaskProxyless,
        HCaptcha,
        Kind,
        ReCaptchaV2EnterpriseTaskProxyless,
        ReCaptchaV2SEnterpriseTaskProxyless,
        ReCaptchaV2STaskProxyless,
        ReCaptchaV2TaskProxyless,
        ReCaptchaV2TaskProxylessS9,
        ReCaptchaV3EnterpriseTaskProxyless,
        ReCaptchaV3EnterpriseTaskProxylessS9,
        ReCaptchaV3TaskProxyless,
        ReCaptchaV3TaskProxylessS9,
        Task,
    )

__version__ = "0.1.0"

_NAMES: Final = {
    "_account": ("PoolStatistics", "Statistics"),
    "_journal": ("Journal", "Submission"),
    "_pool": ("SessionPool",),
    "_pool.many": ("Outcome", "Resumed"),
    "_pool.ticket": ("Ticket",),
    "_timing": ("KindStatistics", "LearnedPolling", "PollPolicy"),
    "accounts": ("Account", "Balance"),
    "errors": (
        "BannedError",
        "BudgetExceededError",
        "CapacityError",
        "ConfigurationError",
        "CredentialError",
        "EzCaptchaError",
        "InsufficientBalanceError",
        "InvalidTaskError",
        "JournalError",
        "PoolClosedError",
        "ProtocolError",
        "RequestError",
        "ResultWindowLapsedError",
        "SavedTicket",
        "ServiceError",
        "SolveTimeoutError",
        "SubmissionUnknownError",
        "SubscriptionError",
        "TaskFailedError",
        "TaskNotFoundError",
        "ThrottledError",
        "TicketCancelledError",
        "TransportError",
        "UnknownArgumentError",
    ),
    "events": ("AccountEvent", "Event", "RequestEvent", "TaskEvent"),
    "services": ("EZCAPTCHA", "ONECAPTCHA", "Offer", "Service"),
    "solutions": (
        "CloudFlare5SSolution",
        "CloudFlareTurnstileSolution",
        "CustomSolution",
        "FuncaptchaSolution",
        "HCaptchaSolution",
        "ReCaptchaSolution",
        "Receipt",
        "Solution",
    ),
    "tasks": (
        "CloudFlare5STask",
        "CloudFlareTurnstileTask",
        "CustomTask",
        "FuncaptchaTaskProxyless",
        "HCaptcha",
        "Kind",
        "ReCaptchaV2EnterpriseTaskProxyless",
        "ReCaptchaV2SEnterpriseTaskProxyless",
        "ReCaptchaV2STaskProxyless",
        "ReCaptchaV2TaskProxyless",
        "ReCaptchaV2TaskProxylessS9",
        "ReCaptchaV3EnterpriseTaskProxyless",
        "ReCaptchaV3EnterpriseTaskProxylessS9",
        "ReCaptchaV3TaskProxyless",
        "ReCaptchaV3TaskProxylessS9",
        "Task",
    ),
    # What serves writers of transports and of policies is found where it was, but not listed.
    "transports": ("Evidence", "NoAnswer", "Reply", "RequestBody", "Transport"),
    "polling": ("PollTiming",),
    "fleets": (),
}
"""Module → the names of it that are given out here. It is imported with the first of them, so
that a program pays for what it uses: a command that prints its help needs no pool, and a run of
tests none of this."""


def __getattr__(name: str) -> object:
    if name in _NAMES:
        return import_module(f"{__name__}.{name}")
    for module, names in _NAMES.items():
        if name in names:
            value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "EZCAPTCHA",
    "ONECAPTCHA",
    "Account",
    "AccountEvent",
    "Balance",
    "BannedError",
    "BudgetExceededError",
    "CapacityError",
    "CloudFlare5SSolution",
    "CloudFlare5STask",
    "CloudFlareTurnstileSolution",
    "CloudFlareTurnstileTask",
    "ConfigurationError",
    "CredentialError",
    "CustomSolution",
    "CustomTask",
    "Event",
    "EzCaptchaError",
    "FuncaptchaSolution",
    "FuncaptchaTaskProxyless",
    "HCaptcha",
    "HCaptchaSolution",
    "InsufficientBalanceError",
    "InvalidTaskError",
    "Journal",
    "JournalError",
    "Kind",
    "KindStatistics",
    "LearnedPolling",
    "Offer",
    "Outcome",
    "PollPolicy",
    "PoolClosedError",
    "PoolStatistics",
    "ProtocolError",
    "ReCaptchaSolution",
    "ReCaptchaV2EnterpriseTaskProxyless",
    "ReCaptchaV2SEnterpriseTaskProxyless",
    "ReCaptchaV2STaskProxyless",
    "ReCaptchaV2TaskProxyless",
    "ReCaptchaV2TaskProxylessS9",
    "ReCaptchaV3EnterpriseTaskProxyless",
    "ReCaptchaV3EnterpriseTaskProxylessS9",
    "ReCaptchaV3TaskProxyless",
    "ReCaptchaV3TaskProxylessS9",
    "Receipt",
    "RequestError",
    "RequestEvent",
    "ResultWindowLapsedError",
    "Resumed",
    "SavedTicket",
    "Service",
    "ServiceError",
    "SessionPool",
    "Solution",
    "SolveTimeoutError",
    "Statistics",
    "Submission",
    "SubmissionUnknownError",
    "SubscriptionError",
    "Task",
    "TaskEvent",
    "TaskFailedError",
    "TaskNotFoundError",
    "ThrottledError",
    "Ticket",
    "TicketCancelledError",
    "TransportError",
    "UnknownArgumentError",
    "__version__",
]

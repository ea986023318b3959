"""The createTask requests of a pool, as they are written down, and those whose answer was lost.

Pure. All times are Unix time in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs
from attrs.validators import optional

from ezcaptcha_async._checks import checked, filled_problem, number_problem, str_problem
from ezcaptcha_async._journal.saved import made

DAY: Final = 86_400.0
"""Seconds for which a create whose answer was lost is listed, so that somebody sees it, and a paid
task that can no more be fetched; and by which a time may lie in the future: a clock that was wrong
must not keep a line for ever."""

MOST_UNKNOWN: Final = 1_000
"""Most creates whose answer was lost that are listed, the newest ones: a service whose answers
are lost for hours must not fill the memory."""

TEXT: Final = {"check": checked(filled_problem)}
TEXT_OR_NONE: Final = {"check": optional(TEXT["check"])}
NUMBER: Final = {"check": checked(number_problem)}
NUMBER_OR_NONE: Final = {"check": optional(NUMBER["check"])}
ANY_TEXT: Final = {"check": checked(str_problem)}


@attrs.frozen(kw_only=True)
class Submission:
    """One createTask request, as it is written down; it holds no secret.

    Args:
        service: Name of the service.
        account: Fingerprint of the account that pays.
        type: The task's type, as this library names it.
        host: Host of the task's page; empty when there is none.
        points: Listed price; None when there is none.
        sent_at: Unix time in seconds at which it was about to be sent.
        reference: What the task is to whoever wanted it solved.

    Example:
        >>> service = SimulatedService()
        >>> service.inject(Fault.RESET_AFTER, path="/createTask")
        >>> async with SessionPool(http_client=service.client()) as pool:
        ...     lost = await asyncio.gather(pool.solve(TASK), return_exceptions=True)
        >>> [(submission.type, submission.points) for submission in pool.unknowns()]
        [('ReCaptchaV2TaskProxyless', 6)]
    """

    service: str = attrs.field(metadata=TEXT)
    account: str = attrs.field(metadata=TEXT)
    type: str = attrs.field(metadata=TEXT)
    host: str = attrs.field(default="", metadata=ANY_TEXT)
    points: float | None = attrs.field(default=None, metadata=NUMBER_OR_NONE)
    sent_at: float = attrs.field(metadata=NUMBER)
    reference: str | None = attrs.field(default=None, metadata=TEXT_OR_NONE)


def submission_of(value: Submission | Mapping[str, Any]) -> Submission:
    """Return a submission, made of those fields that it knows where it is none yet."""
    return value if isinstance(value, Submission) else made(Submission, value)


@attrs.frozen
class Intent:
    """A createTask is about to be sent; `attempt` is a name that no other one has."""

    attempt: str = attrs.field(metadata=TEXT)
    submission: Submission = attrs.field(converter=submission_of)


class Creates:
    """The createTask requests that have no outcome."""

    def __init__(self) -> None:
        self.unanswered: dict[str, Submission] = {}
        """Attempt → createTask requests that may be under way."""
        self.unknown: dict[str, Submission] = {}
        """Attempt → createTask requests whose answer was lost, oldest first."""
        self.lost: dict[str | None, str] = {}
        """Reference → the last attempt in `unknown`, as long as nothing was paid for it since."""

    def __repr__(self) -> str:
        return f"<Creates: {len(self.unknown)} unknown>"

    def note_lost(self, attempt: str, submission: Submission) -> None:
        """Note that the answer to one was lost."""
        self.unanswered.pop(attempt, None)
        self.unknown[attempt] = submission
        if submission.reference is not None:
            self.lost[submission.reference] = attempt
        if len(self.unknown) > MOST_UNKNOWN:
            oldest = next(iter(self.unknown))
            let_go = self.unknown.pop(oldest)
            if self.lost.get(let_go.reference) == oldest:
                del self.lost[let_go.reference]

    def settle(self) -> None:
        """Nobody waits for an answer any more: what has none is unknown."""
        for attempt, submission in [*self.unanswered.items()]:
            self.note_lost(attempt, submission)

    def lost_for(self, reference: str, now: float) -> Submission | None:
        """Return the last one for a reference if its answer was lost, no more than a day ago."""
        attempt = self.lost.get(reference)
        lost = None if attempt is None else self.unknown[attempt]
        return lost if lost is not None and lost.sent_at > now - DAY else None

    def lost_since_yesterday(self, now: float) -> list[Submission]:
        """Return those of the last day whose answer was lost."""
        return [item for item in self.unknown.values() if item.sent_at > now - DAY]

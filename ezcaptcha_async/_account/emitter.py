"""Tells whoever watches a pool what happens in it: the user's function, and the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

import attrs

from ezcaptcha_async._books import Entry, Phase, Solved
from ezcaptcha_async._log import log
from ezcaptcha_async.errors import EzCaptchaError, ServiceError
from ezcaptcha_async.events import Event, RequestEvent, TaskEvent, TaskState

_STATES: Final[dict[Phase, TaskState]] = {
    Phase.QUEUED: "queued",
    Phase.ORPHANED: "orphaned",
    Phase.SOLVED: "solved",
    Phase.FAILED: "failed",
    Phase.LAPSED: "lapsed",
    Phase.UNKNOWN: "unknown",
    Phase.REFUSED: "refused",
    Phase.CANCELLED: "cancelled",
}


class Emitter:
    """Gives out events; makes none while nobody watches.

    Args:
        on_event: The user's function. What it raises is logged, and concerns no task.
        clock: The event loop's clock.
    """

    def __init__(
        self, on_event: Callable[[Event], object] | None, clock: Callable[[], float]
    ) -> None:
        self._on_event = on_event
        self._clock = clock

    def __repr__(self) -> str:
        return f"<Emitter, {'watched' if self.watched else 'unwatched'}>"

    @property
    def watched(self) -> bool:
        """Whether an event would reach anybody."""
        return self._on_event is not None or log.isEnabledFor(logging.DEBUG)

    def moved(self, entry: Entry, state: TaskState | None = None) -> None:
        """Tell that a task has come to where it stands now; `state` where no phase says it."""
        # Not by the property: this is asked some six times for each task.
        if self._on_event is not None or log.isEnabledFor(logging.DEBUG):
            self.emit(_task_event(entry, state or _STATES[entry.phase], self._clock()))

    def emit(self, event: Event) -> None:
        """Give out one event."""
        _log(event)
        if self._on_event is not None:
            self._on_event(event)


def _task_event(entry: Entry, state: TaskState, now: float) -> TaskEvent:
    paid = entry.task_id is not None
    error = entry.outcome if isinstance(entry.outcome, EzCaptchaError) else None
    refusal = error if isinstance(error, ServiceError) else None
    lag = None
    if isinstance(entry.outcome, Solved) and entry.answered:
        # Not until now: it may have come when nobody waited, and been kept.
        lag = (entry.outcome.at - entry.created_at - entry.polled_age) / 2
    return TaskEvent(
        number=entry.number,
        state=state,
        type=entry.kind.task_type,
        service=entry.kind.service,
        account=entry.line.account,
        task_id=entry.task_id,
        points=entry.points,
        reference=entry.reference,
        seconds=now - entry.queued_at,
        age=now - entry.created_at if paid else None,
        polls=entry.polls,
        lag=lag,
        error=None if error is None else type(error).__name__,
        code=refusal.code if refusal else None,
        request_id=refusal.request_id if refusal else None,
        errors=(refusal.errors or None) if refusal else None,
    )


def _log(event: Event) -> None:
    level = logging.DEBUG
    if isinstance(event, TaskEvent):
        text = f"task {event.number} ({event.type}) {event.state}"
    elif isinstance(event, RequestEvent):
        text = f"{event.endpoint} {event.outcome}"
    else:
        text = f"account {event.account} {event.state}"
        level = logging.INFO if event.state == "reopened" else logging.WARNING
    if log.isEnabledFor(level):
        fields = {f"ezcaptcha_{name}": value for name, value in attrs.asdict(event).items()}
        code = f": {event.code}" if event.code else ""
        asked = f", request {event.request_id}" if event.request_id else ""
        log.log(level, "%s%s%s", text, code, asked, extra=fields)

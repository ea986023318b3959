"""OpenTelemetry metrics and traces of a pool; they come with the extra ``otel``.

::

    from ezcaptcha_async.otel import OpenTelemetry

    async with SessionPool(on_event=OpenTelemetry()) as pool: ...

It depends on OpenTelemetry's API alone: what becomes of the figures is decided where the
application sets up an SDK.

Metrics, each with ``ezcaptcha.service``, ``ezcaptcha.account`` and, where it is about
tasks, ``ezcaptcha.task.type``:

========================== ========= =====================================================
ezcaptcha.solve.duration   histogram Seconds from a task's creation until its solution was
                                     fetched; resumed ones left out
ezcaptcha.fetch.lag        histogram Seconds for which a solution was ready before it was
                                     fetched, about; likewise
ezcaptcha.task.polls       histogram getTaskResult requests for a paid task that has ended
ezcaptcha.request.duration histogram Seconds, by ``ezcaptcha.endpoint``,
                                     ``ezcaptcha.outcome`` and ``ezcaptcha.error.code``
ezcaptcha.active_tasks     gauge     Tasks that somebody waits for, paid or not yet
ezcaptcha.tasks            counter   Ends of tasks, by ``ezcaptcha.task.state``,
                                     ``error.type`` and ``ezcaptcha.error.code``; what is
                                     ``expired`` was counted as ``solved`` before
ezcaptcha.points           counter   Listed prices of what was created
ezcaptcha.account.changes  counter   Accounts shut, banned, reopened: by
                                     ``ezcaptcha.account.state`` and
                                     ``ezcaptcha.error.code``
========================== ========= =====================================================

Traces: one span for each task, from `solve` or `submit` until its last state, below the span
that is current there; createTask and each poll are events in it. A task that is left behind
ends its span as ``orphaned``; `resume` begins another one, with a link to the first where
that is known.

All attributes of metrics are bounded: a code that no service documents is ``other``, and so
is any name once there are 500 combinations. Only spans tell a task's id, and nothing tells
a URL, a page or a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import attrs

from ezcaptcha_async import __version__
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.events import AccountEvent, Event, RequestEvent, TaskEvent
from ezcaptcha_async.services import ERROR_CODES

try:
    from opentelemetry.context import Context
    from opentelemetry.metrics import Meter, MeterProvider, get_meter
    from opentelemetry.trace import (
        INVALID_SPAN,
        INVALID_SPAN_CONTEXT,
        Link,
        Span,
        SpanContext,
        SpanKind,
        Status,
        StatusCode,
        TracerProvider,
        get_tracer,
        set_span_in_context,
    )
except ModuleNotFoundError as _missing:
    if (_missing.name or "").partition(".")[0] != "opentelemetry":
        raise
    raise ModuleNotFoundError(
        "OpenTelemetry is an extra: pip install 'opentelemetry-api>=1.34'", name=_missing.name
    ) from None

__all__ = ["OpenTelemetry"]

_Names: TypeAlias = Mapping[str, str]

_MOST_NAMES: Final = 500
"""Most combinations of service, account and type that are told apart."""

_MOST_LEFT: Final = 10_000
"""Most orphans whose spans are remembered, for a link."""

_OTHER: Final = "other"
_SERVICE: Final = "ezcaptcha.service"
_ACCOUNT: Final = "ezcaptcha.account"
_TYPE: Final = "ezcaptcha.task.type"
_STATE: Final = "ezcaptcha.task.state"
_ENDPOINT: Final = "ezcaptcha.endpoint"
_OUTCOME: Final = "ezcaptcha.outcome"
_CODE: Final = "ezcaptcha.error.code"
_ERROR: Final = "error.type"

_PAID_ENDS: Final = frozenset({"solved", "failed", "lapsed"})

# Tasks take 10 to 80 seconds, and are lost after 300.
_SOLVE_BUCKETS: Final = (
    *(1, 2.5, 5, 7.5, 10, 12.5, 15, 20, 25, 30, 40, 50, 60, 70, 80, 100, 150, 200),
    300,
)
_LAG_BUCKETS: Final = (0.25, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 15, 20, 30, 60)
_POLL_BUCKETS: Final = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 50, 80, 110)
# Those of the semantic conventions for HTTP, and the pool's own deadline.
_REQUEST_BUCKETS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
    20,
)


@attrs.define(eq=False)
class _Wait:
    """A task that somebody waits for.

    Args:
        span: Covers it.
        context: The caller's, with that span.
        names: The attributes under which it is counted as active.
        resumed: Whether it was paid for before.
        solved: Whether it was solved, and counted, before.
    """

    span: Span
    context: Context
    names: _Names
    resumed: bool = False
    solved: bool = False


@attrs.frozen
class _Left:
    """An orphan: the span that it had, and whether it was solved, and counted, by then."""

    span: SpanContext
    solved: bool


_NOBODY: Final = _Wait(INVALID_SPAN, Context(), {})
"""Stands for whoever waits for a task that nobody waits for."""


class OpenTelemetry:
    """Turns what a pool tells into metrics and traces: ``SessionPool(on_event=...)``.

    One of them may watch any number of pools.

    Args:
        tracer_provider: Where spans go; the global one when left out.
        meter_provider: Where metrics go, likewise.

    Raises:
        ConfigurationError: What was given is no such provider.

    Example:
        >>> telemetry = OpenTelemetry()  # the providers that the application has set up
        >>> async with SessionPool(on_event=telemetry) as pool:
        ...     ticket = await pool.submit(TASK)
        ...     print(telemetry)
        ...     solution = await ticket
        <OpenTelemetry, 1 tasks active>
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        _check("tracer_provider", tracer_provider, TracerProvider)
        _check("meter_provider", meter_provider, MeterProvider)
        self._tracer = get_tracer("ezcaptcha_async", __version__, tracer_provider)
        self._meters = _Meters(get_meter("ezcaptcha_async", __version__, meter_provider))
        self._names: dict[tuple[str, str, str | None], _Names] = {}
        self._waits: dict[int, _Wait] = {}  # by the number of the task
        self._left: dict[tuple[str, str | None], _Left] = {}  # by account and task id

    def __repr__(self) -> str:
        return f"<OpenTelemetry, {len(self._waits)} tasks active>"

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, RequestEvent):
            self._answered(event)
        elif isinstance(event, AccountEvent):
            self._changed(event)
        elif event.state in ("queued", "resumed"):
            self._begin(event)
        elif event.state == "created":
            self._paid(event)
        else:
            self._end(event)

    # ------------------------------------------------------------------------ tasks

    def _begin(self, event: TaskEvent) -> None:
        names = self._names_of(event.service, event.account, event.type)
        wait = self._waits.get(event.number)
        if wait is None:
            wait = self._waits[event.number] = self._new_wait(event, names)
        elif event.state == "resumed":
            # What it waited for was paid for by another pool of its fleet, which measures it.
            wait.resumed = True
            wait.span.set_attribute("ezcaptcha.task.id", event.task_id or "")
            return
        else:
            # What one account could not create is in line at another one.
            self._meters.active.add(-1, wait.names, wait.context)
            wait.names = names
            wait.span.set_attributes(names)
            wait.span.add_event("handed over", {_ACCOUNT: names[_ACCOUNT]})
        self._meters.active.add(1, names, wait.context)

    def _new_wait(self, event: TaskEvent, names: _Names) -> _Wait:
        resumed = event.state == "resumed"
        earlier = self._left.pop(_key(event), None) if resumed else None
        attributes: dict[str, str | int] = {**names, "ezcaptcha.task.number": event.number}
        if event.task_id is not None:
            attributes["ezcaptcha.task.id"] = event.task_id
        # This runs in the context of the coroutine that called `solve`: its span is current.
        span = self._tracer.start_span(
            f"{'resume' if resumed else 'solve'} {names[_TYPE]}",
            kind=SpanKind.CLIENT,
            attributes=attributes,
            links=[Link(earlier.span)] if earlier and earlier.span.is_valid else (),
        )
        return _Wait(
            span,
            set_span_in_context(span),
            names,
            resumed=resumed,
            solved=earlier is not None and earlier.solved,
        )

    def _paid(self, event: TaskEvent) -> None:
        wait = self._waits.get(event.number, _NOBODY)
        wait.span.set_attribute("ezcaptcha.task.id", event.task_id or "")
        if event.points is not None:
            wait.span.set_attribute("ezcaptcha.points", event.points)
            self._meters.points.add(event.points, wait.names, wait.context)

    def _end(self, event: TaskEvent) -> None:
        wait = self._waits.pop(event.number, None)
        if wait is None:
            self._end_orphan(event)
            return
        self._meters.active.add(-1, wait.names, wait.context)
        ended = {_STATE: event.state, **_trouble(event.error, event.code)}
        if not wait.solved:
            self._count(event, wait, ended)
        if event.state == "orphaned":
            self._leave(event, _Left(wait.span.get_span_context(), wait.solved))
        if wait.span.is_recording():
            wait.span.set_attributes({**ended, "ezcaptcha.task.polls": event.polls})
            if event.error is not None:
                wait.span.set_status(Status(StatusCode.ERROR, event.error))
        wait.span.end()

    def _end_orphan(self, event: TaskEvent) -> None:
        if event.state == "orphaned":
            # Its caller was cancelled in the very moment in which it was solved.
            self._leave(event, _Left(INVALID_SPAN_CONTEXT, solved=True))
            return
        left = self._left.pop(_key(event), None)
        if left is None or not left.solved:
            names = self._names_of(event.service, event.account, event.type)
            # No error: nobody is there to get one.
            self._count(event, _Wait(INVALID_SPAN, Context(), names), {_STATE: event.state})

    def _count(self, event: TaskEvent, wait: _Wait, ended: _Names) -> None:
        names, context, meters = wait.names, wait.context, self._meters
        meters.tasks.add(1, {**names, **ended}, context)
        if event.state in _PAID_ENDS:
            meters.polls.record(event.polls, names, context)
        if event.state == "solved" and not wait.resumed:
            meters.solve.record(event.age or 0.0, names, context)
            if event.lag is not None:
                meters.lag.record(event.lag, names, context)

    def _leave(self, event: TaskEvent, left: _Left) -> None:
        if len(self._left) >= _MOST_LEFT:
            del self._left[next(iter(self._left))]
        self._left[_key(event)] = left

    # --------------------------------------------------------- requests and accounts

    def _answered(self, event: RequestEvent) -> None:
        wait = _NOBODY if event.number is None else self._waits.get(event.number, _NOBODY)
        came_of_it = {_OUTCOME: event.outcome, **_trouble(None, event.code)}
        names = self._names_of(event.service, event.account)
        self._meters.request.record(
            event.seconds, {**names, _ENDPOINT: event.endpoint, **came_of_it}, wait.context
        )
        if wait.span.is_recording():
            wait.span.add_event(
                event.endpoint, {**came_of_it, "ezcaptcha.request.duration": event.seconds}
            )

    def _changed(self, event: AccountEvent) -> None:
        names = self._names_of(event.service, event.account)
        change = {"ezcaptcha.account.state": event.state, **_trouble(None, event.code)}
        self._meters.accounts.add(1, {**names, **change}, _NOBODY.context)

    def _names_of(self, service: str, account: str, task_type: str | None = None) -> _Names:
        """Return the attributes that tell who is concerned, which are not too many."""
        key = (service, account, task_type)
        names = self._names.get(key)
        if names is None:
            told = zip((_SERVICE, _ACCOUNT, _TYPE), key, strict=True)
            names = {name: text for name, text in told if text is not None}
            if len(self._names) >= _MOST_NAMES:
                return dict.fromkeys(names, _OTHER)
            self._names[key] = names
        return names


class _Meters:
    """The instruments."""

    def __init__(self, meter: Meter) -> None:
        self.solve = meter.create_histogram(
            "ezcaptcha.solve.duration",
            unit="s",
            description="Time from a task's creation until its solution was fetched.",
            explicit_bucket_boundaries_advisory=_SOLVE_BUCKETS,
        )
        self.lag = meter.create_histogram(
            "ezcaptcha.fetch.lag",
            unit="s",
            description="About how long a solution was ready before it was fetched.",
            explicit_bucket_boundaries_advisory=_LAG_BUCKETS,
        )
        self.polls = meter.create_histogram(
            "ezcaptcha.task.polls",
            unit="{poll}",
            description="getTaskResult requests for a paid task that has ended.",
            explicit_bucket_boundaries_advisory=_POLL_BUCKETS,
        )
        self.request = meter.create_histogram(
            "ezcaptcha.request.duration",
            unit="s",
            description="Time from the sending of a request until its answer was read.",
            explicit_bucket_boundaries_advisory=_REQUEST_BUCKETS,
        )
        self.active = meter.create_up_down_counter(
            "ezcaptcha.active_tasks",
            unit="{task}",
            description="Tasks that somebody waits for, paid or not yet.",
        )
        self.tasks = meter.create_counter(
            "ezcaptcha.tasks", unit="{task}", description="Ends that tasks have come to."
        )
        self.points = meter.create_counter(
            "ezcaptcha.points", unit="{point}", description="Listed prices of created tasks."
        )
        self.accounts = meter.create_counter(
            "ezcaptcha.account.changes",
            unit="{change}",
            description="Accounts that were shut, banned or reopened.",
        )


def _check(name: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        raise ConfigurationError(f"{name} must be a {kind.__name__} of OpenTelemetry")


def _key(event: TaskEvent) -> tuple[str, str | None]:
    return event.account, event.task_id


def _trouble(error: str | None, code: str | None) -> dict[str, str]:
    found: dict[str, str] = {}
    if error is not None:
        found[_ERROR] = error
    if code is not None:
        found[_CODE] = code if code in ERROR_CODES else _OTHER
    return found

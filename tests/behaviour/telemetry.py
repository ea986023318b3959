"""An OpenTelemetry SDK in memory, and what it has been told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from ezcaptcha_async import Event
from ezcaptcha_async.otel import OpenTelemetry


class Spans(SpanProcessor):
    """Keeps those that have ended, and counts those that have not."""

    def __init__(self) -> None:
        self.open = 0
        self.ended: list[ReadableSpan] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """Note that one began."""
        self.open += 1

    def on_end(self, span: ReadableSpan) -> None:
        """Note that one has ended."""
        self.open -= 1
        self.ended.append(span)


class Telemetry:
    """Providers that keep everything.

    Args:
        then: Called with each event after the watcher.
    """

    def __init__(self, then: Callable[[Event], object] = lambda _event: None) -> None:
        self._kept = Spans()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(self._kept)
        self.tracer = self.tracer_provider.get_tracer("a user's program")
        self._reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self.watch = self.watcher()
        self._then = then

    def watcher(self) -> OpenTelemetry:
        """Return what a pool takes as `on_event`."""
        return OpenTelemetry(
            tracer_provider=self.tracer_provider, meter_provider=self.meter_provider
        )

    def __call__(self, event: Event) -> None:
        """Take one event."""
        self.watch(event)
        self._then(event)

    @property
    def spans(self) -> list[ReadableSpan]:
        """Those of tasks that have ended, in that order."""
        return [
            span
            for span in self._kept.ended
            if span.instrumentation_scope is not None
            and span.instrumentation_scope.name == "ezcaptcha_async"
        ]

    @property
    def open_spans(self) -> int:
        """How many have not ended."""
        return self._kept.open

    @property
    def is_over(self) -> bool:
        """Whether nothing is left open."""
        active = self.points("active_tasks")
        return self.open_spans == 0 and all(point.value == 0 for point in active)

    @property
    def remembered(self) -> int:
        """How many tasks are kept in mind that may be taken up again."""
        return len(self.watch._left)  # noqa: SLF001 - nothing else shows that memory is let go

    def points(self, name: str, **attributes: str) -> list[Any]:
        """Return the data points of a metric that have these attributes.

        Args:
            name: The metric's name, without ``ezcaptcha.``.
            **attributes: Names without ``ezcaptcha.``, and with ``_`` for dots → values.
        """
        return [
            point
            for metric in self.metrics()
            if metric.name == f"ezcaptcha.{name}"
            for point in metric.data.data_points
            if attributes.items() <= _short(point.attributes).items()
        ]

    def total(self, name: str, **attributes: str) -> float:
        """Return the sum of a counter, or the count of a histogram."""
        return sum(
            point.count if hasattr(point, "count") else point.value
            for point in self.points(name, **attributes)
        )

    def metrics(self) -> list[Any]:
        """Return all metrics, as they are now."""
        data = self._reader.get_metrics_data()
        resources = data.resource_metrics if data is not None else ()
        scopes = [scope for item in resources for scope in item.scope_metrics]
        return [metric for scope in scopes for metric in scope.metrics]


def _short(attributes: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix("ezcaptcha.").replace(".", "_"): value
        for name, value in attributes.items()
    }

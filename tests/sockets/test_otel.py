"""Metrics and traces of tasks as a collector receives them over OTLP, and Prometheus reads them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import anyio
import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ezcaptcha_async import PollPolicy, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.otel import OpenTelemetry
from ezcaptcha_async.testing import SimulatedServer, Uniform

KEY = "a-client-key-that-is-secret"
TASK = ReCaptchaV2TaskProxyless(
    website_url="https://secret-host.example/path", website_key="secret-site-key"
)
SPEED = 30
COUNT = 20


class Collector(ThreadingHTTPServer):
    """Takes what exporters send, and keeps it decoded."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.bodies: list[bytes] = []
        self.spans: list[Any] = []
        self.metrics: dict[str, Any] = {}

    def take(self, path: str, body: bytes) -> None:
        """Take one request."""
        self.bodies.append(body)
        if path == "/v1/traces":
            for item in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.spans += [span for scope in item.scope_spans for span in scope.spans]
        else:
            for item in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for scope in item.scope_metrics:
                    self.metrics |= {metric.name: metric for metric in scope.metrics}


class Handler(BaseHTTPRequestHandler):
    """Answers an exporter."""

    def do_POST(self) -> None:
        """Take one request."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Collector)
        self.server.take(self.path, body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Serve a collector on a loopback port."""
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def values_of(attributes: Any) -> dict[str, Any]:
    """Return attributes as a mapping."""
    return {
        item.key: getattr(item.value, str(item.value.WhichOneof("value"))) for item in attributes
    }


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio; the events are the same on both, and so is the exporter's thread."""
    return "asyncio"


@pytest.mark.simulated_service(solve_times=Uniform(8, 30), failure_rate=0.3, seed=5)
@pytest.mark.simulated_server(time_scale=SPEED)
async def test_a_collector_and_prometheus_get_it_all(
    collector: Collector, simulated_server: SimulatedServer
) -> None:
    """What looks right in memory would be refused, or renamed, on its way to a backend."""
    tracer_provider = TracerProvider(shutdown_on_exit=False)
    tracer_provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(f"{collector.url}/v1/traces"))
    )
    exporter = OTLPMetricExporter(f"{collector.url}/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=200)
    readers = [reader, PrometheusMetricReader()]
    meter_provider = MeterProvider(readers, shutdown_on_exit=False)
    watch = OpenTelemetry(tracer_provider=tracer_provider, meter_provider=meter_provider)
    began = anyio.current_time()
    async with SessionPool(
        KEY,
        service=simulated_server.profile,
        polling=PollPolicy().at_speed(SPEED),
        on_event=watch,
    ) as pool:
        tracer = tracer_provider.get_tracer("a user's program")
        with tracer.start_as_current_span("the batch") as own:
            async with pool.solve_many([TASK] * COUNT) as outcomes:
                async for _ in outcomes:
                    pass
        counts = pool.statistics()
    elapsed = anyio.current_time() - began
    scraped = generate_latest().decode()
    await anyio.to_thread.run_sync(tracer_provider.shutdown)
    await anyio.to_thread.run_sync(meter_provider.shutdown)

    (batch,) = (span for span in collector.spans if span.name == "the batch")
    spans = [span for span in collector.spans if span is not batch]
    assert len(spans) == COUNT
    assert {span.parent_span_id for span in spans} == {batch.span_id}
    assert batch.span_id == own.get_span_context().span_id.to_bytes(8)
    told = [values_of(span.attributes) for span in spans]
    assert {item["ezcaptcha.task.id"] for item in told} == {
        task.task_id for task in simulated_server.service.record.tasks
    }
    failed = [span.status for span in spans if span.status.code == Status.STATUS_CODE_ERROR]
    assert [status.message for status in failed] == ["TaskFailedError"] * counts.failed
    assert sum(len(span.events) for span in spans) == counts.requests

    metrics = collector.metrics
    ended = {
        values_of(point.attributes)["ezcaptcha.task.state"]: point.as_int
        for point in metrics["ezcaptcha.tasks"].sum.data_points
    }
    assert ended == {"solved": counts.solved, "failed": counts.failed}
    assert counts.failed, "or it would prove little"
    (solve,) = metrics["ezcaptcha.solve.duration"].histogram.data_points
    assert (solve.count, metrics["ezcaptcha.solve.duration"].unit) == (counts.solved, "s")
    assert 15 in solve.explicit_bounds
    assert 8 / SPEED * counts.solved < solve.sum < elapsed * counts.solved
    requests = metrics["ezcaptcha.request.duration"].histogram.data_points
    assert sum(point.count for point in requests) == counts.requests
    assert [point.as_int for point in metrics["ezcaptcha.active_tasks"].sum.data_points] == [0]
    assert sum(p.as_double or p.as_int for p in metrics["ezcaptcha.points"].sum.data_points) == (
        counts.points
    )

    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(scraped):
        for sample in family.samples:
            sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    assert sums["ezcaptcha_active_tasks"] == 0
    assert sums["ezcaptcha_tasks_total"] == counts.solved + counts.failed
    assert sums["ezcaptcha_points_total"] == counts.points
    assert sums["ezcaptcha_solve_duration_seconds_count"] == counts.solved
    assert sums["ezcaptcha_request_duration_seconds_count"] == counts.requests
    assert "secret" not in scraped
    for body in collector.bodies:
        assert b"secret" not in body

"""Metrics of tasks over real sockets, as Prometheus scrapes them."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import httpx
import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import start_http_server
from prometheus_client.parser import text_string_to_metric_families

from ezcaptcha_async import PollPolicy, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.otel import OpenTelemetry
from ezcaptcha_async.testing import SimulatedServer

KEY = "a-client-key-that-is-secret"
TASK = ReCaptchaV2TaskProxyless(
    website_url="https://secret-host.example/path", website_key="secret-site-key"
)
SPEED = 30
COUNT = 20


@pytest.fixture
def anyio_backend() -> str:
    """Run on asyncio; Prometheus scrapes from a thread of its own on both."""
    return "asyncio"


@pytest.fixture
def url() -> Iterator[str]:
    """Serve the metrics on a loopback port, as a program does that is to be scraped."""
    server, thread = start_http_server(0, addr="127.0.0.1")
    yield f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    server.server_close()
    thread.join()


async def scraped(url: str) -> dict[str, float]:
    """Return the sum of each sample over all labels; none of them may hold a secret."""
    async with httpx.AsyncClient() as client:
        text = (await client.get(url)).text
    assert "secret" not in text
    sums: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("ezcaptcha_"):
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


@pytest.mark.simulated_service(solve_times=5_000, result_window=9_000)
@pytest.mark.simulated_server(time_scale=SPEED)
async def test_a_program_at_work_is_scraped(url: str, simulated_server: SimulatedServer) -> None:
    """Names and units are rewritten on the way; a gauge might never come down again."""
    provider = MeterProvider([PrometheusMetricReader()], shutdown_on_exit=False)
    began = anyio.current_time()
    async with (
        SessionPool(
            KEY,
            service=simulated_server.profile,
            polling=PollPolicy().at_speed(SPEED),
            on_event=OpenTelemetry(meter_provider=provider),
        ) as pool,
        anyio.create_task_group() as group,
    ):
        for _ in range(COUNT):
            group.start_soon(pool.solve, TASK)
        while pool.statistics().waiting < COUNT:
            await anyio.sleep(0.01)
        assert (await scraped(url))["ezcaptcha_active_tasks"] == COUNT
        for task in simulated_server.service.record.tasks:
            simulated_server.service.finish(task.task_id)
    counts, elapsed = pool.statistics(), anyio.current_time() - began
    found = await scraped(url)
    provider.shutdown()
    assert found["ezcaptcha_active_tasks"] == 0
    assert found["ezcaptcha_tasks_total"] == counts.solved == COUNT
    assert found["ezcaptcha_points_total"] == counts.points
    assert found["ezcaptcha_solve_duration_seconds_count"] == COUNT
    assert 0 < found["ezcaptcha_solve_duration_seconds_sum"] < elapsed * COUNT
    assert found["ezcaptcha_request_duration_seconds_count"] == counts.requests

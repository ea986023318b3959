"""What it costs to watch a pool: CPU per task with nobody, a function, or OpenTelemetry.

    python benchmarks/watching.py

Each task is created, polled three times and solved, on virtual time and over a transport
that answers at once, so that little but the library is in the figures. The ways of watching
take turns; each figure is the median of several rounds, and the differences are what counts.
Exporters drop what they get: what it costs to send it is the application's choice.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import count

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler

from ezcaptcha_async import EZCAPTCHA, Event, PollPolicy, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.otel import OpenTelemetry
from ezcaptcha_async.testing import VirtualTimeLoop
from ezcaptcha_async.transports import Evidence, Reply, RequestBody

POLLS = 3
PROCESSING = Reply(200, b'{"errorId":0,"errorCode":null,"status":"processing"}')
READY = Reply(200, b'{"errorId":0,"status":"ready","solution":{"gRecaptchaResponse":"token"}}')
TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")

Watch = Callable[[Event], object] | None


class InstantTransport:
    """Says ``ready`` to the third poll of each task."""

    max_requests = 32

    def __init__(self) -> None:
        self._ids = count()
        self._polls = Counter[bytes]()

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply:
        """Answer at once."""
        if url.endswith("/getTaskResult"):
            self._polls[body.content] += 1
            return READY if self._polls[body.content] == POLLS else PROCESSING
        return Reply(200, b'{"errorId":0,"taskId":"8f14e45f-%d"}' % next(self._ids))

    async def aclose(self) -> None:
        """Nothing to close."""


class Nowhere(SpanExporter):
    """Drops what it gets."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Drop it."""
        return SpanExportResult.SUCCESS


def nobody() -> Watch:
    """Watch nothing."""
    return None


def a_function() -> Watch:
    """Take each event, and do nothing with it."""
    return lambda _event: None


def without_an_sdk() -> Watch:
    """Watch for an application that has set up nothing."""
    return OpenTelemetry()


def with_an_sdk(sampler: Sampler) -> Watch:
    """Watch with OpenTelemetry's SDK."""
    tracer_provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    tracer_provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    meter_provider = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    return OpenTelemetry(tracer_provider=tracer_provider, meter_provider=meter_provider)


WAYS: dict[str, Callable[[], Watch]] = {
    "nobody": nobody,
    "a function that does nothing": a_function,
    "OpenTelemetry without an SDK": without_an_sdk,
    "its SDK: metrics, no trace sampled": lambda: with_an_sdk(ALWAYS_OFF),
    "its SDK: metrics and all traces": lambda: with_an_sdk(ALWAYS_ON),
}


async def cpu_per_task(watch: Watch, tasks: int) -> float:
    """Return the CPU time of one task in µs."""
    polling = PollPolicy(first_delay=10, interval=3)
    transport = InstantTransport()
    async with SessionPool(
        "key", service=EZCAPTCHA, transport=transport, polling=polling, on_event=watch
    ) as pool:
        gc.collect()
        begun = time.process_time()
        async with pool.solve_many([TASK] * tasks) as outcomes:
            async for outcome in outcomes:
                assert outcome.error is None
        return 1e6 * (time.process_time() - begun) / tasks


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=5_000, help="tasks in a round")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    figures: dict[str, list[float]] = {name: [] for name in WAYS}
    for _ in range(options.rounds):
        for name, make in WAYS.items():
            with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
                figures[name].append(runner.run(cpu_per_task(make(), options.tasks)))
    least = statistics.median(figures["nobody"])
    print(f"CPU µs per task of {POLLS + 1} requests; median of {options.rounds} rounds, and range")
    for name, rounds in figures.items():
        median = statistics.median(rounds)
        spread = f"{min(rounds):.0f} to {max(rounds):.0f}"
        print(f"{name:>40} {median:>7.0f} {median - least:>+7.0f}   ({spread})")


if __name__ == "__main__":
    main()

"""``simulate``: serves the simulated service until a signal ends it."""

from __future__ import annotations

import signal
from types import FrameType

from ezcaptcha_async.cli.failures import Interrupted
from ezcaptcha_async.cli.output import Output, counted
from ezcaptcha_async.testing import SimulatedServer, SimulatedService, run


def simulate(
    output: Output, service: SimulatedService, *, port: int, latency: float, time_scale: float
) -> None:
    """Serve `service` on loopback, and say how to use it."""
    received: list[int] = []

    def stop(signum: int, _frame: FrameType | None) -> None:
        received.append(signum)
        raise KeyboardInterrupt

    def ready(server: SimulatedServer) -> None:
        environment = server.environment
        if output.as_json:
            output.document(
                {"url": server.url, "environment": environment, "time_scale": time_scale}
            )
            return
        output.result(f"Simulated service on {server.url}; Ctrl-C ends it. To try it:\n")
        for name, value in environment.items():
            output.result(f"  export {name}={value}")

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        run(service, port=port, latency=latency, time_scale=time_scale, on_ready=ready)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    seen = service.summary()
    served = f"served {counted(seen.requests, 'request')} for {counted(seen.charges, 'task')}"
    raise Interrupted(received[0], note=served)

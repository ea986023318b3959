"""The ways of serving a simulated service: inside the process, or over ASGI on a real port."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType
from typing import Any, overload

import anyio
import httpx

from ezcaptcha_async.testing._asgi import Application, ASGIApplication
from ezcaptcha_async.testing._exchange import Answering, Timeline
from ezcaptcha_async.testing._transport import transport_class


class Servable(Answering):
    """Serves what answers; the answering itself is in `SimulatedService`."""

    @overload
    def transport(
        self,
        *,
        latency: float = ...,
        clock: Callable[[], float] | None = ...,
        time_scale: float = ...,
        package: None = ...,
    ) -> httpx.AsyncBaseTransport: ...
    @overload
    def transport(
        self,
        *,
        latency: float = ...,
        clock: Callable[[], float] | None = ...,
        time_scale: float = ...,
        package: ModuleType,
    ) -> Any: ...
    def transport(
        self,
        *,
        latency: float = 0.0,
        clock: Callable[[], float] | None = None,
        time_scale: float = 1.0,
        package: ModuleType | None = None,
    ) -> Any:
        """Return a transport for ``httpx.AsyncClient`` that answers inside this process.

        It reports to the ``trace`` extension of a request as httpcore does.

        Args:
            latency: Seconds that each request takes, half of them before it is answered.
                With 0 it never sleeps.
            clock: Returns seconds; ``anyio.current_time`` when left out, so that virtual
                time works.
            time_scale: How many simulated seconds pass in one second of the clock.
            package: The package of the client, where it is not httpx but has the same
                names: ``httpx2.AsyncClient(transport=service.transport(package=httpx2))``.

        Raises:
            ConfigurationError: A setting is out of range.
        """
        chosen = httpx if package is None else package
        timeline = Timeline(self, anyio.current_time if clock is None else clock, time_scale)
        return transport_class(chosen)(self, timeline, latency, chosen)

    def client(
        self,
        *,
        latency: float = 0.0,
        clock: Callable[[], float] | None = None,
        time_scale: float = 1.0,
        **options: Any,
    ) -> httpx.AsyncClient:
        """Return an ``httpx.AsyncClient`` on top of `transport`, which takes the same settings.

        Args:
            latency: Seconds that each request takes.
            clock: Returns seconds.
            time_scale: How many simulated seconds pass in one second of the clock.
            **options: For the client.

        Raises:
            ConfigurationError: A setting is out of range.
        """
        transport = self.transport(latency=latency, clock=clock, time_scale=time_scale)
        return httpx.AsyncClient(transport=transport, **options)

    def asgi(
        self,
        *,
        latency: float = 0.0,
        time_scale: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> ASGIApplication:
        """Return an ASGI application; ``GET /record`` answers with the summary as JSON.

        Args:
            latency: Seconds that each request takes, half of them before it is answered.
            time_scale: How many simulated seconds pass in one second of the clock.
            clock: Returns seconds.

        Raises:
            ConfigurationError: A setting is out of range.
        """
        return Application(self, Timeline(self, clock, time_scale), latency)

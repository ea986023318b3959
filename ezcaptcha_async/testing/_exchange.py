"""What the in-process transport and the ASGI application share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from ezcaptcha_async.testing._checks import positive

if TYPE_CHECKING:
    from ezcaptcha_async.testing._service import SimulatedService


class ServiceClock:
    """Turns the time of a clock into simulated time: it is multiplied by the scale.

    Where a service was used before under a clock that is ahead, such as that of another event
    loop, it goes on from where the service was.
    """

    def __init__(self, service: SimulatedService, clock: Callable[[], float], scale: float) -> None:
        self._service = service
        self._clock = clock
        self._scale = positive("time_scale", scale)
        self._offset: float | None = None

    def now(self) -> float:
        """Return the simulated time in seconds."""
        time = self._clock() * self._scale
        if self._offset is None:
            self._offset = max(0.0, self._service.now - time)
        return time + self._offset


async def sleep(seconds: float) -> None:
    """Wait; not at all where there is nothing to wait for."""
    if seconds > 0:
        await anyio.sleep(seconds)

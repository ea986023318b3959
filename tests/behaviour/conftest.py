"""Virtual time for everything in this folder, and pools on the simulated service."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import anyio
import pytest
from trio.testing import MockClock

from ezcaptcha_async import ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.testing import SimulatedService
from ezcaptcha_async.transports import Evidence, Reply, RequestBody

from .virtual_time import CountingLoop

TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")
KEY = "a-client-key-that-is-secret"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run each test on both event loops, under virtual time."""
    if request.param == "asyncio":
        return "asyncio", {"loop_factory": CountingLoop}
    return "trio", {"clock": MockClock(autojump_threshold=0)}


on_one_loop = pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
"""For what takes long and has no part in how an event loop cancels, wakes or ends."""


class DirectTransport:
    """Asks the service without an HTTP client between, which for thousands is ten times faster."""

    max_requests = 32

    def __init__(self, service: SimulatedService, latency: float) -> None:
        self._service = service
        self._half = latency / 2

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply:
        """Answer as the service does."""
        if self._half:
            await anyio.sleep(self._half)
        path = url[url.rindex("/") :]
        reply = self._service.handle(path, body.content, anyio.current_time())
        if self._half:
            await anyio.sleep(self._half)
        return Reply(reply.status, reply.body)

    async def aclose(self) -> None:
        """Nothing to close."""


@asynccontextmanager
async def open_pool_directly(
    service: SimulatedService, latency: float = 0.1, **settings: Any
) -> AsyncGenerator[SessionPool]:
    """Open a pool that asks the service without an HTTP client between."""
    async with SessionPool(
        KEY,
        service=service.profile(),
        transport=DirectTransport(service, latency),
        rng=Random(7),
        **settings,
    ) as pool:
        yield pool


@asynccontextmanager
async def open_pool(
    service: SimulatedService, *accounts: Any, latency: float = 0.1, **settings: Any
) -> AsyncGenerator[SessionPool]:
    """Open a pool on the service, in this process, with 0.1 s of latency."""
    profile = settings.pop("service", None) or service.profile()
    settings.setdefault("rng", Random(7))
    async with service.client(latency=latency) as client:
        pool = SessionPool(
            *(accounts or (KEY,)),
            service=None if accounts and not isinstance(accounts[0], str) else profile,
            http_client=client,
            **settings,
        )
        async with pool:
            yield pool

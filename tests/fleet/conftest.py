"""A real server for each test that may hurt it, and pools on the simulated service."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

import anyio
import attrs
import pytest

from ezcaptcha_async import PollPolicy, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.redis import Fleet
from ezcaptcha_async.testing import SimulatedServer, SimulatedService, serve
from tests.redis_server import RedisServer, redis_server

TASK: Final = ReCaptchaV2TaskProxyless(
    website_url="https://example.com/login", website_key="site-key"
)
KEY: Final = "a-client-key-that-is-secret"
SPEED: Final = 20.0
"""How much faster than the real service the simulated one is."""
LEASE: Final = 1.0
"""Seconds after which a pool that gives no sign of life is taken for dead, where one dies."""
LONG_LEASE: Final = 5.0
"""Where none does: on a busy machine, a sign of life may well be a second late."""
PATIENT: Final[dict[str, Any]] = {"result_window": 300.0, "token_validity": 300.0}
"""In real seconds: on a busy machine nothing is to lapse, or expire, that a test still wants."""


def new_service(**settings: Any) -> SimulatedService:
    """Return a service whose results can be fetched for long enough."""
    return SimulatedService(result_window=SPEED * PATIENT["result_window"], **settings)


@pytest.fixture
def anyio_backend() -> str:
    """The client of Redis runs on asyncio alone."""
    return "asyncio"


@pytest.fixture(scope="session")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server for tests that do it no harm; each has a fleet of its own."""
    with redis_server(tmp_path_factory.mktemp("redis"), "--appendonly", "no") as server:
        yield server


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of a test's own."""
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def name() -> str:
    """The name of a fleet that no other test has."""
    return f"fleet-{os.urandom(4).hex()}"


class Crew:
    """Pools of one fleet, and the service that they work with."""

    def __init__(self, service: SimulatedService, web: SimulatedServer, fleet: Fleet) -> None:
        self.service = service
        self.web = web
        self.fleet = fleet
        self.profile = attrs.evolve(web.profile, **PATIENT)
        self._stack = AsyncExitStack()

    async def pool(self, *accounts: Any, **settings: Any) -> SessionPool:
        """Open one more pool."""
        profile = None if accounts and not isinstance(accounts[0], str) else self.profile
        return await self._stack.enter_async_context(
            SessionPool(
                *(accounts or (KEY,)),
                **{
                    "service": profile,
                    "fleet": self.fleet,
                    "polling": PollPolicy().at_speed(SPEED),
                    **settings,
                },
            )
        )

    async def pools(self, number: int, **settings: Any) -> list[SessionPool]:
        """Open so many."""
        return [await self.pool(**settings) for _ in range(number)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()


@asynccontextmanager
async def crew(
    service: SimulatedService, server: RedisServer, name: str, *, lease: float = LONG_LEASE
) -> AsyncGenerator[Crew]:
    """Serve the service, and close all pools in the end."""
    with serve(service, time_scale=SPEED) as web:
        async with Crew(service, web, Fleet(server.url, name=name, lease=lease)) as members:
            yield members


def job(number: object) -> ReCaptchaV2TaskProxyless:
    """Return a task for a reference."""
    return attrs.evolve(TASK, reference=f"job {number}")


async def until(holds: Any, *, seconds: float = 30.0) -> None:
    """Wait until something holds, or fail."""
    with anyio.fail_after(seconds):
        while not holds():
            await anyio.sleep(0.01)

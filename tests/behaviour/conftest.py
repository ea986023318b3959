"""Virtual time for everything in this folder, and pools on the simulated service."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

import anyio
import pytest
from trio.testing import MockClock

from ezcaptcha_async import EzCaptchaError, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.testing import SimulatedService
from ezcaptcha_async.transports import Evidence, NoAnswer, Reply, RequestBody

from .virtual_time import CountingLoop

TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")
KEY = "a-client-key-that-is-secret"
HERE: Final = Path(__file__).parent


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run each test on both event loops, under virtual time."""
    if request.param == "asyncio":
        return "asyncio", {"loop_factory": CountingLoop}
    return "trio", {"clock": MockClock(autojump_threshold=0)}


on_both_loops = pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"], indirect=True)
"""For what has a part in that, in a file that has none."""

on_one_loop = pytest.mark.parametrize("anyio_backend", ["asyncio"], indirect=True)
"""For what takes long and has no part in how an event loop cancels, wakes or ends."""

ON_ONE_LOOP: Final = frozenset(
    f"test_{name}"
    for name in (
        *("journal", "learning", "limits_at_work", "live_service", "odd_answers", "otel"),
        *("overload", "solving", "taking_over", "weather"),
    )
)
"""Files of which that is true, but for tests that are marked: they are about what the service
says, about figures, or about files."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out of those files what would be the same on trio."""
    superfluous = [
        item
        for item in items
        if item.path.parent == HERE and item.path.stem in ON_ONE_LOOP and "trio" in item.name
        if on_both_loops.mark not in item.iter_markers("parametrize")
    ]
    config.hook.pytest_deselected(items=superfluous)
    items[:] = [item for item in items if item not in superfluous]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a journal is."""
    return tmp_path / "paid.jsonl"


def copied(path: Path) -> Path:
    """Return a copy of a journal as it is: what a process that is killed now leaves."""
    copy = path.with_name(f"killed-{len(list(path.parent.iterdir()))}.jsonl")
    copy.write_bytes(path.read_bytes())
    return copy


async def all_of(*calls: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Return what each of them comes to, result or error, all at once."""
    results: list[Any] = [None] * len(calls)

    async def keep(index: int, call: Callable[[], Awaitable[Any]]) -> None:
        try:
            results[index] = await call()
        except Exception as error:  # noqa: BLE001 - the tests look at all of them
            results[index] = error

    async with anyio.create_task_group() as group:
        for index, call in enumerate(calls):
            group.start_soon(keep, index, call)
    return results


class DirectTransport:
    """Asks the service without an HTTP client between, which for thousands is ten times faster."""

    max_requests = 32

    def __init__(self, service: SimulatedService, latency: float) -> None:
        self._service = service
        self._half = latency / 2

    async def before(self, path: str) -> Reply | NoAnswer | None:
        """Do what comes before an answer; what is returned comes instead of it."""

    async def post(
        self, url: str, body: RequestBody, *, timeout: float, evidence: Evidence | None = None
    ) -> Reply | NoAnswer:
        """Answer as the service does."""
        path = url[url.rindex("/") :]
        instead = await self.before(path)
        if instead is not None:
            return instead
        if self._half:
            await anyio.sleep(self._half)
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


async def solve_all(
    pool: SessionPool, count: int, **settings: Any
) -> tuple[int, list[EzCaptchaError]]:
    """Let so many callers solve at once; return how many did, and the errors of the others."""
    solved, errors = 0, list[EzCaptchaError]()

    async def solve() -> None:
        nonlocal solved
        try:
            await pool.solve(TASK, **settings)
            solved += 1
        except EzCaptchaError as error:
            errors.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(solve)
    return solved, errors

"""A whole pool against the simulated service on a real port: nothing lost, nothing left open.

What becomes of each fault of a createTask is seen on virtual time, in ``tests/behaviour``.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final

import anyio
import httpx2
import pytest

from ezcaptcha_async import (
    PollPolicy,
    PoolClosedError,
    ReCaptchaSolution,
    ReCaptchaV2TaskProxyless,
    ReCaptchaV3TaskProxyless,
    Service,
    SessionPool,
    SubmissionUnknownError,
)
from ezcaptcha_async.testing import Fault, Fixed, SimulatedService, Uniform, serve
from tests.ports import free_port

from .clients import LONG_WINDOW, PACKAGES, SPEED

KEY: Final = "a-client-key-that-is-secret"
PAGE: Final[dict[str, Any]] = {
    "website_url": "https://example.com/login",
    "website_key": "site-key",
}
TASKS: Final = (ReCaptchaV2TaskProxyless(**PAGE), ReCaptchaV3TaskProxyless(**PAGE))
POLLING: Final = PollPolicy().at_speed(SPEED)
TABLE: Final = Path("/proc/self/net/tcp")
ESTABLISHED: Final = "01"


@pytest.fixture(params=["aiohttp", "httpx", "httpx2"])
def one_kind(request: pytest.FixtureRequest) -> str:
    """Name of the HTTP client: one of the pool's own, or an injected httpx2."""
    return str(request.param)


@pytest.fixture
def anyio_backend(one_kind: str) -> str:
    """Run each client on one backend; all pairs would only take longer."""
    return "trio" if one_kind == "httpx2" else "asyncio"


@asynccontextmanager
async def open_pool(
    kind: str, service: Service, *, max_requests: int = 32, **settings: Any
) -> AsyncGenerator[SessionPool]:
    """Open a pool on a service, with a client of that kind."""
    settings = {"polling": POLLING, "rng": Random(7), "max_requests": max_requests, **settings}
    if kind != "httpx2":
        async with SessionPool(KEY, service=service, transport=kind, **settings) as pool:
            yield pool
        return
    limits = httpx2.Limits(max_connections=max_requests, max_keepalive_connections=max_requests)
    async with (
        httpx2.AsyncClient(limits=limits) as client,
        SessionPool(KEY, service=service, http_client=client, **settings) as pool,
    ):
        yield pool


def _connections_to(port: int) -> int:
    """Return how many connections of this process to a port are open."""
    rows = (line.split() for line in TABLE.read_text().splitlines()[1:])
    return sum(int(row[2].split(":")[1], 16) == port and row[3] == ESTABLISHED for row in rows)


async def _all_closed(port: int) -> bool:
    with anyio.move_on_after(30):
        while _connections_to(port):
            await anyio.sleep(0.01)
    return not _connections_to(port)


needs_table = pytest.mark.skipif(not TABLE.exists(), reason="needs Linux's table of connections")


@needs_table
@pytest.mark.parametrize(
    ("one_kind", "limit"), [("httpx", None), ("httpx2", 3)], indirect=["one_kind"]
)
async def test_pools_that_share_a_client_keep_to_its_limits_together(
    one_kind: str, limit: int | None
) -> None:
    """Two hundred pools on one default client solved 175 of 1,000 tasks, at best."""
    service = SimulatedService(solve_times=Uniform(2, 4))
    package: Any = PACKAGES[one_kind]
    settings = {} if limit is None else {"limits": package.Limits(max_connections=limit)}
    at_work = most = 0

    class Client(package.AsyncClient):  # type: ignore[misc, name-defined]  # of httpx or httpx2
        async def send(self, *args: Any, **settings: Any) -> Any:
            nonlocal at_work, most
            at_work += 1
            most = max(most, at_work)
            try:
                return await super().send(*args, **settings)
            finally:
                at_work -= 1

    # No quicker: polls have 3 s at least, and on a busy machine they stand in line for a while.
    with serve(service, time_scale=2) as server:
        async with Client(**settings) as client, anyio.create_task_group() as group:

            async def solve_some() -> None:
                async with SessionPool(KEY, service=server.profile, http_client=client) as pool:
                    for outcome in await gathered(pool, 4):
                        assert outcome.token

            for _ in range(10):
                group.start_soon(solve_some)
    summary = service.summary()
    assert (summary.charges, summary.fetched) == (40, 40)
    assert most <= (limit or 32)


async def gathered(pool: SessionPool, count: int) -> list[ReCaptchaSolution]:
    """Solve so many at once."""
    solutions: list[ReCaptchaSolution] = []

    async def one() -> None:
        solutions.append(await pool.solve(TASKS[0]))

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(one)
    return solutions


@needs_table
async def test_a_hundred_at_once_through_all_kinds_of_trouble(one_kind: str) -> None:
    """The main job on a bad day: every paid task is solved, and no connection is left."""
    service = SimulatedService(
        solve_times=Uniform(6, 14), retry_after=0.1, result_window=LONG_WINDOW
    )
    for fault in (
        Fault.RESET_AFTER,
        Fault.RESET_BEFORE,
        Fault.HTML,
        Fault.MALFORMED,
        Fault.THROTTLED,
        Fault.UNAVAILABLE,
    ):
        service.inject(fault, path="/getTaskResult", times=4)
    service.inject(Fault.HANG, path="/getTaskResult", times=4, seconds=0.2)
    tokens: set[str] = set()
    with serve(service, time_scale=SPEED) as server:
        async with open_pool(one_kind, server.profile, max_requests=12) as pool:

            async def solve(index: int) -> None:
                tokens.add((await pool.solve(TASKS[index % 2])).token)

            async with anyio.create_task_group() as group:
                for index in range(100):
                    group.start_soon(solve, index)
            assert _connections_to(server.port) <= 12
        assert await _all_closed(server.port)
    summary = service.summary()
    assert len(tokens) == 100
    assert (summary.charges, summary.fetched, summary.lost) == (100, 100, 0)
    assert sum(summary.faults.values()) == 28
    counts = pool.statistics()
    assert (counts.created, counts.solved, counts.unknown) == (100, 100, 0)
    assert counts.points == summary.points
    # What is reset before it was sent is the only thing that the service did not see.
    assert counts.requests == summary.requests + summary.faults[Fault.RESET_BEFORE.value]


@needs_table
async def test_closing_in_the_middle_leaves_nothing_open(one_kind: str) -> None:
    """An application that stops must not wait for captchas, nor leave sockets behind."""
    service = SimulatedService(solve_times=Fixed(2_000), result_window=LONG_WINDOW)
    errors: list[PoolClosedError] = []
    with serve(service, time_scale=SPEED, latency=0.01) as server:
        async with anyio.create_task_group() as group:
            # As long as the requests in flight take on a busy machine.
            async with open_pool(one_kind, server.profile, close_grace=30.0) as pool:

                async def solve() -> None:
                    try:
                        await pool.solve(TASKS[0])
                    except PoolClosedError as error:
                        errors.append(error)

                for _ in range(60):
                    group.start_soon(solve)
                while service.summary().polls < 20:
                    await anyio.sleep(0.01)
        assert not service.summary().fetched
        assert await _all_closed(server.port)
        # And what is paid can still be fetched, by the pool of another process.
        saved = [error.ticket for error in errors if error.ticket is not None]
        assert len(saved) == len(pool.orphans()) == service.summary().charges
        service.finish(saved[0]["task_id"])
        async with open_pool(one_kind, server.profile) as another:
            solution = await another.resume(saved[0])
        assert solution.receipt.task_id == saved[0]["task_id"]
    assert len(errors) == 60


async def test_a_service_that_comes_up_late_is_waited_for(one_kind: str) -> None:
    """Both are started by the same script; a refused connection is no reason to fail."""
    service = SimulatedService(solve_times=Fixed(8))
    port = free_port()
    profile = service.profile(f"http://127.0.0.1:{port}", SPEED)
    async with open_pool(one_kind, profile) as pool, anyio.create_task_group() as group:
        group.start_soon(pool.solve, TASKS[0])
        while not pool.statistics().requests:
            await anyio.sleep(0.01)
        await anyio.sleep(0.1)
        with serve(service, port=port, time_scale=SPEED):
            while not pool.statistics().solved:
                await anyio.sleep(0.01)
    counts = pool.statistics()
    assert (counts.solved, counts.unknown) == (1, 0)
    assert service.summary().charges == 1


async def test_no_log_of_the_http_client_has_the_key(
    one_kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Turning debug logs on in production must not write the key to disk."""
    caplog.set_level(logging.NOTSET)
    service = SimulatedService(solve_times=Fixed(8))
    with serve(service, time_scale=SPEED) as server:
        async with open_pool(one_kind, server.profile) as pool:
            assert (await pool.solve(TASKS[0])).token
            service.inject(Fault.RESET_AFTER)
            with pytest.raises(SubmissionUnknownError):
                await pool.solve(TASKS[0])
            await pool.balance()
    if one_kind != "aiohttp":  # it logs nothing
        package = one_kind.replace("httpx", "httpcore")
        assert package in {record.name.partition(".")[0] for record in caplog.records}
    for record in caplog.records:
        assert KEY not in record.getMessage()
        assert KEY not in repr(vars(record))

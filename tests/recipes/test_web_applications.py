"""The README's examples inside real web servers, on real ports: they do what they promise."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import aiohttp
import uvicorn
from aiohttp import web

from ezcaptcha_async import SessionPool
from ezcaptcha_async.testing import SimulatedService
from tests.readme import block_with

from .conftest import run_block

REQUESTS: Final = 100
PAGE: Final = {"url": "https://example.com/login", "key": "site-key"}


async def fetch_all(url: str) -> set[str]:
    """Ask for a token a hundred times at once; return the answers that are not errors."""
    async with aiohttp.ClientSession(raise_for_status=True) as client:

        async def fetch() -> str:
            async with client.get(f"{url}/token", params=PAGE) as response:
                return await response.text()

        return set(await asyncio.gather(*(fetch() for _ in range(REQUESTS))))


@contextmanager
def running_uvicorn(app: Any) -> Iterator[str]:
    """Serve an ASGI application in a thread; yield its URL."""
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=partial(asyncio.run, server.serve()), daemon=True)
    thread.start()
    try:
        give_up_at = time.monotonic() + 10
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < give_up_at
            time.sleep(0.005)
        (listener,) = server.servers[0].sockets
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def test_fastapi(service: SimulatedService) -> None:
    """One pool serves all requests, and ends in good order with the application."""
    app = run_block(block_with("FastAPI("))["app"]
    with running_uvicorn(app) as url:
        answers = asyncio.run(fetch_all(url))
        pool: SessionPool = app.state.pool
    tokens = {json.loads(answer) for answer in answers}
    assert len(tokens) == REQUESTS
    assert all(tokens)
    assert pool.statistics().solved == service.summary().charges == REQUESTS
    assert "closed" in repr(pool)


async def start(runner: web.AppRunner) -> str:
    """Start an aiohttp application; return its URL."""
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


def test_aiohttp(service: SimulatedService) -> None:
    """The same; aiohttp may begin and end an application in different asyncio tasks."""
    example = run_block(block_with("web.Application()"))

    async def main() -> set[str]:
        runner = web.AppRunner(example["app"])
        url = await asyncio.create_task(start(runner))
        try:
            return await fetch_all(url)
        finally:
            await asyncio.create_task(runner.cleanup())

    tokens = asyncio.run(main())
    assert len(tokens) == REQUESTS
    assert all(tokens)
    assert example["app"][example["HTTP"]].closed
    pool = example["app"][example["POOL"]]
    assert pool.statistics().solved == service.summary().charges == REQUESTS
    assert "closed" in repr(pool)


def test_a_browser_that_goes_away_loses_no_paid_task(service: SimulatedService) -> None:
    """The server cancels the handler then; what was paid is on the list."""
    example = run_block(block_with("web.Application()"))

    async def main() -> None:
        runner = web.AppRunner(example["app"], handler_cancellation=True)
        url = await start(runner)
        pool = example["app"][example["POOL"]]
        async with aiohttp.ClientSession() as client:
            request = asyncio.create_task(client.get(f"{url}/token", params=PAGE))
            while not pool.statistics().waiting:
                await asyncio.sleep(0.005)
            request.cancel()
            while not pool.orphans():
                await asyncio.sleep(0.005)
            (orphan,) = pool.orphans()
            await asyncio.sleep(0.8)  # it is solved by now
            assert (await pool.resume(orphan)).token
        await runner.cleanup()

    asyncio.run(asyncio.wait_for(main(), timeout=10))
    assert service.summary().charges == 1

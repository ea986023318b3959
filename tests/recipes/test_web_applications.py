"""The web applications among the examples, inside real servers: they do what they promise."""

from __future__ import annotations

import asyncio
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import aiohttp
import httpx
import pytest
import uvicorn
from aiohttp import web

import ezcaptcha_async
from ezcaptcha_async import (
    BannedError,
    CredentialError,
    EzCaptchaError,
    ProtocolError,
    SessionPool,
    SolveTimeoutError,
    SubmissionUnknownError,
    TaskFailedError,
)
from ezcaptcha_async.testing import Fixed, SimulatedService, VirtualTimeLoop

from .conftest import names_in

Example = Callable[[str], Path]
RunFile = Callable[..., "subprocess.CompletedProcess[str]"]

REQUESTS: Final = 100


async def fetch_all(url: str) -> set[str]:
    """Ask for a token a hundred times at once; return the answers that are not errors."""
    async with aiohttp.ClientSession(raise_for_status=True) as client:

        async def fetch() -> str:
            async with client.get(url) as response:
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


def test_fastapi(service: SimulatedService, example: Example) -> None:
    """One pool serves all requests, and nobody gets a token that somebody else has."""
    app = names_in(example("fastapi"))["app"]
    with running_uvicorn(app) as url:
        answers = asyncio.run(fetch_all(f"{url}/token/login"))
        assert httpx.get(f"{url}/token/other").status_code == 404
    tokens = {json.loads(answer) for answer in answers}
    assert len(tokens) == REQUESTS
    assert all(tokens)
    service.assert_charged(REQUESTS)
    service.assert_all_fetched()


ANSWERS: Final[list[tuple[EzCaptchaError, int, str | None]]] = [
    (SolveTimeoutError("late", task_id="17"), 504, None),
    (BannedError("ERROR_IP_BANNED", retry_after=600), 503, "600"),
    (TaskFailedError("ERROR_CAPTCHA_UNSOLVABLE"), 503, None),
    (CredentialError("ERROR_KEY_DOES_NOT_EXIST"), 503, None),
    (SubmissionUnknownError("lost"), 502, None),
    (ProtocolError("the answer is not JSON"), 502, None),
]


def test_fastapi_answers_with_what_an_error_means(example: Example) -> None:
    """A browser would be told to come again for nothing, or what is wrong with the account."""
    no_token = names_in(example("fastapi"))["no_token"]
    for error, status, wait in ANSWERS:
        answer = asyncio.run(no_token(None, error))
        assert (answer.status_code, answer.headers.get("Retry-After")) == (status, wait)
        assert json.loads(answer.body) == {"error": type(error).__name__}


def test_fastapi_takes_up_what_was_paid_for_somebody_else(
    simulated_service: SimulatedService, example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each caller who gives up would cost a task that nobody has."""
    simulated_service.set_solve_times(Fixed(100))

    def pool_in_this_process(**settings: Any) -> SessionPool:
        return SessionPool(
            "a-key",
            service=simulated_service.profile(),
            http_client=simulated_service.client(),
            **settings,
        )

    with monkeypatch.context() as patched:
        patched.setattr(ezcaptcha_async, "SessionPool", pool_in_this_process)
        app = names_in(example("fastapi"))["app"]

    async def main() -> list[int]:
        async with app.router.lifespan_context(app) as state:

            async def with_state(scope: Any, receive: Any, send: Any) -> None:
                await app(scope | {"state": state}, receive, send)

            transport = httpx.ASGITransport(with_state)
            async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
                return [(await client.get("/token/login")).status_code for _ in range(2)]

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        assert runner.run(main()) == [504, 200]
    simulated_service.assert_charged(1)


async def start(runner: web.AppRunner) -> str:
    """Start an aiohttp application; return the URL of its tokens."""
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}/token"


def test_aiohttp(service: SimulatedService, example: Example) -> None:
    """The same; aiohttp may begin and end an application in different asyncio tasks."""
    names = names_in(example("aiohttp"))

    async def main() -> tuple[set[str], int]:
        runner = web.AppRunner(names["app"])
        url = await asyncio.create_task(start(runner))
        try:
            tokens = await fetch_all(url)
            service.ban(seconds=600)
            async with aiohttp.ClientSession() as client, client.get(url) as response:
                return tokens, response.status  # and no page about a fault in the server
        finally:
            await asyncio.create_task(runner.cleanup())

    tokens, status = asyncio.run(main())
    assert (len(tokens), status) == (REQUESTS, 503)
    assert all(tokens)
    assert names["app"][names["HTTP"]].closed
    pool = names["app"][names["POOL"]]
    assert pool.statistics().solved == service.summary().charges == REQUESTS
    assert "closed" in repr(pool)


def test_aiohttp_gives_a_browser_what_was_paid_for_one_that_went_away(
    service: SimulatedService, example: Example
) -> None:
    """The server cancels the handler then; what was paid would be lost."""
    names = names_in(example("aiohttp"))

    async def main() -> str:
        runner = web.AppRunner(names["app"], handler_cancellation=True)
        url = await start(runner)
        pool = names["app"][names["POOL"]]
        async with aiohttp.ClientSession(raise_for_status=True) as client:
            request = asyncio.create_task(client.get(url))
            while not pool.statistics().waiting:
                await asyncio.sleep(0.005)
            request.cancel()
            while not pool.orphans():
                await asyncio.sleep(0.005)
            async with client.get(url) as response:
                token = await response.text()
        await runner.cleanup()
        return token

    assert asyncio.run(asyncio.wait_for(main(), timeout=30))
    assert service.summary().charges == 1


IN_THREADS: Final = """
from concurrent.futures import ThreadPoolExecutor
from flask_app import create_app

app = create_app()


def ask(_number):
    return app.test_client().get("/token")


with ThreadPoolExecutor(20) as threads:
    answers = list(threads.map(ask, range(20)))
print(len({answer.text for answer in answers if answer.status_code == 200}))
answer = ask(20)
print(answer.status_code, answer.json)
"""


def test_flask(service: SimulatedService, example: Example, run_file: RunFile) -> None:
    """Threads would share a token or wait for each other, or the process would not end."""
    pytest.importorskip("flask")
    service.set_balance("simulated", 20 * 6)
    example("flask")
    done = run_file("-c", IN_THREADS)
    assert done.stderr == ""
    assert done.stdout == "20\n503 {'error': 'InsufficientBalanceError'}\n", "no page of a fault"
    service.assert_charged(20)
    tasks = service.record.tasks
    first_solved = min(task.ready_at for task in tasks)
    assert sum(task.created_at < first_solved for task in tasks) > 1

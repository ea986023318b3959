"""taskiq: jobs from a queue, on many machines, each paid for once.

pip install taskiq taskiq-redis '.[redis]'
export REDIS_URL=redis://10.0.0.5:6379
taskiq worker --workers 1 --ack-type when_executed taskiq_jobs:broker
python taskiq_jobs.py https://example.com/page/{0..9}

The one on each machine; the other one puts pages into the queue and prints what comes of them.
A worker that dies has its jobs run again after a minute: they are paid for. The others look for
them only when another job comes, and so each worker sends a tick every few seconds.
"""

import asyncio
import os
import sys

from taskiq import TaskiqEvents, TaskiqState
from taskiq.serializers import JSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from ezcaptcha_async import EzCaptchaError, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.redis import Fleet

URL = os.environ.get("REDIS_URL", "redis://localhost:6379")

# JSON, because whoever can write to the server could have pickles run anything. A lock without an
# end would outlive the worker that holds it.
results = RedisAsyncResultBackend[str](URL, result_ex_time=3_600, serializer=JSONSerializer())
broker = RedisStreamBroker(
    URL, idle_timeout=60_000, unacknowledged_lock_timeout=10
).with_result_backend(results)


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_pool(state: TaskiqState) -> None:
    """Open one pool in each worker, and begin to tick."""
    state.pool = await SessionPool(budget=1_000, fleet=Fleet(URL, name="jobs")).open()
    state.ticking = asyncio.create_task(ticks())


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def close_pool(state: TaskiqState) -> None:
    """Close the pool with the worker."""
    state.ticking.cancel()
    await state.pool.aclose()


async def ticks() -> None:
    """Send a tick every few seconds."""
    while True:
        await asyncio.sleep(3)
        await tick.kiq()


@broker.task
async def tick() -> None:
    """Do nothing but arrive."""


@broker.task
async def token(page: str) -> str:
    """Solve for one page; run once more, it waits for what was paid for."""
    pool: SessionPool = broker.state.pool
    task = ReCaptchaV2TaskProxyless(website_url=page, website_key="site-key", reference=page)
    try:
        return (await pool.solve(task, once=True)).token
    except EzCaptchaError as error:
        return f"{'send it again' if error.retryable else 'no token'}: {error}"


async def main(pages: list[str]) -> None:
    """Put jobs into the queue, and print what comes of them."""
    await broker.startup()
    jobs = [await token.kiq(page) for page in pages]
    for page, job in zip(pages, jobs, strict=True):
        print(page, (await job.wait_result(timeout=300)).return_value[:16])
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))

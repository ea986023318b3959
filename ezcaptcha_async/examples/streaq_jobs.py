"""streaQ: jobs from a queue, on many machines, each paid for once.

pip install streaq '.[redis]'
export REDIS_URL=redis://10.0.0.5:6379
streaq run streaq_jobs:worker
python streaq_jobs.py https://example.com/page/{0..9}

The one on each machine; the other one puts pages into the queue and prints what comes of them.
A worker that dies is found out after a minute, and its jobs are run again: they are paid for.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from streaq import StreaqRetry, Worker

from ezcaptcha_async import EzCaptchaError, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.redis import Fleet

URL = os.environ.get("REDIS_URL", "redis://localhost:6379")


@asynccontextmanager
async def lifespan() -> AsyncGenerator[SessionPool]:
    """Open one pool in each worker."""
    async with SessionPool(budget=1_000, fleet=Fleet(URL, name="jobs")) as pool:
        yield pool


# JSON, because whoever can write to the server could have pickles run anything.
worker = Worker(
    redis_url=URL,
    concurrency=200,
    lifespan=lifespan,
    serializer=json.dumps,
    deserializer=json.loads,
)


@worker.task
async def token(page: str) -> str:
    """Solve for one page; run once more, it waits for what was paid for."""
    task = ReCaptchaV2TaskProxyless(website_url=page, website_key="site-key", reference=page)
    try:
        return (await worker.context.solve(task, once=True)).token
    except EzCaptchaError as error:
        if error.retryable:
            raise StreaqRetry(str(error), delay=int(error.retry_after or 5)) from None
        return f"no token: {error}"


async def main(pages: list[str]) -> None:
    """Put jobs into the queue, and print what comes of them."""
    async with worker:
        jobs = [await token.enqueue(page) for page in pages]
        for page, job in zip(pages, jobs, strict=True):
            print(page, (await job.result(timeout=300)).result[:16])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))

"""A worker for many machines: a job that comes twice is paid for once.

pip install '.[redis]'
python fleet_worker.py redis://10.0.0.5:6379/0 https://example.com/page/{0..9}

Give all machines the same jobs, as here, or let Celery, arq or Kubernetes deliver them to one or
the other: open one pool in each process, and ask for each job with `once`.
"""

import asyncio
import sys

from ezcaptcha_async import EzCaptchaError, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.redis import Fleet


async def work(pool: SessionPool, page: str) -> None:
    """Do one job; whatever becomes of it, it may be delivered again."""
    task = ReCaptchaV2TaskProxyless(website_url=page, website_key="site-key", reference=page)
    try:
        print(page, (await pool.solve(task, once=True)).token[:16])
    except EzCaptchaError as error:
        print(page, "deliver it again:" if error.retryable else "give it up:", error)


async def main(url: str, pages: list[str]) -> None:
    """Work as one of the fleet, until the jobs are done."""
    async with SessionPool(budget=1_000, fleet=Fleet(url, name="pages")) as pool:
        async with asyncio.TaskGroup() as jobs:
            for page in pages:
                jobs.create_task(work(pool, page))
        print(await pool.fleet_status())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))

"""A worker of an engine that delivers at least once: jobs come in as lines, results go out so.

    python worker.py URL NAME LEASE BASE_URL

A result is the job's reference, and its token or the name of its error.
"""

from __future__ import annotations

import asyncio
import sys

import attrs

from ezcaptcha_async import (
    EZCAPTCHA,
    EzCaptchaError,
    PollPolicy,
    ReCaptchaV2TaskProxyless,
    SessionPool,
)
from ezcaptcha_async.redis import Fleet

SPEED = 20.0


async def solve(pool: SessionPool, reference: str) -> str:
    """Do one job; return what it comes to."""
    task = ReCaptchaV2TaskProxyless(
        website_url="https://example.com/", website_key="site-key", reference=reference
    )
    try:
        return (await pool.solve(task, once=True)).token
    except EzCaptchaError as error:
        return type(error).__name__


async def main(url: str, name: str, lease: str, base_url: str) -> None:
    """Work until no more jobs come."""
    loop = asyncio.get_running_loop()
    service = attrs.evolve(
        EZCAPTCHA.at_speed(SPEED),
        base_url=base_url,
        result_window=300.0,
        token_validity=300.0,
    )
    async with SessionPool(
        "a-client-key-that-is-secret",
        service=service,
        fleet=Fleet(url, name=name, lease=float(lease)),
        polling=PollPolicy().at_speed(SPEED),
    ) as pool:

        async def work(reference: str) -> None:
            print(reference, await solve(pool, reference), sep="\t", flush=True)

        print("open", flush=True)
        async with asyncio.TaskGroup() as group:
            while line := await loop.run_in_executor(None, sys.stdin.readline):
                group.create_task(work(line.strip()))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

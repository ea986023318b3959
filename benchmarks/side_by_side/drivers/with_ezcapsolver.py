"""ezcapsolver-py: one client for all tasks, as its README's section on concurrency shows.

Its defaults are left alone: 3 s between polls, 50 polls, 30 s for a request.
"""

from __future__ import annotations

from ezcapsolver import AsyncEzCapSolverClient
from harness import CLIENT_KEY, SITE_KEY, Load, drive


async def library(load: Load) -> None:
    """Open one client for all tasks."""
    async with AsyncEzCapSolverClient(CLIENT_KEY, async_base_url=load.url) as client:

        async def one(page: str) -> str:
            solved = await client.solve_recaptcha_v2_task_proxyless(page, SITE_KEY)
            return str(solved.solution.token)

        await load.solve(one)


drive(library)

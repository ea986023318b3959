"""ezcaptcha_async: one pool with its defaults, as its README shows."""

from __future__ import annotations

import attrs
from harness import CLIENT_KEY, SITE_KEY, Load, drive

from ezcaptcha_async import EZCAPTCHA, ReCaptchaV2TaskProxyless, SessionPool


async def library(load: Load) -> None:
    """Open one pool for all tasks."""
    async with SessionPool(CLIENT_KEY, service=attrs.evolve(EZCAPTCHA, base_url=load.url)) as pool:

        async def one(page: str) -> str:
            task = ReCaptchaV2TaskProxyless(website_url=page, website_key=SITE_KEY)
            return (await pool.solve(task)).token

        await load.solve(one)


drive(library)

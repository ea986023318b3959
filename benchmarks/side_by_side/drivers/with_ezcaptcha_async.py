"""ezcaptcha_async: one pool with its defaults, as its README shows."""

from __future__ import annotations

import attrs
from harness import CLIENT_KEY, PAGE, SITE_KEY, Load, drive

from ezcaptcha_async import EZCAPTCHA, ReCaptchaV2TaskProxyless, SessionPool

TASK = ReCaptchaV2TaskProxyless(website_url=PAGE, website_key=SITE_KEY)


async def library(load: Load) -> None:
    """Open one pool for all tasks."""
    async with SessionPool(CLIENT_KEY, service=attrs.evolve(EZCAPTCHA, base_url=load.url)) as pool:

        async def one() -> str:
            return (await pool.solve(TASK)).token

        await load.solve(one)


drive(library)

"""anycaptcha: one solver for all tasks, as its README shows, speaking to its "anti-captcha.com".

It has no public setting for its polls: after 10 s, then every 2 s, for 300 s at most. Its
service's address is a constant of the class. Its plain reCAPTCHA v2 has a type name that
EzCaptcha does not know, so it asks for the enterprise type, which both spell the same.
"""

from __future__ import annotations

from anycaptcha import Service, Solver
from anycaptcha.service import anti_captcha
from harness import CLIENT_KEY, SITE_KEY, Load, drive


async def library(load: Load) -> None:
    """Open one solver for all tasks."""
    anti_captcha.Service.BASE_URL = load.url
    async with Solver(Service.ANTI_CAPTCHA, CLIENT_KEY) as solver:

        async def one(page: str) -> str:
            solved = await solver.solve_recaptcha_v2(SITE_KEY, page, is_enterprise=True)
            return str(solved.solution.token)

        await load.solve(one)


drive(library)

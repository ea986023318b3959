"""trio: a nursery of a hundred tasks.

pip install trio
python trio_program.py
"""

import trio

from ezcaptcha_async import EzCaptchaError, ReCaptchaV3TaskProxyless, SessionPool


async def solve(pool: SessionPool, page: str) -> None:
    """Solve one; what becomes of it stops none of the others."""
    task = ReCaptchaV3TaskProxyless(website_url=page, website_key="site-key", page_action="view")
    try:
        print(page, (await pool.solve(task)).token[:16])
    except EzCaptchaError as error:
        print(page, error)


async def main() -> None:
    """Solve them all at once."""
    async with SessionPool(budget=1_000) as pool, trio.open_nursery() as nursery:
        for number in range(100):
            nursery.start_soon(solve, pool, f"https://example.com/page/{number}")


if __name__ == "__main__":
    trio.run(main)

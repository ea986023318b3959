"""Crawlee: a handler that waits, and does not pay again for an error.

pip install 'crawlee[parsel]'
python crawlee_crawler.py http://127.0.0.1:8765/page/{0..9}

By default Crawlee cancels a handler after 60 s, and fetches a page again whose handler raises:
that would pay again.
"""

import asyncio
import sys
from datetime import timedelta

from crawlee.crawlers import ParselCrawler, ParselCrawlingContext

from ezcaptcha_async import EzCaptchaError, ReCaptchaV2TaskProxyless, SessionPool


async def main(pages: list[str]) -> None:
    """Read the pages; their tokens are in storage/datasets/default."""
    async with SessionPool(budget=1_000) as pool:
        crawler = ParselCrawler(request_handler_timeout=timedelta(minutes=6))

        @crawler.router.default_handler
        async def handle(context: ParselCrawlingContext) -> None:
            url, key = context.request.url, context.selector.css("::attr(data-sitekey)").get()
            if key is None:
                return
            try:
                task = ReCaptchaV2TaskProxyless(website_url=url, website_key=key)
                solution = await pool.solve(task)
            except EzCaptchaError as error:
                await context.push_data({"url": url, "error": str(error)})
            else:
                await context.push_data({"url": url, "token": solution.token})

        await crawler.run(pages)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))

"""Scrapy: a pipeline that solves for many items while it crawls.

pip install scrapy
scrapy runspider scrapy_spider.py -a site=http://127.0.0.1:8765 -O tokens.jsonl

At most CONCURRENT_ITEMS of each answer are in it at a time.
"""

from collections.abc import AsyncIterator, Iterator

import scrapy
from scrapy.exceptions import DropItem
from scrapy.http import Response

from ezcaptcha_async import EzCaptchaError, ReCaptchaV2TaskProxyless, SessionPool


class Tokens:
    """Adds a token to each item."""

    async def open_spider(self) -> None:
        """Open the pool with the crawl."""
        self.pool = await SessionPool(budget=1_000).open()

    async def close_spider(self) -> None:
        """Close it in the end."""
        await self.pool.aclose()

    async def process_item(self, item: dict[str, str]) -> dict[str, str]:
        """Wait for a token; the crawl goes on meanwhile."""
        task = ReCaptchaV2TaskProxyless(website_url=item["url"], website_key=item["key"])
        try:
            solution = await self.pool.solve(task)
        except EzCaptchaError as error:
            raise DropItem(str(error)) from error
        return item | {"token": solution.token}


class Pages(scrapy.Spider):
    """Reads the pages of a site."""

    name = "pages"
    custom_settings = {"ITEM_PIPELINES": {Tokens: 100}}
    site: str

    async def start(self) -> AsyncIterator[scrapy.Request]:
        """Begin with all of them."""
        for number in range(10):
            yield scrapy.Request(f"{self.site}/page/{number}", callback=self.page)

    def page(self, response: Response) -> Iterator[dict[str, str]]:
        """Find the site key, where there is one."""
        key = response.css("::attr(data-sitekey)").get()
        if key is not None:
            yield {"url": response.url, "key": key}

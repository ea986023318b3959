"""A scraper that may be killed: the same command again goes on.

python scraper_resuming.py done.jsonl http://127.0.0.1:8765/page/{0..9}
"""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import httpx

from ezcaptcha_async import ReCaptchaSolution, ReCaptchaV2TaskProxyless, SessionPool

SITE_KEY = re.compile('data-sitekey="([^"]+)"')


async def tasks(
    web: httpx.AsyncClient, pages: Iterable[str]
) -> AsyncIterator[ReCaptchaV2TaskProxyless]:
    """Read the pages one by one, as there is room for their tasks."""
    for page in pages:
        found = SITE_KEY.search((await web.get(page)).text)
        if found:
            yield ReCaptchaV2TaskProxyless(website_url=page, website_key=found[1], reference=page)
        else:
            print(page, "asks for no token")


async def main(results: Path, pages: list[str]) -> None:
    """Send the form of each page, once."""
    results.touch()
    done = {json.loads(line)["page"] for line in results.read_text("utf-8").splitlines()}
    with results.open("a", encoding="utf-8") as file:
        journal = results.with_suffix(".journal")
        async with httpx.AsyncClient() as web, SessionPool(journal=journal, budget=1_000) as pool:

            async def send(page: str | None, solution: object, error: Exception | None) -> None:
                if page is None or not isinstance(solution, ReCaptchaSolution):
                    print(page, error)
                    return
                reply = await web.post(page, data={"g-recaptcha-response": solution.token})
                line = json.dumps({"page": page, "status": reply.status_code})
                print(line, file=file, flush=True)
                done.add(page)

            async with pool.resume_all() as left:  # what the last run has paid for
                async for old in left:
                    await send(old.reference, old.solution, old.error)
            doubtful = {submission.reference for submission in pool.unknowns()} - done
            todo = [page for page in pages if page not in done | doubtful]
            async with pool.solve_many(tasks(web, todo)) as outcomes:
                async for new in outcomes:
                    await send(new.task.reference, new.solution, new.error)
    print(len(done), "pages are done")
    if doubtful:
        print("left out until tomorrow, for they may have been paid for:", *doubtful)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))

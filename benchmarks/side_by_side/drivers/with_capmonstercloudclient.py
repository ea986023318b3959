"""capmonstercloudclient: one client for all tasks, as its README shows.

It has no setting for its polls: after 1 s, then every 3 s, for 180 s at most.
"""

from __future__ import annotations

from capmonstercloudclient import CapMonsterClient, ClientOptions
from capmonstercloudclient.requests import RecaptchaV2Request
from harness import CLIENT_KEY, SITE_KEY, TASK_TYPE, Load, drive


async def library(load: Load) -> None:
    """Make one client for all tasks."""
    client = CapMonsterClient(ClientOptions(api_key=CLIENT_KEY, service_url=load.url))

    async def one(page: str) -> str:
        request = RecaptchaV2Request(type=TASK_TYPE, websiteUrl=page, websiteKey=SITE_KEY)
        return str((await client.solve_captcha(request))["gRecaptchaResponse"])

    await load.solve(one)


drive(library)

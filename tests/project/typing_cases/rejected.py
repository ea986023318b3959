"""What both type checkers must reject: every line that ends in `# E`, and no other."""

# ruff: noqa: B018 - an attribute that is not there is all that its line is about

from __future__ import annotations

from ezcaptcha_async import (
    Account,
    CloudFlare5STask,
    CloudFlareTurnstileTask,
    CustomTask,
    FuncaptchaTaskProxyless,
    HCaptcha,
    PollPolicy,
    ReCaptchaSolution,
    ReCaptchaV2SEnterpriseTaskProxyless,
    ReCaptchaV2STaskProxyless,
    ReCaptchaV2TaskProxyless,
    ReCaptchaV3TaskProxyless,
    SessionPool,
    Ticket,
)

URL, KEY = "https://example.com", "6Lc"
v2 = ReCaptchaV2TaskProxyless(website_url=URL, website_key=KEY)

# Required fields
ReCaptchaV2TaskProxyless()  # E
ReCaptchaV2TaskProxyless(website_url=URL)  # E
ReCaptchaV2TaskProxyless(website_key=KEY)  # E
ReCaptchaV3TaskProxyless(website_url=URL)  # E
ReCaptchaV2STaskProxyless(website_url=URL, s="s")  # E
ReCaptchaV2SEnterpriseTaskProxyless(website_key=KEY, s="s")  # E
CloudFlareTurnstileTask(website_url=URL)  # E
HCaptcha(website_key=KEY)  # E
FuncaptchaTaskProxyless(website_url=URL)  # E
CloudFlare5STask(website_url=URL)  # E
CloudFlare5STask(proxy="http://user:word@proxy.example.com:8080")  # E
CustomTask("NewTask")  # E
CustomTask()  # E

# What to do with a lost answer
SessionPool("key", on_unknown="repeat")  # E
SessionPool("key", journal=7)  # E

# Keywords only, and only those that the type has
ReCaptchaV2TaskProxyless(URL, KEY)  # E
CloudFlare5STask(URL, "http://user:word@proxy.example.com:8080")  # E
ReCaptchaV2TaskProxyless(website_url=URL, website_key=KEY, page_action="login")  # E
ReCaptchaV2TaskProxyless(website_url=URL, website_key=KEY, websiteUrl=URL)  # E
ReCaptchaV2TaskProxyless(website_url=URL, website_key=KEY, check_field="c")  # E
HCaptcha(website_url=URL, website_key=KEY, rq_data="r")  # E
CustomTask("NewTask", {}, {"new": 1})  # E
ReCaptchaV3TaskProxyless(website_url=URL, website_key=KEY, sa="a")  # E
FuncaptchaTaskProxyless(website_url=URL, website_key=KEY, blob="b")  # E
CloudFlare5STask(website_url=URL, website_key=KEY, proxy="http://user:word@example.com:1")  # E
Account("key", 5)  # E
PollPolicy(5.0)  # E

# Types
ReCaptchaV2TaskProxyless(website_url=b"https://example.com", website_key=KEY)  # E
ReCaptchaV2TaskProxyless(website_url=URL, website_key=5)  # E
ReCaptchaV2TaskProxyless(website_url=None, website_key=KEY)  # E
ReCaptchaV2TaskProxyless(website_url=URL, website_key=KEY, is_invisible="true")  # E
ReCaptchaV3TaskProxyless(website_url=URL, website_key=KEY, page_action=5)  # E
ReCaptchaV2STaskProxyless(website_url=URL, website_key=KEY, s=5)  # E
ReCaptchaV2TaskProxyless(website_url=URL, website_key=KEY, proxy=("h", 1))  # E
ReCaptchaV2TaskProxyless(website_url=URL, website_key=KEY, extra=["new"])  # E
CloudFlare5STask(website_url=URL, proxy=None)  # E
FuncaptchaTaskProxyless(website_url=URL, website_key=KEY, cn="true")  # E
HCaptcha(website_url=URL, website_key=KEY, invisible=None)  # E
CloudFlareTurnstileTask(website_url=URL, website_key=KEY, rq_data=5)  # E
Account("key", app_id="7")  # E
FuncaptchaTaskProxyless(website_url=URL, website_key=KEY, data=["blob"])  # E
CustomTask("NewTask", ["websiteURL"])  # E
CustomTask(5, {})  # E
Account(5)  # E
Account("key", max_in_flight="200")  # E
SessionPool("key", polling=3.0)  # E
SessionPool("key", max_requests="32")  # E
SessionPool("key", timeout=5)  # E
SessionPool(api_key="key")  # E
SessionPool(5)  # E

# Values do not change
v2.website_url = "https://other.example.com"  # E
v2.is_invisible = True  # E
Account("key").max_creates = 5  # E
PollPolicy().interval = 5.0  # E


async def pools(pool: SessionPool, ticket: Ticket[ReCaptchaSolution]) -> None:
    """Calls and results."""
    solution = await pool.solve(v2)
    solution.headers  # E
    solution.text  # E
    solution.token.value  # E
    solution.token = "other"  # E
    solution.receipt.task_id = "7"  # E
    await pool.solve("ReCaptchaV2TaskProxyless")  # E
    await pool.solve({"type": "ReCaptchaV2TaskProxyless"})  # E
    await pool.solve([v2])  # E
    await pool.solve(ReCaptchaV2TaskProxyless)  # E
    await pool.solve(v2, 60)  # E
    await pool.solve(v2, timeout="60")  # E
    await pool.solve(v2, proxy="http://user:password@example.com:80")  # E
    await pool.submit(v2, max_retries=3)  # E
    pool.solve_many([v2], concurrency=5)  # E
    await pool.submit()  # E
    (await pool.submit(v2)).token  # E
    (await ticket).cookies["a"]  # E
    await pool.resume("7")  # E
    ticket.to_dict()["taskId"]  # E
    async for outcome in pool.solve_many([v2]):  # E
        del outcome
    async with pool.solve_many(v2) as outcomes:  # E
        del outcomes
    async with pool.solve_many([v2], 5) as outcomes:  # E
        del outcomes
    with pool:  # E
        pass
    pool.statistics().solved = 5  # E
    await pool.balance(5)  # E

"""aiohttp: the pool shares the application's own session.

pip install aiohttp
python aiohttp_app.py
curl http://127.0.0.1:8080/token
"""

from collections.abc import AsyncIterator

from aiohttp import ClientSession, web

from ezcaptcha_async import EzCaptchaError, ReCaptchaSolution, ReCaptchaV2TaskProxyless, SessionPool

HTTP = web.AppKey("http", ClientSession)
POOL = web.AppKey("pool", SessionPool)
TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")


async def open_pool(app: web.Application) -> AsyncIterator[None]:
    """Open the pool with the application, and close it with it."""
    async with (
        ClientSession() as app[HTTP],
        SessionPool(http_client=app[HTTP], budget=10_000) as app[POOL],
    ):
        yield


async def token_from(pool: SessionPool) -> str:
    """Return a token: one that was paid for a caller who went away, else a new one."""
    orphan = next(iter(pool.orphans()), None)
    if orphan is not None:
        solution: ReCaptchaSolution = await pool.resume(orphan, timeout=60)
        if solution.remaining() > 2:
            return solution.token
    return (await pool.solve(TASK, timeout=60)).token


async def token(request: web.Request) -> web.Response:
    """Answer with a token, or with what an error means."""
    try:
        return web.Response(text=await token_from(request.app[POOL]))
    except TimeoutError as error:
        raise web.HTTPGatewayTimeout(text="come again: it goes on") from error
    except EzCaptchaError as error:
        raise web.HTTPServiceUnavailable(text=type(error).__name__) from error


app = web.Application()
app.cleanup_ctx.append(open_pool)
app.router.add_get("/token", token)

if __name__ == "__main__":
    # A caller who goes away is let go; what was paid for him is for the next one.
    web.run_app(app, host="127.0.0.1", port=8080, handler_cancellation=True)

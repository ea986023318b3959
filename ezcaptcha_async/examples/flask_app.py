"""Flask: handlers in threads reach the pool through a portal.

pip install flask
flask --app flask_app run
curl http://127.0.0.1:5000/token
"""

import atexit
from contextlib import ExitStack

from anyio.from_thread import start_blocking_portal
from flask import Flask

from ezcaptcha_async import EzCaptchaError, ReCaptchaSolution, ReCaptchaV2TaskProxyless, SessionPool

TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/login", website_key="site-key")


async def token_from(pool: SessionPool) -> str:
    """Return a token: one that was paid for a caller who gave up, else a new one."""
    orphan = next(iter(pool.orphans()), None)
    if orphan is not None:
        solution: ReCaptchaSolution = await pool.resume(orphan, timeout=60)
        if solution.remaining() > 2:
            return solution.token
    return (await pool.solve(TASK, timeout=60)).token


def create_app() -> Flask:
    """Make the application, once in each process: a pool does not outlive a fork."""
    app = Flask(__name__)
    opened = ExitStack()
    portal = opened.enter_context(start_blocking_portal())
    pool = opened.enter_context(portal.wrap_async_context_manager(SessionPool(budget=10_000)))
    atexit.register(opened.close)

    @app.get("/token")
    def token() -> str:
        return portal.call(token_from, pool)

    @app.errorhandler(EzCaptchaError)
    def no_token(error: EzCaptchaError) -> tuple[dict[str, str], int]:
        status = 504 if isinstance(error, TimeoutError) else 503
        return {"error": type(error).__name__}, status

    return app

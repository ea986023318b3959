"""FastAPI: one pool; errors become answers, what is paid is not left.

pip install fastapi uvicorn
uvicorn fastapi_app:app
curl http://127.0.0.1:8000/token/login
"""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse

from ezcaptcha_async import (
    BudgetExceededError,
    CredentialError,
    EzCaptchaError,
    InsufficientBalanceError,
    ReCaptchaSolution,
    ReCaptchaV2TaskProxyless,
    SessionPool,
)

# These pages and no others: whoever may name a page spends your points on it.
TASKS = {
    "login": ReCaptchaV2TaskProxyless(
        website_url="https://example.com/login", website_key="site-key", reference="login"
    )
}
NEEDS_YOU = (CredentialError, InsufficientBalanceError, BudgetExceededError)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncGenerator[dict[str, SessionPool]]:
    """Open the pool with the application, and close it with it."""
    async with SessionPool(budget=10_000) as pool:
        yield {"pool": pool}


app = FastAPI(lifespan=lifespan)


@app.get("/token/{page}")
async def token(page: str, request: Request) -> str:
    """Answer with a token: one that was paid for a caller who gave up, else a new one."""
    pool: SessionPool = request.state.pool
    if page not in TASKS:
        raise HTTPException(404)
    orphan = next((ticket for ticket in pool.orphans() if ticket.reference == page), None)
    if orphan is not None:
        solution: ReCaptchaSolution = await pool.resume(orphan, timeout=60)
        if solution.remaining() > 2:
            return solution.token
    return (await pool.solve(TASKS[page], timeout=60)).token


@app.exception_handler(EzCaptchaError)
async def no_token(_request: Request, error: EzCaptchaError) -> JSONResponse:
    """Say whether to come again. What is wrong with the account is for the log alone."""
    logging.getLogger("uvicorn.error").warning("no token: %s", error)
    if isinstance(error, TimeoutError):
        status = 504  # what is paid goes on: the next request takes it up
    else:
        status = 503 if error.retryable or isinstance(error, NEEDS_YOU) else 502
    wait = {"Retry-After": f"{error.retry_after:.0f}"} if error.retry_after else {}
    return JSONResponse({"error": type(error).__name__}, status, headers=wait)

"""Requests to a simulated service, as short calls."""

from __future__ import annotations

import json
from typing import Any

from ezcaptcha_async.testing import Fault, SimulatedReply, SimulatedService

KEY = "client-key"
PAGE = {"websiteURL": "https://example.com/login", "websiteKey": "6Lc_simulated-site-key"}
V2 = {"type": "ReCaptchaV2TaskProxyless", **PAGE}
CREATE, RESULT, BALANCE = "/createTask", "/getTaskResult", "/getBalance"
JSON = {"content-type": "application/json"}


def body_of(**fields: Any) -> bytes:
    """Return the body of a request."""
    return json.dumps({"clientKey": KEY, **fields}).encode()


CREATE_V2 = body_of(task=V2)


def post(
    service: SimulatedService,
    path: str,
    now: float,
    *,
    fault: Fault | str | None = None,
    **fields: Any,
) -> SimulatedReply:
    """Send one request."""
    return service.handle(path, body_of(**fields), now, fault=fault)


def create(
    service: SimulatedService, now: float = 0.0, task: dict[str, Any] | None = None, **fields: Any
) -> Any:
    """Create a task and return the answer."""
    return post(service, CREATE, now, task=V2 if task is None else task, **fields).json()


def poll(service: SimulatedService, task_id: str | int, now: float, **fields: Any) -> Any:
    """Ask for a result and return the answer."""
    return post(service, RESULT, now, taskId=task_id, **fields).json()


def code(answer: Any) -> str | None:
    """Return the error code of an answer; None for success."""
    assert answer["errorId"] == (0 if answer["errorCode"] is None else 1)
    found: str | None = answer["errorCode"]
    return found

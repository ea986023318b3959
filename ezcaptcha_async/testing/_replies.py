"""What the simulated service answers: JSON written by hand, never by the library's codec."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

_JSON: Final = (("content-type", "application/json; charset=utf-8"),)
_TEXT: Final = (("content-type", "text/plain; charset=utf-8"),)
_HTML: Final = (("content-type", "text/html"),)

_DESCRIPTIONS: Final = {
    "ERROR_SERVICE_UNAVALIABLE": "the service is overloaded, try again later",
    "ERROR_NO_SLOT_AVAILABLE": "no slot is available, try again later",
    "ERROR_REQUEST_LIMIT": "too many requests, slow down",
    "ERROR_IP_BANNED": "too many errors in a short time, try again in 10 minutes",
    "ERROR_KEY_DOES_NOT_EXIST": "the client key does not exist",
    "ERROR_KEY_BANNED": "the client key is banned",
    "ERROR_ZERO_BALANCE": "the account has no points left",
    "ERROR_TASK_NOT_SUPPORTED": "the task type is not supported",
    "ERROR_TASKID_INVALID": "the task id is unknown, or its result is no longer kept",
    "ERROR_CAPTCHA_UNSOLVABLE": "the task could not be solved",
    "ERROR_REQUEST_PARAMETERS": "a field of the request is missing or wrong",
    "ERROR_REQUEST_PROXY_MISSING": "a proxy with user and password is required",
}

_HTTP_STATUSES: Final = {
    "ERROR_SERVICE_UNAVALIABLE": 503,
    "ERROR_NO_SLOT_AVAILABLE": 503,
    "ERROR_INTERNAL_SERVER_ERROR": 500,
    "ERROR_REQUEST_LIMIT": 429,
    "ERROR_IP_BANNED": 403,
    "ERROR_KEY_DOES_NOT_EXIST": 401,
    "ERROR_KEY_BANNED": 401,
    "ERROR_ZERO_BALANCE": 402,
    "ERROR_TASKID_INVALID": 404,
    "ERROR_CAPTCHA_UNSOLVABLE": 500,
    "ERROR_TASK_TIMEOUT": 500,
}
# These two speak through the HTTP status in any case.
_ALWAYS_HTTP: Final = frozenset({"ERROR_REQUEST_LIMIT", "ERROR_SERVICE_UNAVALIABLE"})


@attrs.frozen
class SimulatedReply:
    """One HTTP answer.

    Args:
        status: HTTP status.
        headers: Pairs of name and value, names in lower case; without ``content-length``.
        body: The whole body.

    Example:
        >>> service = SimulatedService(balance=500)
        >>> reply = service.handle("/getBalance", b'{"clientKey": "any-key"}', now=0.0)
        >>> reply.status, reply.json()["balance"]
        (200, 500)
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def json(self) -> Any:
        """Return the body, decoded.

        Raises:
            ValueError: The body is not JSON.
        """
        return json.loads(self.body)


PROCESSING: Final = SimulatedReply(
    200,
    _JSON,
    b'{"errorId":0,"errorCode":null,"errorDescription":null,"status":"processing","solution":{}}',
)
NOT_FOUND: Final = SimulatedReply(404, _TEXT, b"404 page not found")
NOT_ALLOWED: Final = SimulatedReply(405, (*_TEXT, ("allow", "POST")), b"405 method not allowed")
TOO_LARGE: Final = SimulatedReply(413, _TEXT, b"413 request entity too large")
BAD_GATEWAY: Final = SimulatedReply(
    502,
    _HTML,
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n",
)


def created(task_id: str, *, integer: bool) -> SimulatedReply:
    """Answer to an accepted createTask."""
    value = task_id if integer else f'"{task_id}"'
    text = f'{{"errorId":0,"errorCode":null,"errorDescription":null,"taskId":{value}}}'
    return SimulatedReply(200, _JSON, text.encode())


def ready(solution: str) -> SimulatedReply:
    """Answer with the solution, which is given as JSON text."""
    text = (
        '{"errorId":0,"errorCode":null,"errorDescription":null,"status":"ready",'
        f'"solution":{solution}}}'
    )
    return SimulatedReply(200, _JSON, text.encode())


def balance(points: float) -> SimulatedReply:
    """Answer to getBalance; whole points without a fraction."""
    value = int(points) if points == int(points) else points
    text = f'{{"errorId":0,"errorCode":null,"errorDescription":null,"balance":{value}}}'
    return SimulatedReply(200, _JSON, text.encode())


def data(value: object) -> SimulatedReply:
    """Any JSON value."""
    return SimulatedReply(200, _JSON, json.dumps(value).encode())


def error(
    code: str,
    description: str = "",
    errors: Mapping[str, str] | None = None,
    *,
    as_http_status: bool,
    retry_after: float | None = None,
) -> SimulatedReply:
    """Answer with an error code, as HTTP 200 or as the HTTP status that suits it."""
    envelope: dict[str, object] = {
        "errorId": 1,
        "errorCode": code,
        "errorDescription": description or _DESCRIPTIONS.get(code, code),
    }
    if errors:
        envelope["errors"] = dict(errors)
    by_status = as_http_status or code in _ALWAYS_HTTP
    headers = _JSON if retry_after is None else (*_JSON, ("retry-after", f"{retry_after:g}"))
    return SimulatedReply(
        _HTTP_STATUSES.get(code, 400) if by_status else 200, headers, json.dumps(envelope).encode()
    )


def not_json(code: str) -> SimulatedReply:
    """Answer to a body that is not a JSON object."""
    reply = error(code, "the body is not a JSON object", as_http_status=True)
    return attrs.evolve(reply, status=400)


def cut_short(reply: SimulatedReply) -> SimulatedReply:
    """Break the JSON of an answer by leaving out its second half."""
    return attrs.evolve(reply, body=reply.body[: len(reply.body) // 2])

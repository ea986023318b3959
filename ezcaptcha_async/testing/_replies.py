"""What the simulated service answers: JSON written by hand, never by the library's codec."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import attrs

_JSON: Final = (("content-type", "application/json; charset=utf-8"),)
_TEXT: Final = (("content-type", "text/plain; charset=utf-8"),)
_HTML: Final = (("content-type", "text/html"),)

_REFUSED: Final = 400
_FAILED: Final = 500
_ANSWERS: Final[Mapping[str, tuple[int, str]]] = {
    "ERROR_REQUEST_PARAMETERS": (_REFUSED, "a field of the request is missing or wrong"),
    "ERROR_REQUEST_PROXY_MISSING": (_REFUSED, "a proxy with user and password is required"),
    "ERROR_REQUIRED_FIELDS": (_REFUSED, ""),
    "ERROR_RECAPTCHA_INVALID_SITEKEY": (_REFUSED, ""),
    "INVALID_RECAPTCHA_SITEURL": (_REFUSED, ""),
    "ERROR_NOT_FOUND": (404, "there is nothing at this path"),
    "ERROR_REQUEST_METHOD": (405, "the method must be POST"),
    "ERROR_CONTENT_TYPE_ERROR": (415, "the content type must be application/json"),
    "ERROR_REQUEST_LIMIT": (429, "too many requests, slow down"),
    "ERROR_REQUEST_BANNED": (429, "too many errors in a short time, try again later"),
    "ERROR_IP_BANNED": (_FAILED, "too many errors in a short time, try again in 10 minutes"),
    "ERROR_NO_SLOT_AVAILABLE": (_FAILED, "no slot is available, try again later"),
    "ERROR_KEY_DOES_NOT_EXIST": (_FAILED, "the client key does not exist"),
    "ERROR_KEY_BANNED": (_FAILED, "the client key is banned"),
    "ERROR_ZERO_BALANCE": (_FAILED, "the account has no points left"),
    "ERROR_TASK_NOT_SUPPORTED": (_FAILED, "the task type is not supported"),
    "ERROR_TASK_TYPE_NOT_SUPPORTED": (_FAILED, "the task type is not supported"),
    "ERROR_TASKID_INVALID": (_FAILED, "the task id is unknown, or its result is no longer kept"),
    "ERROR_TASK_NOT_EXIST": (_FAILED, "the task id is unknown, or its result is no longer kept"),
    "ERROR_CAPTCHA_UNSOLVABLE": (_FAILED, "the task could not be solved"),
    "ERROR_SERVICE_UNAVALIABLE": (503, "the service is overloaded, try again later"),
    "ERROR_SERVICE_UNAVAILABLE": (503, ""),
}
"""Error code → HTTP status and description; without one, the words of the code."""


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


def _accepted(members: str) -> SimulatedReply:
    text = f'{{"errorId":0,"errorCode":null,"errorDescription":null,{members}}}'
    return SimulatedReply(200, _JSON, text.encode())


PROCESSING: Final = _accepted('"status":"processing","solution":{}')
TOO_LARGE: Final = SimulatedReply(413, _TEXT, b"413 request entity too large")
WRONG_HOST: Final = SimulatedReply(421, _TEXT, b"421 misdirected request")
BAD_GATEWAY: Final = SimulatedReply(
    502,
    _HTML,
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
    b"<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n",
)


def created(task_id: str, *, integer: bool) -> SimulatedReply:
    """Answer to an accepted createTask."""
    return _accepted(f'"taskId":{task_id}' if integer else f'"taskId":"{task_id}"')


def ready(solution: str) -> SimulatedReply:
    """Answer with the solution, which is given as JSON text."""
    return _accepted(f'"status":"ready","solution":{solution}')


def balance(points: float) -> SimulatedReply:
    """Answer to getBalance; whole points without a fraction."""
    return _accepted(f'"balance":{int(points) if points == int(points) else points}')


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
    """Answer with an error code.

    Args:
        code: Which.
        description: The usual one when empty.
        errors: Field → what is wrong with it.
        as_http_status: False for HTTP 200 wherever the status says no more than that it is
            an error.
        retry_after: Seconds of the header; None for no header.
    """
    envelope = _error_envelope(code, description)
    if errors:
        envelope["errors"] = dict(errors)
    status, _ = _ANSWERS.get(code, (_FAILED, ""))
    if not as_http_status and status in (_REFUSED, _FAILED):
        status = 200
    headers = _JSON if retry_after is None else (*_JSON, ("retry-after", f"{retry_after:g}"))
    return SimulatedReply(status, headers, json.dumps(envelope).encode())


def failed(code: str, *, error_id: int) -> SimulatedReply:
    """Answer for a task that failed: the status says so, and `error_id` may be 0."""
    envelope = {**_error_envelope(code), "errorId": error_id, "status": "error"}
    return SimulatedReply(200, _JSON, json.dumps(envelope).encode())


def _error_envelope(code: str, description: str = "") -> dict[str, object]:
    _, usual = _ANSWERS.get(code, (_FAILED, ""))
    words = code.removeprefix("ERROR_").replace("_", " ").lower()
    return {"errorId": 1, "errorCode": code, "errorDescription": description or usual or words}


def with_request_id(reply: SimulatedReply, request_id: str) -> SimulatedReply:
    """Put a ``requestId`` into the JSON object of an answer."""
    body = b'%s,"requestId":"%s"}' % (reply.body[:-1], request_id.encode())
    return SimulatedReply(reply.status, reply.headers, body)


def cut_short(reply: SimulatedReply) -> SimulatedReply:
    """Break the JSON of an answer off before its first value, of which a part could be read."""
    return attrs.evolve(reply, body=reply.body[: reply.body.find(b":")])

"""A million broken answers: does anything but our own errors come out of the decoder?

    python benchmarks/fuzz.py

Each input is an answer of the services, damaged at random: bytes changed, cut, doubled or
spliced with another answer, values replaced by others of any type and depth, statuses and
headers drawn at random. It is read as an answer to all three endpoints, and what is read as
a solution is decoded for every type of task. The exit code is 1, and the input is printed,
when anything but an `EzCaptchaError` escapes, or a secret shows in what is said of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from random import Random
from typing import Any

from ezcaptcha_async import (
    EZCAPTCHA,
    CloudFlare5SSolution,
    CloudFlare5STask,
    CloudFlareTurnstileSolution,
    CustomSolution,
    EzCaptchaError,
    FuncaptchaSolution,
    HCaptchaSolution,
    ReCaptchaSolution,
    Receipt,
)
from ezcaptcha_async._wire.codec import Decoder, Ready, Refused, decode_solution
from ezcaptcha_async.transports import Reply

KEY = "a-client-key-that-is-secret"
PASSWORD = "a-proxy-password"  # noqa: S105 - the secret that must not show
TASK = CloudFlare5STask(
    website_url="https://example.com", proxy=f"http://user:{PASSWORD}@127.0.0.1:8080"
)
SOLUTIONS = (
    ReCaptchaSolution,
    FuncaptchaSolution,
    CloudFlare5SSolution,
    CloudFlareTurnstileSolution,
    HCaptchaSolution,
    CustomSolution,
)
RECEIPT = Receipt(
    task_id="1",
    service="ezcaptcha",
    task_type="T",
    created_at=0.0,
    processing_at=None,
    ready_at=1.0,
    polls=1,
    points=6,
)

ANSWERS: list[dict[str, Any]] = [
    {"errorId": 0, "errorCode": None, "taskId": "8f14e45f-ceea"},
    {"errorId": 0, "status": "processing"},
    {"errorId": 0, "status": "ready", "solution": {"gRecaptchaResponse": "03AGdBq", "cookies": {}}},
    {"errorId": 0, "status": "ready", "solution": {"token": "17f.2"}},
    {"errorId": 0, "status": "ready", "solution": {"header": {}, "cookies": {"a": 1}, "body": ""}},
    {"errorId": 0, "status": "ready", "solution": {"generated_pass_UUID": "P1_ey", "ua": "Agent"}},
    {"errorId": 0, "balance": 12_345.5},
    {"errorId": 1, "errorCode": "ERROR_ZERO_BALANCE", "errorDescription": f"no points on {KEY}"},
    {"errorId": 1, "errorCode": "ERROR_PROXY", "errorDescription": f"user:{PASSWORD}@127.0.0.1"},
]
WHOLE = [json.dumps(answer).encode() for answer in ANSWERS]
ODD: list[Any] = [
    None, True, 0, -1, 2**70, 1e308, "", "x" * 5_000, "\ud800", "\x00", [], {}, [[]], {"": {}},
    "processing", "ready", "0", "1", float("nan"), KEY, PASSWORD,
]  # fmt: skip
HEADERS = [None, "", "0", "-1", "1e999", "nan", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "9" * 400]


def damaged(rng: Random) -> bytes:
    """Return an answer with something wrong."""
    if rng.random() < 0.5:
        answer = dict(rng.choice(ANSWERS))
        for _ in range(rng.randrange(4)):
            _replace_a_value(answer, rng)
        return json.dumps(answer).encode("utf-8", "surrogatepass")
    body = bytearray(rng.choice(WHOLE))
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(body) + 1)
        match rng.randrange(5):
            case 0:
                body[at : at + 1] = rng.randbytes(rng.randrange(3))
            case 1:
                del body[at:]
            case 2:
                body[at:at] = body[: rng.randrange(len(body) + 1)]
            case 3:
                body[at:] = rng.choice(WHOLE)[rng.randrange(20) :]
            case _:
                body[at:at] = rng.choice([b"[", b'{"a":']) * rng.choice([1, 50, 100_000])
                del body[1_000_000:]
    return bytes(body)


def _replace_a_value(answer: dict[str, Any], rng: Random) -> None:
    names = ["errorId", "status", "taskId", "solution", "balance", "errorCode", "errorDescription"]
    name = rng.choice(names)
    if name == "solution" and isinstance(answer.get(name), dict) and rng.random() < 0.7:
        parts = dict(answer[name])
        parts[
            rng.choice(["gRecaptchaResponse", "token", "cookies", "header", "body", "user_agent"])
        ] = rng.choice(ODD)
        answer[name] = parts
    elif rng.random() < 0.2:
        answer.pop(name, None)
    else:
        answer[name] = rng.choice(ODD)


def said_of(reply: Reply, decoder: Decoder) -> str:
    """Read one answer in all ways and return everything that is said of it."""
    # An inquiry of the balance has no task whose secrets the answer could repeat.
    about_the_key = reply if PASSWORD.encode() not in reply.body else Reply(200, b"")
    said = [
        decoder.created(reply, TASK),
        decoder.result(reply, TASK),
        decoder.balance(about_the_key),
    ]
    texts = [f"{item.error!r} {item.error}" for item in said if isinstance(item, Refused)]
    for item in said:
        if isinstance(item, Ready):
            for solution_type in SOLUTIONS:
                try:
                    solution = decode_solution(
                        solution_type, item.solution, receipt=RECEIPT, expires_at=121.0
                    )
                except EzCaptchaError as error:
                    texts.append(f"{error!r} {error}")
                else:
                    repr(solution)
    return " ".join(texts)


def main() -> int:
    """Run, print, and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng, decoder, started = Random(options.seed), Decoder(EZCAPTCHA, [KEY]), time.perf_counter()
    for number in range(options.inputs):
        reply = Reply(
            rng.choice([200, 200, 200, 302, 400, 403, 429, 500, 502, 503]),
            damaged(rng),
            rng.choice(HEADERS),
            rng.choice(HEADERS),
        )
        try:
            said = said_of(reply, decoder)
        except Exception as error:  # noqa: BLE001 - the finding
            print(f"input {number}: {error!r} from {reply.body[:500]!r}")
            return 1
        if KEY in said or PASSWORD in said:
            print(f"input {number}: a secret in {said!r}")
            return 1
    spent = time.perf_counter() - started
    print(f"{options.inputs:,} inputs, seed {options.seed}, {spent:.0f} s: only our own errors")
    return 0


if __name__ == "__main__":
    sys.exit(main())

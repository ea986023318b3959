"""A million broken answers: does anything but our own errors come out of the decoder?

    python benchmarks/fuzz.py

Each input is an answer of the services, damaged at random: bytes changed, cut, doubled or
spliced with another answer, values replaced by others of any type and depth, statuses and
headers drawn at random. A third is not broken but oddly dressed: another charset, control
characters, something before or after it, no end, a text, a list or a wrapper around it, names
in another case, compressed without saying so. Each is read as an answer to all three endpoints,
and what is read as a solution is decoded for every type of task. The exit code is 1, and the
input is printed, when anything but an `EzCaptchaError` escapes, when a secret shows in what is
said of it, when an id or a token in its place is lost under a dress, or when more is kept of a
solution than its bytes.

It asks the decoder itself, which is private, as no other benchmark does: through a pool, each
input would be a task with its polls.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import time
from html import escape
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
from ezcaptcha_async._wire.decoding import Created, Decoder, Ready, Refused
from ezcaptcha_async._wire.solution import decode_solution
from ezcaptcha_async._wire.transport import reply_from
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

# As long as real ones at the least: a shorter text in a broken answer may be anything.
SAMPLE = "03AGdBq25SxXT-pmSeBXjzScW"
ANSWERS: list[dict[str, Any]] = [
    {"errorId": 0, "errorCode": None, "taskId": "8f14e45f-ceea"},
    {"errorId": 0, "status": "processing"},
    {"errorId": 0, "status": "ready", "solution": {"gRecaptchaResponse": SAMPLE, "cookies": {}}},
    {"errorId": 0, "status": "ready", "solution": {"token": f"17f.2|{SAMPLE}"}},
    {"errorId": 0, "status": "ready", "solution": {"header": {}, "cookies": {"a": 1}, "body": ""}},
    {"errorId": 0, "status": "ready", "solution": {"generated_pass_UUID": SAMPLE, "ua": "Agent"}},
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


def _listed(body: str) -> str:
    """Return an answer with what was paid for in lists of one."""
    answer = json.loads(body)
    return json.dumps(
        {
            name: [value] if name in {"taskId", "solution"} else value
            for name, value in answer.items()
        }
    )


DRESSES: dict[str, Any] = {
    "gbk": lambda body: (f'{{"d":"成功",{body[1:]}'.encode("gbk"), "gbk", ""),
    "gbk unnamed": lambda body: (f'{{"d":"誠",{body[1:]}'.encode("gbk"), "", ""),
    "latin-1": lambda body: (f'{{"d":"réussi",{body[1:]}'.encode("latin-1"), "", ""),
    "utf-16": lambda body: (body.encode("utf-16"), "", ""),
    "control": lambda body: (f'{{"d":"a\tb\n\x00",{body[1:]}'.encode(), "", ""),
    "behind": lambda body: (f"{body}\n<!-- 0.1 s -->{{}}".encode(), "", ""),
    "before": lambda body: (f"<b>Notice</b>: {{x}}\n{body}".encode(), "", ""),
    "no end": lambda body: (f'{body[:-1]},"d":[1,'.encode(), "", ""),
    "text": lambda body: (json.dumps(body).encode(), "", ""),
    "list": lambda body: (f"[{body}]".encode(), "", ""),
    "wrapper": lambda body: (f'{{"code":0,"data":{body}}}'.encode(), "", ""),
    "deep": lambda body: (f'{{"d":{"[" * 500}{"]" * 500},{body[1:]}'.encode(), "", ""),
    "emptied": lambda body: (f'{body[:-1]},"taskId":0,"solution":{{}}}}'.encode(), "", ""),
    "template": lambda body: (
        f'{{"errorId":0,"status":"ok","taskId":0,"solution":"","data":[{body}]}}'.encode(),
        *("", ""),
    ),
    "listed": lambda body: (_listed(body).encode(), "", ""),
    "no value": lambda body: (f'{{"d":undefined,{body[1:]}'.encode(), "", ""),
    "page": lambda body: (f"<pre>{escape(body)}</pre>".encode(), "", ""),
    "upper": lambda body: (body.replace("taskId", "TASKID").encode(), "", ""),
    "gzip unnamed": lambda body: (gzip.compress(body.encode()), "", ""),
    "not gzip": lambda body: (body.encode(), "", "gzip"),
    "not br": lambda body: (body.encode(), "", "br"),
}
"""Name → from a JSON object to its bytes, and to the charset and the coding that are named."""
MOST_BESIDE = 1024


def dressed(rng: Random) -> tuple[Reply, str | None, str | None]:
    """Return a good answer under a dress, with the id and the token that it holds."""
    answer = dict(rng.choice(ANSWERS[:6]))
    for name in ("errorId", "errorCode", "status"):
        if rng.random() < 0.3:
            answer[name] = rng.choice(["?", 1, 0, None, "ERROR_NEW", "ERROR_ZERO_BALANCE", "Ready"])
    body, charset, coding = DRESSES[rng.choice(list(DRESSES))](json.dumps(answer))
    content_type = f"application/json; charset={charset}" if charset else "application/json"
    status = rng.choice([200, 200, 302, 403, 429, 500, 503])
    reply = reply_from(status, body, {"content-type": content_type}, coding=coding)
    if not isinstance(reply, Reply):
        raise SystemExit(f"no answer at all: {body[:500]!r}")
    token = next(iter(answer.get("solution", {}).values()), None)
    return reply, answer.get("taskId"), token if isinstance(token, str) else None


def lost(reply: Reply, decoder: Decoder, task_id: str | None, token: str | None) -> str | None:
    """Return what a dressed answer holds and the decoder did not find."""
    if task_id is not None and decoder.created(reply, TASK) != Created(task_id):
        return f"the id {task_id}"
    if token is None:
        return None
    read = decoder.result(reply, None, ReCaptchaSolution)
    if not isinstance(read, Ready):
        return f"the token {token}"
    kept = sys.getsizeof(read.kept.body) + sys.getsizeof(read.kept)
    if kept > len(reply.body) + MOST_BESIDE:
        return f"{kept} bytes for {len(reply.body)}"
    solution = decode_solution(ReCaptchaSolution, read.kept, receipt=RECEIPT, expires_at=121.0)
    return None if solution.token == token else f"the token {token}"


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
                body[at:at] = rng.choice([b"[", b'{"a":']) * rng.choice(
                    [1, 50, 1_000, 100_000 if rng.random() < 0.01 else 1]
                )
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
                        solution_type, item.kept, receipt=RECEIPT, expires_at=121.0
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
        if number % 3 == 0:
            reply, task_id, token = dressed(rng)
            missing = lost(reply, decoder, task_id, token)
            if missing is not None:
                print(f"input {number}: {missing} is lost in HTTP {reply.status} {reply.body!r}")
                return 1
        else:
            reply = Reply(
                rng.choice([200, 200, 200, 302, 400, 403, 429, 500, 502, 503]),
                damaged(rng),
                rng.choice(HEADERS),
                rng.choice(HEADERS),
                rng.choice([None, None, "gbk", "latin_1", "utf_16", "idna", "nonsense"]),
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

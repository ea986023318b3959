"""What an answer is judged by: the best evidence in it, however it is dressed.

Three sweeps: every evidence against every weaker one, every HTTP status against every form of a
body, and answers at random under every dress that has been seen.
"""

from __future__ import annotations

import codecs
import gzip
import itertools
import json
import re
import sys
import zlib
from collections.abc import Callable
from html import escape
from typing import Any, Final
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async._wire.decoding import (
    Created,
    Decoder,
    Processing,
    Ready,
    Refused,
    Unreadable,
)
from ezcaptcha_async._wire.parsing import _LOOSE, MOST_LEVELS, answer_in
from ezcaptcha_async._wire.solution import MOST_OF_A_TOKEN, decode_solution
from ezcaptcha_async._wire.transport import MAX_BODY, reply_from
from ezcaptcha_async.errors import (
    BannedError,
    CapacityError,
    CredentialError,
    InsufficientBalanceError,
    InvalidTaskError,
    ProtocolError,
    ServiceError,
    TaskFailedError,
    TaskNotFoundError,
    ThrottledError,
)
from ezcaptcha_async.services import EZCAPTCHA
from ezcaptcha_async.solutions import (
    CloudFlare5SSolution,
    CloudFlareTurnstileSolution,
    CustomSolution,
    FuncaptchaSolution,
    HCaptchaSolution,
    ReCaptchaSolution,
    Solution,
)
from ezcaptcha_async.transports import Reply

from .test_codec import wild_envelopes, wild_values
from .test_solution import RECEIPT

KEY = "5ecret-key-0123456789"
TOKEN = "03AGdBq25SxXT-pmSeBXjzScW-EiocHwwpwqJRCAfuqkQ"
EVERY_STATUS: Final = (*(200, 204, 301, 400, 401, 403, 404, 429, 500, 502, 503, 524, 999),)
SOLUTIONS: Final[dict[type[Solution], Any]] = {
    ReCaptchaSolution: {"gRecaptchaResponse": TOKEN},
    FuncaptchaSolution: {"token": TOKEN},
    CloudFlareTurnstileSolution: {"token": TOKEN},
    HCaptchaSolution: {"generated_pass_UUID": TOKEN},
    CloudFlare5SSolution: {"header": {"user-agent": "A"}, "cookies": {"cf_clearance": TOKEN}},
    CustomSolution: {"token": TOKEN},
}


def reply(body: Any, status: int = 200, charset: str | None = None) -> Reply:
    """Return an answer; what is neither bytes nor text is encoded as JSON."""
    if not isinstance(body, str | bytes):
        body = json.dumps(body)
    return Reply(status, body if isinstance(body, bytes) else body.encode(), charset=charset)


def created(body: Any, status: int = 200, **details: Any) -> Any:
    """Read an answer to createTask."""
    return Decoder(EZCAPTCHA, [KEY]).created(reply(body, status, **details))


def result(
    body: Any,
    status: int = 200,
    solution_type: type[Solution] = ReCaptchaSolution,
    **details: Any,
) -> Any:
    """Read an answer to getTaskResult."""
    answer = reply(body, status, **details)
    return Decoder(EZCAPTCHA, [KEY]).result(answer, None, solution_type)


def solved(body: Any, solution_type: Any = ReCaptchaSolution, status: int = 200) -> Any:
    """Read an answer to getTaskResult, which must have a solution, and return that."""
    read = result(body, status, solution_type)
    assert isinstance(read, Ready), (body, read)
    return decode_solution(solution_type, read.kept, receipt=RECEIPT, expires_at=0.0)


def refused(read: Any) -> ServiceError:
    """Return the error of what must be a refusal."""
    assert isinstance(read, Refused), read
    return read.error


# ------------------------------------------------------------------ the order of evidence


def test_an_id_outweighs_whatever_comes_with_it() -> None:
    """A paid task would be lost to a stray code, or to a gateway's status."""
    for http, error_id, code, status in itertools.product(
        EVERY_STATUS,
        (None, 0, 1, "1"),
        (None, "ERROR_ZERO_BALANCE", "ERROR_NEW"),
        (None, "error", "processing"),
    ):
        body = {"errorId": error_id, "errorCode": code, "status": status, "taskId": "77"}
        for answer in (body, {**body, "taskId": 77}, {"taskId": "77"}):
            assert created(answer, http) == Created("77"), (http, answer)


def test_what_stands_for_no_id_is_none_beside_a_refusal() -> None:
    """A service that fills all fields of its answers would never say no."""
    for placeholder, error_id in itertools.product(
        (
            *(0, "0", "", "null", -1, "00000000-0000-0000-0000", "N/A", "-", "error", "0.0"),
            *("[]", "(null)", "ERROR_ZERO_BALANCE", "CAPCHA_NOT_READY", "task", "n.a.", "<none>"),
            *("pending", "banned for 600 seconds", "please try again at 12:30", "key not\nfound"),
        ),
        (0, 1),
    ):
        body = {"errorId": error_id, "errorCode": "ERROR_ZERO_BALANCE", "taskId": placeholder}
        assert isinstance(refused(created(body)), InsufficientBalanceError), body


def test_a_solution_outweighs_whatever_comes_with_it() -> None:
    """The token stands in every answer, and would be polled for to the end of its window."""
    words = (None, "READY ", "processing", "error", "?", 1)
    codes = (None, "ERROR_CAPTCHA_UNSOLVABLE", "ERROR_NEW")
    beside = [*itertools.product((200, 500), (None, 0, 1), codes, words)]
    beside += [(http, None, None, None) for http in EVERY_STATUS]
    for solution_type, (http, error_id, code, status) in itertools.product(SOLUTIONS, beside):
        body = {"errorId": error_id, "errorCode": code, "status": status}
        body["solution"] = SOLUTIONS[solution_type]
        assert TOKEN in str(vars_of(solved(body, solution_type, http))), (http, body)


SENTENCES: Final = (
    *("ERR_PROXY_CONNECTION_FAILED", "TASK_FAILED_PROXY_TIMEOUT_EXCEEDED"),
    "https://example.com/errors/proxy-timeout",
    *("识别失败\uff0c请重试", "服务器繁忙", "正在处理中", "сбой", "エラー"),
    "任务识别失败\uff0c已达到最大重试次数\uff0c请检查网站密钥后重新提交任务",
)
"""What is said in languages that write it without a space, in other letters, or as a code."""


@pytest.mark.parametrize("sentence", SENTENCES)
def test_a_sentence_in_the_place_of_a_token_is_none(sentence: str) -> None:
    """Its caller would send it to the page, and not hear that his money was spent in vain."""
    for solution_type in SOLUTIONS.keys() - {CustomSolution, CloudFlare5SSolution}:
        (name,) = SOLUTIONS[solution_type]
        body = {"errorId": 1, "errorCode": "ERROR_CAPTCHA_UNSOLVABLE", "status": "error"}
        for solution in (sentence, {name: sentence}):
            error = refused(result(body | {"solution": solution}, 200, solution_type))
            assert isinstance(error, TaskFailedError), solution
            ready = result({"errorId": 0, "status": "ready", "solution": solution})
            assert isinstance(ready, Ready)
            with pytest.raises(ProtocolError) as caught:
                decode_solution(solution_type, ready.kept, receipt=RECEIPT, expires_at=0.0)
            assert sentence in str(caught.value.payload)


def vars_of(solution: Any) -> list[Any]:
    """Return what a solution holds."""
    names = ("token", "cookies", "extra")
    return [getattr(solution, name, None) for name in names]


KNOWN_CODES: Final = {
    "ERROR_ZERO_BALANCE": InsufficientBalanceError,
    "error_key_does_not_exist": CredentialError,
    "Error_No_Slot_Available": CapacityError,
    "ERROR_TASK_NOT_EXIST": TaskNotFoundError,
    "ERROR_IP_BANNED": BannedError,
    "invalid_recaptcha_siteurl": InvalidTaskError,
    "ERROR_TOO_MUCH_REQUESTS": ThrottledError,
}


@pytest.mark.parametrize("code", KNOWN_CODES)
def test_a_known_code_is_a_clear_no(code: str) -> None:
    """A service that says no would be taken for one whose answer was lost, and asked again."""
    bodies: list[Any] = [
        *({"errorId": error_id, "errorCode": code} for error_id in (None, 0, 1, "1", 7, -1)),
        {"errorCode": f" {code}\r\n"},
        {"errorId": 1, "errorCode": code, "solution": {}, "taskId": None},
        {"errorId": 1, "errorCode": code, "status": "processing"},
        {"error": code, "solution": {"gRecaptchaResponse": ""}},
        {"errorId": code},
        {"data": {"errorCode": code}},
        *({name: code} for name in ("msg", "errorMessage", "detail", "reason")),
        {"code": 402, "msg": code},
        {"error": {"code": code, "message": "why"}},
        {"error": {"error": {"code": code}}},
        {"errorCode": {"code": code}},
        {"errors": [{"code": "X"}, {"code": code}]},
        *({"errors": [{"code": code}]}, {"errors": [code]}, {"error": [code]}),
        code,
        f'"{code}"',
        f"{code}\n",
    ]
    statuses = (200, 400, 402, 429, 500, 503, 999) if code == "ERROR_ZERO_BALANCE" else (200, 503)
    for http, body in itertools.product(statuses, bodies):
        balance = Decoder(EZCAPTCHA, [KEY]).balance(reply(body, http))
        for read in (created(body, http), result(body, http), balance):
            error = refused(read)
            assert type(error) is KNOWN_CODES[code], (http, body)
            assert (error.task_id, error.ticket, error.may_be_charged) == (None, None, False)


@pytest.mark.parametrize("text", ["{}: it is empty", "{}.", "Error: {}", "no ({})", "{}|x"])
def test_a_known_code_in_a_text_is_a_clear_no(text: str) -> None:
    """An account that is empty would be asked again and again, for want of one word."""
    said = text.format("ERROR_ZERO_BALANCE")
    places = ("errorCode", "errorDescription", "message", "msg", "detail", "reason", "status")
    bodies: list[Any] = [{"errorId": 1, name: said} for name in places]
    for body in (*bodies, {"error": {"message": said}}, [said], said, json.dumps(said)):
        for read in (created(body), result(body)):
            error = refused(read)
            assert type(error) is InsufficientBalanceError, body
            assert error.code == "ERROR_ZERO_BALANCE"
    other = text.format("ERROR_OF_TOMORROW")
    assert type(refused(created({"errorId": 1, "errorDescription": other}))) is ServiceError
    earlier = {"errorId": 0, "status": "processing", "message": said}
    assert result(earlier) == Processing()


def test_a_failure_outweighs_what_stands_beside_it() -> None:
    """It would be polled for to the end of its window."""
    for failed in (
        {"status": "ERROR_CAPTCHA_UNSOLVABLE"},
        {"status": "failed", "message": "CAPTCHA_NOT_READY"},
    ):
        assert type(refused(result({"errorId": 0, **failed}))) is TaskFailedError
    assert isinstance(created({"errorId": 0, "status": "in_progress"}), Unreadable)


def test_a_known_code_in_another_spelling_is_shown_as_a_code() -> None:
    """What is known is taken for no secret, and could write lines of its own into the log."""
    error = refused(created({"errorCode": "error zero\nbalance\u2028"}))
    assert type(error) is InsufficientBalanceError
    assert str(error).isprintable()
    assert " " not in error.code


def test_what_a_gateway_says_is_no_clear_no() -> None:
    """A createTask that may be paid for would be sent once more, and be paid twice."""
    for body in (
        {"message": "Service Unavailable"},
        {"error": "Internal Server Error", "status": 500},
        {"message": "Internal server error"},
        {"status": "error", "message": "upstream request timeout"},
        {"status": "failed"},
        "Service Unavailable",
        "not found",
    ):
        for http in (500, 502, 503, 504):
            assert isinstance(created(body, http), Unreadable), (http, body)


def test_a_code_that_no_table_knows() -> None:
    """It would be called a lost answer, or be polled to the end, though the service said no."""
    for code in ("ERROR_NEW", "worker lost", "E-17", 17, True):
        for error_id in (None, 0, 1, "1"):
            body = {"errorId": error_id, "errorCode": code, "errorDescription": "why"}
            for read in (created(body), result(body), created(body, 500), result(body, 500)):
                error = refused(read)
                assert (error.code, error.description) == (str(code), "why")
                assert type(error) is ServiceError


def test_what_stands_for_no_code_or_error() -> None:
    """A service that says that all is well would end a paid task."""
    codes = (None, "", 0, "0", "0000", "OK", "ok", "SUCCESS", "null", 200, "N/A", "undefined")
    codes += ("successful", "成功", "No errors", "ERROR_NONE", [0], {"code": 0, "msg": "ok"})
    for error_id, code in itertools.product((0, "0", 0.0, False, "no", "none", [0]), codes):
        body = {"errorId": error_id, "errorCode": code, "status": "processing", "balance": 5}
        assert result(body) == result({**body, "status": None}) == Processing()
        assert created({**body, "taskId": "77"}) == Created("77")
        assert isinstance(created(body), Unreadable)
        assert Decoder(EZCAPTCHA, [KEY]).balance(reply(body)) == 5
        answer = {**body, "status": "ready", "solution": {"answer": "dog"}}
        assert solved(answer, CustomSolution).extra == {"answer": "dog"}


def test_a_status_that_says_that_the_task_failed() -> None:
    """It would be polled ninety times, to the end of its five minutes, and be called lapsed."""
    words = (
        *("error", "Error", "failed", "FAILED", "failure", "unsolvable", "timeout", "Timed out"),
        *(
            "task_failed",
            "cancelled",
            "canceled",
            "expired",
            "rejected",
            "失败",
            "任务失败",
            "超时",
        ),
        *("Failed!", "failed: no worker", "TaskStatus.FAILED", "unsuccessful", "exception"),
    )
    for word, error_id, code in itertools.product(words, (None, 0, 1), (None, "ERROR_NEW")):
        body = {"errorId": error_id, "errorCode": code, "status": word}
        error = refused(result(body))
        assert (type(error), error.code) == (TaskFailedError, code or f"status {word}"), body
    # And of a createTask it is a clear no.
    assert refused(created({"errorId": 0, "status": "failed"})).code == "status failed"
    assert refused(created({"status": "failed"}, 400)).code == "status failed"


def test_a_code_or_a_status_that_says_not_yet() -> None:
    """It would end a paid task because it takes its time, or for a stray errorId."""
    codes = ("CAPTCHA_NOT_READY", "CAPCHA_NOT_READY", "ERROR_TASK_NOT_READY")
    words = (None, "processing", "error")
    for http, code, error_id, status in itertools.product(EVERY_STATUS, codes, (None, 1), words):
        body = {"errorId": error_id, "errorCode": code, "status": status}
        assert result(body, http) == result(code, http) == Processing(), (http, body)
    for word in ("processing", "Processing", "PENDING", "queued", "in progress", "处理中"):
        for other in (None, "ERROR_NEW"):
            body = {"errorId": 1, "errorCode": other, "status": word}
            assert result(body) == Processing(), body


def test_what_is_no_solution_yet() -> None:
    """A template that the service fills in later would be given out as a token."""
    solutions = (
        *({}, None, "", [], {"gRecaptchaResponse": ""}, {"gRecaptchaResponse": None}),
        *({"user_agent": "Agent"}, {"progress": 50}, "waiting", "in the queue of the workers"),
        {"header": {}, "cookies": {}, "body": "", "token": "", "generated_pass_UUID": ""},
    )
    statuses = ("processing", "queued", "?")
    for solution, status, kind in itertools.product(solutions, statuses, SOLUTIONS):
        body = {"errorId": 0, "status": status, "solution": solution}
        assert result(body, 200, kind) == Processing(), body


PLACEHOLDERS: Final = [
    *("null", "None", " ", "error", "Failed", "pending", "not ready", "done", "ready"),
    *("CAPCHA_NOT_READY", "CAPTCHA_STILL_NOT_READY", "ERROR_CAPTCHA_UNSOLVABLE"),
    "your_captcha_is_being_solved",
    *("please wait", "no worker could solve it, sorry", "[object Object]", "<html>Bad gateway"),
]


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_what_stands_for_a_token_is_none(text: str) -> None:
    """A refusal, or that it takes its time, would be given out as the token that was paid for."""
    solutions = (text, {"token": text}, {"gRecaptchaResponse": text}, {"m": {"token": text}})
    types = (ReCaptchaSolution, HCaptchaSolution, CustomSolution)
    for solution_type, solution in itertools.product(types, solutions):
        body = {"errorId": 0, "status": "processing", "solution": solution}
        assert result(body, 200, solution_type) == Processing()
        body = {"errorId": 12, "errorCode": "ERROR_CAPTCHA_UNSOLVABLE", "solution": solution}
        assert type(refused(result(body, 200, solution_type))) is TaskFailedError
        assert type(refused(result({**body, "status": "failed"}))) is TaskFailedError
    with pytest.raises(ProtocolError):
        solved({"status": "ready", "solution": {"gRecaptchaResponse": text}})


@pytest.mark.parametrize(
    ("solution_type", "solution"),
    [
        (CloudFlare5SSolution, {"header": {"user-agent": "A"}, "cookies": {}}),
        (CloudFlare5SSolution, {"header": {"user-agent": "A"}, "cookies": None}),
        (CloudFlare5SSolution, {"x": {"header": {"a": "b"}, "cookies": {"c": "d"}}}),
        (ReCaptchaSolution, {"gRecaptchaResponse": "soon"}),
        (ReCaptchaSolution, {"x": {"token": TOKEN}}),
    ],
)
def test_a_template_is_no_solution_where_the_answer_denies_it(
    solution_type: type[Solution], solution: Any
) -> None:
    """A paid task would end with a part of its solution, or with what is none."""
    body = {"errorId": 0, "status": "processing", "solution": solution}
    assert result(body, 200, solution_type) == Processing()
    body = {"errorId": 1, "errorCode": "ERROR_TASK_TIMEOUT", "solution": solution}
    assert type(refused(result(body, 200, solution_type))) is TaskFailedError


def test_the_usual_answer_of_one_type_may_be_a_solution_of_another() -> None:
    """The shortcut for what is not solved yet would throw a solution away."""
    decoder = Decoder(EZCAPTCHA, [KEY])
    answer = reply(
        {"status": "processing", "solution": {"cookies": {"a": "b"}, "header": {"c": "d"}}}
    )
    for _ in range(2):
        assert decoder.result(answer, None, ReCaptchaSolution) == Processing()
        assert isinstance(decoder.result(answer, None, CloudFlare5SSolution), Ready)


# -------------------------------------------------------------------------------- dresses

Dress = Callable[[bytes], Reply]


def _as_reply(body: bytes, charset: str | None = None) -> Reply:
    return Reply(200, body, charset=charset)


def _through(coding: str, pack: Callable[[bytes], bytes]) -> Dress:
    def dress(body: bytes) -> Reply:
        read = reply_from(200, pack(body), {}, coding=coding)
        assert isinstance(read, Reply)
        return read

    return dress


def _deflated(body: bytes) -> bytes:
    work = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return work.compress(body) + work.flush()


def _in_charset(charset: str, name: str | None, text: str) -> Dress:
    """Put a text of that charset before everything else, so that it matters."""

    def dress(body: bytes) -> Reply:
        said = f'{{"errorDescription":"{text}",{body.decode()[1:]}'
        return _as_reply(said.encode(charset), name)

    return dress


def _with(before: bytes, after: bytes) -> Dress:
    return lambda body: _as_reply(before + body + after)


def _renamed(rename: Callable[[str], str]) -> Dress:
    def dress(body: bytes) -> Reply:
        return reply({rename(name): value for name, value in json.loads(body).items()})

    return dress


DRESSES: Final[dict[str, Dress]] = {
    "plain": _as_reply,
    "bom": _with(codecs.BOM_UTF8, b""),
    "utf-16": lambda body: _as_reply(body.decode().encode("utf-16")),
    "utf-16-le": lambda body: _as_reply(body.decode().encode("utf-16-le")),
    "utf-32": lambda body: _as_reply(body.decode().encode("utf-32")),
    "gbk": _in_charset("gbk", "gbk", "成功"),
    "gbk unnamed": _in_charset("gbk", None, "成功"),
    "gbk with a backslash": _in_charset("gbk", None, "誠"),
    "gb18030 called utf-8": _in_charset("gb18030", "utf_8", "誠"),
    "big5": _in_charset("big5", "big5", "成功"),
    "latin-1": _in_charset("latin-1", "latin_1", "réussi"),
    "latin-1 unnamed": _in_charset("latin-1", None, "réussi"),
    "utf-8 called ascii": _in_charset("utf-8", "ascii", "réussi"),
    "utf-8 called utf-16": lambda body: _as_reply(body, "utf_16"),
    "ebcdic, it says": lambda body: _as_reply(body, "cp037"),
    "no charset at all": lambda body: _as_reply(body, "zlib_codec"),
    "control characters": _in_charset("utf-8", None, "a\tb\r\nc\x00\x1b[2J"),
    "white space": _with(b"\r\n \t", b"\r\n\r\n"),
    "something after": _with(b"", b"<!-- 0.1 s -->{}"),
    "twice": lambda body: _as_reply(body + body),
    "zeros after": _with(b"", b"\x00" * 9),
    "a notice before": _with(b"<b>Notice</b>: {x} in {y.php}<br>\n", b""),
    "a callback": _with(b"callback(", b");"),
    "against hijacking": _with(b")]}',\n", b""),
    "within a page": lambda body: _as_reply(f"<pre>{escape(body.decode())}</pre>".encode()),
    "an event": _with(b"data: ", b"\n\n"),
    "what is no value": lambda body: _as_reply(b'{"a":undefined,"b":"\\x",,"c":.5,' + body[1:]),
    "emptied again": lambda body: _as_reply(
        body[:-1] + b',"taskId":null,"solution":{},"errorCode":"","errorId":0}'
    ),
    "a comma too many": lambda body: _as_reply(body[:-1] + b",}"),
    "no end": lambda body: _as_reply(body[:-1] + b',"more":{"a":[1,'),
    "a broken end": lambda body: _as_reply(body[:-1] + b',"more":nonsense}'),
    "a huge number": lambda body: _as_reply(b'{"a":1' + b"0" * 9_999 + b"," + body[1:]),
    "not a number": lambda body: _as_reply(b'{"a":NaN,' + body[1:]),
    "deep": lambda body: _as_reply(b'{"a":' + b"[" * 500 + b"]" * 500 + b"," + body[1:]),
    "deeper": lambda body: _as_reply(b'{"a":' + b"[" * 9_999 + b"]" * 9_999 + b"," + body[1:]),
    "deep objects": lambda body: _as_reply(
        b'{"a":' + b'{"b":' * 2_000 + b"1" + b"}" * 2_000 + b"," + body[1:]
    ),
    "a text": lambda body: _as_reply(json.dumps(body.decode()).encode()),
    "a text in a text": lambda body: _as_reply(json.dumps(json.dumps(body.decode())).encode()),
    "a list": _with(b"[", b"]"),
    "a list with nothing in it": _with(b'{"data":[null,{},', b"]}"),
    "twice in a list": lambda body: _as_reply(b'{"data":[' + body + b"," + body + b"]}"),
    "a ping before": _with(b'{"ping":1}\n', b""),
    "an event in lines": lambda body: _as_reply(
        b"event: x\ndata: " + body.replace(b",", b"\ndata: ,") + b"\n\n"
    ),
    "an event with a text": lambda body: _as_reply(b"data: " + json.dumps(body.decode()).encode()),
    "within a page with numbers": lambda body: _as_reply(
        b'<pre class="x">' + body.replace(b'"', b"&#34;") + b"</pre>"
    ),
    "an address": lambda body: _as_reply(quote(body).encode()),
    "a text without its quotes": lambda body: _as_reply(json.dumps(body.decode())[1:-1].encode()),
    "of Python": lambda body: _as_reply(repr({**json.loads(body), "o'": "x\"'"}).encode()),
    "of JavaScript": lambda body: _as_reply(
        re.sub(
            rb'"(\w+)":',
            rb"\1 : ",
            b"f({/* of } */ ok: True, a: -1.5, d: 0x5f, e: -Infinity," + body[1:-1],
        )
        + b", // the end\n b: 'it\\'s', c: [undefined, 1,],});"
    ),
    "a wrapper": _with(b'{"code":0,"message":"ok","data":', b"}"),
    "a template around it": _with(
        b'{"errorId":0,"status":"success","taskId":0,"solution":{"token":""},"data":', b"}"
    ),
    "five wrappers": _with(b'{"a":[{"b":{"c":', b"}}]}"),
    "a wrapped text": lambda body: reply(json.dumps({"result": body.decode()})),
    "upper case": _renamed(str.upper),
    "lower case": _renamed(str.lower),
    "snake case": _renamed(
        lambda name: "".join(f"_{char.lower()}" if char.isupper() else char for char in name)
    ),
    "gzip": _through("gzip", gzip.compress),
    "gzip thrice": _through("gzip", lambda body: gzip.compress(gzip.compress(gzip.compress(body)))),
    "gzip unnamed": _through("", gzip.compress),
    "gzip in two": _through("gzip", lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])),
    "gzip and zeros": _through("gzip", lambda body: gzip.compress(body) + bytes(9)),
    "gzip with a wrong sum": _through("gzip", lambda body: gzip.compress(body)[:-8] + b"12345678"),
    "zlib with a wrong sum": _through("deflate", lambda body: zlib.compress(body)[:-4] + b"1234"),
    "hijacking and gzip": _through("gzip", lambda body: b")]}',\n" + body),
    "preformatted and br": _through("br", lambda body: b"<pre>" + body + b"</pre>"),
    "preformatted and deflate": _through("deflate", lambda body: b"<pre>" + body + b"</pre>"),
    "deflate without a header": _through("deflate", _deflated),
    "that unnamed": _through("", _deflated),
    "no coding": _through("utf-8", bytes),
}


def test_no_dress_hides_an_id() -> None:
    """A paid id would be dropped for what stands beside it."""
    ids: tuple[dict[str, Any], ...] = ({"errorId": 0}, {})
    for dress, task_id, error_id in itertools.product(DRESSES, ("8f14e45f-ceea", 77), ids):
        body = json.dumps({**error_id, "taskId": task_id, "x": None}).encode()
        read = Decoder(EZCAPTCHA, [KEY]).created(DRESSES[dress](body))
        assert read == Created(str(task_id)), dress


@pytest.mark.parametrize("solution_type", SOLUTIONS)
def test_no_dress_hides_a_solution(solution_type: type[Solution]) -> None:
    """A paid token would be polled for to the end of its window."""
    body = {"errorId": 0, "status": "ready", "solution": SOLUTIONS[solution_type], "x": None}
    for dress in DRESSES:
        decoder = Decoder(EZCAPTCHA, [KEY])
        read = decoder.result(DRESSES[dress](json.dumps(body).encode()), None, solution_type)
        assert isinstance(read, Ready), dress
        solution = decode_solution(solution_type, read.kept, receipt=RECEIPT, expires_at=0.0)
        assert TOKEN in str(vars_of(solution)), dress


def test_no_dress_hides_a_clear_no() -> None:
    """A service that says no would be taken for one whose answer was lost."""
    body = json.dumps({"errorId": 1, "errorCode": "ERROR_ZERO_BALANCE", "x": None}).encode()
    for dress in DRESSES:
        answer, decoder = DRESSES[dress](body), Decoder(EZCAPTCHA, [KEY])
        for read in (decoder.created(answer), decoder.result(answer), decoder.balance(answer)):
            assert type(refused(read)) is InsufficientBalanceError, dress


def test_a_named_charset_is_read_as_it_is_meant() -> None:
    """The description of an error would be gibberish, and the cookies of a solution wrong."""
    body = json.dumps({"errorId": 1, "errorDescription": "余额不足"}, ensure_ascii=False)
    assert refused(created(body.encode("gbk"), charset="gbk")).description == "余额不足"
    assert refused(created(body.encode("utf-8"))).description == "余额不足"


def test_what_is_cut_off_in_an_id_is_none() -> None:
    """Half an id would be polled: the task of somebody else."""
    body = b'{"errorId":0,"taskId":1234567890,"status":"processing","solution":{"token":"abcdef"}}'
    for cut in range(1, 60):
        is_whole = cut > 32
        nothing = Unreadable("HTTP 200 with no JSON object", 200)
        assert created(body[:cut]) == (Created("1234567890") if is_whole else nothing), cut
        assert not isinstance(result(body[:cut]), Ready | Refused), cut


def test_an_envelope_does_not_hide_an_id_beside_it() -> None:
    """A paid task would be called unknown, though its id is plain to see."""
    values: tuple[Any, ...] = (
        *(["abc"], {"id": "abc"}, {"taskId": "abc", "n": 2}, {"task_id": "abc"}, [{"id": "abc"}]),
        *([["abc"]], {"data": {"id": "abc"}}, '["abc"]', '{"id": "abc"}', {"uuid": "abc"}),
    )
    for body in (
        {"errorId": 0, "data": {"taskId": "abc"}},
        {"errorId": 0, "errorCode": "", "taskId": None, "result": {"task_id": "abc"}},
        {"errorId": 0, "taskId": "", "task_id": "abc"},
        {"errorId": 0, "taskId": [], "TASKID": "abc"},
        *({"errorId": 0, "taskId": value} for value in values),
    ):
        assert created(body) == Created("abc"), body


def test_an_envelope_does_not_hide_a_token_beside_it() -> None:
    """A paid token would be polled for to the end of its window."""
    for body in (
        {"errorId": 0, "data": {"status": "ready", "solution": {"token": TOKEN}}},
        {"errorId": 0, "status": "ready", "data": {"solution": {"token": TOKEN}}},
        {"solution": {}, "SOLUTION": {"token": TOKEN}},
        *({"errorId": 0, "status": status, "token": TOKEN} for status in (1, "ok", "done")),
    ):
        assert solved(body).token == TOKEN, body


def test_what_is_no_id_hides_none() -> None:
    """Whichever comes first, or last, the id that was paid for is the one that says something."""
    for beside in (0, "0", None, "", "null", False, [], {}, {"id": 0}, "pending"):
        one, other = json.dumps(beside), '"abc"'
        for first, second in ((one, other), (other, one)):
            for name in ("taskId", "task_id"):
                body = f'{{"errorId":0,"taskId":{first},"{name}":{second}}}'
                assert created(body) == Created("abc"), body
        for outer, inner in ((beside, "abc"), ("abc", beside), ("abc", "7")):
            body = json.dumps({"errorId": 0, "taskId": outer, "data": {"taskId": inner}})
            assert created(body) == Created("abc"), body


def test_an_id_under_a_shorter_name() -> None:
    """Where the service says that all is well it is the only id; where it does not, it is none."""
    for body in (
        {"id": 77},
        {"data": {"id": "77"}},
        {"task": {"id": 77}},
        {"result": [{"id": 77}]},
    ):
        assert created({"errorId": 0, **body}) == Created("77")
        assert isinstance(created(body), Unreadable)
        assert isinstance(created({"errorId": 1, **body}), Refused)


@pytest.mark.parametrize("code", ["ERROR_ZERO_BALANCE", "error_zero_balance", "ZERO_BALANCE"])
def test_a_code_in_the_place_of_what_was_asked_for(code: str) -> None:
    """It would be polled for as an id for five minutes, or be called a lost answer."""
    for http, value in itertools.product((200, 400, 500), (code, [code], {"id": code})):
        for body in ({"taskId": value}, {"data": {"taskId": value}}):
            for error_id in ({}, {"errorId": 0}, {"errorId": 1}):
                error = refused(created({**error_id, **body}, http))
                assert (type(error), error.code) == (InsufficientBalanceError, code)
    for name in ("solution", "data", "result", "request", "description"):
        for read in (created({"errorId": 0, name: code}), result({"errorId": 0, name: code})):
            assert type(refused(read)) is InsufficientBalanceError
        assert result({"errorId": 0, "status": "processing", name: code}) == Processing()
    assert refused(created({"taskId": "ERROR_OF_TOMORROW"})).code == "ERROR_OF_TOMORROW"
    assert created({"taskId": "error_77x"}) == Created("error_77x")


def test_a_no_in_the_words_of_others() -> None:
    """A createTask that was refused would be said to be paid for perhaps; a ticket never ends."""
    bodies: list[dict[str, Any]] = [
        *({"success": value, "message": "why"} for value in (False, "false", 0)),
        *({"code": code, "msg": "why"} for code in (-1, 402, 500, "-1", "402", "10003")),
        *({"status": False, "message": "why"}, {"errors": {"websiteKey": "why"}}),
        {"errors": ["why"]},
        {"ok": False, "description": "why"},
        {"errorId": 0, "error": "why"},
        {"error": "why"},
    ]
    for body in bodies:
        error = refused(created(body))
        assert type(error) is ServiceError
        assert "why" in str(error)
        assert not isinstance(result(body), Refused)
        assert created({**body, "taskId": "abc"}) == Created("abc")
        assert isinstance(created({**body, "errorId": None}, 502), Unreadable)


def test_a_gateway_that_calls_its_own_answer_a_good_one() -> None:
    """A createTask that may have been paid for would be sent once more."""
    for name, number in itertools.product(("status", "statusCode", "code"), (502, "504", 524)):
        for body in ({"error": "Gateway Timeout"}, {"success": False}, {"message": "Bad Gateway"}):
            answer = {name: number, **body}
            assert isinstance(created(answer), Unreadable), answer
            assert not isinstance(result(answer), Refused), answer
            assert isinstance(created({"errorId": 1, **answer}), Refused), "the service says so"


def test_a_token_in_a_wrapper_without_a_solution() -> None:
    """A paid token would be polled for to the end of its window."""
    names = ("data", "response", "d")
    around: list[dict[str, Any]] = [
        *({}, {"errorId": 0}, {"errorId": 0, "status": "ready"}, {"status": 1}, {"status": True}),
        *({"code": 0, "msg": "ok"}, {"code": 200, "success": True}, {"errorId": 0, "solution": ""}),
    ]
    items: list[Any] = [
        *({"token": TOKEN}, {"gRecaptchaResponse": TOKEN}, {"status": "ready", "token": TOKEN}),
        *({"solution": {"token": TOKEN}}, {"solution": TOKEN}),
        {"status": "done", "solution": [TOKEN]},
    ]
    page = {"header": {"user-agent": "A"}, "cookies": {"cf_clearance": TOKEN}}
    for name, outer in itertools.product(names, around):
        for item in items:
            for held in (item, [item], json.dumps(item)):
                assert solved({**outer, name: held}).token == TOKEN, (outer, name, held)
        assert solved({**outer, name: page}, CloudFlare5SSolution).cookies == page["cookies"]


def test_a_token_by_itself_in_a_wrapper() -> None:
    """It is one where the status says so, and else may be anything."""
    for status in ("ready", "success", 1, True, "200", "完成"):
        for value in (TOKEN, [TOKEN], json.dumps(TOKEN)):
            assert solved({"errorId": 0, "status": status, "data": value}).token == TOKEN
    for body in ({"errorId": 0, "data": TOKEN}, {"status": "processing", "data": TOKEN}):
        assert result(body) == Processing()


def test_a_token_under_a_name_that_says_little() -> None:
    """It was paid for; what is too short for one is shown as it came."""
    for name in ("response", "text", "value", "captcha_token", "data", "answer"):
        assert solved({"status": "ready", "solution": {name: TOKEN, "ua": "A"}}).token == TOKEN
        with pytest.raises(ProtocolError) as caught:
            solved({"status": "ready", "solution": {name: "later"}})
        assert caught.value.payload == {name: "later"}


def test_a_solution_of_no_known_form_ends_with_what_it_is() -> None:
    """It would be polled for to the end of its window, and be gone then."""
    for status in ("ready", "Success", 1, 1.0, True, "true", "OK", 200, None, "就绪", "resolved"):
        with pytest.raises(ProtocolError) as caught:
            solved({"errorId": 0, "status": status, "solution": {"x": ["a", "b"]}})
        assert caught.value.payload == {"x": ["a", "b"]}


EMPTY: Final = ({}, "", None, [], 0, "null", "pending", {"token": ""}, {"x": {"y": [None]}}, "{}")


def test_a_solution_that_is_empty_is_waited_for() -> None:
    """A paid task would end with nothing, because the template of its answer came early."""
    for solution, status in itertools.product(EMPTY, (None, "", "success", "done", 1, True)):
        for body in ({"solution": solution}, {"data": {"solution": solution}}, {"data": solution}):
            assert result({"errorId": 0, "status": status, **body}) == Processing(), (status, body)


def test_an_answer_of_another_type_may_be_any_word() -> None:
    """What was paid for would be polled for to the end of its window, and be gone then."""
    values = ("false", "error", "done", 0, False, [[0]], "captcha")
    for value, status in itertools.product(values, (None, "success", "done", 1)):
        body = {"errorId": 0, "status": status, "solution": {"answer": value, "x": None}}
        assert solved(body, CustomSolution).extra == body["solution"]
        assert result({**body, "solution": {"answer": " "}}, 200, CustomSolution) == Processing()


def test_the_status_in_a_wrapper_is_that_of_the_task() -> None:
    """What is said of the request would hide what is said of the task, or the other way round."""
    for around in ({}, {"errorId": 0}, {"status": "success"}, {"errorId": 0, "status": 200}):
        error = refused(result({**around, "data": {"errorId": 0, "status": "failed"}}))
        assert type(error) is TaskFailedError
        assert result({**around, "data": {"errorId": 0, "status": "waiting"}}) == Processing()
    for other in ({"queue": {"status": "dead"}}, {"last": {"errorId": 1, "errorCode": "ERROR_X"}}):
        assert result({"errorId": 0, "status": "processing", **other}) == Processing()
        assert result({"errorId": 0, **other}) == Processing()


def test_what_was_paid_for_may_follow_another_answer() -> None:
    """It would be lost for what the service said first; a clear no would be lost for an echo."""
    assert created('{"errorId":0}\n{"taskId":"abc"}') == Created("abc")
    token = f'{{"errorId":0,"status":"ready","solution":{{"token":"{TOKEN}"}}}}'
    assert solved('{"errorId":0,"status":"processing"}\n' + token).token == TOKEN
    for said in ('{"errorId":1,"errorCode":"ERROR_TASK_NOT_EXIST"}', '{"errorId":"x"}'):
        assert isinstance(result(said + '{"clientKey":"x","taskId":"77"}'), Refused)
    assert result('{"errorId":0,"status":"processing"}{"errorId":1}') == Processing()


@pytest.mark.parametrize("balance", [5, "5", [5], '"5"', {"points": 5}])
def test_no_wrapper_hides_a_balance(balance: object) -> None:
    """A service that answers would be taken for one that says nothing."""
    for body in ({"Balance": balance}, {"code": 0, "data": {"balance": balance}}):
        assert Decoder(EZCAPTCHA, [KEY]).balance(reply(body)) == 5
    kept = reply({"balance": 0, "data": {"balance": balance}})
    assert Decoder(EZCAPTCHA, [KEY]).balance(kept) == 0


def test_the_name_of_a_field_at_fault_is_no_id() -> None:
    """What the service says of the field `taskId` would be polled as an id."""
    body = {"errorId": 1, "errorCode": "ERROR_NEW", "errors": {"taskId": "77 is unknown"}}
    assert refused(created(body)).code == "ERROR_NEW"


def test_only_the_last_bracket_is_cut_off() -> None:
    """What is whole in it would be lost: an id that is paid for, a token, a clear no."""
    assert created('{"errorId":0,"taskId":"abc"') == Created("abc")
    assert created('{"errorId":0,"taskId":"abc" \n') == Created("abc")
    assert isinstance(created('{"errorId":0,"taskId":"abc"d"'), Unreadable)
    error = refused(created('{"errorCode":"ERROR_ZERO_BALANCE"'))
    assert type(error) is InsufficientBalanceError
    assert solved(f'{{"status":"ready","solution":{{"token":"{TOKEN}"').token == TOKEN


# ------------------------------------------------------------- every status, form, endpoint

ODD_BODIES: Final = [
    *(b"", b" ", b"\x00", b"\xff\xfe", b"{", b"[", b'"', b"}", b"{}", b"[]", b"null", b"0"),
    *(b"true", b"<html>{}</html>", b"<html>" + b"{" * 999, b'{"":0}', b"[[[[1]]]]"),
    *(b"{" * 9_999, b"[" * 20_000, b'{"a":' * 5_000, b'"' + b'\\"' * 9_999, b"\\" * 9_999),
    *(b"[{}," * 9_999, b"\xff" * 9_999, b'{"a":{"b":{"c":{"d":{}}}}}', b'{"status":{}}'),
    *(b'{"errorId":[]}', b'{"errorId":{"a":1}}', b'{"taskId":{}}', b'{"solution":0}'),
    *(b'{"errorCode":[1]}', b'{"status":404,"error":"Not Found"}'),
]  # fmt: skip


def test_every_status_with_every_form_is_one_of_the_declared_answers() -> None:
    """An exception out of the decoder ends the one coroutine that everybody depends on."""
    for http, body in itertools.product((200, 204, 301, 502), ODD_BODIES):
        balance = Decoder(EZCAPTCHA, [KEY]).balance(reply(body, http))
        read = result(body, http)
        answers = (created(body, http), balance, read)
        assert isinstance(read, Processing | Refused | Unreadable), body
        assert all(isinstance(item, Refused | Unreadable) for item in answers[:2]), body
        if http >= 300 and b"error" not in body:
            assert not isinstance(read, Processing), body
        if b":" not in body and b"{}" not in body:
            nothing = Unreadable(f"HTTP {http} with no JSON object", http)
            assert answers == (nothing, nothing, nothing), body


def test_nothing_holds_the_event_loop_for_long() -> None:
    """A megabyte made for that would stop everything else for seconds, again and again."""
    most = MAX_BODY // 4
    flood = most // 5
    for body in (
        b"{" * most,
        b'{"a":' * flood,
        b'{"a":{"a":1},' * (flood // 3),
        b'"' + b'\\"' * (most // 2),
        b'{"a":"' + b'\\"' * (most // 2),
        b'{"a":"b" ' * (flood // 2),
        json.dumps({str(number): {} for number in range(flood // 3)}).encode(),
        json.dumps({f"task_id{number}": 0 for number in range(flood // 4)}).encode(),
        json.dumps({"status": "ready", "solution": [[[""] * 90] * 90] * 6}).encode(),
        b"&quot;" * flood,
        b"'" * most,
        b"a:" * (most // 2),
    ):
        calls = 0

        def count(_frame: Any, event: str, _argument: Any) -> None:
            nonlocal calls
            calls += event in {"call", "c_call"}

        sys.setprofile(count)
        try:
            result(body)
        finally:
            sys.setprofile(None)
        assert calls < most, body[:9]


def test_no_place_in_a_run_of_signs_is_looked_at_twice() -> None:
    """A page of 20 kB with a ruled line would stop the event loop for five seconds."""
    # Time is all that shows it elsewhere: nothing is called within a search.
    for sign in "-+.":
        for number in (f"{sign}1", f"{sign * 3}1.5"):
            found = _LOOSE.match(number)
            assert found is not None
            assert found["kept"] == number
            assert all(_LOOSE.match(number, at) is None for at in range(1, number.index("1")))
    assert answer_in(reply("<html>{" + "-" * 19_000 + "</html>")) is None


# ------------------------------------------------------------------------------- at random

tokens = st.text("abcXYZ019-_.|=", min_size=20, max_size=60).map("0".__add__)
ids = st.integers(1, 10**30) | st.uuids().map(str) | st.text("abcXYZ019-_", min_size=1, max_size=30)
noise = st.dictionaries(
    st.sampled_from(["errorId", "errorCode", "errorDescription", "status", "requestId", "x", "é"]),
    wild_values | st.sampled_from([0, 1, "ERROR_NEW", "ERROR_ZERO_BALANCE", "processing", "ready"]),
    max_size=4,
)


def _dressed(body: dict[str, Any], dress: str) -> Reply:
    return DRESSES[dress](json.dumps(body | {"x": None}).encode())


@given(wild_envelopes)
def test_what_is_documented_is_read_as_it_is_among_other_members(envelope: dict[str, Any]) -> None:
    """There is a shortcut for an answer of which all is documented, and for how one begins."""
    whole, odd = answer_in(reply(envelope)), answer_in(reply(f" {json.dumps(envelope | {'x': 0})}"))
    assert whole is not None
    assert odd is not None
    assert str(whole.members | {"x": 0}) == str(odd.members)  # NaN is not equal to itself
    assert whole.is_whole is odd.is_whole is True


@given(ids, noise, st.sampled_from(sorted(DRESSES)))
def test_an_id_in_its_place_is_never_lost(task_id: Any, beside: dict[str, Any], dress: str) -> None:
    """It is paid for, whatever else the answer says."""
    read = Decoder(EZCAPTCHA, [KEY]).created(_dressed({**beside, "taskId": task_id}, dress))
    said = str(task_id)
    is_none = not said.strip("-_0") or (len(said) < 8 and not set("123456789") & set(said))
    assert read == Created(said) or is_none


@given(
    tokens,
    noise,
    st.dictionaries(st.sampled_from(["user_agent", "cookies", "new", "é"]), wild_values),
    st.sampled_from(sorted(DRESSES)),
    st.sampled_from(sorted(SOLUTIONS, key=lambda item: item.__name__)),
)
def test_a_token_in_its_place_is_never_lost(
    token: str,
    beside: dict[str, Any],
    inside: dict[str, Any],
    dress: str,
    solution_type: type[Solution],
) -> None:
    """Whatever the answer says, it is given out, and little more than its bytes is kept for it."""
    fields = json.loads(json.dumps(SOLUTIONS[solution_type]).replace(TOKEN, token))
    answer = _dressed({**beside, "solution": {**inside, **fields}}, dress)
    read = Decoder(EZCAPTCHA, [KEY]).result(answer, None, solution_type)
    assert isinstance(read, Ready)
    assert sys.getsizeof(read.kept.body) <= len(answer.body) + 1024
    solution = decode_solution(solution_type, read.kept, receipt=RECEIPT, expires_at=0.0)
    assert token in str(vars_of(solution))


# ------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize(
    "solution_type", [item for item in SOLUTIONS if item is not CustomSolution]
)
def test_of_a_huge_answer_only_what_is_documented_is_kept(solution_type: type[Solution]) -> None:
    """A kilobyte on the wire would keep megabytes for each ticket."""
    fields = {**SOLUTIONS[solution_type], "junk": [[]] * 30_000}
    answer = reply({"errorId": 0, "status": "ready", "solution": fields})
    read = result(answer.body, 200, solution_type)
    assert isinstance(read, Ready)
    solution = decode_solution(solution_type, read.kept, receipt=RECEIPT, expires_at=0.0)
    assert TOKEN in str(vars_of(solution))
    if solution_type is not CloudFlare5SSolution:
        assert len(read.kept.body) <= MOST_OF_A_TOKEN
        assert solution.extra == {}


def test_of_a_huge_answer_the_token_or_else_the_beginning_is_kept() -> None:
    """A user agent of a megabyte would take the token along, a token of one fill the memory."""
    huge = "x" * 300_000
    solution = solved(
        {"status": "ready", "solution": {"user_agent": huge, "gRecaptchaResponse": TOKEN}}
    )
    assert (solution.token, solution.user_agent) == (TOKEN, None)
    for fields in ({"story": huge}, {"gRecaptchaResponse": huge}):
        with pytest.raises(ProtocolError, match="gRecaptchaResponse") as caught:
            solved({"status": "ready", "solution": fields})
        shown = str(caught.value.payload)
        assert shown.startswith('{"status": "ready"')
        assert len(shown) == MOST_OF_A_TOKEN
        assert next(iter(fields)) in shown


@pytest.mark.parametrize("depth", [MOST_LEVELS, 500, 20_000])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_a_solution_that_is_nested_deeply_keeps_its_token(
    depth: int, opened: str, closed: str
) -> None:
    """Printing or saving it would be a RecursionError, and the token be lost."""
    depth = min(depth, 2_000 if closed == "}" else depth)
    nested = opened * depth + "0" + closed * depth
    body = f'{{"status":"ready","solution":{{"x":{nested},"gRecaptchaResponse":"{TOKEN}"}}}}'
    solution = solved(body)
    assert solution.token == TOKEN
    assert json.loads(json.dumps(solution.extra)) == solution.extra
    assert repr(solution)


def test_a_bomb_with_a_wrong_sum_stays_small() -> None:
    """A few kilobytes that swell to gigabytes would end the process."""
    bomb = b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + zlib.compress(b'{"a":"' + bytes(MAX_BODY - 6))[2:-4]
    read = reply_from(200, bomb + bytes(7) + b"1", {}, coding="gzip")
    assert isinstance(read, Reply)
    assert len(read.body) == MAX_BODY
    twice = reply_from(200, gzip.compress(b"{" + bytes(MAX_BODY)) * 2, {}, coding="gzip")
    assert isinstance(twice, Reply)
    assert len(twice.body) == MAX_BODY

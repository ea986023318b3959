"""Bytes and values: what is sent is exact, and no answer whatsoever makes the decoder raise."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from itertools import product
from math import inf, isfinite, nan
from typing import Any, Final

from hypothesis import example, given
from hypothesis import strategies as st

from ezcaptcha_async._wire.decoding import (
    MAX_RETRY_AFTER,
    Created,
    Decoder,
    Processing,
    Ready,
    Refused,
    Unreadable,
    retry_delay,
)
from ezcaptcha_async._wire.encoding import Encoder
from ezcaptcha_async.errors import (
    BannedError,
    CredentialError,
    ServiceError,
    TaskFailedError,
    TaskNotFoundError,
    ThrottledError,
)
from ezcaptcha_async.services import EZCAPTCHA, ONECAPTCHA
from ezcaptcha_async.tasks import CustomTask, ReCaptchaV2TaskProxyless
from ezcaptcha_async.transports import Reply

KEY = "5ecret-key-0123456789"
DECODER = Decoder(EZCAPTCHA, [KEY])
DATE = "Sun, 22 Nov 2026 12:00:00 GMT"
V2 = ReCaptchaV2TaskProxyless(website_url="https://example.com/é", website_key="6Lc")


def reply(
    body: Any, status: int = 200, *, retry_after: str | None = None, date: str | None = DATE
) -> Reply:
    """Return an answer; what is no bytes is encoded as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, content, retry_after, date)


def refused(body: Any, status: int = 200, **details: Any) -> ServiceError:
    """Read an answer of every kind, which must be a refusal, and return its error."""
    answers = [
        read(reply(body, status, **details))
        for read in (DECODER.created, DECODER.result, DECODER.balance)
    ]
    errors = [answer.error for answer in answers if isinstance(answer, Refused)]
    assert len(errors) == 3, answers
    assert len({(type(item), str(item), item.retry_after) for item in errors}) == 1
    return errors[0]


# ---------------------------------------------------------------------- what is sent


def test_bodies_byte_by_byte() -> None:
    """A body that is not what the pages describe is refused, or read in another way."""
    encoder = Encoder('k"1')
    assert encoder.get_balance().content == rb'{"clientKey":"k\"1"}'
    assert encoder.get_task_result("7").content == rb'{"clientKey":"k\"1","taskId":"7"}'
    assert encoder.create_task(V2, EZCAPTCHA.offer_for(V2.type)).content == (
        rb'{"clientKey":"k\"1","task":{"type":"ReCaptchaV2TaskProxyless",'
        rb'"websiteURL":"https://example.com/\u00e9","websiteKey":"6Lc","isInvisible":false}}'
    )
    assert encoder.create_task(V2, ONECAPTCHA.offers[0]).content == (
        rb'{"clientKey":"k\"1","task":{"type":"RecaptchaV2TaskProxyless",'
        rb'"websiteURL":"https://example.com/\u00e9","websiteKey":"6Lc","isInvisible":"false"}}'
    )


def test_the_number_of_a_developer_goes_with_creates_only() -> None:
    """A developer's share would be lost, or a poll be refused for a field that it does not take."""
    encoder = Encoder('k"1', 77)
    assert encoder.create_task(V2, None).content.startswith(
        b'{"clientKey":"k\\"1","appId":77,"task":{"type":"ReCaptchaV2TaskProxyless",'
    )
    for body in (encoder.get_task_result("7"), encoder.get_balance()):
        assert json.loads(body.content).keys() <= {"clientKey", "taskId"}
    assert "appId" not in json.loads(Encoder(KEY).create_task(V2, None).content)


printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    printable,
    st.text(),
    st.dictionaries(st.text().filter(lambda name: name != "type"), json_values, max_size=4),
)
def test_what_was_encoded_is_what_a_parser_reads(
    key: str, task_id: str, fields: dict[str, Any]
) -> None:
    """A quote or an emoji in a key, an id or a field would break the body or change it."""
    encoder = Encoder(key)
    task = encoder.create_task(CustomTask("NewTask", fields), None).content
    assert json.loads(task) == {"clientKey": key, "task": {"type": "NewTask", **fields}}
    result = encoder.get_task_result(task_id).content
    assert json.loads(result) == {"clientKey": key, "taskId": task_id}
    assert json.loads(encoder.get_balance().content) == {"clientKey": key}
    assert task.isascii()
    assert result.isascii()


# ------------------------------------------------------------------ what an answer is


def test_a_task_id_as_text_or_number() -> None:
    """A paid task would be taken for an unreadable answer, and its id lost."""
    ids = {"77": "77", 77: "77", 0: "0", 10**50: f"1{'0' * 50}", 78.0: "78", " 77\n": "77"}
    for task_id, expected in (*ids.items(), ("a-b_c d", "a-b_c d"), ("x" * 200, "x" * 200)):
        for error_id in (0, "0"):
            body = {"errorId": error_id, "errorCode": None, "taskId": task_id}
            assert DECODER.created(reply(body)) == Created(expected)
            assert DECODER.created(reply(body, 500)) == Created(expected)
        assert DECODER.created(reply({"taskId": task_id})) == Created(expected)


def test_no_task_id() -> None:
    """`True` would be polled as an id, a megabyte be kept as one, a line end forge a log line."""
    assert DECODER.created(reply({"errorId": 0})) == Unreadable("$.taskId: expected an id", 200)
    for task_id in (
        *(None, True, False, "", "  ", 1.5, 1e300, nan, inf, ["7", "8"], {"a": 7, "b": 8}),
        *([], {}, [None], {"id": None}, {"id": {"id": ""}}),
        *("x" * 201, 10**201, 10**700, "null", "None", "undefined", "-1"),
        *("N/A", "-", "(null)", "[]", "00000000-0000-0000-0000-000000000000", "error", "empty"),
        *("7\n8", "7\r8", "7\x1b[2J", "7\x00", "7\u20288", "é", "\ud800"),
    ):
        answer = DECODER.created(reply({"errorId": 0, "taskId": task_id}, 201))
        assert answer == Unreadable("$.taskId: expected an id", 201), task_id


def test_an_unknown_status_means_processing() -> None:
    """A word that the service adds tomorrow would end every wait for a paid task."""
    for status in ("processing", "queued", "", "READY?", None, 0, 1, ["ready"]):
        for error_id in (0, "0", None):
            body = {"errorId": error_id, "status": status}
            assert DECODER.result(reply(body)) == Processing(), body


def test_a_number_that_python_may_not_read_spoils_no_answer() -> None:
    """A program that lowers Python's limit of digits would lose what stands beside the number."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(640)
    try:
        answer = DECODER.created(reply(b'{"errorId":0,"a":%b}' % (b"7" * 700)))
    finally:
        sys.set_int_max_str_digits(limit)
    assert answer == Unreadable("$.taskId: expected an id", 200)


def test_ready() -> None:
    """A solution would be lost, or judged where it hurts everybody."""
    for envelope, solution in product(
        ({"errorId": 0}, {"errorId": "0"}, {}), ({"token": "t"}, None, "text", 5, [1])
    ):
        whole = reply({**envelope, "status": "ready", "solution": solution}, date=None)
        assert DECODER.result(whole) == Ready(whole, is_empty=solution is None)
        bare = reply({**envelope, "status": "ready"}, date=None)
        assert DECODER.result(bare) == Ready(bare, is_empty=True)


def test_the_usual_answer_is_known_again_and_nothing_else_is_taken_for_it() -> None:
    """It is judged by its bytes; one byte or one status more must be judged anew."""
    decoder = Decoder(EZCAPTCHA, [KEY])
    usual = {"errorId": 0, "status": "processing"}
    nameless = {"status": "processing"}
    solution = {"gRecaptchaResponse": "03AFcWeA" * 20}
    for number in range(3):
        numbered = {**usual, "requestId": f"request-{number}"}
        assert decoder.result(reply(numbered)) == Processing()
        assert isinstance(decoder.result(reply({**numbered, "solution": solution})), Ready)
        assert isinstance(decoder.result(reply({**numbered, "status": "failed"})), Refused)
        assert decoder.result(reply(usual)) == Processing()
        assert isinstance(decoder.result(reply({**usual, "status": "ready"})), Ready)
        assert isinstance(decoder.result(reply({**usual, "errorCode": "ERROR_X"})), Processing)
        assert isinstance(decoder.result(reply({"errorId": 1, "status": "?"})), Refused)
        assert decoder.result(reply(nameless)) == Processing()
        assert decoder.result(reply(nameless)) == Processing()
        assert isinstance(decoder.result(reply(nameless, 500)), Unreadable)
        assert isinstance(decoder.created(reply(nameless)), Unreadable)


FAILURES: Final = {
    None: TaskFailedError,
    "ERROR_CAPTCHA_UNSOLVABLE": TaskFailedError,
    "WORKER_LOST_ITS_BROWSER": TaskFailedError,
    "ERROR_INTERNAL_SERVER_ERROR": TaskFailedError,
    "ERROR_RECAPTCHA_INVALID_SITEKEY": TaskFailedError,
    # These the service says of the request, whatever it says of the task.
    "ERROR_TASK_NOT_EXIST": TaskNotFoundError,
    "ERROR_KEY_NOT_AVAILABLE": CredentialError,
    "ERROR_REQUEST_LIMIT": ThrottledError,
}


def test_a_task_that_failed() -> None:
    """It would be polled ninety times, to the end of its five minutes, and be called lapsed."""
    for (code, expected), status, error_id in product(FAILURES.items(), (200, 500), (0, 1, None)):
        body = {"status": "error", "errorCode": code, "errorDescription": "no luck"}
        answer = DECODER.result(reply({**body, "errorId": error_id}, status))
        assert isinstance(answer, Refused), (status, body)
        assert type(answer.error) is expected, (status, body)
        assert answer.error.code == (code or "status error")
        assert answer.error.description == "no luck"
        assert answer.error.retryable is (expected not in {TaskNotFoundError, CredentialError})


def test_the_request_id_of_a_refusal() -> None:
    """The service's support asks for it, and nobody would have it; what is none is not shown."""
    said = {"errorId": 1, "errorCode": "ERROR_NEW"}
    for request_id, shown in (("r-17", "r-17"), (17, "17"), (f"a{KEY}", "a***")):
        error = refused({**said, "requestId": request_id})
        assert error.request_id == shown
        assert str(error) == f"ERROR_NEW; request {shown}"
        assert copy.copy(error).request_id == pickle.loads(pickle.dumps(error)).request_id == shown
    for none in (None, "", [], {}):
        assert str(refused({**said, "requestId": none})) == "ERROR_NEW"


def test_the_fields_at_fault() -> None:
    """The user would have to guess which of ten fields is wrong."""
    errors = {"task.websiteKey": "unknown", "task.proxy": f"{KEY} is refused", "n": 7, "o": {}}
    error = refused(
        {
            "errorId": 1,
            "errorCode": "ERROR_REQUEST_PARAMETERS",
            "errorDescription": "bad",
            "errors": errors,
        },
        400,
    )
    assert error.errors == {
        "task.websiteKey": "unknown",
        "task.proxy": "*** is refused",
        "n": "7",
        "o": "{}",
    }
    assert str(error) == (
        "ERROR_REQUEST_PARAMETERS: bad (task.websiteKey: unknown, task.proxy: *** is refused, "
        "n: 7, o: {}); correct the task"
    )
    many = refused({"errorId": 1, "errorCode": "E", "errors": dict.fromkeys(map(str, range(99)))})
    assert len(many.errors) == 20
    for none in (None, [], "bad", 7):
        assert refused({"errorId": 1, "errorCode": "E", "errors": none}).errors == {}
    escapes = "%2525252541+" * 800
    slow = {f"{escapes}{number}": escapes for number in range(20)}
    assert len(refused({"errorId": 1, "errorCode": "E", "errors": slow}).errors) == 1


def test_balance() -> None:
    """A balance as text, or a debt, would be an error; an empty account look like a full one."""
    for balance, points in ((12.5, 12.5), (0, 0), (-3, -3), ("12.5", 12.5)):
        for body in ({"errorId": 0, "balance": balance}, {"balance": balance}):
            assert DECODER.balance(reply(body)) == points
            assert DECODER.balance(reply({**body, "data": {"balance": 5}})) == points


def test_no_balance() -> None:
    """NaN points would make every comparison with a budget false; `true` is not one point."""
    expected = Unreadable("$.balance: expected a number", 200)
    assert DECODER.balance(reply({"errorId": 0})) == expected
    for balance in (None, "", "much", [], {}, nan, inf, "nan", "-inf", 10**400, True):
        assert DECODER.balance(reply({"errorId": 0, "balance": balance})) == expected, balance


def test_errors_of_other_shapes() -> None:
    """A number as errorCode would end the scheduler, and no code leave nothing to look up."""
    for code in (None, ""):
        error = refused({"errorId": 12, "errorCode": code, "errorDescription": None})
        assert type(error) is ServiceError
        assert (error.code, error.description) == ("errorId 12", "")
    assert refused({"errorId": 12}).code == "errorId 12"
    for text in (5, True, ["x"], {"a": "b"}):
        error = refused({"errorId": 1, "errorCode": text, "errorDescription": text})
        assert (error.code, error.description) == (str(text), str(text))


IN_FRONT: Final = {
    401: "asks for a password",
    402: "account page",
    403: "firewall or proxy",
    407: "the proxy on the way",
    451: "blocks the service",
    511: "log in",
}


def test_what_may_stand_in_front() -> None:
    """The key would be looked at, or the service asked, for what a company's firewall does."""
    for (status, words), body in product(IN_FRONT.items(), (b"<html>", b"{}")):
        for read in (DECODER.created, DECODER.result, DECODER.balance):
            answer = read(reply(body, status))
            assert isinstance(answer, Unreadable)
            assert words in answer.reason
        error = refused({"errorId": 1, "errorCode": "ERROR_NEW"}, status)
        assert words not in str(error), "the service itself says it"


def test_neither_an_envelope_nor_a_good_status() -> None:
    """A gateway's `{}` would count as `processing`, or its own JSON page be the service's."""
    assert DECODER.result(reply({})) == Unreadable("$.status: missing", 200)
    assert DECODER.result(reply({"errorId": 0})) == Processing()
    for status in (300, 404, 500):
        expected = Unreadable(f"HTTP {status} with an object without errorId", status)
        for read in (DECODER.created, DECODER.result, DECODER.balance):
            assert read(reply({"status": "ready", "balance": 5}, status)) == expected


def test_http_429_is_a_throttle_unless_it_is_a_good_answer() -> None:
    """A proxy that throttles would be taken for a fault, and nobody slow down."""
    for said in (b"", b"<html>", b"{}", b"[]", b'{"message":"slow down"}'):
        error = refused(said, 429, retry_after="7")
        assert isinstance(error, ThrottledError)
        assert (error.code, error.retry_after) == ("HTTP 429", 7)
    for code, status in product(("ERROR_OF_TOMORROW", None), (None, "error")):
        body = {"errorId": 1, "errorCode": code, "status": status}
        assert type(refused(body, 429)) is ThrottledError
    assert DECODER.created(reply({"errorId": 0, "taskId": "7"}, 429)) == Created("7")


def test_texts_are_one_line_for_people() -> None:
    """A service could write lines of its own into the log, or clear the terminal."""
    for text in ("two\nlines", "bell\a", "\x1b[2J", "tab\tbed", "\u2028", "\x00"):
        error = refused({"errorId": 1, "errorCode": text + "X", "errorDescription": text + "X"})
        assert str(error).isprintable()


# ---------------------------------------------------------------------- Retry-After


WAITS: Final = {
    "0": 0,
    "7": 7,
    "1.5": 1.5,
    " 7 ": 7,
    "120": 120,
    "121": 120,
    "1e300": 120,
    "Sun, 22 Nov 2026 12:00:30 GMT": 30,
    "Sun, 22 Nov 2026 14:00:30 +0200": 30,
    "Sun, 22 Nov 2026 12:00:00 GMT": 0,
    "Sun, 22 Nov 2099 12:00:00 GMT": MAX_RETRY_AFTER,
}
NO_WAITS: Final = (
    *(None, "9" * 5_000, "-1", "inf", "-inf", "nan", "", "soon"),
    "Sun, 22 Nov 2026 11:59:59 GMT",
    "Sun, 22 Nov 2026 12:00:30",
    "Sun, 99 Nov 2026 12:00:30 GMT",
    "Sun, 22 Nov 99999 12:00:30 GMT",
    "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
    "Mon, 01 Jan 2024 99999999999999999999:00:00 GMT",
    "Mon, 01 Jan 2024 00:00:00 +99999999999999999999",
    "Mon, 01 Jan 2024 00:00:00 -9999999999",
)


def test_retry_after() -> None:
    """An account would stand still for years, or go on at once against the service's word."""
    for header, seconds in (WAITS | dict.fromkeys(NO_WAITS)).items():
        assert retry_delay(reply(b"", 429, retry_after=header)) == seconds, header
        error = refused({"errorId": 1, "errorCode": "ERROR_REQUEST_LIMIT"}, retry_after=header)
        assert error.retry_after == seconds
    # Our own clock may be wrong by hours.
    for date in (None, "", "today", "Sun, 22 Nov 2026 12:00:00", *NO_WAITS[-4:]):
        later = "Sun, 22 Nov 2099 12:00:00 GMT"
        assert retry_delay(reply(b"", 429, retry_after=later, date=date)) is None, date


def test_retry_after_of_a_ban() -> None:
    """A stated ban of ten minutes would be cut to two, and going on prolongs it."""
    for header, seconds in {"600": 600, "3600": 3600, "86400": 3600, "5": 5, None: None}.items():
        error = refused({"errorId": 1, "errorCode": "ERROR_IP_BANNED"}, retry_after=header)
        assert isinstance(error, BannedError)
        assert error.retry_after == seconds


digits = st.integers(0, 99).map(str) | st.text("0123456789", min_size=1, max_size=25)
dates = st.builds(
    "Mon, {} Jan {} {}:{}:00 {}{}".format,
    digits,
    st.integers(1970, 2100).map(str) | digits,
    digits,
    digits,
    st.sampled_from(["+", "-", "GMT"]),
    digits,
)
headers = st.none() | st.text(max_size=40) | dates


# ------------------------------------------------------------------ nothing ever raises

KINDS: dict[str, tuple[type, ...]] = {
    "created": (Created, Refused, Unreadable),
    "result": (Processing, Ready, Refused, Unreadable),
    "balance": (float, Refused, Unreadable),
}
wild_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)
wild_envelopes = st.fixed_dictionaries(
    {},
    optional={
        "errorId": st.sampled_from([0, 1, "0", "1", None]) | wild_values,
        "errorCode": st.sampled_from(sorted(EZCAPTCHA.error_codes)) | wild_values,
        "errorDescription": wild_values,
        "taskId": wild_values,
        "status": st.sampled_from(["ready", "processing"]) | wild_values,
        "solution": wild_values,
        "balance": wild_values,
    },
)
contents = (
    st.binary(max_size=200)
    | wild_values.map(lambda value: json.dumps(value).encode())
    | wild_envelopes.map(lambda value: json.dumps(value).encode())
    | wild_envelopes.map(lambda value: json.dumps(value).encode("utf-16"))
)
statuses = st.sampled_from([200, 204, 302, 400, 404, 429, 500, 503]) | st.integers(100, 999)


@given(contents, statuses, headers, headers)
@example(b'{"errorId":NaN}', 200, None, None)
@example(b'{"errorId":0,"balance":1e999,"taskId":Infinity,"status":NaN}', 200, None, None)
@example(b'{"errorId":1,"errorCode":"\\ud800"}', 200, "\ud800", "\ud800")
@example(b"\xef\xbb\xbf{}", 200, None, None)
def test_only_the_declared_answers_come_out(
    content: bytes, status: int, header: str | None, date: str | None
) -> None:
    """An exception out of the decoder ends the one coroutine that everybody depends on."""
    answer = Reply(status, content, header, date)
    for name, kinds in KINDS.items():
        read = getattr(DECODER, name)(answer)
        assert isinstance(read, kinds), name
        if isinstance(read, Created):
            assert 0 < len(read.task_id) <= 200
        elif isinstance(read, float):
            assert isfinite(read)
        elif isinstance(read, Refused):
            pickle.dumps(read.error)


def test_depth_makes_nothing_raise() -> None:
    """An answer nested just so deep that it can be parsed but not shown would end the pool."""
    depths = (1, 100, 101, 500, 900, 990, 1_000, 1_100, 1_500, 20_000)
    for (opened, closed), depth in product([("[", "]"), ('{"a":', "}")], depths):
        nested = opened * depth + "0" + closed * depth
        for body in (
            f'{{"errorId":{nested}}}',
            f'{{"errorId":1,"errorCode":{nested},"errorDescription":{nested}}}',
            f'{{"errorId":0,"status":{nested},"taskId":{nested},"balance":{nested}}}',
        ):
            for name, kinds in KINDS.items():
                assert isinstance(getattr(DECODER, name)(reply(body.encode())), kinds)

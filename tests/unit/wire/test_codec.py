"""Bytes and values: what is sent is exact, and no answer whatsoever makes the decoder raise."""

from __future__ import annotations

import copy
import json
import pickle
from math import inf, isfinite, nan
from typing import Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ezcaptcha_async._wire.codec import (
    MAX_RETRY_AFTER,
    Created,
    Decoder,
    Encoder,
    Processing,
    Ready,
    Refused,
    Unreadable,
    decode_solution,
    retry_delay,
)
from ezcaptcha_async.errors import (
    BannedError,
    CapacityError,
    CredentialError,
    InsufficientBalanceError,
    ProtocolError,
    ServiceError,
    TaskFailedError,
    TaskNotFoundError,
    ThrottledError,
)
from ezcaptcha_async.services import EZCAPTCHA, ONECAPTCHA
from ezcaptcha_async.solutions import (
    CloudFlare5SSolution,
    CloudFlareTurnstileSolution,
    CustomSolution,
    FuncaptchaSolution,
    HCaptchaSolution,
    ReCaptchaSolution,
    Receipt,
)
from ezcaptcha_async.tasks import CustomTask, ReCaptchaV2TaskProxyless
from ezcaptcha_async.transports import Reply, RequestBody

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


def test_bodies_are_values() -> None:
    """A retry could send something else than the first try."""
    assert Encoder(KEY).get_balance() == RequestBody(b'{"clientKey":"5ecret-key-0123456789"}')
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Encoder(KEY).get_balance().content = b""  # type: ignore[misc]


# ------------------------------------------------------------------ what an answer is


@pytest.mark.parametrize(
    ("task_id", "expected"),
    [
        ("77", "77"),
        (77, "77"),
        (0, "0"),
        (10**50, "1" + "0" * 50),
        ("a-b_c é", "a-b_c é"),
        ("x" * 200, "x" * 200),
    ],
)
@pytest.mark.parametrize("error_id", [0, "0"])
def test_a_task_id_as_text_or_number(task_id: Any, expected: str, error_id: Any) -> None:
    """A paid task would be taken for an unreadable answer, and its id lost."""
    body = {"errorId": error_id, "errorCode": None, "errorDescription": None, "taskId": task_id}
    assert DECODER.created(reply(body)) == Created(expected)
    assert DECODER.created(reply({"taskId": task_id})) == Created(expected)
    assert DECODER.created(reply(body, 500)) == Created(expected)


@pytest.mark.parametrize(
    "task_id", [None, True, False, "", 1.5, ["7"], {"id": 7}, "x" * 201, 10**201]
)
def test_no_task_id(task_id: Any) -> None:
    """`True` or a dict would be polled as an id; a megabyte of text be kept as one."""
    answer = DECODER.created(reply({"errorId": 0, "taskId": task_id}, 201))
    assert answer == Unreadable("$.taskId: expected an id", 201)
    assert DECODER.created(reply({"errorId": 0})) == Unreadable("$.taskId: expected an id", 200)


@pytest.mark.parametrize("status", ["processing", "queued", "", "READY?", None, 0, 1, ["ready"]])
@pytest.mark.parametrize("error_id", [0, "0", None])
def test_an_unknown_status_means_processing(status: Any, error_id: Any) -> None:
    """A word that the service adds tomorrow would end every wait for a paid task."""
    answer = DECODER.result(reply({"errorId": error_id, "status": status}))
    assert answer == Processing()


@pytest.mark.parametrize("solution", [{"token": "t"}, None, "text", 5, [1]])
@pytest.mark.parametrize("envelope", [{"errorId": 0}, {"errorId": "0"}, {}])
def test_ready(solution: Any, envelope: dict[str, Any]) -> None:
    """A solution would be lost, or judged where it hurts everybody."""
    body = {**envelope, "status": "ready", "solution": solution}
    assert DECODER.result(reply(body)) == Ready(solution)
    assert DECODER.result(reply({**envelope, "status": "ready"})) == Ready(None)


def test_the_usual_answer_is_known_again_and_nothing_else_is_taken_for_it() -> None:
    """It is judged by its bytes; one byte or one status more must be judged anew."""
    decoder = Decoder(EZCAPTCHA, [KEY])
    usual = {"errorId": 0, "status": "processing"}
    nameless = {"status": "processing"}
    for _ in range(3):
        assert decoder.result(reply(usual)) == Processing()
        assert decoder.result(reply({**usual, "status": "ready"})) == Ready(None)
        assert isinstance(decoder.result(reply({**usual, "errorId": 1})), Refused)
        assert decoder.result(reply(nameless)) == Processing()
        assert isinstance(decoder.result(reply(nameless, 500)), Unreadable)
        assert isinstance(decoder.created(reply(nameless)), Unreadable)


@pytest.mark.parametrize("error_id", [0, 1, "1", None])
@pytest.mark.parametrize("status", [200, 500])
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("ERROR_CAPTCHA_UNSOLVABLE", TaskFailedError),
        ("WORKER_LOST_ITS_BROWSER", TaskFailedError),
        ("ERROR_INTERNAL_SERVER_ERROR", TaskFailedError),
        ("ERROR_RECAPTCHA_INVALID_SITEKEY", TaskFailedError),
        (None, TaskFailedError),
        # These the service says of the request, whatever it says of the task.
        ("ERROR_TASK_NOT_EXIST", TaskNotFoundError),
        ("ERROR_KEY_NOT_AVAILABLE", CredentialError),
        ("ERROR_REQUEST_LIMIT", ThrottledError),
    ],
)
def test_a_task_that_failed(
    code: str | None, expected: type[ServiceError], error_id: Any, status: int
) -> None:
    """It would be polled ninety times, to the end of its five minutes, and be called lapsed."""
    body = {"status": "error", "errorCode": code, "errorDescription": "no luck"}
    if error_id is not None:
        body["errorId"] = error_id
    answer = DECODER.result(reply(body, status))
    assert isinstance(answer, Refused)
    assert type(answer.error) is expected
    assert answer.error.code == (code or "status error")
    assert answer.error.description == "no luck"
    assert answer.error.retryable is (expected not in {TaskNotFoundError, CredentialError})


def test_a_worker_s_code_on_http_429_is_a_throttle() -> None:
    """A firewall that answers for the service would end paid tasks."""
    body = {"errorId": 1, "status": "error", "errorCode": "SLOW_DOWN"}
    answer = DECODER.result(reply(body, 429))
    assert isinstance(answer, Refused)
    assert type(answer.error) is ThrottledError


def test_an_error_status_says_nothing_of_a_create() -> None:
    """Only a task that was created can fail."""
    answer = DECODER.created(reply({"errorId": 0, "status": "error", "taskId": "7"}))
    assert answer == Created("7")


@pytest.mark.parametrize(("given", "shown"), [("r-17", "r-17"), (17, "17"), (f"a{KEY}", "a***")])
def test_the_request_id_of_a_refusal(given: Any, shown: str) -> None:
    """The service's support asks for it, and nobody would have it."""
    error = refused({"errorId": 1, "errorCode": "ERROR_NEW", "requestId": given})
    assert error.request_id == shown
    assert str(error) == f"ERROR_NEW; request {shown}"
    assert copy.copy(error).request_id == pickle.loads(pickle.dumps(error)).request_id == shown


@pytest.mark.parametrize("given", [None, "", [], {}, True])
def test_no_request_id(given: Any) -> None:
    """What is none would be shown as one."""
    error = refused({"errorId": 1, "errorCode": "ERROR_NEW", "requestId": given})
    assert error.request_id is None or given is True
    assert given is True or str(error) == "ERROR_NEW"


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


@pytest.mark.parametrize("given", [None, [], "bad", 7])
def test_no_fields_at_fault(given: Any) -> None:
    """Whatever shape it has, it must not hide the code."""
    assert refused({"errorId": 1, "errorCode": "ERROR_NEW", "errors": given}).errors == {}


def test_neither_an_envelope_nor_a_status() -> None:
    """`{}` from a proxy would count as `processing`, which sets the token's expiry."""
    assert DECODER.result(reply({})) == Unreadable("$.status: missing", 200)
    assert DECODER.result(reply({"errorId": 0})) == Processing()


@pytest.mark.parametrize(("balance", "points"), [(12.5, 12.5), (0, 0), (-3, -3), ("12.5", 12.5)])
def test_balance(balance: Any, points: float) -> None:
    """A balance as text, or a debt, would be an error."""
    assert DECODER.balance(reply({"errorId": 0, "balance": balance})) == points
    assert DECODER.balance(reply({"balance": balance})) == points


@pytest.mark.parametrize(
    "balance", [None, "", "much", [], {}, nan, inf, "nan", "-inf", 10**400, True]
)
def test_no_balance(balance: Any) -> None:
    """NaN points would make every comparison with a budget false; `true` is not one point."""
    expected = Unreadable("$.balance: expected a number", 200)
    assert DECODER.balance(reply({"errorId": 0, "balance": balance})) == expected
    assert DECODER.balance(reply({"errorId": 0})) == expected


@pytest.mark.parametrize("status", [200, 400, 402, 500, 503])
@pytest.mark.parametrize("error_id", [1, "1", 7, -1])
@pytest.mark.parametrize(
    ("code", "error_class"),
    [
        ("ERROR_ZERO_BALANCE", InsufficientBalanceError),
        ("ERROR_KEY_DOES_NOT_EXIST", CredentialError),
        ("ERROR_IP_BANNED", BannedError),
        ("ERROR_REQUEST_LIMIT", ThrottledError),
        ("ERROR_NO_SLOT_AVAILABLE", CapacityError),
        ("ERROR_TASKID_INVALID", TaskNotFoundError),
        ("ERROR_CAPTCHA_UNSOLVABLE", TaskFailedError),
        ("ERROR_OF_TOMORROW", ServiceError),
    ],
)
def test_the_envelope_decides_before_the_status(
    code: str, error_class: type[ServiceError], error_id: Any, status: int
) -> None:
    """An error that comes with 200 would be taken for success, one with 500 for a fault."""
    error = refused({"errorId": error_id, "errorCode": code, "errorDescription": "why"}, status)
    assert type(error) is error_class
    assert (error.code, error.description, error.retry_after) == (code, "why", None)
    assert (error.task_id, error.ticket, error.may_be_charged) == (None, None, False)


@pytest.mark.parametrize("code", [None, ""])
def test_an_error_without_a_code(code: Any) -> None:
    """The message would be empty, with nothing to look up."""
    error = refused({"errorId": 12, "errorCode": code, "errorDescription": None})
    assert type(error) is ServiceError
    assert (error.code, error.description) == ("errorId 12", "")
    assert refused({"errorId": 12}).code == "errorId 12"


@pytest.mark.parametrize("code", [" ERROR_ZERO_BALANCE", "ERROR_ZERO_BALANCE\r\n"])
def test_white_space_around_a_code(code: str) -> None:
    """An empty account would be tried again and again because of a line end."""
    assert type(refused({"errorId": 1, "errorCode": code})) is InsufficientBalanceError


@pytest.mark.parametrize("text", [5, True, ["x"], {"a": "b"}])
def test_codes_and_descriptions_of_other_shapes(text: Any) -> None:
    """A number as errorCode would end the scheduler with an AttributeError."""
    error = refused({"errorId": 1, "errorCode": text, "errorDescription": text})
    assert (error.code, error.description) == (str(text), str(text))


@pytest.mark.parametrize("error_id", [0.0, False])
def test_other_spellings_of_no_error(error_id: Any) -> None:
    """A gateway that writes 0.0 or false would turn every paid answer into an error."""
    body = {"errorId": error_id, "taskId": "7", "status": "processing", "balance": 5}
    assert DECODER.created(reply(body)) == Created("7")
    assert DECODER.result(reply(body)) == Processing()
    assert DECODER.balance(reply(body)) == 5


@pytest.mark.parametrize("status", [200, 301, 404, 500, 502])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Bad gateway</html>",
        b"null",
        b"[]",
        b'"ready"',
        b"17",
        b'{"errorId":0',
        b'{"errorId":0}}',
        b"\xff\xfe\xfd",
        b'{"taskId": 1' + b"0" * 5_000 + b"}",
        b'{"taskId":' + b"[" * 200_000,
        b'{"a":' * 100_000,
    ],
    ids=lambda body: repr(body[:20]) if isinstance(body, bytes) else None,
)
def test_answers_that_mean_nothing(body: bytes, status: int) -> None:
    """A maintenance page would end the scheduler, and with it everybody's waits."""
    expected = Unreadable(f"HTTP {status} with no JSON object", status)
    for read in (DECODER.created, DECODER.result, DECODER.balance):
        assert read(reply(body, status)) == expected


@pytest.mark.parametrize("status", [300, 404, 500])
def test_a_bad_status_without_an_envelope(status: int) -> None:
    """A gateway's own JSON page with a taskId or a status would be taken for the service."""
    body = {"taskId": "7", "status": "ready", "balance": 5}
    expected = Unreadable(f"HTTP {status} with an object without errorId", status)
    for read in (DECODER.created, DECODER.result, DECODER.balance):
        assert read(reply(body, status)) == expected


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[]", b'{"message":"slow down"}'])
def test_http_429_is_a_throttle(body: bytes) -> None:
    """A proxy that throttles would be taken for a fault: nobody slows down."""
    error = refused(body, 429, retry_after="7")
    assert isinstance(error, ThrottledError)
    assert error.code == "HTTP 429"
    assert error.retry_after == 7


def test_http_429_with_a_good_envelope_is_good() -> None:
    """An answer that was paid for would be thrown away for its status."""
    assert DECODER.created(reply({"errorId": 0, "taskId": "7"}, 429)) == Created("7")


@pytest.mark.parametrize("code", ["ERROR_OF_TOMORROW", None])
def test_http_429_with_an_unknown_code_is_a_throttle(code: str | None) -> None:
    """A poll that was only throttled would end the wait for a paid task."""
    error = refused({"errorId": 1, "errorCode": code}, 429)
    assert isinstance(error, ThrottledError)


@pytest.mark.parametrize("text", ["two\nlines", "bell\a", "\x1b[2J", "tab\tbed", "\u2028", "\x00"])
def test_texts_are_one_line_for_people(text: str) -> None:
    """A service could write lines of its own into the log, or clear the terminal."""
    error = refused({"errorId": 1, "errorCode": text + "X", "errorDescription": text + "X"})
    assert str(error).isprintable()


# ---------------------------------------------------------------------- Retry-After


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0),
        ("7", 7),
        ("1.5", 1.5),
        (" 7 ", 7),
        ("120", 120),
        ("121", 120),
        ("1e300", 120),
        ("9" * 5_000, None),
        ("-1", None),
        ("inf", None),
        ("-inf", None),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30),
        ("Sun, 22 Nov 2026 14:00:30 +0200", 30),
        ("Sun, 22 Nov 2026 12:00:00 GMT", 0),
        ("Sun, 22 Nov 2026 11:59:59 GMT", None),
        ("Sun, 22 Nov 2099 12:00:00 GMT", MAX_RETRY_AFTER),
        ("Sun, 22 Nov 2026 12:00:30", None),
        ("Sun, 99 Nov 2026 12:00:30 GMT", None),
        ("Sun, 22 Nov 99999 12:00:30 GMT", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    """An account would stand still for years, or go on at once against the service's word."""
    assert retry_delay(reply(b"", 429, retry_after=header)) == seconds
    error = refused({"errorId": 1, "errorCode": "ERROR_REQUEST_LIMIT"}, retry_after=header)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("header", "seconds"), [("600", 600), ("3600", 3600), ("86400", 3600), ("5", 5), (None, None)]
)
def test_retry_after_of_a_ban(header: str | None, seconds: float | None) -> None:
    """A stated ban of ten minutes would be cut to two, and going on prolongs it."""
    error = refused({"errorId": 1, "errorCode": "ERROR_IP_BANNED"}, retry_after=header)
    assert isinstance(error, BannedError)
    assert error.retry_after == seconds


@pytest.mark.parametrize("date", [None, "", "today", "Sun, 22 Nov 2026 12:00:00"])
def test_a_retry_date_without_a_date_to_measure_it_against(date: str | None) -> None:
    """The wait would be measured against our own clock, which may be wrong by hours."""
    header = "Sun, 22 Nov 2026 12:00:30 GMT"
    assert retry_delay(reply(b"", 429, retry_after=header, date=date)) is None


@pytest.mark.parametrize(
    "text",
    [
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Mon, 01 Jan 2024 99999999999999999999:00:00 GMT",
        "Mon, 01 Jan 2024 00:00:00 +99999999999999999999",
        "Mon, 01 Jan 2024 00:00:00 -9999999999",
    ],
)
def test_dates_beyond_all_bounds(text: str) -> None:
    """One such header would raise OverflowError in the scheduler, and fail the whole pool."""
    assert retry_delay(reply(b"", 429, retry_after=text)) is None
    assert retry_delay(reply(b"", 429, retry_after=DATE, date=text)) is None


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


@given(headers, headers)
def test_no_header_makes_it_raise(header: str | None, date: str | None) -> None:
    """A header is whatever the other side likes; a fault in it must not end the pool."""
    seconds = retry_delay(reply(b"", 429, retry_after=header, date=date))
    assert seconds is None or 0 <= seconds <= MAX_RETRY_AFTER


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


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_depth_makes_nothing_raise(opened: str, closed: str) -> None:
    """An answer nested just so deep that it can be parsed but not shown would end the pool."""
    for depth in [*range(1, 1_200, 47), *range(1_200, 12_000, 661), 60_000, 200_000]:
        nested = opened * depth + "0" + closed * depth
        for body in (
            f'{{"errorId":{nested}}}',
            f'{{"errorId":1,"errorCode":{nested},"errorDescription":{nested}}}',
            f'{{"errorId":0,"status":{nested},"taskId":{nested},"balance":{nested}}}',
        ):
            for name, kinds in KINDS.items():
                assert isinstance(getattr(DECODER, name)(reply(body.encode())), kinds)


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_what_can_be_read_can_be_shown_and_kept(opened: str, closed: str) -> None:
    """A solution that can be neither printed nor saved would be paid for in vain."""

    def answer(depth: int) -> Processing | Ready | Refused | Unreadable:
        nested = opened * depth + "0" + closed * depth
        return DECODER.result(reply(f'{{"status":"ready","solution":{nested}}}'.encode()))

    read = answer(199)
    assert isinstance(read, Ready)
    assert repr(read.solution)
    assert json.loads(json.dumps(read.solution)) == copy.deepcopy(read.solution)
    assert pickle.loads(pickle.dumps(read.solution)) == read.solution
    assert isinstance(answer(200), Unreadable)


# -------------------------------------------------------------- what is in a solution

RECEIPT = Receipt(
    task_id="77",
    service="ezcaptcha",
    task_type="T",
    created_at=1_000.0,
    processing_at=None,
    ready_at=1_010.0,
    polls=1,
    points=6,
)


def decode(solution_type: Any, raw: Any) -> Any:
    """Decode with the receipt of all these tests, and check that the input stays as it was."""
    before = copy.deepcopy(raw)
    try:
        solution = decode_solution(solution_type, raw, receipt=RECEIPT, expires_at=1_120.0)
    finally:
        assert raw == before
    assert type(solution) is solution_type
    assert (solution.receipt, solution.expires_at) == (RECEIPT, 1_120.0)
    return solution


def test_a_recaptcha_solution() -> None:
    """The token would be lost, or what belongs to it be hidden among the extras."""
    least = decode(ReCaptchaSolution, {"gRecaptchaResponse": "token"})
    assert (least.token, least.extra) == ("token", {})
    assert (least.user_agent, least.sec_ch_ua, least.cookies) == (None, None, None)
    full = decode(
        ReCaptchaSolution,
        {
            "gRecaptchaResponse": "token",
            "user_agent": "Agent",
            "sec_ch_ua": "",
            "cookies": {"a": "b", "n": 1},
            "new": [1],
        },
    )
    assert (full.user_agent, full.sec_ch_ua) == ("Agent", "")
    assert full.cookies == {"a": "b", "n": "1"}
    assert full.extra == {"new": [1]}


def test_a_funcaptcha_solution() -> None:
    """The token would be lost, or a new key with it."""
    solution = decode(FuncaptchaSolution, {"token": "t", "gRecaptchaResponse": "other"})
    assert (solution.token, solution.extra) == ("t", {"gRecaptchaResponse": "other"})


def test_a_cloudflare_solution() -> None:
    """Headers are called `header` on the wire; nobody would get past the check without."""
    raw = {"header": {"a": "b"}, "cookies": {}, "body": "", "headers": {}}
    solution = decode(CloudFlare5SSolution, raw)
    assert (solution.headers, solution.cookies, solution.body) == ({"a": "b"}, {}, "")
    assert (solution.tls_version, solution.s_token) == (None, None)
    assert solution.extra == {"headers": {}}
    full = decode(CloudFlare5SSolution, {**CLOUDFLARE, "tlsVersion": "chrome149", "sToken": "t"})
    assert (full.body, full.tls_version, full.s_token) == ("page", "chrome149", "t")
    assert full.extra == {}


@pytest.mark.parametrize("body", [{}, {"body": None}, {"body": 1.5}, {"body": ["page"]}])
def test_headers_and_cookies_without_a_page_are_a_solution(body: dict[str, Any]) -> None:
    """What was paid for would be thrown away, for want of what nobody needs."""
    solution = decode(CloudFlare5SSolution, {"header": {"a": "b"}, "cookies": {"c": "d"}, **body})
    assert (solution.headers, solution.cookies, solution.body) == ({"a": "b"}, {"c": "d"}, "")
    assert solution.extra == body


def test_a_turnstile_solution() -> None:
    """The token would be lost, or the headers that belong to it."""
    solution = decode(CloudFlareTurnstileSolution, {"token": "t", "header": {"a": 1}, "new": 2})
    assert (solution.token, solution.headers, solution.extra) == ("t", {"a": "1"}, {"new": 2})


def test_an_hcaptcha_solution() -> None:
    """The token has a name of its own; a user agent that is not sent along spoils it."""
    raw = {"generated_pass_UUID": "t", "ua": "Agent", "lang": "en-US"}
    solution = decode(HCaptchaSolution, raw)
    assert (solution.token, solution.user_agent) == ("t", "Agent")
    assert solution.extra == {"lang": "en-US"}


@pytest.mark.parametrize("value", [None, [], 5, {"a": None}, {"a": {"b": "c"}}])
def test_a_token_is_kept_whatever_comes_with_it(value: Any) -> None:
    """A paid token would be thrown away because of a header."""
    solution = decode(CloudFlareTurnstileSolution, {"token": "t", "header": value})
    assert (solution.token, solution.headers, solution.extra) == ("t", None, {"header": value})
    solution = decode(HCaptchaSolution, {"generated_pass_UUID": "t", "ua": value})
    assert (solution.token, solution.user_agent, solution.extra) == ("t", None, {"ua": value})
    assert decode(CloudFlareTurnstileSolution, {"token": "t"}).headers is None
    assert decode(HCaptchaSolution, {"generated_pass_UUID": "t"}).user_agent is None


def test_a_custom_solution_keeps_everything() -> None:
    """A type that is newer than this library would be solved and its answer dropped."""
    raw = {"token": "t", "receipt": 1, "expires_at": 2, "extra": 3}
    assert decode(CustomSolution, raw).extra == raw
    assert decode(CustomSolution, {}).extra == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user_agent", 5),
        ("user_agent", None),
        ("sec_ch_ua", {"a": "b"}),
        ("cookies", "a=b"),
        ("cookies", [{"name": "a"}]),
        ("cookies", {"a": None}),
        ("cookies", {"a": {"b": "c"}}),
    ],
)
def test_a_misshapen_optional_part_is_kept(name: str, value: Any) -> None:
    """A paid token would be thrown away because of a user agent."""
    solution = decode(ReCaptchaSolution, {"gRecaptchaResponse": "token", name: value})
    assert solution.token == "token"
    assert getattr(solution, name) is None
    assert solution.extra == {name: value}


CLOUDFLARE = {"header": {"a": "b"}, "cookies": {"c": "d"}, "body": "page"}


@pytest.mark.parametrize(
    ("solution_type", "raw", "complaint"),
    [
        (ReCaptchaSolution, None, "$.solution: expected an object, got nothing"),
        (ReCaptchaSolution, "t", "$.solution: expected an object, got a string"),
        (ReCaptchaSolution, "", "$.solution: expected an object, got an empty string"),
        (CustomSolution, ["t"], "$.solution: expected an object, got an array"),
        (CustomSolution, True, "$.solution: expected an object, got a boolean"),
        (
            ReCaptchaSolution,
            {},
            "$.solution.gRecaptchaResponse: expected a non-empty string, got nothing",
        ),
        (
            ReCaptchaSolution,
            {"gRecaptchaResponse": ""},
            "$.solution.gRecaptchaResponse: expected a non-empty string, got an empty string",
        ),
        (
            ReCaptchaSolution,
            {"gRecaptchaResponse": {"token": "5ecret"}},
            "$.solution.gRecaptchaResponse: expected a non-empty string, got an object",
        ),
        (
            FuncaptchaSolution,
            {"token": 5},
            "$.solution.token: expected a non-empty string, got a number",
        ),
        (
            FuncaptchaSolution,
            {"token": False},
            "$.solution.token: expected a non-empty string, got a boolean",
        ),
        (
            CloudFlare5SSolution,
            {**CLOUDFLARE, "header": ["a"]},
            "$.solution.header: expected an object of strings, got an array",
        ),
        (
            CloudFlare5SSolution,
            {**CLOUDFLARE, "header": {"good": 1, "bad": None}},
            "$.solution.header['bad']: expected a string, got nothing",
        ),
        (
            CloudFlare5SSolution,
            {**CLOUDFLARE, "cookies": {"x": {"5ecret": 1}}},
            "$.solution.cookies['x']: expected a string, got an object",
        ),
        (
            CloudFlare5SSolution,
            {**CLOUDFLARE, "cookies": {"n" * 99: []}},
            f"$.solution.cookies['{'n' * 40}']: expected a string, got an array",
        ),
        (
            CloudFlare5SSolution,
            {"header": {}, "body": "page"},
            "$.solution.cookies: expected an object of strings, got nothing",
        ),
        (
            CloudFlareTurnstileSolution,
            {"header": {"a": "b"}},
            "$.solution.token: expected a non-empty string, got nothing",
        ),
        (
            HCaptchaSolution,
            {"token": "t", "generated_pass_UUID": ""},
            "$.solution.generated_pass_UUID: expected a non-empty string, got an empty string",
        ),
    ],
)
def test_a_missing_or_misshapen_part_is_named(solution_type: Any, raw: Any, complaint: str) -> None:
    """A dict would be handed out as a token, or the message not say what is wrong."""
    with pytest.raises(ProtocolError) as caught:
        decode(solution_type, raw)
    assert str(caught.value) == complaint
    assert caught.value.__cause__ is None


@given(
    st.sampled_from(
        [
            ReCaptchaSolution,
            FuncaptchaSolution,
            CloudFlare5SSolution,
            CloudFlareTurnstileSolution,
            HCaptchaSolution,
            CustomSolution,
        ]
    ),
    wild_values
    | st.fixed_dictionaries(
        {},
        optional={
            name: wild_values | st.text() | st.dictionaries(st.text(), st.text())
            for name in (
                *("gRecaptchaResponse", "token", "generated_pass_UUID", "header", "cookies"),
                *("body", "user_agent", "ua", "tlsVersion", "sToken"),
            )
        },
    ),
)
def test_a_solution_or_a_protocol_error(solution_type: Any, raw: Any) -> None:
    """A KeyError or a TypeError would reach the caller, without the ticket."""
    try:
        solution = decode_solution(solution_type, raw, receipt=RECEIPT, expires_at=0.0)
    except ProtocolError as error:
        assert error.message.startswith("$.solution")  # noqa: PT017 - either may come
        return
    known = {
        field.name
        for field in attrs.fields(solution_type)
        if field.name not in {"receipt", "expires_at", "extra"}
        and getattr(solution, field.name) not in (None, field.default)
    } | ({"body"} if raw.get("body") == "" and solution_type is CloudFlare5SSolution else set())
    assert len(known) + len(solution.extra) == len(raw), "a key was dropped"

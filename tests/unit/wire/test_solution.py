"""Solutions: whatever form they come in, the token is found, and nothing else is taken for one."""

from __future__ import annotations

import json
import pickle
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async._wire.decoding import Decoder, Ready
from ezcaptcha_async._wire.solution import decode_solution
from ezcaptcha_async.errors import ProtocolError
from ezcaptcha_async.services import EZCAPTCHA
from ezcaptcha_async.solutions import (
    CloudFlare5SSolution,
    CloudFlareTurnstileSolution,
    CustomSolution,
    FuncaptchaSolution,
    HCaptchaSolution,
    ReCaptchaSolution,
    Receipt,
)
from ezcaptcha_async.transports import Reply

from .test_codec import wild_values

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


def ready(raw: Any) -> Reply:
    """Return a ready answer with that solution."""
    return Reply(200, json.dumps({"errorId": 0, "status": "ready", "solution": raw}).encode())


def objects_in(value: Any) -> list[dict[str, Any]]:
    """Return all objects in a value, also those in its texts."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return [{"token": value}]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [item for part in inner for item in objects_in(part)]
    return [value, *found] if isinstance(value, dict) else found


def decode(solution_type: Any, raw: Any) -> Any:
    """Decode the solution of a ready answer, with the receipt of all these tests."""
    solution = decode_solution(solution_type, ready(raw), receipt=RECEIPT, expires_at=1_120.0)
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


def test_headers_and_cookies_without_a_page_are_a_solution() -> None:
    """What was paid for would be thrown away, for want of what nobody needs."""
    bodies: tuple[dict[str, Any], ...] = ({}, {"body": None}, {"body": 1.5}, {"body": ["page"]})
    for body in bodies:
        raw = {"header": {"a": "b"}, "cookies": {"c": "d"}, **body}
        solution = decode(CloudFlare5SSolution, raw)
        assert (solution.headers, solution.cookies) == ({"a": "b"}, {"c": "d"})
        assert (solution.body, solution.extra) == ("", body)


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


def test_a_token_is_kept_whatever_comes_with_it() -> None:
    """A paid token would be thrown away because of a header, a cookie or a user agent."""
    for name, value in (
        *(("user_agent", 5), ("user_agent", None), ("sec_ch_ua", {"a": "b"}), ("cookies", "a")),
        *(("cookies", "=b"), ("cookies", [{"name": "a"}]), ("cookies", {"a": None})),
        ("cookies", {"a": {"b": "c"}}),
    ):
        solution = decode(ReCaptchaSolution, {"gRecaptchaResponse": "token", name: value})
        assert (solution.token, getattr(solution, name)) == ("token", None)
        assert solution.extra == {name: value}
    for value in (None, [], 5, {"a": None}, {"a": {"b": "c"}}):
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


LONG = "03AGdBq25SxXT-pmSeBXjzScW"


@pytest.mark.parametrize(
    "solution_type",
    [ReCaptchaSolution, FuncaptchaSolution, CloudFlareTurnstileSolution, HCaptchaSolution],
)
def test_a_token_in_another_form(solution_type: Any) -> None:
    """A token that is plain to see would be thrown away for the name that it has."""
    for raw in (
        *({"token": LONG}, {"g-recaptcha-response": LONG}, {"GRecaptchaResponse": LONG}),
        *(LONG, f" {LONG}\n", json.dumps({"token": LONG}), json.dumps(LONG), [LONG]),
        *([{"token": LONG}], {"solution": {"token": LONG}}, {"data": json.dumps({"token": LONG})}),
        {"gRecaptchaResponse": "", "token": LONG},
        *([None, {}, {"token": LONG}], [{"token": LONG}, {"x": 1}], [LONG, LONG], f"\x00{LONG}"),
    ):
        assert decode(solution_type, raw).token == LONG, raw


def test_a_text_as_long_as_a_token_is_one_whatever_the_status_says() -> None:
    """It would be polled for to the end of its window."""
    answer = Reply(200, json.dumps({"status": "processing", "solution": LONG}).encode())
    assert isinstance(Decoder(EZCAPTCHA, []).result(answer, None, ReCaptchaSolution), Ready)


def test_a_token_beside_the_solution() -> None:
    """Some services have no object for it."""
    body = {"errorId": 0, "status": "ready", "solution": {}, "token": LONG, "user_agent": "A"}
    answer = Reply(200, json.dumps(body).encode())
    read = Decoder(EZCAPTCHA, []).result(answer, None, ReCaptchaSolution)
    assert isinstance(read, Ready)
    solution = decode_solution(ReCaptchaSolution, read.kept, receipt=RECEIPT, expires_at=0.0)
    assert (solution.token, solution.user_agent) == (LONG, "A")


@pytest.mark.parametrize(
    "cookies",
    [
        {"a": "b", "c": "d=e"},
        [{"name": "a", "value": "b", "path": "/"}, {"name": "c", "value": "d=e"}],
        "a=b; c=d=e;",
        '{"a": "b", "c": "d=e"}',
    ],
)
def test_cookies_in_another_form(cookies: Any) -> None:
    """What passed the check would be thrown away for the form that browsers have it in."""
    raw = {"headers": {"x": "y"}, "cookies": cookies}
    solution = decode(CloudFlare5SSolution, raw)
    assert solution.cookies == {"a": "b", "c": "d=e"}
    assert solution.headers == {"x": "y"}
    assert decode(ReCaptchaSolution, {"token": LONG, "cookies": cookies}).cookies is not None


CLOUDFLARE = {"header": {"a": "b"}, "cookies": {"c": "d"}, "body": "page"}


EXPECTED: dict[tuple[Any, str], list[tuple[Any, str]]] = {
    (ReCaptchaSolution, ": expected an object"): [
        *((None, "nothing"), ("no luck", "a string"), ("", "an empty string")),
    ],
    (CloudFlare5SSolution, ": expected an object"): [("t" * 99, "a string")],
    (CustomSolution, ": expected an object"): [
        *((["t"], "an array"), ([{"a": 1}, {"b": 2}], "an array"), (True, "a boolean")),
    ],
    (ReCaptchaSolution, ".gRecaptchaResponse: expected a non-empty string"): [
        *(({}, "nothing"), ({"gRecaptchaResponse": ""}, "an empty string")),
        ({"gRecaptchaResponse": {"5ecret": 5}}, "an object"),
    ],
    (FuncaptchaSolution, ".token: expected a non-empty string"): [
        *(({"token": 5}, "a number"), ({"token": False}, "a boolean")),
    ],
    (CloudFlareTurnstileSolution, ".token: expected a non-empty string"): [
        ({"header": {"a": "b"}}, "nothing"),
    ],
    (HCaptchaSolution, ".generated_pass_UUID: expected a non-empty string"): [
        ({"token": 5, "generated_pass_UUID": ""}, "an empty string"),
    ],
    (CloudFlare5SSolution, ".header: expected an object of strings"): [
        ({**CLOUDFLARE, "header": ["a"]}, "an array"),
    ],
    (CloudFlare5SSolution, ".header['bad']: expected a string"): [
        ({**CLOUDFLARE, "header": {"good": 1, "bad": None}}, "nothing"),
    ],
    (CloudFlare5SSolution, ".cookies: expected an object of strings"): [
        ({"header": {}, "body": "page"}, "nothing"),
    ],
    (CloudFlare5SSolution, ".cookies['x']: expected a string"): [
        ({**CLOUDFLARE, "cookies": {"x": {"5ecret": 1}}}, "an object"),
    ],
    (CloudFlare5SSolution, f".cookies['{'n' * 40}']: expected a string"): [
        ({**CLOUDFLARE, "cookies": {"n" * 99: []}}, "an array"),
    ],
}


def test_a_missing_or_misshapen_part_is_named() -> None:
    """A dict would be handed out as a token, or the message not say what is wrong."""
    for (solution_type, expected), cases in EXPECTED.items():
        for raw, got in cases:
            with pytest.raises(ProtocolError) as caught:
                decode(solution_type, raw)
            error = caught.value
            assert str(error) == f"$.solution{expected}, got {got}"
            assert error.__cause__ is error.__context__ is None
            whole = {"errorId": 0, "status": "ready", "solution": raw}
            assert error.payload == pickle.loads(pickle.dumps(error)).payload == (raw or whole)


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
        solution = decode_solution(solution_type, ready(raw), receipt=RECEIPT, expires_at=0.0)
    except ProtocolError as error:
        assert error.message.startswith("$.solution")  # noqa: PT017 - either may come
        assert not raw or error.payload == raw  # noqa: PT017
        return
    fields = {field.name for field in attrs.fields(solution_type)}
    known = sum(
        getattr(solution, name) is not None for name in fields - {"receipt", "expires_at", "extra"}
    )
    # The page of a Cloudflare check is a text also where there is none.
    known -= solution_type is CloudFlare5SSolution and solution.body == ""
    assert any(
        all(name in item for name in solution.extra)
        and len(item) - len(solution.extra) in {known, known + 1}
        for item in objects_in(raw)
    ), "a key was dropped"

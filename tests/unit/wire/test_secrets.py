"""What is secret of a task, by its fields' names and looks, and that no answer repeats it."""

from __future__ import annotations

import json
import sys
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from html import escape
from itertools import product
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async._wire.decoding import Decoder, Refused
from ezcaptcha_async._wire.encoding import Encoder
from ezcaptcha_async._wire.scrubbing import Secrets, cleaned
from ezcaptcha_async._wire.secrets import secrets_in, spellings
from ezcaptcha_async.errors import ServiceError, ThrottledError
from ezcaptcha_async.services import EZCAPTCHA
from ezcaptcha_async.tasks import CloudFlare5STask, CustomTask, ReCaptchaV2TaskProxyless, Task
from ezcaptcha_async.transports import Reply

HIDDEN = "canary-93ab"
KEY = "5ecret-key-0123456789"
PAGE = "https://example.com"
DECODER = Decoder(EZCAPTCHA, [KEY])


def refused(
    code: str, text: object = "", task: Task[Any] | None = None, decoder: Decoder = DECODER
) -> ServiceError:
    """Read a refusal, as an answer to createTask and to getTaskResult; return its error."""
    body = {"errorId": 1, "errorCode": code, "errorDescription": text}
    reply = Reply(200, json.dumps(body).encode())
    answers = decoder.created(reply, task), decoder.result(reply, task)
    errors = [answer.error for answer in answers if isinstance(answer, Refused)]
    assert repr(errors[0]) == repr(errors[1])
    return errors[0]


def found_in(fields: dict[str, Any]) -> tuple[str, ...]:
    """Return what is secret among the fields of a task, longest first."""
    return spellings(secrets_in(fields))


# -------------------------------------------------------------------- what is secret


def test_a_field_whose_name_says_so_is_secret() -> None:
    """A service that repeats the request in an error would write it into every log."""
    forms = (HIDDEN, [HIDDEN], {"name": HIDDEN}, [{"deep": [[HIDDEN]]}], f"sid=1; id={HIDDEN}")
    names = """
        proxyPassword proxyLogin password PASSWORD passwd pass Auth pwd passphrase secret
        clientSecret accessToken csrf_token cookies Cookie credentials login userName
        proxy_username sessionId Authorization apiKey api_key X-Api-Key clientKey privateKey
    """
    for name, value in product(names.split(), forms):
        assert HIDDEN in found_in({name: value}), (name, value)
        assert HIDDEN in found_in({"outer": [{name: value}]}), (name, value)


def test_other_fields_are_not() -> None:
    """The text of an error would lose what it is about."""
    names = "websiteURL websiteKey siteKey userAgent pageAction sa data proxyType passive author"
    for name in names.split():
        fields = {name: "https://example.com/login", "other": [True, None, 5, "en"]}
        assert found_in(fields) == (), name
    # Only a field of a proxy has its forms.
    assert found_in({"time": "10:20:30:40", "mail": "somebody@example.com"}) == ()


PROXIES = {
    "http://user:pass@h:1": {"user:pass", "pass"},
    "http://user@h:1": {"user"},
    "user:pass@h:1": {"user:pass", "pass"},
    "user:p@ss@h": {"user:p@ss", "p@ss"},
    "h:1:user:pass": {"user:pass", "pass"},
    "user:pass:h:1": {"user:pass", "pass", "h:1", "1"},
    "socks5:h:1:user:pass": {"user:pass", "pass"},
    # As it is written, as a URL has it, and what either is without escapes.
    "http://h:1:user:p@ss": {
        *("h:1:user:p", "1:user:p", "user:p%40ss", "p%40ss", "user:p@ss", "p@ss")
    },
    "h:80:user:p%41ss": {
        *("user:p%41ss", "p%41ss", "user:pAss", "pAss", "user:p%2541ss", "p%2541ss")
    },
    "user:1234:h:80": {"user:1234", "1234", "h:80", "80"},
    **{proxy: set[str]() for proxy in ("h:1", "http://h:1", "http://@h:1")},
}


def test_the_credentials_of_a_proxy_in_every_form() -> None:
    """Lists of proxies come in many forms, and all of them hold passwords."""
    for proxy, secrets in PROXIES.items():
        assert set(found_in({"proxy": proxy})) == secrets, proxy


def test_short_parts_of_a_secret_are_not_looked_for() -> None:
    """The path of a cookie would take every slash out of a message."""
    cookie = {"name": "id", "value": HIDDEN, "path": "/", "secure": True, "port": 80}
    assert found_in({"cookies": [cookie]}) == (HIDDEN,)
    assert found_in({"cookies": "a=1; b"}) == ("a=1; b",)
    # What is short as a whole is secret all the same.
    assert found_in({"password": "abc", "pin": 1, "passwordNumber": 77}) == ("abc", "77")
    assert found_in({"password": "", "token": None, "cookies": []}) == ()


def test_a_deep_task_is_searched_to_its_end() -> None:
    """What a user nests deeply would end the pool by an error of recursion."""
    fields: dict[str, Any] = {"password": HIDDEN}
    for _ in range(5_000):
        fields = {"deeper": [fields]}
    assert found_in(fields) == (HIDDEN,)


# ----------------------------------------------------------------- what is taken out


def test_what_holds_secrets_shows_none() -> None:
    """A traceback with locals, or a debug log, would give key, proxy and tokens away."""
    encoder = Encoder(KEY)
    task = CloudFlare5STask(website_url=PAGE, proxy="http://user:5ecret@proxy.example.com:8080")
    body = encoder.create_task(task, None)
    assert b"5ecret" in body.content
    answer = Reply(200, b'{"errorId":0,"status":"ready","solution":{"token":"5ecret"}}')
    assert repr(body) == f"<RequestBody of {len(body.content)} bytes>"
    assert repr(encoder) == "<Encoder>"
    assert repr(answer) == f"<Reply 200, {len(answer.body)} bytes>"
    assert repr(DECODER) == "<Decoder of ezcaptcha>"
    assert repr(DECODER.result(answer)) == "<Ready>"
    assert not hasattr(encoder, "__dict__")


def test_the_key_is_taken_out_of_what_the_service_says() -> None:
    """Some services repeat the key in their descriptions; it would land in every log."""
    error = refused(f"ERROR_{KEY}", f"key {KEY}{KEY} is not {KEY}")
    assert error.code == "ERROR_***"
    assert error.description == "key ****** is not ***"


def test_credentials_are_taken_out_without_the_task() -> None:
    """After a resume nobody knows the task; a service that names the proxy would show it."""
    for written in (
        *("http://user:pa55pa55", "http://us@pa55:pa55", "http://user:pa55@pa55"),
        "user:pa55pa55",
    ):
        text = f"cannot reach {written}@proxy.example.com:8080."
        description = refused("ERROR_PROXY", text).description
        assert "pa55" not in description
        assert description.endswith("***@proxy.example.com:8080.")


def test_a_password_is_taken_out_wherever_a_task_has_it() -> None:
    """A service that repeats what it was sent would show it."""
    password = "pa55@pa55"
    proxy = f"http://user:{password}@proxy.example.com:8080"
    tasks: list[Task[Any]] = [
        CloudFlare5STask(website_url=PAGE, proxy=proxy),
        CustomTask("NewTask", {"deep": [{"proxy": proxy}]}),
        ReCaptchaV2TaskProxyless(website_url=PAGE, website_key="k", extra={"otherProxy": proxy}),
        ReCaptchaV2TaskProxyless(website_url=f"https://user:{password}@a.com/", website_key="k"),
    ]
    for form, task in product((password, proxy, f"user:{password}", f"<{password}>"), tasks):
        error = refused(f"wrong: {form}, {form}", f"wrong: {form}", task)
        assert "pa55" not in str(error), (form, task)
        assert "***" in error.code, (form, task)
        assert "***" in error.description, (form, task)


def test_a_task_without_a_password_changes_nothing() -> None:
    """Every character of a message would be taken for an empty password."""
    for proxy in ("socks5://10.0.0.1:1080", "http://@10.0.0.1:80", "h:1", ""):
        error = refused("ERROR_X", "no reason", CustomTask("NewTask", {"proxy": proxy}))
        assert (error.code, error.description) == ("ERROR_X", "no reason")


def test_what_a_code_means_does_not_depend_on_the_secrets() -> None:
    """A password that occurs in a code would turn a throttle into the end of a paid task."""
    for secret in ("E", "_", "ERROR", "LIMIT", "REQUEST"):
        task = CloudFlare5STask(website_url=PAGE, proxy=f"http://user:{secret}@proxy.example:80")
        for decoder in (DECODER, Decoder(EZCAPTCHA, [secret])):
            error = refused("ERROR_REQUEST_LIMIT", task=task, decoder=decoder)
            assert isinstance(error, ThrottledError)


def test_a_code_that_is_known_by_its_beginning_is_cleaned() -> None:
    """The key would stand in the log of whoever is throttled."""
    for code in (
        *("ERROR_RATE_LIMIT_{}", "THROTTLED_FOR_{}", "TOO_MANY_REQUESTS for key {}"),
        *("ERROR_TOO_MUCH_REQUESTS_{}", "requests too fast {}"),
    ):
        error = refused(code.format(KEY))
        assert type(error) is ThrottledError
        assert error.code == code.format("***")
        assert KEY not in repr(error)


def test_long_texts_are_cut_after_the_secret_was_taken_out() -> None:
    """Half of a key at the place of the cut would be no longer recognised as one."""
    for filler in range(270, 310):
        text = DECODER.scrubber.scrub("x" * filler + KEY + "y" * 100)
        assert "5ecret" not in text
        assert len(text) <= 301
        assert text.endswith("…")
    assert DECODER.scrubber.scrub("x" * 300) == "x" * 300
    assert refused("", "d" * 9_999).description == "d" * 300 + "…"


@pytest.mark.parametrize("number", [1_000, 20_000])
def test_a_task_with_thousands_of_secrets_is_not_looked_through_for_long(number: int) -> None:
    """To find them all in every spelling would hold the event loop for half a second a refusal."""
    task = CustomTask("T", {"cookies": [f"s{item:04x}%41" for item in range(number)]})
    calls = 0

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    decoder = Decoder(EZCAPTCHA, [KEY])
    sys.setprofile(count)
    try:
        error = refused("ERROR_REQUEST_PROXY_MISSING", "no s0001A for you", task, decoder)
    finally:
        sys.setprofile(None)
    assert calls < 100_000
    assert (error.code, error.request_id) == ("ERROR_REQUEST_PROXY_MISSING", None)
    assert "s0001" not in str(error)
    shown = "not shown, for the task holds too many secrets to look for them"
    assert error.description == (shown if number > 2_000 else "no *** for you")
    assert refused("ERROR_REQUEST_PROXY_MISSING", "", task, decoder).description == ""


def test_a_secret_that_a_long_text_is_cut_in_is_taken_out() -> None:
    """Half of a key would show at the end of a description that repeats it a thousand times."""
    key = "0123456789abcdefghij"
    decoder = Decoder(EZCAPTCHA, [key])
    for shift in range(len(key)):
        said = decoder.scrubber.scrub("-" * shift + key * 1_000)
        assert len(said) <= 301
        assert not any(key[start : start + 4] in said for start in range(len(key) - 3))


ODD = 'p@ss-s3cret9/"w\u00f6rd\\ +&%<\U0001f511'
ESCAPES: dict[str, Callable[[str], str]] = {
    "url": lambda text: quote(text, safe=""),
    "url-path": quote,
    "form": quote_plus,
    "small": lambda text: quote(text, safe="").lower(),
    "twice": lambda text: quote(quote(text, safe=""), safe=""),
    "json": lambda text: json.dumps(text)[1:-1],
    "json-utf-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json-slash": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json-twice": lambda text: json.dumps(json.dumps(text))[3:-3],
    "json-of-url": lambda text: json.dumps(quote(text))[1:-1],
    "html": escape,
    "html-numbers": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "html-hex": lambda text: "".join(f"&#x{ord(char):x};" for char in text),
    "all-percent": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "upper case": str.upper,
    "upper case of url": lambda text: quote(text, safe="").upper(),
    "broken into lines": lambda text: "\r\n  ".join(text[at : at + 5] for at in range(0, 30, 5)),
    "what is not seen": "\u200b".join,
    "of a program": lambda text: "".join(f"\\x{ord(char):02x}" for char in text[:12]) + text[12:],
    "of a script": lambda text: "".join(f"%u{ord(char):04x}" for char in text[:12]) + text[12:],
    "html-open": lambda text: "".join(f"&#{ord(char)}" for char in text),
    "hex": lambda text: text.encode().hex(),
    "base64": lambda text: b64encode(text.encode()).decode(),
    "base64 of url": lambda text: urlsafe_b64encode(f"{text}~".encode()).decode(),
    "basic": lambda text: f"Basic {b64encode(f'me:{text}'.encode()).decode()}",
    "within base64": lambda text: b64encode(f"user:{text}:{text}".encode()).decode(),
}


@pytest.mark.parametrize("secret", [ODD, "p@ss-s3cret9", "p%40ss-s3cret9", "me:p@ss-s3cret9"])
def test_a_secret_is_taken_out_however_it_is_spelled(secret: str) -> None:
    """A part of a password, such as what follows its @, would be left in the log."""
    task = CustomTask("NewTask", {"proxyPassword": secret})
    arounds = ("{}", "http://me:{}@proxy:80", "x={};y", "{}{}")
    for spell, around in product(ESCAPES, arounds):
        spelled = ESCAPES[spell](secret)
        said = DECODER.scrubber.scrub(around.format(spelled, spelled), task)
        assert "***" in said, (spell, around)
        assert spelled[8:16] not in said, (spell, around)
        for piece in ("s3cret", "p@ss", "p%40ss", "w\u00f6rd"):
            assert piece not in said.lower(), (spell, around)


def test_secrets_that_overlap_go_together() -> None:
    """What is left of the longer one would be shown, where a shorter one begins before it."""
    decoder = Decoder(EZCAPTCHA, ["bcdefgh", "abc", "ghij"])
    assert decoder.scrubber.scrub("x abcdefghij y abc bcdefgh") == "x *** y *** ***"


def test_what_is_no_escape_stays_as_it_is() -> None:
    """A message would lose what it is about."""
    for text in ("100%", "5 %zz", "a\\qb", "&nosuch;", "a+b", "\\u12", "&#1114112;", "%C3%28"):
        assert DECODER.scrubber.scrub(text) == text
        assert DECODER.scrubber.scrub(f"{text} {KEY}") == f"{text} ***"


def test_the_secrets_of_a_task_are_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One refusal with forty texts would hold up the event loop for most of a second."""
    found: list[object] = []

    def find(task: Task[Any] | None) -> tuple[str, ...]:
        found.append(task)
        return ("5ecret",)

    monkeypatch.setattr("ezcaptcha_async._wire.scrubbing.secrets_of", find)
    decoder = Decoder(EZCAPTCHA, [KEY])
    one, other = CustomTask("A", {}), CustomTask("B", {})
    for task in (one, one, other, None):
        assert decoder.scrubber.scrub(f"5ecret {KEY}", task) == "*** ***"
    assert found == [one, other, None]


def test_an_id_holds_no_secret_but_by_chance() -> None:
    """The key would stand in every journal and ticket; but a paid task must not be lost either."""
    task = CustomTask("NewTask", {"proxyPassword": "12"})
    sent = Encoder(KEY).create_task(task, None)
    assert DECODER.scrubber.repeats_secret(f"id-{quote(KEY)}", task, sent)
    encodings = (KEY.upper(), KEY.encode().hex(), b64encode(f"id:{KEY}".encode()).decode())
    for encoded, before in product(encodings, range(9)):
        assert DECODER.scrubber.repeats_secret("-" * before + encoded, task, sent), encoded
    for spelled in ("%{:02x}", "&#{};", "\\u{:04x}"):
        escaped = "".join(spelled.format(ord(char)) for char in KEY)
        assert DECODER.scrubber.repeats_secret(f"id-{escaped}", task, sent), escaped
    assert not DECODER.scrubber.repeats_secret("1234-12", task, sent)
    assert not DECODER.scrubber.repeats_secret("NewTask-12-proxyPassword", task, sent)
    assert repr(Secrets(["12"])) == "<Secrets>"


secrets = st.text("0123456789abcdef", min_size=8, max_size=40)


@given(secrets, st.lists(st.text(max_size=20), min_size=1, max_size=6), st.booleans())
def test_no_secret_comes_through(secret: str, pieces: list[str], doubled: bool) -> None:  # noqa: FBT001
    """Wherever and however often the key is repeated, it would be shown."""
    text = (secret * (1 + doubled)).join(pieces)
    error = refused(text, [text, {text: text}], decoder=Decoder(EZCAPTCHA, [secret]))
    assert secret not in f"{error} {error!r} {error.code} {error.description}"
    assert len(error.code) <= 301
    assert len(error.description) <= 301


# --------------------------------------------------------- what was paid for, in another form


def test_a_payload_loses_what_was_sent() -> None:
    """It is kept and pickled as it is, and a service may repeat what it got, in a long page too."""
    secret = "p\u00fcss/w0rd"
    in_json, known = json.dumps(secret)[1:-1], Secrets([secret])
    assert list(known) == [secret]
    spellings = (secret, in_json, in_json.replace("/", "\\/"), quote(secret))
    for spelled, fill in product(spellings, ("", "-" * 30_000)):
        payload = {"page": [f"{fill}{spelled}{fill}", 7, None], spelled: {"x": f"{fill}ok"}}
        shown = cleaned(payload, known)
        assert shown == {"page": [f"{fill}***{fill}", 7, None], "***": {"x": f"{fill}ok"}}, spelled


def test_a_payload_loses_the_credentials_in_a_url() -> None:
    """Those of another task are not known where this one is read."""
    assert cleaned("by http://u:pw@proxy.example:80 .") == "by http://***@proxy.example:80 ."

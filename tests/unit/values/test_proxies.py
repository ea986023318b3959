"""Proxies: taken as people write them, kept in one form, sent as the type wants it, never shown."""

from __future__ import annotations

import copy
import pickle
import traceback
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import attrs
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import ezcaptcha_async
from ezcaptcha_async._checks.proxies import credentials_last, is_at_private_address, read_proxy
from ezcaptcha_async._wire.encoding import task_fields
from ezcaptcha_async._wire.secrets import secrets_of
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.tasks import (
    CloudFlare5STask,
    CloudFlareTurnstileTask,
    FuncaptchaTaskProxyless,
    HCaptcha,
    ReCaptchaV2TaskProxyless,
    ReCaptchaV3TaskProxyless,
    Task,
    proxy_of,
)

PAGE: dict[str, Any] = {"website_url": "https://example.com/", "website_key": "6Lc-key"}
PROXY = "http://user:pa55word@proxy.example.com:8080"
FOLDER = str(Path(ezcaptcha_async.__file__).parent)

Make = Callable[[Any], Task[Any]]

MAKERS: dict[str, Make] = {
    "v2": lambda proxy: ReCaptchaV2TaskProxyless(**PAGE, proxy=proxy),
    "v3": lambda proxy: ReCaptchaV3TaskProxyless(**PAGE, proxy=proxy),
    "turnstile": lambda proxy: CloudFlareTurnstileTask(**PAGE, proxy=proxy),
    "hcaptcha": lambda proxy: HCaptcha(**PAGE, proxy=proxy),
    "fun": lambda proxy: FuncaptchaTaskProxyless(**PAGE, proxy=proxy),
    "cloudflare": lambda proxy: CloudFlare5STask(website_url="https://example.com", proxy=proxy),
}
each_type = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def told_by(error: ConfigurationError) -> str:
    """Return all that an error, its chain and the variables of this library's frames show."""
    assert error.__cause__ is None
    assert error.__context__ is None
    shown = [str(error), repr(error), repr(error.args)]
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename.startswith(FOLDER):
            shown += map(repr, frame.f_locals.values())
    return "\n".join(shown)


# ---------------------------------------------------------------------- ways to write one


@each_type
def test_one_proxy_in_all_its_spellings(make: Make) -> None:
    """A list that a provider hands out would have to be rewritten line by line."""
    for written in (
        PROXY,
        f"{PROXY}/",
        "HTTP://user:pa55word@Proxy.Example.COM:08080",
        "user:pa55word@proxy.example.com:8080",
        "proxy.example.com:8080:user:pa55word",
        "http://proxy.example.com:8080:user:pa55word",
    ):
        task = make(written)
        assert proxy_of(task) == PROXY, written
        assert task == make(PROXY)
        assert hash(task) == hash(make(PROXY))
        assert pickle.loads(pickle.dumps(task)) == copy.copy(task) == attrs.evolve(task) == task


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("socks5://user:pa55word@1.2.3.4:1080", "socks5://user:pa55word@1.2.3.4:1080"),
        ("https://h:1:user:pa55word", "https://user:pa55word@h:1"),
        ("http://user:pa55@[2001:DB8::1]:80", "http://user:pa55@[2001:db8::1]:80"),
        ("[2001:db8::1]:80:user:pa55", "http://user:pa55@[2001:db8::1]:80"),
        # What a URL cannot hold is escaped, what is escaped stays so.
        ("http://us@er:pa55@h:1", "http://us%40er:pa55@h:1"),
        ("http://user:pa55@word@h:1", "http://user:pa55%40word@h:1"),
        ("http://user:pa:55@h:1", "http://user:pa%3A55@h:1"),
        ("http://user:8080/pa55?#@h:1", "http://user:8080%2Fpa55%3F%23@h:1"),
        ("http://user:pa55wörd@h:1", "http://user:pa55w%C3%B6rd@h:1"),
        ("http://user:pa%2f%3A55%@h:1", "http://user:pa%2f%3A55%25@h:1"),
        ("http://user:p!$&'()*+,;=-._~@h:1", "http://user:p!$&'()*+,;=-._~@h:1"),
        ("user:\ud800@h:1", "http://user:%ED%A0%80@h:1"),
        # Behind the port there are no escapes.
        ("h:1:me@example.com:pa%4155", "http://me%40example.com:pa%254155@h:1"),
        ("h:1:user:pa@55/?#", "http://user:pa%4055%2F%3F%23@h:1"),
    ],
)
def test_the_form_in_which_a_proxy_is_kept(written: str, kept: str) -> None:
    """A password with a colon or an at sign would be cut in two by whoever reads it."""
    task = ReCaptchaV2TaskProxyless(**PAGE, proxy=written)
    assert task.proxy == kept
    assert task_fields(task, None)["proxy"] == kept
    assert attrs.evolve(task, website_key="other").proxy == kept, "it is read once more"


plain = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=12
)
schemes = st.sampled_from(["http", "https", "socks5"])
hosts = st.from_regex(r"[a-z][a-z0-9_-]{0,9}(\.[a-z]{2,5}){0,2}", fullmatch=True) | st.ip_addresses(
    v=4
).map(str)
ports = st.integers(1, 65_535)


def in_url(text: str) -> str:
    """Escape what a URL cannot hold, and no more."""
    return quote(text, safe="!$&'()*+,;=")


@given(schemes, plain, plain, hosts, ports)
@example("http", "http", "user", "h", 1)
def test_every_spelling_becomes_the_same(
    scheme: str, user: str, password: str, host: str, port: int
) -> None:
    """Two lines of two lists would be two proxies, or a strange password be changed on its way."""
    assume(user.lower() not in {"http", "https", "socks5"})
    kept = f"{scheme}://{in_url(user)}:{in_url(password)}@{host}:{port}"
    assert read_proxy(kept) == (kept, "")
    spellings = [f"{kept}/", kept.replace(scheme, scheme.upper(), 1)]
    if scheme == "http":
        spellings.append(kept.removeprefix("http://"))
    for spelling in spellings:
        assert read_proxy(spelling) == (kept, "")
    parts = urlsplit(kept)  # another's reading of it
    assert (unquote(parts.username or ""), unquote(parts.password or "")) == (user, password)
    assert (parts.scheme, parts.hostname, parts.port) == (scheme, host, port)
    behind = f"{scheme}://{host}:{port}:{user}:{password}"
    if ":" not in user + password:
        found, problem = read_proxy(behind)
        assert found == kept or ("@" in user and "one meaning" in problem)


@given(schemes, plain, plain, hosts, ports)
@example("http", "me@example.com", "12345", "h", 1)
@example("http", "us:er", "word", "h", 1)
@example("http", "user", "wo\u3000rd", "h", 1)
def test_funcaptchas_spelling_comes_back_as_it_went(
    scheme: str, user: str, password: str, host: str, port: int
) -> None:
    """It has no escapes: what it cannot say must not be sent, and all else not be changed."""
    kept = f"{scheme}://{in_url(user)}:{in_url(password)}@{host}:{port}"
    assume(not read_proxy(kept)[1])
    written = credentials_last(kept)
    if written:
        assert written == f"{scheme}://{host}:{port}:{user}:{password}"
        assert read_proxy(written) == (kept, "")
        task = FuncaptchaTaskProxyless(**PAGE, proxy=kept)
        assert task_fields(task, None)["proxy"] == written
        assert FuncaptchaTaskProxyless(**PAGE, proxy=written) == task
    else:
        assert any(char in ":@" or char.isspace() for char in user + password)


@pytest.mark.parametrize("password", ["pa55%3A", "pa55:", "pa55%20x", "pa55%0A", "pa55%FF"])
def test_what_funcaptchas_spelling_cannot_say_is_refused(password: str) -> None:
    """The service would try half of the password, and charge for it."""
    proxy = f"http://user:{password}@h.example:1"
    assert ReCaptchaV2TaskProxyless(**PAGE, proxy=proxy).proxy
    with pytest.raises(ConfigurationError, match=r"^proxy must be one .*: no colon") as caught:
        FuncaptchaTaskProxyless(**PAGE, proxy=proxy)
    assert "pa55" not in told_by(caught.value)


# --------------------------------------------------------------------------- what is wrong


@each_type
def test_a_proxy_without_credentials_is_refused(make: Make) -> None:
    """The service would refuse it, at the latest when the task is paid for."""
    expected = r"^proxy must have a user and a password.*: http://user:password@host:port"
    for before in ("http://", "", "http://user@", "http://user:@", "socks5://:pa55word@"):
        with pytest.raises(ConfigurationError, match=expected) as found:
            make(f"{before}proxy.example.com:8080")
        assert "pa55" not in told_by(found.value)
        assert "proxy.example" not in told_by(found.value)


WITHOUT_BLANKS = """
    http://user:pa55word@h http://user:pa55word@h:0 http://user:pa55word@h:99999
    http://user:pa55word@h:80x http://user:pa55word@:8080 http://user:pa55word@h:1/path
    http://user:pa55word@[proxy:8080 http://user:pa55word@[1.2.3.4]:8080
    http://user:pa55word@[::1%eth0]:8080 http://user:pa55word@[1:2]:8080
    ftp://user:pa55word@proxy.example.com:8080 socks4://user:pa55word@proxy.example.com:8080
    http:/user:pa55word@proxy.example.com:8080 HTTP:user:pa55word@proxy.example.com:8080
    //user:pa55word@proxy.example.com:8080 ://user:pa55word@proxy.example.com:8080
    h:1:user:pa55:word user:pa55word:h.example:1
"""
NO_PROXIES: Final = (
    *(5, b"http://user:pa55word@h:1", ["http://user:pa55word@h:1"], ""),
    "http://user:pa55word@prox\u00ff.example.com:8080",
    "http://user:pa55word@localho\u017ft:8080",
    "http://user:pa55word @proxy.example.com:8080",
    "http://user:pa55word@proxy.example.com:8080\n",
    *WITHOUT_BLANKS.split(),
    # Each could be a user and a password before a host, or behind a port.
    *("http://user:8080:pa55word@h:80", "h:8080:me@pa55.example:12345"),
)


@each_type
def test_what_is_no_proxy_is_named_and_never_shown(make: Make) -> None:
    """A bad line of a list would be paid for, or leak a password into a log."""
    bad: Any
    for bad in NO_PROXIES:
        with pytest.raises(ConfigurationError, match=r"^proxy must ") as caught:
            make(bad)
        assert "pa55" not in told_by(caught.value)


def test_the_cloudflare_check_needs_a_proxy() -> None:
    """Without one the service refuses the task."""
    with pytest.raises(ConfigurationError, match=r"^proxy must be a str, not NoneType"):
        CloudFlare5STask(website_url="https://example.com", proxy=None)  # type: ignore[arg-type]
    assert proxy_of(ReCaptchaV2TaskProxyless(**PAGE)) is None
    assert proxy_of(Task[Any]()) is None


@pytest.mark.parametrize("make", [MAKERS["v2"], MAKERS["fun"]])
@given(before=st.text(max_size=8), after=st.text(max_size=8), form=st.integers(0, 4))
@example(before="", after=":", form=1)
@example(before="\ud800", after="@", form=0)
def test_no_text_makes_a_proxy_crash_or_leak(
    make: Make, before: str, after: str, form: int
) -> None:
    """A strange password would end in a ValueError of the standard library, which shows it."""
    secret = f"{before}pa55word{after}"
    written = [
        f"http://user:{secret}@proxy.example.com:1",
        f"proxy.example.com:1:user:{secret}",
        f"user:{secret}@proxy.example.com",
        f"{secret}://user:pa55word@h:1",
        f"{secret}@h:1",
    ][form]
    try:
        task = make(written)
    except ConfigurationError as error:
        assert "pa55" not in told_by(error)  # noqa: PT017 - most texts are accepted
    else:
        for text in (repr(task), str(task), f"{task}", repr([task]), str({"task": task})):
            assert "pa55" not in text
            assert "user:" not in text
        sent = task_fields(task, None)["proxy"]
        for hidden in secrets_of(task):
            sent = sent.replace(hidden, "***")
        assert "pa55" not in sent, "a service that repeats the request would show it"


# ------------------------------------------------------------------------ private addresses


PRIVATE = """
    localhost LOCALHOST localhost. my.localhost 127.0.0.1 127.0.0.1. 127.1 127.0.1 0 0.0.0.0
    2130706433 0x7f000001 0x7F.1 0x7f.0x0.0x0.0x1 017700000001 0177.0.0.1 0127.0.0.1 010.0.0.1
    10.0.0.1 10.255 172.16.0.1 172.31.255.254 192.168.0.1 192.168.1 192.168.09.1 169.254.169.254
    100.64.0.1 192.0.2.1 198.18.0.1 224.0.0.1 240.0.0.1 255.255.255.255
    [::1] [::] [::ffff:127.0.0.1] [::ffff:a00:1] [::127.0.0.1] [64:ff9b::a00:1] [fe80::1] [fc00::1]
    [fd12::1] [ff02::1] [2001:db8::1]
"""
PUBLIC = """
    proxy.example.com h 1.2.3.4 8.8.8.8 134744072 172.32.0.1 192.169.0.1 100.128.0.1 [2606:4700::1]
    [::ffff:8.8.8.8] 10.example.com 10.0.0.1.example.com localhost.example.com mylocalhost
    0x7f.example 1.2.3.4.5 256.256.256.256 300.1.1.1 1.1.1.256 1.16777216 99999999999 0xg.1
"""


@pytest.mark.parametrize(("hosts", "private"), [(PRIVATE, True), (PUBLIC, False)])
def test_private_addresses_in_all_their_spellings(hosts: str, private: bool) -> None:  # noqa: FBT001
    """The service would charge for a dead proxy, or a good one be refused for its name."""
    for host in hosts.split():
        task = ReCaptchaV2TaskProxyless(**PAGE, proxy=f"user:pa55word@{host}:3128")
        assert is_at_private_address(str(task.proxy)) is private, host


@given(st.ip_addresses(v=4), st.integers(1, 4), st.lists(st.sampled_from("dox"), min_size=4))
def test_no_spelling_of_a_private_address_passes(
    address: Any, count: int, bases: list[str]
) -> None:
    """A resolver takes one, two or three numbers for an address too, in three bases."""
    value = int(address)
    first = [value >> 24, value >> 16 & 255, value >> 8 & 255][: count - 1]
    numbers = [*first, value & (1 << 8 * (5 - count)) - 1]
    write = {"d": "{}", "o": "0{:o}", "x": "0x{:x}"}
    host = ".".join(
        write[base].format(number) for number, base in zip(numbers, bases, strict=False)
    )
    private = not address.is_global or address.is_multicast
    found = is_at_private_address(f"http://user:pa55word@{host}:1")
    assert found or not private
    if "o" not in bases[:count]:  # an octal number is a decimal one to some
        assert found == private


@given(st.ip_addresses(v=6))
def test_addresses_of_six(address: Any) -> None:
    """A literal address of the newer kind would not be looked at."""
    mapped = address.ipv4_mapped or address
    private = not mapped.is_global or mapped.is_multicast or mapped.is_reserved
    found = is_at_private_address(f"http://user:pa55word@[{address.exploded}]:1")
    assert found == private
    four = ip_address(int(address) & 0xFFFFFFFF)
    mapped_text = f"http://user:pa55word@[::ffff:{four}]:1"
    assert is_at_private_address(mapped_text) or (four.is_global and not four.is_multicast)


@given(st.text())
def test_no_text_makes_the_look_at_an_address_raise(text: str) -> None:
    """A task class of a user's own may hold anything: one would end the call with a ValueError."""
    assert is_at_private_address(text) in {True, False}

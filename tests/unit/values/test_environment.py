"""What the environment says of proxies: read as it is meant, and told of without the password."""

from __future__ import annotations

import traceback
from contextlib import suppress
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async import ConfigurationError
from ezcaptcha_async.environment import Proxies, Proxy

SERVICE = "https://api.ez-captcha.com"
SECRET = "s3cret"
SETTINGS = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Have an environment that says nothing of proxies."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


PROXIES = {
    "http://proxy.example:3128": "http://proxy.example:3128",
    " proxy.example:3128/ ": "http://proxy.example:3128",
    "HTTPS://Proxy.Example:3128": "https://proxy.example:3128",
    "http://me:pass@proxy:1": "http://me:pass@proxy:1",
    "http://me@proxy:1": "http://me:@proxy:1",
    "http://me:p@ss:w%23%zz@proxy:1": "http://me:p%40ss%3Aw%23%25zz@proxy:1",
    "http://m\u00e9:pass@proxy:1": "http://m%C3%A9:pass@proxy:1",
    "http://[::1]:3128": "http://[::1]:3128",
    "http://10.1.2.3:3128": "http://10.1.2.3:3128",
    "socks5h://proxy_1.example.:1080": "socks5h://proxy_1.example.:1080",
}


def test_what_people_write(env: pytest.MonkeyPatch) -> None:
    """A proxy that curl can use would be refused."""
    for text, address in PROXIES.items():
        env.setenv("HTTPS_PROXY", text)
        proxy = Proxies().for_url(SERVICE)
        assert proxy is not None
        assert (proxy.address, proxy.variable) == (address, "HTTPS_PROXY")
        assert proxy.is_socks == address.startswith("socks")
        assert "@" not in proxy.url


WITHOUT_BLANKS = """
    http://proxy.example proxy.example: http://:3128 http:// ://proxy:1 me:s3cret s3cret
    http://me:s3cret#x@proxy.example:3128 http://me:x#s3cret@proxy.example:3128
    http://me:s3cret/x@proxy.example:3128 http://me:s3cret?@proxy.example:3128
    http://me%3As3cret:x@proxy.example:3128 http://me:s3cret@proxy.example:0
    http://me:s3cret@proxy.example:65536 http://me:s3cret@proxy.example:port
    http://me:s3cret@a..b:80 http://me:s3cret@-:80 http://me:s3cret@[zz]:80
    http://me:s3cret@[1.2]:80 http://me:s3cret@[::1:80 http:/me:s3cret@proxy:80
    socks://me:s3cret@proxy.example:1080 socks4://me:s3cret@proxy.example:1080
    ftp://me:s3cret@proxy.example:21
"""
NO_PROXIES = (
    f"http://me:{SECRET} x@proxy.example:3128",
    f"http://me:{SECRET}\n@proxy.example:3128",
    f"http://me:{SECRET}\udce9@proxy.example:3128",
    f"http://me:{SECRET}@pro xy:80",
    *WITHOUT_BLANKS.split(),
)


def test_what_is_no_proxy_is_told_without_showing_it(env: pytest.MonkeyPatch) -> None:
    """The first thing that a mistake in a password does is to end up in a log."""
    for text, variable in product(NO_PROXIES, ("http_proxy", "HTTPS_PROXY", "all_proxy")):
        env.setenv(variable, text)
        with pytest.raises(ConfigurationError, match=rf"^{variable} ") as caught:
            Proxies().check([SERVICE])
        ours = caught.tb.tb_next  # below this test
        assert ours is not None
        shown = traceback.StackSummary.extract(traceback.walk_tb(ours), capture_locals=True)
        assert SECRET not in "".join([str(caught.value), *shown.format()])
        env.setenv("NO_PROXY", "ez-captcha.com")
        assert Proxies().check([SERVICE])
        env.delenv("NO_PROXY")
        env.delenv(variable)


@given(
    st.text(alphabet=st.sampled_from("ab:@/#?%[]. \n1"), max_size=30),
    st.text(alphabet=st.sampled_from("ab:@/#?%[]. \n1"), max_size=10),
)
def test_nothing_but_the_host_is_ever_shown(before: str, after: str) -> None:
    """There is always one more way to write a password that nobody has thought of."""
    text = f"http://me{before}{SECRET}{after}@proxy.example:3128"
    with pytest.MonkeyPatch.context() as env:
        env.delenv("NO_PROXY", raising=False)
        env.setenv("HTTPS_PROXY", text)
        proxies = Proxies()
        shown = [repr(proxies)]
        with suppress(ConfigurationError):
            shown.append(repr(proxies.for_url(SERVICE)))
        try:
            proxies.check([SERVICE])
        except ConfigurationError as error:
            shown.append(str(error))
    assert SECRET not in "".join(shown)


EXEMPT = (
    *("*", "ez-captcha.com", ".ez-captcha.com", "*.EZ-captcha.com", "api.ez-captcha.com:443"),
    *("a.example, api.ez-captcha.com", "https://api.ez-captcha.com", "all://ez-captcha.com"),
)
NOT_EXEMPT = (
    *("", ",", "captcha.com", "api.ez-captcha.com:80", "http://ez-captcha.com", "[::1]", ".", "["),
    *("é", "api.ez-captcha.com:" + "9" * 5_000, "10.0.0.0/" + "9" * 5_000),
    "api.ez-captcha.com:\u0664\u0664\u0663",
)


def test_who_is_exempt(env: pytest.MonkeyPatch) -> None:
    """What a company's proxy does not lead to could not be reached, or be reached without it."""
    env.setenv("https_proxy", "http://proxy.example:3128")
    for exemptions in (*EXEMPT, *NOT_EXEMPT):
        env.setenv("NO_PROXY", exemptions)
        assert (Proxies().for_url(SERVICE) is None) == (exemptions in EXEMPT), exemptions[:99]


def test_addresses_that_are_exempt(env: pytest.MonkeyPatch) -> None:
    """A gateway in the own network has an address and no name."""
    env.setenv("all_proxy", "http://proxy.example:3128")
    for host, *exemptions in (
        ("10.1.2.3", "10.0.0.0/8", "10.1.2.3"),
        ("10.1.2.3:8443", "10.1.2.3:8443"),
        ("[fd00::7]", "[fd00::7]", "fd00::7", "fd00::/8"),
        ("[fd00::7]:8443", "[fd00::7]:8443"),
    ):
        for exemption in exemptions:
            env.setenv("no_proxy", "elsewhere.example")
            assert Proxies().for_url(f"https://{host}") is not None
            env.setenv("no_proxy", exemption)
            assert Proxies().for_url(f"https://{host}") is None, exemption


def test_nothing_that_stays_on_this_machine_goes_through_a_proxy(env: pytest.MonkeyPatch) -> None:
    """Plain http is permitted there, and whoever runs the proxy would read the key."""
    for name in SETTINGS[:3]:
        env.setenv(name, "http://proxy.example:3128")
    hosts = "localhost LOCALHOST. a.localhost 127.0.0.1 127.8.9.1 [::1] 127.1 2130706433"
    for host, scheme in product(hosts.split(), ("http", "https")):
        assert Proxies().for_url(f"{scheme}://{host}:8000") is None, host


def test_which_variable_counts(env: pytest.MonkeyPatch) -> None:
    """Another proxy would be used than with curl, in one of the usual arrangements."""
    env.setenv("ALL_PROXY", "socks5://127.0.0.1:7890")
    for scheme, name in (("http", "ALL_PROXY"), ("https", "ALL_PROXY")):
        proxy = Proxies().for_url(f"{scheme}://service.example")
        assert isinstance(proxy, Proxy)
        assert proxy.variable == name
    env.setenv("HTTPS_PROXY", "http://127.0.0.1:7890")
    env.setenv("https_proxy", "http://127.0.0.1:7891")
    proxies = Proxies()
    assert proxies.for_url(SERVICE) == Proxy(
        variable="https_proxy", scheme="http", host="127.0.0.1", port=7891
    )
    assert repr(proxies) == "<Proxies of https_proxy, ALL_PROXY>"
    assert proxies.check([SERVICE], no_socks="install it"), "that of all counts for nothing there"
    with pytest.raises(
        ConfigurationError,
        match=r"ALL_PROXY names the socks5 proxy at 127\.0\.0\.1: install it, or",
    ):
        proxies.check(["http://service.example"], no_socks="install it")


def test_whether_tls_is_spoken(env: pytest.MonkeyPatch) -> None:
    """Certificates would be read for a service that needs none, or not for one that does."""
    plain = "http://gateway.example"
    assert not Proxies().check([plain])
    assert Proxies().check([plain, SERVICE])
    env.setenv("HTTP_PROXY", "https://proxy.example:3128")
    assert Proxies().check([plain])
    assert repr(Proxies()) == "<Proxies of HTTP_PROXY>"
    env.delenv("HTTP_PROXY")
    assert repr(Proxies()) == "<Proxies of none>"


def test_what_the_system_has_for_an_environment(env: pytest.MonkeyPatch) -> None:
    """On Windows and macOS, the settings of the system are the ones that people make."""
    env.setattr("urllib.request.getproxies", lambda: {"https": "http://proxy.example:3128"})
    env.setattr("urllib.request.proxy_bypass", lambda host: host == "api.ez-captcha.com:443")
    assert Proxies().for_url(SERVICE) is None
    proxy = Proxies().for_url("https://service.example")
    assert proxy is not None
    assert proxy.variable == "the system's https proxy"

"""``ezcaptcha doctor`` against services on loopback."""

from __future__ import annotations

import re
import socket
import threading
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from ezcaptcha_async.cli import packages
from ezcaptcha_async.cli.probes import look_up
from ezcaptcha_async.testing import Fault
from tests.cli.commands import PATIENCE, SECRET, Cli
from tests.cli.conftest import Serve
from tests.cli.examining import NAMES, Examine, scripted
from tests.sockets.raw_server import End, RawServer, Script, answer

pytestmark = pytest.mark.usefixtures("at")

# ------------------------------------------------------------------------- all is well


def test_one_line_for_each_check(cli: Cli, serving: Serve) -> None:
    """A user would have to guess which of eight things keeps tasks from being solved."""
    server = serving()
    result = cli("doctor")
    assert (result.code, result.err) == (0, "")
    title, *lines, conclusion = (line for line in result.out.splitlines() if line.strip())
    assert title.rstrip() == f"  ezcaptcha at {server.url}"
    assert [line.split()[0] for line in lines] == NAMES
    shown = {line.split()[0]: line.split(maxsplit=2)[1:] for line in lines}
    assert shown["DNS"] == ["skipped", "127.0.0.1 is an address"]
    assert shown["TLS"] == ["skipped", "plain http, which does not leave this machine"]
    assert re.fullmatch(r"answered in \d+ ms", shown["HTTP"][1])
    accepted = r"accepted, as ezcaptcha:[0-9a-f]{8}; from EZCAPTCHA_CLIENT_KEY"
    assert re.fullmatch(accepted, shown["key"][1])
    assert shown["balance"] == ["ok", "1,000,000 points (100.00 USD)"]
    assert shown["clock"] == ["ok", "within 1 s of the service's"]
    assert re.fullmatch(r"\S+ on Python 3\.\S+, httpx \S+, anyio \S+", shown["versions"][1])
    assert conclusion.strip() == "It works."
    assert all(len(line) <= 80 for line in result.out.splitlines())
    assert server.service.summary().requests == 1, "one getBalance tells it all"


def test_a_warning(
    cli: Cli, serving: Serve, examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A monitor could not warn before the points run out, or a user see that it works."""
    serving(balance=500)
    found = examine()
    assert found.code == 0, "a warning is not a failure"
    assert found.bad == {"balance": "warning"}
    assert found["balance"]["details"] == {"points": 500, "currency": "USD", "value": 0.05}
    assert found["clock"]["details"]["seconds_ahead"] == pytest.approx(0, abs=2)
    assert found["versions"]["details"]["httpx"]
    assert set(found["DNS"]) == {"name", "state", "text", "remedy", "details"}
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = cli("doctor")
    assert "checking" in result.err
    assert "\x1b[38;5;163mwarning" in result.out
    assert "→ top up the account" in result.out
    assert "It works, with 1 warning." in result.out
    monkeypatch.setattr("rich.console.ConsoleOptions.ascii_only", property(lambda _options: True))
    assert "-> top up the account" in cli("doctor").out


# ----------------------------------------------------------------- the key, the balance


def test_a_wrong_key(serving: Serve, examine: Examine) -> None:
    """The user would look for the mistake in the network."""
    serving(client_keys=["another"])
    found = examine()
    assert (found.code, found.bad) == (3, {"key": "problem"})
    key = found["key"]
    assert key["text"].startswith("refused: ERROR_KEY_DOES_NOT_EXIST")
    assert key["remedy"] == "check the client key"
    assert key["text"].endswith("; from EZCAPTCHA_CLIENT_KEY")
    assert found["balance"]["text"] == "not checked"


SOURCES = {
    "EZCAPTCHA_CLIENT_KEY": ["EZCAPTCHA_CLIENT_KEY", "EZCAPTCHA_API_KEY"],
    "EZCAPTCHA_API_KEY": ["EZCAPTCHA_API_KEY", "EZCAPSOLVER_API_KEY"],
    "EZCAPSOLVER_API_KEY": ["EZCAPSOLVER_API_KEY"],
    "--key-file": ["EZCAPTCHA_CLIENT_KEY", "EZCAPSOLVER_API_KEY"],
}


def test_where_the_key_was_taken_from(
    examine: Examine, serving: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A key in a forgotten variable would be the one that is refused, and nobody see which."""
    serving(client_keys=["the-good-one"])
    monkeypatch.delenv("EZCAPTCHA_CLIENT_KEY")
    key_file = tmp_path / "key"
    key_file.write_text("the-good-one\n", encoding="utf-8")
    for taken, names in SOURCES.items():
        with monkeypatch.context() as patched:
            for name in names:
                patched.setenv(name, "the-good-one" if name == taken else SECRET)
            found = examine("", *(("--key-file", str(key_file)) if taken == "--key-file" else ()))
        key = found["key"]
        assert key["text"].endswith(f"; from {taken}")
        assert key["details"]["source"] == taken
        assert key["details"]["account"].startswith("ezcaptcha:")
        assert key["state"] == "ok"


def test_no_key_at_all(
    cli: Cli, examine: Examine, serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newcomer, who has none yet, could not see whether the network is in order."""
    server = serving()
    monkeypatch.delenv("EZCAPTCHA_CLIENT_KEY")
    found = examine()
    assert (found.code, found.bad) == (2, {"key": "problem"})
    assert found["key"]["text"].startswith("no client key: set EZCAPTCHA_CLIENT_KEY")
    assert found["HTTP"]["state"] == found["clock"]["state"] == "ok"
    assert server.service.summary().requests == 1
    server.service.inject(Fault.HTML)
    result = cli("doctor")
    assert result.code == 8, "without a key it is no less wrong"
    assert "answered with" in result.out
    assert "no client key" in result.out
    assert result.out.endswith("  2 problems; begin with the first.\n")


def test_an_empty_account(cli: Cli, serving: Serve) -> None:
    """Out of points is not out of order."""
    serving(balance=0.0)
    result = cli("doctor")
    assert result.code == 4
    assert "out of points" in result.out
    assert "→ top up the account" in result.out
    assert "\n  1 problem." in result.out


def test_other_errors(cli: Cli, examine: Examine) -> None:
    """The user would try again at once and prolong a ban, or take an error for a good key."""
    error = '{{"errorId":1,"errorCode":"{}","errorDescription":"too many errors"}}'
    with scripted(error.format("ERROR_ZERO_BALANCE").encode()) as server:
        found = examine(server.url)
    assert found.code == 4
    assert found["key"]["state"] == "ok"
    assert found["balance"]["text"] == "out of points"
    with scripted(error.format("ERROR_IP_BANNED").encode(), **{"retry-after": "600"}) as server:
        result = cli("doctor", "--base-url", server.url)
    assert result.code == 5
    words = " ".join(result.out.split())
    assert "problem not checked: ERROR_IP_BANNED: too many errors" in words
    assert "→ send nothing until the ban ends; try again in 600 s" in words
    with scripted(error.format(f"ERROR_{SECRET}").encode()) as server:
        found = examine(server.url)  # does not repeat the key
    assert found.code == 8
    assert found["key"]["remedy"] == "ask the service"


# -------------------------------------------------------------------- HTTP and the clock


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_clock_that_is_off(hours: int, examine: Examine) -> None:
    """Tickets that are saved on this machine would look too old, or too young, on others."""
    date = formatdate(time.time() - 3600 * hours, usegmt=True)
    with scripted(date=date) as server:
        result = examine(server.url)
    assert result.code == 0
    assert result.bad == {"clock": "warning"}
    clock = result["clock"]
    assert clock["details"]["seconds_ahead"] == pytest.approx(3600 * hours, abs=3)
    assert re.match(r"7,(199|20\d) s (ahead of|behind) the service's", clock["text"])
    assert ("ahead" in clock["text"]) is (hours > 0)


def test_a_service_that_does_not_say_what_time_it_is(examine: Examine) -> None:
    """A gateway without the header must not end the whole examination."""
    for date in ("", "yesterday"):
        with scripted(date=date) as server:
            assert examine(server.url)["clock"]["state"] == "skipped"


def test_an_answer_that_means_nothing(examine: Examine, serving: Serve) -> None:
    """A login page of the hotel's network would pass for the service."""
    serving().service.inject(Fault.HTML)
    result = examine()
    assert result.code == 8
    assert result.bad == {"HTTP": "problem"}
    assert result["HTTP"]["text"].startswith("getBalance was answered with")


def test_nobody_listens(examine: Examine, at: pytest.MonkeyPatch) -> None:
    """What cannot be checked would be reported as broken, too."""
    for key in ("not checked; from EZCAPTCHA_CLIENT_KEY", "no client key: set EZCAPTCHA_CLIENT_"):
        found = examine("http://127.0.0.1:1")
        assert found.code == 8
        assert found["HTTP"]["text"].startswith("getBalance was not answered")
        assert found["HTTP"]["text"].endswith("127.0.0.1 refused the connection")
        assert "on this machine is running" in found["HTTP"]["remedy"], "and no firewall"
        assert found["balance"]["state"] == found["clock"]["state"] == "skipped"
        assert found["key"]["text"].startswith(key)
        at.delenv("EZCAPTCHA_CLIENT_KEY", raising=False)


def test_a_service_that_says_nothing(examine: Examine, at: pytest.MonkeyPatch) -> None:
    """The examination would hang with what it examines."""
    with RawServer(Script(end=End.HANG)) as server:
        for _ in range(2):
            found = examine(server.url, "--timeout", "2")
            assert found.code == 8
            assert found["HTTP"]["text"].endswith("no whole answer within 2 s")
            at.delenv("EZCAPTCHA_CLIENT_KEY", raising=False)


def test_a_slow_answer_is_a_warning(examine: Examine, at: pytest.MonkeyPatch) -> None:
    """Somebody whose solutions come late would be told that all is well."""
    at.setattr("ezcaptcha_async.cli.asking._SLOW", 0.0)
    with scripted() as server:
        result = examine(server.url)
    assert result.bad == {"HTTP": "warning"}


def test_authorities_that_cannot_be_read(
    examine: Examine, serving: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A wrong SSL_CERT_FILE would end in a traceback, or be blamed where no TLS is spoken."""
    serving()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    result = examine()
    assert result.bad == {"fast": "warning"}
    assert result["fast"]["remedy"].startswith("SSL_CERT_FILE names a file that")


def test_a_proxy_that_cannot_be_used(examine: Examine, at: pytest.MonkeyPatch) -> None:
    """What is wrong would be looked for at the service."""
    at.setenv("HTTPS_PROXY", f"http://someone:{SECRET}#@proxy.example:3128")
    result = examine("https://service.invalid")
    assert result.code == 2
    assert result.bad["HTTP"] == "problem"
    assert result["HTTP"]["text"].startswith("HTTPS_PROXY does not hold the URL of a proxy")


def test_what_stays_on_this_machine_goes_through_no_proxy(
    examine: Examine, at: pytest.MonkeyPatch
) -> None:
    """The key would be told to it in plain text."""
    with scripted() as server, scripted() as proxy:
        at.setenv("ALL_PROXY", proxy.url)
        result = examine(server.url)
        assert (result.code, len(server.received), len(proxy.received)) == (0, 1, 0)


def test_an_unsafe_url_is_refused_as_everywhere(cli: Cli, at: pytest.MonkeyPatch) -> None:
    """The key would go out unencrypted, for the sake of a check."""
    result = cli("doctor", "--base-url", "http://example.com")
    assert result.code == 2
    assert "client key unencrypted" in result.line


# --------------------------------------------------------------------------------- DNS


@pytest.mark.parametrize(
    ("addresses", "text"),
    [
        (["192.0.2.1"], r"192\.0\.2\.1, in \d+ ms"),
        (["::1", "192.0.2.1"], r"192\.\S+ and 1 more, in .*"),
    ],
)
async def test_a_name_that_is_found(
    addresses: list[str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has set up a host name of their own could not see where it leads."""
    entries = [(0, 0, 0, "", (address, 443)) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_settings: entries)
    found = await look_up(urlsplit("https://service.invalid"), timeout=5)
    assert found.state == "ok"
    assert re.fullmatch(text, found.text)


def test_a_name_that_does_not_exist(examine: Examine) -> None:
    """A typing error in a host name would show as a connection that failed."""
    found = examine("https://service.invalid")
    assert found.code == 8
    assert found["DNS"]["text"].startswith("service.invalid is not found: ")
    assert "[Errno" not in found["DNS"]["text"]
    skipped = [name for name in NAMES if found[name]["state"] == "skipped"]
    assert skipped == ["TLS", "HTTP", "key", "balance", "clock"]
    assert found["versions"]["state"] == "ok"
    # Nor is it a traceback of the codec for international names.
    result = examine(f"https://{70 * 'a'}.invalid")
    assert result.code == 8
    assert result.bad == {"DNS": "problem"}


def test_a_resolver_that_says_nothing(examine: Examine, at: pytest.MonkeyPatch) -> None:
    """The examination, and the process after it, would wait for the operating system."""
    asked, over = threading.Event(), threading.Event()

    def hang(*_arguments: Any, **_settings: Any) -> list[Any]:
        asked.set()
        over.wait()
        return []

    at.setattr(socket, "getaddrinfo", hang)
    result = examine("https://service.invalid", "--timeout", "0.2")
    assert asked.wait(PATIENCE)
    assert result.code == 8
    assert result["DNS"]["text"] == "no answer within 0.2 s"
    lookups = [item for item in threading.enumerate() if item.name == "ezcaptcha-doctor-dns"]
    assert all(item.daemon for item in lookups)
    over.set()
    for item in lookups:
        item.join()


def test_a_proxy_looks_up_names_and_shakes_hands(examine: Examine, at: pytest.MonkeyPatch) -> None:
    """Where only a proxy reaches the outside, a working set-up would be called broken."""
    refusing = Script(read=-1, send=answer(b"", "503 Service Unavailable"))
    with RawServer(refusing) as proxy:
        at.setenv("HTTPS_PROXY", proxy.url.replace("//", f"//user:{SECRET}@"))
        found = examine("https://service.invalid")
        assert proxy.received[0].head.startswith(b"CONNECT service.invalid:443")
    assert found.bad == {"HTTP": "problem"}
    assert found["DNS"]["text"] == found["TLS"]["text"]
    assert "proxy" in found["TLS"]["text"]


# ---------------------------------------------------------------------------- packages


def test_a_package_that_is_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody whose pip was told to ignore dependencies would look for a bug of ours."""
    found = packages.judged(
        {"httpx": "0.27.2", "anyio": "4.14"}, {"httpx": "0.28", "anyio": "4.14.0"}
    )
    assert (found.state, found.text) == ("warning", "httpx 0.27.2 is older than 0.28")
    assert found.remedy == "pip install -U httpx"

    # Nor does a checkout that is not installed end it in a traceback.
    def requires(_name: str) -> list[str] | None:
        raise packages.metadata.PackageNotFoundError

    monkeypatch.setattr(packages.metadata, "requires", requires)
    assert packages.versions().state == "ok"


@pytest.mark.parametrize(
    ("version", "state"), [(None, "ok"), ("3.9.0", "warning")], ids=["none", "old"]
)
def test_without_the_fast_extra(
    version: str | None,
    state: str,
    examine: Examine,
    serving: Serve,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody who has installed the extra would not learn that it is not at work."""
    serving()
    monkeypatch.setattr(aiohttp, "__version__", "3.9.0")
    real = packages.metadata.version

    def version_of(name: str) -> str:
        if name != "aiohttp":
            return real(name)
        if version is None:
            raise packages.metadata.PackageNotFoundError
        return version

    monkeypatch.setattr(packages.metadata, "version", version_of)
    fast = examine()["fast"]
    assert fast["state"] == state
    assert "httpx sends the requests" in fast["text"]
    assert "pip install 'aiohttp>=3.14'" in fast["remedy"]
    assert fast["details"]["aiohttp"] == version

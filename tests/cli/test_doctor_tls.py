"""``ezcaptcha doctor`` and certificates, from an authority of the test's own."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from tests.cli.commands import Cli
from tests.cli.examining import Examine, scripted
from tests.sockets.raw_server import End, RawServer, Script

# What breaks a handshake off leaves the socket to the garbage collector, as in the pool.
pytestmark = [
    pytest.mark.usefixtures("at"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

Certified = Callable[..., ssl.SSLContext]


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certified:
    """Return a server's TLS settings; the command trusts the certificate."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("making a certificate needs the openssl command")

    def run(*arguments: str) -> None:
        command = [str(openssl), *arguments]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)  # noqa: S603

    def make(*, days: int = 90, name: str = "IP:127.0.0.1", trusted: bool = True) -> ssl.SSLContext:
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        run("req", *curve, "-subj", "/CN=test", "-keyout", "key.pem", "-out", "request.pem")
        (tmp_path / "extensions").write_text(
            f"subjectAltName={name}\nbasicConstraints=critical,CA:TRUE\n"
            "keyUsage=critical,digitalSignature,keyCertSign\n"
        )
        signed = ("-signkey", "key.pem", "-extfile", "extensions", "-days", str(days))
        run("x509", "-req", "-in", "request.pem", *signed, "-out", "certificate.pem")
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
        return context

    return make


def test_a_certificate_that_is_good(examine: Examine, certified: Certified) -> None:
    """Nobody would learn when it ends."""
    with scripted(tls=certified()) as server:
        result = examine(server.url)
    assert result.code == 0
    assert result.bad == {}
    assert result["DNS"]["text"] == "127.0.0.1 is an address"
    assert result["TLS"]["text"] == "TLSv1.3, the certificate is valid for 89 days"
    assert result["TLS"]["details"] == {"version": "TLSv1.3", "days_left": 89}


def test_this_machine_by_its_name(examine: Examine, certified: Certified) -> None:
    """A gateway on this machine needs no resolver."""
    with scripted(tls=certified(name="DNS:localhost")) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        result = examine(url)
    assert result.code == 0
    assert result["DNS"]["text"] == "localhost is this machine"


def test_a_certificate_that_ends_soon(cli: Cli, certified: Certified) -> None:
    """All would be well until the day on which nothing works."""
    with scripted(tls=certified(days=10)) as server:
        result = cli("doctor", "--base-url", server.url)
    assert result.code == 0
    assert "the certificate expires in 9 days" in result.out
    assert "It works, with 1 warning." in result.out


@pytest.mark.parametrize(
    ("settings", "text", "remedy"),
    [
        # From its first second on: newer versions of OpenSSL sign nothing that ended before.
        ({"days": 0}, "certificate has expired", "check this machine's clock"),
        ({"name": "DNS:example.com"}, "IP address mismatch", "check --base-url"),
        ({"trusted": False}, "self-signed certificate", "do not go on"),
    ],
    ids=["expired", "of another host", "of nobody"],
)
def test_a_certificate_that_is_not_trusted(
    settings: dict[str, object], text: str, remedy: str, examine: Examine, certified: Certified
) -> None:
    """The user would see that a connection failed, and not whether to fear an impostor."""
    with scripted(tls=certified(**settings)) as server:
        result = examine(server.url)
        assert server.received == [], "the key went to whoever it is"
    assert result.code == 8
    assert result.bad == {"TLS": "problem"}
    found = result["TLS"]
    assert found["text"].startswith("the certificate is not trusted: ")
    assert text in found["text"].replace("self signed", "self-signed")
    assert found["remedy"].startswith(remedy)
    assert result["HTTP"]["state"] == "skipped"


@pytest.mark.parametrize(
    ("script", "timeout", "text"),
    [
        (Script(read=0, end=End.HANG), 0.3, "no handshake within 0.3 s"),
        (Script(read=5, send=b"HTTP/1.1 400 Bad Request\r\n\r\n"), 100, "the handshake failed: "),
        (Script(read=5, end=End.RESET), 100, "the handshake failed: "),
    ],
    ids=["silent", "not TLS", "reset"],
)
def test_a_handshake_that_fails(
    script: Script, timeout: float, text: str, examine: Examine
) -> None:
    """A server without TLS, or a firewall in between, would end in a traceback, or hang."""
    with RawServer(script) as server:
        url = server.url.replace("http:", "https:")
        result = examine(url, "--timeout", f"{timeout}")
    assert result.code == 8
    assert result.bad == {"TLS": "problem"}
    assert result["TLS"]["text"].startswith(text)


def test_nobody_listens(examine: Examine) -> None:
    """A closed port would look like a bad certificate."""
    result = examine("https://127.0.0.1:1")
    assert result.code == 8
    assert result["TLS"]["text"] == "no connection to port 1: Connection refused"


def test_nobody_listens_on_several_addresses(examine: Examine, at: pytest.MonkeyPatch) -> None:
    """A host with two addresses would have no reason at all."""

    async def refused(_host: str, _port: int) -> NoReturn:
        errors = [ConnectionRefusedError(111, "Connection refused") for _ in range(2)]
        raise OSError("All connection attempts failed") from ExceptionGroup("several", errors)

    at.setattr("anyio.connect_tcp", refused)
    result = examine("https://localhost")
    assert result["TLS"]["text"] == "no connection to port 443: Connection refused"


def test_authorities_that_cannot_be_read(examine: Examine, at: pytest.MonkeyPatch) -> None:
    """A wrong SSL_CERT_FILE would end in a traceback."""
    at.setenv("SSL_CERT_FILE", "/no/such/file.pem")
    result = examine("https://127.0.0.1:1")
    assert result.code == 2
    assert result["TLS"]["text"].endswith("No such file or directory")
    assert result["TLS"]["remedy"].startswith("check SSL_CERT_FILE, SSL_CERT_DIR")

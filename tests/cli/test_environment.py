"""Commands in environments that are broken: one line, and the exit code of a wrong setting."""

from __future__ import annotations

import pytest

from tests.cli.commands import SECRET, Cli


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTPS_PROXY", f"http://me:{SECRET}#@proxy.example:3128"),
        ("ALL_PROXY", f"socks://me:{SECRET}@proxy.example:1080"),
        ("SSL_CERT_FILE", f"/no/such/{SECRET}"),
        ("SSL_CERT_DIR", f"/no/such/{SECRET}"),
        ("SSLKEYLOGFILE", f"/no/such/{SECRET}"),
    ],
)
def test_one_line_names_the_variable(
    variable: str, value: str, cli: Cli, at: pytest.MonkeyPatch
) -> None:
    """Forty-five lines of a traceback would hold a part of the proxy's password."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        at.delenv(name, raising=False)
    at.setenv(variable, value)
    result = cli("balance")
    assert result.code == 2
    assert result.line.startswith(f"ezcaptcha: {variable} ")

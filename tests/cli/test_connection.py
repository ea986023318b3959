"""Key files as people write them: what is understood, and what is refused by its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from ezcaptcha_async import ConfigurationError
from ezcaptcha_async.cli.connection import keys_in
from tests.cli.commands import FAST, SECRET, V2, Cli
from tests.cli.conftest import Serve


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("one", ["one"]),
        ("one\ntwo\r\n\n  three  \n", ["one", "two", "three"]),
        ("\ufeffone\n", ["one"]),
        ("# mine, of May\none  # the first\n#two\n", ["one"]),
        ("a#key\n", ["a#key"]),
        ("'one'\n\"two\"\n", ["one", "two"]),
        ("EZCAPTCHA_CLIENT_KEY=one\nexport EZCAPTCHA_API_KEY='two'\n", ["one", "two"]),
        ('set EZCAPSOLVER_API_KEY=one\n$env:EZCAPTCHA_CLIENT_KEY = "two"\n', ["one", "two"]),
        ("a-key==\nkey=\n", ["a-key==", "key="]),
        ("+a/b==\n_a-b.c\n", ["+a/b==", "_a-b.c"]),
        ("one\none\n", ["one"]),
    ],
)
def test_what_a_key_file_may_hold(text: str, keys: list[str]) -> None:
    """Somebody who copies a line of a shell script would be told that the key is wrong."""
    assert list(keys_in(text)) == keys


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"the key is {SECRET}", "is no client key: write one a line"),
        (f"{SECRET},another", "is no client key"),
        (f'{{"clientKey": "{SECRET}"}}', "is no client key"),
        (f'["{SECRET}"]', "is no client key"),
        (f"'{SECRET}", "is no client key"),
        (f"client_key: {SECRET}", "is no client key"),
        (f"<{SECRET}>", "is no client key"),
        (f"{SECRET}\u00e9", "is no client key"),
        (f"{SECRET}\x00", "is no client key"),
        ("''", "is no client key"),
        ("EZCAPTCHA_CLIENT_KEY=", "sets no key"),
        ("EZCAPTCHA_CLIENT_KEY =", "is no client key"),
        ("export EZCAPTCHA_CLIENT_KEY=", "is no client key"),
        ("EZCAPTCHA_CLIENT_KEY", "sets no key"),
        ("EZCAPTCHA_CLIENT_KEY=''", "is no client key"),
        ("EZCAPTCHA_CLIENT_KEY=$OTHER", "is no client key"),
        ("TWOCAPTCHA_API_KEY=", "sets no key"),
        ("$EZCAPTCHA_CLIENT_KEY", "is no client key"),
        ("-----BEGIN", "is no client key"),
        (f"//{SECRET}", "is no client key"),
        (f"--{SECRET}", "is no client key"),
        (f"my-key={SECRET}", "is no client key"),
        (f"key:{SECRET}", "is no client key"),
        (f"TWOCAPTCHA_API_KEY={SECRET}", "sets another variable than EZCAPTCHA_CLIENT_KEY"),
        (f"key = {SECRET}", "sets another variable"),
    ],
)
def test_what_is_no_key_is_refused_by_its_line(line: str, reason: str) -> None:
    """Each word of a comment would go out as a key, and wrong keys earn a ban."""
    with pytest.raises(ConfigurationError) as refused:
        keys_in(f"# mine\n{line}\n")
    assert str(refused.value).startswith(f"line 2 of --key-file {reason}")
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("text", ["", "\n", "# mine\n", "\ufeff"])
def test_a_key_file_without_a_key(text: str) -> None:
    """The key of the environment, of another account, would pay."""
    with pytest.raises(ConfigurationError, match="--key-file holds no client key"):
        keys_in(text)


@pytest.mark.parametrize("key", ['"a-key"', "'a-key'", "two words", "KEY=a-key", "<a-key>"])
def test_what_is_no_key_in_the_environment(
    cli: Cli, serving: Serve, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """Docker takes quotes for a part of the key: each request would count towards a ban."""
    server = serving()
    monkeypatch.setenv("EZCAPTCHA_CLIENT_KEY", key)
    result = cli("balance")
    assert result.code == 2
    assert "EZCAPTCHA_CLIENT_KEY holds no client key: write it without quotes" in result.line
    assert key not in result.line
    assert server.service.summary().requests == 0


def test_nothing_is_sent_with_what_is_no_key(cli: Cli, serving: Serve, tmp_path: Path) -> None:
    """The service would count a wrong key, or several keys be taken for one."""
    server, path = serving(), tmp_path / "keys"
    for text, reason in (
        ("one\ntwo\n", "holds 2 keys; this needs one, only batch takes several"),
        (f"my key {SECRET}\n", "line 1 of --key-file is no client key"),
    ):
        path.write_text(text)
        for command in (("solve", *V2, *FAST), ("balance",), ("resume", str(path))):
            result = cli(*command, "--key-file", str(path))
            assert result.code == 2
            assert reason in result.line
    path.write_bytes(SECRET.encode("utf-16"))  # as PowerShell writes it
    assert cli("balance", "--key-file", str(path)).line.endswith(
        "not text in UTF-8; save it as that"
    )
    assert server.service.summary().requests == 0

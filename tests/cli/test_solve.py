"""``ezcaptcha solve`` and ``ezcaptcha balance`` against a service on loopback."""

from __future__ import annotations

import io
import json
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest

from ezcaptcha_async import EZCAPTCHA, SessionPool
from ezcaptcha_async.cli.connection import Connection
from ezcaptcha_async.cli.output import printable
from ezcaptcha_async.testing import Fault, SimulatedReply
from tests.cli.commands import FAST, SCALE, SECRET, V2, Cli
from tests.cli.conftest import Serve

CLOUDFLARE = (
    "CloudFlare5STask",
    "website_url=https://example.com/",
    f"proxy=http://user:{SECRET}@example.net:8080",
)


def test_what_is_shown_of_a_solution(
    cli: Cli, serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``TOKEN=$(ezcaptcha solve …)`` would hold more than the token, or JSON less than all."""
    server = serving()
    result = cli("solve", *V2, *FAST)
    task = server.service.record.tasks[0]
    assert result.code == 0
    assert result.out == f"simulated.recaptcha.{task.task_id}\n"
    waiting, about, effort, expiry = result.err.splitlines()
    assert waiting == f"waiting for task {task.task_id}, which is paid"
    assert about == f"task {task.task_id}, ReCaptchaV2TaskProxyless at ezcaptcha"
    assert effort.endswith(("polls for 6 points (0.0006 USD)", "1 poll for 6 points (0.0006 USD)"))
    assert expiry.startswith("expires in ")
    document = cli("solve", *V2, *FAST, "--json").document
    task = server.service.record.tasks[1]
    assert document["solution"]["token"] == f"simulated.recaptcha.{task.task_id}"
    receipt = document["receipt"]
    assert receipt["task_id"] == task.task_id
    assert receipt["points"] == 6
    assert receipt["polls"] == task.polls
    assert receipt["created_at"] < receipt["ready_at"] < document["expires_at"]
    assert receipt["waited"] == pytest.approx(receipt["ready_at"] - receipt["created_at"])
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = cli("solve", *V2, *FAST)
    assert "ReCaptchaV2TaskProxyless at ezcaptcha" in result.err.splitlines()[0], "while it waits"
    assert result.out.startswith("simulated.recaptcha.")


def test_a_service_that_is_silent_is_named(
    cli: Cli, serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slip in the URL would look like a captcha that takes five minutes."""
    server = serving()
    server.service.inject(Fault.HANG, path="/createTask")
    monkeypatch.setattr("ezcaptcha_async.cli.solving._PATIENCE", 0.0)
    result = cli("solve", *V2, *FAST, "--timeout", "1")
    assert result.code == 7
    first = result.err.splitlines()[0]
    assert first == f"no answer yet from {server.url}; -v shows why"


def test_what_was_paid_for_and_has_no_known_form(cli: Cli, serving: Serve) -> None:
    """It would be gone, for the same command buys another one."""

    def odd(reply: SimulatedReply) -> SimulatedReply:
        body = reply.body.replace(b'"gRecaptchaResponse"', b'"unheardOf"')
        return attrs.evolve(reply, body=body)

    for json_or_not in ("--json",), ():
        server = serving()
        server.service.inject(odd, path="/getTaskResult", times=None)
        result = cli("solve", *V2, *FAST, *json_or_not)
        assert result.code == 8
        token = f"simulated.recaptcha.{server.service.record.tasks[0].task_id}"
        lines = result.err.splitlines()
        if json_or_not:
            assert json.loads(lines[-1])["error"]["payload"]["unheardOf"] == token
        else:
            said = next(line for line in lines if "what came is " in line)
            assert json.loads(said.partition("what came is ")[2])["unheardOf"] == token


def test_other_types(cli: Cli, serving: Serve) -> None:
    """A script would have to take a token out of JSON for one type and not for another."""
    tokens: dict[str, Any] = {
        "HCaptcha": {"generated_pass_UUID": "P1_a", "ua": "Agent"},
        "CloudFlareTurnstileTask": {"token": "P1_a", "header": {"a": "b"}},
    }
    serving(extra_types={**tokens, "NewTask": {"answer": 42}}, solve_times=1.0)
    for task_type in tokens:
        result = cli("solve", task_type, *V2[1:], *FAST)
        assert (result.code, result.out) == (0, "P1_a\n")
        assert cli.in_ascii("solve", task_type, *V2[1:], *FAST) == "P1_a\n"
    # Headers and cookies are all that some solutions consist of.
    result = cli("solve", *CLOUDFLARE, *FAST)
    assert json.loads(result.out)["cookies"]["cf_clearance"].startswith("simulated.")
    assert result.err.splitlines()[2].endswith("with 1 poll")  # no page states its price
    result = cli("solve", "NewTask", "--custom", "websiteURL=https://example.com", *FAST)
    assert json.loads(result.out) == {"extra": {"answer": 42}}


def test_key_and_fields_from_files(
    cli: Cli, serving: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets would have to stand in the environment or among the arguments."""
    server = serving(client_keys=["key-from-a-file"])
    monkeypatch.delenv("EZCAPTCHA_CLIENT_KEY")
    key_file = tmp_path / "key"
    key_file.write_text("key-from-a-file\n", encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps({"website_key": "a-site-key"})))
    result = cli("solve", *V2[:2], "--fields", "-", "--key-file", str(key_file), *FAST)
    assert result.code == 0
    assert server.service.summary().charges == 1


def test_key_from_stdin_at_another_url(
    cli: Cli, serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password manager could not hand over the key."""
    server = serving(client_keys=["key-from-stdin"])
    monkeypatch.delenv("EZCAPTCHA_CLIENT_KEY")
    monkeypatch.delenv("EZCAPTCHA_BASE_URL")
    monkeypatch.setattr(sys, "stdin", io.StringIO("key-from-stdin\n"))
    result = cli("balance", "--key-file", "-", "--base-url", server.url)
    assert result.out.startswith("1,000,000 points (100.00 USD) at ezcaptcha:")


def test_the_other_service(cli: Cli, serving: Serve) -> None:
    """1captcha spells its type and prices its points otherwise."""
    server = serving(dialect="1captcha")
    other = ("--service", "1captcha", "--base-url", server.url)
    assert cli("solve", *V2, *other, *FAST).code == 0
    document = cli("balance", *other, "--json").document
    assert document["points"] == 999_996
    assert (document["currency"], document["value"]) == ("CNY", 999.996)


def test_the_speed_of_the_environment(
    cli: Cli, serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fast service would be polled as the real one, or, told twice, at the two multiplied."""
    server = serving()
    monkeypatch.setenv("EZCAPTCHA_TIME_SCALE", f"{SCALE:g}")
    for option in ((), FAST):
        receipt = cli("solve", *V2, *option, "--json").document["receipt"]
        assert receipt["waited"] < 5
        server.service.assert_spacing_kept()


def test_the_speed_of_the_environment_is_not_that_of_another_url(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Variables left over from a test would poll the real service until it bans the key."""
    monkeypatch.setenv("EZCAPTCHA_BASE_URL", "http://127.0.0.1:8080")
    monkeypatch.setenv("EZCAPTCHA_TIME_SCALE", "10")
    gateway = Connection(base_url="https://gateway.example.com").profile()
    assert gateway == attrs.evolve(EZCAPTCHA, base_url="https://gateway.example.com")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["balance"], "no client key: set EZCAPTCHA_CLIENT_KEY, or give --key-file"),
        (["balance", "--key-file", "no-such-file"], "cannot read --key-file: No such file"),
        (["solve", *V2, "--fields", "-", "--key-file", "-"], "cannot both be read from stdin"),
        (["solve", *V2[:2]], "ReCaptchaV2TaskProxyless needs website_key"),
        (["balance", "--base-url", "http://example.com"], "client key unencrypted"),
        (["solve", *V2, *FAST, "--base-url", "https://example.com"], "service on loopback"),
    ],
)
def test_configuration_is_checked_before_anything_is_sent(
    arguments: list[str], message: str, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong setting would come out only after something was paid, or as a traceback."""
    if "--base-url" in arguments:
        monkeypatch.setenv("EZCAPTCHA_CLIENT_KEY", SECRET)
    result = cli(*arguments)
    assert result.code == 2
    assert message in result.line


def test_each_kind_of_failure_has_its_code(cli: Cli, serving: Serve) -> None:
    """A script could not tell whether to wait, to pay, or to call a person."""
    server = serving(client_keys=[SECRET, "empty"], failure_rate=1.0)
    service = server.service
    failed = cli("solve", *V2, *FAST)
    task_id = service.record.tasks[0].task_id
    assert failed.code == 6
    line = failed.err.splitlines()[1]
    assert "; submit a new task; request " in line
    assert line.endswith(f" (task {task_id})")

    service.inject(Fault.RESET_AFTER)
    lost = cli("solve", *V2, *FAST, "--json").error
    assert (lost["kind"], lost["exit_code"]) == ("SubmissionUnknownError", 9)
    assert lost["may_be_charged"] is True

    service.set_balance(SECRET, 0)
    assert cli("solve", *V2, *FAST).code == 4
    service.ban_key(SECRET)
    assert cli("balance").code == 3
    service.ban()
    banned = cli("balance", "--json").error
    assert (banned["exit_code"], banned["code"]) == (5, "ERROR_IP_BANNED")


def test_ctrl_c_after_the_answer_does_not_throw_it_away(
    cli: Cli, serving: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A solution that was paid for, and came, would not be shown."""
    serving()
    close = SessionPool.aclose

    async def interrupted_close(pool: SessionPool) -> None:
        signal.raise_signal(signal.SIGINT)
        await anyio.sleep(0.05)
        await close(pool)

    monkeypatch.setattr(SessionPool, "aclose", interrupted_close)
    result = cli("solve", *V2, *FAST)
    assert result.code == 0
    assert result.out.startswith("simulated.recaptcha.")


def test_no_answer(cli: Cli, serving: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that nobody listens on would end in a traceback."""
    serving()
    monkeypatch.setenv("EZCAPTCHA_BASE_URL", "http://127.0.0.1:1")
    result = cli("balance")
    assert result.code == 8
    assert "asked of http://127.0.0.1:1; 'ezcaptcha doctor' finds out more" in result.line


def test_what_the_service_sends_cannot_steer_the_terminal() -> None:
    """An answer could clear the screen, or write lines of its own."""
    assert printable("a\x1b[2Jb\nc\td") == "a [2Jb c d"

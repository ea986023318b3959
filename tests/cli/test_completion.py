"""``ezcaptcha completion``: what a real shell makes of the script."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.commands import PATIENCE, Cli

# Completes the words, the last of which is being typed, as bash does on TAB.
PRESS_TAB = """
source ./script
function_name=$(complete -p ezcaptcha | sed "s/.*-F \\([^ ]*\\) .*/\\1/")
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_LINE="$*"
COMP_POINT=${#COMP_LINE}
"$function_name" ezcaptcha "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf "%s\\n" "${COMPREPLY[@]}"
"""


def completions(folder: Path, *words: str) -> list[str]:
    """Return what bash offers for the last word."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash here")
    done = subprocess.run(  # noqa: S603 - our own script
        [bash, "--norc", "-c", PRESS_TAB, "bash", "ezcaptcha", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


OFFERED = {
    "so": "solve",
    "do": "doctor",
    "balance --ke": "--key-file",
    "balance --service ": "ezcaptcha 1captcha",
    "completion f": "fish",
    "solve Fun": "FuncaptchaTaskProxyless",
    "solve HC": "HCaptcha",
    "solve CloudFlareT": "CloudFlareTurnstileTask",
    "solve HCaptcha website_u": "website_url=",
    "solve HCaptcha website_url=x pro": "proxy=",
    "solve --key-file ke": "key.txt",
    "resume pa": "paid.jsonl",
}
"""What is typed → what is offered."""


def test_bash_completes(cli: Cli, tmp_path: Path) -> None:
    """Names of thirty characters would have to be typed without a mistake."""
    for name in ("key.txt", "paid.jsonl"):
        (tmp_path / name).touch()
    (tmp_path / "script").write_text(cli("completion", "bash").out, encoding="utf-8")
    found = {typed: " ".join(completions(tmp_path, *typed.split(" "))) for typed in OFFERED}
    assert found == OFFERED


@pytest.mark.parametrize(
    ("shell", "sign"), [("zsh", "#compdef ezcaptcha"), ("fish", "complete -c ezcaptcha")]
)
def test_the_other_shells_get_a_script_of_theirs(shell: str, sign: str, cli: Cli) -> None:
    """A shell would read a script in another one's language at each start."""
    result = cli("completion", shell)
    assert (result.code, result.err) == (0, "")
    assert sign in result.out
    assert "ReCaptchaV3TaskProxyless" in result.out


def test_a_shell_that_is_not_known(cli: Cli) -> None:
    """A traceback would end in somebody's shell."""
    assert cli("completion", "tcsh").code == 2

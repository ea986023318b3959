"""Opening a journal: only a journal is taken over, and nothing else is even touched."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ezcaptcha_async import ConfigurationError, Journal, LearnedPolling
from ezcaptcha_async._journal.reading import open_journal
from ezcaptcha_async._journal.records import NotPaid, Paid, encoded
from ezcaptcha_async.tasks import Kind

from .test_records import TASK

PAID = encoded(Paid("r.1", TASK, 300.0))


def _timing() -> bytes:
    policy = LearnedPolling()
    policy.learn(Kind("ezcaptcha", "ReCaptchaV2TaskProxyless", "example.com"), 0, 10, ready=True)
    return json.dumps(policy.to_dict(), separators=(",", ":")).encode()


OTHERS = {
    "results": b'{"row":1,"key":"0123456789abcdef","status":"solved","points":6}\n',
    "rows": b'{"type":"ReCaptchaV2TaskProxyless","website_url":"https://example.com/"}\n',
    "CSV rows": b"type,website_url,website_key\nT,https://example.com/,k\n",
    "timing": _timing(),
    "report": b"<!doctype html>\n<html lang='en'></html>\n",
    "key file": b"a-client-key\n",
    "ticket": json.dumps(TASK.to_dict()).encode(),
    "text": "Dear diary, \N{SNOWMAN}\n".encode(),
    "one line without an end": b"notes",
    "blank": b"\n\n",
    "zeros": bytes(4096),
    "binary": bytes(range(256)) * 8,
    "UTF-16": "notes\n".encode("utf-16"),
}
DAMAGED = {"cut": PAID[:40], "spoiled": PAID[:40] + b"\n" + PAID[:-9] + b"\n"}
NEWER = {
    "newer": PAID.replace(b'"v":1', b'"v":2'),
    "newer at its end": PAID + PAID.replace(b'"v":1', b'"v":2'),
}


def untouched(path: Path) -> tuple[bytes, int, list[str]]:
    """Return all that must stay."""
    names = sorted(item.name for item in path.parent.iterdir())
    return path.read_bytes(), path.stat().st_mode, names


SAID = {
    **dict.fromkeys(OTHERS, "it holds no line of a journal, and is left as it is; "),
    **dict.fromkeys(DAMAGED, "every line of it is damaged; move it away"),
    "newer": "a newer version has written it; update",
}


@pytest.mark.parametrize("kind", SAID)
def test_a_file_that_is_no_journal_is_left_alone(kind: str, tmp_path: Path) -> None:
    """A slip in a name would empty the user's file, and buy again what was in it."""
    path = tmp_path / "named-by-mistake"
    path.write_bytes({**OTHERS, **DAMAGED, **NEWER}[kind])
    path.chmod(0o644)
    path.with_name(f"{path.name}.damaged").write_bytes(b"kept before")
    before = untouched(path)
    for use in (open_journal, Journal.unfinished, Journal.unknowns):
        with pytest.raises(ConfigurationError, match=f"the journal {path}: {SAID[kind]}"):
            use(Journal(path))
    assert untouched(path) == before
    assert path.with_name(f"{path.name}.damaged").read_bytes() == b"kept before"


def test_a_journal_whose_end_is_newer_is_not_read(tmp_path: Path) -> None:
    """An older release would throw away what it does not understand."""
    path = tmp_path / "paid.jsonl"
    path.write_bytes(NEWER["newer at its end"])
    with pytest.raises(ConfigurationError, match=SAID["newer"]):
        Journal(path).unfinished()


@pytest.mark.parametrize(
    ("named", "beside", "meant"),
    [
        ("results.jsonl", ["results.jsonl.journal", "other.journal"], "results.jsonl.journal"),
        ("result.jsonl", ["results.jsonl.journal", "other.journal"], "results.jsonl.journal"),
        ("page.html", ["paid.jsonl", "paid.jsonl.lock"], "paid.jsonl"),
        ("page.html", ["paid.jsonl"], None),
        ("page.html", ["notes.journal"], None),
        ("page.html", ["folder.journal"], None),
    ],
)
def test_the_one_that_was_meant_is_named(
    tmp_path: Path, named: str, beside: list[str], meant: str | None
) -> None:
    """Beside a file of results stands its journal, and a completed name is the wrong one."""
    for name in beside:
        path = tmp_path / name
        if name.startswith("folder"):
            path.mkdir()
        else:
            path.write_bytes(b"notes" if name.startswith("notes") else PAID)
    (tmp_path / named).write_bytes(OTHERS["results"])
    remedy = "or a new file" if meant is None else f"did you mean {tmp_path / meant}\\?"
    with pytest.raises(ConfigurationError, match=remedy):
        open_journal(Journal(tmp_path / named))


def test_a_folder_that_cannot_be_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search for a better name would hide what is wrong with this one."""

    def refuse(_path: object) -> None:
        raise PermissionError

    path = tmp_path / "other"
    path.write_bytes(b"notes")
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ConfigurationError, match="no line of a journal"):
        open_journal(Journal(path))


def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    """A lock would be left beside a folder, and a pipe be waited for."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, problem in (("folder", "it is a folder"), ("pipe", "it is not a regular file")):
        with pytest.raises(ConfigurationError, match=f"the journal .*{name}: {problem}"):
            open_journal(Journal(tmp_path / name))
        with pytest.raises(ConfigurationError, match=f"the journal .*{name}: {problem}"):
            Journal(tmp_path / name).unfinished()
    assert sorted(item.name for item in tmp_path.iterdir()) == ["folder", "pipe"]


@pytest.mark.parametrize("content", [None, b"", PAID, b"damage\n" + PAID], ids=str)
def test_what_is_taken_over(tmp_path: Path, content: bytes | None) -> None:
    """A new journal, an empty one, or one with some damage would not be used at all."""
    path = tmp_path / "paid.jsonl"
    if content is not None:
        path.write_bytes(content)
    file = open_journal(Journal(path))
    assert path.read_bytes() == (content or b"")
    file.close()


def test_what_is_unfinished_is_read_while_a_pool_has_it(tmp_path: Path) -> None:
    """A person would have to stop a program to see what it has paid for."""
    path = tmp_path / "paid.jsonl"
    path.write_bytes(encoded(NotPaid("r.0")) + PAID)
    file = open_journal(Journal(path))
    assert Journal(path).unfinished() == (TASK.to_dict(),)
    file.close()
    assert path.read_bytes() == encoded(NotPaid("r.0")) + PAID


def test_a_journal_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    """A slip in its name would look as if nothing were paid."""
    with pytest.raises(ConfigurationError, match=r"cannot read the journal .*: No such file"):
        Journal(tmp_path / "missing").unfinished()
    assert not list(tmp_path.iterdir())


def test_a_link_that_others_may_have_laid_is_not_followed(tmp_path: Path) -> None:
    """Somebody else would say which file of the user's is written to, or read what is paid."""
    shared, target = tmp_path / "shared", tmp_path / "paid.jsonl"
    shared.mkdir()
    shared.chmod(0o1777)
    (shared / "link.jsonl").symlink_to(target)
    (shared / "own.jsonl.lock").symlink_to(tmp_path / "elsewhere")
    for name in ("link.jsonl", "own.jsonl"):
        with pytest.raises(ConfigurationError, match="is a link in a folder that everybody can"):
            open_journal(Journal(shared / name))
    assert sorted(item.name for item in tmp_path.iterdir()) == ["shared"]
    open_journal(Journal(shared / "free.jsonl")).close()

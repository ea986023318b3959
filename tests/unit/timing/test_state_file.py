"""The file of what was learned: never a reason to fail, always whole, only its owner's."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ezcaptcha_async import LearnedPolling, PollPolicy
from ezcaptcha_async._timing.state_file import load_timing, save_timing
from ezcaptcha_async.tasks import Kind

KIND = Kind("ezcaptcha", "ReCaptchaV2TaskProxyless", "example.com")


def taught(path: Path | None) -> LearnedPolling:
    """Return a policy that has learned a little."""
    policy, rng = LearnedPolling(state_path=path), Random(1)
    for _ in range(20):
        policy.first_poll(KIND, 3.0, rng)
        policy.learn(KIND, 0.0, rng.uniform(10, 14), ready=True)
    return policy


def test_saved_and_loaded(tmp_path: Path) -> None:
    """A restarted scraper would start cold."""
    path = tmp_path / "timing.json"
    policy = taught(path)
    save_timing(policy)
    again = LearnedPolling(state_path=str(path))
    load_timing(again)
    assert again.kinds()[0].tasks == 20
    assert again.to_dict() == json.loads(path.read_text("utf-8")) == policy.to_dict()
    assert [item.name for item in tmp_path.iterdir()] == ["timing.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    """Other users of the machine would see which sites someone visits."""
    path = tmp_path / "timing.json"
    path.write_text('{"version":1,"services":[]', "utf-8")
    path.chmod(0o644)
    save_timing(taught(path))
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_first_run_has_no_file(tmp_path: Path) -> None:
    """Everybody would be warned of what is quite normal."""
    policy = LearnedPolling(state_path=tmp_path / "timing.json")
    load_timing(policy)
    assert policy.kinds() == ()


def test_nothing_learned_is_not_saved(tmp_path: Path) -> None:
    """A run that ended before its first task would wipe out what is known."""
    path = tmp_path / "timing.json"
    save_timing(LearnedPolling(state_path=path))
    assert not path.exists()


def test_what_was_learned_in_this_process_stays(tmp_path: Path) -> None:
    """A second pool with the same policy would throw it back to the last run."""
    path = tmp_path / "timing.json"
    save_timing(taught(path))
    policy = taught(path)
    policy.learn(KIND, 0.0, 10.0, ready=True)
    load_timing(policy)
    assert policy.kinds()[0].tasks == 21


@pytest.mark.parametrize("policy", [PollPolicy(), taught(None)], ids=["plain", "no path"])
def test_policies_that_keep_nothing(policy: Any, tmp_path: Path) -> None:
    """A policy without a path would leave a file somewhere."""
    load_timing(policy)
    save_timing(policy)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"version": 1, "services": [["a", NaN]]}', "does not have the form"),
        (b'{"version":1,"services":[],"types":[["a"', "not JSON"),
    ],
    ids=["empty", "cut at once", "NaN", "cut"],
)
def test_a_damaged_file_is_ignored(tmp_path: Path, content: bytes, reason: str) -> None:
    """A file that a crash damaged would keep a scraper from starting."""
    path = tmp_path / "timing.json"
    path.write_bytes(content)
    policy = LearnedPolling(state_path=path)
    with pytest.warns(RuntimeWarning, match=f"timing.json is ignored: .*{reason}.*replaced"):
        load_timing(policy)
    assert policy.kinds() == ()
    save_timing(taught(path))
    assert json.loads(path.read_text("utf-8"))["version"] == 1


@pytest.mark.parametrize(
    "content",
    [
        b"Dear diary\n",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'"' + b"a" * 5_000_000 + b'"',
        b"[]",
        b'{"row":1,"status":"solved"}\n',
        b'{"version": 1, "task_id": "paid", "service": "ezcaptcha", "type": "X"}',
        b'{"version":3,"sources":["app.ts"],"mappings":""}',
        b'{"version": 99}',
        b" " * 100 + b"Dear diary\n",
        b"\n",
    ],
    ids=[
        "text",
        "binary",
        "deep",
        "large",
        "list",
        "results",
        "ticket",
        "map",
        "version",
        "blanks",
        "line",
    ],
)
def test_another_file_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    """A slip in the name would replace a file of the user's."""
    path = tmp_path / "diary"
    path.write_bytes(content)
    path.chmod(0o644)
    with pytest.warns(RuntimeWarning, match="diary is ignored: .* left as it is; set state_path"):
        load_timing(LearnedPolling(state_path=path))
    with pytest.warns(RuntimeWarning, match="not saved: .*diary is another file; set state_path"):
        save_timing(taught(path))
    assert path.read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o644
    assert [item.name for item in tmp_path.iterdir()] == ["diary"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs")
def test_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    """A FIFO would hold up the event loop for ever, and a device become a file."""
    fifo, folder = tmp_path / "fifo", tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "link").symlink_to(fifo)
    os.mkfifo(fifo)
    for path in (fifo, folder, tmp_path / "link"):
        with pytest.warns(RuntimeWarning, match="is ignored: it is no regular file; it is left"):
            load_timing(LearnedPolling(state_path=path))
        with pytest.warns(RuntimeWarning, match="not saved: .* is another file; set state_path"):
            save_timing(taught(path))
    assert fifo.is_fifo()
    assert (tmp_path / "link").is_symlink()
    assert len(list(tmp_path.iterdir())) == 3


def test_a_link_stays_one(tmp_path: Path) -> None:
    """What was learned would be kept beside the volume that the link leads to, and be lost."""
    volume = tmp_path / "volume"
    volume.mkdir()
    link = tmp_path / "timing.json"
    link.symlink_to(volume / "kept.json")
    for _ in range(2):
        save_timing(taught(link))
        assert link.is_symlink()
        assert json.loads((volume / "kept.json").read_text("utf-8"))["version"] == 1
    assert [item.name for item in volume.iterdir()] == ["kept.json"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_link_that_others_may_have_laid(tmp_path: Path) -> None:
    """Another user of the machine would choose where a file of ours is made."""
    tmp_path.chmod(0o777)
    link = tmp_path / "timing.json"
    link.symlink_to(tmp_path / "elsewhere.json")
    with pytest.warns(RuntimeWarning, match="could not be saved to .*everybody can write"):
        save_timing(taught(link))
    assert not link.exists()


def test_a_program_that_changes_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would read one file and save another, and start cold for ever."""
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    policy = taught(Path("timing.json"))
    monkeypatch.chdir(tmp_path / "other")
    save_timing(policy)
    assert (tmp_path / "timing.json").exists()
    assert not list((tmp_path / "other").iterdir())


def test_a_program_whose_folder_was_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would end in a traceback for the sake of a convenience."""

    def gone() -> str:
        raise FileNotFoundError

    monkeypatch.setattr(os, "getcwd", gone)
    assert LearnedPolling(state_path="timing.json").state_path == "timing.json"


def test_one_that_was_written_with_blanks(tmp_path: Path) -> None:
    """Whoever kept what was learned by `to_dict` and `json.dump` could not go on with it."""
    path = tmp_path / "timing.json"
    policy = taught(path)
    path.write_text(json.dumps(policy.to_dict(), indent=2), "utf-8")
    save_timing(policy)
    assert path.read_bytes().startswith(b'{"version":1,"services"')


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing rights would keep a scraper from starting, and nobody knows what would be lost."""
    path = tmp_path / "timing.json"
    path.write_text("secret", "utf-8")
    policy = taught(path)

    def refused(*_arguments: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    # Root may read all.
    with monkeypatch.context() as context:
        context.setattr(Path, "open", refused)
        with pytest.warns(RuntimeWarning, match="cannot be read .*; starting afresh"):
            load_timing(LearnedPolling(state_path=path))
        with pytest.warns(RuntimeWarning, match="could not be saved to .*; set state_path"):
            save_timing(policy)
    assert path.read_text("utf-8") == "secret"


def test_a_file_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool would fail at its very end, and a full disk fill with half files."""
    missing = taught(tmp_path / "missing" / "timing.json")
    with pytest.warns(RuntimeWarning, match="could not be saved to .*; set state_path"):
        save_timing(missing)

    def refused(*_arguments: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))  # as where a file is mounted

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.warns(RuntimeWarning, match="could not be saved to .*; set state_path"):
        save_timing(taught(tmp_path / "timing.json"))
    assert not list(tmp_path.iterdir())

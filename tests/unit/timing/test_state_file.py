"""The file of what was learned: never a reason to fail, always whole, only its owner's."""

from __future__ import annotations

import json
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
    path.write_text('{"version": 1}', "utf-8")
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
        (b'{"version": 99}', "another version"),
    ],
    ids=["empty", "cut", "NaN", "version"],
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
    ],
    ids=["text", "binary", "deep", "large", "list", "results"],
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


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A directory in its place, or missing rights, would keep a scraper from starting."""
    policy = LearnedPolling(state_path=tmp_path)
    with pytest.warns(RuntimeWarning, match="cannot be read .*; starting afresh"):
        load_timing(policy)


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """A pool would fail at its very end, and a full disk fill with half files."""
    missing = taught(tmp_path / "missing" / "timing.json")
    with pytest.warns(RuntimeWarning, match="could not be saved to .*; set state_path"):
        save_timing(missing)
    directory = tmp_path / "directory"
    (directory / "inner").mkdir(parents=True)
    with pytest.warns(RuntimeWarning, match="could not be saved to .*; set state_path"):
        save_timing(taught(directory))
    assert [item.name for item in tmp_path.iterdir()] == ["directory"]

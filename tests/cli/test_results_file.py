"""The results of a batch: what earlier runs have left, and what is added to it."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ezcaptcha_async import ConfigurationError
from ezcaptcha_async.cli.batching.results_file import ResultsFile, write_whole
from ezcaptcha_async.cli.batching.rows import Row

KEY = "0123456789abcdef"
OTHER = "fedcba9876543210"


def row(number: int, key: str = KEY) -> Row:
    """Return a row as it is read."""
    return Row(number=number, key=key)


def solved(number: int, key: str = KEY, points: float | None = 6.0) -> dict[str, Any]:
    """Return what is written of a solved row."""
    return {"row": number, "key": key, "status": "solved", "points": points}


def failed(number: int, *, final: bool = True, points: float | None = None) -> dict[str, Any]:
    """Return what is written of a row that ended in an error."""
    return {"row": number, "key": KEY, "status": "failed", "final": final, "points": points}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the results are."""
    return tmp_path / "results.jsonl"


def after(path: Path, *documents: dict[str, Any], **settings: Any) -> ResultsFile:
    """Return the file as a later run finds it."""
    before = ResultsFile(path)
    for document in documents:
        before.write(document)
    before.close()
    return ResultsFile(path, **settings)


def test_what_is_finished(path: Path) -> None:
    """A row would be bought again, or never be solved."""
    results = after(path, solved(3), failed(1), failed(2, final=False), solved(4, points=None))
    assert [results.state_of(row(number)) for number in range(1, 7)] == [
        "finished",
        "open",
        "finished",
        "finished",
        "open",
        "open",
    ]
    assert [results.is_finished(number) for number in (1, 2, 3, 99)] == [True, False, True, False]
    assert (results.solved, results.failed, results.points) == (2, 1, 6.0)
    results.close()


def test_a_row_that_says_something_else_by_now(path: Path) -> None:
    """A line put in at the top would let each row have the solution of another."""
    results = after(path, solved(1), failed(2, points=6.0), failed(3))
    states = [results.state_of(row(number, OTHER)) for number in (1, 2, 3)]
    assert states == ["changed", "changed", "open"]
    results.close()


def test_a_paid_row_whose_end_is_not_known(path: Path) -> None:
    """Another row in its place would be given its solution, or its cost be counted twice."""
    results = after(path, failed(1, final=False, points=6.0), failed(2, final=False))
    assert [results.is_counted(number) for number in (1, 2, 3)] == [True, False, False]
    assert [results.state_of(row(number)) for number in (1, 2)] == ["open", "open"]
    assert results.points == 6.0
    results.write(failed(1, points=0.0))
    assert not results.is_counted(1)
    assert results.state_of(row(1, OTHER)) == "changed"
    results.close()


def test_a_lost_answer_is_written_down_once(path: Path) -> None:
    """Each start of a batch would count the same createTask again."""
    now = time.time()
    lost = {**failed(1), "error": {"kind": "SubmissionUnknownError"}, "finished_at": now}
    old = {**lost, "row": 2, "finished_at": now - 90_000}
    results = after(
        path, lost, old, {**lost, "row": 3, "error": 7}, {**lost, "row": 4, "error": {}}
    )
    assert results.is_lost(1, now - 1)
    assert not results.is_lost(1, now + 1)
    assert not any(results.is_lost(number, now - 1) for number in (2, 3, 4, 5))
    results.close()


def test_errors_can_be_tried_again(path: Path) -> None:
    """Whoever wants to pay a second time for what failed would have to edit the file."""
    results = after(path, solved(1), failed(2, points=6.0), retry_failed=True)
    assert [results.state_of(row(number)) for number in (1, 2)] == ["finished", "open"]
    assert results.state_of(row(2, OTHER)) == "open"
    assert (results.solved, results.failed) == (1, 1)
    results.write(solved(2))
    assert (results.solved, results.failed, results.points) == (2, 0, 18.0)
    results.close()


def test_a_line_that_was_cut_off(path: Path) -> None:
    """The next line would be glued to it, and a solved row lost with it."""
    after(path, solved(1), solved(2)).close()
    whole = path.read_bytes()
    for length in range(whole.index(b"\n") + 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        results = ResultsFile(path)
        assert [results.state_of(row(number)) for number in (1, 2)] == ["finished", "open"]
        results.write(solved(2))
        results.close()
        assert path.read_bytes() == whole


@pytest.mark.parametrize("rows", [1, 2])
def test_a_line_that_lacks_but_its_newline(path: Path, rows: int) -> None:
    """An editor that strips it would cost the token of the last row, which is bought again."""
    after(path, *(solved(number) for number in range(1, rows + 1))).close()
    whole = path.read_bytes()
    path.write_bytes(whole.rstrip())
    looked_at = ResultsFile(path, read_only=True)
    assert looked_at.solved == rows
    assert path.read_bytes() == whole.rstrip()
    results = ResultsFile(path)
    assert results.solved == rows
    assert path.read_bytes() == whole, "the next line is not glued to it"
    results.write(solved(rows + 1))
    results.close()
    assert [json.loads(line)["row"] for line in path.read_text().splitlines()] == [
        *range(1, rows + 2)
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense",
        b"[" * 100_000,
        b"[1]",
        b"\xff\xfe",
        b'{"row": null, "status": "solved"}',
        b'{"row": "1", "status": "solved"}',
        b'{"row": true, "status": "solved"}',
        b'{"row": 0, "status": "solved"}',
        b'{"row": -1, "status": "solved"}',
        b'{"row": 999999999999, "status": "solved"}',
        b'{"row": 1}',
    ],
)
def test_lines_that_are_none_of_ours(path: Path, line: bytes) -> None:
    """One damaged line would stop every later run, or eat all memory."""
    after(path, solved(3)).close()
    path.write_bytes(path.read_bytes() + line + b"\n")
    results = after(path, solved(2))
    assert [results.state_of(row(number)) for number in (1, 2)] == ["open", "finished"]
    results.close()


@pytest.mark.parametrize(
    "damaged", ["1" + 400 * "0", "1e400", "-1e400", "NaN", "Infinity", "-6", "1e300", "true", '"6"']
)
def test_a_number_that_is_damaged(path: Path, damaged: str) -> None:
    """A batch would end in a traceback, or its budget be blamed for what nothing has cost."""
    at = time.time()
    lost = failed(2) | {"error": {"kind": "SubmissionUnknownError"}, "finished_at": 0.5}
    after(path, solved(1, points=0.5), lost, solved(3)).close()
    path.write_bytes(path.read_bytes().replace(b"0.5", damaged.encode()))
    results = ResultsFile(path)
    assert results.points == 6.0
    assert results.is_solved(1)
    assert not results.is_lost(2, at)
    results.close()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"type": "T"}\n', "its first line"),
        ("type,website_url\n", "its first line"),
        ("[1]\n", "its first line"),
        ('{"type": "T"}', "its last line"),
        ("a", "its last line"),
        (json.dumps(solved(1)) + "\nnotes", "its last line"),
    ],
)
def test_a_file_of_others(path: Path, content: str, problem: str) -> None:
    """A slip in the name would add to a file of the user's, or cut off its last line."""
    path.write_text(content)
    with pytest.raises(ConfigurationError, match=f"cannot use {path} for results: {problem}"):
        ResultsFile(path)
    assert path.read_text() == content


def test_a_line_without_a_key(path: Path) -> None:
    """A file that somebody has edited by hand would stop the batch with a traceback."""
    path.write_text('{"row": 1, "key": "not hexadecimal", "status": "failed", "final": true}\n')
    results = ResultsFile(path)
    assert results.state_of(row(1)) == "open"
    results.close()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    """Everything would be bought before it is known that nothing can be kept."""
    with pytest.raises(ConfigurationError, match=r"cannot use .* for results: No such file"):
        ResultsFile(tmp_path / "no" / "results")
    with pytest.raises(ConfigurationError, match="Is a directory"):
        ResultsFile(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit for the size of a file")
def test_a_disk_that_takes_half_a_line(path: Path) -> None:
    """A token that is not in the file would count as written, and the next line be glued to it."""
    import resource

    results = after(path, solved(1))
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, limits[1]))
    try:
        with pytest.raises(OSError, match="No space left on device"):
            results.write(solved(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert (results.solved, results.points) == (1, 6.0)
    results.write(solved(2))
    results.close()
    assert [json.loads(line)["row"] for line in path.read_text().splitlines()] == [1, 2]


@pytest.mark.skipif(sys.platform == "win32", reason="there a file stays while it is open")
@pytest.mark.parametrize("how", ["removed", "replaced", "moved", "emptied"])
def test_a_file_that_is_changed_in_mid_run(path: Path, tmp_path: Path, how: str) -> None:
    """All later tokens would go where nobody finds them, and be bought again."""
    results = after(path, solved(1))
    results.write(solved(2))
    other = tmp_path / "other"
    match how:
        case "removed":
            path.unlink()
        case "replaced":  # as by `sed -i` and by an editor
            other.write_bytes(path.read_bytes())
            other.replace(path)
        case "moved":
            path.rename(other)
        case _:
            path.write_bytes(b"")
    with pytest.raises(OSError, match="somebody has removed, replaced or cut it meanwhile"):
        results.write(solved(3))
    assert results.solved == 2
    results.close()


def test_a_file_to_which_others_add(path: Path) -> None:
    """A batch that lost nothing would end."""
    results = after(path, solved(1))
    with path.open("a") as file:
        file.write("notes\n")
    results.write(solved(2))
    results.write(solved(3))
    assert results.solved == 3
    results.close()


def test_a_pipe_that_takes_a_few_bytes_at_a_time() -> None:
    """The reader at its other end would get half a line, and then the next one."""

    class Slow(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(bytes(data[:7]))

    reader, writer = os.pipe()
    with Slow(writer, "wb") as file, os.fdopen(reader, "rb") as taken:
        write_whole(file, b"a line that is longer than that\n")  # type: ignore[arg-type]
        assert taken.readline() == b"a line that is longer than that\n"


def test_one_run_at_a_time(path: Path, tmp_path: Path) -> None:
    """What the second one knows would be old by the time it buys, so all is bought twice."""
    results = ResultsFile(path)
    link = tmp_path / "link"
    link.symlink_to(path)
    for name in (path, link):
        with pytest.raises(ConfigurationError, match=f"cannot use {name} for results: another"):
            ResultsFile(name)
    results.close()
    results.close()
    ResultsFile(link).close()
    assert {item.name for item in tmp_path.iterdir()} == {path.name, f"{path.name}.lock", "link"}


def test_a_file_of_that_name_is_not_emptied(path: Path) -> None:
    """Notes that happen to be called like the lock would be gone."""
    lock = path.with_name(f"{path.name}.lock")
    lock.write_text("notes")
    results = ResultsFile(path)
    with pytest.raises(ConfigurationError, match="another run of the same batch is writing it"):
        ResultsFile(path)
    results.close()
    assert lock.read_text() == "notes"


def test_to_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """The next program would wait for a buffer to be full."""
    results = ResultsFile(Path("-"))
    results.write(solved(1))
    results.close()
    assert json.loads(capsys.readouterr().out) == solved(1)


def test_rows_take_eight_bytes(path: Path) -> None:
    """A batch of a million rows would need hundreds of megabytes to know what is finished."""
    lines = "".join(f'{{"row":{number},"status":"solved"}}\n' for number in range(1, 5_001))
    path.write_text(lines)
    results = ResultsFile(path)
    assert results.solved == 5_000
    assert results._rows.itemsize * len(results._rows) == 8 * 5_001
    results.close()


# ------------------------------------------------------------------- shared machines


def mode_of(path: Path) -> int:
    """Return who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """Return a folder that everybody can write, as /tmp is."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


def test_only_the_owner_can_read_tokens(path: Path) -> None:
    """Everybody on the machine could use them first, also those of an earlier version."""
    for umask in (0, 0o022):
        old = os.umask(umask)
        try:
            after(path, solved(1)).close()
        finally:
            os.umask(old)
        assert {mode_of(item) for item in path.parent.iterdir()} == {0o600}
        path.chmod(0o644)
        ResultsFile(path).close()
        assert mode_of(path) == 0o600
        path.unlink()


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_not_taken_over(path: Path, mode: int) -> None:
    """What they write into it would pass for solved, and their copy of a descriptor stay good."""
    after(path, solved(1)).close()
    before = path.read_bytes()
    path.chmod(mode)
    with pytest.raises(ConfigurationError, match=r"others may write it: .* chmod 600"):
        ResultsFile(path)
    assert (mode_of(path), path.read_bytes()) == (mode, before)


def test_a_link_that_others_may_have_laid_is_not_followed(
    path: Path, shared: Path, tmp_path: Path
) -> None:
    """Somebody else would say where the tokens go, or which file of the user's is written to."""
    folder = tmp_path / "folder"
    folder.mkdir()
    links = {
        shared / "link.jsonl": path,
        shared / "folder": folder,
        tmp_path / "to-a-link.jsonl": shared / "link.jsonl",
        shared / "own.jsonl.lock": tmp_path / "elsewhere",
        shared / "nowhere.jsonl": tmp_path / "nowhere",
        tmp_path / "circle": tmp_path / "circle",
    }
    for link, target in links.items():
        link.symlink_to(target)
    for name in ("link.jsonl", "folder/results.jsonl", "own.jsonl", "nowhere.jsonl"):
        with pytest.raises(ConfigurationError, match="is a link in a folder that everybody can"):
            ResultsFile(shared / name)
    with pytest.raises(ConfigurationError, match="is a link in a folder that everybody can"):
        ResultsFile(tmp_path / "to-a-link.jsonl")
    with pytest.raises(ConfigurationError, match="Too many levels"):
        ResultsFile(tmp_path / "circle")
    made = {item.name for item in (*tmp_path.iterdir(), *folder.iterdir(), *shared.iterdir())}
    assert made == {"shared", "folder", *(link.name for link in links)}


def test_what_is_no_link_of_others_is_used(path: Path, shared: Path, tmp_path: Path) -> None:
    """Folders for all are where many put their files, and links of their own as well."""
    ResultsFile(shared / "results.jsonl").close()
    link = tmp_path / "link.jsonl"
    link.symlink_to(path)
    ResultsFile(link).close()
    assert mode_of(path) == 0o600


def test_a_file_of_another_user_is_used_with_a_warning(
    path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a volume that is mounted into a container, all files are somebody else's."""
    uid = os.geteuid()
    for file in (path, shared / "results.jsonl"):
        after(file, solved(1)).close()
        file.chmod(0o666)
    monkeypatch.setattr(os, "geteuid", lambda: uid + 1)
    results = ResultsFile(path)
    assert results.is_solved(1)
    results.close()
    assert f"{path}: it belongs to another user" in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match="another user has put it into a folder that"):
        ResultsFile(shared / "results.jsonl")


@pytest.mark.parametrize("refuses", [True, False])
def test_a_file_system_without_rights_is_used_with_a_warning(
    refuses: bool,  # noqa: FBT001
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On a drive that is shared with Windows, nobody could go on with a batch."""

    def change_nothing(_descriptor: int, _mode: int) -> None:
        if refuses:
            raise PermissionError(1, "Operation not permitted")

    after(path, solved(1)).close()
    path.chmod(0o777)
    monkeypatch.setattr(os, "fchmod", change_nothing)
    ResultsFile(path).close()
    assert f"{path}: its file system keeps no rights" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such pipes")
def test_a_pipe_is_only_written_to(tmp_path: Path) -> None:
    """Where nobody can look at it beforehand, it would be taken for a file that was cut off."""
    pipe = tmp_path / "results.pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    results = ResultsFile(pipe)
    try:
        for number in (1, 2):
            results.write(solved(number))
            assert json.loads(os.read(reader, 1_000)) == solved(number)
    finally:
        results.close()
        os.close(reader)

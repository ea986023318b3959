"""The rows of a batch: whatever a file or a pipe holds, row by row."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import aclosing, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async import (
    ConfigurationError,
    CustomTask,
    FuncaptchaTaskProxyless,
    HCaptcha,
    ReCaptchaV2TaskProxyless,
)
from ezcaptcha_async.cli.batching.reading import records_of
from ezcaptcha_async.cli.batching.rows import (
    Format,
    Row,
    RowName,
    RowReader,
    count_rows,
    format_of,
    row_of,
)
from tests.cli.commands import environment

PAGE = {
    "type": "ReCaptchaV2TaskProxyless",
    "website_url": "https://example.com/",
    "website_key": "k",
}
CSV = "type,website_url,website_key"


def read(content: str | bytes, row_format: Format = "jsonl", **settings: Any) -> list[Row]:
    """Read all rows of what a file holds."""
    content = content.encode() if isinstance(content, str) else content
    return list(RowReader(format=row_format, **settings).read(io.BytesIO(content)))


def written(path: Path, content: str) -> Path:
    """Write a file."""
    path.write_text(content, "utf-8")
    return path


def test_json_lines() -> None:
    """A file as every tool writes it could not be read."""
    lines = [json.dumps({**PAGE, "id": 7}), "", "  ", json.dumps({**PAGE, "website_key": "l"})]
    first, second = read("\ufeff" + "\r\n".join(lines))
    assert (first.number, first.id, second.number, second.id) == (1, "7", 2, None)
    assert isinstance(first.task, ReCaptchaV2TaskProxyless)
    assert (first.task.website_key, second.key != first.key) == ("k", True)
    assert row_of(first.task.reference) == RowName(1, first.key, "7")
    assert second.task is not None
    assert row_of(second.task.reference) == RowName(2, second.key)


def test_csv() -> None:
    """A spreadsheet saves it with quotes, flags in capitals, and cells that are empty."""
    text = (
        f"\ufeff id , {CSV},is_invisible,sa\r\n1,{','.join(PAGE.values())},TRUE,\r\n"
        f'"1, 2:",{",".join(PAGE.values())},,"a""b"\r\n'
        f'"two\nlines",{",".join(PAGE.values())},,\r\n'
    )
    first, second, third = read(text, "csv")
    assert isinstance(first.task, ReCaptchaV2TaskProxyless)
    assert (first.task.is_invisible, first.task.sa) == (True, None)
    assert isinstance(second.task, ReCaptchaV2TaskProxyless)
    assert (second.id, second.task.sa, second.task.is_invisible) == ("1, 2:", 'a"b', False)
    assert row_of(second.task.reference) == RowName(2, second.key, "1, 2:")
    assert (third.number, third.task) == (3, None)


def test_columns_for_every_field() -> None:
    """A batch through proxies, or with a field of tomorrow, could not be written down."""
    page = "FuncaptchaTaskProxyless,https://example.com/,k"
    text = f'{CSV},proxy,cn,extra\n{page},h.example:1:u:p,yes,"{{""new"": 1}}"\n{page},,,\n'
    first, second = read(text, "csv")
    assert isinstance(first.task, FuncaptchaTaskProxyless)
    assert (first.task.proxy, first.task.cn) == ("http://u:p@h.example:1", True)
    assert first.task.extra == '{"new":1}'
    assert isinstance(second.task, FuncaptchaTaskProxyless)
    assert (second.task.proxy, second.task.cn, second.task.extra) == (None, None, None)
    line = {**PAGE, "type": "hcaptcha", "invisible": True, "extra": {"new": 1}}
    (row,) = read(json.dumps(line))
    assert isinstance(row.task, HCaptcha)
    assert (row.task.invisible, row.task.extra) == (True, '{"new":1}')


def test_a_type_for_all_rows_and_types_of_ones_own() -> None:
    """A list of pages would need a column that says the same in each row."""
    page = "website_url,website_key\nhttps://example.com/,k\n"
    (row,) = read(page, "csv", task_type="recaptchav2taskproxyless")
    assert isinstance(row.task, ReCaptchaV2TaskProxyless)
    (row,) = read('{"type": "NewTask", "websiteURL": "https://example.com/"}', custom=True)
    assert isinstance(row.task, CustomTask)
    assert (row.task.type, row.task.reference) == ("NewTask", f"1:{row.key}")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[1]", "one JSON object"),
        ('{"a": ', "one JSON object"),
        ("[" * 100_000, "one JSON object"),
        (b"\xff\xfe", "one JSON object"),
        ('{"x": "' + "a" * 3_000_000 + '"}', "a line holds at most 1,048,576 bytes"),
        (json.dumps(PAGE).replace("{", '{"website_url": "https://other.example", '), "name once"),
        (json.dumps({**PAGE, "type": None}), "needs a type"),
        (json.dumps({**PAGE, "type": "NoSuchTask"}), "type NoSuchTask is not known"),
        (json.dumps({**PAGE, "website_url": "nowhere"}), "website_url must be a whole URL"),
        (json.dumps({**PAGE, "site": "x"}), "has no field site"),
        (json.dumps({**PAGE, "price": float("nan")}), "NaN and Infinity are no JSON"),
        (json.dumps({**PAGE, "own": [{"price": float("-inf")}]}), "write null, or the number as"),
        (json.dumps({**PAGE, "price": 1}).replace(": 1}", ": 1e400}"), "line 2: NaN and Infinity"),
        (json.dumps({**PAGE, "id": "two\nlines"}), "id must be printable"),
        (json.dumps({**PAGE, "id": "a" * 151}), "id must be printable"),
    ],
)
def test_a_wrong_row_is_named_and_the_others_go_on(line: str | bytes, problem: str) -> None:
    """One slip in row 70,000 would stop the batch, or worse, shift all rows behind it."""
    wrong = line.encode() if isinstance(line, str) else line
    good = json.dumps(PAGE).encode()
    first, second, third = read(b"\n".join((good, wrong, good)))
    assert first.task is not None
    assert (second.number, third.number) == (2, 3)
    assert third.task is not None
    assert second.task is None
    assert second.problem is not None
    assert problem in str(second.problem)
    json.dumps(second.columns, allow_nan=False)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a,b", "2 columns, the header 3"),
        ('"a"b,c,d', "must be CSV"),
        (b"\xff,b,c", "must be CSV"),
        (f"a,b,{'c' * 1_100_000}", "must be CSV"),
    ],
)
def test_wrong_lines_of_csv(line: str | bytes, problem: str) -> None:
    """A comma too much would send the key of one column as the URL of another."""
    wrong = line.encode() if isinstance(line, str) else line
    (row,) = read(CSV.encode() + b"\n" + wrong + b"\n", "csv")
    assert row.problem is not None
    assert problem in str(row.problem)


@pytest.mark.parametrize(
    "header", ["https://example.com/,k", "type,type", "a b,c", "a,b", ",", '"a"b,type', "type"]
)
def test_a_csv_file_needs_a_header(header: str) -> None:
    """Its first page would be taken for the names of the columns, and be left out."""
    with pytest.raises(ConfigurationError, match="line 2 of the rows must name its columns"):
        read(f"\n{header}\nx,y\n", "csv")


def test_a_cell_may_be_as_long_as_a_line() -> None:
    """A row with a large note would be refused, for a limit that it does not exceed."""
    before = csv.field_size_limit(131_072)
    head = f'{PAGE["type"]},{PAGE["website_url"]},k,"'
    longest = 1024 * 1024 - len(head) - 1
    content = "\n".join([f"{CSV},note", *(f'{head}{"a" * (longest + more)}"' for more in (0, 1))])
    try:
        good, bad = read(content, "csv")
    finally:
        csv.field_size_limit(before)
    assert good.problem is None
    assert good.columns == {"note": "a" * longest}
    assert bad.problem is not None
    assert "at most 1,048,576 bytes" in bad.problem.message


def test_a_stray_quote_costs_no_other_row() -> None:
    """An inch sign in a URL would have the next hundred rows read as a part of it."""
    lines = [
        f'T,https://a.example?s=15",{number},"a ""b"", \nc"' if number % 2 else f'T,"",{number},""'
        for number in range(9)
    ]
    fields = [
        json.loads(row.task.fields)
        for row in read("type,a,b,c\n" + "\n".join(lines), "csv", custom=True)
        if isinstance(row.task, CustomTask)
    ]
    assert [item["b"] for item in fields] == [str(number) for number in range(9)]
    assert {item.get("a") for item in fields} == {'https://a.example?s=15"', None}
    assert {item.get("c") for item in fields} == {'a "b", \nc', None}
    # An address or a note is not taken for a quote that is not closed.
    row, note = ",".join(PAGE.values()), "line\n" * 100
    found = read(f'{CSV},note\n{row},"{note}"\n{row},\n', "csv")
    assert [row.number for row in found if row.task is not None] == [1, 2]


@given(st.lists(st.lists(st.text('a,"\n é☃', max_size=6), min_size=3, max_size=3), max_size=4))
def test_cells_come_out_as_they_went_in(rows: list[list[str]]) -> None:
    """A row would be cut in two, or two be made one."""
    text = io.StringIO()
    csv.writer(text).writerows([["x", "y", "z"], *rows])
    found = read(text.getvalue(), "csv", task_type="T", custom=True)
    assert [row.number for row in found] == list(range(1, len(rows) + 1))
    cells = [json.loads(row.task.fields) for row in found if isinstance(row.task, CustomTask)]
    assert cells == [
        {name: cell for name, cell in zip("xyz", row, strict=True) if cell} for row in rows
    ]


def test_a_quote_that_is_never_closed_costs_no_memory() -> None:
    """The rest of a large file would be read into one cell, and bought under wrong numbers."""
    content = f'{CSV}\n"open,b,c\n' + "a,b,c\n" * 100_000
    seen = list[int]()

    def lines() -> Iterator[bytes]:
        for line in content.encode().splitlines():
            seen.append(len(line))
            yield line

    with pytest.raises(ConfigurationError, match="line 2 of the rows opens a quote"):
        list(records_of(lines()))
    assert sum(seen) < 2_000


def test_what_a_row_is_known_by_holds_no_secret() -> None:
    """Passwords could be tried against the digest, which stands in a file for everybody."""
    rows = [
        {"type": "CloudFlare5STask", "website_url": "https://example.com/", "proxy": proxy}
        for proxy in ("http://u:secret@1.2.3.4:80", "http://u:other@1.2.3.4:80")
    ]
    first, second = read("\n".join(map(json.dumps, rows)))
    assert first.task is not None
    assert first.key == second.key
    rows = [
        {"type": "T", "a": [{"auth": {"x": secret}, "b": {"proxyPass": secret}, "c": 1}]}
        for secret in ("secret", "other")
    ]
    first, second = read("\n".join(map(json.dumps, rows)), custom=True)
    assert first.task is not None
    assert first.key == second.key


@given(st.lists(st.text('ab,"\n é☃', max_size=8), min_size=1, max_size=6), st.integers(1, 7))
def test_rows_come_out_as_they_went_in_however_the_pipe_cuts_them(
    values: list[str], size: int
) -> None:
    """A character or a row at the edge of a chunk would be broken in two."""
    lines = [json.dumps({"type": "T", "x": value}, ensure_ascii=False) for value in values]
    content = "\n".join(lines).encode()
    reader, writer = os.pipe()

    def write() -> None:
        with closing(os.fdopen(writer, "wb", buffering=0)) as out:
            for start in range(0, len(content), size):
                out.write(content[start : start + size])

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reader, "rb") as stream:
        rows = list(RowReader(format="jsonl", custom=True).read(stream))
    thread.join()
    tasks = [row.task for row in rows]
    assert [
        json.loads(task.fields)["x"] for task in tasks if isinstance(task, CustomTask)
    ] == values


async def test_a_slow_pipe_is_read_as_far_as_it_has_come(tmp_path: Path) -> None:
    """A row would wait until a chunk is full, and polls of what is paid for the next row."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    line = json.dumps(PAGE).encode() + b"\n"
    found: list[int] = []
    taken = anyio.Event()

    async def take() -> None:
        async with aclosing(RowReader(format="jsonl").rows(pipe)) as rows:
            async for row in rows:
                found.append(row.number)
                taken.set()

    async with anyio.create_task_group() as group:
        group.start_soon(take)
        writer = await anyio.to_thread.run_sync(partial(pipe.open, "wb", buffering=0))
        with writer:
            for part in (line + line[:9], line[9:]):
                taken = anyio.Event()
                writer.write(part)
                await taken.wait()  # runs while the other one waits for the pipe
            assert found == [1, 2]
            group.cancel_scope.cancel()
            await anyio.lowlevel.cancel_shielded_checkpoint()


async def test_a_pipe_that_nobody_reads_to_its_end(tmp_path: Path) -> None:
    """The thread that reads would wait for ever for somebody to take what it has read."""
    path = written(tmp_path / "rows", f"{json.dumps(PAGE)}\n" * 20_000)
    async with aclosing(RowReader(format="jsonl").rows(path)) as rows:
        assert (await anext(rows)).number == 1
    for thread in threading.enumerate():
        if thread.name == "ezcaptcha-rows":
            await anyio.to_thread.run_sync(thread.join)


async def test_no_more_is_read_ahead_than_a_chunk_or_two(tmp_path: Path) -> None:
    """A million rows would be in memory before the first is solved."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    line = f"{json.dumps(PAGE)}\n".encode()
    written = 0

    def write() -> None:
        nonlocal written
        with suppress(BrokenPipeError), pipe.open("wb", buffering=0) as out:
            while True:
                written += out.write(100 * line)

    writer = threading.Thread(target=write)
    writer.start()
    async with aclosing(RowReader(format="jsonl").rows(pipe)) as rows:
        async for row in rows:
            if row.number == 5_000:
                break
    await anyio.to_thread.run_sync(writer.join)
    assert written - 5_000 * len(line) < 500_000


def test_a_process_that_ends_while_its_pipe_is_silent() -> None:
    """Ctrl-C would not end a batch whose rows come slowly, or end it with a crash."""
    code = (
        "import anyio; from pathlib import Path\n"
        "from ezcaptcha_async.cli.batching.rows import RowReader\n"
        "async def main():\n"
        "    rows = RowReader(format='jsonl').rows(Path('-'))\n"
        "    print((await anext(rows)).number, flush=True)\n"
        "    with anyio.move_on_after(0.05):\n"
        "        await anext(rows)\n"
        "anyio.run(main)\n"
    )
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", code],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(json.dumps(PAGE).encode() + b"\n")
        process.stdin.flush()
        try:
            assert process.wait(60) == 0
        finally:
            process.kill()
        assert process.stderr.read() == b""


async def test_a_source_that_breaks() -> None:
    """The batch would wait for it for ever, or end in a traceback."""
    memory = Path("/proc/self/mem")
    if not memory.exists():
        pytest.skip("there is no file here that can be opened and not be read")
    with pytest.raises(ConfigurationError, match=f"cannot read {memory}: Input/output error"):
        [row async for row in RowReader(format="jsonl").rows(memory)]


def test_how_many_rows_there_are(tmp_path: Path) -> None:
    """The time left could not be told."""
    path = written(tmp_path / "rows.csv", f"{CSV}\na\nb")
    assert count_rows(path, "csv") == 2
    assert count_rows(path, "jsonl") == 3
    assert count_rows(written(tmp_path / "empty", ""), "csv") == 0
    assert count_rows(Path("-"), "jsonl") is None
    os.mkfifo(tmp_path / "pipe")
    assert count_rows(tmp_path / "pipe", "jsonl") is None
    # ``tasks.CSV`` would be read as JSON.
    assert [format_of(Path(name)) for name in ("a.csv", "a.CSV", "a.jsonl", "-")] == [
        "csv",
        "csv",
        "jsonl",
        "jsonl",
    ]


async def test_a_file_that_cannot_be_opened() -> None:
    """A traceback would be all that a slip in a name is answered with."""
    with pytest.raises(ConfigurationError, match=r"cannot read .*: No such file"):
        [row async for row in RowReader(format="jsonl").rows(Path("/no/file"))]


@pytest.mark.parametrize("reference", [None, "", "job", "0:0123456789abcdef", "1:xyz", "x1:00"])
def test_references_of_others(reference: str | None) -> None:
    """A task of another program would be written down as some row."""
    assert row_of(reference) is None

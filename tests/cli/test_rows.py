"""The rows of a batch: whatever a file or a pipe holds, row by row."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ezcaptcha_async import (
    ConfigurationError,
    CustomTask,
    FuncaptchaTaskProxyless,
    HCaptcha,
    ReCaptchaV2TaskProxyless,
)
from ezcaptcha_async.cli.batching.records import ends_open, read_in_thread
from ezcaptcha_async.cli.batching.rows import (
    Format,
    Row,
    RowReader,
    count_rows,
    format_of,
    opened,
    row_of,
)

PAGE = {
    "type": "ReCaptchaV2TaskProxyless",
    "website_url": "https://example.com/",
    "website_key": "k",
}
CSV = "type,website_url,website_key"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Read on both event loops."""
    backend: str = request.param
    return backend


async def read(path: Path, row_format: Format = "jsonl", **settings: Any) -> list[Row]:
    """Read all rows of a file."""
    with opened(path) as stream:
        return [row async for row in RowReader(format=row_format, **settings).rows(stream)]


def written(path: Path, content: str | bytes) -> Path:
    """Write a file."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


async def test_json_lines(tmp_path: Path) -> None:
    """A file as every tool writes it could not be read."""
    lines = [json.dumps({**PAGE, "id": 7}), "", "  ", json.dumps({**PAGE, "website_key": "l"})]
    path = written(tmp_path / "rows", "\ufeff" + "\r\n".join(lines))
    first, second = await read(path)
    assert (first.number, first.id, second.number, second.id) == (1, "7", 2, None)
    assert isinstance(first.task, ReCaptchaV2TaskProxyless)
    assert (first.task.website_key, second.key != first.key) == ("k", True)
    assert row_of(first.task.reference) == (1, first.key, "7")
    assert second.task is not None
    assert row_of(second.task.reference) == (2, second.key, None)


async def test_csv(tmp_path: Path) -> None:
    """A spreadsheet saves it with quotes, flags in capitals, and cells that are empty."""
    text = (
        f"\ufeff id , {CSV},is_invisible,sa\r\n1,{','.join(PAGE.values())},TRUE,\r\n"
        f'"1, 2:",{",".join(PAGE.values())},,"a""b"\r\n'
        f'"two\nlines",{",".join(PAGE.values())},,\r\n'
    )
    first, second, third = await read(written(tmp_path / "rows", text), "csv")
    assert isinstance(first.task, ReCaptchaV2TaskProxyless)
    assert (first.task.is_invisible, first.task.sa) == (True, None)
    assert isinstance(second.task, ReCaptchaV2TaskProxyless)
    assert (second.id, second.task.sa, second.task.is_invisible) == ("1, 2:", 'a"b', False)
    assert row_of(second.task.reference) == (2, second.key, "1, 2:")
    assert (third.number, third.task) == (3, None)


async def test_columns_for_every_field(tmp_path: Path) -> None:
    """A batch through proxies, or with a field of tomorrow, could not be written down."""
    page = "FuncaptchaTaskProxyless,https://example.com/,k"
    text = f'{CSV},proxy,cn,extra\n{page},h.example:1:u:p,yes,"{{""new"": 1}}"\n{page},,,\n'
    first, second = await read(written(tmp_path / "rows", text), "csv")
    assert isinstance(first.task, FuncaptchaTaskProxyless)
    assert (first.task.proxy, first.task.cn) == ("http://u:p@h.example:1", True)
    assert first.task.extra == '{"new":1}'
    assert isinstance(second.task, FuncaptchaTaskProxyless)
    assert (second.task.proxy, second.task.cn, second.task.extra) == (None, None, None)
    line = {**PAGE, "type": "hcaptcha", "invisible": True, "extra": {"new": 1}}
    (row,) = await read(written(tmp_path / "rows", json.dumps(line)))
    assert isinstance(row.task, HCaptcha)
    assert (row.task.invisible, row.task.extra) == (True, '{"new":1}')


async def test_a_type_for_all_rows_and_types_of_ones_own(tmp_path: Path) -> None:
    """A list of pages would need a column that says the same in each row."""
    path = written(tmp_path / "rows", "website_url,website_key\nhttps://example.com/,k\n")
    (row,) = await read(path, "csv", task_type="recaptchav2taskproxyless")
    assert isinstance(row.task, ReCaptchaV2TaskProxyless)
    path = written(tmp_path / "rows", '{"type": "NewTask", "websiteURL": "https://example.com/"}')
    (row,) = await read(path, custom=True)
    assert isinstance(row.task, CustomTask)
    assert (row.task.type, row.task.reference) == ("NewTask", f"1:{row.key}")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("[1]", "one JSON object"),
        ('{"a": ', "one JSON object"),
        ("[" * 100_000, "one JSON object"),
        (b"\xff\xfe", "one JSON object"),
        ('{"x": "' + "a" * 3_000_000 + '"}', "one JSON object"),
        (json.dumps({**PAGE, "type": None}), "needs a type"),
        (json.dumps({**PAGE, "type": "NoSuchTask"}), "type NoSuchTask is not known"),
        (json.dumps({**PAGE, "website_url": "nowhere"}), "website_url must be a whole URL"),
        (json.dumps({**PAGE, "site": "x"}), "has no field site"),
        (json.dumps({**PAGE, "id": "two\nlines"}), "id must be printable"),
        (json.dumps({**PAGE, "id": "a" * 151}), "id must be printable"),
    ],
)
async def test_a_wrong_row_is_named_and_the_others_go_on(
    tmp_path: Path, line: str | bytes, problem: str
) -> None:
    """One slip in row 70,000 would stop the batch, or worse, shift all rows behind it."""
    wrong = line.encode() if isinstance(line, str) else line
    good = json.dumps(PAGE).encode()
    first, second, third = await read(written(tmp_path / "rows", b"\n".join((good, wrong, good))))
    assert first.task is not None
    assert (second.number, third.number) == (2, 3)
    assert third.task is not None
    assert second.task is None
    assert second.problem is not None
    assert problem in str(second.problem)


@pytest.mark.parametrize(
    ("line", "problem"),
    [("a,b", "2 columns, the header 3"), ('"a"b,c,d', "must be CSV"), (b"\xff,b,c", "must be CSV")],
)
async def test_wrong_lines_of_csv(tmp_path: Path, line: str | bytes, problem: str) -> None:
    """A comma too much would send the key of one column as the URL of another."""
    wrong = line.encode() if isinstance(line, str) else line
    path = written(tmp_path / "rows", CSV.encode() + b"\n" + wrong + b"\n")
    (row,) = await read(path, "csv")
    assert row.problem is not None
    assert problem in str(row.problem)


@pytest.mark.parametrize("header", ["https://example.com/,k", "type,type", "a b,c", ""])
async def test_a_csv_file_needs_a_header(tmp_path: Path, header: str) -> None:
    """Its first page would be taken for the names of the columns, and be left out."""
    path = written(tmp_path / "rows", f"{header}\nx,y\n")
    if header:
        with pytest.raises(ConfigurationError, match="must name its columns"):
            await read(path, "csv")
    else:
        assert [row.number for row in await read(path, "csv")] == []


async def test_a_stray_quote_costs_no_other_row(tmp_path: Path) -> None:
    """An inch sign in a URL would have the next hundred rows read as a part of it."""
    lines = [
        f'T,https://a.example?s=15",{number},"a ""b"", \nc"' if number % 2 else f'T,"",{number},""'
        for number in range(9)
    ]
    path = written(tmp_path / "rows", "type,a,b,c\n" + "\n".join(lines))
    fields = [
        json.loads(row.task.fields)
        for row in await read(path, "csv", custom=True)
        if isinstance(row.task, CustomTask)
    ]
    assert [item["b"] for item in fields] == [str(number) for number in range(9)]
    assert {item.get("a") for item in fields} == {'https://a.example?s=15"', None}
    assert {item.get("c") for item in fields} == {'a "b", \nc', None}


@given(st.lists(st.text('a,"\n', max_size=6), min_size=1, max_size=4))
@settings(deadline=None, max_examples=200)
def test_rows_end_where_the_csv_module_ends_them(cells: list[str]) -> None:
    """A row would be cut in two, or two be made one."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([cells, ["end"]])
    is_open, records = False, 0
    for line in text.getvalue().encode().splitlines():
        is_open = ends_open(line, is_open)
        records += not is_open
    assert records == 2


async def test_a_quote_that_is_never_closed_costs_one_row_and_no_memory(tmp_path: Path) -> None:
    """The rest of a large file would be read into one cell."""
    long = [PAGE["type"], PAGE["website_url"], "k" * 10_000]
    rest = "\n".join([",".join(long)] * 120)
    path = written(tmp_path / "rows", f'{CSV}\n"open,b,c\n{rest}\n')
    rows = await read(path, "csv")
    assert rows[0].problem is not None
    assert all(row.task is not None for row in rows[2:-1])


async def test_what_a_row_is_known_by_holds_no_secret(tmp_path: Path) -> None:
    """Passwords could be tried against the digest, which stands in a file for everybody."""
    rows = [
        {"type": "CloudFlare5STask", "website_url": "https://example.com/", "proxy": proxy}
        for proxy in ("http://u:secret@1.2.3.4:80", "http://u:other@1.2.3.4:80")
    ]
    first, second = await read(written(tmp_path / "rows", "\n".join(map(json.dumps, rows))))
    assert first.task is not None
    assert first.key == second.key
    rows = [
        {"type": "T", "a": [{"auth": {"x": secret}, "b": {"proxyPass": secret}, "c": 1}]}
        for secret in ("secret", "other")
    ]
    path = written(tmp_path / "nested", "\n".join(map(json.dumps, rows)))
    first, second = await read(path, custom=True)
    assert first.task is not None
    assert first.key == second.key


@given(
    st.lists(st.text('ab,"\n é☃', max_size=8), min_size=1, max_size=6),
    st.integers(1, 7),
)
@settings(deadline=None, max_examples=60)
def test_rows_come_out_as_they_went_in_however_the_pipe_cuts_them(
    values: list[str], size: int
) -> None:
    """A character or a row at the edge of a chunk would be broken in two."""
    lines = [json.dumps({"type": "T", "x": value}, ensure_ascii=False) for value in values]
    content = "\n".join(lines).encode()

    async def read_pipe() -> list[Row]:
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb", buffering=0) as stream:

            def write() -> None:
                with closing(os.fdopen(writer, "wb", buffering=0)) as out:
                    for start in range(0, len(content), size):
                        out.write(content[start : start + size])

            thread = threading.Thread(target=write)
            thread.start()
            reading = RowReader(format="jsonl", custom=True).rows(stream)  # type: ignore[arg-type]
            rows = [row async for row in reading]
            thread.join()
            return rows

    rows = anyio.run(read_pipe)
    tasks = [row.task for row in rows]
    assert [
        json.loads(task.fields)["x"] for task in tasks if isinstance(task, CustomTask)
    ] == values


@pytest.mark.parametrize("windows", [sys.platform == "win32", True])
async def test_a_slow_pipe_does_not_stop_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
    windows: bool,  # noqa: FBT001
) -> None:
    """Polls of what is paid would wait for the next row."""
    monkeypatch.setattr("ezcaptcha_async.cli.batching.records._IS_WINDOWS", windows)
    reader, writer = os.pipe()
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await anyio.sleep(0.005)
            ticks += 1

    with os.fdopen(reader, "rb", buffering=0) as stream, os.fdopen(writer, "wb"):
        async with anyio.create_task_group() as group:
            group.start_soon(tick)
            rows = RowReader(format="jsonl").rows(stream)  # type: ignore[arg-type]
            os.write(writer, json.dumps(PAGE).encode() + b"\n")
            assert (await anext(rows)).task is not None
            line = json.dumps(PAGE).encode() + b"\n"
            threading.Timer(0.2, os.write, [writer, line]).start()
            assert (await anext(rows)).number == 2
            await rows.aclose()
            group.cancel_scope.cancel()
    assert ticks >= 5


async def test_a_pipe_that_breaks_on_windows() -> None:
    """The batch would wait for it for ever."""
    with pytest.raises(OSError, match="Bad file descriptor"):
        await read_in_thread(-1)


def test_how_many_rows_there_are(tmp_path: Path) -> None:
    """The time left could not be told."""
    path = written(tmp_path / "rows.csv", f"{CSV}\na\nb")
    assert count_rows(path, "csv") == 2
    assert count_rows(path, "jsonl") == 3
    assert count_rows(written(tmp_path / "empty", ""), "csv") == 0
    assert count_rows(Path("-"), "jsonl") is None
    os.mkfifo(tmp_path / "pipe")
    assert count_rows(tmp_path / "pipe", "jsonl") is None


def test_formats_by_name() -> None:
    """``tasks.CSV`` would be read as JSON."""
    assert [format_of(Path(name)) for name in ("a.csv", "a.CSV", "a.jsonl", "-")] == [
        "csv",
        "csv",
        "jsonl",
        "jsonl",
    ]


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    """A traceback would be all that a slip in a name is answered with."""
    with (
        pytest.raises(ConfigurationError, match=r"cannot read .*: No such file"),
        opened(Path("/no/file")),
    ):
        pass


@pytest.mark.parametrize("reference", [None, "", "job", "0:0123456789abcdef", "1:xyz", "x1:00"])
def test_references_of_others(reference: str | None) -> None:
    """A task of another program would be written down as some row."""
    assert row_of(reference) is None

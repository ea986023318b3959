"""Rows in another form than they are taken for: told before the first is paid for."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from ezcaptcha_async import ConfigurationError
from ezcaptcha_async.cli.batching.rows import RowReader
from ezcaptcha_async.cli.fields import is_own
from ezcaptcha_async.tasks import TASK_TYPES
from tests.cli.batches import Batch, charged, read
from tests.cli.commands import FAST, Cli
from tests.cli.conftest import Serve
from tests.cli.test_batch import OWN

V2 = {"type": "ReCaptchaV2TaskProxyless", "website_url": "https://example.com/", "website_key": "k"}
ROWS = [V2 | {"id": str(number)} for number in range(3)]
LINES = "".join(f"{json.dumps(row)}\n" for row in ROWS)
HEADER = "id,type,website_url,website_key\n"


def table(delimiter: str = ",") -> str:
    """Return the rows as CSV."""
    rows = [HEADER.strip().split(","), *([row["id"], *V2.values()] for row in ROWS)]
    return "".join(f"{delimiter.join(row)}\n" for row in rows)


WRONG: dict[str, tuple[str, str | bytes, str, str]] = {
    "array": ("a.jsonl", json.dumps(ROWS), "line 1 of the rows begins a JSON array", "jq -c '.[]'"),
    "array of lines": (
        "a.json",
        "[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n",
        "line 1 of the rows begins a JSON array",
        "one object a line",
    ),
    "indented array": ("a.json", f"\n  {json.dumps(ROWS, indent=1)}", "line 2", "jq -c '.[]'"),
    "indented objects": (
        "a.jsonl",
        "\n".join(json.dumps(row, indent=1) for row in ROWS),
        "line 1 of the rows is no whole JSON object",
        "jq -c .",
    ),
    "no type": (
        "a.jsonl",
        LINES.replace('"type"', '"note"'),
        "line 1 of the rows has no type",
        "give --type",
    ),
    "one without a type": ("a.jsonl", json.dumps(V2 | {"type": ""}), "has no type", "give --type"),
    "no column for the type": (
        "a.csv",
        table().replace("type,", "kind,"),
        "line 2 of the rows has no type",
        "give --type",
    ),
    "commas between": (
        "a.jsonl",
        ",\n".join(map(json.dumps, ROWS)),
        "line 1 of the rows ends in a comma",
        "nothing between",
    ),
    "two on a line": (
        "a.jsonl",
        LINES.replace("\n", ""),
        "line 1 of the rows is no whole JSON object",
        "write one object a line",
    ),
    "Python": (
        "a.jsonl",
        f"{V2!r}\n{V2!r}\n",
        "is no whole JSON object",
        "write one object a line",
    ),
    "prose": (
        "a.txt",
        "my rows\nand yours\n",
        "line 1 of the rows is no JSON object",
        "format csv",
    ),
    "CSV in a text file": ("a.txt", table(), "line 1 of the rows is no JSON object", "format csv"),
    "tabs in a text file": ("a.txt", table("\t"), "is separated by tabs", "CSV with commas"),
    "tabs": ("a.tsv", table("\t"), "line 1 of the rows is separated by tabs", "with commas"),
    "tabs in CSV": ("a.csv", table("\t"), "line 1 of the rows is separated by tabs", "commas"),
    "semicolons": ("a.csv", table(";"), "line 1 of the rows is separated by semicolons", "commas"),
    "semicolons and names of others": (
        "a.csv",
        "url;key\nhttps://example.com/;k\n",
        "line 1 of the rows is separated by semicolons",
        "commas",
    ),
    "bars": ("a.csv", table("|"), "line 1 of the rows is separated by bars", "commas"),
    "old Macs": ("a.csv", table().replace("\n", "\r"), "line 1 of the rows has line ends", "Unix"),
    "old Macs and JSON": ("a.jsonl", LINES.replace("\n", "\r"), "has line ends", "of Unix"),
    "no header": ("a.csv", table()[len(HEADER) :], "line 1 of the rows must name", "such as type,"),
    "columns as on the wire": (
        "a.csv",
        table().replace("website_url", "websiteURL").replace("website_key", "websiteKey"),
        "line 1 of the rows names fields as on the wire",
        "write website_url for websiteURL, website_key for websiteKey",
    ),
    "fields as on the wire": (
        "a.jsonl",
        LINES.replace("website_url", "websiteUrl"),
        "line 1 of the rows names fields as on the wire",
        "write website_url for websiteUrl",
    ),
    "JSON lines as CSV": ("a.csv", LINES, "line 1 of the rows is JSON", "--format jsonl"),
    "array as CSV": ("a.csv", json.dumps(ROWS), "line 1 of the rows is JSON", "--format jsonl"),
    "UTF-16": ("a.jsonl", LINES.encode("utf-16"), "line 1 of the rows is no text in UTF-8", "save"),
    "UTF-16 in CSV": ("a.csv", table().encode("utf-16-le"), "line 1", "save the file as UTF-8"),
    "UTF-16 without a mark": ("a.jsonl", LINES.encode("utf-16-be"), "in UTF-16", "as UTF-8"),
    "UTF-32": ("a.jsonl", LINES.encode("utf-32"), "line 1 of the rows is no text", "save"),
    "Latin 1 far below": (
        "a.csv",
        (table() + "3,T,https://example.com/caf\u00e9,k\n").encode("latin-1"),
        "line 5 of the rows is no text in UTF-8",
        "save the file as that",
    ),
    "a quote that is not closed": (
        "a.csv",
        f'{table()}3,T,https://example.com/,"big\n{table()}',
        "line 5 of the rows opens a quote that is not closed",
        "close it, or write it twice",
    ),
    "a quote that another row closes": (
        "a.csv",
        f'{table()}3,T,https://example.com/,"big\n{table()}4,T,"https://example.com/",k\n',
        "line 5 of the rows opens a quote that is not closed",
        "close it, or write it twice",
    ),
    "two stray quotes, far apart": (
        "a.csv",
        f'{table()}3,T,https://example.com/,"big\n{table() * 30}4,T,https://example.com/,big"\n',
        "line 5 of the rows opens a quote that is not closed",
        "close it, or write it twice",
    ),
    "a workbook": (
        "a.csv",
        b"PK\x03\x04\x14\x00\x06\x00\x08\xff",
        "no text in UTF-8",
        "save a sheet of the workbook as CSV",
    ),
    "an old workbook": ("a.csv", b"\xd0\xcf\x11\xe0\xa1\0", "no text", "a sheet of the workbook"),
    "compressed": ("a.jsonl.gz", gzip.compress(LINES.encode()), "no text in UTF-8", "unpack it"),
    "results": (
        "results.jsonl",
        '{"row":1,"key":"0","finished_at":1.0,"status":"solved"}\n',
        "line 1 of the rows has no field of a task",
        "the right file",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_in_the_wrong_form_costs_nothing(
    cli: Cli, nowhere: None, tmp_path: Path, case: str
) -> None:
    """The first row would be paid for, and all others be errors."""
    name, content, reason, remedy = WRONG[case]
    content = content.encode() if isinstance(content, str) else content
    rows, results = tmp_path / name, tmp_path / "found"
    rows.write_bytes(content)
    result = cli("batch", str(rows), "-o", str(results), *FAST)
    assert result.code == 2
    assert reason in result.line
    assert remedy in result.line
    assert {path.name for path in tmp_path.iterdir()} == {name}, "nothing is left of it"
    # A pipe, which cannot be looked at beforehand, is judged by each line that comes.
    reader = RowReader(format="csv" if name.endswith(".csv") else "jsonl")
    if case == "Latin 1 far below":
        *_, last = reader.read(io.BytesIO(content))
        assert str(last.problem).startswith("line 5: a row must be CSV: text in UTF-8")
    else:
        with pytest.raises(ConfigurationError) as refused:
            list(reader.read(io.BytesIO(content)))
        assert reason in str(refused.value)


def test_the_right_form_under_any_name(cli: Cli, serving: Serve, tmp_path: Path) -> None:
    """Who is careful with forms may refuse what is good."""
    server = serving()
    for count, name in enumerate(("rows.jsonl", "rows.txt", "rows.json", "rows.csv"), start=1):
        rows = tmp_path / name
        rows.write_text("\ufeff" + (table() if name.endswith(".csv") else f"\n\n{LINES}"))
        assert cli("batch", str(rows), "-o", f"{rows}.found", *FAST).code == 0
        assert charged(server) == 3 * count


def test_a_type_for_all_that_is_not_known(batch: Batch, nowhere: None) -> None:
    """Each of a hundred thousand rows would be an error of its own."""
    batch.rows.write_text(LINES)
    result = batch("--type", "ReCaptchaV2TaskProxyles")
    assert result.code == 2
    assert "did you mean ReCaptchaV2TaskProxyless?" in result.line
    assert not batch.results.exists()


# ------------------------------------------------------------------------ columns of one's own


def test_columns_of_ones_own_come_out_with_the_result(
    cli: Cli, serving: Serve, tmp_path: Path
) -> None:
    """The user would have to join two files by the number of the row."""
    serving()
    rows, results = tmp_path / "rows.csv", tmp_path / "found"
    rows.write_text(
        "Customer No.,type,note,website_url,website_key,date,password,\n"
        f'17,{V2["type"]},"call, back",{V2["website_url"]},k,2026-11-28,hunter2,x\n'
        f"18,{V2['type']},,nowhere,k,,,\n"
    )
    assert cli("batch", str(rows), "-o", str(results), *FAST).code == 1
    found = {item["row"]: item for item in read(results)}
    assert found[1]["columns"] == OWN
    assert found[2]["columns"] == {"Customer No.": "18"}
    assert found[2]["error"]["message"].startswith("line 3: website_url must be a whole URL")
    assert "hunter2" not in results.read_text()
    rows = tmp_path / "rows.jsonl"
    rows.write_text(f"{json.dumps({**V2, 'tags': ['a', {'password': 'hunter2', 'b': 1}]})}\n")
    assert cli("batch", str(rows), "-o", str(tmp_path / "more"), *FAST).code == 0
    assert read(tmp_path / "more")[0]["columns"] == {"tags": ["a", {"b": 1}]}


def test_a_quote_far_down_a_pipe(
    cli: Cli, serving: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is bought by then would be lost, or a script be told that nothing was sent."""
    server, results = serving(), tmp_path / "found"
    reader, writer = os.pipe()
    os.write(writer, table().encode())

    def go_on() -> None:
        while charged(server) < 3:
            time.sleep(0.02)
        with os.fdopen(writer, "w") as pipe:
            pipe.write(f'3,T,"https://example.com/,k\n{table()}')

    thread = threading.Thread(target=go_on)
    thread.start()
    with os.fdopen(reader) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        result = cli("batch", "-", "--format", "csv", "-o", str(results), *FAST)
    thread.join()
    assert result.code == 1, "2 says that nothing was sent"
    assert "line 5 of the rows opens a quote that is not closed" in result.err
    assert "the same command goes on from here" in result.err


TYPES = [task_class.__name__ for task_class in TASK_TYPES]
OF_OTHER_SERVICES = (
    *("blob", "data[blob]", "data-s", "recaptchaDataSValue", "isEnterprise", "enterprise"),
    *("enterprisePayload", "minScore", "min_score", "apiDomain", "action", "cdata", "pagedata"),
    *("chlPageData", "isSession", "pageurl", "googlekey", "sitekey", "site_key", "publickey"),
    *("websitePublicKey", "surl", "userAgent", "proxyType", "proxyAddress", "proxy_login"),
)


@pytest.mark.parametrize("task_type", TYPES)
def test_what_may_be_meant_for_a_field_is_not_ones_own(task_type: str) -> None:
    """A typo in an optional field would be left out, and a task paid for that nobody wanted."""
    assert not [name for name in OF_OTHER_SERVICES if is_own(task_type, name)]
    assert all(is_own(task_type, name) for name in (*OWN, "customer", "Price in EUR"))
    of_v2 = "websiteURL", "Website URL", "webiste_url", "invisible", "is_invisble", "page_action"
    assert not any(is_own("ReCaptchaV2TaskProxyless", name) for name in of_v2)
    assert not is_own("CloudFlare5STask", "my_proxy")


def test_one_row_as_on_the_wire_is_one_row(batch: Batch, serving: Serve) -> None:
    """A slip in one of many lines would keep all of them from being solved."""
    server = serving()
    batch.rows.write_text(LINES.replace("website_url", "websiteURL", 1))
    assert batch().code == 1
    assert "has no field websiteURL; did you mean website_url?" in batch.results.read_text()
    assert charged(server) == 2


def test_a_column_as_on_the_wire_that_rows_leave_empty(batch: Batch, serving: Serve) -> None:
    """Of a table of several types, one odd column would keep all rows from being solved."""
    server = serving()
    rows = batch.rows.with_name("rows.csv")
    first, *others = table().splitlines()
    cells = [f"{others[0]},true,", *(f"{other},," for other in others[1:])]
    rows.write_text("\n".join([f"{first},isInvisible,websiteURL", *cells]))
    batch.rows = rows
    assert batch().code == 1
    assert "has no field isInvisible; did you mean is_invisible?" in batch.results.read_text()
    assert charged(server) == 2


def test_rows_of_one_type_that_say_too_much(batch: Batch, serving: Serve) -> None:
    """Two at the beginning would speak for all that come after them."""
    server = serving()
    odd = [{**row, "pageAction": "login"} for row in ROWS[:2]]
    batch.rows.write_text("".join(f"{json.dumps(row)}\n" for row in [*odd, ROWS[2]]))
    assert batch().code == 1
    assert charged(server) == 1


def test_a_typo_in_a_column_is_told(batch: Batch, serving: Serve) -> None:
    """The row would be solved without what the column says."""
    server = serving()
    batch.rows.write_text(f"{json.dumps({**V2, 'is_invisble': True})}\n")
    assert batch().code == 1
    assert "has no field is_invisble; did you mean is_invisible?" in batch.results.read_text()
    assert charged(server) == 0

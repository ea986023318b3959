"""``batch --dry-run``: what a batch would buy, before it does."""

from __future__ import annotations

import io
import json
from pathlib import Path

import anyio
import pytest
from filelock import FileLock

from ezcaptcha_async import SessionPool, SubmissionUnknownError
from ezcaptcha_async.cli.batching.rows import RowReader
from ezcaptcha_async.testing import Fault, SimulatedService
from tests.cli.batches import Batch, charged
from tests.cli.commands import BRIEF, LONG, STEADY, Cli
from tests.cli.conftest import Serve
from tests.unit.journal.test_journal import untouched

PAGE = {
    "type": "ReCaptchaV2TaskProxyless",
    "website_url": "https://example.com/",
    "website_key": "k",
}


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Three good rows, of two types, and twelve bad ones."""
    path = tmp_path / "rows.jsonl"
    good = [PAGE, {**PAGE, "website_key": "other"}, {**PAGE, "type": "ReCaptchaV3TaskProxyless"}]
    bad = [{**PAGE, "website_url": f"nowhere-{number}"} for number in range(12)]
    path.write_text("\n".join(map(json.dumps, [*good, *bad])))
    return path


def test_what_would_be_bought(cli: Cli, rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slip in a list of thousands would be found out by paying for it; and no key is needed."""
    monkeypatch.delenv("EZCAPTCHA_CLIENT_KEY", raising=False)
    before = {path.name for path in rows.parent.iterdir()}
    for name in ("-", str(rows.parent / "results")):
        result = cli("batch", str(rows), "-o", name, "--dry-run")
        assert result.code == 1
        assert "15 rows: 3 to buy, 12 bad" in result.out
        assert "row 4: line 4: website_url must be a whole URL" in result.out
        assert "and 2 more" in result.out
        words = " ".join(result.out.split())
        assert "ReCaptchaV2TaskProxyless 2 12 " in words
        assert "At the listed prices: 20 points (0.0020 USD)." in words
        assert "Nothing was sent" in words
    assert {path.name for path in rows.parent.iterdir()} == before
    found = cli("batch", str(rows), "--dry-run", "--json").document
    assert (found["rows"], found["finished"], found["to_fetch"], found["bad"]) == (15, 0, 0, 12)
    assert found["problems"][0]["row"] == 4
    assert found["currency"] == "USD"
    assert found["points"] == sum(item["points"] for item in found["types"])
    assert found["value"] == pytest.approx(found["points"] / 10_000)


def test_a_type_that_the_service_does_not_have(cli: Cli, tmp_path: Path) -> None:
    """It would look like one without a price."""
    path = tmp_path / "rows.jsonl"
    row = {"type": "FuncaptchaTaskProxyless", "website_url": PAGE["website_url"]}
    path.write_text(json.dumps({**row, "website_key": "k"}))
    custom = cli("batch", str(path), "--dry-run", "--custom", "--service", "1captcha")
    assert "row 1: 1captcha has no type FuncaptchaTaskProxyless" in custom.out


def test_what_earlier_runs_have_bought_is_not_counted(batch: Batch, serving: Serve) -> None:
    """Going on with a batch would look as dear as beginning it."""
    server = serving()
    batch.write(2)
    assert batch().code == 0
    serving(**LONG)
    batch.write(3)
    assert batch(*STEADY, *BRIEF).code == 1
    batch.write(5)
    result = batch("--dry-run")
    assert "5 rows: 2 to buy, 2 finished before, 1 paid and to fetch, 0 bad" in result.out
    assert result.code == 0
    batch.rows.write_text(batch.rows.read_text().replace("example.com/0", "example.net"))
    assert "row 1: is not the one that was paid for" in batch("--dry-run").out
    assert charged(server) == 2


def test_only_to_look_changes_nothing(batch: Batch, serving: Serve) -> None:
    """A line that another run is writing would be cut off, or that run be in the way."""
    serving()
    batch.write(2)
    assert batch().code == 0
    results = batch.results
    results.write_bytes(results.read_bytes() + b'{"row":2,"key":')
    batch.write(3)
    lock = Path(f"{results}.lock")
    lock.unlink(missing_ok=True)
    before = untouched(results)
    found = batch("--dry-run")
    assert "3 rows: 1 to buy, 2 finished before, 0 bad" in found.out
    assert untouched(results) == before
    assert not lock.exists()
    with FileLock(lock):
        assert batch("--dry-run").out == found.out
    results.write_text("notes\n")
    assert "its first line is not one of a batch" in batch("--dry-run").line


def test_what_a_killed_run_may_have_bought_is_not_counted(batch: Batch, serving: Serve) -> None:
    """It would look as if it were bought again, which the run does only when it is told to."""
    batch.write(3)
    first = next(RowReader(format="jsonl").read(io.BytesIO(batch.rows.read_bytes())))

    async def killed() -> None:
        service = SimulatedService()
        service.inject(Fault.RESET_AFTER, path="/createTask")
        client = service.client()
        async with SessionPool("a-key", journal=batch.journal, http_client=client) as pool:
            with pytest.raises(SubmissionUnknownError):
                await pool.solve(first.task)

    anyio.run(killed)
    found = batch("--dry-run", "--json").document
    assert (found["rows"], found["lost"], found["types"][0]["rows"]) == (3, 1, 2)
    assert "3 rows: 2 to buy, 1 perhaps paid and lost, 0 bad" in batch("--dry-run").out
    again = batch("--dry-run", "--json", "--retry-failed").document
    assert (again["lost"], again["types"][0]["rows"]) == (0, 3)
    server = serving()
    assert batch().code == 1
    assert charged(server) == 2


def test_rows_that_are_not_there(cli: Cli, tmp_path: Path) -> None:
    """A slip in a name would be a traceback."""
    assert "No such file" in cli("batch", "no-such-file", "--dry-run").line
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join([json.dumps(PAGE), *['{"type": "Nope"}'] * 1_005]))
    found = cli("batch", str(path), "--dry-run", "--json").document
    assert (found["bad"], len(found["problems"])) == (1_005, 1_000)

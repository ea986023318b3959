"""Results files as ``ezcaptcha batch`` writes them: made from what the library gives out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from ezcaptcha_async import EzCaptchaError, ReCaptchaSolution, Receipt, TaskFailedError
from ezcaptcha_async.cli import failures
from ezcaptcha_async.cli.solving import described

NOON = 1_763_812_800.0
V2 = "ReCaptchaV2TaskProxyless"
HOSTILE = "<script>document.title='owned'</script>"


def solved(row: int, waited: float = 20.0, *, at: float = NOON, **changes: Any) -> dict[str, Any]:
    """Return a solved row, finished `at` that time and fetched 4 s after it may have been ready."""
    receipt: dict[str, Any] = {
        "task_id": f"task-{row}",
        "service": "ezcaptcha",
        "task_type": V2,
        "created_at": at - waited,
        "processing_at": at - 4,
        "ready_at": at,
        "polls": 3,
        "points": 6.0,
        **changes,
    }
    solution = ReCaptchaSolution(receipt=Receipt(**receipt), expires_at=at + 116, token="a-token")
    return {"row": row, "status": "solved", "finished_at": at, **described(solution)}


def failed(
    row: int, error: EzCaptchaError | None = None, *, at: float = NOON, final: bool = True
) -> dict[str, Any]:
    """Return a failed row."""
    found = failures.description(error or unsolvable(row))
    return {"row": row, "status": "failed", "final": final, "finished_at": at, **found}


def unsolvable(row: int, task_id: str | None = None) -> TaskFailedError:
    """Return the error of a task that was paid for, and that the service gave up."""
    task_id = task_id or f"task-{row}"
    return TaskFailedError(
        "ERROR_CAPTCHA_UNSOLVABLE",
        "nobody could",
        task_id=task_id,
        ticket={"task_id": task_id, "points": 6.0},
        may_be_charged=True,
    )


def lines(rows: Sequence[dict[str, Any]]) -> bytes:
    """Return the rows as they are in a file."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def write(path: Path, rows: Sequence[dict[str, Any]], more: bytes = b"") -> str:
    """Write a results file, and return its name."""
    path.write_bytes(lines(rows) + more)
    return str(path)


def many(number: int = 400, *, hours: float = 0.2) -> list[dict[str, Any]]:
    """Return the rows of a batch with everything in it, also types and texts that mean harm."""
    random = Random(1)
    rows: list[dict[str, Any]] = []
    types = (V2, V2, "ReCaptchaV2SEnterpriseTaskProxyless", HOSTILE)
    for row in range(1, number + 1):
        at = NOON + row / number * hours * 3600
        if row % 20:
            waited = random.lognormvariate(3, 0.4)
            kind = random.choice(types)
            price = None if kind == HOSTILE else 6.0
            rows.append(solved(row, waited, at=at, task_type=kind, points=price))
        elif row % 40:
            rows.append(failed(row, at=at))
        else:
            error = TaskFailedError("ERROR_<b>BOLD</b>", f"{HOSTILE} & more", may_be_charged=True)
            rows.append(failed(row, error, at=at))
    return rows

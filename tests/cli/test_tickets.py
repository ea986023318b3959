"""Saved tickets in a text, however they came there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ezcaptcha_async.cli.tickets import tickets_in


def ticket(task_id: str) -> dict[str, Any]:
    """Return the least that a saved ticket has."""
    return {
        "task_id": task_id,
        "service": "ezcaptcha",
        "type": "ReCaptchaV2TaskProxyless",
        "created_at": 1_800_000_000.0,
    }


ONE, TWO = json.dumps(ticket("1")), json.dumps(ticket("2"))


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (ONE, ["1"]),
        (f"{ONE}\n{TWO}\n{ONE}\n", ["1", "2"]),
        (f"[{ONE}, {TWO}]", ["1", "2"]),
        (json.dumps(ticket("1"), indent=2), ["1"]),
        (f"ezcaptcha: interrupted; task 1 is paid\n{ONE}\n", ["1"]),
        (f'{{"error": {{"kind": "Interrupted", "tickets": [{ONE}, {TWO}]}}}}', ["1", "2"]),
        (f'{{"error": {{"kind": "SolveTimeoutError", "ticket": {TWO}}}}}', ["2"]),
        ('{"error": {"kind": "ServiceError", "ticket": null}}', []),
        ('{"error": {"tickets": 7, "ticket": "1"}}', []),
        ('{"error": 7}', []),
        (f'{{"row": 1, "status": "failed", "error": {{"ticket": {ONE}}}}}\n', []),
        (ONE.replace('"1"', "7"), []),
        ("Dear diary\n", []),
        ("[" * 100_000, []),
        ("[7, null]", []),
        ("{", []),
        ("", []),
    ],
)
def test_each_ticket_once(text: str, ids: list[str]) -> None:
    """What a person keeps of an interrupted run, nobody could fetch."""
    assert [found["task_id"] for found in tickets_in(text)] == ids

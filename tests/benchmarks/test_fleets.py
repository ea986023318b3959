"""What the benchmarks of a fleet make of what its jobs came to."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ezcaptcha_async.fleets import AccountStatus, FleetStatus

LOST = "no token: the answer to createTask was lost; it may have been paid for"


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program, imported as where it is run."""
    return program("engines", monkeypatch)


@pytest.fixture
def chaos(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Likewise."""
    return program("fleet_chaos", monkeypatch)


def program(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a program that has its neighbours on the path."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    return importlib.import_module(name)


@pytest.mark.parametrize(
    ("lines", "charged", "is_good"),
    [
        (["a simulated.1", "b simulated.2"], 2, True),
        (["a simulated.1", "a simulated.1", "b simulated.2"], 2, True),
        (["a simulated.1", f"b {LOST}"], 2, True),
        (["a simulated.1", f"b {LOST}"], 1, True),
        (["a simulated.1", f"b {LOST}", "b simulated.2"], 2, True),
        (["a simulated.1", "b simulated.2"], 3, False),
        (["a simulated.1", "b simulated.1"], 1, False),
        (["a simulated.1", "a simulated.2", "b simulated.3"], 3, False),
        (["a simulated.1"], 1, False),
        (["a simulated.1", "b no token: the budget is spent"], 1, False),
    ],
)
def test_each_payment_is_a_token_or_unknown(
    engines: Any, lines: list[str], charged: int, is_good: Any
) -> None:
    """A job that was bought twice, or not at all, would be shown as good."""
    course = engines.counted(["a", "b"], lines, charged=charged, seconds=1.0)
    assert course.is_good is is_good


def moment(chaos: Any, **changed: Any) -> Any:
    """Return a moment in which all is well, but for what is changed."""
    account = {"account": "a", "state": "open", "retry_after": None, "errors": 0}
    status = {"creating": 0, "in_flight": 0, "spent": 12.0, "unknown": 0} | changed
    came = {"charged": 2, "tokens": 2, "twice": 0, "unknown_jobs": 0, "missing": Counter[str]()}
    return chaos.Moment(
        **(came | {name: value for name, value in changed.items() if name in came}),
        status=FleetStatus(
            name="chaos",
            pools=1,
            accounts=(
                AccountStatus(
                    **account, creating=status["creating"], in_flight=status["in_flight"]
                ),
            ),
            budget=None,
            spent=status["spent"],
            created=2,
            done=2,
            adopted=0,
            unknown=status["unknown"],
        ),
    )


WRONG: list[dict[str, Any]] = [
    *({"charged": 3}, {"tokens": 3}, {"twice": 1}, {"missing": Counter(["nothing"])}),
    *({"in_flight": 1}, {"creating": 1}, {"spent": 6.0}, {"spent": 18.0}),
]


def test_what_does_not_hold_is_said(chaos: Any) -> None:
    """Money that is gone would be in no figure."""
    assert moment(chaos).problems(forgot=False) == []
    for changed in WRONG:
        assert moment(chaos, **changed).problems(forgot=False), changed
    # A power loss, of which it is said what a server has forgotten.
    assert moment(chaos, spent=6.0).problems(forgot=True) == []
    assert moment(chaos, charged=3, unknown=1).problems(forgot=False) == []

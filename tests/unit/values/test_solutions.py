"""Solutions: values that know how long they last and do not flood a log."""

from __future__ import annotations

import copy
import pickle
import time
from typing import Any

import attrs
import pytest

from ezcaptcha_async.solutions import (
    CloudFlare5SSolution,
    CloudFlareTurnstileSolution,
    CustomSolution,
    FuncaptchaSolution,
    HCaptchaSolution,
    ReCaptchaSolution,
    Receipt,
    Solution,
)

RECEIPT = Receipt(
    task_id="77",
    service="ezcaptcha",
    task_type="ReCaptchaV2TaskProxyless",
    created_at=1_000.0,
    processing_at=1_010.0,
    ready_at=1_013.5,
    polls=2,
    points=6,
)
LONG = "t" * 2_345
COMMON: dict[str, Any] = {"receipt": RECEIPT, "expires_at": 1_130.0}
SOLUTIONS = [
    ReCaptchaSolution(token=LONG, user_agent="Agent", cookies={"a": "c00kie"}, **COMMON),
    FuncaptchaSolution(token=LONG, **COMMON),
    CloudFlare5SSolution(
        headers={"h": "h3ader"}, cookies={"a": "c00kie"}, body=LONG, s_token="c00kie", **COMMON
    ),
    CloudFlareTurnstileSolution(token=LONG, headers={"h": "h3ader"}, **COMMON),
    HCaptchaSolution(token=LONG, user_agent="Agent", **COMMON),
    CustomSolution(extra={"answer": 42}, **COMMON),
]


@pytest.mark.parametrize("solution", SOLUTIONS, ids=lambda item: type(item).__name__)
def test_solutions_are_values(solution: Solution) -> None:
    """A solution could not be cached, queued to another process, or trusted not to change."""
    twin = pickle.loads(pickle.dumps(solution))
    assert twin == solution == copy.copy(solution)
    assert twin.receipt.waited == 13.5
    assert hash(twin) == hash(solution)
    assert attrs.evolve(solution, expires_at=0.0) != solution
    for field in attrs.fields(type(solution)):
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(solution, field.name, None)
    with pytest.raises(TypeError):
        type(solution)(RECEIPT, 1_130.0)  # type: ignore[call-arg]
    with pytest.raises((AttributeError, TypeError)):
        solution.note = "mine"  # type: ignore[attr-defined]


@pytest.mark.parametrize("solution", SOLUTIONS[:-1], ids=lambda item: type(item).__name__)
def test_a_repr_is_short_and_keeps_cookies_to_itself(solution: Solution) -> None:
    """One log line would hold kilobytes of token, or somebody's session cookie."""
    text = repr(solution)
    assert "'tttttttttttttttt…' (2,345 characters)" in text
    assert LONG[:17] not in text
    assert "token='short'" in repr(FuncaptchaSolution(token="short", **COMMON))
    assert "c00kie" not in text
    assert "h3ader" not in text


def test_remaining_counts_down_to_zero() -> None:
    """A token would be used after its end, or a negative wait be slept."""
    solution = SOLUTIONS[0]
    assert solution.remaining(1_010.0) == 120.0
    assert solution.remaining(1_129.5) == 0.5
    assert solution.remaining(1_130.0) == 0.0
    assert solution.remaining(9_999.0) == 0.0
    assert solution.remaining(0.0) == 1_130.0


@pytest.mark.parametrize("jump", [-3_600.0, 0.0, 3_600.0])
def test_remaining_outlives_a_clock_that_is_set(
    monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """A dying token would say that it has an hour left, and a fresh one that it is dead."""
    now, since = time.time(), time.monotonic()
    solution = attrs.evolve(SOLUTIONS[0], expires_at=now + 100.0)
    monkeypatch.setattr(time, "time", lambda: now + 10.0 + jump)
    monkeypatch.setattr(time, "monotonic", lambda: since + 10.0)
    assert solution.remaining() == pytest.approx(90.0, abs=1.0)
    assert solution.remaining(now + 30.0) == pytest.approx(70.0)
    # Of one that came from elsewhere, the clock of that kind says nothing.
    there = pickle.loads(pickle.dumps(solution))
    assert there.remaining() == pytest.approx(max(0.0, 90.0 - jump))

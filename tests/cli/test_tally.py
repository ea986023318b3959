"""What the demonstration makes of its end: every kind of loss or wrong charge is found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ezcaptcha_async import (
    Outcome,
    PoolStatistics,
    ReCaptchaSolution,
    ReCaptchaV2TaskProxyless,
    Receipt,
    ResultWindowLapsedError,
)
from ezcaptcha_async.cli import display
from ezcaptcha_async.cli.output import Output
from ezcaptcha_async.cli.tally import Tally, tally
from ezcaptcha_async.testing import SimulatedService

TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com/", website_key="a-key")
COUNTS = PoolStatistics(points=12)
LAPSED = ResultWindowLapsedError("over")
SPEED = 10.0


def _post(service: SimulatedService, path: str, now: float, **fields: Any) -> dict[str, Any]:
    body = json.dumps({"clientKey": "a-key", **fields}).encode()
    answer: dict[str, Any] = json.loads(service.handle(path, body, now).body)
    return answer


def _create(service: SimulatedService, now: float) -> str:
    page = {"websiteURL": "https://example.com/", "websiteKey": "a-key"}
    task = {"type": "ReCaptchaV2TaskProxyless", **page}
    return str(_post(service, "/createTask", now, task=task)["taskId"])


def _solution(task_id: str) -> ReCaptchaSolution:
    receipt = Receipt(
        task_id=task_id,
        service="ezcaptcha",
        task_type="ReCaptchaV2TaskProxyless",
        created_at=100.0,
        processing_at=None,
        ready_at=102.0,
        polls=1,
        points=6,
    )
    return ReCaptchaSolution(receipt=receipt, expires_at=220.0, token="a-token")


@pytest.fixture
def service() -> SimulatedService:
    """Return a service that two tasks were paid to, and fetched from."""
    service = SimulatedService(solve_times=10.0)
    for now in (0.0, 1.0):
        _create(service, now)
    for task in service.record.tasks:
        _post(service, "/getTaskResult", 15.0, taskId=task.task_id)
    return service


def _tally(
    service: SimulatedService,
    given: list[ReCaptchaSolution | ResultWindowLapsedError] | None = None,
    counts: PoolStatistics = COUNTS,
) -> Tally:
    fetched = [_solution(task.task_id) for task in service.record.tasks[:2]]
    outcomes = [
        Outcome(index=index, task=TASK, error=item)
        if isinstance(item, ResultWindowLapsedError)
        else Outcome(index=index, task=TASK, solution=item)
        for index, item in enumerate(given or fetched)
    ]
    return tally(outcomes, counts, service, elapsed=1.6, speed=SPEED)


def _headings(found: Tally) -> list[str]:
    return [problem.partition("\n")[0] for problem in found.problems]


def test_nothing_is_found_where_nothing_is_wrong(service: SimulatedService) -> None:
    """The demonstration would fail on a machine where all is well."""
    found = _tally(service)
    assert found.problems == ()
    assert (found.total.tasks, found.total.solved, found.total.polls) == (2, 2, 1)
    assert found.total.median == found.total.p95 == 20.0  # 2 s at ten times real speed
    assert (found.requests, found.polls_per_task) == (4, 1)
    assert (found.lag_mean, found.lag_p95) == (4.5, 5.0)
    assert found.points_charged == found.points_counted == 12


def test_what_went_wrong_is_found(service: SimulatedService) -> None:
    """A lost task, a wrong charge or a token of somebody else would go by unnoticed."""
    found = _tally(service, [_solution(service.record.tasks[0].task_id), LAPSED])
    assert found.problems == ("not solved: 1 of 2 tasks (1 ResultWindowLapsedError)",)
    assert found.errors == {"ResultWindowLapsedError": 1}
    found = _tally(service, counts=PoolStatistics(points=6))
    assert _headings(found) == ["2 tasks were charged for 12 points, not 2 for 6 points"]
    task_id = service.record.tasks[0].task_id
    found = _tally(service, [_solution(task_id), _solution(task_id)])
    assert found.problems == ("not solved: 1 of 2 tasks (mixed up)",)
    task_id = service.record.tasks[0].task_id
    found = _tally(service, [_solution(task_id), _solution("of-nobody")])
    assert found.problems == ("not solved: 1 of 2 tasks (mixed up)",)


def test_a_paid_task_that_was_never_fetched(service: SimulatedService) -> None:
    """A task that was paid twice, and fetched once, would look like one task."""
    _create(service, 16.0)
    found = _tally(service, counts=PoolStatistics(points=18))
    assert _headings(found) == [
        "3 tasks were charged for 18 points, not 2 for 18 points",
        "1 of 3 paid tasks were not fetched",
    ]


def test_polls_that_came_too_soon(service: SimulatedService) -> None:
    """The client could earn a ban without anybody noticing."""
    task_id = _create(service, 20.0)
    for now in (21.0, 21.5, 31.0):
        _post(service, "/getTaskResult", now, taskId=task_id)
    found = _tally(service, counts=PoolStatistics(points=18))
    assert "1 of 5 polls came too soon after 'processing'" in _headings(found)


def test_problems_are_shown_and_so_is_a_type_without_a_solution(
    service: SimulatedService, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that went wrong could end with a traceback instead of what went wrong."""
    found = _tally(service, [LAPSED, LAPSED], PoolStatistics(points=6))
    display.show_tally(Output(as_json=False), found)
    shown = capsys.readouterr().out
    assert "not solved: 2 of 2 tasks (2 ResultWindowLapsedError)" in shown
    assert shown.count("1 polls, solution fetched after") == 2, "the tasks in question"
    assert "Nothing was lost" not in shown
    assert shown.split("all types")[1].split()[:5] == ["2", "0", "-", "-", "-"]

"""What a user's test asserts of the simulated service, and how it fails."""

from __future__ import annotations

import pytest

from ezcaptcha_async.testing import Fixed, SimulatedService

from .simulated_calls import KEY, V2, create, poll

V3 = {"type": "ReCaptchaV3TaskProxyless", "pageAction": "view"} | {
    key: value for key, value in V2.items() if key != "type"
}


@pytest.fixture
def service() -> SimulatedService:
    """Return a service that has been paid for two tasks, and has answered the first."""
    service = SimulatedService(solve_times=Fixed(10), balance=14)
    first = create(service, 0.0)["taskId"]
    create(service, 1.0, V3)
    poll(service, first, 6.0)
    poll(service, first, 12.0)
    return service


def test_what_was_charged(service: SimulatedService) -> None:
    """A test could not say what its code may cost, or its failure what was paid for."""
    service.assert_charged(2)
    service.assert_charged(2, points=14)
    service.assert_charged(1, points=6, task_type="ReCaptchaV2TaskProxyless")
    service.assert_charged(0, points=0, task_type="FuncaptchaTaskProxyless")
    create(service, 13.0)
    kinds, ids = zip(*((task.type, task.task_id) for task in service.record.tasks), strict=True)
    with pytest.raises(AssertionError) as caught:
        service.assert_charged(3, points=20)
    assert str(caught.value).splitlines() == [
        "2 tasks were charged for 14 points, not 3 for 20 points",
        f"  {kinds[0]} {ids[0]}: ready after 10.0 s, 2 polls, solution fetched after 12.0 s",
        f"  {kinds[1]} {ids[1]}: ready after 10.0 s, 0 polls, not fetched",
        "  refused 1 times: ERROR_ZERO_BALANCE",
    ]
    with pytest.raises(AssertionError, match=r"^2 tasks .* for 14 points, not 2 for 13 "):
        service.assert_charged(2, points=13)
    with pytest.raises(
        AssertionError, match=r"^1 tasks of the type ReCaptchaV3TaskProxyless were "
    ):
        service.assert_charged(2, task_type="ReCaptchaV3TaskProxyless")


def test_what_was_polled(service: SimulatedService) -> None:
    """A test could not see that its code wastes requests, or earns a ban with the real service."""
    service.assert_polled(at_most=2)
    service.assert_spacing_kept()
    with pytest.raises(AssertionError, match=r"^1 tasks were polled more than 1 times\n  ReCaptc"):
        service.assert_polled(at_most=1)
    service.set_balance(KEY, 100)
    third = create(service, 13.0)["taskId"]
    poll(service, third, 14.0)
    poll(service, third, 15.0)
    with pytest.raises(AssertionError, match=r"^1 of 4 polls came too soon after 'processing'\n"):
        service.assert_spacing_kept()


def test_what_was_fetched(service: SimulatedService) -> None:
    """A test would pass whose code pays for tasks and forgets them."""
    with pytest.raises(AssertionError, match=r"^1 of 2 paid tasks were not fetched\n  .* not fet"):
        service.assert_all_fetched()
    _, second = service.record.tasks
    poll(service, second.task_id, 12.0)
    service.assert_all_fetched()


def test_failures_are_short_and_say_what_failed() -> None:
    """A failure would look as if a solution had been paid for, or fill the screen."""
    service = SimulatedService(solve_times=Fixed(10), failure_rate=1)
    poll(service, create(service, 0.0)["taskId"], 11.0)
    service.assert_all_fetched()
    with pytest.raises(AssertionError, match=r"ERROR_CAPTCHA_UNSOLVABLE fetched after 11\.0 s$"):
        service.assert_charged(2)
    service = SimulatedService()
    for number in range(30):
        create(service, float(number))
    with pytest.raises(AssertionError, match=r"\n  and 10 more$") as caught:
        service.assert_all_fetched()
    assert len(str(caught.value).splitlines()) == 22

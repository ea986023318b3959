"""The learned policy in a pool, under virtual time: what it learns, tells and keeps."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest

from ezcaptcha_async import (
    Account,
    LearnedPolling,
    PollPolicy,
    SessionPool,
)
from ezcaptcha_async.polling import PollTiming
from ezcaptcha_async.tasks import Kind
from ezcaptcha_async.testing import Fault, Fixed, LogNormal, SimulatedService, SolveTime, Uniform

from .conftest import KEY, TASK, DirectTransport, open_pool, open_pool_directly, solve_all

KIND = Kind("ezcaptcha", TASK.type, "example.com")


async def solve_slowly(pool: SessionPool, count: int, task: Any = TASK) -> None:
    """Solve so many tasks, one begun each second."""
    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(pool.solve, task)
            await anyio.sleep(1.0)


async def test_it_learns_where_nothing_else_is_given() -> None:
    """Users would pay for twice the polls, and never see what could be known."""
    service = SimulatedService(solve_times=Uniform(18, 22))
    async with open_pool_directly(service) as pool:
        assert pool.statistics().kinds == ()
        await solve_slowly(pool, 300)
        (found,) = pool.statistics().kinds
    assert found.kind == KIND
    assert found.tasks == 300
    assert found.median == pytest.approx(20, abs=1.5)
    assert found.polls_per_task == pool.statistics().polls / 300
    summary = service.record.summary()
    assert summary.spacing_violations == 0
    assert found.polls_per_task < 2.5
    assert summary.lag_mean < 3
    assert found.overshoot == pytest.approx(summary.lag_mean, rel=0.4)


@pytest.mark.parametrize(("slowest", "low", "high"), [(1.0, 3.0, 10.0), (60.0, 0.05, 0.2)])
async def test_the_default_follows_the_speed_of_the_slowest_service(
    slowest: float, low: float, high: float
) -> None:
    """A test on a service at sixty times real speed would wait for it as for the real one."""
    service = SimulatedService(solve_times=Fixed(0))
    accounts = (
        Account("a-key", service=service.profile(time_scale=slowest)),
        Account("another-key", service=service.profile(time_scale=60)),
    )
    async with open_pool(service, *accounts, latency=0.0) as pool:
        assert low < (await pool.solve(TASK)).receipt.waited < high


@pytest.mark.parametrize(
    ("fastest", "slowest", "polls", "lag"), [(2.0, 5.0, 1.7, 2.5), (40.0, 60.0, 9.0, 4.0)]
)
async def test_a_hundred_at_once_learn_from_the_first_answers(
    fastest: float, slowest: float, polls: float, lag: float
) -> None:
    """A script would fetch what is fast after 8 s, and poll what is slow sixteen times."""
    service = SimulatedService(solve_times=Uniform(fastest, slowest))
    async with open_pool_directly(service) as pool:
        await solve_all(pool, 100)
    summary = service.record.summary()
    assert pool.statistics().polls < 100 * polls
    assert summary.lag_mean < lag
    assert summary.spacing_violations == 0


async def test_what_has_become_quick_does_not_wait_as_it_used_to() -> None:
    """The next run of a script would fetch after 12 s what a known type does in 4 s by now."""
    polling = LearnedPolling()
    async with open_pool_directly(
        SimulatedService(solve_times=Uniform(15, 20)), polling=polling
    ) as pool:
        await solve_slowly(pool, 200)
    service = SimulatedService(solve_times=Uniform(2, 5))
    async with open_pool_directly(service, polling=polling) as pool:
        await solve_all(pool, 40)
    assert service.record.summary().lag_mean < 4


async def cost_of(service: SimulatedService, polling: PollTiming, count: int) -> float:
    """Return the seconds after which so many at once are fetched, a poll counted as half of one."""
    async with open_pool_directly(service, polling=polling) as pool:
        await solve_all(pool, count)
        counts = pool.statistics()
    return 0.5 * counts.polls / count + service.record.summary().lag_mean


ALL_THE_TIME = PollPolicy(first_delay=3, interval=3, growth=1, jitter=0)
SHAPES = (Fixed(1), Uniform(1, 4), Fixed(5), Uniform(8, 28), Fixed(14), Uniform(40, 90))


@pytest.mark.parametrize("count", [6, 20, 100])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
async def test_whatever_a_new_type_takes_few_find_it_out(shape: SolveTime, count: int) -> None:
    """A script with some tasks of an unknown type would be better off asking every 3 s."""
    learned = await cost_of(SimulatedService(solve_times=shape), LearnedPolling(), count)
    plain = await cost_of(SimulatedService(solve_times=shape), ALL_THE_TIME, count)
    assert learned < 1.35 * plain


@pytest.mark.parametrize("count", [20, 100])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
async def test_whatever_a_known_type_takes_since_today(shape: SolveTime, count: int) -> None:
    """What was learned of it would hold up all that are begun at once."""
    polling = LearnedPolling()
    before = SimulatedService(solve_times=LogNormal(18, 0.3))
    async with open_pool_directly(before, polling=polling) as pool:
        await solve_slowly(pool, 200)
    learned = await cost_of(SimulatedService(solve_times=shape), polling, count)
    plain = await cost_of(SimulatedService(solve_times=shape), ALL_THE_TIME, count)
    assert learned < 1.5 * plain


async def test_sixteen_at_work_at_a_time_are_not_all_scouts() -> None:
    """Each would be the sixteenth when it comes, and be polled seven times instead of three."""
    service = SimulatedService(solve_times=Uniform(15, 25))
    async with open_pool_directly(service) as pool:
        async with pool.solve_many([TASK] * 200, max_in_flight=16) as outcomes:
            async for outcome in outcomes:
                assert outcome.error is None
        assert pool.statistics().polls < 200 * 4


async def test_a_policy_of_ones_own_may_have_scouts_and_plan_anew() -> None:
    """Only our own policy could react to what the first answers of a burst say."""
    seen: list[float] = []

    class Own(PollPolicy):
        def scouts(self, kind: Kind, place: int) -> bool:
            return place == 0

        def first_poll(self, kind: Kind, spacing: float, rng: Random) -> float:
            return seen[0] + 1 if seen else 60.0

        def learn(self, kind: Kind, after: float, age: float, *, ready: bool) -> bool:
            seen.extend([age] * ready)
            return ready

    service = SimulatedService(solve_times=Fixed(10))
    async with open_pool_directly(service, polling=Own(), latency=0.0) as pool:
        tickets = [await pool.submit(TASK) for _ in range(3)]
        receipts = [(await ticket).receipt for ticket in tickets]
    assert [receipt.polls for receipt in receipts] == [4, 1, 1]
    assert all(receipt.waited < 14 for receipt in receipts)


async def test_a_ticket_says_how_long_it_will_take() -> None:
    """A progress display would have nothing to show."""
    service = SimulatedService(solve_times=Fixed(20))
    async with open_pool(service) as pool:
        ticket = await pool.submit(TASK)
        assert ticket.estimated_remaining is None
        await ticket
        assert ticket.estimated_remaining is None
        await solve_slowly(pool, 60)
        ticket = await pool.submit(TASK)
        assert ticket.estimated_remaining == pytest.approx(20, abs=2)
        await anyio.sleep(10)
        assert ticket.estimated_remaining == pytest.approx(10, abs=2)
        ticket.cancel()
        assert ticket.estimated_remaining is None


async def test_what_was_learned_survives_a_restart(tmp_path: Path) -> None:
    """A scraper that is restarted every hour would start cold every hour."""
    path = tmp_path / "timing.json"
    first_polls = []
    for _ in range(2):
        service = SimulatedService(solve_times=Fixed(40))
        async with open_pool(service, polling=LearnedPolling(state_path=path)) as pool:
            solution = await pool.solve(TASK)
            first_polls.append(solution.receipt.polls)
            await solve_slowly(pool, 40)
        assert json.loads(path.read_text("utf-8"))["types"][0][1] == TASK.type
        assert KEY not in path.read_text("utf-8")
    assert first_polls[1] <= 3 < first_polls[0]
    assert pool.statistics().kinds[0].tasks == 82


async def test_a_damaged_file_stops_no_pool(tmp_path: Path) -> None:
    """A crash at the wrong moment would keep a scraper from ever starting again."""
    path = tmp_path / "timing.json"
    path.write_text("{", "utf-8")
    transport = DirectTransport(SimulatedService(), 0.1)
    pool = SessionPool(KEY, polling=LearnedPolling(state_path=path), transport=transport)
    with pytest.warns(RuntimeWarning, match="is ignored"):
        await pool.__aenter__()
    await pool.aclose()


class Listening(LearnedPolling):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.late: list[float] = []
        self.prices: list[float] = []
        self.intervals: list[tuple[float, float, bool]] = []

    def paced(self, late: float, now: float) -> None:
        """Note how late a poll goes out."""
        self.late.append(late)
        super().paced(late, now)
        self.prices.append(self._price.now)

    def learn(self, kind: Kind, after: float, age: float, *, ready: bool) -> bool:
        """Note what a poll said."""
        self.intervals.append((after, age, ready))
        return super().learn(kind, after, age, ready=ready)


async def test_it_hears_the_ages_at_which_polls_were_sent() -> None:
    """The latency of a slow line would be taken for the time that a task takes."""
    policy = Listening()
    service = SimulatedService(solve_times=Fixed(20))
    async with open_pool(service, polling=policy, latency=2.0) as pool:
        await pool.solve(TASK)
    befores, ages, ready = zip(*policy.intervals, strict=True)
    assert befores == (0.0, *ages[:-1])
    assert ready == (*[False] * (len(ages) - 1), True)
    assert all(later - age > 3 + 2.0 - 1e-6 for age, later in pairwise(ages))
    assert policy.late == pytest.approx([0.0] * len(ages), abs=0.01)


async def test_a_poll_that_failed_teaches_nothing() -> None:
    """A bad hour of the network would be taken for slow tasks."""
    policy = Listening()
    service = SimulatedService(solve_times=Fixed(5))
    async with open_pool(service, polling=policy) as pool:
        service.inject(Fault.RESET_AFTER, path="/getTaskResult", times=3)
        receipt = (await pool.solve(TASK)).receipt
    assert len(policy.intervals) == receipt.polls - 3 == 1


async def test_it_hears_of_polls_that_a_limit_holds_back() -> None:
    """Under a limit it would go on to ask for more polls than can be sent."""
    policy = Listening()
    service = SimulatedService(solve_times=Uniform(10, 60))
    async with open_pool_directly(service, polling=policy, latency=1.0, max_requests=2) as pool:
        await solve_all(pool, 100)
    assert max(policy.late) > 1
    assert max(policy.prices) > policy.poll_price == min(policy.prices)

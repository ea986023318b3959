"""The learned policy: bounded whatever it is told, and as good as it says."""

from __future__ import annotations

import json
from math import inf, isfinite, nan
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ezcaptcha_async import LearnedPolling, PollPolicy
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.polling import PollTiming
from ezcaptcha_async.tasks import Kind

KIND = Kind("ezcaptcha", "ReCaptchaV2TaskProxyless", "example.com")
SPACING = 3.0


def poll_one(
    policy: PollTiming, solved: float, rng: Random, *, kind: Kind = KIND, spacing: float = SPACING
) -> tuple[int, float]:
    """Poll one task as a pool does; return its polls and its overshoot."""
    after, age, polls = 0.0, policy.first_poll(kind, spacing, rng), 1
    while age < solved:
        policy.learn(kind, after, age, ready=False)
        wait = policy.next_poll(kind, spacing, age, polls, rng)
        assert wait >= spacing
        after, age, polls = age, age + wait, polls + 1
    policy.learn(kind, after, age, ready=True)
    return polls, age - solved


def mean_cost(policy: LearnedPolling, rng: Random, tasks: int, factor: float = 1.0) -> float:
    """Return the mean of price times polls plus overshoot, after as many tasks to learn."""
    costs = []
    for _ in range(2 * tasks):
        polls, overshoot = poll_one(policy, factor * rng.lognormvariate(2.89, 0.35), rng)
        costs.append(0.5 * polls + overshoot)
    return sum(costs[tasks:]) / tasks


def test_a_cold_start_is_sensible() -> None:
    """The very first task would be polled at once for nothing, or a minute too late."""
    policy, rng = LearnedPolling(), Random(1)
    assert 4 < policy.first_poll(KIND, SPACING, rng) < 15
    assert SPACING <= policy.next_poll(KIND, SPACING, 10.0, 1, rng) < 10


def test_it_comes_near_the_optimum() -> None:
    """Learning would be no better than the plain plan: the optimum is 3.43, that is 4.9."""
    assert mean_cost(LearnedPolling(), Random(2), 2_000) < 3.43 * 1.12


def test_it_recovers_when_tasks_become_faster() -> None:
    """After one bad hour polls would come too late for ever: the ratchet of the naive plan."""
    policy, rng = LearnedPolling(), Random(3)
    mean_cost(policy, rng, 500, factor=4.0)
    assert mean_cost(policy, rng, 500) < 3.43 * 1.25


def test_one_poll_for_what_is_fast() -> None:
    """Tasks that take 2 to 5 s would be polled at 3, 6 and 9 s like all others."""
    policy, rng = LearnedPolling(), Random(4)
    polls = [poll_one(policy, rng.uniform(2, 5), rng)[0] for _ in range(600)][300:]
    assert sum(polls) / len(polls) < 1.6


@pytest.mark.parametrize("spacing", [0.3, 3.0])
def test_the_price_moves_polls_against_delay(spacing: float) -> None:
    """The one knob would do nothing, or turn the wrong way."""
    polls, delays = list[float](), list[float]()
    for price in (0.1, 0.5, 3.0):
        policy, rng = LearnedPolling(poll_price=price), Random(5)
        found = [poll_one(policy, rng.uniform(10, 60), rng, spacing=spacing) for _ in range(600)]
        for sums, values in zip((polls, delays), zip(*found[300:], strict=True), strict=True):
            sums.append(sum(values))
    assert polls == sorted(polls, reverse=True)
    assert delays == sorted(delays)


def test_late_polls_make_polls_rarer() -> None:
    """Under a request limit polls that do no good would hold back those that would."""
    policy, rng = LearnedPolling(), Random(6)
    for _ in range(500):
        poll_one(policy, rng.uniform(10, 60), rng)
    usual = policy.next_poll(KIND, SPACING, 20.0, 1, rng)
    for second in range(200):
        policy.paced(6.0, float(second))
    assert policy.next_poll(KIND, SPACING, 20.0, 1, rng) > usual


finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.sampled_from(["a", "b", "c"])
answers = st.tuples(names, names, finite, finite, st.booleans())


@given(st.lists(answers, max_size=40), finite, st.floats(0, 1e6), st.integers(0, 2**32))
def test_no_answers_break_it(
    told: list[tuple[str, str, float, float, bool]], age: float, spacing: float, seed: int
) -> None:
    """A clock that jumps would make a pool poll without pause, or never again."""
    policy, rng = LearnedPolling(), Random(seed)
    for task_type, host, after, at, ready in told:
        policy.learn(Kind("s", task_type, host), after, at, ready=ready)
    kind = Kind("s", "a", "b")
    assert 0 < policy.first_poll(kind, spacing, rng) < 10_000
    wait = policy.next_poll(kind, spacing, abs(age), 1, rng)
    assert spacing <= wait <= max(spacing, 10_000, abs(age))
    remaining = policy.remaining(kind, abs(age))
    assert remaining is None or 0 <= remaining < 10_000
    for item in policy.kinds():
        assert isfinite(item.median)
        assert 0 <= item.median <= item.p95
        assert item.overshoot is None or isfinite(item.overshoot)
    json.dumps(policy.to_dict(), allow_nan=False)
    LearnedPolling().restore(policy.to_dict())


def test_the_same_seed_gives_the_same_polls() -> None:
    """A run could not be repeated to find a problem."""

    def run() -> list[tuple[int, float]]:
        policy, rng = LearnedPolling(), Random(7)
        return [poll_one(policy, rng.uniform(5, 50), rng) for _ in range(200)]

    assert run() == run()


def test_a_task_beyond_all_that_is_known() -> None:
    """It would be polled every 3 s to the end, since nothing speaks against it."""
    policy, rng = LearnedPolling(), Random(8)
    for _ in range(300):
        poll_one(policy, 10.0, rng)
    assert policy.next_poll(KIND, SPACING, 100_000.0, 1, rng) == 12_500.0


def test_a_scale_that_is_far_off_lets_no_token_expire() -> None:
    """In bursts of thousands, tasks of a minute would come 90 s late: asked at 60, then at 120."""
    policy, rng = LearnedPolling(), Random(8)
    for _ in range(300):
        poll_one(policy, 60.0, rng)
    saved = policy.to_dict()
    for site in saved["sites"]:
        site[-1] = -1.6  # as it was seen: five times as fast
    saved["services"][0][-1] = -1.6
    policy.restore(saved)
    for age in (15.0, 30.0, 60.0, 90.0):
        assert policy.next_poll(KIND, SPACING, age, 1, rng) <= max(SPACING, age / 8)


def test_the_time_that_remains() -> None:
    """A progress display would show nothing, or nonsense."""
    policy, rng = LearnedPolling(), Random(9)
    assert policy.remaining(KIND, 5.0) is None
    for _ in range(500):
        poll_one(policy, rng.uniform(10, 20), rng)
    for age, expected in ((0.0, 15.0), (5.0, 10.0), (14.0, 3.0)):
        assert policy.remaining(KIND, age) == pytest.approx(expected, abs=1.2)
    unseen_site = KIND._replace(host="unseen.example.com")
    assert policy.remaining(unseen_site, 0.0) == pytest.approx(15.0, abs=2.5)
    assert policy.remaining(KIND, 1e9) == 0.0


def test_what_is_known_of_each_kind() -> None:
    """Nobody could see what the policy believes, or what it costs."""
    policy, rng = LearnedPolling(), Random(10)
    assert policy.kinds() == ()
    polls, overshoots = zip(
        *(poll_one(policy, rng.uniform(10, 20), rng) for _ in range(500)), strict=True
    )
    (found,) = policy.kinds()
    assert found.kind == KIND
    assert found.tasks == 500
    assert found.polls_per_task == sum(polls) / 500
    assert found.median == pytest.approx(15.0, rel=0.15)
    assert found.p95 == pytest.approx(19.5, rel=0.15)
    assert found.overshoot == pytest.approx(sum(overshoots) / 500, rel=0.3)


def test_a_kind_without_a_task_yet() -> None:
    """A kind whose first task is still on its way would divide by nothing."""
    policy, rng = LearnedPolling(), Random(11)
    poll_one(policy, 12.0, rng)
    unseen = KIND._replace(host="unseen.example.com")
    policy.first_poll(unseen, SPACING, rng)
    known, new = policy.kinds()
    assert (new.kind, new.tasks, new.polls_per_task, new.overshoot) == (unseen, 0, None, None)
    assert new.median == pytest.approx(known.median, rel=0.2)
    assert new.p95 == pytest.approx(known.p95, rel=0.2)


def test_at_speed() -> None:
    """A demonstration at ten times real speed would poll ten times too late."""
    usual, rng = LearnedPolling(poll_price=0.7), Random(12)
    fast = usual.at_speed(5).at_speed(2)
    assert fast.poll_price == 0.7
    assert 10 * fast.first_poll(KIND, 0.3, Random(1)) == pytest.approx(
        usual.first_poll(KIND, 3.0, Random(1))
    )
    for _ in range(300):
        solved = rng.uniform(10, 20)
        seed = rng.random()
        slow_polls, slow_delay = poll_one(usual, solved, Random(seed))
        polls, delay = poll_one(fast, solved / 10, Random(seed), spacing=0.3)
        assert polls == slow_polls
        assert 10 * delay == pytest.approx(slow_delay, abs=1e-6)
    (known,), (known_fast,) = usual.kinds(), fast.kinds()
    assert known_fast.median == pytest.approx(known.median / 10)
    assert known_fast.overshoot == pytest.approx((known.overshoot or 0) / 10)
    remaining = usual.remaining(KIND, 5.0)
    assert remaining is not None
    assert fast.remaining(KIND, 0.5) == pytest.approx(remaining / 10)
    for second in range(100):
        usual.paced(5.0, float(second))
        fast.paced(0.5, second / 10)
    assert fast.first_poll(KIND, 0.3, Random(1)) == pytest.approx(
        usual.first_poll(KIND, 3.0, Random(1)) / 10
    )


def test_at_speed_keeps_nothing() -> None:
    """What a simulated service teaches would end in the file of the real one."""
    assert LearnedPolling(state_path="timing.json").at_speed(10).state_path is None


@pytest.mark.parametrize("speed", [0, -1, nan, inf])
def test_at_no_speed(speed: float) -> None:
    """A negative speed would make polls that lie in the past."""
    for policy in (LearnedPolling(), PollPolicy()):
        with pytest.raises(ConfigurationError, match="speed must be a positive number"):
            policy.at_speed(speed)


@pytest.mark.parametrize("price", [0, 0.009, 60.1, -1, nan, inf, "1", None, True, 1j])
def test_a_price_out_of_range_is_named(price: object) -> None:
    """A price of nothing would poll as often as it is permitted, one of NaN never."""
    with pytest.raises(ConfigurationError, match=r"^poll_price must be between 0\.01 and 60"):
        LearnedPolling(poll_price=price)  # type: ignore[arg-type]


def test_settings() -> None:
    """The bounds themselves would be refused, or a `Path` not be taken."""
    assert LearnedPolling(poll_price=0.01).poll_price == 0.01
    assert LearnedPolling(poll_price=60).poll_price == 60
    assert LearnedPolling().poll_price == 0.5
    assert LearnedPolling().state_path is None
    for path in (7, "", b"timing.json", "a\0b", "\ud800.json"):
        with pytest.raises(ConfigurationError, match="state_path must be the path of a file"):
            LearnedPolling(state_path=path)  # type: ignore[arg-type]
    assert LearnedPolling(state_path=Path("a") / "b").state_path == str(Path.cwd() / "a" / "b")
    with pytest.raises(TypeError):
        LearnedPolling(1.0)  # type: ignore[call-arg]
    assert repr(LearnedPolling()) == "<LearnedPolling at 0.5 s a poll, 0 kinds>"


def test_a_refused_state_changes_nothing() -> None:
    """A damaged file would also take what was learned since."""
    policy = LearnedPolling()
    poll_one(policy, 12.0, Random(14))
    with pytest.raises(ConfigurationError):
        policy.restore({"version": 2})
    assert policy.kinds()

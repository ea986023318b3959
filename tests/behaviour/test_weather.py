"""Partial outages: a poll that goes wrong is only a skipped poll, whatever share of them does."""

from __future__ import annotations

from random import Random
from typing import Any

import anyio
import attrs
import pytest

from ezcaptcha_async import Account, EzCaptchaError, ProtocolError, ServiceError, SessionPool
from ezcaptcha_async.testing import Fixed, SimulatedService, Uniform
from ezcaptcha_async.transports import NoAnswer, Reply, RequestBody

from .conftest import KEY, TASK, DirectTransport, solve_all

BAD_GATEWAY = Reply(502, b"<html>502 Bad Gateway</html>")
NO_ANSWER = NoAnswer("the connection was reset")


def refusal(status: int, code: str, **headers: str) -> Reply:
    """Answer as the service refuses."""
    return Reply(status, f'{{"errorId": 1, "errorCode": "{code}"}}'.encode(), **headers)


class Sky(DirectTransport):
    """Lets a share of the polls fail, and another one hang."""

    def __init__(
        self,
        service: SimulatedService,
        *answers: Reply | NoAnswer,
        fails: float = 0.0,
        hangs: float = 0.0,
    ) -> None:
        super().__init__(service, latency=0.05)
        self.fails, self.hangs = fails, hangs
        self.takes = 0.0  # of those that are answered
        self._answers = answers or (BAD_GATEWAY, NO_ANSWER)
        self.polls: list[float] = []
        self._rng = Random(7)

    async def before(self, path: str) -> Reply | NoAnswer | None:
        """Let a poll fail, hang or take its time."""
        if path != "/getTaskResult":
            return None
        self.polls.append(anyio.current_time())
        luck = self._rng.random()
        if luck < self.hangs:
            await anyio.sleep_forever()
        if luck < self.fails:
            answer = self._answers[int(luck / self.fails * len(self._answers))]
            await anyio.sleep(0.05)
            return answer
        if self.takes:
            await anyio.sleep(self.takes)
        return None


async def solve(service: SimulatedService, sky: Sky, count: int) -> int:
    """Solve so many tasks at once, and return how many were solved."""
    profile = service.profile()
    async with SessionPool(KEY, service=profile, transport=sky, rng=Random(7)) as pool:
        return (await solve_all(pool, count))[0]


def lags(service: SimulatedService) -> list[float]:
    """Return how long after they were ready tasks were fetched."""
    return [
        task.fetched_at - task.ready_at
        for task in service.record.tasks
        if task.fetched_at is not None
    ]


@pytest.mark.parametrize(
    ("fails", "hangs", "most_lag"), [(0.6, 0.0, 9.0), (0.9, 0.0, 40.0), (0.0, 0.5, 15.0)]
)
async def test_a_share_of_the_polls_goes_wrong(fails: float, hangs: float, most_lag: float) -> None:
    """One of several servers is down, and paid tasks would lapse or their tokens expire."""
    service = SimulatedService(solve_times=Fixed(20))
    sky = Sky(service, fails=fails, hangs=hangs)
    assert await solve(service, sky, 100) == 100
    late = lags(service)
    assert sum(late) / len(late) <= most_lag
    assert len(sky.polls) <= 100 * (20 + max(late)) / 3, "never more often than the spacing"


class ByTurns(Sky):
    """Polls hang for 17 s, are answered for 3 s, and hang again."""

    async def before(self, path: str) -> Reply | NoAnswer | None:
        """Hang, or do not."""
        self.hangs = float(anyio.current_time() % 20.0 >= 3.0)
        return await super().before(path)


async def test_polls_do_not_go_in_step_with_a_service_that_is_away_by_turns() -> None:
    """Each place would be free again at the same moment of each turn, and all 60 would lapse."""
    service = SimulatedService(solve_times=Uniform(8, 30))
    assert await solve(service, ByTurns(service), 60) >= 57


@pytest.mark.parametrize("answer", [BAD_GATEWAY, Reply(429, b"<html>")])
async def test_what_fails_at_once_does_not_tell_how_long_an_answer_takes(answer: Reply) -> None:
    """Each poll that was answered well would be cut off: all that is paid would lapse."""
    service = SimulatedService(solve_times=Uniform(8, 30))
    sky = Sky(service, answer, fails=0.5)
    sky.takes = 6.0
    assert await solve(service, sky, 60) == 60
    late = lags(service)
    assert sum(late) / len(late) <= 15.0


@pytest.mark.parametrize(("count", "status"), [(100, 429), (5, 429), (100, 503)])
async def test_a_long_wait_that_one_of_several_servers_asks_for(count: int, status: int) -> None:
    """Two minutes of silence for all that is paid: each token would come expired."""
    service = SimulatedService(solve_times=Uniform(8, 30))
    code = "ERROR_REQUEST_LIMIT" if status == 429 else "ERROR_SERVICE_UNAVAILABLE"
    sky = Sky(service, refusal(status, code, retry_after="600"), fails=0.1)
    assert await solve(service, sky, count) == count
    late = lags(service)
    assert sum(late) / len(late) <= 20.0
    assert max(late) <= 90.0


async def test_a_long_wait_that_four_polls_in_ten_are_asked_for() -> None:
    """Half of what is paid would come expired, for one poll that asks is too few to find out."""
    service = SimulatedService(solve_times=Uniform(8, 30))
    sky = Sky(service, refusal(429, "ERROR_REQUEST_LIMIT", retry_after="60"), fails=0.4)
    assert await solve(service, sky, 100) == 100
    late = lags(service)
    assert sum(late) / len(late) <= 45.0
    assert max(late) <= 120.0


async def test_a_limit_that_asks_for_a_long_wait_is_lived_with() -> None:
    """Each answer above ten polls a second would be two minutes in which nothing is fetched."""
    service = SimulatedService(solve_times=Uniform(8, 30))
    full_at = -60.0

    class Limit(Sky):
        async def before(self, path: str) -> Reply | NoAnswer | None:
            nonlocal full_at
            now = anyio.current_time()
            if path == "/getTaskResult":
                following = max(full_at, now) + 0.1
                if following > now + 1:
                    await anyio.sleep(0.05)
                    return refusal(429, "ERROR_REQUEST_LIMIT", retry_after="120")
                full_at = following
            return await super().before(path)

    assert await solve(service, Limit(service), 100) == 100
    assert max(lags(service)) <= 110.0


EMPTY = Reply(200, b'{"errorId": 0, "status": "ready", "solution": {}}')


KINDS: dict[str, tuple[Reply | NoAnswer, ...]] = {
    "no body": (Reply(500, b""), Reply(200, b"")),
    "garbage": (Reply(200, b"garbage"), Reply(504, b"{}"), Reply(404, b"<html>")),
    "no capacity": (refusal(503, "ERROR_SERVICE_UNAVAILABLE"), refusal(200, "ERROR_OVERLOADED")),
    "codes of tomorrow": (refusal(500, "ERROR_OF_TOMORROW"), Reply(200, b'{"errorId": 1}')),
    "nothing beside ready": (EMPTY, Reply(200, b'{"errorId": 0, "status": "ready"}')),
    "another server": (refusal(200, "ERROR_TASK_NOT_EXIST"),),
    "throttled": (refusal(429, "ERROR_REQUEST_LIMIT"),),
    "throttled by a page": (Reply(429, b"<html>"),),
    "asked to wait": (refusal(429, "ERROR_REQUEST_LIMIT", retry_after="5"),),
    "all kinds": (
        *(BAD_GATEWAY, NO_ANSWER, Reply(200, b""), refusal(503, "ERROR_SERVICE_UNAVAILABLE")),
        *(refusal(429, "ERROR_REQUEST_LIMIT"), refusal(500, "ERROR_OF_TOMORROW")),
    ),
}


@pytest.mark.parametrize("answers", KINDS.values(), ids=KINDS.keys())
async def test_whatever_a_share_of_the_polls_is_answered_with(
    answers: tuple[Reply | NoAnswer, ...],
) -> None:
    """What one of several servers says, all that is paid would have to suffer for."""
    service = SimulatedService(solve_times=Uniform(8, 30))
    sky = Sky(service, *answers, fails=0.5)
    assert await solve(service, sky, 60) == 60
    late = lags(service)
    waits = any(isinstance(answer, Reply) and answer.retry_after for answer in answers)
    assert sum(late) / len(late) <= (30.0 if waits else 15.0), "each that is asked to waits 5 s"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusal(200, "ERROR_OF_TOMORROW"), ServiceError),
        (refusal(200, "ERROR_TASK_NOT_EXIST"), ServiceError),
        (EMPTY, ProtocolError),
    ],
)
async def test_what_is_said_again_and_again_ends_a_task(
    answer: Reply, error: type[EzCaptchaError]
) -> None:
    """Its caller would wait five minutes for what the service has said four times."""
    service = SimulatedService(solve_times=Fixed(60))
    sky = Sky(service, answer, fails=1.0)
    begin = anyio.current_time()
    async with SessionPool(KEY, service=service.profile(), transport=sky) as pool:
        with pytest.raises(error) as caught:
            await pool.solve(TASK)
    assert caught.value.ticket is not None
    assert len(sky.polls) == 4
    assert anyio.current_time() - begin < 30


@pytest.mark.parametrize("code", ["", "ERROR_OF_TOMORROW", "502"])
async def test_half_a_minute_of_trouble_of_the_service_ends_no_task(code: str) -> None:
    """All that was paid for would be given up for a code that says nothing of it."""
    service = SimulatedService(solve_times=Fixed(20))
    sky = Sky(service, refusal(500, code), fails=1.0)

    async def clear_up() -> None:
        await anyio.sleep(45)
        sky.fails = 0.0

    async with anyio.create_task_group() as group:
        group.start_soon(clear_up)
        assert await solve(service, sky, 60) == 60


class TwoHosts(Sky):
    """Sends each request to the service whose host it names."""

    def __init__(self, *skies: Sky) -> None:
        self._skies = skies

    async def post(self, url: str, body: RequestBody, **settings: Any) -> Reply | NoAnswer:
        """Answer as it does."""
        return await self._skies["/second." in url].post(url, body, **settings)


@pytest.mark.parametrize(("hangs", "takes"), [(1.0, 0.0), (0.0, 8.0)])
async def test_one_host_that_hangs_or_is_slow_holds_up_no_other(hangs: float, takes: float) -> None:
    """Its polls would hold all the slots, and what is paid elsewhere come a minute late."""
    bad, good = (SimulatedService(solve_times=Uniform(8, 30)) for _ in range(2))
    sky = Sky(bad)
    accounts = [
        Account(name, service=attrs.evolve(service.profile(), base_url=f"https://{name}.example"))
        for name, service in (("first", bad), ("second", good))
    ]
    transport = TwoHosts(sky, Sky(good))
    async with (
        SessionPool(*accounts, transport=transport, rng=Random(7)) as pool,
        anyio.create_task_group() as group,
    ):
        group.start_soon(solve_all, pool, 400)
        await anyio.sleep(6)
        sky.hangs, sky.takes = hangs, takes
    late = lags(good)
    assert len(late) == len(good.record.tasks) >= 200
    assert sum(late) / len(late) <= 10.0


async def test_a_total_outage_is_met_with_less_and_less() -> None:
    """Hundreds of tickets would beat on a service that is down; then come back all at once."""
    service = SimulatedService(solve_times=Fixed(20))
    sky = Sky(service, fails=0.0)
    begin = anyio.current_time()

    async def outage() -> None:
        await anyio.sleep(10)
        sky.fails = 1.0
        await anyio.sleep(110)
        sky.fails = 0.0

    async with anyio.create_task_group() as group:
        group.start_soon(outage)
        assert await solve(service, sky, 100) == 100
    times = [at - begin for at in sky.polls]
    early = sum(20 <= at < 50 for at in times)
    late = sum(90 <= at < 120 for at in times)
    assert late < early / 2
    assert max(lags(service)) <= 120 - 20 + 10
    after = [at for at in times if at >= 120]
    assert max(sum(low <= at < low + 0.5 for at in after) for low in after) <= 60, "spread"

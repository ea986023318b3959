"""Faults of TCP between a whole pool and a real server: the books agree with the service's.

Each fault has a proxy and a pool of its own, and all of a test run at the same time. What
is short here are only waits for an answer that never comes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from itertools import product
from random import Random
from typing import Any, Final

import anyio
import attrs
import pytest

from ezcaptcha_async import (
    PollPolicy,
    ReCaptchaV2TaskProxyless,
    SessionPool,
    SubmissionUnknownError,
    TransportError,
)
from ezcaptcha_async.testing import Fixed, SimulatedServer, SimulatedService, serve

from .clients import KEY, LONG_WINDOW, SPEED, lent
from .fault_proxy import CLEAN, FaultProxy, Link, Route, Stop, Way

TASK: Final = ReCaptchaV2TaskProxyless(website_url="https://example.com", website_key="k")
POLLING: Final = PollPolicy().at_speed(SPEED)
AFTER_ID: Final = len(f',"requestId":"{16 * "0"}"}}')
"""Bytes of the service's answer to a createTask that stand behind the id."""
SHORT: Final = 2.0
LONG: Final = 60.0
SOLVED, NOT_PAID, UNKNOWN = "solved", "not paid", "unknown"


@pytest.fixture(scope="module")
def server() -> Iterator[SimulatedServer]:
    """Serve the simulated service; each test counts from what was charged before it."""
    service = SimulatedService(solve_times=Fixed(8), result_window=LONG_WINDOW)
    with serve(service, time_scale=SPEED) as running:
        yield running


@asynccontextmanager
async def open_pool(
    kind: str, server: SimulatedServer, proxy: FaultProxy, **settings: Any
) -> AsyncGenerator[SessionPool]:
    """Open a pool that reaches the service through the proxy."""
    service = attrs.evolve(server.profile, base_url=proxy.url)
    settings = {"polling": POLLING, "rng": Random(7), **settings}
    async with (
        lent(kind) as client,
        SessionPool(KEY, service=service, **client, **settings) as pool,
    ):
        yield pool


@attrs.frozen
class Passage:
    """What came of one solve.

    Args:
        route: The route of its first connection.
        links: All of its connections.
        said: What the library said of its payment.
        task_id: The id of the solved task.
    """

    route: Route
    links: Sequence[Link]
    said: str
    task_id: str

    @property
    def creates(self) -> int:
        """How many createTask requests were sent, whole or not."""
        return sum(link.to_service.count(b"POST /createTask ") for link in self.links)


async def _solve(pool: SessionPool) -> tuple[str, str]:
    """Solve a task; return what the library says of its payment, and the task's id."""
    try:
        return SOLVED, (await pool.solve(TASK)).receipt.task_id
    except (TransportError, SubmissionUnknownError) as error:
        problem = error
    assert problem.ticket is None
    assert problem.may_be_charged is isinstance(problem, SubmissionUnknownError)
    return (UNKNOWN if problem.may_be_charged else NOT_PAID), ""


async def _pass(
    kind: str, server: SimulatedServer, *routes: Route, timeout: float, charges: int
) -> list[Passage]:
    """Solve one task on each route, all at the same time, and compare the books.

    Args:
        kind: Name of the HTTP client.
        server: The service.
        *routes: Of the first connection of each; further ones are clean.
        timeout: Seconds for each request.
        charges: How many of the tasks the service charges, sooner or later.
    """
    before = {task.task_id for task in server.service.record.tasks}

    def charged() -> set[str]:
        return {task.task_id for task in server.service.record.tasks} - before

    passages: list[Passage] = []
    ready: list[SessionPool] = []
    all_ready = anyio.Event()

    async def solve(route: Route, proxy: FaultProxy) -> None:
        # No patience: what could not be sent is not sent again, but told.
        settings = {"request_timeout": timeout, "create_patience": 0.001}
        async with open_pool(kind, server, proxy, **settings) as pool:
            # To open them takes as long, on a busy machine, as a request may take.
            ready.append(pool)
            if len(ready) == len(routes):
                all_ready.set()
            await all_ready.wait()
            said, task_id = await _solve(pool)
            unknowns = pool.unknowns()
        counts = pool.statistics()
        assert len(unknowns) == counts.unknown == (said == UNKNOWN)
        assert counts.created == counts.solved == (said == SOLVED)
        assert counts.unaccounted == counts.orphaned == 0
        passages.append(Passage(route, proxy.links, said, task_id))

    with anyio.fail_after(LONG), ExitStack() as proxies:
        async with anyio.create_task_group() as group:
            for route in routes:
                proxy = proxies.enter_context(FaultProxy(server.port, route, CLEAN))
                group.start_soon(solve, route, proxy)
        with anyio.move_on_after(LONG / 2):  # what is on its way arrives though nobody waits for it
            while len(charged()) < charges:
                await anyio.sleep(0.01)
    assert len(charged()) == charges
    assert {passage.task_id for passage in passages if passage.said == SOLVED} <= charged()
    assert all(passage.creates <= 1 for passage in passages), "a create was sent twice"
    return passages


@attrs.frozen
class Lengths:
    """How many bytes the first messages of a connection have."""

    head: int
    create: int
    answer: int


@pytest.fixture(scope="module")
def measured() -> dict[str, Lengths]:
    """Name of the HTTP client → its lengths, as far as they were measured already."""
    return {}


@pytest.fixture
async def lengths(package: str, server: SimulatedServer, measured: dict[str, Lengths]) -> Lengths:
    """Measure what this client and the server say to each other."""
    if package not in measured:
        (passage,) = await _pass(package, server, CLEAN, timeout=LONG, charges=1)
        (link,) = passage.links
        measured[package] = Lengths(
            head=link.to_service.index(b"\r\n\r\n") + 4,
            create=link.to_service.index(b"POST /getTaskResult "),
            answer=link.to_client.index(b"HTTP/1.1 ", 1),
        )
    return measured[package]


# --------------------------------------------------------------------------------- slow


async def test_what_is_slow_and_in_time_is_solved(package: str, server: SimulatedServer) -> None:
    """Whoever has a bad line would lose paid tasks, though every byte arrives."""
    slow, drip = Way(delay=0.03), Way(delay=0.0003, drip=True)
    routes = [
        Route(to_service=slow, to_client=slow),
        Route(to_service=drip),
        Route(to_client=drip),
        Route(to_service=Way(drip=True), to_client=Way(drip=True)),
    ]
    passages = await _pass(package, server, *routes, timeout=LONG, charges=4)
    assert [passage.said for passage in passages] == [SOLVED] * 4
    assert all(len(passage.links) == 1 for passage in passages), "a second connection was made"


async def test_what_is_too_slow_may_be_paid(
    package: str, server: SimulatedServer, lengths: Lengths
) -> None:
    """A create that arrives after its caller was answered is charged all the same."""
    late, drip = Way(delay=2 * SHORT), Way(delay=SHORT / 10, drip=True)
    arriving = [Route(to_service=late), Route(to_client=late), Route(to_client=drip)]
    never = Route(to_service=drip)
    passages = await _pass(package, server, *arriving, never, timeout=SHORT, charges=3)
    assert [passage.said for passage in passages] == [UNKNOWN] * 4
    for passage in passages:
        (link,) = passage.links
        assert (len(link.to_service) < lengths.create) is (passage.route is never)


# ------------------------------------------------------------------------- the create


async def test_a_create_that_is_cut_is_never_charged(
    package: str, server: SimulatedServer, lengths: Lengths
) -> None:
    """A task that was never created would be taken for paid, or be created twice."""
    places = (0, 1, lengths.head, lengths.create // 2, lengths.create - 1)
    ways = [Way(after=after, stop=stop) for after, stop in product(places, Stop)]
    routes = [Route(to_service=way) for way in ways]
    passages = await _pass(package, server, *routes, timeout=SHORT, charges=0)
    for passage in passages:
        assert passage.said in {NOT_PAID, UNKNOWN}
        assert len(passage.links[0].to_service) <= passage.route.to_service.after


async def test_a_create_whose_answer_is_cut_may_be_paid(
    package: str, server: SimulatedServer, lengths: Lengths
) -> None:
    """A paid task would be taken for one that was not, and paid for again."""
    places = (1, lengths.answer // 2, lengths.answer - AFTER_ID - 1)
    ways = [Way(after=after, stop=stop) for after, stop in product(places, Stop)]
    routes = [Route(to_client=way) for way in ways]
    # And one that ends with the request, before there is an answer.
    routes.append(Route(to_service=Way(after=lengths.create, stop=Stop.FIN)))
    passages = await _pass(package, server, *routes, timeout=SHORT, charges=len(routes))
    for passage in passages:
        assert passage.said == UNKNOWN
        (link,) = passage.links
        assert len(link.to_client) <= passage.route.to_client.after


async def test_a_create_whose_answer_holds_the_whole_id_is_known(
    package: str, server: SimulatedServer, lengths: Lengths
) -> None:
    """A paid task would be given up for want of a closing brace."""
    places = (lengths.answer - AFTER_ID, lengths.answer - 1)
    ways = [Way(after=after, stop=stop) for after, stop in product(places, Stop)]
    routes = [Route(to_client=way) for way in ways]
    passages = await _pass(package, server, *routes, timeout=SHORT, charges=len(routes))
    for passage in passages:
        # A connection that is reset may lose what came before.
        may_be_lost = passage.route.to_client.stop is Stop.RESET
        assert passage.said in ({SOLVED, UNKNOWN} if may_be_lost else {SOLVED})
        assert passage.creates == 1


# -------------------------------------------------------------------------- the polls


async def test_a_poll_that_is_cut_is_only_skipped(
    package: str, server: SimulatedServer, lengths: Lengths
) -> None:
    """A paid task would be given up because a connection broke while it was waited for."""
    ways = list(product((1, 50), Stop))
    routes = [Route(to_service=Way(after=lengths.create + n, stop=stop)) for n, stop in ways]
    routes += [Route(to_client=Way(after=lengths.answer + n, stop=stop)) for n, stop in ways]
    # A connection that ends, or goes silent, while nobody uses it.
    idle = (Stop.FIN, Stop.HALF_CLOSE, Stop.BLACKHOLE)
    routes += [Route(to_client=Way(after=lengths.answer, stop=stop)) for stop in idle]
    passages = await _pass(package, server, *routes, timeout=SHORT, charges=len(routes))
    for passage in passages:
        assert passage.said == SOLVED
        assert passage.creates == 1
        first, *others = passage.links
        assert others, "the poll was not sent again"
        way = passage.route.to_service
        assert len(first.to_service) == way.after or len(first.to_client) >= lengths.answer


# ---------------------------------------------------------------------- all at a time


def _trouble(rng: Random) -> Way:
    """Return a slow way, or one that stops within the first few messages."""
    if rng.random() < 0.3:
        return Way(delay=rng.uniform(0.0, 0.02))
    return Way(after=rng.randrange(2_000), stop=rng.choice(list(Stop)))


async def test_in_a_bad_network_the_books_agree(package: str, server: SimulatedServer) -> None:
    """Of tasks that share connections which break, one would be paid twice or forgotten."""
    rng = Random(11)
    routes = [Route(to_service=_trouble(rng), to_client=_trouble(rng)) for _ in range(30)]
    before = {task.task_id for task in server.service.record.tasks}
    outcomes: list[tuple[str, str]] = []
    with FaultProxy(server.port, *routes, CLEAN) as proxy:
        settings = {"request_timeout": SHORT, "max_requests": 8}
        async with open_pool(package, server, proxy, **settings) as pool:

            async def solve() -> None:
                outcomes.append(await _solve(pool))

            with anyio.fail_after(LONG):
                async with anyio.create_task_group() as group:
                    for _ in range(40):
                        group.start_soon(solve)
            assert len(pool.unknowns()) == pool.statistics().unknown
        links = len(proxy.links)
    counts = pool.statistics()
    solved = {task_id for said, task_id in outcomes if said == SOLVED}
    charged = {task.task_id for task in server.service.record.tasks} - before
    assert links > len(routes) // 2
    assert {said for said, _ in outcomes} == {SOLVED, UNKNOWN}
    assert counts.created == counts.solved == len(solved)
    assert counts.unknown == len(outcomes) - len(solved)
    assert counts.unaccounted == 0
    # What is charged is solved, or whoever asked for it was told that it may be.
    assert solved <= charged
    assert len(charged) <= len(solved) + counts.unknown

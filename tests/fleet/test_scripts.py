"""The scripts inside the server, and the model of them in plain Python: both say the same."""

from __future__ import annotations

import asyncio
import itertools
import json
import shlex
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import anyio
import attrs
import pytest
import redis.asyncio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ezcaptcha_async.fleets import (
    Created,
    Delivered,
    Ended,
    Fact,
    Funds,
    Intention,
    Known,
    Lost,
    Member,
    NotPaid,
    Settled,
    SharedBooks,
    Trouble,
)
from ezcaptcha_async.redis import Fleet
from tests.behaviour.shared_books import ModelFleet
from tests.redis_server import RedisServer

ACCOUNT: Final = "ezcaptcha:0123abcd"
MEMBER: Final = Member(
    account=ACCOUNT, max_creates=3, max_in_flight=4, most_errors=25, error_window=60, hold=30
)
FUNDS: Final = Funds(budget=12, unknown_budget=6)

attempts = st.integers(0, 2)
references = st.sampled_from([None, "a", "a"])
names = st.sampled_from(["1", "2"])

Step = tuple[str, Any]
steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("intend"), st.tuples(attempts, references, st.booleans())),
    st.tuples(st.just("created"), st.tuples(attempts, names)),
    st.tuples(st.just("not_paid"), attempts),
    st.tuples(st.just("lost"), attempts),
    st.tuples(st.just("intended"), attempts),
    st.tuples(st.just("delivered"), st.just("a")),
    st.tuples(st.just("settled"), st.tuples(names, st.just("a"))),
    st.tuples(st.just("ended"), st.tuples(names, references, st.sampled_from(["", "{}"]))),
    st.tuples(st.just("acquire"), st.integers(1, 5)),
    st.tuples(st.just("release"), st.none()),
    st.tuples(st.just("trouble"), st.sampled_from(["refused", "banned", "paused", "reopened"])),
    st.tuples(st.just("beat"), st.none()),
    st.tuples(st.just("leave"), st.none()),
)


BEGINNING: Final[list[tuple[int, Step]]] = [
    (0, ("acquire", 1)),
    (0, ("created", (2, "2"))),  # from elsewhere: the account is proven
    (1, ("acquire", 2)),
]


LOST_AND_REFUSED: Final[list[tuple[int, Step]]] = [
    *((0, ("acquire", 2)), (0, ("intend", (0, "a", False))), (0, ("lost", 0))),
    *((1, ("intend", (0, "a", False))), (1, ("intend", (0, "a", True))), (1, ("not_paid", 0))),
    *((0, ("trouble", "refused")), (1, ("beat", None)), (0, ("acquire", 1))),
    *((1, ("trouble", "reopened")), (0, ("beat", None)), (0, ("acquire", 1))),
    *((1, ("trouble", "paused")), (0, ("acquire", 1)), (0, ("trouble", "banned"))),
]
PAID_AND_LEFT: Final[list[tuple[int, Step]]] = [
    *((0, ("intend", (0, "a", False))), (0, ("created", (0, "1"))), (0, ("acquire", 5))),
    *((1, ("intend", (0, None, False))), (1, ("intend", (1, None, False)))),  # one too many
    *((1, ("not_paid", 0)), (1, ("acquire", 1)), (1, ("intend", (2, "a", False)))),
    *((0, ("settled", ("1", "a"))), (1, ("acquire", 1)), (1, ("intend", (3, "a", False)))),
    *((0, ("delivered", "a")), (0, ("release", None))),
    *((0, ("ended", ("1", "a", "{}"))), (0, ("leave", None)), (1, ("beat", None))),
]


class Script:
    """One course of events, told to one fleet."""

    def __init__(self, books: list[SharedBooks]) -> None:
        self._books = books
        self._sent: dict[str, Intention] = {}
        self._given: dict[str, tuple[str, ...]] = {}
        self._left: set[int] = set()
        self._leave: tuple[str, ...] = ()

    async def take(self, run: int, step: Step) -> Any:
        """Take one step and return what is answered, without what is by chance another one."""
        books, (kind, value) = self._books[run], step
        if run in self._left:
            return None
        match kind:
            case "intend":
                return await self._intend(books, *value)
            case "acquire" | "release":
                return await self._of_leave(books, value)
            case "beat":
                beat = await books.beat()
                left = sorted(json.loads(legacy.text)["id"] for legacy in beat.legacies)
                gates = [(gate.shut_by, gate.banned > 0, gate.paused > 0) for gate in beat.gates]
                return beat.was_alive, beat.pools, beat.unknown, gates, left
            case "leave":
                if len(self._left) < len(self._books) - 1:
                    self._left.add(run)
                    await books.aclose()
                return None
            case _:
                fact = self._fact(books, kind, value)
                await books.tell([fact])
                await books.tell([fact] if kind != "trouble" else [])
                return None

    async def _of_leave(self, books: SharedBooks, most: int | None) -> int:
        if most is None:
            names, self._leave = self._leave, ()
            if names:
                await books.release(MEMBER, names)
        else:
            names = (await books.acquire(MEMBER, most)).names
            self._given[books.run] = self._given.get(books.run, ()) + names
            self._leave += names
        return len(names)

    async def _intend(
        self,
        books: SharedBooks,
        attempt: int,
        reference: str | None,
        again: bool,  # noqa: FBT001
    ) -> Any:
        name = self._name(books, attempt)
        account, _, fingerprint = ACCOUNT.partition(":")
        text = {"service": account, "account": fingerprint, "once": True, "reference": reference}
        intention = attrs.evolve(sent_as(name, reference), text=json.dumps(text), again=again)
        try:
            answer = await books.intend(intention)
        except ConnectionError:
            return "void"
        if answer is None:
            self._sent.setdefault(name, intention)
        return _plain(answer)

    def _name(self, books: SharedBooks, attempt: int) -> str:
        """Return the name of leave that this pool got, or might have got."""
        names = self._given.get(books.run, ())
        return names[attempt] if attempt < len(names) else f"{books.run}.9{attempt}"

    def _fact(self, books: SharedBooks, kind: str, value: Any) -> Fact:
        of: dict[str, Any] = {"account": ACCOUNT}
        match kind:
            case "delivered":
                return Delivered(reference=value)
            case "settled":
                task, of["reference"] = value
                return Settled(**of, task_id=task, text="{}", seconds=60)
            case "ended":
                task, of["reference"], text = value
                text = text if of["reference"] else ""
                return Ended(**of, task_id=task, text=text, seconds=60)
            case "trouble":
                return Trouble(**of, kind=value, code="CODE", seconds=60, polls=60)
            case _:
                return self._of_attempt(books, kind, value, of)

    def _of_attempt(self, books: SharedBooks, kind: str, value: Any, of: dict[str, Any]) -> Fact:
        attempt, task = value if kind == "created" else (value, "")
        of["attempt"] = name = self._name(books, attempt)
        sent = self._sent.get(name) or Intention(**of, text="", points=6)
        if kind == "intended":
            return sent
        of["reference"] = sent.reference
        match kind:
            case "created":
                return Created(**of, task_id=task, text=json.dumps({"id": task}), window=300)
            case "not_paid":
                return NotPaid(**of, points=6)
            case _:
                return Lost(**of, text=sent.text)

    async def state(self) -> Any:
        """Return all that can be seen."""
        books = next(item for run, item in enumerate(self._books) if run not in self._left)
        status = await books.status()
        account = attrs.astuple(status.accounts[0])
        seen = [_plain(known) for known in await books.look(["a", "b"])]
        counts = status.spent, status.created, status.done, status.adopted, status.unknown
        return seen, counts, account[3:], sorted(await books.unknowns())


def _plain(answer: Any) -> Any:
    return (answer.state, answer.text, answer.seconds > 0) if isinstance(answer, Known) else answer


@settings(max_examples=40, deadline=None)
@example(LOST_AND_REFUSED)
@example(PAID_AND_LEFT)
@given(st.lists(st.tuples(st.integers(0, 1), steps), min_size=12, max_size=40))
def test_the_scripts_do_as_the_model(lasting: RedisServer, course: list[tuple[int, Step]]) -> None:
    """The money rules in Lua and in Python would part, and tests with the one say nothing."""

    async def run() -> None:
        fleet = Fleet(lasting.url, name=f"m{time.monotonic_ns()}", remember=60)
        real = [await fleet.join([MEMBER], FUNDS) for _ in range(2)]
        model = ModelFleet(time.monotonic, remember=60)
        plain = [await model.join([MEMBER], FUNDS) for _ in range(2)]
        ours, theirs = Script(list(plain)), Script(list(real))
        for number, step in BEGINNING + course:
            assert await theirs.take(number, step) == await ours.take(number, step)
            assert await theirs.state() == await ours.state()
        for books in real:
            await books.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("what", ["createTask", "getTaskResult"])
async def test_leave_is_given_at_the_rate_of_all_together(
    lasting: RedisServer, name: str, what: str
) -> None:
    """Four machines would send four times as fast as they were told to."""
    rate = 100.0
    member = attrs.evolve(
        MEMBER,
        creates_per_second=rate,
        polls_per_second=rate,
        max_creates=100,
        max_in_flight=None,
        most_errors=100,
    )
    fleet = Fleet(lasting.url, name=name)
    stores = [await fleet.join([member], Funds()) for _ in range(4)]
    proven = Created(account=ACCOUNT, attempt="0", task_id="1", text="", window=9)
    await stores[0].tell([proven])
    began, given = time.monotonic(), 0
    for store in itertools.cycle(stores):
        ask = store.acquire if what == "createTask" else store.slots
        given += len((await ask(member, 30)).names)
        # For the next quarter of a second, and what is a twentieth late.
        assert given <= 1 + rate * (time.monotonic() - began + 0.25 + 0.05)
        if given >= 80:
            break
        await asyncio.sleep(0.01)
    for store in stores:
        await store.aclose()


# ------------------------------------------------------------------------- what comes late


@asynccontextmanager
async def joined(server: RedisServer, name: str, **settings: Any) -> AsyncGenerator[list[Any]]:
    """Join a fleet twice."""
    books = [await Fleet(server.url, name=name, **settings).join([MEMBER], FUNDS) for _ in "12"]
    try:
        yield books
    finally:
        for item in books:
            await item.aclose()


class Monitor:
    """Hears what a server is sent for one fleet, and can send it once more."""

    def __init__(self, server: RedisServer, name: str) -> None:
        self._client: Any = redis.asyncio.Redis.from_url(server.url)
        self._name = name

    async def __aenter__(self) -> Self:
        self._monitor = await self._client.monitor().__aenter__()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._monitor.__aexit__(None, None, None)
        await self._client.aclose()

    async def send(self, *command: str) -> Any:
        """Send a command of one's own."""
        return await self._client.execute_command(*command)

    async def repeat(self, *words: str) -> None:
        """Send the first command that has all of the words once more, as a network may."""
        while True:
            heard = (await self._monitor.next_command())["command"]
            if heard.startswith("EVALSHA") and all(word in heard for word in (self._name, *words)):
                await self._client.execute_command(*shlex.split(heard))
                return


async def paid_by(books: SharedBooks, task_id: str, reference: str | None = None) -> Created:
    """Have a task paid, and return what was told of it."""
    (name,) = (await books.acquire(MEMBER, 1)).names
    intention = sent_as(name, reference)
    assert await books.intend(intention) is None
    created = created_by(intention, task_id)
    await books.tell([created])
    return created


def sent_as(name: str, reference: str | None = None) -> Intention:
    """Return that a createTask is about to be sent."""
    return Intention(account=ACCOUNT, attempt=name, text="{}", points=6, reference=reference)


def created_by(sent: Intention, task_id: str) -> Created:
    """Return that it was accepted."""
    of = {"account": ACCOUNT, "attempt": sent.attempt, "reference": sent.reference}
    return Created(**of, task_id=task_id, text="{}", window=300)


ENDED: Final = Ended(account=ACCOUNT, task_id="1", reference="a", text="{}", seconds=60)


async def counts(books: SharedBooks) -> tuple[Any, ...]:
    """Return what a person sees."""
    status = await books.status()
    (account,) = status.accounts
    money = status.spent, status.created, status.done, status.unknown
    return *money, account.creating, account.in_flight


async def test_an_intention_that_comes_when_it_was_given_up_is_void(
    lasting: RedisServer, name: str
) -> None:
    """A network that parted them gives it out late: a reference would be blocked for a day."""
    async with joined(lasting, name) as (books, _):
        (leave,) = (await books.acquire(MEMBER, 1)).names
        await books.tell([NotPaid(account=ACCOUNT, attempt=leave, points=6, reference="a")])
        with pytest.raises(ConnectionError, match="leave to send it is void"):
            await books.intend(sent_as(leave, "a"))
        assert await books.look(["a"]) == [None]
        assert await counts(books) == (0, 0, 0, 0, 0, 0)


async def test_facts_that_come_after_later_ones_change_nothing(
    lasting: RedisServer, name: str
) -> None:
    """A task that has ended would be in flight again, and its token be gone for the others."""
    async with joined(lasting, name) as (books, _):
        async with Monitor(lasting, name) as monitor:
            created = await paid_by(books, "1", "a")
            await books.tell([ENDED])
            before = await counts(books)
            await monitor.repeat("created", created.attempt)
        assert await counts(books) == before == (6, 1, 1, 0, 0, 0)
        (known,) = await books.look(["a"])
        assert known is not None
        assert known.state == "ended"


async def test_what_others_have_fetched_is_counted_once(lasting: RedisServer, name: str) -> None:
    """A network gives out late, or once more, what a pool told before it was taken for dead."""
    async with joined(lasting, name) as (parted, heir):
        async with Monitor(lasting, name) as monitor:
            created = await paid_by(parted, "1", "a")
            await monitor.send("ZADD", f"{{ez:{name}}}:pools", "0", parted.run)
            assert len((await heir.beat()).legacies) == 1
            await monitor.repeat("created", created.attempt)
            await heir.tell([ENDED])
            await monitor.send("HDEL", f"{{ez:{name}}}:told", parted.run)
            await monitor.repeat("created", created.attempt)
        await parted.tell([created])
        assert await counts(heir) == (6, 1, 1, 0, 0, 0)
        (known,) = await heir.look(["a"])
        assert known is not None
        assert known.state == "ended"


async def test_leave_of_before_is_void_where_all_was_forgotten(
    mortal: RedisServer, name: str
) -> None:
    """Before the others have told again what they paid for, it would be bought again."""
    async with joined(mortal, name, lease=2) as (first, second):
        await first.beat()
        await paid_by(first, "1")
        (leave,) = (await first.acquire(MEMBER, 1)).names
        assert await first.intend(sent_as(leave, "b")) is None
        (held,) = (await first.acquire(MEMBER, 1)).names
        mortal.ask("FLUSHALL")
        with pytest.raises(ConnectionError, match="void"):
            await first.intend(sent_as(held, "a"))
        assert (await second.acquire(MEMBER, 1)).names == (), "it must say first that it lives"
        assert not (await first.beat()).was_alive
        assert not (await second.beat()).was_alive
        assert (await second.acquire(MEMBER, 1)).names == (), "others may have more to tell"
        await first.tell([sent_as(leave, "b")])
        assert (await second.look(["b"])) != [None]
        await first.tell([NotPaid(account=ACCOUNT, attempt=leave, points=6, reference="b")])
        with anyio.fail_after(30):
            while not (names := (await second.acquire(MEMBER, 1)).names):
                await second.beat()
                await asyncio.sleep(0.05)
        assert not set(names) & {leave, held}


async def test_nothing_is_intended_at_a_server_that_is_gone(mortal: RedisServer, name: str) -> None:
    """What nobody has written down would be sent, and be with nobody after a crash."""
    async with joined(mortal, name) as (store, _):
        (leave,) = (await store.acquire(MEMBER, 1)).names
        mortal.kill()
        with pytest.raises(ConnectionError) as caught:
            await store.intend(sent_as(leave))
        assert "void" not in str(caught.value), "it may well be written there"


async def test_what_the_dead_have_left_is_given_again_until_it_has_come(
    lasting: RedisServer, name: str
) -> None:
    """The answer to one sign of life is lost: what is paid would be with nobody."""
    async with joined(lasting, name) as (dead, heir):
        await heir.beat()
        async with Monitor(lasting, name) as monitor:
            await heir.beat()
            await paid_by(dead, "1")
            await dead.aclose()
            await monitor.repeat(heir.run, "10.0")  # the answer goes to nobody
        (legacy,) = (await heir.beat()).legacies
        assert legacy.account == ACCOUNT
        assert (await heir.beat()).legacies == ()
        assert (await heir.status()).adopted == 1


async def test_what_an_unknown_pool_has_paid_for_is_fetched_by_others(
    lasting: RedisServer, name: str
) -> None:
    """It was taken for dead, comes back with a task, and dies before it can say that it lives."""
    async with joined(lasting, name) as (parted, heir):
        (leave,) = (await parted.acquire(MEMBER, 1)).names
        async with Monitor(lasting, name) as monitor:
            await monitor.send("ZREM", f"{{ez:{name}}}:pools", parted.run)
        with pytest.raises(ConnectionError, match="void"):
            await parted.intend(sent_as(leave))
        assert (await parted.acquire(MEMBER, 1)).names == ()
        await parted.tell([created_by(sent_as(leave), "1")])
        assert (await heir.beat()).legacies == (), "it may live"
        async with Monitor(lasting, name) as monitor:
            assert await monitor.send("ZADD", f"{{ez:{name}}}:pools", "XX", "CH", "0", parted.run)
        (legacy,) = (await heir.beat()).legacies
        assert legacy.account == ACCOUNT


async def test_a_clock_that_is_set_back_holds_up_nothing(lasting: RedisServer, name: str) -> None:
    """A replica whose clock is an hour behind takes over: nothing would be created till then."""
    member = attrs.evolve(MEMBER, creates_per_second=10.0, polls_per_second=10.0)
    hour = f"{time.time() + 3_600:f}"
    async with joined(lasting, name) as (dead, heir):
        await paid_by(dead, "1")
        async with Monitor(lasting, name) as monitor:
            base = f"{{ez:{name}}}"
            for what in ("creates", "polls"):
                await monitor.send("SET", f"{base}:at:{ACCOUNT}:{what}", hour)
            await monitor.send("ZADD", f"{base}:pools", hour, dead.run)
            assert (await heir.acquire(member, 1)).names
            assert (await heir.slots(member, 1)).names
            await heir.beat()
            (left,) = await monitor.send("ZMSCORE", f"{base}:pools", dead.run)
            assert float(left) < time.time() + 60


async def test_pools_that_find_out_later_that_they_disagree(mortal: RedisServer, name: str) -> None:
    """The server forgot, and a pool with other limits came first: of two, nobody knows which."""
    async with joined(mortal, name) as (first, _):
        await first.beat()
        mortal.ask("FLUSHALL")
        other = await Fleet(mortal.url, name=name).join([MEMBER], Funds(budget=18))
        with pytest.raises(ConnectionError, match="budget is 18 in the fleet's pools"):
            await first.beat()
        assert (await first.acquire(MEMBER, 1)).names == ()
        await other.aclose()
        assert not (await first.beat()).was_alive, "now it is the first that sets them"
        assert (await first.beat()).was_alive


async def test_whoever_looks_in_leaves_nothing(lasting: RedisServer, name: str) -> None:
    """A server would fill with what is left of visits."""
    async with joined(lasting, name) as (books, _), Monitor(lasting, name) as monitor:
        await books.beat()
        for _ in range(3):
            await Fleet(lasting.url, name=name).status()
            await Fleet(lasting.url, name=name).reopen()
        assert await monitor.send("HLEN", f"{{ez:{name}}}:told") == 0
        assert await monitor.send("ZCARD", f"{{ez:{name}}}:pools") == 2

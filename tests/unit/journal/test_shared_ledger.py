"""What a pool owes to the books that it shares: all of it is told, in its order, no more."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import anyio
import attrs
import pytest

from ezcaptcha_async import (
    BudgetExceededError,
    JournalError,
    ServiceError,
    TaskFailedError,
    _journal,
)
from ezcaptcha_async._journal.shared_ledger import SharedLedger, result_of
from ezcaptcha_async._journal.submissions import Intent
from ezcaptcha_async.fleets import (
    Created,
    Delivered,
    Ended,
    Fact,
    Intention,
    Known,
    Lost,
    NotPaid,
    Overspent,
    Settled,
)
from ezcaptcha_async.transports import Reply

from .test_file_ledger import Clock
from .test_records import NOW, SUBMISSION, TASK

ACCOUNT = "ezcaptcha:0123abcd"
WINDOW = 300.0
PAID = attrs.evolve(TASK, reference="job 17")
READY = Reply(200, '{"solution": {"token": "ü"}}'.encode("gbk"), charset="gbk")


class Told:
    """Shared books that keep what they are told, and are away when a test says so."""

    def __init__(self, *, remember: float = 0.0) -> None:
        self.remember = remember
        self.facts: list[Fact] = []
        self.intentions: list[Intention] = []
        self.answer: Known | Overspent | None = None
        self.away = False
        self.closed = 0

    async def intend(self, intention: Intention) -> Known | Overspent | None:
        """Keep it."""
        if self.away:
            raise ConnectionError("gone")
        self.intentions.append(intention)
        return self.answer

    async def tell(self, facts: Sequence[Fact]) -> None:
        """Keep them."""
        if self.away:
            raise ConnectionError("gone")
        self.facts += facts

    async def aclose(self) -> None:
        """Count it."""
        self.closed += 1


def new_ledger(clock: Clock | None = None, **settings: Any) -> tuple[SharedLedger, Any]:
    """Return a ledger, and what it tells to whom."""
    told: Any = Told(**settings)
    return SharedLedger(told, clock or Clock()), told


async def intended(ledger: SharedLedger, name: str, *, once: bool = True) -> Intent:
    """Return an intent that was written down."""
    intent = await ledger.intend(SUBMISSION, name, once=once)
    assert isinstance(intent, Intent)
    return intent


async def test_what_happens_is_told_in_its_order() -> None:
    """The books would say that a task ended that was never created."""
    ledger, told = new_ledger()
    paid, refused, lost = [await intended(ledger, name) for name in "abc"]
    ledger.not_paid(refused)
    ledger.unknown(lost)
    await ledger.created(paid, PAID, WINDOW)
    ledger.unknown(paid)  # a service that repeats an id has sold one task
    ledger.settled(PAID, NOW + 120, READY)
    ledger.delivered(PAID, NOW + 120)
    ledger.delivered(PAID, NOW + 120)
    ledger.done("ezcaptcha", "0123abcd", "another")
    ledger.settled(attrs.evolve(PAID, task_id="another"), NOW + 120, READY)
    await ledger.aclose()
    await ledger.aclose()
    kinds = [type(fact) for fact in told.facts]
    assert kinds == [NotPaid, Lost, Created, Ended]
    ended = told.facts[-1]
    assert isinstance(ended, Ended)
    assert result_of(ended.text) == (PAID, READY), "byte for byte"
    assert (ended.reference, ended.seconds) == ("job 17", 120)
    assert told.closed == 1
    assert ledger.unknown_submissions() == [SUBMISSION]
    assert "0 facts owed" in repr(ledger)


async def test_what_it_came_to_is_told_before_anybody_takes_it() -> None:
    """Another pool would wait for a caller here who is busy with something else."""
    ledger, told = new_ledger()
    await ledger.created(await intended(ledger, "a"), PAID, WINDOW)
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(ledger.run)
            ledger.settled(PAID, NOW + 120, TaskFailedError("GAVE_UP", "in vain"))
            while len(told.facts) < 2:
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()
    (settled,) = [fact for fact in told.facts if isinstance(fact, Settled)]
    task, error = result_of(settled.text)
    assert task == PAID
    assert isinstance(error, TaskFailedError)
    assert (error.code, error.description) == ("GAVE_UP", "in vain")
    ledger.delivered(PAID, NOW + 120)
    await ledger.aclose()
    assert isinstance(told.facts[-1], Ended)
    assert told.facts[-1].text == ""


def test_an_error_of_a_class_that_is_not_known_is_one_of_the_service() -> None:
    """A pool of a newer version would have those of an older one fail."""
    for name in ("NewError", "SavedTicket", "ConfigurationError"):
        told = {"class": name, "code": "NEW", "text": ""}
        _, error = result_of(json.dumps({"task": TASK.to_dict(), "error": told}))
        assert type(error) is ServiceError


async def test_what_must_not_be_sent() -> None:
    """It would be paid for twice, or by money that is not there."""
    ledger, told = new_ledger()
    told.answer = Known("paid", "", 10)
    assert await ledger.intend(SUBMISSION, "a", once=True) == told.answer
    told.answer = Overspent(-3.0)
    with pytest.raises(BudgetExceededError, match="there are 0 left"):
        await ledger.intend(SUBMISSION, "b")
    assert [item.reference for item in told.intentions] == ["job 17", None]
    told.away = True
    with pytest.raises(JournalError, match="gone") as caught:
        await ledger.intend(SUBMISSION, "c", once=True)
    assert caught.value.retry_after is not None
    told.away = False
    await ledger.aclose()
    (taken_back,) = told.facts
    assert isinstance(taken_back, NotPaid)
    assert taken_back.attempt == "c", "it may be written there all the same"


async def test_an_intent_whose_caller_is_cancelled_is_taken_back() -> None:
    """A pool that is closed while the server hangs would leave a payment that nobody has made."""
    ledger, told = new_ledger()
    hangs = anyio.Event()

    async def hang(_intention: Intention) -> None:
        hangs.set()
        await anyio.sleep_forever()

    told.intend = hang
    async with anyio.create_task_group() as group:
        group.start_soon(ledger.intend, SUBMISSION, "a")
        await hangs.wait()
        group.cancel_scope.cancel()
    await ledger.aclose()
    assert [(type(fact), fact.attempt) for fact in told.facts] == [(NotPaid, "a")]


async def test_what_was_given_out_is_told_where_it_is_remembered() -> None:
    """A row of a batch would be bought again on the next machine when its token has expired."""
    ledger, told = new_ledger(remember=60)
    solved, lapsed, passed = [attrs.evolve(PAID, task_id=name) for name in ("1", "2", "3")]
    for task in (solved, lapsed, passed):
        intent = await intended(ledger, task.task_id, once=task is not lapsed)
        await ledger.created(intent, task, WINDOW)
    told.facts.clear()
    ledger.passed_on(passed)
    ledger.done("ezcaptcha", "0123abcd", "2")
    await ledger.flush()
    assert [type(fact) for fact in told.facts] == [Ended, Ended], "nobody has asked for it here"
    ledger.delivered(solved, NOW + 120)
    ledger.delivered(attrs.evolve(PAID, task_id="found at another pool"), NOW + 120)
    await ledger.flush()
    assert [type(fact) for fact in told.facts[2:]] == [Ended, Delivered, Delivered]
    assert told.facts[-1] == Delivered(reference="job 17")


async def test_what_cannot_be_told_is_owed() -> None:
    """A task that is paid would be known to nobody."""
    ledger, told = new_ledger()
    intent = await intended(ledger, "a")
    told.away = True
    await ledger.created(intent, PAID, WINDOW)
    assert told.facts == []
    told.away = False
    await intended(ledger, "b")
    assert [type(fact) for fact in told.facts] == [Created], "first what was owed"


async def test_what_is_told_again_is_what_can_still_be_fetched() -> None:
    """Books that have forgotten would be told of tasks that are gone."""
    clock = Clock()
    ledger, told = new_ledger(clock)
    older = attrs.evolve(TASK, task_id="older")
    ledger.adopted(older, WINDOW)
    ledger.adopted(older, WINDOW)
    ledger.adopted(attrs.evolve(TASK, task_id="lapsed", created_at=NOW - WINDOW), WINDOW)
    clock.now += 200
    await ledger.created(await intended(ledger, "a"), PAID, WINDOW)
    clock.now += 150
    assert ledger.is_over(older)
    assert not ledger.is_over(PAID)
    await intended(ledger, "b")
    asks = anyio.Event()

    async def ask(_intention: Intention) -> None:
        ledger.tell_again()
        asks.set()
        await anyio.sleep_forever()

    told.intend = ask
    told.facts.clear()
    async with anyio.create_task_group() as group:
        group.start_soon(ledger.intend, SUBMISSION, "nobody knows yet whether it may be sent")
        await asks.wait()
        await ledger.flush()
        group.cancel_scope.cancel()
    sent, again = told.facts
    assert isinstance(sent, Intention)
    assert sent.attempt == "b", "its answer is not there yet"
    assert isinstance(again, Created)
    assert (again.task_id, again.attempt, again.reference) == ("77", "", "job 17")
    assert again.window == 150


@pytest.mark.parametrize("skew", [-5_000.0, 0.0, 5_000.0])
def test_the_clock_of_the_machine_that_is_gone_does_not_count(skew: float) -> None:
    """What it has paid for would be taken for lapsed, or be polled long after."""
    ledger, _ = new_ledger()
    text = json.dumps({**attrs.evolve(PAID, created_at=NOW + skew).to_dict(), "once": True})
    task = ledger.inherit(text, account=ACCOUNT, age=40.0, window=WINDOW)
    assert task == attrs.evolve(PAID, created_at=NOW - 40)
    assert ledger.is_once(task)
    assert not ledger.is_over(task)
    assert ledger.inherited() == [task]
    ledger.taken_up(task)
    assert ledger.inherited() == []


def test_it_is_imported_with_its_first_use() -> None:
    """A pool that is alone would pay for it; or a name that nobody has be taken for one."""
    assert _journal.SharedLedger is SharedLedger
    with pytest.raises(AttributeError, match="has no attribute 'Fleet'"):
        _ = _journal.Fleet

"""What a pool writes down of its money where many pools share their books.

The rule is that of the file: what may be paid is written before it happens. Everything else has
happened already, so it is owed until it can be written, in its order, and to write it twice
changes nothing. What is owed goes out in one piece, together with what has come since.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final, cast

import anyio
import attrs

from ezcaptcha_async import errors
from ezcaptcha_async._journal.protocols import Ledger
from ezcaptcha_async._journal.saved import Key, SavedTask, key_of
from ezcaptcha_async._journal.submissions import Intent, Submission, submission_of
from ezcaptcha_async.errors import BudgetExceededError, JournalError, ServiceError
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
    SharedBooks,
    Trouble,
)
from ezcaptcha_async.transports import Reply

_BATCH: Final = 500
"""Most facts that are told at a time."""

_AGAIN_AFTER: Final = 0.25
"""Seconds until the next try to reach what cannot be reached."""

_LINGER: Final = 0.05
"""Seconds for which what nobody waits for is kept, so that more of it goes out in one piece."""

_GRACE: Final = 2.0
"""Seconds for which closing tries to tell what is owed."""


class SharedLedger(Ledger):
    """The books that a pool shares with others; see `Ledger`.

    Args:
        books: What they share.
        unix_time: Returns Unix time in seconds.
    """

    def __init__(self, books: SharedBooks, unix_time: Callable[[], float]) -> None:
        self.questions = anyio.Event()
        """Set when something is to be looked up; whoever does so puts a new one here."""
        self._books = books
        self._unix_time = unix_time
        self._intentions: dict[str, Intention] = {}
        self._written: set[str] = set()  # those of them that the fleet has agreed to
        self._paid: dict[Key, tuple[Created, float]] = {}  # of this pool, and when they lapse
        self._owed = deque[Fact]()
        self._inherited: dict[Key, SavedTask] = {}  # of pools that are gone; for nobody here yet
        self._fresh: dict[Key, Settled] = {}  # to be owed, unless more is known of it at once
        self._writing = anyio.Lock()
        self._woken = anyio.Event()
        self._unknown: list[Submission] = []
        self._closed = False

    def __repr__(self) -> str:
        return f"<SharedLedger over {self._books}, {len(self._owed)} facts owed>"

    # -------------------------------------------------------------------- what happens

    async def intend(
        self,
        submission: Submission,
        permit: str | None = None,
        *,
        once: bool = False,
        again: bool = False,
    ) -> Intent | Known:
        attempt = permit or ""
        intention = Intention(
            account=f"{submission.service}:{submission.account}",
            attempt=attempt,
            text=json.dumps({**attrs.asdict(submission), "once": once}),
            points=submission.points or 0.0,
            reference=submission.reference if once else None,
            again=again,
        )
        self._intentions[attempt] = intention
        intent, problem = Intent(attempt, submission), None
        answer: Known | Overspent | None = None
        try:
            await self._write()
            answer = await self._books.intend(intention)
        except ConnectionError as error:
            problem = str(error)
        except BaseException:  # the pool is closed
            self.not_paid(intent)
            raise
        if problem is not None:
            # It may be written there all the same.
            self.not_paid(intent)
            raise JournalError(
                f"the fleet's books cannot be written ({problem}), so createTask was not sent",
                retry_after=_AGAIN_AFTER,
            )
        if answer is None:
            self._written.add(attempt)
            return intent
        del self._intentions[attempt]
        if isinstance(answer, Known):
            return answer
        raise BudgetExceededError(
            f"{submission.type} costs {intention.points:g} points, and of the fleet's budget "
            f"there are {max(0.0, answer.left):g} left"
        )

    async def created(self, intent: Intent, task: SavedTask, window: float) -> None:
        reference = self._taken(intent).reference
        self._keep(task, window, attempt=intent.attempt, reference=reference)
        with suppress(ConnectionError):  # then it is owed
            await self._write()

    def not_paid(self, intent: Intent) -> None:
        intention = self._taken(intent)
        self._owe(
            NotPaid(
                account=intention.account,
                attempt=intent.attempt,
                points=intention.points,
                reference=intention.reference,
            )
        )

    def unknown(self, intent: Intent) -> None:
        if intent.attempt in self._intentions:
            intention = self._taken(intent)
            self._unknown.append(intent.submission)
            self._owe(
                Lost(
                    account=intention.account,
                    attempt=intent.attempt,
                    text=intention.text,
                    reference=intention.reference,
                )
            )

    def adopted(self, task: SavedTask, window: float) -> None:
        left = task.created_at + window - self._unix_time()
        if key_of(task) not in self._paid and left > 0:
            self._keep(task, left)

    def done(self, service: str, account: str | None, task_id: str) -> None:
        created = self._end((service, account, task_id))
        self._remember(None if created is None else created.reference)

    def settled(self, task: SavedTask, until: float, result: Reply | ServiceError) -> None:
        known, seconds = self._paid.get(key_of(task)), until - self._unix_time()
        if known is not None and seconds > 0:
            created, _ = known
            self._fresh[key_of(task)] = Settled(
                account=created.account,
                task_id=task.task_id,
                reference=task.reference or "",
                text=_result_text(task, result),
                seconds=seconds,
            )
            self._woken.set()

    def delivered(self, task: SavedTask, until: float) -> None:
        del until  # that was told when it was settled
        self.passed_on(task)
        self._remember(task.reference)

    def banned(self, service: str, account: str, until: float, polls_until: float) -> None:
        name, now = f"{service}:{account}", self._unix_time()
        seconds, polls = until - now, polls_until - now
        self._owe(Trouble(account=name, kind="banned", seconds=seconds, polls=polls))

    def refused(self, service: str, account: str, error: ServiceError) -> None:
        name = f"{service}:{account}"
        if not error.is_passing:
            self._owe(Trouble(account=name, kind="refused", code=error.code))
        elif error.retry_after:
            self._owe(Trouble(account=name, kind="paused", seconds=error.retry_after))

    def reopened(self, service: str, account: str) -> None:
        self._owe(Trouble(account=f"{service}:{account}", kind="reopened"))

    # --------------------------------------------------------------------- what stands

    def looks_up(self) -> bool:
        self.questions.set()
        return True

    def is_over(self, task: SavedTask) -> bool:
        known = self._paid.get(key_of(task))
        return known is None or known[1] <= self._unix_time()

    def unknown_submissions(self) -> list[Submission]:
        return list(self._unknown)

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._owe_fresh()
        with anyio.move_on_after(_GRACE):
            while self._owed:
                try:
                    await self._write()
                except ConnectionError:
                    await anyio.sleep(_AGAIN_AFTER)
        await self._books.aclose()

    # ------------------------------------------------------------- what the fleet asks

    async def run(self) -> None:
        """Tell what is owed, as it comes, until cancelled."""
        while True:
            await self._woken.wait()
            await anyio.sleep(_LINGER)
            self._woken = anyio.Event()
            try:
                await self.flush()
            except ConnectionError:
                await anyio.sleep(_AGAIN_AFTER)
                self._woken.set()

    async def flush(self) -> None:
        """Tell all that has happened so far.

        Raises:
            ConnectionError: That is not possible now.
        """
        self._owe_fresh()
        await self._write()

    def inherit(self, text: str, *, account: str, age: float, window: float) -> SavedTask:
        """Note a paid task of a pool that is gone, which is this one's from now on.

        Args:
            text: As it was told.
            account: Name of the account that has paid.
            age: Seconds since its creation; the clock of the other machine may have been wrong.
            window: Seconds after its creation in which its result can be fetched.
        """
        fields = json.loads(text)
        task = attrs.evolve(SavedTask.from_dict(fields), created_at=self._unix_time() - age)
        created = Created(
            account=account,
            attempt="",
            task_id=task.task_id,
            text=text,
            window=window,
            reference=task.reference if fields.get("once") else None,
        )
        self._paid[key_of(task)] = created, task.created_at + window
        self._inherited[key_of(task)] = task
        return task

    def passed_on(self, task: SavedTask) -> None:
        """Write down the end of a task that nobody here has asked for."""
        self._end(key_of(task))

    def is_once(self, task: SavedTask) -> bool:
        """Return whether a paid task of this pool was created once for its reference."""
        known = self._paid.get(key_of(task))
        return known is not None and known[0].reference is not None

    def tell_again(self) -> None:
        """Tell of all that is sent or paid, and not done: the fleet may have forgotten it."""
        now = self._unix_time()
        for attempt in self._written:
            self._owe(self._intentions[attempt])
        for created, lapses_at in list(self._paid.values()):
            if lapses_at > now:
                self._owe(attrs.evolve(created, attempt="", window=lapses_at - now))

    def take_unknown(self, texts: Sequence[str]) -> None:
        """Note the createTask requests of the whole fleet whose answer was lost."""
        known = [submission_of(json.loads(text)) for text in texts]
        self._unknown = sorted(known, key=lambda item: item.sent_at)

    # ------------------------------------------------------------------------- details

    def _taken(self, intent: Intent) -> Intention:
        self._written.discard(intent.attempt)
        return self._intentions.pop(intent.attempt)

    def _keep(
        self, task: SavedTask, window: float, *, attempt: str = "", reference: str | None = None
    ) -> None:
        """Note a paid task of this pool, with the reference for which it was created once."""
        created = Created(
            account=f"{task.service}:{task.account}",
            attempt=attempt,
            task_id=task.task_id,
            text=json.dumps({**task.to_dict(), "once": reference is not None}),
            window=window,
            reference=reference,
        )
        self._paid[key_of(task)] = created, self._unix_time() + window
        self._owe(created)

    def _end(self, key: Key) -> Created | None:
        self._inherited.pop(key, None)
        created, _ = self._paid.pop(key, (None, 0.0))
        if created is None:
            return None
        ended = Ended(account=created.account, task_id=created.task_id, reference=created.reference)
        fresh = self._fresh.pop(key, None)
        if fresh is not None:
            # Nearly always: the caller has waited for it. One call is enough for both.
            ended = attrs.evolve(ended, text=fresh.text, seconds=fresh.seconds)
        self._owe(ended)
        return created

    def _remember(self, reference: str | None) -> None:
        """Tell that a caller was given what a reference came to, where that is remembered."""
        if reference is not None and self._books.remember:
            self._owe(Delivered(reference=reference))

    def _owe(self, fact: Fact) -> None:
        self._owed.append(fact)
        self._woken.set()

    def _owe_fresh(self) -> None:
        self._owed.extend(self._fresh.values())
        self._fresh.clear()

    async def _write(self) -> None:
        async with self._writing:
            while self._owed:
                batch = tuple(islice(self._owed, _BATCH))
                await self._books.tell(batch)
                for _ in batch:
                    self._owed.popleft()


def _result_text(task: SavedTask, result: Reply | ServiceError) -> str:
    if isinstance(result, ServiceError):
        error = {"class": type(result).__name__, "code": result.code, "text": result.description}
        return json.dumps({"task": task.to_dict(), "error": error})
    # As its bytes are: what they say is found by whoever asks for it.
    reply = {"status": result.status, "body": result.body.decode("latin-1")}
    return json.dumps({"task": task.to_dict(), "reply": {**reply, "charset": result.charset}})


def result_of(text: str) -> tuple[SavedTask, Reply | ServiceError]:
    """Read what a paid task came to: the task, and the answer with its solution, or its error."""
    fields: Mapping[str, Any] = json.loads(text)
    task = SavedTask.from_dict(fields["task"])
    if "reply" in fields:
        reply = fields["reply"]
        body = reply["body"].encode("latin-1")
        return task, Reply(reply["status"], body, charset=reply["charset"])
    told = fields["error"]
    named = getattr(errors, told["class"], None)
    known = isinstance(named, type) and issubclass(named, ServiceError)
    error_class = cast("type[ServiceError]", named) if known else ServiceError
    return task, error_class(told["code"], told["text"])

"""Which account does what: a new task, one that is paid for once, a paid one, a question by name.

What is to be paid for once was begun in this pool, and stands in the books, or by an earlier
process, and stands in the journal. Only where neither has anything is a task created.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from math import inf
from typing import Any, cast

from ezcaptcha_async._account import Session
from ezcaptcha_async._books import Books, Budget, Command, Entry, Line
from ezcaptcha_async._journal import Ledger, SavedTask, Submission
from ezcaptcha_async.accounts import Account
from ezcaptcha_async.errors import (
    BudgetExceededError,
    ConfigurationError,
    ResultWindowLapsedError,
    ServiceError,
    SubmissionUnknownError,
)
from ezcaptcha_async.tasks import TASK_TYPES, CustomTask, Task, proxy_of


class Accounts:
    """Chooses among the accounts of one pool.

    Args:
        books: The books.
        budget: The limits on money.
        ledger: Knows what earlier processes have paid for, and what may have been paid for.
        clock: The event loop's clock.
    """

    def __init__(
        self, books: Books, budget: Budget, ledger: Ledger, clock: Callable[[], float]
    ) -> None:
        self.session_of: dict[Line, Session] = {}
        self.sessions: tuple[Session, ...] = ()
        """The accounts at work, in the order in which the user named them."""
        self._books = books
        self._budget = budget
        self._ledger = ledger
        self._clock = clock
        self._known: dict[str, Sequence[Session]] = {}

    def add(self, session: Session) -> None:
        """Give work to one more account."""
        self.session_of[session.line] = session
        self.sessions = (*self.sessions, session)
        self._known.clear()

    def perform(self, command: Command) -> Awaitable[None]:
        """Have a command performed by the account whose it is."""
        return self.session_of[command.entry.line].perform(command)

    # ------------------------------------------------------------------- new tasks

    def enter(self, entry: Entry, *, lost: Submission | None = None) -> None:
        """Put a new task in line at the account that suits it best.

        Args:
            entry: What `Session.entry_for` has returned; which account's it was is of no matter.
            lost: What was sent for it before, where the answer was lost.

        Raises:
            ConfigurationError: None serves the type, or the task's proxy.
            ServiceError: All that do are banned, or were refused for key or balance; or the
                service has just refused the very same task.
            BudgetExceededError: It costs more than is left.
            SubmissionUnknownError: It may be paid for already, and is not to be sent again.
        """
        task = cast("Task[Any]", entry.task)
        session = self._session_for(task)
        refusal = session.creator.refusal_of(task)
        if refusal is not None:
            raise refusal.for_ticket(None, None)
        task_type = task.type
        offer = session.service.offer_for(task_type)
        self._budget.check(task_type, offer)
        entry.points = None if offer is None else offer.points
        entry.repeated = lost is not None
        if entry.repeated and not self._budget.may_repeat(entry.points):
            raise SubmissionUnknownError(
                f"the answer to createTask for the reference {task.reference!r} was lost; "
                "it may have been paid for"
            )
        session.enqueue(entry, task)

    def begin_once(self, task: Task[Any]) -> Entry:
        """Return the entry of what its reference was begun with; begin where there is nothing.

        Raises:
            ConfigurationError: The task has no reference, or one that stands for another task.
            EzCaptchaError: As `enter` and `take_up` say.
        """
        reference = task.reference
        if reference is None:
            raise ConfigurationError(
                "once=True needs a reference: give each task the id of its job or row, "
                "reference='job 17'"
            )
        entry = self._begun(task, reference) or self._paid_before(task, reference)
        if entry is None:
            entry = self.sessions[0].entry_for(task)
            entry.once = True  # it is listed by its reference
            self.enter(entry, lost=self._ledger.lost_for(reference))
        entry.once = True
        return entry

    def _begun(self, task: Task[Any], reference: str) -> Entry | None:
        entry = self._books.references.standing_for(reference, self._clock())
        if entry is None:
            return None
        if not entry.once and entry.task is not None and entry.waiters:
            # Its token is for who waits for it, and works once.
            self._books.delivered(entry)
            return None
        _check_same(task, entry.kind.task_type, entry.kind.host, entry.task)
        self.session_of[entry.line].hold(entry)
        return entry

    def _paid_before(self, task: Task[Any], reference: str) -> Entry | None:
        saved = self._ledger.paid_for(reference)
        if saved is None:
            return None
        _check_same(task, saved.type, saved.host)
        try:
            return self.take_up(saved)
        except ResultWindowLapsedError:
            # Its token may be valid still, but only who was given it has it.
            return None

    def pass_on(self, entry: Entry, *, untroubled: bool) -> bool:
        """Give a task that its account cannot create to another one, if there is one for it.

        Args:
            entry: The task, certainly not paid: in line for creation, or just refused.
            untroubled: Whether only an account that is not in trouble itself may take it.

        Returns:
            Whether another account has taken it over.
        """
        # Where an answer was lost before, it may have been paid for already. And no task
        # wanders among accounts in trouble for ever.
        moves_on = entry.holders and entry.hand_overs < len(self.sessions)
        if len(self.sessions) == 1 or entry.repeated or not moves_on or self._books.closed:
            return False
        now, task = self._clock(), cast("Task[Any]", entry.task)
        willing = [
            item
            for item in self._that_serve(task)
            if item.line is not entry.line
            and item.gate.refusal(now) is None
            and item.gate.failing_since == inf
            and not item.gate.refuses_tasks  # they would only be refused once more, by each
            and not (untroubled and item.gate.troubled(now))
            and self._affords(task, item, freed=entry.points or 0.0)
        ]
        if willing:
            self._quickest(willing).take_over(entry, task)
        return bool(willing)

    def _session_for(self, task: Task[Any]) -> Session:
        candidates = self._that_serve(task)
        if not candidates:
            raise ConfigurationError(self._why_none_serves(task))
        now = self._clock()
        refusal = candidates[0].gate.refusal(now)
        if refusal is None and len(candidates) == 1:
            return candidates[0]
        willing = [item for item in candidates if item.gate.refusal(now) is None]
        if willing:
            affordable = [item for item in willing if self._affords(task, item)]
            return self._quickest(affordable or willing)
        raise cast("ServiceError", refusal).for_ticket(None, None)

    def _affords(self, task: Task[Any], session: Session, *, freed: float = 0.0) -> bool:
        try:
            self._budget.check(task.type, session.service.offer_for(task.type), freed=freed)
        except (BudgetExceededError, ConfigurationError):
            return False
        return True

    def _that_serve(self, task: Task[Any]) -> Sequence[Session]:
        # Nothing here is named that an error tracker would show: the proxy has a password.
        known = self._that_know(task)
        if proxy_of(task) is None:
            return known
        return [item for item in known if item.service.takes_proxy(proxy_of(task))]

    def _that_know(self, task: Task[Any]) -> Sequence[Session]:
        task_type = task.type
        known = self._known.get(task_type)
        if known is None:
            known = [item for item in self.sessions if item.service.offer_for(task_type)]
            if known:  # there is no end of names for what none of them knows
                self._known[task_type] = known
            elif isinstance(task, CustomTask):
                return self.sessions  # the profiles cannot know it
        return known

    def _why_none_serves(self, task: Task[Any]) -> str:
        services = ", ".join(sorted({item.service.name for item in self.sessions}))
        if self._that_know(task):
            return (
                "proxy must not be at a private address, where no service can reach it "
                f"(services: {services}); for one that can, set allow_private_proxies=True in "
                "its Service"
            )
        problem = f"no account serves {task.type} (services: {services})"
        if type(task) in TASK_TYPES:
            return problem
        return (
            f"{problem}: a class of your own is a type of its own; use the class that it is made "
            f"from, or CustomTask, or give the Service an Offer(type={task.type!r})"
        )

    def _quickest(self, willing: Sequence[Session]) -> Session:
        """Return the least loaded one without trouble; of those in trouble, the least loaded."""
        now = self._clock()
        return min(willing, key=lambda item: (self._is_held_up(item, now), item.line.load))

    def _is_held_up(self, session: Session, now: float) -> bool:
        # Of an account that has failed, one task finds out whether it does so still.
        gate = session.gate
        failing = gate.failing_since < inf or gate.refuses_tasks
        return gate.troubled(now) or (failing and session.line.pending > 0)

    # ------------------------------------------------------------------ paid tasks

    def session_named(self, account: Account | str | None) -> Session:
        """Return one account; the only one, when none is named.

        Raises:
            ConfigurationError: No such account, or none was named and there are several.
        """
        name = account.name if isinstance(account, Account) else account
        for session in self.sessions:
            if session.account.name == name or (name is None and len(self.sessions) == 1):
                return session
        names = ", ".join(item.account.name for item in self.sessions)
        raise ConfigurationError(f"account must be one of {names}")

    def take_up(self, saved: SavedTask) -> Entry:
        """Return the entry of a task that is paid already, here or elsewhere.

        Raises:
            ConfigurationError: No account of the pool has paid for it.
            ResultWindowLapsedError: Its result window is over.
            BannedError: Its account is banned for longer than that window lasts.
        """
        session = self._session_that_paid(saved)
        entry = session.line.paid.get(saved.task_id)
        if entry is not None:
            session.hold(entry)
            return entry
        now = self._clock()
        entry = session.entry_of(saved)
        if now >= entry.lapses_at:
            lapsed = ResultWindowLapsedError("the result window of the saved ticket is over")
            raise session.with_ticket(entry, lapsed)
        ban = session.gate.ban(now, "getTaskResult")
        if ban is not None and entry.lapses_at <= session.gate.banned_until("getTaskResult"):
            raise session.with_ticket(entry, ban)
        session.adopt(entry)
        return entry

    def _session_that_paid(self, saved: SavedTask) -> Session:
        """Find it by fingerprint, or as the only one of the service."""
        same_service = [item for item in self.sessions if item.service.name == saved.service]
        for session in same_service:
            if session.account.fingerprint == saved.account:
                return session
        if saved.account is None and len(same_service) == 1:
            return same_service[0]
        raise ConfigurationError(
            f"no account of this pool can fetch the saved ticket: it was paid for with "
            f"{saved.service}:{saved.account}"
        )


def _check_same(task: Task[Any], task_type: str, host: str, known: Task[Any] | None = None) -> None:
    # No more than that: a page's own data, and the proxy, may well be others the next time.
    keys = [getattr(item, "website_key", None) for item in (task, known or task)]
    if (task.type, task.host) != (task_type, host) or keys[0] != keys[1]:
        raise ConfigurationError(
            f"reference {task.reference!r} stands for another task, a {task_type} for "
            f"{host or 'no page'}; give each task one of its own"
        )

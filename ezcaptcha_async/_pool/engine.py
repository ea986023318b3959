"""What runs while a pool is open: its sessions, the scheduler, and how they end."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from contextvars import copy_context
from itertools import count
from math import inf
from random import Random
from typing import TYPE_CHECKING, Any, Final, cast

import anyio

from ezcaptcha_async._account import (
    Emitter,
    Exchange,
    Pace,
    Policy,
    PoolStatistics,
    Session,
    Standing,
    gate_of,
    line_of,
    sum_up,
)
from ezcaptcha_async._books import Books, Budget, Entry, Gate, Gatekeeper, Line, refuse
from ezcaptcha_async._journal import Ledger
from ezcaptcha_async._log import log
from ezcaptcha_async._pool.accounts import Accounts
from ezcaptcha_async._pool.callers import BY_OTHERS, Callers
from ezcaptcha_async._pool.settings import Settings
from ezcaptcha_async._pool.ticket import Ticket
from ezcaptcha_async._runtime import Callback, Runner, Waiter, current_event_loop, unwrapped
from ezcaptcha_async._timing import PollTiming, save_timing
from ezcaptcha_async.accounts import Account
from ezcaptcha_async.errors import EzCaptchaError, PoolClosedError
from ezcaptcha_async.tasks import Task
from ezcaptcha_async.transports import Transport

if TYPE_CHECKING:
    from ezcaptcha_async._pool.membership import Joined, Membership, Post

_NUMBERS: Final = count(1)
"""Shared by all pools: whoever watches several of them can tell their tasks apart."""


class Engine:
    """The moving parts of an open pool. Made and started in the pool's event loop.

    Args:
        accounts: What to work for.
        transport: Sends the requests; closed with the engine.
        ledger: Where what is paid is written down; likewise.
        settings: How.
        polling: When to poll.
        joined: The fleet that the pool is one of; None where it is alone.
    """

    def __init__(
        self,
        accounts: Sequence[Account],
        transport: Transport,
        ledger: Ledger,
        settings: Settings,
        *,
        polling: PollTiming,
        joined: Joined | None,
    ) -> None:
        self.ledger = ledger
        self._transport = transport
        self._settings = settings
        self._polling = polling
        self._rng = Random() if settings.rng is None else settings.rng
        self.loop = current_event_loop()
        self._emitter = Emitter(_told("on_event", settings.on_event), self.loop.clock)
        self._on_low_balance = _told("on_low_balance", settings.on_low_balance)
        self._policy = Policy(polling, self._rng)
        self._books = Books(self._emitter, numbers=_NUMBERS)
        self._ended = anyio.Event()
        self._scope = anyio.CancelScope()
        self._closing = False
        self.closed_by: PoolClosedError | None = None
        self._budget = Budget(settings.budget, settings.unknown_budget, self._books.lines)
        self.accounts = Accounts(self._books, self._budget, ledger, self.loop.clock)
        most = settings.max_requests or transport.max_requests
        self.runner = Runner(
            self._books,
            self.accounts.perform,
            begin=self._take_from_line,
            max_requests=most,
            loop=self.loop,
        )
        gates = [gate_of(account, shared=joined is not None) for account in accounts]
        posts: list[Post] = [] if joined is None else joined.posts(gates)
        keepers: Sequence[Gatekeeper] = [post.keeper for post in posts] or gates
        for account, gate, keeper in zip(accounts, gates, keepers, strict=True):
            line = line_of(account, keeper)
            self.accounts.add(self._session(account, gate, line, slots=most / len(accounts)))
        self.sessions = self.accounts.sessions
        self.callers = Callers(self.accounts.session_of)
        self.membership: Membership | None = None
        if joined is not None:
            self.membership = joined.membership(
                dict(zip(posts, self.sessions, strict=True)),
                books=self._books,
                budget=self._budget,
                runner=self.runner,
                loop=self.loop,
            )

    def _session(self, account: Account, gate: Gate, line: Line, *, slots: float) -> Session:
        """Return one account at work, which may count on so many requests at a time."""
        settings, budget = self._settings, self._budget
        exchange = Exchange(
            account,
            pace=Pace(account, line, slots=slots, rng=self._rng),
            clock=self.loop.clock,
            transport=self._transport,
            request_timeout=settings.request_timeout,
        )
        standing = Standing(
            exchange,
            gate=gate,
            line=line,
            books=self._books,
            ledger=self.ledger,
            pass_on=self.accounts.pass_on,
            emitter=self._emitter,
            create_patience=settings.create_patience,
        )
        return Session(
            exchange,
            standing,
            runner=self.runner,
            loop=self.loop,
            polling=self._policy,
            may_repeat=lambda entry: budget.may_repeat(entry.points),
            low_balance=settings.low_balance or 0.0,
            on_low_balance=self._on_low_balance,
        )

    def start(self) -> None:
        """Start the scheduler in the background, beside whoever entered the pool.

        The pool's requests must outlive the caller who asked for them: a task that was paid for
        is not lost because its caller was cancelled, or because the pool is entered in one
        asyncio task and left in another (as aiohttp's runner and pytest's fixtures do). A task
        group in the caller's own task would give neither.
        """
        self.loop.spawn(self._run)

    def check_open(self) -> None:
        """Check that new work can be taken.

        Raises:
            PoolClosedError: It cannot.
            ConfigurationError: The caller is in another event loop or process.
        """
        self.check_not_closed()
        self.sessions[0].check_here()

    def check_not_closed(self) -> None:
        """Check it once more, for whoever has waited in the pool's own event loop since.

        Raises:
            PoolClosedError: New work cannot be taken.
        """
        if self.closed_by is not None:
            raise self.closed_by.for_ticket(None, None)

    async def turn(self) -> None:
        """Wait until one more caller may be seen to: thousands may come in the same moment.

        Raises:
            PoolClosedError: The pool was closed meanwhile.
        """
        if not self.runner.may_begin():
            waiter = self.loop.waiter()
            self.runner.stand_in_line(waiter)
            await waiter
            self.check_not_closed()

    def begin(self, task: Task[Any], deadline: float) -> Entry:
        """Have a task created at its turn, and return its entry, which its caller waits for.

        That it cannot be is raised here or, where it has to wait for its turn, there: one wait
        for each of thousands of callers instead of two.

        Raises:
            EzCaptchaError: As `Accounts.enter` says.
        """
        entry = self.sessions[0].entry_for(task, deadline)
        if self.runner.may_begin():
            self.accounts.enter(entry)
        else:
            if self._emitter.watched:
                entry.context = copy_context()
            self.runner.stand_in_line(entry)
        return entry

    def _take_from_line(self, entry: Entry) -> None:
        """Begin with a task at its turn, as its caller would: what goes wrong is told to him."""
        # Nobody else can know of it.
        waiter, context = cast("Waiter | None", entry.waiters), entry.context
        if waiter is None or waiter.done():
            return  # he has gone
        entry.context = None
        try:
            self.check_not_closed()
            if context is None:
                self.accounts.enter(entry)
            else:  # whoever watches sees whose request it was
                context.run(self.accounts.enter, entry)
        except EzCaptchaError as error:
            # Its traceback would hold the entry, which holds it, until garbage is collected.
            entry.answer(error.with_traceback(None))
        except StopIteration as error:  # which no future takes, and no coroutine lets out
            refuse(waiter, RuntimeError(f"solving raised {error!r}"))
        except BaseException as error:  # noqa: BLE001 - of his own class of tasks, or who watches
            refuse(waiter, error)

    def statistics(self) -> PoolStatistics:
        """Return a snapshot of the counts."""
        return sum_up(
            (session.statistics() for session in self.sessions),
            requests_in_flight=self.runner.requests_in_flight,
            kinds=self._policy.kinds(),
        )

    def ticket(self, entry: Entry, deadline: float | None = None) -> Ticket[Any]:
        """Return what a caller holds of a paid task, until when he waits for it with others."""
        return Ticket(entry, self.callers, deadline)

    def orphans(self) -> tuple[Ticket[Any], ...]:
        """Return the paid tasks that nobody waits for and that can still be fetched.

        Who awaits one takes it up, whatever its last caller was told.
        """
        return tuple(
            Ticket(entry, self.callers, inf, BY_OTHERS)
            for session in self.sessions
            for entry in session.line.orphans()
            if session.can_be_fetched(entry)
        )

    async def close(self) -> None:
        """Answer everybody, give requests in flight a short grace, and stop.

        That takes at most the grace and the time to close the HTTP client, and goes on in the
        background when whoever asked for it is cancelled. In a forked child nothing is done: all
        that there is to close is the parent's.

        Raises:
            ConfigurationError: The caller is in another event loop.
        """
        if self.loop.is_inherited or self._ended.is_set():
            return
        self.sessions[0].check_here()
        is_first, self._closing = not self._closing, True
        if is_first:
            self._give_up("the pool was closed")
            self.loop.spawn(self._stop)
        try:
            # Not even a cancelled caller leaves before, if asyncio's own cancelling lets it stay.
            with anyio.CancelScope(shield=True):
                await self._ended.wait()
        finally:
            if is_first:
                save_timing(self._polling)

    async def _stop(self) -> None:
        with anyio.move_on_after(self._settings.close_grace):
            await self.runner.wait_quiet()
        self._scope.cancel()

    async def _run(self) -> None:
        try:
            with self._scope:
                await self._schedule_until_cancelled()
        finally:
            self._ended.set()

    async def _schedule_until_cancelled(self) -> None:
        reason = "the pool's event loop ended before the pool was closed"
        try:
            await self._work()
        except Exception as error:  # noqa: BLE001 - logged, and told to everybody who waits
            # A mistake in this library. Nobody may wait for ever because of it.
            cause = unwrapped(error)
            reason = f"the pool failed by an internal error ({type(cause).__name__})"
            # As text: an error tracker would add the locals of each frame to an exception.
            trace = "".join(traceback.format_exception(cause))
            log.critical("%s; please report it\n%s", reason, trace)
        finally:
            self._books.abort(self._give_up(reason))
            self._check_books()
            self._tell_of_orphans()
            # In a forked child, closing would take them out of the parent's event loop too, and
            # write in the parent's name.
            if not self.loop.is_inherited:
                with anyio.CancelScope(shield=True):
                    try:
                        await self._transport.aclose()
                    finally:
                        # A solution that is taken later is fetched again by the next process.
                        await self.ledger.aclose()

    async def _work(self) -> None:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self.ledger.run)
                if self.membership is not None:
                    group.start_soon(self.membership.run)
                await self.runner.run()
        except ExceptionGroup as error:
            raise unwrapped(error) from None

    def _check_books(self) -> None:
        for session in self.sessions:
            missing = session.statistics().unaccounted
            if missing:
                log.critical(
                    "the books of %s do not balance by %d paid tasks; please report it",
                    session.account.name,
                    missing,
                )

    def _tell_of_orphans(self) -> None:
        now = self.loop.clock()
        left = sum(
            entry.lapses_at > now for session in self.sessions for entry in session.line.orphans()
        )
        if left and not self.loop.is_inherited:
            log.warning(
                "the pool was closed with %d paid %s left to fetch: pool.orphans() lists them, and "
                "SessionPool.resume fetches each of them within its result window",
                left,
                "task" if left == 1 else "tasks",
            )

    def _give_up(self, reason: str) -> PoolClosedError:
        """Take nothing new, and answer all who do not wait for a request in flight."""
        if self.closed_by is None:
            self.closed_by = PoolClosedError(reason)
            self._books.close(self.closed_by)
            self.runner.wake()
        for session in self.sessions:
            session.inquirer.answer(self.closed_by)
        return self.closed_by


def _told(name: str, function: Callable[..., object] | None) -> Callback[None] | None:
    """Return a function of the user's that is told something, and has nothing to answer."""

    def ignore(_answer: Any) -> None: ...

    return None if function is None else Callback(name, function, ignore, None)

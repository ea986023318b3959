"""What runs while a pool is open: its sessions, the scheduler, and how they end."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable
from itertools import count
from typing import Final

import anyio

from ezcaptcha_async._account import Emitter, Exchange, Session
from ezcaptcha_async._books import Books, Budget
from ezcaptcha_async._journal import Ledger
from ezcaptcha_async._pool.accounts import Accounts
from ezcaptcha_async._pool.settings import Settings
from ezcaptcha_async._runtime import Runner, current_event_loop, unwrapped
from ezcaptcha_async._timing import save_timing
from ezcaptcha_async.accounts import Account
from ezcaptcha_async.errors import PoolClosedError
from ezcaptcha_async.transports import Transport

_NUMBERS: Final = count(1)
"""Shared by all pools: whoever watches several of them can tell their tasks apart."""

_logger: Final = logging.getLogger("ezcaptcha_async")


class Engine:
    """The moving parts of an open pool. Made and started in the pool's event loop.

    Args:
        accounts: What to work for.
        transport: Sends the requests; closed with the engine.
        ledger: Where what is paid is written down; likewise.
        settings: How.
    """

    def __init__(
        self,
        accounts: Iterable[Account],
        transport: Transport,
        ledger: Ledger,
        settings: Settings,
    ) -> None:
        self.ledger = ledger
        self._transport = transport
        self._settings = settings
        self.loop = current_event_loop()
        emitter = Emitter(settings.on_event, self.loop.clock)
        self._books = Books(emitter, numbers=_NUMBERS)
        self._closed = anyio.Event()
        self._ended = anyio.Event()
        self._scope = anyio.CancelScope()
        self._closing = False
        self.closed_by: PoolClosedError | None = None
        budget = Budget(settings.budget, settings.unknown_budget)
        self.accounts = Accounts(self._books, budget, self.loop.clock)
        most = settings.max_requests or transport.max_requests
        self.runner = Runner(self._books, self.accounts.perform, max_requests=most, loop=self.loop)
        accounts = tuple(accounts)
        for account in accounts:
            exchange = Exchange(
                account,
                books=self._books,
                clock=self.loop.clock,
                transport=transport,
                ledger=ledger,
                pass_on=self.accounts.pass_on,
                emitter=emitter,
                rng=settings.rng,
                slots=most / len(accounts),
                request_timeout=settings.request_timeout,
                create_patience=settings.create_patience,
            )
            session = Session(
                exchange,
                runner=self.runner,
                loop=self.loop,
                polling=settings.polling,
                may_repeat=budget.may_repeat,
                low_balance=settings.low_balance or 0.0,
                on_low_balance=settings.on_low_balance,
            )
            self.accounts.add(session)
            budget.add_line(session.line)
        self.sessions = self.accounts.sessions

    def __repr__(self) -> str:
        return f"<Engine of {len(self.sessions)} accounts, {self._books}>"

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
        if self.closed_by is not None:
            raise self.closed_by.for_ticket(None, None)
        self.sessions[0].check_here()

    async def close(self) -> None:
        """Answer everybody, give requests in flight a short grace, and stop.

        Not even a cancelled caller leaves before that is done: it takes at most the grace
        and the time to close the HTTP client. In a forked child nothing is done: all that
        there is to close is the parent's.
        """
        if self.loop.is_inherited:
            return
        with anyio.CancelScope(shield=True):
            if self._closing:
                await self._closed.wait()
                return
            self._closing = True
            self._give_up(PoolClosedError("the pool was closed"))
            with anyio.move_on_after(self._settings.close_grace):
                await self.runner.wait_quiet()
            self._scope.cancel()
            await self._ended.wait()
            self.ledger.close()
            self._closed.set()
            save_timing(self._settings.polling)

    async def _run(self) -> None:
        try:
            with self._scope:
                await self._schedule_until_cancelled()
        finally:
            self._ended.set()

    async def _schedule_until_cancelled(self) -> None:
        reason = "the pool's event loop ended before the pool was closed"
        try:
            await self.runner.run()
        except Exception as error:  # noqa: BLE001 - logged, and told to everybody who waits
            # A mistake in this library. Nobody may wait for ever because of it.
            cause = unwrapped(error)
            reason = f"the pool failed by an internal error ({type(cause).__name__})"
            # As text: an error tracker would add the locals of each frame to an exception.
            trace = "".join(traceback.format_exception(cause))
            _logger.critical("%s; please report it\n%s", reason, trace)
        finally:
            self._give_up(PoolClosedError(reason))
            self._books.abort(self.closed_by or PoolClosedError(reason))
            self._check_books()
            self._tell_of_orphans()
            try:
                # In a forked child, closing would take them out of the parent's event loop too.
                if not self.loop.is_inherited:
                    with anyio.CancelScope(shield=True):
                        await self._transport.aclose()
            finally:
                # A solution that is taken later is fetched again by the next process.
                self.ledger.close()

    def _check_books(self) -> None:
        for session in self.sessions:
            missing = session.statistics().unaccounted
            if missing:
                _logger.critical(
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
            _logger.warning(
                "the pool was closed with %d paid %s left to fetch: pool.orphans() lists them, and "
                "SessionPool.resume fetches each of them within its result window",
                left,
                "task" if left == 1 else "tasks",
            )

    def _give_up(self, error: PoolClosedError) -> None:
        """Take nothing new, and answer all who do not wait for a request in flight."""
        if self.closed_by is None:
            self.closed_by = error
            self._books.close(error)
        for session in self.sessions:
            session.answer_inquiry(self.closed_by)

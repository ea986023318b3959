"""The public owner: takes tasks from any number of callers and gives back solutions."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from random import Random
from types import TracebackType
from typing import Any, Literal, Self, TypeVar, overload

import anyio

from ezcaptcha_async._batch import Outcome, Resumed, outcome_of, outcomes_of, resumed
from ezcaptcha_async._claim import Claim
from ezcaptcha_async._engine import Engine
from ezcaptcha_async._inheritance import Inheritance
from ezcaptcha_async._journal import Journal, open_journal
from ezcaptcha_async._journal_lines import Submission
from ezcaptcha_async._ledger import Ledger
from ezcaptcha_async._saved import SavedTask
from ezcaptcha_async._settings import (
    Settings,
    accounts_from,
    check_low_balance,
    check_number,
    check_on_event,
    check_on_unknown,
    check_whole_number,
    default_polling,
    journal_from,
)
from ezcaptcha_async._statistics import PoolStatistics, sum_up
from ezcaptcha_async._ticket import Ticket
from ezcaptcha_async._timing import PollTiming
from ezcaptcha_async._timing_file import load_timing
from ezcaptcha_async._transport import Transport
from ezcaptcha_async._transports import check_transport, prepare, transport_for
from ezcaptcha_async._wire import Balance
from ezcaptcha_async.accounts import Account
from ezcaptcha_async.errors import (
    ConfigurationError,
    PoolClosedError,
    SolveTimeoutError,
)
from ezcaptcha_async.events import Event
from ezcaptcha_async.services import Service
from ezcaptcha_async.solutions import Solution
from ezcaptcha_async.tasks import Task

S = TypeVar("S", bound=Solution)


class SessionPool:
    """Solves tasks over one or more accounts. Open it with ``async with``, or `open` and `aclose`.

    One pool serves any number of concurrent callers in its event loop, asyncio or trio. It
    may be opened in one asyncio task and closed in another, and is opened once. A process
    that is forked later opens a pool of its own; this one refuses it.

    Args:
        *accounts: Client keys, or `Account` values for more settings. None at all: the key
            in ``EZCAPTCHA_CLIENT_KEY``.
        service: The service of accounts that are given as plain keys; EzCaptcha when left
            out, at ``EZCAPTCHA_BASE_URL`` where that is set, and ``EZCAPTCHA_TIME_SCALE``
            times as fast, where that is a simulated one.
        http_client: An ``httpx.AsyncClient``, ``httpx2.AsyncClient`` or
            ``aiohttp.ClientSession`` to send requests with. The pool never closes it. Let
            its connection limit be `max_requests`.
        transport: ``"aiohttp"`` or ``"httpx"``, or a transport of your own, instead of
            `http_client`. When left out: aiohttp where it is installed and asyncio runs,
            else httpx.
        polling: When to poll: `LearnedPolling`, where nothing else is given, at the speed
            of the slowest service.
        journal: Path of a file, or a `Journal`, in which this pool writes down what it pays
            for and what bans it, so that after a crash `resume_all` fetches what is paid.
        on_unknown: What to do when the answer to createTask was lost, so that the task may
            have been paid for: ``"raise"`` `SubmissionUnknownError`, or ``"retry"`` once,
            as long as `unknown_budget` and `budget` last. A type without a listed price
            is never repeated.
        unknown_budget: Most points that such repetitions may cost, all together.
        budget: Most points to spend on the tasks that this pool creates, by the listed
            prices (`Offer.points`). A price is reserved before anything is sent, and given
            back when the task was certainly not paid. None: no limit.
        low_balance: Points below which `on_low_balance` is to be called. The balance is
            asked for with the first paid task, and when it may have come that far.
        on_low_balance: A function that takes the `Balance` of an account that runs low. It
            is called once, in the pool's own coroutine, until more points are there.
        on_event: A function that takes a `TaskEvent`, a `RequestEvent` or an
            `AccountEvent`, as it happens: for metrics, traces, and logs of your own. It
            is called in the event loop, so it must be quick; it may look at the pool,
            but must not ask anything of it. What it raises is logged. The last event of
            a task comes as soon as its outcome is known, before its caller has it.
        max_requests: Most HTTP requests at a time, over all accounts. The default is what
            the HTTP client is good for: 32 with httpx, 100 with aiohttp, and never more
            than an injected session's own limit.
        request_timeout: Total deadline of one HTTP request in seconds.
        create_patience: Seconds for which a createTask is tried again that was certainly
            not accepted: never sent, no capacity, throttled.
        close_grace: Seconds for which closing waits for requests in flight, so that no
            task is paid for without its id being known.
        rng: The source of jitter, for runs that can be repeated.

    Raises:
        ConfigurationError: A setting is wrong; the message names it.

    Example:
        >>> async with SessionPool() as pool:  # the key comes from EZCAPTCHA_CLIENT_KEY
        ...     solutions = await asyncio.gather(*(pool.solve(TASK) for _ in range(100)))
        >>> solutions[0].token
        'simulated.recaptcha...'
        >>> pool.statistics().points
        600.0
    """

    def __init__(
        self,
        *accounts: Account | str,
        service: Service | None = None,
        http_client: Any = None,
        transport: Transport | str | None = None,
        polling: PollTiming | None = None,
        journal: Journal | str | os.PathLike[str] | None = None,
        on_unknown: Literal["raise", "retry"] = "raise",
        unknown_budget: float | None = None,
        budget: float | None = None,
        low_balance: float | None = None,
        on_low_balance: Callable[[Balance], object] | None = None,
        on_event: Callable[[Event], object] | None = None,
        max_requests: int | None = None,
        request_timeout: float = 20.0,
        create_patience: float = 120.0,
        close_grace: float = 5.0,
        rng: Random | None = None,
    ) -> None:
        problem = None
        try:
            self._accounts = accounts_from(accounts, service)
        except ConfigurationError as error:
            problem = error.message
        # A plain key must not be among the locals that a traceback may show.
        del accounts
        if problem is not None:
            raise ConfigurationError(problem)
        if http_client is not None and transport is not None:
            raise ConfigurationError("give http_client or transport, not both")
        check_transport(transport)
        self._journal = journal_from(journal)
        check_on_unknown(on_unknown, unknown_budget)
        check_number("budget", budget, "points")
        check_low_balance(low_balance, on_low_balance)
        check_on_event(on_event)
        check_whole_number("max_requests", max_requests)
        check_number("request_timeout", request_timeout, "seconds")
        check_number("create_patience", create_patience, "seconds")
        check_number("close_grace", close_grace, "seconds")
        self._settings = Settings(
            polling=default_polling(self._accounts) if polling is None else polling,
            max_requests=max_requests,
            request_timeout=request_timeout,
            create_patience=create_patience,
            close_grace=close_grace,
            rng=Random() if rng is None else rng,
            budget=budget,
            unknown_budget=unknown_budget,
            low_balance=low_balance or 0.0,
            on_low_balance=on_low_balance,
            on_event=on_event,
        )
        self._http_client = http_client
        self._transport = transport
        self._engine: Engine | None = None

    def __repr__(self) -> str:
        names = ", ".join(account.name for account in self._accounts)
        if self._engine is None:
            return f"<SessionPool of {names}, not open>"
        if self._engine.closed_by is not None:
            return f"<SessionPool of {names}, closed>"
        counts = self.statistics()
        return f"<SessionPool of {names}, {counts.queued} queued, {counts.waiting} waiting>"

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def open(self) -> Self:
        """Open the pool, and return it; entering ``async with`` does it.

        For what begins in one place and ends in another: the hooks of a framework, the
        cells of a notebook. Whoever calls this calls `aclose` in the end.

        Raises:
            ConfigurationError: The HTTP client or the journal cannot be used.
            PoolClosedError: It was opened before.

        Example:
            >>> pool = await SessionPool().open()
            >>> solution = await pool.solve(TASK)
            >>> await pool.aclose()
        """
        await prepare(self._http_client, self._transport)
        # From here on nobody else gets a turn who may open it as well.
        if self._engine is not None:
            raise PoolClosedError("a pool is opened once; make a new one")
        # First the journal: where it is in use, nothing has been opened that must be closed.
        file = None if self._journal is None else open_journal(self._journal)
        ledger = Ledger(file, time.time)
        try:
            load_timing(self._settings.polling)
            transport = transport_for(
                self._http_client, self._transport, max_requests=self._settings.max_requests
            )
            self._engine = Engine(self._accounts, transport, ledger, self._settings)
        except BaseException:
            ledger.close()
            raise
        self._engine.start()
        return self

    async def aclose(self) -> None:
        """Close the pool; leaving ``async with`` does it.

        Everybody who waits is answered within `close_grace` seconds: queued tasks and paid
        tickets fail with `PoolClosedError`, which carries the ticket. `orphans` lists the
        paid ones that are not finished, also afterwards.

        Example:
            >>> pool = await SessionPool().open()
            >>> ticket = await pool.submit(TASK)
            >>> await pool.aclose()
            >>> pool.orphans()
            (<Ticket ... of ReCaptchaV2TaskProxyless, orphaned>,)
        """
        if self._engine is not None:
            await self._engine.close()

    # ---------------------------------------------------------------------- solving

    async def solve(self, task: Task[S], *, timeout: float | None = None) -> S:
        """Create a task, wait until it is solved, and return the solution.

        A caller who is cancelled loses nothing that is paid: see `orphans`.

        Args:
            task: What to solve.
            timeout: Most seconds to wait. The task's own limit is its result window,
                300 s after creation.

        Raises:
            ConfigurationError: No account serves the type, or `timeout` is out of range.
            CredentialError: The key is wrong. Sent at most once; others fail at once.
            InsufficientBalanceError: The account is out of points, likewise.
            BannedError: The account is banned for now; see ``retry_after``.
            CapacityError: No capacity within `create_patience`.
            ThrottledError: Throttled all through `create_patience`.
            InvalidTaskError: The service rejects the task.
            TaskFailedError: The service gave up on it.
            ResultWindowLapsedError: Not solved within the result window.
            SolveTimeoutError: Not solved within `timeout`.
            SubmissionUnknownError: The answer to createTask was lost.
            TransportError: createTask could not be sent within `create_patience`.
            ProtocolError: The service's answer means nothing.
            BudgetExceededError: The task would cost more than the budget has left.
            JournalError: The journal cannot be written, so createTask was not sent.
            PoolClosedError: The pool is not open, or was closed meanwhile.

        Example:
            >>> async with SessionPool() as pool:
            ...     solution = await pool.solve(TASK, timeout=120)
            >>> solution.token
            'simulated.recaptcha...'
        """
        return await self._start(task, timeout).redeem()

    async def submit(self, task: Task[S], *, timeout: float | None = None) -> Ticket[S]:
        """Create a task and return its ticket as soon as it is paid.

        Args:
            task: What to solve.
            timeout: Most seconds to wait for the solution, counted from now.

        Raises:
            EzCaptchaError: The task was not created; the same errors as of `solve`.

        Example:
            >>> async with SessionPool() as pool:
            ...     ticket = await pool.submit(TASK)  # paid from here on
            ...     solution = await ticket
            >>> solution.receipt.task_id == ticket.task_id
            True
        """
        claim = self._start(task, timeout)
        try:
            outcome = await claim.created()
        except BaseException:
            claim.release()
            raise
        if claim.entry.task_id is None and outcome is not None:
            claim.collect(outcome)  # raises: it was not created
        return Ticket(claim)

    @overload
    async def resume(self, saved: Ticket[S], *, timeout: float | None = None) -> S: ...

    @overload
    async def resume(
        self, saved: Mapping[str, Any], *, timeout: float | None = None
    ) -> Solution: ...

    async def resume(
        self, saved: Ticket[Any] | Mapping[str, Any], *, timeout: float | None = None
    ) -> Solution:
        """Wait for a task that is paid already; creates nothing.

        Args:
            saved: A ticket, its ``to_dict``, or the ``ticket`` of an error, from this
                pool, another one, or another process.
            timeout: Most seconds to wait.

        Raises:
            ConfigurationError: `saved` is not a saved ticket, or no account of this pool
                can fetch it.
            ResultWindowLapsedError: Its result window is over.
            SolveTimeoutError: Not solved within `timeout`.
            EzCaptchaError: As `solve` says.

        Example:
            >>> async with SessionPool() as pool:
            ...     ticket = await pool.submit(TASK)
            ...     saved = ticket.to_dict()
            >>> async with SessionPool() as pool:  # in another process
            ...     solution = await pool.resume(saved)
            >>> pool.statistics().created
            0
        """
        engine = self._open()
        check_number("timeout", timeout, "seconds")
        if isinstance(saved, Ticket):
            if saved.state == "solved":
                solution: Solution = await saved
                return solution
            saved = saved.to_dict()
        claim: Claim[Solution] = engine.dispatch.take_up(SavedTask.from_dict(saved))
        with anyio.move_on_after(timeout):
            return await claim.redeem()
        raise claim.with_ticket(SolveTimeoutError("the timeout passed before the task was solved"))

    def solve_many(
        self,
        tasks: Iterable[Task[S]] | AsyncIterable[Task[S]],
        *,
        max_in_flight: int = 500,
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[Outcome[S]]]:
        """Solve many tasks; use as ``async with pool.solve_many(tasks) as outcomes``.

        Outcomes come as they complete. An error of one task is in its outcome and stops
        nothing. Leaving early leaves paid tasks among the `orphans`. In the journal an
        outcome counts as delivered when the next one is asked for, or when the block is
        left without an error: write it down before, and not even a crash in between
        loses it.

        Args:
            tasks: Any iterable, also an asynchronous one; read only as far as there is
                room, so it may be endless.
            max_in_flight: Most tasks begun whose outcome has not been taken yet.
            timeout: Most seconds for each task, as in `solve`.

        Raises:
            ConfigurationError: `max_in_flight` or `timeout` is out of range.

        Example:
            >>> tasks = (TASK for _ in range(200))
            >>> async with SessionPool() as pool:
            ...     async with pool.solve_many(tasks, max_in_flight=50) as outcomes:
            ...         tokens = [outcome.solution.token async for outcome in outcomes]
            >>> len(tokens)
            200
        """
        check_whole_number("max_in_flight", max_in_flight)
        check_number("timeout", timeout, "seconds")

        def start(task: Task[S]) -> Claim[S]:
            return self._start(task, timeout)

        return outcomes_of(tasks, start, outcome_of, max_in_flight=max_in_flight)

    def resume_all(
        self, *, max_in_flight: int = 500
    ) -> AbstractAsyncContextManager[AsyncIterator[Resumed]]:
        """Fetch what earlier processes have paid for, as the journal knows it.

        Use as ``async with pool.resume_all() as outcomes``, like `solve_many`; nothing is
        created. The pool's own `orphans` are fetched along. A task that cannot be fetched
        any more comes once with `ResultWindowLapsedError`, one that another account paid
        for with `ConfigurationError`, and stays in the journal. What is left when the reader
        leaves can be resumed again, and so can an outcome after which no other was asked
        for, if the block is left by an error. See also `unknowns`.

        Args:
            max_in_flight: Most tasks taken up whose outcome has not been taken yet.

        Raises:
            ConfigurationError: The pool has no journal, or `max_in_flight` is out of range.
            PoolClosedError: The pool is not open.

        Example:
            >>> async with SessionPool(journal="paid.jsonl") as pool:
            ...     ticket = await pool.submit(TASK)  # and then the program ends
            >>> async with SessionPool(journal="paid.jsonl") as pool, pool.resume_all() as outcomes:
            ...     async for outcome in outcomes:
            ...         print(outcome.reference, outcome.solution or outcome.error)
            None ReCaptchaSolution(...)
        """
        check_whole_number("max_in_flight", max_in_flight)
        engine = self._open()
        if self._journal is None:
            raise ConfigurationError("resume_all needs a pool with a journal")
        inheritance = Inheritance(engine.ledger, engine.dispatch)
        return outcomes_of(
            inheritance.tasks(),
            inheritance.take_up,
            resumed,
            max_in_flight=max_in_flight,
            told=inheritance.told,
        )

    # ---------------------------------------------------------------------- looking

    async def balance(self, account: Account | str | None = None) -> Balance:
        """Ask a service how many points are left.

        A balance above zero also reopens an account that was shut after a balance or
        credential error.

        Args:
            account: The account, or its name; needed when the pool has several.

        Raises:
            ConfigurationError: No such account, or none was named.
            CredentialError: The key is wrong.
            BannedError: The account is banned for now; nothing was sent.
            ThrottledError: It is throttled for now, likewise; see ``retry_after``.
            TransportError: No answer came.
            ProtocolError: The answer means nothing.

        Example:
            >>> async with SessionPool() as pool:
            ...     balance = await pool.balance()
            >>> f"{balance.points:.0f} points are worth {balance.value:.2f} {balance.currency}"
            '20000 points are worth 2.00 USD'
        """
        return await self._open().dispatch.session_named(account).balance()

    def reopen(self, account: Account | str | None = None) -> None:
        """Let an account take new tasks again after a credential or balance error.

        Without it, `balance` does so as soon as the service names a balance above zero.
        Its next createTask goes alone, and shuts the account again if it is refused.

        Args:
            account: The account, or its name; needed when the pool has several.

        Raises:
            ConfigurationError: No such account, or none was named.
            PoolClosedError: The pool is not open.

        Example:
            >>> async with SessionPool("empty-key") as pool:
            ...     try:
            ...         ticket = await pool.submit(TASK)
            ...     except InsufficientBalanceError:
            ...         pool.reopen()  # once somebody has topped up
        """
        self._open().dispatch.session_named(account).reopen()

    def statistics(self) -> PoolStatistics:
        """Return a snapshot of the counts, also after the pool was closed.

        Raises:
            PoolClosedError: The pool was never open.

        Example:
            >>> async with SessionPool() as pool:
            ...     solution = await pool.solve(TASK)
            >>> counts = pool.statistics()
            >>> counts.created, counts.solved, counts.orphaned, counts.points
            (1, 1, 0, 6.0)
        """
        engine = self._entered()
        return sum_up(
            (session.statistics() for session in engine.sessions),
            requests_in_flight=engine.scheduler.requests_in_flight,
            kinds=self._settings.polling.kinds(),
        )

    def orphans(self) -> tuple[Ticket[Any], ...]:
        """Return the paid tickets that nobody waits for and that can still be fetched.

        Their callers were cancelled or timed out, or the pool was closed. They are not
        polled until somebody awaits or resumes them.

        Raises:
            PoolClosedError: The pool was never open.

        Example:
            >>> async with SessionPool() as pool:
            ...     try:
            ...         solution = await asyncio.wait_for(pool.solve(TASK), 12)
            ...     except TimeoutError:
            ...         solutions = [await ticket for ticket in pool.orphans()]
            >>> solutions[0].token
            'simulated.recaptcha...'
        """
        session_of = self._entered().dispatch.session_of
        return tuple(
            Ticket(Claim(entry, session_of)) for line in session_of for entry in line.orphans()
        )

    def unknowns(self) -> tuple[Submission, ...]:
        """Return the createTask requests of the last day whose answer was lost.

        Each may have been paid for, and none can be fetched. Where the pool has a journal,
        those of earlier processes are among them. At most the last 1,000;
        ``statistics().unknown`` counts all of this pool's. Also after the pool was closed.

        Raises:
            PoolClosedError: The pool was never open.

        Example:
            >>> service = SimulatedService()
            >>> service.inject(Fault.RESET_AFTER, path="/createTask")
            >>> async with SessionPool(http_client=service.client()) as pool:
            ...     lost = await asyncio.gather(pool.solve(TASK), return_exceptions=True)
            >>> [submission.type for submission in pool.unknowns()]
            ['ReCaptchaV2TaskProxyless']
        """
        return tuple(self._entered().ledger.unknown_submissions())

    # ---------------------------------------------------------------------- details

    def _entered(self) -> Engine:
        if self._engine is None:
            raise PoolClosedError("the pool is not open; enter it with 'async with'")
        return self._engine

    def _open(self) -> Engine:
        engine = self._entered()
        engine.check_open()
        return engine

    def _start(self, task: Task[S], timeout: float | None) -> Claim[S]:
        engine = self._open()
        if not isinstance(task, Task):
            raise ConfigurationError(f"task must be a Task, not {type(task).__name__}")
        check_number("timeout", timeout, "seconds")
        return engine.dispatch.begin(task, timeout)

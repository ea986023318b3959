"""The public owner: takes tasks from any number of callers and gives back solutions."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from math import inf
from random import Random
from types import TracebackType
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Literal,
    Never,
    NoReturn,
    Self,
    TypeVar,
    cast,
    overload,
)

import ezcaptcha_async  # what is named by it is imported when it is asked for
from ezcaptcha_async._checks import GuardedConstructor, refuse_unknown
from ezcaptcha_async._importing import import_all
from ezcaptcha_async._pool.settings import (
    Settings,
    accounts_from,
    check_flag,
    check_number,
    check_whole_number,
)
from ezcaptcha_async.accounts import Account, Balance
from ezcaptcha_async.errors import ConfigurationError, PoolClosedError
from ezcaptcha_async.services import Service

if TYPE_CHECKING:
    import ezcaptcha_async.fleets
    import ezcaptcha_async.polling
    import ezcaptcha_async.transports
    from ezcaptcha_async._books import Entry
    from ezcaptcha_async._pool.engine import Engine

S = TypeVar("S", bound="ezcaptcha_async.Solution")

_PARTS: Final = (
    "anyio.lowlevel",
    "ezcaptcha_async.solutions",
    "ezcaptcha_async.tasks",
    "ezcaptcha_async._timing",
    "ezcaptcha_async._books",
    "ezcaptcha_async._journal",
    "ezcaptcha_async._wire",
    "ezcaptcha_async._account",
    "ezcaptcha_async._pool.many",
    "ezcaptcha_async._pool.opening",
)
"""What works for an open pool, imported with the first of them, beside the event loop: a program
that only names the class, as its tests do, does not pay for it."""


class SessionPool(GuardedConstructor):
    """Solves tasks over one or more accounts. Open it with ``async with``, or `open` and `aclose`.

    One pool serves any number of concurrent callers in its event loop, asyncio or trio. It
    may be opened in one asyncio task and closed in another, and is opened once. A process
    that is forked later opens a pool of its own; this one refuses it.

    Args:
        *accounts: Client keys, or `Account` values for more settings. None at all: the key
            in ``EZCAPTCHA_CLIENT_KEY``, else in ``EZCAPTCHA_API_KEY`` or
            ``EZCAPSOLVER_API_KEY``.
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
        fleet: A `Fleet`, instead of `journal`: then this pool is one of many on any number of
            machines, which work as one. The limits of each `Account`, `budget`,
            `unknown_budget`, ``once`` and the books are those of all of them. What a pool has
            paid for that dies is fetched by the others.
        on_unknown: What to do when the answer to createTask was lost, so that the task may
            have been paid for: ``"raise"`` `SubmissionUnknownError`, or ``"retry"`` once,
            as long as `unknown_budget` and `budget` last. A type without a listed price
            is never repeated.
        unknown_budget: Most points that such repetitions may cost, all together.
        budget: Most points to spend on the tasks that this pool creates, by the listed
            prices (`Offer.points`). A price is reserved before anything is sent, and given
            back when the task was certainly not paid. A type whose price no page states is
            refused; say what you pay for it:
            ``attrs.evolve(EZCAPTCHA, offers=[Offer(type="HCaptcha", points=20),
            *EZCAPTCHA.offers])``. None: no limit.
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
        transport: ezcaptcha_async.transports.Transport | str | None = None,
        polling: ezcaptcha_async.polling.PollTiming | None = None,
        journal: ezcaptcha_async.Journal | str | os.PathLike[str] | None = None,
        fleet: ezcaptcha_async.fleets.Sharing | None = None,
        on_unknown: Literal["raise", "retry"] = "raise",
        unknown_budget: float | None = None,
        budget: float | None = None,
        low_balance: float | None = None,
        on_low_balance: Callable[[Balance], object] | None = None,
        on_event: Callable[[ezcaptcha_async.Event], object] | None = None,
        max_requests: int | None = None,
        request_timeout: float = 20.0,
        create_patience: float = 120.0,
        close_grace: float = 5.0,
        rng: Random | None = None,
    ) -> None:
        self._accounts = accounts_from(accounts, service)
        self._settings = Settings(
            http_client=http_client,
            transport=transport,
            polling=polling,
            journal=journal,
            fleet=fleet,
            on_unknown=on_unknown,
            unknown_budget=unknown_budget,
            budget=budget,
            low_balance=low_balance,
            on_low_balance=on_low_balance,
            on_event=on_event,
            max_requests=max_requests,
            request_timeout=request_timeout,
            create_patience=create_patience,
            close_grace=close_grace,
            rng=rng,
        )
        self._is_opening = False
        self._engine: Engine | None = None

    def __repr__(self) -> str:
        names = ", ".join(account.name for account in self._accounts)
        if self._engine is None:
            return f"<SessionPool of {names}, not open>"
        if self._engine.closed_by is not None:
            return f"<SessionPool of {names}, closed>"
        counts = self.statistics()
        return f"<SessionPool of {names}, {counts.queued} queued, {counts.waiting} waiting>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a SessionPool belongs to its process and event loop and cannot be pickled or copied; "
            "make one in each process"
        )

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
            ConfigurationError: The HTTP client, the journal or the fleet cannot be used, or
                what the environment says of proxies and certificates; the message names the
                variable.
            PoolClosedError: It was opened before.

        Example:
            >>> pool = await SessionPool().open()
            >>> solution = await pool.solve(TASK)
            >>> await pool.aclose()
        """
        if self._engine is not None or self._is_opening:
            raise PoolClosedError("a pool is opened once; make a new one")
        self._is_opening = True
        try:
            await import_all(_PARTS, in_thread=self._settings.opens_client)
            from ezcaptcha_async._pool.opening import open_engine  # noqa: PLC0415 - in _PARTS

            self._engine = await open_engine(self._accounts, self._settings)
        finally:
            self._is_opening = False
        return self

    async def aclose(self) -> None:
        """Close the pool; leaving ``async with`` does it.

        Everybody who waits is answered within `close_grace` seconds: queued tasks and paid
        tickets fail with `PoolClosedError`, which carries the ticket. `orphans` lists the
        paid ones that are not finished, also afterwards.

        Raises:
            ConfigurationError: The caller is in another event loop, and the pool is open.

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

    async def solve(
        self,
        task: ezcaptcha_async.Task[S],
        *,
        timeout: float | None = None,
        once: bool = False,
        **unknown: Never,
    ) -> S:
        """Create a task, wait until it is solved, and return the solution.

        A caller who is cancelled loses nothing that is paid: see `orphans`.

        Args:
            task: What to solve.
            timeout: Most seconds to wait. The task's own limit is its result window,
                300 s after creation.
            once: Pay at most once for the task's `reference`, whoever asks for it in this
                pool and however often. Who asks while it is being solved waits for the same
                task; who asks later gets the same solution as long as it is valid, or the
                same error until the result window has ended; then a new one is bought. As a
                token is used once, this is for a job that may be run again, not for two
                that need a token each. With a `journal` it holds after a crash too: what was
                paid is resumed, and a createTask among the `unknowns` raises
                `SubmissionUnknownError`, unless it may be repeated (`on_unknown`). With a
                `fleet` all of this holds for all of its pools. A call without it always buys.
                What that has bought, or may have, counts here only where nobody waits for it or
                was given it: its caller gave up, or the process ended.
            **unknown: None; another argument is answered with the one that is meant.

        Raises:
            ConfigurationError: No account serves the type, or takes the task's proxy; its
                price is not known, which a `budget` needs; or `timeout` is out of range.
                With `once`: the task has no reference, or one that stands for a task of
                another type or page, or that an account has paid for which this pool lacks.
            CredentialError: The key is wrong. Sent at most once; others fail at once.
            InsufficientBalanceError: The account is out of points, likewise.
            BannedError: The account is banned for now; see ``retry_after``.
            CapacityError: No capacity within `create_patience`.
            ThrottledError: Throttled all through `create_patience`.
            InvalidTaskError: The service rejects the task.
            TaskFailedError: The service gave up on it.
            TaskNotFoundError: The service does not know the paid task any more.
            ServiceError: It refused with a code that no class stands for.
            ResultWindowLapsedError: Not solved within the result window.
            SolveTimeoutError: Not solved within `timeout`.
            SubmissionUnknownError: The answer to createTask was lost.
            TransportError: createTask could not be sent within `create_patience`.
            ProtocolError: The service's answer means nothing.
            BudgetExceededError: The task would cost more than the budget has left.
            JournalError: The journal cannot be written, or what the fleet shares cannot be
                reached, so createTask was not sent.
            DeliveredBeforeError: With `once`, in a fleet that remembers: it was given out before.
            PoolClosedError: The pool is not open, or was closed meanwhile.

        Example:
            >>> async with SessionPool() as pool:
            ...     solution = await pool.solve(TASK, timeout=120)
            >>> solution.token
            'simulated.recaptcha...'

            A job that a queue delivers twice is paid for once:

            >>> job = ReCaptchaV2TaskProxyless(
            ...     website_url="https://example.com/", website_key="site-key", reference="job 17"
            ... )
            >>> async with SessionPool() as pool:
            ...     first = await pool.solve(job, once=True)
            ...     again = await pool.solve(job, once=True)
            >>> again.token == first.token, pool.statistics().created
            (True, 1)
        """
        if unknown:
            refuse_unknown(self.solve, unknown)
        # All waiting is done here, and not in coroutines below: each of them would be one more
        # object for each of thousands of callers, whenever the garbage collector runs.
        engine, deadline = self._asked(task, timeout, once=once)
        callers = engine.callers
        if once:
            await engine.turn()
            return cast("S", await callers.redeem(engine.accounts.begin_once(task), deadline))
        entry = engine.begin(task, deadline)
        waiter = callers.wait_for(entry)
        try:
            outcome = await waiter
        except BaseException:
            callers.let_go(entry, waiter)
            raise
        return cast("S", callers.taken(entry, waiter, outcome))

    async def submit(
        self,
        task: ezcaptcha_async.Task[S],
        *,
        timeout: float | None = None,
        once: bool = False,
        **unknown: Never,
    ) -> ezcaptcha_async.Ticket[S]:
        """Create a task and return its ticket as soon as it is paid.

        Args:
            task: What to solve.
            timeout: Most seconds to wait for the solution, counted from now.
            once: Pay at most once for the task's `reference`, as in `solve`. All tickets for
                one reference are one task: to cancel one is to stop polling.
            **unknown: None, as of `solve`.

        Raises:
            EzCaptchaError: The task was not created; the same errors as of `solve`.

        Example:
            >>> async with SessionPool() as pool:
            ...     ticket = await pool.submit(TASK)  # paid from here on
            ...     solution = await ticket
            >>> solution.receipt.task_id == ticket.task_id
            True
        """
        refuse_unknown(self.submit, unknown)
        entry, deadline = await self._start(task, timeout, once=once)
        engine = self._entered()
        await engine.callers.created(entry, deadline)
        return engine.ticket(entry, deadline)

    @overload
    async def resume(
        self, saved: ezcaptcha_async.Ticket[S], *, timeout: float | None = None
    ) -> S: ...

    @overload
    async def resume(
        self, saved: Mapping[str, Any], *, timeout: float | None = None
    ) -> ezcaptcha_async.Solution: ...

    async def resume(
        self,
        saved: ezcaptcha_async.Ticket[Any] | Mapping[str, Any],
        *,
        timeout: float | None = None,
    ) -> ezcaptcha_async.Solution:
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
        deadline = self._deadline(timeout)
        if isinstance(saved, ezcaptcha_async.Ticket):
            if saved.state == "solved":
                solution: ezcaptcha_async.Solution = await saved
                return solution
            saved = saved.to_dict()
        from ezcaptcha_async._journal import SavedTask  # noqa: PLC0415 - in _PARTS

        task = SavedTask.from_dict(saved)
        await engine.turn()
        return await engine.callers.redeem(engine.accounts.take_up(task), deadline)

    def solve_many(
        self,
        tasks: Iterable[ezcaptcha_async.Task[S]] | AsyncIterable[ezcaptcha_async.Task[S]],
        *,
        max_in_flight: int | None = None,
        timeout: float | None = None,
        once: bool = False,
        **unknown: Never,
    ) -> AbstractAsyncContextManager[AsyncIterator[ezcaptcha_async.Outcome[S]]]:
        """Solve many tasks; use as ``async with pool.solve_many(tasks) as outcomes``.

        Outcomes come as they complete. An error of one task is in its outcome and stops
        nothing. Leaving early leaves paid tasks among the `orphans`. In the journal an
        outcome counts as delivered when the next one is asked for, or when the block is
        left without an error: write it down before, and not even a crash in between
        loses it. Where reading `tasks` raises, the outcomes of what was begun come first, and
        then that exception.

        Args:
            tasks: Any iterable, also an asynchronous one; read only as far as there is
                room, so it may be endless.
            max_in_flight: Most tasks begun whose outcome has not been taken yet. When left out:
                500, and no more than the reader takes within half the life of a token, so that
                none is expired when it is given out. As nobody knows how quick the reader is, 40
                are begun at first, and two more with each that it takes at once; a number that
                you name holds from the beginning.
            timeout: Most seconds for each task, as in `solve`.
            once: Pay at most once for each `reference`, as in `solve`. An input that is read
                again after a crash is bought once, as far as its results are still valid.
            **unknown: None, as of `solve`.

        Raises:
            ConfigurationError: `max_in_flight`, `timeout` or `once` is out of range, or `tasks`
                cannot be iterated over.
            PoolClosedError: As the block is entered: the pool was never open.

        Example:
            >>> tasks = (TASK for _ in range(200))
            >>> async with SessionPool() as pool:
            ...     async with pool.solve_many(tasks, max_in_flight=50) as outcomes:
            ...         tokens = [outcome.solution.token async for outcome in outcomes]
            >>> len(tokens)
            200
        """
        refuse_unknown(self.solve_many, unknown)
        if max_in_flight is not None:
            check_whole_number("max_in_flight", max_in_flight)
        if timeout is not None:
            check_number("timeout", timeout)
        check_flag("once", once)
        _check_many(tasks)
        from ezcaptcha_async._pool.many import solved  # noqa: PLC0415 - in _PARTS

        start = partial(self._start, timeout=timeout, once=once)
        return solved(tasks, start, lambda: self._entered().callers, max_in_flight=max_in_flight)

    def resume_all(
        self, *, max_in_flight: int = 500
    ) -> AbstractAsyncContextManager[AsyncIterator[ezcaptcha_async.Resumed]]:
        """Fetch what earlier processes have paid for, as the journal knows it.

        Use as ``async with pool.resume_all() as outcomes``, like `solve_many`; nothing is
        created. The pool's own `orphans` are fetched along. A task that cannot be fetched
        any more comes once with `ResultWindowLapsedError`, one that another account paid
        for with `ConfigurationError`, and stays in the journal. What is left when the reader
        leaves can be resumed again, and so can an outcome after which no other was asked
        for, if the block is left by an error. With a `fleet`, what pools have paid for that are
        gone is fetched by the others without being asked for, and the one that has it gives it
        out here. See also `unknowns`.

        Args:
            max_in_flight: Most tasks taken up whose outcome has not been taken yet.

        Raises:
            ConfigurationError: The pool has neither a journal nor a fleet, or `max_in_flight` is
                out of range.
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
        if self._settings.journal is None and self._settings.fleet is None:
            raise ConfigurationError("resume_all needs a pool with a journal or a fleet")
        from ezcaptcha_async._pool.many import resumed  # noqa: PLC0415 - in _PARTS

        return resumed(engine.ledger, engine.accounts, engine.callers, max_in_flight=max_in_flight)

    # ---------------------------------------------------------------------- looking

    async def balance(self, account: Account | str | None = None) -> Balance:
        """Ask a service how many points are left.

        A balance above zero also reopens an account that was shut after a balance or
        credential error, but for a `SubscriptionError`: after that it takes `reopen`.

        It may be asked for as often as you like: whoever asks while a request is under way
        shares its answer, and while the service is known to refuse, for the time of a ban or
        of a ``Retry-After``, nothing is sent, and all get the same error at once, with what is
        left in ``retry_after``. So too, for up to 15 s at a time, after any other request for
        patience and after five equal refusals in a row. `reopen` ends the latter.

        Args:
            account: The account, or its name; needed when the pool has several.

        Raises:
            ConfigurationError: No such account, or none was named.
            CredentialError: The key is wrong.
            BannedError: The account is banned for now.
            ThrottledError: It is throttled for now.
            ServiceError: The service refused for another reason.
            TransportError: No answer came.
            ProtocolError: The answer means nothing.
            PoolClosedError: The pool is not open, or was closed meanwhile.

        Example:
            >>> async with SessionPool() as pool:
            ...     balance = await pool.balance()
            >>> f"{balance.points:.0f} points are worth {balance.value:.2f} {balance.currency}"
            '20000 points are worth 2.00 USD'
        """
        return await self._open().accounts.session_named(account).inquirer.balance()

    def reopen(self, account: Account | str | None = None) -> None:
        """Let an account take new tasks again after a credential or balance error.

        Without it, `balance` does so as soon as the service names a balance above zero,
        except after a `SubscriptionError`.
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
        self._open().accounts.session_named(account).reopen()

    def statistics(self) -> ezcaptcha_async.PoolStatistics:
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
        return self._entered().statistics()

    def orphans(self) -> tuple[ezcaptcha_async.Ticket[Any], ...]:
        """Return the paid tickets that nobody waits for and that can still be fetched.

        Their callers were cancelled or timed out, their tickets were, or the pool was closed.
        They are not polled until somebody awaits or resumes them.

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
        return self._entered().orphans()

    def unknowns(self) -> tuple[ezcaptcha_async.Submission, ...]:
        """Return the createTask requests of the last day whose answer was lost.

        Each may have been paid for, and none can be fetched. Where the pool has a journal,
        those of earlier processes are among them; where it is in a fleet, those of all its
        pools, as they were a second ago. At most the last 1,000;
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

    async def fleet_status(self) -> ezcaptcha_async.fleets.FleetStatus:
        """Ask how the fleet of this pool stands: pools, gates, money, tasks.

        Raises:
            ConfigurationError: The pool is in no fleet.
            JournalError: What the fleet shares cannot be reached.
            PoolClosedError: The pool is not open.

        Example:
            >>> async def watch(pool: SessionPool) -> None:
            ...     status = await pool.fleet_status()
            ...     print(f"{status.pools} pools have spent {status.spent:g} points")
        """
        membership = self._open().membership
        if membership is None:
            raise ConfigurationError("fleet_status needs a pool in a fleet: SessionPool(fleet=...)")
        return await membership.status()

    # ---------------------------------------------------------------------- details

    def _entered(self) -> Engine:
        if self._engine is None:
            raise PoolClosedError("the pool is not open; enter it with 'async with'")
        return self._engine

    def _open(self) -> Engine:
        engine = self._entered()
        engine.check_open()
        return engine

    async def _start(
        self, task: ezcaptcha_async.Task[Any], timeout: float | None, *, once: bool
    ) -> tuple[Entry, float | None]:
        """Begin with a task.

        Returns:
            Its entry; and where others may wait for it as well, when this caller's patience ends.
        """
        engine, deadline = self._asked(task, timeout, once=once)
        if once:
            await engine.turn()
            return engine.accounts.begin_once(task), deadline
        return engine.begin(task, deadline), None

    def _asked(
        self, task: ezcaptcha_async.Task[Any], timeout: float | None, *, once: bool
    ) -> tuple[Engine, float]:
        """Check what a caller asks for; return who is to do it, and until when on its clock."""
        engine = self._open()
        if not isinstance(task, ezcaptcha_async.Task):
            raise ConfigurationError(f"task must be a Task, not {type(task).__name__}")
        check_flag("once", once)
        return engine, self._deadline(timeout)

    def _deadline(self, timeout: float | None) -> float:
        if timeout is None:
            return inf
        check_number("timeout", timeout)
        return self._entered().loop.clock() + timeout


def _check_many(tasks: object) -> None:
    if isinstance(tasks, Iterable | AsyncIterable) or (
        hasattr(tasks, "__getitem__") and not isinstance(tasks, type)
    ):
        return
    remedy = "call it" if callable(tasks) else "one task alone is for solve, or goes into a list"
    raise ConfigurationError(
        f"tasks must be an iterable of tasks, not {type(tasks).__name__}: {remedy}"
    )

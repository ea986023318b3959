"""The whole service: its settings, what a test may change while it runs, and what it saw."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from math import fsum, inf
from random import Random
from threading import Lock
from types import ModuleType
from typing import Any, Literal, overload

import anyio
import attrs
import httpx

from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.services import EZCAPTCHA, ONECAPTCHA, Offer, Service
from ezcaptcha_async.testing._asgi import Application, ASGIApplication
from ezcaptcha_async.testing._assertions import listed
from ezcaptcha_async.testing._catalogue import Catalogue, TaskKind
from ezcaptcha_async.testing._checks import number, positive, whole
from ezcaptcha_async.testing._dialects import HABITS, Dialect
from ezcaptcha_async.testing._exchange import ServiceClock
from ezcaptcha_async.testing._faults import (
    UNSEEN,
    AnyFault,
    DrawnFault,
    Fault,
    FaultPlan,
    FaultPredicate,
)
from ezcaptcha_async.testing._guards import EVERYBODY, Bans, RateLimit, Slots
from ezcaptcha_async.testing._machine import ENDPOINTS, Machine
from ezcaptcha_async.testing._record import Record, Recorder, RecordSummary
from ezcaptcha_async.testing._replies import SimulatedReply
from ezcaptcha_async.testing._requests import digest
from ezcaptcha_async.testing._solve_times import SolveTimes
from ezcaptcha_async.testing._transport import transport_class


def _priced(offer: Offer, points: float) -> Offer:
    if points == (offer.points or 0):
        return offer
    return attrs.evolve(offer, points=points, lowest_points=points)


class SimulatedService:
    """EzCaptcha or 1captcha, simulated: no network, no account, made-up tokens.

    All times are simulated seconds. The same settings and the same requests at the same
    times give the same answers. Client keys are kept as digests only. Every method may be
    called from any thread.

    Args:
        seed: Where everything random comes from.
        balance: Points that each client key has at first, 0 or more.
        client_keys: The keys that are good; any that is not empty when None.
        solve_times: Task type → solve time, or one solve time for all types: a number of
            seconds, `Fixed`, `Uniform`, `LogNormal`, `Mixture`, or any callable that
            draws seconds from a ``random.Random``. By default between 10 and 80 s.
        failure_rate: Share of tasks, from 0 to 1, that end with
            ``ERROR_CAPTCHA_UNSOLVABLE``. Can be set later: ``service.failure_rate``.
        result_window: Seconds after creation in which a result can be fetched.
        min_poll_interval: Least seconds between a ``processing`` answer and the next
            poll; what comes sooner is recorded, and answered all the same.
        max_requests_per_second: More than that earn ``ERROR_REQUEST_LIMIT`` with HTTP
            429; None for no limit. A burst of one second's worth is let through.
        retry_after: Seconds in the ``Retry-After`` header of such an answer, as they are,
            without any time scale; None for no header.
        capacity: More tasks than that, not solved yet, earn ``ERROR_NO_SLOT_AVAILABLE``;
            None for no limit.
        ban_after: So many errors for a bad key or an empty balance earn a ban; None for never.
            EzCaptcha counts them for each key, those of createTask and those of getTaskResult
            by themselves, and an empty balance on createTask alone; it turns every request
            of that key away with ``ERROR_REQUEST_BANNED``. 1captcha counts all together, and
            turns everybody away with ``ERROR_IP_BANNED``.
        ban_window: Within so many seconds.
        ban_seconds: How long a ban lasts; when None, as the services do: 180 when createTask
            earned it and 60 when getTaskResult did, at 1captcha 600.
        ban_prolonged: Whether a ban begins anew with each request that meets it.
        dialect: ``"ezcaptcha"``: thirteen types, named in any case, as it is in October 2026;
            or ``"1captcha"``: its one type, spelled exactly so, with ``isInvisible`` as a
            string.
        extra_types: Further task types → the solution that each of their tasks gets. Any
            fields are accepted.
        points: Task type → price in points, where it differs from the listed one. A type
            without a listed price costs nothing.
        integer_ids: Whether task ids come as JSON numbers.
        errors_as_http_status: Whether errors come as HTTP 4xx and 5xx instead of 200, as far
            as the service has been seen to do either: by default those of EzCaptcha do and
            those of 1captcha do not. A task that failed is answered with 200.
        request_ids: Whether every answer has a ``requestId``, drawn from the seed; by default
            EzCaptcha's have one and 1captcha's have none.
        failed_error_id: The ``errorId`` of EzCaptcha's answer for a task that failed, beside
            ``"status": "error"``: 1, or 0, which has been seen as well.
        fault_rates: Fault → share of all requests that it strikes, from 0 to 1.
        hang_seconds: How late the answer is when a rate draws HANG; ``inf`` for never.
        max_recorded_tasks: The record forgets the oldest of more tasks than that, once
            their result window is over.

    Raises:
        ConfigurationError: A setting is out of range; the message names it.

    Example:
        >>> service = SimulatedService(solve_times=Uniform(10, 30))
        >>> async with SessionPool("any-key", http_client=service.client()) as pool:
        ...     solution = await pool.solve(TASK)
        >>> service.assert_charged(1, points=6)
        >>> service.summary().spacing_violations
        0
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        balance: float = 1_000_000.0,
        client_keys: Collection[str] | None = None,
        solve_times: SolveTimes | None = None,
        failure_rate: float = 0.0,
        result_window: float = 300.0,
        min_poll_interval: float = 3.0,
        max_requests_per_second: float | None = None,
        retry_after: float | None = None,
        capacity: int | None = None,
        ban_after: int | None = 30,
        ban_window: float = 60.0,
        ban_seconds: float | None = None,
        ban_prolonged: bool = True,
        dialect: Dialect = "ezcaptcha",
        extra_types: Mapping[str, Mapping[str, Any]] | None = None,
        points: Mapping[str, float] | None = None,
        integer_ids: bool = False,
        errors_as_http_status: bool | None = None,
        request_ids: bool | None = None,
        failed_error_id: Literal[0, 1] = 1,
        fault_rates: Mapping[Fault, float] | None = None,
        hang_seconds: float = inf,
        max_recorded_tasks: int = 200_000,
    ) -> None:
        if isinstance(client_keys, str):
            raise ConfigurationError("client_keys must be a collection of keys, not one str")
        if dialect not in HABITS:
            raise ConfigurationError(f"dialect must be {' or '.join(HABITS)}, not {dialect!r}")
        if failed_error_id not in ((0, 1) if dialect == "ezcaptcha" else (1,)):
            raise ConfigurationError("failed_error_id must be 1 or, for EzCaptcha alone, 0")
        habits = HABITS[dialect]
        if errors_as_http_status is not None:
            habits = attrs.evolve(habits, errors_as_http_status=errors_as_http_status)
        with_ids = habits.is_live if request_ids is None else request_ids
        points_at_first = number("balance", balance)
        self._dialect: Dialect = dialect
        self._min_poll_interval = positive("min_poll_interval", min_poll_interval)
        self._ban_window = ban_window
        self._ban_seconds = ban_seconds
        self._random = Random(seed)
        # A generator of their own, so that faults do not change solve times.
        self._faults = FaultPlan(
            Random(f"{seed}:faults"), fault_rates or {}, hang_seconds=hang_seconds
        )
        self._lock = Lock()
        self._record = Recorder(
            lock=self._lock,
            min_poll_interval=self._min_poll_interval,
            max_tasks=whole("max_recorded_tasks", max_recorded_tasks),
        )
        self._machine = Machine(
            habits=habits,
            catalogue=Catalogue(
                dialect=dialect,
                extra_types=extra_types or {},
                points=points or {},
                solve_times=solve_times,
            ),
            record=self._record,
            balances=defaultdict(lambda: points_at_first),
            good_keys=None if client_keys is None else frozenset(map(digest, client_keys)),
            bans=Bans(
                rules=habits.bans,
                per_key=habits.is_live,
                after=None if ban_after is None else whole("ban_after", ban_after, low=1),
                within=positive("ban_window", ban_window),
                seconds=None if ban_seconds is None else positive("ban_seconds", ban_seconds),
                prolonged=ban_prolonged,
            ),
            rate_limit=RateLimit(max_requests_per_second),
            slots=Slots(capacity),
            retry_after=None if retry_after is None else positive("retry_after", retry_after),
            result_window=positive("result_window", result_window),
            fate_of=self._fate_of,
            random=self._random,
            request_ids=Random(f"{seed}:requests") if with_ids else None,
            integer_ids=integer_ids,
            failed_error_id=failed_error_id,
        )
        self.failure_rate: float = number("failure_rate", failure_rate, high=1.0)
        self.solve_scale: float = 1.0
        """Factor of the solve times of tasks that are created from now on: the service's health."""

    def __repr__(self) -> str:
        return f"<SimulatedService {self._dialect}: {self._record!r}>"

    # What it saw and has.

    @property
    def now(self) -> float:
        """Simulated seconds at the last request; ``-inf`` before the first."""
        return self._machine.now

    @property
    def record(self) -> Record:
        """What it saw so far."""
        return self._record

    def summary(self, now: float | None = None) -> RecordSummary:
        """Return the record in numbers; as ``service.record.summary``."""
        return self._record.summary(now)

    def balance_of(self, client_key: str) -> float:
        """Return the points that a client key has."""
        with self._lock:
            return self._machine.balances[digest(client_key)]

    # What a test says of it afterwards.

    def assert_charged(
        self, times: int, *, points: float | None = None, task_type: str | None = None
    ) -> None:
        """Assert that so many tasks were paid for: no more, and no fewer.

        Args:
            times: How many.
            points: What they cost together; anything when left out.
            task_type: Count this type alone, in the service's own spelling.

        Raises:
            AssertionError: It was otherwise.
        """
        __tracebackhide__ = True
        tasks = [task for task in self._record.tasks if task_type in (None, task.type)]
        cost = fsum(task.points for task in tasks)
        if len(tasks) != times or points not in (None, cost):
            of_type = "" if task_type is None else f" of the type {task_type}"
            for_points = "" if points is None else f" for {points:g} points"
            refused = self.summary().refused.items()
            refusals = "".join(f"\n  refused {count} times: {code}" for code, count in refused)
            raise AssertionError(
                f"{len(tasks)} tasks{of_type} were charged for {cost:g} points, "
                f"not {times}{for_points}{listed(tasks)}{refusals}"
            )

    def assert_polled(self, *, at_most: int) -> None:
        """Assert that no task was asked for more often than that.

        Args:
            at_most: getTaskResult requests for one task.

        Raises:
            AssertionError: At least one was.
        """
        __tracebackhide__ = True
        tasks = [task for task in self._record.tasks if task.polls > at_most]
        if tasks:
            raise AssertionError(
                f"{len(tasks)} tasks were polled more than {at_most} times{listed(tasks)}"
            )

    def assert_spacing_kept(self) -> None:
        """Assert that no poll came sooner after ``processing`` than the service allows.

        Raises:
            AssertionError: At least one did.
        """
        __tracebackhide__ = True
        summary = self.summary()
        if summary.spacing_violations:
            raise AssertionError(
                f"{summary.spacing_violations} of {summary.polls} polls came too soon after "
                f"'processing'{listed(self._record.tasks)}"
            )

    def assert_all_fetched(self) -> None:
        """Assert that nothing was paid for in vain: the outcome of each task was fetched.

        Raises:
            AssertionError: At least one was not, or not yet.
        """
        __tracebackhide__ = True
        paid = self._record.tasks
        tasks = [task for task in paid if task.fetched_at is None]
        if tasks:
            raise AssertionError(
                f"{len(tasks)} of {len(paid)} paid tasks were not fetched{listed(tasks)}"
            )

    # What a test may change while it runs.

    def set_balance(self, client_key: str, points: float) -> None:
        """Give a client key so many points, 0 or more.

        Raises:
            ConfigurationError: `points` is out of range.
        """
        with self._lock:
            self._machine.balances[digest(client_key)] = number("points", points)

    def ban_key(self, client_key: str) -> None:
        """Answer ``ERROR_KEY_BANNED`` to a client key from now on."""
        with self._lock:
            self._machine.banned_keys.add(digest(client_key))

    def ban(
        self,
        now: float | None = None,
        seconds: float | None = None,
        *,
        client_key: str | None = None,
    ) -> None:
        """Answer ``ERROR_IP_BANNED`` to every request, or ``ERROR_REQUEST_BANNED`` to one key's.

        Args:
            now: Simulated seconds at which it begins; with the next request when left out.
            seconds: How long it lasts; when left out ``ban_seconds`` or, without that, 600,
                and for one key as long as a ban that createTask earns.
            client_key: Which key; everybody when left out.

        Raises:
            ConfigurationError: `seconds` is not a positive number.
        """
        with self._lock:
            subject = EVERYBODY if client_key is None else digest(client_key)
            self._machine.bans.impose(subject, seconds, now)

    def lift_ban(self) -> None:
        """End all bans, also those of single keys."""
        with self._lock:
            self._machine.bans.lift()

    def set_solve_times(self, solve_times: SolveTimes) -> None:
        """Change the solve times of tasks that are created from now on.

        Args:
            solve_times: As for the constructor; types that are not named keep theirs.

        Raises:
            ConfigurationError: A type is not known, or a value is out of range.
        """
        with self._lock:
            self._machine.catalogue.set_solve_times(solve_times)

    def finish(
        self, task_id: str | int, now: float | None = None, *, error: str | None = None
    ) -> None:
        """Have the outcome of a task ready, if it is not ready yet.

        Args:
            task_id: Which task.
            now: Simulated seconds; the time of the last request when left out.
            error: The error code that is its outcome; None for a solution.

        Raises:
            ConfigurationError: There is no such task.
        """
        with self._lock:
            task = self._record.find(str(task_id))
            if task is None:
                raise ConfigurationError(f"there is no task {task_id!r}")
            at = self._machine.now if now is None else now
            if at < task.ready_at:
                task.error = error
                task.ready_at = at

    def inject(
        self,
        fault: AnyFault,
        *,
        path: str | None = None,
        times: int | None = 1,
        seconds: float = inf,
        when: FaultPredicate | None = None,
        share: float = 1.0,
    ) -> None:
        """Let a fault strike the next requests, after the faults that are planned already.

        Faults strike in the in-process transport and the ASGI application; `handle` does
        not draw any.

        Args:
            fault: Which; or any error code, known or not: then the service answers with it
                where it would have looked at the key, as the live one does, and does not act;
                or a function of the answer: then the service acts, and what the function
                returns is sent in its place, however odd.
            path: One of the three endpoints; any when left out.
            times: How many requests, at least 1; None for all, until `clear_faults`.
            seconds: For HANG: how late the answer is, in seconds of the client.
            when: Further condition on the path and the body of a request.
            share: Which share of those requests it strikes, by chance; above 0.

        Raises:
            ConfigurationError: An argument is out of range.

        Example:
            >>> service = SimulatedService()
            >>> service.inject(Fault.THROTTLED, path="/createTask", times=2)
            >>> async with SessionPool("any-key", http_client=service.client()) as pool:
            ...     solution = await pool.solve(TASK)
            >>> service.summary().refused
            {'ERROR_REQUEST_LIMIT': 2}

            A gateway that says in another charset what it means::

                def in_gbk(reply: SimulatedReply) -> SimulatedReply:
                    text = reply.body.decode().replace("null", '"成功"', 1)
                    headers = (("content-type", "application/json; charset=gbk"),)
                    return SimulatedReply(reply.status, headers, text.encode("gbk"))

                service.inject(in_gbk, path="/createTask", times=None)

            An account whose subscription is over, among others that go on::

                service.inject(
                    "ERROR_SUBSCRIPTION_EXPIRED",
                    path="/createTask",
                    times=None,
                    when=lambda _path, body: b'"second-key"' in body,
                )
        """
        if path is not None and path not in ENDPOINTS:
            raise ConfigurationError(f"path must be one of {', '.join(ENDPOINTS)}")
        with self._lock:
            self._faults.add(fault, path=path, times=times, seconds=seconds, when=when, share=share)

    def set_fault_rates(self, rates: Mapping[Fault, float]) -> None:
        """Replace the ``fault_rates`` of the constructor.

        Raises:
            ConfigurationError: A rate is out of range.
        """
        with self._lock:
            self._faults.set_rates(rates)

    def clear_faults(self) -> None:
        """Let no more faults strike: forget those that are planned, and the rates."""
        with self._lock:
            self._faults.clear()

    def profile(self, base_url: str = "http://localhost", time_scale: float = 1.0) -> Service:
        """Return the profile that a pool needs in order to use this service.

        Args:
            base_url: Where it is served; any URL will do for the in-process transport.
            time_scale: As in the way of serving; shortens all times of the profile.

        Raises:
            ConfigurationError: An argument is out of range.
        """
        base = EZCAPTCHA if self._dialect == "ezcaptcha" else ONECAPTCHA
        if self._ban_seconds is not None:
            lasts = self._ban_seconds
            base = attrs.evolve(base, create_ban=lasts, poll_ban=lasts, address_ban=lasts)
        scale = positive("time_scale", time_scale)
        return attrs.evolve(
            base,
            base_url=base_url,
            offers=tuple(
                _priced(base.offer_for(kind.name) or Offer(type=kind.name), kind.points)
                for kind in self._machine.catalogue
            ),
            result_window=self._machine.result_window,
            min_poll_interval=self._min_poll_interval,
            ban_window=self._ban_window,
        ).at_speed(scale)

    # Ways of serving it, and what they ask for.

    @overload
    def transport(
        self,
        *,
        latency: float = ...,
        clock: Callable[[], float] | None = ...,
        time_scale: float = ...,
        package: None = ...,
    ) -> httpx.AsyncBaseTransport: ...
    @overload
    def transport(
        self,
        *,
        latency: float = ...,
        clock: Callable[[], float] | None = ...,
        time_scale: float = ...,
        package: ModuleType,
    ) -> Any: ...
    def transport(
        self,
        *,
        latency: float = 0.0,
        clock: Callable[[], float] | None = None,
        time_scale: float = 1.0,
        package: ModuleType | None = None,
    ) -> Any:
        """Return a transport for ``httpx.AsyncClient`` that answers inside this process.

        It reports to the ``trace`` extension of a request as httpcore does.

        Args:
            latency: Seconds that each request takes, half of them before it is answered.
                With 0 it never sleeps.
            clock: Returns seconds; ``anyio.current_time`` when left out, so that virtual
                time works.
            time_scale: How many simulated seconds pass in one second of the clock.
            package: The package of the client, where it is not httpx but has the same
                names: ``httpx2.AsyncClient(transport=service.transport(package=httpx2))``.

        Raises:
            ConfigurationError: A setting is out of range.
        """
        chosen = httpx if package is None else package
        own = ServiceClock(self, anyio.current_time if clock is None else clock, time_scale)
        return transport_class(chosen)(self, own, latency, chosen)

    def client(
        self,
        *,
        latency: float = 0.0,
        clock: Callable[[], float] | None = None,
        time_scale: float = 1.0,
        **options: Any,
    ) -> httpx.AsyncClient:
        """Return an ``httpx.AsyncClient`` on top of `transport`, which takes the same settings.

        Args:
            latency: Seconds that each request takes.
            clock: Returns seconds.
            time_scale: How many simulated seconds pass in one second of the clock.
            **options: For the client.

        Raises:
            ConfigurationError: A setting is out of range.
        """
        transport = self.transport(latency=latency, clock=clock, time_scale=time_scale)
        return httpx.AsyncClient(transport=transport, **options)

    def asgi(
        self,
        *,
        latency: float = 0.0,
        time_scale: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> ASGIApplication:
        """Return an ASGI application; ``GET /record`` answers with the summary as JSON.

        Args:
            latency: Seconds that each request takes, half of them before it is answered.
            time_scale: How many simulated seconds pass in one second of the clock.
            clock: Returns seconds.

        Raises:
            ConfigurationError: A setting is out of range.
        """
        return Application(self, ServiceClock(self, clock, time_scale), latency)

    def note_peer(self, address: object) -> None:
        """Note the address that a request came from; only ways of serving know it."""
        with self._lock:
            self._record.peer(address)

    def draw_fault(self, path: str, body: bytes) -> DrawnFault | None:
        """Return the fault that strikes a request, if any; only ways of serving ask for it."""
        with self._lock:
            drawn = self._faults.draw(path, body)
            if drawn is not None:
                self._record.fault(drawn.name)
            return drawn

    def handle(
        self,
        path: str,
        body: bytes,
        now: float,
        *,
        fault: AnyFault | None = None,
        method: str = "POST",
        content_type: str = "application/json",
    ) -> SimulatedReply:
        """Answer one request.

        Args:
            path: Path of the URL.
            body: The whole body.
            now: Simulated seconds from any origin. Time never runs backwards: an earlier
                time than the last counts as the last.
            fault: What strikes this request, as for `inject`. An answer that the client
                will not get does not count as fetched.
            method: Its HTTP method.
            content_type: Its header ``Content-Type``; empty where there is none.

        Raises:
            ConfigurationError: The fault is one that keeps requests from the service.
        """
        if fault in UNSEEN:
            raise ConfigurationError(f"with {fault} the service never sees the request")
        with self._lock:
            return self._machine.answer(
                path, body, now, fault=fault, method=method, content_type=content_type
            )

    def _fate_of(self, kind: TaskKind) -> tuple[float, bool]:
        drawn = number("solve time", kind.solve_time(self._random))
        return max(0.0, drawn * self.solve_scale), self._random.random() < self.failure_rate

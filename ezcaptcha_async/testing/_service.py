"""The whole service as one pure state machine: requests and the time go in, answers come out.

Nothing here reads a clock, sleeps or does IO; the ways of serving it are in `_serving`, and
only they sleep and let faults strike.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from math import inf
from random import Random
from threading import Lock
from typing import Any, Final, Literal, TypeAlias

import attrs

from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.services import EZCAPTCHA, ONECAPTCHA, Offer, Service
from ezcaptcha_async.testing import _replies
from ezcaptcha_async.testing._assertions import Assertions
from ezcaptcha_async.testing._catalogue import Catalogue, TaskKind
from ezcaptcha_async.testing._checks import number, positive
from ezcaptcha_async.testing._dialects import HABITS, Dialect
from ezcaptcha_async.testing._faults import (
    ANSWER_LOST,
    UNSEEN,
    DrawnFault,
    Fault,
    FaultPlan,
    FaultPredicate,
)
from ezcaptcha_async.testing._field_checks import REQUIRED
from ezcaptcha_async.testing._guards import EVERYBODY, Bans, RateLimit, Slots
from ezcaptcha_async.testing._record import Record, Recorder, RecordSummary, SimulatedTask
from ezcaptcha_async.testing._replies import SimulatedReply
from ezcaptcha_async.testing._requests import Call, digest, is_json, json_object, loaded
from ezcaptcha_async.testing._serving import Servable
from ezcaptcha_async.testing._solve_times import SolveTimes

_FIRST_INTEGER_ID: Final = 1_000_000_000
_MAX_FIELD_NAME: Final = 100


_Endpoint: TypeAlias = Callable[[Call], SimulatedReply]


def _priced(offer: Offer, points: float) -> Offer:
    if points == (offer.points or 0):
        return offer
    return attrs.evolve(offer, points=points, lowest_points=points)


class SimulatedService(Servable, Assertions):
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
        self._random = Random(seed)
        initial_points = number("balance", balance)
        self._balances: defaultdict[str, float] = defaultdict(lambda: initial_points)
        self._good_keys = None if client_keys is None else frozenset(map(digest, client_keys))
        self._banned_keys: set[str] = set()
        self._used_keys: set[str] = set()
        self._result_window = positive("result_window", result_window)
        self._min_poll_interval = positive("min_poll_interval", min_poll_interval)
        self._retry_after = None if retry_after is None else positive("retry_after", retry_after)
        self._rate_limit = RateLimit(max_requests_per_second)
        self._slots = Slots(capacity)
        self._habits = HABITS[dialect]
        self._ban_window = ban_window
        self._ban_seconds = ban_seconds
        self._bans = Bans(
            self._habits.bans,
            per_key=self._habits.is_live,
            after=ban_after,
            within=ban_window,
            seconds=ban_seconds,
            prolonged=ban_prolonged,
        )
        self._dialect: Dialect = dialect
        self._catalogue = Catalogue(
            dialect=dialect,
            extra_types=extra_types or {},
            points=points or {},
            solve_times=solve_times,
        )
        self._integer_ids = integer_ids
        self._errors_as_http_status = (
            self._habits.errors_as_http_status
            if errors_as_http_status is None
            else errors_as_http_status
        )
        self._failed_error_id = failed_error_id
        with_ids = self._habits.is_live if request_ids is None else request_ids
        self._request_ids = Random(f"{seed}:requests") if with_ids else None
        # A generator of their own, so that faults do not change solve times.
        self._faults = FaultPlan(
            Random(f"{seed}:faults"),
            fault_rates or {},
            hang_seconds=hang_seconds,
        )
        self._lock = Lock()
        self._record = Recorder(
            lock=self._lock,
            faults=self._faults.counts,
            keys=self._used_keys,
            min_poll_interval=self._min_poll_interval,
            max_tasks=int(number("max_recorded_tasks", max_recorded_tasks)),
        )
        self._now = -inf
        self._task_count = 0
        self._endpoints: dict[str, _Endpoint] = {
            "/createTask": self._create_task,
            "/getTaskResult": self._get_task_result,
            "/getBalance": self._get_balance,
        }
        self.failure_rate: float = number("failure_rate", failure_rate, high=1.0)
        self.solve_scale: float = 1.0
        """Factor of the solve times of tasks that are created from now on: the service's health."""

    def __repr__(self) -> str:
        return f"<SimulatedService {self._dialect}: {self._record!r}>"

    # What it saw and has.

    @property
    def now(self) -> float:
        """Simulated seconds at the last request; ``-inf`` before the first."""
        return self._now

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
            return self._balances[digest(client_key)]

    # What a test may change while it runs.

    def set_balance(self, client_key: str, points: float) -> None:
        """Give a client key so many points, 0 or more.

        Raises:
            ConfigurationError: `points` is out of range.
        """
        with self._lock:
            self._balances[digest(client_key)] = number("points", points)

    def ban_key(self, client_key: str) -> None:
        """Answer ``ERROR_KEY_BANNED`` to a client key from now on."""
        with self._lock:
            self._banned_keys.add(digest(client_key))

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
            self._bans.impose(subject, seconds, now)

    def lift_ban(self) -> None:
        """End all bans, also those of single keys."""
        with self._lock:
            self._bans.lift()

    def set_solve_times(self, solve_times: SolveTimes) -> None:
        """Change the solve times of tasks that are created from now on.

        Args:
            solve_times: As for the constructor; types that are not named keep theirs.

        Raises:
            ConfigurationError: A type is not known, or a value is out of range.
        """
        with self._lock:
            self._catalogue.set_solve_times(solve_times)

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
            at = self._now if now is None else now
            if at < task.ready_at:
                task.error = error
                task.ready_at = at
                self._slots.moved(task)

    def inject(
        self,
        fault: Fault | str,
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
                where it would have looked at the key, as the live one does, and does not act.
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

            An account whose subscription is over, among others that go on::

                service.inject(
                    "ERROR_SUBSCRIPTION_EXPIRED",
                    path="/createTask",
                    times=None,
                    when=lambda _path, body: b'"second-key"' in body,
                )
        """
        if path is not None and path not in self._endpoints:
            raise ConfigurationError(f"path must be one of {', '.join(self._endpoints)}")
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
                for kind in self._catalogue
            ),
            result_window=self._result_window,
            min_poll_interval=self._min_poll_interval,
            ban_window=self._ban_window,
        ).at_speed(scale)

    # The state machine.

    def note_peer(self, address: object) -> None:
        """Note the address that a request came from; only ways of serving know it."""
        with self._lock:
            self._record.peer(address)

    def draw_fault(self, path: str, body: bytes) -> DrawnFault | None:
        """Return the fault that strikes a request, if any; only ways of serving ask for it."""
        with self._lock:
            return self._faults.draw(path, body)

    def handle(
        self,
        path: str,
        body: bytes,
        now: float,
        *,
        fault: Fault | str | None = None,
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
            now = self._now = max(self._now, now)
            self._record.request(path if path in self._endpoints else "", now)
            match fault:
                case Fault.HTML:
                    return _replies.BAD_GATEWAY
                case Fault.THROTTLED:
                    reply = self._refuse("ERROR_REQUEST_LIMIT")
                case Fault.UNAVAILABLE:
                    reply = self._refuse("ERROR_SERVICE_UNAVALIABLE")
                case _:
                    code = self._turned_away(path, method, content_type, now)
                    if code is not None:
                        reply = self._refuse(code)
                    else:
                        told = fault if isinstance(fault, str) else None
                        lost = fault in ANSWER_LOST
                        reply = self._route(path, body, now, told=told, lost=lost)
            if self._request_ids is not None:
                request_id = f"{self._request_ids.getrandbits(64):016x}"
                reply = _replies.with_request_id(reply, request_id)
            return _replies.cut_short(reply) if fault is Fault.MALFORMED else reply

    def _turned_away(self, path: str, method: str, content_type: str, now: float) -> str | None:
        """Return the error code for a request that nobody looks into, if it is one."""
        if self._bans.blocks(EVERYBODY, now):
            return "ERROR_IP_BANNED"
        if not self._rate_limit.admits(now):
            return "ERROR_REQUEST_LIMIT"
        if path not in self._endpoints:
            return "ERROR_NOT_FOUND"
        if method != "POST":
            return "ERROR_REQUEST_METHOD"
        return None if is_json(content_type) else "ERROR_CONTENT_TYPE_ERROR"

    def _route(
        self, path: str, body: bytes, now: float, *, told: str | None, lost: bool
    ) -> SimulatedReply:
        request = loaded(body)
        if request is None:
            code = self._habits.refused_fields({})
            return self._refuse(code, description="the body is not a JSON object")
        key = request.get("clientKey")
        owner = digest(key) if isinstance(key, str) and key else ""
        call = Call(path, request, owner, now, lost)
        if self._bans.blocks(owner, now):
            return self._refuse("ERROR_REQUEST_BANNED", call)
        refusal = told or self._wrong_key(owner)
        if refusal is not None:
            return self._refuse(refusal, call)
        self._used_keys.add(owner)
        return self._endpoints[path](call)

    def _wrong_key(self, owner: str) -> str | None:
        if not owner or (self._good_keys is not None and owner not in self._good_keys):
            return "ERROR_KEY_DOES_NOT_EXIST"
        return "ERROR_KEY_BANNED" if owner in self._banned_keys else None

    def _refuse(
        self,
        code: str,
        call: Call | None = None,
        description: str = "",
        errors: Mapping[str, str] | None = None,
    ) -> SimulatedReply:
        self._record.refusal(code)
        if call is not None:
            self._bans.count(code, call.path, call.owner, call.now)
        return _replies.error(
            code,
            description,
            errors,
            as_http_status=self._errors_as_http_status,
            retry_after=self._retry_after if code == "ERROR_REQUEST_LIMIT" else None,
        )

    def _refuse_fields(
        self, call: Call, faults: Mapping[str, str], above: str = ""
    ) -> SimulatedReply:
        code = self._habits.refused_fields(faults)
        if self._habits.is_live:
            errors = {f"{above}{name}": reason for name, reason in faults.items()}
            return self._refuse(code, call, errors=errors)
        description = ", ".join(f"{name} {reason}" for name, reason in faults.items())
        return self._refuse(code, call, description)

    def _create_task(self, call: Call) -> SimulatedReply:
        task = json_object(call.request.get("task")) or {}
        name = task.get("type")
        if not isinstance(name, str) or not name:
            return self._refuse_fields(call, {"type": REQUIRED}, "task.")
        kind = self._catalogue.find(name)
        if kind is None:
            return self._refuse(self._habits.unknown_type, call)
        for field in kind.unknown_fields(task):
            self._record.unknown_field(f"{kind.name}.{field[:_MAX_FIELD_NAME]}")
        faults = kind.faults(task)
        if faults:
            return self._refuse_fields(call, faults, "task.")
        if self._balances[call.owner] < kind.points:
            return self._refuse("ERROR_ZERO_BALANCE", call)
        if not self._slots.has_room(call.now):
            return self._refuse("ERROR_NO_SLOT_AVAILABLE", call)
        created = self._charge(kind, call)
        return _replies.created(created.task_id, integer=self._integer_ids)

    def _charge(self, kind: TaskKind, call: Call) -> SimulatedTask:
        drawn = number("solve time", kind.solve_time(self._random))
        fails = self._random.random() < self.failure_rate
        self._balances[call.owner] -= kind.points
        task = SimulatedTask(
            number=self._task_count,
            task_id=self._new_id(),
            type=kind.name,
            owner=call.owner,
            created_at=call.now,
            ready_at=call.now + max(0.0, drawn * self.solve_scale),
            available_until=call.now + self._result_window,
            points=kind.points,
            solution=kind.solution,
            error="ERROR_CAPTCHA_UNSOLVABLE" if fails else None,
        )
        self._task_count += 1
        self._slots.take(task)
        self._record.charge(task)
        return task

    def _new_id(self) -> str:
        if self._integer_ids:
            return str(_FIRST_INTEGER_ID + self._task_count)
        # The count keeps them unique, whatever is drawn.
        text = f"{self._random.getrandbits(80):020x}{self._task_count:012x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def _get_task_result(self, call: Call) -> SimulatedReply:
        now = call.now
        task_id = call.request.get("taskId")
        if task_id is None or task_id == "":
            return self._refuse_fields(call, {"taskId": REQUIRED})
        task = self._record.find(str(task_id))
        if task is None or task.owner != call.owner or now > task.available_until:
            return self._refuse(self._habits.unknown_task, call)
        self._record.poll(task, now)
        if now < task.ready_at:
            if not call.lost:
                task.processing_at = now
            return _replies.PROCESSING
        if not call.lost:
            self._record.outcome(task, now)
        if task.error is None:
            return _replies.ready(task.solution(task.task_id))
        if self._habits.is_live:
            return _replies.failed(task.error, error_id=self._failed_error_id)
        return _replies.error(task.error, as_http_status=False)

    def _get_balance(self, call: Call) -> SimulatedReply:
        return _replies.balance(self._balances[call.owner])

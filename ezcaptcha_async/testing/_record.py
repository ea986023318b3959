"""What the simulated service saw: counters, one entry per task, and a summary of both."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from math import inf
from threading import Lock
from typing import Final

import attrs

_SPACING_TOLERANCE: Final = 0.001
_MAX_PEERS: Final = 65_536
_MAX_UNKNOWN_FIELDS: Final = 100


@attrs.define(eq=False)
class SimulatedTask:
    """One charged task, as the service keeps it; see `TaskRecord`.

    Args:
        owner: Digest of the client key that paid for it.
        solution: Task id → solution as JSON text.
        processing_at: When a poll was last answered with ``processing``.
    """

    task_id: str
    type: str
    owner: str = attrs.field(repr=False)
    created_at: float
    ready_at: float
    available_until: float
    points: float
    solution: Callable[[str], str] = attrs.field(repr=False)
    error: str | None = None
    fetched_at: float | None = None
    processing_at: float = -inf
    polls: int = 0

    @property
    def busy_until(self) -> float:
        """When it stops taking a slot."""
        return min(self.ready_at, self.available_until)

    @property
    def unfetched(self) -> bool:
        """Whether it becomes ready in time and was not fetched."""
        return self.fetched_at is None and self.ready_at <= self.available_until


@attrs.frozen(kw_only=True)
class TaskRecord:
    """What the service knows of one charged task. Times are simulated seconds.

    Args:
        task_id: The id that was given out.
        type: Its type, in the service's own spelling.
        created_at: When it was charged.
        ready_at: When its outcome is there; ``inf`` for never.
        available_until: The end of its result window.
        fetched_at: When the outcome was first answered; None as long as it was not. An
            answer that a fault takes away does not count.
        polls: How many getTaskResult requests asked for it.
        points: What was charged.
        error: The code that its outcome is, when it is not solved.

    Example:
        >>> service = SimulatedService(solve_times=Fixed(15))
        >>> async with SessionPool("any-key", http_client=service.client()) as pool:
        ...     solution = await pool.solve(TASK)
        >>> (task,) = service.record.tasks
        >>> task.ready_at - task.created_at, task.points, task.error
        (15.0, 6, None)
    """

    task_id: str
    type: str
    created_at: float
    ready_at: float
    available_until: float
    fetched_at: float | None
    polls: int
    points: float
    error: str | None

    @property
    def lag(self) -> float | None:
        """Seconds from ready to fetched; None as long as it was not fetched."""
        return None if self.fetched_at is None else self.fetched_at - self.ready_at


@attrs.frozen(kw_only=True)
class RecordSummary:
    """The record in numbers; ``attrs.asdict`` makes it JSON-able. Seconds are simulated.

    Args:
        seconds: From the first request to the last.
        requests: All requests that reached the service.
        requests_per_second: Their mean over `seconds`; 0 for fewer than two.
        peak_requests_per_second: The most that came within any one second.
        creates: createTask requests, accepted or not.
        charges: createTask requests that were accepted, and so charged.
        points: What was charged, together.
        polls: getTaskResult requests, whatever was answered.
        balance_queries: getBalance requests.
        refused: Error code → how often it was answered, without the outcomes of tasks.
        faults: Kind of fault → how often it struck.
        types: Task type → how many were charged.
        unknown_fields: ``type.field`` → how often a task had a field that its type does
            not know, which the service ignores. At most 100 are told apart.
        keys: How many client keys were used with success.
        connections: How many connections were made; 0 for the in-process transport.
        fetched: Tasks whose outcome was answered.
        failed: Those of them whose outcome was an error.
        unfetched: Tasks that become ready in time and were not fetched.
        lost: Those of them whose result window is over.
        spacing_violations: Polls that came too soon after a ``processing`` answer.
        mean_polls: Polls per fetched task; 0 when there are none.
        lag_mean: Seconds from ready to fetched; 0 when nothing was fetched.
        lag_p50: Their median.
        lag_p95: Below this were 95 % of them.
        lag_max: The longest.

    Example:
        >>> service = SimulatedService()
        >>> async with SessionPool("any-key", http_client=service.client()) as pool:
        ...     solutions = await asyncio.gather(*(pool.solve(TASK) for _ in range(10)))
        >>> summary = service.summary()
        >>> summary.charges, summary.points, summary.lost
        (10, 60.0, 0)
    """

    seconds: float
    requests: int
    requests_per_second: float
    peak_requests_per_second: int
    creates: int
    charges: int
    points: float
    polls: int
    balance_queries: int
    refused: Mapping[str, int] = attrs.field(hash=False)
    faults: Mapping[str, int] = attrs.field(hash=False)
    types: Mapping[str, int] = attrs.field(hash=False)
    unknown_fields: Mapping[str, int] = attrs.field(hash=False)
    keys: int
    connections: int
    fetched: int
    failed: int
    unfetched: int
    lost: int
    spacing_violations: int
    mean_polls: float
    lag_mean: float
    lag_p50: float
    lag_p95: float
    lag_max: float


_SHOWN: Final = [field.name for field in attrs.fields(TaskRecord)]


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile of sorted values; 0 when there are none."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


class Record:
    """What the service saw so far; safe to read while it goes on, from any thread.

    Client keys are not in it.

    Example:
        >>> service = SimulatedService()
        >>> async with SessionPool("any-key", http_client=service.client()) as pool:
        ...     ticket = await pool.submit(TASK)
        >>> service.record
        <Record: 1 requests, 1 charges, 0 fetched>
        >>> service.record.task(ticket.task_id).fetched_at is None
        True
    """

    def __init__(self, *, lock: Lock, min_poll_interval: float, max_tasks: int) -> None:
        self._lock = lock
        self._least_spacing = min_poll_interval - _SPACING_TOLERANCE
        self._max_tasks = max_tasks
        self._tasks: dict[str, SimulatedTask] = {}
        self._order: deque[SimulatedTask] = deque()
        self._last_second: deque[float] = deque()
        self._first_at = inf
        self._last_at = -inf
        self._peak = 0
        self._requests: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._types: Counter[str] = Counter()
        self._unknown_fields: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._keys: set[str] = set()
        self._peers: set[object] = set()
        self._charges = 0
        self._points = 0.0
        self._fetched = 0
        self._failed = 0
        self._fetching_polls = 0
        self._forgotten_and_lost = 0
        self._spacing_violations = 0

    def __repr__(self) -> str:
        return (
            f"<Record: {self._requests.total()} requests, {self._charges} charges, "
            f"{self._fetched} fetched>"
        )

    def __len__(self) -> int:
        return len(self._order)

    @property
    def tasks(self) -> tuple[TaskRecord, ...]:
        """Every charged task, oldest first; the oldest are forgotten when there are too many."""
        with self._lock:
            return tuple(map(_snapshot, self._order))

    def task(self, task_id: str) -> TaskRecord | None:
        """Return one charged task; None when the id is unknown or forgotten."""
        with self._lock:
            task = self._tasks.get(task_id)
            return None if task is None else _snapshot(task)

    def summary(self, now: float | None = None) -> RecordSummary:
        """Return everything in numbers.

        Args:
            now: Simulated seconds up to which windows are over; the time of the last
                request when left out.
        """
        with self._lock:
            return self._summary(self._last_at if now is None else now)

    def _summary(self, now: float) -> RecordSummary:
        lags = sorted(
            task.fetched_at - task.ready_at for task in self._order if task.fetched_at is not None
        )
        unfetched = [task for task in self._order if task.unfetched]
        lost = sum(task.available_until < now for task in unfetched)
        requests = self._requests.total()
        seconds = max(0.0, self._last_at - self._first_at)
        return RecordSummary(
            seconds=seconds,
            requests=requests,
            requests_per_second=requests / seconds if seconds else 0.0,
            peak_requests_per_second=self._peak,
            creates=self._requests["/createTask"],
            charges=self._charges,
            points=self._points,
            polls=self._requests["/getTaskResult"],
            balance_queries=self._requests["/getBalance"],
            refused=dict(self._refused),
            faults=dict(self._faults),
            types=dict(self._types),
            unknown_fields=dict(self._unknown_fields),
            keys=len(self._keys),
            connections=len(self._peers),
            fetched=self._fetched,
            failed=self._failed,
            unfetched=len(unfetched) + self._forgotten_and_lost,
            lost=lost + self._forgotten_and_lost,
            spacing_violations=self._spacing_violations,
            mean_polls=self._fetching_polls / self._fetched if self._fetched else 0.0,
            lag_mean=math.fsum(lags) / len(lags) if lags else 0.0,
            lag_p50=percentile(lags, 0.5),
            lag_p95=percentile(lags, 0.95),
            lag_max=percentile(lags, 1.0),
        )


class Recorder(Record):
    """The writing side, for the service alone, which holds the lock while it writes."""

    def find(self, task_id: str) -> SimulatedTask | None:
        """Return a task that is still remembered."""
        return self._tasks.get(task_id)

    def request(self, path: str, now: float) -> None:
        """Count a request; `path` is one of the endpoints, or empty for any other."""
        self._requests[path] += 1
        self._first_at = min(self._first_at, now)
        self._last_at = now
        recent = self._last_second
        recent.append(now)
        while recent[0] <= now - 1.0:
            recent.popleft()
        self._peak = max(self._peak, len(recent))

    def peer(self, address: object) -> None:
        """Note where a request came from; each connection has an address of its own."""
        if len(self._peers) < _MAX_PEERS:
            self._peers.add(address)

    def key(self, owner: str) -> None:
        """Note which client key was used with success."""
        self._keys.add(owner)

    def fault(self, name: str) -> None:
        """Count a fault that struck."""
        self._faults[name] += 1

    def refusal(self, code: str) -> None:
        """Count a request that was answered with an error code."""
        self._refused[code] += 1

    def unknown_field(self, name: str) -> None:
        """Count a field that the service ignores."""
        if name in self._unknown_fields or len(self._unknown_fields) < _MAX_UNKNOWN_FIELDS:
            self._unknown_fields[name] += 1

    def charge(self, task: SimulatedTask) -> None:
        """Take in a new task, and forget the oldest when there are too many."""
        self._charges += 1
        self._points += task.points
        self._types[task.type] += 1
        self._tasks[task.task_id] = task
        self._order.append(task)
        # A task whose result can still be fetched is never forgotten.
        while (
            len(self._order) > self._max_tasks and self._order[0].available_until < task.created_at
        ):
            oldest = self._order.popleft()
            del self._tasks[oldest.task_id]
            self._forgotten_and_lost += oldest.unfetched

    def poll(self, task: SimulatedTask, now: float) -> None:
        """Count a poll for a task."""
        task.polls += 1
        if now - task.processing_at < self._least_spacing:
            self._spacing_violations += 1

    def outcome(self, task: SimulatedTask, now: float) -> None:
        """Take note that the outcome of a task was answered."""
        if task.fetched_at is None:
            task.fetched_at = now
            self._fetched += 1
            self._failed += task.error is not None
            self._fetching_polls += task.polls


def _snapshot(task: SimulatedTask) -> TaskRecord:
    return TaskRecord(**{name: getattr(task, name) for name in _SHOWN})

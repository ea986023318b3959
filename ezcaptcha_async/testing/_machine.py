"""What the service answers: a pure state machine, into which requests and the time go.

Nothing here reads a clock, sleeps or does IO; the ways of serving it are in `_asgi` and
`_transport`, and only they sleep and let faults strike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf
from random import Random
from typing import Final, Literal
from uuid import UUID

import attrs

from ezcaptcha_async.testing import _replies
from ezcaptcha_async.testing._catalogue import Catalogue, TaskKind
from ezcaptcha_async.testing._dialects import Habits
from ezcaptcha_async.testing._faults import ANSWER_LOST, AnyFault, Fault
from ezcaptcha_async.testing._field_checks import REQUIRED
from ezcaptcha_async.testing._guards import EVERYBODY, Bans, RateLimit, Slots
from ezcaptcha_async.testing._record import Recorder, SimulatedTask
from ezcaptcha_async.testing._replies import SimulatedReply
from ezcaptcha_async.testing._requests import Call, digest, is_json, json_object, loaded

ENDPOINTS: Final = ("/createTask", "/getTaskResult", "/getBalance")
_OVERLOADED: Final[Mapping[object, str]] = {
    Fault.THROTTLED: "ERROR_REQUEST_LIMIT",
    Fault.UNAVAILABLE: "ERROR_SERVICE_UNAVALIABLE",
}
_FIRST_INTEGER_ID: Final = 1_000_000_000
_MAX_FIELD_NAME: Final = 100


@attrs.define(eq=False, repr=False, kw_only=True)
class Machine:
    """Answers requests; whoever calls it, or changes what it holds, has the service's lock.

    Settings are those of `SimulatedService`, and keys are digests.

    Args:
        good_keys: None for any that is not empty.
        banned_keys: Those that are banned for good.
        fate_of: Returns for a new task after how many seconds it has an outcome, and whether
            it fails.
        random: Where ids come from.
        request_ids: Where those of requests come from; None where answers have none.
    """

    habits: Habits
    catalogue: Catalogue
    record: Recorder
    balances: dict[str, float]
    good_keys: frozenset[str] | None
    banned_keys: set[str] = attrs.field(init=False, factory=set[str])
    bans: Bans
    rate_limit: RateLimit
    slots: Slots
    retry_after: float | None
    result_window: float
    fate_of: Callable[[TaskKind], tuple[float, bool]]
    random: Random
    request_ids: Random | None
    integer_ids: bool
    failed_error_id: Literal[0, 1]
    now: float = attrs.field(init=False, default=-inf)
    _task_count: int = attrs.field(init=False, default=0)

    def answer(
        self,
        path: str,
        body: bytes,
        now: float,
        *,
        fault: AnyFault | None,
        method: str,
        content_type: str,
    ) -> SimulatedReply:
        """Answer one request; see `SimulatedService.handle`."""
        now = self.now = max(self.now, now)
        self.record.request(path if path in ENDPOINTS else "", now)
        if fault is Fault.HTML:
            return _replies.BAD_GATEWAY
        code = _OVERLOADED.get(fault) or self._turned_away(path, method, content_type, now)
        if code is not None:
            reply = self._refuse(code)
        else:
            told = fault if isinstance(fault, str) else None
            reply = self._route(path, body, now, told=told, lost=fault in ANSWER_LOST)
        if self.request_ids is not None:
            request_id = f"{self.request_ids.getrandbits(64):016x}"
            reply = _replies.with_request_id(reply, request_id)
        if fault is Fault.MALFORMED:
            return _replies.cut_short(reply)
        return fault(reply) if callable(fault) else reply

    def _turned_away(self, path: str, method: str, content_type: str, now: float) -> str | None:
        """Return the error code for a request that nobody looks into, if it is one."""
        if self.bans.blocks(EVERYBODY, now):
            return "ERROR_IP_BANNED"
        if not self.rate_limit.admits(now):
            return "ERROR_REQUEST_LIMIT"
        if path not in ENDPOINTS:
            return "ERROR_NOT_FOUND"
        if method != "POST":
            return "ERROR_REQUEST_METHOD"
        return None if is_json(content_type) else "ERROR_CONTENT_TYPE_ERROR"

    def _route(
        self, path: str, body: bytes, now: float, *, told: str | None, lost: bool
    ) -> SimulatedReply:
        request = loaded(body)
        if request is None:
            code = self.habits.refused_fields({})
            return self._refuse(code, description="the body is not a JSON object")
        key = request.get("clientKey")
        owner = digest(key) if isinstance(key, str) and key else ""
        call = Call(path, request, owner, now, lost)
        if self.bans.blocks(owner, now):
            return self._refuse("ERROR_REQUEST_BANNED", call)
        refusal = told or self._wrong_key(owner)
        if refusal is not None:
            return self._refuse(refusal, call)
        self.record.key(owner)
        match path:
            case "/createTask":
                return self._create_task(call)
            case "/getTaskResult":
                return self._get_task_result(call)
            case _:
                return _replies.balance(self.balances[owner])

    def _wrong_key(self, owner: str) -> str | None:
        if not owner or (self.good_keys is not None and owner not in self.good_keys):
            return "ERROR_KEY_DOES_NOT_EXIST"
        return "ERROR_KEY_BANNED" if owner in self.banned_keys else None

    def _refuse(
        self,
        code: str,
        call: Call | None = None,
        description: str = "",
        errors: Mapping[str, str] | None = None,
    ) -> SimulatedReply:
        self.record.refusal(code)
        if call is not None:
            self.bans.count(code, call.path, call.owner, call.now)
        return _replies.error(
            code,
            description,
            errors,
            as_http_status=self.habits.errors_as_http_status,
            retry_after=self.retry_after if code == "ERROR_REQUEST_LIMIT" else None,
        )

    def _refuse_fields(
        self, call: Call, faults: Mapping[str, str], above: str = ""
    ) -> SimulatedReply:
        code = self.habits.refused_fields(faults)
        if self.habits.is_live:
            errors = {f"{above}{name}": reason for name, reason in faults.items()}
            return self._refuse(code, call, errors=errors)
        description = ", ".join(f"{name} {reason}" for name, reason in faults.items())
        return self._refuse(code, call, description)

    def _create_task(self, call: Call) -> SimulatedReply:
        task = json_object(call.request.get("task")) or {}
        name = task.get("type")
        if not isinstance(name, str) or not name:
            return self._refuse_fields(call, {"type": REQUIRED}, "task.")
        kind = self.catalogue.find(name)
        if kind is None:
            return self._refuse(self.habits.unknown_type, call)
        for field in kind.unknown_fields(task):
            self.record.unknown_field(f"{kind.name}.{field[:_MAX_FIELD_NAME]}")
        faults = kind.faults(task)
        if faults:
            return self._refuse_fields(call, faults, "task.")
        if self.balances[call.owner] < kind.points:
            return self._refuse("ERROR_ZERO_BALANCE", call)
        if not self.slots.has_room(call.now):
            return self._refuse("ERROR_NO_SLOT_AVAILABLE", call)
        created = self._charge(kind, call)
        return _replies.created(created.task_id, integer=self.integer_ids)

    def _charge(self, kind: TaskKind, call: Call) -> SimulatedTask:
        solve_time, fails = self.fate_of(kind)
        self.balances[call.owner] -= kind.points
        task = SimulatedTask(
            task_id=self._new_id(),
            type=kind.name,
            owner=call.owner,
            created_at=call.now,
            ready_at=call.now + solve_time,
            available_until=call.now + self.result_window,
            points=kind.points,
            solution=kind.solution,
            error="ERROR_CAPTCHA_UNSOLVABLE" if fails else None,
        )
        self._task_count += 1
        self.slots.take(task)
        self.record.charge(task)
        return task

    def _new_id(self) -> str:
        if self.integer_ids:
            return str(_FIRST_INTEGER_ID + self._task_count)
        # The count keeps them unique, whatever is drawn.
        return str(UUID(f"{self.random.getrandbits(80):020x}{self._task_count:012x}"))

    def _get_task_result(self, call: Call) -> SimulatedReply:
        now = call.now
        task_id = call.request.get("taskId")
        if task_id is None or task_id == "":
            return self._refuse_fields(call, {"taskId": REQUIRED})
        task = self.record.find(str(task_id))
        if task is None or task.owner != call.owner or now > task.available_until:
            return self._refuse(self.habits.unknown_task, call)
        self.record.poll(task, now)
        if now < task.ready_at:
            if not call.lost:
                task.processing_at = now
            return _replies.PROCESSING
        if not call.lost:
            self.record.outcome(task, now)
        if task.error is None:
            return _replies.ready(task.solution(task.task_id))
        if self.habits.is_live:
            return _replies.failed(task.error, error_id=self.failed_error_id)
        return _replies.error(task.error, as_http_status=False)

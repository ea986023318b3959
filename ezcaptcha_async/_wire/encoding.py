"""What is sent: request bodies, and in them a task in the spelling of the service that is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from functools import cache
from typing import Any, Final, TypeAlias, cast

import attrs

from ezcaptcha_async._wire.parsing import Json
from ezcaptcha_async.services import Offer
from ezcaptcha_async.tasks import CustomTask, Task
from ezcaptcha_async.transports import RequestBody

_COMPACT: Final = json.JSONEncoder(separators=(",", ":"))
_Writer: TypeAlias = Callable[[str], Any]


@cache
def _wire_names(task_class: Hashable) -> tuple[tuple[str, str, _Writer | None], ...]:
    return tuple(
        (field.name, field.metadata["wire"], field.metadata.get("write"))
        for field in attrs.fields(cast("type[Task[Any]]", task_class))
        if "wire" in field.metadata
    )


def task_fields(task: Task[Any], offer: Offer | None) -> Json:
    """Return the ``task`` object of createTask, in the service's spelling."""
    extra: Json = {} if task.extra is None else json.loads(task.extra)
    if isinstance(task, CustomTask):
        return {"type": task.type, **json.loads(task.fields), **extra}
    fields: Json = {"type": task.type if offer is None else offer.wire_type}
    as_text = offer is not None and offer.booleans_as_text
    for name, wire_name, write in _wire_names(cast("Hashable", type(task))):
        value = getattr(task, name)
        if value is None:
            continue
        if as_text and isinstance(value, bool):
            value = "true" if value else "false"
        fields[wire_name] = value if write is None else write(value)
    return {**fields, **extra}


class Encoder:
    """Writes the request bodies of one account; the constant part is encoded once."""

    __slots__ = ("_ask", "_create", "_head")

    def __init__(self, client_key: str, app_id: int | None = None) -> None:
        self._head = f'{{"clientKey":{json.dumps(client_key)}'
        self._ask = f'{self._head},"taskId":'
        self._create = self._head if app_id is None else f'{self._head},"appId":{app_id}'

    def __repr__(self) -> str:
        return "<Encoder>"

    def create_task(self, task: Task[Any], offer: Offer | None) -> RequestBody:
        """Encode createTask; `offer` is None for a type that the profile does not list."""
        fields = _COMPACT.encode(task_fields(task, offer))
        return RequestBody(f'{self._create},"task":{fields}}}'.encode())

    def get_task_result(self, task_id: str) -> RequestBody:
        """Encode getTaskResult."""
        return RequestBody(f"{self._ask}{_COMPACT.encode(task_id)}}}".encode())

    def get_balance(self) -> RequestBody:
        """Encode getBalance."""
        return RequestBody(f"{self._head}}}".encode())

"""What a request to the simulated service says, read without trust."""

from __future__ import annotations

import hashlib
import json
from typing import Any, TypeAlias, cast

import attrs

JsonObject: TypeAlias = dict[str, Any]


@attrs.define
class Call:
    """A request whose key is known; `lost` when the client will not get the answer."""

    path: str
    request: JsonObject
    owner: str
    now: float
    lost: bool


def digest(client_key: str) -> str:
    """Return what is kept instead of a client key."""
    # JSON may hold lone surrogates, which plain UTF-8 cannot.
    return hashlib.blake2b(client_key.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def is_json(content_type: str) -> bool:
    """Return whether a content type is that of JSON, whatever parameters it has."""
    return content_type.partition(";")[0].strip().lower() == "application/json"


def json_object(value: object) -> JsonObject | None:
    """Return a decoded value if it is a JSON object, else None."""
    return cast("JsonObject", value) if isinstance(value, dict) else None


def loaded(body: bytes) -> JsonObject | None:
    """Return the JSON object that a body holds; None when it holds anything else."""
    try:
        return json_object(json.loads(body))
    except (ValueError, RecursionError):
        return None

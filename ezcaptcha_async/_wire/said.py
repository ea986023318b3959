"""What an answer says, wherever in it that stands, before anybody asks what it means. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final, cast

import attrs

from ezcaptcha_async._wire.parsing import Json, unwrapped
from ezcaptcha_async._wire.scrubbing import MAX_TEXT
from ezcaptcha_async._wire.words import (
    DONE_WORDS,
    FAILED_WORDS,
    NO_WORDS,
    PROCESSING_WORDS,
    holds_nothing,
    plain,
)

MOST_FIELD_ERRORS: Final = 20
"""Most errors of single fields, or in one list of errors, that are looked at."""

_FALSE: Final = frozenset({"false", "0", "no"})
_NO_CODE: Final = (
    DONE_WORDS | NO_WORDS | {"no", "noerror", "noerrors", "errornone", "errorok", "200"}
)
"""What stands for no code and no errorId, beside any number of zeros."""

OTHER_PLACES_OF_A_CODE: Final = (
    *("solution", "data", "result", "response", "request", "title"),
    *("description", "errorMsg", "errorText", "err"),
)
"""Where a code may stand that tells of an earlier try, while a task is processed."""
_PLACES_OF_A_CODE: Final = (
    *("errorCode", "errorId", "error", "code", "message", "errorDescription"),
    *("msg", "errorMessage", "detail", "reason", "status"),
    *OTHER_PLACES_OF_A_CODE,
)
"""Where a code has been seen."""
_PLACES_OF_A_REASON: Final = (
    *("errorDescription", "message", "msg", "errorMessage", "errorMsg", "errorText"),
    *("detail", "reason", "description", "err"),
)
_MOST_LEVELS_OF_ERRORS: Final = 3
_NUMBER_OF_AN_ERROR: Final = re.compile(r"-[1-9]\d*|[4-9]\d\d|[1-9]\d{3,}")
"""The code of an answer is one of an error from 400 on, and below zero."""

_REDIRECTION: Final = 300
_SERVER_ERROR: Final = 500
_OF_A_GATEWAY: Final = re.compile(r"50[2-4]|52\d")
"""Numbers that what stands in front gives when it does not know what became of a request."""


@attrs.frozen
class Said:
    """What an answer says of what was asked for.

    Args:
        members: The members of the answer; where it is no JSON object, what stands for them.
        is_whole: Whether that is a JSON object, and all of it.
        status: Its HTTP status.
        code: The error code that it names; empty where it names none.
        is_known: Whether the service's table has that code.
    """

    members: Json
    is_whole: bool
    status: int
    code: str
    is_known: bool

    @property
    def word(self) -> str:
        """Its status as names are compared; empty where it has none."""
        status = self.members.get("status")
        if not isinstance(status, (str, int, float)):
            return "" if status is None else "?"
        return plain(str(status)[:MAX_TEXT])

    @property
    def has_failed(self) -> bool:
        """Whether its status says so."""
        return FAILED_WORDS.fullmatch(self.word) is not None

    @property
    def denies_solution(self) -> bool:
        """Whether it says that there is none, or none yet; or it is cut off, perhaps in one."""
        is_doubtful = bool(self.code) or not self.is_whole
        return is_doubtful or self.word in PROCESSING_WORDS or self.has_failed

    @property
    def is_refusal(self) -> bool:
        """Whether anything in it says no."""
        if self.code or says_something(self.members.get("errorId")):
            return True
        # A gateway that lost the answer to a createTask may say the same.
        return self.has_failed and (self.has_error_id or self.status < _SERVER_ERROR)

    @property
    def denial(self) -> str:
        """How it says no without a code, an errorId or a status; empty where it does not.

        No paid ticket ends for that alone: a service may say it of the one request.
        """
        if not self.is_envelope or self._is_of_a_gateway:
            return ""
        for name in ("success", "ok"):
            if plain(str(self.members.get(name))) in _FALSE:
                return f"{name} {self.members[name]}"
        code = str(self.members.get("code"))[:MAX_TEXT]
        if _NUMBER_OF_AN_ERROR.fullmatch(code):
            return f"code {code}"
        if self.members.get("status") is False:  # of a task, 0 may mean what 1 means elsewhere
            return "status False"
        errors = filter(says_something, map(self.members.get, ("error", "errors")))
        return next(map(str, errors), "")

    @property
    def _is_of_a_gateway(self) -> bool:
        """Whether it names an HTTP status that leaves open what became of the request."""
        named = (str(self.members.get(name)) for name in ("status", "statusCode", "code"))
        return not self.has_error_id and any(map(_OF_A_GATEWAY.fullmatch, named))

    @property
    def reason(self) -> str:
        """Why, in its own words."""
        values = [self.members.get(name) for name in _PLACES_OF_A_REASON]
        texts = (value for value in values if value and isinstance(value, str))
        return str(values[0] or next(texts, ""))

    @property
    def has_error_id(self) -> bool:
        """Whether it has one, whatever it is."""
        return self.members.get("errorId") is not None

    @property
    def is_envelope(self) -> bool:
        """Whether it is a whole answer of the service, and none of what stands before it."""
        return self.is_whole and (self.has_error_id or self.status < _REDIRECTION)


def says_something(value: object) -> bool:
    """Return whether an errorCode or errorId is more than a way to say that there is none."""
    if not value:
        return False
    value = unwrapped(value)
    if not isinstance(value, str | int | float):
        return not holds_nothing(value)
    text = "".join(filter(str.isalnum, str(value)[:MAX_TEXT])).casefold()
    return text not in _NO_CODE and text.strip("0") != ""


def texts_with_a_code(members: Json) -> Iterator[tuple[str, str]]:
    """Yield where a code may stand, also in a list or object of errors, and what stands there."""
    places = [members]
    for _ in range(_MOST_LEVELS_OF_ERRORS):
        inner: list[Json] = []
        for place in places:
            for name in filter(place.get, _PLACES_OF_A_CODE):
                text = unwrapped(place[name])
                if isinstance(text, str) and "_" in text:
                    yield name, text[:MAX_TEXT]
            for name in filter(place.get, ("error", "errors", "errorCode")):
                value = place[name]
                parts = cast("list[object]", value) if isinstance(value, list) else [value]
                inner += (
                    cast("Json", part) if isinstance(part, dict) else {"error": part}
                    for part in islice(parts, MOST_FIELD_ERRORS)
                )
        places = inner

"""What is in a solution: found in whatever form it came, and decoded when somebody asks for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, TypeVar, cast

import attrs

from ezcaptcha_async._wire.parsing import (
    BLANK,
    KNOWN_MEMBERS,
    MOST_NAMES,
    WRAPPERS,
    Json,
    answer_in,
    text_of,
    unwrapped,
)
from ezcaptcha_async._wire.words import DONE_SIGNS, DONE_WORDS, holds_nothing, is_placeholder, plain
from ezcaptcha_async.errors import ProtocolError
from ezcaptcha_async.solutions import (
    CloudFlare5SSolution,
    CloudFlareTurnstileSolution,
    FuncaptchaSolution,
    HCaptchaSolution,
    ReCaptchaSolution,
    Receipt,
    Solution,
)
from ezcaptcha_async.transports import Reply

S = TypeVar("S", bound=Solution)

MOST_OF_A_TOKEN: Final = 64 * 1024
"""Most bytes that a ticket keeps of an answer with a token; one has a few thousand."""

_DONE: Final = DONE_WORDS | DONE_SIGNS | {"ready"}
_NAMES_OF_AN_ANSWER: Final = WRAPPERS | {
    *("captcha", "captcharesponse", "captchatoken", "recaptchatoken", "recaptcharesponse"),
    *("answer", "text", "value", "code"),
}
_MOST_WRAPPINGS: Final = 3
_MOST_PLACES: Final = 100
"""In how many members of all wrappers on a level a solution is looked for."""
_LEAST_TOKEN: Final = 20
"""Characters from which a mere text is a token, whatever the status says; one has hundreds."""
_MOST_LOOKED_AT: Final = 1_000
"""Characters of a text by which it is seen to be none."""


def decode_solution(
    solution_type: type[S], reply: Reply, *, receipt: Receipt, expires_at: float
) -> S:
    """Turn what was kept of a ready answer into a value.

    A missing or misshapen required part raises; a misshapen optional one is kept in
    ``extra``, because it is no reason to throw a paid token away.

    Raises:
        ProtocolError: With the path of the value at fault, and what was paid for.
    """
    answer = answer_in(reply)
    raw = None if answer is None else solution_in(answer.members)
    try:
        fields, extra = _decoded(solution_type, raw)
    except _MisshapenError as error:
        problem = str(error)
    else:
        return solution_type(**fields, extra=extra, receipt=receipt, expires_at=expires_at)
    payload: object = text_of(reply)
    if answer is not None and answer.is_whole and len(reply.body) <= MOST_OF_A_TOKEN:
        payload = raw or answer.members
    raise ProtocolError(problem, payload=payload)


def solution_in(members: Json) -> object:
    """Return what stands where a solution belongs, or a token beside it."""
    raw = members.get("solution")
    if not holds_nothing(raw):
        return raw
    items = islice(members.items(), MOST_NAMES)
    beside = {name: value for name, value in items if plain(name) not in KNOWN_MEMBERS}
    wanted = (_ANY_TOKEN, _REQUIRED[CloudFlare5SSolution])
    if any(all(any(_readings(part, beside)) for part in parts) for parts in wanted):
        return beside
    if plain(str(members.get("status"))) not in _DONE:
        return raw
    texts = (beside[name] for name in beside if plain(name) in WRAPPERS)
    return next((text for text in texts if _is_token(text)), raw)


def is_solution(solution_type: type[Solution], raw: object, *, is_denied: bool = False) -> bool:
    """Return whether it is a solution whatever is said of it: a documented field is not empty.

    Args:
        solution_type: The class of the solution.
        raw: What stands where it belongs.
        is_denied: Whether the answer says that there is none. Then it must be a whole one, in
            its place and with a token as long as they are, and no template to be filled in.
    """
    required = _REQUIRED.get(solution_type, _ANY_TOKEN)
    if is_denied:
        outermost: Json = next(_objects_in(raw), cast("Json", {}))
        return _is_token(raw) or all(
            any(_is_filled(value) for _, value in _readings(part, outermost)) for part in required
        )
    values = (
        value
        for item in _objects_in(raw)
        for part in required
        for _, value in _readings(part, item)
    )
    return any(values) or _is_token(raw)


def _is_filled(value: object) -> bool:
    return len(value) >= _LEAST_TOKEN if isinstance(value, str) else bool(value)


def kept_of(solution_type: type[Solution], reply: Reply, members: Json) -> Reply:
    """Return what a ticket keeps of a ready answer until somebody asks for the solution."""
    whole = Reply(reply.status, reply.body, charset=reply.charset)
    if solution_type not in _TOKENS or len(reply.body) <= MOST_OF_A_TOKEN:
        return whole
    try:
        fields, _ = _decoded(solution_type, solution_in(members))
    except _MisshapenError:
        fields = {}
    for needed in (_PARTS[solution_type], _REQUIRED[solution_type]):
        documented = {part.names[0]: fields[part.field] for part in needed if part.field in fields}
        body = json.dumps({"solution": documented}).encode()
        if documented and len(body) <= MOST_OF_A_TOKEN:
            return Reply(reply.status, body)
    return attrs.evolve(whole, body=reply.body[:MOST_OF_A_TOKEN])


class _MisshapenError(Exception):
    """A required part of a solution is missing, or of another shape."""


def _decoded(solution_type: type[Solution], raw: object) -> tuple[Json, Json]:
    """Return the fields of a solution and what it has no field for."""
    parts = _PARTS.get(solution_type, ())
    for item in _objects_in(raw) if parts else ():
        try:
            return _fields_in(item, parts)
        except _MisshapenError:
            continue
    outermost = unwrapped(raw)
    rest = cast("Json", outermost) if isinstance(outermost, dict) else None
    if solution_type in _TOKENS:
        token = _token_in(raw) if rest is None else _only_token_in(rest)
        rest = rest if token is None else {parts[0].names[0]: token}
    if rest is None:
        raise _MisshapenError(f"$.solution: expected an object, got {_shape(raw)}")
    return _fields_in(rest, parts)


def _fields_in(item: Json, parts: tuple[_Part, ...]) -> tuple[Json, Json]:
    fields: Json = {}
    rest = item.copy()
    for part in parts:
        for name, value in _readings(part, rest) if rest else ():
            fields[part.field] = value
            del rest[name]
            break
        else:
            if part.is_required:
                raise _MisshapenError(_complaint(part, rest.get(part.names[0])))
    return fields, rest


def _objects_in(raw: object) -> Iterator[Json]:
    """Yield the objects in which the fields of a solution may stand, the outermost first."""
    level = [raw]
    for _ in range(_MOST_WRAPPINGS):
        inner: list[object] = []
        for item in level[:_MOST_PLACES]:
            value = unwrapped(item)
            if isinstance(value, dict):
                yield cast("Json", value)
                inner += cast("Json", value).values()
            elif isinstance(value, list):
                inner += cast("list[object]", value)
        level = inner


def _token_in(raw: object) -> str | None:
    """Return the token that is a whole solution by itself; None where that is no such text."""
    text = _token(raw)
    return None if text is None or any(map(str.isspace, text)) else text


def _is_token(raw: object) -> bool:
    return len(_token_in(raw) or "") >= _LEAST_TOKEN


def _only_token_in(item: Json) -> str | None:
    """Return the token under a name that says only that it is what was asked for."""
    named = (_token_in(item[name]) for name in item if plain(name) in _NAMES_OF_AN_ANSWER)
    return next((text for text in named if _is_token(text)), None)


def _shape(value: object) -> str:
    """Name the shape of a value and not the value, which may be secret or huge."""
    if value is None:
        return "nothing"
    if value == "":
        return "an empty string"
    return _SHAPES.get(type(value).__name__, "a number")


_SHAPES: Final = {"dict": "an object", "list": "an array", "str": "a string", "bool": "a boolean"}


def _token(value: object) -> str | None:
    value = unwrapped(value)
    if not isinstance(value, str) or is_placeholder(value) or _is_prose(value):
        return None
    text = value.strip(BLANK)
    return text if text.isascii() else None  # in Chinese a whole sentence is one word


def _is_prose(text: str) -> bool:
    """Return whether a text is of short words, a page or an address.

    A token may be broken into lines.
    """
    words = text[:_MOST_LOOKED_AT].split()
    is_of_words = len(words) > 1 and max(map(len, words)) < _LEAST_TOKEN
    return is_of_words or text.lstrip().startswith("<") or "://" in text[:_LEAST_TOKEN]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> Mapping[str, str] | None:
    """Read an object of texts, also one within a text or as a list of names and values."""
    value = unwrapped(value) if isinstance(value, str) else value
    if isinstance(value, list):
        value = _pairs(cast("list[object]", value))
    if not isinstance(value, dict):
        return None
    mapping = cast("Json", value)
    if not all(isinstance(item, str | int | float) for item in mapping.values()):
        return None
    return {name: str(item) for name, item in mapping.items()}


def _pairs(items: list[object]) -> object:
    """Return the object that a browser's list of names and values stands for."""
    pairs: Json = {}
    for item in items:
        pair = cast("Json", item) if isinstance(item, dict) else {}
        if not isinstance(pair.get("name"), str) or "value" not in pair:
            return items
        pairs[pair["name"]] = pair["value"]
    return pairs or items


def _cookies(value: object) -> Mapping[str, str] | None:
    """Read cookies, also as the header that they are sent in."""
    read = _texts(value)
    if read is not None or not isinstance(value, str):
        return read
    pairs = [pair.partition("=") for pair in value.split(";") if pair.strip()]
    if not pairs or not all(name.strip() and found for name, found, _ in pairs):
        return None
    return {name.strip(): text.strip() for name, _, text in pairs}


@attrs.frozen
class _Part:
    """One field of a solution.

    Args:
        field: As the solution's class calls it.
        names: As it is called on the wire, first of all the documented name.
        read: Reads it; None for a value of another shape.
        is_required: Whether there is no solution without it.
    """

    field: str
    names: tuple[str, ...]
    read: Callable[[object], Any] = _text
    is_required: bool = False


def _readings(part: _Part, item: Json) -> Iterator[tuple[str, Any]]:
    """Yield each name under which a part can be read, with its value, the likeliest first."""
    is_plain = part.names[0] in item
    spelled = {} if is_plain else {plain(name): name for name in islice(item, MOST_NAMES)}
    for name in part.names:
        found = spelled.get(plain(name), name) if spelled and name not in item else name
        value = part.read(item[found]) if found in item else None
        if value is not None:
            yield found, value


def _complaint(part: _Part, value: Any) -> str:
    path = f"$.solution.{part.names[0]}"
    expected = "a non-empty string" if part.read is _token else "an object of strings"
    if isinstance(value, dict) and part.read is not _token:
        items = cast("Json", value).items()
        name, item = next(pair for pair in items if not isinstance(pair[1], str | int | float))
        return f"{path}[{name[:40]!r}]: expected a string, got {_shape(item)}"
    return f"{path}: expected {expected}, got {_shape(cast('object', value))}"


_TOKEN_NAMES: Final = (
    *("gRecaptchaResponse", "token", "generated_pass_UUID"),
    *("cf-turnstile-response", "h-captcha-response", "fc-token"),
)
"""What the services call a token, whatever it is for, and what the pages do."""


def _token_named(name: str) -> _Part:
    return _Part("token", tuple(dict.fromkeys((name, *_TOKEN_NAMES))), _token, is_required=True)


_ANY_TOKEN: Final = (_token_named("token"),)
_PARTS: Final[Mapping[type[Solution], tuple[_Part, ...]]] = {
    ReCaptchaSolution: (
        _token_named("gRecaptchaResponse"),
        _Part("user_agent", ("user_agent", "ua")),
        _Part("sec_ch_ua", ("sec_ch_ua",)),
        _Part("cookies", ("cookies",), _cookies),
    ),
    FuncaptchaSolution: (_token_named("token"),),
    CloudFlare5SSolution: (
        _Part("headers", ("header", "headers"), _texts, is_required=True),
        _Part("cookies", ("cookies", "cookie"), _cookies, is_required=True),
        _Part("body", ("body",)),
        _Part("tls_version", ("tlsVersion",)),
        _Part("s_token", ("sToken",)),
    ),
    CloudFlareTurnstileSolution: (
        _token_named("token"),
        _Part("headers", ("header", "headers"), _texts),
    ),
    HCaptchaSolution: (
        _token_named("generated_pass_UUID"),
        _Part("user_agent", ("ua", "user_agent")),
    ),
}
_REQUIRED: Final[Mapping[type[Solution], tuple[_Part, ...]]] = {
    solution_type: tuple(part for part in parts if part.is_required)
    for solution_type, parts in _PARTS.items()
}
_TOKENS: Final = frozenset(
    solution_type for solution_type, parts in _PARTS.items() if parts[0].field == "token"
)

"""Scripted faults: what goes wrong between client and service, planned or drawn at a rate."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from math import inf
from random import Random
from typing import Final, TypeAlias

import attrs

from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.testing._checks import number, whole
from ezcaptcha_async.testing._replies import SimulatedReply

FaultPredicate: TypeAlias = Callable[[str, bytes], bool]
"""Takes the path and the body of a request; True when the fault may strike it."""

Rewrite: TypeAlias = Callable[[SimulatedReply], SimulatedReply]
"""Takes the answer that the service would give, and returns the one that it gives instead."""


class Fault(enum.Enum):
    """What can go wrong with one request.

    On a real socket REFUSED comes as RESET_BEFORE, because the server has accepted the
    connection before it sees the request, and with both of them the client may already
    have sent the body. The service acts on neither.

    Example:
        >>> service = SimulatedService()
        >>> service.inject(Fault.RESET_AFTER, path="/getTaskResult")
        >>> async with SessionPool("any-key", http_client=service.client()) as pool:
        ...     solution = await pool.solve(TASK)  # a poll that goes wrong is only a skipped poll
        >>> service.summary().faults
        {'reset_after': 1}
    """

    REFUSED = "refused"
    """The connection is refused. Nothing was sent; the service sees nothing."""
    RESET_BEFORE = "reset_before"
    """The connection is reset before the body was sent. The service sees nothing."""
    RESET_AFTER = "reset_after"
    """The service acts on the request, and a createTask is charged; its answer is lost."""
    HANG = "hang"
    """The service acts on the request, and answers late or never."""
    HTML = "html"
    """A proxy in front answers 502 with an HTML page. The service does not act."""
    MALFORMED = "malformed"
    """The service acts on the request, and its answer is broken JSON."""
    THROTTLED = "throttled"
    """HTTP 429 and ``ERROR_REQUEST_LIMIT``. The service does not act."""
    UNAVAILABLE = "unavailable"
    """HTTP 503 and ``ERROR_SERVICE_UNAVALIABLE``. The service does not act."""


AnyFault: TypeAlias = Fault | str | Rewrite
"""What can be injected: a fault, an error code, or a rewrite of the answer."""

_NAMES: Final = frozenset(fault.value for fault in Fault)
UNSEEN: Final = frozenset({Fault.REFUSED, Fault.RESET_BEFORE})
"""Faults that keep a request from the service."""
_UNACTED: Final = frozenset({Fault.HTML, Fault.THROTTLED, Fault.UNAVAILABLE})
ANSWER_LOST: Final = frozenset({Fault.RESET_AFTER, Fault.HANG, Fault.MALFORMED})
"""Faults that keep the answer from the client."""


def is_an_answer(fault: AnyFault | None) -> bool:
    """Return whether a fault is an answer of its own; the service does nothing else."""
    return isinstance(fault, str) or fault in _UNACTED


@attrs.frozen
class DrawnFault:
    """A fault that strikes one request.

    Args:
        fault: Which; an error code is one that the service answers with, and a rewrite changes
            its answer.
        seconds: For HANG: how late the answer is; ``inf`` for never.
    """

    fault: AnyFault
    seconds: float = inf

    @property
    def name(self) -> str:
        """How it is counted."""
        if isinstance(self.fault, Fault):
            return self.fault.value
        return self.fault if isinstance(self.fault, str) else "rewritten"


@attrs.define(eq=False)
class _Planned:
    drawn: DrawnFault
    path: str | None
    when: FaultPredicate | None
    share: float
    left: float

    def strikes(self, path: str, body: bytes, random: Random) -> bool:
        if self.path not in (None, path) or (self.when is not None and not self.when(path, body)):
            return False
        return self.share == 1.0 or random.random() < self.share


class FaultPlan:
    """Which fault strikes which request. Planned ones come first, then rates.

    Args:
        random: Where rates draw from.
        rates: Fault → share of all requests, from 0 to 1, at most 1 together.
        hang_seconds: How late the answer is when a rate draws HANG.
    """

    def __init__(
        self, random: Random, rates: Mapping[Fault, float], *, hang_seconds: float
    ) -> None:
        self._random = random
        self._hang_seconds = number("hang_seconds", hang_seconds)
        self._planned: list[_Planned] = []
        self._rates: dict[Fault, float] = {}
        self.set_rates(rates)

    def set_rates(self, rates: Mapping[Fault, float]) -> None:
        """Replace the rates."""
        for fault, rate in rates.items():
            _check_fault(fault)
            number(f"the rate of {fault}", rate, high=1.0)
        number("the sum of all fault rates", sum(rates.values()), high=1.0)
        self._rates = dict(rates)

    def add(
        self,
        fault: AnyFault,
        *,
        path: str | None,
        times: int | None,
        seconds: float,
        when: FaultPredicate | None,
        share: float,
    ) -> None:
        """Plan a fault after those that are planned already."""
        is_code = isinstance(fault, str) and fault and fault not in _NAMES
        if not is_code and not callable(fault):
            _check_fault(fault)
        left = inf if times is None else whole("times", times, low=1)
        drawn = DrawnFault(fault, number("seconds", seconds))
        part = number("share", share, high=1.0, above=True)
        self._planned.append(_Planned(drawn, path, when, part, left))

    def clear(self) -> None:
        """Forget what is planned and all rates."""
        self._planned.clear()
        self._rates.clear()

    def draw(self, path: str, body: bytes) -> DrawnFault | None:
        """Return the fault that strikes this request, if any."""
        return self._draw_planned(path, body) or self._draw_by_rate()

    def _draw_planned(self, path: str, body: bytes) -> DrawnFault | None:
        for planned in self._planned:
            if planned.strikes(path, body, self._random):
                planned.left -= 1
                if not planned.left:
                    self._planned.remove(planned)
                return planned.drawn
        return None

    def _draw_by_rate(self) -> DrawnFault | None:
        if not self._rates:
            return None
        left = self._random.random()
        for fault, rate in self._rates.items():
            left -= rate
            if left < 0:
                return DrawnFault(fault, self._hang_seconds)
        return None


def _check_fault(fault: object) -> None:
    if not isinstance(fault, Fault):
        raise ConfigurationError(
            "a fault must be a member of Fault or, for inject, an error code or a function of the "
            f"answer, not {fault!r}"
        )

"""What was learned of each kind of task, within bounds. Pure.

Three things make a solve time: the type has a distribution; the site stretches it; and how
the service does at present stretches everything. The type's distribution is learned in
detail, the other two as one factor each, so that a new site and a bad hour are understood
after a few polls.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable
from math import copysign, exp, sqrt
from operator import sub
from typing import Any, Final, TypeVar, cast

from ezcaptcha_async._checks import is_number
from ezcaptcha_async._timing.ages import AGES, BINS, at_ages
from ezcaptcha_async._timing.plan import Plan, make_plan
from ezcaptcha_async._timing.solve_times import SolveTimes
from ezcaptcha_async.errors import ConfigurationError
from ezcaptcha_async.tasks import Kind

_MOST_SITES: Final = 4_096
_MOST_TYPES: Final = 64
_MOST_SERVICES: Final = 16
_MOST_PLANS: Final = 64

_WIDEST: Final = 1.6
"""Largest logarithm of a factor: about 5 times as slow, or as fast."""

_GAIN: Final = 0.02
_FIRST_GAIN: Final = 0.1
_CALM: Final = 50.0
"""Tasks in flight among which an answer moves a factor by half as much. A burst answers hundreds of
times at one age: its factor would be off by whatever the estimate is off at that age, and at the
next age by something else."""

_FORGET: Final = 0.0005
_SCALE_STEPS: Final = 10
"""Plans are made for scales a tenth apart: half of that is far below what jitter does."""

_FRESH: Final = 0.1
_MOST_FRESH: Final = 250

_REVISED_BY: Final = 0.1
"""By how much the share of tasks that are ready must have moved, at some age, for those that
wait to be planned anew. An estimate moves with the logarithm of what it is made from."""

_KNOWN_AFTER: Final = 20
"""Tasks solved after which a type is known, and needs no scouts to be."""

_WATCHED: Final = 50
_FIRST_WATCH: Final = 15
"""Of a known type the sixteenth of those in flight is a scout, and one of fifty after it: nobody
else would see for long that it has become faster."""

_SCOUTS: Final = 0.47
"""Scouts for the square root of the tasks that learn from them: the fifth is the first one, and
of 400 there are nine. Of fewer than five, each would cost more than it tells."""

_WITNESSES: Final = 2.0
"""The same while a type's estimate is in doubt, seven of twenty: one task that was ready too early
may be an odd one, and a few more tell whether all are."""

_DISSOLVES: Final = 0.999
"""What is left of a crowd, each time that a poll is planned."""

_VERSION: Final = 1
_LARGEST: Final = 1e12

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class TypeModel:
    """One type: its solve times and the plans that were made from them.

    Attributes:
        times: The former.
        tasks: How many were solved.
        crowd: About how many are in flight, as far as `scouts` is asked of them.
    """

    __slots__ = (
        "_answers",
        "_doubt_at",
        "_plans",
        "_polls",
        "_refresh_at",
        "_revised",
        "_survival",
        "crowd",
        "tasks",
        "times",
    )

    def __init__(self) -> None:
        self.times = SolveTimes()
        self.tasks = 0
        self.crowd = 0.0
        self._revised = self.times.survival
        self._survival = at_ages(self.times.survival)
        self._polls = 0
        self._refresh_at = 1.0
        self._answers = 0
        self._doubt_at = 0.0
        self._plans: dict[tuple[float, float, float], Plan] = {}

    def plan(self, log_scale: float, spacing: float, price: float) -> Plan:
        """Return the plan for tasks at a scale; its ages are those of scale 1."""
        step = round(log_scale * _SCALE_STEPS)
        key = (step, spacing, price)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            shrink = exp(-step / _SCALE_STEPS)
            plan = self._plans[key] = make_plan(
                AGES, self._survival, spacing=spacing * shrink, price=price * shrink
            )
        return plan

    def scouts(self, place: int) -> bool:
        """Tell whether a task goes first, for others to learn from: see `Scouting`.

        Its place says as well how large the crowd is, and is noted.
        """
        self.crowd = max(place, _DISSOLVES * self.crowd)
        if self.times.in_doubt and _is_one_of(_WITNESSES, place):
            return True
        if self.times.known >= _KNOWN_AFTER:
            return place % _WATCHED == _FIRST_WATCH
        return _is_one_of(_SCOUTS, place)

    def polled(self, *, refutes: bool = False, doubted: bool = False) -> bool:
        """Count an answered poll, and renew the estimate when enough of them are new.

        One that `refutes` the estimate lets all begin anew. Return whether the estimate has moved
        so far, or is `doubted` since that poll, that what waits is to be planned anew.
        """
        if refutes:
            self._polls, self._refresh_at = 0, 1.0
        self._polls += 1
        self._answers += 1
        if doubted and self._answers >= self._doubt_at:
            # Among very many there are odd ones all the time, and scouts enough.
            self._doubt_at = self._answers * (1 + _FRESH)
            return True
        if self._polls < self._refresh_at:
            return False
        self._refresh_at = self._polls + 1 + min(self._polls * _FRESH, _MOST_FRESH)
        self.refresh()
        survival = self.times.survival
        if max(map(abs, map(sub, survival, self._revised))) < _REVISED_BY:
            return False
        self._revised = survival
        return True

    def refresh(self) -> None:
        """Renew the estimate; plans that were made from the old one go."""
        self.times.refresh()
        self._survival = at_ages(self.times.survival)
        self._plans.clear()


class Site:
    """One kind: how its site differs from its type, and counts for `KindStatistics`."""

    __slots__ = ("drift", "overshoot", "polls", "tasks")

    def __init__(self) -> None:
        self.drift = 0.0
        self.tasks = 0
        self.polls = 0
        self.overshoot = 0.0


class Kinds:
    """All that was learned; what is learned from least recently is forgotten first."""

    def __init__(self) -> None:
        self.sites: OrderedDict[Kind, Site] = OrderedDict()
        self._types: OrderedDict[tuple[str, str], TypeModel] = OrderedDict()
        self._health: OrderedDict[str, float] = OrderedDict()

    def type_of(self, kind: Kind) -> TypeModel:
        """Return the model of a kind's type, a new one if need be."""
        model = self._types.get(kind[:2])
        return model or _put(self._types, kind[:2], TypeModel(), _MOST_TYPES)

    def site_and_health_of(self, kind: Kind) -> tuple[Site, float]:
        """Return what is known of a kind's site, a new record if need be, and of its service."""
        site = self.sites.get(kind) or _put(self.sites, kind, Site(), _MOST_SITES)
        return site, self._health.get(kind.service, 0.0)

    def known_type_of(self, kind: Kind) -> TypeModel | None:
        """Return the model of a kind's type where there is one with a task solved."""
        model = self._types.get(kind[:2])
        return model if model is not None and model.tasks else None

    def log_scale(self, kind: Kind) -> float:
        """Return the logarithm of what stretches the type's solve times now."""
        site = self.sites.get(kind)
        return self._health.get(kind.service, 0.0) + (0.0 if site is None else site.drift)

    def learn(self, kind: Kind, after: float, age: float, *, ready: bool) -> bool:
        """Take notice of one answered poll: as `PollTiming.learn`."""
        model = self.type_of(kind)
        site, health = self.site_and_health_of(kind)
        scale = exp(health + site.drift)
        was_in_doubt = model.times.in_doubt
        surprise, solved_at, refutes = model.times.learn(after / scale, age / scale, ready=ready)
        site.polls += 1
        if solved_at is not None:
            model.tasks += 1
            site.tasks += 1
            site.overshoot += max(0.0, age - solved_at * scale)
        doubted = model.times.in_doubt > was_in_doubt
        revised = model.polled(refutes=refutes, doubted=doubted)
        # The sum of the surprises over a task's polls is 0 on average when the scale is
        # right, whatever was polled when: what is left over says which way it is wrong.
        of_site = model.crowd * (site.tasks + 1) / (model.tasks + 1)
        gain = max(_GAIN, _FIRST_GAIN / (1 + site.tasks / 3)) / (1 + of_site / _CALM)
        site.drift = _moved(site.drift, gain * surprise)
        step = _GAIN * surprise / (1 + model.crowd / _CALM)
        _put(self._health, kind.service, _moved(health, step), _MOST_SERVICES)
        self._types.move_to_end(kind[:2])
        self.sites.move_to_end(kind)
        return revised

    # ------------------------------------------------------------------ written down

    def to_dict(self) -> dict[str, Any]:
        """Return everything as a JSON-able dict."""
        return {
            "version": _VERSION,
            "services": [[name, round(health, 4)] for name, health in self._health.items()],
            "types": [
                [*key, model.tasks, *(_rounded(part) for part in model.times.evidence())]
                for key, model in self._types.items()
            ],
            "sites": [
                [*kind, site.tasks, site.polls, round(site.overshoot, 2), round(site.drift, 4)]
                for kind, site in self.sites.items()
            ],
        }

    @classmethod
    def from_dict(cls, saved: object) -> Kinds:
        """Read what `to_dict` wrote.

        Raises:
            ConfigurationError: It is something else, or has a value that cannot be.
        """
        document = cast("Any", saved)
        if isinstance(saved, dict) and document.get("version", _VERSION) != _VERSION:
            raise ConfigurationError("it was saved by another version of ezcaptcha-async")
        kinds = cls()
        try:
            kinds._take_over(document)
        except (TypeError, ValueError, KeyError):
            raise ConfigurationError("it does not have the form of saved poll timing") from None
        return kinds

    def _take_over(self, saved: dict[str, Any]) -> None:
        for name, health in saved["services"][-_MOST_SERVICES:]:
            self._health[_text(name)] = _number(health, -_WIDEST, _WIDEST)
        for service, task_type, tasks, at_risk, ready in saved["types"][-_MOST_TYPES:]:
            model = self._types[_text(service), _text(task_type)] = TypeModel()
            model.tasks = int(_number(tasks, 0, _LARGEST))
            model.times.restore(_numbers(at_risk), _numbers(ready))
            model.refresh()
        for service, task_type, host, *figures in saved["sites"][-_MOST_SITES:]:
            tasks, polls, overshoot, drift = figures
            site = self.sites[Kind(_text(service), _text(task_type), _text(host))] = Site()
            site.tasks = int(_number(tasks, 0, _LARGEST))
            site.polls = int(_number(polls, 0, _LARGEST))
            site.overshoot = _number(overshoot, 0, _LARGEST)
            site.drift = _number(drift, -_WIDEST, _WIDEST)


def _is_one_of(share: float, place: int) -> bool:
    """Tell whether the square root of so many, times a share, grows by one with this place."""
    return place < (int(share * sqrt(place + 1)) / share) ** 2


def _rounded(numbers: Iterable[float]) -> list[float]:
    return [round(number, 3) for number in numbers]


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: object, low: float, high: float) -> float:
    if not is_number(value, low, high):
        raise TypeError
    return value


def _numbers(values: list[object]) -> list[float]:
    if len(values) != BINS:
        raise ValueError
    return [_number(value, 0, _LARGEST) for value in values]


def _moved(log_factor: float, step: float) -> float:
    """Return a factor after a surprise; without any, it returns slowly to 1."""
    moved = log_factor * (1 - _FORGET) - step
    return moved if -_WIDEST <= moved <= _WIDEST else copysign(_WIDEST, moved)


def _put(memory: OrderedDict[K, V], key: K, item: V, most: int) -> V:
    """Put an item into a bounded memory, as the one used last, and return it."""
    memory[key] = item
    memory.move_to_end(key)
    if len(memory) > most:
        memory.popitem(last=False)
    return item

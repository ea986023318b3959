"""Anything in the place of each value that a user writes down: refused at once, or harmless."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from decimal import Decimal
from functools import partial
from math import inf, nan
from pathlib import Path
from random import Random
from typing import Any

import attrs
import pytest

from ezcaptcha_async import (
    EZCAPTCHA,
    Account,
    ConfigurationError,
    CustomTask,
    EzCaptchaError,
    Journal,
    LearnedPolling,
    Offer,
    PollPolicy,
    Service,
    ServiceError,
    SessionPool,
    Task,
)
from ezcaptcha_async.tasks import TASK_TYPES
from ezcaptcha_async.testing import Fixed, SimulatedService
from ezcaptcha_async.transports import NoAnswer, Reply

from .conftest import KEY, TASK, DirectTransport, on_one_loop

ANYTHING: list[Any] = [
    *(nan, inf, -inf, -1, 0, 1e-320, 1e308, 10**400, True, Decimal(5), Decimal("nan"), None),
    *("", "x", "no", b"x", [], [1], {}, {"x": 1}, object(), Path("x"), print),
]

POOL: dict[str, dict[str, Any]] = {
    "service": {},
    "http_client": {},
    "transport": {},
    "polling": {},
    "journal": {},
    "fleet": {},
    "on_unknown": {"unknown_budget": 5},
    "unknown_budget": {"on_unknown": "retry"},
    "budget": {},
    "low_balance": {"on_low_balance": print},
    "on_low_balance": {"low_balance": 5},
    "on_event": {},
    "max_requests": {},
    "request_timeout": {},
    "create_patience": {},
    "close_grace": {},
    "rng": {},
}
"""Each setting of a pool, and what it needs beside it."""

Made = Callable[..., "dict[str, Any] | None"]


NAMED = {
    "SessionPool.fleet": "Fleet",
    "error_codes.value": "error_codes",
    "error_codes.code": "error_codes",
    "Offer.type": "type",
    "PollPolicy.speed": "",
    "Journal.path": "journal",
    "Service.speed": "",
}
"""What an error says instead of the name of the setting."""


def names(kind: type) -> list[str]:
    """Return what the constructor of a class takes."""
    return [field.alias for field in attrs.fields(kind) if field.init]


def places() -> Iterator[tuple[str, type, Made]]:
    """Yield each place for a value, the class that belongs there, and what a pool makes of it."""
    classes = {"service": Service, "polling": PollPolicy, "rng": Random, "journal": Journal}
    for name, beside in POOL.items():
        yield f"SessionPool.{name}", classes.get(name, DirectTransport), partial(_beside, beside)
    fixed, learned = PollPolicy(), LearnedPolling()
    answers, tasks = (Reply(200, b"{}"), NoAnswer("reset")), (*TASK_TYPES, CustomTask)
    makers: list[tuple[str, Iterable[str], type, Made]] = [
        ("Account", names(Account), Service, _with_account),
        ("Service", names(Service), Offer, lambda name, given: service_with(**{name: given})),
        ("Service", ["speed"], float, lambda _, given: {"service": EZCAPTCHA.at_speed(given)}),
        ("error_codes", ["value"], KeyError, lambda _, given: _with_code("ERROR_X", given)),
        ("error_codes", ["code"], str, lambda _, given: _with_code(given, ServiceError)),
        ("Offer", names(Offer), float, _with_offer),
        ("PollPolicy", names(PollPolicy), float, partial(_planned, PollPolicy)),
        ("PollPolicy", ["speed"], float, lambda _, given: {"polling": fixed.at_speed(given)}),
        ("LearnedPolling", ["poll_price", "state_path"], Path, partial(_planned, LearnedPolling)),
        ("LearnedPolling", ["speed"], float, lambda _, given: {"polling": learned.at_speed(given)}),
        ("Journal", names(Journal), Path, _with_journal),
        *((type(item).__name__, names(type(item)), str, partial(_alone, item)) for item in answers),
        *((item.__name__, names(item), str, partial(_alone, a_task(item))) for item in tasks),
    ]
    for owner, fields, its_class, made in makers:
        yield from ((f"{owner}.{field}", its_class, made) for field in fields)


def service_with(**given: Any) -> dict[str, Any]:
    """Return the settings of a pool whose service has some other values."""
    return {"service": attrs.evolve(EZCAPTCHA, **given)}


def _beside(beside: dict[str, Any], name: str, given: Any) -> dict[str, Any]:
    return {name: given, **beside}


def _with_offer(name: str, given: Any) -> dict[str, Any]:
    offer = Offer(**{"type": TASK.type, name: given})
    return {**service_with(offers=[offer, *EZCAPTCHA.offers]), "budget": 100}


def _with_account(name: str, given: Any) -> dict[str, Any]:
    return {"account": Account(**{"client_key": KEY, name: given})}


def _with_code(code: Any, kind: Any) -> dict[str, Any]:
    return service_with(error_codes={code if isinstance(code, Hashable) else 5: kind})


def _planned(policy: Callable[..., Any], name: str, given: Any) -> dict[str, Any]:
    return {"polling": policy(**{name: given})}


def _with_journal(name: str, given: Any) -> dict[str, Any]:
    return {"journal": Journal(**{"path": "y", name: given})}


def _alone(good: Any, name: str, given: Any) -> None:
    attrs.evolve(good, **{name: given})


def a_task(task_class: type[Task[Any]]) -> Task[Any]:
    """Make a task with what it needs."""
    good = {
        "website_url": "https://example.com/",
        "website_key": "key",
        "proxy": "http://me:secret@1.2.3.4:80",
        "type": "X",
        "fields": {},
    }
    needed = (item.alias for item in attrs.fields(task_class) if item.default is attrs.NOTHING)
    return task_class(**{field: good[field] for field in needed})


@on_one_loop
@pytest.mark.parametrize(
    ("place", "its_class", "made"), [pytest.param(*item, id=item[0]) for item in places()]
)
async def test_a_wrong_value_is_refused_at_once_or_does_no_harm(
    place: str, its_class: type, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A raw TypeError says nothing; and what comes out only later costs all that is paid."""
    monkeypatch.chdir(tmp_path)
    name = place.partition(".")[2]
    for given in (*ANYTHING, its_class):
        problem = None
        try:
            settings = made(name, given)
            if settings is not None:
                await _use(settings)
        except ConfigurationError as error:
            problem = error.message
        if problem is not None:
            assert NAMED.get(place, name) in problem


async def _use(settings: dict[str, Any]) -> None:
    """Open a pool with the settings, if it takes them, and solve some tasks."""
    simulated = SimulatedService(solve_times=Fixed(25), client_keys=None)
    accounts = [settings.pop("account")] if "account" in settings else [KEY]
    if "transport" not in settings and "http_client" not in settings:
        settings["transport"] = DirectTransport(simulated, latency=0.1)
    elif None in settings.values():
        return  # its own client, which would ask the real service
    pool = await SessionPool(*accounts, **settings).open()
    errors: list[EzCaptchaError] = []
    try:
        for _ in range(2):
            try:
                await pool.solve(TASK)
            except EzCaptchaError as error:
                errors.append(error)
        assert pool.statistics().unaccounted == 0
        assert "internal error" not in str(errors)
    finally:
        await pool.aclose()

"""What the chaos comparison makes of a service's record and of what its callers know."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from benchmarks.side_by_side.in_chaos import figures, keeps_its_promises, text
from benchmarks.side_by_side.judging import Verdict, most_in_a_minute, verdict
from benchmarks.side_by_side.trouble import Plan, WatchedService, trouble
from ezcaptcha_async.testing import Fault, SimulatedReply, VirtualTimeLoop

PAGE = "https://example.com/login?call={}"


def charges(*calls: int) -> list[tuple[str, str]]:
    """Return one charged task for each number of a call; in order their ids are a, b, c."""
    return [(chr(ord("a") + place), PAGE.format(call)) for place, call in enumerate(calls)]


def fates(judged: Verdict) -> dict[str, int]:
    """Return what is not 0."""
    return {name: count for name, count in vars(judged).items() if count}


@pytest.mark.parametrize(
    ("call", "fate"),
    [
        ({"token": "simulated.recaptcha.a"}, "solved"),
        ({"token": "simulated.recaptcha.other"}, "lost"),
        ({"failure": "X", "task_id": "a"}, "told"),
        ({"failure": "X", "task_id": "a", "may_be_charged": True}, "told"),
        ({"failure": "X", "task_id": None, "may_be_charged": True}, "warned"),
        ({"failure": "X", "task_id": None}, "lost"),
        ({"failure": "X", "task_id": "other"}, "lost"),
        ({"failure": "not finished"}, "lost"),
    ],
)
def test_a_paid_task_has_one_fate(call: dict[str, Any], fate: str) -> None:
    """A task that nobody heard of would be told as one that somebody did."""
    assert fates(verdict([call], charges(0))) == {"charged": 1, fate: 1}


def test_a_call_that_paid_again_has_one_fate_and_the_rest_is_paid_twice() -> None:
    """Repeating a createTask whose answer was lost would look free of charge."""
    judged = verdict([{"token": "simulated.recaptcha.c"}], charges(0, 0, 0))
    assert fates(judged) == {"charged": 3, "solved": 1, "twice": 2}
    calls = [
        {"token": "simulated.recaptcha.a"},
        {"failure": "X", "may_be_charged": True},  # nothing was charged
        {"failure": "X", "task_id": "c"},
        {"failure": "X"},
    ]
    judged = vars(verdict(calls, charges(0, 0, 2, 3)))
    assert judged.pop("warned_for_nothing") == 1
    assert judged.pop("charged") == sum(judged.values()) == 4


@pytest.mark.parametrize(
    ("moments", "most"),
    [([], 0), ([5.0], 1), ([0.0, 30.0, 59.9], 3), ([0.0, 60.0], 1), ([0, 50, 70, 80, 200], 3)],
)
def test_the_worst_minute_may_begin_anywhere(moments: list[float], most: int) -> None:
    """Minutes of the clock would halve a burst that lies across two of them."""
    assert most_in_a_minute(moments) == most


def run_of(**client: Any) -> dict[str, Any]:
    """Return what one run leaves: a call that was solved, a paid one that failed."""
    figures = {"wall": 250.0, "unfinished": 0, "failures": {"X": 1}}
    figures["calls"] = [{"token": "simulated.recaptcha.a"}, {"failure": "X", "task_id": "b"}]
    record = {"charges": 2, "requests": 9, "spacing_violations": 0}
    record["faults"] = {"refused": 3, "reset_before": 1, "html": 2}
    seen = {"charges": charges(0, 1), "offences": [1.0], "met_ban": [0.1], "met_earned_ban": 0}
    return {
        "library": "ezcaptcha_async",
        "ours": True,
        "client": figures | client,
        "service": {"record": record, "seen": seen},
    }


def test_requests_that_a_fault_keeps_from_the_service_count_as_well() -> None:
    """Whoever hammers in the blackout would seem to be silent."""
    found = figures(run_of(), 2)
    assert found["requests, all"] == 13
    assert found["requests during the blackout"] == 3
    assert keeps_its_promises(run_of(), most_offences=25, most_in_ban=33)
    assert not keeps_its_promises(run_of(), most_offences=0, most_in_ban=33)
    assert not keeps_its_promises(run_of(), most_offences=25, most_in_ban=0)
    lossy = run_of(calls=[{"failure": "X"}, {"failure": "X"}])
    assert not keeps_its_promises(lossy, most_offences=25, most_in_ban=33)
    assert not keeps_its_promises(run_of(broken="it hung"), most_offences=25, most_in_ban=33)


def test_a_client_that_hangs_has_a_column_all_the_same() -> None:
    """The comparison would end with a traceback after a quarter of an hour."""
    results = {"date": "", "machine": "", "python": "", "seed": 1, "tasks": 2, "left_out": {}}
    hung = run_of() | {"library": "peer 1", "client": {"solved": 0, "broken": "it hung"}}
    lines = text(results | {"runs": [run_of(), hung]}).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert len({len(row) for row in rows}) == 1
    assert "peer 1: it hung" in lines
    assert "–" in next(row for row in rows if "lost" in row)  # noqa: RUF001


def ask(
    service: WatchedService, path: str, now: float, fault: Fault | None = None, **fields: Any
) -> SimulatedReply:
    """Send one request."""
    body = json.dumps({"clientKey": "key", **fields}).encode()
    return service.handle(path, body, now, fault=fault)


def test_a_charge_is_noted_even_when_its_answer_is_lost() -> None:
    """A task that was paid for and whose id never came would not be in the table."""
    service = WatchedService()
    task = {"type": "ReCaptchaV2TaskProxyless", "websiteURL": PAGE.format(7), "websiteKey": "k"}
    for fault in (Fault.RESET_AFTER, Fault.MALFORMED, Fault.HTML):
        ask(service, "/createTask", 1.0, fault, task=task)
    service.set_balance("key", 0)
    ask(service, "/createTask", 2.0, task=task)
    seen = service.seen()
    assert [page for _, page in seen["charges"]] == [PAGE.format(7)] * 2
    assert seen["offences"] == [2.0]
    service = WatchedService(ban_after=1)
    service.ban(seconds=35.0)
    reply = ask(service, "/getBalance", 1.0)
    assert dict(reply.headers)["retry-after"] == "35"
    service.lift_ban()
    assert ask(service, "/getBalance", 2.0).json()["errorId"] == 0
    assert len(service.seen()["met_ban"]) == 1


def test_the_plan_strikes_in_its_order() -> None:
    """A phase that never came would make the whole run a fair-weather one."""
    plan = Plan(
        throttled=(1, 2),
        blackout=(3, 4),
        ban=(5, 6),
        ban_is_lifted=True,
        empty_at=7,
        last_caller_at=8,
    )
    service = WatchedService()
    struck: list[tuple[float, str]] = []

    def note(name: str) -> None:
        act = getattr(service, name)

        def noted(*arguments: Any, **named: Any) -> None:
            struck.append((asyncio.get_running_loop().time(), name))
            act(*arguments, **named)

        setattr(service, name, noted)

    for name in ("set_fault_rates", "ban", "lift_ban", "set_balance"):
        note(name)
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        begin = runner.get_loop().time()
        runner.run(trouble(service, plan, "key"))
    assert [(round(at - begin), name) for at, name in struck] == [
        (1, "set_fault_rates"),
        (2, "set_fault_rates"),
        (3, "set_fault_rates"),
        (4, "set_fault_rates"),
        (5, "ban"),
        (6, "lift_ban"),
        (7, "set_balance"),
    ]
    assert service.balance_of("key") == 180

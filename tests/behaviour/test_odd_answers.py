"""Odd but honest answers, and hostile ones, to a whole pool: nothing that was paid for is lost."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from html import escape
from typing import Any

import anyio
import attrs
import pytest

from ezcaptcha_async import (
    ProtocolError,
)
from ezcaptcha_async.testing import Fixed, Rewrite, SimulatedReply, SimulatedService

from .conftest import TASK, open_pool

MIB = 1024 * 1024


def edited(
    edit: Callable[[str], str], charset: str = "utf-8", *headers: tuple[str, str]
) -> Rewrite:
    """Return an answer as a text that is edited, in a charset that is named."""

    def rewrite(reply: SimulatedReply) -> SimulatedReply:
        named = ("content-type", f"application/json; charset={charset}")
        body = edit(reply.body.decode()).encode(charset)
        return SimulatedReply(reply.status, (named, *headers), body)

    return rewrite


def changed(**members: Any) -> Rewrite:
    """Return an answer with other members; None takes one away."""

    def change(text: str) -> str:
        whole = json.loads(text) | members
        return json.dumps({name: value for name, value in whole.items() if value is not None})

    return edited(change)


def describing(text: str, charset: str = "utf-8") -> Rewrite:
    """Return an answer that describes something where it had nothing to say."""
    return edited(lambda body: body.replace("null", f'"{text}"').replace("errorCode", "x"), charset)


def moved(move: Callable[[dict[str, Any]], dict[str, Any]]) -> Rewrite:
    """Return an answer whose members are arranged in another way."""
    return edited(lambda text: json.dumps(move(json.loads(text))))


def listed(members: dict[str, Any]) -> dict[str, Any]:
    """Put what was paid for into a list of one."""
    return members | {name: [members[name]] for name in ("taskId", "solution") if members.get(name)}


def in_data(members: dict[str, Any]) -> dict[str, Any]:
    """Put a solution where it has no name, and an id under a shorter one."""
    solution = members.pop("solution", None)
    return members | {"data": solution or {"id": members.pop("taskId", None)}}


DRESSES: dict[str, Rewrite] = {
    "gbk": describing("成功", "gbk"),
    "latin-1": describing("réussi", "latin-1"),
    "control characters": describing("a\tb\nc\x00"),
    "something after": edited(lambda body: f"{body}\n<!-- 0.1 s -->"),
    "something before": edited(lambda body: f"<b>Notice</b>: x\n{body}"),
    "a coding that is none": edited(str, "utf-8", ("content-encoding", "br")),
    "a coding undone": edited(str, "utf-8", ("content-encoding", "gzip")),
    "no errorId": changed(errorId=None),
    "a stray code": changed(errorId=1, errorCode="ERROR_NEW"),
    "another status": lambda reply: attrs.evolve(reply, status=502),
    "nested deeply": edited(lambda body: f'{{"x":{"[" * 500}{"]" * 500},{body[1:]}'),
    "a wrapper": edited(lambda body: f'{{"code":0,"data":{body}}}'),
    "lists of one": moved(listed),
    "no name of its own": moved(in_data),
    "an empty one around": edited(
        lambda body: f'{{"errorId":0,"status":"success","taskId":0,"solution":{{}},"data":{body}}}'
    ),
    "emptied again": edited(lambda body: f'{body[:-1]},"taskId":null,"solution":{{}}}}'),
    "what is no JSON": edited(lambda body: f'{{"x":undefined,,{body[1:]}'),
    "a page": edited(lambda body: f"<pre>{escape(body)}</pre>"),
}


@pytest.mark.parametrize("dress", DRESSES)
@pytest.mark.parametrize("path", ["/createTask", "/getTaskResult"])
async def test_no_dress_costs_a_paid_task(dress: str, path: str) -> None:
    """It was paid for, and its id or token stood in the answer for everybody to see."""
    service = SimulatedService(solve_times=Fixed(15))
    service.inject(DRESSES[dress], path=path, times=None)
    async with open_pool(service) as pool:
        solution = await pool.solve(TASK)
    assert solution.token.startswith("simulated.recaptcha")
    summary = service.summary()
    assert (summary.charges, summary.fetched) == (1, 1)
    assert solution.receipt.polls < 6


def with_solution(solution: Any) -> Rewrite:
    """Return a ready answer with another solution."""
    return lambda reply: reply if b"processing" in reply.body else changed(solution=solution)(reply)


async def test_what_is_of_no_known_form_is_in_the_error() -> None:
    """Somebody would have to resume the task under another type to get at what was paid for."""
    service = SimulatedService(solve_times=Fixed(15))
    service.inject(with_solution({"answer": ["a", "b"]}), path="/getTaskResult", times=None)
    async with open_pool(service) as pool:
        with pytest.raises(ProtocolError, match="gRecaptchaResponse") as caught:
            await pool.solve(TASK)
    assert caught.value.payload == {"answer": ["a", "b"]}
    assert caught.value.ticket is not None


async def test_a_ticket_keeps_little_until_it_is_awaited() -> None:
    """A service that answers with a megabyte of brackets would take gigabytes for 60 tickets."""
    flood = '{"gRecaptchaResponse":"a-token","x":[%s[]]}' % ("[]," * 100_000)
    text = f'{{"errorId":0,"status":"ready","solution":{flood}}}'
    service = SimulatedService(solve_times=Fixed(15))
    service.inject(
        edited(lambda body: body if "processing" in body else text),
        path="/getTaskResult",
        times=None,
    )
    async with open_pool(service) as pool:
        tickets = [await pool.submit(TASK) for _ in range(6)]
        assert (await tickets[0]).token == "a-token"
        tracemalloc.start()
        try:
            while not all(ticket.done for ticket in tickets):
                await anyio.sleep(1)
            kept, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert kept < 4 * MIB  # of which something may be what measures coverage
        assert peak < 40 * MIB
        assert {(await ticket).token for ticket in tickets} == {"a-token"}

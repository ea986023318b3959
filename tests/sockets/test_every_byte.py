"""The connection breaks at every single byte: what we say of a payment is never wrong."""

from __future__ import annotations

from itertools import product

import attrs
import pytest

from ezcaptcha_async import (
    EZCAPTCHA,
    ReCaptchaV2TaskProxyless,
    Service,
    SessionPool,
    SubmissionUnknownError,
    TransportError,
)

from .clients import KEY, lent
from .raw_server import End, RawServer, Script, answer

TASK = ReCaptchaV2TaskProxyless(website_url="https://example.com", website_key="k")
CREATED = answer(
    b'{"errorId":0,"errorCode":null,"taskId":"8f14e45f"}', headers={"connection": "close"}
)
WITH_ID = len(CREATED) - 1
"""Bytes in which the whole id is: only the last bracket is missing."""
NOT_PAID, PAID, UNKNOWN = "not paid", "paid", "unknown"


async def _submit(pool: SessionPool) -> str:
    """Submit a task and return what the library says of its payment."""
    try:
        ticket = await pool.submit(TASK)
    except (TransportError, SubmissionUnknownError) as error:
        return UNKNOWN if error.may_be_charged else NOT_PAID
    ticket.cancel()
    return PAID


def _service_at(url: str) -> Service:
    return attrs.evolve(EZCAPTCHA, base_url=url)


async def _outcomes(kind: str, scripts: list[Script]) -> list[tuple[str, int]]:
    """Submit once for each script; return what was said, and how many requests came whole."""
    outcomes = []
    with RawServer(*scripts) as server:
        service = _service_at(server.url)
        async with lent(kind) as client:
            for _ in scripts:
                before = len(server.complete)
                # A pool for each: after so many faults one would wait for a better time.
                async with SessionPool(
                    KEY, service=service, create_patience=0.001, **client
                ) as pool:
                    said = await _submit(pool)
                outcomes.append((said, len(server.complete) - before))
    return outcomes


async def _length_of_a_create(kind: str) -> int:
    """Return how many bytes a create of this client has."""
    with RawServer(Script(send=CREATED)) as server:
        service = _service_at(server.url)
        async with lent(kind) as client, SessionPool(KEY, service=service, **client) as pool:
            (await pool.submit(TASK)).cancel()
        (request,) = server.received
    return len(request.head) + len(request.body)


@pytest.fixture
def step(package: str) -> int:
    """From one cut to the next: httpx2 has the parser of httpx, which is cut at every byte."""
    return 7 if package == "httpx2-client" else 1


async def test_cut_at_every_byte_of_the_request(package: str, step: int) -> None:
    """A task would be paid for twice, or given up as paid though it never was."""
    cuts = range(0, await _length_of_a_create(package), step)
    outcomes = await _outcomes(package, [Script(read=count, end=End.RESET) for count in cuts])
    for count, (said, charged) in zip(cuts, outcomes, strict=True):
        assert charged == 0
        assert said in {NOT_PAID, UNKNOWN}, f"after {count} bytes"


async def test_cut_at_every_byte_of_the_answer(package: str, step: int) -> None:
    """A paid task would be taken for one that was not, and paid for again."""
    cuts = list(product([End.RESET, End.CLOSE], [*range(0, len(CREATED), step), len(CREATED)]))
    outcomes = await _outcomes(package, [Script(send=CREATED[:n], end=end) for end, n in cuts])
    for (end, count), (said, charged) in zip(cuts, outcomes, strict=True):
        assert charged == 1
        if count < WITH_ID:
            assert said == UNKNOWN, f"{end} after {count} bytes"
        else:
            # A reset may overtake the last bytes of the answer.
            assert said == PAID or (said == UNKNOWN and end is End.RESET)

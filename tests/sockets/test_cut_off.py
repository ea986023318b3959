"""The connection breaks somewhere: what we say of a payment is never wrong.

What an adapter makes of each single byte is in ``tests/unit/wire/adapters``.
"""

from __future__ import annotations

import attrs

from ezcaptcha_async import EZCAPTCHA, ReCaptchaV2TaskProxyless, SessionPool
from ezcaptcha_async.errors import SubmissionUnknownError, TransportError

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


async def _outcomes(kind: str, scripts: list[Script]) -> list[tuple[str, int]]:
    """Submit once for each script; return what was said, and how many requests came whole."""
    outcomes = []
    with RawServer(*scripts) as server:
        service = attrs.evolve(EZCAPTCHA, base_url=server.url)
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


async def _lengths_of_a_create(kind: str) -> tuple[int, int]:
    """Return how many bytes the head of a create has with this client, and all of it."""
    with RawServer(Script(send=CREATED)) as server:
        service = attrs.evolve(EZCAPTCHA, base_url=server.url)
        async with lent(kind) as client, SessionPool(KEY, service=service, **client) as pool:
            (await pool.submit(TASK)).cancel()
        (request,) = server.received
    return len(request.head), len(request.head) + len(request.body)


async def test_cut_anywhere_in_the_request(package: str) -> None:
    """A task would be paid for twice, or given up as paid though it never was."""
    head, length = await _lengths_of_a_create(package)
    cuts = (0, 1, head // 2, head - 1, head, head + 1, length - 1)
    outcomes = await _outcomes(package, [Script(read=count, end=End.RESET) for count in cuts])
    for count, (said, charged) in zip(cuts, outcomes, strict=True):
        assert charged == 0
        assert said in {NOT_PAID, UNKNOWN}, f"after {count} bytes"


async def test_cut_anywhere_in_the_answer(package: str) -> None:
    """A paid task would be taken for one that was not, and paid for again."""
    whole = len(CREATED)
    places = (0, 1, whole // 3, CREATED.index(b"{"), *range(WITH_ID - 4, whole + 1))
    cuts = [(end, count) for end in (End.RESET, End.CLOSE) for count in places]
    outcomes = await _outcomes(package, [Script(send=CREATED[:n], end=end) for end, n in cuts])
    for (end, count), (said, charged) in zip(cuts, outcomes, strict=True):
        assert charged == 1
        if count < WITH_ID:
            assert said == UNKNOWN, f"{end} after {count} bytes"
        else:
            # A reset may overtake the last bytes of the answer.
            assert said == PAID or (said == UNKNOWN and end is End.RESET)

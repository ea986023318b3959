"""How a pool is opened: first what may be refused, then what must be closed again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import anyio

from ezcaptcha_async._importing import on_trio
from ezcaptcha_async._journal import Ledger, open_ledger, prepare_ledger
from ezcaptcha_async._pool.engine import Engine
from ezcaptcha_async._pool.settings import Settings
from ezcaptcha_async._runtime import prepare_anyio
from ezcaptcha_async._timing import LearnedPolling, PollTiming, load_timing
from ezcaptcha_async._wire import prepare, transport_for
from ezcaptcha_async.accounts import Account

if TYPE_CHECKING:
    from ezcaptcha_async._pool.membership import Joined


async def open_engine(accounts: Sequence[Account], settings: Settings) -> Engine:
    """Return what works for an open pool, and has begun to.

    Raises:
        ConfigurationError: The HTTP client, the journal or the fleet cannot be used, or what
            the environment says of proxies and certificates; the message names the variable.
    """
    await prepare_anyio(in_thread=settings.opens_client)
    way: dict[str, Any] = {
        "urls": [account.service.base_url for account in accounts],
        "on_trio": on_trio(),
    }
    await prepare(settings.http_client, settings.transport, **way)
    await prepare_ledger(settings.journal)
    joined = await _joined(accounts, settings)
    # First the journal: where it is in use, nothing has been opened that must be closed.
    ledger: Ledger
    if joined is None:
        ledger = await open_ledger(settings.journal, time.time)
    else:
        ledger = joined.ledger
    try:
        polling = _default_polling(accounts) if settings.polling is None else settings.polling
        load_timing(polling)
        transport = transport_for(
            settings.http_client, settings.transport, max_requests=settings.max_requests, **way
        )
        engine = Engine(accounts, transport, ledger, settings, polling=polling, joined=joined)
    except BaseException:
        await ledger.aclose()
        raise
    engine.start()
    if engine.membership is not None:
        try:
            await engine.membership.beat()  # a ban that others have met holds at once
        except BaseException:
            with anyio.CancelScope(shield=True):
                await engine.close()
            raise
    return engine


async def _joined(accounts: Sequence[Account], settings: Settings) -> Joined | None:
    if settings.fleet is None:
        return None
    from ezcaptcha_async._pool.membership import join  # noqa: PLC0415 - most pools are alone

    return await join(settings.fleet, accounts, settings, time.time)


def _default_polling(accounts: Sequence[Account]) -> PollTiming:
    """Return the policy of a pool that was given none.

    Where its services run at different speeds, that of the slowest holds: a poll that comes
    late costs time, one that comes too soon is for nothing.
    """
    return LearnedPolling().at_speed(min(account.service.speed for account in accounts))

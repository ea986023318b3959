"""What lies between a pool and its server: a network that parts them, and TLS."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Self

import anyio
import attrs
import pytest

from ezcaptcha_async import ConfigurationError, SessionPool
from ezcaptcha_async.redis import Fleet
from ezcaptcha_async.testing import Fixed, Uniform
from tests.redis_server import RedisServer

from .conftest import KEY, LEASE, crew, job, new_service, until
from .worker import solve


class Relay:
    """Carries bytes to a server and back, until it is told to let nothing pass.

    Args:
        port: Where the server listens.
        tls: What to offer to whoever comes; None for nothing.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._port = port
        self._tls = tls
        self._passes = asyncio.Event()
        self._passes.set()
        self._ways: list[asyncio.Task[None]] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        for way in self._ways:
            way.cancel()
        await asyncio.gather(*self._ways, return_exceptions=True)

    def cut(self) -> None:
        """Let nothing pass; connections stay open, as where a cable is cut."""
        self._passes.clear()

    def mend(self) -> None:
        """Let all pass again, what was sent meanwhile too."""
        self._passes.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        for source, target in ((reader, back), (there, writer)):
            self._ways.append(asyncio.create_task(self._carry(source, target)))

    async def _carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65_536):
                await self._passes.wait()
                target.write(data)
        except ConnectionError:
            pass  # who is tired of waiting resets it
        finally:
            target.close()


async def test_pools_that_are_parted_in_the_middle_buy_nothing_twice(
    lasting: RedisServer, name: str
) -> None:
    """What was sent before the cut comes late, and out of its order, and undoes what came since."""
    service = new_service(solve_times=Uniform(5, 40))
    async with Relay(lasting.port) as relay, crew(service, lasting, name, lease=LEASE) as members:
        there = attrs.evolve(members.fleet, url=f"redis://127.0.0.1:{relay.port}")
        pools = await members.pool(fleet=there), await members.pool()
        asked = [
            (number, asyncio.create_task(solve(pool, f"job {number}")))
            for number in range(40)
            for pool in pools
        ]
        for number, seconds in enumerate((0.5, 3 * LEASE)):  # and longer than an answer may take
            await until(lambda least=5 + 20 * number: service.summary().charges >= least)
            relay.cut()
            await asyncio.sleep(seconds)
            relay.mend()
        async with asyncio.timeout(60):
            results = [(number, await task) for number, task in asked]
        tokens = {(number, item) for number, item in results if item.startswith("simulated")}
        others = {item for _, item in results if not item.startswith("simulated")}
        assert others <= {"SubmissionUnknownError"}
        assert len(tokens) == len({number for number, _ in tokens})

        async def books() -> tuple[int, ...]:
            for pool in pools:
                status = await pool.fleet_status()
            (account,) = status.accounts
            return status.spent // 6, status.created, status.unknown, account.in_flight

        charged = service.summary().charges
        assert len(tokens) == charged, "nobody has died"
        with anyio.fail_after(60):
            while await books() != (charged, charged, 0, 0):
                await asyncio.sleep(0.05)
    service.assert_charged(len(tokens))


async def test_certificates_are_verified(
    lasting: RedisServer, name: str, tls: ssl.SSLContext, certificate: Path
) -> None:
    """Whoever stands in between would be given the password, and the tokens of all."""
    service = new_service(solve_times=Fixed(5))
    async with Relay(lasting.port, tls) as relay, crew(service, lasting, name) as members:
        for host, known in (("127.0.0.1", ""), ("localhost", f"?ssl_ca_certs={certificate}")):
            fleet = Fleet(f"rediss://{host}:{relay.port}{known}", name=name)
            with pytest.raises(ConfigurationError, match="SSLCertVerificationError"):
                await SessionPool(KEY, transport="httpx", fleet=fleet).open()
        vouched = f"rediss://127.0.0.1:{relay.port}?ssl_ca_certs={certificate}"
        pool = await members.pool(fleet=Fleet(vouched, name=name))
        assert await pool.solve(job(1), once=True)
    service.assert_charged(1)
